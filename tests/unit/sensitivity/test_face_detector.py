"""A detector from the catalog finds faces by its card; where it is missing, nothing is taken for free of faces."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from PIL import Image

from labelop.catalog.cards import load_card
from labelop.landing.store import open_store, read_rows
from labelop.sensitivity.classify import classify_dataset, open_looker
from labelop.sensitivity.policy import SensitivityPolicy, load_policy
from labelop.settings import Settings
from tests.unit.engines.models import classifier, detector, picture, write_card
from tests.unit.sensitivity.test_classify import one_public_image

POLICY = replace(
    load_policy(Path("data/sample/config/policy.yaml"), today=date(2026, 11, 20)),
    declared="verify",
    signals={"codes": "never", "faces": "open", "text": "never"},
    faces_model="my-faces",
)
CLASSES = ["disc", "face", "dot"]


def faces_card(folder: Path, seed: int = 1, min_score: float = 0.05) -> None:
    """Put a detector with a class `face` into a catalog."""
    folder.mkdir(exist_ok=True)
    detector(folder, "my-faces", seed)
    rules = {"min_score": min_score, "nms_iou": 0.6, "max_detections": 20, "draft_score": dict.fromkeys(CLASSES, 0.5)}
    write_card(folder, "my-faces", classes=CLASSES, postprocess=rules)


def settings_of(folder: Path) -> Settings:
    """Keep store and catalog in one folder."""
    return Settings(store=str(folder / "store"), catalog=folder / "catalog")


def encoded() -> bytes:
    """Encode a picture in which the tiny detector sees something."""
    out = io.BytesIO()
    Image.fromarray(picture()).save(out, "PNG")
    return out.getvalue()


def test_a_card_with_a_class_face_finds_faces(tmp_path: Path) -> None:
    """In the child, with a score, a region inside the image and a version that names the card."""
    settings = settings_of(tmp_path)
    faces_card(settings.catalog)
    with open_looker(POLICY, settings, 1) as looker:
        found = looker.look("faces", encoded())
    card = load_card(settings.catalog / "my-faces.yaml")
    assert (found.outcome, found.reason) == ("ok", "")
    assert found.signal_version.endswith(f"+{card.digest[:12]}")
    assert found.observations
    for one in found.observations:
        assert one.category == "face"
        assert one.region is not None
        assert one.score is not None
        assert 0 <= one.region[0] < one.region[2] <= 61
        assert 0.05 <= one.score <= 1


@pytest.mark.parametrize("there", ["nothing of this name", "a classifier", "no class face"])
def test_a_detector_that_is_missing_restricts_and_ends_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, there: str
) -> None:
    """Without a fitting card a run is not ended, as it was: images are restricted, the finding and the log say why."""
    settings = settings_of(tmp_path)
    settings.catalog.mkdir()
    detector(settings.catalog, "my-faces" if there == "no class face" else "another")
    if there == "a classifier":
        classifier(settings.catalog, "my-faces")
    _, version = one_public_image(settings, tmp_path / "source")
    counts = classify_dataset(open_store(settings), "set", version, POLICY, settings, "run-1")
    assert counts == {"public": 0, "internal": 0, "confidential": 0, "restricted": 1}
    (row,) = [row for row in read_rows(open_store(settings), "findings") if row["signal"] == "faces"]
    assert row["category"] == "signal_missing"
    assert "my-faces" in row["evidence"]
    assert "my-faces" in caplog.text


def test_another_model_under_the_same_name_looks_again(tmp_path: Path) -> None:
    """What a model let pass says nothing for the next one: before, the level of the first stood for good."""
    settings = settings_of(tmp_path)
    faces_card(settings.catalog, min_score=0.999)
    _, version = one_public_image(settings, tmp_path / "source")
    store = open_store(settings)
    assert levels(settings, version, "run-1") == "public"
    faces_card(settings.catalog)
    assert levels(settings, version, "run-2") == "confidential"
    assert {row["run_id"] for row in read_rows(store, "levels")} == {"run-1", "run-2"}


def levels(settings: Settings, version: str, run_id: str) -> str:
    """Classify the one image; its level."""
    counts = classify_dataset(open_store(settings), "set", version, POLICY, settings, run_id)
    (level,) = [name for name, count in counts.items() if count]
    return level


@pytest.mark.parametrize("policy", [POLICY, replace(POLICY, faces_model=None)])
def test_a_way_to_look_writes_nothing(
    tmp_path: Path, policy: SensitivityPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`classify evaluate` and `--explain FILE` look and keep nothing: they made a key in the current folder."""
    faces_card(tmp_path / "catalog")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with open_looker(policy, Settings(catalog=tmp_path / "catalog"), 1) as looker:
        assert looker.versions
    assert list((tmp_path / "here").iterdir()) == []
