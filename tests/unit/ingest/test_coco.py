"""COCO records become labels in the canonical frame; a bad one costs only itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelop.errors import AnnotationError
from labelop.geometry import Box
from labelop.ingest.masks import encode_mask, extent
from tests.unit.ingest.coco_values import annotation, build, refusals

Write = Callable[..., str]


def test_boxes_masks_and_notes_are_read(coco_source: Write) -> None:
    """A box becomes edges, ready run lengths stay as they are, the image's split and class are kept."""
    rle = {"size": [6, 8], "counts": "0`1"}
    uri = coco_source(
        images=[{"id": 1, "file_name": "a.png", "width": 8, "height": 6, "split": "val", "land_use": "farm"}],
        annotations=[annotation(segmentation=rle)],
    )

    manifest = build(uri)

    truth = manifest.truths[0]
    assert manifest.categories == ("cell",)
    assert manifest.images[0]["split"] == "val"
    assert truth.image_label == "farm"
    assert truth.labels[0].box == Box(1, 1, 4, 3)
    assert truth.labels[0].mask_rle == "0`1"
    assert manifest.quarantine == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bbox": [1, 1, 0, 2]}, "BAD_BOX"),
        ({"bbox": [1, 1, -3, 2]}, "BAD_BOX"),
        ({"bbox": [1, 1, 30, 2]}, "BAD_BOX"),
        ({"bbox": [1e308, 1, 1e308, 2]}, "BAD_BOX"),
        ({"bbox": [1, 1, True, 2]}, "BAD_BOX"),
        ({"bbox": [1, 1, 10**400, 2]}, "BAD_BOX"),
        ({"bbox": "1,1,3,2"}, "BAD_BOX"),
        ({"bbox": [1, 1, 3]}, "BAD_BOX"),
        ({"category_id": 8}, "UNKNOWN_CATEGORY"),
        ({"category_id": True}, "UNKNOWN_CATEGORY"),
        ({"id": 1}, "BAD_RECORD"),
        ({"id": [1]}, "BAD_RECORD"),
        ({"image_id": 99}, "BAD_RECORD"),
        ({"iscrowd": 1}, "CROWD"),
        ({"segmentation": {"size": [8, 6], "counts": "0`1"}}, "BAD_MASK"),
        ({"segmentation": {"size": [6, 8], "counts": "`1"}}, "BAD_MASK"),
        ({"segmentation": {"size": [6, 8], "counts": [48]}}, "BAD_MASK"),
        ({"segmentation": [[1, 1, 2, 2, 3, 3]]}, "BAD_MASK"),
        ({"segmentation": {"size": [6, 8], "counts": [41, 1, 6]}}, "BAD_MASK"),
        ({"segmentation": {"size": [6, 8], "counts": "`"}}, "BAD_MASK"),
        ({"segmentation": {"size": [6, 8], "counts": [1, 2]}}, "BAD_MASK"),
        ({"segmentation": [[1, 1, 2, 2]]}, "BAD_MASK"),
        ({"segmentation": [[1, 1, 2, 2, 3, 1e9]]}, "BAD_MASK"),
    ],
)
def test_a_bad_record_is_quarantined_and_its_siblings_kept(
    coco_source: Write, changes: dict[str, Any], reason: str
) -> None:
    """Each kind of bad annotation has a reason and a JSON pointer; the good one beside it stays."""
    manifest = build(coco_source(annotations=[annotation(id=1), annotation(**changes)]))

    assert refusals(manifest) == [("annotations.json", "/annotations/1", reason)]
    assert len(manifest.truths[0].labels) == 1


def test_equal_objects_are_one(coco_source: Write) -> None:
    """The same class and box again under another id, whatever stands between, was a second object at one place."""
    other = annotation(id=3, bbox=[1, 1, 3, 3])

    manifest = build(coco_source(annotations=[annotation(id=1), other, annotation()]))

    assert [label.box for label in manifest.truths[0].labels] == [Box(1, 1, 4, 3), Box(1, 1, 4, 4)]
    assert refusals(manifest) == [("annotations.json", "/images/0", "DUPLICATE")]


def test_keypoints_are_left_out_and_told(coco_source: Write) -> None:
    """The box of an object with keypoints is taken, the points are a row of the quarantine, points not set are none."""
    manifest = build(
        coco_source(
            annotations=[annotation(id=1, keypoints=[2, 2, 2]), annotation(bbox=[1, 1, 3, 3], keypoints=[0, 0, 0])]
        )
    )

    assert [(row["pointer"], row["reason"]) for row in manifest.quarantine] == [
        ("/annotations/0/keypoints", "KEYPOINTS")
    ]
    assert len(manifest.truths[0].labels) == 2


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ({"id": 1, "file_name": "gone.png"}, "MISSING_IMAGE"),
        ({"id": 1, "file_name": "../../secret.png"}, "MISSING_IMAGE"),
        ({"id": 1, "file_name": "a.png", "width": 6, "height": 8}, "SIZE_MISMATCH"),
        ({"id": "1", "file_name": "a.png"}, "BAD_RECORD"),
        ({"id": 1}, "MISSING_IMAGE"),
    ],
)
def test_a_bad_image_record_has_one_fault(coco_source: Write, image: dict[str, Any], reason: str) -> None:
    """An image record that cannot be used is one fault; boxes made for another frame are never shifted into ours."""
    manifest = build(coco_source(images=[image]))

    assert manifest.quarantine[-1]["reason"] == reason
    assert manifest.quarantine[-1]["pointer"] == "/images/0"
    assert manifest.truths == ()
    assert manifest.images[0]["outcome"] == "ok"


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"images": NaN}', "[" * 100_000, '{"images": {}}', "\ufeff", '{"a": ' + "1" * 5000 + "}"]
)
def test_a_broken_file_costs_its_labels_only(coco_source: Write, tmp_path: Path, text: str) -> None:
    """Images of a source whose annotation file is broken are taken in; the file is in quarantine."""
    uri = coco_source()
    (tmp_path / "annotations.json").write_text(text)

    manifest = build(uri)

    assert {row["reason"] for row in manifest.quarantine} == {"BAD_ANNOTATIONS"}
    assert [row["outcome"] for row in manifest.images] == ["ok"]


@pytest.mark.parametrize(
    ("runs", "place"), [([7, 2, 39], (1, 1, 2, 3)), ([0, 48], (0, 0, 8, 6)), ([5, 2, 41], (0, 0, 2, 6))]
)
def test_the_extent_of_a_mask_by_hand(runs: list[int], place: tuple[int, ...]) -> None:
    """Columns of 6 pixels: within one, all of them, and over the end of one into the next."""
    painted = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(8, 6).T

    assert extent(encode_mask(painted), 6) == place


@pytest.mark.parametrize("flag", [None, 0, False])
def test_an_annotation_that_is_no_crowd_is_taken(coco_source: Write, flag: object) -> None:
    """A label whose crowd flag is null was lost as a crowd."""
    assert build(coco_source(annotations=[annotation(iscrowd=flag)])).quarantine == ()


@pytest.mark.parametrize("name", ["\ud800x", "a\nb", " ", "", 7, "x" * 201])
def test_a_name_that_no_table_can_hold_costs_its_record(coco_source: Write, name: object) -> None:
    """A lone surrogate in the name of a class cost the whole dataset."""
    manifest = build(
        coco_source(
            categories=[{"id": 7, "name": "cell"}, {"id": 8, "name": name}],
            annotations=[annotation(), annotation(id=3, category_id=8)],
        )
    )

    assert [(pointer, reason) for _, pointer, reason in refusals(manifest)] == [
        ("/annotations/1", "UNKNOWN_CATEGORY"),
        ("/categories/1", "BAD_RECORD"),
    ]
    assert manifest.categories == ("cell",)


def test_classes_of_the_whole_image_come_back_from_a_release(coco_source: Write) -> None:
    """Those that a released label set lists are all kept; they were dropped without a word."""
    image = {"id": 1, "file_name": "a.png", "image_labels": ["smear", "stained"]}
    (truth,) = build(coco_source(images=[image], annotations=[])).truths

    assert [(label.label, label.box) for label in truth.labels] == [("smear", None), ("stained", None)]


def test_held_out_wins_between_files(coco_source: Write, tmp_path: Path) -> None:
    """An image that one file trains on and another one holds out is held out; the last one won."""
    uri = coco_source(images=[{"id": 1, "file_name": "a.png", "split": "val"}])
    (tmp_path / "annotations").mkdir()
    text = (tmp_path / "annotations.json").read_text().replace("val", "train")
    (tmp_path / "annotations/more.json").write_text(text)

    manifest = build(uri)

    assert manifest.images[0]["split"] == "val"
    assert sorted(reason for _, _, reason in refusals(manifest)) == ["BAD_RECORD", "SPLIT_CONFLICT"]


def test_of_many_faults_the_first_are_told_and_the_others_counted(coco_source: Write) -> None:
    """A file that holds nothing else cannot fill the quarantine or the memory."""
    manifest = build(coco_source(annotations=[annotation(id=n, category_id=9) for n in range(10_050)]))

    assert len(manifest.quarantine) == 10_001
    (more,) = [row for row in manifest.quarantine if row["reason"] == "MORE_FAULTS"]
    assert more["detail"].startswith("51 ")


def test_the_annotation_file_can_be_named(coco_source: Write, tmp_path: Path) -> None:
    """A source may be given as the address of its JSON file; one that is not there is an error."""
    uri = coco_source()
    (tmp_path / "annotations.json").rename(tmp_path / "night 1.json")

    assert len(build(f"{uri}/night 1.json").truths[0].labels) == 1
    with pytest.raises(AnnotationError, match=r"annotations\.json"):
        build(uri)
    with pytest.raises(AnnotationError, match="gone"):
        build(f"{uri}/gone.json")


def test_public_layout_keeps_images_beside_the_folder_of_annotations(
    tmp_path: Path, picture: Callable[..., bytes]
) -> None:
    """`annotations/instances_val.json` finds `val2017/a.png` by its bare name in the image folder it states."""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2017").mkdir()
    (tmp_path / "val2017/a.png").write_bytes(picture())
    document = {"images": [{"id": 1, "file_name": "val2017/a.png"}], "categories": [], "annotations": []}
    (tmp_path / "annotations/instances_val.json").write_text(json.dumps(document))

    assert [truth.labels for truth in build(str(tmp_path / "annotations/instances_val.json")).truths] == [()]


def test_polygons_and_raw_counts_become_compressed_masks(coco_source: Write) -> None:
    """A polygon and raw run lengths of the same rectangle are the same mask."""
    pytest.importorskip("pycocotools")
    raw, two = [6 + 1, 2, 4, 2, 4, 2, 6 * 4 + 3], [{"id": 7, "name": "cell"}, {"id": 8, "name": "clump"}]
    manifest = build(
        coco_source(
            categories=two,
            annotations=[
                annotation(id=1, segmentation=[[1, 1, 4, 1, 4, 3, 1, 3]]),
                annotation(id=2, category_id=8, segmentation={"size": [6, 8], "counts": raw}),
            ],
        )
    )

    first, second = manifest.truths[0].labels
    assert first.mask_rle == second.mask_rle is not None
    assert first.label_id != second.label_id
