"""How each number of the report is computed, in one formula and one query to run.

Text only. The formulas are those of the measures the SQL follows; symbols are spelled out for readers without it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explained:
    """One number and where it comes from."""

    name: str
    """Number as the page calls it."""
    formula: str
    """How it is computed."""
    query: str
    """Query that returns it."""


EXPLAINED = (
    Explained("Accounting", "discovered = landed + quarantined + deferred, counted in files", "run_summary"),
    Explained(
        "Corrections",
        "cheapest set of accept, adjust, relabel, delete and add that turns the drafts into the accepted labels; a "
        "draft and a label can be one object only when their boxes overlap by an IoU of at least 0.50; adjust and "
        "relabel on one object count as two",
        "effort_by_operation",
    ),
    Explained("Corrections per label (HER)", "corrections / max(1, accepted labels), over all images", "arm_effort"),
    Explained("Drafts accepted", "accepted drafts / drafts; not defined without drafts", "arm_effort"),
    Explained(
        "Modelled seconds",
        "base seconds per image + sum of count x seconds per operation, published or calibrated",
        "arm_effort",
    ),
    Explained("From scratch", "base seconds per image + accepted labels x seconds to add one", "arm_effort"),
    Explained("Saving", "1 - sum of modelled seconds / sum of seconds from scratch", "arm_effort"),
    Explained(
        "Catch rate",
        "seeded errors that were corrected / seeded errors that were reviewed, with Wilson's interval",
        "bias_figures",
    ),
    Explained(
        "Anchoring excess",
        "share of wrong drafts kept by who saw them - share that blind reviewers of the same images came to",
        "bias_figures",
    ),
    Explained("Errors left", "errors corrected x (1 / catch rate - 1)", "bias_figures"),
    Explained(
        "Machine cost, local",
        "busy hours x (price - resale) / (life x busy hours a year) + busy hours x kW x PUE x price per kWh + "
        "people's hours lost or spent on setup x loaded hourly rate",
        "cost_lines",
    ),
    Explained(
        "Machine cost, cloud",
        "billed GPU seconds, rounded up to the increment and the minimum and with cold start, x price + requests + "
        "storage + egress + people's hours for setup and approval x loaded hourly rate",
        "cost_lines",
    ),
    Explained("Review cost", "active seconds / 3600 / productive fraction x loaded hourly rate", "cost_lines"),
    Explained(
        "Cost per accepted label",
        "(machine cost + review cost) / accepted labels; images that still wait for review are left out on both sides",
        "arm_cost",
    ),
    Explained(
        "Probability that cloud is cheaper",
        "share of 10,000 seeded draws in which cloud costs less per accepted label; prices triangular with their P10 "
        "and P90, review seconds by bootstrap over images",
        "odds",
    ),
    Explained(
        "Break-even images",
        "(fixed cost local - fixed cost cloud) / (cost per image cloud - cost per image local); not defined where one "
        "arm is cheaper at every volume",
        "break_even",
    ),
    Explained(
        "Switching price of an escaped error",
        "(cost per label local - cost per label cloud) / (escaped errors per label cloud - local), escaped errors by "
        "seeded ones that were caught",
        "break_even",
    ),
    Explained("Machine and setup share", "machine cost / (machine cost + review cost)", "arm_cost"),
    Explained(
        "Local against cloud",
        "(cloud - local) / local, on the images that were reviewed under both arms",
        "local_vs_cloud",
    ),
    Explained(
        "AP50",
        "average precision at IoU 0.50 against the truth of the split, as pycocotools computes it",
        "model_quality",
    ),
    Explained(
        "Ratio of a pilot",
        "exp of the mean log(seconds under the arm / seconds under the reference) over images reviewed under both; "
        "reviewers' speeds taken out by regression, strata by their share of all images; interval by Student's t",
        "pilot_verdicts",
    ),
    Explained(
        "Images per second",
        "images / seconds inside the detector, at one placement: on premises where the model ran there, else the cloud",
        "model_quality",
    ),
)
"""Every number of the page, in its order."""
