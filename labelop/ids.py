"""Content-derived identifiers: the same inputs give the same ids, so a repeated run finds its own work done.

Knows no clock, no random source and no run: a key that decides "done" may hold none of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import IO, Any

_BLOCK_BYTES = 1 << 20


def sha256_hex(data: bytes) -> str:
    """Hash bytes to 64 lowercase hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of_file(file: IO[bytes]) -> str:
    """Hash a file from its beginning to 64 lowercase hex digits; it is never whole in memory."""
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """Write a JSON value in its one canonical form: sorted keys, no spaces, no NaN.

    Raises:
        ValueError: The value holds NaN or infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest_of(value: Any) -> str:
    """Hash any JSON value by its canonical form; 64 hex digits."""
    return sha256_hex(canonical_json(value).encode())


def dataset_version(entries: Iterable[Sequence[Any]]) -> str:
    """Name a dataset version by its content.

    Args:
        entries: One sequence of JSON values per file found (path, image id, level, labels digest...), in any order.

    Returns:
        `v-` and 16 hex digits; equal for equal sets of entries.
    """
    return "v-" + digest_of(sorted(canonical_json(list(entry)) for entry in entries))[:16]


def batch_id(
    version: str, placement: str, model_digest: str, parameters: dict[str, Any], image_ids: Sequence[str]
) -> str:
    """Name a batch by what goes in: dataset version, placement, model, parameters and ordered image ids.

    Returns:
        `b-` and 24 hex digits.
    """
    return "b-" + digest_of([version, placement, model_digest, parameters, list(image_ids)])[:24]


def row_id(prefix: str, *parts: Any) -> str:
    """Name a row by its key parts: prefix, a dash and 20 hex digits."""
    return f"{prefix}-{digest_of(list(parts))[:20]}"


def numbered_ids(prefix: str, *parts: Any, count: int) -> list[str]:
    """Name the rows 0 to count - 1 that share their key parts: `row_id(prefix, *parts, number)` for each, cheaper."""
    stem = hashlib.sha256(canonical_json([*parts, 0])[:-2].encode())
    names = []
    for number in range(count):
        one = stem.copy()
        one.update(b"%d]" % number)
        names.append(f"{prefix}-{one.hexdigest()[:20]}")
    return names
