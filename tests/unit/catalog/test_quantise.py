"""int8 models are cards of their own, made with photographs, and near enough to their source on every engine."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelop.catalog import quantise as quantising
from labelop.catalog.cards import ModelCard, load_card, verify
from labelop.catalog.choice import ENGINES, installed_version
from labelop.catalog.int8_graph import write_int8
from labelop.catalog.quantise import TOLERANCE, quantise
from labelop.engines.base import ImageArray
from labelop.engines.model import stretch
from labelop.engines.samples import load_samples
from labelop.errors import CatalogError, DigestMismatchError, LabelopError
from tests.unit.engines.models import classifier, detector, picture, segmenter

onnx = pytest.importorskip("onnx")
ROOT = Path(__file__).resolve().parents[3]
SOURCE = load_card(ROOT / "data/sample/models/cells-small.yaml")


@pytest.fixture(scope="module")
def pictures() -> list[ImageArray]:
    """Read a few pictures of the kind the model is for."""
    return load_samples(ROOT / "data/sample/smears/images", 8)


def test_an_int8_model_finds_what_its_source_finds(tmp_path: Path, pictures: list[ImageArray]) -> None:
    """Each engine that is installed agrees within the tolerance, and the card says where the model comes from."""
    card, report = quantise(SOURCE, pictures[::2], tmp_path, judged=pictures[1::2])
    verify(card)
    assert [row.engine for row in report] == [name for name in ENGINES["onnx"] if installed_version(name)]
    assert all(row.holds and row.compared_count > 50 and row.difference <= TOLERANCE for row in report)
    assert (card.id, card.classes, card.quality) == ("cells-small-int8", SOURCE.classes, ())
    assert card.digest != SOURCE.digest
    text = card.path.read_text()
    assert f"model_digest: {SOURCE.digest}" in text
    assert f"images_count: {len(pictures[::2])}" in text
    assert len(json.loads((tmp_path / "cells-small-int8.parity.json").read_text())) == len(report)
    with pytest.raises(CatalogError, match="already"):
        quantise(SOURCE, pictures, tmp_path)


def test_what_differs_too_much_is_not_written(
    tmp_path: Path, pictures: list[ImageArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says how far off it is on which engine; asked for all the same, it is written with its report."""
    monkeypatch.setattr(quantising, "TOLERANCE", -1.0)
    with pytest.raises(CatalogError, match="cells-small-int8 on onnxruntime differs from cells-small by"):
        quantise(SOURCE, pictures[:2], tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert SOURCE.scaled_decode
    card, report = quantise(SOURCE, pictures[:1], tmp_path, refuse=False)
    verify(card)
    assert not any(row.holds for row in report)
    # allowed by the source, and not shown to be harmless to this one: it was inherited before
    assert not card.scaled_decode


def test_a_source_that_is_not_the_pinned_one_is_refused(tmp_path: Path, pictures: list[ImageArray]) -> None:
    """Other weights under the card's name make no model."""
    for path in (SOURCE.path, SOURCE.files["model"]):
        shutil.copy(path, tmp_path)
    with (tmp_path / "cells-small.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DigestMismatchError):
        quantise(load_card(tmp_path / "cells-small.yaml"), pictures, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_only_what_can_be_judged_is_made_int8(tmp_path: Path, pictures: list[ImageArray]) -> None:
    """A segmenter, and a detector without photographs, are refused before any work."""
    source: ModelCard = segmenter(tmp_path)
    for card, images in ((source, pictures), (SOURCE, [])):
        with pytest.raises(LabelopError, match="from one image or more"):
            quantise(card, images, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../../out", "/tmp/out", "Out", " a"])
def test_a_name_stays_in_its_folder(tmp_path: Path, pictures: list[ImageArray], name: str) -> None:
    """An id names files, so one that is no id is refused before anything is made."""
    with pytest.raises(CatalogError, match="Model id"):
        quantise(SOURCE, pictures[:1], tmp_path / "made", model_id=name)
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_show_nothing_judge_nothing(tmp_path: Path, pictures: list[ImageArray]) -> None:
    """The model draws some boxes on black as well, and agreeing on those let an int8 model pass before."""
    black = [np.full((128, 160, 3), shade, np.uint8) for shade in (0, 40, 200)]
    with pytest.raises(CatalogError, match=r"cannot be judged: 0 photographs that show something gave 0 .* 20 or more"):
        quantise(SOURCE, pictures[:1], tmp_path, judged=black)
    assert list(tmp_path.iterdir()) == []


def test_textures_without_objects_judge_nothing(tmp_path: Path, pictures: list[ImageArray]) -> None:
    """What a detector finds on a few of them only says too little that could differ, however much it is in all."""
    steps = np.arange(160, dtype=np.uint8)[None, :, None]
    textures = [np.broadcast_to(steps + np.uint8(shade), (128, 160, 3)) for shade in range(0, 60, 6)]
    assert SOURCE.postprocess is not None
    strict = replace(SOURCE, postprocess=replace(SOURCE.postprocess, draft_score=dict.fromkeys(SOURCE.classes, 0.9)))
    with pytest.raises(CatalogError, match=r"finds objects on \d of 10 photographs, expected are half"):
        quantise(strict, pictures[:1], tmp_path, judged=textures)
    assert list(tmp_path.iterdir()) == []


def test_a_classifier_that_always_says_the_same_is_not_judged(tmp_path: Path) -> None:
    """The answers of both models are one class, whatever they would say of another."""
    source = classifier(tmp_path)
    with pytest.raises(CatalogError, match="tiny-class sees 1 class on 8 photographs, expected are 2 or more"):
        quantise(source, [picture(seed) for seed in range(4)], tmp_path / "out", judged=[picture(1)] * 8)
    assert list((tmp_path / "out").iterdir()) == []


def with_convolution(folder: Path, prefix: str) -> ModelCard:
    """Make a detector with a convolution before its matrix products; nodes are named by the prefix, or not at all."""
    card = detector(folder)
    model = onnx.load(str(card.files["model"]))
    first = [
        onnx.helper.make_node("Transpose", ["floats"], ["chw"], perm=[0, 3, 1, 2]),
        onnx.helper.make_node("Conv", ["chw", "kernel"], ["convolved"]),
        onnx.helper.make_node("ReduceMean", ["convolved"], ["mean"], axes=[2, 3], keepdims=0),
    ]
    nodes = [model.graph.node[0], *first, *model.graph.node[2:]]
    for place, node in enumerate(nodes):
        node.name = f"{prefix}{place}" if prefix else ""
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    kernel = np.random.default_rng(0).normal(0, 0.3, (3, 3, 3, 3)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(kernel, "kernel"))
    onnx.save(model, str(card.files["model"]))
    return card


def int8_operators(graph: Path) -> Counter[str]:
    """Count the operators that work on int8 values."""
    nodes = onnx.load(str(graph)).graph.node
    from_int8 = {output for node in nodes if node.op_type == "DequantizeLinear" for output in node.output}
    return Counter(n.op_type for n in nodes if n.op_type != "DequantizeLinear" and from_int8 & set(n.input))


@pytest.mark.parametrize("prefix", ["", "node"])
def test_the_scope_needs_no_names(tmp_path: Path, prefix: str) -> None:
    """All nodes of a graph without names were made int8 before, whatever the scope."""
    card = with_convolution(tmp_path, prefix)
    frames = [stretch(picture(seed), card) for seed in range(2)]
    write_int8(card, frames, tmp_path / "convolutions.onnx", "convolutions")
    write_int8(card, frames, tmp_path / "layers.onnx", "layers")
    # the tool joins a matrix product and the addition behind it
    little, much = (int8_operators(tmp_path / f"{scope}.onnx") for scope in ("convolutions", "layers"))
    assert (little["Conv"], little["Gemm"]) == (1, 0)
    assert (much["Conv"], much["Gemm"]) == (1, 2)


def test_a_scope_without_nodes_is_refused(tmp_path: Path) -> None:
    """The tool takes an empty list for everything."""
    source = detector(tmp_path)
    with pytest.raises(CatalogError, match="no node of the scope convolutions"):
        quantise(source, [picture(1)], tmp_path / "out")


@pytest.mark.parametrize("logger", [None, "onnxruntime.quantization.shape_inference"])
def test_the_tools_words_stay_off_the_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logger: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It warns of every layer through the root logger, which printed them; now they are lines of our own log."""

    def warn(*_: object, **__: object) -> None:
        logging.getLogger(logger).warning("axis out of range")

    monkeypatch.setattr("onnxruntime.quantization.quantize_static", warn)
    handlers = list(logging.getLogger().handlers)
    card = with_convolution(tmp_path, "node")
    with caplog.at_level(logging.INFO, "labelop.catalog.int8_graph"):
        write_int8(card, [stretch(picture(), card)], tmp_path / "out.onnx", "convolutions")
    told = [(record.name, record.levelname) for record in caplog.records if "out of range" in record.getMessage()]
    assert told == [("labelop.catalog.int8_graph", "INFO")]
    assert logging.getLogger().handlers == handlers


def test_a_failing_tool_is_quoted_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cause stands at the end of its message, which was cut off before."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("at\n" + "a place " * 60 + "because of this")

    monkeypatch.setattr("onnxruntime.quantization.quantize_static", fail)
    with pytest.raises(CatalogError, match=r"because of this$"):
        write_int8(with_convolution(tmp_path, "node"), [], tmp_path / "out.onnx", "convolutions")


def test_scaled_decoding_is_judged_anew(pictures: list[ImageArray]) -> None:
    """Scaled pixels have to be seen and found the same in: pictures too small for a scale say nothing of it."""
    for size, expected in (((160, 128), False), ((640, 512), True)):
        shown = [np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BICUBIC)) for one in pictures[:3]]
        assert quantising._scales(SOURCE, SOURCE, shown) is expected
