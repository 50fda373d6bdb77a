"""The gate: nothing leaves without an allowing policy and a durable line, and nothing but pixels leaves."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelop.egress.audit import AuditLog, verify
from labelop.egress.gate import Gate, Released, ReleaseRequest, encode_payload
from labelop.errors import PlacementForbiddenError, PolicyError
from labelop.ids import sha256_hex
from labelop.sensitivity.levels import Level
from tests.unit.egress.egress_values import Policy
from tests.unit.engines.models import picture


def gate(folder: Path, **placements: set[str]) -> Gate:
    """Make a gate to the cloud; internal images may leave unless told otherwise."""
    return Gate(Policy(**(placements or {"internal": {"cloud"}})), AuditLog(folder / "audit.jsonl"), "cloud")


def test_an_allowed_image_leaves_as_fresh_pixels(tmp_path: Path) -> None:
    """The payload is a JPEG of the same size without any metadata, and equal pixels give equal bytes."""
    pixels = picture()
    released = gate(tmp_path).release(pixels, "i" * 64, "internal", "run-1")
    with Image.open(io.BytesIO(released.payload)) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (61, 47), "RGB")
        assert not image.getexif()
        assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert np.abs(np.asarray(image).astype(int) - pixels).mean() < 3
    assert released.payload == encode_payload(pixels)
    assert released.payload_digest == sha256_hex(released.payload)


@pytest.mark.parametrize("level", ["restricted", "confidential", "public", "INTERNAL", "publik", "", "internal "])
def test_what_is_not_allowed_stays(tmp_path: Path, level: str) -> None:
    """A level that is forbidden, unanswered or no level at all is refused and written down."""
    with pytest.raises(PlacementForbiddenError, match="iiii"):
        gate(tmp_path, internal={"cloud"}, restricted={"onprem"}).release(picture(), "i" * 64, level, "run-1")
    assert '"answer":"deny"' in (tmp_path / "audit.jsonl").read_text()


def test_text_that_is_no_level_stays_whatever_restricted_may_do(tmp_path: Path) -> None:
    """A policy that lets everything out still gets no unknown level."""
    everything = {level: {"cloud"} for level in ("public", "internal", "confidential", "restricted")}
    with pytest.raises(PlacementForbiddenError):
        gate(tmp_path, **everything).release(picture(), "i" * 64, "secret", "run-1")


def test_a_policy_that_raises_allows_nothing(tmp_path: Path) -> None:
    """A fault of the policy is a refusal."""

    class Broken:
        digest = "b" * 64

        def allowed_placements(self, level: Level) -> frozenset[str]:
            raise PolicyError(f"no answer for {level}")

    with pytest.raises(PlacementForbiddenError):
        Gate(Broken(), AuditLog(tmp_path / "a.jsonl"), "cloud").release(picture(), "i", "public", "r")


def test_the_line_says_what_left(tmp_path: Path) -> None:
    """Image, level, placement, policy, run, payload digest and size are in the allow line."""
    released = gate(tmp_path).release(picture(), "i" * 64, "internal", "run-1")
    line = (tmp_path / "audit.jsonl").read_text()
    for fact in ("i" * 64, "internal", "cloud", "p" * 64, "run-1", released.payload_digest, str(len(released.payload))):
        assert fact in line


def test_no_line_no_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses the line, nothing is released."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("labelop.egress.audit.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        gate(tmp_path).release(picture(), "i", "internal", "r")


def test_many_requests_cost_one_durable_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers keep their order, refusals are values, and the log is synced once."""
    AuditLog(tmp_path / "audit.jsonl").append({"event": "start"})
    synced: list[int] = []
    monkeypatch.setattr("labelop.egress.audit.os.fsync", synced.append)
    levels = ["internal", "restricted", "internal"]
    requests = [ReleaseRequest(picture(i), str(i) * 64, level) for i, level in enumerate(levels)]
    answers = gate(tmp_path).release_many(requests, "run-1")
    assert [type(a).__name__ for a in answers] == ["Released", "PlacementForbiddenError", "Released"]
    assert len(synced) == 1
    assert verify(tmp_path / "audit.jsonl").lines_count == 4


def test_nobody_else_can_make_or_change_a_release(tmp_path: Path) -> None:
    """Constructing, changing, copying by pickle and deleting are refused."""
    with pytest.raises(TypeError, match=r"only labelop\.egress\.gate"):
        Released(object(), "i", "cloud", b"x")
    released = gate(tmp_path).release(picture(), "i", "internal", "r")
    with pytest.raises(AttributeError):
        released._payload = b"other"
    with pytest.raises(AttributeError):
        del released._payload
    with pytest.raises(TypeError):
        pickle.dumps(released)
    with pytest.raises(TypeError):
        copy.copy(released)
