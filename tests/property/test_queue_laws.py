"""Laws of the review queue: everybody's turn comes, value goes first, and a tenth of any stretch is chance."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from labelop.effort.parameters import DEFAULTS
from labelop.effort.saved import save
from labelop.geometry import Box
from labelop.labels import Prediction
from labelop.landing.store import Store
from labelop.review.queue import in_queue_order, queue_order
from labelop.review.tasks import ReviewTask
from labelop.settings import Settings
from tests.unit.effort.test_effort_saved import saved_set

START = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


def task(n: int, scores: tuple[float, ...] = (0.5,)) -> ReviewTask:
    """Make a task with one draft box per score."""
    drafts = tuple(Prediction(f"p-{n}-{k}", "a", s, draft=True, box=Box(0, 0, 9, 9)) for k, s in enumerate(scores))
    return ReviewTask(f"t-{n}", "d", "v", f"i-{n}", "a.jpg", "b", "local", "m", "d" * 64, 99, 99, drafts)


many = st.lists(st.lists(st.floats(0, 1), max_size=4).map(tuple), max_size=60)


@given(scores=many, seed=st.randoms())
def test_each_task_has_one_place_whatever_the_input_order(scores: list[tuple[float, ...]], seed: object) -> None:
    """The queue holds each task once at positions 0, 1, ..., and does not depend on the order it was given."""
    tasks = [task(n, one) for n, one in enumerate(scores)]
    found = queue_order(tasks)
    assert sorted(one.task.task_uid for one in found) == sorted(one.task_uid for one in tasks)
    assert [one.position for one in found] == list(range(len(tasks)))
    seed.shuffle(tasks)  # type: ignore[attr-defined]
    assert queue_order(tasks) == found


@given(count=st.integers(0, 200))
def test_a_tenth_of_any_stretch_is_chance(count: int) -> None:
    """Every ten places from the front hold exactly one that chance put there, and which ones owes nothing to scores."""
    low, high = ([task(n, (score,)) for n in range(count)] for score in (0.1, 0.9))
    chance = [one.is_random for one in queue_order(low)]
    assert all(sum(chance[at : at + 10]) == 1 for at in range(0, count, 10))
    drawn = [[one.task.task_uid for one in queue_order(tasks) if one.is_random] for tasks in (low, high)]
    assert drawn[0] == drawn[1]


def test_value_per_second_goes_first() -> None:
    """The likelier wrong task goes first, of two alike the quicker one, and one that stands for more files."""
    tasks = [task(0, (0.99,)), task(1, (0.2,)), task(2, (0.2, 0.99, 0.99)), task(3, ())]
    order = [one.task.task_uid for one in queue_order(tasks) if not one.is_random]
    assert [name for name in order if name in {"t-0", "t-1", "t-2"}] == [n for n in ("t-1", "t-2", "t-0") if n in order]
    crowd = [task(n) for n in range(30)]
    first = next(one for one in queue_order(crowd, reuse={"i-17": 5}) if not one.is_random)
    assert first.task.task_uid == "t-17" or "t-17" in {o.task.task_uid for o in queue_order(crowd) if o.is_random}


def test_value_is_per_second_of_the_set_that_is_saved(tmp_path: Path) -> None:
    """Whoever moves corners in no time takes the draft with more of them first, by published seconds the other."""
    tasks = [task(n, (0.3,) if n % 2 else (0.5,) * 4) for n in range(20)]
    store = Store(str(tmp_path))
    before = in_queue_order(store, "d", "v", tasks)
    zero = {"base_box_seconds": 0.0, "accept_box_seconds": 0.0, "adjust_two_drags_seconds": 0.0}
    save(Settings(store=store.root), saved_set("d", replace(DEFAULTS, origin="calibrated", **zero)))
    after = in_queue_order(store, "d", "v", tasks)
    assert [len(order[1].drafts) for order in (before, after)] == [1, 4]  # the first place is left to chance


def test_nothing_starves() -> None:
    """A task of little value that has waited long enough goes before new ones of much value."""
    tasks = [task(0, (0.99,)), *[task(n, (0.1,)) for n in range(1, 40)]]
    landed = {one.task_uid: START + dt.timedelta(days=30) for one in tasks} | {"t-0": START}
    old, fresh = queue_order(tasks, landed), queue_order(tasks)
    places = [{one.task.task_uid: one.position for one in found}["t-0"] for found in (old, fresh)]
    assert places[0] <= 1 < places[1]
