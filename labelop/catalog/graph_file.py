"""What an ONNX file holds, read as plain protocol buffers, so that checking a card needs no model library.

Knows neither cards nor engines, and computes nothing with the values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labelop.errors import CatalogError

_VARINT_BITS = 7
_MAX_DEPTH = 64

# field numbers of onnx.proto: the way from ModelProto down to each TensorProto, through nested graphs
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_MODEL_METADATA = 14
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_DOMAIN = 1, 2, 4, 7
_FUNCTION_DOMAIN = 10
_OPERATORS = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training"}
    | {"com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"}
)
"""Domains of operators that engines bring along; all others would need a library of somebody's code."""
_ATTRIBUTE_NAME, _ATTRIBUTE_FLOATS = 1, (2, 7)
_CONSTANTS = ("value_float", "value_floats")
"""Attributes in which a node `Constant` holds floats without a tensor; its output has them as they are."""
_TENSOR_KIND, _TENSOR_NAME, _TENSOR_ENTRY = 2, 8, 13
_FLOAT = 1
_TENSOR_VALUES = {4: "floats", 5: "numbers", 9: "raw", 10: "raw"}
_MULTIPLYING = frozenset(
    {"Conv", "ConvTranspose", "ConvInteger", "MatMul", "Gemm", "Mul", "Einsum", "BatchNormalization"}
    | {"InstanceNormalization", "LayerNormalization", "LSTM", "GRU"}
)
_PASSING = frozenset({"Identity", "Cast", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Slice", "Concat"})


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of constants, or the floats of one attribute."""

    name: str
    """Name of the value: its own, that of the node that holds it, or `node.attribute`."""
    kind: int
    """TensorProto.DataType, for example 1 for 32 bit floats."""
    parts: tuple[bytes | memoryview, ...]
    """Its values as they lie in the file, little-endian; none where they lie outside."""
    numbers: tuple[int, ...]
    """Values of 16 bits and fewer that are written as numbers instead."""
    outside: Mapping[str, str]
    """Where its values lie outside the file: `location`, `offset`, `length`; empty otherwise."""


@dataclass(frozen=True, slots=True)
class GraphFile:
    """The constants of a graph and of all graphs inside it."""

    tensors: tuple[StoredTensor, ...]
    """Every tensor of constants."""
    multiplied: frozenset[str]
    """Names of values that a node multiplies with, as they are or moved, cast and joined."""
    foreign: frozenset[str] = frozenset()
    """Domains of operators that neither engines nor functions of the file itself bring along."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What the exporter wrote beside the graph, for example the names of its classes."""

    @property
    def locations(self) -> set[str]:
        """Files in which weights are kept outside the graph."""
        return {tensor.outside["location"] for tensor in self.tensors if "location" in tensor.outside}


def read_graph(path: Path) -> GraphFile:
    """Read a graph's constants; the values themselves are not copied.

    Source: onnx.proto.

    Raises:
        CatalogError: The file is not a readable ONNX graph.
    """
    reader = _Reader()
    try:
        reader.walk(memoryview(path.read_bytes()), "model")
    except (IndexError, ValueError) as error:
        raise CatalogError(f"File {path.name} is not a readable ONNX graph: {error}.") from error
    return reader.found()


class _Reader:
    """Collects what a walk comes by."""

    def __init__(self) -> None:
        self._tensors: list[StoredTensor] = []
        self._multiplied: set[str] = set()
        self._moved: list[tuple[list[str], list[str]]] = []
        self._used: set[str] = set()
        self._defined: set[str] = set()
        self._metadata: dict[str, str] = {}

    def found(self) -> GraphFile:
        """Tell what there was."""
        # nodes stand in the order in which they are computed
        for takes, gives in reversed(self._moved):
            if not self._multiplied.isdisjoint(gives):
                self._multiplied.update(takes)
        foreign = self._used - self._defined - _OPERATORS
        return GraphFile(tuple(self._tensors), frozenset(self._multiplied), frozenset(foreign), self._metadata)

    def walk(self, message: memoryview, kind: str, owner: str = "", depth: int = 0) -> None:
        """Go through a message and all messages inside it that lead to tensors."""
        if depth > _MAX_DEPTH:
            raise ValueError("graphs are nested too deeply")
        if kind == "tensor":
            self._tensors.append(_tensor(message, owner))
            return
        fields = [(number, value) for number, value in _fields(message) if isinstance(value, memoryview)]
        if kind == "node":
            owner = self._node(fields)
        if kind == "attribute":
            self._attribute(fields, owner)
        if kind == "model":
            self._metadata.update(_entry(value) for number, value in fields if number == _MODEL_METADATA)
        if kind == "function":
            self._defined.update(bytes(value).decode() for number, value in fields if number == _FUNCTION_DOMAIN)
        for number, value in fields:
            child = _CHILDREN[kind].get(number)
            if child is not None:
                self.walk(value, child, owner, depth + 1)

    def _attribute(self, fields: list[tuple[int, memoryview]], owner: str) -> None:
        floats = tuple(value for number, value in fields if number in _ATTRIBUTE_FLOATS)
        if floats:
            name = next((bytes(value).decode() for number, value in fields if number == _ATTRIBUTE_NAME), "")
            self._tensors.append(
                StoredTensor(owner if name in _CONSTANTS else f"{owner}.{name}", _FLOAT, floats, (), {})
            )

    def _node(self, fields: list[tuple[int, memoryview]]) -> str:
        takes, gives, operators, domains = (
            [bytes(value).decode() for number, value in fields if number == place]
            for place in (_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_DOMAIN)
        )
        self._used.update(domains)
        if not _MULTIPLYING.isdisjoint(operators):
            self._multiplied.update(takes)
        elif not _PASSING.isdisjoint(operators):
            self._moved.append((takes, gives))
        return next(iter(gives), "")


def _tensor(message: memoryview, owner: str) -> StoredTensor:
    name, kind = "", 0
    parts: list[bytes | memoryview] = []
    numbers: list[int] = []
    outside: dict[str, str] = {}
    for number, value in _fields(message):
        if isinstance(value, int):
            if number == _TENSOR_KIND:
                kind = value
            elif _TENSOR_VALUES.get(number) == "numbers":
                numbers.append(value)
        elif number == _TENSOR_NAME:
            name = bytes(value).decode()
        elif number == _TENSOR_ENTRY:
            outside.update([_entry(value)])
        elif _TENSOR_VALUES.get(number) == "numbers":
            numbers += _packed(value)
        elif number in _TENSOR_VALUES:
            parts.append(value)
    return StoredTensor(owner or name, kind, tuple(parts), tuple(numbers), outside)


def _entry(message: memoryview) -> tuple[str, str]:
    """Read one StringStringEntryProto: a key and its value."""
    found = {place: bytes(text).decode() for place, text in _fields(message) if isinstance(text, memoryview)}
    return found.get(1, ""), found.get(2, "")


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield the fields of one protocol buffer message: whole numbers as such, all others as their bytes."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire in (1, 5):
            size = 8 if wire == 1 else 4
        elif wire == 2:  # noqa: PLR2004 - wire type number of the format
            size, at = _varint(message, at)
        else:
            raise ValueError(f"wire type {wire} is unknown")
        if at + size > end:
            raise ValueError("a field ends behind the end of the file")
        yield number, message[at : at + size]
        at += size


def _packed(message: memoryview) -> Iterator[int]:
    at = 0
    while at < len(message):
        value, at = _varint(message, at)
        yield value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += _VARINT_BITS
        if shift > 63:  # noqa: PLR2004 - a varint holds 64 bits
            raise ValueError("a number is too long")
