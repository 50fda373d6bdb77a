"""Reading annotation files keeps a large one out of memory."""

from __future__ import annotations

import io
import tracemalloc
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest

from labelop.errors import AnnotationError
from labelop.ingest.gathering import Gathering
from labelop.ingest.sources import open_source
from labelop.ingest.truth import FaultList
from labelop.settings import Settings

SIZE = 48 << 20


def gathering(root: Path, size: int = SIZE) -> Gathering:
    """Open a source whose one annotation file has so many bytes."""
    (root / "a.txt").write_bytes(b"x" * size)
    return Gathering(open_source(str(root), "folder", Settings()), {})


def test_a_large_file_is_in_memory_once_while_it_is_read_and_not_behind(tmp_path: Path) -> None:
    """It was twice in memory while its parts were joined, and once until its last label had been made."""
    found = gathering(tmp_path)
    seen: list[int] = []

    def understand(file: BinaryIO, _: FaultList) -> None:
        seen.extend([file.seek(0, io.SEEK_END), *tracemalloc.get_traced_memory()])

    tracemalloc.start()
    try:
        found.stream("a.txt", SIZE, understand)
    finally:
        tracemalloc.stop()
    size, held, peak = seen
    assert size == SIZE
    assert held < SIZE / 4
    assert peak < 1.25 * SIZE


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_a_disk_without_room_for_the_copy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """The message says which folder is full; a small file waited in a buffer and failed as that was closed, unnamed."""
    full = partial(Path.open, Path("/dev/full"), "r+b")
    monkeypatch.setattr("labelop.ingest.gathering.tempfile.TemporaryFile", full)
    with pytest.raises(AnnotationError, match=r"cannot be copied to .*: No space left"):
        gathering(tmp_path, size).stream("a.txt", SIZE, lambda *_: None)
