"""Reads what a Hugging Face folder says of itself and writes the first card for it.

Thresholds of such a card are starting values: nobody has measured the model on the operator's images yet. Knows no
library that runs models.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from labelop.catalog.cards import ModelCard, load_card
from labelop.catalog.files import PICKLED, appear, sha256_of_file
from labelop.catalog.form import FAMILIES, FOLDER_FILES
from labelop.errors import CatalogError

START = {"min_score": 0.05, "nms_iou": 0.7, "max_detections": 100}
"""Thresholds of a detector's first card; its draft scores start at `START_DRAFT`."""
START_DRAFT = 0.5
"""Score from which a reviewer is shown a prediction until somebody has measured a better one."""

_TASKS = {family: task for task, families in FAMILIES.items() for family in families}
_LICENCE = re.compile(r"^license:\s*['\"]?([\w.+-]+)", re.MULTILINE)
_NAME = re.compile(r"[^a-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class CardWishes:
    """What a card shall say whatever its folder does."""

    model_id: str | None = None
    """Name of the model; the folder's, in the letters a card allows, when None."""
    ontology: str = "any"
    """Label ontology its classes belong to."""
    width_px: int | None = None
    """Width of the model's input, pixels; what the folder's preprocessor says when None."""
    height_px: int | None = None
    """The same for its height."""
    licence: str | None = None
    """Licence of the weights; the one named in the folder's README when None, else `unknown`."""


def describe_folder(folder: Path, wishes: CardWishes | None = None) -> dict[str, Any]:
    """Fill the content of a card of format huggingface from a folder.

    Args:
        folder: Holds config.json, model.safetensors and preprocessor_config.json.
        wishes: What the card shall say whatever the folder does; nothing when None.

    Raises:
        CatalogError: A file is missing or unreadable, the weights are pickled, or the model's family is not known.
    """
    wishes = wishes or CardWishes()
    _require_files(folder)
    config, scaling = _read(folder / "config.json"), _read(folder / "preprocessor_config.json")
    family = str(config.get("model_type"))
    if family not in _TASKS:
        raise CatalogError(f"Folder {folder.name} holds a model of type {family!r}; known are {sorted(_TASKS)}.")
    classes = _classes(folder, config)
    width, height = _size(scaling)
    width, height = wishes.width_px or width, wishes.height_px or height
    if width is None or height is None:
        raise CatalogError(
            f"Folder {folder.name}: preprocessor_config.json names no input size.", hint="Give --width and --height."
        )
    content: dict[str, Any] = {
        "schema": 1,
        "id": wishes.model_id or _NAME.sub("-", folder.name.lower()).strip("-._"),
        "version": "1",
        "task": _TASKS[family],
        "family": family,
        "format": "huggingface",
        "folder": folder.name,
        "digests": {name: sha256_of_file(folder / name) for name in FOLDER_FILES},
        "ontology": wishes.ontology,
        "input": {"width_px": width, "height_px": height},
        "licence": wishes.licence or _licence(folder) or "unknown",
        "size_bytes": (folder / "model.safetensors").stat().st_size,
    }
    if content["task"] != "segmentation":
        content["classes"] = classes
    if content["task"] == "detection":
        content["postprocess"] = {**START, "draft_score": dict.fromkeys(classes, START_DRAFT)}
    return content


def write_card(content: Mapping[str, Any], path: Path) -> ModelCard:
    """Write a card that is not there yet, whole or not at all, and read it back.

    Raises:
        CatalogError: A card is there already, or the content breaks the form; nothing is left behind.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".card-") as made:
        half = Path(made) / path.name
        half.write_text(yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True), encoding="utf-8")
        appear(half, path)
    try:
        return load_card(path)
    except CatalogError:
        path.unlink()
        raise


def place(content: Mapping[str, Any], work: Path, output: Path) -> ModelCard:
    """Move a model that was made into its folder: files and report first, then the card that names them.

    Args:
        content: What the card says; `id` names card and report.
        work: Folder with its files and `<id>.parity.json`, on the same disk.
        output: Folder of the card.

    Raises:
        CatalogError: A card or a file of one of these names is there, or the content breaks the form; what was there
            stays as it was, and nothing is left behind.
    """
    placed: list[Path] = []
    try:
        for name in (*content["files"].values(), f"{content['id']}.parity.json"):
            appear(work / name, output / name)
            placed.append(output / name)
        return write_card(content, output / f"{content['id']}.yaml")
    except BaseException:
        for file in placed:
            file.unlink()
        raise


def _require_files(folder: Path) -> None:
    missing = [name for name in FOLDER_FILES if not (folder / name).is_file()]
    if not missing:
        return
    listed = sorted(folder.iterdir()) if folder.is_dir() else []
    if any(file.suffix.lower() in PICKLED for file in listed) and "model.safetensors" in missing:
        raise CatalogError(
            f"Folder {folder.name} holds pickled weights; they are refused because loading them runs code.",
            hint="Take a revision with model.safetensors.",
        )
    raise CatalogError(
        f"Folder {folder.name} lacks {', '.join(missing)}.", hint="Weights in several parts are not supported."
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CatalogError(f"File {path.name} of {path.parent.name} is not readable JSON: {error}.") from error
    if not isinstance(content, dict):
        raise CatalogError(f"File {path.name} of {path.parent.name} is no JSON object.")
    return content


def _classes(folder: Path, config: Mapping[str, Any]) -> list[str]:
    labels = config.get("id2label") or {}
    try:
        return [str(labels[key]) for key in sorted(labels, key=int)]
    except (ValueError, TypeError, AttributeError) as error:
        raise CatalogError(f"Folder {folder.name}: id2label of config.json is no map of numbers to names.") from error


def _size(scaling: Mapping[str, Any]) -> tuple[int | None, int | None]:
    size = scaling.get("size")
    if isinstance(size, dict):
        edge = size.get("shortest_edge")
        found = (size.get("width", edge), size.get("height", edge))
    else:
        found = (size, size)
    width, height = (value if type(value) is int and value > 0 else None for value in found)
    return width, height


def _licence(folder: Path) -> str | None:
    readme = folder / "README.md"
    if not readme.is_file():
        return None
    head = readme.read_text(encoding="utf-8", errors="replace")[:4000]
    found = _LICENCE.search(head.split("\n---", 1)[0]) if head.startswith("---") else None
    return found.group(1) if found else None
