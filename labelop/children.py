"""A persistent child process that may crash, hang or eat memory without harm to the caller.

Hostile bytes meet native libraries there. What goes in and comes out are bytes and JSON, never pickles; what the
child writes to its streams is thrown away, since it could repeat what it read. Knows no image and no table.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import selectors
import signal
import struct
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, BinaryIO, Self

from labelop.errors import ChildCrashedError, ChildFaultError, ChildTimeoutError

_HEAD = struct.Struct("<II")
_CHUNK = 1 << 20
_MOST_ANSWER = 64 * _CHUNK
_MEMORY_BYTES = 4 << 30
_DEADLINE_SECONDS = 30.0
_GRACE_SECONDS = 5.0


class Child:
    """One child; starts at the first call and again after a crash or a timeout. Serves one thread at a time.

    Args:
        memory_bytes: Most address space of the child; an allocation beyond it fails there.
    """

    def __init__(self, memory_bytes: int = _MEMORY_BYTES) -> None:
        self._memory = memory_bytes
        self._process: subprocess.Popen[bytes] | None = None

    def call(
        self,
        function: str,
        data: bytes = b"",
        *,
        timeout_seconds: float = _DEADLINE_SECONDS,
        **arguments: Any,
    ) -> Any:
        """Run a function of an importable module in the child.

        Args:
            function: `package.module:name`; called with the bytes and the arguments, answers JSON.
            data: Bytes to look at.
            timeout_seconds: Deadline of the whole call, the child's start included.
            arguments: JSON values by name.

        Raises:
            ChildTimeoutError: No whole answer came in time; the child was killed.
            ChildCrashedError: The child ended or answered nonsense; it was killed.
            ChildFaultError: The function raised; only the name of its error is told, as `kind` in the context.
        """
        deadline = time.monotonic() + timeout_seconds
        process = self._started()
        head = json.dumps({"function": function, "arguments": arguments}).encode()
        try:
            _exchange_out(process, _HEAD.pack(len(head), len(data)) + head + data, deadline)
            size, _ = _HEAD.unpack(_exchange_in(process, _HEAD.size, deadline))
            answer = json.loads(_exchange_in(process, min(size, _MOST_ANSWER), deadline))
        except TimeoutError as error:
            self.close()
            raise ChildTimeoutError(
                f"{function} gave no answer in {timeout_seconds:g} s; its process was killed.", function=function
            ) from error
        except (OSError, EOFError, ValueError, RecursionError) as error:
            self.close()
            raise ChildCrashedError(f"The process of {function} ended before its answer.", function=function) from error
        if "fault" in answer:
            raise ChildFaultError(f"{function} raised {answer['fault']}.", function=function, kind=answer["fault"])
        return answer["value"]

    def close(self) -> None:
        """Kill the child if there is one; the next call starts another."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        process.wait(_GRACE_SECONDS)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        # an environment of its own: no credential of the caller is in reach, and one thread per native library
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OPENBLAS_NUM_THREADS"), "1")
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LANG": "C.UTF-8", **threads}
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter and this module
            [sys.executable, "-m", "labelop.children", str(self._memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=environment,
        )
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
        return self._process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _exchange_out(process: subprocess.Popen[bytes], data: bytes, deadline: float) -> None:
    assert process.stdin is not None
    left = memoryview(data)
    while left:
        _wait(process.stdin, selectors.EVENT_WRITE, deadline)
        left = left[os.write(process.stdin.fileno(), left[:_CHUNK]) :]


def _exchange_in(process: subprocess.Popen[bytes], size: int, deadline: float) -> bytes:
    assert process.stdout is not None
    found = bytearray()
    while len(found) < size:
        _wait(process.stdout, selectors.EVENT_READ, deadline)
        piece = os.read(process.stdout.fileno(), min(_CHUNK, size - len(found)))
        if not piece:
            raise EOFError
        found += piece
    return bytes(found)


def _wait(stream: Any, event: int, deadline: float) -> None:
    with selectors.DefaultSelector() as waiting:
        waiting.register(stream, event)
        if not waiting.select(max(0.0, deadline - time.monotonic())):
            raise TimeoutError


def _serve(memory_bytes: int) -> None:
    """Answer calls from standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller ends its children itself
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash dump would hold the image
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries that print must not write into the answers
    with os.fdopen(0, "rb", closefd=False) as calls, answers:
        while len(head := calls.read(_HEAD.size)) == _HEAD.size:
            answer = json.dumps(_answer(calls, *_HEAD.unpack(head))).encode()
            answers.write(_HEAD.pack(len(answer), 0) + answer)
            answers.flush()


def _answer(calls: BinaryIO, head_size: int, data_size: int) -> dict[str, Any]:
    call = json.loads(calls.read(head_size))
    data = calls.read(data_size)
    module, _, name = call["function"].partition(":")
    try:
        return {"value": getattr(importlib.import_module(module), name)(data, **call["arguments"])}
    except Exception as error:  # noqa: BLE001 - the rim of the process: the caller is told the kind
        return {"fault": type(error).__name__}


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
