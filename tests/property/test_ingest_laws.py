"""Laws of ingest: nothing escapes a reason code, names are reversible, versions follow content only."""

from __future__ import annotations

import io
import os
import random
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labelop.errors import AnnotationError, ManifestError, UnreadableImageError
from labelop.ingest import names
from labelop.ingest.decode import Limits, decode
from labelop.ingest.manifest import Manifest, build_manifest
from labelop.ingest.masks import mask_of, run_lengths
from labelop.ingest.truth import KnownImage, checked_box
from labelop.settings import Settings

SMALL = Limits(max_bytes=100_000, max_pixels=100_000, max_frames=20)
CODES = {"EMPTY", "CORRUPT", "TOO_LARGE", "NOT_RASTER", "UNSUPPORTED_FORMAT"}


def seeds() -> list[bytes]:
    """Encode one tiny picture in every format."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8))
    encoded = []
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"):
        out = io.BytesIO()
        image.save(out, kind)
        encoded.append(out.getvalue())
    return encoded


SEEDS = seeds()


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8), st.data())
def test_damaged_files_decode_or_have_a_reason(
    data: bytes, changes: list[tuple[int, int]], draw: st.DataObject
) -> None:
    """Whatever bytes are changed or cut, there are RGB pixels or a known reason code, and nothing else."""
    damaged = bytearray(data)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    cut = draw.draw(st.integers(0, len(damaged)))
    try:
        pixels = decode(bytes(damaged[: cut or None]), SMALL)
    except UnreadableImageError as error:
        assert error.code in CODES  # noqa: PT017 - either branch is right
    else:
        assert (pixels.ndim, pixels.shape[2]) == (3, 3)
        assert pixels.dtype == np.dtype("uint8")


@given(st.binary(max_size=200))
def test_any_bytes_end_with_a_reason(data: bytes) -> None:
    """Random bytes never raise anything but the one error with a known code."""
    try:
        decode(data, SMALL)
    except UnreadableImageError as error:
        assert error.code in CODES  # noqa: PT017 - either branch is right


@given(st.binary(max_size=60))
def test_names_come_back(raw: bytes) -> None:
    """Encoding any raw path gives printable ASCII that decodes to the same bytes."""
    path = names.encode(raw)

    assert names.decode(path) == raw
    assert path.isascii()
    assert path.isprintable()


@given(st.text(alphabet="./%2eE0a", max_size=20))
def test_no_path_climbs(path: str) -> None:
    """What passes as a path has no part that leads upwards or to the root."""
    try:
        parts = names.components(path)
    except ManifestError:
        return
    assert not {b"", b".", b".."} & set(parts)
    assert not any(b"/" in part or b"\0" in part for part in parts)


@given(st.lists(st.one_of(st.floats(), st.integers(), st.none(), st.text(max_size=2), st.booleans()), max_size=5))
def test_accepted_boxes_lie_inside(edges: list[object]) -> None:
    """A box is refused or lies inside its image with an area."""
    try:
        box = checked_box(edges, KnownImage("id", 40, 30))
    except AnnotationError as error:
        assert error.context["code"] == "BAD_BOX"  # noqa: PT017 - either branch is right
        return
    assert 0 <= box.x0 < box.x1 <= 40
    assert 0 <= box.y0 < box.y1 <= 30


@given(st.lists(st.booleans(), min_size=20, max_size=20))
def test_run_lengths_agree_with_the_reference(bits: list[bool]) -> None:
    """Masks the reference encodes pass, and their runs add up to the image."""
    from pycocotools import mask  # noqa: PLC0415 - a development tool here

    rle = mask.encode(np.asfortranarray(np.array(bits, np.uint8).reshape(4, 5)))
    counts = rle["counts"].decode()

    assert sum(run_lengths(counts)) == 20
    assert mask_of({"size": [4, 5], "counts": counts}, 5, 4) == counts


@given(st.text(max_size=30))
def test_hostile_run_lengths_are_refused_or_fit(counts: str) -> None:
    """Any text is refused as a mask or describes exactly the pixels of its image."""
    try:
        kept = mask_of({"size": [4, 5], "counts": counts}, 5, 4)
    except AnnotationError:
        return
    assert kept == counts
    assert sum(run_lengths(counts)) == 20


def _take_in(files: dict[str, bytes], order: list[str]) -> Manifest:
    with tempfile.TemporaryDirectory() as folder:
        for name in order:
            (Path(folder) / name).write_bytes(files[name])
            os.utime(Path(folder) / name, (len(name), len(name)))
        return build_manifest(folder, "set", "folder", settings=Settings())


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,6}\.(png|jpg)", fullmatch=True),
        st.sampled_from([*SEEDS, b"", b"text"]),
        min_size=1,
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_version_knows_no_place_order_or_time(files: dict[str, bytes], chance: random.Random) -> None:
    """The same files written elsewhere in another order have the same version, and every file is accounted for."""
    order = sorted(files)
    chance.shuffle(order)
    first, second = _take_in(files, sorted(files)), _take_in(files, order)

    assert first.dataset_version == second.dataset_version
    quarantined = [row for row in first.images if row["outcome"] == "quarantined"]
    assert len(first.images) == len(files)
    assert len(quarantined) == len([row for row in first.quarantine if row["pointer"] == ""])
