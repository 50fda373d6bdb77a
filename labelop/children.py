"""A persistent child process that may crash, hang or eat memory without harm to the caller.

Hostile bytes meet native libraries there. What goes in are bytes and JSON, what comes out is JSON and at most one block
of shared memory, never a pickle; what the child prints is thrown away, since it could repeat what it read. Knows no
image and no table. Linux only: blocks are sealed memory files.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import mmap
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from labelop.egress.environment import QUIET
from labelop.errors import ChildCrashedError, ChildFaultError, ChildTimeoutError

_HEAD = struct.Struct("<II")
_FIRST_BYTES = 4096
_CHUNK = 1 << 20
_MOST_ANSWER = 64 * _CHUNK
_MEMORY_BYTES = 4 << 30
_DEADLINE_SECONDS = 30.0
_GRACE_SECONDS = 5.0
_KEPT = {"MALLOC_MMAP_THRESHOLD_": str(32 * _CHUNK), "MALLOC_TRIM_THRESHOLD_": str(64 * _CHUNK)}
"""Memory that a child keeps between calls: one that gives its pages back meets them again as faults, call by call."""
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@dataclass(frozen=True, slots=True)
class Shared:
    """What a function in the child returns to hand over a block of memory beside its answer."""

    write: Callable[[BinaryIO], Any]
    """Writes the contents of the block into the file it is given, unbuffered; returns the answer, JSON."""


class Child:
    """One child; starts at the first call and again after a crash or a timeout. Serves one thread at a time.

    Args:
        memory_bytes: Most address space of the child; an allocation beyond it fails there.
        preload: Module to import at the start, so that the first call need not wait for it; or nothing.
    """

    def __init__(self, memory_bytes: int = _MEMORY_BYTES, preload: str = "") -> None:
        self._memory = memory_bytes
        self._preload = preload
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def call(
        self,
        function: str,
        data: bytes = b"",
        *,
        timeout_seconds: float = _DEADLINE_SECONDS,
        cpu_seconds: float = 0.0,
        **arguments: Any,
    ) -> Any:
        """Run a function of an importable module in the child and give its answer; see `call_shared`."""
        answer, _ = self.call_shared(
            function, data, timeout_seconds=timeout_seconds, cpu_seconds=cpu_seconds, **arguments
        )
        return answer

    def call_shared(
        self,
        function: str,
        data: bytes = b"",
        *,
        timeout_seconds: float = _DEADLINE_SECONDS,
        cpu_seconds: float = 0.0,
        **arguments: Any,
    ) -> tuple[Any, mmap.mmap | None]:
        """Run a function of an importable module in the child.

        Args:
            function: `package.module:name`; called with the bytes and the arguments, answers JSON or `Shared`.
            data: Bytes to look at.
            timeout_seconds: Deadline of the whole call, the child's start included.
            cpu_seconds: Most processor time of the call, which a busy machine does not use up; 0 for no such limit. The
                child ends itself, so a hang ends also when its caller is gone.
            arguments: JSON values by name.

        Returns:
            The answer, and the block of a `Shared` one, None where nothing was written: a private copy on write, which
            the child cannot change any more and which is let go with the last reference to it.

        Raises:
            ChildTimeoutError: No whole answer came in time; the child was killed.
            ChildCrashedError: The child ended or answered nonsense; it was killed.
            ChildFaultError: The function raised; only the name of its error is told, as `kind` in the context.
        """
        deadline = time.monotonic() + timeout_seconds
        head = json.dumps({"function": function, "arguments": arguments, "cpu_seconds": cpu_seconds}).encode()
        try:
            channel = self.start()
            _send(channel, _HEAD.pack(len(head), len(data)) + head, data, deadline)
            answer, block = _answered(channel, deadline)
        except TimeoutError as error:
            raise self._too_late(function, timeout_seconds) from error
        except (OSError, EOFError, ValueError, RecursionError) as error:
            if not isinstance(error, ValueError) and self._ended() == -signal.SIGPROF:
                raise self._too_late(function, cpu_seconds) from error
            self.close()
            raise ChildCrashedError(f"The process of {function} ended before its answer.", function=function) from error
        if "fault" in answer:
            raise ChildFaultError(f"{function} raised {answer['fault']}.", function=function, kind=answer["fault"])
        return answer["value"], block

    def start(self) -> socket.socket:
        """Start the child where none runs, without waiting for it.

        Returns:
            The way to it.
        """
        if self._process is not None and self._channel is not None and self._process.poll() is None:
            return self._channel
        self.close()
        # an environment of its own: no credential of the caller is in reach, and one thread per native library
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OPENBLAS_NUM_THREADS"), "1")
        found = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LANG": "C.UTF-8"}
        environment = {**found, **QUIET, **threads, **_KEPT}
        self._channel, far = socket.socketpair()
        with far:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter and this module
                [sys.executable, "-m", "labelop.children", str(far.fileno()), str(self._memory), self._preload],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(far.fileno(),),
                env=environment,
            )
        return self._channel

    def peak_bytes(self) -> int:
        """Say how much memory the child has had at most; 0 where none runs."""
        if self._process is None or self._process.poll() is not None:
            return 0
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii", errors="replace")
        return next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:")), 0)

    def close(self) -> None:
        """Kill the child if there is one; the next call starts another."""
        process, self._process = self._process, None
        channel, self._channel = self._channel, None
        if process is not None:
            process.kill()
        if channel is not None:
            channel.close()
        if process is not None:
            process.wait(_GRACE_SECONDS)

    def _ended(self) -> int | None:
        """Give the status of a child that has closed its end, or None where it runs on."""
        try:
            return None if self._process is None else self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def _too_late(self, function: str, seconds: float) -> ChildTimeoutError:
        self.close()
        return ChildTimeoutError(
            f"{function} gave no answer in {seconds:g} s; its process was killed.", function=function
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _send(channel: socket.socket, head: bytes, data: bytes, deadline: float) -> None:
    """Send both at once, so that the child is woken once."""
    _wait_until(channel, deadline)
    sent = channel.sendmsg([head, data])
    for part in (memoryview(head)[sent:], memoryview(data)[max(0, sent - len(head)) :]):
        at = 0
        while at < len(part):
            _wait_until(channel, deadline)
            at += channel.send(part[at:])


def _answered(channel: socket.socket, deadline: float) -> tuple[dict[str, Any], mmap.mmap | None]:
    _wait_until(channel, deadline)
    found, descriptors, _, _ = socket.recv_fds(channel, _FIRST_BYTES, 1)
    try:
        if not found:
            raise EOFError
        found += _received(channel, _HEAD.size - len(found), deadline)
        size = min(_HEAD.unpack_from(found)[0], _MOST_ANSWER)
        answer = json.loads(found[_HEAD.size :] + _received(channel, _HEAD.size + size - len(found), deadline))
        if not isinstance(answer, dict) or not answer.keys() & {"value", "fault"}:
            raise ValueError("neither a value nor a fault")
        return answer, _block(descriptors[0]) if descriptors else None
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _wait_until(channel: socket.socket, deadline: float) -> None:
    channel.settimeout(max(0.001, deadline - time.monotonic()))


def _block(descriptor: int) -> mmap.mmap | None:
    # sealed before it is measured: a page that is gone again would end whoever reads it
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    size = os.fstat(descriptor).st_size
    return mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY) if size else None


def _received(channel: socket.socket, size: int, deadline: float | None = None) -> bytes:
    found = bytearray()
    while len(found) < size:
        if deadline is not None:
            _wait_until(channel, deadline)
        piece = channel.recv(min(_CHUNK, size - len(found)))
        if not piece:
            raise EOFError
        found += piece
    return bytes(found)


def serve(channel: socket.socket, memory_bytes: int, preload: str) -> None:
    """Answer calls until the caller is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller ends its children itself
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash dump would hold the image
    if preload:
        importlib.import_module(preload)
    while head := channel.recv(_HEAD.size, socket.MSG_WAITALL):
        head_size, data_size = _HEAD.unpack(head)
        call = json.loads(_received(channel, head_size))
        signal.setitimer(signal.ITIMER_PROF, call["cpu_seconds"])  # its signal ends this process
        answer, descriptor = _answer(call, _data(channel, data_size))
        signal.setitimer(signal.ITIMER_PROF, 0)
        encoded = json.dumps(answer).encode()
        message = _HEAD.pack(len(encoded), 0) + encoded
        sent = socket.send_fds(channel, [message], [] if descriptor is None else [descriptor])
        channel.sendall(message[sent:])
        if descriptor is not None:
            os.close(descriptor)


def _data(channel: socket.socket, size: int) -> bytes | None:
    """Take the bytes of a call; None where they do not fit into memory."""
    try:
        data = channel.recv(size, socket.MSG_WAITALL) if size else b""
        return data if len(data) == size else data + _received(channel, size - len(data))
    except MemoryError:
        left = size
        while piece := channel.recv(min(_CHUNK, left)) if left else b"":
            left -= len(piece)
        return None


def _answer(call: dict[str, Any], data: bytes | None) -> tuple[dict[str, Any], int | None]:
    if data is None:
        return {"fault": MemoryError.__name__}, None
    module, _, name = call["function"].partition(":")
    with contextlib.ExitStack() as fault:
        try:
            value = getattr(importlib.import_module(module), name)(data, **call["arguments"])
            if not isinstance(value, Shared):
                return {"value": value}, None
            block = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            fault.callback(os.close, block)
            with os.fdopen(block, "wb", buffering=0, closefd=False) as file:
                answer = {"value": value.write(file)}
        except Exception as error:  # noqa: BLE001 - the rim of the process: the caller is told the kind
            return {"fault": type(error).__name__}, None
        fault.pop_all()
        return answer, block


if __name__ == "__main__":
    from labelop.children import serve

    # by its name, so that there is one `Shared` and not this module's own besides
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), sys.argv[3])
