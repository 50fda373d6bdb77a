"""A site as its settings describe it: name, outbox, head office. Knows no table and opens no network."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from labelop.errors import SettingsError, SiteError
from labelop.landing.address import Store, open_store
from labelop.settings import Settings
from labelop.site.outbox import Outbox

ROWS, WORK = "rows", "work"
"""Kinds of items: rows for a table of head office; a dataset version of which a part may go to the cloud."""


_IMPATIENT = {"connect_timeout": "5s", "timeout": "30s", "max_retries": "2", "retry_timeout": "60s"}
"""Options of an object store that may be out of reach: how long to wait for it is decided by `link`, not below."""


@dataclass(frozen=True, slots=True)
class Site:
    """One site."""

    name: str
    """Its name in head office's tables."""
    folder: Path
    """Where its outbox and what it took from head office lie."""
    outbox: Outbox
    """What waits for the network."""
    head: Store | None
    """Store of head office; None where rows are only kept."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold off every other sync of this site, so that one process alone asks whether the network is back.

        Raises:
            SiteError: Another sync is under way.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.folder / ".sync.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise SiteError(
                    f"Another sync of the site {self.name!r} is under way.", hint="It hands over all that waits."
                ) from error
            yield
        finally:
            os.close(handle)


def find_site(settings: Settings) -> Site | None:
    """Give the site that this machine belongs to; None when the settings name none.

    Raises:
        SettingsError: The store of head office is no address of a store, or the site's own.
    """
    if settings.site is None:
        return None
    head = None
    if settings.head_store:
        head = open_store(settings, "head_store")
        if _are_one(head, open_store(settings)):
            raise SettingsError("LABELOP_HEAD_STORE is the site's own store, expected another one.")
        if not head.is_local:
            head = Store(head.root, head.storage_options | _IMPATIENT)
    outbox = Outbox(settings.site_path / "outbox", most_items=settings.outbox_items, most_bytes=settings.outbox_bytes)
    return Site(settings.site, settings.site_path, outbox, head)


def _are_one(head: Store, own: Store) -> bool:
    """Say whether two stores are one, whatever their names: a sync would land all that waits in the site's own."""
    if not (head.is_local and own.is_local):
        return head.root == own.root
    with suppress(OSError):  # where one of them is not there now, their names are all there is
        return Path(head.root).samefile(own.root)
    return os.path.realpath(head.root) == os.path.realpath(own.root)


def require_site(settings: Settings) -> Site:
    """Give the site of the settings.

    Raises:
        SettingsError: They name none, or as `find_site`.
    """
    site = find_site(settings)
    if site is None:
        raise SettingsError(
            "LABELOP_SITE is empty, expected the name of this site.", hint="See docs/how-to/run-a-site.md."
        )
    return site
