"""What waits for the network: one durable file per item, in order, within a quota, never dropped.

`<sequence>-<key>.item`: file and folder are synced before an item counts as taken, and it is removed only when whoever
receives it has answered durably. A key is taken once; the receiver drops keys it knows, so at least once is once. When
the quota is reached nothing more is taken, and who asks has to stop working. What is damaged is kept for a person to
look at, as `<sequence>-<key>.damaged`, and waits no more. Must not know what items mean.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labelop.egress.keys import sync_folder, write_durably
from labelop.errors import OutboxFullError, SiteError, of_machine
from labelop.ids import canonical_json, sha256_hex
from labelop.schemas import utc_now
from labelop.strict_text import read_json

# a sequence is a time before the year 8307: a file that says a later one is none of ours
_NAME = re.compile(r"(?P<sequence>0[01]\d{14})-(?P<key>(?P<kind>[a-z]+)-[0-9a-f]+)\.(?P<form>item|damaged)")
_LAST_PLACE = 199_999_999_999_999
_PLACE = re.compile(rb"\d{1,15}")
_MS = 1000


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that waits."""

    sequence: int
    """Order of taking: milliseconds since 1970, or one more than the item before where the clock says less."""
    key: str
    """Names it by what it is, `<kind>-<hex digits>`: the same key is taken once and received once."""
    kind: str
    """What it is for; the beginning of the key."""
    size_bytes: int
    """Size of its file."""
    path: Path
    """Its file."""

    @property
    def queued_at(self) -> datetime:
        """When it was taken, by the site's clock."""
        return datetime.fromtimestamp(self.sequence / _MS, UTC)


@dataclass(frozen=True, slots=True)
class Contents:
    """How full an outbox is."""

    items_count: int
    """Items that wait."""
    size_bytes: int
    """Their files together."""
    most_items: int
    """Quota."""
    most_bytes: int
    """Quota."""
    oldest: datetime | None
    """When the first of them was taken; None when nothing waits."""

    @property
    def share(self) -> float:
        """How much of the tighter quota is used, 0..1."""
        return max(self.items_count / self.most_items, self.size_bytes / self.most_bytes)


class Outbox:
    """A folder of items; many processes may share it.

    Args:
        folder: Where the items lie; made when missing.
        most_items: Most items that may wait, at least 1.
        most_bytes: Most bytes their files may have together.
        clock: Time in UTC; a test hands in its own.
    """

    def __init__(
        self, folder: Path, *, most_items: int, most_bytes: int, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self.folder = folder
        self._mark = folder / "sequence"
        self._most_items = most_items
        self._most_bytes = most_bytes
        self._clock = clock

    def put(self, key: str, facts: Mapping[str, Any], body: bytes = b"") -> Item:
        """Take an item; it is on disk when this returns.

        Args:
            key: See `Item.key`. A key that waits already is not taken again.
            facts: What the receiver needs to know beside the body; JSON values.
            body: The rest.

        Returns:
            The item, or the one of this key that waits already.

        Raises:
            OutboxFullError: It does not fit into the quota; nothing was written.
            SiteError: The mark of the last item is damaged, or the disk refused; nothing was taken.
        """
        data = _written(facts, body)
        with self._locked():
            waiting = self.items()
            if known := [item for item in waiting if item.key == key]:
                sync_folder(self.folder)  # who put it there may have died before it did
                return known[0]
            self._check(waiting, 1, len(data))
            last = max([self._last(), *(item.sequence for item in waiting)])
            sequence = max(last + 1, int(self._clock().timestamp() * _MS))
            if sequence > _LAST_PLACE:
                raise SiteError(
                    f"{self.folder} holds an item or a mark of the place {last}, expected at most {_LAST_PLACE}.",
                    hint="Look which it is, and remove it where the clock is right: items count from the time of now.",
                )
            path = self.folder / f"{sequence:016d}-{key}.item"
            if not _NAME.fullmatch(path.name):
                raise ValueError(f"{key!r} is no key of an item, expected <kind>-<hex digits>")
            write_durably(path, data, mode=0o600)
        return Item(sequence, key, key.partition("-")[0], len(data), path)

    def items(self, kind: str | None = None) -> list[Item]:
        """List what waits in the order of taking; of one kind, or all."""
        return [item for item in self._listed("item") if kind in (None, item.kind)]

    def damaged(self) -> list[Item]:
        """List what was set aside and nobody has taken away since, in the order of taking."""
        return self._listed("damaged")

    def _listed(self, form: str) -> list[Item]:
        if not self.folder.is_dir():
            return []
        found = []
        for entry in os.scandir(self.folder):
            match = _NAME.fullmatch(entry.name)
            if match is not None and match["form"] == form:
                try:
                    size = entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:
                    continue  # received since the listing
                found.append(Item(int(match["sequence"]), match["key"], match["kind"], size, Path(entry.path)))
        return sorted(found, key=lambda item: item.sequence)

    def read(self, item: Item) -> tuple[dict[str, Any], bytes]:
        """Give an item's facts and body.

        Raises:
            SiteError: Its file is damaged, or something else has its name; it is kept as it is.
        """
        try:
            if not stat.S_ISREG(item.path.lstat().st_mode):
                raise _damaged(item)  # a pipe would be waited for
            data = item.path.read_bytes()
            head, _, body = data.partition(b"\n")
            said = read_json(head)
            facts = dict(said["facts"])
            # an item that an older release put there has a digest of its body alone
            whole = said["sha256"] == sha256_hex(body) if "sha256" in said else data == _written(facts, body)
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(item) from error
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            raise _damaged(item) from error
        if not whole:
            raise _damaged(item)
        return facts, body

    def set_aside(self, item: Item, again: Mapping[str, Any] | None = None) -> Path:
        """Keep a damaged item under a name of its own, so that it is in nobody's way.

        Args:
            item: What cannot be read.
            again: Its facts where they are known from elsewhere: they take its place, without a body.

        Returns:
            Where its bytes are now.

        Raises:
            SiteError: The disk refused.
        """
        aside = item.path.with_suffix(".damaged")
        with self._locked():
            if item.path.is_dir():
                item.path.rename(aside)  # a folder takes no second name
            else:
                with suppress(FileExistsError):  # a process died here before
                    os.link(item.path, aside)  # not copied: its disk may not give it back
            sync_folder(self.folder)
            if again is None:
                item.path.unlink(missing_ok=True)
                sync_folder(self.folder)
            else:
                write_durably(item.path, _written(again, b""), mode=0o600)
        return aside

    def done(self, *items: Item) -> None:
        """Remove items that were received durably; one that is gone already is fine.

        Raises:
            SiteError: The mark of the last item is damaged, or the disk refused; what was not removed comes again.
        """
        with self._locked():
            # the clock may go back when nothing waits any more, and a later item must come after these
            newest = max((item.sequence for item in items), default=0)
            if newest > self._last():
                write_durably(self._mark, str(newest).encode(), mode=0o600)
            for item in items:
                item.path.unlink(missing_ok=True)
            sync_folder(self.folder)

    def contents(self) -> Contents:
        """Say what waits, since when, and how full it is."""
        waiting = self.items()
        return Contents(
            len(waiting),
            sum(item.size_bytes for item in waiting),
            self._most_items,
            self._most_bytes,
            waiting[0].queued_at if waiting else None,
        )

    def check_room(self, items: int, size_bytes: int) -> None:
        """Ask whether so much would fit, before the work that makes it is begun.

        Raises:
            OutboxFullError: It would not.
        """
        self._check(self.items(), items, size_bytes)

    def _check(self, waiting: list[Item], items: int, size_bytes: int) -> None:
        used = sum(item.size_bytes for item in waiting)
        if len(waiting) + items > self._most_items or used + size_bytes > self._most_bytes:
            raise OutboxFullError(
                f"The outbox {self.folder} holds {len(waiting)} of {self._most_items} items and {used} of "
                f"{self._most_bytes} bytes; {items} more of {size_bytes} bytes do not fit.",
                hint="`labelop sync` hands over what waits; LABELOP_OUTBOX_ITEMS and _BYTES are the quota.",
            )

    def _last(self) -> int:
        try:
            text = self._mark.read_bytes()
        except FileNotFoundError:
            return 0
        if not _PLACE.fullmatch(text):
            raise SiteError(
                f"{self._mark} holds {text!r:.40}, expected the place of the last item that was received.",
                hint="Remove it where the clock is right: items are counted from the time of now.",
            )
        return int(text)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with self._alone():
                yield
        except OSError as error:
            raise SiteError(
                f"The outbox {self.folder} cannot be written: {of_machine(error).message}",
                hint="Make room there, or mend its disk, and run again: the site's own tables have all that it tells.",
            ) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            sync_folder(self.folder.parent)
        handle = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            for torn in self.folder.glob(".*.tmp"):
                torn.unlink()  # a writer died before its item was taken
            yield
        finally:
            os.close(handle)


def _written(facts: Mapping[str, Any], body: bytes) -> bytes:
    rest = {"facts": dict(facts)}
    digest = sha256_hex(canonical_json(rest).encode() + b"\n" + body)
    return canonical_json(rest | {"digest": digest}).encode() + b"\n" + body


def _damaged(item: Item) -> SiteError:
    return SiteError(
        f"Item {item.path} is damaged: its bytes are not those that were written.",
        hint="`labelop sync` sets it aside; look at the disk, and remove the file when you know why.",
    )
