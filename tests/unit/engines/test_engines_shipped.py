"""The shipped models through the whole chain: figures on real photographs are those their cards state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import scaled
from labelop.catalog.cards import ModelCard, load_catalog, verify
from labelop.effort.quality import average_precision
from labelop.egress.audit import AuditLog
from labelop.egress.gate import Gate
from labelop.engines.base import open_engine
from labelop.engines.prelabeller import ArmModels, ImageItem, Prelabeller, open_cloud, open_local
from labelop.engines.serve import run_in_thread
from labelop.ingest.decode import Frame, decode
from labelop.ingest.manifest import build_manifest
from labelop.labels import AcceptedLabel
from labelop.sensitivity.levels import Level
from labelop.settings import Settings

CATALOG = load_catalog(Path("data/sample/models"))
DETECTORS = sorted(card.id for card in CATALOG.values() if card.task == "detection" and card.ontology == "cells")
PHOTOGRAPHS = Path("../shared/data/bccd")


class Open:
    """A policy that lets public images out."""

    digest = "o" * 64

    def allowed_placements(self, level: Level) -> frozenset[str]:
        """Answer by level."""
        return frozenset({"cloud"}) if level is Level.PUBLIC else frozenset()


@pytest.fixture(scope="module")
def photographs() -> list[tuple[ImageItem, tuple[AcceptedLabel, ...]]]:
    """Read the held-out photographs with their true boxes."""
    manifest = build_manifest(str(PHOTOGRAPHS), "bccd", "voc", settings=Settings())
    truths = {truth.image_id: truth.labels for truth in manifest.truths}
    return [
        (
            ImageItem(row["image_id"], decode((PHOTOGRAPHS / row["path"]).read_bytes()), "public"),
            truths[row["image_id"]],
        )
        for row in manifest.images
        if row["split"] == "val"
    ]


def figures(one: Prelabeller, photographs: list[tuple[ImageItem, tuple[AcceptedLabel, ...]]]) -> dict[str, float]:
    """Measure a prelabeller on the photographs."""
    results = one.prelabel([image for image, _ in photographs])
    assert {r.outcome for r in results} == {"ok"}
    return average_precision([(r.predictions, truth) for r, (_, truth) in zip(results, photographs, strict=True)])


@pytest.mark.parametrize("card", CATALOG.values(), ids=list(CATALOG))
def test_shipped_files_are_the_pinned_ones(card: ModelCard) -> None:
    """Every shipped model passes its own card."""
    verify(card)


@pytest.mark.slow
@pytest.mark.parametrize("model_id", DETECTORS)
def test_a_cards_figure_is_what_the_engines_give(
    model_id: str, photographs: list[tuple[ImageItem, tuple[AcceptedLabel, ...]]], tmp_path: Path
) -> None:
    """AP50 on held-out photographs equals the card's here, and the trip through the gate costs at most 0.02."""
    card = CATALOG[model_id]
    arm = ArmModels(card)
    stated = card.quality_of("ap50", "bccd", "val")
    local = figures(open_local(arm, Settings()), photographs)["ap50"]
    with run_in_thread(CATALOG, Settings()) as url:
        cloud = open_cloud(arm, Settings(), Gate(Open(), AuditLog(tmp_path / "a.jsonl"), "cloud"), url, simulated=True)
        away = figures(cloud, photographs)["ap50"]
        cloud.close()
    assert stated is not None
    assert local == pytest.approx(stated, abs=0.005)
    assert away == pytest.approx(local, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("model_id", sorted(card.id for card in CATALOG.values() if card.scaled_decode))
def test_a_card_that_allows_scaled_decoding_loses_nothing_by_it(model_id: str, scale: int) -> None:
    """On held-out pictures the card's figure, AP50 or the IoU of masks, moves by less than 0.005."""
    card = CATALOG[model_id]
    engine = open_engine(card, Settings())
    whole = Frame(card.width_px, card.height_px, stretched=True)
    for _, pictures in scaled.truth_of(card):
        larger = scaled.enlarged(pictures, card, scale)
        assert scaled.scale_of(larger[0], replace(whole, scaled=True)) == scale
        full, less = (scaled.figure(card, engine, larger, replace(whole, scaled=allowed)) for allowed in (False, True))
        assert abs(less - full) < 0.005


def test_the_segmenter_outlines_true_cells(photographs: list[tuple[ImageItem, tuple[AcceptedLabel, ...]]]) -> None:
    """Draft boxes of a real photograph get masks that lie in and around their boxes."""
    arm = ArmModels(CATALOG["cells-small"], CATALOG["boxes-to-masks"])
    (result,) = open_local(arm, Settings()).prelabel([photographs[0][0]])
    drafts = [p for p in result.predictions if p.draft]
    assert len(drafts) > 3
    assert np.mean([p.mask_rle is not None for p in drafts]) > 0.8
    assert all(p.mask_rle is None for p in result.predictions if not p.draft)
