"""VOC and YOLO labels become labels in the canonical frame; a bad record costs only itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from labelop.errors import AnnotationError
from labelop.ingest.manifest import Manifest, build_manifest
from labelop.settings import Settings

Encoder = Callable[..., bytes]
BCCD = Path("../shared/data/bccd")


def build(root: Path, source_format: str) -> Manifest:
    """Read a source."""
    return build_manifest(str(root), "set", source_format, settings=Settings())


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

    manifest = build(root, "voc")

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
    manifest = build(voc(voc_object() + body), "voc")

    assert [(row["pointer"], row["reason"]) for row in manifest.quarantine] == [(pointer, reason)]
    assert manifest.quarantine[0]["image_id"] == manifest.images[0]["image_id"]
    assert len(manifest.truths[0].labels) == 1


@pytest.mark.parametrize("body", [f"<objects>{voc_object()}</objects>", voc_object(edges=(4, 3, 4, 3))])
def test_a_voc_image_whose_objects_were_all_refused_is_not_empty(voc: Callable[[str], Path], body: str) -> None:
    """Objects in a strange place left their image reviewed and without objects, and nothing was told."""
    manifest = build(voc(body), "voc")

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
    manifest = build(voc(text), "voc")

    assert [(row["pointer"], row["reason"]) for row in manifest.quarantine] == [("#", "BAD_ANNOTATIONS")]
    assert manifest.images[0]["outcome"] == "ok"
    assert manifest.truths == ()


def test_voc_labels_of_another_frame_are_refused(voc: Callable[[str], Path]) -> None:
    """A file made for a turned or resized image is not shifted into ours."""
    manifest = build(voc("<size><width>6</width><height>8</height></size>" + voc_object()), "voc")

    assert [row["reason"] for row in manifest.quarantine] == ["SIZE_MISMATCH"]


def test_a_name_in_both_parts_is_held_out(voc: Callable[[str], Path]) -> None:
    """An image listed for training and for validation is never trained on, and it is said."""
    root = voc(voc_object())
    (root / "train.txt").write_text("a\nnowhere\n")
    (root / "val.txt").write_text("a\n")

    manifest = build(root, "voc")

    assert manifest.images[0]["split"] == "val"
    assert [row["reason"] for row in manifest.quarantine] == ["MISSING_IMAGE", "SPLIT_CONFLICT"]


def test_labels_without_their_image_are_listed(voc: Callable[[str], Path]) -> None:
    """An annotation file whose image is missing, or in quarantine, is a fault of its own."""
    root = voc(voc_object())
    (root / "annotations/b.xml").write_text("<annotation/>")
    (root / "annotations/c.xml").write_text("<annotation/>")
    (root / "images/c.png").write_bytes(b"")

    reasons = [(row["path"], row["reason"]) for row in build(root, "voc").quarantine]

    assert reasons == [
        ("annotations/b.xml", "MISSING_IMAGE"),
        ("annotations/c.xml", "IMAGE_QUARANTINED"),
        ("images/c.png", "EMPTY"),
    ]


def test_the_real_photographs_are_taken_in_whole() -> None:
    """All 292 photographs land, with both splits, all classes, and exactly the two points listed as bad boxes."""
    manifest = build(BCCD, "voc")

    assert Counter((row["split"], row["outcome"]) for row in manifest.images) == {
        ("train", "ok"): 205,
        ("val", "ok"): 87,
    }
    assert manifest.categories == ("Platelets", "RBC", "WBC")
    assert [row["reason"] for row in manifest.quarantine] == ["BAD_BOX", "BAD_BOX"]
    assert sum(len(truth.labels) for truth in manifest.truths) == 3941


@pytest.fixture
def yolo(tmp_path: Path, picture: Encoder) -> Callable[[str], Path]:
    """Give a factory of YOLO sources with one 8 x 6 image `images/val/a.png`."""

    def write(lines: str) -> Path:
        for folder in ("images/val", "labels/val"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "images/val/a.png").write_bytes(picture())
        (tmp_path / "labels/val/a.txt").write_text(lines)
        (tmp_path / "data.yaml").write_text("names: {0: tree, 1: house}\n")
        return tmp_path

    return write


def test_yolo_lines_are_read(yolo: Callable[[str], Path]) -> None:
    """Shares of the image become edges; a polygon becomes a box and a mask; the folder names the split."""
    pytest.importorskip("pycocotools")
    manifest = build(yolo("1 0.5 0.5 0.5 0.5\n0 0.25 0.0 0.75 0.0 0.75 0.5\n"), "yolo")

    house, tree = manifest.truths[0].labels
    assert manifest.categories == ("tree", "house")
    assert manifest.images[0]["split"] == "val"
    assert (house.label, house.box.xyxy if house.box else None) == ("house", (2, 1.5, 6, 4.5))
    assert (tree.label, tree.box.xyxy if tree.box else None) == ("tree", (2, 0, 6, 3))
    assert house.mask_rle is None
    assert tree.mask_rle is not None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("5 0.5 0.5 0.5 0.5", "UNKNOWN_CATEGORY"),
        ("-1 0.5 0.5 0.5 0.5", "UNKNOWN_CATEGORY"),
        ("0 0.5 0.5 0.5", "BAD_BOX"),
        ("0 0.5 0.5 nan 0.5", "BAD_BOX"),
        ("0 0.5 0.5 0 0.5", "BAD_BOX"),
        ("0 0.5 0.5 4 0.5", "BAD_BOX"),
        ("0 0.1 0.1 0.5 0.5 0.9 0.1 0.2", "BAD_MASK"),
    ],
)
def test_a_bad_yolo_line_costs_only_itself(yolo: Callable[[str], Path], line: str, reason: str) -> None:
    """The line is in quarantine with its number; the good one after it is kept."""
    manifest = build(yolo(f"{line}\n0 0.5 0.5 0.5 0.5\n"), "yolo")

    pointers = [(row["path"], row["pointer"], row["reason"]) for row in manifest.quarantine]
    assert len(manifest.truths[0].labels) == 1 + (reason == "BAD_MASK" and not pointers)
    assert pointers == [("labels/val/a.txt", "line 1", reason)]


def test_images_that_share_a_label_file_get_no_labels(yolo: Callable[[str], Path], picture: Encoder) -> None:
    """Of `a.png` and `a.bmp` nobody knows whose `a.txt` is; both had its labels."""
    root = yolo("0 0.5 0.5 0.5 0.5\n")
    (root / "images/val/a.bmp").write_bytes(picture("BMP", seed=1))

    manifest = build(root, "yolo")

    assert [(row["path"], row["reason"]) for row in manifest.quarantine] == [("labels/val/a.txt", "BAD_RECORD")]
    assert manifest.truths == ()


@pytest.mark.parametrize("text", ["nonsense\n", "9 0.5 0.5 0.5 0.5\n"])
def test_a_yolo_image_whose_lines_were_all_refused_is_not_empty(yolo: Callable[[str], Path], text: str) -> None:
    """Only an empty file says that there is nothing."""
    manifest = build(yolo(text), "yolo")

    assert [row["reason"] for row in manifest.quarantine] == ["LABELS_LOST", "UNKNOWN_CATEGORY"]
    assert manifest.truths == ()


def test_yolo_labels_of_an_image_that_is_refused_are_told(yolo: Callable[[str], Path]) -> None:
    """They were passed over without a word."""
    root = yolo("0 0.5 0.5 0.5 0.5\n")
    (root / "images/val/a.png").write_bytes(b"")

    reasons = [(row["path"], row["reason"]) for row in build(root, "yolo").quarantine]

    assert reasons == [("images/val/a.png", "EMPTY"), ("labels/val/a.txt", "IMAGE_QUARANTINED")]


def test_lines_of_old_macs_are_lines(yolo: Callable[[str], Path]) -> None:
    """Three boxes behind each other were taken for one polygon."""
    manifest = build(yolo("0 .5 .5 .2 .2\r0 .3 .3 .1 .1\r0 .4 .4 .1 .1\r"), "yolo")

    assert [label.mask_rle for label in manifest.truths[0].labels] == [None] * 3


def test_a_folder_of_labels_may_stand_beside_any_folder_of_images(
    yolo: Callable[[str], Path], picture: Encoder
) -> None:
    """`train/images/a.png` has its labels in `train/labels/a.txt`; they were lost without a word."""
    root = yolo("")
    for path in (root / "images/val/a.png", root / "labels/val/a.txt"):
        path.unlink()
    for folder in ("images/val", "images", "labels/val", "labels"):
        (root / folder).rmdir()
    (root / "train/images").mkdir(parents=True)
    (root / "train/labels").mkdir()
    (root / "train/images/a.png").write_bytes(picture())
    (root / "train/labels/a.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    (root / "train/labels/b.txt").write_text("1 0.5 0.5 0.5 0.5\n")

    manifest = build(root, "yolo")

    assert [[label.label for label in truth.labels] for truth in manifest.truths] == [["house"]]
    assert manifest.images[0]["split"] == "train"
    assert [(row["path"], row["reason"]) for row in manifest.quarantine] == [("train/labels/b.txt", "MISSING_IMAGE")]


def test_yolo_without_any_label_file_is_an_error(yolo: Callable[[str], Path]) -> None:
    """As in every other layout: labels that are looked for in the wrong place are not lost in silence."""
    root = yolo("")
    (root / "labels/val/a.txt").unlink()
    with pytest.raises(AnnotationError, match="no label file"):
        build(root, "yolo")


def test_a_line_is_the_number_of_its_class(yolo: Callable[[str], Path]) -> None:
    """An empty line moved all classes behind it, and two names that are no UTF-8 became one."""
    root = yolo("0 .5 .5 .5 .5\n2 .5 .5 .5 .5\n3 .5 .5 .5 .5\n")
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_bytes(b"\xef\xbb\xbftree\r\n\r\nhouse\r\ncaf\xe9\r\n")

    manifest = build(root, "yolo")

    assert manifest.categories == ("tree", "house")
    assert {label.label for label in manifest.truths[0].labels} == {"tree", "house"}
    assert [(row["pointer"], row["reason"]) for row in manifest.quarantine] == [
        ("class 3", "BAD_RECORD"),
        ("line 3", "UNKNOWN_CATEGORY"),
    ]


def test_yolo_without_class_names_is_an_error(yolo: Callable[[str], Path]) -> None:
    """Numbers without names mean nothing, so that source is refused with a hint."""
    root = yolo("")
    (root / "data.yaml").write_text("names: 3\n")
    with pytest.raises(AnnotationError, match="key names"):
        build(root, "yolo")
    (root / "data.yaml").unlink()
    with pytest.raises(AnnotationError, match=r"classes\.txt"):
        build(root, "yolo")


def test_empty_and_missing_label_files_differ(yolo: Callable[[str], Path], picture: Encoder) -> None:
    """An empty file says that there is nothing; no file says nothing."""
    root = yolo("")
    (root / "images/val/b.png").write_bytes(picture(seed=1))
    (root / "labels/val/orphan.txt").write_text("")

    manifest = build(root, "yolo")

    assert [truth.labels for truth in manifest.truths] == [()]
    assert [row["reason"] for row in manifest.quarantine] == ["MISSING_IMAGE"]
