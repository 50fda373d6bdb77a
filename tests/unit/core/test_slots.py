"""Slots of the machine's GPUs: at most so many holders, and none outlives its process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from labelop.errors import SettingsError
from labelop.slots import held, holders

HOLD = """
import sys, time
from pathlib import Path
from labelop.slots import held
with held(Path(sys.argv[1]), 1, "r1"):
    print("held", flush=True)
    time.sleep(600)
"""


class WaitedError(Exception):
    """Raised by a test instead of waiting."""


def give_up() -> None:
    """End the wait."""
    raise WaitedError


def test_as_many_slots_are_held_as_there_are(tmp_path: Path) -> None:
    """The third of two has to wait, and who asks is told who holds what."""
    with held(tmp_path, 2, "r1") as first, held(tmp_path, 2, "r2") as second:
        assert {first, second} == {0, 1}
        assert [(one.slot, one.run_id) for one in holders(tmp_path)] == [(0, "r1"), (1, "r2")]
        with pytest.raises(WaitedError), held(tmp_path, 2, "r3", while_waiting=give_up):
            pass
    assert holders(tmp_path) == []


def test_no_cap_locks_nothing(tmp_path: Path) -> None:
    """Without a cap no file is made."""
    with held(tmp_path / "none", 0, "r1"):
        assert not (tmp_path / "none").exists()


def test_a_killed_holder_frees_its_slot(tmp_path: Path) -> None:
    """After kill -9 the slot is free at once, though its file still names the dead."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert [one.pid for one in holders(tmp_path)] == [process.pid]
        process.kill()
    assert holders(tmp_path) == []
    with held(tmp_path, 1, "r2", while_waiting=give_up) as slot:
        assert slot == 0


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    """The message names the setting."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="LABELOP_GPU_SLOTS_FOLDER"), held(tmp_path / "file", 1, "r1"):
        pass
