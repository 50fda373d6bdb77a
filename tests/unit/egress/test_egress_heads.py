"""Signed heads: they show what a bare chain cannot, a log that was cut or made anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from labelop.egress.audit import AuditLog, entries, verify
from labelop.egress.heads import SignedHeads, heads_file, memory_file, recall
from labelop.egress.heads_check import HeadsFault, read_heads
from labelop.egress.keys import SigningKey
from tests.unit.egress.egress_logs import KEY, MINUTE_MS, examined, filled, log
from tests.unit.egress.egress_values import ring


def change(path: Path, edit: Callable[[list[str]], list[str]]) -> None:
    """Rewrite the lines of a file."""
    path.write_text("".join(edit(path.read_text().splitlines(keepends=True))))


def test_heads_are_signed_by_count_and_at_the_end(tmp_path: Path) -> None:
    """The first line, every fourth after it and the last one are vouched for."""
    path = filled(tmp_path)
    heads = read_heads(heads_file(tmp_path / "heads", path), ring(KEY))
    assert not isinstance(heads, HeadsFault)
    assert [one.lines_count for one in heads] == [1, 5, 9, 10]
    found = examined(path)
    assert (found.cause, found.lines_count, found.vouched_count) == ("", 10, 10)


def test_heads_are_signed_by_time(tmp_path: Path) -> None:
    """A line that comes ten minutes after the last head brings one."""
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    path = tmp_path / "audit.jsonl"
    file = heads_file(tmp_path / "heads", path)
    made = AuditLog(path, heads=SignedHeads(file, KEY), clock=lambda: now[0])
    for minutes in (0, 5, 4, 1):
        now[0] += timedelta(minutes=minutes)
        made.append({"event": "release"})
    assert len(file.read_text().splitlines()) == 2
    made.close()
    made.close()
    assert len(file.read_text().splitlines()) == 2


def _flip(lines: list[str]) -> list[str]:
    return [*lines[:2], lines[2].replace("release", "nothing"), *lines[3:]]


def _drop(lines: list[str]) -> list[str]:
    return lines[:2] + lines[3:]


def _swap(lines: list[str]) -> list[str]:
    return [*lines[:2], lines[3], lines[2], *lines[4:]]


def _repeat(lines: list[str]) -> list[str]:
    return [*lines[:2], lines[1], *lines[2:]]


def _cut(lines: list[str]) -> list[str]:
    return lines[:2]


def _tear(lines: list[str]) -> list[str]:
    return [*lines[:2], lines[2][:30]]


@pytest.mark.parametrize(
    ("edit", "cause"),
    [
        (_flip, "edited"),
        (_drop, "dropped"),
        (_swap, "swapped"),
        (_repeat, "inserted"),
        (_cut, "truncated"),
        (_tear, "torn"),
    ],
)
def test_damage_is_named_with_line_and_cause(
    tmp_path: Path, edit: Callable[[list[str]], list[str]], cause: str
) -> None:
    """Whatever is done to the third line, the third line is named, and what was done."""
    path = filled(tmp_path)
    change(path, edit)
    found = examined(path)
    assert (found.cause, found.bad_line) == (cause, 3)


def test_a_log_made_anew_is_found(tmp_path: Path) -> None:
    """A log whose chain was rebuilt around an edit is whole by itself, and not for the head signed earlier."""
    path = filled(tmp_path)
    records = [json.loads(line)["record"] for line in path.read_text().splitlines()]
    records[6]["image_id"] = "f" * 64
    path.unlink()
    AuditLog(path).append_many(records)
    assert verify(path).cause == ""
    found = examined(path)
    assert (found.cause, found.bad_line) == ("rebuilt", 1)


def test_a_log_taken_away_is_found(tmp_path: Path) -> None:
    """No log at all is a truncated log when there are heads, also after work has gone on."""
    path = filled(tmp_path)
    path.unlink()
    assert examined(path).cause == "truncated"
    log(tmp_path).append({"event": "release"})
    assert examined(path).cause == "rebuilt"


@pytest.mark.parametrize(
    ("left", "words"), [(0, "nothing vouches"), (2, "do not end with the newest"), (3, "do not end with the newest")]
)
def test_heads_taken_away_are_missed_for_good(tmp_path: Path, left: int, words: str) -> None:
    """Without its heads, or the last of them, a log made anew is not believed, also when work has gone on."""
    path = filled(tmp_path)
    file = heads_file(tmp_path / "heads", path)
    change(file, lambda lines: lines[:left])
    records = [json.loads(line)["record"] for line in path.read_text().splitlines()]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:5] if left else []))
    AuditLog(path).append_many(records[5:] if left else records)
    assert verify(path).cause == ""
    found = examined(path)
    assert (found.cause, words in found.problem) == ("head-forged", True)
    made = log(tmp_path)
    made.append({"event": "release"})
    made.close()
    assert examined(path).cause == "head-forged"


@pytest.mark.parametrize("died", ["before the head", "inside the head", "behind the head"])
def test_a_death_between_a_head_and_its_memory_harms_nothing(tmp_path: Path, died: str) -> None:
    """Both heads are remembered while one is written, so the log is believed whether it came to be or not."""
    path = filled(tmp_path)
    file = heads_file(tmp_path / "heads", path)
    memory, before = memory_file(tmp_path / "keys", file), file.read_text()
    [older] = recall(memory)
    made = log(tmp_path)
    made.append({"event": "release"})
    made.close()
    memory.write_text(f"{older} {recall(memory)[0]}")
    if died != "behind the head":
        file.write_text(before + (file.read_text()[len(before) :][:40] if died == "inside the head" else ""))
    assert examined(path).cause == ""
    made.append({"event": "release"})
    made.close()
    found = examined(path)
    assert (found.cause, found.vouched_count) == ("", 12)
    assert len(recall(memory)) == 1


def test_forged_heads_are_found(tmp_path: Path) -> None:
    """A head of another key, an edited and a missing one are named; old heads of a retired key stay good."""
    path = filled(tmp_path)
    file = heads_file(tmp_path / "heads", path)
    good = file.read_text()
    assert examined(path, ring(SigningKey.generate())).cause == "head-forged"
    change(file, lambda lines: [lines[0], lines[1].replace('"lines_count":5', '"lines_count":6'), *lines[2:]])
    assert (examined(path).cause, examined(path).bad_line) == ("head-forged", 2)
    file.write_text(good)
    change(file, lambda lines: [lines[0], *lines[2:]])
    assert examined(path).cause == "head-forged"
    file.write_text("rubbish\n" + good)
    assert examined(path).cause == "head-forged"
    file.write_text(good)
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    assert examined(path, ring(KEY, retired_ms=now_ms - MINUTE_MS)).cause == ""


def test_a_head_torn_by_a_death_does_not_spoil_the_rest(tmp_path: Path) -> None:
    """After a death inside a head the next one follows it, and the log is still vouched for."""
    path = filled(tmp_path)
    file = heads_file(tmp_path / "heads", path)
    file.write_text(file.read_text() + file.read_text().splitlines()[-1][:40])
    made = log(tmp_path)
    made.append({"event": "release"})
    made.close()
    found = examined(path)
    assert (found.cause, found.vouched_count) == ("", 11)


def test_a_head_that_cannot_be_kept_stops_the_release(tmp_path: Path) -> None:
    """When the second folder is away the write fails, as without a log line."""
    (tmp_path / "heads").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="heads"):
        log(tmp_path).append({"event": "release"})


def test_lines_are_found_by_image_and_run(tmp_path: Path) -> None:
    """The first digits of an image id suffice; damage elsewhere does not hide the rest."""
    path = filled(tmp_path)
    change(path, lambda lines: ["rubbish\n", *lines[1:]])
    assert [one["line"] for one in entries(path, run_id="run-1")] == [2, 4, 6, 8, 10]
    assert [one["line"] for one in entries(path, image_id=f"{7:064d}")] == [8]
    assert list(entries(tmp_path / "none")) == []
