"""Hostile files and records among thousands of good ones, the whole way: ingest, classify, prelabel, land.

Two sources with the same good pictures go the way of `journey`, one of them with everything of section "Files" and
"Records" of docs/how-to/what-is-refused.md in it, decoded by the product's own children. Left out: a file that changes
while it is read and one that may not be read, which take a second process or another user.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

from labelop.engines.lanes import LocalLane
from labelop.landing.store import read_rows
from tests.faults import journey
from tests.faults import world as worlds
from tests.faults.results import Count, kept
from tests.faults.rig import descendants
from tests.faults.test_hostile_annotations import NAMES
from tests.faults.test_hostile_files import FILES, drawn, encoded, fill, many_scans
from tests.faults.world import World, answered, forked

BATCH_IMAGES = 256
_GIB = 1 << 30
_SEED = 17
_PAUSE_SECONDS = 0.05

Wanted = dict[tuple[str, str], set[str]]
"""Codes that would be right, by path and pointer."""

_NO_LABELS: dict[str, bytes] = {
    "deep.json": b"[" * 200_000,
    "nan.json": b'{"images": NaN}',
    "long.json": b'{"images": [{"id": ' + b"9" * 5000 + b"}]}",
    "list.json": b"[]",
    "bytes.json": b"\xff\xfe\x00",
}
"""Annotation files that cost their labels."""

_RECORDS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"bbox": [1, 1, 0, 2]}, "BAD_BOX"),
    ({"bbox": [1, 1, -3, 2]}, "BAD_BOX"),
    ({"bbox": [1, 1, 300, 2]}, "BAD_BOX"),
    ({"bbox": [1e308, 1, 1e308, 2]}, "BAD_BOX"),
    ({"bbox": [1, 1, 10**400, 2]}, "BAD_BOX"),
    ({"bbox": "1,1,3,2"}, "BAD_BOX"),
    ({"category_id": 8}, "UNKNOWN_CATEGORY"),
    ({"id": 0}, "BAD_RECORD"),
    ({"image_id": -1}, "BAD_RECORD"),
    ({"iscrowd": 1}, "CROWD"),
    ({"segmentation": [[1, 1, 2, 2]]}, "BAD_MASK"),
)
"""Records of one annotation, and their codes."""


def at_the_limit(number: int) -> tuple[str, bytes]:
    """Give name and content of a frame of just under 64 million pixels, of the kinds that take most to decode."""
    made = np.tile(np.random.default_rng(number).integers(0, 256, (31, 40), np.uint8), (259, 200))[:7999]
    grey, exif, out = Image.fromarray(made), Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    kind = ("sideways", "see-through", "deep", "whole")[number % 4]
    if kind == "see-through":
        Image.merge("RGBA", [grey] * 4).save(out, "PNG", compress_level=1)
    elif kind == "deep":
        Image.fromarray(made.astype(np.uint16) * 257).save(out, "PNG", compress_level=1)
    else:
        Image.merge("RGB", [grey] * 3).save(out, "JPEG", **({"exif": exif} if kind == "sideways" else {}))
    return f"large-{kind}-{number}", out.getvalue()


def make_good(root: Path, images: int, large: int) -> dict[str, Any]:
    """Write pictures, some of them as large as is allowed, and give a document with one box for each."""
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    fill(root / "images", images)
    for name, data in map(at_the_limit, range(large)):
        (root / "images" / name).write_bytes(data)
    names = sorted(path.name for path in (root / "images").iterdir())
    return {
        "categories": [{"id": 7, "name": "rbc"}],
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 7, "bbox": [1, 1, 3, 2]} for number in range(len(names))
        ],
    }


def add_hostile(root: Path, document: dict[str, Any], bad: int) -> Wanted:
    """Add one file of each rule, and drawn ones up to `bad`, and records; gives the codes that would be right."""
    images, wanted = root / "images", Wanted()

    def put(name: str, data: bytes, codes: Iterable[str]) -> None:
        (images / name).write_bytes(data)
        wanted["images/" + name, ""] = set(codes)

    for name, (make, code) in FILES.items():
        put(name, make(), {code})
    os.mkfifo(images / "pipe.jpg")
    (images / "link.jpg").symlink_to("/etc/passwd")
    (images / "loop.jpg").symlink_to("loop.jpg")
    wanted |= {(f"images/{name}.jpg", ""): {"NOT_REGULAR"} for name in ("pipe", "link", "loop")}
    put("scans.jpg", many_scans(8000, 10_000), {"TOO_SLOW"})
    half = encoded("PNG", _SEED)[:500]
    for raw, escaped in _NAMES.items():
        with suppress(OSError):  # a file system may take no name that is not UTF-8
            Path(os.fsdecode(os.fsencode(images) + b"/" + raw)).write_bytes(half)
            wanted["images/" + escaped, ""] = {"CORRUPT"}
    draw = random.Random(_SEED)
    for number in range(bad - len(wanted)):
        put(f"bad-{number}.jpg", *drawn(number, draw))
    for name, data in _NO_LABELS.items():
        (root / "annotations" / name).write_bytes(data)
        wanted[f"annotations/{name}", "#"] = {"BAD_ANNOTATIONS"}
    records, file = document["annotations"], "annotations/good.json"
    for number, name in enumerate([*NAMES, "half.jpg"], start=len(document["images"])):
        wanted[file, f"/images/{number}"] = {"IMAGE_QUARANTINED" if name == "half.jpg" else "MISSING_IMAGE"}
        document["images"].append({"id": number, "file_name": name, "coco_url": name})
    for changes, code in _RECORDS:
        wanted[file, f"/annotations/{len(records)}"] = {code}
        records.append({"id": len(records), "image_id": 0, "category_id": 7, "bbox": [1, 1, 3, 2]} | changes)
    return wanted


_NAMES = {
    b"two\nlines.png": "two%0Alines.png",
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.png".encode(): "%E2%80%AEgnp.png",
    b"..%2f..%2fup.png": "..%252f..%252fup.png",
    b"\xff\xfe.png": "%FF%FE.png",
    b"n" * 251 + b".png": "n" * 251 + ".png",
}
"""Names that hurt somebody once, as bytes and as the tables spell them."""


def run(folder: Path, images: int, bad: int, large: int) -> dict[str, Count]:
    """Go the whole way twice; gives what was counted, asserts what must hold."""
    clean, mixed = folder / "clean", folder / "mixed"
    _say(clean, make_good(clean, images, large))
    document = make_good(mixed, images, large)
    wanted = add_hostile(mixed, document, bad)
    _say(mixed, document)
    before = _hashes(mixed)
    first, _ = _gone(folder / "1", clean)
    second, peaks = _gone(folder / "2", mixed)
    quarantine = answered(lambda: read_rows(second.store, "quarantine"))
    found = {(row["path"], row["pointer"]): row["reason"] for row in quarantine}
    assert len(found) == len(quarantine), "a fault is told twice"
    wrong = {
        key: (found.get(key), wanted.get(key)) for key in found.keys() | wanted.keys() if not _right(key, found, wanted)
    }
    assert not wrong, wrong
    changed = 0
    for name, columns in _SAME.items():
        one, other = (answered(_rows(world, name, columns)) for world in (first, second))
        changed += sum(rows != other.get(key) for key, rows in one.items() if key != "None")
        extra = other.keys() - one.keys() - {row["image_id"] for row in quarantine} - {"None"}
        assert not extra, f"{name} has rows of images that are neither good nor quarantined"
    assert not changed, f"{changed} good images have other rows beside hostile files"
    assert _hashes(mixed) == before, "an original was changed"
    files = [key for key in wanted if not key[1]]
    assert max(peaks.values()) < _GIB, peaks
    return {
        "good_images_count": images,
        "of_64_megapixels_count": large,
        "hostile_files_count": len(files),
        "hostile_records_count": len(wanted) - len(files),
        "codes_count": len(set(found.values())),
        **{f"quarantined_{code}": count for code, count in sorted(Counter(found.values()).items())},
        "wrong_codes_count": len(wrong),
        "good_rows_that_differ_count": changed,
        "processes_count": len(peaks),
        "peak_mib_of_any_process": round(max(peaks.values()) / (1 << 20), 1),
    }


_SAME = {
    "images": ("path", "format", "mode", "width_px", "height_px", "orientation", "frame_count", "outcome", "split"),
    "levels": ("level", "reason"),
    "prelabels": ("outcome", "reason", "model_id", "width_px", "height_px", "predictions"),
}
"""Tables and columns in which a good image must be the same."""


def _right(key: tuple[str, str], found: dict[tuple[str, str], str], wanted: Wanted) -> bool:
    return found.get(key) in wanted.get(key, ())


def _rows(world: World, name: str, columns: tuple[str, ...]) -> Callable[[], dict[str, list[Any]]]:
    return lambda: journey.rows_of(world, name, columns)


def _say(root: Path, document: dict[str, Any]) -> None:
    (root / "annotations/good.json").write_text(json.dumps(document))


def _gone(folder: Path, source: Path) -> tuple[World, dict[int, int]]:
    """Go the whole way in a process of its own; gives its world and the most memory of it and all it started."""
    environment = worlds.quiet({"store": folder / "store", "data_docs": folder / "docs"})
    told = folder / "plan"
    folder.mkdir()

    def whole_way() -> None:
        # an arm of one model is given stretched pixels; one of several takes whole frames, which is what has to fit
        with patch.object(LocalLane, "takes_stretched", False):
            told.write_text(journey.go(environment, source, BATCH_IMAGES, "coco").plan_id)

    pid = forked(whole_way)
    peaks: dict[int, int] = {}
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        for one in (pid, *descendants(pid)):
            with suppress(OSError):
                peaks[one] = max(peaks.get(one, 0), _peak_bytes(one))
        time.sleep(_PAUSE_SECONDS)
    assert ended[1] == 0, "the run ended badly; its words are above"
    return answered(lambda: journey.planned(environment, source, told.read_text())), peaks


def _peak_bytes(pid: int) -> int:
    """Read the most memory a process ever had, by proc(5)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def _hashes(root: Path) -> dict[Path, str]:
    """Hash every regular file; a pipe cannot be read."""
    files = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def main() -> None:
    """Run it in the size that is asked for."""
    given = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    given.add_argument("--images", type=int, default=5_000)
    given.add_argument("--bad", type=int, default=240)
    given.add_argument("--large", type=int, default=8, help="more good ones, at the limit of pixels")
    size = given.parse_args()
    done = "Hostile files and records among good ones went the whole way from the files to landed predictions"
    with tempfile.TemporaryDirectory(prefix="labelop-hostile-") as folder, kept("hostile-files", done) as counts:
        counts.update(run(Path(folder), size.images, size.bad, size.large))


if __name__ == "__main__":
    main()
