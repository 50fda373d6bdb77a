"""Refuses weights that are no numbers, for every engine alike.

One engine hides them: a model with NaN weights ended each image with a failure on onnxruntime and landed empty answers
on OpenVINO. So they are looked for in the files, before any engine opens them. Knows no engine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelop.catalog.graph_file import GraphFile, StoredTensor
from labelop.errors import CatalogError

NAN, INFINITY = "NaN", "infinity"
"""What a weight may not be."""

_BITS: dict[int | str, tuple[str, int]] = {
    1: ("<u4", 0x7F80_0000),
    10: ("<u2", 0x7C00),
    11: ("<u8", 0x7FF0_0000_0000_0000),
    16: ("<u2", 0x7F80),
}
"""By TensorProto.DataType: the bits of a floating value and those of infinity; above lies what is no number."""
_BITS |= {"F32": _BITS[1], "F16": _BITS[10], "F64": _BITS[11], "BF16": _BITS[16]}
_BLOCK_VALUES = 1 << 20
_MOST_HEADER_BYTES = 100_000_000
"""Largest header of a safetensors file, as the format's own library has it."""


def refuse_faulty_graph(graph: GraphFile, path: Path, model_id: str) -> None:
    """Refuse a graph with NaN among its constants, or with infinity where a node multiplies with it.

    Infinity stays allowed elsewhere: masks of attention add it, and RT-DETR's anchors are infinite off the picture.

    Raises:
        CatalogError: There is such a value; names the tensor.
    """
    for tensor in graph.tensors:
        if tensor.kind not in _BITS:
            continue
        try:
            faults = {_fault(values, tensor.kind) for values in _stored(tensor, path.parent)}
        except (OSError, ValueError, OverflowError) as error:
            raise CatalogError(f"Model {model_id}: {tensor.name} in {path.name} cannot be read: {error}.") from error
        if NAN in faults or (INFINITY in faults and tensor.name in graph.multiplied):
            raise _refused(model_id, tensor.name, path, faults)


def refuse_faulty_safetensors(path: Path, model_id: str) -> None:
    """Refuse a safetensors file with NaN or infinity in it.

    Source: the format's description, https://github.com/huggingface/safetensors: eight bytes of length, a JSON header
    with type and place of each tensor, the values.

    Raises:
        CatalogError: There is such a value, which names the tensor; or the file is none of this format.
    """
    try:
        for name, kind, values in _listed(path):
            if fault := _fault(values, kind):
                raise _refused(model_id, name, path, {fault})
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise CatalogError(f"Model {model_id}: {path.name} is no safetensors file: {error}.") from error


def _listed(path: Path) -> Iterator[tuple[str, str, NDArray[np.uint8]]]:
    data = np.memmap(path, dtype=np.uint8, mode="r")
    size = int(data[:8].view("<u8")[0])
    if size > min(_MOST_HEADER_BYTES, len(data) - 8):
        raise ValueError(f"its header would have {size} bytes")
    header: dict[str, Any] = json.loads(bytes(data[8 : 8 + size]))
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] not in _BITS:
            continue
        first, last = (8 + size + int(place) for place in entry["data_offsets"])
        if not 8 + size <= first <= last <= len(data):
            raise ValueError(f"tensor {name} lies outside of it")
        yield name, entry["dtype"], data[first:last]


def _stored(tensor: StoredTensor, folder: Path) -> Iterator[bytes | memoryview]:
    if "location" not in tensor.outside:
        yield from tensor.parts
        if tensor.numbers:
            yield np.array(tensor.numbers, dtype="<u8").astype("<u2").tobytes()
        return
    with (folder / tensor.outside["location"]).open("rb") as file:
        start = file.seek(int(tensor.outside.get("offset") or 0))
        # without a length the values go on to the end of the file; never more is asked for than it has
        left = max(0, os.fstat(file.fileno()).st_size - start)
        yield file.read(min(int(tensor.outside.get("length") or left), left))


def _fault(values: bytes | memoryview | NDArray[np.uint8], kind: int | str) -> str:
    """Say what among the values is no finite number; empty when all are."""
    form, infinite = _BITS[kind]
    bits = values.view(form) if isinstance(values, np.ndarray) else np.frombuffer(values, dtype=form)
    # without its sign a floating value grows with its bits
    unsigned = bits.dtype.type(np.iinfo(form).max >> 1)
    starts = range(0, len(bits), _BLOCK_VALUES)
    largest = max((int((bits[at : at + _BLOCK_VALUES] & unsigned).max()) for at in starts), default=0)
    if largest < infinite:
        return ""
    return NAN if largest > infinite else INFINITY


def _refused(model_id: str, tensor: str, path: Path, faults: set[str]) -> CatalogError:
    return CatalogError(
        f"Model {model_id}: tensor {tensor} of {path.name} holds {NAN if NAN in faults else INFINITY}, "
        "expected are finite weights.",
        hint="Train or export the model again; such weights give no answer that means anything.",
    )
