"""The gate: the only code that can make a `Released`, and the cloud engine accepts nothing else.

An image leaves only when its level allows the placement, re-encoded from pixels so that no metadata, thumbnail or
name goes with it, under a signed token that the far end checks again, and only after the audit line is on disk.
Whatever goes wrong for one image is a refusal with its reason, never the end of a run. Knows no engine, no network.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labelop.egress.audit import AuditLog, Moment
from labelop.egress.forms import make_form
from labelop.egress.keys import SigningKey
from labelop.egress.release_token import MAX_LIFE_MS, FormRecord, ReleaseToken, Signer, sign_token
from labelop.egress.request import EgressPolicy, FormPolicy, ReleaseRequest
from labelop.errors import PlacementForbiddenError
from labelop.ids import sha256_hex
from labelop.sensitivity.levels import LEVEL_TEXTS, Level

__all__ = ["EgressPolicy", "FormPolicy", "Gate", "ReleaseRequest", "Released", "encode_payload"]

PAYLOAD_FORMAT = "jpeg95-444"
"""How pixels are encoded: JPEG, quality 95, no chroma subsampling; part of a cloud batch's parameters.

On the 87 held-out photographs it moved AP50 by less than half a point (0.678 to 0.675) at 57 kB an image, where
lossless PNG takes 300 kB and ten times as long to write.
"""
RELEASE_SECONDS = 900.0
"""How long a release is good for."""
USES = 16
"""How often a far end may take one release: an image goes once to each model and pass, each with its retries."""

_TOKEN = object()
_SHOWN_CHARACTERS = 64


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
        if proof is not _TOKEN:
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


@dataclass(frozen=True, slots=True)
class _Ready:
    """An image that may leave as far as the policy goes, before its line is written."""

    payload: bytes
    form: FormRecord


class Gate:
    """Lets images out to one placement, or refuses, and writes down both.

    Args:
        policy: Which level may run where.
        audit: Where every answer is written before it is given.
        placement: Where the released bytes would go, for example `cloud`.
        key: Signs releases. None makes one that lies nowhere: no far end that checks will take its releases.
        forms: Says in which other form an image may leave; None for in none.
        release_seconds: How long a release is good for.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        audit: AuditLog,
        placement: str,
        *,
        key: Signer | None = None,
        forms: FormPolicy | None = None,
        release_seconds: float = RELEASE_SECONDS,
    ) -> None:
        self.policy = policy
        self.audit = audit
        self.placement = placement
        self._key = key or SigningKey.generate()
        self._forms = forms
        self._life_ms = min(int(release_seconds * 1000), MAX_LIFE_MS)

    def release(self, pixels: NDArray[np.uint8], image_id: str, level: str, run_id: str) -> Released:
        """Let one image out; the audit line is on disk when this returns.

        Args:
            pixels: RGB, shape (height, width, 3), upright.
            image_id: SHA-256 of the original bytes.
            level: Sensitivity level as text; an unknown one is refused.
            run_id: The run that asks.

        Raises:
            PlacementForbiddenError: The level does not allow this placement.
            OSError: The audit line could not be written; nothing was released.
        """
        answer = self.release_many([ReleaseRequest(pixels, image_id, level)], run_id)[0]
        if isinstance(answer, PlacementForbiddenError):
            raise answer
        return answer

    def release_many(self, requests: Sequence[ReleaseRequest], run_id: str) -> list[Released | PlacementForbiddenError]:
        """Answer many requests with one durable write; one answer per request, in order, refusals as values.

        Raises:
            OSError: The audit lines could not be written; nothing was released.
        """
        if not requests:
            return []
        digest = self._digest()
        judged = [self._judge(request) if digest else "POLICY_FAILED" for request in requests]
        answers: list[Released | PlacementForbiddenError] = []

        def records(moment: Moment) -> list[Mapping[str, Any]]:
            # the log is locked here: nothing can come between its last line, the time, the token and the new line
            lines: list[Mapping[str, Any]] = []
            for request, found in zip(requests, judged, strict=True):
                reason = "CLOCK_SET_BACK" if moment.is_behind and isinstance(found, _Ready) else found
                line: dict[str, Any] = {
                    "event": "release",
                    "answer": "allow" if isinstance(reason, _Ready) else "deny",
                    "image_id": request.image_id,
                    "level": _shown(request.level),
                    "placement": self.placement,
                    "policy_digest": digest,
                    "run_id": run_id,
                }
                if isinstance(reason, _Ready):
                    released, said = self._sign(reason, request, digest, run_id, moment.at)
                    line |= {"payload_digest": released.payload_digest, "bytes": len(released.payload)}
                    line |= {"form": asdict(said.form), "nonce": said.nonce, "key_id": said.key_id}
                    answers.append(released)
                else:
                    line["reason"] = reason
                    answers.append(self._refusal(request, reason))
                lines.append(line)
            return lines

        self.audit.decide(records)
        return answers

    def close(self) -> None:
        """Vouch for the end of the audit log."""
        self.audit.close()

    def _digest(self) -> str:
        try:
            return str(self.policy.digest)
        except Exception:  # noqa: BLE001 - a policy that cannot say which it is allows nothing
            return ""

    def _judge(self, request: ReleaseRequest) -> _Ready | str:
        """Give the bytes that may leave, or the reason why none may."""
        text: object = request.level
        if not isinstance(text, str) or text not in LEVEL_TEXTS:
            # not merely restricted: text that is no level is a fault upstream, whatever restricted may do
            return "UNKNOWN_LEVEL"
        level = Level.from_text(text)
        try:
            allowed: object = self.policy.allowed_placements(level)
            is_allowed = isinstance(allowed, frozenset | set) and self.placement in allowed
            form = None
            if not is_allowed and self._forms is not None and level is not Level.RESTRICTED:
                form = self._forms(self.policy, level, request.findings, self.placement)
                form = form if form is not None and self.placement in form.placements else None
        except Exception:  # noqa: BLE001 - a policy that cannot answer has not allowed anything
            return "POLICY_FAILED"
        if not is_allowed and form is None:
            return "NOT_ALLOWED"
        try:
            if form is None:
                return _Ready(encode_payload(request.pixels), FormRecord())
            pixels, done = make_form(request.pixels, form, frame=(request.width_px, request.height_px))
            return _Ready(encode_payload(pixels), done)
        except Exception:  # noqa: BLE001 - what cannot be brought into its form does not leave in another
            return "FORM_FAILED"

    def _sign(
        self, ready: _Ready, request: ReleaseRequest, digest: str, run_id: str, at: datetime
    ) -> tuple[Released, ReleaseToken]:
        issued_ms = int(at.timestamp() * 1000)
        said = ReleaseToken(
            payload_sha256=sha256_hex(ready.payload),
            level=request.level,
            placement=self.placement,
            policy_digest=digest,
            run_id=run_id,
            form=ready.form,
            issued_ms=issued_ms,
            expires_ms=issued_ms + self._life_ms,
            nonce=secrets.token_hex(16),
            uses=USES,
            key_id=self._key.key_id,
        )
        text, name = sign_token(said, self._key), f"{said.nonce}.jpg"
        return Released(_TOKEN, request.image_id, self.placement, ready.payload, token=text, name=name), said

    def _refusal(self, request: ReleaseRequest, reason: str) -> PlacementForbiddenError:
        return PlacementForbiddenError(
            f"Image {request.image_id} is {_shown(request.level)}; "
            f"placement {self.placement} is not allowed ({reason}).",
            hint=_HINTS.get(reason, "The policy file says which level may run where."),
            image_id=request.image_id,
            level=_shown(request.level),
            placement=self.placement,
            code=reason,
        )


_HINTS = {
    "CLOCK_SET_BACK": "The clock is behind the last line of the audit log; nothing leaves until it is ahead again.",
    "FORM_FAILED": "The pixels could not be brought into the form that may leave.",
    "UNKNOWN_LEVEL": "`labelop classify` gives every image a level.",
}


def _shown(level: object) -> str:
    return (level if isinstance(level, str) else repr(level))[:_SHOWN_CHARACTERS]


def encode_payload(pixels: NDArray[np.uint8]) -> bytes:
    """Encode pixels afresh, without any metadata; equal pixels give equal bytes.

    Args:
        pixels: uint8 RGB, shape (height, width, 3).
    """
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="JPEG", quality=95, subsampling=0)
    return out.getvalue()
