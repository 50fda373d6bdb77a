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


@pytest.mark.parametrize("hold_seconds", [0.0, 0.01])
def test_an_item_that_was_held_long_enough_goes_alone(hold_seconds: float) -> None:
    """Held by time: what is done lands while the next takes its time, also when no other item comes to push it."""
    groups: list[list[int]] = []
    seen = threading.Event()

    def work(group: list[int]) -> None:
        groups.append(group)
        seen.set()

    with Behind(work, lambda _: 1, hold_seconds) as end:
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


@pytest.mark.parametrize("size", [1, 100])
def test_after_an_error_nothing_is_handed_over_and_all_of_it_is_kept(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error reaches who adds, once, and `left` has every item the work did not come to the end of."""
    monkeypatch.setattr(behind, "GROUP_SIZE", 100)
    calls: list[list[int]] = []
    made: list[int] = []

    def work(group: list[int]) -> None:
        calls.append(group)
        raise OSError("full")

    end = Behind(work, lambda _: size)

    def make() -> None:
        with end:
            for number in range(5):
                made.append(number)
                end.add(number)

    with pytest.raises(OSError, match="full"):
        make()
    assert len(calls) == 1
    assert end.left == made


def test_the_first_error_stays_the_first() -> None:
    """Handing over breaks after the block did: the error of the block is raised, the other one is a note of it."""

    def work(_: list[int]) -> None:
        raise OSError("full")

    end = Behind(work, lambda _: 1)

    def make() -> None:
        with end:
            end.add(1)
            raise KeyError("why")

    with pytest.raises(KeyError, match="why") as caught:
        make()
    assert end.left == [1]
    assert caught.value.__notes__ == ["Handing over what was done before failed too: OSError: full"]


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
