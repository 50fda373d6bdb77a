"""VOC labels become labels in the canonical frame; a bad record costs only itself."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from labelop.geometry import Box
from labelop.ingest import names
from labelop.ingest.labelled import LabelledImage, write_files
from labelop.ingest.manifest import Manifest, build_manifest
from labelop.ingest.voc import voc_files
from labelop.labels import AcceptedLabel
from labelop.settings import Settings

Encoder = Callable[..., bytes]
BCCD = Path("../shared/data/bccd")


def build(root: Path) -> Manifest:
    """Read a VOC source."""
    return build_manifest(str(root), "set", "voc", settings=Settings())


def voc_object(name: str = "RBC", edges: tuple[object, ...] = (1, 1, 4, 3)) -> str:
    """Write one VOC object."""
    sides = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))
    return f"<object><name>{name}</name><bndbox>{sides}</bndbox></object>"


@pytest.fixture
def voc(tmp_path: Path, picture: Encoder) -> Callable[[str], Path]:
    """Give a factory of VOC sources with one 8 x 6 image `images/a.png`."""

    def write(body: str) -> Path:
        for folder in ("images", "annotations"):
            (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / "images/a.png").write_bytes(picture())
        text = body if body.startswith(("<?", "<!")) else f"<annotation>{body}</annotation>"
        (tmp_path / "annotations/a.xml").write_text(text)
        return tmp_path

    return write


def test_voc_objects_and_splits_are_read(voc: Callable[[str], Path]) -> None:
    """Edges stay as written, the lists of names give the split, classes are gathered."""
    root = voc("<size><width>8</width><height>6</height></size>" + voc_object() + voc_object("WBC", (0, 0, 8, 6)))
    (root / "val.txt").write_text("a\n")

    manifest = build(root)

    assert manifest.images[0]["split"] == "val"
    assert manifest.categories == ("RBC", "WBC")
    assert [label.box.xyxy for label in manifest.truths[0].labels if label.box] == [(1, 1, 4, 3), (0, 0, 8, 6)]


@pytest.mark.parametrize(
    ("body", "pointer", "reason"),
    [
        (voc_object(edges=(4, 3, 4, 3)), "/annotation/object[2]", "BAD_BOX"),
        (voc_object(edges=("nan", 1, 4, 3)), "/annotation/object[2]", "BAD_BOX"),
        (voc_object(edges=("x", 1, 4, 3)), "/annotation/object[2]", "BAD_BOX"),
        (voc_object(edges=(1, 1, 400, 3)), "/annotation/object[2]", "BAD_BOX"),
        (voc_object(name=""), "/annotation/object[2]", "BAD_RECORD"),
        ("<object/>", "/annotation/object[2]", "BAD_RECORD"),
        (voc_object().replace("</object>", "<name>WBC</name></object>"), "/annotation/object[2]", "BAD_RECORD"),
        (voc_object(edges=("1_0", 1, 4, 3)), "/annotation/object[2]", "BAD_BOX"),
        (f"<objects>{voc_object()}</objects>", "/annotation/objects[1]", "BAD_RECORD"),
        (voc_object().replace("object", "Object"), "/annotation/Object[1]", "BAD_RECORD"),
        (voc_object().replace("object", "item"), "/annotation/item[1]", "BAD_RECORD"),
    ],
)
def test_a_bad_voc_object_costs_only_itself(voc: Callable[[str], Path], body: str, pointer: str, reason: str) -> None:
    """The object is in quarantine with its place; the good one before it is kept."""
    manifest = build(voc(voc_object() + body))

    assert [(row["pointer"], row["reason"]) for row in manifest.quarantine] == [(pointer, reason)]
    assert manifest.quarantine[0]["image_id"] == manifest.images[0]["image_id"]
    assert len(manifest.truths[0].labels) == 1


@pytest.mark.parametrize("body", [f"<objects>{voc_object()}</objects>", voc_object(edges=(4, 3, 4, 3))])
def test_a_voc_image_whose_objects_were_all_refused_is_not_empty(voc: Callable[[str], Path], body: str) -> None:
    """Objects in a strange place left their image reviewed and without objects, and nothing was told."""
    manifest = build(voc(body))

    assert [row["reason"] for row in manifest.quarantine][:-1] == ["LABELS_LOST"]
    assert manifest.truths == ()


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/hostname'>]><annotation>&x;</annotation>",
        "<!DOCTYPE a [<!ENTITY x 'y'><!ENTITY z '&x;&x;&x;'>]><annotation>&z;</annotation>",
        "<?xml version='1.0'?><annotation>",
        "<?xml version='1.0' encoding='nonsense'?><annotation/>",
        "<?xml version='1.0'?><other/>",
    ],
)
def test_hostile_xml_costs_its_labels_only(voc: Callable[[str], Path], text: str) -> None:
    """Entities are never resolved; a file that is no plain annotation is in quarantine, its image is not."""
    manifest = build(voc(text))

    assert [(row["pointer"], row["reason"]) for row in manifest.quarantine] == [("#", "BAD_ANNOTATIONS")]
    assert manifest.images[0]["outcome"] == "ok"
    assert manifest.truths == ()


def test_voc_labels_of_another_frame_are_refused(voc: Callable[[str], Path]) -> None:
    """A file made for a turned or resized image is not shifted into ours."""
    manifest = build(voc("<size><width>6</width><height>8</height></size>" + voc_object()))

    assert [row["reason"] for row in manifest.quarantine] == ["SIZE_MISMATCH"]


def test_a_name_in_both_parts_is_held_out(voc: Callable[[str], Path]) -> None:
    """An image listed for training and for validation is never trained on, and it is said."""
    root = voc(voc_object())
    (root / "train.txt").write_text("a\nnowhere\n")
    (root / "val.txt").write_text("a\n")

    manifest = build(root)

    assert manifest.images[0]["split"] == "val"
    assert [row["reason"] for row in manifest.quarantine] == ["MISSING_IMAGE", "SPLIT_CONFLICT"]


def test_names_in_a_list_may_hold_blanks(voc: Callable[[str], Path], picture: Encoder) -> None:
    """A name ends at a blank only where that is no name: `a b` put `a` into its part."""
    root = voc(voc_object())
    (root / "images/a b.png").write_bytes(picture(seed=1))
    (root / "val.txt").write_text("a b\n")
    (root / "train.txt").write_text("a  1\n")

    manifest = build(root)

    assert {row["path"]: row["split"] for row in manifest.images} == {
        "images/a%20b.png": "val",
        "images/a.png": "train",
    }


def test_labels_without_their_image_are_listed(voc: Callable[[str], Path]) -> None:
    """An annotation file whose image is missing, or in quarantine, is a fault of its own."""
    root = voc(voc_object())
    (root / "annotations/b.xml").write_text("<annotation/>")
    (root / "annotations/c.xml").write_text("<annotation/>")
    (root / "images/c.png").write_bytes(b"")

    reasons = [(row["path"], row["reason"]) for row in build(root).quarantine]

    assert reasons == [
        ("annotations/b.xml", "MISSING_IMAGE"),
        ("annotations/c.xml", "IMAGE_QUARANTINED"),
        ("images/c.png", "EMPTY"),
    ]


@pytest.mark.parametrize(
    ("name", "is_taken"),
    [
        ("a.png", True),
        (" images/a.png ", True),
        ("a", True),
        ("a.jpg", True),
        ("", True),
        ("b.png", False),
        ("ba.png", False),
        ("../../a.png", False),
        ("/etc/passwd", False),
        ("/", False),
        (".", False),
    ],
)
def test_labels_that_name_another_file_are_not_taken(voc: Callable[[str], Path], name: str, is_taken: bool) -> None:
    """Labels whose `filename` is another file went to the image that is called as theirs, without a word."""
    manifest = build(voc(f"<filename>{name}</filename>{voc_object()}"))

    assert [row["reason"] for row in manifest.quarantine] == ([] if is_taken else ["MISSING_IMAGE"])
    assert len(manifest.truths) == is_taken


@pytest.mark.parametrize("name", [b"b\xff.png", b"b\n.png", b" b .png ", b"b%20.png"])
def test_names_of_every_kind_are_written_so_that_they_are_read(voc: Callable[[str], Path], name: bytes) -> None:
    """What is written as `filename` for a name that XML cannot hold, or with blanks around, is the image's name."""
    path = names.encode(name)
    root = voc(voc_object())
    (root / "annotations/a.xml").unlink()
    (root / "images/a.png").rename(root / "images" / os.fsdecode(name))
    written = voc_files([LabelledImage(f"images/{path}", 8, 6, (AcceptedLabel("", "RBC", Box(1, 1, 4, 3)),))], ["RBC"])
    write_files(written, root)

    assert [len(truth.labels) for truth in build(root).truths] == [1]


def test_the_real_photographs_are_taken_in_whole() -> None:
    """All 292 photographs land, with both splits, all classes, and exactly the two points listed as bad boxes."""
    manifest = build(BCCD)

    assert Counter((row["split"], row["outcome"]) for row in manifest.images) == {
        ("train", "ok"): 205,
        ("val", "ok"): 87,
    }
    assert manifest.categories == ("Platelets", "RBC", "WBC")
    assert [row["reason"] for row in manifest.quarantine] == ["BAD_BOX", "BAD_BOX"]
    assert sum(len(truth.labels) for truth in manifest.truths) == 3941
