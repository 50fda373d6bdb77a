"""Publishes a set of models and policies at head office, and takes it in at a site in one step or not at all.

Files lie under their digest, the index is written last, and a site switches one link when everything has come, was
checked and fits together; a pull that was cut off keeps what has come. Never is an older or stale policy taken.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from labelop.catalog.cards import load_catalog, verify
from labelop.catalog.files import sha256_of_file
from labelop.configuration import load_configuration
from labelop.egress.keys import ensure_key, sync_folder, write_durably
from labelop.egress.public_keys import Keyring
from labelop.errors import HeadOfficeUnavailableError, LabelopError, ManifestError, PublishedError
from labelop.ingest.places import RemotePlace, open_place
from labelop.landing.store import Store
from labelop.schemas import utc_now
from labelop.sensitivity.policy import load_policy
from labelop.settings import Settings
from labelop.site.handover import head_office
from labelop.site.place import Site
from labelop.site.published_set import (
    CONFIG,
    MODELS,
    PublishedFile,
    PublishedSet,
    admit_set,
    files_of,
    read_set,
    sign_set,
)

_PLACE, _INDEX = "published", "index.json"
_MOST_INDEX_BYTES = 1 << 20
_KEPT = 3  # sets, the one in force among them


def current(site: Site) -> Path:
    """Name the link to the set in force; it has the folders `config` and `models`."""
    return site.folder / "current"


def publish(head: Store, settings: Settings) -> PublishedSet:
    """Sign the configuration and the models of the settings and put them where sites look.

    Args:
        head: Head office's store.
        settings: `config` and `catalog` are published, signed with the key of `keys`.

    Raises:
        ConfigurationError: The files have a fault or do not fit together.
        DigestMismatchError: A model is not the one its card pins.
        PublishedError: The policy is stale, or a file cannot be published.
        HeadOfficeUnavailableError: The store does not take them.
    """
    _check(settings, utc_now().date())
    issued_ms = int(utc_now().timestamp() * 1000)
    found, index = sign_set(settings.config, settings.catalog, ensure_key(settings.keys_path), issued_ms)
    folders = {CONFIG: settings.config, MODELS: settings.catalog}
    with _away(head):
        there = _Published(head, settings, make=True)
        for one in found.files:
            top, _, rest = one.path.partition("/")
            there.put(one.sha256, folders[top] / rest)
        there.put_index(index)
    return found


def pull(site: Site, settings: Settings) -> str | None:
    """Take the newest set of head office and put it in force.

    Args:
        site: The site.
        settings: `head_keys` says whom to believe; without it nothing is taken.

    Returns:
        Digest of the set in force now; None when none was ever taken.

    Raises:
        PublishedError: The set is forged, of a retired key, older than the one in force, stale, or does not fit
            together; what is in force stays.
        HeadOfficeUnavailableError: Nobody answers; what has come is kept for the next try.
    """
    if settings.head_keys is None:
        return None
    path = current(site) / _INDEX
    in_force = path.read_bytes() if path.exists() else None
    keyring = Keyring(folder=settings.head_keys)
    installed = None if in_force is None else read_set(in_force, keyring).digest
    head = head_office(site)
    with _away(head):
        there = _Published(head, settings)
        index = there.index()
    if index is None or index == in_force:
        return installed
    found = admit_set(index, keyring, int(utc_now().timestamp() * 1000), in_force)
    unfinished = site.folder / "sets" / f"{found.digest[:16]}.part"
    with _away(head):
        for one, path in zip(found.files, files_of(unfinished, found).values(), strict=True):
            there.get(one, path)
    _check(settings.model_copy(update=_named(unfinished)), utc_now().date(), before=settings if not installed else None)
    _put_in_force(site, unfinished, index)
    return found.digest


def _named(folder: Path) -> dict[str, Path]:
    return {"config": folder / CONFIG, "catalog": folder / MODELS}


def _check(settings: Settings, today: date, before: Settings | None = None) -> None:
    """Refuse a set that would not work here, or whose policy ends before the one that an operator wrote here."""
    try:
        load_configuration(settings)
        for card in load_catalog(settings.catalog).values():
            verify(card)
        policy = load_policy(settings.config / "policy.yaml", today=today)
        until = None if before is None else load_policy(before.config / "policy.yaml", today=today).valid_until
    except LabelopError as error:
        raise PublishedError(f"The set does not fit together: {error.message}", hint=error.hint) from error
    if policy.stale:
        raise PublishedError(f"The policy of the set, {policy.version!r}, was valid until {policy.valid_until}.")
    if until is not None and policy.valid_until < until:
        raise PublishedError(
            f"The policy of the set is valid until {policy.valid_until}, the one here until {until}: it is older.",
            hint="Publish a newer one, or take the one here away.",
        )


def _put_in_force(site: Site, unfinished: Path, index: bytes) -> None:
    """Name the set by its digest and switch to it; the switch is one rename."""
    write_durably(unfinished / _INDEX, index, mode=0o644)
    finished = unfinished.with_suffix("")
    if finished.exists():
        shutil.rmtree(unfinished)  # it came whole before, and only the switch was cut off
    else:
        unfinished.rename(finished)
    sync_folder(finished.parent)
    link = site.folder / ".current.new"
    link.unlink(missing_ok=True)
    link.symlink_to(finished.relative_to(site.folder))
    link.replace(current(site))
    sync_folder(site.folder)
    others = sorted((p for p in finished.parent.iterdir() if p != finished), key=lambda path: path.stat().st_mtime)
    for old in others[: -(_KEPT - 1)]:
        shutil.rmtree(old)


class _Published:
    """Files under their digests, and the index beside them, in head office's store."""

    def __init__(self, head: Store, settings: Settings, *, make: bool = False) -> None:
        if make and head.is_local:
            Path(head.uri(_PLACE)).mkdir(parents=True, exist_ok=True)
        self._head = head
        self._remote: Any = None
        if not head.is_local:
            place = open_place(head.uri(_PLACE), settings, probe=False)
            assert isinstance(place, RemotePlace)
            self._remote, self._prefix = place.files, place.prefix

    def put(self, name: str, source: Path) -> None:
        if self._remote is None:
            target = Path(self._head.uri(_PLACE)) / name
            if not target.exists():
                write_durably(target, source.read_bytes(), mode=0o644)
        elif not self._remote.exists(f"{self._prefix}/{name}"):
            self._remote.put_file(str(source), f"{self._prefix}/{name}")

    def put_index(self, index: bytes) -> None:
        if self._remote is None:
            write_durably(Path(self._head.uri(_PLACE)) / _INDEX, index, mode=0o644)
        else:
            self._remote.pipe_file(f"{self._prefix}/{_INDEX}", index)

    def index(self) -> bytes | None:
        try:
            if self._remote is None:
                with (Path(self._head.uri(_PLACE)) / _INDEX).open("rb") as file:
                    return file.read(_MOST_INDEX_BYTES + 1)
            return bytes(self._remote.cat_file(f"{self._prefix}/{_INDEX}", start=0, end=_MOST_INDEX_BYTES + 1))
        except FileNotFoundError:
            return None

    def get(self, one: PublishedFile, target: Path) -> None:
        """Bring a file unless it is there already; a wrong one is thrown away."""
        if target.is_file() and sha256_of_file(target) == one.sha256:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if self._remote is None:
            shutil.copyfile(Path(self._head.uri(_PLACE)) / one.sha256, target)
        else:
            self._remote.get_file(f"{self._prefix}/{one.sha256}", str(target))
        if target.stat().st_size != one.size_bytes or sha256_of_file(target) != one.sha256:
            target.unlink()
            raise PublishedError(f"File {one.path} came with other bytes than its signed digest {one.sha256[:12]}.")
        with target.open("rb") as file:
            os.fsync(file.fileno())


@contextmanager
def _away(head: Store) -> Iterator[None]:
    try:
        yield
    except LabelopError as error:
        if isinstance(error, ManifestError):
            raise _unavailable(head, error) from error
        raise
    except Exception as error:
        # every object store has error classes of its own; all of them mean that it did not work now
        raise _unavailable(head, error) from error


def _unavailable(head: Store, error: Exception) -> HeadOfficeUnavailableError:
    return HeadOfficeUnavailableError(
        f"What head office published in {head.root} cannot be reached: {type(error).__name__}.",
        hint="What has come is kept, and the next sync goes on there.",
    )
