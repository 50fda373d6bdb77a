"""Writes trained networks as ONNX files and checks that they still say what torch said.

Knows the input and output names that the engines expect; knows no data.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from labelop.catalog.label_map import write_labels

from .files import session

OPSET = 17
HALF_FROM = 512  # weights with at least this many numbers are stored in half precision


def _store_half(path: Path) -> None:
    """Store large weights as float16 followed by a cast: half the file, folded back to float32 at load time."""
    model = onnx.load(str(path))
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(weight)
        if values.size < HALF_FROM or float(np.abs(values).max()) > 1e4:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    model.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def write(
    net: torch.nn.Module,
    path: Path,
    *,
    example: tuple[torch.Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    free: dict[str, dict[int, str]],
    tolerance: float,
    unordered: bool = False,
    classes: tuple[str, ...] = (),
) -> None:
    """Export, shrink and compare with torch on the example.

    Args:
        net: a wrapper that takes and returns tensors only.
        path: of the ONNX file.
        example: inputs to trace with; also the inputs of the comparison.
        inputs: names in order.
        outputs: names in order.
        free: dimensions of any size, by name and axis.
        tolerance: largest allowed mean absolute difference, as a part of the output's spread.
        unordered: compare each output's values along axis 1 in order of size: a detector ranks its queries by score,
            and rounding swaps near-equal ones.
        classes: names by output index, kept in the file; none for a segmenter.

    Raises:
        RuntimeError: if an output of the file differs from torch's by more than `tolerance`.

    """
    path.parent.mkdir(exist_ok=True)
    net.eval()  # on the wrapper: the exporter restores the wrapper's mode and would put the inner net back to train
    torch.onnx.export(
        net,
        example,
        str(path),
        input_names=inputs,
        output_names=outputs,
        dynamic_axes=free,
        opset_version=OPSET,
        dynamo=False,
    )
    _store_half(path)
    write_labels(path, classes)
    with torch.no_grad():
        wanted = net(*example)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    got = session(path).run(outputs, {name: value.numpy() for name, value in zip(inputs, example, strict=True)})
    for name, ours, theirs in zip(outputs, got, wanted, strict=True):
        reference, answer = theirs.numpy(), ours
        if unordered:
            reference, answer = np.sort(reference, axis=1), np.sort(answer, axis=1)
        off = float(np.abs(answer - reference).mean() / (reference.std() + 1e-9))
        print(f"{path.name} {name} {ours.shape}: mean difference {off:.1e} of the spread", flush=True)
        if off > tolerance:
            raise RuntimeError(f"{path.name}: output {name} differs from torch by {off:.3g}, allowed {tolerance:.3g}")
