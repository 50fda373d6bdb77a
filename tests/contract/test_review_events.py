"""User events tell how long finished labels took: by the gap rule, per image, and only where they do tell it."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labelop.cli import app
from labelop.errors import ReviewFormatError
from labelop.landing.filters import equal
from labelop.landing.store import Store, read_rows
from labelop.queries import run_query
from labelop.review.annotation_review import pseudonym_of
from labelop.review.exchange import import_file
from labelop.schemas import utc_now
from tests.contract.test_review_accepted import coco
from tests.unit.review_rows import filled_store, image_id, imported, written

EVENTS = """path,reviewer,at
images/a 0.jpg,7,2026-11-20T10:00:00Z
images/a 1.jpg,7,2026-11-20T10:00:40Z
images/a%200.jpg,7,2026-11-20T11:00:12.5+01:00
a 0.jpg,7,2026-11-20T10:01:52.5Z
images/a 0.jpg,7,2026-11-20T10:03:32.5Z
"""
"""12.5 s on the first image, which was looked at again for two pauses; one event on the second."""


def imports(
    store: Store, records: Any, events: str | None, folder: Path, *, arm: str = "local"
) -> list[dict[str, Any]]:
    """Import corrections of reviewer 7 with these events, and give all reviews."""
    file = None if events is None else folder / "events.csv"
    if file is not None and events is not None:
        file.write_text(events, encoding="utf-8")
    import_file(
        store, written(folder / "done.json", records),
        dataset="cells", tool="coco", run_id="run", arm=arm, reviewer="7", events=file,
    )  # fmt: skip
    return sorted(imported(store), key=lambda row: (row["image_id"] != image_id(0), row["submitted_at"]))


def test_events_measure_the_images_they_are_of(tmp_path: Path) -> None:
    """Gaps below the cap add up, in any order and zone, by any name of the image; one event measures nothing.

    On the command line, so that the seconds reach the queries.
    """
    store = filled_store(tmp_path / "store")
    events, labels = tmp_path / "events.csv", written(tmp_path / "done.json", coco(3))
    events.write_text(EVENTS)
    call = ["review", "import", str(labels), "--dataset", "cells", "--tool", "coco", "--events", str(events)]
    alone = CliRunner().invoke(app, [*call, "--arm", "local"], env={"LABELOP_STORE": store.root})
    assert alone.exit_code == 2
    assert "--reviewer" in alone.output
    done = CliRunner().invoke(app, [*call, "--arm", "local", "--reviewer", "7"], env={"LABELOP_STORE": store.root})
    assert done.exit_code == 0, done.output
    found = {row["image_id"]: (row["active_seconds"], row["effort_source"]) for row in imported(store)}
    assert found == {
        image_id(0): (12.5, "measured"),
        image_id(1): (None, "literature"),
        image_id(2): (None, "literature"),
    }
    ledger = run_query(store, "review_ledger", {"dataset": "cells"}).to_pylist()
    assert {row["effort_seconds"] for row in ledger if row["effort_source"] == "measured"} == {12.5}
    [timed] = run_query(store, "timed_reviews", {"dataset": "cells"}).to_pylist()
    assert (timed["reviewer"], timed["tool"]) == (pseudonym_of("7"), "coco")
    assert not read_rows(store, "quarantine")


def test_an_event_that_cannot_be_used_is_told_with_its_line(tmp_path: Path) -> None:
    """Foreign images and people, times without a zone, of the future, from before the draft, or none cost their line.

    Fails when events of the year 1 are seconds of a draft of today.
    """
    soon = (utc_now() + dt.timedelta(days=1)).isoformat()
    bad = [
        "../../etc/passwd,7,2026-11-20T10:00:01Z", "images/a 0.jpg,8,2026-11-20T10:00:02Z",
        "images/a 0.jpg,7,2026-11-20T10:00:03", f"images/a 0.jpg,7,{soon}", "images/a 0.jpg,7,1795168800",
        "images/a 0.jpg,7", "images/a 0.jpg,7,2026-11-20T10:00:06Z,more", "images/a 0.jpg,7,9999-12-31T23:59:59-10:00",
        "images/a 0.jpg,7,0001-01-01T00:00:00Z", "images/a 0.jpg,7,0001-01-01T00:00:50Z",
    ]  # fmt: skip
    store = filled_store(tmp_path / "store", images=1)
    [row] = imports(store, coco(1), "\n".join([EVENTS.replace("a 1", "a 0").rstrip(), *bad, ""]), tmp_path)
    assert row["active_seconds"] == 40.0 + 72.5
    found = {one["pointer"]: (one["reason"], one["path"]) for one in read_rows(store, "quarantine")}
    reasons = [
        "UNKNOWN_IMAGE", "OTHER_REVIEWER", "NO_ZONE", "FUTURE_TIME", "BAD_TIME", "BAD_RECORD", "BAD_RECORD", "BAD_TIME",
        "PAST_TIME", "PAST_TIME",
    ]  # fmt: skip
    assert found == {f"line {7 + n}": (reason, "events.csv") for n, reason in enumerate(reasons)}


def test_a_file_of_nothing_else_is_told_in_part(tmp_path: Path) -> None:
    """Of the lines that cannot be used the first 10,000 are told, and how many more there are."""
    store = filled_store(tmp_path / "store", images=1)
    line = "images/a 0.jpg,8,2026-11-20T10:00:00Z\n"
    [row] = imports(store, coco(1), "path,reviewer,at\n" + line * 10_003, tmp_path)
    assert row["active_seconds"] is None
    told = read_rows(store, "quarantine")
    assert len(told) == 10_001
    [rest] = [one for one in told if one["reason"] == "MORE_FAULTS"]
    assert (rest["path"], rest["detail"]) == ("events.csv", "3 further records were not taken in.")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the columns none, expected path, reviewer, at"),
        ("scope,timestamp,user_id\ndraw:object,2026-11-20T10:00:00Z,7\n", "has the columns scope, timestamp, user_id"),
        ('path,reviewer,at\n"images/a 0.jpg,7', "is no CSV in UTF-8"),
        ("path,reviewer,at\n\udcff,7,2026-11-20T10:00:00Z\n", "is no CSV in UTF-8"),
    ],
)
def test_a_file_of_another_form_is_refused_whole(tmp_path: Path, text: str, problem: str) -> None:
    """What is no CSV of these columns lands nothing: labels without their time would be modelled for ever."""
    store = filled_store(tmp_path / "store", images=1)
    path = tmp_path / "events.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    os.mkfifo(tmp_path / "pipe.csv")  # nobody writes into it: opened, it would wait for ever
    for file, told in (
        (path, problem),
        (tmp_path / "gone.csv", "cannot be read"),
        (tmp_path / "pipe.csv", "it is no file"),
    ):
        with pytest.raises(ReviewFormatError, match=told):
            import_file(
                store, written(tmp_path / "done.json", coco(1)),
                dataset="cells", tool="coco", run_id="run", arm="local", reviewer="7", events=file,
            )  # fmt: skip
    assert not read_rows(store, "reviews")


def test_events_that_come_late_are_told(tmp_path: Path) -> None:
    """Labels that came without their events stay as they landed, and that their seconds are left out is said.

    Fails where the events of a file that was imported before are dropped without a word.
    """
    store = filled_store(tmp_path / "store")
    events, labels = tmp_path / "events.csv", written(tmp_path / "done.json", coco(3))
    events.write_text(EVENTS)
    call = [
        "review",
        "import",
        str(labels),
        "--dataset",
        "cells",
        "--tool",
        "coco",
        "--arm",
        "local",
        "--reviewer",
        "7",
    ]
    env = {"LABELOP_STORE": store.root}
    first, late = (CliRunner().invoke(app, [*call, *more], env=env) for more in ((), ("--events", str(events))))
    assert (first.exit_code, late.exit_code) == (0, 0), late.output
    said = "1 reviews were landed without their seconds before"
    assert (said in first.output, said in " ".join(late.output.split())) == (False, True)
    assert {row["active_seconds"] for row in imported(store)} == {None}


@pytest.mark.parametrize("more", [(), ("--events", "events.csv")])
def test_a_reviewer_who_is_nobody_is_refused(tmp_path: Path, more: tuple[str, ...]) -> None:
    """An empty name ends in one line, with events and without, and nothing lands.

    Fails where it was taken for no reviewer, and where events of nobody ended in a traceback.
    """
    store = filled_store(tmp_path / "store", images=1)
    call = ["review", "import", str(written(tmp_path / "done.json", coco(1))), "--dataset", "cells", "--tool", "coco"]
    done = CliRunner().invoke(
        app, [*call, "--arm", "local", "--reviewer", " ", *more], env={"LABELOP_STORE": store.root}
    )
    assert (done.exit_code, "expected a user id" in done.output) == (1, True), done.output
    assert not read_rows(store, "reviews")


def test_a_second_look_has_the_seconds_that_the_first_had_not(tmp_path: Path) -> None:
    """Events of a later file that hold the earlier ones are not paid twice, and the same ones measure nothing new.

    Fails where a review of further corrections has all seconds of its file.
    """
    store = filled_store(tmp_path / "store", images=1)
    assert [row["active_seconds"] for row in imports(store, coco(1), EVENTS, tmp_path)] == [12.5]
    moved, back = coco(1), coco(1, annotations=[])
    moved["annotations"][0]["bbox"][0] = 40.0
    longer = EVENTS + "images/a 0.jpg,7,2026-11-20T10:04:00Z\n"
    assert [row["active_seconds"] for row in imports(store, moved, longer, tmp_path)] == [12.5, 27.5]
    back["annotations"] = [{"id": 0, "image_id": 0, "category_id": 1, "bbox": [1, 2, 30, 40]}]
    rows = imports(store, back, longer, tmp_path)
    assert [(row["active_seconds"], row["effort_source"]) for row in rows] == [
        (12.5, "measured"),
        (27.5, "measured"),
        (None, "literature"),
    ]


def test_a_second_look_keeps_the_seconds_of_a_file_of_its_own(tmp_path: Path) -> None:
    """Events of the second look alone are all its own, whatever the first took.

    Fails where the seconds of the first were taken off though they were of another day.
    """
    store = filled_store(tmp_path / "store", images=1)
    imports(store, coco(1), EVENTS, tmp_path)
    moved = coco(1)
    moved["annotations"][0]["bbox"][0] = 40.0
    times = ("2026-11-20T15:00:00Z", "2026-11-20T15:01:30Z")
    later = "path,reviewer,at\n" + "".join(f"a 0.jpg,7,{time}\n" for time in times)
    rows = imports(store, moved, later, tmp_path)
    assert [(row["active_seconds"], row["effort_source"]) for row in rows] == [(12.5, "measured"), (90.0, "measured")]
    told = [[row[name].isoformat() for name in ("worked_from", "worked_until")] for row in rows[1:]]
    assert told == [[time.replace("Z", "+00:00") for time in times]]
    assert not read_rows(store, "quarantine", filters=equal(reason="COUNTED_BEFORE"))


def test_a_second_is_of_the_review_it_was_given_with_first(tmp_path: Path) -> None:
    """The same events with the labels of another arm measure nothing, and that is told; later ones measure those.

    Fails where each arm had all of the seconds.
    """
    store = filled_store(tmp_path / "store", images=1, compare=1)
    imports(store, coco(1), EVENTS, tmp_path)
    imports(store, coco(1), EVENTS, tmp_path, arm="cloud")
    found = {row["arm"]: (row["active_seconds"], row["effort_source"]) for row in imported(store)}
    assert found == {"local": (12.5, "measured"), "cloud": (None, "literature")}
    [told] = read_rows(store, "quarantine", filters=equal(reason="COUNTED_BEFORE"))
    assert (told["path"], told["pointer"], told["image_id"]) == ("events.csv", "#", image_id(0))
    moved = coco(1)
    moved["annotations"][0]["bbox"][0] = 40.0
    imports(store, moved, EVENTS + "a 0.jpg,7,2026-11-20T10:04:00Z\n", tmp_path, arm="cloud")
    assert sorted(row["active_seconds"] or 0 for row in imported(store)) == [0, 12.5, 27.5]
