from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labelop import schemas
from labelop.egress.audit import entries, verify
from labelop.errors import ManifestError
from labelop.landing.store import Store, land, read_rows
from labelop.queries import run_query
from labelop.routing.route import Decision, explain, route_dataset
from labelop.sensitivity.levels import Level
from labelop.sensitivity.release import ReleaseRule
from labelop.sensitivity.results import finding_rows
from labelop.sensitivity.signals.base import Finding
from labelop.settings import load_settings
from tests.approved import approve_all
from tests.unit.routing.routing_values import STRICT, Policy, card, catalog, prices, routing

REASON = "faces:signal_timeout"
LEVELS = ("public", "public", "internal", "restricted")


def fill(store: Store, version: str = "v1", dataset: str = "d", digest: str = "p" * 64) -> None:
    """Land a dataset version of four images with their levels."""
    common = {"dataset": dataset, "dataset_version": version, "run_id": "r", "landed_at": schemas.utc_now()}
    rows: dict[str, list[dict[str, Any]]] = {
        "datasets": [{"ontology": "cells", "discovered_count": 4}],
        "images": [
            {"path": f"{n}.jpg", "image_id": f"{version}{n}", "size_bytes": 100, "outcome": "ok"} for n in range(4)
        ],
        "levels": [
            {"image_id": f"{version}{n}", "level": level, "policy_digest": digest, "reason": REASON}
            for n, level in enumerate(LEVELS)
        ],
    }
    for name, given in rows.items():
        empty: dict[str, Any] = dict.fromkeys(schemas.table(name).schema.names)
        land(store, name, [empty | common | row for row in given], f"{dataset}:{version}:{digest}")


def spend(store: Store, arm: str, model_id: str, seconds: float, version: str) -> None:
    """Land one attempt and one review that say how long an image took."""
    common: dict[str, Any] = {
        "dataset": "d",
        "dataset_version": version,
        "arm": arm,
        "model_id": model_id,
        "simulated": False,
    }
    usage: dict[str, Any] = {
        "attempt_id": f"{arm}{version}",
        "outcome": "landed",
        "images_count": 10,
        "wall_seconds": 1.0,
    }
    review: dict[str, Any] = {"review_id": f"{arm}{version}", "image_id": "i", "decision": "approved", "labels": []}
    review |= {"active_seconds": seconds, "effort_source": "measured", "submitted_at": schemas.utc_now()}
    review["reviewer"] = "anna"
    for name, row in (("usage", usage), ("reviews", review)):
        empty: dict[str, Any] = dict.fromkeys(schemas.table(name).schema.names)
        land(store, name, [empty | common | row], f"{name}:{arm}:{version}")
    approve_all(store)


def route(store: Store, folder: Path, version: str = "v1", run_id: str = "r1", **changes: Any) -> list[Decision]:
    """Route the dataset `d` with the sample's policies."""
    arguments: dict[str, Any] = {
        "routing": routing(folder),
        "policy": Policy(STRICT),
        "catalog": catalog(),
        "prices": prices(),
        "settings": load_settings(store=store.root),
        "run_id": run_id,
    }
    return route_dataset(store, "d", version, **(arguments | changes))


def test_every_level_and_arm_has_a_decision(tmp_path: Path) -> None:
    """One decision per level that has images and per arm, with counts, and exactly one chosen arm per level."""
    store = Store(str(tmp_path / "store"))
    fill(store)
    decisions = route(store, tmp_path)
    assert [(d.level, d.arm) for d in decisions] == [
        (level, arm) for level in ("public", "internal", "restricted") for arm in ("cloud", "local")
    ]
    assert {d.level: d.images_count for d in decisions} == {"public": 2, "internal": 1, "restricted": 1}
    assert [d.level for d in decisions if d.role == "chosen"] == ["public", "internal", "restricted"]
    assert all(d.reason for d in decisions)
    assert len(read_rows(store, "decisions")) == 6


def test_a_repeated_run_keeps_its_mind(tmp_path: Path) -> None:
    """What was measured after the decision does not flip it: the second run reads the landed decisions."""
    store = Store(str(tmp_path / "store"))
    fill(store)
    first = route(store, tmp_path)
    spend(store, "local", "cells-small", 1.0, "v1")
    spend(store, "cloud", "cells-large", 900.0, "v1")
    assert route(store, tmp_path, run_id="r2") == first
    assert {row["run_id"] for row in read_rows(store, "decisions")} == {"r1"}


def test_the_same_inputs_give_the_same_rows(tmp_path: Path) -> None:
    """Two stores filled alike hold equal decisions, ids included."""
    stores = [Store(str(tmp_path / name)) for name in "ab"]
    for store in stores:
        fill(store)
    assert route(stores[0], tmp_path) == route(stores[1], tmp_path, run_id="other")


def test_the_next_version_learns_from_the_last(tmp_path: Path) -> None:
    """Measured seconds of an earlier version decide the next one, those of another dataset do not."""
    store = Store(str(tmp_path / "store"))
    fill(store)
    fill(store, "v2")
    for arm, model_id, seconds in (("local", "cells-small", 90.0), ("cloud", "cells-large", 10.0)):
        spend(store, arm, model_id, seconds, "v1")
    chosen = {d.level: d.arm for d in route(store, tmp_path, "v2") if d.role == "chosen"}
    assert chosen == {"public": "cloud", "internal": "cloud", "restricted": "local"}
    expected = {d.arm: d.expected_review_seconds for d in route(store, tmp_path, "v2") if d.level == "public"}
    assert expected == {"local": 90.0, "cloud": 10.0}


def test_changed_rules_decide_anew(tmp_path: Path) -> None:
    """A new card, price or policy is a new decision, and the query shows the one made last."""
    store = Store(str(tmp_path / "store"))
    fill(store)
    refused = route(store, tmp_path, catalog=catalog(cells_small=None))
    assert not any(d.allowed for d in refused if d.arm == "local")
    again = route(store, tmp_path)
    assert all(d.allowed for d in again if d.arm == "local")
    assert len(read_rows(store, "decisions")) == 12
    shown = run_query(store, "decisions", {"dataset": "d"}).to_pylist()
    assert [(row["level"], row["arm"], row["reason"]) for row in shown] == [(d.level, d.arm, d.reason) for d in again]


def test_better_weights_under_one_id_decide_anew(tmp_path: Path) -> None:
    """A card is known by its digest, not its id."""
    store = Store(str(tmp_path / "store"))
    fill(store)
    route(store, tmp_path)
    better = replace(card("cells-small", ap50=0.99), digest="f" * 64)
    changed = catalog(cells_small=better)
    chosen = {d.arm for d in route(store, tmp_path, catalog=changed) if d.role == "chosen"}
    assert chosen == {"local"}


def test_an_unknown_version_is_an_error(tmp_path: Path) -> None:
    """A version nobody registered says which command is missing."""
    with pytest.raises(ManifestError, match=r"d v9 is not registered.*labelop ingest"):
        route(Store(str(tmp_path / "store")), tmp_path, "v9")


def test_unclassified_images_are_an_error(tmp_path: Path) -> None:
    """Levels made under another policy do not count."""
    store = Store(str(tmp_path / "store"))
    fill(store, digest="q" * 64)
    with pytest.raises(ManifestError, match=r"No image of d v1 has a level.*labelop classify"):
        route(store, tmp_path)


def test_explain_tells_every_option(tmp_path: Path) -> None:
    """The text has one line per level and option, chosen first, with rule and reason."""
    store = Store(str(tmp_path / "store"))
    fill(store)
    lines = explain(route(store, tmp_path)).splitlines()
    assert lines[0] == "d public: 2 images"
    assert [line.split()[0] for line in lines] == ["d", "chosen", "compare"] * 2 + ["d", "chosen", "refused"]
    assert "[level-not-allowed]: Images of level restricted may be at onprem, not at cloud." in lines[-1]
    # a signal that could not speak is told where the refusal is, not only among the findings
    assert lines[-1].endswith("Found: faces:signal_timeout (1).")
    assert explain([]).startswith("No decisions")


def test_what_routing_keeps_at_home_is_in_the_egress_log(tmp_path: Path) -> None:
    """One line per place, level and evidence, not one per image, once; it leads to the image and to the decision.

    Before, an image that routing kept never asked the gate, and the log did not know it.
    """
    store = Store(str(tmp_path / "store"))
    fill(store)
    settings = load_settings(store=store.root)
    decisions = route(store, tmp_path)
    route(store, tmp_path, run_id="r2")
    (line,) = entries(settings.audit_path, image_id="v13")
    said = [line[name] for name in ("event", "answer", "reason", "because", "level", "placement", "run_id")]
    assert said == ["kept_by_routing", "deny", "level-not-allowed", REASON, "restricted", "cloud", "r1"]
    assert (line["image_id"], line["images_count"]) == ("v13", 1)
    assert line["decision_set"] == decisions[0].decision_set
    assert list(entries(settings.audit_path, image_id="v10")) == []
    assert verify(settings.audit_path).lines_count == 1


def test_a_level_that_others_gave_is_told_as_theirs(tmp_path: Path) -> None:
    """A public image that another dataset holds as restricted stays; the log does not blame its own evidence."""
    store = Store(str(tmp_path / "store"))
    fill(store)
    common: dict[str, Any] = {"dataset": "e", "dataset_version": "v1", "run_id": "r", "landed_at": schemas.utc_now()}
    for name, row in (
        ("images", {"path": "x.jpg", "image_id": "v10", "size_bytes": 1, "outcome": "ok"}),
        ("levels", {"image_id": "v10", "level": "restricted", "policy_digest": "p" * 64, "reason": "x"}),
    ):
        land(store, name, [dict.fromkeys(schemas.table(name).schema.names) | common | row], f"e:{name}")
    route(store, tmp_path)
    (line,) = entries(load_settings(store=store.root).audit_path, image_id="v10")
    assert line["because"].startswith("said by another dataset")


def test_without_the_log_nothing_is_decided(tmp_path: Path) -> None:
    """A log that cannot be written ends routing before a decision lands."""
    store = Store(str(tmp_path / "store"))
    fill(store)
    settings = load_settings(store=store.root)
    settings.audit_path.mkdir(parents=True)
    with pytest.raises(OSError, match="egress"):
        route(store, tmp_path)
    assert read_rows(store, "decisions") == []


def test_images_that_leave_by_a_rule_are_decided_apart(tmp_path: Path) -> None:
    """Of one level, those a release rule opens get decisions of their own, and the reason says what is done to them."""
    store = Store(str(tmp_path / "store"))
    fill(store, digest="q" * 64)
    common: dict[str, Any] = {"dataset": "d", "dataset_version": "v1", "image_id": "v12", "policy_digest": "p" * 64}
    common |= {"findings_digest": "f", "run_id": "r", "landed_at": schemas.utc_now()}
    face = Finding("faces", "1", "face", Level.CONFIDENTIAL, "a face", (0.0, 0.0, 4.0, 4.0))
    said = Finding("declared", "1", "declared_level", Level.PUBLIC, "said")
    for name, rows in (
        ("findings", list(finding_rows([said, face]))),
        ("levels", [{"level": "confidential"}, {"level": "confidential", "image_id": "v13"}]),
    ):
        empty: dict[str, Any] = dict.fromkeys(schemas.table(name).schema.names)
        land(store, name, [empty | common | row for row in rows], f"more:{name}")
    rule = ReleaseRule("faces", Level.CONFIDENTIAL, frozenset({"cloud"}), frozenset({"face"}), frozenset(), 640)
    decisions = route(store, tmp_path, policy=Policy(STRICT, release_rules=(rule,)))
    found = {(d.release_rule, d.arm): (d.allowed, d.images_count) for d in decisions}
    assert found == {
        (None, "cloud"): (False, 1),
        (None, "local"): (True, 1),
        ("faces", "cloud"): (True, 1),
        ("faces", "local"): (True, 1),
    }
    (released,) = [d for d in decisions if d.release_rule and d.arm == "cloud"]
    assert released.reason.startswith("Released redacted: face; at most 640 px (rule faces). ")
    assert "d confidential, released by faces: 1 images" in explain(decisions)
    assert route(store, tmp_path, policy=Policy(STRICT, release_rules=(rule,))) == decisions
