"""Write the report: one HTML file that holds everything, runs nothing and asks for nothing.

Composes results, tables, plots and pictures into the template; the template escapes every value. Computes no number.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from labelop.errors import ConfigurationError
from labelop.ingest.decode import ImageArray
from labelop.ingest.originals import read_pixels
from labelop.landing.store import Store
from labelop.queries import open_session, run_query
from labelop.report import plots
from labelop.report.cells import lay_out
from labelop.report.compare import comparisons
from labelop.report.explained import EXPLAINED
from labelop.report.forms import FORMS
from labelop.report.forms_beside import PROVENANCE, TABLES, WARNINGS
from labelop.report.intervals import pilot_intervals
from labelop.report.pictures import LIMIT, Gallery, choose, picture
from labelop.report.results import FINDINGS, Results, Row, gather, plain_rows
from labelop.report.styles import STYLES
from labelop.report.tables import build, comparison_table, operations_table
from labelop.report.tornado import tornado
from labelop.report.values import plain, shown
from labelop.report.verdict import verdicts
from labelop.runs import current_version, source_root
from labelop.sensitivity.clearance import NamedPolicy, Standing, standings
from labelop.sensitivity.levels import Level
from labelop.settings import Settings
from labelop.views import Session

_TEMPLATES = Path(__file__).parent / "templates"
_SECTIONS = (
    ("accounting", "Accounting"),
    ("compare", "Local against cloud"),
    ("cost", "Cost"),
    ("effort", "Effort"),
    ("quality", "Quality"),
    ("pictures", "Pictures"),
    ("routing", "Routing"),
    ("quarantine", "Quarantine"),
    ("computed", "How computed"),
    ("provenance", "Provenance"),
)


def write_report(
    store: Store,
    output: Path,
    *,
    dataset: str | None = None,
    settings: Settings,
    policy: NamedPolicy,
    include_restricted: bool = False,
) -> Path:
    """Write the report of a store.

    Args:
        store: Where the tables are; it may be empty.
        output: File to write; replaced in one step, its folder is made.
        dataset: Name of one dataset, or None for all.
        settings: How to reach the original images.
        policy: The sensitivity policy in force; images that were classified under another one count as restricted.
        include_restricted: Whether pixels of restricted images may enter the page.

    Returns:
        The file.

    Raises:
        ConfigurationError: The file cannot be written there.
        AnalysisError: A query failed or does not fit this release.
    """
    session = open_session(store)
    results = gather(session, dataset)

    @cache
    def moved_to(name: str) -> str | None:
        return source_root(store, name, current_version(store, name))

    def read(row: Row) -> ImageArray:
        # the same content may lie elsewhere by now; its rows still name the place of its first ingest
        place = moved_to(str(row["dataset"])) or str(row["source_uri"])
        return read_pixels(str(row["image_id"]), place, str(row["path"]), settings)

    @cache
    def standings_of(name: str) -> dict[str, Standing]:
        return standings(store, name, current_version(store, name), policy)

    def level_of(row: Row) -> Level:
        known = standings_of(str(row["dataset"])).get(str(row["image_id"]))
        return Level.RESTRICTED if known is None else known.level

    gallery = collect_pictures(session, dataset, read, level_of, include_restricted=include_restricted)
    html = render(results, gallery, dataset=dataset)
    unfinished = output.with_name(f"{output.name}.part{os.getpid()}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(html, encoding="utf-8")
        unfinished.replace(output)
    except OSError as error:
        with contextlib.suppress(OSError):  # what is wrong with the folder is told by the first error
            unfinished.unlink(missing_ok=True)
        raise ConfigurationError(
            f"The report cannot be written to {output}: {error.strerror}.",
            hint="`--output` of `labelop report`, `--report` of a night, or LABELOP_REPORT names the file.",
        ) from error
    return output


def collect_pictures(
    session: Session,
    dataset: str | None,
    read: Callable[[Row], ImageArray],
    level_of: Callable[[Row], Level],
    *,
    include_restricted: bool = False,
    limit: int = LIMIT,
) -> Gallery:
    """Choose and prepare the pictures of the page, by the level that counts now."""
    params = {} if dataset is None else {"dataset": dataset}
    rows = [dict(row, level=level_of(row).text) for row in plain_rows(run_query(session, "picture_list", params))]
    chosen, withheld = choose(rows, limit=limit, include_restricted=include_restricted)
    prepared = [
        picture(row, plain_rows(run_query(session, "picture_marks", {"review_id": str(row["review_id"])})), read)
        for row in chosen
    ]
    return Gallery(tuple(prepared), len({row["image_id"] for row in rows}), withheld)


def render(results: Results, gallery: Gallery, *, dataset: str | None = None) -> str:
    """Turn rows and pictures into the page's HTML, the same text for the same rows.

    Args:
        results: Rows of the report's queries.
        gallery: Pictures.
        dataset: Dataset that was asked for, or None for all.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html.j2").render(page=_content(results, gallery, dataset))


def _content(results: Results, gallery: Gallery, dataset: str | None) -> dict[str, Any]:
    found = results.datasets()
    tables = {form.query: lay_out(build(form, results.of(form.query))) for form in FORMS}
    tables["effort_by_operation"] = lay_out(operations_table(results))
    name = "Prelabel report" if dataset is None else f"Prelabel report: {plain(dataset)}"
    effort = [(plain(item), plots.effort_by_class(results, item, number)) for number, item in enumerate(found, 1)]
    as_of = [shown(row["identity"]) for row in results.of("report_provenance", subject="data as of")]
    return {
        "title": name,
        "css": Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - a file of ours
        "data_as_of": as_of[0] if as_of else "",
        "simulated": _simulated(results),
        "stale": _stale(results),
        "warnings": lay_out(build(WARNINGS, results.of(FINDINGS))),
        "empty_title": "Nothing has landed yet" if dataset is None else f"Nothing has landed for {plain(dataset)}",
        "empty_text": "The store holds no images to report on. Run a night over a folder of images first:",
        "sections": _SECTIONS,
        "verdicts": [_plain_verdict(item) for item in verdicts(results)],
        "accounting": [_accounting(row) for row in results.of("run_summary")],
        "tables": tables,
        "comparisons": [lay_out(comparison_table(item)) for item in comparisons(results)],
        "pilot_plot": _inert(pilot_intervals(results)),
        "cost_plot": _inert(plots.cost_stack(results)),
        "tornado_plot": _inert(tornado(results)),
        "effort_plots": [(item, _inert(svg)) for item, svg in effort if svg],
        "quality_plot": _inert(plots.quality(results)),
        "gallery": gallery,
        "gallery_note": _gallery_note(gallery),
        "styles": STYLES,
        "explained": EXPLAINED,
        "provenance": [lay_out(build(form, results.of(form.query))) for form in (PROVENANCE, TABLES)],
        "program_version": metadata.version("labelop"),
    }


def _inert(svg: str | None) -> Markup | None:
    # plots.render rebuilds the SVG from an allow-list; nothing else may be marked as safe
    return None if svg is None else Markup(svg)  # noqa: S704


def _plain_verdict(verdict: Any) -> dict[str, Any]:
    return {
        "dataset": plain(verdict.dataset),
        "headline": plain(verdict.headline),
        "sentences": [plain(sentence) for sentence in verdict.sentences],
        "simulated": verdict.simulated,
    }


def _accounting(row: Row) -> dict[str, Any]:
    names = ("discovered", "landed", "quarantined", "deferred")
    counts: list[Any] = [row.get(f"{name}_count") or 0 for name in names]
    discovered, landed, quarantined, deferred = (shown(count, "count") for count in counts)
    return {
        "dataset": shown(row["dataset"]),
        "discovered": discovered,
        "landed": landed,
        "quarantined": quarantined,
        "deferred": deferred if counts[3] else "",
        "balanced": counts[0] == sum(counts[1:]),
    }


def _simulated(results: Results) -> str:
    said = []
    if any(row.get("simulated") for row in results.of("arm_effort")):
        said.append("Reviews come from a simulated reviewer, not from people.")
    if any(row.get("simulated") for row in results.of("cost_lines", arm="cloud")):
        said.append(
            "The cloud ran emulated on this machine; its seconds were measured here and priced as cloud seconds."
        )
    if not said and results.has_simulated():
        said.append("Some rows come from an emulated placement or a simulated reviewer.")
    return " ".join(said)


def _stale(results: Results) -> list[str]:
    """Name each dataset with images that are restricted only because the policy was past its date."""
    counts: dict[str, int] = {}
    for row in results.of("levels_summary"):
        stale = row["stale_policy_count"]
        counts[str(row["dataset"])] = counts.get(str(row["dataset"]), 0) + (stale if isinstance(stale, int) else 0)
    return [f"{shown(count, 'count')} images of {plain(name)}" for name, count in sorted(counts.items()) if count]


def _gallery_note(gallery: Gallery) -> str:
    if not gallery.reviewed_count:
        return "No reviewed image yet."
    note = (
        f"{len(gallery.pictures)} reviews out of {gallery.reviewed_count:,} reviewed images, chosen to show many kinds "
        "of corrections and, where there is one, the same image under both arms; not a random sample. Hold the pointer "
        "over a box to read its class."
    )
    if gallery.withheld_count:
        note += (
            f" {gallery.withheld_count:,} images were left out because they are restricted or their level is unknown."
        )
    return note
