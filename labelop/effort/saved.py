"""Which seconds are in force for a dataset: those that its own reviewers taught, where somebody saved them.

One file per dataset, which says what it was learnt from. Knows no table.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, model_validator

from labelop.effort.parameters import DEFAULTS, MOST_ERROR, EffortParameters
from labelop.egress.keys import write_durably
from labelop.errors import ConfigurationError
from labelop.forms import FirstSchema, StrictForm, read_form
from labelop.ids import digest_of
from labelop.settings import Settings

_HINT = (
    "`labelop review calibrate --save` writes it into the folder of LABELOP_EFFORT; without it published seconds count."
)
_Count = Annotated[int, Field(ge=1)]


class SavedSet(StrictForm):
    """Calibrated parameters of one dataset, as their file has them."""

    form: FirstSchema = Field(default=1, alias="schema")
    """Version of the form."""
    parameter_set: str
    """Their name, which rows carry; it follows from the parameters."""
    dataset: str
    """Dataset whose reviews taught them, and for which they are in force."""
    learnt_on: dt.date
    """Day of the calibration, UTC."""
    reviews_count: _Count
    """Measured reviews they rest on."""
    images_count: _Count
    """Images of these."""
    reviewers_count: _Count
    """People who made them."""
    tools: list[str]
    """Tools that measured, with their versions: another version is a reason to calibrate again."""
    relative_error: Annotated[float, Field(ge=0, le=MOST_ERROR)]
    """Median of |modelled - measured| / measured over reviewers left out in turn."""
    parameters: EffortParameters
    """All of them, so that a later release changes none."""

    @model_validator(mode="after")
    def _is_as_learnt(self) -> SavedSet:
        if (found := self.parameters.parameter_set) != self.parameter_set:
            raise ValueError(
                f"parameter_set is {self.parameter_set}, but its parameters are {found}: somebody changed it"
            )
        if self.parameters.origin == DEFAULTS.origin:
            raise ValueError(f"parameters of origin {DEFAULTS.origin} need no file")
        return self


class _File(SavedSet):
    """A set with a digest of all that is said of it."""

    digest: str
    """Of everything else in the file."""

    @model_validator(mode="after")
    def _is_as_saved(self) -> _File:
        if (found := _digest(self)) != self.digest:
            raise ValueError(f"digest is {self.digest}, but what it is of has {found}: somebody changed it")
        return self


def parameters_of(settings: Settings, dataset: str) -> EffortParameters:
    """Give the parameters in force for a dataset: the saved ones, or the published ones where none are saved.

    Raises:
        ConfigurationError: The file breaks its form, was changed by hand, or is of another dataset.
    """
    path = _file(settings, dataset)
    if not path.exists():
        return DEFAULTS
    found = read_form(path, _File, error=ConfigurationError, hint=_HINT)
    if found.dataset != dataset:
        raise ConfigurationError(f"{path} is of dataset {found.dataset!r}, expected {dataset!r}.", hint=_HINT)
    return found.parameters


def save(settings: Settings, found: SavedSet) -> Path:
    """Put parameters in force for their dataset, in place of those before.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    path = _file(settings, found.dataset)
    values = {**found.model_dump(by_alias=True), "digest": _digest(found)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, yaml.safe_dump(values, sort_keys=False).encode(), mode=0o644)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}.", hint="LABELOP_EFFORT names the folder."
        ) from error
    return path


def _digest(found: SavedSet) -> str:
    return digest_of(found.model_dump(mode="json", by_alias=True, exclude={"digest"}))


def _file(settings: Settings, dataset: str) -> Path:
    return settings.effort_path / f"{dataset}.yaml"
