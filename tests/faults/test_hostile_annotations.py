"""A hostile record of an annotation file costs itself; no name or address inside a file is ever opened."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from labelop.ingest.manifest import Manifest, build_manifest
from labelop.settings import Settings

GOOD_BOX = '<box label="cell" xtl="1" ytl="1" xbr="4" ybr="3"/>'
NAMES = ["file:///etc/passwd", "http://127.0.0.1:9/a.png", "../../outside.png", "/etc/passwd", "a\0b.png"]
ENTITY = '<!DOCTYPE a [<!ENTITY x SYSTEM "file://{path}">]>'
LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a source of one 8 x 6 image, and a secret and an image outside of it."""
    source = tmp_path / "source"
    (source / "images").mkdir(parents=True)
    noise = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "PNG")
    (source / "images/a.png").write_bytes(out.getvalue())
    (tmp_path / "outside.png").write_bytes(out.getvalue())
    (tmp_path / "secret.txt").write_text("canary")
    return source


def build(root: Path, source_format: str) -> Manifest:
    """Read a source."""
    return build_manifest(str(root), "set", source_format, settings=Settings())


def cvat(root: Path, shapes: str, *, more: str = "", head: str = "", size: str = 'width="8" height="6"') -> Manifest:
    """Write and read a CVAT file of one image with such shapes, and further records."""
    names = "".join(f"<label><name>{name}</name></label>" for name in ("cell", "smear", "stained"))
    labels = f"<meta><task><labels>{names}</labels></task></meta>"
    image = f'<image id="0" name="a.png" {size} subset="val">{shapes}</image>'
    (root / "annotations.xml").write_text(f"{head}<annotations>{labels}{image}{more}</annotations>")
    return build(root, "cvat")


def reasons(manifest: Manifest) -> list[tuple[str, str]]:
    """Give pointer and reason of every fault."""
    return [(row["pointer"], row["reason"]) for row in manifest.quarantine]


def labels_count(manifest: Manifest) -> int:
    """Count the labels that were kept."""
    return sum(len(truth.labels) for truth in manifest.truths)


def test_cvat_shapes_are_read(root: Path) -> None:
    """Boxes, polygons, the image's tag, its subset and the label list arrive in the canonical frame."""
    polygon = '<polygon label="cell" points="1,1;4,1;4,4"/>'
    manifest = cvat(root, GOOD_BOX + polygon + '<tag label="smear"/>')

    (truth,) = manifest.truths
    assert [label.box.xyxy for label in truth.labels if label.box] == [(1, 1, 4, 3), (1, 1, 4, 4)]
    assert [label.mask_rle is not None for label in truth.labels] == [False, True]
    assert truth.image_label == "smear"
    assert manifest.categories == ("cell", "smear", "stained")
    assert manifest.images[0]["split"] == "val"
    assert manifest.quarantine == ()


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ('<box label="cell" xtl="nan" ytl="1" xbr="4" ybr="3"/>', "BAD_BOX"),
        ('<box label="cell" xtl="1" ytl="1" xbr="inf" ybr="3"/>', "BAD_BOX"),
        ('<box label="cell" xtl="4" ytl="1" xbr="1" ybr="3"/>', "BAD_BOX"),
        ('<box label="cell" xtl="1" ytl="1" xbr="400" ybr="3"/>', "BAD_BOX"),
        ('<box label="cell" xtl="1" ytl="1" xbr="4"/>', "BAD_BOX"),
        ('<box label="cell" xtl="1" ytl="1" xbr="4" ybr="3" rotation="30"/>', "BAD_BOX"),
        ('<box label="other" xtl="1" ytl="1" xbr="4" ybr="3"/>', "UNKNOWN_CATEGORY"),
        ('<box xtl="1" ytl="1" xbr="4" ybr="3"/>', "UNKNOWN_CATEGORY"),
        ('<tag label="other"/>', "UNKNOWN_CATEGORY"),
        ('<polygon label="cell" points="1,1;2,2;3,3"/>', "BAD_MASK"),
        ('<polygon label="cell" points=""/>', "BAD_MASK"),
        ('<polygon label="cell" points="1,1;2"/>', "BAD_MASK"),
        ('<polygon label="cell" points="1,1;2,x;3,3"/>', "BAD_MASK"),
        ('<polygon label="cell" points="1,1;2e9,2;3,3"/>', "BAD_MASK"),
        ('<points label="cell" points="1,1"/>', "BAD_RECORD"),
        ('<script label="cell"/>', "BAD_RECORD"),
    ],
)
def test_a_bad_shape_costs_itself(root: Path, shape: str, reason: str) -> None:
    """Its siblings before and behind it are kept, and its place in the file is told."""
    manifest = cvat(root, GOOD_BOX + shape + GOOD_BOX.replace('xtl="1"', 'xtl="2"'))

    tag = shape[1:].split(" ", maxsplit=1)[0]
    assert reasons(manifest) == [(f"/annotations/image[1]/{tag}[{2 if tag == 'box' else 1}]", reason)]
    assert labels_count(manifest) == 2


@pytest.mark.parametrize(
    ("more", "size", "reason", "kept"),
    [
        ('<image name="a.png" width="8" height="6"/>', 'width="8" height="6"', "BAD_RECORD", 1),
        ("<image/>", 'width="8" height="6"', "MISSING_IMAGE", 1),
        ("", 'width="6" height="8"', "SIZE_MISMATCH", 0),
    ],
)
def test_a_bad_image_record_costs_itself(root: Path, more: str, size: str, reason: str, kept: int) -> None:
    """A second record of an image, one without a name and one for another frame are faults of their own."""
    manifest = cvat(root, GOOD_BOX, more=more, size=size)

    assert [reason for _, reason in reasons(manifest)] == [reason]
    assert labels_count(manifest) == kept


def test_a_cvat_image_whose_shapes_were_all_refused_is_not_empty(root: Path) -> None:
    """A skeleton is an object that has no place here: its image is not one without objects."""
    manifest = cvat(root, '<skeleton label="cell"/>')

    assert [reason for _, reason in reasons(manifest)] == ["LABELS_LOST", "BAD_RECORD"]
    assert manifest.truths == ()


def test_what_belongs_to_no_cvat_image_is_told(root: Path) -> None:
    """Tracks of a video and images in a wrapper were passed over without a word."""
    manifest = cvat(root, GOOD_BOX, more='<track label="cell"/><images><image name="a.png"/></images>')

    assert reasons(manifest) == [("/annotations/images[1]", "BAD_RECORD"), ("/annotations/track[1]", "BAD_RECORD")]
    assert labels_count(manifest) == 1


def test_all_tags_of_a_cvat_image_are_kept(root: Path) -> None:
    """The second class of an image was dropped without a word; a tag without a class is a fault."""
    manifest = cvat(root, GOOD_BOX + '<tag label="smear"/><tag label="stained"/><tag/>')

    assert [label.label for label in manifest.truths[0].labels] == ["cell", "smear", "stained"]
    assert reasons(manifest) == [("/annotations/image[1]/tag[3]", "UNKNOWN_CATEGORY")]


def _coco(root: Path, name: str) -> Manifest:
    document: dict[str, Any] = {
        "images": [{"id": 0, "file_name": name, "coco_url": name}, {"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 7, "name": "cell"}],
        "annotations": [{"id": n, "image_id": n, "category_id": 7, "bbox": [1, 1, 3, 2]} for n in (0, 1)],
    }
    (root / "annotations.json").write_text(json.dumps(document))
    return build(root, "coco")


def _cvat(root: Path, name: str) -> Manifest:
    return cvat(root, GOOD_BOX, more=f'<image name="{name}">{GOOD_BOX}</image>')


@pytest.mark.parametrize("read", [_coco, _cvat])
@pytest.mark.parametrize("name", NAMES)
def test_names_inside_a_file_open_nothing(root: Path, read: Callable[[Path, str], Manifest], name: str) -> None:
    """A path that climbs, an absolute one and an address are names that no file of the source has."""
    if read is _cvat and "\0" in name:
        name = "a b.png"  # XML cannot write a zero byte
    manifest = read(root, name)

    assert [reason for _, reason in reasons(manifest)] == ["MISSING_IMAGE"]
    assert labels_count(manifest) == 1
    assert [row["path"] for row in manifest.images] == ["images/a.png"]


@pytest.mark.parametrize("source_format", ["voc", "cvat"])
@pytest.mark.parametrize("head", [ENTITY, LAUGHS], ids=["entity", "laughs"])
def test_documents_with_entities_are_refused(root: Path, source_format: str, head: str) -> None:
    """No entity is known, so none reads a file and none grows; nothing of the file is repeated."""
    head = head.format(path=root.parent / "secret.txt")
    if source_format == "cvat":
        manifest = cvat(root, GOOD_BOX, head=head)
    else:
        (root / "annotations").mkdir()
        (root / "annotations/a.xml").write_text(f"{head}<annotation><filename>&x;</filename></annotation>")
        manifest = build(root, "voc")

    assert reasons(manifest) == [("#", "BAD_ANNOTATIONS")]
    assert "canary" not in json.dumps(manifest.quarantine)
    assert manifest.images[0]["outcome"] == "ok"


@pytest.mark.parametrize(
    ("source_format", "name", "data"),
    [
        ("coco", "annotations.json", b"[" * 200_000),
        ("coco", "annotations.json", b'{"images": NaN}'),
        ("coco", "annotations.json", b'{"images": [{"id": ' + b"9" * 5000 + b"}]}"),
        ("cvat", "annotations.xml", b"<annotations>" + b"<image>" * 5000),
        ("cvat", "annotations.xml", b"\xff\xfe\x00"),
        ("voc", "annotations/a.xml", b"<svg/>"),
    ],
)
def test_a_file_that_cannot_be_read_costs_its_labels(root: Path, source_format: str, name: str, data: bytes) -> None:
    """The images stand; the file is one fault."""
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_bytes(data)

    manifest = build(root, source_format)

    assert reasons(manifest) == [("#", "BAD_ANNOTATIONS")]
    assert [row["outcome"] for row in manifest.images] == ["ok"]


def test_a_yolo_line_costs_itself(root: Path) -> None:
    """Lines that are no label are told by their number; the others are kept."""
    (root / "labels").mkdir()
    (root / "classes.txt").write_text("cell\n")
    bad = ["nan", "0 nan 0.5 0.1 0.1", "9 0.5 0.5 0.1 0.1", "-1 0.5 0.5 0.1 0.1", "0 5 5 1 1", "0 0.5 0.5 0 0"]
    (root / "labels/a.txt").write_text("\n".join(["0 0.5 0.5 0.25 0.25", *bad, "../x 1 1 1 1"]))

    manifest = build(root, "yolo")

    assert sorted(pointer for pointer, _ in reasons(manifest)) == [f"line {number}" for number in range(2, 9)]
    assert labels_count(manifest) == 1
