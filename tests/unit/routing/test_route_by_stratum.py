"""Images go by the verdict of their own stratum, by that about all where it has none, and never by a neighbour's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from labelop import schemas
from labelop.landing.store import Store, land, read_rows
from labelop.landing.upkeep import upgrade
from labelop.queries import run_query
from labelop.routing.decide import PILOT_OPEN, PILOT_SUPERIOR, Decision
from labelop.routing.route import explain
from labelop.routing.strata import Split, split_of, strata_of
from labelop.routing.verdicts import newest_verdicts
from tests.unit.routing.routing_values import catalog
from tests.unit.routing.test_route import fill, route
from tests.unit.routing.test_route_by_pilot import MODELS, contrast

DIGESTS = {"model_digest": catalog()["cells-large"].digest, "reference_digest": catalog()["cells-small"].digest}
OPEN = {"verdict": "inconclusive", "winner": None}
IMAGES = (
    ("north/1.jpg", 100, "public"),
    ("north/2.jpg", 900, "restricted"),
    ("south/3.jpg", 100, "public"),
    ("west/4.jpg", 900, "public"),
)


def filled(folder: Path, images: Sequence[tuple[str, int, str]] = IMAGES) -> Store:
    """Land a dataset version of images with path, pixels and level."""
    store = Store(str(folder / "store"))
    common = {"dataset": "d", "dataset_version": "v1", "run_id": "r", "landed_at": schemas.utc_now()}
    rows: dict[str, list[dict[str, Any]]] = {"datasets": [{"ontology": "cells"}], "images": [], "levels": []}
    for path, area, level in images:
        size = {"width_px": area // 10, "height_px": 10, "size_bytes": 100, "outcome": "ok"}
        rows["images"].append({"path": path, "image_id": path[-5], **size})
        rows["levels"].append({"image_id": path[-5], "level": level, "policy_digest": "p" * 64, "reason": "declared"})
    for name, given in rows.items():
        land(store, name, [dict.fromkeys(schemas.table(name).schema.names) | common | row for row in given], name)
    return store


def verdicts(store: Store, *rows: dict[str, Any]) -> None:
    """Land verdicts with figures, about the cards of the sample."""
    told = {**DIGESTS, "arm_seconds": 20.0, "reference_seconds": 6000.0, "ratio": 0.4}
    land(store, "pilot_contrasts", [{**row, **told} for row in rows], key="verdicts")


def chosen(decisions: list[Decision]) -> dict[str, tuple[str, str]]:
    """Arm and rule by group of images."""
    return {one.group: (one.arm, one.rule_id) for one in decisions if one.role == "chosen"}


def test_every_stratum_goes_by_its_own_verdict(tmp_path: Path) -> None:
    """Superior in the north, open in the south, superior over all: each group says whose verdict sent it where.

    With one verdict a dataset the south left the premises by what the north had proved. Restricted images stay.
    """
    store = filled(tmp_path)
    north = contrast(1, stratum="source north", sentence="In stratum 'source north': Said.")
    verdicts(store, north, contrast(2, stratum="source south", **OPEN), contrast(3))
    decisions = route(store, tmp_path)
    assert chosen(decisions) == {
        "public": ("cloud", PILOT_SUPERIOR),
        "public, source north": ("cloud", PILOT_SUPERIOR),
        "public, source south": ("local", PILOT_OPEN),
        "restricted, source north": ("local", "only-allowed"),
    }
    by_group = {one.group: one for one in decisions if one.arm == "cloud"}
    assert by_group["public, source north"].contrast_id == "c-1"
    assert by_group["public, source north"].runner_up == "local"
    assert "In stratum 'source north'" in by_group["public, source north"].reason
    assert "in stratum 'source south'" in by_group["public, source south"].reason
    assert by_group["public"].contrast_id == "c-3"
    assert not by_group["restricted, source north"].allowed
    assert "d public, source south: 1 images" in explain(decisions)
    assert route(store, tmp_path, run_id="r2") == decisions


def test_without_a_verdict_about_all_a_strange_stratum_has_none(tmp_path: Path) -> None:
    """The west was in no pilot: it is weighed as if there had been none, not by what a neighbour proved."""
    store = filled(tmp_path)
    verdicts(store, contrast(1, stratum="source north"))
    by_group = {one.group: one for one in route(store, tmp_path) if one.role == "chosen"}
    assert (by_group["public"].contrast_id, by_group["public"].images_count) == (None, 2)
    assert by_group["public, source north"].contrast_id == "c-1"


def test_sizes_are_told_apart_by_the_limit_of_their_pilot(tmp_path: Path) -> None:
    """The limit stands in the stratum, so images of later versions are measured by the same one."""
    store = filled(tmp_path)
    assert strata_of(store, "d", "v1", {"size above 500 px"}) == {"2": "size above 500 px", "4": "size above 500 px"}
    small = strata_of(store, "d", "v1", {"size up to 899 px", "size above 899 px"})
    assert min(small.items()) == ("1", "size up to 899 px")
    for split, source in ((Split("size", 7), ""), (Split("source"), "north"), (Split("source"), ".")):
        assert split_of(split.stratum_of(source, 8)) == split
    assert strata_of(store, "d", "v1", {"all", "objects0 usual north"}) == {}


def test_the_newest_verdict_of_each_stratum_counts(tmp_path: Path) -> None:
    """A later pilot of one stratum replaces only that one's verdict; another split judged later replaces the split."""
    store = Store(str(tmp_path))
    rows = [
        contrast(1, stratum="source north"),
        contrast(2, stratum="source south"),
        contrast(3, stratum="source north", **OPEN),
        contrast(4, stratum="source south", exploratory=True),
        contrast(5),
    ]
    land(store, "pilot_contrasts", rows, key="k")
    found = newest_verdicts(store, "d", MODELS, with_simulated=False)
    assert found.contrast_ids == ["c-5", "c-3", "c-2"]
    assert [found.about(name) for name in (None, "source west")] == [found.pooled] * 2
    land(store, "pilot_contrasts", [contrast(6, stratum="size up to 9 px")], key="l")
    assert newest_verdicts(store, "d", MODELS, with_simulated=False).contrast_ids == ["c-5", "c-6"]


def test_decisions_of_one_set_are_in_force(tmp_path: Path) -> None:
    """Before the first plan the decision about all images stood beside those about their strata, as if both counted."""
    store = filled(tmp_path)
    route(store, tmp_path)
    verdicts(store, *(contrast(number, stratum=f"source {name}") for number, name in enumerate(["north", "south"], 1)))
    decisions = route(store, tmp_path)
    shown = run_query(store, "decisions", {"dataset": "d"}).to_pylist()
    assert [(row["stratum"], row["arm"], row["images_count"]) for row in shown] == [
        (one.stratum, one.arm, one.images_count) for one in decisions
    ]


def test_decisions_of_the_version_before_stay_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgraded store has no stratum in its old rows: they say what they said."""
    store, now = Store(str(tmp_path / "store")), schemas.table("decisions")
    fill(store)
    route(store, tmp_path)
    rows = read_rows(store, "decisions")
    old = Store(str(tmp_path / "old"))
    fill(old)
    before = now.schema.remove(now.schema.get_field_index("stratum"))
    monkeypatch.setitem(schemas.TABLES, "decisions", schemas.Table("decisions", 3, before, now.grain))
    kept = [{name: row[name] for name in before.names} for row in rows]
    land(old, "decisions", kept, "decisions of before")
    monkeypatch.setitem(schemas.TABLES, "decisions", now)
    [done] = upgrade(old)
    assert (done.version_before, done.version_after, done.added) == (3, 4, ("stratum",))
    shown = [run_query(one, "decisions", {"dataset": "d"}).to_pylist() for one in (store, old)]
    assert shown[0] == shown[1]
