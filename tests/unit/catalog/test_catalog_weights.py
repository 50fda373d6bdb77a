"""Weights that are no numbers are found in the files, whatever engine would open them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from labelop.catalog.cards import ModelCard, load_card, verify
from labelop.catalog.graph_file import read_graph
from labelop.catalog.weights import refuse_faulty_safetensors
from labelop.engines.base import open_engine
from labelop.engines.probe import refuse_faulty_answers
from labelop.errors import CatalogError
from labelop.settings import Settings
from tests.unit.engines.models import classifier, detector, segmenter, write_card

FAULTS = {"NaN": np.nan, "infinity": -np.inf}


def spoilt(folder: Path, value: float, tensor: str = "logits_w", saving: dict[str, Any] | None = None) -> ModelCard:
    """Make a detector with one value of a tensor replaced."""
    card = detector(folder)
    model = onnx.load(str(card.files["model"]))
    [found] = [one for one in model.graph.initializer if one.name == tensor]
    values = numpy_helper.to_array(found).copy()
    values.flat[-1] = value
    found.CopyFrom(numpy_helper.from_array(values, tensor))
    onnx.save(model, str(card.files["model"]), **(saving or {}))
    files = {"model": card.files["model"].name} | ({"data": "beside.data"} if saving else {})
    return load_card(write_card(folder, card.id, files=files))


@pytest.mark.parametrize("said", FAULTS)
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_weight_that_is_no_number_opens_on_no_engine(tmp_path: Path, engine: str, said: str) -> None:
    """OpenVINO landed such a model's images as ok before; now the tensor is named and nothing is opened."""
    if engine == "openvino":
        pytest.importorskip("openvino")
    card = spoilt(tmp_path, FAULTS[said])
    with pytest.raises(CatalogError, match=rf"logits_w of tiny-boxes\.onnx holds {said}"):
        open_engine(card, Settings.model_validate({"engine": engine}))


def test_weights_beside_the_graph_are_looked_at_too(tmp_path: Path) -> None:
    """A large model keeps them in a file of their own, at an offset."""
    saving = {"save_as_external_data": True, "location": "beside.data", "size_threshold": 0}
    verify(spoilt(tmp_path, 0.5, saving=saving))
    (tmp_path / "beside.data").unlink()
    with pytest.raises(CatalogError, match=r"raw_boxes_w .* holds NaN"):
        verify(spoilt(tmp_path, np.nan, "raw_boxes_w", saving))


def test_infinity_that_is_only_added_is_allowed(tmp_path: Path) -> None:
    """Masks of attention and anchors hold it rightly; NaN they never hold."""
    verify(spoilt(tmp_path, -np.inf, "logits_b"))
    with pytest.raises(CatalogError, match="logits_b"):
        verify(spoilt(tmp_path, np.nan, "logits_b"))


@pytest.mark.parametrize("is_raw", [True, False])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE])
def test_every_form_of_a_tensor_is_read(tmp_path: Path, kind: int, is_raw: bool) -> None:
    """Each floating type, as bytes or as numbers, in a node of a graph inside a graph, behind a cast, is found."""
    kinds: dict[int, str] = {TensorProto.FLOAT: "<f4", TensorProto.FLOAT16: "<f2", TensorProto.DOUBLE: "<f8"}
    values = np.array([1.0, np.inf])
    if kind in kinds:
        raw = values.astype(kinds[kind]).tobytes()
    else:
        raw = (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    given = raw if is_raw else values
    constant = helper.make_node("Constant", [], ["o"], value=helper.make_tensor("w", kind, [2], given, raw=is_raw))
    nodes = [constant, helper.make_node("Cast", ["o"], ["c"], to=1), helper.make_node("Mul", ["c", "x"], ["y"])]
    inner = helper.make_graph(nodes, "inner", [], [])
    outer = helper.make_node("If", ["q"], ["o"], then_branch=inner, else_branch=inner)
    path = tmp_path / "tiny.onnx"
    path.write_bytes(helper.make_model(helper.make_graph([outer], "outer", [], [])).SerializeToString())
    assert "o" in read_graph(path).multiplied
    with pytest.raises(CatalogError, match=r"tensor o of tiny\.onnx holds infinity"):
        verify(load_card(write_card(tmp_path)))


@pytest.mark.parametrize("form", ["value_float", "value_floats"])
@pytest.mark.parametrize("said", FAULTS)
def test_floats_that_a_node_holds_itself_are_read(tmp_path: Path, form: str, said: str) -> None:
    """Only its tensors were: onnxruntime failed at such a model's images, and OpenVINO landed them as ok."""
    with pytest.raises(CatalogError, match=rf"tensor bad of tiny-boxes\.onnx holds {said}"):
        verify(scaled(tmp_path, helper.make_node("Constant", [], ["bad"], **{form: held(form, FAULTS[said])})))
    verify(scaled(tmp_path, helper.make_node("Constant", [], ["bad"], **{form: held(form, 1.5)})))


def test_infinity_in_a_setting_of_a_node_is_allowed(tmp_path: Path) -> None:
    """A border of infinity is no weight; NaN is nothing anywhere."""
    one = helper.make_node("Constant", [], ["one"], value_float=1.0)
    verify(scaled(tmp_path, one, helper.make_node("Elu", ["one"], ["bad"], alpha=np.inf)))
    with pytest.raises(CatalogError, match=r"tensor bad\.alpha of .* holds NaN"):
        verify(scaled(tmp_path, one, helper.make_node("Elu", ["one"], ["bad"], alpha=np.nan)))


def test_values_that_become_no_numbers_are_found_by_a_pass(tmp_path: Path) -> None:
    """Each constant is a number and their root is none: OpenVINO hides that, so the default engine is asked."""
    root = [helper.make_node("Constant", [], ["c"], value_float=-1.0), helper.make_node("Sqrt", ["c"], ["bad"])]
    card = scaled(tmp_path, *root)
    verify(card)
    with pytest.raises(CatalogError, match="its output logits for a grey picture is not finite"):
        refuse_faulty_answers(card, 1)


@pytest.mark.parametrize("make", [detector, classifier, segmenter])
def test_a_sound_model_passes_its_pass(tmp_path: Path, make: Callable[[Path], ModelCard]) -> None:
    """Of every task."""
    refuse_faulty_answers(make(tmp_path), 1)


def held(form: str, value: float) -> Any:
    """Write a value as an attribute of this form takes it."""
    return value if form == "value_float" else [value]


def scaled(folder: Path, *nodes: onnx.NodeProto) -> ModelCard:
    """Make a detector whose weights are multiplied with `bad`, which the nodes give."""
    card = detector(folder)
    model = onnx.load(str(card.files["model"]))
    before = list(model.graph.node)
    for node in before:
        node.input[:] = ["scaled" if name == "logits_w" else name for name in node.input]
    del model.graph.node[:]
    model.graph.node.extend([*nodes, helper.make_node("Mul", ["logits_w", "bad"], ["scaled"]), *before])
    onnx.save(model, str(card.files["model"]))
    return load_card(write_card(folder, card.id))


def safetensors(path: Path, kind: str, raw: bytes, **header: Any) -> Path:
    """Write a safetensors file with a sound tensor before the one that is given."""
    sound = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    given = {"dtype": kind, "shape": [2], "data_offsets": [4, 4 + len(raw)]} | header
    text = json.dumps({"__metadata__": {"format": "pt"}, "sound": sound, "weight": given}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4) + raw)
    return path


@pytest.mark.parametrize("said", FAULTS)
@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "F64"])
def test_safetensors_are_looked_at_too(tmp_path: Path, kind: str, said: str) -> None:
    """Each floating type of a checkpoint is read; a file with numbers passes."""
    forms = {"F32": "<f4", "F16": "<f2", "F64": "<f8"}
    for value, is_fault in ((FAULTS[said], True), (3.0, False)):
        values = np.array([1.0, value])
        if kind in forms:
            raw = values.astype(forms[kind]).tobytes()
        else:
            # half of a NaN's bits are enough to be one
            raw = (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
        path = safetensors(tmp_path / "model.safetensors", kind, raw)
        if not is_fault:
            refuse_faulty_safetensors(path, "m")
            continue
        with pytest.raises(CatalogError, match=rf"tensor weight of model\.safetensors holds {said}"):
            refuse_faulty_safetensors(path, "m")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 40,
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 3) + b"nil",
        struct.pack("<Q", 9) + b'{"a": {}}',
        struct.pack("<Q", 51) + b'{"a": {"dtype": "F32", "data_offsets": [0, 1e400]}}',
    ],
)
def test_bytes_that_are_no_safetensors_are_refused(tmp_path: Path, data: bytes) -> None:
    """Hostile bytes end in a card error and not in a crash."""
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(CatalogError, match="is no safetensors file"):
        refuse_faulty_safetensors(tmp_path / "model.safetensors", "m")


def test_a_tensor_outside_of_the_file_is_refused(tmp_path: Path) -> None:
    """Its place is checked before it is read."""
    path = safetensors(tmp_path / "model.safetensors", "F32", bytes(8), data_offsets=[4, 400])
    with pytest.raises(CatalogError, match="weight lies outside"):
        refuse_faulty_safetensors(path, "m")
