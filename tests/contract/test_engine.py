"""One suite for every engine: graphs, checkpoint folders of each family, and the fixed double."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard
from labelop.catalog.choice import EngineChoice
from labelop.engines.base import OUTPUTS, Engine, ModelInputs, features_of, load_engine, open_engine
from labelop.engines.fixed import FixedEngine
from labelop.errors import CatalogError, EngineError, EngineResponseError, ModelInputError
from labelop.settings import Settings
from tests.unit.engines.checkpoints import FOLDER_TASKS, checkpoint
from tests.unit.engines.models import classifier, detector, faulty_detector, picture, segmenter

GRAPHS = {"detection": detector, "classification": classifier, "segmentation": segmenter}
KINDS = {
    "onnxruntime": EngineChoice("onnxruntime"),
    "openvino-f32": EngineChoice("openvino"),
    "openvino-bf16": EngineChoice("openvino", "bf16"),
}
"""Ways to run a graph."""
NAMES = [
    *(f"{kind}:{task}" for kind in (*KINDS, "fixed") for task in GRAPHS),
    *(f"folder:{family}" for family in FOLDER_TASKS),
    "folder-bf16:resnet",
    "folder-bf16:rt_detr",
]
HALF_APART = 0.05
"""Largest difference of a raw value between batches that an engine may split differently, in bf16 (8 bits)."""


@pytest.fixture(scope="module", params=NAMES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Open one engine per kind and task."""
    kind, _, what = request.param.partition(":")
    folder = tmp_path_factory.mktemp(kind)
    if kind.startswith("folder"):
        half = Settings(engine_precision="bf16")
        return open_engine(checkpoint(folder, what), half if kind.endswith("bf16") else Settings())
    card = GRAPHS[what](folder)
    if kind.startswith("openvino"):
        pytest.importorskip("openvino")
    return FixedEngine(card) if kind == "fixed" else load_engine(card, 1, KINDS[kind])


def prompts(engine: Engine) -> NDArray[np.float32] | None:
    """Give box prompts where the task takes them."""
    if engine.card.task != "segmentation":
        return None
    width, height = engine.card.width_px, engine.card.height_px
    return np.array([[1, 2, width / 2, height / 2], [3, 4, width - 2, height - 3]], dtype=np.float32)


def inputs(engine: Engine, *seeds: int) -> ModelInputs:
    """Prepare pictures for an engine."""
    return ModelInputs(np.stack([engine.preprocess(picture(seed)) for seed in seeds]), prompts(engine))


def test_an_engine_names_itself_and_its_card(engine: Engine) -> None:
    """Every engine keeps the protocol and says what it is."""
    assert isinstance(engine, Engine)
    assert engine.name in ("onnxruntime", "torch", "torch-bf16", "fixed", "openvino-f32", "openvino-bf16")


def test_preprocess_gives_the_models_frame(engine: Engine) -> None:
    """Any image becomes uint8 of the card's size."""
    out = engine.preprocess(picture(width_px=200, height_px=3))
    assert out.dtype == np.uint8
    assert out.shape == (engine.card.height_px, engine.card.width_px, 3)


def test_forward_answers_the_tensors_of_its_task(engine: Engine) -> None:
    """Names, batch axis and type are those the protocol promises."""
    raw = engine.forward(inputs(engine, 0))
    assert tuple(raw) == OUTPUTS[engine.card.task]
    assert all(value.dtype == np.float32 and len(value) == 1 for value in raw.values())
    if engine.card.task == "segmentation":
        assert raw["masks"].shape[:2] == raw["scores"].shape == (1, 2)


def test_forward_repeats_itself(engine: Engine) -> None:
    """Equal inputs give equal outputs, bit for bit."""
    first, second = engine.forward(inputs(engine, 0)), engine.forward(inputs(engine, 0))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_batch_equals_its_images_alone(engine: Engine) -> None:
    """An image's output does not depend on its neighbours, up to rounding of floats."""
    if engine.card.task == "segmentation":
        _check_segmenter(engine)
        return
    together = engine.forward(inputs(engine, 0, 1, 2))
    alone = [engine.forward(inputs(engine, seed)) for seed in (0, 1, 2)]
    near = HALF_APART if engine.name.endswith("bf16") else 1e-4
    for name in together:
        np.testing.assert_allclose(together[name], np.concatenate([one[name] for one in alone]), atol=near)


def _check_segmenter(engine: Engine) -> None:
    """Features of three images at once prompt to what each image gives alone."""
    pixels, boxes = inputs(engine, 0, 1, 2).images, prompts(engine)
    assert boxes is not None
    features = engine.encode(pixels)
    for index in range(3):
        together = engine.prompt(features_of(features, index), boxes)
        alone = engine.forward(ModelInputs(pixels[index : index + 1], boxes))
        for name in OUTPUTS["segmentation"]:
            np.testing.assert_allclose(together[name], alone[name], atol=1e-4)
    with pytest.raises(ModelInputError, match="expected 1 image"):
        engine.prompt(features, boxes)
    with pytest.raises(ModelInputError, match=r"shape \(2, 3\)"):
        engine.prompt(features_of(features, 0), boxes[:, :3])


def test_only_a_segmenter_encodes(engine: Engine) -> None:
    """Another model has no encoder, and a segmenter no pass without boxes."""
    pixels = inputs(engine, 0).images
    wrong = (
        partial(engine.forward, ModelInputs(pixels)) if prompts(engine) is not None else partial(engine.encode, pixels)
    )
    with pytest.raises(ModelInputError, match="do not fit the task"):
        wrong()


@pytest.mark.parametrize("shape", [(0, 24, 32, 3), (1, 5, 5, 3), (24, 32, 3)])
def test_images_of_another_form_are_refused(engine: Engine, shape: tuple[int, ...]) -> None:
    """A wrong shape is an input error, not whatever the library makes of it."""
    with pytest.raises(ModelInputError):
        engine.forward(ModelInputs(np.zeros(shape, dtype=np.uint8), prompts(engine)))


def test_floats_are_refused(engine: Engine) -> None:
    """Pixels are uint8; anything else would be scaled twice."""
    one = inputs(engine, 0)
    with pytest.raises(ModelInputError):
        engine.forward(ModelInputs(one.images.astype(np.float32), one.boxes))


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 4), (4, 4, 4)])
def test_preprocess_refuses_what_is_no_image(engine: Engine, shape: tuple[int, ...]) -> None:
    """Empty, grey and four-channel arrays are refused."""
    with pytest.raises(ModelInputError):
        engine.preprocess(np.zeros(shape, dtype=np.uint8))


def test_detections_lie_inside_the_image_best_first(engine: Engine) -> None:
    """Reading gives boxes in the image's own frame, with area, ordered by score."""
    raw = engine.forward(inputs(engine, 0))
    if engine.card.task == "segmentation":
        with pytest.raises(ValueError, match="masks"):
            engine.postprocess(raw, 0, 61, 47)
        return
    found = engine.postprocess(raw, 0, 61, 47)
    assert found.boxes.shape == (len(found.scores), 4)
    assert ((found.boxes[:, 2:] > found.boxes[:, :2]) & (found.boxes >= 0)[:, :2]).all()
    assert (found.boxes <= [61, 47, 61, 47]).all()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    if engine.card.task == "detection":
        assert (np.diff(found.scores) <= 0).all()


def test_one_engine_per_card(tmp_path: Path) -> None:
    """Opening a card twice gives the same engine: weights are held once."""
    card = detector(tmp_path)
    assert open_engine(card, Settings()) is open_engine(card, Settings())


@pytest.mark.parametrize(
    ("name", "precision"),
    [("onnxruntime", "f32"), ("openvino", "f32"), ("openvino", "bf16"), ("torch", "f32"), ("torch", "bf16")],
)
def test_answers_that_are_no_numbers_are_an_error_in_every_engine(
    tmp_path: Path, name: Literal["onnxruntime", "openvino", "torch"], precision: Literal["f32", "bf16"]
) -> None:
    """Each constant is a number and the answers are none: OpenVINO, named and never measured, gave predictions."""
    if name == "openvino":
        vino = pytest.importorskip("labelop.engines.vino")
        if precision not in vino.precisions():
            pytest.skip("this processor has no bf16")
    card = checkpoint(tmp_path, "resnet", faulty=True) if name == "torch" else faulty_detector(tmp_path)
    with pytest.raises((CatalogError, EngineResponseError), match="finite"):
        look(card, Settings(engine=name, engine_precision=precision))


def look(card: ModelCard, settings: Settings) -> None:
    """Open a model and read what it finds in a picture."""
    opened = open_engine(card, settings)
    opened.postprocess(opened.forward(inputs(opened, 0)), 0, 61, 47)


def test_a_closed_engine_says_so(tmp_path: Path) -> None:
    """A forward pass after closing is an error with the model's id."""
    engine = open_engine(detector(tmp_path, "to-close"), Settings())
    one = inputs(engine, 0)
    engine.close()
    with pytest.raises(EngineError, match="to-close"):
        engine.forward(one)
