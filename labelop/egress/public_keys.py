"""The public half of the release keys: all that a far end needs to tell a good release from a forged one.

Knows no private key, so that a cloud machine can import it without being able to sign anything.
"""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ConfigDict, Field, ValidationError

from labelop.errors import KeysError
from labelop.forms import FirstSchema, StrictForm
from labelop.ids import canonical_json, sha256_hex
from labelop.strict_text import read_regular

SUFFIX = ".pub.json"
"""How files of public keys end."""

_MAX_FILE_BYTES = 4096


class _KeyForm(StrictForm):
    model_config = ConfigDict(strict=True)

    form: FirstSchema = Field(alias="schema")
    key_id: Annotated[str, Field(pattern=r"^k-[0-9a-f]{32}$")]
    public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created_ms: Annotated[int, Field(ge=0)]
    retired_ms: Annotated[int, Field(ge=0)] | None


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One public key."""

    raw: bytes
    """The Ed25519 public key, 32 bytes."""
    created_ms: int
    """When it was made, milliseconds since 1970."""
    retired_ms: int | None = None
    """From when on nothing that carries its signature is admitted, milliseconds since 1970; None while it is in use."""

    @property
    def key_id(self) -> str:
        """Name of the key: a digest of it, so that no other key can go by this name."""
        return "k-" + sha256_hex(self.raw)[:32]

    def verifies(self, signature: bytes, domain: bytes, data: bytes) -> bool:
        """Say whether a signature over data of one domain is good."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, domain + data)
        except InvalidSignature:
            return False
        return True

    def as_text(self) -> str:
        """Write the key as its file holds it."""
        facts = {"schema": 1, "key_id": self.key_id, "public_key": self.raw.hex()}
        return canonical_json({**facts, "created_ms": self.created_ms, "retired_ms": self.retired_ms}) + "\n"


class Keyring:
    """The public keys that are known; follows its folder, so that a rotation needs no restart.

    Args:
        keys: Keys held in memory.
        folder: Folder whose `*.pub.json` files are known as well.

    Raises:
        KeysError: The folder cannot be read, others may write to it, or a file in it is no key.
    """

    def __init__(self, keys: Iterable[PublicKey] = (), *, folder: Path | None = None) -> None:
        self._given = {key.key_id: key for key in keys}
        self._folder = folder
        self._read: dict[str, PublicKey] = {}
        self._seen: tuple[int, int] | None = None
        self._lock = threading.Lock()
        self._refresh()

    def find(self, key_id: str, at_ms: int) -> PublicKey | None:
        """Give the key of an id when it is good at that time; None when it is unknown or was retired by then."""
        self._refresh()
        key = self._given.get(key_id) or self._read.get(key_id)
        return None if key is None or (key.retired_ms is not None and at_ms > key.retired_ms) else key

    def all(self) -> list[PublicKey]:
        """List every key, oldest first."""
        self._refresh()
        return sorted({**self._read, **self._given}.values(), key=lambda key: (key.created_ms, key.key_id))

    def _refresh(self) -> None:
        if self._folder is None:
            return
        with self._lock:
            try:
                found = self._folder.stat()
            except OSError as error:
                raise KeysError(
                    f"The folder of public keys {self._folder} cannot be read: {error.strerror}.",
                    hint="`labelop keys export-public` writes one.",
                ) from error
            now = (found.st_mtime_ns, found.st_ino)
            if now != self._seen:
                keys = read_public_keys(self._folder)
                self._read = {key.key_id: key for key in keys}
                self._seen = now


def read_public_keys(folder: Path) -> list[PublicKey]:
    """Read every key file of a folder.

    Raises:
        KeysError: Others may write to the folder or a file, or a file is no key or not the one its id names.
    """
    refuse_writable(folder)
    return [_read_key(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]


def refuse_writable(path: Path) -> None:
    """Refuse a path that somebody else owns or may write to: he could put a key of his own there.

    Raises:
        KeysError: That is so, or the path cannot be looked at.
    """
    try:
        found = path.lstat()
    except OSError as error:
        raise KeysError(f"{path} cannot be read: {error.strerror}.", hint="`labelop keys init` makes keys.") from error
    if stat.S_ISLNK(found.st_mode):
        raise KeysError(f"{path} is a link, expected the file itself.", hint="Put the file there, or name its folder.")
    if found.st_uid not in {os.geteuid(), 0}:
        raise KeysError(f"{path} belongs to user {found.st_uid}, expected {os.geteuid()}.", hint=f"chown it: {path}")
    if found.st_mode & 0o022:
        raise KeysError(
            f"{path} has the mode {stat.S_IMODE(found.st_mode):04o}: others may write to it.", hint=f"chmod go-w {path}"
        )


def _read_key(path: Path) -> PublicKey:
    refuse_writable(path)
    try:
        form = _KeyForm.model_validate(json.loads(read_regular(path, _MAX_FILE_BYTES)))
    except (OSError, ValueError, RecursionError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else type(error).__name__
        raise KeysError(
            f"{path} is no public key file: {what}.", hint="`labelop keys export-public` writes them."
        ) from (error)
    key = PublicKey(bytes.fromhex(form.public_key), form.created_ms, form.retired_ms)
    if key.key_id != form.key_id:
        raise KeysError(f"{path} claims the id {form.key_id}, but its key has the id {key.key_id}.")
    return key
