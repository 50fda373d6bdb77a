"""Publishes a trained network: ONNX file, measured quality, model card.

Every figure in a card is measured here on the final file; none is typed in by hand.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from data.sample.draw import parcels, smears
from data.sample.draw.scene import TRAINING_SEEDS

from . import classifier, detectors, evaluate, export, files, nets, segmenter

LICENCE = "Apache-2.0"
DRAWN = (
    {"name": "drawn smears", "licence": LICENCE, "split": "train"},
    {
        "name": "drawn parcels",
        "licence": LICENCE,
        "split": "train",
    },
)
BCCD = {"name": "BCCD", "licence": "MIT", "split": "train"}
NAMES = (*detectors.PLANS, "parcels-landuse", "boxes-to-masks")
SCALED = ("cells-small", "cells-large", "boxes-to-masks")  # `python -m bench.scaled`: no figure moves by 0.005
_TUNING_SEEDS = TRAINING_SEEDS * 2  # drawn for choosing draft scores: neither trained on nor shipped


def _card(name: str, task: str, family: str, net: torch.nn.Module, parts: dict[str, str]) -> dict[str, Any]:
    paths = {role: files.MODELS / file for role, file in parts.items()}
    return {
        "schema": 1,
        "id": name,
        "version": "1",
        "task": task,
        "family": family,
        "format": "onnx",
        "files": parts,
        "digests": {role: files.digest(path) for role, path in paths.items()},
        "licence": LICENCE,
        "reproduce": "make train",
        "parameters_count": sum(weight.numel() for weight in net.parameters()),
        "size_bytes": sum(path.stat().st_size for path in paths.values()),
    }


def _input(name: str, width: int, height: int) -> dict[str, Any]:
    size = {"width_px": width, "height_px": height}
    return size | ({"scaled_decode": True} if name in SCALED else {})


def _save(card: dict[str, Any]) -> None:
    path = files.MODELS / f"{card['id']}.yaml"
    path.write_text(yaml.safe_dump(card, sort_keys=False, width=120), encoding="utf-8")
    for row in card["quality"]:
        print(f"{card['id']} {row['dataset']} {row['split']} {row['metric']} {row['value']}", flush=True)


def _examples(dataset: str, width: int, height: int) -> torch.Tensor:
    pictures = [truth.image.resize((width, height)) for truth in islice(evaluate.sample(dataset, "train"), 3)]
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))


def _tuning(kind: str) -> list[evaluate.Truth]:
    """Pictures for choosing the draft scores: never a held-out one."""
    painter, truths = (smears if kind == "cells" else parcels), []
    for seed in range(_TUNING_SEEDS, _TUNING_SEEDS + 60):
        scene = painter.draw(seed)
        boxes = np.array([one.box for one in scene.objects], dtype=np.float64)
        labels = tuple(one.label for one in scene.objects)
        truths.append(evaluate.Truth(Image.fromarray(scene.pixels), boxes, labels))
    return truths + (list(islice(evaluate.photographs("train"), 60)) if kind == "cells" else [])


def detector(name: str, net: torch.nn.Module) -> None:
    """Publish one detector."""
    kind = name.split("-", maxsplit=1)[0]
    dataset, classes, stage = (
        ("smears" if kind == "cells" else kind),
        detectors.ONTOLOGY[kind],
        detectors.PLANS[name][-1],
    )
    path = files.MODELS / f"{name}.onnx"
    some = {"images": {0: "n"}, "logits": {0: "n"}, "boxes": {0: "n"}}
    example = (_examples(dataset, stage.width, stage.height),)
    whole = nets.DetectorFile(net, nets.LIGHT[kind])
    export.write(
        whole,
        path,
        example=example,
        inputs=["images"],
        outputs=["logits", "boxes"],
        free=some,
        tolerance=0.01,
        unordered=True,
        classes=classes,
    )
    tuning, run = _tuning(kind), files.session(path)
    draft = evaluate.best_scores(classes, tuning, [evaluate.detect(run, classes, one.image) for one in tuning])
    quality = evaluate.detector_quality(name, classes, draft, dataset, evaluate.sample(dataset))
    if kind == "cells":
        quality += evaluate.detector_quality(name, classes, draft, "bccd", evaluate.photographs())
    card = _card(name, "detection", "rtdetr_v2", net, {"model": path.name})
    card |= {
        "ontology": kind,
        "classes": list(classes),
        "input": _input(name, stage.width, stage.height),
        "postprocess": {
            "min_score": evaluate.MIN_SCORE,
            "nms_iou": evaluate.NMS_IOU,
            "max_detections": evaluate.MOST,
            "draft_score": draft,
        },
        "training_data": [DRAWN[0], BCCD] if kind == "cells" else [DRAWN[1]],
        "quality": quality,
    }
    _save(card)


def landuse(name: str, net: torch.nn.Module) -> None:
    """Publish the classifier."""
    path = files.MODELS / f"{name}.onnx"
    export.write(
        nets.ClassifierFile(net, nets.LIGHT["parcels"]),
        path,
        example=(_examples("parcels", classifier.SIDE, classifier.SIDE),),
        inputs=["images"],
        outputs=["logits"],
        free={"images": {0: "n"}, "logits": {0: "n"}},
        tolerance=0.01,
        classes=parcels.LAND_USES,
    )
    card = _card(name, "classification", "resnet", net, {"model": path.name})
    card |= {
        "ontology": "parcels",
        "classes": list(parcels.LAND_USES),
        "input": _input(name, classifier.SIDE, classifier.SIDE),
        "training_data": [DRAWN[1]],
        "quality": evaluate.classifier_quality(name, parcels.LAND_USES),
    }
    _save(card)


def masks(name: str, net: segmenter.Segmenter) -> None:
    """Publish the segmenter as encoder and decoder."""
    names, side = segmenter.FEATURES, segmenter.SIDE
    parts = {role: f"{name}-{role}.onnx" for role in ("encoder", "decoder")}
    images = _examples("smears", side, side)
    export.write(
        segmenter.EncoderFile(net),
        files.MODELS / parts["encoder"],
        example=(images,),
        inputs=["images"],
        outputs=names,
        free={part: {0: "n"} for part in ("images", *names)},
        tolerance=0.01,
    )
    with torch.no_grad():
        maps = [part[:1] for part in net.encode(images)]
    boxes = torch.tensor([[[20.0, 30, 60, 70], [100, 90, 150, 150], [5, 5, 30, 25]]])
    export.write(
        segmenter.DecoderFile(net),
        files.MODELS / parts["decoder"],
        example=(*maps, boxes),
        inputs=[*names, "boxes"],
        outputs=["masks", "scores"],
        free={"boxes": {1: "b"}, "masks": {1: "b"}, "scores": {1: "b"}},
        tolerance=0.02,
    )
    card = _card(name, "segmentation", "sam2", net, parts)
    card |= {
        "ontology": "any",
        "classes": [],
        "input": _input(name, side, side),
        "encoder_outputs": names,
        "training_data": [*DRAWN],
        "quality": [
            row for dataset in ("smears", "parcels") for row in evaluate.segmenter_quality(name, names, dataset)
        ],
    }
    _save(card)


def publish(name: str) -> None:
    """Train one model where its checkpoints do not do, and write its files and card."""
    if name == "parcels-landuse":
        landuse(name, classifier.build())
    elif name == "boxes-to-masks":
        masks(name, segmenter.build())
    else:
        detector(name, detectors.build(name))
