"""The process of the command line: it ends with the command's own code, and says nothing that the command did not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MAIN = "from labelop.cli import main; main()"


def labelop(
    *arguments: str, code: str = MAIN, stdout: int | None = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=120)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_end_is_always_the_command_s_own(tmp_path: Path) -> None:
    """Fifteen processes that used tables and SQL end with the right code and without a word of foreign libraries."""
    store = str(tmp_path / "store")
    for _ in range(15):
        done = labelop("query", "accounting", "--format", "csv", "--store", store)
        assert (done.returncode, done.stderr) == (0, f"warning: no table in {store}\n")
        assert done.stdout.startswith("dataset,")


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["explain", "zz"], 1), (["fly"], 2)])
def test_the_code_reaches_the_shell(arguments: list[str], code: int) -> None:
    """0 done, 1 failed, 2 wrong usage, also from the process as a whole."""
    assert labelop(*arguments).returncode == code


def test_a_bug_keeps_its_traceback_and_fails() -> None:
    """What nobody expected is not hidden and is not success."""
    broken = "import labelop.cli as c\ndef app(): raise TypeError('a bug')\nc.app = app\nc.main()"
    done = labelop(code=broken)
    assert done.returncode == 1
    assert "TypeError: a bug" in done.stderr


def test_an_answer_that_cannot_be_written_is_no_success() -> None:
    """On a full disk the code is 1 and one line says so."""
    with Path("/dev/full").open("w") as full:
        done = labelop("models", "list", stdout=full.fileno())
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_asked_for_a_tidy_end_gets_it() -> None:
    """Functions registered for the end of the process run."""
    done = labelop("--help", code=f"import atexit; atexit.register(lambda: print('tidy')); {MAIN}")
    assert done.returncode == 0
    assert done.stdout.endswith("tidy\n")
