"""Commands of a site: what waits, the sync, what is published; and what they say where they cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from labelop.cli import app
from labelop.landing.store import Store, land, read_rows
from labelop.prelabel.plan import PlannedBatch
from labelop.queries import run_query
from labelop.runs import current_version
from labelop.settings import load_settings
from labelop.site.answers import queue_answers
from labelop.site.place import require_site
from labelop.site.work import keep_for_sync, waiting_work
from tasks.dispatch import ChildOutcome
from tests.unit.report_rows import reviewed, row

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run commands of a site named north, whose head office is a folder beside it."""
    (tmp_path / "head").mkdir()
    for name, value in {"SITE": "north", "STORE": "store", "HEAD_STORE": "head", "PLACEMENT": "onprem"}.items():
        monkeypatch.setenv(f"LABELOP_{name}", value if name in {"SITE", "PLACEMENT"} else str(tmp_path / value))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def fill(tmp_path: Path) -> Store:
    """Land a reviewed dataset and put its answers into the outbox."""
    store = reviewed([("a.png", 120, 80, [("RBC", (10, 10, 40, 40))])]).land(Store(str(tmp_path / "store")))
    queue_answers(require_site(load_settings()).outbox, store, "bccd", "night-1")
    return store


def test_outbox_show_says_how_full_and_how_old(run: Run, tmp_path: Path) -> None:
    """Items and bytes beside their quota, and since when the oldest waits; the items one by one when asked."""
    fill(tmp_path)
    [row] = json.loads(run("outbox", "show", "--format", "json").stdout)
    assert (row["items_count"], row["most_items"]) == (4, 10_000)
    assert 0 < row["size_bytes"] < row["most_bytes"]
    assert 0 <= row["oldest_seconds"] < 600
    items = json.loads(run("outbox", "show", "--items", "--format", "json").stdout)
    assert [one["table"] for one in items] == ["site_outcomes", "site_costs", "site_effort", "site_datasets"]


def test_outbox_show_lists_a_damaged_item_among_the_others(run: Run, tmp_path: Path) -> None:
    """One damaged file hid all that waits."""
    fill(tmp_path)
    damaged = require_site(load_settings()).outbox.items()[1].path
    damaged.write_bytes(b"?")
    items = json.loads(run("outbox", "show", "--items", "--format", "json").stdout)
    assert [one["damaged_file"] for one in items] == [None, str(damaged), None, None]


def test_a_sync_sets_a_damaged_item_aside_and_hands_the_others_over(run: Run, tmp_path: Path) -> None:
    """It says so and ends with 1, what is behind arrives, and the outbox shows the file and why; it stopped all."""
    fill(tmp_path)
    first = require_site(load_settings()).outbox.items()[0]
    first.path.write_bytes(b"?")
    failed = run("sync")
    assert failed.exit_code == 1
    assert f"{first.key} was damaged and is set aside" in failed.stderr
    head = Store(str(tmp_path / "head"))
    assert len(read_rows(head, "site_datasets")) == 2, "once as it waited, once told again"
    assert read_rows(head, "site_outcomes")
    [synced] = read_rows(head, "syncs")
    assert (synced["waiting_count"], synced["state"]) == (0, "partial")
    shown = run("outbox", "show", "--format", "json")
    assert json.loads(shown.stdout)[0]["damaged_count"] == 1
    assert first.key in shown.stderr
    [item] = json.loads(run("outbox", "show", "--items", "--format", "json").stdout)
    assert (item["damaged_file"], "not those that were written" in item["why"]) == (
        str(first.path.with_suffix(".damaged")), True,
    )  # fmt: skip


def test_a_sync_that_tells_again_tells_what_its_work_made(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers were told again before the work and under its keys, so head office dropped what the work had made."""
    store, site = fill(tmp_path), require_site(load_settings())
    site.outbox.items()[0].path.write_bytes(b"?")
    version, batch = current_version(store, "bccd"), PlannedBatch("b-1", "cloud", "chosen", "cloud", "m", 0, ("i",))
    keep_for_sync(site, "bccd", version, [batch], {"batch_images": 4, "shard_batches": None})
    late = row("images", dataset="bccd", dataset_version=version, path="late.jpg", outcome="quarantined")

    def work(_: object) -> list[ChildOutcome]:
        land(store, "images", [late], key="late")
        return [ChildOutcome("Completed")]

    monkeypatch.setattr("flows.sync_site.run_children", work)
    assert run("sync").exit_code == 1
    assert site.outbox.items() == []
    [known] = run_query(Store(str(tmp_path / "head")), "sites").to_pylist()
    assert known["quarantined_count"] == 1


def test_work_on_a_dataset_that_the_tables_lack_stops_no_other(run: Run, tmp_path: Path) -> None:
    """It is named and waits on; every sync ended there, and none was noted."""
    fill(tmp_path)
    site, batch = require_site(load_settings()), PlannedBatch("b-1", "cloud", "chosen", "cloud", "m", 0, ("i",))
    for dataset in ("gone", "bccd"):
        keep_for_sync(site, dataset, "v-0", [batch], {"batch_images": 4, "shard_batches": None})
    failed = run("sync")
    assert failed.exit_code == 1
    assert "'gone' is not in" in failed.stderr
    assert [work.dataset for work in waiting_work(site)] == ["gone"]
    assert read_rows(Store(str(tmp_path / "head")), "syncs")


def test_an_empty_outbox_has_no_age(run: Run) -> None:
    """Nothing waits: no oldest item, and nothing is made on disk by looking."""
    [row] = json.loads(run("outbox", "show", "--format", "json").stdout)
    assert (row["items_count"], row["oldest_at"], row["oldest_seconds"]) == (0, None, None)


def test_sync_hands_over_and_head_office_knows(run: Run, tmp_path: Path) -> None:
    """After a sync nothing waits, and head office's query knows the site, its counts and when it was synced."""
    store = fill(tmp_path)
    done = run("sync", "--format", "json")
    assert done.exit_code == 0, done.output
    [row] = json.loads(done.stdout)
    assert (row["site"], row["sent_count"], row["waiting_count"], row["state"]) == ("north", 4, 0, "complete")
    [known] = run_query(Store(str(tmp_path / "head")), "sites").to_pylist()
    mine = run_query(store, "run_summary").to_pylist()[0]
    assert (known["site"], known["landed_count"]) == ("north", mine["landed_count"])
    assert known["total_cost"] > 0
    assert known["synced_at"] is not None


def test_sync_without_head_office_fails_in_one_line_and_keeps_all(run: Run, tmp_path: Path) -> None:
    """Nobody answers: exit code 1, one line that says so, and everything waits."""
    fill(tmp_path)
    (tmp_path / "head").rmdir()
    failed = run("sync")
    assert failed.exit_code == 1
    assert "not there" in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1
    assert len(require_site(load_settings()).outbox.items()) == 4
    assert read_rows(Store(str(tmp_path / "store")), "syncs") == []


def test_a_machine_that_is_no_site_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name the commands name the setting that is missing."""
    monkeypatch.delenv("LABELOP_SITE")
    for command in (["sync"], ["outbox", "show"]):
        failed = run(*command)
        assert failed.exit_code == 1
        assert "LABELOP_SITE" in failed.stderr


def test_a_published_set_comes_with_the_sync(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Head office publishes, a sync takes it; a refused set ends the sync as failed, and what waits is handed over."""
    monkeypatch.setenv("LABELOP_KEYS", str(tmp_path / "office-keys"))
    assert run("keys", "init").exit_code == 0
    assert run("keys", "export-public", str(tmp_path / "public")).exit_code == 0
    said = run("publish", "--store", str(tmp_path / "head"))
    assert said.exit_code == 0, said.output
    assert "published" in said.stdout
    monkeypatch.setenv("LABELOP_HEAD_KEYS", str(tmp_path / "public"))
    fill(tmp_path)
    done = run("sync", "--format", "json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)[0]["set_digest"]
    assert "LABELOP_CONFIG" in done.stderr, "it is said that the settings do not point at it"
    policy = tmp_path / "store-site/current/config/policy.yaml"
    assert yaml.safe_load(policy.read_text())["valid_until"] > date.today() - timedelta(days=1)  # noqa: DTZ011
    index = tmp_path / "head/published/index.json"
    index.write_bytes(index.read_bytes().replace(b'"signature":"', b'"signature":"0')[:-3] + b'"}')
    store = Store(str(tmp_path / "store"))
    queue_answers(require_site(load_settings()).outbox, store, "bccd", "night-2")
    refused = run("sync")
    assert refused.exit_code == 1
    assert "1 problem" in refused.stderr
    assert require_site(load_settings()).outbox.items() == []


@pytest.mark.parametrize("command", [("sync", "--wait"), ("review", "pull", "--dataset", "d", "--changed-within")])
@pytest.mark.parametrize("value", ["inf", "1e400", "nan", "-1", "90000000"])
def test_a_span_of_time_without_end_is_refused(run: Run, command: tuple[str, ...], value: str) -> None:
    """Head office was waited for without end, and a decade before years began was an error of the interpreter."""
    done = run(*command, value)
    assert done.exit_code == 2
    assert f"{float(value)} is no number from 0 to" in " ".join(done.output.replace("│", " ").split())
