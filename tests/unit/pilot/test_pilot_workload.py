"""What reviewers face, from the tables: waits, staff, and the forecast that warns."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labelop import schemas
from labelop.cli import app
from labelop.landing.store import Store, land
from labelop.pilot.capacity import Team
from labelop.pilot.workload import alarm_of, workload


def waiting(folder: Path, images: int, *, expected: float | None = 60.0) -> Store:
    """Make a store in which one night drafted images of a minute of review each, all unreviewed."""
    store, at = Store(str(folder)), dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
    of: dict[str, Any] = {"dataset": "d", "dataset_version": "v", "arm": "local", "landed_at": at}
    rows: dict[str, list[dict[str, Any]]] = {
        "images": [{"image_id": f"i{n}", "path": f"{n}.jpg", "outcome": "ok"} for n in range(images)],
        "decisions": [
            {"decision_id": "d", "level": "public", "images_count": images, "expected_review_seconds": expected}
        ],
        "prelabels": [{"image_id": f"i{n}", "batch_id": "b", "role": "chosen", "outcome": "ok"} for n in range(images)],
    }
    for name, given in rows.items():
        names = schemas.table(name).schema.names
        said = {key: value for key, value in of.items() if key in names}
        land(store, name, [dict.fromkeys(names) | said | row for row in given], "k")
    return store


def test_a_team_that_is_too_small_is_told_with_what_it_needs(tmp_path: Path) -> None:
    """Two hours of review a night for one who works an hour: the queue never ends, two are needed, and people know."""
    told = workload(waiting(tmp_path, 120), Team(1, 1.0, utilisation=1.0, shrinkage=0.0))
    assert (told["backlog_seconds"], told["admit_seconds"]) == (7200.0, 0.0)
    assert (told["arriving_images_per_day"], told["capacity_images_per_day"]) == (120.0, 60.0)
    assert told["staff_needed_count"] == 2
    assert told["wait_seconds"] is None
    assert "the queue never ends" in told["wait_reason"]
    assert told["forecast_p50_seconds"] == pytest.approx(7200.0 + 5 * 3600.0)
    assert "100% of the forecasts" in alarm_of(told)
    assert "2 are needed" in alarm_of(told)


def test_a_team_that_keeps_up_is_told_how_long_a_draft_waits(tmp_path: Path) -> None:
    """Four who do an hour's review between them: a draft waits for those of its night before it, and no alarm."""
    told = workload(waiting(tmp_path, 60), Team(4, 4.0, utilisation=1.0, shrinkage=0.0))
    assert told["utilisation"] == pytest.approx(1 / 16)
    assert 0 < told["share_waiting"] < 0.01
    assert told["wait_seconds"] == pytest.approx(60 * 59 / (2 * 3.75), rel=0.01)
    assert alarm_of(told) == ""


def test_a_team_of_one_has_a_wait_in_the_hours_it_is_there(tmp_path: Path) -> None:
    """Of one reviewer with 30 % shrinkage nobody was there, so no draft had a wait; what fits capacity has one."""
    one = Team(1, 6.0)
    told = workload(waiting(tmp_path, 60), one)
    assert (told["present_count"], told["wait_reason"]) == (1, "")
    assert told["utilisation"] == told["share_waiting"] == pytest.approx(3600 / (0.7 * 6 * 3600))
    assert told["wait_seconds"] > 60 * 59 / 2  # those of the night before it
    assert told["utilisation"] * one.present_seconds == pytest.approx(60 * told["review_seconds_per_image"])
    assert "never ends" in workload(waiting(tmp_path / "more", 253), one)["wait_reason"]  # 4.2 h take 252 of a minute


def test_without_drafts_or_people_there_is_a_reason_and_no_figure(tmp_path: Path) -> None:
    """No draft yet and a team of nobody are said; neither is zero waiting."""
    told = workload(waiting(tmp_path / "empty", 0), Team(3, 6.0))
    assert told["wait_seconds"] is None
    assert told["wait_reason"] == "no draft has come whose seconds are expected"
    assert (told["forecast_p50_seconds"], told["forecast_reason"]) == (None, "no day has been seen yet")
    told = workload(waiting(tmp_path / "nobody", 10), Team(0, 6.0))
    assert (told["wait_seconds"], told["wait_reason"]) == (None, "nobody reviews")
    assert told["alarm"]


def test_seconds_that_nobody_expects_are_unknown_and_never_none(tmp_path: Path) -> None:
    """Drafts without expected seconds counted as no work: 0 s a draft, 0 s of backlog, and a whole day was admitted."""
    store = waiting(tmp_path, 120, expected=None)
    told = workload(store, Team(1, 1.0))
    assert (told["backlog_seconds"], told["backlog_unknown_count"], told["admit_seconds"]) == (None, 120, 0.0)
    assert (told["review_seconds_per_image"], told["staff_needed_count"]) == (None, None)
    assert (told["arriving_images_per_day"], told["arrivals_unknown_count"]) == (120.0, 120)
    assert told["wait_reason"] == "no draft has come whose seconds are expected"
    assert (told["forecast_p50_seconds"], told["alarm"]) == (None, False)
    assert "no decision expects seconds" in told["forecast_reason"]


def test_the_command_shows_it_and_needs_a_team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without capacity.yaml the command says so; with it the figures are shown, and the alarm stands beside them."""
    monkeypatch.setenv("LABELOP_CONFIG", str(tmp_path))
    command = ["review", "capacity", "--store", waiting(tmp_path / "store", 120).root, "--format", "json"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 1
    assert "capacity.yaml does not exist" in refused.stderr
    (tmp_path / "capacity.yaml").write_text("{schema: 1, reviewers: 1, hours_per_day: 1}")
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0
    (told,) = json.loads(done.stdout)["Reviewers"]
    assert told["backlog_seconds"] == 7200
    assert "of the forecasts have more review waiting" in done.stderr
