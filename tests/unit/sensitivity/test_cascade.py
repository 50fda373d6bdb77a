"""Pixels are looked at only where the level is open, and whatever goes wrong there restricts."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from labelop.sensitivity.cascade import classify_image, digest_of_findings
from labelop.sensitivity.policy import Level, OwnerRule, PathRule, SensitivityPolicy, load_policy
from labelop.sensitivity.signals.base import Observation, SignalResult
from labelop.sensitivity.signals.looking import NOTE_SIGNALS, Looker

POLICY = load_policy(Path("data/sample/config/policy.yaml"), today=date(2026, 11, 20))


def picture() -> bytes:
    """Encode a tiny picture without notes."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, "PNG")
    return out.getvalue()


def asking(when: Any = "open", declared: Any = "verify", **changes: Any) -> SensitivityPolicy:
    """Give the sample's policy with all signals that look at pixels asked for."""
    return replace(POLICY, declared=declared, signals=dict.fromkeys(("codes", "faces", "text"), when), **changes)


class Seeing:
    """A looker that sees what it is told, and remembers what it was asked about pixels."""

    def __init__(self, **seen: Sequence[Observation] | str) -> None:
        self.seen = seen
        self.asked: list[str] = []

    def look(self, signal: str, _data: bytes) -> SignalResult:
        """Answer with the given observations, or the given outcome."""
        if signal not in NOTE_SIGNALS:
            self.asked.append(signal)
        what = self.seen.get(signal, ())
        if isinstance(what, str):
            return SignalResult(signal, "1", what, reason="for a test")
        return SignalResult(signal, "1", "ok", tuple(what))


def level(policy: SensitivityPolicy, looker: Seeing | None, declared: str | None = "public", **where: str) -> Level:
    """Classify one picture."""
    look = None if looker is None else looker.look
    return classify_image(declared=[declared], paths=["a.png"], read=picture, policy=policy, look=look, **where)[1]


@pytest.mark.parametrize(
    ("when", "declared", "word", "asked"),
    [
        ("open", "verify", "public", ["codes", "faces", "text"]),
        ("open", "trust", "public", []),
        ("open", "verify", "restricted", []),
        ("open", "verify", None, []),
        ("always", "trust", "restricted", ["codes", "faces", "text"]),
        ("never", "verify", "public", []),
    ],
)
def test_pixels_are_looked_at_where_the_level_is_open(
    when: str, declared: str, word: str | None, asked: list[str]
) -> None:
    """A trusted word or a restricted level settles; `always` and `never` are taken at their word."""
    looker = Seeing()
    level(asking(when, declared), looker, word)
    assert looker.asked == asked


def test_the_first_restricted_finding_settles() -> None:
    """A dear signal does not run after a cheap one that says all."""
    looker = Seeing(faces=[Observation("patient_id", "of a test")])
    assert level(asking(), looker) is Level.RESTRICTED
    assert looker.asked == ["codes", "faces"]


@pytest.mark.parametrize("outcome", ["error", "timeout", "missing", "never heard of"])
def test_a_signal_that_cannot_speak_restricts(outcome: str) -> None:
    """Each outcome but ok is a finding of its own, and restricted."""
    assert level(asking(), Seeing(text=outcome)) is Level.RESTRICTED
    assert level(asking(), Seeing(metadata=outcome)) is Level.RESTRICTED
    assert level(asking("never"), None) is Level.RESTRICTED


def test_a_category_the_policy_does_not_name_restricts() -> None:
    """What a newer signal sees is restricted until the policy says more."""
    assert level(asking(), Seeing(codes=[Observation("tattoo", "of a test")])) is Level.RESTRICTED
    assert level(asking(), Seeing(codes=[Observation("face", "of a test")])) is Level.CONFIDENTIAL


def test_dicom_pixels_are_said_not_to_be_looked_at() -> None:
    """A DICOM file is restricted where pixels were asked for, and the evidence says why; no child is asked."""
    data = bytes(128) + b"DICM" + bytes(8)
    looker = Seeing()
    findings, found, _ = classify_image(
        declared=["public"], paths=["a.dcm"], read=lambda: data, policy=asking("always"), look=looker.look
    )
    assert (found, looker.asked) == (Level.RESTRICTED, [])
    assert {f.evidence for f in findings if f.signal == "text"} == {"pixels of a DICOM file are not looked at"}


def test_owner_and_bucket_speak() -> None:
    """An owner's rule gives its dataset a level, and a rule about the source is heard."""
    owned = replace(POLICY, owners={"survey": OwnerRule("Land office", Level.INTERNAL)})
    assert level(owned, Seeing(), None, dataset="survey") is Level.INTERNAL
    assert level(owned, Seeing(), None, dataset="other") is Level.RESTRICTED
    bucket = replace(POLICY, path_rules=(PathRule("clinic", "**", Level.CONFIDENTIAL, "s3://clinic-*"),))
    assert level(bucket, Seeing(), source="s3://clinic-7") is Level.CONFIDENTIAL
    assert level(bucket, Seeing(), source="s3://fields") is Level.PUBLIC


def test_an_ignored_word_is_no_word() -> None:
    """Where the owner's word is ignored an image nobody else speaks of is restricted."""
    assert level(asking("never", "ignore"), Seeing()) is Level.RESTRICTED


def test_a_digest_names_findings() -> None:
    """Order makes no difference, and any change of a finding or of the dataset does."""
    seen = [Observation("face", "a", (0, 0, 4, 4)), Observation("face", "a", (4, 4, 8, 8))]
    findings, _, _ = classify_image(
        declared=["public"], paths=["a"], read=picture, policy=asking(), look=Seeing(faces=seen).look
    )
    digest = digest_of_findings("d", findings)
    assert digest == digest_of_findings("d", findings[::-1])
    assert digest != digest_of_findings("d", [*findings[:-1], replace(findings[-1], level=Level.RESTRICTED)])
    assert digest != digest_of_findings("other", findings)


def faulty(data: bytes, signal: str, key: str, options: dict[str, Any]) -> Any:
    """Run in the child of the next test: misbehave as the bytes say."""
    del signal, key, options
    if data == b"raise":
        raise ZeroDivisionError
    if data == b"hang":
        time.sleep(60)
    if data == b"crash":
        import os  # noqa: PLC0415 - in the child only

        os._exit(3)
    if data == b"import":
        raise ModuleNotFoundError
    answers: dict[bytes, Any] = {
        b"nan": [{"category": "face", "evidence": "", "score": float("nan")}],
        b"text": "nonsense",
        b"none": None,
        b"dict": {},
        b"nothing": "",
    }
    return answers.get(data, [])


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        ("raise", "error"),
        ("hang", "timeout"),
        ("crash", "error"),
        ("import", "missing"),
        ("nan", "error"),
        ("text", "error"),
        ("none", "error"),
        ("dict", "error"),
        ("nothing", "error"),
        ("well", "ok"),
    ],
)
def test_what_happens_in_the_child_is_an_outcome(how: str, outcome: str) -> None:
    """A signal that raises, hangs, crashes or answers no list of observations is told as that, never as clean."""
    seconds = 1.0 if how == "hang" else 30.0
    with Looker(1, function=f"{__name__}:faulty", timeout_seconds=seconds) as looker:
        assert looker.look("faces", how.encode()).outcome == outcome
    with Looker(1, function=f"{__name__}:faulty") as looker:
        looker.look("faces", b"crash")
        assert looker.look("faces", b"well").outcome == "ok"
