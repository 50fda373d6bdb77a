"""What leaves for review comes back as it was, and what people corrected lands once."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labelop.effort.ledger import land_edits
from labelop.effort.parameters import DEFAULTS
from labelop.errors import ReviewFormatError, RoleError, RunFailedError
from labelop.labels import AcceptedLabel, Ontology
from labelop.landing.store import Store, land, read_rows
from labelop.review import brush, intake, transitions
from labelop.review.annotation_forms import smart_id
from labelop.review.label_studio import export_review, export_tasks, import_reviews, labelling_config
from labelop.review.rows import label_values
from labelop.review.tasks import load_ontology
from tests.unit.review.test_transitions import ROLES
from tests.unit.review_rows import VERSION, annotated, filled_store, imported, prelabel_row, written


def test_export_names_neither_arm_nor_model(tmp_path: Path) -> None:
    """A task shows drafts only, of chosen and compared prelabels only, and hides what a reviewer must not know."""
    tasks = export_tasks(filled_store(tmp_path, compare=1), "cells")
    text = json.dumps(tasks)
    assert len(tasks) == 4
    assert all(word not in text.replace("/data/local-files", "").replace("p-local", "").replace("p-cloud", "")
               for word in ("local", "cloud", "m-local", "nowhere"))  # fmt: skip
    assert {len(task["predictions"][0]["result"]) for task in tasks} == {3}
    assert {task["data"]["image"] for task in tasks} == {f"/data/local-files/?d=images/a%20{n}.jpg" for n in range(3)}


def test_drafts_of_all_models_are_of_one_version(tmp_path: Path) -> None:
    """Whatever drafted, tasks have one model version: a server's stream of tasks shows one, and others look empty."""
    store = filled_store(tmp_path / "store", compare=3)
    tasks = export_tasks(store, "cells")
    assert len(tasks) == 6
    assert len({task["predictions"][0]["model_version"] for task in tasks}) == 1


def test_export_is_the_same_every_time(tmp_path: Path) -> None:
    """Two exports of equal tables are equal bytes, and a limit takes the front of the same order."""
    store = filled_store(tmp_path / "store")
    first, second = (export_review(store, "cells", tmp_path / name, prefix="/served/") for name in ("a", "b"))
    assert first.tasks_path.read_bytes() == second.tasks_path.read_bytes()
    assert first.tasks_count == 3
    assert export_tasks(store, "cells", prefix="/served/", limit=2) == json.loads(first.tasks_path.read_text())[:2]
    assert '<Label value="WBC" />' in first.config_path.read_text()
    assert '<Choice value="thick" />' in first.config_path.read_text()


def test_what_was_reviewed_does_not_go_out_again(tmp_path: Path) -> None:
    """An export holds tasks without a review and those sent back for a revision; all of them where that is asked for.

    Fails where every task of the plan goes out: people got the tasks they had done once more.
    """
    store = filled_store(tmp_path / "store")
    before = export_tasks(store, "cells")
    import_reviews(store, written(tmp_path / "e.json", [annotated(task) for task in before[:2]]), "cells", "run")
    assert export_tasks(store, "cells") == before[2:]
    assert export_tasks(store, "cells", again=True) == before
    [sent] = [row for row in imported(store) if row["image_id"] == before[0]["data"]["image_id"]]
    transitions.move(
        store, [sent["review_id"]], "revision_requested", by="lena", roles=ROLES, reason="missed", run_id="run"
    )
    assert export_tasks(store, "cells") == [before[0], before[2]]


def test_a_task_without_an_annotation_is_told(tmp_path: Path) -> None:
    """It is in quarantine with its place and its sibling lands: it was in none of the counts."""
    store = filled_store(tmp_path / "store", images=2)
    bare, good = export_tasks(store, "cells")
    path = written(tmp_path / "e.json", [bare | {"annotations": []}, annotated(good)])
    result = import_reviews(store, path, "cells", "run")
    assert (result.landed, result.quarantined) == (1, 1)
    [row] = read_rows(store, "quarantine")
    found = (row["reason"], row["pointer"], row["image_id"])
    assert found == ("NO_ANNOTATION", "/0/annotations", bare["data"]["image_id"])


def test_labelling_config_escapes_names() -> None:
    """A class name cannot break out of the configuration."""
    assert 'value="&lt;a&gt; &quot;b&quot;"' in labelling_config(Ontology(('<a> "b"',), ()))
    assert "Choices" not in labelling_config(Ontology(("a",), ()))


def test_accepting_everything_needs_no_edit(tmp_path: Path) -> None:
    """import(export(x)) gives every draft back to the last digit, with lineage, mask and time, and zero edits."""
    store = filled_store(tmp_path / "store")
    path = written(tmp_path / "e.json", [annotated(task) for task in export_tasks(store, "cells")])
    result = import_reviews(store, path, "cells", "run")
    assert (result.landed, result.quarantined, result.skipped) == (3, 0, 0)
    drafts = {p["prediction_id"]: p for row in read_rows(store, "prelabels") for p in row["predictions"]}
    for row in imported(store):
        assert (row["arm"], row["model_id"], row["batch_id"], row["decision"]) == (
            "local",
            "m-local",
            "b-local",
            "approved",
        )
        assert (row["active_seconds"], row["lead_seconds"], row["effort_source"]) == (5.84, 5.84, "measured")
        assert row["submitted_at"] == dt.datetime(2026, 11, 20, 10, 0, 0, 123456, tzinfo=dt.UTC)
        assert not row["simulated"]
        assert len(row["labels"]) == 3
        for label in row["labels"]:
            same = ("label", "x0_px", "y0_px", "x1_px", "y1_px", "mask_rle")
            assert [label[k] for k in same] == [drafts[label["prediction_id"]][k] for k in same]
    assert land_edits(store, "run") == 9
    assert {row["op"] for row in read_rows(store, "edits")} == {"accept"}


def test_the_same_file_lands_once(tmp_path: Path) -> None:
    """A second import lands nothing, a longer export of the same project only what is new."""
    store = filled_store(tmp_path / "store")
    records = [annotated(task) for task in export_tasks(store, "cells")]
    records[2]["annotations"][0]["result"][0]["value"]["rectanglelabels"] = ["Martian"]
    part, whole = written(tmp_path / "a.json", records[:1]), written(tmp_path / "b.json", records)
    assert import_reviews(store, part, "cells", "run").landed == 1
    first, second = import_reviews(store, whole, "cells", "run"), import_reviews(store, whole, "cells", "again")
    assert (first.landed, first.quarantined, first.skipped) == (1, 1, 1)
    assert (second.landed, second.quarantined, second.skipped) == (0, 1, 2)
    assert len(imported(store)) == 2
    assert len(read_rows(store, "quarantine")) == 1
    assert land_edits(store, "run") > 0
    assert land_edits(store, "again") == 0


def test_two_imports_at_once_land_a_review_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that share reviews doubled them when they were imported at once, and a doubled review is not accepted.

    The second import runs whole between the first one's look at the table and its landing, for reviews and for states.
    """
    store = filled_store(tmp_path / "store")
    records = [annotated(task) for task in export_tasks(store, "cells")]
    one, other = written(tmp_path / "a.json", records[:2]), written(tmp_path / "b.json", records[1:])
    results = []

    def late(module: object, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def first_the_other(*given: object) -> object:
            monkeypatch.setattr(module, name, real)
            results.append(import_reviews(store, other, "cells", "run-b"))
            return real(*given)

        return first_the_other

    for module, name in ((intake, "set_positions"), (transitions, "_first_steps")):
        monkeypatch.setattr(module, name, late(module, name, getattr(module, name)))
    results.append(import_reviews(store, one, "cells", "run-a"))
    assert sorted((each.landed, each.skipped) for each in results) == [(0, 2), (1, 1), (2, 0)]
    assert Counter(row["review_id"] for row in imported(store)).most_common(1)[0][1] == 1
    assert len(imported(store)) == 3
    states = read_rows(store, "review_states")
    assert sorted((row["review_id"], row["position"]) for row in states) == sorted(
        (row["review_id"], 0) for row in imported(store)
    )


def test_corrections_become_edits(tmp_path: Path) -> None:
    """A dragged, a relabelled, a deleted and a drawn object come back as those operations."""
    store = filled_store(tmp_path / "store", images=1)
    record = annotated(export_tasks(store, "cells")[0])
    first, second, choice = record["annotations"][0]["result"]
    first["value"]["x"] += 3
    first["id"] += "#42"
    choice["value"]["choices"] = ["thick"]
    drawn = second | {"id": "Xy1", "value": second["value"] | {"y": 80, "height": 10}}
    record["annotations"][0]["result"] = [first, choice, drawn, {"type": "relation", "from_id": "a", "to_id": "b"}]
    import_reviews(store, written(tmp_path / "e.json", [record]), "cells", "run")
    land_edits(store, "run")
    found = {row["op"]: row for row in read_rows(store, "edits")}
    assert set(found) == {"adjust", "relabel", "delete", "add"}
    assert found["adjust"]["drags_count"] == 1
    assert found["adjust"]["lineage"]
    assert (found["relabel"]["predicted_label"], found["relabel"]["accepted_label"]) == ("thin", "thick")
    labels = {label["label"]: label for label in imported(store)[0]["labels"] if label["prediction_id"]}
    assert labels["RBC"]["mask_rle"] is None  # its box moved, so its mask is no longer true


def test_masks_by_click_say_what_they_took(tmp_path: Path) -> None:
    """A mask the editor was given for three clicks lands with them; prompts that were left behind label nothing."""
    store = filled_store(tmp_path / "store", 1)
    [record] = [annotated(task) for task in export_tasks(store, "cells")]
    mask = np.zeros((256, 320), dtype=np.bool_)
    mask[100:120, 200:240] = True
    common = {"to_name": "image", "original_width": 320, "original_height": 256, "origin": "manual"}
    value = {"format": "rle", "rle": brush.encode(mask), "brushlabels": ["RBC"]}
    drawn = value | {"rle": brush.encode(mask.T.reshape(mask.shape))}
    box = {"x": 10, "y": 10, "width": 20, "height": 20, "rotation": 0, "rectanglelabels": ["RBC"]}
    record["annotations"][0]["result"] = [
        {"id": smart_id(3, "0123456789"), "type": "brushlabels", "from_name": "mask", "value": value, **common},
        {"id": "byhand", "type": "brushlabels", "from_name": "mask", "value": drawn, **common},
        {"id": "a", "type": "rectanglelabels", "from_name": "prompt", "value": box, **common},
        {"id": "b", "type": "keypointlabels", "from_name": "click", "value": {"x": 1, "y": 1}, **common},
    ]
    assert import_reviews(store, written(tmp_path / "e.json", [record]), "cells", "run").landed == 1
    [review] = imported(store)
    assert sorted(review["clicks_counts"], key=str) == [3, None]
    land_edits(store, "run")
    added = [row for row in read_rows(store, "edits") if row["op"] == "add"]
    assert sorted((row["clicks_count"], row["model_seconds"]) for row in added) == [
        (0, DEFAULTS.add_mask_seconds),
        (3, DEFAULTS.add_assisted_mask_seconds),
    ]


def test_time_hygiene(tmp_path: Path) -> None:
    """An absurd lead time is capped, a missing one leaves the seconds to the literature, a skip is a rejection."""
    store = filled_store(tmp_path / "store")
    tasks = export_tasks(store, "cells")
    records = [
        annotated(tasks[0], lead_time=86_400.0, created_at="2026-11-20T12:00:00+02:00"),
        annotated(tasks[1], lead_time=None, created_at="2026-11-20T10:30:00"),
        annotated(tasks[2], was_cancelled=True, completed_by={"id": 5, "email": "ann@example.org"}),
    ]
    import_reviews(store, written(tmp_path / "e.json", records), "cells", "run")
    found = {row["image_id"]: row for row in imported(store)}
    capped, missing, skipped = (found[task["data"]["image_id"]] for task in tasks)
    assert (capped["active_seconds"], capped["lead_seconds"]) == (700.0, 86_400.0)  # 3 drafts, 3 labels: 7 gaps
    assert (missing["active_seconds"], missing["effort_source"]) == (None, "literature")
    assert (skipped["decision"], skipped["labels"]) == ("rejected", [])
    assert [capped["position_in_batch"], missing["position_in_batch"], skipped["position_in_batch"]] == [0, 1, 0]
    assert skipped["reviewer"] != capped["reviewer"]
    assert "ann" not in str(found)
    land_edits(store, "run")
    assert skipped["review_id"] not in {row["review_id"] for row in read_rows(store, "edits")}


def test_changed_after_import_is_not_lost_silently(tmp_path: Path) -> None:
    """An annotation that was edited after its import is listed in quarantine and the landed review stands."""
    store = filled_store(tmp_path / "store", images=1)
    record = annotated(export_tasks(store, "cells")[0])
    import_reviews(store, written(tmp_path / "a.json", [record]), "cells", "run")
    del record["annotations"][0]["result"][0]
    result = import_reviews(store, written(tmp_path / "b.json", [record]), "cells", "run")
    assert (result.landed, result.quarantined) == (0, 1)
    assert [row["reason"] for row in read_rows(store, "quarantine")] == ["CHANGED_AFTER_IMPORT"]
    assert len(imported(store)[0]["labels"]) == 3


def test_who_only_reads_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes in counts as approved: an analyst could make accepted labels with a file of their own."""
    store = filled_store(tmp_path / "store", images=1)
    (tmp_path / "roles.yaml").write_text("schema: 1\npeople: {olga: [operator]}\nothers: [analyst]\n")
    monkeypatch.setenv("LABELOP_CONFIG", str(tmp_path))
    path = written(tmp_path / "export.json", [annotated(task) for task in export_tasks(store, "cells")])
    monkeypatch.setenv("LABELOP_USER", "ana")
    with pytest.raises(RoleError, match="'ana' may not import labels of cells: roles analyst"):
        import_reviews(store, path, "cells", "run")
    assert not imported(store)
    monkeypatch.setenv("LABELOP_USER", "olga")
    assert import_reviews(store, path, "cells", "run").landed == 1


def test_a_pipe_is_no_review_file(tmp_path: Path) -> None:
    """What is no regular file is refused at once; a pipe was waited for without end."""
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(ReviewFormatError, match=r"no review file at 'pipe\.json'"):
        import_reviews(filled_store(tmp_path / "store", images=1), tmp_path / "pipe.json", "cells", "run")


def test_missing_file_and_dataset_are_told(tmp_path: Path) -> None:
    """A file or dataset that is not there is an error with a hint, never an empty success."""
    store = filled_store(tmp_path / "store", images=1)
    with pytest.raises(ReviewFormatError, match=r"gone\.json"):
        import_reviews(store, tmp_path / "gone.json", "cells", "run")
    with pytest.raises(RunFailedError, match="'martians' is not in"):
        export_tasks(store, "martians")


def test_ontology_comes_from_cards_and_truth(tmp_path: Path) -> None:
    """Classes are those of the cards of the ontology and of the truth; without cards, those of the predictions."""
    assert load_ontology(filled_store(tmp_path / "a"), "cells", VERSION) == Ontology(("RBC", "WBC"), ("thin", "thick"))
    bare = Store(str(tmp_path / "b"))
    land(bare, "prelabels", [prelabel_row(0)], key="k")
    assert load_ontology(bare, "cells", VERSION) == Ontology(("RBC", "WBC"), ("thin",))


def test_label_values_are_ordered() -> None:
    """Nested labels are in the order of their ids, so that equal reviews are equal rows."""
    assert [v["label_id"] for v in label_values([AcceptedLabel("b", "x"), AcceptedLabel("a", "x")])] == ["a", "b"]
