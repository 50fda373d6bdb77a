"""Proof that a card's files are the pinned ones and cannot run code: digests, refused formats, paths that stay inside.

Knows no engine, and no format but by its suffix.
"""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

from labelop.errors import CatalogError
from labelop.ids import digest_of_file

PICKLED = frozenset({".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".joblib"})
"""Suffixes of formats whose loading can run code."""

_MOST_WORDS = 200
"""Characters of foreign text in a message."""


def sha256_of_file(path: Path) -> str:
    """Hash a file of any size in blocks; 64 lowercase hex digits."""
    with path.open("rb") as file:
        return digest_of_file(file)


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


def resolved(path: Path, card_name: str) -> Path:
    """Follow the links of a path that a card or a graph names; the file itself may be missing.

    Raises:
        CatalogError: No system could have such a path: a NUL in it, a name that is too long, links in a circle.
    """
    try:
        target = path.resolve()
        target.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass  # what is missing is told when it is needed
    # one error of the system, one of an odd byte, and what this version of Python raises for a circle
    except (OSError, ValueError, RuntimeError) as error:
        said = textwrap.shorten(str(error), _MOST_WORDS, placeholder=" ...")
        raise CatalogError(
            f"Card {card_name} names {_short(path.name)}, which is no path of a file: {said}.",
            hint="Give the name of a file beside the card.",
        ) from error
    return target


def inside(folder: Path, name: str, card_name: str) -> Path:
    """Find a file of a card, never outside the card's folder.

    Raises:
        CatalogError: The path is absolute or leads outside, by `..` or by a link; or is no path, see `resolved`.
    """
    path = folder / name
    if Path(name).is_absolute() or not resolved(path, card_name).is_relative_to(folder.resolve()):
        raise CatalogError(
            f"Card {card_name} names {_short(name)}, which lies outside the folder of the card.",
            hint="Put the file beside the card.",
        )
    return path


def _short(name: str) -> str:
    return repr(name if len(name) <= _MOST_WORDS else f"{name[:_MOST_WORDS]} ...")


def appear(made: Path, target: Path) -> None:
    """Move a finished file to its place in one step, and never over another.

    Raises:
        CatalogError: There is a file of this name.
    """
    try:
        os.link(made, target)
    except FileExistsError as error:
        raise _taken(target) from error
    except OSError as error:
        # a disk without links: there the look and the move are two steps
        if target.exists():
            raise _taken(target) from error
        made.rename(target)


def _taken(target: Path) -> CatalogError:
    what = "Card" if target.suffix == ".yaml" else "File"
    return CatalogError(f"{what} {target.name} is there already.", hint="Give another --id, or remove it.")
