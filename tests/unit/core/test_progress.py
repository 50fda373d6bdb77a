"""Progress: heard inside its block by the innermost listener, by nobody else."""

from __future__ import annotations

import pytest

from labelop import progress


def fail_while_heard(heard: list[tuple[str, int, int]]) -> None:
    """Report once to a listener, then raise inside its block."""
    with progress.listening(lambda *said: heard.append(said)):
        progress.report("b", 2, 3)
        raise RuntimeError


def test_nobody_listening_is_fine() -> None:
    """The library reports whether or not anybody hears it."""
    progress.report("stage", 1, 2)


def test_the_innermost_listener_hears_until_its_block_ends() -> None:
    """Listeners nest, and the outer one is back after the inner block, even when that raised."""
    outer: list[int] = []
    inner: list[tuple[str, int, int]] = []
    with progress.listening(lambda _stage, done, _total: outer.append(done)):
        progress.report("a", 1, 3)
        with pytest.raises(RuntimeError):
            fail_while_heard(inner)
        progress.report("a", 3, 3)
    progress.report("a", 4, 4)
    assert outer == [1, 3]
    assert inner == [("b", 2, 3)]
