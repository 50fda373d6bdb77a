"""The release token: good for its bytes, place, run, policy and time, and for nothing that differs by one bit."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from labelop.egress.keys import SigningKey
from labelop.egress.release_token import CODES, LEEWAY_MS, MAX_LIFE_MS, NonceMemory
from labelop.errors import ReleaseRefusedError
from labelop.ids import canonical_json
from tests.unit.egress.egress_values import NOW, PAYLOAD, check, ring, text, token

KEY = SigningKey.generate()
RING = ring(KEY)


def refused(said: str, **changes: Any) -> str:
    """Give the code with which a token is refused."""
    with pytest.raises(ReleaseRefusedError) as caught:
        check(said, changes.pop("keyring", RING), **changes)
    assert caught.value.code in CODES
    return caught.value.code


def test_a_good_token_says_what_was_signed() -> None:
    """All fields come back, and no field holds the original's image id."""
    assert check(text(KEY), RING) == token(KEY)
    assert "image_id" not in json.loads(base64.urlsafe_b64decode(text(KEY).split(".")[0] + "=="))


@pytest.mark.parametrize(
    ("code", "signed", "asked"),
    [
        ("OTHER_BYTES", {}, {"payload": PAYLOAD + b"!"}),
        ("OTHER_PLACEMENT", {}, {"placement": "onprem"}),
        ("OTHER_RUN", {}, {"run_id": "run-2"}),
        ("OTHER_POLICY", {}, {"policy_digest": "q" * 64}),
        ("EXPIRED", {}, {"now_ms": NOW + 60_001}),
        ("NOT_YET_VALID", {}, {"now_ms": NOW - 1001 - LEEWAY_MS}),
        ("UNKNOWN_KEY", {}, {"keyring": ring(SigningKey.generate())}),
        ("UNKNOWN_KEY", {}, {"keyring": ring(KEY, retired_ms=NOW - 1)}),
        ("UNKNOWN_KEY", {"issued_ms": NOW + 1}, {"keyring": ring(KEY, retired_ms=NOW)}),
        ("OTHER_LEVEL", {"level": "restricted"}, {}),
        ("OTHER_LEVEL", {"level": "Public"}, {}),
        ("BAD_SIGNATURE", {"key_id": SigningKey.generate().key_id}, {}),
        ("MALFORMED", {"expires_ms": NOW - 1000 + MAX_LIFE_MS + 1}, {}),
        ("MALFORMED", {"expires_ms": NOW - 2000}, {}),
        ("MALFORMED", {"uses": 0}, {}),
        ("MALFORMED", {"payload_sha256": "x"}, {}),
    ],
)
def test_each_fault_has_its_code(code: str, signed: dict[str, Any], asked: dict[str, Any]) -> None:
    """Every cause of a refusal is told apart from the others."""
    if code == "BAD_SIGNATURE":
        # a token that names a known key but was signed with another
        other = SigningKey.generate()
        asked = {"keyring": ring(other)}
        signed = {"key_id": other.key_id}
    assert refused(text(KEY, **signed), **asked) == code


def test_a_run_and_a_policy_that_fit_are_taken() -> None:
    """A checker that names run and policy takes what is of them."""
    assert check(text(KEY), RING, run_id="run-1", policy_digest="p" * 64).run_id == "run-1"


def test_work_that_runs_on_after_a_rotation_is_taken_until_the_key_retires() -> None:
    """A key's date of retirement is compared with when a token arrives."""
    assert check(text(KEY), ring(KEY, retired_ms=NOW)).key_id == KEY.key_id


def test_a_leaked_key_cannot_date_its_tokens_back() -> None:
    """A token that claims to be older than the rotation is refused all the same, also by a clock that was set back."""
    said, retired, seen = text(KEY, issued_ms=NOW - 2000, uses=10), ring(KEY, retired_ms=NOW - 1000), NonceMemory()
    assert refused(said, keyring=retired, seen=seen) == "UNKNOWN_KEY"
    assert refused(said, keyring=retired, seen=seen, now_ms=NOW - 1500) == "UNKNOWN_KEY"


def test_the_premises_may_hold_any_level() -> None:
    """Only another place has a floor."""
    assert check(text(KEY, level="restricted", placement="onprem"), RING, placement="onprem").level == "restricted"


def test_a_token_is_taken_as_often_as_it_says() -> None:
    """One use more is a replay, also from another request."""
    seen = NonceMemory()
    said = text(KEY, uses=2)
    check(said, RING, seen=seen)
    check(said, RING, seen=seen)
    assert refused(said, seen=seen) == "REPLAYED"
    assert check(text(KEY, nonce="1" * 32), RING, seen=seen).uses == 1


def test_what_expired_is_forgotten_and_a_clock_set_back_revives_nothing() -> None:
    """Memory is bounded by expiry; the latest time ever seen decides."""
    seen = NonceMemory()
    said = text(KEY)
    check(said, RING, seen=seen)
    assert len(seen) == 1
    check(
        text(KEY, nonce="2" * 32, issued_ms=NOW + 70_000, expires_ms=NOW + 80_000), RING, seen=seen, now_ms=NOW + 70_000
    )
    assert len(seen) == 1
    assert refused(said, seen=seen) == "EXPIRED"


def test_no_flipped_bit_passes() -> None:
    """Not one bit of a token's text can change: every flip is refused."""
    said = text(KEY).encode()
    for place in range(len(said)):
        for bit in range(8):
            flipped = bytearray(said)
            flipped[place] ^= 1 << bit
            with pytest.raises(ReleaseRefusedError):
                check(flipped.decode("latin-1"), RING)


def test_no_flipped_bit_of_the_image_passes() -> None:
    """Not one bit of the payload can change under a valid token."""
    said = text(KEY)
    for place in range(len(PAYLOAD)):
        for bit in range(8):
            payload = bytearray(PAYLOAD)
            payload[place] ^= 1 << bit
            assert refused(said, payload=bytes(payload)) == "OTHER_BYTES"


@pytest.mark.parametrize(
    "said", ["", ".", "a.b.c", "a", "ä.ö", "." * 5000, "e30.e30", "[" * 2000 + ".x", "bnVsbA.bnVsbA"]
)
def test_rubbish_is_malformed(said: str) -> None:
    """Text that is no token is refused as such, whatever it is."""
    assert refused(said) == "MALFORMED"


def test_another_spelling_of_the_same_token_is_malformed() -> None:
    """Padding, spaces, other key order and further keys are refused, though the signature would fit the bytes."""
    said, signature = text(KEY).split(".")
    assert refused(f"{said}=.{signature}") == "MALFORMED"
    assert refused(f"{said}.{signature}\n") == "MALFORMED"
    facts = json.loads(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))
    for spelled in (json.dumps(facts), canonical_json(facts | {"more": 1}), canonical_json(facts | {"schema": 2})):
        body = spelled.encode()
        again = base64.urlsafe_b64encode(body).rstrip(b"=").decode()
        signed = base64.urlsafe_b64encode(KEY.sign(b"labelop/release/1\0", body)).rstrip(b"=").decode()
        assert refused(f"{again}.{signed}") == "MALFORMED"


def test_a_signature_of_another_domain_is_bad() -> None:
    """What was signed as a head of the audit log is no release."""
    said, _ = text(KEY).split(".")
    body = base64.urlsafe_b64decode(said + "=" * (-len(said) % 4))
    signed = base64.urlsafe_b64encode(KEY.sign(b"labelop/audit-head/1\0", body)).rstrip(b"=").decode()
    assert refused(f"{said}.{signed}") == "BAD_SIGNATURE"
