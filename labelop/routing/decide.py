"""Weigh the arms for one level: hard rules first, then expected total cost; every option keeps its reason.

Knows no table: what was measured comes in as evidence, what was decided goes out as values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from labelop.catalog.cards import ModelCard
from labelop.cost.prices import PriceBook
from labelop.routing.expect import Evidence, Expectation, Workload, expect
from labelop.routing.policy import Arm, RoutingPolicy
from labelop.routing.rules import LevelPolicy, Veto, veto
from labelop.routing.strata import ALL_STRATA
from labelop.routing.verdicts import SUPERIOR, PilotVerdict
from labelop.sensitivity.clearance import group_of
from labelop.sensitivity.levels import Level

CHOSEN, COMPARE = "chosen", "compare"
CHEAPEST, TIE_LOCAL, ONLY_ALLOWED, DEARER = "cheapest", "tie-local", "only-allowed", "dearer"
PILOT_SUPERIOR, PILOT_OPEN = "pilot-superior", "pilot-open"
"""Rule ids of options that no hard rule refused. An open pilot leaves the images where they are safest."""

_MICRO = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about one arm for one level of a dataset version."""

    decision_id: str
    """Content-derived id."""
    decision_set: str
    """Names all decisions made together."""
    dataset: str
    """Dataset name."""
    dataset_version: str
    """Dataset version."""
    level: str
    """Sensitivity level."""
    role: str | None
    """chosen | compare; None when the arm does nothing for this level."""
    arm: str
    """local | cloud."""
    placement: str
    """onprem | cloud."""
    model_id: str | None
    """Detector of the arm, None when it has none for this ontology."""
    allowed: bool
    """Whether no hard rule refused it."""
    reason: str
    """One sentence a person understands."""
    rule_id: str
    """Rule that decided."""
    images_count: int
    """Distinct images of this level."""
    expected_cost: Decimal | None
    """Machine and review per image; None when refused."""
    currency: str
    """Currency of the cost."""
    expected_review_seconds: float | None
    """Active review seconds per image; None when refused."""
    policy_digest: str
    """Sensitivity policy under which it was decided."""
    release_rule: str | None = None
    """Rule of the policy by which these images may go to the cloud in a changed form; None where they need none."""
    contrast_id: str | None = None
    """Verdict of a pilot it rests on; None without."""
    ratio: float | None = None
    """Of that verdict: seconds under its arm / under its reference."""
    ratio_low: float | None = None
    """Lower end of its interval."""
    ratio_high: float | None = None
    """Upper end of its interval."""
    runner_up: str | None = None
    """Allowed arm that was not chosen."""
    stratum: str | None = None
    """Stratum with a verdict of its own that the images are of; None for the images of no such one."""

    @property
    def group(self) -> str:
        """The images it is about: their level, the release rule and the stratum."""
        return group_of(self.level, self.release_rule, self.stratum)


def decide(
    level: Level,
    work: Workload,
    ontology: str,
    *,
    routing: RoutingPolicy,
    policy: LevelPolicy,
    catalog: Mapping[str, ModelCard],
    evidence: Mapping[tuple[str, str], Evidence],
    prices: PriceBook,
    released: AbstractSet[str] = frozenset(),
    pilot: PilotVerdict | None = None,
) -> list[dict[str, Any]]:
    """Weigh every arm for one level: hard rules first, then expected total cost; a tie goes to the local arm.

    Where a pilot compared the arms, only one that it calls superior and that is cheaper too is chosen before the local
    one. `released` names placements where these images may be in a changed form only.

    Returns:
        One mapping per arm, by name, with the columns of `decisions` that depend on the arm.
    """
    models = routing.arms_of(ontology)
    options = sorted({(arm.arm, arm.placement) for arm in routing.arms})
    vetoes: dict[str, Veto] = {}
    open_arms: list[Arm] = []
    for name, placement in options:
        arm = models.get(name)
        found = veto(
            dataset=work.dataset,
            ontology=ontology,
            level=level,
            arm_name=name,
            placement=placement,
            arm=arm,
            routing=routing,
            policy=policy,
            cards=catalog,
            released=released,
        )
        if found is not None:
            vetoes[name] = found
        elif arm is not None:
            open_arms.append(arm)
    known = pilot if pilot is not None and set(pilot.arms) == {arm.arm for arm in open_arms} else None
    seconds = known.seconds if known else None
    costs = (
        expect(open_arms, work, catalog=catalog, evidence=evidence, book=prices, piloted=seconds) if open_arms else {}
    )
    # the local arm sorts first among equals
    order = sorted(costs, key=lambda name: (costs[name].cost, name != "local"))
    if known and not (known.verdict == SUPERIOR and known.winner == order[0]):
        order.sort(key=lambda name: name != "local")
    return [
        {
            "arm": name,
            "placement": placement,
            "model_id": models[name].detector if name in models else None,
            **_rests_on(None if name in vetoes else known, order),
            **(
                _refused(vetoes[name])
                if name in vetoes
                else _by_pilot(name, order, costs, routing.compare_share, known)
                if known
                else _weighed(name, order, costs, routing.compare_share, prices.currency)
            ),
        }
        for name, placement in options
    ]


def explain(decisions: Iterable[Decision]) -> str:
    """Tell decisions as text, one line per option under its level.

    Returns:
        Lines for a terminal, without a trailing newline; a sentence when there is nothing to tell.
    """
    by_level: dict[str, list[Decision]] = defaultdict(list)
    for decision in decisions:
        by_level[decision.group].append(decision)
    if not by_level:
        return "No decisions: no image has a level yet."
    lines: list[str] = []
    for group in sorted(by_level, key=lambda name: (Level.from_text(by_level[name][0].level), name)):
        options: Sequence[Decision] = by_level[group]
        lines.append(f"{options[0].dataset} {group}: {options[0].images_count} images")
        for option in sorted(options, key=lambda o: (o.role != CHOSEN, not o.allowed, o.arm)):
            word = option.role or ("allowed" if option.allowed else "refused")
            model = f" with {option.model_id}" if option.model_id else ""
            lines.append(f"  {word:<8} {option.arm} ({option.placement}){model} [{option.rule_id}]: {option.reason}")
    return "\n".join(lines)


def _refused(found: Veto) -> dict[str, Any]:
    return {
        "role": None,
        "allowed": False,
        **asdict(found),
        "expected_cost": None,
        "expected_review_seconds": None,
    }


def _rests_on(pilot: PilotVerdict | None, order: Sequence[str]) -> dict[str, Any]:
    """Give the columns that say what a decision rests on."""
    figures = ("contrast_id", "ratio", "ratio_low", "ratio_high")
    runner_up = order[1] if len(order) > 1 else None
    return {**{name: getattr(pilot, name, None) for name in figures}, "runner_up": runner_up}


def _by_pilot(
    name: str, order: Sequence[str], costs: Mapping[str, Expectation], compare_share: float, pilot: PilotVerdict
) -> dict[str, Any]:
    """Say what a pilot's verdict makes of an arm; inconclusive, equivalent and dearer winners leave images here."""
    best, mine = order[0], costs[name]
    rule = PILOT_SUPERIOR if pilot.verdict == SUPERIOR and pilot.winner == best else PILOT_OPEN
    why = "its winner is chosen" if rule == PILOT_SUPERIOR else f"so the default stands: {best}"
    if name == best:
        said = f"Pilot: {pilot.sentence} It is {pilot.verdict}, {why}; runner-up {order[1]}."
    else:
        where = "" if pilot.stratum == ALL_STRATA else f" in stratum {pilot.stratum!r}"
        said = f"Runner-up of {best}{where} by a pilot that is {pilot.verdict}."
    return {
        "role": CHOSEN if name == best else COMPARE if compare_share > 0 else None,
        "allowed": True,
        "rule_id": rule,
        "reason": said,
        "expected_cost": Decimal(str(mine.cost)).quantize(_MICRO),
        "expected_review_seconds": mine.review_seconds,
    }


def _weighed(
    name: str, order: Sequence[str], costs: Mapping[str, Expectation], compare_share: float, currency: str
) -> dict[str, Any]:
    mine, best = costs[name], order[0]
    told = (
        f"{mine.cost:.4f} {currency} per image expected: machine {mine.machine_cost:.4f}, review "
        f"{mine.review_cost:.4f} for {mine.review_seconds:.1f} s {mine.source}"
    )
    role: str | None = CHOSEN
    if name != best:
        role = COMPARE if compare_share > 0 else None
        share = f"; prelabels {compare_share:.0%} of the images to compare" if compare_share > 0 else ""
        gap = mine.cost - costs[best].cost
        rule = DEARER if gap > 0 else TIE_LOCAL
        reason = f"Allowed, {gap:.4f} {currency} per image dearer than {best}: {told}{share}."
    elif len(order) == 1:
        rule, reason = ONLY_ALLOWED, f"The only arm allowed; {told}."
    elif costs[order[1]].cost == mine.cost:
        rule, reason = TIE_LOCAL, f"As cheap as {order[1]}, and a tie stays local; {told}."
    else:
        rule, reason = CHEAPEST, f"Cheapest allowed arm; {told}."
    return {
        "role": role,
        "allowed": True,
        "rule_id": rule,
        "reason": reason,
        "expected_cost": Decimal(str(mine.cost)).quantize(_MICRO),
        "expected_review_seconds": mine.review_seconds,
    }
