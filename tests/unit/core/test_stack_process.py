"""Starting and stopping the stack: never onto a port of somebody else, never a signal to somebody else's process."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments import stack


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that does nothing, in a session of its own like those of the stack."""
    code = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_DFL); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def recorded(folder: Path, pid: int, born: str | None) -> None:
    """Record a stack of one worker."""
    (folder / "stack.json").write_text(json.dumps({"pids": {"worker-onprem": pid}, "born": {"worker-onprem": born}}))


@pytest.mark.parametrize("option", ["ui_port", "model_port"])
def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path, option: str) -> None:
    """The message names the port; no process and no record is left."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ports = {"ui_port": 0, "model_port": 0} | {option: port}
        with pytest.raises(SystemExit, match=f"port {port} is taken"):
            stack.up(tmp_path / "stack", store=None, **ports)
    assert not (tmp_path / "stack").exists()


def test_the_grpc_port_of_a_triton_core_is_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the one after the HTTP port; that one taken was found out when the server did not start."""
    monkeypatch.setattr(stack, "model_command", lambda _: (["false"], {}))
    monkeypatch.setattr(stack, "_taken", lambda port: port == 8001)
    with pytest.raises(SystemExit, match="port 8001 is taken"):
        stack.up(tmp_path / "stack", store=None, ui_port=0, model_port=8000, model_server="pytriton")
    assert not (tmp_path / "stack").exists()


def test_an_answer_of_somebody_else_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sleeper: subprocess.Popen[bytes]
) -> None:
    """A server that answers while our own process is gone is no started stack."""

    class Answer:
        """Ours ends while the other one answers."""

        def __enter__(self) -> None:
            sleeper.kill()
            sleeper.wait()

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: Answer())
    with pytest.raises(SystemExit, match="no server of this stack"):
        stack._wait_for("http://127.0.0.1/x", tmp_path / "log", sleeper.pid)


def test_down_stops_what_up_started(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """The recorded process ends, and the record with it."""
    recorded(tmp_path, sleeper.pid, stack._born(sleeper.pid))
    stack.down(tmp_path)
    assert "stopped worker-onprem" in capsys.readouterr().out
    assert stack._born(sleeper.pid) is None
    assert not (tmp_path / "stack.json").exists()


def test_a_process_that_ignores_the_signal_is_killed_and_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not stop in time is killed, and nothing of it is left when the stop returns."""
    monkeypatch.setattr(stack, "_STOP_SECONDS", 0.5)
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    command = [sys.executable, "-c", deaf]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        recorded(tmp_path, process.pid, stack._born(process.pid))
        stack.down(tmp_path)
        assert stack._born(process.pid) is None


def test_down_leaves_an_unrelated_process_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """A number that meanwhile belongs to another process gets no signal; the record is cleared."""
    recorded(tmp_path, sleeper.pid, "1")
    stack.down(tmp_path)
    assert sleeper.poll() is None
    assert "not there any more" in capsys.readouterr().out
    assert not (tmp_path / "stack.json").exists()
