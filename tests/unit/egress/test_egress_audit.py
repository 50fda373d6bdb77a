"""The audit log: durable, chained, shared by processes, and honest about damage."""

from __future__ import annotations

import json
import multiprocessing
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelop.egress.audit import FIRST_HASH, AuditLog, verify


def filled(path: Path, lines: int = 5) -> AuditLog:
    """Write a log of some lines."""
    log = AuditLog(path)
    for number in range(lines):
        log.append({"event": "release", "number": number})
    return log


def test_a_whole_log_verifies(tmp_path: Path) -> None:
    """Lines are numbered and chained, and the last hash is the head that append gave."""
    log = filled(tmp_path / "deep" / "audit.jsonl")
    head = log.append({"event": "last"})
    found = verify(log.path)
    assert (found.lines_count, found.head, found.bad_line, found.problem) == (6, head, None, "")
    assert verify(log.path, expected_head=head).bad_line is None
    assert json.loads(log.path.read_text().splitlines()[0])["previous"] == FIRST_HASH


def test_no_log_is_an_empty_log(tmp_path: Path) -> None:
    """A store that never sent anything has nothing to verify."""
    assert verify(tmp_path / "none").lines_count == 0


@pytest.mark.parametrize("line", [1, 3, 5])
def test_an_edited_line_is_named(tmp_path: Path, line: int) -> None:
    """Changing a value in any line makes exactly that line the first bad one."""
    log = filled(tmp_path / "audit.jsonl")
    lines = log.path.read_text().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace('"release"', '"nothing"')
    log.path.write_text("".join(lines))
    assert verify(log.path).bad_line == line


def test_a_removed_and_a_swapped_line_are_named(tmp_path: Path) -> None:
    """The chain shows a gap and an exchange."""
    log = filled(tmp_path / "audit.jsonl")
    lines = log.path.read_text().splitlines(keepends=True)
    log.path.write_text("".join(lines[:1] + lines[2:]))
    assert verify(log.path).bad_line == 2
    log.path.write_text("".join([lines[1], lines[0], *lines[2:]]))
    assert verify(log.path).bad_line == 1


def test_a_cut_end_needs_a_head_kept_elsewhere(tmp_path: Path) -> None:
    """A log without its last line is whole by itself, and not against the copied head."""
    log = filled(tmp_path / "audit.jsonl")
    head = verify(log.path).head
    log.path.write_text("".join(log.path.read_text().splitlines(keepends=True)[:-1]))
    assert verify(log.path).bad_line is None
    assert verify(log.path, expected_head=head).bad_line == 5


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found(tmp_path: Path, place: float, bit: int) -> None:
    """No single bit of the file can change unnoticed."""
    path = tmp_path / "flipped.jsonl"
    if not (tmp_path / "good.jsonl").exists():
        filled(tmp_path / "good.jsonl", 3)
    data = bytearray((tmp_path / "good.jsonl").read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(bytes(data))
    assert verify(path).bad_line is not None


def test_a_torn_line_is_cut_and_written_down(tmp_path: Path) -> None:
    """After a death inside a write the chain goes on, with a line that says what was cut."""
    log = filled(tmp_path / "audit.jsonl", 2)
    with log.path.open("ab") as file:
        file.write(b'{"seq":3,"at"')
    assert verify(log.path).bad_line == 3
    log.append({"event": "after"})
    assert verify(log.path).bad_line is None
    events = [json.loads(line)["record"]["event"] for line in log.path.read_text().splitlines()]
    assert events == ["release", "release", "torn_line_cut", "after"]


def test_a_damaged_last_line_stays_visible(tmp_path: Path) -> None:
    """Appending behind damage does not mend it: verify still names it."""
    log = filled(tmp_path / "audit.jsonl", 2)
    log.path.write_text("".join(log.path.read_text().splitlines(keepends=True)[:1]) + "garbage\n")
    log.append({"event": "after"})
    assert verify(log.path).bad_line == 2


def test_an_oversized_record_is_refused(tmp_path: Path) -> None:
    """A line that could not be read back is never written."""
    log = AuditLog(tmp_path / "audit.jsonl")
    with pytest.raises(ValueError, match="expected at most"):
        log.append({"event": "x" * 70_000})
    log.append({"event": "ok"})
    assert verify(log.path).lines_count == 1


def _append(path: Path, name: str) -> None:
    for number in range(40):
        AuditLog(path).append({"event": name, "number": number})


def test_processes_share_one_chain(tmp_path: Path) -> None:
    """Two processes and two threads append at once; the chain is whole and has every line."""
    path = tmp_path / "audit.jsonl"
    spawn = multiprocessing.get_context("spawn")
    workers: list[threading.Thread | multiprocessing.process.BaseProcess] = [
        spawn.Process(target=_append, args=(path, f"process-{n}")) for n in range(2)
    ]
    workers += [threading.Thread(target=_append, args=(path, f"thread-{n}")) for n in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = verify(path)
    assert (found.lines_count, found.problem) == (160, "")
