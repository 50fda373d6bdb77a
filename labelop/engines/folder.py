"""Runs Hugging Face folders (`config.json`, `model.safetensors`, `preprocessor_config.json`), public checkpoints too.

The only module that knows torch and transformers, loaded when the first such model opens. Nothing is downloaded, no
code of the folder is run, and weights the folder does not hold are an error, never random numbers. CUDA is used where
the choice says so; it has not run yet (docs/gpu.md).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard
from labelop.catalog.choice import EngineChoice
from labelop.engines.base import Features, ModelInputs, RawOutputs
from labelop.engines.cuda import Cuda
from labelop.engines.model import ModelEngine, failed
from labelop.errors import EngineError, MissingExtraError, ModelLoadError

_CLASSES = {
    "detr": "DetrForObjectDetection",
    "rt_detr": "RTDetrForObjectDetection",
    "rt_detr_v2": "RTDetrV2ForObjectDetection",
    "rtdetr_v2": "RTDetrV2ForObjectDetection",
    "d_fine": "DFineForObjectDetection",
    "resnet": "ResNetForImageClassification",
    "sam2": "Sam2Model",
}
_CHANNELS = 3


@dataclass(frozen=True, slots=True)
class _Scaling:
    """How pixel values become model values: `(value * factor - mean) / deviation`."""

    factor: float
    """Multiplier of 0..255 values."""
    mean: tuple[float, ...]
    """Per channel."""
    deviation: tuple[float, ...]
    """Per channel, none zero."""

    def scaled(self, images: Any) -> Any:
        """Scale a uint8 tensor (n, height, width, 3) to model values, shape (n, 3, height, width)."""
        import torch  # noqa: PLC0415 - loaded by then

        mean, deviation = (
            torch.tensor(values, device=images.device).view(1, _CHANNELS, 1, 1)
            for values in (self.mean, self.deviation)
        )
        return (images.permute(0, 3, 1, 2).float() * self.factor - mean) / deviation


class FolderEngine(ModelEngine):
    """One checkpoint folder.

    Args:
        card: A card of format huggingface whose files are verified.
        threads: Threads of a forward pass; torch has one number for the whole process.
        choice: Precision, device, and whether torch compiles; f32 on the processor, as it is, when None.

    Raises:
        MissingExtraError: torch or transformers is not installed, or torch cannot use the device.
        ModelLoadError: The folder is not a whole model of the card's family and classes.
    """

    name = "torch"

    def __init__(self, card: ModelCard, threads: int, choice: EngineChoice | None = None) -> None:
        choice = choice or EngineChoice("torch")
        # each number of images is compiled anew, for a minute or more, and after eight of them torch gives up compiling
        super().__init__(card, choice.images_of(card), one_size=choice.compiled or choice.device != "cpu")
        assert card.folder is not None
        self._torch, transformers = _libraries(card)
        self._torch.set_num_threads(threads)
        self._scaling = _read_scaling(card, card.folder / "preprocessor_config.json")
        self._half, self._device = choice.precision == "bf16", "cpu" if choice.device == "cpu" else "cuda"
        if self._device == "cuda" and not self._torch.cuda.is_available():
            raise MissingExtraError(
                f"Model {card.id} was to run on {choice.device}, which the installed torch cannot use here.",
                hint="Install a CUDA build of torch on a machine with a GPU, or set LABELOP_ENGINE_DEVICE=cpu.",
            )
        self._model: Any = _load(card, card.folder, transformers).to(self._device)
        self._cuda = None if self._device == "cpu" else Cuda(self._torch)
        # f32 on the processor stays bit for bit what it always was; elsewhere this order of memory is the fast one
        self._ordered = self._half or self._device != "cpu"
        if self._ordered:
            self._model = self._model.to(memory_format=self._torch.channels_last)
        # with CUDA graphs on a GPU: a pass is asked for at once instead of kernel by kernel
        how: dict[str, Any] = {"dynamic": False, "mode": None if self._cuda is None else "reduce-overhead"}
        if choice.compiled and card.task == "segmentation":
            # the decoder sees another number of boxes each time, and would be compiled each time
            self._model.vision_encoder.compile(**how)
        elif choice.compiled:
            self._model = self._torch.compile(self._model, **how)
        said = [self._device if self._device != "cpu" else "", "bf16" if self._half else ""]
        self.name = "-".join(["torch", *filter(None, said), *(["compiled"] if choice.compiled else [])])
        # the models keep caches of their own inside forward
        self._lock = threading.Lock()

    def _pass(self, inputs: ModelInputs) -> RawOutputs:
        def run(model: Any, images: Any) -> dict[str, Any]:
            found = model(pixel_values=self._normalised(images))
            boxes = {"boxes": found.pred_boxes} if self.card.task == "detection" else {}
            return {"logits": found.logits, **boxes}

        return self._computed([inputs.images], run)

    def _encode(self, images: NDArray[np.uint8]) -> Features:
        # from fine to coarse, in the order the decoder wants them
        def run(model: Any, images: Any) -> dict[str, Any]:
            return {
                str(place): value for place, value in enumerate(model.get_image_embeddings(self._normalised(images)))
            }

        return self._computed([images], run)

    def _prompt(self, features: Features, boxes: NDArray[np.float32]) -> RawOutputs:
        def run(model: Any, *here: Any) -> dict[str, Any]:
            found = model(image_embeddings=list(here[:-1]), input_boxes=here[-1], multimask_output=False)
            return {"masks": found.pred_masks[:, :, 0], "scores": found.iou_scores[:, :, 0]}

        return self._computed([*features.values(), boxes[None]], run)

    def _computed(
        self, values: Sequence[NDArray[Any]], run: Callable[..., dict[str, Any]]
    ) -> dict[str, NDArray[np.float32]]:
        torch, model = self._torch, self._model
        if model is None:
            raise EngineError(f"Model {self.card.id} is closed.")

        def compute(*here: Any) -> dict[str, Any]:
            half = torch.autocast(self._device, dtype=torch.bfloat16, enabled=self._half)
            with self._lock, torch.inference_mode(), half:
                return run(model, *here)

        try:
            if self._cuda is not None:
                return self._cuda.run(values, compute)
            # copied: the library warns of memory that it must not write
            found = compute(*(torch.from_numpy(np.array(value)) for value in values))
            return {name: value.float().numpy() for name, value in found.items()}
        except (RuntimeError, MemoryError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise failed(self.card, "", error) from error

    def close(self) -> None:
        """Free the model."""
        self._model = None

    def _normalised(self, images: Any) -> Any:
        # where they are computed: bytes travel to a device, not floats, a quarter of the size
        pixels = self._scaling.scaled(images)
        return pixels.contiguous(memory_format=self._torch.channels_last) if self._ordered else pixels


def devices(card: ModelCard | None = None) -> list[str]:
    """List the devices the installed torch can use: cpu, and cuda where there is one.

    Raises:
        MissingExtraError: torch is not installed.
    """
    torch, _ = _libraries(card)
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def _libraries(card: ModelCard | None = None) -> tuple[Any, Any]:
    try:
        import torch  # noqa: PLC0415 - takes seconds to load, and most runs need no folder
        import transformers  # noqa: PLC0415
    except ImportError as error:
        what = "The engine torch" if card is None else f"Model {card.id} is a Hugging Face folder and"
        raise MissingExtraError(
            f"{what} needs {error.name}, which is not installed.",
            hint="Install it with: pip install 'labelop[torch]'.",
        ) from error
    return torch, transformers


def _load(card: ModelCard, folder: Path, transformers: Any) -> Any:
    kind = getattr(transformers, _CLASSES[card.family])
    transformers.utils.logging.disable_progress_bar()
    try:
        model, report = kind.from_pretrained(
            str(folder),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except ImportError as error:
        raise MissingExtraError(
            f"Model {card.id} needs a library that is not installed: {' '.join(str(error).split())[:300]}",
            hint="Prefer a checkpoint whose backbone is a transformers model.",
        ) from error
    except Exception as error:
        # the library raises whatever its parts raise; all of it means that this folder is no such model
        raise ModelLoadError(f"Model {card.id}: the folder cannot be loaded: {_short(error)}") from error
    missing = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if missing:
        raise ModelLoadError(
            f"Model {card.id}: the folder lacks {len(missing)} weights that a {card.family} model needs, "
            f"the first is {missing[0]}.",
            hint="The card's family must be that of the checkpoint.",
        )
    _check_classes(card, model.config)
    return model.eval()


def _check_classes(card: ModelCard, config: Any) -> None:
    if card.task == "segmentation":
        return
    names = tuple(config.id2label[index] for index in sorted(config.id2label))
    if names != card.classes:
        raise ModelLoadError(
            f"Model {card.id}: the checkpoint's classes are {list(names)[:9]}, the card has {list(card.classes)[:9]}.",
            hint="List the classes in the checkpoint's order.",
        )


def _read_scaling(card: ModelCard, path: Path) -> _Scaling:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        # the library's default factor; a config that turns a step off leaves the values as they are
        factor = float(content.get("rescale_factor") or 1 / 255) if content.get("do_rescale", True) else 1.0
        normal = bool(content.get("do_normalize", True))
        mean = tuple(float(v) for v in content["image_mean"]) if normal else (0.0,) * _CHANNELS
        deviation = tuple(float(v) for v in content["image_std"]) if normal else (1.0,) * _CHANNELS
        fits = len(mean) == len(deviation) == _CHANNELS and all(deviation)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelLoadError(f"Model {card.id}: {path.name} is not usable: {_short(error)}") from error
    if not fits:
        raise ModelLoadError(f"Model {card.id}: {path.name} needs three channels of image_mean and image_std.")
    return _Scaling(factor, mean, deviation)


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
