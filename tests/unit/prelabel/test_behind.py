"""Work behind the worker's back: every item once, in order, several together, bounded, and no item lost in trouble."""

from __future__ import annotations

import threading
from contextvars import ContextVar

import pytest

from labelop.prelabel import behind
from labelop.prelabel.behind import Behind


def test_every_item_is_handed_over_once_in_order() -> None:
    """Whatever the groups are, their concatenation is what was added."""
    groups: list[list[int]] = []
    with Behind(groups.append, lambda _: 400) as end:
        for number in range(10):
            end.add(number)
    assert [number for group in groups for number in group] == list(range(10))
    assert max(map(len, groups)) == 3


def test_an_item_that_was_held_long_enough_goes_alone() -> None:
    """Slow work lands batch by batch: nothing waits for company longer than it may."""
    groups: list[list[int]] = []
    seen = threading.Event()

    def work(group: list[int]) -> None:
        groups.append(group)
        seen.set()

    with Behind(work, lambda _: 1, hold_seconds=0.0) as end:
        end.add(1)
        assert seen.wait(30)
        assert groups == [[1]]


def test_more_than_one_full_group_is_never_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who makes more than can be handed over is held back, so memory does not grow."""
    monkeypatch.setattr(behind, "GROUP_SIZE", 2)
    begun, go_on, added = threading.Event(), threading.Event(), []

    def work(_: list[int]) -> None:
        begun.set()
        go_on.wait(30)

    def make() -> None:
        with Behind(work, lambda _: 1) as end:
            for number in range(10):
                end.add(number)
                added.append(number)

    maker = threading.Thread(target=make)
    maker.start()
    assert begun.wait(30)
    maker.join(0.05)
    assert len(added) <= 3
    go_on.set()
    maker.join(30)
    assert added == list(range(10))


def test_after_an_error_nothing_is_handed_over_and_the_rest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error reaches who adds, once; what was not handed over can still be accounted for."""
    monkeypatch.setattr(behind, "GROUP_SIZE", 1)
    calls: list[list[int]] = []

    def work(group: list[int]) -> None:
        calls.append(group)
        raise OSError("full")

    end = Behind(work, lambda _: 1)

    def make() -> None:
        with end:
            for number in range(5):
                end.add(number)

    with pytest.raises(OSError, match="full"):
        make()
    [first] = calls
    assert first + end.left == [0, 1]


def test_an_error_of_the_maker_leaves_nothing_undone() -> None:
    """What was made before the error was paid for and is handed over."""
    groups: list[list[int]] = []

    def make() -> None:
        with Behind(groups.append, lambda _: 1) as end:
            end.add(1)
            raise KeyError

    with pytest.raises(KeyError):
        make()
    assert groups == [[1]]


def test_work_sees_the_context_of_the_block() -> None:
    """Listeners to progress and the flow run are context variables."""
    who: ContextVar[str] = ContextVar("who", default="nobody")
    token = who.set("me")
    seen: list[str] = []
    end: Behind[int] = Behind(lambda _: seen.append(who.get()), lambda _: 1)
    with end:
        end.add(1)
    who.reset(token)
    assert seen == ["me"]
