"""What is left of the memory: the machine's, and that of every control group around the process."""

from __future__ import annotations

from pathlib import Path

import pytest

from labelop.engines import room as rooms
from labelop.engines.room import Appetite, room

NEW, OLD = ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")


def group(folder: Path, most: str, now: int, *, inactive: int = 0, names: tuple[str, str] = NEW) -> None:
    """Write the files of one control group."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(names, (most, now), strict=True):
        (folder / name).write_text(f"{value}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\n")


def test_every_group_around_the_process_counts(tmp_path: Path) -> None:
    """A container's limit was not seen: the machine's free memory was taken for the process' own."""
    (tmp_path / "self").write_text("0::/outer/inner\n")
    group(tmp_path / "outer", "1000", 400, inactive=100)
    group(tmp_path / "outer/inner", "max", 300)
    assert rooms._left_of_groups(tmp_path / "self", tmp_path) == [700]


def test_the_older_groups_are_read_from_the_root_where_the_path_is_the_hosts(tmp_path: Path) -> None:
    """Inside a container the host's path is not there, and its own limit lies at the root."""
    (tmp_path / "self").write_text("5:cpu:/x\n4:memory:/docker/abc\n")
    group(tmp_path / "memory", "900", 100, names=OLD)
    assert rooms._left_of_groups(tmp_path / "self", tmp_path) == [800]


def test_the_least_of_all_is_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of it may be used; a group over its limit leaves nothing, and where nobody tells there is no bound."""
    monkeypatch.setattr(rooms, "status", lambda *_: 1000)
    monkeypatch.setattr(rooms, "_left_of_groups", lambda: [600])
    assert room() == 300
    monkeypatch.setattr(rooms, "_left_of_groups", lambda: [-5])
    assert room() == 0
    monkeypatch.setattr(rooms, "status", lambda *_: None)
    monkeypatch.setattr(rooms, "_left_of_groups", list)
    assert room() == float("inf")


def test_a_pass_grows_by_what_smaller_ones_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each size is at most eight times one that was seen, and never more than its predecessor says would fit."""
    monkeypatch.setattr(rooms, "status", lambda *_: 1000)
    eater = Appetite(image_bytes=3.0)
    assert (eater.next_images(100), eater.affordable(100, 150)) == (1, 50)
    eater.begin()
    eater.note(8, 1800)
    assert (eater.image_bytes, eater.next_images(100), eater.affordable(100, 2600)) == (100.0, 64, 25)
    assert eater.affordable(100, 0) == 1
