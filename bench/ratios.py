"""From rounds of measurement to ratios: the arithmetic and the JSON form of every benchmark table.

Knows no model, no clock and no library; the only part of the bench that a unit test covers.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

FORM = 2
"""Version of the JSON form."""

STEADY = 1.5
"""A case whose best round is more than this times its worst was disturbed; no target is judged by it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio that the project wants to reach."""

    case: str
    """The case judged."""
    against: str
    """The case it is compared with."""
    at_least: float
    """Smallest ratio of the two rates that counts as reached."""
    why: str
    """What the target is called, in words."""
    most: float | None = None
    """A ratio above cannot be real (nothing is faster than its floor): the run was disturbed. None without a bound."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target, judged."""

    target: Target
    """What was wanted."""
    ratio: float | None
    """What was measured; None when one of the two cases did not run."""
    steady: bool = True
    """Whether the rounds of both cases agree well enough to judge."""
    single: bool = False
    """Whether one of the cases has one round only, which cannot disagree with itself."""

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None when it was not measured or the rounds disagree."""
        return None if self.ratio is None or self.disturbed else self.ratio >= self.target.at_least

    @property
    def disturbed(self) -> str | None:
        """Why the ratio is not judged, or None when it is."""
        if self.single:
            return "one round"
        if not self.steady:
            return f"the rounds differ by more than {STEADY:g}x"
        if self.ratio is not None and self.target.most is not None and self.ratio > self.target.most:
            return "the floor itself was disturbed"
        return None

    @property
    def word(self) -> str:
        """Say the verdict in a word or two."""
        if self.ratio is None:
            return "not measured"
        if self.disturbed:
            return "not judged"
        return "reached" if self.reached else "not reached"

    @property
    def sentence(self) -> str:
        """Say the verdict and by how much."""
        wanted = f"{self.target.why}: at least {self.target.at_least:g}"
        if self.ratio is None:
            return f"{wanted}, not measured"
        if self.disturbed:
            return f"{wanted}, measured {self.ratio:.2f}: not judged, {self.disturbed}"
        share = 100.0 * (self.ratio / self.target.at_least - 1.0)
        return f"{wanted}, measured {self.ratio:.2f}: {self.word} ({share:+.0f} %)"


@dataclass(frozen=True, slots=True)
class Table:
    """One table: cases measured in turn in one run."""

    name: str
    """Name of the table, also of its plot."""
    title: str
    """Heading."""
    unit: str
    """What the rates count per second."""
    reference: str
    """The case all others are divided by."""
    rates: Mapping[str, tuple[float, ...]]
    """Rate of each round by case, per second."""
    targets: tuple[Target, ...] = ()
    """What is wanted."""
    notes: tuple[str, ...] = ()
    """What a reader must know, for example a case that did not run and why."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds an image of each stage of our way, where a target is not reached; empty else."""
    why: str = ""
    """What the stages say of a target that is not reached."""
    taken: Mapping[str, Any] = field(default_factory=dict)
    """Command and machine of the run that this table is from; tables of one file may be from several."""

    def median(self, case: str) -> float:
        """Median rate of a case, per second."""
        return float(statistics.median(self.rates[case]))

    def ratio(self, case: str, against: str) -> float | None:
        """Ratio of the median rates of two cases; None when one is missing or the divisor is zero."""
        if case not in self.rates or against not in self.rates or not self.median(against):
            return None
        return self.median(case) / self.median(against)

    def verdicts(self) -> list[Verdict]:
        """Judge every target."""
        return [
            Verdict(
                target,
                self.ratio(target.case, target.against),
                all(self.is_steady(case) for case in (target.case, target.against) if case in self.rates),
                any(len(self.rates.get(case, "--")) == 1 for case in (target.case, target.against)),
            )
            for target in self.targets
        ]

    def is_steady(self, case: str) -> bool:
        """Say whether the rounds of a case agree: a shared machine disturbs some cases far more than others."""
        return max(self.rates[case]) <= STEADY * min(self.rates[case])


def wanted(known: Sequence[str], only: Sequence[str]) -> list[str]:
    """Take the tables whose name starts with one of the words; all when there is none.

    Raises:
        ValueError: A word is the start of no table's name.
    """
    for word in only:
        if not any(name.startswith(word) for name in known):
            raise ValueError(f"no table's name starts with {word!r}; this form has {', '.join(known)}")
    return [name for name in known if not only or name.startswith(tuple(only))]


def merged(before: Sequence[Table], fresh: Sequence[Table], order: Sequence[str]) -> list[Table]:
    """Put fresh tables over those of the same name.

    Returns:
        Tables as `order` names them; those it does not know follow.
    """
    found = {table.name: table for table in before} | {table.name: table for table in fresh}
    return [found[name] for name in dict.fromkeys([*order, *found]) if name in found]


def explained(table: Table, stages: Mapping[str, float], threads: int) -> Table:
    """Say beside a target that is not reached where our time goes.

    Args:
        table: A table with a target that is not reached.
        stages: Milliseconds an image of each stage, one thread.
        threads: Cores that share the work.
    """
    total = sum(stages.values())
    shares = ", ".join(
        f"{name} {value / total:.2f}" for name, value in sorted(stages.items(), key=lambda one: -one[1]) if value
    )
    could = f"{threads} such threads without a wait: {threads * 1e3 / total:.3g} images/s"
    why = f"Of {total:.3g} ms an image on one thread: {shares}. {could}."
    floor = table.ratio("floor", table.reference)
    if floor is not None:
        why += f" The floor itself is {floor:.2f} x the reference."
    return replace(table, stages=dict(stages), why=why)


def to_json(tables: Sequence[Table]) -> str:
    """Write tables as JSON with medians, ratios and verdicts beside the rounds."""
    content = {"form": FORM, "tables": [_plain(table) for table in tables]}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> list[Table]:
    """Read what `to_json` wrote.

    Raises:
        ValueError: The text has another form.
    """
    content = json.loads(text)
    if content.get("form") != FORM:
        raise ValueError(f"the form is {content.get('form')}, expected {FORM}")
    return [
        Table(
            one["name"],
            one["title"],
            one["unit"],
            one["reference"],
            {case["name"]: tuple(case["rounds"]) for case in one["cases"]},
            tuple(Target(**{k: v[k] for k in ("case", "against", "at_least", "why", "most")}) for v in one["targets"]),
            tuple(one["notes"]),
            one["stages"],
            one["why"],
            one["taken"],
        )
        for one in content["tables"]
    ]


def summary(tables: Sequence[Table]) -> str:
    """Write every target of every table as one row: wanted, measured, verdict, and why where it is not reached."""
    lines = ["| table | target | wanted | measured | verdict | why |", "|---|---|---|---|---|---|"]
    for table in tables:
        for verdict in table.verdicts():
            wanted, why = verdict.target, verdict.disturbed or ("" if verdict.reached else table.why)
            measured = "" if verdict.ratio is None else f"{verdict.ratio:.2f}"
            lines.append(
                f"| {table.title} | {wanted.why} | {wanted.at_least:g} | {measured} | {verdict.word} | {why} |"
            )
    return "\n".join(lines) + "\n"


def to_markdown(table: Table) -> str:
    """Write one table for a page: median, spread and ratio of each case, then the verdicts."""
    lines = [f"| case | {table.unit} | lowest to highest | rounds | x reference |", "|---|---|---|---|---|"]
    for case, rounds in table.rates.items():
        name = f"{case} (reference)" if case == table.reference else case
        ratio = table.ratio(case, table.reference)
        shown = "" if ratio is None else f"{ratio:.2f}"
        spread = f"{_short(min(rounds))} to {_short(max(rounds))}"
        lines.append(f"| {name} | {_short(table.median(case))} | {spread} | {len(rounds)} | {shown} |")
    if table.stages:
        total = sum(table.stages.values())
        lines += ["", "| stage of our way, one thread | ms an image | share |", "|---|---|---|"]
        lines += [f"| {name} | {value:.2f} | {value / total:.2f} |" for name, value in table.stages.items()]
    lines += [""] + [f"- {verdict.sentence}" for verdict in table.verdicts()]
    missed = any(verdict.reached is False for verdict in table.verdicts())
    notes = [f"{'Why not reached' if missed else 'Where our time goes'}: {table.why}"] if table.why else []
    return "\n".join([*lines, *(f"- {note}" for note in (*notes, *table.notes))]).rstrip() + "\n"


def _plain(table: Table) -> dict[str, Any]:
    cases = [
        {
            "name": case,
            "rounds": [round(rate, 4) for rate in rounds],
            "median": round(table.median(case), 4),
            "ratio": _rounded(table.ratio(case, table.reference)),
        }
        for case, rounds in table.rates.items()
    ]
    verdicts = [
        asdict(v.target) | {"ratio": _rounded(v.ratio), "steady": v.steady, "reached": v.reached}
        for v in table.verdicts()
    ]
    return {
        "name": table.name,
        "title": table.title,
        "unit": table.unit,
        "reference": table.reference,
        "cases": cases,
        "targets": verdicts,
        "notes": list(table.notes),
        "stages": {name: round(value, 4) for name, value in table.stages.items()},
        "why": table.why,
        "taken": dict(table.taken),
    }


def _rounded(ratio: float | None) -> float | None:
    return None if ratio is None else round(ratio, 4)


def _short(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
