"""The page as a whole, from tables in a store to one file."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from labelop.errors import AnalysisError, ConfigurationError
from labelop.landing.store import Store, open_store
from labelop.queries import list_queries, open_session
from labelop.report.forms import FORMS
from labelop.report.page import write_report
from labelop.report.results import FINDINGS, gather
from labelop.report.tables import build, summary_tables
from labelop.runs import INGESTED, RunEvent, current_version, record
from labelop.sensitivity.policy import load_policy
from labelop.settings import Settings
from tests.unit.report_rows import POLICY, Photo, drawn_photos, reviewed

CONFIG = Path("data/sample/config/policy.yaml")


@dataclass(frozen=True)
class Shared:
    """A store that no test changes, and its report."""

    settings: Settings
    store: Store
    html: str


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Point at an empty store."""
    return Settings(store=str(tmp_path / "store"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Land one simulated dataset and write its report once for all tests that only look."""
    folder = tmp_path_factory.mktemp("shared")
    settings = Settings(store=str(folder / "store"))
    photos = drawn_photos(folder / "in")
    store = landed(settings, photos, folder / "in", quarantined=[("bad.jpg", "CORRUPT", "cut off")])
    return Shared(settings, store, page_of(store, settings, folder))


def landed(settings: Settings, photos: list[Photo], folder: Path, **more: Any) -> Store:
    """Land one reviewed dataset."""
    world = reviewed(photos, source_uri=str(folder), **more)
    return world.land(open_store(settings))


def page_of(store: Store, settings: Settings, tmp_path: Path, **more: Any) -> str:
    """Write the report and read it."""
    given = {"policy": POLICY} | more
    return write_report(store, tmp_path / "report.html", settings=settings, **given).read_text(encoding="utf-8")


def test_empty_store_gives_a_clear_page(settings: Settings, tmp_path: Path) -> None:
    """Before the first night the page says that nothing landed and what to run."""
    html = page_of(open_store(settings), settings, tmp_path)
    assert "Nothing has landed yet" in html
    assert "labelop nightly" in html


def test_unknown_dataset_gives_a_clear_page(shared: Shared, tmp_path: Path) -> None:
    """A dataset that is not there is named on the page."""
    html = page_of(shared.store, shared.settings, tmp_path, dataset="nosuch")
    assert "Nothing has landed for nosuch" in html


def test_page_holds_every_section_and_no_script(shared: Shared) -> None:
    """One file with verdict, plots, tables, pictures and formulas; no script, no outside address, strict policy."""
    html = shared.html
    for form in FORMS:
        assert form.title in html
    assert "7 = 6 + 1" in html
    assert "CORRUPT" in html
    assert "bad.jpg" not in html, "nobody knows how restricted a file is that cannot be read"
    assert html.count("data:image/jpeg") == 8
    assert "default-src 'none'" in html
    assert "<script" not in html
    assert not re.findall(r"""(?:src|href)=["'](?!data:image/jpeg|#)""", html)
    assert not re.findall(r"url\((?!#)", html)


def test_numbers_that_are_simulated_are_called_so(shared: Shared) -> None:
    """The banner stands on a page with simulated rows."""
    assert "Some of these numbers are simulated." in shared.html
    assert "simulated reviewer" in shared.html
    assert "emulated on this machine" in shared.html
    assert shared.html.count(" Simulated reviewer.") == 2 * 8  # label and caption of each picture


def test_every_table_of_results_marks_its_rows(shared: Shared) -> None:
    """Where the banner says that a table marks each row, the table has the column and the row its mark."""
    tables = summary_tables(open_session(shared.store))
    marked = {t.query: [r["Simulated"] for r in t.records()] for t in tables if "Simulated" in t.columns}
    assert marked.keys() == {
        "engines_used",
        "run_summary",
        "local_vs_cloud",
        "arm_cost",
        "cost_lines",
        "odds",
        "sensitivity",
        "break_even",
        "pilot_verdicts",
        "arm_effort",
        "effort_by_operation",
        "bias_figures",
        "model_quality",
    }
    assert set(marked["local_vs_cloud"]) == set(marked["effort_by_operation"]) == {True}
    assert marked["model_quality"] == [True, False]  # cells-large ran in the emulated cloud only


def test_what_a_pilot_proves_stands_with_its_interval(shared: Shared) -> None:
    """A landed verdict is on the page as plot, row and sentence."""
    assert "bccd, spring, all: cloud / local is superior." in shared.html
    assert "Cloud drafts take less time." in shared.html
    assert "No pilot has put an interval" not in shared.html


def test_a_stale_policy_has_its_banner(settings: Settings, shared: Shared, tmp_path: Path) -> None:
    """Images that are restricted because the policy was past its date are counted where nobody can miss it."""
    world = reviewed(drawn_photos(tmp_path / "in"), source_uri=str(tmp_path / "in"), level="restricted")
    for row in world.rows["levels"][:4]:
        row["reason"] = "declared:stale_policy, declared:unknown"
    html = page_of(world.land(open_store(settings)), settings, tmp_path)
    assert "The sensitivity policy was past its date." in html
    assert "4 images of bccd" in html
    assert "The sensitivity policy was past its date." not in shared.html


def test_warnings_of_the_checks_are_shown(settings: Settings, shared: Shared, tmp_path: Path) -> None:
    """A check that found rows stands on the page with what must hold and how many rows break it."""
    world = reviewed(drawn_photos(tmp_path / "in"), source_uri=str(tmp_path / "in"))
    world.rows["prelabels"][0]["outcome"] = "failed"
    store = world.land(open_store(settings))
    html = page_of(store, settings, tmp_path)
    assert re.search(r"failed_images.*No image failed.*>1<.*a person should look", html)
    ours, other = (gather(open_session(store), name).of(FINDINGS, name="failed_images") for name in ("bccd", "other"))
    assert [row["rows_count"] for row in ours] == [1]
    assert other == []
    assert "failed_images" not in shared.html


def test_measured_numbers_carry_no_banner(settings: Settings, tmp_path: Path) -> None:
    """The banner is missing when nothing is simulated, so that it keeps its meaning."""
    photos = drawn_photos(tmp_path / "in")
    html = page_of(landed(settings, photos, tmp_path / "in", simulated=False), settings, tmp_path)
    assert "simulated." not in html


@pytest.mark.parametrize("level", ["restricted", None])
def test_restricted_pixels_stay_out(settings: Settings, tmp_path: Path, level: str | None) -> None:
    """No pixel of a restricted or unclassified image enters the page unless asked for, and the page counts them."""
    photos = drawn_photos(tmp_path / "in")
    store = landed(settings, photos, tmp_path / "in", level=level)
    html = page_of(store, settings, tmp_path)
    assert "data:image" not in html
    assert "6 images were left out" in html
    assert "data:image/jpeg" in page_of(store, settings, tmp_path, include_restricted=True)


def test_pixels_stay_out_until_the_policy_in_force_has_spoken(shared: Shared, tmp_path: Path) -> None:
    """Levels that landed under a policy before, or before its last day was over, let no pixel in any more."""
    for changed in (replace(POLICY, digest="0" * 64), load_policy(CONFIG, today=date(2050, 1, 1))):
        html = page_of(shared.store, shared.settings, tmp_path, policy=changed)
        assert "data:image" not in html
        assert "6 images were left out" in html


def test_unbalanced_accounting_is_shown_as_such(settings: Settings, tmp_path: Path) -> None:
    """A file that is neither landed nor quarantined cannot hide in the summary."""
    world = reviewed(drawn_photos(tmp_path / "in"), source_uri=str(tmp_path / "in"))
    world.rows["datasets"][0]["discovered_count"] = 9
    html = page_of(world.land(open_store(settings)), settings, tmp_path)
    assert '<b class="bad">9 \u2260 6 + 0</b>' in html


def test_same_tables_give_the_same_page(shared: Shared, tmp_path: Path) -> None:
    """The page holds no clock of its own, so two reports of one store are equal byte by byte."""
    assert page_of(shared.store, shared.settings, tmp_path) == shared.html


def test_missing_originals_do_not_end_the_report(settings: Settings, tmp_path: Path) -> None:
    """When the source was moved, boxes and numbers are still there."""
    store = landed(settings, drawn_photos(tmp_path / "in"), tmp_path / "moved")
    html = page_of(store, settings, tmp_path)
    assert "Picture not available" in html
    assert "data:image/jpeg" not in html


def test_changed_originals_are_not_shown(settings: Settings, tmp_path: Path) -> None:
    """What lies at the path of an image now may be as sensitive as anything: other bytes never enter the page."""
    store = landed(settings, drawn_photos(tmp_path / "in"), tmp_path / "in")
    for file in (tmp_path / "in").iterdir():
        Image.new("RGB", (120, 80), "red").save(file)
    html = page_of(store, settings, tmp_path)
    assert "Picture not available" in html
    assert "data:image/jpeg" not in html


def test_moved_originals_are_followed(settings: Settings, tmp_path: Path) -> None:
    """Pictures are read from where the last ingest found the files, not from where the first one did."""
    store = landed(settings, drawn_photos(tmp_path / "in"), tmp_path / "in")
    (tmp_path / "in").rename(tmp_path / "moved")
    version = current_version(store, "bccd")
    record(store, RunEvent("night-2", "bccd", version, INGESTED, source_uri=str(tmp_path / "moved")))
    assert page_of(store, settings, tmp_path).count("data:image/jpeg") == 8


def test_a_folder_that_cannot_be_cleaned_keeps_the_first_error(settings: Settings, tmp_path: Path) -> None:
    """A file in the place of the folder is the report's error, also when the half-written file cannot be removed."""
    (tmp_path / "folder").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_report(open_store(settings), tmp_path / "folder/report.html", settings=settings, policy=POLICY)


def test_output_that_cannot_be_written_is_one_clear_error(settings: Settings, tmp_path: Path) -> None:
    """A folder in the place of the file is named, and no half-written file is left."""
    (tmp_path / "report.html").mkdir()
    (tmp_path / "report.html" / "keep").touch()
    with pytest.raises(ConfigurationError, match=r"report\.html"):
        write_report(open_store(settings), tmp_path / "report.html", settings=settings, policy=POLICY)
    assert not list(tmp_path.glob("*.part*"))


def test_tables_are_plain_values_for_artifacts(shared: Shared) -> None:
    """The same tables can be sent as JSON: headings to plain values, comparison included."""
    tables = summary_tables(open_session(shared.store))
    assert len(tables) == len(FORMS) + 2
    for table in tables:
        assert table.rows
        assert json.loads(json.dumps(table.records())) == table.records()
        assert len(table.columns) == len(set(table.columns)) == len(table.kinds)


def test_every_query_the_page_names_can_be_run(shared: Shared) -> None:
    """`labelop query NAME` on the page is never a dead end."""
    named = set(re.findall(r"labelop query (\w+)", shared.html))
    assert {"arm_cost", "local_vs_cloud"} <= named <= {info.name for info in list_queries()}


def test_column_that_a_query_lost_is_named() -> None:
    """A query that no longer fits the page fails with its name and the column."""
    with pytest.raises(AnalysisError, match=r"levels_summary.*images_count"):
        build(next(form for form in FORMS if form.query == "levels_summary"), [{"dataset": "a", "level": "public"}])


def test_long_tables_say_how_much_is_left_out() -> None:
    """A table of a thousand rows is cut, and says so."""
    form = next(form for form in FORMS if form.query == "levels_summary")
    table = build(
        form, [{"dataset": str(n), "level": "public", "images_count": n, "stale_policy_count": 0} for n in range(1000)]
    )
    assert len(table.rows) == 300
    assert "700 more rows" in table.note
