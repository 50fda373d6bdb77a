"""Public architectures built from their configurations with random weights: weights do not change speed.

Writes, per model, a Hugging Face folder, an ONNX graph that takes uint8 and normalises inside, and a card. These
weights exist only under `build/`; the product never ships or loads random numbers.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
import yaml

from labelop.catalog.cards import ModelCard, load_card
from labelop.catalog.checkpoint import CardWishes, describe_folder
from labelop.ids import sha256_hex

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FAMILY = {"resnet50": "resnet", "rtdetr-r18": "rt_detr", "rtdetr-r50": "rt_detr", "detr-r50": "detr"}
"""Models that can be built, and the family of each."""
INPUT_PX = {"resnet50": (224, 224), "rtdetr-r18": (640, 640), "rtdetr-r50": (640, 640), "detr-r50": (1066, 800)}
"""Width and height of each model's input."""

_CLASSES = {"resnet": 1000, "rt_detr": 80, "detr": 91}
_SEED = 7


class _Graph(torch.nn.Module):
    """Normalise uint8 (n, h, w, 3), run the model, and name its outputs as the catalog does."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, model: Any, family: str) -> None:
        super().__init__()
        self.model, self.family = model, family
        # the scale of 255 is part of the two constants: one multiplication and one addition a value
        self.register_buffer("scale", torch.tensor([1 / (255 * d) for d in DEVIATION]).view(1, 3, 1, 1))
        self.register_buffer(
            "shift", torch.tensor([-m / d for m, d in zip(MEAN, DEVIATION, strict=True)]).view(1, 3, 1, 1)
        )

    def forward(self, images: torch.Tensor) -> Any:
        pixels = images.permute(0, 3, 1, 2).float() * self.scale + self.shift
        found = self.model(pixel_values=pixels)
        return found.logits if self.family == "resnet" else (found.logits, found.pred_boxes)


def folder_of(name: str, root: Path) -> Path:
    """Build a model once; gives its folder with `hf/`, `model.onnx` and `card.yaml`."""
    folder = root / name
    family = FAMILY[name]
    if not (folder / "card.yaml").exists():
        (folder / "hf").mkdir(parents=True, exist_ok=True)
        torch.manual_seed(_SEED)
        model = _model(name).eval()
        model.save_pretrained(folder / "hf")
        _processor(family).save_pretrained(folder / "hf")
        _export(model, family, INPUT_PX[name], folder / "model.onnx")
    # always: the form of cards may have changed since the graph was made
    _write_card(name, family, folder)
    return folder


def sam2_folder(root: Path) -> Path:
    """Build a SAM2 of the smallest published size once; gives its folder with `hf/`, two graphs and `card.yaml`."""
    from labelop.catalog.export_segmenter import export_segmenter  # noqa: PLC0415 - only this model needs it

    folder = root / "sam2-tiny"
    if (folder / "card.yaml").exists():
        return folder
    torch.manual_seed(_SEED)
    transformers.Sam2Model(transformers.Sam2Config()).eval().save_pretrained(folder / "hf")
    scaling = {
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": DEVIATION,
        "size": {"height": 1024, "width": 1024},
    }
    (folder / "hf/preprocessor_config.json").write_text(json.dumps(scaling), encoding="utf-8")
    card, _ = export_segmenter(folder / "hf", folder, CardWishes(model_id="sam2-tiny", licence="Apache-2.0"))
    card.path.replace(folder / "card.yaml")
    return folder


def _model(name: str) -> Any:
    labels = dict(enumerate(_class_names(FAMILY[name])))
    if name == "resnet50":
        return transformers.ResNetForImageClassification(transformers.ResNetConfig(id2label=labels))
    if name == "detr-r50":
        backbone = transformers.ResNetConfig(out_features=["stage4"])
        config = transformers.DetrConfig(
            backbone_config=backbone,
            backbone=None,
            use_timm_backbone=False,
            use_pretrained_backbone=False,
            num_queries=100,
            id2label=labels,
        )
        return transformers.DetrForObjectDetection(config)
    small = name.endswith("r18")
    backbone = transformers.RTDetrResNetConfig(
        depths=[2, 2, 2, 2] if small else [3, 4, 6, 3],
        hidden_sizes=[64, 128, 256, 512] if small else [256, 512, 1024, 2048],
        layer_type="basic" if small else "bottleneck",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = transformers.RTDetrConfig(
        backbone_config=backbone,
        encoder_in_channels=[128, 256, 512] if small else [512, 1024, 2048],
        # the published r18: half as wide inside the fusion blocks, three decoder layers
        hidden_expansion=0.5 if small else 1.0,
        decoder_layers=3 if small else 6,
        num_labels=80,
        # grid positions are made once for this size, as in the published checkpoints
        anchor_image_size=[640, 640],
        id2label=labels,
    )
    return transformers.RTDetrForObjectDetection(config)


def _processor(family: str) -> Any:
    if family == "resnet":
        return transformers.ConvNextImageProcessor(
            size={"shortest_edge": 224}, crop_pct=0.875, image_mean=list(MEAN), image_std=list(DEVIATION)
        )
    if family == "detr":
        return transformers.DetrImageProcessor(size={"shortest_edge": 800, "longest_edge": 1333})
    return transformers.RTDetrImageProcessor(size={"height": 640, "width": 640})


def _export(model: Any, family: str, size: tuple[int, int], path: Path) -> None:
    width, height = size
    example = torch.from_numpy(np.random.default_rng(_SEED).integers(0, 255, (2, height, width, 3), dtype=np.uint8))
    outputs = ["logits"] if family == "resnet" else ["logits", "boxes"]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing says that shapes become constants, which is wanted
        torch.onnx.export(
            _Graph(model, family).eval(),
            (example,),
            str(path),
            input_names=["images"],
            output_names=outputs,
            dynamic_axes={name: {0: "n"} for name in ["images", *outputs]},
            opset_version=17,
            dynamo=False,
        )


def _class_names(family: str) -> list[str]:
    return [f"class {number}" for number in range(_CLASSES[family])]


def _write_card(name: str, family: str, folder: Path) -> None:
    classes = _class_names(family)
    width, height = INPUT_PX[name]
    card: dict[str, Any] = {
        "schema": 1,
        "id": name,
        "version": "random weights",
        "task": "classification" if family == "resnet" else "detection",
        "family": family,
        "format": "onnx",
        "files": {"model": "model.onnx"},
        "digests": {"model": sha256_hex((folder / "model.onnx").read_bytes())},
        "licence": "Apache-2.0",
        "ontology": "bench",
        "classes": classes,
        "input": {"width_px": width, "height_px": height, "scaled_decode": True},
    }
    if family != "resnet":
        card["postprocess"] = _postprocess(classes)
    (folder / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False), encoding="utf-8")


def checkpoint_card(folder: Path) -> ModelCard:
    """Give the card of a built detector's Hugging Face folder, which torch runs."""
    content = describe_folder(folder / "hf", CardWishes(f"{folder.name}-torch", "bench", licence="Apache-2.0"))
    content["input"]["scaled_decode"] = True
    content["postprocess"] = _postprocess(content["classes"])
    path = folder / "checkpoint.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return load_card(path)


def _postprocess(classes: list[str]) -> dict[str, Any]:
    # random weights answer about one half everywhere: a trained model's share of boxes survives this
    return {"min_score": 0.9, "nms_iou": 0.6, "max_detections": 100, "draft_score": dict.fromkeys(classes, 0.95)}
