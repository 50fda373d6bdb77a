"""A child process may raise, hang, end, eat memory or talk nonsense: the caller gets one error and goes on."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import pytest

from labelop.children import Child
from labelop.errors import ChildCrashedError, ChildError, ChildFaultError, ChildTimeoutError


def behave(data: bytes, **arguments: Any) -> Any:
    """Do in the child what the bytes say."""
    if data == b"raise":
        raise KeyError("a secret that was read")
    if data == b"hang":
        time.sleep(60)
    if data == b"end":
        os._exit(3)
    if data == b"memory":
        return len(bytearray(3 << 30))
    if data == b"nonsense":
        os.write(1, b"x" * 64)
        sys.stdout.write("x" * 64)
        sys.stdout.flush()
    if data == b"environment":
        return dict(os.environ)
    return [len(data), arguments]


FUNCTION = f"{__name__}:behave"


@pytest.fixture
def child() -> Any:
    """Give a child with a gigabyte; it ends with the test."""
    with Child(memory_bytes=2 << 30) as made:
        yield made


@pytest.mark.parametrize(
    ("how", "kind"), [("raise", ChildFaultError), ("end", ChildCrashedError), ("memory", ChildFaultError)]
)
def test_what_happens_in_the_child_is_one_error(child: Child, how: str, kind: type[ChildError]) -> None:
    """The error names its kind and nothing that was read, and the next call is answered."""
    with pytest.raises(kind) as caught:
        child.call(FUNCTION, how.encode())
    assert "secret" not in str(caught.value)
    assert child.call(FUNCTION, b"well", a=1) == [4, {"a": 1}]


def test_memory_beyond_the_limit_is_refused(child: Child) -> None:
    """An allocation above the child's limit fails there as an error of its own kind."""
    with pytest.raises(ChildFaultError) as caught:
        child.call(FUNCTION, b"memory")
    assert caught.value.context["kind"] == "MemoryError"


def test_a_child_that_hangs_is_killed(child: Child) -> None:
    """No answer by the deadline ends the process, and the next call has a new one."""
    child.call(FUNCTION, b"well")
    assert child._process is not None
    before = child._process.pid
    with pytest.raises(ChildTimeoutError):
        child.call(FUNCTION, b"hang", timeout_seconds=0.2)
    child.call(FUNCTION, b"well")
    assert child._process.pid != before


def test_what_a_child_prints_is_no_answer(child: Child) -> None:
    """Libraries may print: answers have a channel of their own."""
    assert child.call(FUNCTION, b"nonsense") == [8, {}]


def test_a_child_has_no_credentials(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's environment stays with the caller."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    assert "canary" not in child.call(FUNCTION, b"environment").values()
