"""What approvals rest on outside the tables: the key of their seals, and the list of those that were withdrawn.

Whoever writes tables can remove the last step of a review and leave no gap; a withdrawn approval is therefore named
here too, before its row lands. Knows no label.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from labelop.errors import SettingsError, naming
from labelop.landing.store import Store
from labelop.secret_file import make_key, read_key
from labelop.settings import load_settings

_log = logging.getLogger(__name__)

_KEY, _WITHDRAWN = "approvals.key", "withdrawn.txt"
_LINE = re.compile(r"(?P<review_id>\S+) (?P<position>\d{1,9})\n")


@dataclass(frozen=True, slots=True)
class Trust:
    """What a check of approvals needs."""

    key: bytes | None
    """Key of the seals; None where this machine has none, and then no approval can be believed."""
    withdrawn: Mapping[str, int]
    """Highest position of a withdrawn approval by review id."""
    missing: Path | None = None
    """Where the key was looked for and is not; None where it is there, or nobody looked."""


NO_TRUST = Trust(None, {})
"""What somebody has who has only the tables."""


def trust_of(store: Store) -> Trust:
    """Read key and list of a store; makes neither.

    Raises:
        SettingsError: Others may read the key, it is damaged, or the list is.
    """
    folder = _folder(store)
    try:
        key = bytes.fromhex(read_key(folder / _KEY, harm="make labels accepted"))
        text = (folder / _WITHDRAWN).read_text(encoding="utf-8") if (folder / _WITHDRAWN).exists() else ""
    except FileNotFoundError:
        return Trust(None, {}, missing=folder / _KEY)
    withdrawn: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        found = _LINE.fullmatch(line)
        if found is None:
            raise SettingsError(
                f"{folder / _WITHDRAWN}, line {number}, is not `review_id position`.",
                hint="Restore the file: without it labels whose approval was withdrawn could be accepted again.",
            )
        review_id = found["review_id"]
        withdrawn[review_id] = max(withdrawn.get(review_id, -1), int(found["position"]))
    return Trust(key, withdrawn)


@cache
def warn_of_missing(key: Path) -> None:
    """Say, once a process, that there are approvals and no key to check them by: none then counts, without an error."""
    _log.warning(
        "warning: no approval in this store can be checked, so no label counts as accepted: %s is missing; "
        "copy its folder along with the store, or name it in LABELOP_APPROVALS",
        key,
    )


def sealing_key(store: Store) -> bytes:
    """Read the key of a store, or make one at the first use.

    Raises:
        SettingsError: Others may read it, it is damaged, or its folder cannot be made.
    """
    folder = _folder(store)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        make_key(folder / _KEY)
    except OSError as error:
        raise SettingsError(
            f"The key {folder / _KEY} cannot be made: {error.strerror}.",
            hint="LABELOP_APPROVALS names the folder of the key that seals approvals; keep it out of the store.",
        ) from error
    return bytes.fromhex(read_key(folder / _KEY, harm="make labels accepted"))


def withdraw(store: Store, steps: Iterable[tuple[str, int]]) -> None:
    """Name approvals that do not count any more, durably; to be called before the rows that say so land.

    Args:
        store: Whose.
        steps: Review id and position of each approval.
    """
    lines = "".join(f"{review_id} {position}\n" for review_id, position in steps)
    if not lines:
        return
    sealing_key(store)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    file = os.open(_folder(store) / _WITHDRAWN, flags, 0o600)
    try:
        with naming(_folder(store) / _WITHDRAWN):
            fcntl.flock(file, fcntl.LOCK_EX)
            os.write(file, lines.encode())
            os.fsync(file)
    finally:
        os.close(file)


def _folder(store: Store) -> Path:
    return load_settings(store=store.root).approvals_path
