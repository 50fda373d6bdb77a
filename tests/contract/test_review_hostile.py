"""Whatever a review file holds, it costs no more than the record that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labelop.errors import ReviewFormatError
from labelop.landing.store import read_rows
from labelop.review.annotation_review import pseudonym_of
from labelop.review.label_studio import export_tasks, import_reviews
from tests.unit.review_rows import Record, annotated, filled_store, imported, written


def _region(**changes: Any) -> Callable[[Record], Any]:
    def change(record: Record) -> Record:
        record["annotations"][0]["result"][0].update(changes)
        return record

    return change


def _value(**changes: Any) -> Callable[[Record], Any]:
    def change(record: Record) -> Record:
        record["annotations"][0]["result"][0]["value"].update(changes)
        return record

    return change


def _annotation(**changes: Any) -> Callable[[Record], Any]:
    def change(record: Record) -> Record:
        record["annotations"][0].update(changes)
        return record

    return change


def _deep(record: Record) -> Record:
    inner: Any = 1
    for _ in range(60):
        inner = [inner]
    return record | {"meta": inner}


def _region_twice(record: Record) -> Record:
    result = record["annotations"][0]["result"]
    result[1:] = result[:1]
    return record


def _drawn_twice(**changes: Any) -> Callable[[Record], Any]:
    def change(record: Record) -> Record:
        result = record["annotations"][0]["result"]
        result.insert(1, result[0] | changes)
        return record

    return change


HOSTILE: dict[str, tuple[Callable[[Record], Any], str, str]] = {
    "no object": (lambda _: 5, "BAD_RECORD", ""),
    "null": (lambda _: None, "BAD_RECORD", ""),
    "no annotations": (lambda r: {"data": r["data"]}, "BAD_RECORD", "/annotations"),
    "foreign task": (lambda r: r | {"data": {"task_uid": "t-\ud800\x00<script>"}}, "UNKNOWN_TASK", "/data/task_uid"),
    "another image": (
        lambda r: r | {"data": r["data"] | {"image_id": "0" * 64}}, "WRONG_IMAGE", "/data/image_id",
    ),
    "another dataset": (
        lambda r: r | {"data": r["data"] | {"dataset": "zzz"}}, "WRONG_DATASET", "/data/dataset",
    ),
    "another version": (
        lambda r: r | {"data": r["data"] | {"dataset_version": "v9"}}, "WRONG_DATASET", "/data/dataset_version",
    ),
    "too deep": (_deep, "TOO_DEEP", ""),
    "annotation no object": (lambda r: r | {"annotations": ["x"]}, "BAD_RECORD", "/annotations/0"),
    "negative time": (_annotation(lead_time=-1), "BAD_RECORD", "/annotations/0/lead_time"),
    "time as text": (_annotation(lead_time="5"), "BAD_RECORD", "/annotations/0/lead_time"),
    "time without end": (_annotation(lead_time=10**400), "BAD_RECORD", "/annotations/0/lead_time"),
    "place without end": (_value(x=10**400), "BAD_RECORD", "/annotations/0/result/0/value/x"),
    "frame without end": (
        _region(original_width=10**400), "BAD_RECORD", "/annotations/0/result/0/original_width",
    ),
    "person as list": (_annotation(completed_by=[1]), "BAD_RECORD", "/annotations/0/completed_by/int"),
    "no date": (_annotation(created_at="yesterday"), "BAD_RECORD", "/annotations/0/created_at"),
    "submitted in the future": (
        _annotation(updated_at="2999-01-01T00:00:00Z"), "FUTURE_TIME", "/annotations/0/updated_at",
    ),
    "changed before there was a tool": (
        _annotation(updated_at="0001-01-01T00:00:00Z"), "PAST_TIME", "/annotations/0/updated_at",
    ),
    "begun before there was a tool": (
        _annotation(created_at="1999-12-31T23:59:00Z"), "PAST_TIME", "/annotations/0/created_at",
    ),
    "person without a number": (
        _annotation(completed_by={"id": {"a": 1}}), "BAD_RECORD", "/annotations/0/completed_by/int",
    ),
    "date too early": (_annotation(created_at="0001-01-01T00:00:00+14:00"), "BAD_RECORD", "/annotations/0/created_at"),
    "result no list": (_annotation(result={}), "BAD_RECORD", "/annotations/0/result"),
    "region no object": (_annotation(result=[3]), "UNSUPPORTED_REGION", "/annotations/0/result/0/type"),
    "polygon": (_region(type="polygonlabels"), "UNSUPPORTED_REGION", "/annotations/0/result/0/type"),
    "unknown label": (
        _value(rectanglelabels=["\u202eCBR"]), "UNKNOWN_LABEL", "/annotations/0/result/0/value/rectanglelabels/0",
    ),
    "two labels": (
        _value(rectanglelabels=["RBC", "WBC"]), "BAD_RECORD", "/annotations/0/result/0/value/rectanglelabels",
    ),
    "no width": (_value(width=0), "BAD_RECORD", "/annotations/0/result/0/value/width"),
    "outside": (_value(x=150), "BAD_BOX", "/annotations/0/result/0/value"),
    "overflow": (_value(x=1e308, width=1e308), "BAD_BOX", "/annotations/0/result/0/value"),
    "thinner than a pixel's dust": (_value(width=1e-9), "BAD_BOX", "/annotations/0/result/0/value"),
    "region twice": (_region_twice, "DUPLICATE", "/annotations/0/result/1/id"),
    # one object was two of the same place to the last digit
    "drawn twice": (_drawn_twice(id="Zz1", origin="manual"), "DUPLICATE", "/annotations/0/result/1/value"),
    "drawn twice without an id": (_drawn_twice(id="", origin="manual"), "DUPLICATE", "/annotations/0/result/1/value"),
    "rotated": (_value(rotation=30), "ROTATED_BOX", "/annotations/0/result/0/value/rotation"),
    "not upright": (
        _region(original_width=256, original_height=320), "WRONG_FRAME", "/annotations/0/result/0/original_width",
    ),
    "turned": (_region(image_rotation=180), "WRONG_FRAME", "/annotations/0/result/0/image_rotation"),
    "origin nobody knows": (_region(origin="zzz"), "BAD_RECORD", "/annotations/0/result/0/origin"),
    "frame of nothing": (_region(original_width=0), "BAD_RECORD", "/annotations/0/result/0/original_width"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(HOSTILE))
def test_a_hostile_record_costs_only_itself(tmp_path: Path, name: str) -> None:
    """Whatever is wrong with one record is named with its place, and its siblings land."""
    change, reason, pointer = HOSTILE[name]
    store = filled_store(tmp_path / "store", images=2)
    good, bad = (annotated(task) for task in export_tasks(store, "cells"))
    path = written(tmp_path / "export =1+1.json", [change(bad), good])
    result = import_reviews(store, path, "cells", "run")
    assert (result.landed, result.quarantined) == (1, 1)
    row = read_rows(store, "quarantine")[0]
    assert (row["reason"], row["pointer"], row["path"]) == (reason, f"/0{pointer}", "export%20%3D1%2B1.json")
    assert row["detail"]
    assert row["detail"].isascii()
    assert row["detail"].isprintable()


def test_hostile_text_reaches_no_table(tmp_path: Path) -> None:
    """Names, addresses and broken characters in ids are hashed or dropped, and the review lands."""
    store = filled_store(tmp_path / "store", images=1)
    record = annotated(
        export_tasks(store, "cells")[0],
        unique_id="\ud800<script>",
        completed_by={"email": "ann\ud800@example.org", "first_name": "Ann"},
    )
    record["annotations"][0]["result"][0]["id"] = "\ud800"
    assert import_reviews(store, written(tmp_path / "e.json", [record]), "cells", "run").landed == 1
    row = imported(store)[0]
    assert "ann" not in str(row).lower()
    assert "script" not in str(row)


@pytest.mark.parametrize("nobody", ["", " \t", "\u200b", {"email": ""}, {"id": " ", "email": None}])
def test_a_review_of_nobody_stays_pending(tmp_path: Path, nobody: Any) -> None:
    """A blank name became a pseudonym like others, whose labels were approved and released."""
    store = filled_store(tmp_path / "store", images=1)
    record = annotated(export_tasks(store, "cells")[0], completed_by=nobody)
    assert import_reviews(store, written(tmp_path / "e.json", [record]), "cells", "run").landed == 1
    assert imported(store)[0]["reviewer"] is None


def test_a_blank_number_leaves_the_address(tmp_path: Path) -> None:
    """Whoever is named by an address alone is somebody."""
    store = filled_store(tmp_path / "store", images=1)
    record = annotated(export_tasks(store, "cells")[0], completed_by={"id": "", "email": "ann@example.org"})
    import_reviews(store, written(tmp_path / "e.json", [record]), "cells", "run")
    assert imported(store)[0]["reviewer"] == pseudonym_of("ann@example.org")


def test_twins_in_one_file_land_once(tmp_path: Path) -> None:
    """The same annotation twice in one file is one review and one quarantine row."""
    store = filled_store(tmp_path / "store", images=1)
    record = annotated(export_tasks(store, "cells")[0])
    result = import_reviews(store, written(tmp_path / "e.json", [record, record]), "cells", "run")
    assert (result.landed, result.quarantined) == (1, 1)
    assert read_rows(store, "quarantine")[0]["reason"] == "DUPLICATE"


def test_a_doubled_annotation_is_paid_once(tmp_path: Path) -> None:
    """A copy under another id is refused, in one file and of a later one; it was a second review of the same seconds.

    A true second look has another time, or where the tool tells none another lead time.
    """
    store = filled_store(tmp_path / "store", images=1)
    first = annotated(export_tasks(store, "cells")[0])
    other = first["annotations"][0] | {"unique_id": "copy", "id": 8}
    longer = other | {"unique_id": "longer", "lead_time": 9.0}
    later = other | {"unique_id": "later", "updated_at": "2026-11-20T10:05:00Z"}
    timeless = [
        other | {"unique_id": f"timeless-{n}", "updated_at": None, "created_at": None, "lead_time": seconds}
        for n, seconds in enumerate([9.0, 9.0, 10.0])
    ]
    doubled = first | {"annotations": [*first["annotations"], other, longer, later, *timeless]}
    done = import_reviews(store, written(tmp_path / "e.json", [doubled]), "cells", "run")
    assert (done.landed, done.quarantined) == (4, 3)
    told = {(row["reason"], row["pointer"]) for row in read_rows(store, "quarantine")}
    assert told == {("DUPLICATE", f"/0/annotations/{n}") for n in (1, 2, 5)}
    again = first | {"annotations": [other, *first["annotations"]]}
    done = import_reviews(store, written(tmp_path / "f.json", [again]), "cells", "run")
    assert (done.landed, done.quarantined, done.skipped) == (0, 1, 1)
    assert "/0/annotations/0" in {row["pointer"] for row in read_rows(store, "quarantine")}


@pytest.mark.parametrize(
    "spoilt",
    [
        "NaN",
        "-Infinity",
        "9" * 5000,
        "[" * 100_000 + "]" * 100_000,
        '{"a": 1, "a": 2}',
        '"\\ud8"',
        "{]",
    ],
    ids=["nan", "infinity", "endless number", "bottomless", "key twice", "half an escape", "brackets"],
)
def test_what_no_reader_takes_costs_its_record(tmp_path: Path, spoilt: str) -> None:
    """A number that is none, or 100,000 levels, somewhere in a record: it is refused with its place, the rest lands."""
    store = filled_store(tmp_path / "store", images=3)
    first, bad, last = (annotated(task) for task in export_tasks(store, "cells"))
    bad["annotations"][0]["result"][0]["value"]["x"] = "SPOILT"
    text = json.dumps([first, bad, last], indent=1).replace('"SPOILT"', spoilt)
    result = import_reviews(store, written(tmp_path / "e.json", text), "cells", "run")
    assert (result.landed, result.quarantined) == (2, 1)
    [row] = read_rows(store, "quarantine")
    assert (row["reason"], row["pointer"]) == ("BAD_RECORD", "/1")


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1,]", "[1][2]", "[}", "\x00", "[" * 100_000, '"text"'],
    ids=["empty", "object", "comma", "two lists", "brackets", "binary", "bottomless", "string"],
)
def test_a_file_that_is_no_list_of_tasks_is_refused(tmp_path: Path, text: str) -> None:
    """What is no JSON list is one clear error that names the file, and lands nothing."""
    store = filled_store(tmp_path / "store", images=1)
    with pytest.raises(ReviewFormatError, match=r"e\.json"):
        import_reviews(store, written(tmp_path / "e.json", text), "cells", "run")
    assert not imported(store)


@pytest.mark.parametrize("seconds", [1e308, 0, 0.0])
def test_a_lead_time_that_nobody_can_have_worked_is_no_measurement(tmp_path: Path, seconds: float) -> None:
    """Above a day, or 0, it is left out and told with its place; the labels are taken, and nobody measured them.

    Fails where it was cut to what so many objects can take at most, and counted as measured; and where 0 was a
    measurement, which made the mean of 0, 0 and 40 s a measured 13 s.
    """
    store = filled_store(tmp_path / "store", images=1)
    path = written(tmp_path / "e.json", [annotated(export_tasks(store, "cells")[0], lead_time=seconds)])
    import_reviews(store, path, "cells", "run")
    [row] = imported(store)
    assert (row["active_seconds"], row["lead_seconds"], row["effort_source"]) == (None, None, "literature")
    [told] = read_rows(store, "quarantine")
    assert (told["reason"], told["pointer"]) == ("LEAD_TIME", "/0/annotations/0/lead_time")
    assert import_reviews(store, path, "cells", "run").skipped == 1
