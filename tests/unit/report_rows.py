"""Small stores for the report's tests: two arms over the same images, with a reviewer's corrections, all drawn here."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from PIL import Image

from labelop import schemas
from labelop.landing.store import Store, land
from labelop.sensitivity.policy import load_policy
from tests.approved import approve_all

NOW = dt.datetime(2026, 11, 20, 3, 15, tzinfo=dt.UTC)
POLICY = load_policy(Path("data/sample/config/policy.yaml"), today=NOW.date())
SECONDS = {"accept": 1.8, "adjust": 4.9, "relabel": 3.8, "adjust_relabel": 8.7, "delete": 2.8, "add": 12.5}
PRICES = {
    "onprem": {
        "machine_price": "3600",
        "machine_salvage": "600",
        "machine_life": "3",
        "machine_busy": "1000",
        "machine_power": "0.45",
        "pue": "1",
        "electricity": "0.146",
        "slowdown": "0.2",
        "blocked": "0",
        "setup": "0",
    },
    "cloud": {
        "gpu": "0.526",
        "increment": "1",
        "minimum": "60",
        "cold_start": "120",
        "keep_warm": "0",
        "api": "0",
        "storage": "0.023",
        "storage_time": "1",
        "put": "0.005",
        "get": "0.0004",
        "egress": "0.09",
        "setup": "0",
        "governance": "0",
    },
    "review": {"loaded_rate": "25", "productive_fraction": "0.75"},
}

Rows = dict[str, list[dict[str, Any]]]
Photo = tuple[str, int, int, list[tuple[str, tuple[float, float, float, float]]]]
"""Path, width and height in pixels, and the true boxes with their classes."""


def row(table: str, **values: Any) -> dict[str, Any]:
    """Make one row with every column of a table; what is not given is null or a plain default."""
    base: dict[str, Any] = dict.fromkeys(schemas.table(table).schema.names)
    for name, value in {"run_id": "r-1", "landed_at": NOW, "policy_digest": POLICY.digest, "started_at": NOW}.items():
        if name in base:
            base[name] = value
    return base | values


def drawn_photos(folder: Path, count: int = 6) -> list[Photo]:
    """Write small grey photographs with two objects each."""
    folder.mkdir(parents=True, exist_ok=True)
    photos: list[Photo] = []
    for number in range(count):
        path = f"photo-{number}.png"
        Image.new("RGB", (120, 80), (200 - number, 210, 220)).save(folder / path)
        photos.append((path, 120, 80, [("RBC", (10, 10, 40, 40)), ("WBC", (60, 20, 100, 60))]))
    return photos


@dataclass
class World:
    """Rows of every table, grown dataset by dataset."""

    rows: Rows = field(default_factory=dict)

    def put(self, table: str, **values: Any) -> None:
        """Add one row."""
        self.rows.setdefault(table, []).append(row(table, **values))

    def land(self, store: Store) -> Store:
        """Land everything."""
        for table, rows in self.rows.items():
            land(store, table, rows, key=f"test:{table}")
        approve_all(store)
        return store


def priced(world: World) -> World:
    """Add the price book."""
    for placement, items in PRICES.items():
        for item, amount in items.items():
            world.put(
                "prices",
                price_book="book-1",
                placement=placement,
                item=item,
                unit="1",
                amount=Decimal(amount),
                currency="USD",
                as_of="2026-11-01",
                source="test",
            )
    return world


def reviewed(
    photos: Sequence[Photo],
    *,
    world: World | None = None,
    dataset: str = "bccd",
    source_uri: str = "/nowhere",
    level: str | None = "internal",
    levels: Mapping[str, str] | None = None,
    simulated: bool = True,
    quarantined: Sequence[tuple[str, str, str]] = (),
    wrong: Mapping[str, float] | None = None,
    rename: Mapping[str, str] | None = None,
) -> World:
    """Add a dataset whose images were all drafted by both arms and reviewed under both.

    Args:
        photos: Images and their truth.
        world: World to add to; a new one with prices when None.
        dataset: Name.
        source_uri: Folder of the photos.
        level: Level of every image; None for not classified.
        levels: Level of single images, by path.
        simulated: Whether reviews and the cloud are marked as simulated.
        quarantined: Path, reason and detail of files that could not be used.
        wrong: Share of drafts that need a correction, by arm.
        rename: Class names to use instead of the photos' own.
    """
    world = world or priced(World())
    rng = random.Random(f"{dataset}-7")
    version = {"dataset": dataset, "dataset_version": "5d0f3b7e9c2a"}
    world.put(
        "datasets",
        **version,
        ontology="cells",
        categories=[],
        source_uri=source_uri,
        source_format="voc",
        discovered_count=len(photos) + len(quarantined),
    )
    for path, reason, detail in quarantined:
        world.put("images", **version, path=path, source_uri=source_uri, outcome="quarantined")
        world.put("quarantine", **version, path=path, pointer="", reason=reason, detail=detail)
    for number, (path, width, height, _) in enumerate(photos):
        place = (levels or {}).get(path, level)
        image_id = _id_of(source_uri, path, f"{dataset}-{number:04d}")
        world.put(
            "images",
            **version,
            path=path,
            image_id=image_id,
            source_uri=source_uri,
            width_px=width,
            height_px=height,
            split="val",
            outcome="ok",
        )
        if place is not None:
            world.put("levels", **version, image_id=image_id, level=place, reason="declared")
    for arm in ("local", "cloud"):
        share = (wrong or {"local": 0.45, "cloud": 0.18})[arm]
        _Arm(world, version, source_uri, arm, share, rng, simulated, rename or {}).draft(photos)
    _decide(world, version, level or "restricted", len(photos))
    world.put(
        "bias_figures",
        **version,
        figure_set="bf-1",
        measure="catch_rate",
        slice="all",
        name="",
        value=0.9,
        value_low=0.85,
        value_high=0.94,
        units_count=80,
        verdict="pass",
        simulated=simulated,
    )
    _pilot(world, version | {"pilot_id": f"pilot-{dataset}"}, simulated=simulated)
    return world


def _pilot(world: World, of: Mapping[str, str], *, simulated: bool) -> None:
    """Add a pilot that is over."""
    world.put("pilots", **of, name="spring")
    world.put(
        "pilot_contrasts",
        **of,
        contrast_id=f"c-{of['pilot_id']}",
        stratum="all",
        arm="cloud",
        reference="local",
        verdict="superior",
        winner="cloud",
        ratio=0.8,
        ratio_low=0.7,
        ratio_high=0.9,
        margin=0.1,
        images_count=120,
        reviewers_count=3,
        exploratory=False,
        simulated=simulated,
        sentence="Cloud drafts take less time.",
    )


def _id_of(source_uri: str, path: str, missing: str) -> str:
    """Name an image by its bytes; what is given where there are none."""
    file = Path(source_uri, unquote(path))
    return sha256(file.read_bytes()).hexdigest() if file.is_file() else missing


@dataclass
class _Arm:
    """One arm of a dataset: drafts, reviews and what they cost."""

    world: World
    version: Mapping[str, str]
    source_uri: str
    name: str
    wrong: float
    rng: random.Random
    simulated: bool
    rename: Mapping[str, str]

    @property
    def is_local(self) -> bool:
        return self.name == "local"

    @property
    def model_id(self) -> str:
        return "cells-small" if self.is_local else "cells-large"

    def draft(self, photos: Sequence[Photo]) -> None:
        """Add batch by batch what the arm drafted and what the reviewer made of it."""
        dataset = self.version["dataset"]
        arm: dict[str, Any] = {**self.version, "arm": self.name, "model_id": self.model_id}
        run: dict[str, Any] = {
            **arm,
            "batch_id": f"b-{dataset}-{self.name}",
            "role": "chosen" if self.is_local else "compare",
            "placement": "onprem" if self.is_local else "cloud",
            "engine": "onnx",
            "simulated": self.simulated and not self.is_local,
        }
        for number, (path, width, height, truth) in enumerate(photos):
            image_id = _id_of(self.source_uri, path, f"{dataset}-{number:04d}")
            review_id = f"rev-{dataset}-{self.name}-{number:04d}"
            pairs = [self._correct(image_id, review_id, place, *label) for place, label in enumerate(truth)]
            self.world.put(
                "prelabels",
                **run,
                image_id=image_id,
                model_digest=f"{self.model_id}-3f9a",
                outcome="ok",
                width_px=width,
                height_px=height,
                predictions=[before for before, _ in pairs if before],
            )
            self.world.put(
                "reviews",
                **arm,
                batch_id=run["batch_id"],
                simulated=self.simulated,
                review_id=review_id,
                image_id=image_id,
                reviewer="r1",
                decision="approved",
                active_seconds=8.0 + 3 * len(truth) * self.wrong + self.rng.random(),
                effort_source="measured",
                labels=[after for _, after in pairs if after],
                tool="label_studio",
                submitted_at=NOW,
            )
        self.world.put(
            "usage",
            **run,
            attempt_id=f"a-{dataset}-{self.name}",
            worker="w",
            images_count=len(photos),
            wall_seconds=len(photos) * (0.05 if self.is_local else 0.21),
            infer_seconds=len(photos) * (0.041 if self.is_local else 0.192),
            detector_seconds=len(photos) * (0.041 if self.is_local else 0.192),
            sent_bytes=0 if self.is_local else 61_000 * len(photos),
            received_bytes=0 if self.is_local else 4_100 * len(photos),
            outcome="finished",
        )
        figure = {"split": "val", "metric": "ap50", "value": 0.702 if self.is_local else 0.884}
        self.world.put("quality", **self.version, **figure, model_id=self.model_id, images_count=len(photos))

    def _correct(
        self, image_id: str, review_id: str, place: int, true_name: str, box: tuple[float, float, float, float]
    ) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Draw what happened to one object; returns the draft and the accepted label, None where there is none."""
        op = "accept"
        if self.rng.random() < self.wrong:
            op = self.rng.choices(["adjust", "relabel", "delete", "add", "adjust_relabel"], [5, 1, 2, 3, 1])[0]
        name = self.rename.get(true_name, true_name)
        guess = "Platelets" if "relabel" in op else name
        score = round(0.5 + self.rng.random() / 2, 3)
        corners = dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), map(float, box), strict=True))
        shift = (box[2] - box[0]) * 0.15 if "adjust" in op else 0.0
        has_draft, has_label = op != "add", op != "delete"
        before = {
            "prediction_id": f"p-{review_id}-{place}",
            "label": guess,
            "score": score,
            "draft": True,
            "mask_rle": None,
            **{key: value + shift for key, value in corners.items()},
        }
        after = {
            "label_id": f"l-{review_id}-{place}",
            "prediction_id": None,
            "label": name,
            "mask_rle": None,
            **corners,
        }
        self.world.put(
            "edits",
            **self.version,
            review_id=review_id,
            edit_id=f"e-{place:03d}",
            image_id=image_id,
            arm=self.name,
            model_id=self.model_id,
            op=op,
            prediction_id=before["prediction_id"] if has_draft else None,
            label_id=after["label_id"] if has_label else None,
            predicted_label=guess if has_draft else None,
            accepted_label=name if has_label else None,
            score=score if has_draft else None,
            iou=0.8 if has_draft and has_label else None,
            drags_count=1,
            model_seconds=SECONDS[op],
            lineage=False,
            parameter_set="literature-1",
            simulated=self.simulated,
        )
        return before if has_draft else None, after if has_label else None


def _decide(world: World, version: Mapping[str, str], level: str, count: int) -> None:
    open_level = level not in ("restricted", "confidential")
    for arm, placement, cost in (("local", "onprem", "0.1832"), ("cloud", "cloud", "0.2110")):
        allowed = arm == "local" or open_level
        world.put(
            "decisions",
            **version,
            decision_id=f"d-{version['dataset']}-{arm}",
            level=level,
            role="chosen" if arm == "local" else "compare",
            arm=arm,
            placement=placement,
            model_id="cells-small" if arm == "local" else "cells-large",
            allowed=allowed,
            reason="Lowest expected total cost per image."
            if arm == "local"
            else "Dearer by 15 %; runs on a share of images so that both arms can be compared.",
            rule_id="cheapest-total" if allowed else "level-not-allowed",
            images_count=count,
            expected_cost=Decimal(cost) if allowed else None,
            currency="USD",
            expected_review_seconds=14.0,
        )
