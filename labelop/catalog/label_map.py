"""The class names a model file carries itself, so that a card whose classes are renamed or in another order is found.

Exports of this project write them; those of others are read where they use the usual words. Knows no engine, and needs
no model library: a field added to the end of an ONNX file is part of its message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labelop.catalog.graph_file import read_graph
from labelop.errors import CatalogError

_KEYS = ("names", "id2label", "classes")
"""Keys of an ONNX file's metadata under which exporters write a list of names, or a map from place to name."""
_WRITTEN = _KEYS[0]
_PART = re.compile(r"""\s*(?:(\d+)\s*:\s*)?('[^'\\]*'|"[^"\\]*")\s*(?:,|$)""")
"""One name of a list or map as Python writes it, with its place where it is a map."""
_NO_NAME = re.compile(r"LABEL_\d+")
"""What `transformers` calls the classes of a model that was given no names."""

_METADATA_FIELD, _KEY_FIELD, _VALUE_FIELD = 14, 1, 2
_LENGTH_DELIMITED = 2


def labels_of(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    """Read the class names of an ONNX file's metadata, by output index; None where it has none that can be read."""
    found = (labels_in(_content(metadata[key])) for key in _KEYS if key in metadata)
    return next((names for names in found if names is not None), None)


def _content(text: str) -> Any:
    """Read JSON, or a list or map of names as Python writes it; None for anything else."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass  # not JSON
    text = text.strip()
    ends, inner = text[:1] + text[-1:], text[1:-1].rstrip()
    if ends not in ("[]", "{}"):
        return None
    parts, at = [], 0
    while at < len(inner):
        part = _PART.match(inner, at)
        if part is None or (part[1] is None) != (ends == "[]"):
            return None
        parts.append((part[1], part[2][1:-1]))
        at = part.end()
    return dict(parts) if ends == "{}" else [name for _, name in parts]


def config_labels(folder: Path) -> tuple[str, ...] | None:
    """Read the class names of a Hugging Face folder, by output index; None where it has none that can be read."""
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None  # what reads it as a model says what is wrong with it
    return labels_in(content.get("id2label")) if isinstance(content, dict) else None


def labels_in(content: Any) -> tuple[str, ...] | None:
    """Read a list of names, or a map from place to name; None where it is neither, or the names say nothing."""
    if isinstance(content, dict):
        places = {int(place): name for place, name in content.items() if str(place).isdecimal()}
        if len(places) != len(content) or sorted(places) != [*range(len(places))]:
            return None
        content = [places[place] for place in sorted(places)]
    if not isinstance(content, list) or not content or not all(isinstance(name, str) for name in content):
        return None
    return None if all(_NO_NAME.fullmatch(name) for name in content) else tuple(content)


def refuse_other_labels(found: tuple[str, ...] | None, classes: Sequence[str], file: str, model_id: str) -> bool:
    """Refuse a card whose classes are not those of the file, or are in another order.

    Returns:
        Whether there was something to compare.

    Raises:
        CatalogError: They differ; names the first place where they do.
    """
    if found is None or not classes:
        return False
    if found == tuple(classes):
        return True
    pairs = enumerate(zip((*found, "nothing"), (*classes, "nothing"), strict=False))
    place, (theirs, ours) = next((place, pair) for place, pair in pairs if pair[0] != pair[1])
    raise CatalogError(
        f"Model {model_id}: {file} calls class {place} of {len(found)} {theirs!r}, the card calls class {place} of "
        f"{len(classes)} {ours!r}.",
        hint="Give `classes` the names of the file, in its order.",
    )


def write_labels(graph: Path, classes: Sequence[str]) -> None:
    """Add class names to an ONNX file that has none; does nothing to one that has.

    Source: onnx.proto, ModelProto.metadata_props; protocol buffers merge what is written behind one another.
    """
    if not classes or labels_of(read_graph(graph).metadata) is not None:
        return
    names = json.dumps(dict(enumerate(classes)), ensure_ascii=False)
    entry = _field(_KEY_FIELD, _WRITTEN.encode()) + _field(_VALUE_FIELD, names.encode())
    with graph.open("ab") as file:
        file.write(_field(_METADATA_FIELD, entry))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
