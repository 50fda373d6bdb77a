"""Jobs: what an operator writes is checked before a night begins."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from labelop.errors import ConfigurationError
from labelop.jobs import LevelText, check_ontologies, parse_job, read_night
from labelop.sensitivity.levels import LEVEL_TEXTS

ROOT = Path(__file__).resolve().parents[3]


def test_a_job_has_sensible_defaults() -> None:
    """Name and source are enough; nothing is declared and nothing simulated."""
    job = parse_job({"dataset": "bccd", "source": "images"})
    assert (job.source_format, job.sensitivity, job.simulate_reviews) == ("folder", None, False)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"source": "x"}, "dataset"),
        ({"dataset": "../x", "source": "x"}, "dataset"),
        ({"dataset": "x", "source": ""}, "source"),
        ({"dataset": "x", "source": "y", "source_format": "tfrecord"}, "source_format"),
        ({"dataset": "x", "source": "y", "sensitivty": "public"}, "sensitivty"),
        ({"dataset": "x", "source": "y", "sensitivity": "publik"}, "sensitivity has the value 'publik'"),
    ],
)
def test_a_faulty_job_names_its_field(given: dict[str, str], named: str) -> None:
    """A missing, unknown or unusable field is named, and the known ones are listed."""
    with pytest.raises(ConfigurationError, match=named) as caught:
        parse_job(given)
    assert "source_format" in caught.value.hint


def test_declared_levels_are_the_levels() -> None:
    """The form knows every level there is, and no other."""
    assert get_args(LevelText) == LEVEL_TEXTS


def test_the_demo_night_is_readable() -> None:
    """The sample's own night holds its three datasets."""
    night = read_night(ROOT / "data/sample/config/demo.yaml")
    assert [job.dataset for job in night] == ["smears", "parcels", "hostile"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has the value None; allowed is a valid list"),
        ("[]", r"has the value \[\]; allowed is a list that should have at least 1"),
        ("dataset: x", r"has the value \{'dataset': 'x'\}; allowed is a valid list"),
        ("- 1", "key 0 has the value 1; allowed is a mapping of keys; allowed are dataset, source"),
        ("{", "no plain YAML"),
        ("- {dataset: x, source: y}\n- {dataset: x, source: z}", "more than one job of the dataset 'x'"),
        ("- {dataset: x, source: y, reviews: no/such}", "folder of reviews no/such, which does not exist"),
        ("- {dataset: x, source: y, sensitivity: publik}", "value 'publik'; allowed are 'public', 'internal'"),
        ("- {dataset: x}", r"key 0\.source is missing"),
        ("- {dataset: x, dataset: y, source: z}", "'dataset' is written twice"),
        (
            "- {dataset: x, source: y}\n- {dataset: x, source: y, z: 1}",
            r"key 1\.z is unknown \(value 1\); allowed are dat",
        ),
        (
            "- {dataset: x, source: y, source_format: z, reviews: 1}",
            r"0\.source_format .* 'z'; .*'coco'.*",
        ),
    ],
)
def test_a_faulty_night_is_one_error(tmp_path: Path, text: str, said: str) -> None:
    """No list, an empty one, or a job with a fault is refused before anything runs; file, key and value are named."""
    night = tmp_path / "night.yaml"
    night.write_text(text)
    with pytest.raises(ConfigurationError, match=said) as caught:
        read_night(night)
    assert str(night) in caught.value.message


def test_an_ontology_without_an_arm_is_refused() -> None:
    """The message names the dataset, the value and what is known; a job that names none is left to its truth."""
    jobs = [parse_job({"dataset": name, "source": "x"}) for name in ("a", "b")]
    check_ontologies(jobs, ["cells"])
    jobs[1] = jobs[1].model_copy(update={"ontology": "celsl"})
    with pytest.raises(ConfigurationError, match=r"'b': key ontology has the value 'celsl'; allowed are \['cells'\]"):
        check_ontologies(jobs, ["cells"])


def test_a_missing_night_names_the_file(tmp_path: Path) -> None:
    """The message says which file cannot be read, and the hint what names it."""
    with pytest.raises(ConfigurationError, match=r"absent\.yaml.*LABELOP_CONFIG"):
        read_night(tmp_path / "absent.yaml")
