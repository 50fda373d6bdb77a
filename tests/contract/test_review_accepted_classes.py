"""Corrections made in another tool may only have the classes of their dataset, and come whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from labelop.effort.ledger import land_edits
from labelop.geometry import Box
from labelop.ingest.coco import coco_files
from labelop.ingest.cvat import cvat_files
from labelop.ingest.labelled import LabelledImage, write_files
from labelop.ingest.voc import voc_files
from labelop.ingest.yolo import yolo_files
from labelop.labels import AcceptedLabel
from labelop.landing.store import Store, read_rows
from labelop.review.exchange import import_file
from labelop.review.intake import ImportResult
from tests.unit.review_rows import filled_store, image_id

WRITERS = {"coco": coco_files, "voc": voc_files, "cvat": cvat_files, "yolo": yolo_files}
PLACES = {"coco": "annotations.json", "voc": "annotations", "cvat": "annotations.xml", "yolo": ""}
FIRST, SECOND = Box(10, 20, 60, 70), Box(100, 100, 180, 190)


def labelled(number: int, *classes: str, whole: str | None = None) -> LabelledImage:
    """Label one of the factory's images: the draft boxes as they were, under these names."""
    labels = [AcceptedLabel("", name, box) for name, box in zip(classes, (FIRST, SECOND), strict=False)]
    labels += [AcceptedLabel("", whole)] if whole else []
    return LabelledImage(f"images/a%20{number}.jpg", 320, 256, tuple(labels))


def imported(store: Store, root: Path, tool: str, images: Sequence[LabelledImage], arm: str = "local") -> ImportResult:
    """Write images as a tool would, under whatever classes they have, and import the file."""
    classes = sorted({label.label for image in images for label in image.objects})
    write_files(WRITERS[tool](images, classes), root)
    return import_file(store, root / PLACES[tool], dataset="cells", tool=tool, run_id="run", arm=arm, reviewer="7")


@pytest.mark.parametrize(
    ("tool", "place"),
    [
        ("coco", "/annotations/1"),
        ("voc", "/annotation/object[2]"),
        ("cvat", "/annotations/image[1]/box[2]"),
        ("yolo", "line 2"),
    ],
)
def test_an_unknown_class_costs_its_review_only(tmp_path: Path, tool: str, place: str) -> None:
    """A class outside the dataset's ontology is told with its place, and reviews beside it land.

    Fails where finished labels were not checked: an invented class became an accepted label.
    """
    store = filled_store(tmp_path / "store", images=2)
    result = imported(store, tmp_path / "done", tool, [labelled(0, "RBC", "Typo"), labelled(1, "RBC", "WBC")])
    assert (result.landed, [row["image_id"] for row in read_rows(store, "reviews")]) == (1, [image_id(1)])
    refused = {row["reason"]: row for row in read_rows(store, "quarantine")}
    assert refused.keys() == {"UNKNOWN_LABEL", "LABELS_LOST"}
    told = refused["UNKNOWN_LABEL"]
    assert (told["pointer"], told["image_id"]) == (place, image_id(0))
    assert told["detail"] == "Label 'Typo', expected one of RBC, WBC."
    land_edits(store, "run")
    assert {row["image_id"] for row in read_rows(store, "edits")} == {image_id(1)}


@pytest.mark.parametrize("tool", list(WRITERS))
def test_an_object_that_stands_twice_costs_its_review(tmp_path: Path, tool: str) -> None:
    """Equal objects under two ids were two labels, of which the second counted as one that the reviewer added."""
    doubled = labelled(0, "RBC", "WBC")
    doubled = replace(doubled, labels=(*doubled.labels, doubled.labels[0]))
    store = filled_store(tmp_path / "store", images=2)
    result = imported(store, tmp_path / "done", tool, [doubled, labelled(1, "RBC", "WBC")])
    assert (result.landed, [row["image_id"] for row in read_rows(store, "reviews")]) == (1, [image_id(1)])
    assert {(row["reason"], row["image_id"]) for row in read_rows(store, "quarantine")} == {
        ("DUPLICATE", image_id(0)), ("LABELS_LOST", image_id(0)),
    }  # fmt: skip


@pytest.mark.parametrize("relabelled", ["box", "mask"])
def test_an_object_relabelled_by_half_costs_its_review(tmp_path: Path, relabelled: str) -> None:
    """CVAT has box and mask of an object as two shapes: of two classes they became two accepted labels without a word.

    As truth, where a group may be anything, both are taken as they stand.
    """
    store = filled_store(tmp_path / "store", images=2)
    drafted = read_rows(store, "prelabels")[0]["predictions"][0]
    object_ = AcceptedLabel("", "RBC", FIRST, drafted["mask_rle"])
    images = [replace(labelled(n), labels=(object_,)) for n in range(2)]
    text = cvat_files(images, ["RBC", "WBC"])["annotations.xml"].decode()
    file = tmp_path / "annotations.xml"
    file.write_text(text.replace(f'<{relabelled} label="RBC"', f'<{relabelled} label="WBC"', 1), encoding="utf-8")
    result = import_file(store, file, dataset="cells", tool="cvat", run_id="run", arm="local", reviewer="7")
    assert (result.landed, [row["image_id"] for row in read_rows(store, "reviews")]) == (1, [image_id(1)])
    refused = {row["reason"]: row for row in read_rows(store, "quarantine")}
    assert refused.keys() == {"CLASS_CONFLICT", "LABELS_LOST"}
    told = refused["CLASS_CONFLICT"]
    assert (told["pointer"], told["image_id"]) == ("/annotations/image[1]", image_id(0))
    assert "relabel both" in told["detail"]
    assert import_file(store, file, dataset="cells", tool="cvat", run_id="run", arm="import").landed == 2
    truths = [row for row in read_rows(store, "reviews") if row["arm"] == "import"]
    assert {row["image_id"]: len(row["labels"]) for row in truths} == {image_id(0): 2, image_id(1): 1}


@pytest.mark.parametrize("tool", ["coco", "cvat"])
def test_an_unknown_class_of_the_image_is_no_other(tmp_path: Path, tool: str) -> None:
    """Whole images have classes of their own: neither an invented one nor one of objects is taken for them."""
    store = filled_store(tmp_path / "store")
    done = [labelled(0, "RBC", whole="thick"), labelled(1, "RBC", whole="RBC"), labelled(2, "RBC", whole="foggy")]
    assert imported(store, tmp_path / "done", tool, done).landed == 1
    [row] = read_rows(store, "reviews")
    assert {label["label"] for label in row["labels"]} == {"RBC", "thick"}
    refused = [(row["image_id"], row["reason"]) for row in read_rows(store, "quarantine")]
    assert sorted(refused) == sorted(
        (image_id(number), reason) for number in (1, 2) for reason in ("LABELS_LOST", "UNKNOWN_LABEL")
    )


def test_a_box_that_is_none_does_not_become_a_deletion(tmp_path: Path) -> None:
    """Of corrections with one hopeless box nothing lands: without it the reviewer would have deleted a draft.

    Fails where what is left of an image was taken for all that its reviewer said.
    """
    store = filled_store(tmp_path / "store", images=1)
    write_files(voc_files([labelled(0, "RBC", "WBC")], ["RBC", "WBC"]), tmp_path / "done")
    [file] = (tmp_path / "done/annotations").iterdir()
    file.write_text(file.read_text().replace("<xmax>180</xmax>", "<xmax>9999</xmax>"))
    result = import_file(
        store, tmp_path / "done/annotations", dataset="cells", tool="voc", run_id="run", arm="local", reviewer="7"
    )
    assert (result.landed, read_rows(store, "reviews")) == (0, [])
    assert {row["reason"] for row in read_rows(store, "quarantine")} == {"BAD_BOX", "LABELS_LOST"}


def test_truth_may_know_more_classes(tmp_path: Path) -> None:
    """What comes as truth names its own classes, and corrections may use them from then on."""
    store = filled_store(tmp_path / "store", images=2)
    assert imported(store, tmp_path / "truth", "coco", [labelled(0, "Platelets")], arm="import").landed == 1
    assert imported(store, tmp_path / "done", "coco", [labelled(1, "Platelets", "RBC")]).landed == 1
