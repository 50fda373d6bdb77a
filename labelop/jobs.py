"""What one night does to one dataset, as an operator writes it. Knows no flow and no table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, RootModel

from labelop.errors import ConfigurationError
from labelop.forms import StrictForm, check_form, read_form
from labelop.ingest.sources import SourceFormat

DATASET_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What a dataset may be called: the name becomes part of keys and folders."""

LevelText: TypeAlias = Literal["public", "internal", "confidential", "restricted"]
"""Levels an owner may declare. A misspelt one is refused here; further inside it would count as restricted."""


class DatasetJob(StrictForm):
    """One dataset of a night."""

    dataset: str = Field(pattern=DATASET_NAME, description="Name of the dataset.")
    source: str = Field(min_length=1, description="Folder or any fsspec URI.")
    source_format: SourceFormat = Field(default="folder", description="How the source is laid out.")
    sensitivity: LevelText | None = Field(default=None, description="Level the owner declares for the whole dataset.")
    ontology: str | None = Field(
        default=None, description="Names the arms that can label it; found from its truth when empty."
    )
    reviews: str | None = Field(default=None, description="Folder of Label Studio JSON exports to import.")
    simulate_reviews: bool = Field(
        default=False, description="Let a simulated reviewer correct from the truth (marked so)."
    )


class _NightForm(RootModel[Annotated[list[DatasetJob], Field(min_length=1)]]):
    pass


_NIGHT_HINT = "`--night` names this file; `labelop demo` takes demo.yaml of LABELOP_CONFIG where it is not given."


def parse_job(given: Mapping[str, Any]) -> DatasetJob:
    """Check a job as it arrives from a command line, a file or a schedule.

    Raises:
        ConfigurationError: A field is missing, unknown or has no usable value; the message names it.
    """
    return check_form(
        dict(given),
        DatasetJob,
        name=f"Dataset job {given.get('dataset')!r:.120}",
        error=ConfigurationError,
        hint=f"Known fields: {', '.join(sorted(DatasetJob.model_fields))}.",
    )


def read_night(path: Path) -> list[DatasetJob]:
    """Read a YAML list of jobs; a source that is no URI is taken relative to the working folder.

    Raises:
        ConfigurationError: The file cannot be read, is no list, or a job has a fault; names file, key, value found
            and what is allowed. Or as `check_night`.
    """
    jobs = read_form(path, _NightForm, error=ConfigurationError, hint=_NIGHT_HINT).root
    check_night(jobs, name=str(path))
    return jobs


def check_ontologies(jobs: Sequence[DatasetJob], known: Iterable[str], *, name: str = "The night") -> None:
    """Check that something can label each dataset whose job names its ontology.

    Args:
        jobs: Jobs of one night.
        known: Ontologies of the arms in routing.yaml.
        name: What the message calls the night, for example its file.

    Raises:
        ConfigurationError: No arm labels the ontology of a job.
    """
    allowed = sorted(set(known))
    for job in jobs:
        if job.ontology is not None and job.ontology not in allowed:
            raise ConfigurationError(
                f"{name}: dataset {job.dataset!r}: key ontology has the value {job.ontology!r}; allowed are {allowed}.",
                hint="An ontology is known when an arm in routing.yaml has it; leave it out to find it from the truth.",
            )


def check_night(jobs: Sequence[DatasetJob], *, name: str = "The night") -> None:
    """Check what can be wrong with jobs that are well-formed one by one.

    Args:
        jobs: Jobs of one night.
        name: What the message calls the night, for example its file.

    Raises:
        ConfigurationError: Two jobs are of one dataset, or a folder of reviews does not exist.
    """
    names = [job.dataset for job in jobs]
    if twice := sorted({one for one in names if names.count(one) > 1}):
        raise ConfigurationError(
            f"{name} has more than one job of the dataset {', '.join(map(repr, twice))}, expected one each.",
            hint="Give each source a dataset name of its own, or put the sources into one folder.",
        )
    for job in jobs:
        if job.reviews is not None and not Path(job.reviews).is_dir():
            raise ConfigurationError(
                f"{name}: dataset {job.dataset!r} names the folder of reviews {job.reviews}, which does not exist.",
                hint="`reviews` is a folder of Label Studio JSON exports, relative to the working folder.",
            )
