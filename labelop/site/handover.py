"""Hands over what waits: rows land in head office's store under their item's key, then the item is removed.

Head office's store is a store like any other, and landing there drops keys it knows: no server of ours is needed, and
an item that was handed over just before a crash is handed over again and changes nothing. Knows no orchestrator.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from labelop.errors import (
    HeadOfficeUnavailableError,
    LandingError,
    SchemaMismatchError,
    SettingsError,
    UnknownTableError,
    of_machine,
)
from labelop.landing.store import Store, land, land_many, landed_keys
from labelop.schemas import utc_now
from labelop.site.answers import received
from labelop.site.link import Link
from labelop.site.outbox import Item
from labelop.site.place import ROWS, Site

_TOGETHER = 64
"""Items landed in one commit per table."""


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What a drain achieved."""

    items_count: int = 0
    """Items that head office has now."""
    size_bytes: int = 0
    """Their bytes."""

    def __add__(self, other: HandedOver) -> HandedOver:
        return HandedOver(self.items_count + other.items_count, self.size_bytes + other.size_bytes)


def head_office(site: Site) -> Store:
    """Give head office's store.

    Raises:
        SettingsError: The settings name none.
    """
    if site.head is None:
        raise SettingsError(
            "LABELOP_HEAD_STORE is empty, expected the store of head office.", hint="See docs/how-to/run-a-site.md."
        )
    return site.head


def probe(head: Store) -> None:
    """Make the smallest request of head office there is.

    Raises:
        HeadOfficeUnavailableError: Nobody answered.
    """
    with _reaching(head):
        landed_keys(head, "syncs", ["probe"])


def hand_over_rows(site: Site, link: Link) -> HandedOver:
    """Land all waiting rows at head office, in order; what was landed before a fault stays landed.

    Args:
        site: The site.
        link: The way to its head office.

    Raises:
        HeadOfficeUnavailableError: Nobody answered, or not any more; the rest waits.
        SiteError: An item is damaged, see `labelop.site.damage`; it and what is behind it wait.
        SchemaMismatchError: Head office's tables are of another found.
    """
    head, done = head_office(site), HandedOver()
    for chunk in _chunks(site.outbox.items(ROWS)):
        whole = {item: received(site.name, item, *site.outbox.read(item)) for item in chunk}
        link.call(partial(_land, site, head, whole))
        site.outbox.done(*chunk)
        done += HandedOver(len(chunk), sum(item.size_bytes for item in chunk))
    return done


def tell_sync(site: Site, link: Link, here: Store, *, run_id: str, done: HandedOver, set_digest: str | None) -> None:
    """Note at head office and here that the site was synced.

    Raises:
        HeadOfficeUnavailableError: Nobody answered any more.
    """
    waiting = site.outbox.contents().items_count
    row = {
        "site": site.name,
        "sent_count": done.items_count,
        "sent_bytes": done.size_bytes,
        "waiting_count": waiting,
        "set_digest": set_digest,
        "state": "partial" if waiting or site.outbox.damaged() else "complete",
        "run_id": run_id,
        "landed_at": utc_now(),
    }
    head, key = head_office(site), f"{site.name}:{run_id}"

    def tell() -> None:
        with _reaching(head):
            land(head, "syncs", [row], key)

    link.call(tell)
    land(here, "syncs", [row], key)


def _land(site: Site, head: Store, items: Mapping[Item, tuple[str, pa.Table]]) -> None:
    groups: dict[str, list[tuple[str, pa.Table]]] = defaultdict(list)
    for item, (name, rows) in items.items():
        # the key names a thing of this site; another site may have a dataset and a run of the same names
        groups[name].append((f"{site.name}:{item.key}", rows))
    with _reaching(head):
        for name, named in groups.items():
            land_many(head, name, named)
            _make_durable(head, name)


@contextmanager
def _reaching(head: Store) -> Iterator[None]:
    """Tell a store that is away from one that refuses."""
    if head.is_local and not Path(head.root).is_dir():
        # never made from here: it may be a share that is not mounted now
        raise HeadOfficeUnavailableError(
            f"The folder of head office {head.root} is not there.", hint="Is it mounted? It is never made from a site."
        )
    try:
        yield
    except (SchemaMismatchError, UnknownTableError):
        raise
    except (LandingError, OSError) as error:
        ours = of_machine(error) if isinstance(error, OSError) else error
        raise HeadOfficeUnavailableError(
            f"Head office did not take or answer: {ours.message}",
            hint="What waits goes on waiting; `labelop outbox show` says how much.",
        ) from error


def _make_durable(head: Store, name: str) -> None:
    """Sync the files of a table and their folders: the table library does not, and the items are removed next.

    All of them, whoever wrote them: what landed may be of an earlier try that died before it came here.
    """
    if not head.is_local:
        return
    table = Path(head.uri(name))
    log = table / "_delta_log"
    for path in (*table.glob("*.parquet"), *log.iterdir(), log, table, table.parent):
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue  # another site's, unfinished, or summed up since the listing
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _chunks(items: Sequence[Item]) -> Iterator[list[Item]]:
    for start in range(0, len(items), _TOGETHER):
        yield list(items[start : start + _TOGETHER])
