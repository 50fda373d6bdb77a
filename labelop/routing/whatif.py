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
from labelop.cost.prices import PriceBook, price_rows
from labelop.errors import AnalysisError
from labelop.ingest.register import ontology_of
from labelop.landing.filters import equal
from labelop.landing.rows import rows_to_table
from labelop.landing.store import Store, dataset_of, read_rows
from labelop.queries import open_tables, run_query, sql_root
from labelop.review.approvals import trust_of
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


@dataclass(frozen=True, slots=True)
class _Arm:
    """What an arm cost on one dataset version, or would."""

    images: float = 0.0
    fixed: Decimal = Decimal(0)
    growing: Decimal = Decimal(0)
    review: Decimal = Decimal(0)
    reviewed: int = 0

    @property
    def total(self) -> Decimal:
        return self.fixed + self.growing + self.review


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
        AnalysisError: Nothing was decided since that day, or the record is in another currency than the prices to try,
            or they are others under the version on record.
    """
    decided: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    session, priced = _session(store, settings, None), _session(store, settings, then.prices)
    [[currency, version, digest]] = session.sql("SELECT currency, price_version, price_book FROM v_price").fetchall()
    if currency not in {None, then.prices.currency}:
        raise AnalysisError(
            f"The record in {store.root} is in {currency} (price book {version}), price book {then.prices.version} "
            f"to try is in {then.prices.currency}: there is no difference between two currencies.",
            hint=f"Write the prices to try in {currency}.",
        )
    if version == then.prices.version and digest != then.prices.digest:
        raise AnalysisError(
            f"Price book {version} on record ({digest[:12]}) and the one to try ({then.prices.digest[:12]}) have one "
            "version and different content, so that no figure could say which it is by.",
            hint="Raise `version` in the file to try.",
        )
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
    recorded, repriced = _costs(session), _costs(priced)
    rows = []
    for key, decisions in decided.items():
        version = _Version(store, key, decisions, then, catalog)
        again = version.decided_again(settings, policy)
        moved = _moved(decisions, again, now.routing.compare_share, then.routing.compare_share)
        paired = run_query(priced, "review_ratio", {"dataset": key[0], "dataset_version": key[1]}).to_pylist()
        ratios = {row["arm"]: row["ratio"] for row in paired}
        for arm in sorted({option["arm"] for option in again}):
            mine, other = (repriced.get((*key, name), _Arm()) for name in (arm, _OTHER[arm]))
            after, basis = mine, "as recorded"
            if round(moved[arm], 9):
                after, basis = _changed(mine, moved[arm], other, ratios.get(arm), version.expected(arm))
            rows.append(version.row(arm, recorded.get((*key, arm), _Arm()), after, basis, again))
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


def _costs(session: Session) -> dict[tuple[str, str, str], _Arm]:
    """Read what each arm cost of each dataset version: what does not grow with images, what does, and review."""
    found = session.sql("""
        SELECT
            dataset, dataset_version, arm, any_value(images_count), any_value(reviewed_count),
            coalesce(sum(amount) FILTER (once), 0),
            coalesce(sum(amount) FILTER (NOT once AND category <> 'review'), 0),
            coalesce(sum(amount) FILTER (category = 'review'), 0)
        FROM (
            SELECT *, category = 'setup' OR item IN ('work blocked', 'start, minimum, rounding') AS once
            FROM v_cost_line
        )
        LEFT JOIN v_arm_count USING (dataset, dataset_version, arm)
        WHERE purpose = 'work'
        GROUP BY dataset, dataset_version, arm
    """).fetchall()
    return {
        (dataset, version, arm): _Arm(float(images or 0), fixed, growing, review, reviewed or 0)
        for dataset, version, arm, images, reviewed, fixed, growing, review in found
    }


@dataclass(frozen=True, slots=True)
class _Version:
    """One dataset version whose decisions are made again."""

    store: Store
    key: tuple[str, str]
    decisions: Sequence[Mapping[str, Any]]
    then: Inputs
    catalog: Mapping[str, ModelCard]

    def decided_again(self, settings: Settings, policy: LevelPolicy) -> list[dict[str, Any]]:
        """Weigh every arm of each group of images again, with the evidence that was known when it was decided."""
        decided_at = min(row["landed_at"] for row in self.decisions)
        known = _session(self.store, settings, None, decided_at)
        params = {"dataset": self.key[0], "dataset_version": self.key[1]}
        found = run_query(known, "routing_evidence", params).to_pylist()
        evidence = {(r["arm"], r["model_id"]): Evidence(r["machine_seconds"], r["review_seconds"]) for r in found}
        work, ontology = self._workload()
        routing, catalog = self.then.routing, self.catalog
        pilots = verdicts_about(self.store, self.key[0], ontology, routing, catalog, before=decided_at)
        return [
            {**option, "level": level, "release_rule": rule, "stratum": stratum, "images_count": count}
            for (level, rule, stratum), count in self._groups().items()
            for option in decide(
                Level.from_text(level),
                work,
                ontology,
                routing=routing,
                policy=policy,
                catalog=catalog,
                evidence=evidence,
                prices=self.then.prices,
                released=frozenset({CLOUD} if rule else ()),
                pilot=pilots.about(stratum),
            )
        ]

    def expected(self, arm: str) -> tuple[Decimal, Decimal]:
        """Expect an image of an arm that has no record: machine and review, as routing does."""
        work, ontology = self._workload()
        model = self.then.routing.arms_of(ontology).get(arm)
        if model is None or model.detector not in self.catalog:
            return Decimal(0), Decimal(0)
        found = expect([model], work, catalog=self.catalog, evidence={}, book=self.then.prices)[arm]
        return Decimal(str(found.machine_cost)), Decimal(str(found.review_cost))

    def row(
        self, arm: str, before: _Arm, after: _Arm, basis: str, again: Sequence[Mapping[str, Any]]
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

    def _groups(self) -> dict[tuple[str, str | None, str | None], int]:
        """Count the images of each group of the record, which other models or prices leave as they are."""
        return {(row["level"], row["release_rule"], row["stratum"]): row["images_count"] for row in self.decisions}

    def _workload(self) -> tuple[Workload, str]:
        ontology = ontology_of(self.store, *self.key)
        where = equal(dataset=self.key[0], dataset_version=self.key[1], outcome="ok")
        rows = read_rows(self.store, "images", columns=["image_id", "size_bytes"], filters=where)
        size_bytes = sum({row["image_id"]: row["size_bytes"] or 0 for row in rows}.values())
        count = sum(self._groups().values())
        return Workload(self.key[0], count, size_bytes, self.then.routing.labels_per_image.get(ontology, 1.0)), ontology


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


def _changed(
    mine: _Arm, moved: float, other: _Arm, ratio: float | None, expected: tuple[Decimal, Decimal]
) -> tuple[_Arm, str]:
    """Cost an arm with more or fewer images, and say what it rests on."""
    images = max(0.0, mine.images + moved)
    if round(images) == 0:
        return _Arm(), "nothing runs here"
    if not mine.images:
        machine, review = (amount * Decimal(str(images)) for amount in expected)
        return _Arm(images, Decimal(0), machine, review), "expected, no record of this arm"
    share = Decimal(str(images / mine.images))
    review, basis = mine.review * share, "record of this arm, in proportion"
    if moved > 0 and ratio is not None and other.reviewed:
        # how hard the moved images are is known from the arm that had them
        review = mine.review + other.review / other.reviewed * Decimal(str(ratio * moved))
        basis = "record of this arm, review by images that both had"
    return _Arm(images, mine.fixed, mine.growing * share, review, mine.reviewed), basis
