"""Factories of releases for the tests of the egress path."""

from __future__ import annotations

from typing import Any

from labelop.egress.keys import SigningKey
from labelop.egress.public_keys import Keyring, PublicKey
from labelop.egress.release_token import FormRecord, NonceMemory, ReleaseToken, sign_token, verify_token
from labelop.ids import sha256_hex
from labelop.sensitivity.levels import Level

PAYLOAD = b"bytes of an image"
NOW = 1_800_000_000_000
"""A moment, milliseconds since 1970."""


class Policy:
    """Answers from a table by level; a missing level has no answer."""

    digest = "p" * 64

    def __init__(self, **placements: set[str]) -> None:
        self.placements = placements

    def allowed_placements(self, level: Level) -> frozenset[str]:
        """Answer by level."""
        return frozenset(self.placements[level.text])


def token(key: SigningKey, payload: bytes = PAYLOAD, **changes: Any) -> ReleaseToken:
    """Make a token that is good now, in the cloud, for the usual payload."""
    facts: dict[str, Any] = {
        "payload_sha256": sha256_hex(payload),
        "level": "internal",
        "placement": "cloud",
        "policy_digest": "p" * 64,
        "run_id": "run-1",
        "form": FormRecord(),
        "issued_ms": NOW - 1000,
        "expires_ms": NOW + 60_000,
        "nonce": "0" * 32,
        "uses": 1,
        "key_id": key.key_id,
    }
    return ReleaseToken(**facts | changes)


def text(key: SigningKey, payload: bytes = PAYLOAD, **changes: Any) -> str:
    """Make the text form of such a token."""
    return sign_token(token(key, payload, **changes), key)


def ring(*keys: SigningKey, retired_ms: int | None = None) -> Keyring:
    """Hold the public halves of keys."""
    return Keyring([PublicKey(key.public.raw, key.created_ms, retired_ms) for key in keys])


def check(said: str, keyring: Keyring, **changes: Any) -> ReleaseToken:
    """Verify a token as the cloud does at the usual moment."""
    facts: dict[str, Any] = {"placement": "cloud", "now_ms": NOW, "seen": NonceMemory(), "payload": PAYLOAD}
    return verify_token(said, keyring=keyring, **facts | changes)
