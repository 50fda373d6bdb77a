"""Turn an operator's YAML file into a typed form, with one clear error per fault.

Exists so that every configuration file fails in the same words: file, key, value found, values allowed. Knows no
particular form.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from labelop.errors import PolicyError
from labelop.strict_text import read_yaml


class StrictForm(BaseModel):
    """Base of forms: an unknown key is most often a misspelt one, and that must not pass silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


FormT = TypeVar("FormT", bound=BaseModel)


def read_form(path: Path, form: type[FormT]) -> FormT:
    """Read and check one YAML file.

    Args:
        path: The file.
        form: What it must look like.

    Raises:
        PolicyError: The file is missing, too large, not YAML, or breaks the form; the message names file, key, value
            found and what is allowed, for the first fault.
    """
    try:
        content = read_yaml(path.read_bytes())
    except OSError as error:
        raise PolicyError(
            f"{path} cannot be read: {error.strerror}.", hint="LABELOP_CONFIG names the folder of these files."
        ) from error
    except ValueError as error:
        raise PolicyError(f"{path.name} {error}.") from error
    if not isinstance(content, dict):
        raise PolicyError(f"{path.name} holds a {type(content).__name__}; a mapping of keys is expected.")
    try:
        return form.model_validate(content)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        more = f" {len(faults) - 1} more faults follow it." if len(faults) > 1 else ""
        raise PolicyError(_explain(path, faults[0]), hint=f"Correct {path}.{more}") from error


def _explain(path: Path, fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    message = str(fault["msg"]).removeprefix("Value error, ")
    if not key:
        return f"{path.name}: {message}."
    if fault["type"] == "missing":
        return f"{path.name}: key {key} is missing."
    if fault["type"] == "extra_forbidden":
        return f"{path.name}: key {key} is unknown (value {fault['input']!r}); it is not part of the form."
    return f"{path.name}: key {key} has the value {fault['input']!r}; {message}."
