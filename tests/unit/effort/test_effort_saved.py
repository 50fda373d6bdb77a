"""A saved set of seconds is what was learnt, of the dataset it is for, or it is refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from labelop.effort.parameters import DEFAULTS, EffortParameters
from labelop.effort.saved import SavedSet, parameters_of, save
from labelop.errors import ConfigurationError
from labelop.meter.plan import Shares, plan_bias
from labelop.review.label_studio import export_tasks, import_reviews
from labelop.settings import Settings
from tests.unit.review_rows import annotated, filled_store, imported, written

LEARNT = EffortParameters(origin="calibrated", accept_box_seconds=1.0 / 3, delete_seconds=1e-5)


def saved_set(dataset: str = "cells", params: EffortParameters = LEARNT) -> SavedSet:
    """Describe a calibration."""
    return SavedSet(
        parameter_set=params.parameter_set, dataset=dataset, learnt_on=dt.date(2026, 11, 21), reviews_count=90,
        images_count=60, reviewers_count=3, tools=["cvat", "label_studio 1.21"], relative_error=0.2, parameters=params,
    )  # fmt: skip


def test_what_is_saved_is_in_force_for_its_dataset_alone(tmp_path: Path) -> None:
    """The file gives the set back to the last digit; other datasets keep published seconds, a new set replaces it."""
    settings = Settings(store=str(tmp_path))
    assert parameters_of(settings, "cells") is DEFAULTS
    path = save(settings, saved_set())
    assert parameters_of(settings, "cells") == LEARNT
    assert parameters_of(settings, "cells").parameter_set == LEARNT.parameter_set
    assert parameters_of(settings, "other") is DEFAULTS
    other = EffortParameters(origin="calibrated", add_box_seconds=9.0)
    save(settings, saved_set(params=other))
    assert parameters_of(settings, "cells") == other
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("delete_seconds: 1.0e-05", "delete_seconds: 2.0", "somebody changed it"),
        ("origin: calibrated", "origin: measured", "expected one of literature, calibrated"),
        ("delete_seconds: 1.0e-05", "delete_seconds: .nan", "delete_seconds"),
        ("dataset: cells", "dataset: smears", "somebody changed it"),
        ("relative_error: 0.2", "relative_error: 0.1", "somebody changed it"),
        ("relative_error: 0.2", "relative_error: 5.0", "relative_error"),
        ("reviews_count: 90", "reviews_count: 900", "somebody changed it"),
        ("- cvat", "- coco", "somebody changed it"),
        ("digest: ", "digest: 0", "somebody changed it"),
        ("schema: 1", "schema: 2", "schema"),
        ("reviewers_count: 3", "people: 3", "people is unknown"),
    ],
)
def test_a_file_that_is_not_what_was_learnt_is_refused(tmp_path: Path, old: str, new: str, problem: str) -> None:
    """Seconds changed by hand, what is said of them, or those of another dataset never count as calibrated.

    Fails where only the seconds are covered, and where a set counts whose error is above what may be published.
    """
    settings = Settings(store=str(tmp_path))
    path = save(settings, saved_set())
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigurationError, match=problem):
        parameters_of(settings, "cells")


def test_seconds_of_another_dataset_are_refused(tmp_path: Path) -> None:
    """A file that was copied under another name says whose seconds it holds, and is not taken."""
    settings = Settings(store=str(tmp_path))
    path = save(settings, saved_set())
    path.rename(path.with_name("smears.yaml"))
    with pytest.raises(ConfigurationError, match="is of dataset 'cells', expected 'smears'"):
        parameters_of(settings, "smears")


def test_published_seconds_are_no_calibration(tmp_path: Path) -> None:
    """A set of literature values cannot be put in force as learnt."""
    with pytest.raises(ValueError, match="need no file"):
        saved_set(params=DEFAULTS)
    assert parameters_of(Settings(store=str(tmp_path)), "cells") is DEFAULTS


def test_only_what_has_edits_is_called_calibrated(tmp_path: Path) -> None:
    """Blind and skipped reviews were called calibrated in their rows, and figures of them are by published seconds."""
    store = filled_store(tmp_path / "store")
    save(Settings(store=store.root), saved_set())
    plan_bias(store, "cells", "run", shares=Shares(blind=0.2, double=0.0, seeded=0.0))
    tasks = sorted(export_tasks(store, "cells"), key=lambda task: len(task["predictions"][0]["result"]))
    records = [annotated(task, lead_time=None, was_cancelled=n == 1) for n, task in enumerate(tasks)]
    import_reviews(store, written(tmp_path / "e.json", records), "cells", "run")
    found = sorted((row["arm"], row["decision"], row["effort_source"]) for row in imported(store))
    assert found == [
        ("blind", "approved", "literature"),
        ("local", "approved", "calibrated"),
        ("local", "rejected", "literature"),
    ]


def test_a_folder_that_takes_no_file_is_told(tmp_path: Path) -> None:
    """Where the folder is a file the error names it and the setting."""
    (tmp_path / "effort").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        save(Settings(store=str(tmp_path)), saved_set())
