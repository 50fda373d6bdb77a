"""Accepted labels leave in the forms of other tools, and only what is accepted does."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from typer.testing import CliRunner

from labelop.cli import app
from labelop.effort.ledger import land_edits
from labelop.errors import ReviewError, ReviewFormatError
from labelop.geometry import Box
from labelop.ingest.cvat import cvat_files
from labelop.ingest.labelled import LabelledImage, write_files
from labelop.ingest.masks import encode_mask
from labelop.ingest.voc import voc_files
from labelop.labels import AcceptedLabel, Ontology
from labelop.landing.store import land, read_rows
from labelop.review.accepted import import_accepted
from labelop.review.accepted_export import export_accepted
from labelop.review.label_files import AcceptedFormat
from labelop.review.rows import box_of, labels_of
from labelop.review.task_forms import labelling_config
from tests.unit.review import test_label_set
from tests.unit.review.test_label_set import store_with
from tests.unit.review.test_transitions import ROLES, STRICT
from tests.unit.review_rows import VERSION, filled_store, image_id, image_row, imported, prediction, prelabel_row

FORMS: list[AcceptedFormat] = ["coco", "cvat", "voc", "yolo"]


@pytest.mark.parametrize("form", FORMS)
def test_only_accepted_labels_go_out_and_come_back(
    form: AcceptedFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an accepted, an empty, a simulated and a seeded review two are written; boxes come back within a pixel.

    Fails when the folder that was written is not what is read: only YOLO's was, of the others what lies in it.
    """
    folder = tmp_path / "out"
    # a drawn mask of nothing has no extent to come back
    monkeypatch.setattr(test_label_set, "LABELS", [replace(label, mask_rle=None) for label in test_label_set.LABELS])
    assert export_accepted(store_with(tmp_path, images=6), "cells", folder, form, roles=ROLES) == 2
    other = filled_store(tmp_path / "other", images=6)
    import_accepted(other, folder, "cells", "run", source_format=form, dataset_version=VERSION)
    back = {row["image_id"]: row["labels"] for row in read_rows(other, "reviews") if row["labels"]}
    assert set(back) == {image_id(0)}
    boxes = {v["label"]: (v["x0_px"], v["y0_px"], v["x1_px"], v["y1_px"]) for v in back[image_id(0)] if v["x0_px"]}
    assert boxes["WBC"] == pytest.approx((10.5, 20, 60, 70.25), abs=1)
    assert boxes["RBC"] == pytest.approx((1, 2, 3, 4), abs=1)


DRAFTED = (30.0, 20.0, 60.0, 70.0)
"""Draft box whose mask reaches only to its middle: the extent of it is another box."""


@pytest.mark.parametrize("removed", [None, "box", "mask"])
def test_untouched_drafts_with_masks_come_back_from_cvat_untouched(tmp_path: Path, removed: str | None) -> None:
    """Box and mask of a draft are one object again and nothing was corrected, also where one of the two was removed.

    Fails when the box comes back as the extent of its mask: 120 untouched labels were 119 corrections.
    """
    mask = np.zeros((256, 320), dtype=np.bool_)
    mask[20:70, 31:44] = True
    counts = encode_mask(mask)
    store = filled_store(tmp_path / "store", images=0)
    land(store, "images", [image_row(0)], key="one")
    drafts = [prediction("p-0", "RBC", DRAFTED, mask_rle=counts), prediction("p-1", "WBC", (1.0, 1.0, 9.0, 9.0))]
    land(store, "prelabels", [prelabel_row(0, predictions=drafts)], key="one")
    labels = tuple(AcceptedLabel(d["prediction_id"], d["label"], box_of(d), d["mask_rle"]) for d in drafts)
    files = cvat_files([LabelledImage("images/a%200.jpg", 320, 256, labels)], ["RBC", "WBC"])
    root = ET.fromstring(files["annotations.xml"])
    for image in root.findall("image"):
        for shape in image.findall(f"{removed}[@group_id]" if removed else "none"):
            image.remove(shape)
    path = tmp_path / "annotations.xml"
    path.write_bytes(ET.tostring(root))

    done = import_accepted(store, path, "cells", "run", source_format="cvat", arm="local", reviewer="r-1")

    assert (done.landed, done.quarantined) == (1, 0)
    land_edits(store, "run")
    assert Counter(edit["op"] for edit in read_rows(store, "edits")) == {"accept": 2}
    [row] = imported(store)
    back = {label.label: label for label in labels_of(row)}
    assert back["RBC"].box == Box(*DRAFTED)
    assert back["RBC"].mask_rle == (None if removed == "mask" else counts)
    again = import_accepted(store, path, "cells", "run", source_format="cvat", arm="local", reviewer="r-1")
    assert (again.landed, again.skipped) == (0, 1)


def test_whole_pixels_are_no_corrections(tmp_path: Path) -> None:
    """Drafts that come back from VOC untouched are accepted with their fractions; what was moved or renamed is not.

    Fails when the rounding of the format is judged as a person's: 119 of 120 untouched labels were corrections.
    """
    edges = [
        (10.33, 20.17, 50.91, 60.03),
        (100.49, 100.5, 130.25, 140.75),
        (200.4, 30.4, 240.6, 70.6),
        (5.3, 5.3, 9, 9),
    ]
    store = filled_store(tmp_path / "store", images=0)
    land(store, "images", [image_row(0)], key="one")
    drafts = [prediction(f"p-{n}", "RBC", (*box,)) for n, box in enumerate(edges)]
    drafts[0]["mask_rle"] = encode_mask(np.ones((256, 320), dtype=np.bool_))
    land(store, "prelabels", [prelabel_row(0, predictions=drafts)], key="one")
    labels = [AcceptedLabel("", "RBC", Box(*box)) for box in edges]
    labels[2] = replace(labels[2], box=Box(202, 30, 241, 71))
    labels[3] = replace(labels[3], label="WBC")
    files = voc_files([LabelledImage("images/a%200.jpg", 320, 256, tuple(labels))], ["RBC", "WBC"])
    write_files(files, tmp_path / "out")

    for landed in (1, 0):
        done = import_accepted(store, tmp_path / "out", "cells", "run", source_format="voc", arm="local", reviewer="7")
        assert (done.landed, done.quarantined) == (landed, 0)

    land_edits(store, "run")
    assert {edit["prediction_id"]: edit["op"] for edit in read_rows(store, "edits")} == {
        "p-0": "accept", "p-1": "accept", "p-2": "adjust", "p-3": "relabel",
    }  # fmt: skip
    [row] = imported(store)
    assert {label.box.xyxy for label in labels_of(row) if label.box} == {
        *(edges[n] for n in (0, 1, 3)), (202.0, 30.0, 241.0, 71.0),
    }  # fmt: skip


@pytest.mark.parametrize(("form", "inside"), [("coco", "annotations.json"), ("voc", "annotations")])
def test_a_folder_is_not_left_by_a_link(form: AcceptedFormat, inside: str, tmp_path: Path) -> None:
    """What stands in the place of the labels and leads elsewhere is not read."""
    folder = tmp_path / "out"
    export_accepted(store_with(tmp_path, images=6), "cells", folder, form, roles=ROLES)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / inside).symlink_to(folder / inside)
    with pytest.raises(ReviewFormatError, match="There are no"):
        import_accepted(filled_store(tmp_path / "other"), tmp_path / "link", "cells", "run", source_format=form)


def test_nothing_goes_out_that_needs_a_lead_or_over_other_files(tmp_path: Path) -> None:
    """A dataset that needs a lead gives nothing on a reviewer's word, and a folder in use is left alone."""
    store = store_with(tmp_path)
    with pytest.raises(ReviewError, match="accepted"):
        export_accepted(store, "cells", tmp_path / "out", "coco", roles=STRICT)
    (tmp_path / "used").mkdir()
    (tmp_path / "used/mine.txt").touch()
    with pytest.raises(ReviewError, match="something else"):
        export_accepted(store, "cells", tmp_path / "used", "coco", roles=ROLES)
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["mine.txt"]


def test_the_command_takes_the_format(tmp_path: Path) -> None:
    """`review export --format` writes accepted labels and says of how many images."""
    store = store_with(tmp_path)
    call = ["review", "export", "--dataset", "cells", "--format", "voc", "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*call, "--store", store.root])
    assert (done.exit_code, "2 images" in done.output) == (0, True), done.output
    assert len(list((tmp_path / "out/annotations").glob("*.xml"))) == 2


def test_prompts_are_smart_and_leave_nothing() -> None:
    """Clicks and boxes that ask for masks are in the configuration where the brush is, and only when wanted."""
    classes = Ontology(("RBC",), ())
    smart = labelling_config(classes, masks=True, smart=True)
    assert smart.count('smart="true" smartOnly="true"') == 2
    assert 'KeyPointLabels name="click"' in smart
    assert 'RectangleLabels name="prompt"' in smart
    assert "smart" not in labelling_config(classes, masks=True)
    assert 'smart="true"' not in labelling_config(classes, smart=True)
