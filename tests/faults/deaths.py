"""Let a worker die at a chosen change of its store: before a system call of a folder, or at a request of a proxy.

For folders the kernel holds the worker at every call that may change a file and asks this process whether it goes on
(seccomp user notification, Linux on x86-64). Knows nothing about tables: where a file is changed, one can die.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from tests.faults.world import forked

_CALLS = {
    1: "write", 18: "pwrite", 20: "writev", 74: "fsync", 75: "fdatasync", 76: "truncate", 77: "ftruncate",
    82: "rename", 83: "mkdir", 84: "rmdir", 86: "link", 87: "unlink", 257: "openat", 258: "mkdirat",
    263: "unlinkat", 264: "renameat", 265: "linkat", 316: "renameat2", 326: "copy_file_range",
}  # fmt: skip
_BY_DESCRIPTOR = frozenset({"write", "pwrite", "writev", "fsync", "fdatasync", "ftruncate", "copy_file_range"})
_PATH_AT = {
    "openat": 1,
    "mkdirat": 1,
    "unlinkat": 1,
    "renameat": 3,
    "renameat2": 3,
    "linkat": 3,
    "rename": 1,
    "link": 1,
}
_PR_SET_NO_NEW_PRIVS, _SYS_SECCOMP, _SET_FILTER, _NEW_LISTENER = 38, 317, 1, 8
_RECEIVE, _SEND, _GO_ON = 0xC0502100, 0xC0182101, 1
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000

WHY_NOT = "" if sys.platform == "linux" and platform.machine() == "x86_64" else "needs Linux on x86-64"
"""Why workers cannot be held at system calls on this machine; empty where they can."""


def die_at(what: Callable[[], object], below: Path, number: int | None) -> list[str]:
    """Do something in a process of its own that is killed before its n-th change of a file below a folder.

    Args:
        what: What to do.
        below: Only changes below this folder count.
        number: Which change, from 1; None lets it do all of them.

    Returns:
        The changes it came to, as `rename _delta_log/0.json`; the last one was not made where it was killed.
    """
    ours, theirs = socket.socketpair()

    def held() -> None:
        listener = _ask_before_changes()
        socket.send_fds(theirs, [b"x"], [listener])
        os.close(listener)
        what()

    pid = forked(held)
    theirs.close()
    _, (listener, *_), _, _ = socket.recv_fds(ours, 1, 1)
    ours.close()
    try:
        changes, killed = _watch(listener, pid, below, number)
    finally:
        os.close(listener)
    status = os.waitpid(pid, 0)[1]
    assert killed or status == 0, "the worker failed by itself; its words are above"
    return changes


def _watch(listener: int, pid: int, below: Path, number: int | None) -> tuple[list[str], bool]:
    changes: list[str] = []
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    while True:
        [(_, event)] = waiting.poll()
        if not event & select.POLLIN:
            return changes, False
        asked = array.array("B", bytes(80))
        try:
            fcntl.ioctl(listener, _RECEIVE, asked, True)
        except OSError:
            continue  # it ended meanwhile
        key, thread, _, call = struct.unpack_from("QIIi", asked)
        target = _target(thread, _CALLS[call], struct.unpack_from("6Q", asked, 32))
        if target is not None and Path(target).is_relative_to(below):
            changes.append(f"{_CALLS[call]} {Path(target).relative_to(below)}")
            if len(changes) == number:
                os.kill(pid, signal.SIGKILL)
                return changes, True
        try:
            fcntl.ioctl(listener, _SEND, array.array("B", struct.pack("QqiI", key, 0, 0, _GO_ON)))
        except OSError:
            continue


def _target(thread: int, call: str, given: tuple[int, ...]) -> str | None:
    """Name the file that a call changes; None for a file that is only opened for reading, or one that is gone."""
    try:
        if call in _BY_DESCRIPTOR:
            return str(Path(f"/proc/{thread}/fd/{given[0]}").readlink())
        if call == "openat" and not given[2] & os.O_CREAT:
            return None
        with Path(f"/proc/{thread}/mem").open("rb") as memory:
            memory.seek(given[_PATH_AT.get(call, 0)])
            return os.fsdecode(memory.read(4096).split(b"\0")[0])
    except OSError:
        return None


def _ask_before_changes() -> int:
    """Have the kernel ask before each of the calls, from now on and in every thread to come; gives whom it asks."""
    load = struct.pack("HBBI", 0x20, 0, 0, 0)  # the number of the call
    tests = [struct.pack("HBBI", 0x15, len(_CALLS) - at, 0, call) for at, call in enumerate(_CALLS)]
    ends = [struct.pack("HBBI", 0x06, 0, 0, answer) for answer in (_ALLOW, _ASK)]
    code = ctypes.create_string_buffer(b"".join([load, *tests, *ends]))
    program = struct.pack("HxxxxxxQ", len(_CALLS) + 3, ctypes.addressof(code))
    kernel = ctypes.CDLL(None, use_errno=True)
    assert kernel.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    listener: int = kernel.syscall(_SYS_SECCOMP, _SET_FILTER, _NEW_LISTENER, program)
    assert listener >= 0, os.strerror(ctypes.get_errno())
    return listener
