"""An unpack that is killed is in nobody's way: what it left goes with the next, and its child ends with it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from labelop.ingest.archives import ArchiveLimits, unpack, unpack_in_child
from tests.faults.test_hostile_archives import below, tarred, zipped

_WAITS = """
import sys
from pathlib import Path
from labelop.ingest import archives
called = archives._called
def call(*given):
    found = called(*given)
    print("unpacked", flush=True)
    sys.stdin.read()
    return found
archives._called = call
archives.unpack(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def unpacking(archive: Path, folder: Path) -> subprocess.Popen[str]:
    """Start an unpack that has all files and waits with its last step until its input ends."""
    command = [sys.executable, "-c", _WAITS, str(archive), str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "unpacked\n"
    return process


def test_what_a_killed_unpack_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """It lay there for ever; what a process that lives is at stays, and so does a folder that none of them made."""
    archive = zipped(tmp_path / "archive.zip", [("a.txt", b"text")])
    (tmp_path / ".unpacking-notes").mkdir()
    (tmp_path / ".unpacking-notes/mine.txt").touch()
    (tmp_path / ".unpacking-user/files").mkdir(parents=True)
    (tmp_path / ".unpacking-user/files/keep.txt").touch()
    (tmp_path / ".unpacking-empty").mkdir()
    others = {".unpacking-notes", ".unpacking-user", ".unpacking-empty"}
    with unpacking(archive, tmp_path / "dead") as dead, unpacking(archive, tmp_path / "alive") as alive:
        dead.kill()
        dead.wait()
        before = {path.name for path in tmp_path.iterdir()}
        unpack(archive, tmp_path / "out")
        gone = before - {path.name for path in tmp_path.iterdir()}
        assert [name.startswith(".unpacking-") for name in gone] == [True]
        alive.communicate()
    assert (dead.returncode, alive.returncode) == (-9, 0)
    assert {path.name for path in tmp_path.iterdir()} == {"archive.zip", "out", "alive"} | others
    assert (tmp_path / ".unpacking-user/files/keep.txt").exists()
    assert below(tmp_path / "alive") == {"a.txt": b"text"}


def test_a_child_whose_caller_was_killed_unpacks_no_further(tmp_path: Path) -> None:
    """It went on to the end of the archive, into a folder that nobody wants."""
    archive = tarred(tmp_path / "archive", [("a.txt", b"text")])
    (tmp_path / "files").mkdir()
    (tmp_path / "lock").touch()
    with pytest.raises(SystemExit):
        unpack_in_child(b"", str(archive), str(tmp_path / "files"), asdict(ArchiveLimits()), caller=os.getpid())
    assert below(tmp_path / "files") == {}
