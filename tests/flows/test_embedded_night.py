"""A whole small night through the command line, then every promise about it, read from the tables it left."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from labelop.landing.store import Store, read_rows
from labelop.queries import open_session, run_checks, run_query
from labelop.review.tasks import load_ontology
from tests.small_sample import ROOT, SAMPLE, make_night

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


def test_the_summary_is_recomputed_by_hand_from_the_tables(night: Night) -> None:
    """HER, saving, review, machine and total cost follow measures.md section 7, computed here without any SQL."""
    prices = yaml.safe_load((SAMPLE / "config" / "prices.yaml").read_text())["items"]
    price = {(place, item): float(p["amount"]) for place, items in prices.items() for item, p in items.items()}
    reviews: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in read_rows(night.store, "reviews"):
        if row["arm"] in {"local", "cloud"}:
            reviews[row["dataset"], row["arm"]].append(row)
    edits: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in read_rows(night.store, "edits"):
        edits[row["dataset"], row["arm"]].append(row)
    usage: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in read_rows(night.store, "usage"):
        if row["role"] in {"chosen", "compare"}:
            usage[row["dataset"], row["arm"]].append(row)
    shown = {(r["dataset"], r["arm"]): r for r in night.said["Local and cloud: correction effort and cost"]}
    compared = 0
    for key, row in shown.items():
        machine = _machine_cost(usage[key], row["arm"], price)
        assert row["machine_cost"] == pytest.approx(machine, abs=1e-5)
        if not reviews[key]:
            continue
        compared += 1
        labels = sum(len(r["labels"]) for r in reviews[key])
        edited = sum({"accept": 0, "adjust_relabel": 2}.get(e["op"], 1) for e in edits[key])
        assert row["her"] == pytest.approx(edited / max(1, labels))
        scratch = sum(_scratch_seconds(r) for r in reviews[key])
        model = 7.8 * len(reviews[key]) + sum(e["model_seconds"] for e in edits[key])
        assert row["saving"] == pytest.approx(1 - model / scratch)
        active = math.fsum(r["active_seconds"] for r in reviews[key])
        assert row["active_seconds_mean"] == pytest.approx(active / len(reviews[key]))
        hours = active / 3600 / price["review", "productive_fraction"]
        review = hours * price["review", "loaded_rate"]
        assert row["review_cost"] == pytest.approx(review, abs=1e-5)
        assert row["total_cost"] == pytest.approx(machine + review, abs=1e-5)
        share = machine * row["reviewed_count"] / row["images_count"]
        assert row["cost_per_label"] == pytest.approx((share + review) / labels, abs=1e-5)
    assert compared >= 3


def _scratch_seconds(review: Row) -> float:
    """T_scratch = t_base + n_final * t_add: 7.8 s an image, 12.5 s a box with class, 5.1 s an image class."""
    return 7.8 + math.fsum(12.5 if label["x0_px"] is not None else 5.1 for label in review["labels"])


def _machine_cost(usage: list[Row], arm: str, price: dict[tuple[str, str], float]) -> float:
    """C_loc or C_cld of measures.md section 7 over real attempts, so without the planning share for retries."""
    busy = math.fsum(r["wall_seconds"] + (r["cold_start_seconds"] or 0) for r in usage) / 3600
    rate = price["review", "loaded_rate"]
    if arm == "local":
        p: dict[str, float] = {item: amount for (place, item), amount in price.items() if place == "onprem"}
        hardware = (p["machine_price"] - p["machine_salvage"]) / (p["machine_life"] * p["machine_busy"])
        energy = p["machine_power"] * p["pue"] * p["electricity"]
        return busy * (hardware + energy) + (p["blocked"] + busy * p["slowdown"] + p["setup"]) * rate
    p = {item: amount for (place, item), amount in price.items() if place == "cloud"}
    sessions: dict[str, float] = defaultdict(float)
    for row in usage:
        sessions[row["run_id"]] += row["wall_seconds"]
    billed = sum(
        math.ceil(max(p["minimum"], s + p["cold_start"] + p["keep_warm"]) / p["increment"]) * p["increment"]
        for s in sessions.values()
    )
    calls = sum(r["images_count"] for r in usage) / 1000
    stored = sum(r["sent_bytes"] for r in usage) / 1e9 * p["storage_time"] * p["storage"]
    answers = sum(r["received_bytes"] for r in usage) / 1e9 * p["egress"]
    asked = sum(r["requests_count"] for r in usage) / 1000
    requests = calls * p["api"] + asked * (p["put"] + p["get"])
    return float(billed / 3600 * p["gpu"] + requests + stored + answers + (p["setup"] + p["governance"]) * rate)


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
