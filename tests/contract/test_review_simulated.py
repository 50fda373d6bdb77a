"""Simulated reviewers take the real way, say what they are, and do the same again when asked again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from labelop.effort.ledger import land_edits
from labelop.landing.compare import content_digest
from labelop.landing.store import land, read_rows
from labelop.review.label_studio import export_tasks, import_reviews
from labelop.review.simulate import REVIEWERS, simulate_reviews
from labelop.review.tasks import load_tasks
from tests.unit.review_rows import VERSION, annotated, filled_store, image_id, imported, prelabel_row, written


def test_simulated_reviews_take_the_real_way(tmp_path: Path) -> None:
    """Simulated reviewers review each task once, are marked, and correct towards the truth."""
    store = filled_store(tmp_path / "store", images=12, compare=12, truth=True)
    result = simulate_reviews(store, "cells", VERSION, 1, "run", folder=tmp_path / "kept")
    assert (result.landed, result.quarantined, result.skipped) == (24, 0, 0)
    rows = imported(store)
    assert all(row["simulated"] and row["tool"] == "simulated" and row["active_seconds"] > 0 for row in rows)
    assert set(REVIEWERS) >= {row["reviewer"] for row in rows}
    assert all(row["position_in_batch"] is not None for row in rows)
    assert max(Counter((row["image_id"], row["reviewer"]) for row in rows).values()) == 1
    land_edits(store, "run")
    ops = Counter(row["op"] for row in read_rows(store, "edits"))
    # the first box is right, the second must move, the third was not drafted, the image label is wrong
    assert set(ops) <= {"accept", "adjust", "add", "relabel"}
    assert min(ops[op] for op in ("accept", "adjust", "add", "relabel")) >= 20
    assert [path.name for path in sorted((tmp_path / "kept").iterdir())] == [
        "simulated-b-cloud.json", "simulated-b-local.json"]  # fmt: skip


def test_simulated_reviews_are_repeatable(tmp_path: Path) -> None:
    """The same tables and seed give equal rows, another seed others, and a second call lands nothing."""
    stores = [filled_store(tmp_path / name, images=4, compare=2, truth=True) for name in "abc"]
    for store, seed in zip(stores, (1, 1, 2), strict=True):
        simulate_reviews(store, "cells", VERSION, seed, "run")
        land_edits(store, "run")
    for table in ("reviews", "edits"):
        assert content_digest(stores[0], table) == content_digest(stores[1], table)
    assert content_digest(stores[0], "reviews") != content_digest(stores[2], "reviews")
    again = simulate_reviews(stores[0], "cells", VERSION, 1, "again")
    assert (again.landed, again.skipped) == (0, 6)


def test_simulation_does_not_depend_on_what_was_there_before(tmp_path: Path) -> None:
    """Reviewing after each batch gives the rows that reviewing once at the end gives."""
    once, stepwise = (filled_store(tmp_path / name, images=4, truth=True) for name in "ab")
    simulate_reviews(stepwise, "cells", VERSION, 1, "run")
    for store in (once, stepwise):
        land(store, "prelabels", [prelabel_row(n, "cloud", "compare") for n in range(4)], key="later")
        simulate_reviews(store, "cells", VERSION, 1, "run")
    assert content_digest(once, "reviews") == content_digest(stepwise, "reviews")


def test_people_are_not_simulated_over(tmp_path: Path) -> None:
    """A task that a person reviewed, and an image without truth, get no simulated review."""
    store = filled_store(tmp_path / "store", images=2, truth=True)
    land(store, "prelabels", [prelabel_row(9)], key="no truth")
    tasks = load_tasks(store, "cells", VERSION)
    mine = next(task for task in export_tasks(store, "cells") if task["data"]["image_id"] == image_id(0))
    import_reviews(store, written(tmp_path / "e.json", [annotated(mine)]), "cells", "run")
    assert len(tasks) == 3
    assert simulate_reviews(store, "cells", VERSION, 1, "run").landed == 1
