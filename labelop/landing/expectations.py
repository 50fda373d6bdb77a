"""Rows are checked by Great Expectations before they land, so that a broken batch never reaches an analyst.

The only module that imports the library, and only when a check runs: the import takes seconds, so that a call may
carry many batches. Must not know how the rows are stored or what happens to those that fail.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from labelop.errors import ExpectationsFailedError
from labelop.landing.frames import image_frame, prediction_frame
from labelop.landing.offline_page import escaped, head, make_offline, write_page

_OUTCOMES = ("ok", "empty", "failed", "withheld", "unreadable")
_LOCK = threading.Lock()  # the library keeps the current context in a global
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class GateResult:
    """What became of one check of rows."""

    name: str
    """manifest | prelabels."""
    passed: bool
    """Whether every expectation held."""
    failures: tuple[str, ...]
    """One sentence per expectation that did not hold: column, expectation, count, ids of examples."""
    evaluated: int
    """Number of expectations evaluated."""
    documents: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """The library's own results, one JSON text per frame, for the data docs."""


@dataclass(frozen=True, slots=True)
class _Suite:
    name: str
    """Name of the frame in messages and docs."""
    frame: pd.DataFrame
    """Rows to check."""
    identity: tuple[str, ...]
    """Columns that name a row in a message."""
    expectations: list[Any]
    """What must hold."""


def check_manifest(images: pa.Table) -> GateResult:
    """Check the rows of one or more manifests.

    Every path appears once in its version, ids are digests, outcomes are known, sizes make sense, and whatever is `ok`
    has an id, a format and positive width and height.

    Args:
        images: Rows of the table `images`.
    """
    gx = _library()
    frame = images.to_pandas()
    key = ["dataset", "dataset_version", "path"]
    usable = frame[frame["outcome"] == "ok"]
    return _validate(
        "manifest",
        _Suite(
            "files",
            frame,
            ("path",),
            [
                *(gx.ExpectColumnValuesToNotBeNull(column=column) for column in (*key, "outcome", "size_bytes")),
                gx.ExpectCompoundColumnsToBeUnique(column_list=key),
                gx.ExpectColumnValuesToMatchRegex(column="image_id", regex="^[0-9a-f]{64}$"),
                gx.ExpectColumnValuesToBeInSet(column="outcome", value_set=["ok", "quarantined"]),
                gx.ExpectColumnValuesToBeBetween(column="size_bytes", min_value=0),
            ],
        ),
        _Suite(
            "usable-images",
            usable,
            ("path",),
            [
                *(
                    gx.ExpectColumnValuesToNotBeNull(column=column)
                    for column in ("image_id", "format", "width_px", "height_px")
                ),
                *(gx.ExpectColumnValuesToBeBetween(column=column, min_value=1) for column in ("width_px", "height_px")),
            ],
        ),
    )


def check_prelabels(
    prelabels: pa.Table,
    *,
    batch_image_ids: Mapping[str, Sequence[str]],
    classes: Collection[str],
    levels: Mapping[str, str],
    cloud_levels: frozenset[str],
) -> GateResult:
    """Check the rows of one or more batches before they land.

    Every image of every batch has exactly one known outcome and no other image has a row; an image without a reading
    has no predictions; no image was at the cloud whose level forbids it; every prediction has an id, a class of
    the ontology, a score in 0..1 and either no box or one with area inside the upright image.

    Args:
        prelabels: Rows of the table `prelabels`.
        batch_image_ids: Ids of the images that went into each batch, by batch id.
        classes: Class names of the ontology.
        levels: Level, or group (`sensitivity.clearance`), by image id; an image without one counts as restricted.
        cloud_levels: Those of them that the policy allows at the cloud.
    """
    gx = _library()
    images = image_frame(prelabels, batch_image_ids, levels)
    predictions = prediction_frame(prelabels)
    row = ["batch_id", "image_id"]
    return _validate(
        "prelabels",
        _Suite(
            "images",
            images,
            ("batch_id", "image_id"),
            [
                gx.ExpectColumnValuesToBeInSet(column="rows_count", value_set=[1]),
                gx.ExpectColumnValuesToBeInSet(column="planned", value_set=["yes"]),
                gx.ExpectColumnValuesToBeInSet(column="outcome", value_set=list(_OUTCOMES)),
                gx.ExpectColumnValuesToBeInSet(column="level_at_cloud", value_set=_some(cloud_levels)),
                gx.ExpectColumnValuesToBeBetween(column="unexplained_predictions_count", max_value=0),
            ],
        ),
        _Suite(
            "predictions",
            predictions,
            ("prediction_id", "image_id"),
            [
                *(
                    gx.ExpectColumnValuesToNotBeNull(column=column)
                    for column in ("prediction_id", "label", "score", "width_px", "height_px")
                ),
                gx.ExpectCompoundColumnsToBeUnique(column_list=[*row, "prediction_id"]),
                gx.ExpectColumnValuesToBeInSet(column="label", value_set=_some(classes)),
                gx.ExpectColumnValuesToBeBetween(column="score", min_value=0, max_value=1),
                gx.ExpectColumnValuesToBeInSet(column="edges_count", value_set=[0, 4]),
                *(gx.ExpectColumnValuesToBeBetween(column=column, min_value=0) for column in ("x0_px", "y0_px")),
                *(
                    gx.ExpectColumnPairValuesAToBeGreaterThanB(
                        column_A=larger, column_B=smaller, or_equal=equal, ignore_row_if="either_value_is_missing"
                    )
                    for larger, smaller, equal in (
                        ("x1_px", "x0_px", False),
                        ("y1_px", "y0_px", False),
                        ("width_px", "x1_px", True),
                        ("height_px", "y1_px", True),
                    )
                ),
            ],
        ),
    )


def require(result: GateResult) -> None:
    """Let rows through only if they passed.

    Raises:
        ExpectationsFailedError: Some expectation failed; the message lists each with its count and examples.
    """
    if not result.passed:
        raise ExpectationsFailedError(
            f"The {result.name} gate refused rows: {'; '.join(result.failures)}.",
            hint="Nothing of them was landed; the data docs show each expectation.",
            gate=result.name,
            failures=list(result.failures),
        )


def write_data_docs(results: Sequence[GateResult], folder: Path) -> Path:
    """Write the library's data docs as pages that make no outside request; see `offline_page` for what is taken out.

    Args:
        results: Results in the order to show.
        folder: Created when missing; pages of an earlier call with the same names are replaced.

    Returns:
        Path of `index.html`, which links to one page per frame.

    Raises:
        LandingError: The folder cannot be written.
    """
    lines = []
    for number, result in enumerate(results, start=1):
        for document in result.documents:
            validation = json.loads(document)
            name = f"{number:04d}-{validation['suite_name']}"
            page = _render(validation)
            write_page(folder / f"{name}.html", make_offline(page, name))
            state = "passed" if validation["success"] else "failed"
            lines.append(
                f'<tr><td><a href="{name}.html">{name}</a></td><td class="{state}">{state}</td>'
                f"<td>{len(validation['results'])}</td></tr>"
            )
    table = f"<table><tr><th>Rows</th><th>Result</th><th>Expectations</th></tr>{''.join(lines)}</table>"
    return write_page(folder / "index.html", f"{head('Data docs')}<body><h1>Data docs</h1>{table}</body></html>\n")


@cache
def _library() -> Any:
    import great_expectations.expectations as gx  # noqa: PLC0415  seconds and 250 MB: only who checks pays

    return gx


def _some(values: Collection[str]) -> list[str]:
    # an empty set must refuse everything, and the library takes it for "no opinion"
    return sorted(values) or ["(none)"]


def _validate(name: str, *suites: _Suite) -> GateResult:
    failures: list[str] = []
    documents: list[str] = []
    evaluated = 0
    for suite in suites:
        result = _run(f"{name}-{suite.name}", suite)
        documents.append(json.dumps(result.to_json_dict()))
        evaluated += len(result.results)
        failures += [_sentence(suite, outcome) for outcome in result.results if not outcome.success]
    return GateResult(name, not failures, tuple(failures), evaluated, tuple(documents))


def _run(name: str, suite: _Suite) -> Any:
    import great_expectations as gx  # noqa: PLC0415  seconds to import
    from great_expectations.data_context.types.base import (  # noqa: PLC0415
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    with _LOCK:
        context = gx.get_context(
            mode="ephemeral",
            project_config=DataContextConfig(
                store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
                progress_bars=ProgressBarsConfig(globally=False),
                analytics_enabled=False,
            ),
        )
        asset = context.data_sources.add_pandas("rows").add_dataframe_asset(name)
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": suite.frame})
        return batch.validate(
            gx.ExpectationSuite(name=name, expectations=suite.expectations),
            result_format={
                "result_format": "SUMMARY",
                "unexpected_index_column_names": list(suite.identity),
                "partial_unexpected_count": _EXAMPLES,
            },
        )


def _render(validation: Mapping[str, Any]) -> str:
    from great_expectations.core import ExpectationSuiteValidationResultSchema  # noqa: PLC0415  seconds to import
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer  # noqa: PLC0415
    from great_expectations.render.view.view import DefaultJinjaPageView  # noqa: PLC0415

    view: Any = DefaultJinjaPageView()
    with _LOCK:
        result = ExpectationSuiteValidationResultSchema().load(
            {**validation, "results": escaped(validation["results"])}
        )
        return str(view.render(ValidationResultsPageRenderer().render(result)))


def _sentence(suite: _Suite, outcome: Any) -> str:
    """Say what failed. An expectation that raised looks like bad data to the library, so it is told apart here."""
    given = outcome.expectation_config.kwargs
    columns = given.get("column") or given.get("column_list") or [given.get("column_A"), given.get("column_B")]
    what = f"{suite.name}: {outcome.expectation_config.type} on {columns}"
    if (raised := _raised(outcome.exception_info)) is not None:
        return f"{what} could not be evaluated: {raised}"
    found = outcome.result
    rows = found.get("partial_unexpected_index_list") or []
    examples = ", ".join("/".join(str(row[column]) for column in suite.identity) for row in rows[:_EXAMPLES])
    return (
        f"{what} failed for {found.get('unexpected_count')} of {found.get('element_count')} rows"
        f"{f', for example {examples}' if examples else ''}"
    )


def _raised(info: Any) -> str | None:
    """Find the exception message, which lies either flat or one level down by metric."""
    if not isinstance(info, Mapping) or info.get("raised_exception") is False:
        return None
    entries = [info] if "exception_message" in info else [item for item in info.values() if isinstance(item, Mapping)]
    messages = [str(entry.get("exception_message")) for entry in entries if entry.get("raised_exception", True)]
    return messages[0] if messages else None
