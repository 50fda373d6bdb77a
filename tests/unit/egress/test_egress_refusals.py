"""Every way in which a release can go wrong is a refusal with its reason in the log, and never ends a run."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from labelop.egress.audit import AuditLog, verify
from labelop.egress.forms import Region
from labelop.egress.gate import Gate, Released, ReleaseRequest
from labelop.egress.keys import SigningKey
from labelop.egress.release_token import FormRecord
from labelop.errors import PlacementForbiddenError
from labelop.sensitivity.levels import Level
from tests.unit.egress.egress_values import Policy, check, ring
from tests.unit.engines.models import picture

CANARY = b"CANARY-7f3a"


def asked(pixels: Any = None, level: Any = "internal", *, image_id: Any = "i" * 64, **more: Any) -> ReleaseRequest:
    """Ask for one picture."""
    return ReleaseRequest(picture() if pixels is None else pixels, image_id, level, **more)


def answer(folder: Path, request: ReleaseRequest, **options: Any) -> Released | PlacementForbiddenError:
    """Ask a gate to the cloud once."""
    policy = options.pop("policy", Policy(internal={"cloud"}))
    log = options.pop("log", None) or AuditLog(folder / "audit.jsonl")
    return Gate(policy, log, "cloud", **options).release_many([request], "run-1")[0]


def records(folder: Path) -> list[dict[str, Any]]:
    """Read what the log says."""
    assert verify(folder / "audit.jsonl").cause == ""
    return [json.loads(line)["record"] for line in (folder / "audit.jsonl").read_text().splitlines()]


class Broken:
    """A policy that answers something else than a set of placements."""

    digest = "b" * 64

    def __init__(self, says: Any) -> None:
        self.says = says

    def allowed_placements(self, level: Level) -> Any:  # noqa: ARG002
        """Answer, or raise the answer."""
        if isinstance(self.says, BaseException):
            raise self.says
        return self.says


class Nameless:
    """A policy that cannot say which it is."""

    @property
    def digest(self) -> str:
        """Fail."""
        raise ValueError("CANARY-7f3a")

    def allowed_placements(self, level: Level) -> frozenset[str]:  # noqa: ARG002
        """Allow everything."""
        return frozenset({"cloud"})


@pytest.mark.parametrize(
    ("reason", "request_", "options"),
    [
        ("UNKNOWN_LEVEL", asked(level=float("nan")), {}),
        ("UNKNOWN_LEVEL", asked(level=None), {}),
        ("UNKNOWN_LEVEL", asked(level=np.zeros(3)), {}),
        ("UNKNOWN_LEVEL", asked(level="x" * 100_000), {}),
        ("UNKNOWN_LEVEL", asked(level="\ud800"), {}),
        ("NO_IMAGE_ID", asked(image_id=None), {}),
        ("NO_IMAGE_ID", asked(image_id=""), {}),
        ("NO_IMAGE_ID", asked(image_id=b"i" * 64), {}),
        ("NO_IMAGE_ID", asked(image_id="i" * 100_000), {}),
        ("NO_IMAGE_ID", asked(image_id="\ud800"), {}),
        ("NOT_ALLOWED", asked(), {"policy": Broken(frozenset())}),
        ("NOT_ALLOWED", asked(), {"policy": Broken("cloud")}),
        ("NOT_ALLOWED", asked(), {"policy": Broken(None)}),
        ("NOT_ALLOWED", asked(), {"policy": Broken(float("nan"))}),
        ("POLICY_FAILED", asked(), {"policy": Broken(RuntimeError("CANARY-7f3a"))}),
        ("POLICY_FAILED", asked(), {"policy": Broken(RecursionError())}),
        ("POLICY_FAILED", asked(), {"policy": Nameless()}),
        ("FORM_FAILED", asked(np.zeros((0, 0, 3), np.uint8)), {}),
        ("FORM_FAILED", asked(np.full((4, 4, 3), np.nan)), {}),
        ("FORM_FAILED", asked("no pixels"), {}),
    ],
)
def test_a_fault_is_a_refusal_with_its_reason(
    tmp_path: Path, reason: str, request_: ReleaseRequest, options: dict[str, Any]
) -> None:
    """The run goes on; the log has the reason and nothing of the fault's own words."""
    refused = answer(tmp_path, request_, **options)
    assert isinstance(refused, PlacementForbiddenError)
    (line,) = records(tmp_path)
    assert (line["answer"], line["reason"]) == ("deny", reason)
    assert CANARY not in (tmp_path / "audit.jsonl").read_bytes()


def test_one_bad_image_does_not_stop_its_neighbours(tmp_path: Path) -> None:
    """Refusals are values among the releases, in order."""
    gate = Gate(Policy(internal={"cloud"}), AuditLog(tmp_path / "audit.jsonl"), "cloud")
    strange = asked(image_id=b"\xff" * 100_000)  # neither JSON nor short enough for a line: it ended the whole batch
    answers = gate.release_many([asked(), asked(level=None), asked("x"), strange, asked()], "run-1")
    assert [isinstance(one, Released) for one in answers] == [True, False, False, False, True]


def test_a_clock_set_back_releases_nothing_until_it_is_ahead(tmp_path: Path) -> None:
    """While the clock is behind the last line every answer is no; refusals do not move the line back."""
    now = [datetime(2026, 6, 1, 12, tzinfo=UTC)]
    log = AuditLog(tmp_path / "audit.jsonl", clock=lambda: now[0])
    seen = []
    for minutes in (0, -60, 30, 29, 2):
        now[0] += timedelta(minutes=minutes)
        seen.append(isinstance(answer(tmp_path, asked(), log=log), Released))
    assert seen == [True, False, False, False, True]
    assert [line.get("reason") for line in records(tmp_path)] == [None, *["CLOCK_SET_BACK"] * 3, None]
    assert records(tmp_path)[1]["clock"] == "2026-06-01T11:00:00.000000+00:00"


def test_a_small_correction_of_the_clock_stops_nothing(tmp_path: Path) -> None:
    """Time services set clocks back by less than a second all day."""
    now = [datetime(2026, 6, 1, 12, tzinfo=UTC)]
    log = AuditLog(tmp_path / "audit.jsonl", clock=lambda: now[0])
    answer(tmp_path, asked(), log=log)
    now[0] -= timedelta(milliseconds=900)
    assert isinstance(answer(tmp_path, asked(), log=log), Released)


def test_a_release_carries_the_token_that_the_log_names(tmp_path: Path) -> None:
    """Token and line agree; the token verifies for the payload, and its life is the setting's."""
    key = SigningKey.generate()
    released = answer(tmp_path, asked(), key=key, release_seconds=60)
    assert isinstance(released, Released)
    (line,) = records(tmp_path)
    said = check(released.token, ring(key), payload=released.payload, now_ms=line_ms(tmp_path), run_id="run-1")
    assert (said.nonce, said.key_id, said.payload_sha256) == (line["nonce"], line["key_id"], line["payload_digest"])
    assert said.expires_ms - said.issued_ms == 60_000
    assert released.name == f"{said.nonce}.jpg"
    assert "i" * 64 not in released.token + released.name


def line_ms(folder: Path) -> int:
    """Give the time of the first line, milliseconds since 1970."""
    at = json.loads((folder / "audit.jsonl").read_text().splitlines()[0])["at"]
    return int(datetime.fromisoformat(at).timestamp() * 1000)


def test_two_releases_of_one_image_share_no_name(tmp_path: Path) -> None:
    """The same image leaves under another random name each time."""
    names = {one.name for one in (answer(tmp_path, asked()) for _ in range(3)) if isinstance(one, Released)}
    assert len(names) == 3


@dataclass(frozen=True)
class Form:
    """Painting over the regions that were found."""

    redact: tuple[Region, ...]
    downscale_px: int | None = None
    placements: frozenset[str] = frozenset({"cloud"})


def forms(policy: Any, level: Level, findings: Sequence[Any], placement: str) -> Form | None:
    """Let images out to the cloud when what was found in them is gone, whatever their level."""
    return Form(tuple(findings))


def test_a_redacted_image_leaves_and_the_log_says_so(tmp_path: Path) -> None:
    """The region is black in what leaves; log and token say what was done, and where nobody learns."""
    key = SigningKey.generate()
    policy = Policy(internal={"cloud"}, confidential={"onprem"}, restricted={"onprem"})
    request = asked(level="confidential", findings=((10.0, 10.0, 30.0, 30.0),))
    released = answer(tmp_path, request, policy=policy, forms=forms, key=key)
    assert isinstance(released, Released)
    with Image.open(io.BytesIO(released.payload)) as image:
        assert np.asarray(image)[12:28, 12:28].max() < 8
    (line,) = records(tmp_path)
    assert line["form"] == {"kind": "redact", "regions_count": 1, "side_px": None}
    said = check(released.token, ring(key), payload=released.payload, now_ms=line_ms(tmp_path))
    assert said.form == FormRecord("redact", 1)


@pytest.mark.parametrize(
    ("reason", "level", "region"),
    [
        ("FORM_FAILED", "confidential", (float("nan"), 0.0, 1.0, 1.0)),
        ("NOT_ALLOWED", "restricted", (10.0, 10.0, 30.0, 30.0)),
    ],
)
def test_a_form_that_cannot_be_made_is_a_refusal(tmp_path: Path, reason: str, level: str, region: Any) -> None:
    """A face whose place is unknown stays at home, and so does a restricted image, whatever the rules say."""
    policy = Policy(confidential={"onprem"}, restricted={"onprem"})
    request = asked(level=level, findings=(region,))
    assert isinstance(answer(tmp_path, request, policy=policy, forms=forms), PlacementForbiddenError)
    assert records(tmp_path)[0]["reason"] == reason


def marked_jpeg() -> bytes:
    """Make a JPEG with a canary in every place where one can be hidden beside the pixels."""
    exif = Image.Exif()
    exif[0x010E] = exif[0x8298] = CANARY.decode()
    out = io.BytesIO()
    Image.fromarray(picture()).save(
        out, format="JPEG", exif=exif, icc_profile=CANARY * 9, comment=CANARY, xmp=b"<x:xmpmeta>" + CANARY
    )
    data = out.getvalue()
    # IPTC, and a thumbnail behind a second EXIF segment
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0b" + CANARY
    thumbnail = b"Exif\0\0" + CANARY + data[:40]
    segments = b"".join(
        bytes((0xFF, kind)) + (len(part) + 2).to_bytes(2, "big") + part
        for kind, part in ((0xED, iptc), (0xE1, thumbnail))
    )
    return data[:2] + segments + data[2:] + CANARY


def marked_png() -> bytes:
    """Make a PNG with a canary in text, compressed text, EXIF and behind its end."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", CANARY.decode())
    info.add_itxt("XML:com.adobe.xmp", CANARY.decode(), zip=True)
    exif = Image.Exif()
    exif[0x010E] = CANARY.decode()
    out = io.BytesIO()
    Image.fromarray(picture()).save(out, format="PNG", pnginfo=info, exif=exif, icc_profile=CANARY * 9)
    return out.getvalue() + CANARY


@pytest.mark.parametrize("original", [marked_jpeg(), marked_png()], ids=["jpeg", "png"])
def test_nothing_but_pixels_leaves(tmp_path: Path, original: bytes) -> None:
    """Of EXIF, XMP, IPTC, ICC, comment, thumbnail and trailing bytes nothing is in the payload, read by bytes."""
    assert CANARY in original
    with Image.open(io.BytesIO(original)) as image:
        released = answer(tmp_path, asked(np.asarray(image.convert("RGB"))))
    assert isinstance(released, Released)
    payload = released.payload
    for part in (CANARY, b"Exif", b"xmp", b"Photoshop", b"ICC_PROFILE", b"http"):
        assert part not in payload
    kinds, at = [], 2
    while payload[at + 1] != 0xDA:
        kinds.append(payload[at + 1])
        at += 2 + int.from_bytes(payload[at + 2 : at + 4], "big")
    # JFIF header, quantisation, frame and Huffman tables: no other application segment and no comment
    assert set(kinds) == {0xE0, 0xDB, 0xC0, 0xC4}
    assert payload.endswith(b"\xff\xd9")
    assert payload.count(b"\xff\xd8") == 1
