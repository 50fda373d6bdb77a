"""Batches whose server fails: what may land of them, what may not, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from labelop.egress.audit import AuditLog
from labelop.egress.gate import Gate
from labelop.engines.compose import ComposedArm
from labelop.engines.lanes import CloudLane
from labelop.engines.prelabeller import ImageItem, ImageResult, Prelabeller
from labelop.engines.remote import RemoteEngine
from labelop.engines.spent import Cost
from labelop.errors import EngineUnavailableError, LabelopError, SettingsError
from labelop.prelabel.batch import run_batch
from tests.contract.doubles import Open, http_server
from tests.unit.prelabel.test_batch import whole

if TYPE_CHECKING:
    from tests.unit.prelabel.conftest import House


@dataclass
class Server:
    """Stands before a prelabeller, one pass at a time, and fails as a test says; each image takes 100 bytes."""

    real: Prelabeller
    fails: Callable[[str, int], bool]
    """Whether it fails at an image, by its id and how many it was asked for before."""
    reason: str = "SERVER_FAILED"
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._prelabel = self.real.prelabel
        self.real.prelabel = self.prelabel  # type: ignore[method-assign]
        self.real.most_passes = 1  # type: ignore[misc]

    def prelabel(self, items: Sequence[ImageItem]) -> list[ImageResult]:
        """Answer, or fail, each image for itself."""
        results = []
        for one in self._prelabel(items):
            if self.fails(one.image_id, len(self.asked)):
                one = replace(one, outcome="failed", reason=self.reason, predictions=())  # noqa: PLW2901
            self.asked.append(one.image_id)
            results.append(replace(one, sent_bytes=100))
        return results


def outcomes(house: House, keys: list[str], server: Server, booked: list[dict[str, Any]] | None = None) -> list[str]:
    """Run a batch of all images in one thread; gives the outcomes of its rows."""
    plan, usages = house.plan(), [] if booked is None else booked
    done = run_batch(house.context(plan), whole(plan, keys, "cloud"), server.real, usages.append)
    usages.append(done.usage)
    return [str(row["outcome"]) for row in done.rows]


@pytest.mark.parametrize("reason", ["SERVER_FAILED", "SERVER_REFUSED", "BAD_ANSWER", "BAD_SHAPE"])
def test_a_batch_that_fails_by_its_server_alone_lands_nothing(house: House, reason: str) -> None:
    """Where the server failed at every image no row says so: such rows landed for good, and nobody asked again."""
    keys, booked = house.fill(("public", "public", "restricted")), list[dict[str, Any]]()
    server = Server(house.prelabeller(), lambda *_: True, reason)
    kind = SettingsError if reason == "SERVER_REFUSED" else EngineUnavailableError
    with pytest.raises(kind, match=f"b-1: the engine answered none .* failed at 2 .{reason}"):
        outcomes(house, keys, server, booked)
    assert [(usage["outcome"], usage["sent_bytes"], usage["images_count"]) for usage in booked] == [("failed", 200, 2)]


def test_one_image_that_is_refused_alone_does_not_end_the_run(house: House) -> None:
    """It may be refused for its own sake: the batches after it get their turn, which a fault of the set-up forbids."""
    keys = house.fill(("public",))
    with pytest.raises(EngineUnavailableError, match=r"failed at 1 \(SERVER_REFUSED"):
        outcomes(house, keys, Server(house.prelabeller(), lambda *_: True, "SERVER_REFUSED"))


@pytest.mark.parametrize("reason", ["SERVER_FAILED", "SERVER_REFUSED"])
def test_an_image_that_always_fails_is_failed_and_its_neighbours_land(house: House, reason: str) -> None:
    """It is asked for once more beside one that was answered, and that one is: the failure is the image's own."""
    keys, booked = house.fill(), list[dict[str, Any]]()
    server = Server(house.prelabeller(), lambda key, _: key == keys[1], reason)
    assert outcomes(house, keys, server, booked) == ["ok", "failed", "ok", "ok", "ok"]
    assert server.asked == [*keys, keys[1], keys[0]]
    assert [(usage["outcome"], usage["sent_bytes"], usage["images_count"]) for usage in booked] == [
        ("finished", 700, 5)
    ]


def test_many_images_that_always_fail_do_not_hold_up_their_batch(house: House) -> None:
    """Each is judged by its witness: a batch that ended with them was asked for every night again."""
    keys = house.fill(("public",) * 10)
    server = Server(house.prelabeller(), lambda key, _: key != keys[4])
    assert outcomes(house, keys, server) == ["failed"] * 4 + ["ok"] + ["failed"] * 5
    assert server.asked.count(keys[4]) == 10


@pytest.mark.parametrize("good", [1, 3, 4])
def test_a_server_that_breaks_before_the_end_lands_nothing(house: House, good: int) -> None:
    """Images that failed because their server broke landed as failed for good; now the batch is asked for again."""
    keys, booked = house.fill(), list[dict[str, Any]]()
    server = Server(house.prelabeller(), lambda _, before: before >= good)
    with pytest.raises(EngineUnavailableError, match=f"b-1: the engine fails at image {keys[0]}, which it has"):
        outcomes(house, keys, server, booked)
    assert server.asked[5:7] == [keys[good], keys[0]]
    # the pass behind it may have begun already, and then it is paid for too
    sent = 100 * len(server.asked)
    assert [(usage["outcome"], usage["sent_bytes"], usage["images_count"]) for usage in booked] == [("failed", sent, 5)]


def test_a_server_that_recovers_costs_no_image(house: House) -> None:
    """What failed while the server was ill lands when it is well again before the batch ends."""
    keys = house.fill()
    server = Server(house.prelabeller(), lambda _, before: before in {2, 3})
    assert outcomes(house, keys, server) == ["ok"] * 5
    assert server.asked == [*keys, keys[2], keys[0], keys[3], keys[0]]


def test_a_pass_that_ends_in_a_lost_server_is_booked(house: House) -> None:
    """What a pass took until its server was lost was nobody's: its images have no results that could bear it."""
    keys, booked = house.fill(), list[dict[str, Any]]()
    prelabeller = house.prelabeller()

    def lost(_: Any) -> Any:
        raise EngineUnavailableError("gone", costs=[Cost(0.5, 70, 7, 0.25), Cost(0.5, 30, 0, 0.0)])

    prelabeller.prelabel = lost  # type: ignore[assignment,method-assign]
    with pytest.raises(EngineUnavailableError, match="gone"):
        run_batch(house.context(house.plan()), whole(house.plan(), keys, "cloud"), prelabeller, booked.append)
    [usage] = booked
    assert (usage["outcome"], usage["sent_bytes"], usage["received_bytes"]) == ("failed", 100, 7)
    assert usage["detector_seconds"] == pytest.approx(usage["infer_seconds"] / 4)
    assert usage["infer_seconds"] > 0


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (400, SettingsError, r"SERVER_REFUSED.*refused the request \(status 400\): boom\..*LABELOP_CLOUD_URL"),
        (500, EngineUnavailableError, r"the last 6 tries in a row failed\. The last one: .* \(status 500\): boom"),
        (405, EngineUnavailableError, r"The last one: .* \(status 405\): boom"),
    ],
)
def test_a_server_that_refuses_everything_is_named_with_its_words_and_booked(
    house: House, status: int, kind: type[LabelopError], said: str
) -> None:
    """With 400 all images landed as failed, of a 500 nobody heard the cause, and its attempt had no bytes."""
    keys, booked = house.fill(("public",) * 8), list[dict[str, Any]]()
    with http_server(lambda: (status, {}, b'{"error": "boom"}')) as (url, seen):
        gate = Gate(Open(), AuditLog(house.root / "audit.jsonl"), "cloud")
        lane = CloudLane(RemoteEngine(url, pause=lambda _: None), gate, "r", simulated=True)
        arm = ComposedArm(house.arms["cloud"], lane)
        with pytest.raises(kind, match=said):
            run_batch(house.context(house.plan()), whole(house.plan(), keys, "cloud"), arm, booked.append)
        arm.close()
    [usage] = booked
    assert usage["outcome"] == "failed"
    assert usage["sent_bytes"] == sum(len(body) for _, body in seen) > 0
    assert usage["received_bytes"] == len(b'{"error": "boom"}') * len(seen)
    assert usage["infer_seconds"] > 0
