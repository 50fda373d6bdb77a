"""The private release key: made, rotated and read here; whoever holds it can let images out.

It lies in a folder of its own (`LABELOP_KEYS`), mode 0600 in 0700, and is never written to a log, a table or a
parameter of the orchestrator. Knows no image and no policy. `public_keys` is the half that far ends use.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from labelop.egress.public_keys import SUFFIX, Keyring, PublicKey, read_public_keys
from labelop.errors import KeysError, naming

GRACE_SECONDS = 24 * 3600
"""How long after a rotation work that began before it may still sign with the old key."""
MOST_GRACE_SECONDS = 30 * 24 * 3600
"""The longest such time: a key that never retires was not rotated."""

_PRIVATE = "release.key.pem"
_PUBLIC = "public"
_log = logging.getLogger(__name__)


class SigningKey:
    """A private key in memory; it cannot be printed, copied or sent to another process."""

    __slots__ = ("_private", "created_ms")

    def __init__(self, private: Ed25519PrivateKey, created_ms: int) -> None:
        self._private = private
        self.created_ms = created_ms

    @classmethod
    def generate(cls) -> SigningKey:
        """Make a new key that lies nowhere but in memory."""
        return cls(Ed25519PrivateKey.generate(), _now_ms())

    @property
    def public(self) -> PublicKey:
        """The half that may be given away."""
        return PublicKey(self._private.public_key().public_bytes_raw(), self.created_ms)

    @property
    def key_id(self) -> str:
        """Name of the key, a digest of its public half."""
        return self.public.key_id

    def sign(self, domain: bytes, data: bytes) -> bytes:
        """Sign data of one domain; a signature of one domain is worth nothing in another. 64 bytes."""
        return self._private.sign(domain + data)

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key cannot be pickled")

    def _pem(self) -> bytes:
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def public_folder(folder: Path) -> Path:
    """Name the folder of public keys inside a key folder."""
    return folder / _PUBLIC


def open_keyring(folder: Path) -> Keyring:
    """Open the public keys of a key folder; see `Keyring`."""
    return Keyring(folder=public_folder(folder))


def init_keys(folder: Path) -> SigningKey:
    """Make the first key.

    Raises:
        KeysError: There is one already, or the folder is not safe.
    """
    with _locked(folder):
        if (folder / _PRIVATE).exists():
            raise KeysError(f"{folder} has a key already.", hint="`labelop keys rotate` replaces it.")
        return _install(folder, retired_ms=None)


def load_key(folder: Path) -> SigningKey:
    """Read the private key, after a look at who else could.

    Raises:
        KeysError: It is missing, unsafe where it lies, damaged, or its public half is missing or retired.
    """
    refuse_readable(folder, folder=True)
    path = folder / _PRIVATE
    data = read_private(path)
    try:
        private = serialization.load_pem_private_key(data, password=None)
    except ValueError as error:
        raise KeysError(f"{path} is no private key.", hint="`labelop keys rotate` makes a new one.") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise KeysError(f"{path} is a key of another kind, expected Ed25519.")
    key = SigningKey(private, _now_ms())
    known = {one.key_id: one for one in read_public_keys(public_folder(folder))}.get(key.key_id)
    if known is None or known.retired_ms is not None:
        raise KeysError(
            f"The public half {key.key_id} of {path} is {'missing' if known is None else 'retired'}.",
            hint="`labelop keys rotate` makes a pair that fits.",
        )
    return SigningKey(private, known.created_ms)


def ensure_key(folder: Path) -> SigningKey:
    """Read the private key, or make one where there is none yet, and say so in the log.

    Raises:
        KeysError: As `load_key`.
    """
    with _locked(folder):
        if not (folder / _PRIVATE).exists():
            key = _install(folder, retired_ms=None)
            _log.info("made the release key %s in %s", key.key_id, folder)
            return key
    return load_key(folder)


def rotate_key(folder: Path, *, grace_seconds: float = GRACE_SECONDS) -> SigningKey:
    """Replace the private key; old public keys stay, with a date after which they are good for nothing new.

    Args:
        folder: The key folder.
        grace_seconds: How long running work may still sign with an old key, 0 to `MOST_GRACE_SECONDS`; 0 after a leak.
            A key that a rotation before gave a longer time retires with the others.

    Raises:
        KeysError: The folder is not safe, or that is no such time; nothing was replaced then.
    """
    if not 0 <= grace_seconds <= MOST_GRACE_SECONDS:  # not a number fails it as well
        raise KeysError(
            f"An old key cannot be good for {grace_seconds} more seconds, expected 0 to {MOST_GRACE_SECONDS}.",
            hint="0 after a leak; else as long as a run lasts.",
        )
    with _locked(folder):
        return _install(folder, retired_ms=_now_ms() + int(grace_seconds * 1000))


def export_public(folder: Path, target: Path) -> list[PublicKey]:
    """Copy the public keys to a folder for a far end; keys that are not known here are removed there.

    Raises:
        KeysError: A folder is not safe.
    """
    keys = open_keyring(folder).all()
    target.mkdir(parents=True, exist_ok=True, mode=0o755)
    names = {f"{key.key_id}{SUFFIX}" for key in keys}
    for key in keys:
        write_durably(target / f"{key.key_id}{SUFFIX}", key.as_text().encode(), mode=0o644)
    for path in target.glob(f"*{SUFFIX}"):
        if path.name not in names:
            path.unlink()
    return keys


def refuse_readable(path: Path, *, folder: bool = False) -> None:
    """Refuse a secret's file or folder that anybody but its owner can open.

    Raises:
        KeysError: It is missing, a link, somebody else's, or its mode is wider than 0600 (0700 for a folder).
    """
    try:
        found = path.lstat()
    except OSError as error:
        raise KeysError(f"{path} cannot be read: {error.strerror}.", hint="`labelop keys init` makes keys.") from error
    right = stat.S_ISDIR(found.st_mode) if folder else stat.S_ISREG(found.st_mode)
    if not right:
        raise KeysError(f"{path} is no {'folder' if folder else 'regular file'}.", hint="A link is not followed here.")
    if found.st_uid != os.geteuid():
        raise KeysError(
            f"{path} belongs to user {found.st_uid}, expected {os.geteuid()}.",
            hint="Run as the owner, or set LABELOP_KEYS to a folder of your own.",
        )
    if found.st_mode & 0o077:
        mode = "700" if folder else "600"
        raise KeysError(
            f"{path} has the mode {stat.S_IMODE(found.st_mode):04o}, expected 0{mode}: others can open it.",
            hint=f"chmod {mode} {path}; if others could read it, `labelop keys rotate --grace-seconds 0`.",
        )


def read_private(path: Path) -> bytes:
    """Read a secret's file after a look at its owner and mode.

    Raises:
        KeysError: As `refuse_readable`.
    """
    refuse_readable(path)
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        return file.read(1 << 16)


def write_durably(path: Path, data: bytes, *, mode: int) -> None:
    """Write a file at once or not at all, with its mode from the start, and sync it and its folder."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with naming(path):
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
    except OSError:
        with suppress(OSError):  # on a full disk the half of it would take what room there is
            temporary.unlink()
        raise


def overwrite(path: Path) -> None:
    """Overwrite a secret with noise, sync it and remove it.

    On disks that write elsewhere (flash, copy on write, snapshots) old blocks may live on; see docs/decisions/0017.
    """
    with path.open("r+b") as file:
        file.write(os.urandom(os.fstat(file.fileno()).st_size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _install(folder: Path, *, retired_ms: int | None) -> SigningKey:
    """Put a new key into place: public half first, so that no moment has a private key without one."""
    public = public_folder(folder)
    public.mkdir(mode=0o755, exist_ok=True)
    others = read_public_keys(public)
    key = SigningKey.generate()
    # whatever the clock says, it is the newest: heads of the log are judged by the order of their keys
    key.created_ms = max(key.created_ms, *(one.created_ms + 1 for one in others), 0)
    write_durably(public / f"{key.key_id}{SUFFIX}", key.public.as_text().encode(), mode=0o644)
    private = folder / _PRIVATE
    old = private.with_name(f".{_PRIVATE}.old")
    if private.exists():
        private.replace(old)
    write_durably(private, key._pem(), mode=0o600)  # noqa: SLF001 - nobody else may ask for it
    if old.exists():
        overwrite(old)
    until_ms = retired_ms or _now_ms()
    for one in others:
        if one.retired_ms is None or one.retired_ms > until_ms:
            retired = PublicKey(one.raw, one.created_ms, until_ms)
            write_durably(public / f"{one.key_id}{SUFFIX}", retired.as_text().encode(), mode=0o644)
    return key


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Make the folder when missing and keep other processes out meanwhile."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    refuse_readable(folder, folder=True)
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
