from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from labelop import schemas
from labelop.errors import ExpectationsFailedError
from labelop.landing import expectations, frames
from labelop.landing.expectations import GateResult, check_manifest, check_prelabels, require, write_data_docs
from labelop.landing.rows import rows_to_table

IDS = tuple(f"{number:064x}" for number in range(3))


def image(number: int, **given: Any) -> dict[str, Any]:
    """Make one usable manifest row."""
    row: dict[str, Any] = dict.fromkeys(schemas.table("images").schema.names)
    return (
        row
        | {"dataset": "d", "dataset_version": "v", "path": f"{number}.png", "image_id": IDS[number], "size_bytes": 9}
        | {"format": "PNG", "width_px": 8, "height_px": 6, "outcome": "ok"}
        | given
    )


def box(number: int, **given: Any) -> dict[str, Any]:
    """Make one prediction that fills its image."""
    edges = {"x0_px": 0.0, "y0_px": 0.0, "x1_px": 8.0, "y1_px": 6.0}
    return (
        {"prediction_id": f"p{number}", "label": "cell", "score": 1.0, "draft": True, "mask_rle": None} | edges | given
    )


def whole_image_label(number: int) -> dict[str, Any]:
    """Make one prediction without a box."""
    return box(number, **dict.fromkeys(("x0_px", "y0_px", "x1_px", "y1_px")))


def prelabel(number: int, *predictions: dict[str, Any], **given: Any) -> dict[str, Any]:
    """Make one prelabel row of batch b, 8 x 6 pixels."""
    row: dict[str, Any] = dict.fromkeys(schemas.table("prelabels").schema.names)
    return (
        row
        | {"image_id": IDS[number], "batch_id": "b", "placement": "onprem", "width_px": 8, "height_px": 6}
        | {"outcome": "ok" if predictions else "empty", "predictions": list(predictions)}
        | given
    )


def manifest_gate(*rows: dict[str, Any]) -> GateResult:
    """Check manifest rows."""
    return check_manifest(rows_to_table("images", rows))


def prelabel_gate(*rows: dict[str, Any], **given: Any) -> GateResult:
    """Check prelabel rows as batch b of the first images, one class, everything public."""
    known: dict[str, Any] = {
        "batch_image_ids": {"b": IDS[: len(rows)]},
        "classes": {"cell"},
        "levels": dict.fromkeys(IDS, "public"),
        "cloud_levels": frozenset({"public", "internal"}),
    }
    return check_prelabels(rows_to_table("prelabels", rows), **(known | given))


def test_a_good_manifest_passes() -> None:
    """Usable and quarantined files side by side pass, also one whose bytes could not be read."""
    broken = image(1, image_id=None, width_px=None, height_px=None, format=None, size_bytes=0, outcome="quarantined")
    result = manifest_gate(image(0), broken)
    assert result == GateResult("manifest", passed=True, failures=(), evaluated=15)
    require(result)


@pytest.mark.parametrize(
    ("broken", "fact"),
    [
        (image(1, path="0.png"), "path"),
        (image(1, path=None), "path"),
        (image(1, image_id="A" * 64), "image_id"),
        (image(1, image_id=None), "image_id"),
        (image(1, outcome="fine"), "outcome"),
        (image(1, outcome=None), "outcome"),
        (image(1, size_bytes=-1), "size_bytes"),
        (image(1, width_px=0), "width_px"),
        (image(1, height_px=None), "height_px"),
        (image(1, format=None), "format"),
    ],
)
def test_a_broken_manifest_row_is_refused(broken: dict[str, Any], fact: str) -> None:
    """Each broken column fails the gate and is named, with the path of an example."""
    result = manifest_gate(image(0), broken)
    assert not result.passed
    assert fact in " ".join(result.failures)
    assert str(broken["path"]) in result.failures[0] or broken["path"] is None


def test_good_prelabels_pass() -> None:
    """Boxes up to the image's edge, labels of a whole image and images with nothing found pass."""
    result = prelabel_gate(prelabel(0, box(0), box(1, score=0.0)), prelabel(1, whole_image_label(2)), prelabel(2))
    assert result == GateResult("prelabels", passed=True, failures=(), evaluated=20)


def test_many_batches_in_one_call_pass() -> None:
    """The same image in two batches is two rows, each expected once."""
    rows = [prelabel(0, box(0)), prelabel(0, box(0), batch_id="c")]
    assert prelabel_gate(*rows, batch_image_ids={"b": [IDS[0]], "c": [IDS[0]]}).passed


def test_no_batches_pass() -> None:
    """Nothing to check is nothing to refuse."""
    assert prelabel_gate(batch_image_ids={}).passed
    assert manifest_gate().passed


@pytest.mark.parametrize(
    ("broken", "fact"),
    [
        (box(7, x1_px=8.001), "width_px"),
        (box(7, y1_px=float("inf")), "edges_count"),
        (box(7, y1_px=6.5), "height_px"),
        (box(7, x0_px=-0.5), "x0_px"),
        (box(7, y0_px=-0.5), "y0_px"),
        (box(7, x0_px=8.0), "x0_px"),
        (box(7, y0_px=6.0), "y0_px"),
        (box(7, x0_px=None), "edges_count"),
        (box(7, x0_px=float("nan")), "edges_count"),
        (box(7, label="leaf"), "label"),
        (box(7, label=None), "label"),
        (box(7, score=1.01), "score"),
        (box(7, score=-0.01), "score"),
        (box(7, score=float("nan")), "score"),
        (box(7, score=None), "score"),
        (box(0), "prediction_id"),
    ],
)
def test_a_broken_prediction_is_refused(broken: dict[str, Any], fact: str) -> None:
    """Each broken value of a prediction fails the gate, and the message names column and prediction."""
    result = prelabel_gate(prelabel(0, box(0), broken))
    assert fact in " ".join(result.failures)
    assert broken["prediction_id"] in result.failures[0]


@pytest.mark.parametrize(
    ("rows", "fact"),
    [
        ([prelabel(0), prelabel(0)], "rows_count"),
        ([prelabel(0), prelabel(2)], "planned"),
        ([prelabel(0), prelabel(2)], IDS[1]),
        ([prelabel(0), prelabel(1, outcome="done")], "outcome"),
        ([prelabel(0), prelabel(1, outcome=None)], "outcome"),
        ([prelabel(0), prelabel(1, box(1), outcome="failed")], "unexplained_predictions_count"),
        ([prelabel(0), prelabel(1, box(1), width_px=None)], "width_px"),
    ],
)
def test_each_image_has_one_outcome(rows: list[dict[str, Any]], fact: str) -> None:
    """A missing, repeated, foreign or contradictory row fails the gate."""
    assert fact in " ".join(prelabel_gate(*rows).failures)


@pytest.mark.parametrize("levels", [{IDS[0]: "confidential"}, {IDS[0]: "restricted"}, {IDS[0]: "secret"}, {}])
def test_a_forbidden_level_at_the_cloud_is_refused(levels: dict[str, str]) -> None:
    """An image at the cloud needs a level that the policy allows there; no level or an unknown one is none."""
    left = ("ok", "empty", "failed", "unreadable")
    rows = [prelabel(0, placement="cloud", outcome=outcome, batch_id=outcome) for outcome in left]
    result = prelabel_gate(*rows, levels=levels, batch_image_ids=dict.fromkeys(left, IDS[:1]))
    assert "on level_at_cloud failed for 4 of 4 rows" in " ".join(result.failures)
    stayed = [prelabel(0), prelabel(1, placement="cloud", outcome="withheld")]
    assert prelabel_gate(*stayed, levels=levels).passed


def test_no_allowed_level_allows_nothing() -> None:
    """A policy without any level for the cloud refuses even public images there, and no class refuses every label."""
    assert not prelabel_gate(prelabel(0, placement="cloud"), cloud_levels=frozenset()).passed
    assert not prelabel_gate(prelabel(0, box(0)), classes=()).passed


def test_a_failed_gate_raises_with_its_facts() -> None:
    """The error names expectation, column, count and at most three examples."""
    rows = [prelabel(0, *(box(number, score=2.0) for number in range(5)))]
    with pytest.raises(ExpectationsFailedError, match=r"between on score failed for 5 of 5 rows") as caught:
        require(prelabel_gate(*rows))
    assert re.findall(r"p\d/", str(caught.value)) == ["p0/", "p1/", "p2/"]


def test_an_expectation_that_raised_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """An expectation that could not be evaluated fails the gate as such, not as bad data."""
    frame = frames.prediction_frame

    def without_score(table: pa.Table) -> Any:
        return frame(table).drop(columns=["score"])

    monkeypatch.setattr(expectations, "prediction_frame", without_score)
    result = prelabel_gate(prelabel(0, box(0)))
    assert len(result.failures) == 2
    assert all("on score could not be evaluated" in failure and "score" in failure for failure in result.failures)


def test_data_docs_are_complete_and_offline(tmp_path: Path) -> None:
    """The pages show what failed, link to each other, escape what they show and ask nobody for anything."""
    bad = prelabel(0, box(0, label="<script>alert(1)</script>"))
    folder = tmp_path / "a b" / "docs"
    index = write_data_docs([prelabel_gate(prelabel(0, box(0))), prelabel_gate(bad)], folder)
    pages = sorted(folder.glob("0*.html"))
    assert index == folder / "index.html"
    assert sorted(re.findall(r'href="([^"]+)"', index.read_text("utf-8"))) == [page.name for page in pages]
    assert len(pages) == 4
    assert "&lt;script&gt;alert(1)" in pages[-1].read_text("utf-8")
    for page in [index, *pages]:
        text = page.read_text("utf-8")
        assert not re.search(r"<(script|link|img)|\bsrc=|https?:|url\(", text)
        assert "default-src 'none'" in text


def test_the_library_is_imported_only_by_a_check() -> None:
    """Importing the module stays cheap: the seconds are paid by who checks."""
    code = "import sys, labelop.landing.expectations as e; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
