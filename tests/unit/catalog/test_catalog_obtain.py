"""Bringing models in: fetched by name with everything pinned, or exported from a folder with proof."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelop.catalog.cards import ModelCard, load_catalog, verify
from labelop.catalog.checkpoint import CardWishes, describe_folder
from labelop.catalog.export import export_folder
from labelop.catalog.export_segmenter import FEATURES
from labelop.catalog.files import appear
from labelop.catalog.proof import Parity
from labelop.catalog.pull import pull
from labelop.engines.base import Engine, ModelInputs, features_of
from labelop.engines.folder import FolderEngine
from labelop.engines.graph import GraphEngine
from labelop.errors import CatalogError, LabelopError, SourceUnavailableError
from tests.unit.engines import checkpoints
from tests.unit.engines.models import CLASSES, picture

COMMIT = "c" * 40
SIZE = CardWishes(width_px=checkpoints.SIDE_PX, height_px=checkpoints.SIDE_PX)
ANCHORS = 84
"""Queries of the tiny RT-DETRs: every place of their grids, since noise weights score all places alike."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a tiny classifier's folder."""
    made = checkpoints.checkpoint(tmp_path / "hub", "resnet").folder
    assert made is not None
    return made


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """Make an empty catalog."""
    (tmp_path / "catalog").mkdir()
    return tmp_path / "catalog"


def hub(folder: Path, *, without: str = "", extra: str = "") -> Any:
    """Stand in for the hub: hand out a folder, with a file less or more."""

    def fetch(name: str, revision: str, target: Path) -> str:
        assert (name, revision) == ("someone/Tiny-ResNet", "main")
        shutil.copytree(folder, target)
        if without:
            (target / without).unlink()
        if extra:
            (target / extra).write_bytes(b"x")
        (target / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny\n")
        return COMMIT

    return fetch


def test_a_pulled_model_is_pinned_and_runs(folder: Path, catalog: Path) -> None:
    """The card names commit, licence and the digest of each file, and the model opens from it."""
    card = pull("someone/Tiny-ResNet", "main", catalog, SIZE, fetch=hub(folder))
    assert (card.id, card.version, card.licence, card.classes) == ("tiny-resnet", COMMIT, "apache-2.0", CLASSES)
    assert COMMIT in card.reproduce
    verify(card)
    assert load_catalog(catalog)["tiny-resnet"] == card
    FolderEngine(card, 1).close()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"without": "model.safetensors"}, "lacks model.safetensors"),
        ({"without": "model.safetensors", "extra": "pytorch_model.bin"}, "pickled"),
        ({"without": "config.json"}, "lacks config.json"),
    ],
)
def test_a_model_that_does_not_fit_leaves_nothing(
    folder: Path, catalog: Path, changes: dict[str, str], words: str
) -> None:
    """Pickles and half a model are refused, and the catalog is as it was."""
    with pytest.raises(CatalogError, match=words):
        pull("someone/Tiny-ResNet", "main", catalog, SIZE, fetch=hub(folder, **changes))
    assert list(catalog.iterdir()) == []


def test_a_model_that_is_there_is_not_touched(folder: Path, catalog: Path) -> None:
    """A second pull of the same name is refused before anything is fetched."""
    card = pull("someone/Tiny-ResNet", "main", catalog, SIZE, fetch=hub(folder))
    with pytest.raises(CatalogError, match="already"):
        pull("someone/Tiny-ResNet", "main", catalog, SIZE, fetch=hub(folder))
    verify(card)


@pytest.mark.parametrize("name", ["", "a/b/c", "../up", "/etc", "a b"])
def test_a_name_that_is_none_is_refused(catalog: Path, name: str) -> None:
    """Only owner/model is a name; no path gets through."""
    with pytest.raises(CatalogError, match="owner/model"):
        pull(name, "main", catalog, fetch=hub(catalog))


def test_no_network_is_one_line(catalog: Path) -> None:
    """Where the hub cannot be reached the command ends with 1 and one sentence, and nothing is left."""
    quiet = {"LABELOP_CATALOG": str(catalog), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_DISABLE_TELEMETRY": "1"}
    code = "import sys; from labelop.cli import main; sys.argv[0] = 'labelop'; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "models", "pull", "someone/model", "--revision", "main"],
        env=os.environ | quiet,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.strip().splitlines()
    assert "someone/model cannot be fetched" in line
    assert list(catalog.iterdir()) == []


def test_a_fetch_that_breaks_off_leaves_nothing(catalog: Path) -> None:
    """Half a download is removed."""

    def half(name: str, revision: str, target: Path) -> str:
        target.mkdir()
        (target / "config.json").write_text("{}")
        raise SourceUnavailableError("gone")

    with pytest.raises(SourceUnavailableError):
        pull("someone/model", "main", catalog, fetch=half)
    assert list(catalog.iterdir()) == []


@pytest.mark.parametrize("family", ["resnet", "detr", "rt_detr", "rt_detr_v2", "d_fine"])
def test_an_exported_graph_says_what_torch_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str) -> None:
    """The new card verifies, its graph gives torch's outputs on other images, and the report is beside it."""
    monkeypatch.setitem(checkpoints._TRANSFORMER, "num_queries", ANCHORS)
    source = checkpoints.checkpoint(tmp_path, family)
    assert source.folder is not None
    card, report = export_folder(source.folder, tmp_path / "out", replace(SIZE, licence="MIT"))
    verify(card)
    assert (card.format, card.classes, card.licence) == ("onnx", source.classes, "MIT")
    assert all(row.holds and row.max_difference < 1e-4 and row.image_count == 4 for row in report)
    assert len(json.loads((tmp_path / "out" / f"{card.id}.parity.json").read_text())) == len(report)
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".json", ".onnx", ".yaml"]
    found, wanted = (run(engine, 2) for engine in (GraphEngine(card, 1), FolderEngine(source, 1)))
    for name, value in wanted.items():
        axis = min(1, value.ndim - 2)
        np.testing.assert_allclose(np.sort(found[name], axis), np.sort(value, axis), atol=1e-4)


def run(engine: GraphEngine | FolderEngine, count: int) -> dict[str, Any]:
    """Run some pictures through an engine."""
    images = np.stack([engine.preprocess(picture(seed)) for seed in range(count)])
    try:
        return dict(engine.forward(ModelInputs(images)))
    finally:
        engine.close()


def test_an_openvino_export_pins_its_files_too(tmp_path: Path, folder: Path) -> None:
    """Graph and weights of OpenVINO lie beside the ONNX file, pinned, with a parity of their own."""
    pytest.importorskip("openvino")
    card, report = export_folder(folder, tmp_path / "out", SIZE, target="openvino")
    verify(card)
    assert set(card.files) == {"model", "openvino", "openvino_weights"}
    assert {row.format for row in report} == {"onnx", "openvino"}
    card.files["openvino_weights"].write_bytes(b"changed")
    with pytest.raises(LabelopError, match="digest"):
        verify(card)


def test_a_graph_that_says_something_else_is_not_kept(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the proof fails nothing is written, and the message names output and difference."""
    import labelop.catalog.export as module  # noqa: PLC0415 - only its tolerance is changed

    monkeypatch.setattr(module, "parity", lambda name, *_, **__: [Parity(name, "logits", 4, 9.0, 3.0, 1.0)])
    with pytest.raises(CatalogError, match=r"logits .* differs from torch by 3"):
        export_folder(folder, tmp_path / "out", SIZE)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_export_replaces_no_card(tmp_path: Path, folder: Path) -> None:
    """A card of the same name stays, with its files."""
    card, _ = export_folder(folder, tmp_path / "out", SIZE)
    with pytest.raises(CatalogError, match="already"):
        export_folder(folder, tmp_path / "out", SIZE)
    verify(card)


def test_an_export_leaves_the_files_of_others(tmp_path: Path, folder: Path) -> None:
    """Weights of another card that have the same name stay as they are, and no card is written: it overwrote them."""
    (tmp_path / "out").mkdir()
    other = tmp_path / "out" / f"{folder.name}.onnx"
    other.write_bytes(b"weights of another card")
    with pytest.raises(CatalogError, match=rf"File {other.name} is there already"):
        export_folder(folder, tmp_path / "out", SIZE)
    assert list((tmp_path / "out").iterdir()) == [other]
    assert other.read_bytes() == b"weights of another card"


def test_a_card_comes_after_its_files(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is cut between the two leaves no card without weights; it did before."""
    seen: list[str] = []

    def watched(made: Path, target: Path) -> None:
        if target.parent.name == "out":
            seen.append(target.suffix)
        appear(made, target)

    monkeypatch.setattr("labelop.catalog.checkpoint.appear", watched)
    export_folder(folder, tmp_path / "out", SIZE)
    assert seen == [".onnx", ".json", ".yaml"]


def test_an_exported_segmenter_says_what_torch_says(tmp_path: Path) -> None:
    """A SAM2 becomes encoder and decoder with a card of their own, and gives the masks of its folder for any boxes."""
    pytest.importorskip("openvino")
    source: ModelCard = checkpoints.checkpoint(tmp_path, "sam2")
    assert source.folder is not None
    card, report = export_folder(source.folder, tmp_path / "out", SIZE, target="openvino")
    verify(card)
    assert (card.format, set(card.files), card.encoder_outputs) == ("onnx", {"encoder", "decoder"}, FEATURES)
    assert {row.format for row in report} == {"onnx", "openvino"}
    assert {row.output for row in report} == {*FEATURES, "masks", "scores"}
    assert json.loads((tmp_path / "out" / f"{card.id}.parity.json").read_text()) == [asdict(row) for row in report]
    # neither the number of images nor that of boxes is one of those compared
    engines: list[Engine] = [FolderEngine(source, 1), GraphEngine(card, 1)]
    images = np.stack([engines[0].preprocess(picture(seed)) for seed in range(2)])
    boxes = np.array([[3, 4, 30, 40]] * 7, dtype=np.float32) + np.arange(7, dtype=np.float32)[:, None]
    features = [engine.encode(images) for engine in engines]
    for index in range(2):
        torch_says, graph_says = (
            engine.prompt(features_of(found, index), boxes) for engine, found in zip(engines, features, strict=True)
        )
        for name, value in torch_says.items():
            np.testing.assert_allclose(graph_says[name], value, atol=1e-4)
    for engine in engines:
        engine.close()


def test_a_segmenter_that_says_something_else_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the proof fails no file of either graph is left."""
    import labelop.catalog.export_segmenter as module  # noqa: PLC0415 - only its comparison is changed

    source: ModelCard = checkpoints.checkpoint(tmp_path, "sam2")
    assert source.folder is not None
    monkeypatch.setattr(module, "parity", lambda name, *_: [Parity(name, "masks", 4, 9.0, 3.0, 1.0)])
    with pytest.raises(CatalogError, match=r"masks .* differs from torch by 3"):
        export_folder(source.folder, tmp_path / "out", SIZE)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("scaling", "size"),
    [
        ({"size": {"height": 480, "width": 640}}, (640, 480)),
        ({"size": {"shortest_edge": 224}}, (224, 224)),
        ({"size": 96}, (96, 96)),
    ],
)
def test_the_input_size_is_read_from_the_folder(folder: Path, scaling: dict[str, Any], size: tuple[int, int]) -> None:
    """Each form in which a preprocessor names its size is understood."""
    (folder / "preprocessor_config.json").write_text(json.dumps(scaling))
    found = describe_folder(folder)["input"]
    assert (found["width_px"], found["height_px"]) == size


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("config.json", "{", "readable JSON"),
        ("config.json", "[]", "no JSON object"),
        ("config.json", '{"model_type": "bert"}', "type 'bert'"),
        ("config.json", '{"model_type": "resnet", "id2label": {"a": "b"}}', "id2label"),
        ("preprocessor_config.json", "{}", "no input size"),
    ],
)
def test_a_folder_that_says_nothing_useful_is_refused(folder: Path, name: str, text: str, words: str) -> None:
    """Each fault names the file and what is wrong."""
    (folder / name).write_text(text)
    with pytest.raises(CatalogError, match=words):
        describe_folder(folder)
