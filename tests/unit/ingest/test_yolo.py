"""YOLO labels become labels in the canonical frame; a bad line costs only itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from labelop.errors import AnnotationError
from labelop.ingest.manifest import Manifest, build_manifest
from labelop.settings import Settings

Encoder = Callable[..., bytes]


def build(root: Path) -> Manifest:
    """Read a YOLO source."""
    return build_manifest(str(root), "set", "yolo", settings=Settings())


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
    manifest = build(yolo("1 0.5 0.5 0.5 0.5\n0 0.25 0.0 0.75 0.0 0.75 0.5\n"))

    house, tree = manifest.truths[0].labels
    assert manifest.categories == ("tree", "house")
    assert manifest.images[0]["split"] == "val"
    assert (house.label, house.box.xyxy if house.box else None) == ("house", (2, 1.5, 6, 4.5))
    assert (tree.label, tree.box.xyxy if tree.box else None) == ("tree", (2, 0, 6, 3))
    assert house.mask_rle is None
    assert tree.mask_rle is not None


def test_a_byte_order_mark_is_no_class(yolo: Callable[[str], Path]) -> None:
    """The first label of a file that begins with one was lost."""
    manifest = build(yolo("\ufeff1 0.5 0.5 0.5 0.5\n"))

    assert [label.label for label in manifest.truths[0].labels] == ["house"]
    assert manifest.quarantine == ()


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
    manifest = build(yolo(f"{line}\n0 0.5 0.5 0.5 0.5\n"))

    pointers = [(row["path"], row["pointer"], row["reason"]) for row in manifest.quarantine]
    assert len(manifest.truths[0].labels) == 1 + (reason == "BAD_MASK" and not pointers)
    assert pointers == [("labels/val/a.txt", "line 1", reason)]


def test_keypoints_are_no_polygon(yolo: Callable[[str], Path]) -> None:
    """A box with three keypoints was taken for a polygon of five corners; a line of another length is refused."""
    root = yolo("1 0.5 0.5 0.5 0.5 0.1 0.1 0.9 0.1 0.9 0.9\n1 0.1 0.1 0.9 0.1 0.9 0.9\n")
    (root / "data.yaml").write_text("names: [tree, house]\nkpt_shape: [3, 2]\n")

    manifest = build(root)

    (label,) = manifest.truths[0].labels
    assert (label.box.xyxy if label.box else None, label.mask_rle) == ((2, 1.5, 6, 4.5), None)
    assert [(row["pointer"], row["reason"]) for row in manifest.quarantine] == [("line 2", "BAD_MASK")]
    (root / "data.yaml").write_text("names: [tree, house]\nkpt_shape: many\n")
    with pytest.raises(AnnotationError, match="kpt_shape"):
        build(root)


def test_images_that_share_a_label_file_get_no_labels(yolo: Callable[[str], Path], picture: Encoder) -> None:
    """Of `a.png` and `a.bmp` nobody knows whose `a.txt` is; both had its labels."""
    root = yolo("0 0.5 0.5 0.5 0.5\n")
    (root / "images/val/a.bmp").write_bytes(picture("BMP", seed=1))

    manifest = build(root)

    assert [(row["path"], row["reason"]) for row in manifest.quarantine] == [("labels/val/a.txt", "BAD_RECORD")]
    assert manifest.truths == ()


@pytest.mark.parametrize("text", ["nonsense\n", "9 0.5 0.5 0.5 0.5\n"])
def test_a_yolo_image_whose_lines_were_all_refused_is_not_empty(yolo: Callable[[str], Path], text: str) -> None:
    """Only an empty file says that there is nothing."""
    manifest = build(yolo(text))

    assert [row["reason"] for row in manifest.quarantine] == ["LABELS_LOST", "UNKNOWN_CATEGORY"]
    assert manifest.truths == ()


def test_yolo_labels_of_an_image_that_is_refused_are_told(yolo: Callable[[str], Path]) -> None:
    """They were passed over without a word."""
    root = yolo("0 0.5 0.5 0.5 0.5\n")
    (root / "images/val/a.png").write_bytes(b"")

    reasons = [(row["path"], row["reason"]) for row in build(root).quarantine]

    assert reasons == [("images/val/a.png", "EMPTY"), ("labels/val/a.txt", "IMAGE_QUARANTINED")]


def test_lines_of_old_macs_are_lines(yolo: Callable[[str], Path]) -> None:
    """Three boxes behind each other were taken for one polygon."""
    manifest = build(yolo("0 .5 .5 .2 .2\r0 .3 .3 .1 .1\r0 .4 .4 .1 .1\r"))

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

    manifest = build(root)

    assert [[label.label for label in truth.labels] for truth in manifest.truths] == [["house"]]
    assert manifest.images[0]["split"] == "train"
    assert [(row["path"], row["reason"]) for row in manifest.quarantine] == [("train/labels/b.txt", "MISSING_IMAGE")]


def test_yolo_without_any_label_file_is_an_error(yolo: Callable[[str], Path]) -> None:
    """As in every other layout: labels that are looked for in the wrong place are not lost in silence."""
    root = yolo("")
    (root / "labels/val/a.txt").unlink()
    with pytest.raises(AnnotationError, match="no label file"):
        build(root)


def test_a_line_is_the_number_of_its_class(yolo: Callable[[str], Path]) -> None:
    """An empty line moved all classes behind it, and two names that are no UTF-8 became one."""
    root = yolo("0 .5 .5 .5 .5\n2 .5 .5 .5 .5\n3 .5 .5 .5 .5\n")
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_bytes(b"\xef\xbb\xbftree\r\n\r\nhouse\r\ncaf\xe9\r\n")

    manifest = build(root)

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
        build(root)
    (root / "data.yaml").unlink()
    with pytest.raises(AnnotationError, match=r"classes\.txt"):
        build(root)


def test_empty_and_missing_label_files_differ(yolo: Callable[[str], Path], picture: Encoder) -> None:
    """An empty file says that there is nothing; no file says nothing."""
    root = yolo("")
    (root / "images/val/b.png").write_bytes(picture(seed=1))
    (root / "labels/val/orphan.txt").write_text("")

    manifest = build(root)

    assert [truth.labels for truth in manifest.truths] == [()]
    assert [row["reason"] for row in manifest.quarantine] == ["MISSING_IMAGE"]


def test_names_are_as_many_as_the_file_says(yolo: Callable[[str], Path]) -> None:
    """A number of classes that is not that of the names says that some are missing."""
    root = yolo("0 0.5 0.5 0.5 0.5\n")
    (root / "data.yaml").write_text("nc: 2\nnames: [tree, house]\n")
    assert build(root).categories == ("tree", "house")
    (root / "data.yaml").write_text("nc: 5\nnames: [tree, house]\n")
    with pytest.raises(AnnotationError, match="nc is 5 and there are 2 names"):
        build(root)
