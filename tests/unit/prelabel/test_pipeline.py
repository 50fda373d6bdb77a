"""The pipeline: bounded, in order, and nothing that was done is lost when something fails."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence

import pytest

from labelop.engines import side
from labelop.engines.side import lanes_of, streams_of
from labelop.prelabel import pipeline
from labelop.prelabel.pipeline import Pass, Reader, busy_seconds, groups, side_by_side


def nothing(_: object) -> int:
    """Give no size."""
    return 0


class Image:
    """Something with a size that tells when nobody holds it."""

    def __init__(self, size: int) -> None:
        self.size = size


def test_a_reader_gives_values_in_order_and_keeps_its_bound() -> None:
    """Whatever the threads do, values come in the order asked for, and never more than the bound are ahead."""
    loaded: list[int] = []

    def load(keys: Sequence[int]) -> list[int]:
        loaded.extend(keys)
        return [key * 10 for key in keys]

    with Reader(load, nothing) as reader:
        for taken, value in enumerate(reader.take(range(20), 3)):
            assert value == taken * 10
            assert len(loaded) <= taken + 1 + 3
    assert sorted(loaded) == list(range(20))


def test_a_reader_keeps_its_bound_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large images are loaded one at a time, and one beyond the bound is still loaded when its turn comes."""
    monkeypatch.setattr(pipeline, "AHEAD_BYTES", 10)
    loaded: list[int] = []

    def load(keys: Sequence[int]) -> Sequence[int]:
        loaded.extend(keys)
        return keys

    with Reader(load, lambda _: 11) as reader:
        for taken, _ in enumerate(reader.take(range(4), 3)):
            assert len(loaded) == taken + 1


def test_a_reader_goes_on_into_the_next_batch_once() -> None:
    """What was loaded ahead for the next batch is not loaded again, and what nobody wants is forgotten."""
    loaded: list[str] = []

    def load(keys: Sequence[str]) -> Sequence[str]:
        loaded.extend(keys)
        return keys

    with Reader(load, nothing, threads=1) as reader:
        assert list(reader.take(["a", "b"], 2, ["c", "d", "e"])) == ["a", "b"]
        assert list(reader.take(["c", "d", "e"], 2)) == ["c", "d", "e"]
        assert sorted(loaded) == ["a", "b", "c", "d", "e"]
        assert list(reader.take(["a"], 2, ["x"])) == ["a"]
        assert list(reader.take(["y"], 2)) == ["y"]
        assert set(reader._waiting) == set()
        assert reader._held_bytes == 0


def test_an_error_stands_where_the_first_value_of_its_load_would() -> None:
    """What comes before a failing load is given first."""

    def load(keys: Sequence[int]) -> Sequence[int]:
        if 2 in keys:
            raise OSError("away")
        return keys

    taken: list[int] = []
    with Reader(load, nothing, together=2) as reader, pytest.raises(OSError, match="away"):
        taken.extend(reader.take(range(5), 5))
    assert taken == [0]


def test_a_reader_loads_several_together_and_begins_with_few() -> None:
    """Loads grow to the most that go together and stay so; one image a load costs a message for each.

    The first ones are small, so that an engine need not wait for a full one.
    """
    loads: list[list[int]] = []

    def load(keys: Sequence[int]) -> Sequence[int]:
        loads.append(list(keys))
        return keys

    with Reader(load, nothing, threads=1, together=8) as reader:
        assert list(reader.take(range(71), 32)) == list(range(71))
    assert [len(keys) for keys in loads] == [1, 2, 4, 8, 8, 8, 8, 8, 8, 8, 8]
    assert [key for keys in loads for key in keys] == list(range(71))


def test_large_values_are_not_loaded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load keeps its bound in bytes, and one beyond it goes alone but is still loaded ahead."""
    monkeypatch.setattr(pipeline, "TOGETHER_BYTES", 10)
    loads: list[list[int]] = []

    def load(keys: Sequence[int]) -> Sequence[int]:
        loads.append(list(keys))
        return keys

    with Reader(load, {0: 5, 1: 5, 2: 5, 3: 6, 4: 11, 5: 1}.__getitem__, threads=1) as reader:
        assert list(reader.take(range(6), 32)) == list(range(6))
    assert loads == [[0], [1, 2], [3], [4], [5]]


def test_passes_run_together_and_end_in_order() -> None:
    """Two passes that wait for each other both end, and answers come in the order of the passes."""
    meeting = threading.Barrier(2, timeout=20)
    done: list[Pass[int]] = []

    def work(number: int) -> int:
        meeting.wait()
        return number

    side_by_side(work, range(4), 2, done.append, nothing)
    assert [one.answers for one in done] == [0, 1, 2, 3]
    assert all(one.started <= one.ended for one in done)


@pytest.mark.parametrize("lanes", [1, 3])
def test_a_failing_pass_keeps_what_others_did(lanes: int) -> None:
    """The earliest error is raised, passes before it are handed over, and none is begun long after it."""
    begun: list[int] = []
    done: list[Pass[int]] = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise RuntimeError("three")
        return number

    with pytest.raises(RuntimeError, match="three"):
        side_by_side(work, range(50), lanes, done.append, nothing)
    answers = [one.answers for one in done]
    assert answers[:3] == [0, 1, 2]
    assert answers == sorted(set(begun) - {3})
    assert len(begun) <= 3 + 2 * (lanes + 1)


def test_groups_keep_both_bounds() -> None:
    """Items are cut by number and by bytes, in order, none lost."""
    big = pipeline.PASS_BYTES
    sizes = [1, 1, 1, big, big + 1, 1]
    assert list(groups(sizes, 2, int)) == [[1, 1], [1, big], [big + 1], [1]]
    assert list(groups([], 2, int)) == []


def test_nothing_is_made_ready_beside_a_large_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten frames at the limit took seven times the bytes of one: each is gone before the next one is loaded.

    Fails where anything on the way still holds what it gave, and where a pass that is full waits for the next image.
    """
    monkeypatch.setattr(pipeline, "PASS_BYTES", 10)
    monkeypatch.setattr(pipeline, "RUNNING_BYTES", 20)
    monkeypatch.setattr(pipeline, "AHEAD_BYTES", 10)
    made: list[weakref.ref[Image]] = []
    held: list[int] = []

    def load(keys: Sequence[int]) -> list[Image]:
        held.append(sum(image.size for image in (one() for one in made) if image is not None))
        images = [Image(key) for key in keys]
        made.extend(map(weakref.ref, images))
        return images

    def size(images: Sequence[Image]) -> int:
        return sum(image.size for image in images)

    done: list[Pass[int]] = []
    with Reader(load, int, threads=1, together=1) as reader:
        passes = groups(reader.take([21, 22, 23, 24, 25], 8), 4, lambda image: image.size)
        side_by_side(size, passes, 2, done.append, size)
    assert [one.answers for one in done] == [21, 22, 23, 24, 25]
    assert held == [0, 0, 0, 0, 0]


def test_lanes_fill_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """One lane per core for engines of one thread, two where one engine takes all, one on one core."""
    monkeypatch.setattr(side, "cores", lambda: 4)
    assert [lanes_of(1, None), lanes_of(2, None), lanes_of(4, None), lanes_of(1, 2), lanes_of(1, 1)] == [4, 2, 2, 2, 1]
    assert [streams_of(1), streams_of(2), streams_of(3), streams_of(4)] == [4, 2, 1, 1]
    monkeypatch.setattr(side, "cores", lambda: 1)
    assert lanes_of(1, None) == streams_of(1) == streams_of(2) == 1


def test_seconds_side_by_side_count_once() -> None:
    """Overlapping passes add up to the time that passed, gaps are left out."""
    assert busy_seconds([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0), (1.5, 1.6)]) == 4.0
    assert busy_seconds([]) == 0.0


def test_a_retry_asks_again_for_what_failed_ahead() -> None:
    """A source that was away for a moment does not fail the tries after it came back."""
    away = True

    def load(keys: Sequence[int]) -> Sequence[int]:
        if away:
            raise OSError("away")
        return keys

    with Reader(load, nothing, threads=1) as reader:
        with pytest.raises(OSError, match="away"):
            list(reader.take(range(8), 8))
        reader._pool.submit(int).result()  # behind this all that was read ahead has failed
        away = False
        assert list(reader.take(range(8), 8)) == list(range(8))
