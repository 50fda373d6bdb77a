"""Makes tiny ONNX graphs with their cards, and the pictures they look at.

Weights are seeded noise, which is enough to tell right handling from wrong; nothing here is shipped.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

from labelop.catalog.cards import ModelCard, load_card
from labelop.catalog.files import sha256_of_file
from labelop.engines.base import ImageArray

CLASSES = ("disc", "ring", "dot")
WIDTH_PX, HEIGHT_PX = 32, 24
QUERIES = 7
CELL_PX = 4


def picture(seed: int = 0, width_px: int = 61, height_px: int = 47) -> ImageArray:
    """Draw a small noisy image."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    rows = np.arange(height_px) * 5 // height_px
    columns = np.arange(width_px) * 6 // width_px
    return np.ascontiguousarray(noise[rows][:, columns])


def packed(blobs: Sequence[bytes]) -> bytes:
    """Write BYTES elements as a client does: each behind its length, 4 bytes little-endian."""
    return b"".join(struct.pack("<I", len(blob)) + blob for blob in blobs)


def card_content(model_id: str = "tiny", **changes: Any) -> dict[str, Any]:
    """Fill a valid detector's card; a change of None removes the key."""
    content: dict[str, Any] = {
        "schema": 1,
        "id": model_id,
        "version": "1",
        "task": "detection",
        "family": "rtdetr_v2",
        "format": "onnx",
        "files": {"model": f"{model_id}.onnx"},
        "digests": {"model": "0" * 64},
        "ontology": "shapes",
        "classes": list(CLASSES),
        "input": {"width_px": WIDTH_PX, "height_px": HEIGHT_PX},
        "postprocess": {
            "min_score": 0.05,
            "nms_iou": 0.6,
            "max_detections": 20,
            "draft_score": dict.fromkeys(CLASSES, 0.5),
        },
        "licence": "Apache-2.0",
        "training_data": [{"name": "noise", "licence": "CC0-1.0"}],
        "quality": [{"dataset": "noise", "split": "val", "metric": "ap50", "value": 0.1, "image_count": 3}],
        "reproduce": "none",
    }
    content |= changes
    return {key: value for key, value in content.items() if value is not None}


def write_card(where: Path, model_id: str = "tiny", /, **changes: Any) -> Path:
    """Write a card; digests are those of the files it names where they exist."""
    content = card_content(model_id, **changes)
    if "digests" not in changes:
        content["digests"] = {
            role: sha256_of_file(where / name) if (where / name).is_file() else "0" * 64
            for role, name in content.get("files", {}).items()
        }
    path = where / f"{model_id}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def detector(folder: Path, model_id: str = "tiny-boxes", seed: int = 1) -> ModelCard:
    """Make a detector graph whose answer depends on the image's mean colour."""
    logits = _dense("logits", (3, QUERIES * len(CLASSES)), (QUERIES, len(CLASSES)), seed)
    boxes = _dense("raw_boxes", (3, QUERIES * 4), (QUERIES, 4), seed + 1, bias=-0.5)
    squash = [helper.make_node("Sigmoid", ["raw_boxes"], ["boxes"])]
    outputs = {"logits": ["n", QUERIES, len(CLASSES)], "boxes": ["n", QUERIES, 4]}
    _save(folder / f"{model_id}.onnx", [_MEAN, logits, boxes], squash, outputs)
    return load_card(write_card(folder, model_id))


def faulty_detector(folder: Path, model_id: str = "tiny-faulty") -> ModelCard:
    """Make a detector whose constants are numbers and whose logits are not, cut to a range as models like to do."""
    card = detector(folder, model_id)
    model = onnx.load(str(card.files["model"]))
    next(node for node in model.graph.node if "logits" in node.output).output[0] = "sound"
    nodes = [
        helper.make_node("Constant", [], ["minus"], value_float=-1.0),
        helper.make_node("Sqrt", ["minus"], ["root"]),
        helper.make_node("Add", ["sound", "root"], ["spoilt"]),
        helper.make_node("Constant", [], ["least"], value_float=-9.0),
        helper.make_node("Max", ["spoilt", "least"], ["logits"]),
    ]
    model.graph.node.extend(nodes)
    onnx.save(model, str(card.files["model"]))
    return load_card(write_card(folder, model_id))


def classifier(folder: Path, model_id: str = "tiny-class", seed: int = 3) -> ModelCard:
    """Make a classifier graph."""
    logits = _dense("logits", (3, len(CLASSES)), (len(CLASSES),), seed)
    _save(folder / f"{model_id}.onnx", [_MEAN, logits], [], {"logits": ["n", len(CLASSES)]})
    changes = {"task": "classification", "family": "resnet", "postprocess": None}
    return load_card(write_card(folder, model_id, **changes))


def segmenter(folder: Path, model_id: str = "tiny-masks") -> ModelCard:
    """Make an encoder and a decoder that fills each box's inside."""
    h, w = HEIGHT_PX // CELL_PX, WIDTH_PX // CELL_PX
    floats = helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT)
    grey = helper.make_node("ReduceMean", ["floats"], ["grey"], axes=[3], keepdims=0)
    _save(folder / f"{model_id}-encoder.onnx", [([floats, grey], [])], [], {"grey": ["n", HEIGHT_PX, WIDTH_PX]})
    grids = [
        numpy_helper.from_array(((np.arange(n) + 0.5) * CELL_PX).astype(np.float32), name)
        for name, n in (("gx", w), ("gy", h))
    ]
    edges = [helper.make_node("Split", ["boxes"], ["x0", "y0", "x1", "y1"], axis=2)]
    for low, high, grid, side, axis in (("x0", "x1", "gx", "sx", 2), ("y0", "y1", "gy", "sy", 3)):
        edges += [
            helper.make_node("Sub", [grid, low], [f"{side}l"]),
            helper.make_node("Sub", [high, grid], [f"{side}h"]),
            helper.make_node("Min", [f"{side}l", f"{side}h"], [f"{side}m"]),
            helper.make_node("Unsqueeze", [f"{side}m", f"axis{axis}"], [side]),
        ]
        grids.append(numpy_helper.from_array(np.array([axis], dtype=np.int64), f"axis{axis}"))
    nothing = [
        helper.make_node("ReduceMean", ["grey"], ["shade"], keepdims=0),
        helper.make_node("Mul", ["shade", "zero"], ["none"]),
        helper.make_node("Min", ["sx", "sy"], ["inside"]),
        helper.make_node("Add", ["inside", "none"], ["masks"]),
        helper.make_node("ReduceMean", ["masks"], ["scores"], axes=[2, 3], keepdims=0),
    ]
    grids.append(numpy_helper.from_array(np.array(0, dtype=np.float32), "zero"))
    inputs = {"grey": (TensorProto.FLOAT, [1, HEIGHT_PX, WIDTH_PX]), "boxes": (TensorProto.FLOAT, [1, "b", 4])}
    outputs = {"masks": [1, "b", h, w], "scores": [1, "b"]}
    _save(folder / f"{model_id}-decoder.onnx", [(edges + nothing, grids)], [], outputs, inputs)
    changes = {
        "task": "segmentation",
        "family": "sam2",
        "files": {"encoder": f"{model_id}-encoder.onnx", "decoder": f"{model_id}-decoder.onnx"},
        "encoder_outputs": ["grey"],
        "classes": [],
        "postprocess": None,
        "ontology": "any",
    }
    return load_card(write_card(folder, model_id, **changes))


_Piece = tuple[list[Any], list[Any]]
_IMAGES: dict[str, Any] = {"images": (TensorProto.UINT8, ["n", HEIGHT_PX, WIDTH_PX, 3])}
_MEAN: _Piece = (
    [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["mean"], axes=[1, 2], keepdims=0),
    ],
    [],
)


def _dense(name: str, size: tuple[int, int], shape: tuple[int, ...], seed: int, bias: float = 0.0) -> _Piece:
    random = np.random.default_rng(seed)
    weights = (random.normal(0, 1, size) / 60).astype(np.float32)
    offset = (random.normal(0, 1, size[1]) + bias).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["mean", f"{name}_w"], [f"{name}_p"]),
        helper.make_node("Add", [f"{name}_p", f"{name}_b"], [f"{name}_f"]),
        helper.make_node("Reshape", [f"{name}_f", f"{name}_s"], [name]),
    ]
    constants: dict[str, Any] = {"w": weights, "b": offset, "s": np.array([-1, *shape], dtype=np.int64)}
    return nodes, [numpy_helper.from_array(value, f"{name}_{key}") for key, value in constants.items()]


def _save(
    path: Path,
    pieces: list[_Piece],
    more: list[Any],
    outputs: dict[str, Any],
    inputs: dict[str, Any] | None = None,
) -> None:
    graph = helper.make_graph(
        [node for nodes, _ in pieces for node in nodes] + more,
        "tiny",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in (inputs or _IMAGES).items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [constant for _, constants in pieces for constant in constants],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
