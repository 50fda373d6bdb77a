"""A site whose network is cut: half an hour of real time before S3, six simulated hours with crashes.

`python -m tests.faults.site_cut --minutes 30 --hours 6`; the tests run both in a small size.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from labelop import schemas
from labelop.errors import HeadOfficeUnavailableError, OutboxFullError
from labelop.ids import row_id
from labelop.landing.store import Store, read_rows
from labelop.settings import Settings, load_settings
from labelop.site import handover
from labelop.site.handover import hand_over_rows, probe
from labelop.site.link import MOST_SECONDS, Link
from labelop.site.outbox import Item, Outbox
from labelop.site.place import ROWS, Site, require_site
from tests.faults.proxy import BUCKET, s3_server
from tests.faults.results import Count, kept
from tests.faults.wire import wire

TABLE = "site_datasets"
MOST_ITEMS, MOST_BYTES = 400, 1 << 21
_ADDED = {"site", "position", "run_id", "landed_at"}


class Crash(BaseException):
    """The process is gone at this instruction; no handler of the product may catch it."""


@dataclass
class Producer:
    """Nights that go on, cut or not: each puts one answer into the outbox, and stops where there is no room."""

    outbox: Outbox
    taken: list[str] = field(default_factory=list)
    stops_count: int = 0
    most_bytes: int = 0

    def night(self) -> None:
        """Do one night; the next one tries again what found no room."""
        number = len(self.taken)
        columns = [f for f in schemas.table(TABLE).schema if f.name not in _ADDED]
        values = {
            f.name: [f"d-{number}" if f.type == pa.string() else number] for f in columns if f.name != "simulated"
        }
        rows = pa.table({f.name: pa.array(values.get(f.name, [False]), f.type) for f in columns})
        with pa.BufferOutputStream() as sink:
            with pa.ipc.new_stream(sink, rows.schema) as stream:
                stream.write_table(rows)
            body = sink.getvalue().to_pybytes()
        key = row_id(ROWS, number)
        try:
            self.outbox.put(key, {"table": TABLE, "dataset": f"d-{number}", "run_id": f"n-{number}"}, body)
            self.taken.append(f"d-{number}")
        except OutboxFullError:
            self.stops_count += 1
        on_disk = sum(path.stat().st_size for path in self.outbox.folder.glob("*.item"))
        self.most_bytes = max(self.most_bytes, on_disk)


def check(producer: Producer, head: Store) -> dict[str, Count]:
    """Compare what was taken with what arrived: nothing lost, nothing doubled, order kept, quota kept."""
    rows = sorted((r for r in read_rows(head, TABLE)), key=lambda row: int(row["position"]))
    arrived = [str(row["dataset"]) for row in rows if row["site"] == "north"]
    lost, doubled = set(producer.taken) - set(arrived), len(arrived) - len(set(arrived))
    assert not lost, sorted(lost)[:5]
    assert not doubled
    assert arrived == producer.taken, "the order was not kept"
    assert producer.most_bytes <= MOST_BYTES
    assert producer.outbox.items() == []
    return {
        "items": len(producer.taken),
        "lost": 0,
        "doubled": 0,
        "nights_stopped_by_a_full_outbox": producer.stops_count,
        "most_bytes_on_disk": producer.most_bytes,
        "quota_bytes": MOST_BYTES,
    }


def cut_for_real(folder: Path, minutes: float, nights_per_second: float) -> dict[str, Count]:
    """Cut the wire to S3 for some minutes while nights go on and a sync waits, then let it drain."""
    with s3_server() as address, wire(address) as laid:
        settings = load_settings(
            store=str(folder / "store"), site="north", head_store=f"s3://{BUCKET}/office",
            s3_endpoint=f"http://127.0.0.1:{laid.port}", s3_key="key", s3_secret="secret",
            outbox_items=MOST_ITEMS, outbox_bytes=MOST_BYTES,
        )  # fmt: skip
        site = require_site(settings)
        assert site.head is not None
        head = site.head
        producer = Producer(site.outbox)
        producer.night()
        hand_over_rows(site, Link(partial(probe, head)))
        laid.cut()
        answered: list[float] = []

        def asked() -> None:
            probe(head)
            answered.append(time.monotonic())

        ended: list[float] = []

        def sync() -> None:
            link = Link(asked, patience_seconds=minutes * 60 + 900)
            while not ended or site.outbox.items():
                hand_over_rows(site, link)
                time.sleep(0.05)

        waiting = threading.Thread(target=sync)
        waiting.start()
        until = time.monotonic() + minutes * 60
        while time.monotonic() < until:
            producer.night()
            time.sleep(1 / nights_per_second)
        backlog = len(site.outbox.items())
        laid.mend()
        mended = time.monotonic()
        ended.append(mended)
        waiting.join()
        drained = time.monotonic()
        counts = check(producer, head)
        back = next((at for at in answered if at >= mended), mended)
        normal = _normal_seconds(folder, settings.model_copy(update={"site": "south"}), backlog)
        counts |= {
            "backlog_items": backlog,
            "seconds_until_the_first_answer": round(back - mended, 2),
            "drain_seconds": round(drained - back, 2),
            "normal_seconds": round(normal, 2),
            "connections_never_answered": laid.refused_count,
        }
        assert drained - back <= 2 * normal + 2
        return counts


def _normal_seconds(folder: Path, settings: Settings, items: int) -> float:
    """Drain as many items of another site over the whole wire, in the same process."""
    site = require_site(settings)
    assert site.head is not None
    other = Site("south", site.folder, Outbox(folder / "south", most_items=10**6, most_bytes=1 << 30), site.head)
    producer = Producer(other.outbox)
    for _ in range(items):
        producer.night()
    started = time.monotonic()
    hand_over_rows(other, Link(partial(probe, site.head)))
    return time.monotonic() - started


class Offline:
    """Head office's folder hidden for hours of a clock of its own; nights go on, syncs try, processes die."""

    def __init__(self, folder: Path, hours: float, crashes: int, seed: int) -> None:
        self.folder, self.head, self.hidden = folder, folder / "head", folder / "hidden"
        self.hidden.mkdir(parents=True)
        self.draw = random.Random(seed)
        self.now = self.next_night = datetime(2026, 11, 20, tzinfo=UTC)
        self.back_at = self.now + timedelta(hours=hours)
        # one dies while it drains, behind a landing and before anything is removed; the others while it is away
        self.drain_deaths = min(crashes, 1)
        moments = sorted(self.draw.uniform(0, hours) for _ in range(crashes - self.drain_deaths))
        self.away_deaths = [self.now + timedelta(hours=one) for one in moments]
        self.died = self.sent = 0
        self.site = self.opened()
        self.producer = Producer(self.site.outbox)

    def opened(self) -> Site:
        """Open the site as a process that starts does."""
        quota = {"most_items": MOST_ITEMS, "most_bytes": MOST_BYTES}
        outbox = Outbox(self.folder / "outbox", **quota, clock=lambda: self.now)
        return Site("north", self.folder, outbox, Store(str(self.head)))

    def seconds(self) -> float:
        """Give the time."""
        return self.now.timestamp()

    def die(self) -> None:
        """End the process at this instruction."""
        self.died += 1
        raise Crash

    def sleep(self, seconds: float) -> None:
        """Let time pass: nights are done meanwhile, one a minute, and head office comes back when it does."""
        end = self.now + timedelta(seconds=seconds)
        while self.next_night <= min(end, self.back_at):
            self.now = self.next_night
            self.next_night += timedelta(minutes=1)
            self.producer.night()
            if self.away_deaths and self.now >= self.away_deaths[0]:
                self.away_deaths.pop(0)
                self.die()
        self.now = end
        if end >= self.back_at and self.hidden.exists():
            self.hidden.rename(self.head)

    def land(self, site: Site, head: Store, items: Mapping[Item, tuple[str, Any]]) -> None:
        """Land as the product does, and die behind it once."""
        _LAND(site, head, items)
        self.sent += len(items)
        if self.drain_deaths:
            self.drain_deaths -= 1
            self.die()

    def sync(self) -> None:
        """Sync once, as a scheduled process does."""
        link = Link(
            partial(probe, Store(str(self.head))),
            patience_seconds=900,
            clock=self.seconds,
            sleep=self.sleep,
            draw=self.draw.uniform,
        )
        try:
            with contextlib.suppress(HeadOfficeUnavailableError):
                hand_over_rows(self.site, link)
            self.sleep(60)
        except Crash:
            self.site = self.opened()
            self.producer.outbox = self.site.outbox


_LAND = handover._land


def cut_simulated(folder: Path, hours: float, crashes: int, seed: int) -> dict[str, Count]:
    """Be offline for hours of simulated time, with crashes inside, then drain."""
    offline = Offline(folder, hours, crashes, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handover, "_land", offline.land)
        while offline.hidden.exists() or offline.site.outbox.items():
            offline.sync()
    counts = check(offline.producer, Store(str(offline.head)))
    waited = (offline.now - offline.back_at).total_seconds()
    assert offline.died == crashes
    assert offline.sent <= 2 * len(offline.producer.taken)
    assert waited <= MOST_SECONDS + 120
    return counts | {
        "simulated_hours": hours,
        "crashes": offline.died,
        "items_sent_with_repetitions": offline.sent,
        "simulated_seconds_until_drained": round(waited, 1),
    }


def main() -> None:
    """Run both and keep what they counted."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--minutes", type=float, default=30.0)
    given.add_argument("--hours", type=float, default=6.0)
    options = given.parse_args()
    with tempfile.TemporaryDirectory() as name:
        simulated = f"head office hidden for {options.hours:g} hours of simulated time, 3 crashes inside"
        with kept("site-offline-simulated", simulated) as counts:
            counts.update(cut_simulated(Path(name) / "a", options.hours, 3, seed=7))
        real = f"the wire to S3 cut for {options.minutes:g} minutes of real time while nights went on"
        with kept("site-network-cut", real) as counts:
            counts.update(cut_for_real(Path(name) / "b", options.minutes, nights_per_second=0.2))


if __name__ == "__main__":
    main()
