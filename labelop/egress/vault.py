"""Encryption at rest for what holds pixels or what was computed from them: one key per dataset.

Dropping a dataset's key makes everything sealed under it unreadable, also copies and backups nobody remembers. Keys lie
beside the release key, mode 0600. Knows no table and no image format.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from labelop.egress.keys import overwrite, read_private, refuse_readable, write_durably
from labelop.errors import KeysError, SealedDataError
from labelop.ids import canonical_json, sha256_hex

_FOLDER = "vault"
_MAGIC = b"labelop-seal\x01"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16


@dataclass(frozen=True, slots=True)
class Sealer:
    """A vault for one dataset and purpose, for a cache that should know no more."""

    vault: Vault
    """Holds the keys."""
    dataset: str
    """Whose key."""
    purpose: str
    """What is sealed, for example `embedding`."""

    def seal(self, data: bytes, image_id: str) -> bytes:
        """Encrypt bytes that belong to an image; see `Vault.seal`."""
        return self.vault.seal(self.dataset, data, purpose=self.purpose, image_id=image_id)

    def open(self, sealed: bytes, image_id: str) -> bytes:
        """Decrypt them; see `Vault.open`."""
        return self.vault.open(self.dataset, sealed, purpose=self.purpose, image_id=image_id)


class Vault:
    """Seals and opens bytes under the keys of datasets.

    Args:
        folder: The key folder (`LABELOP_KEYS`).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _FOLDER

    def seal(self, dataset: str, data: bytes, *, purpose: str, image_id: str = "") -> bytes:
        """Encrypt bytes under the key of a dataset, which is made at its first use.

        Args:
            dataset: Whose key.
            data: What to encrypt.
            purpose: What it is for, for example `embedding`; opening asks for the same.
            image_id: Image it belongs to; opening asks for the same.

        Raises:
            KeysError: The key folder is not safe.
        """
        nonce = os.urandom(_NONCE_BYTES)
        return _MAGIC + nonce + AESGCM(self._key(dataset)).encrypt(nonce, data, _bound(dataset, purpose, image_id))

    def open(self, dataset: str, sealed: bytes, *, purpose: str, image_id: str = "") -> bytes:
        """Decrypt what `seal` gave for the same dataset, purpose and image.

        Raises:
            SealedDataError: It is damaged, of another dataset, purpose or image, or its key was shredded.
            KeysError: The key folder is not safe.
        """
        what = f"The {purpose} of image {image_id or '-'} of dataset {dataset}"
        if not self._path(dataset).exists():
            raise SealedDataError(f"{what} cannot be opened: the key of the dataset is gone.", hint="It was shredded.")
        if not sealed.startswith(_MAGIC) or len(sealed) < len(_MAGIC) + _NONCE_BYTES + _TAG_BYTES:
            raise SealedDataError(f"{what} is not sealed, or cut short.")
        start = len(_MAGIC) + _NONCE_BYTES
        try:
            return AESGCM(self._key(dataset)).decrypt(
                sealed[len(_MAGIC) : start], sealed[start:], _bound(dataset, purpose, image_id)
            )
        except InvalidTag as error:
            raise SealedDataError(
                f"{what} cannot be opened: it was changed, or sealed for another purpose, image or key."
            ) from error

    def shred(self, dataset: str) -> bool:
        """Drop the key of a dataset: what was sealed under it can never be opened again. False when there is none."""
        path = self._path(dataset)
        if not path.exists():
            return False
        refuse_readable(path)
        overwrite(path)
        return True

    def has_key(self, dataset: str) -> bool:
        """Say whether something may have been sealed for a dataset that can still be opened."""
        return self._path(dataset).exists()

    def datasets_count(self) -> int:
        """Count the datasets that have a key."""
        return len(list(self._folder.glob("*.key")))

    def _path(self, dataset: str) -> Path:
        # a digest: names of datasets may say whose images they are, and need not fit a file system
        return self._folder / f"{sha256_hex(dataset.encode())[:32]}.key"

    def _key(self, dataset: str) -> bytes:
        path = self._path(dataset)
        if not path.exists():
            self._folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            refuse_readable(self._folder.parent, folder=True)
            self._folder.mkdir(exist_ok=True, mode=0o700)
            self._make(path)
        refuse_readable(self._folder, folder=True)
        key = read_private(path)
        if len(key) != _KEY_BYTES:
            raise KeysError(f"{path} has {len(key)} bytes, expected {_KEY_BYTES}.", hint="Restore it from your copy.")
        return key

    @staticmethod
    def _make(path: Path) -> None:
        mine = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        write_durably(mine, os.urandom(_KEY_BYTES), mode=0o600)
        try:
            # of two processes that make a key at once only one gets its name; the other takes that key
            os.link(mine, path)
        except FileExistsError:
            overwrite(mine)
        else:
            mine.unlink()


def _bound(dataset: str, purpose: str, image_id: str) -> bytes:
    return canonical_json({"dataset": dataset, "image_id": image_id, "purpose": purpose, "schema": 1}).encode()
