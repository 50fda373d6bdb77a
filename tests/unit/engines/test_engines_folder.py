"""Checkpoint folders: refused with a reason when they are not whole, not the card's, or the library is absent."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelop.catalog.cards import ModelCard
from labelop.catalog.files import sha256_of_file
from labelop.engines.base import ModelInputs
from labelop.engines.folder import FolderEngine
from labelop.errors import MissingExtraError, ModelLoadError
from tests.unit.engines.checkpoints import checkpoint
from tests.unit.engines.models import picture


def rewritten(card: ModelCard, name: str, **changes: Any) -> ModelCard:
    """Change one JSON file of the folder and the digest in the card."""
    assert card.folder is not None
    path = card.folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return replace(card, digests={**card.digests, name: sha256_of_file(path)})


def test_pixels_are_scaled_as_the_folder_says(tmp_path: Path) -> None:
    """The preprocessor's mean, deviation and factor change what the model sees; turning them off does too."""
    torch = pytest.importorskip("torch")
    card = checkpoint(tmp_path, "resnet")
    one = FolderEngine(card, 1)
    inputs = ModelInputs(one.preprocess(picture())[None])
    expected = (inputs.images.astype(np.float32) / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]
    pixels = torch.from_numpy(np.array(inputs.images))
    seen = one._normalised(pixels).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(seen, expected, atol=1e-5)
    plain = FolderEngine(rewritten(card, "preprocessor_config.json", do_rescale=False, do_normalize=False), 1)
    np.testing.assert_array_equal(plain._normalised(pixels).numpy().transpose(0, 2, 3, 1), inputs.images)


def test_missing_weights_are_an_error_and_not_random(tmp_path: Path) -> None:
    """A checkpoint of another family, or with lost tensors, never runs with drawn numbers."""
    card = checkpoint(tmp_path, "resnet")
    with pytest.raises(ModelLoadError, match=r"lacks \d+ weights|cannot be loaded"):
        FolderEngine(replace(card, task="detection", family="rt_detr_v2"), 1)


def test_classes_must_be_the_checkpoints(tmp_path: Path) -> None:
    """A card that lists other classes, or another order, is refused."""
    card = checkpoint(tmp_path, "resnet")
    with pytest.raises(ModelLoadError, match="classes"):
        FolderEngine(replace(card, classes=("ring", "disc", "dot")), 1)


@pytest.mark.parametrize("changes", [{"image_mean": None}, {"image_std": [0, 0, 0]}, {"image_mean": [0.5]}])
def test_an_unusable_preprocessor_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Scaling that cannot be applied is an error at loading."""
    card = checkpoint(tmp_path, "resnet")
    with pytest.raises(ModelLoadError, match="preprocessor_config"):
        FolderEngine(rewritten(card, "preprocessor_config.json", **changes), 1)


def test_without_the_library_the_hint_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base install gets a sentence instead of an import error."""
    card = checkpoint(tmp_path, "resnet")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"labelop\[torch\]"):
        FolderEngine(card, 1)
