"""Proof that a card's files are the pinned ones and cannot run code: digests, refused formats, outside references.

Knows no engine: ONNX files are walked as plain protocol buffers, so that checking needs no model library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from labelop.errors import CatalogError

PICKLED = frozenset({".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".joblib"})
"""Suffixes of formats whose loading can run code."""

_BLOCK_BYTES = 1 << 20
_VARINT_BITS = 7
_MAX_DEPTH = 64

# field numbers of onnx.proto: the way from ModelProto down to TensorProto.external_data, through nested graphs
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}


def sha256_of_file(path: Path) -> str:
    """Hash a file of any size in blocks; 64 lowercase hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def refuse_pickled(path: Path, card_name: str) -> None:
    """Refuse a file that would run code when loaded.

    Raises:
        CatalogError: The suffix belongs to a pickle-based format.
    """
    if path.suffix.lower() in PICKLED:
        raise CatalogError(
            f"Card {card_name} names {path.name}; pickled weights are refused because loading them runs code.",
            hint="Convert the weights to safetensors or ONNX.",
        )


def inside(folder: Path, name: str, card_name: str) -> Path:
    """Resolve a file of a card, never outside the card's folder.

    Raises:
        CatalogError: The path is absolute or leads outside, by `..` or by a link.
    """
    path = folder / name
    if Path(name).is_absolute() or not path.resolve().is_relative_to(folder.resolve()):
        raise CatalogError(
            f"Card {card_name} names {name!r}, which lies outside the folder of the card.",
            hint="Put the file beside the card.",
        )
    return path


def external_locations(path: Path) -> set[str]:
    """List the files in which an ONNX graph keeps weights outside itself.

    Source: onnx.proto, `TensorProto.external_data` (key `location`).

    Raises:
        CatalogError: The file is not a readable ONNX graph.
    """
    try:
        # a view: slices of it copy nothing, however large the weights are
        found = set(_locations(memoryview(path.read_bytes()), "model", 0))
    except (IndexError, ValueError) as error:
        raise CatalogError(f"File {path.name} is not a readable ONNX graph: {error}.") from error
    return found


def _locations(message: memoryview, kind: str, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise ValueError("graphs are nested too deeply")
    if kind == "entry":
        fields = {number: bytes(value).decode() for number, value in _fields(message)}
        if fields.get(1) == "location":
            yield fields.get(2, "")
        return
    for number, value in _fields(message):
        child = _CHILDREN[kind].get(number)
        if child is not None:
            yield from _locations(value, child, depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the length-delimited fields of one protocol buffer message; other wire types are stepped over."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            _, at = _varint(message, at)
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        elif wire == 2:  # noqa: PLR2004 - wire type number of the format
            size, at = _varint(message, at)
            if at + size > end:
                raise ValueError("a field ends behind the end of the file")
            yield number, message[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {wire} is unknown")


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
