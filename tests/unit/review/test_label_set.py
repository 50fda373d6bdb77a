"""What is released was accepted, is the same every time, is never written over, and shows when it was changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pycocotools.coco import COCO
from typer.testing import CliRunner

from labelop.cli import app
from labelop.errors import ReviewError, ReviewFormatError, RoleError
from labelop.geometry import Box
from labelop.ids import row_id
from labelop.labels import AcceptedLabel
from labelop.landing.store import Store, land, read_rows
from labelop.review.approvals import trust_of
from labelop.review.content import content_digests
from labelop.review.label_set import LabelSet, write_label_set
from labelop.review.label_set_check import check_label_set
from labelop.review.transitions import move, submit
from tests.unit.review.test_transitions import ROLES, STRICT, review
from tests.unit.review_rows import NOW, VERSION, filled_store, image_id

LABELS = [
    AcceptedLabel("l-1", "WBC", Box(10.5, 20, 60, 70.25)),
    AcceptedLabel("l-2", "RBC", Box(1, 2, 3, 4), "Z11o1"),
    AcceptedLabel("l-3", "thin"),
]


def store_with(root: Path, images: int = 4) -> Store:
    """Make a store: image 0 accepted, 1 accepted without labels, 2 simulated, 3 seeded."""
    store = filled_store(root / "store", images)
    seed = {
        "seed_id": "s", "task_uid": "t", "dataset": "cells", "dataset_version": VERSION, "image_id": image_id(3),
        "batch_id": "b-local", "kind": "wrong_class", "prediction_id": "p", "run_id": "run", "landed_at": NOW,
    }  # fmt: skip
    land(store, "bias_seeds", [seed], key="seed")
    rows = [review(0, labels=LABELS), review(1), review(2, simulated=True), review(3)]
    land(store, "reviews", rows, key="reviews")
    submit(store, rows, ROLES, "run")
    return store


def released(store: Store, folder: Path, **changes: Any) -> LabelSet:
    """Release."""
    said: dict[str, Any] = {"by": "lena", "roles": ROLES, "run_id": "run"} | changes
    return write_label_set(store, "cells", folder, **said)


def test_only_accepted_labels_are_in_it(tmp_path: Path) -> None:
    """COCO and Parquet hold what was accepted; simulated, seeded and unreviewed images are left out and counted."""
    store = store_with(tmp_path, images=6)
    found = released(store, tmp_path / "out/one")
    assert (found.images_count, found.labels_count, found.left_out_count) == (2, 3, 4)
    manifest = json.loads((tmp_path / "out/one/manifest.json").read_text())
    assert manifest["left_out"] == {"not_accepted": 3, "simulated": 1}
    assert manifest["labels_by_class"] == {"RBC": 1, "WBC": 1, "thin": 1}
    assert manifest["approved"] == [{"by": "p-1", "role": "reviewer", "images_count": 2}]
    assert [model[0] for model in manifest["models"]] == ["m-local"]
    coco = COCO(str(tmp_path / "out/one/labels.coco.json"))
    [one] = coco.loadAnns(coco.getAnnIds(catIds=coco.getCatIds(["WBC"])))
    assert one["bbox"] == [10.5, 20, 49.5, 50.25]
    assert coco.loadImgs(one["image_id"])[0]["image_labels"] == ["thin"]
    assert len(coco.dataset["images"]) == 2
    labels = pq.read_table(tmp_path / "out/one/labels.parquet").to_pylist()
    assert [(row["image_id"], row["label"], row["mask_rle"]) for row in labels] == [
        (image_id(0), "WBC", None), (image_id(0), "RBC", "Z11o1"), (image_id(0), "thin", None),
    ]  # fmt: skip
    images = pq.read_table(tmp_path / "out/one/images.parquet").to_pylist()
    assert {row["image_id"]: row["labels_count"] for row in images} == {image_id(0): 3, image_id(1): 0}


def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    """A second release holds the same bytes under the same name and is listed once; simulated ones are another set."""
    store = store_with(tmp_path)
    first, second = released(store, tmp_path / "a"), released(store, tmp_path / "b")
    assert first == replace(second, folder=first.folder)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    other = released(store, tmp_path / "c", with_simulated=True)
    assert json.loads((tmp_path / "c/manifest.json").read_text())["simulated"] is True
    assert sorted(row["label_set_id"] for row in read_rows(store, "label_sets")) == sorted(
        {first.label_set_id, other.label_set_id}
    )


def test_a_release_is_never_written_over(tmp_path: Path) -> None:
    """A folder with anything else in it is left as it is; the very same set may be asked for again."""
    store = store_with(tmp_path)
    first = released(store, tmp_path / "out")
    assert released(store, tmp_path / "out") == first
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(ReviewError, match="holds something else"):
        released(store, tmp_path / "out", with_simulated=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]


def test_a_release_needs_a_lead_and_something_accepted(tmp_path: Path) -> None:
    """A reviewer may not release; under a stricter rule labels that only a reviewer approved are left out."""
    store = store_with(tmp_path)
    with pytest.raises(RoleError, match="'rob' may not release: roles reviewer, expected lead"):
        released(store, tmp_path / "out", by="rob")
    with pytest.raises(ReviewError, match=r'"needs_lead":2,"not_accepted":1,"simulated":1\} images are left out'):
        released(store, tmp_path / "out", roles=STRICT)
    move(store, ["r-0"], "revision_requested", by="lena", roles=STRICT, reason="look", run_id="run")
    move(store, ["r-0"], "in_review", by="lena", roles=STRICT, reason="look", run_id="run")
    move(store, ["r-0"], "approved", by="lena", roles=STRICT, reason="checked", run_id="run")
    assert released(store, tmp_path / "out", roles=STRICT).images_count == 1
    assert trust_of(store).withdrawn == {"r-0": 0}


def test_labels_that_change_on_the_way_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels are hashed again as they are written: what passed the door must be what comes out."""
    store, real = store_with(tmp_path), content_digests
    monkeypatch.setattr("labelop.review.label_set.content_digests", lambda reviews: ["0" * 64, *real(reviews)[1:]])
    with pytest.raises(ReviewError, match="not what was approved any more"):
        released(store, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["change", "remove", "add", "rename", "rebuild"])
def test_a_changed_release_shows(tmp_path: Path, what: str) -> None:
    """A changed, missing or added file, another name, and a manifest made anew are found."""
    store, out = store_with(tmp_path), tmp_path / "out"
    released(store, out)
    assert all(one.ok for one in check_label_set(out, store))
    manifest = json.loads((out / "manifest.json").read_text())
    if what == "change":
        (out / "labels.parquet").write_bytes((out / "labels.parquet").read_bytes() + b"x")
    elif what == "remove":
        (out / "labels.coco.json").unlink()
    elif what == "add":
        (out / "more.json").write_text("{}")
    elif what == "rename":
        (out / "manifest.json").write_text(json.dumps(manifest | {"label_set_id": "ls-0"}))
    else:
        said = {name: value for name, value in manifest.items() if name != "label_set_id"} | {"released_by": "rob"}
        anew = {"label_set_id": row_id("ls", said), **said}
        (out / "manifest.json").write_text(json.dumps(anew))
        assert all(one.ok for one in check_label_set(out, None)), "alone it fits together"
    assert not all(one.ok for one in check_label_set(out, store))


def test_the_commands_release_list_and_verify(tmp_path: Path) -> None:
    """What `release` writes `releases` lists and `verify-release` confirms, until a byte changes."""
    store_with(tmp_path)
    (tmp_path / "roles.yaml").write_text("schema: 1\nothers: [lead]\n")
    env = {"LABELOP_CONFIG": str(tmp_path), "LABELOP_STORE": str(tmp_path / "store"), "LABELOP_USER": "lena"}
    out = tmp_path / "out"
    calls = [["release", "cells", "--output", str(out)], ["releases", "--format", "json"], ["verify-release", str(out)]]
    done = [CliRunner().invoke(app, words, env=env) for words in calls]
    assert [one.exit_code for one in done] == [0, 0, 0], [one.output for one in done]
    assert [row["released_by"] for row in json.loads(done[1].stdout)] == ["lena"]
    (out / "images.parquet").write_bytes(b"")
    assert CliRunner().invoke(app, calls[2], env=env).exit_code == 1
    with pytest.raises(ReviewFormatError, match="no manifest"):
        check_label_set(tmp_path, None)
