"""Runs read from the tables alone: what is left, resuming, cancelling."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labelop import recovery
from labelop.cli import app
from labelop.errors import RunCancelledError, RunFailedError
from labelop.jobs import DatasetJob, parse_job
from labelop.landing import store as landing
from labelop.landing.store import Store, read_rows
from labelop.queries import run_query
from labelop.recovery import Asked, CancelWatch, cancel, end, is_cancelled, left_of, open_work, plan_to_finish, start
from labelop.runs import FINISHED, INGESTED, PLANNED, PRELABELLED, RunEvent, record


def job(dataset: str = "a") -> DatasetJob:
    """Make a job."""
    return parse_job({"dataset": dataset, "source": "somewhere"})


def started(folder: Path, run: str = "r1", datasets: tuple[str, ...] = ("a", "b"), **more: Any) -> Store:
    """Make a store in which a run was asked to do some datasets."""
    store = Store(str(folder))
    start(store, run, [Asked(name, job=job(name), **more) for name in datasets])
    return store


def states(store: Store) -> dict[str, tuple[str, int]]:
    """Give state and datasets left by run."""
    return {row["run_id"]: (row["state"], row["left_count"]) for row in run_query(store, "run_states").to_pylist()}


def finished(store: Store, run: str, dataset: str, version: str = "v") -> None:
    """Let a run take a version in and come to its end."""
    record(store, RunEvent(run, dataset, version, INGESTED))
    record(store, RunEvent(run, dataset, version, FINISHED))


def test_what_is_left_is_what_nobody_has_done(tmp_path: Path) -> None:
    """A dataset that the run itself or a later run finished is not left; one that was done before is."""
    store = Store(str(tmp_path))
    finished(store, "r0", "c")
    started(tmp_path, datasets=("a", "b", "c"))
    finished(store, "r1", "a")
    finished(store, "r2", "b")
    assert [one.dataset for one in left_of(store, "r1")] == ["c"]


def test_a_newer_version_is_left_when_an_older_run_finishes_an_older_one(tmp_path: Path) -> None:
    """It counted as done: the files of the newer version were nobody's, and neither `resume` nor a night did them."""
    store = started(tmp_path, run="older", datasets=("a",))
    record(store, RunEvent("older", "a", "v-1", INGESTED))
    started(tmp_path, run="died", datasets=("a",))
    record(store, RunEvent("died", "a", "v-2", INGESTED))
    record(store, RunEvent("older", "a", "v-1", FINISHED))
    assert [one.dataset_version for one in left_of(store, "died")] == ["v-2"]
    assert states(store) == {"older": ("open", 0), "died": ("open", 1)}
    assert [(one.dataset, one.resumes) for one in open_work(store, quiet_seconds=0)] == [("a", "died")]
    start(store, "heir", left_of(store, "died"))
    assert [one.dataset_version for one in left_of(store, "heir")] == ["v-2"]
    record(store, RunEvent("heir", "a", "v-2", FINISHED))
    assert (left_of(store, "died"), left_of(store, "heir")) == ([], [])


def test_a_newer_version_that_was_finished_supersedes_for_good(tmp_path: Path) -> None:
    """A run of long ago must not look open again, and be taken up, whenever a night takes in one more version."""
    store = started(tmp_path, run="died", datasets=("a",))
    record(store, RunEvent("died", "a", "v-1", INGESTED))
    started(tmp_path, run="second", datasets=("a",))
    finished(store, "second", "a", "v-2")
    started(tmp_path, run="third", datasets=("a",))
    record(store, RunEvent("third", "a", "v-3", INGESTED))
    assert (left_of(store, "died"), [one.dataset_version for one in left_of(store, "third")]) == ([], ["v-3"])


def test_a_run_that_took_nothing_in_is_done_by_who_looked_since(tmp_path: Path) -> None:
    """What an older run found, and another one finished in its name, cannot be what this run was to look for."""
    store = started(tmp_path, run="older", datasets=("a",))
    started(tmp_path, run="died", datasets=("a",))
    record(store, RunEvent("older", "a", "v-1", INGESTED))
    start(store, "heir", left_of(store, "older"))
    record(store, RunEvent("heir", "a", "v-1", FINISHED))
    assert [one.dataset_version for one in left_of(store, "died")] == [None]
    started(tmp_path, run="since", datasets=("a",))
    finished(store, "since", "a", "v-1")
    assert left_of(store, "died") == []


def test_a_resumed_run_keeps_job_and_sizes(tmp_path: Path) -> None:
    """Batches of another size would be other batches, so what is left names the sizes and the job of the first run."""
    store = started(tmp_path, datasets=("a",), batch_images=7, shard_batches=3)
    assert left_of(store, "r1") == [Asked("a", FINISHED, job("a"), None, 7, 3, "r1")]


def test_what_was_taken_in_is_not_taken_in_again(tmp_path: Path) -> None:
    """A resumed run goes on with the version the first one took in, unless another was handed over since."""
    store = started(tmp_path)
    record(store, RunEvent("r1", "a", "v-1", INGESTED))
    record(store, RunEvent("r1", "b", "v-1", INGESTED))
    record(store, RunEvent("r2", "b", "v-2", INGESTED))
    assert {one.dataset: one.dataset_version for one in left_of(store, "r1")} == {"a": "v-1", "b": None}


def test_an_unknown_run_is_refused_by_its_nearest_name(tmp_path: Path) -> None:
    """The hint names a run that is written nearly so."""
    store = started(tmp_path, run="night-1")
    with pytest.raises(RunFailedError, match="is not in") as caught:
        left_of(store, "night-2")
    assert "Did you mean night-1?" in caught.value.hint
    done = CliRunner().invoke(app, ["runs", "night-2", "--store", str(tmp_path)])
    assert (done.exit_code, "Did you mean night-1?" in done.stderr) == (1, True)


def test_of_a_run_that_died_it_is_said_whether_anything_is_left(tmp_path: Path) -> None:
    """It looked open for ever after others had done its work; while some is left the command that does it is named."""
    store = started(tmp_path, datasets=("a",))
    asked = ["runs", "--store", str(tmp_path)]
    assert states(store) == {"r1": ("open", 1)}
    assert "labelop resume r1" in CliRunner().invoke(app, asked).stderr
    start(store, "r2", [Asked("a", job=job())])
    finished(store, "r2", "a")
    end(store, "r2", "complete")
    assert states(store) == {"r1": ("superseded", 0), "r2": ("complete", 0)}
    assert "resume" not in CliRunner().invoke(app, asked).stderr


def test_a_plan_is_taken_over_only_where_it_would_be_made_of_the_same(tmp_path: Path) -> None:
    """Another policy, model or size makes another digest, and then the resumed run plans anew."""
    store = started(tmp_path)
    record(store, RunEvent("r1", "a", "v", PLANNED, plan_id="p1", decision_set="d1", summary={"made_of": "this"}))
    assert plan_to_finish(store, "r1", "a", "this") == ("p1", "d1")
    assert plan_to_finish(store, "r1", "a", "that") is None
    assert plan_to_finish(store, "r1", "b", "this") is None


def test_the_night_takes_up_what_died_and_leaves_what_was_cancelled(tmp_path: Path) -> None:
    """Open and partial runs that are quiet are taken up once per dataset; cancelled and lively ones are not."""
    store = started(tmp_path, run="died")
    started(tmp_path, run="failed", datasets=("b", "c"))
    end(store, "failed", "partial", ["c: trouble"])
    started(tmp_path, run="called-off", datasets=("d",))
    cancel(store, "called-off")
    assert open_work(store) == []
    assert [one.dataset for one in open_work(store, quiet_seconds=0)] == ["b", "c", "a"]
    assert [one.dataset for one in open_work(store, besides=["b"], quiet_seconds=0)] == ["c", "a"]


def test_a_run_from_a_clock_that_was_ahead_is_not_alive_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen last a day from now, it would keep its work from the nights until then; one that was seen just now does."""
    with monkeypatch.context() as ahead:
        ahead.setattr(landing, "utc_now", lambda: datetime.now(UTC) + timedelta(days=1))
        store = started(tmp_path / "ahead", datasets=("a",))
    assert [one.dataset for one in open_work(store)] == ["a"]
    assert open_work(started(tmp_path / "now", datasets=("a",))) == []


def test_cancelling_is_for_good_and_for_that_run_only(tmp_path: Path) -> None:
    """The mark is seen by every look at the run, for good; a run with nothing left is refused."""
    store = started(tmp_path)
    started(tmp_path, run="r2", datasets=("c",))
    assert not is_cancelled(store, "r1")
    assert (cancel(store, "r1"), cancel(store, "r1")) == (True, False)
    assert (is_cancelled(store, "r1"), is_cancelled(store, "r2"), is_cancelled(store, "")) == (True, False, False)
    record(store, RunEvent("r2", "c", "v", FINISHED))
    with pytest.raises(RunFailedError, match="nothing left"):
        cancel(store, "r2")


def test_a_run_stops_once_another_does_its_rest(tmp_path: Path) -> None:
    """A child of a dead run that waited in a queue did the same batches beside the resumed run, and was paid for."""
    store = started(tmp_path, run="died")
    watch = CancelWatch(store, "died", every_seconds=0)
    watch.look()
    start(store, "night", left_of(store, "died"))
    with pytest.raises(RunCancelledError, match="another run has taken up its rest"):
        watch.look()
    CancelWatch(store, "night").look()
    assert states(store) == {"died": ("open", 2), "night": ("open", 2)}


def test_cancelling_names_the_run_that_does_the_work(tmp_path: Path) -> None:
    """The mark on a run that another resumes stopped nothing, and its workers went on to the end of the work."""
    store = started(tmp_path, run="died", datasets=("a",))
    start(store, "second", left_of(store, "died"))
    with pytest.raises(RunFailedError, match="taken up by second") as caught:
        cancel(store, "died")
    assert "`labelop cancel second`" in caught.value.hint
    start(store, "third", left_of(store, "second"))
    for run in ("died", "second"):
        with pytest.raises(RunFailedError, match=r"taken up by third\. "):
            cancel(store, run)
    assert (cancel(store, "third"), cancel(store, "died")) == (True, True)


def test_of_a_run_that_others_did_in_parts_those_are_named_that_have_some_left(tmp_path: Path) -> None:
    """One dataset is done, so the run that did it has nothing to stop; the rest was taken up by two."""
    store = started(tmp_path, run="died", datasets=("a", "b"))
    left = left_of(store, "died")
    start(store, "has-a", left[:1])
    start(store, "has-b", left[1:])
    start(store, "too", left[1:])
    finished(store, "has-a", "a")
    with pytest.raises(RunFailedError, match=r"taken up by has-b and too\. "):
        cancel(store, "died")


def test_what_another_run_resumes_is_not_taken_up_beside_it(tmp_path: Path) -> None:
    """Two nights resumed the same dead run: the first may be at it, and has the work as its own should it die too."""
    store = started(tmp_path, run="died", datasets=("a",))
    start(store, "night", left_of(store, "died"))
    [one] = open_work(store, quiet_seconds=0)
    assert one.resumes == "night"


def test_a_watch_looks_rarely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks at the store lies the time that was asked for."""
    looks: list[str] = []
    monkeypatch.setattr(recovery, "is_cancelled", lambda _store, run: looks.append(run))
    now = [100.0]
    monkeypatch.setattr("labelop.recovery.time.monotonic", lambda: now[0])
    watch = CancelWatch(Store(str(tmp_path)), "r1", every_seconds=2.0)
    for passed in (0.0, 1.0, 0.9, 0.2):
        now[0] += passed
        watch.look()
    assert looks == ["r1", "r1"]


def test_a_second_start_of_a_run_says_nothing_new(tmp_path: Path) -> None:
    """Starting the same run twice leaves the rows of one start; one twin's loss does not hide the other's success."""
    store = started(tmp_path, datasets=("a",), until=PRELABELLED)
    started(tmp_path, datasets=("a",), until=PRELABELLED)
    assert len(read_rows(store, "runs")) == 1
    record(store, RunEvent("r1", "a", "v", PRELABELLED, "partial"))
    assert states(store) == {"r1": ("partial", 1)}
    record(store, RunEvent("r1", "a", "v", PRELABELLED))
    assert states(store) == {"r1": ("complete", 0)}
