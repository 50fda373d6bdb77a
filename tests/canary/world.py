"""A small premises with restricted and public pictures full of canaries, and a cloud that would be cheaper."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from flows.ingest_dataset import ingest_dataset
from labelop.catalog.cards import ModelCard, load_catalog
from labelop.egress.far_end import FarEnd
from labelop.egress.keys import ensure_key, export_public
from labelop.landing.store import Store, read_rows
from labelop.settings import Settings, load_settings
from tests.canary.canaries import Source, Tagged, tagged, write_source
from tests.canary.search import Search
from tests.fake_label_studio import TOKEN
from tests.small_sample import SAMPLE
from tests.unit.engines.models import CLASSES, HEIGHT_PX, WIDTH_PX, detector

RESTRICTED, PUBLIC = "ward", "fair"
"""Datasets: one whose owner said restricted, one that is public."""


@dataclass(frozen=True)
class World:
    """Where everything lies."""

    folder: Path
    sources: dict[str, Source]
    settings: Settings
    search: Search
    """Knows every canary that must not be away: all of the restricted pictures, all texts of the public ones."""
    secret: Search
    """Knows the canaries of restricted pictures alone, for who may know the names of public ones."""
    control: Search
    """Knows the pixels of public pictures, which must be seen in the cloud."""

    @property
    def store(self) -> Store:
        """The tables."""
        return Store(self.settings.store)

    @property
    def catalog(self) -> dict[str, ModelCard]:
        """The models, which both placements have."""
        return dict(load_catalog(self.settings.catalog))

    def far_end(self) -> FarEnd:
        """Make what checks releases in the cloud, with public keys only."""
        return FarEnd(self.folder / "public", "cloud")

    def token_file(self) -> Path:
        """Write the token of the review server, for its owner only."""
        path = self.folder / "review.token"
        path.write_text(TOKEN)
        path.chmod(0o600)
        return path

    def environment(self, **more: str) -> dict[str, str]:
        """Name this world to a process of its own."""
        named = {"STORE": self.settings.store, "CONFIG": str(self.settings.config), "KEYS": str(self.settings.keys)}
        named |= {"CATALOG": str(self.settings.catalog)}
        return {f"LABELOP_{name}": value for name, value in (named | more).items()}

    def night(self) -> list[dict[str, object]]:
        """Write the jobs of a night over both datasets."""
        levels = {RESTRICTED: "restricted", PUBLIC: "public"}
        shared = {"source_format": "coco", "ontology": "shapes", "simulate_reviews": True}
        return [
            {"dataset": name, "source": str(source.root), "sensitivity": levels[name], **shared}
            for name, source in self.sources.items()
        ]

    def ingest(self) -> None:
        """Take both datasets in and classify them."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment().items():
                patch.setenv(name, value)
            for job in self.night():
                ingest_dataset.fn(job, store=self.settings.store, run_id="run-ingest")

    def image_ids(self, dataset: str) -> list[str]:
        """List the ids of a dataset's pictures."""
        rows = read_rows(self.store, "images")
        return sorted({row["image_id"] for row in rows if row["dataset"] == dataset and row["outcome"] == "ok"})


def make_world(folder: Path, *, restricted: int = 6, public: int = 4) -> World:
    """Write sources, policy, a routing that prefers the cloud, a tiny model and keys; nothing is taken in yet."""
    secret = [tagged(f"restricted {number}", with_gps=number > 0) for number in range(restricted)]
    opened = [tagged(f"public {number}", with_gps=False) for number in range(public)]
    # a copy of a restricted picture lies in the public dataset too: the strictest owner decides
    sources = {
        RESTRICTED: write_source(folder / "sources/a", secret, CLASSES),
        PUBLIC: write_source(folder / "sources/b", [*opened, secret[0]], CLASSES),
    }
    catalog, config = folder / "catalog", folder / "config"
    for made in (catalog, config):
        made.mkdir()
    card = detector(catalog)
    for name in ("policy.yaml", "prices.yaml"):
        shutil.copy(SAMPLE / "config" / name, config)
    policy = yaml.safe_load((config / "policy.yaml").read_text())
    # notes inside a file would keep the control pictures at home: here the re-encoding has to take them off
    policy["categories"] = dict.fromkeys(policy["categories"], "public")
    policy["release"] = []  # with every category public there is nothing to release
    (config / "policy.yaml").write_text(yaml.safe_dump(policy))
    (config / "routing.yaml").write_text(yaml.safe_dump(_routing(card.id)))
    keys = folder / "keys"
    ensure_key(keys)
    export_public(keys, folder / "public")
    settings = load_settings(store=str(folder / "store"), config=config, catalog=catalog, keys=keys)
    frames = [(WIDTH_PX, HEIGHT_PX)]
    # names and notes of public pictures may not leave either; their pixels do, and prove that the search sees
    words = [Tagged(one.name, one.pixels, one.encoded, one.texts, _thumbnail_only(one)) for one in opened]
    control = [Tagged(one.name, one.pixels, one.encoded, {}, (one.patterns[0],) * 2) for one in opened]
    return World(
        folder, sources, settings, Search([*secret, *words], frames), Search(secret, frames), Search(control, frames)
    )


def _thumbnail_only(one: Tagged) -> tuple[str, str]:
    return (one.patterns[1], one.patterns[1])


def _routing(model_id: str) -> dict[str, object]:
    cheap = {"ontology": "shapes", "detector": model_id}
    return {
        "schema": 1,
        "version": "canary",
        "compare_share": 1.0,
        "placements": {"onprem": {}, "cloud": {"emulated": True}},
        "ontologies": {"shapes": {"labels_per_image": 3}},
        "arms": [
            {"arm": "local", "placement": "onprem", "seconds_per_image": 500.0, **cheap},
            {"arm": "cloud", "placement": "cloud", "seconds_per_image": 0.001, **cheap},
        ],
        "refusals": [],
    }
