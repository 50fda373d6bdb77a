"""Jobs: what an operator writes is checked before a night begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from labelop.errors import ConfigurationError
from labelop.jobs import parse_job, read_night

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
    ],
)
def test_a_faulty_job_names_its_field(given: dict[str, str], named: str) -> None:
    """A missing, unknown or unusable field is named, and the known ones are listed."""
    with pytest.raises(ConfigurationError, match=named) as caught:
        parse_job(given)
    assert "source_format" in caught.value.hint


def test_the_demo_night_is_readable() -> None:
    """The sample's own night holds its three datasets."""
    night = read_night(ROOT / "data/sample/config/demo.yaml")
    assert [job.dataset for job in night] == ["smears", "parcels", "hostile"]


@pytest.mark.parametrize("text", ["", "[]", "dataset: x", "- 1", "{", "- {dataset: x}"])
def test_a_faulty_night_is_one_error(tmp_path: Path, text: str) -> None:
    """No list, an empty one, or a job with a fault is refused before anything runs."""
    night = tmp_path / "night.yaml"
    night.write_text(text)
    with pytest.raises(ConfigurationError):
        read_night(night)


def test_a_missing_night_names_the_file(tmp_path: Path) -> None:
    """The message says which file cannot be read."""
    with pytest.raises(ConfigurationError, match=r"absent\.yaml"):
        read_night(tmp_path / "absent.yaml")
