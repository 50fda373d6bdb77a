"""Keeps what a segmenter's encoder said of images, so that the next prompt on an image costs the decoder only.

Features show the image about as well as its pixels do: they stay in memory unless a folder is given, restricted ones
even then unless they are sealed, and what is written only its owner can read. Knows no engine.
"""

from __future__ import annotations

import io
import logging
import os
import struct
import tempfile
import threading
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from labelop.engines.base import Features
from labelop.errors import SealedDataError, naming
from labelop.ids import digest_of
from labelop.sensitivity.levels import Level

MOST_BYTES = 256 * 1024 * 1024
"""Most bytes of features in memory unless told otherwise: 15 megapixel images of a SAM2, 1,300 of the sample's."""

# beside a torn end: an archive that says it is packed or encrypted in a way nobody wrote here, and one without members
_DAMAGED = (ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, struct.error, SealedDataError)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EmbeddingKey:
    """What features depend on."""

    image_id: str
    """SHA-256 of the original bytes."""
    model_digest: str
    """Digest of the segmenter's card and weights."""
    engine_name: str
    """Engine with its precision, as `Engine.name` says it; the names of features are the engine's own."""


class Sealer(Protocol):
    """Encrypts what is written; `labelop.egress.vault.Sealer` is one."""

    def seal(self, data: bytes, image_id: str) -> bytes:
        """Encrypt bytes that belong to an image."""
        ...

    def open(self, sealed: bytes, image_id: str) -> bytes:
        """Decrypt them."""
        ...


class EmbeddingCache:
    """Features by image and model, the least recently used dropped first; safe to call from several threads.

    Args:
        most_bytes: Most bytes held in memory; features larger than that are not held.
        folder: Where features of one dataset are written too, set to mode 0700; nowhere when None. Several processes
            may share it. Whoever gives it empties it.
        sealer: Encrypts every file under the key of the dataset. Without one, files are plain, and features of
            restricted images are not written at all.
    """

    def __init__(
        self,
        most_bytes: int = MOST_BYTES,
        folder: Path | None = None,
        *,
        sealer: Sealer | None = None,
    ) -> None:
        self._most = most_bytes
        self._folder = folder
        self._sealer = sealer
        self._held: OrderedDict[EmbeddingKey, Features] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)

    @property
    def held_bytes(self) -> int:
        """Bytes of features in memory."""
        return self._bytes

    def get(self, key: EmbeddingKey) -> Features | None:
        """Find an image's features, batch axis of 1; None where they have to be made (again)."""
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
                return found
        found = self._read(key)
        if found is not None:
            self._hold(key, found)
        return found

    def put(self, key: EmbeddingKey, features: Features, level: Level) -> None:
        """Keep an image's features.

        Args:
            key: Image, model and engine.
            features: What `Engine.encode` said of this one image; copied, since it may be a part of a pass.
            level: Sensitivity of the image; restricted features are written to disk sealed or not at all.
        """
        own = _frozen({name: value.copy() for name, value in features.items()})
        self._hold(key, own)
        if self._folder is not None and (level is not Level.RESTRICTED or self._sealer is not None):
            self._write(self._folder, key, own)

    def _hold(self, key: EmbeddingKey, features: Features) -> None:
        size = _size(features)
        with self._lock:
            self._bytes -= _size(self._held.pop(key, {}))
            if size > self._most:
                return
            self._held[key] = features
            self._bytes += size
            while self._bytes > self._most:
                self._bytes -= _size(self._held.popitem(last=False)[1])

    def _read(self, key: EmbeddingKey) -> Features | None:
        if self._folder is None:
            return None
        path = self._folder / _name(key)
        try:
            data = path.read_bytes()
            if self._sealer is not None:
                data = self._sealer.open(data, key.image_id)
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                return _frozen({name: np.asarray(stored[name], dtype=np.float32) for name in stored.files})
        except FileNotFoundError:
            return None
        except _DAMAGED as error:
            _log.warning("features of image %s on disk are not readable and are made again: %s", key.image_id, error)
            path.unlink(missing_ok=True)
            return None

    def _write(self, folder: Path, key: EmbeddingKey, features: Features) -> None:
        packed = io.BytesIO()
        np.savez(packed, allow_pickle=False, **dict(features))
        # mode 0600 from the start, and whole or not there
        handle, made = tempfile.mkstemp(dir=folder, prefix=".")
        try:
            with naming(folder / _name(key)), os.fdopen(handle, "wb") as file:
                plain = packed.getvalue()
                file.write(plain if self._sealer is None else self._sealer.seal(plain, key.image_id))
            Path(made).replace(folder / _name(key))
        except BaseException:
            Path(made).unlink(missing_ok=True)
            raise


def _frozen(features: dict[str, NDArray[np.float32]]) -> Features:
    for value in features.values():
        value.flags.writeable = False  # shared by whoever asks
    return features


def _size(features: Features) -> int:
    return sum(value.nbytes for value in features.values())


def _name(key: EmbeddingKey) -> str:
    return digest_of([key.image_id, key.model_digest, key.engine_name]) + ".npz"
