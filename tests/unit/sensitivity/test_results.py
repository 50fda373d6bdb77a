"""What a signal saw is kept: looked at once whatever the policy, and again where it could not speak."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from labelop.landing.store import Store, open_store, read_rows
from labelop.sensitivity import classify as classifying
from labelop.sensitivity.classify import classify_dataset
from labelop.sensitivity.policy import Level, SensitivityPolicy, load_policy
from labelop.sensitivity.signals.base import Observation, SignalResult, from_json
from labelop.sensitivity.signals.looking import NOTE_SIGNALS
from labelop.settings import Settings
from tests.unit.sensitivity.test_classify import one_public_image

POLICY = load_policy(Path("data/sample/config/policy.yaml"), today=date(2026, 11, 20))
LOOKING = replace(POLICY, declared="verify", signals={"codes": "never", "faces": "open", "text": "never"})
FACE = Observation("face", "a face", (1.0, 2.0, 30.0, 40.0), 0.5, "t0")


@pytest.mark.parametrize(
    "wrong",
    [{"score": "0.5"}, {"score": float("nan")}, {"region": [9, 0, 1, 5]}, {"region": [0, 9, 5, 1]}, {"token": 7}],
)
def test_an_observation_of_another_form_is_no_observation(wrong: dict[str, Any]) -> None:
    """A share as text, a region that ends before it begins or a token that is no text is a fault of the signal."""
    good = {"category": "face", "evidence": "a face", "score": 0.5, "region": [0.0, 0.0, 5.0, 5.0], "token": "t"}
    assert from_json([good])[0].region == (0.0, 0.0, 5.0, 5.0)
    with pytest.raises(ValueError, match=r"a (score|region|token)"):
        from_json([good | wrong])


class Looking:
    """Answers what it is told, one answer after the other, and counts."""

    def __init__(self, *answers: Sequence[Observation] | str, version: str = "1") -> None:
        self.versions = {"faces": version}
        self.answers = list(answers)
        self.asked = 0

    def look(self, signal: str, _data: bytes) -> SignalResult:
        """Give the next answer; there are no notes."""
        if signal in NOTE_SIGNALS:
            return SignalResult(signal, "1", "ok")
        self.asked += 1
        said = self.answers.pop(0)
        if isinstance(said, str):
            return SignalResult(signal, self.versions[signal], said, reason="of a test")
        return SignalResult(signal, self.versions[signal], "ok", tuple(said))


@pytest.fixture
def place(tmp_path: Path) -> tuple[Settings, Store, str]:
    """One public image in a store."""
    settings = Settings(store=str(tmp_path / "store"))
    _, version = one_public_image(settings, tmp_path / "source")
    return settings, open_store(settings), version


def classify(
    place: tuple[Settings, Store, str], looking: Looking, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> str:
    """Classify the image as a run of its own does; its level."""

    @contextmanager
    def looks(*_: object, **__: object) -> Iterator[Looking]:
        yield looking

    settings, store, version = place
    policy: SensitivityPolicy = replace(LOOKING, **changes)
    monkeypatch.setattr(classifying, "open_looker", looks)
    counts = classify_dataset(store, "set", version, policy, settings, f"run-{looking}")
    (level,) = [name for name, count in counts.items() if count]
    return level


def test_another_policy_looks_at_no_pixel_again(
    place: tuple[Settings, Store, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was seen is judged anew from the table, region, score and token included."""
    looking = Looking([FACE])
    assert classify(place, looking, monkeypatch) == "confidential"
    stricter = {**POLICY.categories, "face": Level.RESTRICTED}
    assert classify(place, looking, monkeypatch, categories=stricter, digest="d" * 64) == "restricted"
    assert looking.asked == 1
    found = [row for row in read_rows(place[1], "findings") if row["category"] == "face"]
    assert [(row["x0_px"], row["y1_px"], row["score"], row["token"]) for row in found] == [(1.0, 40.0, 0.5, "t0")] * 2


def test_another_version_of_a_signal_looks_again(
    place: tuple[Settings, Store, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an older signal saw says nothing about what a newer one sees."""
    assert classify(place, Looking([]), monkeypatch) == "public"
    newer = Looking([FACE], version="2")
    assert classify(place, newer, monkeypatch, digest="d" * 64) == "confidential"
    assert newer.asked == 1


@pytest.mark.parametrize("outcome", ["timeout", "missing"])
def test_what_could_not_speak_is_asked_again(
    place: tuple[Settings, Store, str], monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    """A deadline or a missing library restricts for now; the next run under the same policy looks again."""
    looking = Looking(outcome, outcome, [])
    assert classify(place, looking, monkeypatch) == "restricted"
    assert classify(place, looking, monkeypatch) == "restricted"
    assert classify(place, looking, monkeypatch) == "public"
    assert classify(place, looking, monkeypatch) == "public"
    assert looking.asked == 3


def test_a_crash_is_final_for_its_policy(place: tuple[Settings, Store, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that end a signal will end it again: the level stays, and another policy asks again."""
    looking = Looking("error", [])
    assert classify(place, looking, monkeypatch) == "restricted"
    assert classify(place, looking, monkeypatch) == "restricted"
    assert looking.asked == 1
    assert classify(place, looking, monkeypatch, digest="d" * 64) == "public"
