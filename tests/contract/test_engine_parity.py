"""Every pair of engines agrees on the sample's models and pictures, within the tolerance stated for each task."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from labelop.catalog.cards import ModelCard, load_catalog
from labelop.catalog.checkpoint import CardWishes
from labelop.catalog.choice import EngineChoice
from labelop.catalog.export import export_folder
from labelop.engines.base import ModelInputs, RawOutputs, features_of, load_engine
from labelop.engines.parity import EXACT, TOLERANCE, combined, difference
from labelop.engines.samples import load_samples
from labelop.engines.vino import precisions
from tests.unit.engines.checkpoints import checkpoint
from tests.unit.engines.models import picture

ROOT = Path(__file__).resolve().parents[2]
CATALOG = load_catalog(ROOT / "data/sample/models")
PICTURES = {"cells": "smears", "parcels": "parcels", "any": "smears"}
GRAPH_WAYS = {
    "graph": EngineChoice("onnxruntime"),
    "openvino-f32": EngineChoice("openvino"),
    "openvino-bf16": EngineChoice("openvino", "bf16"),
}
REFUSED = {"boxes-to-masks": "openvino-bf16"}
"""Models that an engine changes by more than the tolerance; `engine: auto` must not take it for them."""


@cache
def _answers(model_id: str, way: str) -> list[RawOutputs]:
    pytest.importorskip("openvino")
    card = CATALOG[model_id]
    engine = load_engine(card, 1, GRAPH_WAYS[way])
    # with 8 pictures a single draft at its threshold is more than the tolerance
    pictures = load_samples(ROOT / "data/sample" / PICTURES[card.ontology] / "images", most=24)
    frames = np.stack([engine.preprocess(one) for one in pictures])
    size = np.array([card.width_px, card.height_px] * 2, dtype=np.float32)
    boxes = np.array([[0.1, 0.1, 0.4, 0.5], [0.5, 0.2, 0.9, 0.6]], dtype=np.float32) * size
    prompts = boxes if card.task == "segmentation" else None
    answers = [engine.forward(ModelInputs(frame[None], prompts)) for frame in frames]
    engine.close()
    return answers


def apart(card: ModelCard, first: list[RawOutputs], second: list[RawOutputs]) -> tuple[float, int]:
    """Combine the differences of all pictures."""
    size = {"width_px": card.width_px, "height_px": card.height_px}
    return combined(card, [difference(card, a, b, 0, **size) for a, b in zip(first, second, strict=True)])


@pytest.mark.parametrize("pair", [*itertools.combinations(GRAPH_WAYS, 2)], ids="/".join)
@pytest.mark.parametrize("model_id", CATALOG)
def test_engines_agree_on_the_sample(model_id: str, pair: tuple[str, str]) -> None:
    """f32 engines give the same results to a thousandth, bf16 within the tolerance; where not, it is listed."""
    card = CATALOG[model_id]
    value, count = apart(card, _answers(model_id, pair[0]), _answers(model_id, pair[1]))
    assert count
    exact = "openvino-bf16" not in pair
    if REFUSED.get(model_id) in pair and "bf16" in precisions():
        assert TOLERANCE[card.task] < value < 0.1
    else:
        assert value <= (EXACT if exact else TOLERANCE[card.task])


@pytest.mark.parametrize("way", GRAPH_WAYS)
def test_masks_do_not_depend_on_the_images_of_a_pass(way: str) -> None:
    """Whatever images are encoded together, each gets the masks it has alone: a repeated pass may be another one."""
    pytest.importorskip("openvino")
    card = CATALOG["boxes-to-masks"]
    engine = load_engine(card, 1, GRAPH_WAYS[way])
    pictures = load_samples(ROOT / "data/sample/smears/images", most=8)
    frames = np.stack([engine.preprocess(one) for one in pictures])
    boxes = np.array([[20, 20, 90, 110], [110, 40, 200, 130]], dtype=np.float32)
    alone = [engine.prompt(engine.encode(frame[None]), boxes)["masks"] for frame in frames]
    for size in (3, 8):
        for start in range(0, len(frames), size):
            features = engine.encode(frames[start : start + size])
            for index in range(len(frames[start : start + size])):
                masks = engine.prompt(features_of(features, index), boxes)["masks"]
                np.testing.assert_allclose(masks, alone[start + index], atol=0.05 if "bf16" in way else 1e-4)
    engine.close()


def found_by(card: ModelCard, way: EngineChoice) -> list[RawOutputs]:
    """Ask a way for four pictures."""
    engine = load_engine(card, 1, way)
    answers = [engine.forward(ModelInputs(engine.preprocess(picture(seed))[None])) for seed in range(4)]
    engine.close()
    return answers


@pytest.mark.parametrize("family", ["resnet", "detr"])
def test_a_folder_on_torch_agrees_with_its_export(family: str, tmp_path: Path) -> None:
    """One set of weights as a folder and as a graph finds the same; torch was only ever compared with itself."""
    pytest.importorskip("openvino")
    card = checkpoint(tmp_path, family)
    assert card.folder is not None
    wishes = CardWishes(width_px=card.width_px, height_px=card.height_px)
    made, _ = export_folder(card.folder, tmp_path / "made", wishes)
    if card.postprocess is not None:
        # weights of noise are sure of nothing: every object is compared, not only those a reviewer would see
        card = replace(
            card, postprocess=replace(card.postprocess, min_score=0.0, draft_score=dict.fromkeys(card.classes, 0.0))
        )
    torch = found_by(card, EngineChoice("torch"))
    for name, way in GRAPH_WAYS.items():
        value, count = apart(card, torch, found_by(made, way))
        assert count >= len(torch)
        assert value <= (TOLERANCE[card.task] if "bf16" in name else EXACT), name


def test_bf16_of_a_folder_agrees(tmp_path: Path) -> None:
    """A checkpoint in bf16 gives the probabilities of f32 within the tolerance."""
    card = checkpoint(tmp_path, "resnet")
    ways = [load_engine(card, 1, EngineChoice("torch", precision)) for precision in ("f32", "bf16")]
    frames = [ways[0].preprocess(picture(seed))[None] for seed in range(4)]
    first, second = ([way.forward(ModelInputs(frame)) for frame in frames] for way in ways)
    assert [way.name for way in ways] == ["torch", "torch-bf16"]
    assert apart(card, first, second)[0] <= TOLERANCE["classification"]


def test_another_model_does_not_agree() -> None:
    """The comparison can fail: two models that were trained apart are far from each other."""
    small, large = CATALOG["cells-small"], CATALOG["cells-large"]
    assert apart(small, _answers(small.id, "graph"), _answers(large.id, "graph"))[0] > TOLERANCE["detection"]
