"""Where originals lie: a local folder or any fsspec address, read-only and never outside its root.

Knows files and bytes; must not know images or annotations. Local files are opened name by name without following
links, so that nothing below the root can point out of it, not even when it is swapped while being read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from labelop.errors import ManifestError, UnreadableImageError
from labelop.ingest import names
from labelop.object_store import file_options
from labelop.settings import Settings

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# a FIFO would block for ever without O_NONBLOCK
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ_TRIES = 2
_MOST_FOLDERS = 1000
"""One in the other: each is entered from the root on, so that what is deeper would take for ever."""
_CLOSED = frozenset({errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP})
"""What one name below a root may answer without a fault of the disk."""
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What opening answers where this machine is at its end: no fact about the file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name below a root that is not a folder."""

    path: str
    """Percent-encoded, relative to the root."""
    size_bytes: int
    """Size as listed; 0 for what is not a regular file."""
    regular: bool
    """Whether it is a regular file, not a link, pipe or device."""


class Place(Protocol):
    """Somewhere originals lie."""

    @property
    def root_uri(self) -> str:
        """Address of the root, without a slash at the end."""

    def walk(self) -> Iterator[Entry]:
        """Give everything below the root in the order of raw paths."""

    def read(self, path: str, max_bytes: int) -> bytes:
        """Read a whole regular file; raises UnreadableImageError with a reason code."""

    def head(self, path: str, count: int) -> bytes:
        """Read the first bytes of a regular file; empty when it cannot be read."""


def open_place(uri: str, settings: Settings, *, probe: bool = True) -> Place:
    """Open a local folder (plain path or `file://`) or any other fsspec address.

    Args:
        uri: Address of the root.
        settings: How to reach an object store.
        probe: Ask a remote store whether the root is there; one request that reading a known file does not need.

    Raises:
        ManifestError: There is nothing at this address.
    """
    scheme = uri.partition("://")[0] if "://" in uri else ""
    if scheme in ("", "file"):
        folder = unquote(uri.removeprefix("file://"), errors="surrogateescape") if scheme else uri
        root = os.fsencode(os.path.realpath(Path(folder).expanduser()))
        if not os.path.isdir(root):  # noqa: PTH112 - raw bytes, which Path does not take
            raise ManifestError(f"Source {uri!r} is not a folder.", hint="Check the path.", uri=uri)
        return LocalPlace(root)
    return _open_remote(uri, scheme, settings, probe=probe)


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """A folder on this machine."""

    root: bytes
    """Absolute raw path with its own links resolved."""

    @property
    def root_uri(self) -> str:
        """`file://` address; percent-encoded."""
        return "file://" + names.encode(self.root)

    def walk(self) -> Iterator[Entry]:
        """Give everything below the root; linked folders are entries, never entered."""
        try:
            waiting = self._listed(b"")
        except OSError as error:
            raise self._unlisted(error) from error
        while waiting:
            path, mode, size_bytes = waiting.pop()
            if not stat.S_ISDIR(mode):
                regular = stat.S_ISREG(mode)
                yield Entry(names.encode(path), size_bytes if regular else 0, regular)
                continue
            try:
                waiting += self._listed(path)
            except FileNotFoundError:
                continue  # deleted since it was listed: it was never found
            except OSError as error:
                if error.errno not in _CLOSED:
                    raise self._unlisted(error) from error
                # a closed folder is one thing found and not taken; it must not end the run nor vanish
                yield Entry(names.encode(path), 0, regular=False)

    def _listed(self, below: bytes) -> list[tuple[bytes, int, int]]:
        """Give raw path, mode and size of what lies in a folder, the last name first."""
        folders = below.split(b"/") if below else []
        if len(folders) > _MOST_FOLDERS:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        found = []
        with self._entered(folders) as at, os.scandir(at) as listing:
            for name in sorted((os.fsencode(entry.name) for entry in listing), reverse=True):
                with contextlib.suppress(FileNotFoundError):  # deleted since the listing: it was never found
                    facts = os.stat(name, dir_fd=at, follow_symlinks=False)
                    found.append((b"/".join((*folders, name)), facts.st_mode, facts.st_size))
        return found

    def _unlisted(self, error: OSError) -> ManifestError:
        if isinstance(error, PermissionError):
            return ManifestError(f"Source {self.root_uri} may not be listed.", hint="Check its permissions.")
        return ManifestError(
            f"Source {self.root_uri} cannot be listed: {error.strerror}.", hint="Check the disk and run again."
        )

    def read(self, path: str, max_bytes: int) -> bytes:
        """Read a whole regular file whose size and time stay the same meanwhile; one retry when they do not."""
        for _ in range(_READ_TRIES):
            with self._opened(path) as descriptor:
                before = os.fstat(descriptor)
                if before.st_size > max_bytes:
                    raise _unreadable(path, "TOO_LARGE", f"{before.st_size} bytes, allowed are {max_bytes}")
                data = _drain(descriptor, before.st_size + 1)
                after = os.fstat(descriptor)
            if len(data) == before.st_size == after.st_size and before.st_mtime_ns == after.st_mtime_ns:
                return data
        raise _unreadable(path, "UNSTABLE", "changed while it was read")

    def head(self, path: str, count: int) -> bytes:
        """Read the first bytes of a regular file; empty when it cannot be read."""
        try:
            with self._opened(path) as descriptor:
                return os.read(descriptor, count)
        except UnreadableImageError:
            return b""

    @contextlib.contextmanager
    def _entered(self, folders: Sequence[bytes]) -> Iterator[int]:
        """Open a folder name by name: one that was swapped for a link since it was listed is not followed."""
        at = os.open(self.root, _FOLDER_FLAGS)
        try:
            for folder in folders:
                outer, at = at, os.open(folder, _FOLDER_FLAGS, dir_fd=at)
                os.close(outer)
            yield at
        finally:
            os.close(at)

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        *folders, name = names.components(path)
        with contextlib.ExitStack() as stack:
            try:
                at = stack.enter_context(self._entered(folders))
                descriptor = os.open(name, _FILE_FLAGS, dir_fd=at)
                stack.callback(os.close, descriptor)
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    raise ManifestError(
                        f"File {path} of {self.root_uri} cannot be read now: {error.strerror}.",
                        hint="This machine is short of it, and the file is not to blame: mend that and run again.",
                    ) from error
                # ELOOP and ENOTDIR are what O_NOFOLLOW answers for a link
                code = "UNREADABLE" if isinstance(error, PermissionError | FileNotFoundError) else "NOT_REGULAR"
                raise _unreadable(path, code, os.strerror(error.errno or 0)) from error
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _unreadable(path, "NOT_REGULAR", "not a regular file")
            yield descriptor


@dataclass(frozen=True, slots=True)
class RemotePlace:
    """A prefix of an object store, through fsspec."""

    root_uri: str
    """Address as given, without a slash at the end."""
    prefix: str
    """The root as the file system names it, without a slash at the end."""
    files: Any = field(repr=False)
    """fsspec file system; may hold a secret."""

    def walk(self) -> Iterator[Entry]:
        """Give every object below the prefix."""
        with self._reachable():
            found = self.files.find(self.prefix, detail=True)
        for name, facts in sorted(found.items()):
            path = names.encode(
                str(name).removeprefix(self.prefix).removeprefix("/").encode("utf-8", "surrogateescape")
            )
            if path and not path.endswith("/"):
                yield Entry(path, int(facts.get("size") or 0), facts.get("type") == "file" and names.is_safe(path))

    def read(self, path: str, max_bytes: int) -> bytes:
        """Read a whole object of the size the store names; one retry when it does not fit."""
        full = self._full(path)
        for _ in range(_READ_TRIES):
            try:
                with self._reachable():
                    size = int(self.files.info(full)["size"])
                    if size > max_bytes:
                        raise _unreadable(path, "TOO_LARGE", f"{size} bytes, allowed are {max_bytes}")
                    data = bytes(self.files.cat_file(full))
            except (FileNotFoundError, PermissionError) as error:
                raise _unreadable(path, "UNREADABLE", type(error).__name__) from error
            if len(data) == size:
                return data
        raise _unreadable(path, "UNSTABLE", "changed while it was read")

    def head(self, path: str, count: int) -> bytes:
        """Read the first bytes of an object; empty when it cannot be read."""
        try:
            with self._reachable():
                return bytes(self.files.cat_file(self._full(path), start=0, end=count))
        except (FileNotFoundError, PermissionError):
            return b""

    @contextlib.contextmanager
    def _reachable(self) -> Iterator[None]:
        """Tell a store that is away from a file that is: the first ends the run, the second costs one row."""
        try:
            yield
        except (FileNotFoundError, PermissionError, ManifestError):
            raise
        except Exception as error:
            # every store has error classes of its own, so the adapter catches them all
            raise ManifestError(
                f"Source {self.root_uri} cannot be read: {type(error).__name__}.", hint="Check the store and run again."
            ) from error

    def _full(self, path: str) -> str:
        return self.prefix + "/" + b"/".join(names.components(path)).decode("utf-8", "surrogateescape")


def _open_remote(uri: str, scheme: str, settings: Settings, *, probe: bool) -> RemotePlace:
    import fsspec  # noqa: PLC0415 - a second of import that local sources do not need

    options = file_options(settings) if scheme in ("s3", "s3a") else {}
    try:
        files, prefix = fsspec.core.url_to_fs(uri.rstrip("/"), **options)
        there = not probe or files.isdir(prefix)
    except Exception as error:
        # every store has error classes of its own, so the adapter catches them all
        raise ManifestError(
            f"Source {uri!r} cannot be opened: {type(error).__name__} {error}.",
            hint="Check the address and LABELOP_S3_ENDPOINT, LABELOP_S3_KEY, LABELOP_S3_SECRET.",
            uri=uri,
        ) from error
    if not there:
        raise ManifestError(f"Source {uri!r} is not a folder or prefix.", hint="Check the address.", uri=uri)
    return RemotePlace(uri.rstrip("/"), str(prefix).rstrip("/"), files)


def _drain(descriptor: int, most: int) -> bytes:
    parts, left = [], most
    # all at once, as a rule: parts that have to be joined are twice in memory
    while left > 0 and (part := os.read(descriptor, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _unreadable(path: str, code: str, detail: str) -> UnreadableImageError:
    return UnreadableImageError(f"File {path} is not taken in: {code}, {detail}.", code=code, detail=detail, path=path)
