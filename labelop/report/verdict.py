"""Say in plain words which path is cheaper and why, with the number of images behind every statement.

Knows comparisons and nothing else. Claims no more than the numbers hold: no difference below the margin, no pairs no
fair comparison, simulated numbers called simulated.
"""

from __future__ import annotations

from dataclasses import dataclass

from labelop.report.compare import Comparison, comparisons
from labelop.report.results import Results, Row
from labelop.report.values import PERCENT, decimals, shown

MARGIN = 0.05
"""Relative cost difference below which the arms count as equal (measures.md section 9, margin of QA)."""

FEW_IMAGES = 30
"""Below this many images a comparison is called a first hint."""

_PLACES = {"local": "on premises", "cloud": "in the cloud"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reader takes away for one dataset."""

    dataset: str
    """Dataset name."""
    headline: str
    """One sentence: which path is cheaper and by how much."""
    sentences: tuple[str, ...]
    """Cost, effort and limits, one sentence each."""
    simulated: bool
    """Whether any number behind it is emulated or simulated."""


def verdicts(results: Results) -> list[Verdict]:
    """Judge every dataset: those that can be compared first, then by name."""
    compared = {item.dataset for item in comparisons(results)}
    return [
        _verdict(results, name) for name in sorted(results.datasets(), key=lambda name: (name not in compared, name))
    ]


def _verdict(results: Results, dataset: str) -> Verdict:
    simulated = any(row.get("simulated") for name in results.rows for row in results.of(name, dataset=dataset))
    found = comparisons(results, dataset)
    headline = _headline(found[0]) if found else "Local and cloud cannot be compared yet."
    sentences = _sentences(results, found[0]) if found else _alone(results, dataset)
    return Verdict(dataset, headline, (*sentences, *_unfinished(results, dataset)), simulated)


def _headline(item: Comparison) -> str:
    local, cloud = item.pair("cost_per_label")
    if local is None or cloud is None or max(local, cloud) <= 0:
        return "The cost per accepted label is not known for both arms yet."
    low, high, name = (local, cloud, "local") if local <= cloud else (cloud, local, "cloud")
    saved = (high - low) / high
    if saved < MARGIN:
        margin = f"{100 * MARGIN:.0f}{PERCENT}"
        return f"Local and cloud cost about the same: {shown(saved, 'share')} apart, below the {margin} margin."
    return f"The {name} path is cheaper: {shown(saved, 'share')} less per accepted label."


def _sentences(results: Results, item: Comparison) -> tuple[str, ...]:
    local, cloud = item.pair("cost_per_label")
    counts = [shown(count, "count") for count in item.images()]
    where = (
        f"on the same {counts[0]} images"
        if item.slice == "paired"
        else f"over {counts[0]} images on premises and {counts[1]} in the cloud, not the same ones"
    )
    digits = decimals((local, cloud), "money")
    cost = (
        f"One accepted label costs {shown(local, 'money', digits)} {item.currency} on premises and "
        f"{shown(cloud, 'money', digits)} {item.currency} in the cloud, {where}."
    )
    said = [cost]
    her, seconds = item.pair("her"), item.pair("active_seconds_mean")
    if None not in her:
        said.append(
            f"Reviewers made {shown(her[0], 'number', 2)} corrections per label after local drafts and "
            f"{shown(her[1], 'number', 2)} after cloud drafts."
        )
    if None not in seconds:
        said.append(
            f"They spent {shown(seconds[0], 'seconds', 1)} s and {shown(seconds[1], 'seconds', 1)} s of active time "
            "per image."
        )
    else:
        said.append(
            "Reviewers' time was not measured in both arms; unmeasured time is modelled from published seconds."
        )
    said += _shares(results, item.dataset)
    fewest = min(item.images())
    if fewest < FEW_IMAGES:
        said.append(f"Only {fewest} images: read this as a first hint, not as a result.")
    return tuple(said)


def _alone(results: Results, dataset: str) -> tuple[str, ...]:
    said = []
    for row in results.of("arm_cost", dataset=dataset):
        arm = str(row["arm"])
        label = row["cost_per_label"]
        cost = "is not known" if label is None else f"is {shown(label, 'money')} {row['currency']}"
        said.append(
            f"{arm.capitalize()} arm: the cost per accepted label {cost} "
            f"({shown(row['images_count'], 'count')} images {_PLACES.get(arm, '')}".rstrip()
            + f", {shown(row['accepted_count'], 'count')} accepted labels)."
        )
    said.append("A comparison needs images that were drafted and reviewed under both arms.")
    return tuple(said)


def _unfinished(results: Results, dataset: str) -> list[str]:
    """Say how many files wait for reviewers or a sync, and how many are neither that nor landed nor quarantined."""
    said = []
    for row in results.of("run_summary", dataset=dataset):
        names = ("discovered", "landed", "quarantined", "deferred")
        discovered, *told = (found if isinstance(found := row.get(f"{name}_count"), int) else 0 for name in names)
        missing, deferred = discovered - sum(told), told[-1]
        said += [f"{deferred:,} of {discovered:,} files wait for a first run, reviewers or a sync."] * (deferred > 0)
        said += [f"{missing:,} of {discovered:,} files are not accounted for yet; run the night again."] * (missing > 0)
    return said


def _shares(results: Results, dataset: str) -> list[str]:
    """Say what is not review, and what of it would vanish over more images."""
    arms = {str(row["arm"]): row for row in results.of("arm_cost", dataset=dataset)}
    if not {"local", "cloud"} <= set(arms) or any(row["inference_share"] is None for row in arms.values()):
        return []
    local, cloud = (shown(arms[arm]["inference_share"], "share") for arm in ("local", "cloud"))
    said = [f"Machines and setup are {local} of the local cost and {cloud} of the cloud cost; review is the rest."]
    setup = {arm: _setup_share(results, dataset, arm, arms[arm]) for arm in ("local", "cloud")}
    if any(setup.values()):
        parts = [
            f"{shown(setup[arm], 'share')} of the {arm} cost over {shown(arms[arm]['images_count'], 'count')} images"
            for arm in ("local", "cloud")
        ]
        said.append(f"Setup alone does not grow with the images: it is {parts[0]} and {parts[1]}.")
    return said


def _setup_share(results: Results, dataset: str, arm: str, cost: Row) -> float:
    total = cost["total_cost"]
    if not isinstance(total, int | float) or total <= 0:
        return 0.0
    rows = results.of("cost_lines", dataset=dataset, arm=arm, category="setup")
    return sum(float(row["amount"] or 0) for row in rows) / total
