"""Every query and check gives the rows its case folders expect."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from labelop.query_files import describe
from tests.sql.case_folders import SQL, Case, actual_of, cases, differences, session_of

FILES = sorted([*(SQL / "queries").glob("*.sql"), *(SQL / "checks").glob("*.sql")])
VIEWS = sorted((SQL / "views").glob("*.sql"))


def ids_of(value: object) -> str:
    """Name a parameter in test output."""
    return f"{value.query}-{value.folder.name}" if isinstance(value, Case) else getattr(value, "stem", str(value))


@pytest.mark.parametrize("case", cases(), ids=ids_of)
def test_query_gives_the_expected_rows(case: Case) -> None:
    """The query gives exactly the expected rows, and its grain is unique."""
    actual = actual_of(case, session_of(case))
    more, less = differences(case, actual)
    assert not more, f"not expected: {more}; missing: {less}"
    assert not less, f"missing: {less}"
    grain = describe(case.sql).grain
    keys = [tuple(row[name] for name in grain) for row in actual.to_pylist()]
    assert len(keys) == len(set(keys)), f"grain {grain} is not unique"


@pytest.mark.parametrize("path", FILES, ids=ids_of)
def test_every_query_has_a_case(path: Path) -> None:
    """A query or check without a case folder is not tested, so it may not exist."""
    assert any(case.query == path.stem for case in cases())


@pytest.mark.parametrize("path", sorted((SQL / "checks").glob("*.sql")), ids=ids_of)
def test_every_check_passes_and_fails_once(path: Path) -> None:
    """Each check has a case that it passes and one that it fails: a check that cannot fail checks nothing."""
    sizes = {
        len((case.folder / "expect.csv").read_text().splitlines()) > 1 for case in cases() if case.query == path.stem
    }
    assert sizes == {True, False}


def test_every_case_folder_belongs_to_a_file() -> None:
    """A case of a file that was renamed or removed would never run."""
    assert {case.query for case in cases()} <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", VIEWS, ids=ids_of)
def test_every_view_is_used(path: Path) -> None:
    """A view that no query, check or other view reads is dead, and each file creates the view it is named after."""
    name = re.sub(r"^\d+_", "", path.stem)
    assert f"CREATE VIEW {name} AS" in path.read_text(encoding="utf-8")
    others = [other.read_text(encoding="utf-8") for other in [*VIEWS, *FILES] if other != path]
    assert any(re.search(rf"\b{name}\b", text) for text in others)


@pytest.mark.parametrize("path", [*VIEWS, *FILES], ids=ids_of)
def test_header_says_what_the_file_does(path: Path) -> None:
    """Every SQL file has purpose, parameters and grain, and its parameters are the ones it uses."""
    info = describe(path)
    body = re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))
    assert {param.name for param in info.params} == set(re.findall(r"\$([a-z_]+)", body))
    assert info.purpose.split(".")[0]


@pytest.mark.parametrize("case", cases(), ids=ids_of)
def test_figures_of_single_reviewers_are_for_leads(case: Case) -> None:
    """A query that puts seconds or a catch rate beside a reviewer says in its header who may ask it."""
    columns = actual_of(case, session_of(case)).column_names
    if "reviewer" in columns and any(name == "value" or name.endswith("_seconds") for name in columns):
        assert describe(case.sql).needs == "compare reviewers"


@pytest.mark.parametrize("path", FILES, ids=ids_of)
def test_result_has_a_fixed_order(path: Path) -> None:
    """The last clause of every query is its ORDER BY, so that the same rows print the same."""
    body = re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))
    assert re.search(r"ORDER BY [^()]*(\([^()]*\)[^()]*)*;\s*\Z", body)
