"""What an address of a far end may look like, found out before anything is done for it.

Knows no library that would open it. A name or password in an address is never shown and never taken: it would be
logged by every proxy, and the client would not send it.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

SCHEMES = ("http", "https", "grpc", "grpcs")
"""Ways to reach an inference server."""

_HOST = re.compile(r"[^\s/\\\x00-\x1f]+")


def read_address(text: str) -> SplitResult:
    """Read the address of an inference server.

    Raises:
        ValueError: It is none, or holds a name and password; the text says why and shows neither.

    Example:
        >>> read_address("grpc://models.example:8001").port
        8001
    """
    expected = f"{', '.join(SCHEMES)}://host:port is expected"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        # its own words may hold what stands where a port should
        raise ValueError(f"{shown(text)!r} is no address; {expected}") from None
    if "@" in parts.netloc:
        raise ValueError(f"{shown(text)!r} holds a name or password, which is not sent; leave it out")
    if parts.scheme not in SCHEMES or not host or not _HOST.fullmatch(host) or port == 0:
        raise ValueError(f"{shown(text)!r} is no address; {expected}")
    if parts.query or parts.fragment:
        raise ValueError(f"{shown(text)!r} is followed by a query, which is not sent; leave it out")
    return parts


def shown(text: str) -> str:
    """Write an address without what may be secret in it.

    Example:
        >>> shown("http://me:secret@host/x?key=secret")
        'http://***@host/x'
    """
    scheme, mark, rest = text.partition("://")
    if not mark:
        scheme, rest = "", text
    _, at, place = rest.rpartition("@")
    return scheme + mark + ("***@" if at else "") + re.split(r"[?#]", place)[0]
