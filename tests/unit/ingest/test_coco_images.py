"""Which image a COCO record is about: nothing is labelled twice, and nothing is empty by accident."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.ingest.coco_values import annotation, build, refusals

Write = Callable[..., str]


@pytest.mark.parametrize("place", ["annotations/second.json", "annotations.json"])
def test_labels_in_a_second_record_leave_no_image_empty(coco_source: Write, tmp_path: Path, place: str) -> None:
    """An image whose first record has no label and whose second has some was taken as reviewed and without objects."""
    records = [{"id": 1, "file_name": "a.png"}, {"id": 9, "file_name": "images/a.png"}]
    labels = [annotation(image_id=9)]
    if place == "annotations.json":
        uri = coco_source(images=records, annotations=labels)
    else:
        uri = coco_source(images=records[:1], annotations=[])
        second = json.loads((tmp_path / "annotations.json").read_text()) | {
            "images": records[1:],
            "annotations": labels,
        }
        (tmp_path / "annotations").mkdir()
        (tmp_path / place).write_text(json.dumps(second))

    manifest = build(uri)

    assert [reason for *_, reason in refusals(manifest)] == ["BAD_RECORD"]
    assert manifest.truths == ()


@pytest.mark.parametrize("place", ["annotations/second.json", "annotations.json"])
def test_no_image_is_labelled_twice(
    coco_source: Write, tmp_path: Path, picture: Callable[..., bytes], place: str
) -> None:
    """A second record of an image, in the same file or in another one, is told and not taken; it doubled the labels."""
    records = [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
    uri = coco_source(images=records)
    (tmp_path / "images/b.png").write_bytes(picture(seed=1))
    document = json.loads((tmp_path / "annotations.json").read_text())
    if place == "annotations.json":
        document["images"] = [*records, {"id": 9, "file_name": "images/a.png"}]
        document["annotations"].append(annotation(image_id=9))
    else:
        document["images"] = [{"id": 9, "file_name": "a.png"}]
        document["annotations"][0]["image_id"] = 9
        (tmp_path / "annotations").mkdir()
    (tmp_path / place).write_text(json.dumps(document))

    manifest = build(uri)

    number = 2 if place == "annotations.json" else 0
    assert refusals(manifest) == [(place, f"/images/{number}", "BAD_RECORD")]
    assert sorted(len(truth.labels) for truth in manifest.truths) == [0, 1]


def test_an_image_id_used_twice_is_nobodys(coco_source: Write, tmp_path: Path, picture: Callable[..., bytes]) -> None:
    """Labels of an id that two images share are not given to the first of them."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images/b.png").write_bytes(picture(seed=1))
    manifest = build(coco_source(images=[{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}]))

    assert [pointer for _, pointer, _ in refusals(manifest)] == ["/images/0", "/images/1"]
    assert manifest.truths == ()


def test_a_category_id_with_two_names_is_neither(coco_source: Write) -> None:
    """Labels of a number that means two classes are not given the first of them."""
    manifest = build(coco_source(categories=[{"id": 7, "name": "cell"}, {"id": 7, "name": "clot"}]))

    reasons = [reason for _, _, reason in refusals(manifest)]
    assert sorted(reasons) == ["BAD_RECORD", "LABELS_LOST", "UNKNOWN_CATEGORY"]
    assert manifest.truths == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"annotations": [annotation(bbox=[1, 1, 0, 2])]},
        {"annotations": [annotation(iscrowd=1)]},
        {"annotations": [annotation(image_id="1")]},
        {"images": [{"id": 1, "file_name": "a.png", "image_label": "\ud800"}], "annotations": []},
    ],
)
def test_an_image_whose_labels_were_all_refused_is_not_empty(coco_source: Write, changes: dict[str, Any]) -> None:
    """Nobody said that there is nothing in it, so it is not taken as reviewed; it was."""
    manifest = build(coco_source(**changes))

    assert ("annotations.json", "/images/0", "LABELS_LOST") in refusals(manifest)
    assert manifest.truths == ()
    assert len(build(coco_source(annotations=[])).truths) == 1


@pytest.mark.parametrize("key", ["images", "categories", "annotations"])
@pytest.mark.parametrize("value", [None, {}, "gone"])
def test_a_file_without_one_of_its_lists_says_nothing(
    coco_source: Write, tmp_path: Path, key: str, value: object
) -> None:
    """A misspelt or missing list, or one that is none, leaves no image reviewed and without objects; it did."""
    uri = coco_source(**{key: value})
    if value == "gone":
        document = json.loads((tmp_path / "annotations.json").read_text())
        document[f"my_{key}"] = document.pop(key)
        (tmp_path / "annotations.json").write_text(json.dumps(document))

    manifest = build(uri)

    assert refusals(manifest) == [("annotations.json", "#", "BAD_ANNOTATIONS")]
    assert manifest.truths == ()
