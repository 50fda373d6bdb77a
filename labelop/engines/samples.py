"""Pictures by which models are measured and judged: a few of a folder, as a worker would see them.

Knows no engine and no card.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from labelop.errors import UnreadableImageError
from labelop.ingest.decode import ImageArray
from labelop.ingest.decoders import decoders

_log = logging.getLogger(__name__)


def load_samples(folder: Path, most: int = 24) -> list[ImageArray]:
    """Read pictures of a folder and its subfolders, evenly over the names; RGB, upright; decoded in child processes.

    A picture that cannot be read is left out and named in the log.

    Raises:
        FileNotFoundError: There is none.
        UnreadableImageError: None of those drawn can be read.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not paths:
        raise FileNotFoundError(2, "no JPEG or PNG in the folder", str(folder))
    drawn = [paths[place] for place in np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int)]
    found: list[ImageArray] = []
    problems: list[str] = []
    for path in drawn:
        try:
            found.append(decoders().decode(path.read_bytes()))
        except (UnreadableImageError, OSError) as error:
            problems.append(f"{path.relative_to(folder)}: {error}")
            _log.warning("picture %s is left out: %s", path.relative_to(folder), error)
    if not found:
        raise UnreadableImageError(
            f"None of the {len(drawn)} pictures drawn from {folder} can be read, the first is {problems[0]}",
            code="UNREADABLE",
        )
    return found
