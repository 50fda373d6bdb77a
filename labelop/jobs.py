"""What one night does to one dataset, as an operator writes it. Knows no flow and no table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labelop.errors import ConfigurationError
from labelop.ingest.sources import SourceFormat


class DatasetJob(BaseModel):
    """One dataset of a night."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Name of the dataset.")
    source: str = Field(min_length=1, description="Folder or any fsspec URI.")
    source_format: SourceFormat = Field(default="folder", description="How the source is laid out.")
    sensitivity: str | None = Field(default=None, description="Level the owner declares for the whole dataset.")
    ontology: str | None = Field(
        default=None, description="Names the arms that can label it; found from its truth when empty."
    )
    reviews: str | None = Field(default=None, description="Folder of Label Studio JSON exports to import.")
    simulate_reviews: bool = Field(
        default=False, description="Let a simulated reviewer correct from the truth (marked so)."
    )


def parse_job(given: Mapping[str, Any]) -> DatasetJob:
    """Check a job as it arrives from a command line, a file or a schedule.

    Raises:
        ConfigurationError: A field is missing, unknown or has no usable value; the message names it.
    """
    try:
        return DatasetJob.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(
            f"Dataset job {given.get('dataset')!r}: {key} is {first.get('input')!r}: {first['msg']}.",
            hint=f"Known fields: {', '.join(sorted(DatasetJob.model_fields))}.",
        ) from error


def read_night(path: Path) -> list[DatasetJob]:
    """Read a YAML list of jobs; a source that is no URI is taken relative to the working folder.

    Raises:
        ConfigurationError: The file cannot be read, is no list, or a job has a fault.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"Night file {path} cannot be read: {' '.join(str(error).split())}.") from error
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        raise ConfigurationError(f"Night file {path} holds {type(value).__name__}, expected a list of dataset jobs.")
    return [parse_job(item) for item in value]
