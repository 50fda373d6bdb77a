"""Compare the arms of a pilot from the tables, and land what it proves.

Reads assignments, reviews and drafts; what they mean is decided by `verdict` and `parity`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labelop.effort.estimates import RESAMPLES, Estimate
from labelop.ids import digest_of, row_id
from labelop.labels import Prediction
from labelop.landing.filters import equal
from labelop.landing.store import Store, land, read_rows
from labelop.meter.figures import catches
from labelop.pilot.ends import OVER, require_unstopped
from labelop.pilot.harm import Harm, harms
from labelop.pilot.parity import Parity, compare_places
from labelop.pilot.plan import Pilot
from labelop.pilot.protocol import Protocol, is_exploratory
from labelop.pilot.spent import UNSEEN, Effort, savings, spent
from labelop.pilot.statistics import UNKNOWN, Timed
from labelop.pilot.verdict import Finding, Look, judge, look_due, of_stratum
from labelop.prelabel.assign import PARITY, PILOT
from labelop.queries import run_file, run_query, sql_root
from labelop.review.rows import prediction_of
from labelop.routing.strata import ALL_STRATA
from labelop.routing.verdicts import SETTLED
from labelop.schemas import utc_now

BLOCKED = "blocked"
"""Verdict of arms whose places do not agree about one model."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a pilot says now."""

    protocol: Protocol
    """What was declared."""
    findings: tuple[Finding, ...]
    """One for each arm beside reference and blind, over all images and in each stratum with a verdict of its own."""
    effort: Mapping[str, Effort]
    """Over all images and by such stratum; empty while it runs."""
    parity: Mapping[str, Parity]
    """By arm that drafted away from the premises."""
    harms: tuple[Harm, ...]
    """Why it has to stop."""
    simulated: bool
    """Whether no person reviewed, or a placement was emulated."""
    unmeasured_count: int
    """Reviews without a measured time, which do not count."""
    digest: str
    """Names the reviews it rests on."""

    @property
    def exploratory(self) -> bool:
        """Whether nothing may be concluded."""
        return any(finding.exploratory for finding in self.findings)

    @property
    def can_end(self) -> bool:
        """Whether so few reviews are missing that it may be judged without them."""
        done = min((one.done_share for one in self.findings), default=0.0)
        return look_due(self.protocol, done, over=True) == "end"

    def is_blocked(self, finding: Finding) -> bool:
        """Say whether a place that drafted one of the two arms disagrees with the premises about one model."""
        sides = (finding.contrast.arm, finding.contrast.reference)
        return any(not self.parity[arm].agrees for arm in sides if arm in self.parity)

    def verdict(self, finding: Finding) -> str:
        """Give the word that stands, after the check of places."""
        return BLOCKED if self.is_blocked(finding) else finding.verdict

    def said(self, finding: Finding) -> str:
        """Give the sentence a person reads."""
        if not self.is_blocked(finding):
            return finding.said
        sides = (finding.contrast.arm, finding.contrast.reference)
        reasons = [self.parity[arm].said for arm in sides if arm in self.parity and not self.parity[arm].agrees]
        return f"{finding.contrast.arm} and {finding.contrast.reference} may not be compared. {'. '.join(reasons)}."


def compare(store: Store, pilot: Pilot, *, over: bool = False, resamples: int = RESAMPLES) -> Comparison:
    """Compare the arms of a pilot with the approved, measured reviews that have come.

    Args:
        store: Where the tables are.
        pilot: The pilot.
        over: Whether reviews that are missing will not come, as far as that is not known from before.
        resamples: Draws of permutation and bootstrap.

    Returns:
        What it says; before a look is due how much is missing, and no figure. A look that was taken before with other
        reviews is exploratory: who may look again until somebody wins finds a winner among equals.

    Raises:
        EmptyArmError: An arm has no such review.
        PilotError: Somebody reviewed an image twice, or the pilot was stopped.
    """
    protocol = pilot.protocol
    require_unstopped(protocol.name, pilot.ends)
    rows = run_query(store, "pilot_reviews", {"pilot_id": protocol.pilot_id}).to_pylist()
    came = [row for row in rows if row["review_id"] is not None]
    reviews = _timed(rows)
    digest = digest_of([protocol.digest, sorted((row["review_id"], row["active_seconds"]) for row in came)])
    strata = _strata(protocol, rows)
    findings = judge(
        protocol,
        reviews,
        pilot.weights,
        strata=strata,
        over=over or OVER in pilot.ends,
        late=is_exploratory(pilot.registered, min((row["known_at"] for row in came), default=None)),
        taken=_taken(store, protocol, digest, strata),
        resamples=resamples,
    )
    runs = any(finding.verdict == "running" for finding in findings)
    effort = {
        stratum: spent(
            protocol,
            of_stratum(reviews, stratum),
            [row for row in came if stratum in {ALL_STRATA, row["stratum"]}],
            pilot.weights,
            resamples=resamples,
        )
        for stratum in (() if runs else (ALL_STRATA, *strata))
    }
    saved = savings(protocol, reviews, pilot.weights, resamples=resamples) if runs else effort[ALL_STRATA].savings
    return Comparison(
        protocol=protocol,
        findings=tuple(findings),
        effort=effort,
        parity=_parity(store, protocol, pilot.plan_id),
        harms=tuple(_harms(store, protocol, rows, saved)),
        simulated=any(row["simulated"] for row in rows),
        unmeasured_count=len(came) - len(reviews),
        digest=digest,
    )


def reasons_to_stop(store: Store, pilot: Pilot, *, resamples: int = RESAMPLES) -> list[Harm]:
    """Say why a pilot has to stop now, by the reviews that have come so far; empty when it may go on.

    Raises:
        PilotError: Somebody reviewed an image twice.
    """
    rows = run_query(store, "pilot_reviews", {"pilot_id": pilot.protocol.pilot_id}).to_pylist()
    saved = savings(pilot.protocol, _timed(rows), pilot.weights, resamples=resamples)
    return _harms(store, pilot.protocol, rows, saved)


def land_contrasts(store: Store, made: Comparison, run_id: str) -> int:
    """Land what a pilot proves; the same reviews land it once.

    Returns:
        Rows landed by this call.
    """
    rows = [contrast_row(made, finding, run_id) for finding in made.findings]
    key = f"contrasts:{digest_of([made.digest, [row['verdict'] for row in rows]])}"
    return len(rows) if rows and land(store, "pilot_contrasts", rows, key=key) else 0


def contrast_row(made: Comparison, finding: Finding, run_id: str) -> dict[str, Any]:
    """Write one finding as a row of `pilot_contrasts`."""
    protocol, contrast = made.protocol, finding.contrast
    model_of = dict(zip(protocol.arms, protocol.models, strict=True))
    effort, verdict = made.effort.get(finding.stratum, UNSEEN), made.verdict(finding)
    saving = effort.savings.get(contrast.arm, UNKNOWN)
    return {
        "contrast_id": _contrast_id(made.digest, finding.stratum, contrast.arm, verdict),
        "pilot_id": protocol.pilot_id,
        "protocol_digest": protocol.digest,
        "dataset": protocol.dataset,
        "dataset_version": protocol.dataset_version,
        "task": protocol.task,
        "stratum": finding.stratum,
        "arm": contrast.arm,
        "reference": contrast.reference,
        "model_digest": model_of[contrast.arm],
        "reference_digest": model_of[contrast.reference],
        "verdict": verdict,
        "winner": None if verdict == BLOCKED else finding.winner,
        **estimate_columns("ratio", finding.ratio),
        **estimate_columns("mean_ratio", contrast.mean_ratio),
        "arm_seconds": effort.mean_seconds.get(contrast.arm),
        "reference_seconds": effort.mean_seconds.get(contrast.reference),
        "p_value": contrast.p_value,
        "p_permutation": contrast.p_permutation,
        "p_holm": finding.p_holm,
        "p_equal": finding.p_equal,
        "margin": protocol.time_margin,
        "images_count": contrast.images_count,
        "reviewers_count": contrast.reviewers_count,
        "settling_images_count": finding.images_to_settle,
        "her": effort.edit_rates.get(contrast.arm, UNKNOWN).value,
        "reference_her": effort.edit_rates.get(contrast.reference, UNKNOWN).value,
        **estimate_columns("saving", saving),
        "exploratory": made.exploratory,
        "simulated": made.simulated,
        "sentence": made.said(finding),
        "run_id": run_id,
        "landed_at": utc_now(),
    }


def _contrast_id(digest: str, stratum: str, arm: str, verdict: str) -> str:
    about = () if stratum == ALL_STRATA else (stratum,)
    return row_id("c", digest, *about, arm, verdict)


def _strata(protocol: Protocol, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count the pairs of reviews asked for in each stratum that gets a verdict of its own."""
    asked = Counter(row["stratum"] for row in rows if row["arm"] == protocol.reference)
    return dict(sorted(asked.items())) if protocol.verdict_by else {}


def _taken(store: Store, protocol: Protocol, digest: str, strata: Mapping[str, int]) -> frozenset[Look]:
    """Say which looks were taken with other reviews than these."""
    where = equal(dataset=protocol.dataset, pilot_id=protocol.pilot_id)
    shares: dict[str, list[float]] = defaultdict(list)
    for row in read_rows(store, "pilot_contrasts", filters=where):
        same = row["contrast_id"] == _contrast_id(digest, row["stratum"], row["arm"], row["verdict"])
        if row["verdict"] in SETTLED and not row["exploratory"] and not same:
            shares[row["run_id"]].append(row["images_count"] / strata.get(row["stratum"], protocol.pairs_count))
    looks = (look_due(protocol, min(own), over=True) for own in shares.values())
    return frozenset(look for look in looks if look is not None)


def _timed(rows: Sequence[Mapping[str, Any]]) -> list[Timed]:
    return [
        Timed(
            row["image_id"], row["stratum"], row["arm"], row["reviewer"] or row["asked_reviewer"], row["active_seconds"]
        )
        for row in rows
        if row["review_id"] is not None and row["active_seconds"]
    ]


def _harms(
    store: Store, protocol: Protocol, rows: Sequence[Mapping[str, Any]], saved: Mapping[str, Estimate]
) -> list[Harm]:
    """Feed the rules of stopping: seeded errors its reviewers caught, images that must not have left, time saved."""
    caught = catches(store, protocol.dataset, protocol.dataset_version)
    batches = {row["batch_id"] for row in rows}
    left = run_file(store, sql_root() / "checks" / "fail_restricted_image_in_cloud.sql", {}).to_pylist()
    count = len({row["image_id"] for row in left if row["batch_id"] in batches})
    said = [f"{count} of its images went to the cloud and may not have: no more of them may be shown or sent."]
    own = {name: one for name, one in caught.items() if name in protocol.reviewers}
    return harms(protocol, saved, own, said if count else [])


def estimate_columns(name: str, one: Estimate) -> dict[str, float | None]:
    """Write an estimate as three columns."""
    return {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}


def _parity(store: Store, protocol: Protocol, plan_id: str) -> dict[str, Parity]:
    """Compare what one model said on premises with what it said where the arm ran."""
    batches = read_rows(
        store, "batches", columns=["batch_id", "arm", "role", "placement"], filters=equal(plan_id=plan_id)
    )
    away = {row["arm"] for row in batches if row["role"] == PARITY}
    drafts: dict[tuple[str, str], dict[str, list[Prediction]]] = defaultdict(dict)
    sizes: dict[str, tuple[int, int]] = {}
    columns = ["image_id", "outcome", "predictions", "width_px", "height_px"]
    for batch in batches:
        if batch["arm"] in away and batch["role"] in {PARITY, PILOT}:
            where = equal(dataset_version=protocol.dataset_version, batch_id=batch["batch_id"])
            for row in read_rows(store, "prelabels", columns=columns, filters=where):
                if row["outcome"] in {"ok", "empty"}:
                    made = [prediction_of(value) for value in row["predictions"] or []]
                    drafts[batch["arm"], batch["role"]][row["image_id"]] = made
                    sizes[row["image_id"]] = row["width_px"], row["height_px"]
    return {arm: compare_places(drafts[arm, PARITY], drafts[arm, PILOT], sizes=sizes) for arm in sorted(away)}
