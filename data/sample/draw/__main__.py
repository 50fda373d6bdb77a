"""`python -m data.sample.draw`: write every drawn picture and its truth again, byte for byte.

`--seed` draws pictures nobody has tuned a signal on, into a folder of their own.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from pathlib import Path

import numpy as np

from . import hostile, parcels, sensitive, smears, truth
from .scene import SAMPLE_SEEDS

SAMPLE = Path(__file__).resolve().parents[1]
COUNT = 160  # pictures in each dataset
VAL = 32  # of them held out from all training
# declared level, pictures, how many of them carry burned-in text, how many a position; None is undeclared
LEVELS: tuple[tuple[str | None, int, int, int], ...] = (
    ("public", 33, 0, 0),
    ("internal", 32, 0, 0),
    ("public", 5, 0, 5),  # declared too low: the position must lift these
    ("confidential", 24, 12, 4),
    ("restricted", 28, 20, 8),
    (None, 38, 10, 8),
)


def _split(stream: int) -> list[str]:
    held = set(np.random.default_rng([17, stream]).permutation(COUNT)[:VAL].tolist())
    return ["val" if index in held else "train" for index in range(COUNT)]


def _text(index: int, rng: np.random.Generator) -> str:
    year, month, day = 1930 + int(rng.integers(80)), 1 + int(rng.integers(12)), 1 + int(rng.integers(28))
    return f"PAT {4000 + 37 * index:06d} DOB {year}-{month:02d}-{day:02d}"


def smear_entries(only: frozenset[int] | None = None) -> tuple[list[truth.Entry], list[tuple[str, str]]]:
    """The smears and their declared levels; with `only`, just the pictures of those numbers are drawn."""
    order = np.random.default_rng(19).permutation(COUNT).tolist()
    kinds: list[tuple[str | None, bool, bool]] = []
    for level, count, texts, places in LEVELS:
        kinds += [(level, k < texts, k >= count - places) for k in range(count)]
    entries, levels, split = [], [], _split(1)
    for index in range(COUNT):
        level, text, gps = kinds[order[index]]
        name = f"smear_{index:04d}.jpg"
        if level is not None:
            levels.append((name, level))
        if only is None or index in only:
            burned = _text(index, np.random.default_rng([23, index])) if text else ""
            entries.append(truth.Entry(name, smears.draw(SAMPLE_SEEDS + index, burned), split[index], gps))
    return entries, levels


def parcel_entries(only: frozenset[int] | None = None) -> tuple[list[truth.Entry], list[tuple[str, str]]]:
    """The parcels, all declared public; with `only`, just the pictures of those numbers are drawn."""
    split = _split(2)
    wanted = [k for k in range(COUNT) if only is None or k in only]
    entries = [truth.Entry(f"parcel_{k:04d}.jpg", parcels.draw(SAMPLE_SEEDS + k), split[k]) for k in wanted]
    return entries, [(f"parcel_{k:04d}.jpg", "public") for k in range(COUNT)]


def _write_levels(folder: Path, levels: list[tuple[str, str]]) -> None:
    with (folder / "levels.csv").open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(("file_name", "level"))
        table.writerows(levels)


def write(folder: Path) -> None:
    """Write smears, parcels, hostile and sensitive files below `folder`."""
    entries, levels = smear_entries()
    truth.write(folder / "smears", "Drawn blood smears", smears.CLASSES, entries)
    _write_levels(folder / "smears", levels)
    entries, levels = parcel_entries()
    truth.write(folder / "parcels", "Drawn land parcels", parcels.CLASSES, entries)
    _write_levels(folder / "parcels", levels)
    hostile.write(folder / "hostile")
    sensitive.write(folder / "sensitivity")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=SAMPLE, help="where to write; the sample itself by default")
    parser.add_argument(
        "--seed", type=int, help="draw only the evaluation set of the signals, anew from this seed, into --folder"
    )
    asked = parser.parse_args()
    if asked.seed is None:
        write(asked.folder)
    elif asked.folder == SAMPLE:
        parser.error("--seed needs a --folder of its own")
    else:
        sensitive.write(asked.folder, asked.seed)
        shutil.copy(SAMPLE / "sensitivity/policy.yaml", asked.folder)
