"""Which model to take: explained from cards, profiles and corrections, one answer for each kind of labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from labelop.catalog.recommend import Recommendation, recommend
from labelop.errors import CatalogError
from labelop.landing.store import Store
from labelop.settings import Settings
from tests.unit.catalog.conftest import CARD, CATALOG, land_figures, measured


def ask(store: Store, settings: Settings, **changes: Any) -> Recommendation:
    """Ask for a detector of cells."""
    usual = {"task": "detection", "density": "medium", "level": "restricted", "placements": ["onprem"]}
    return recommend(CATALOG, store, settings, **(usual | {"device": "cpu", "ontology": "cells"} | changes))


def test_a_recommendation_explains_itself(store: Store, settings: Settings) -> None:
    """Without measurements the cards' quality decides, and what is missing is named with its command."""
    found = ask(store, settings)
    assert [one.model_id for one in found.candidates] == ["cells-large", "cells-small"]
    assert "restricted may be prelabelled onprem" in found.sentences[0]
    assert "nobody has corrected its drafts yet" in found.sentences[2]
    assert "labelop models profile --model cells-large" in found.sentences[2]


def test_each_ontology_has_its_own_answer(store: Store, settings: Settings) -> None:
    """Parcels were recommended for whatever was asked, by an AP50 of other pictures than the cells'."""
    found = ask(store, settings, density="high", ontology=None)
    best = [sentence.partition(":")[0] for sentence in found.sentences if " take " in sentence]
    assert best == ["For detection of cells take cells-large", "For detection of parcels take parcels-large"]
    assert [one.ontology for one in found.candidates] == ["cells", "cells", "parcels", "parcels"]
    assert any("own answer: --ontology" in sentence for sentence in found.sentences)


def test_an_unknown_ontology_names_those_there_are(store: Store, settings: Settings) -> None:
    """A misspelt ontology was an empty answer."""
    with pytest.raises(CatalogError, match=r"'cels' is not in the catalog; it has any, cells, parcels\."):
        ask(store, settings, ontology="cels")


def test_a_model_for_any_labels_serves_the_one_that_is_wanted(store: Store, settings: Settings) -> None:
    """The segmenter draws masks of whatever its boxes hold, so asking for cells finds it."""
    found = ask(store, settings, task="segmentation")
    assert [one.model_id for one in found.candidates] == ["boxes-to-masks"]


def test_a_recommendation_shows_measured_speed(store: Store, settings: Settings) -> None:
    """Profiles of the device that was asked for are shown, of another one they are not."""
    land_figures(store, measured())
    assert [one.images_per_second for one in ask(store, settings).candidates] == [None, 50.0]
    assert [one.images_per_second for one in ask(store, settings, device="cuda").candidates] == [None, None]


def test_measured_correction_effort_decides(store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose drafts were corrected quickly goes before one with the better card; a simulation says so."""
    row = {"model_id": "cells-small", "labels_count": 10, "images_count": 1, "active_seconds_mean": None}
    row |= {"model_seconds_mean": 5.0, "modelled_by": "literature", "simulated": True}
    monkeypatch.setattr("labelop.catalog.recommend.run_query", lambda *_: _Rows([row]))
    best = ask(store, settings).candidates[0]
    assert (best.model_id, best.review_seconds) == ("cells-small", 7.5)
    assert best.effort_source == "literature, simulated"


def test_only_the_best_source_of_seconds_counts(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured seconds of one dataset were put into one mean with published ones of another."""
    row = {"model_id": "cells-small", "labels_count": 10, "images_count": 1, "simulated": False}
    measured_one = row | {"active_seconds_mean": 20.0, "model_seconds_mean": 9.0, "modelled_by": "calibrated"}
    published = row | {"active_seconds_mean": None, "model_seconds_mean": 5.0, "modelled_by": "literature"}
    monkeypatch.setattr("labelop.catalog.recommend.run_query", lambda *_: _Rows([published, measured_one]))
    best = ask(store, settings).candidates[0]
    assert (best.review_seconds, best.effort_source) == (30.0, "measured")


class _Rows(list[dict[str, Any]]):
    def to_pylist(self) -> list[dict[str, Any]]:
        """Answer like an Arrow table."""
        return list(self)


def test_a_detector_without_room_does_not_fit(store: Store, settings: Settings) -> None:
    """A card that allows fewer objects than the images have is refused with both numbers."""
    assert CARD.postprocess is not None
    small = replace(CARD, postprocess=replace(CARD.postprocess, max_detections=20))
    found = recommend(
        {"s": small},
        store,
        settings,
        task="detection",
        density="high",
        level="public",
        placements=["onprem"],
        device="cpu",
    )
    assert not found.candidates[0].fits
    assert "at most 20 objects, 100 are needed" in found.candidates[0].reason
    assert "No model of the catalog fits detection of cells." in found.sentences
