"""What an analyst makes of exported CSV with `measures.md` section 7 and a pocket calculator.

Knows text files only: neither SQL nor a table nor a line of the program it checks.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import TypeVar

Row = dict[str, str]
Arm = tuple[str, str]
K = TypeVar("K")

QUERIES = ("usage_ledger", "review_ledger", "edit_ledger", "draft_ledger", "prices_in_force")
"""What is exported, by `labelop query NAME --format csv`."""

HOUR = Decimal(3600)
_BASE, _BASE_CLASS, _ADD_BOX, _ADD_CLASS = 7.8, 1.2, 12.5, 5.1  # seconds, `measures.md` section 9


@dataclass(frozen=True)
class Figures:
    """One arm of one dataset; None where it is not defined."""

    machine: Decimal
    review: Decimal
    drafted: int
    reviewed: int
    labels: int
    her: float | None
    saving: float | None

    @property
    def total(self) -> Decimal:
        """TCO: machines and people."""
        return self.machine + self.review

    @property
    def of_reviewed(self) -> Decimal:
        """What the reviewed images cost: their share of the machines, and all review."""
        return (self.machine * self.reviewed / self.drafted if self.drafted else Decimal(0)) + self.review

    @property
    def per_label(self) -> Decimal | None:
        """QA without escaped errors: (C_machine + C_rev) / accepted."""
        return self.of_reviewed / self.labels if self.labels else None

    @property
    def per_image(self) -> Decimal | None:
        """The same per reviewed image."""
        return self.of_reviewed / self.reviewed if self.reviewed else None


def figures(exported: dict[str, list[Row]]) -> dict[Arm, Figures]:
    """Compute every arm's figures from the exported rows of `QUERIES`."""
    price = {row["price_item"]: Decimal(row["amount"]) for row in exported["prices_in_force"]}
    work = [row for row in exported["usage_ledger"] if row["role"] in {"chosen", "compare"}]
    usage, reviews = _by(work, _arm), _by(exported["review_ledger"], _arm)
    edits = _by(exported["edit_ledger"], lambda row: row["review_id"])
    drafts = _by(
        [r for r in exported["draft_ledger"] if r["role"] in {"chosen", "compare"} and r["outcome"] in {"ok", "empty"}],
        _arm,
    )
    made = {}
    for key in usage.keys() | reviews.keys():
        last = _by([r for r in reviews.get(key, []) if r["accepted"] == "true"], lambda row: row["image_id"])
        counted = [row for rows in last.values() for row in rows]
        made[key] = Figures(
            machine=_machine(usage.get(key, []), price),
            review=_review(reviews.get(key, []), price),
            drafted=len({row["image_id"] for row in drafts.get(key, [])}),
            reviewed=len(counted),
            labels=sum(int(row["labels_count"]) for row in counted),
            her=_her(counted, edits),
            saving=_saving(counted, edits),
        )
    return made


def _arm(row: Row) -> Arm:
    return row["dataset"], row["arm"]


def _by(rows: Iterable[Row], key: Callable[[Row], K]) -> dict[K, list[Row]]:
    found: dict[K, list[Row]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return dict(found)


def _line(quantity: Decimal, unit_price: Decimal) -> Decimal:
    """One line of an invoice: nine decimals times six, rounded once to millionths."""
    quantity = quantity.quantize(Decimal("1e-9"), ROUND_HALF_UP)
    return (quantity * unit_price.quantize(Decimal("1e-6"), ROUND_HALF_UP)).quantize(Decimal("1e-6"), ROUND_HALF_UP)


def _sum(rows: Iterable[Row], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in rows if row[column]), Decimal(0))


def _machine(usage: list[Row], price: dict[str, Decimal]) -> Decimal:
    """C_loc or C_cld over real attempts, so without the planning share for retries."""
    total = Decimal(0)
    for rows in _by(usage, lambda row: row["placement"]).values():
        sessions = _by(rows, lambda row: row["run_id"])
        place = _local if rows[0]["placement"] == "onprem" else _cloud
        total += sum((place(own, price) for own in sessions.values()), Decimal(0))
        once = ("onprem.setup",) if rows[0]["placement"] == "onprem" else ("cloud.setup", "cloud.governance")
        total += sum((_line(price[item], price["review.loaded_rate"]) for item in once), Decimal(0))
        if rows[0]["placement"] == "onprem" and not any(row["operator_waiting_seconds"] for row in rows):
            total += _line(price["onprem.blocked"], price["review.loaded_rate"])
    return total


def _local(rows: list[Row], price: dict[str, Decimal]) -> Decimal:
    """busy_h*(price-salv)/(life*busy_h_year) + busy_h*kW*PUE*p_kWh + (blocked_h + busy_h*slow)*rate."""
    p = {name.removeprefix("onprem."): amount for name, amount in price.items()}
    busy = (_sum(rows, "wall_seconds") + _sum(rows, "cold_start_seconds")) / HOUR
    uncounted = [row for row in rows if row["energy_measured"] == "false"]
    dark = (_sum(uncounted, "wall_seconds") + _sum(uncounted, "cold_start_seconds")) / HOUR
    counted = _sum(rows, "energy_joules") / Decimal(3_600_000)
    hourly = (p["machine_price"] - p["machine_salvage"]) / (p["machine_life"] * p["machine_busy"])
    return (
        _line(busy, hourly)
        + _line(dark * p["machine_power"] * p["pue"], p["electricity"])
        + _line(counted * p["pue"], p["electricity"])
        + _line(busy * p["slowdown"], p["review.loaded_rate"])
        + _line(_sum(rows, "operator_waiting_seconds") / HOUR, p["review.loaded_rate"])
    )


def _cloud(rows: list[Row], price: dict[str, Decimal]) -> Decimal:
    """ceil_inc(max(min_s, seconds + cold + warm))/3600*p_gpu + N*p_api + GB*months*p_st + put + get + GB*p_eg."""
    p = {name.removeprefix("cloud."): amount for name, amount in price.items()}
    sent = [row for row in rows if row["sent_bytes"] != "0"]  # the cloud bills nothing that reached no server
    if not sent:
        return Decimal(0)
    seconds = _sum(sent, "wall_seconds")
    open_seconds = max(p["minimum"], seconds + p["cold_start"] + p["keep_warm"])
    billed = math.ceil(open_seconds / p["increment"]) * p["increment"]
    asked = sum((Decimal(row["requests_count"] or row["images_count"]) for row in sent), Decimal(0)) / 1000
    giga = Decimal(10) ** 9
    return (
        _line(seconds / HOUR, p["gpu"])
        + _line((billed - seconds) / HOUR, p["gpu"])
        + _line(_sum(sent, "images_count") / 1000, p["api"])
        + _line(_sum(sent, "sent_bytes") / giga * p["storage_time"], p["storage"])
        + _line(asked, p["put"])
        + _line(asked, p["get"])
        + _line(_sum(sent, "received_bytes") / giga, p["egress"])
    )


def _review(reviews: list[Row], price: dict[str, Decimal]) -> Decimal:
    """N*T_active/3600/phi*rate, run by run: every pass is paid for, whatever became of it."""
    runs = _by(reviews, lambda row: (row["run_id"], row["effort_source"]))
    hours = [_sum(rows, "effort_seconds") / HOUR / price["review.productive_fraction"] for rows in runs.values()]
    return sum((_line(one, price["review.loaded_rate"]) for one in hours), Decimal(0))


def _her(reviews: list[Row], edits: dict[str, list[Row]]) -> float | None:
    """HER = sum E / max(1, sum n_final); adjust and relabel on one object are two."""
    ops = [row["op"] for review in reviews for row in edits.get(review["review_id"], [])]
    edited = sum({"accept": 0, "adjust_relabel": 2}.get(op, 1) for op in ops)
    return edited / max(1, sum(int(row["labels_count"]) for row in reviews)) if reviews else None


def _saving(reviews: list[Row], edits: dict[str, list[Row]]) -> float | None:
    """Saving = 1 - sum T / sum T_scratch with T = t_base + sum n_op*t_op and T_scratch = t_base + n_final*t_add."""
    spent, scratch = 0.0, 0.0
    for row in reviews:
        labels, whole = int(row["labels_count"]), int(row["class_labels_count"])
        base = _BASE_CLASS if 0 < labels == whole else _BASE
        spent += base + sum(float(one["model_seconds"]) for one in edits.get(row["review_id"], []))
        scratch += base + (labels - whole) * _ADD_BOX + whole * _ADD_CLASS
    return 1 - spent / scratch if scratch else None
