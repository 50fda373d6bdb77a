"""Bytes that may leave, as a type: the client of a cloud takes nothing else.

Only the gate imports this module directly, which an import contract holds. Knows no policy, no key and no network.
"""

from __future__ import annotations

from typing import NoReturn

from labelop.ids import sha256_hex

PROOF = object()
"""What the gate shows to make one."""


class Released:
    """Bytes that may leave; only the gate can make one."""

    __slots__ = ("_image_id", "_name", "_payload", "_payload_digest", "_placement", "_token")

    _image_id: str
    _name: str
    _payload: bytes
    _payload_digest: str
    _placement: str
    _token: str

    def __init__(
        self, proof: object, image_id: str, placement: str, payload: bytes, *, token: str = "", name: str = ""
    ) -> None:
        if proof is not PROOF:
            raise TypeError("only labelop.egress.gate can release an image")
        set_once = object.__setattr__
        set_once(self, "_image_id", image_id)
        set_once(self, "_name", name)
        set_once(self, "_placement", placement)
        set_once(self, "_payload", payload)
        set_once(self, "_payload_digest", sha256_hex(payload))
        set_once(self, "_token", token)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a release cannot be changed ({name})")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a release cannot be changed ({name})")

    def __reduce__(self) -> NoReturn:
        # a pickle could be edited on its way, which would make a release without the gate
        raise TypeError("a release cannot be pickled")

    def __repr__(self) -> str:
        return f"Released(image_id={self._image_id}, placement={self._placement}, bytes={len(self._payload)})"

    @property
    def image_id(self) -> str:
        """SHA-256 of the original bytes; stays on the premises."""
        return self._image_id

    @property
    def name(self) -> str:
        """Random name under which the bytes may be stored elsewhere; says nothing about the original."""
        return self._name

    @property
    def placement(self) -> str:
        """Where the bytes may go."""
        return self._placement

    @property
    def payload(self) -> bytes:
        """The re-encoded image, a JPEG without metadata."""
        return self._payload

    @property
    def payload_digest(self) -> str:
        """SHA-256 of the payload, 64 hex digits."""
        return self._payload_digest

    @property
    def token(self) -> str:
        """The signed release that travels beside the payload; see `labelop.egress.release_token`."""
        return self._token
