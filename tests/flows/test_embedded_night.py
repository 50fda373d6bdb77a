"""A whole small night through the command line, then every promise about it, read from the tables it left."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labelop.cli import app
from labelop.landing.store import Store, read_rows
from labelop.queries import open_session, run_checks, run_query
from labelop.review.tasks import load_ontology
from tests.flows.by_hand import QUERIES, figures
from tests.small_sample import ROOT, make_night

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

Row = dict[str, Any]


@dataclass(frozen=True)
class Night:
    """A finished night and what its command said."""

    store: Store
    file: Path
    said: dict[str, list[Row]]


def _demo(store: Path, night: Path) -> dict[str, list[Row]]:
    command = [sys.executable, "-c", "from labelop.cli import main; main()", "demo", "--store", str(store)]
    done = subprocess.run(
        [*command, "--night", str(night), "--batch-images", "8", "--format", "json"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    said: dict[str, list[Row]] = json.loads(done.stdout)
    return said


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """Run the small night once for all tests of this file."""
    folder = tmp_path_factory.mktemp("night")
    file = make_night(folder / "sample", images=24)
    said = _demo(folder / "store", file)
    return Night(Store(str(folder / "store")), file, said)


def test_every_file_found_is_landed_or_quarantined(night: Night) -> None:
    """Discovered = landed + quarantined for each dataset, with the sums the sample was made with."""
    rows = {row["dataset"]: row for row in run_query(night.store, "run_summary").to_pylist()}
    assert {name: row["discovered_count"] for name, row in rows.items()} == {"smears": 24, "parcels": 24, "hostile": 6}
    for row in rows.values():
        assert row["discovered_count"] == row["landed_count"] + row["quarantined_count"]
    assert rows["hostile"]["quarantined_count"] == 3


def test_reviewers_may_choose_from_all_classes_of_the_ontology(night: Night) -> None:
    """The classes offered to reviewers are those of the models' cards, not only those that were predicted."""
    version = {row["dataset"]: row["dataset_version"] for row in read_rows(night.store, "datasets")}["hostile"]
    assert load_ontology(night.store, "hostile", version).box_classes == ("RBC", "WBC", "Platelets")


def test_all_checks_pass(night: Night) -> None:
    """No check that stops a night finds a row."""
    assert [c.name for c in run_checks(night.store) if c.severity == "fail" and not c.passed] == []


def test_nothing_restricted_went_to_the_cloud_and_something_public_did(night: Night) -> None:
    """Levels decide placements: the cloud saw images, none of them confidential or restricted."""
    levels = {row["image_id"]: row["level"] for row in read_rows(night.store, "levels")}
    at_cloud = {levels[row["image_id"]] for row in read_rows(night.store, "prelabels") if row["placement"] == "cloud"}
    assert at_cloud
    assert at_cloud <= {"public", "internal"}
    assert "restricted" in levels.values()
    log = (Path(night.store.root) / "audit" / "egress.jsonl").read_text().splitlines()
    audited = {line["record"]["image_id"] for line in map(json.loads, log) if line["record"]["answer"] == "allow"}
    sent = {row["image_id"] for row in read_rows(night.store, "prelabels") if row["placement"] == "cloud"}
    assert audited == sent


def test_simulated_rows_and_pages_say_so(night: Night) -> None:
    """Whatever a simulated reviewer or an emulated cloud made is marked, in rows and on the page."""
    made = [row for row in read_rows(night.store, "reviews") if row["arm"] != "import"]
    assert made
    assert all(row["simulated"] for row in made)
    assert all(row["simulated"] for row in read_rows(night.store, "prelabels") if row["placement"] == "cloud")
    assert "simulated" in (Path(night.store.root) / "report.html").read_text().lower()


def _exported(store: Store, query: str) -> list[dict[str, str]]:
    words = ["query", query, "--format", "csv", "--store", str(store.root)]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return list(csv.DictReader(io.StringIO(done.stdout)))


def test_the_tables_are_recomputed_by_hand_from_exported_csv(night: Night) -> None:
    """Cost, TCO, cost per accepted label, HER and saving come out of exported CSV by measures.md section 7 alone."""
    made = figures({query: _exported(night.store, query) for query in QUERIES})
    costs = {(row["dataset"], row["arm"]): row for row in _exported(night.store, "arm_cost")}
    summary = {(row["dataset"], row["arm"]): row for row in _exported(night.store, "arm_summary")}
    assert costs.keys() == made.keys() == summary.keys()
    for key, mine in made.items():
        row = costs[key]
        counts = (mine.drafted, mine.reviewed, mine.labels)
        assert tuple(int(row[name]) for name in ("images_count", "reviewed_count", "accepted_count")) == counts
        assert (Decimal(row["machine_cost"]), Decimal(row["review_cost"])) == (mine.machine, mine.review)
        assert Decimal(row["total_cost"]) == mine.total
        for name, value in (("cost_per_image", mine.per_image), ("cost_per_label", mine.per_label)):
            assert (row[name] == "") == (value is None)
            assert value is None or abs(Decimal(row[name]) - value) <= Decimal("1e-6")
        for name, rate in (("her", mine.her), ("saving", mine.saving)):
            assert rate is None or float(summary[key][name]) == pytest.approx(rate)
    assert sum(one.per_label is not None for one in made.values()) >= 3


def test_the_command_shows_what_the_tables_say(night: Night) -> None:
    """The summary that the night ends with has the rows of the query that is exported."""
    shown = night.said["Local and cloud: correction effort and cost"]
    rows = _exported(night.store, "arm_summary")
    assert [(one["dataset"], one["arm"], one["total_cost"]) for one in shown] == [
        (row["dataset"], row["arm"], float(row["total_cost"])) for row in rows
    ]


def test_a_second_night_redoes_no_inference(night: Night) -> None:
    """Run again: every batch is skipped and said to be, no attempt is booked, no row is doubled."""
    before = {name: len(read_rows(night.store, name)) for name in ("usage", "prelabels", "reviews", "edits", "images")}
    said = _demo(Path(night.store.root), night.file)
    for row in said["Batches of this run"]:
        assert row["landed_before_count"] == row["batches_count"] > 0
    after = {name: len(read_rows(night.store, name)) for name in before}
    assert after == before


def test_views_answer_for_the_current_version_only(night: Night) -> None:
    """The comparison slice is there: some images were prelabelled under both arms."""
    rows = run_query(open_session(night.store), "local_vs_cloud").to_pylist()
    assert any(row["slice"] == "paired" and row["images_count"] > 0 for row in rows)
