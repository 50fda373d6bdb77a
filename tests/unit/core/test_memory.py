"""What a process keeps of its memory."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from tests.small_sample import ROOT

_THREADS = """
import ctypes, sys, threading
import {module}
libc = ctypes.CDLL(None)
libc.fdopen.restype = libc.malloc.restype = ctypes.c_void_p
libc.malloc_info.argtypes = (ctypes.c_int, ctypes.c_void_p)
libc.fflush.argtypes = (ctypes.c_void_p,)
together = threading.Barrier(40)
def work():
    together.wait()
    libc.malloc(1000)
    together.wait()
threads = [threading.Thread(target=work) for _ in range(40)]
[one.start() for one in threads]
[one.join() for one in threads]
out = libc.fdopen(1, b"w")
libc.malloc_info(0, out)
libc.fflush(out)
"""


def heaps(module: str) -> int:
    """Count the heaps of a process that imported a module and had forty threads."""
    if not hasattr(ctypes.CDLL(None), "malloc_info"):
        pytest.skip("needs glibc")
    command = [sys.executable, "-c", _THREADS.format(module=module)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.count(b"<heap nr")


def test_threads_of_a_flow_share_two_heaps() -> None:
    """Fails where flows do not bound them: forty threads then have as many heaps as the C library allows."""
    assert heaps("json") > 2
    assert heaps("flows") <= 2
