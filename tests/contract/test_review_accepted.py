"""Finished COCO and VOC labels land as reviews of the right images, once, and real photographs with them."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labelop.cli import app
from labelop.effort.ledger import land_edits
from labelop.errors import ReviewError, ReviewFormatError
from labelop.geometry import Box
from labelop.ingest.cvat import cvat_files
from labelop.ingest.labelled import LabelledImage, write_files
from labelop.ingest.manifest import Manifest, build_manifest, land_manifest
from labelop.ingest.voc import voc_files
from labelop.ingest.yolo import yolo_files
from labelop.labels import AcceptedLabel
from labelop.landing.store import Store, land, read_rows
from labelop.queries import run_query
from labelop.review.accepted import import_accepted
from labelop.review.annotation_review import pseudonym_of
from labelop.review.exchange import import_file
from labelop.review.label_studio import export_tasks
from labelop.review.truth import land_truths
from labelop.settings import Settings
from tests.unit.review_rows import VERSION, annotated, filled_store, image_id, imported, prelabel_row, written

BCCD = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "bccd"


def coco(count: int = 2, **changes: Any) -> dict[str, Any]:
    """Write COCO labels of the factory's images: the first draft box as it was, nothing else."""
    return {
        "categories": [{"id": 1, "name": "RBC"}],
        "images": [{"id": n, "file_name": f"a {n}.jpg", "width": 320, "height": 256} for n in range(count)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": [10.33, 20.17, 50.58, 49.86]} for n in range(count)
        ],
        **changes,
    }


@pytest.fixture
def photographs(tmp_path: Path) -> tuple[Store, Manifest, Path]:
    """Take six real photographs with their VOC labels into a store."""
    source = tmp_path / "bccd"
    for name in ("images", "annotations"):
        (source / name).mkdir(parents=True)
    for xml in sorted((BCCD / "annotations").glob("*.xml"))[:6]:
        shutil.copy(xml, source / "annotations")
        shutil.copy(BCCD / "images" / f"{xml.stem}.jpg", source / "images")
    store = Store(str(tmp_path / "store"))
    manifest = build_manifest(str(source), "bccd", "voc", settings=Settings())
    land_manifest(store, manifest, "run")
    return store, manifest, source


def test_truth_of_photographs_lands_once(photographs: tuple[Store, Manifest, Path]) -> None:
    """Each photograph's boxes become one imported review that cost nobody anything; a second landing adds nothing."""
    store, manifest, _ = photographs
    assert land_truths(store, manifest, "voc", "run")
    assert not land_truths(store, manifest, "voc", "again")
    rows = read_rows(store, "reviews")
    assert len(rows) == 6
    assert {(r["arm"], r["tool"], r["decision"], r["effort_source"], r["active_seconds"]) for r in rows} == {
        ("import", "voc", "approved", "none", None)
    }
    assert {r["image_id"]: len(r["labels"]) for r in rows} == {t.image_id: len(t.labels) for t in manifest.truths}
    assert all(r["submitted_at"] is None and r["batch_id"] is None for r in rows)


def test_a_manifest_without_labels_lands_no_truth(tmp_path: Path) -> None:
    """A source that brought no labels makes no reviews."""
    assert not land_truths(Store(str(tmp_path)), Manifest("d", "v", (), (), (), ()), "coco", "run")


def test_the_source_imported_by_hand_is_nothing_new(photographs: tuple[Store, Manifest, Path]) -> None:
    """VOC files imported as accepted labels equal the truth that came with the source, wherever they lie."""
    store, manifest, source = photographs
    fresh = import_accepted(store, source / "annotations", "bccd", "run", source_format="voc")
    assert (fresh.landed, fresh.skipped) == (6, 0)
    rows = read_rows(store, "reviews")
    assert {r["image_id"]: [v["label_id"] for v in r["labels"]] for r in rows} == {
        t.image_id: sorted(label.label_id for label in t.labels) for t in manifest.truths
    }
    again = import_accepted(store, source / "annotations", "bccd", "again", source_format="voc")
    assert (again.landed, again.skipped) == (0, 6)


def test_corrected_drafts_are_compared_by_geometry(tmp_path: Path) -> None:
    """COCO labels of an arm belong to its drafts; without lineage the edits come from overlap."""
    store = filled_store(tmp_path / "store")
    path = written(tmp_path / "done.json", coco())
    result = import_accepted(store, path, "cells", "run", source_format="coco", arm="local", reviewer="r-1")
    assert (result.landed, result.quarantined) == (2, 0)
    row = imported(store)[0]
    assert (row["batch_id"], row["model_id"], row["effort_source"]) == ("b-local", "m-local", "literature")
    assert land_edits(store, "run") == 6
    edits = read_rows(store, "edits")
    assert Counter(edit["op"] for edit in edits) == {"accept": 2, "delete": 4}
    assert not any(edit["lineage"] for edit in edits)
    again = import_accepted(store, path, "cells", "run", source_format="coco", arm="local", reviewer="r-1")
    assert (again.landed, again.skipped) == (0, 2)


def test_corrections_made_elsewhere_are_accepted_once_somebody_approves_them(tmp_path: Path) -> None:
    """The command line took every COCO file for truth, which nobody can approve; with an arm it is reviews."""
    store = filled_store(tmp_path / "store")
    path = written(tmp_path / "done.json", coco())
    call = ["import", str(path), "--dataset", "cells", "--tool", "coco", "--arm", "local"]
    for words in (call, ["approve", "--dataset", "cells", "--state", "pending", "--yes"]):
        done = CliRunner().invoke(app, ["review", *words], env={"LABELOP_STORE": store.root})
        assert done.exit_code == 0, done.output
    found = run_query(store, "accepted_reviews", {"dataset": "cells"}).to_pylist()
    assert [row["review_id"] for row in found] == [row["review_id"] for row in imported(store)] != []
    assert len(read_rows(store, "edits")) == 6


def accepted_boxes(store: Store) -> dict[str, list[float]]:
    """Give the left edges of the boxes that count, by image."""
    rows = {row["review_id"]: row for row in read_rows(store, "reviews")}
    chosen = run_query(store, "accepted_reviews", {"dataset": "cells"}).to_pylist()
    return {one["image_id"]: sorted(v["x0_px"] for v in rows[one["review_id"]]["labels"]) for one in chosen}


def test_finished_labels_become_accepted_ones(tmp_path: Path) -> None:
    """On the command line, beside truth that contradicts them; a later file counts, also one that takes it back.

    Fails without --reviewer, when nobody's labels stay pending, and when no time says which file is later.
    """
    store = filled_store(tmp_path / "store", truth=True)
    call = ["review", "import", "--dataset", "cells", "--tool", "coco", "--store", store.root, "--format", "json"]
    first, moved = coco(), coco(1)
    moved["annotations"][0]["bbox"][0] = 40.0
    for number, (records, landed) in enumerate([(first, 2), (first, 0), (moved, 1), (first, 1)]):
        path = written(tmp_path / f"{number}.json", records)
        done = CliRunner().invoke(app, [*call, str(path), "--arm", "local", "--reviewer", "7"])
        assert done.exit_code == 0, done.output
        [told] = json.loads(done.stdout)
        assert (told["landed"], told["quarantined"], landed) == (landed, 0, told["landed"])
        x0 = 40.0 if records is moved else 10.33
        assert accepted_boxes(store) == {image_id(0): [x0], image_id(1): [10.33]}
    mine = [row for row in read_rows(store, "reviews") if row["arm"] == "local"]
    assert {(row["reviewer"], row["batch_id"], row["effort_source"]) for row in mine} == {
        (pseudonym_of("7"), "b-local", "literature")
    }
    assert read_rows(store, "edits")


def test_an_arm_that_drafted_nothing_is_told(tmp_path: Path) -> None:
    """Of the arms that a dataset may have those that drafted it are named, and nothing lands."""
    store = filled_store(tmp_path / "store")
    path = written(tmp_path / "done.json", coco())
    with pytest.raises(ReviewError, match="expected one that did: local"):
        import_accepted(store, path, "cells", "run", source_format="coco", arm="cloud")
    assert not read_rows(store, "reviews")


def test_labels_without_a_draft_cannot_correct_it(tmp_path: Path) -> None:
    """An image that the arm never drafted is named in quarantine and its sibling lands."""
    store = filled_store(tmp_path / "store", compare=1)
    path = written(tmp_path / "done.json", coco())
    result = import_accepted(store, path, "cells", "run", source_format="coco", arm="cloud")
    assert (result.landed, result.quarantined) == (1, 1)
    row = read_rows(store, "quarantine")[0]
    assert (row["reason"], row["image_id"], row["pointer"]) == ("UNKNOWN_TASK", image_id(1), "#images/a%201.jpg")


def test_another_truth_does_not_replace_the_first(tmp_path: Path) -> None:
    """An image has one truth: labels that contradict it are listed and not taken."""
    store = filled_store(tmp_path / "store", truth=False)
    first = import_accepted(store, written(tmp_path / "a.json", coco()), "cells", "run", source_format="coco")
    other = import_accepted(
        store, written(tmp_path / "b.json", coco(annotations=[])), "cells", "run", source_format="coco"
    )
    assert (first.landed, other.landed, other.quarantined) == (2, 0, 2)
    assert {row["reason"] for row in read_rows(store, "quarantine")} == {"CHANGED_AFTER_IMPORT"}


def test_bad_records_keep_their_siblings(tmp_path: Path) -> None:
    """Foreign images and hopeless boxes are named with their place; an image with nothing else is not empty."""
    records = coco(3)
    records["images"][2]["file_name"] = "../../etc/passwd"
    records["annotations"][0]["bbox"] = [1, 1, 0, 5]
    store = filled_store(tmp_path / "store")
    result = import_accepted(store, written(tmp_path / "d.json", records), "cells", "run", source_format="coco")
    assert (result.landed, result.quarantined) == (1, 3)
    found = {row["pointer"]: (row["reason"], row["path"]) for row in read_rows(store, "quarantine")}
    assert found == {
        "/images/0": ("LABELS_LOST", "d.json"),
        "/images/2": ("MISSING_IMAGE", "d.json"),
        "/annotations/0": ("BAD_BOX", "d.json"),
    }


def test_nothing_to_import_is_told(tmp_path: Path) -> None:
    """A path without labels, an unknown format and a file that is no JSON are never an empty success."""
    store = filled_store(tmp_path / "store")
    with pytest.raises(ReviewFormatError, match="no voc labels"):
        import_accepted(store, tmp_path / "gone", "cells", "run", source_format="voc")
    with pytest.raises(ReviewError, match="'csv'"):
        import_accepted(store, tmp_path, "cells", "run", source_format="csv")  # type: ignore[arg-type]
    path = written(tmp_path / "d.json", json.dumps(coco()) + "]")
    result = import_accepted(store, path, "cells", "run", source_format="coco")
    assert (result.landed, result.quarantined) == (0, 1)
    assert read_rows(store, "quarantine")[0]["reason"] == "BAD_REVIEWS"


@pytest.mark.parametrize("tool", ["label-studio", "coco", "voc", "cvat", "yolo"])
def test_one_door_for_every_tool(tmp_path: Path, tool: str) -> None:
    """A file lands by the name of its tool, and an unknown tool is told the known ones."""
    store = filled_store(tmp_path / "store", images=1)
    path = tmp_path / "done.json"
    labels = (AcceptedLabel("l", "RBC", Box(1, 2, 30, 40)),)
    image = LabelledImage("images/a%200.jpg", 320, 256, labels)
    if tool in {"voc", "cvat", "yolo"}:
        writers = {"voc": voc_files, "cvat": cvat_files, "yolo": yolo_files}
        write_files(writers[tool]([image], ["RBC"]), tmp_path / "done")
        path = tmp_path / "done" / {"voc": "annotations", "cvat": "annotations.xml", "yolo": ""}[tool]
    else:
        written(path, coco(1) if tool == "coco" else [annotated(task) for task in export_tasks(store, "cells")])
    assert import_file(store, path, dataset="cells", tool=tool, run_id="run").landed == 1
    with pytest.raises(ReviewError, match="label-studio, coco, voc, cvat, yolo"):
        import_file(store, path, dataset="cells", tool="paper", run_id="run")


def test_a_link_among_labels_is_not_followed(tmp_path: Path) -> None:
    """Files that a folder of labels only links to are not read: they may lie anywhere."""
    store = filled_store(tmp_path / "store", images=1)
    secret = tmp_path / "elsewhere.xml"
    secret.write_text("<annotation><object><name>secret</name></object></annotation>")
    (tmp_path / "done").mkdir()
    (tmp_path / "done/a 0.xml").symlink_to(secret)
    with pytest.raises(ReviewFormatError, match="no voc labels"):
        import_accepted(store, tmp_path / "done", "cells", "run", source_format="voc")


def test_yolo_labels_need_their_class_names(tmp_path: Path) -> None:
    """Class numbers without names say nothing, so such a folder is refused as a whole."""
    store = filled_store(tmp_path / "store", images=1)
    (tmp_path / "done/labels").mkdir(parents=True)
    (tmp_path / "done/labels/a 0.txt").write_text("0 0.5 0.5 0.1 0.1")
    with pytest.raises(ReviewFormatError, match="neither data"):
        import_accepted(store, tmp_path / "done", "cells", "run", source_format="yolo")


def test_edits_of_lost_prelabels_are_not_invented(tmp_path: Path) -> None:
    """A review whose prelabel is not in the store gets no edits instead of a wrong script."""
    store = filled_store(tmp_path / "store")
    path = written(tmp_path / "done.json", coco(1))
    import_accepted(store, path, "cells", "run", source_format="coco", arm="local")
    bare = Store(str(tmp_path / "bare"))
    land(bare, "reviews", read_rows(store, "reviews"), key="k")
    land(bare, "prelabels", [prelabel_row(2)], key="k")
    assert land_edits(bare, "run") == 0
    assert land_edits(store, "run", dataset="other") == 0
    assert read_rows(bare, "reviews")[0]["dataset_version"] == VERSION
