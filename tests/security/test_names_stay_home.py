"""Names of files go to another host only where the policy in force lets the image itself go there."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from labelop.egress.audit import AuditLog, entries, verify
from labelop.errors import ReviewError
from labelop.landing.store import Store, land
from labelop.review.task_export import ExportResult, export_review
from labelop.sensitivity.policy import SensitivityPolicy, load_policy
from tests.unit.review_rows import NOW, VERSION, filled_store, image_id

CONFIG = Path("data/sample/config/policy.yaml")
POLICY = load_policy(CONFIG, today=date(2026, 11, 20))
AWAY = "https://review.example/images/"
LEVELS = ("public", "confidential", "restricted")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Drafted images, one of each level and one that nobody classified."""
    filled = filled_store(tmp_path / "store", len(LEVELS) + 1)
    rows = [
        {
            "dataset": "cells", "dataset_version": VERSION, "image_id": image_id(n), "findings_digest": "f",
            "level": level, "reason": "declared", "policy_digest": POLICY.digest, "run_id": "run", "landed_at": NOW,
        }
        for n, level in enumerate(LEVELS)
    ]  # fmt: skip
    land(filled, "levels", rows, key="levels")
    return filled


def exported(store: Store, folder: Path, prefix: str, policy: SensitivityPolicy | None = POLICY) -> ExportResult:
    """Export all tasks."""
    return export_review(store, "cells", folder, prefix=prefix, policy=policy, log=AuditLog(folder / "egress.jsonl"))


@pytest.mark.parametrize("prefix", [AWAY, "s3://bucket/images/", "http://10.0.0.1/", "HTTP://review.example:8080/?d="])
def test_only_what_may_go_there_is_named_to_a_host(store: Store, tmp_path: Path, prefix: str) -> None:
    """An address of a host or bucket gets the public image, and is told how many were left out."""
    result = exported(store, tmp_path, prefix)
    assert [task["data"]["image_id"] for task in json.loads(result.tasks_path.read_text())] == [image_id(0)]
    assert (result.tasks_count, result.withheld_count) == (1, 3)


def test_every_answer_is_in_the_log_before_a_task_is_written(store: Store, tmp_path: Path) -> None:
    """Each image that asks to be named elsewhere has a line with its answer, level and host; there was none."""
    exported(store, tmp_path, "https://me:secret@review.example/images/")
    log = tmp_path / "egress.jsonl"
    assert verify(log).cause == ""
    told = {}
    for n in range(len(LEVELS) + 1):
        (line,) = entries(log, image_id=image_id(n))
        assert (line["event"], line["to"], line["datasets"]) == ("named_elsewhere", "review.example", ["cells"])
        told[n] = (line["answer"], line["level"], line.get("reason"))
    assert told[0] == ("allow", "public", None)
    assert [told[n] for n in (1, 2, 3)] == [
        ("deny", level, "level-not-allowed") for level in ("confidential", "restricted", "restricted")
    ]
    assert "secret" not in log.read_text()


def test_only_tasks_that_go_out_are_allowed(store: Store, tmp_path: Path) -> None:
    """A limit is heard before the log is written, so that nothing is said to have left that did not."""
    log = AuditLog(tmp_path / "egress.jsonl")
    lower = [
        {
            "dataset": "cells", "dataset_version": VERSION, "image_id": image_id(n), "findings_digest": "g",
            "level": "public", "reason": "declared", "policy_digest": POLICY.digest, "run_id": "run",
            "landed_at": NOW + timedelta(days=1),
        }
        for n in range(len(LEVELS) + 1)
    ]  # fmt: skip
    land(store, "levels", lower, key="lower")
    result = export_review(store, "cells", tmp_path, prefix=AWAY, policy=POLICY, log=log, limit=2)
    named = {task["data"]["image_id"] for task in json.loads(result.tasks_path.read_text())}
    assert len(named) == 2
    assert {line["image_id"] for n in range(4) for line in entries(log.path, image_id=image_id(n))} == named


def test_without_a_log_nothing_is_named(store: Store, tmp_path: Path) -> None:
    """Where no line can be written, or nobody gave a log, no task goes elsewhere."""
    assert export_review(store, "cells", tmp_path / "a", prefix=AWAY, policy=POLICY).tasks_count == 0
    (tmp_path / "log").mkdir()
    with pytest.raises(OSError, match="directory"):
        export_review(store, "cells", tmp_path / "b", prefix=AWAY, policy=POLICY, log=AuditLog(tmp_path / "log"))
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("prefix", ["/data/local-files/?d=", "images/"])
def test_what_stays_here_asks_nobody(store: Store, tmp_path: Path, prefix: str) -> None:
    """An address here is no way out, and the log says nothing of it."""
    exported(store, tmp_path, prefix)
    assert not (tmp_path / "egress.jsonl").exists()


@pytest.mark.parametrize(
    "policy",
    [None, replace(POLICY, digest="0" * 64), load_policy(CONFIG, today=date(2050, 1, 1))],
    ids=["none", "changed", "stale"],
)
def test_levels_of_another_policy_name_nothing(store: Store, tmp_path: Path, policy: SensitivityPolicy | None) -> None:
    """A policy that was made stricter, or ran out, counts before anything is classified anew."""
    assert exported(store, tmp_path, AWAY, policy).tasks_count == 0


@pytest.mark.parametrize("prefix", ["/data/local-files/?d=", "", "images/", "/served/"])
def test_a_relative_path_has_every_task(store: Store, tmp_path: Path, prefix: str) -> None:
    """Whoever serves the files knows their names already."""
    assert exported(store, tmp_path, prefix, None).tasks_count == len(LEVELS) + 1


@pytest.mark.parametrize(
    "prefix",
    [
        "//evil/", "/\\evil/", "\\\\evil\\", "/\t/evil/", " //evil/", "http:evil/", "http:/evil/", "http:///evil/",
        "http://[", "http://evil:99999/", "javascript:", "file:///images/", "data:,",
    ],
)  # fmt: skip
def test_what_a_browser_reads_in_another_way_is_refused(store: Store, tmp_path: Path, prefix: str) -> None:
    """An address that looks relative here and names a host to a browser, or is none, is an error and writes nothing."""
    with pytest.raises(ReviewError, match="no address"):
        exported(store, tmp_path / "tasks", prefix)
    assert not (tmp_path / "tasks").exists()


def test_a_refused_prefix_shows_no_password(store: Store, tmp_path: Path) -> None:
    """What stands before the host of an address is never shown."""
    with pytest.raises(ReviewError) as caught:
        exported(store, tmp_path, "ftp://me:secret@review.example/")
    assert "secret" not in str(caught.value)
