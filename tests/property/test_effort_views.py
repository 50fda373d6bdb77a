"""The SQL of correction effort says what the Python measures say, for any drafts and any accepted labels."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelop import schemas
from labelop.effort import measures
from labelop.effort.estimates import ratio
from labelop.effort.ledger import edit_rows
from labelop.effort.script import edit_script
from labelop.geometry import Box
from labelop.labels import AcceptedLabel, Prediction
from labelop.landing.rows import rows_to_table
from labelop.queries import open_tables
from tests.approved import TRUST, approved

SIDES = st.integers(1, 30)
BOXES = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), SIDES, SIDES, SIDES, SIDES)
OBJECTS = st.lists(st.tuples(BOXES, st.sampled_from("ab")), max_size=4)
IMAGES = st.lists(st.tuples(OBJECTS, OBJECTS, st.none() | st.floats(1, 500)), min_size=1, max_size=4)


def table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Fill in the columns the law does not need."""
    return rows_to_table(name, [dict.fromkeys(schemas.table(name).schema.names) | row for row in rows])


@settings(max_examples=10, deadline=None)
@given(images=IMAGES)
def test_effort_in_sql_is_effort_in_python(images: list[Any]) -> None:
    """HER, accept rate, modelled, scratch and measured seconds and saving of an arm equal the plain functions."""
    drafts: dict[tuple[str, str], list[Prediction]] = {}
    finals: list[list[AcceptedLabel]] = []
    reviews: list[dict[str, Any]] = []
    for number, (drawn, accepted, seconds) in enumerate(images):
        drafts["b", f"i{number}"] = [
            Prediction(f"p{number}-{n}", label, 0.9, draft=True, box=box) for n, (box, label) in enumerate(drawn)
        ]
        finals.append([AcceptedLabel(f"l{n}", label, box) for n, (box, label) in enumerate(accepted)])
        labels = [
            {
                "label_id": final.label_id,
                "label": final.label,
                "prediction_id": None,
                "mask_rle": None,
                **dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), final.box.xyxy if final.box else (), strict=True)),
            }
            for final in finals[-1]
        ]
        reviews.append(
            {
                "review_id": f"r{number}",
                "dataset": "d",
                "dataset_version": "v",
                "image_id": f"i{number}",
                "arm": "local",
                "batch_id": "b",
                "model_id": "m",
                "decision": "approved",
                "active_seconds": seconds,
                "effort_source": "literature" if seconds is None else "measured",
                "labels": labels,
                "simulated": False,
            }
        )
    empty = {name: declared.schema.empty_table() for name, declared in schemas.TABLES.items()}
    edits = rows_to_table("edits", edit_rows(reviews, drafts, "run"))
    landed = table("reviews", reviews)
    tables = {**empty, "reviews": landed, "review_states": approved(landed), "edits": edits}
    session = open_tables(tables, TRUST)
    (found,) = session.sql("SELECT * FROM v_arm_effort").to_arrow_table().to_pylist()

    scripts = [edit_script(drafts["b", f"i{n}"], final) for n, final in enumerate(finals)]
    modelled = [measures.model_seconds(script, boxes=True) for script in scripts]
    scratch = [measures.scratch_seconds(len(final), 0, boxes=True) for final in finals]
    timed = [seconds for *_, seconds in images if seconds is not None]
    edits_per_image = [measures.edits_count(script) for script in scripts]
    assert found["her"] == pytest.approx(
        measures.human_edit_rate(edits_per_image, [len(final) for final in finals]).value
    )
    assert found["accept_rate"] == pytest.approx(measures.accept_rate(edit for script in scripts for edit in script))
    assert found["model_seconds_mean"] == pytest.approx(sum(modelled) / len(modelled))
    assert found["scratch_seconds_mean"] == pytest.approx(sum(scratch) / len(scratch))
    assert found["active_seconds_mean"] == (pytest.approx(sum(timed) / len(timed)) if timed else None)
    assert found["saving"] == pytest.approx(measures.saving(modelled, scratch).value)
    spent = ratio(modelled, scratch, resamples=0)
    if spent.low is not None and spent.high is not None:
        assert found["saving_lo"] == pytest.approx(1 - spent.high, abs=1e-6)
        assert found["saving_hi"] == pytest.approx(1 - spent.low, abs=1e-6)
