"""The sample's cards, an empty store, and figures of profiles to land in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labelop.catalog.cards import ModelCard, load_catalog
from labelop.catalog.choice import installed_version
from labelop.catalog.profile import Measured, land_profile
from labelop.landing.store import Store, open_store
from labelop.settings import Settings

CATALOG = load_catalog(Path(__file__).resolve().parents[3] / "data/sample/models")
CARD = CATALOG["cells-small"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Point at an empty store."""
    return Settings(store=str(tmp_path / "store"))


@pytest.fixture
def store(settings: Settings) -> Store:
    """Open that store."""
    return open_store(settings)


def measured(engine: str = "onnxruntime", **changes: Any) -> Measured:
    """Fill a usable figure."""
    usual = Measured(
        engine=engine, engine_version=installed_version("onnxruntime"), engine_name="onnxruntime", precision="f32",
        device="cpu", compiled=False, reference=engine == "onnxruntime", images_count=8, rounds_count=5,
        image_seconds=0.02, lanes_count=1, energy_joules_per_image=None, energy_source=None, energy_reason=None,
        growth_bytes=1, compared_count=10, difference=0.0, tolerance=0.02, agrees=True,
        outcome="measured", reason=None,
    )  # fmt: skip
    return replace(usual, **changes)


def land_figures(store: Store, *figures: Measured, threads: int = 1, card: ModelCard = CARD) -> None:
    """Land a profile of one model."""
    land_profile(store, card.id, card.digest, threads, figures)
