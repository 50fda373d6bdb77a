"""The release token: a signed sentence that says which bytes may be where, until when, on whose word.

Travels beside its image and is checked by whoever receives both. Signing takes anything that signs; checking takes
public keys only, so that a far end can import this module without any private key. Knows no policy and no file.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import json
import re
import threading
from dataclasses import asdict, dataclass
from hmac import compare_digest
from typing import Annotated, Any, Literal, NoReturn, Protocol

from pydantic import ConfigDict, Field, ValidationError

from labelop.egress.public_keys import Keyring, PublicKey
from labelop.errors import ReleaseRefusedError
from labelop.forms import FirstSchema, StrictForm
from labelop.ids import canonical_json, sha256_hex

CODES = (
    "MALFORMED",
    "UNKNOWN_KEY",
    "BAD_SIGNATURE",
    "OTHER_PLACEMENT",
    "OTHER_LEVEL",
    "OTHER_BYTES",
    "OTHER_RUN",
    "OTHER_POLICY",
    "NOT_YET_VALID",
    "EXPIRED",
    "REPLAYED",
)
"""Every reason for which a token is refused, in the order of the checks."""

LEEWAY_MS = 60_000
"""How far two clocks may differ before a token counts as issued in the future."""
MAX_LIFE_MS = 24 * 3600 * 1000
"""Longest life a token may claim; bounds what a far end must remember."""

_ONPREM = "onprem"
_MAY_BE_AWAY = frozenset({"public", "internal", "confidential"})
"""Levels that another place than the premises may hold: never restricted, nor what is no level, whoever signed it."""

_SAID = re.compile(r"was refused \(([A-Z_]+)\)")
_DOMAIN = b"labelop/release/1\0"
_MAX_CHARACTERS = 4096
_SIGNATURE_BYTES = 64
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Text = Annotated[str, Field(max_length=200)]


class Signer(Protocol):
    """Signs under a key id."""

    @property
    def public(self) -> PublicKey:
        """The public half."""
        ...

    @property
    def key_id(self) -> str:
        """Id of the key."""
        ...

    def sign(self, domain: bytes, data: bytes) -> bytes:
        """Sign data of one domain."""
        ...


class _FormForm(StrictForm):
    model_config = ConfigDict(strict=True)

    kind: Literal["full", "strip", "redact", "downscale", "redact+downscale"]
    regions_count: Annotated[int, Field(ge=0)]
    side_px: Annotated[int, Field(ge=1)] | None


class _TokenForm(StrictForm):
    model_config = ConfigDict(strict=True)

    form_version: FirstSchema = Field(alias="schema")
    payload_sha256: _Digest
    level: _Text
    placement: _Text
    policy_digest: _Text
    run_id: _Text
    form: _FormForm
    issued_ms: Annotated[int, Field(ge=0)]
    expires_ms: Annotated[int, Field(ge=0)]
    nonce: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    uses: Annotated[int, Field(ge=1, le=10_000)]
    key_id: Annotated[str, Field(pattern=r"^k-[0-9a-f]{32}$")]


@dataclass(frozen=True, slots=True)
class FormRecord:
    """What was done to the pixels before they left; regions are counted, not placed."""

    kind: Literal["full", "strip", "redact", "downscale", "redact+downscale"] = "full"
    """What was done; strip is a form that only drops the notes of the file, which every release does."""
    regions_count: int = 0
    """Regions painted over."""
    side_px: int | None = None
    """Longest side after downscaling; None when it was not done."""


@dataclass(frozen=True, slots=True)
class ReleaseToken:
    """What a token says. The original's image id is not among it: it would let anybody recognise the original."""

    payload_sha256: str
    """Digest of the bytes it is good for."""
    level: str
    """Sensitivity level of the image."""
    placement: str
    """Where the bytes may be."""
    policy_digest: str
    """The policy that allowed it."""
    run_id: str
    """The run that asked."""
    form: FormRecord
    """What was done to the pixels."""
    issued_ms: int
    """When, milliseconds since 1970."""
    expires_ms: int
    """Until when, milliseconds since 1970."""
    nonce: str
    """Random name of this release, 32 hex digits."""
    uses: int
    """How often the far end may take it: an image is sent once per model and pass, and again when a try fails."""
    key_id: str
    """Whose signature it carries."""


def sign_token(token: ReleaseToken, signer: Signer) -> str:
    """Write a token in its text form: two base64url parts, what it says and the signature."""
    said = canonical_json({"schema": 1, **asdict(token)}).encode()
    return f"{_encode(said)}.{_encode(signer.sign(_DOMAIN, said))}"


class NonceMemory:
    """How often each release was taken, until it expires. Its clock never goes back; safe for several threads."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}
        self._ends: list[tuple[int, str]] = []
        self._latest_ms = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._taken)

    def advance(self, now_ms: int) -> int:
        """Forget what has expired; gives the latest time ever seen, since a clock set back must revive nothing."""
        with self._lock:
            self._latest_ms = max(self._latest_ms, now_ms)
            while self._ends and self._ends[0][0] < self._latest_ms:
                del self._taken[heapq.heappop(self._ends)[1]]
            return self._latest_ms

    def take(self, token: ReleaseToken) -> bool:
        """Count one use; False when there is none left."""
        with self._lock:
            taken = self._taken.get(token.nonce, 0)
            if taken >= token.uses:
                return False
            if not taken:
                heapq.heappush(self._ends, (token.expires_ms, token.nonce))
            self._taken[token.nonce] = taken + 1
            return True


def verify_token(
    text: str,
    payload: bytes,
    *,
    placement: str,
    keyring: Keyring,
    now_ms: int,
    seen: NonceMemory,
    run_id: str | None = None,
    policy_digest: str | None = None,
) -> ReleaseToken:
    """Check a token against the bytes it came with.

    Args:
        text: The token's text form, from a sender who is not trusted.
        payload: The bytes.
        placement: Where the checker is.
        keyring: Public keys; a retired one admits nothing any more, whatever date a token claims.
        now_ms: The checker's time, milliseconds since 1970.
        seen: Releases taken before; this one is added when it is good.
        run_id: The only run to be served; any when None.
        policy_digest: The only policy to be trusted; any when None.

    Returns:
        What the token says, all of it signed.

    Raises:
        ReleaseRefusedError: It is not good for these bytes, here and now; `code` is one of `CODES`.
    """
    token, said, signature = _parse(text)
    latest_ms = seen.advance(now_ms)
    # whoever stole a key can date tokens back: what counts is when they arrive
    key = keyring.find(token.key_id, max(token.issued_ms, latest_ms))
    if key is None:
        _refuse("UNKNOWN_KEY", f"key {token.key_id} is not known here, or was retired before", token)
    if not key.verifies(signature, _DOMAIN, said):
        _refuse("BAD_SIGNATURE", "its signature does not fit", token)
    _check_place(token, placement)
    found = sha256_hex(payload)
    if not compare_digest(token.payload_sha256, found):
        _refuse("OTHER_BYTES", f"it is for the payload {token.payload_sha256}, got {found}", token)
    if run_id is not None and token.run_id != run_id:
        _refuse("OTHER_RUN", f"it is of run {token.run_id}, expected {run_id}", token)
    if policy_digest is not None and not compare_digest(token.policy_digest.encode(), policy_digest.encode()):
        _refuse("OTHER_POLICY", f"it is under policy {token.policy_digest}, expected {policy_digest}", token)
    if now_ms + LEEWAY_MS < token.issued_ms:
        _refuse("NOT_YET_VALID", f"it was issued at {token.issued_ms} ms, the clock here says {now_ms} ms", token)
    if latest_ms > token.expires_ms:
        _refuse("EXPIRED", f"it was good until {token.expires_ms} ms, it is {latest_ms} ms", token)
    if not seen.take(token):
        _refuse("REPLAYED", f"it was taken {token.uses} times already, which is all it allows", token)
    return token


def _check_place(token: ReleaseToken, placement: str) -> None:
    if token.placement != placement:
        _refuse("OTHER_PLACEMENT", f"it is for {token.placement}, this is {placement}", token)
    if placement != _ONPREM and token.level not in _MAY_BE_AWAY:
        _refuse("OTHER_LEVEL", f"its level is none of {', '.join(sorted(_MAY_BE_AWAY))}, this is {placement}", token)


def refusal_in(text: str) -> str | None:
    """Read the code of a refusal in what a far end said; None when it speaks of something else.

    >>> refusal_in("The release 00ff was refused (EXPIRED): it was good until 1 ms, it is 2 ms.")
    'EXPIRED'
    """
    found = _SAID.search(text)
    return found[1] if found and found[1] in CODES else None


def _parse(text: str) -> tuple[ReleaseToken, bytes, bytes]:
    parts = text.split(".") if len(text) <= _MAX_CHARACTERS else []
    if len(parts) != 2:  # noqa: PLR2004 - what it says, and the signature
        _refuse("MALFORMED", "it has not the form of a token")
    try:
        said, signature = _decode(parts[0]), _decode(parts[1])
        loaded = json.loads(said)
        if canonical_json(loaded).encode() != said or len(signature) != _SIGNATURE_BYTES:
            _refuse("MALFORMED", "it is not in its canonical form")
        form = _TokenForm.model_validate(loaded)
    except ReleaseRefusedError:
        raise
    except (ValueError, RecursionError) as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) if isinstance(error, ValidationError) else "its text"
        raise ReleaseRefusedError(
            f"A release was refused: {where} has not the form of a token.", code="MALFORMED"
        ) from (error)
    facts: dict[str, Any] = form.model_dump(exclude={"form_version", "form"})
    token = ReleaseToken(form=FormRecord(**form.form.model_dump()), **facts)
    if not 0 <= token.expires_ms - token.issued_ms <= MAX_LIFE_MS:
        _refuse("MALFORMED", f"it claims to live from {token.issued_ms} to {token.expires_ms} ms", token)
    return token, said, signature


def _refuse(code: str, why: str, token: ReleaseToken | None = None) -> NoReturn:
    nonce = "" if token is None else f" {token.nonce}"
    raise ReleaseRefusedError(f"The release{nonce} was refused ({code}): {why}.", code=code)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    # several texts stand for the same bytes; only one of them is a token
    if _encode(data) != text:
        raise ValueError("not canonical base64url")
    return data
