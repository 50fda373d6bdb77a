"""File names as text that survives every tool: percent-encoded from their raw bytes.

A name is bytes to the file system; a lone surrogate breaks Arrow, a newline breaks a log. Knows no place and no format.
"""

from __future__ import annotations

import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

from labelop.errors import ManifestError

_UNWRITABLE = re.compile("[\x00-\x1f\ud800-\udfff\ufffe\uffff]")


def encode(raw: bytes) -> str:
    """Write a raw path as ASCII; letters, digits, `_.-~` and the slash stay as they are.

    >>> encode("smear 1/ä.jpg".encode())
    'smear%201/%C3%A4.jpg'
    """
    return quote_from_bytes(raw, safe="/")


def decode(path: str) -> bytes:
    """Turn an encoded path back into raw bytes."""
    return unquote_to_bytes(path)


def readable(path: str) -> str:
    """Give an encoded path as text for matching rules; bytes that are no UTF-8 become surrogates."""
    return decode(path).decode("utf-8", "surrogateescape")


def is_writable(text: str) -> bool:
    """Say whether every table and file format can hold a text: control characters and lone surrogates they cannot."""
    return not _UNWRITABLE.search(text)


def is_safe(path: str) -> bool:
    """Say whether an encoded path stays below its root."""
    return not any(part in (b"", b".", b"..") or b"\0" in part for part in decode(path).split(b"/"))


def components(path: str) -> list[bytes]:
    """Split an encoded path into raw names that cannot climb.

    Raises:
        ManifestError: The path is empty or absolute, or holds `.`, `..` or a zero byte.
    """
    if not is_safe(path):
        raise ManifestError(
            f"Path {path!r} does not stay below its source root.", hint="Paths are relative and hold no `..`."
        )
    return decode(path).split(b"/")
