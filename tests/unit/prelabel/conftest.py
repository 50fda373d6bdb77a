"""A small dataset in a store, and an arm with an engine that needs no model."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from labelop import ids
from labelop.catalog.cards import ModelCard, Postprocess
from labelop.engines.fixed import FixedEngine
from labelop.engines.prelabeller import ArmModels, Prelabeller, with_engines
from labelop.landing.store import Store, land
from labelop.prelabel.batch import BatchContext, image_refs
from labelop.prelabel.plan import Plan, plan_dataset
from labelop.schemas import table, utc_now
from labelop.sensitivity.policy import SensitivityPolicy, load_policy
from labelop.settings import Settings, load_settings
from tests import cards

CONFIG = Path(__file__).resolve().parents[3] / "data/sample/config"
DATASET, VERSION = "toy", "v-1"


def make_card(model_id: str = "toy-small") -> ModelCard:
    """Describe a detector that `FixedEngine` can play."""
    return cards.make_card(model_id, postprocess=Postprocess(0.05, 0.6, 10, {"ball": 0.4, "cube": 0.4}))


def make_row(name: str, **given: Any) -> dict[str, Any]:
    """Fill a row of a table: what is not given is null."""
    common = {"dataset": DATASET, "dataset_version": VERSION, "run_id": "r", "landed_at": utc_now()}
    columns = table(name).schema.names
    return dict.fromkeys(columns) | {c: v for c, v in common.items() if c in columns} | given


def make_jpeg(seed: int) -> bytes:
    """Draw a small image that no other seed gives."""
    out = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, format="JPEG")
    return out.getvalue()


@dataclass
class House:
    """A dataset of drawn images with levels and decisions, as ingest, classify and route leave it."""

    root: Path
    store: Store
    settings: Settings
    policy: SensitivityPolicy
    arms: dict[str, ArmModels]
    files: dict[str, Path] = field(default_factory=dict)
    decisions: list[dict[str, Any]] = field(default_factory=list)

    def fill(self, levels: Sequence[str] = ("public",) * 5, *, held_out: int = 0, split: str = "val") -> list[str]:
        """Write one image per level and land the tables; gives the image ids in the order of the levels."""
        source = self.root / "source"
        source.mkdir()
        keys, images = [], []
        for number, _ in enumerate(levels):
            data = make_jpeg(number)
            path = source / f"{number}.jpg"
            path.write_bytes(data)
            keys.append(ids.sha256_hex(data))
            self.files[keys[-1]] = path
            facts = {
                "path": path.name,
                "image_id": keys[-1],
                "source_uri": str(source),
                "width_px": 32,
                "height_px": 24,
            }
            images.append(make_row("images", **facts, outcome="ok", split=split if number < held_out else None))
        land(self.store, "images", images, "images")
        leveled = zip(keys, levels, strict=True)
        digest = self.policy.digest
        land(
            self.store,
            "levels",
            [make_row("levels", image_id=k, level=v, policy_digest=digest) for k, v in leveled],
            "l",
        )
        truths = [make_row("reviews", review_id=k, image_id=k, arm="import", labels=[]) for k in keys[:held_out]]
        land(self.store, "reviews", truths, "reviews")
        self.decisions = [self._decision(level, arm) for level in sorted(set(levels)) for arm in self.arms]
        return keys

    def plan(self, **given: Any) -> Plan:
        """Plan the dataset."""
        options: dict[str, Any] = {
            "decisions": self.decisions,
            "policy": self.policy,
            "compare_share": 0.0,
            "batch_images": 2,
            "run_id": "r",
        }
        options |= given
        return plan_dataset(self.store, DATASET, VERSION, arms=self.arms, **options)

    def context(self, plan: Plan) -> BatchContext:
        """Read what a shard's batches share."""
        return BatchContext(plan, image_refs(self.store, plan, self.policy), self.policy, self.settings, "run-1")

    def prelabeller(self, arm: str = "local") -> Prelabeller:
        """Open an arm with the fixed engine."""
        models = self.arms[arm]
        return with_engines(models, {models.detector.id: FixedEngine(models.detector)})

    def _decision(self, level: str, arm: str) -> dict[str, Any]:
        placement = {"local": "onprem", "cloud": "cloud"}[arm]
        return make_row(
            "decisions",
            decision_id=f"{level}-{arm}",
            level=level,
            role="chosen" if arm == "local" else "compare",
            arm=arm,
            placement=placement,
            allowed=placement == "onprem" or level in {"public", "internal"},
            expected_cost=Decimal(1),
            policy_digest=self.policy.digest,
        )


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An empty store with the sample's policy and two arms."""
    settings = load_settings(store=str(tmp_path / "store"), config=CONFIG)
    arms = {"local": ArmModels(make_card("toy-small")), "cloud": ArmModels(make_card("toy-large"))}
    return House(tmp_path, Store(str(tmp_path / "store")), settings, load_policy(CONFIG / "policy.yaml"), arms)
