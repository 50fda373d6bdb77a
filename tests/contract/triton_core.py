"""Starts the real Triton core of `deployments/inference_server.py` for the tests that ask it."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 120.0


@contextmanager
def triton_core(catalog: Path, **environment: str) -> Iterator[dict[str, str]]:
    """Start the Triton server as the stack does; skips with the reason where its environment cannot be made.

    Args:
        catalog: Folder of cards, one of them `tiny-masks`.
        environment: Further settings.

    Yields:
        Address by transport, http and grpc.
    """
    made = subprocess.run(["make", "inference-env"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=250)
    if made.returncode:
        pytest.skip(f"PyTriton's environment cannot be made: {(made.stderr.strip().splitlines() or ['?'])[-1]}")
    command, extra = stack().model_command("pytriton")
    log = catalog / "triton.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--port", "0", "--grpc-port", "0"],
            env=os.environ | extra | {"LABELOP_CATALOG": str(catalog)} | environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    found: dict[str, str] = {}
    try:
        deadline = time.monotonic() + START_SECONDS
        # the line is written when every model is bound, and says which ports were free
        while not found or not ready(found["http"]):
            said = re.search(
                r"^serving .* on (http://\S+) and (grpc://\S+)\n", log.read_text(errors="replace"), re.MULTILINE
            )
            found = dict(zip(("http", "grpc"), said.groups(), strict=True)) if said else {}
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the Triton server did not start:\n{log.read_text(errors='replace')[-3000:]}")
            threading.Event().wait(0.2)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ready(url: str) -> bool:
    """Ask a server whether all of its models can answer."""
    try:
        with urllib.request.urlopen(f"{url}/v2/models/tiny-masks/ready", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


def stack() -> Any:
    """Load the script that starts the stack."""
    spec = importlib.util.spec_from_file_location("stack_script", ROOT / "deployments/stack.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
