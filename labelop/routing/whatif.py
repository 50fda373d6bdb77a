"""What would have run where, and cost what, at other prices and by another routing policy, without inference.

History is priced by the very views that keep the record, over tables in which only the price book is another one: with
the old inputs the answer is the record. What moves to an arm is taken to cost what that arm's own images cost.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from labelop import schemas
from labelop.catalog.cards import ModelCard
from labelop.cost.prices import PriceBook, check_version, price_rows
from labelop.errors import AnalysisError
from labelop.ingest.register import ontology_of
from labelop.landing.filters import equal
from labelop.landing.rows import rows_to_table
from labelop.landing.store import Store, dataset_of, read_rows
from labelop.queries import open_tables, run_query, sql_root
from labelop.review.approvals import trust_of
from labelop.routing.arm_cost import ArmCost, anew, costs_by_arm, reviewed_share, with_images
from labelop.routing.decide import CHOSEN, COMPARE, decide
from labelop.routing.expect import Evidence, Workload, expect
from labelop.routing.policy import RoutingPolicy
from labelop.routing.rules import LevelPolicy
from labelop.routing.verdicts import verdicts_about
from labelop.sensitivity.clearance import CLOUD, group_of
from labelop.sensitivity.levels import Level
from labelop.settings import Settings
from labelop.views import Session

_MICRO = Decimal("0.000001")
_OTHER = {"local": "cloud", "cloud": "local"}
_TIMES = {"usage": "started_at", "reviews": "landed_at", "edits": "landed_at"}
"""Tables that earlier evidence is read from, with the column that says when a row was known."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What decides where history runs and what it costs."""

    prices: PriceBook
    """Prices."""
    routing: RoutingPolicy
    """Routing policy."""


def what_if(
    store: Store,
    settings: Settings,
    *,
    now: Inputs,
    then: Inputs,
    policy: LevelPolicy,
    catalog: Mapping[str, ModelCard],
    since: dt.date,
) -> list[dict[str, Any]]:
    """Price and route history again.

    Args:
        store: Where the tables are.
        settings: Where the SQL files are.
        now: Inputs in force; their routing policy tells the share of images both arms prelabelled.
        then: Inputs to try.
        policy: What each level allows.
        catalog: Model cards by id.
        since: First day, in UTC, whose decisions are made again.

    Returns:
        One row per dataset version and arm: images and cost on record and by the other inputs, and why. Money is exact
        where the images stay as they were.

    Raises:
        AnalysisError: Nothing was decided since that day, or the record is in another currency than the prices to try.
        PolicyError: The prices to try are others under a version that has landed.
    """
    decided: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    session, priced = _session(store, settings, None), _session(store, settings, then.prices)
    [[currency, version]] = session.sql("SELECT currency, price_version FROM v_price").fetchall()
    if currency not in {None, then.prices.currency}:
        raise AnalysisError(
            f"The record in {store.root} is in {currency} (price book {version}), price book {then.prices.version} "
            f"to try is in {then.prices.currency}: there is no difference between two currencies.",
            hint=f"Write the prices to try in {currency}.",
        )
    check_version(store, then.prices)
    in_force = session.sql(
        "SELECT * FROM v_decision ORDER BY dataset, dataset_version, level, release_rule, stratum, arm"
    )
    for row in in_force.to_arrow_table().to_pylist():
        if row["landed_at"].date() >= since:
            decided[row["dataset"], row["dataset_version"]].append(row)
    if not decided:
        raise AnalysisError(
            f"Nothing was decided in {store.root} since {since}.", hint="`labelop query decisions` shows what was."
        )
    recorded, repriced = costs_by_arm(session), costs_by_arm(priced)
    rows = []
    for key, decisions in decided.items():
        ontology, evidence = ontology_of(store, *key), _evidence(store, settings, key, decisions)
        work = _workload(store, key, decisions, then.routing.labels_per_image.get(ontology, 1.0))
        version = _Version(store, key, decisions, then, catalog, evidence, work, ontology)
        again = version.decided_again(policy)
        planned = _moved(decisions, again, now.routing.compare_share, then.routing.compare_share)
        paired = run_query(priced, "review_ratio", {"dataset": key[0], "dataset_version": key[1]}).to_pylist()
        ratios = {row["arm"]: row["ratio"] for row in paired}
        came = Decimal(str(reviewed_share(repriced.get((*key, name), ArmCost()) for name in _OTHER)))
        for arm in sorted({option["arm"] for option in again}):
            mine, other = (repriced.get((*key, name), ArmCost()) for name in (arm, _OTHER[arm]))
            after, basis = mine, "as recorded"
            # of the images of both arms a share was drawn: there may be more of them than planned
            moved = min(planned[arm], max(0.0, work.images_count - mine.images))
            if mine.images and version.has_other_models(arm, now.routing):
                after, basis = anew(mine, moved, version.expected(arm, came), "its models")
            elif round(moved, 9):
                after, basis = with_images(mine, moved, other, ratios.get(arm), version.expected(arm, came))
            rows.append(version.row(arm, recorded.get((*key, arm), ArmCost()), after, basis, again))
    return rows


def _session(store: Store, settings: Settings, book: PriceBook | None, before: dt.datetime | None = None) -> Session:
    """Open the views, at the prices of a book instead of those in force, or with what was known at a time."""
    tables: dict[str, Any] = {name: dataset_of(store, name) for name in schemas.TABLES}
    if before is not None:
        tables |= {name: tables[name].filter(pc.field(column) < before) for name, column in _TIMES.items()}
    if book is not None:
        runs = pa.Table.from_pylist(read_rows(store, "runs"), schema=schemas.table("runs").schema)
        at = runs.schema.get_field_index("price_book")
        named = pc.if_else(pc.is_valid(runs.column(at)), book.digest, pa.scalar(None, pa.string()))
        tables["runs"] = runs.set_column(at, runs.schema.field(at), named)
        tables["prices"] = rows_to_table("prices", price_rows(book, None))
    return open_tables(tables, trust_of(store), root=sql_root(settings))


@dataclass(frozen=True, slots=True)
class _Version:
    """One dataset version whose decisions are made again."""

    store: Store
    key: tuple[str, str]
    decisions: Sequence[Mapping[str, Any]]
    then: Inputs
    catalog: Mapping[str, ModelCard]
    evidence: Mapping[tuple[str, str], Evidence]
    work: Workload
    ontology: str

    def decided_again(self, policy: LevelPolicy) -> list[dict[str, Any]]:
        """Weigh every arm of each group of images again, with the evidence that was known when it was decided."""
        routing, catalog, decided_at = self.then.routing, self.catalog, _decided_at(self.decisions)
        pilots = verdicts_about(self.store, self.key[0], self.ontology, routing, catalog, before=decided_at)
        return [
            {**option, "level": level, "release_rule": rule, "stratum": stratum, "images_count": count}
            for (level, rule, stratum), count in _groups(self.decisions).items()
            for option in decide(
                Level.from_text(level),
                self.work,
                self.ontology,
                routing=routing,
                policy=policy,
                catalog=catalog,
                evidence=self.evidence,
                prices=self.then.prices,
                released=frozenset({CLOUD} if rule else ()),
                pilot=pilots.about(stratum),
            )
        ]

    def has_other_models(self, arm: str, now: RoutingPolicy) -> bool:
        """Say whether an arm gets models that its record is not of: decisions name the detector, `now` the others."""
        told, known = (policy.arms_of(self.ontology).get(arm) for policy in (self.then.routing, now))
        decided = {row["model_id"] for row in self.decisions if row["arm"] == arm}
        return told is not None and (told.detector not in decided or known is None or told.cards != known.cards)

    def expected(self, arm: str, came: Decimal) -> tuple[Decimal, Decimal]:
        """Expect an image of an arm that has no record, or none of its models: machine and review, as routing does.

        Review is counted as far as people `came` with what is on record, 0..1: else the difference would be of reviews
        that are still to come.
        """
        model = self.then.routing.arms_of(self.ontology).get(arm)
        if model is None or model.detector not in self.catalog:
            return Decimal(0), Decimal(0)
        found = expect([model], self.work, catalog=self.catalog, evidence=self.evidence, book=self.then.prices)[arm]
        return Decimal(str(found.machine_cost)), Decimal(str(found.review_cost)) * came

    def row(
        self, arm: str, before: ArmCost, after: ArmCost, basis: str, again: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Lay out what an arm cost and would have cost."""
        mine = [option for option in again if option["arm"] == arm]
        return {
            "dataset": self.key[0],
            "dataset_version": self.key[1],
            "arm": arm,
            "role_recorded": _roles(row for row in self.decisions if row["arm"] == arm),
            "role": _roles(mine),
            "images_recorded": round(before.images),
            "images": round(after.images),
            "cost_recorded": before.total.quantize(_MICRO),
            "cost": after.total.quantize(_MICRO),
            "difference": (after.total - before.total).quantize(_MICRO),
            "currency": self.then.prices.currency,
            "price_version": self.then.prices.version,
            "basis": basis,
            "reason": str(max(mine, key=lambda option: option["role"] == CHOSEN)["reason"]),
        }


def _groups(decisions: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str | None, str | None], int]:
    """Count the images of each group of the record, which other models or prices leave as they are."""
    return {(row["level"], row["release_rule"], row["stratum"]): row["images_count"] for row in decisions}


def _workload(
    store: Store, key: tuple[str, str], decisions: Sequence[Mapping[str, Any]], labels_per_image: float
) -> Workload:
    where = equal(dataset=key[0], dataset_version=key[1], outcome="ok")
    rows = read_rows(store, "images", columns=["image_id", "size_bytes"], filters=where)
    size_bytes = sum({row["image_id"]: row["size_bytes"] or 0 for row in rows}.values())
    return Workload(key[0], sum(_groups(decisions).values()), size_bytes, labels_per_image)


def _decided_at(decisions: Sequence[Mapping[str, Any]]) -> dt.datetime:
    at: dt.datetime = min(row["landed_at"] for row in decisions)
    return at


def _evidence(
    store: Store, settings: Settings, key: tuple[str, str], decisions: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, str], Evidence]:
    """Read what was known of arms and models when it was decided."""
    known = _session(store, settings, None, _decided_at(decisions))
    found = run_query(known, "routing_evidence", {"dataset": key[0], "dataset_version": key[1]}).to_pylist()
    return {(r["arm"], r["model_id"]): Evidence(r["machine_seconds"], r["review_seconds"]) for r in found}


def _roles(rows: Iterable[Mapping[str, Any]]) -> str:
    told = (f"{group_of(row['level'], None, row['stratum'])}: {row['role']}" for row in rows if row["role"])
    return ", ".join(sorted(told)) or "none"


def _moved(
    decisions: Sequence[Mapping[str, Any]], again: Sequence[Mapping[str, Any]], before: float, after: float
) -> dict[str, float]:
    """Count by how many images each arm gets more or fewer."""
    change: dict[str, float] = defaultdict(float)
    for rows, share, sign in ((decisions, before, -1), (again, after, 1)):
        for row in rows:
            change[row["arm"]] += sign * row["images_count"] * {CHOSEN: 1.0, COMPARE: share}.get(row["role"], 0.0)
    return change
