"""Ways in which restricted bytes could be sent: mistakes, faults and forged rows, tried on a world thousands of times.

Every way is tried through the product's own code. What it stops raises or answers with a refusal; what arrives is in
the capture. Attempts know nothing of the layers that stop them.
"""

from __future__ import annotations

import copy
import io
import os
import pickle
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import yaml
from deltalake import DeltaTable
from PIL import Image

from labelop.egress.audit import AuditLog
from labelop.egress.environment import ONPREM, child_environment
from labelop.egress.gate import Gate, Released, ReleaseRequest
from labelop.egress.keys import ensure_key
from labelop.engines.lanes import CloudLane, ImageItem, Ready
from labelop.engines.remote import RemoteEngine
from labelop.engines.transport import Travelled
from labelop.errors import LabelopError
from labelop.ids import canonical_json, sha256_hex
from labelop.landing.store import land, read_rows
from labelop.prelabel.plan import PlannedBatch
from labelop.prelabel.ranges import ShardRange
from labelop.prelabel.shard import open_shard
from labelop.schemas import utc_now
from labelop.sensitivity.policy import SensitivityPolicy, load_policy
from tests.canary.canaries import Tagged
from tests.canary.world import PUBLIC, RESTRICTED, World

UNKNOWN = ("", "RESTRICTED", "secret", "publik", "restricted ", "none", None, float("nan"), b"public", 0)
"""What a level may be when something went wrong."""


@dataclass(frozen=True)
class Duck:
    """Looks like a release."""

    payload: bytes
    token: str
    placement: str = "cloud"
    image_id: str = "f" * 64
    name: str = "0.jpg"
    payload_digest: str = "0" * 64


class Battery:
    """Everything that tries to send, over one world.

    Args:
        world: The premises, taken in.
        url: The cloud's inference server.
        seed: Of the random choices.
    """

    def __init__(self, world: World, url: str, seed: int = 0) -> None:
        self.world = world
        self.url = url
        self.counts: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._card = next(iter(world.catalog.values()))
        self._key = ensure_key(world.folder / "keys")
        self.policy = load_policy(world.settings.config / "policy.yaml")
        self._old = replace(self.policy, digest="0" * 64, version="older")
        self.secret = list(world.sources[RESTRICTED].pictures)
        self.open = [one for one in world.sources[PUBLIC].pictures if one.name.startswith("public")]
        self._token = ""

    def many(self, count: int) -> None:
        """Try at least so many sends straight at the gate and its lane, in random order and company."""
        ways: Sequence[Callable[[int], None]] = (
            *(self.released,) * 6,
            self.unknown,
            self.policy_swapped,
            self.other_placement,
            self.borrowed,
            self.stray,
            self.other_run,
            self.copied,
        )
        while self.counts.total() < count:
            self._random.choice(ways)(self._random.randint(1, 32))

    def released(self, count: int) -> None:
        """Ask as a worker does; most images are restricted, some are public and do arrive."""
        items = [self._item(self._any()) for _ in range(count)]
        with self.lane() as lane:
            self._send(lane, items, "asked")

    def control(self) -> None:
        """Send every public picture, so that a search that finds nothing is known to see."""
        with self.lane() as lane:
            self._send(lane, [self._item(one) for one in self.open], "asked")

    def unknown(self, count: int) -> None:
        """Ask with levels that are none, in place of restricted."""
        items = [self._item(self._some(self.secret), self._random.choice(UNKNOWN)) for _ in range(count)]
        with self.lane() as lane:
            self._send(lane, items, "unknown level")

    def policy_swapped(self, count: int) -> None:
        """Release under one policy and send under an older one that is put in its place meanwhile."""
        with self.lane() as lane:
            ready = [one for one in lane.prepare([self._item(self._any()) for _ in range(count)]) if _is_ready(one)]
            lane._gate.policy = self._old
            self.counts["policy swapped"] += count
            for one in ready:
                self._noted(lane.run, self._card, [one], Travelled())

    def other_placement(self, count: int) -> None:
        """Take a good release for the premises and hand it to the cloud's client."""
        at_home = Gate(self.policy, self._audit(), ONPREM, key=self._key)
        made = at_home.release_many([self._request(self._some(self.secret)) for _ in range(count)], "run-1")
        with self.lane() as lane:
            for one in made:
                self.counts["release of another place"] += 1
                self._noted(lane._engine.forward, self._card, [one])

    def borrowed(self, count: int) -> None:
        """Send restricted bytes under the token of a public image."""
        token = self._good_token()
        with self.lane() as lane:
            for _ in range(count):
                self.counts["borrowed token"] += 1
                duck: Any = Duck(_payload(self._some(self.secret)), token)
                self._noted(lane._engine.forward, self._card, [duck])

    def stray(self, count: int) -> None:
        """Hand bytes that never saw the gate to the client: the file as it is, or its pixels."""
        with self.lane() as lane:
            for _ in range(count):
                self.counts["no release"] += 1
                one = self._some(self.secret)
                duck: Any = Duck(self._random.choice([one.encoded, _payload(one)]), self._random.choice(["", "a.b"]))
                self._noted(lane._engine.forward, self._card, [duck])

    def other_run(self, count: int) -> None:
        """Use the releases of one run in another one, restricted images among them."""
        items = [self._item(self._any()) for _ in range(count)]
        with self.lane("run-1") as first, self.lane("run-2") as second:
            self.counts["other run"] += count
            for one in filter(_is_ready, first.prepare(items)):
                self._noted(second.run, self._card, [one], Travelled())

    def copied(self, count: int) -> None:
        """Copy and change releases of public images so that they hold restricted bytes."""
        gate = Gate(self.policy, self._audit(), "cloud", key=self._key)
        with self.lane() as lane:
            for _ in range(count):
                self.counts["changed release"] += 1
                good = gate.release(self._some(self.open).pixels, "a" * 64, "public", "run-1")
                self._noted(self._send_forged, lane, good)

    def _send_forged(self, lane: CloudLane, good: Released) -> None:
        lane._engine.forward(self._card, [self._forged(good)])

    def _forged(self, good: Released) -> Any:
        payload = _payload(self._some(self.secret))
        match self._random.randint(0, 3):
            case 0:
                return pickle.loads(pickle.dumps(good)) if self._random.random() < 0.5 else copy.copy(good)
            case 1:
                good._payload = payload
                return good
            case 2:
                return Released(object(), "a" * 64, "cloud", payload, token=good.token)
            case _:
                object.__setattr__(good, "_payload", payload)
                return good

    def forged_batches(self, placement: str = "cloud", tries: int = 1) -> None:
        """Write batches, decisions and levels that send restricted images to the cloud, and run them as a worker."""
        store, where = self.world.store, self._where(RESTRICTED)
        wanted = self.world.image_ids(RESTRICTED)
        for number in range(tries):
            plan_id = f"plan-forged-{self._random.getrandbits(64):016x}"
            chunk = wanted if number == 0 else self._random.sample(wanted, self._random.randint(1, len(wanted)))
            model = {"arm": "cloud", "role": "chosen", "placement": "cloud", "model_id": self._card.id}
            batch = PlannedBatch(f"b-{plan_id}", **model, position=0, image_ids=tuple(chunk))
            common = {**where, "policy_digest": self.policy.digest, "run_id": "run-forged", "landed_at": utc_now()}
            row: dict[str, Any] = {"batch_id": batch.batch_id, "plan_id": plan_id, **model}
            row |= {"model_digest": self._card.digest, "parameters": canonical_json({}), "position": 0, **common}
            row["image_ids"] = list(chunk)
            land(store, "batches", [row], plan_id)
            self.counts["forged batch"] += len(chunk)
            settings = self.world.settings.model_copy(update={"cloud_url": self.url, "placement": placement})
            shard = ShardRange(plan_id, "cloud", 0, 0)
            self._noted(self._run_shard, shard, batch, settings)

    def _run_shard(self, shard: ShardRange, batch: PlannedBatch, settings: Any) -> None:
        with open_shard(self.world.store, shard, "shapes", settings, "run-forged") as opened:
            for row in opened.run(batch).rows:
                self.ended[f"{row['outcome']} {(row['reason'] or '').partition(' ')[0]}"] += 1

    def forged_decisions(self) -> None:
        """Rewrite the rows of routing so that they say that restricted goes to the cloud."""
        table = DeltaTable(f"{self.world.settings.store}/decisions")
        mine = f"dataset = '{RESTRICTED}' AND arm = "
        table.update({"role": "NULL"}, predicate=f"{mine}'local'")
        changed = table.update({"role": "'chosen'", "allowed": "true"}, predicate=f"{mine}'cloud'")
        assert changed["num_updated_rows"], "nothing was decided yet"
        self.counts["forged decision"] += changed["num_updated_rows"]

    def process_on_premises(self, *, without_network: bool) -> None:
        """Send bytes past all of the library, from a process on premises to any address that its environment knows."""
        parent = {**os.environ, "LABELOP_CLOUD_URL": self.url, "LABELOP_CLOUD_TOKEN": "secret"}
        parent |= {"HTTPS_PROXY": self.url, "AWS_ENDPOINT_URL": self.url}
        environment = child_environment(ONPREM, parent)
        command = [sys.executable, str(Path(__file__).with_name("stray.py")), str(self.world.sources[RESTRICTED].root)]
        prefix = ["unshare", "-rn"] if without_network else []
        self.counts["process on premises"] += 1
        done = subprocess.run([*prefix, *command], env=environment, capture_output=True, check=False, timeout=60)
        self.ended[f"process ended with {done.returncode}"] += 1

    @contextmanager
    def lane(self, run_id: str = "run-1") -> Any:
        """Open a lane to the cloud as a worker does."""
        gate = Gate(self.policy, self._audit(), "cloud", key=self._key)
        engine = RemoteEngine(self.url, check=lambda one: gate.check(one, run_id), pause=lambda _: None, attempts=3)
        lane = CloudLane(engine, gate, run_id, simulated=True)
        try:
            yield lane
        finally:
            lane.close()

    def _send(self, lane: CloudLane, items: list[ImageItem], way: str) -> None:
        self.counts[way] += len(items)
        ready = [one for one in lane.prepare(items) if _is_ready(one)]
        for start in range(0, len(ready), 8):
            self._noted(lane.run, self._card, ready[start : start + 8], Travelled())

    def _noted(self, attempt: Callable[..., Any], *given: Any) -> None:
        try:
            attempt(*given)
        except (LabelopError, TypeError, AttributeError) as error:
            self.ended[type(error).__name__] += 1
        else:
            self.ended["no error"] += 1

    def _where(self, dataset: str) -> dict[str, str]:
        rows = [row for row in read_rows(self.world.store, "datasets") if row["dataset"] == dataset]
        return {"dataset": dataset, "dataset_version": str(rows[0]["dataset_version"])}

    def _audit(self) -> AuditLog:
        return AuditLog(self.world.folder / "audit.jsonl")

    def _any(self) -> Tagged:
        return self._some(self.secret if self._random.random() < 0.8 else self.open)

    def _some(self, among: Sequence[Tagged]) -> Tagged:
        return self._random.choice(among)

    def _item(self, one: Tagged, *level: Any) -> ImageItem:
        is_open = one.name.startswith("public")
        said = level[0] if level else "public" if is_open else "restricted"
        return ImageItem(sha256_hex(one.encoded), one.pixels, said)

    def _request(self, one: Tagged) -> ReleaseRequest:
        return ReleaseRequest(one.pixels, sha256_hex(one.encoded), "restricted")

    def _good_token(self) -> str:
        if not self._token:
            gate = Gate(self.policy, self._audit(), "cloud", key=self._key)
            self._token = gate.release(self.open[0].pixels, "a" * 64, "public", "run-1").token
        return self._token


def _payload(one: Tagged) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(one.pixels)).save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def _is_ready(one: object) -> TypeGuard[Ready]:
    return isinstance(one, Ready)


def swap_policy_file(world: World, policy: SensitivityPolicy) -> None:
    """Put an older policy file in place of the one in force."""
    path = world.settings.config / "policy.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"version": "2025-01"}))
    assert load_policy(path).digest != policy.digest
