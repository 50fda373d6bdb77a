"""Turn an operator's YAML file into a typed form, with one clear error per fault.

Exists so that every configuration file fails in the same words: file, key, value found, values allowed. Knows no
particular form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, RootModel, ValidationError
from pydantic.fields import FieldInfo

from labelop.errors import ConfigurationError, PolicyError
from labelop.strict_text import MAX_YAML_BYTES, read_regular, read_yaml

CONFIG_HINT = "LABELOP_CONFIG names the folder of this file; data/sample/config holds an example."
"""What to do about a file of the configuration folder."""

_KEPT_FAULTS = 20
_SHOWN_CHARACTERS = 120
_SAME_PLACE = (Annotated, Union, UnionType)
_MAPPING_FAULTS = {"model_type", "model_attributes_type", "dict_type"}


def _a_number(given: object) -> object:
    """Keep `true` and 1.0, which equal 1, from being taken for it."""
    if type(given) is not int:
        raise ValueError("allowed are 1")
    return given


FirstSchema = Annotated[Literal[1], BeforeValidator(_a_number)]
"""`schema` of a form of which there is one version so far."""


class StrictForm(BaseModel):
    """Base of forms: an unknown key is most often a misspelt one, and that must not pass silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


FormT = TypeVar("FormT", bound=BaseModel)


def read_form(
    path: Path,
    form: type[FormT],
    *,
    error: type[ConfigurationError] = PolicyError,
    hint: str = CONFIG_HINT,
    max_bytes: int = MAX_YAML_BYTES,
) -> FormT:
    """Read and check one YAML file.

    Args:
        path: The file.
        form: What it must look like.
        error: Class of the error.
        hint: What to do about a missing or faulty file; names the setting or option that points at it.
        max_bytes: Largest file.

    Raises:
        ConfigurationError: As `error`: the file is missing, a pipe, too large, not plain YAML, or breaks the form;
            names file, and key, value found and what is allowed for each fault.
    """
    try:
        content = read_yaml(read_regular(path, max_bytes), max_bytes)
    except OSError as reason:
        raise error(f"{path} cannot be read: {reason.strerror}.", hint=hint) from reason
    except ValueError as reason:
        raise error(f"{path} {reason}.", hint=hint) from reason
    return check_form(content, form, name=str(path), error=error, hint=hint)


def check_form(
    content: object,
    form: type[FormT],
    *,
    name: str,
    error: type[ConfigurationError] = PolicyError,
    hint: str = CONFIG_HINT,
) -> FormT:
    """Check plain values that are read already.

    Args:
        content: The values.
        form: What they must look like.
        name: What the message calls them, for example the path of their file.
        error: Class of the error.
        hint: What to do about a fault.

    Raises:
        ConfigurationError: As `error`: the values break the form; names key, value found and what is allowed for each
            of the first faults, which are in its context as `faults`, and counts the others.
    """
    try:
        return form.model_validate(content)
    except ValidationError as reason:
        items = reason.errors(include_url=False)
        faults = [_fault(form, item) for item in items[:_KEPT_FAULTS]]
        more = f" (and {len(items) - len(faults)} more)" if len(items) > len(faults) else ""
        raise error(f"{name}: {'; and '.join(faults)}{more}.", hint=hint, faults=faults) from reason


def _fault(form: type[BaseModel], item: Mapping[str, Any]) -> str:
    """Say one fault as a clause."""
    kind, place, message = item["type"], item["loc"], str(item["msg"]).removeprefix("Value error, ")
    is_name = place[-1:] == ("[key]",)  # the fault is in the name of a mapping's key, not in its value
    place = place[:-1] if is_name else place
    key = f"key {'.'.join(_part(part) for part in place)}" if place else "the content"
    if kind == "value_error" and not place:
        return message  # a rule between keys: its text names them
    if kind == "missing":
        return f"{key} is missing"
    if kind == "invalid_key":
        return f"{key} is unknown; {_allowed_keys(form, place[:-1])}"
    if kind == "extra_forbidden":
        return f"{key} is unknown (value {_shown(item['input'])}); {_allowed_keys(form, place[:-1])}"
    allowed = f"allowed are {item['ctx']['expected']}" if kind == "literal_error" else _allowed(message)
    if is_name:
        return f"{key} is unknown; {allowed}"
    if kind in _MAPPING_FAULTS:
        keys = _allowed_keys(form, place)
        allowed = f"allowed is a mapping of keys{keys and '; '}{keys}"
    return f"{key} has the value {_shown(item['input'])}; {allowed}"


def _part(part: object) -> str:
    text = str(part)
    return text if text.isprintable() and len(text) <= _SHOWN_CHARACTERS else _shown(text)


def _shown(value: object) -> str:
    return repr(value)[:_SHOWN_CHARACTERS]


def _allowed(message: str) -> str:
    """Turn the validator's "Input should be ..." and "String should match ..." into what is allowed."""
    message = re.sub(r"^Input should be ", "allowed is ", message)
    return re.sub(r"^(\w+)(?: input)? should ", lambda m: f"allowed is a {m[1].lower()} that should ", message)


def _allowed_keys(form: type[BaseModel], place: tuple[Any, ...]) -> str:
    keys = [_key(name, field) for found in _forms_at(form, place) for name, field in found.model_fields.items()]
    return f"allowed are {', '.join(keys)}" if keys else ""


def _forms_at(annotation: Any, place: tuple[Any, ...]) -> Iterator[type[BaseModel]]:
    """Walk from an annotation along keys and list indices to the forms that may stand there."""
    origin = get_origin(annotation)
    if origin is None and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        if issubclass(annotation, RootModel):
            yield from _forms_at(fields["root"].annotation, place)
        elif not place:
            yield annotation
        for name, field in fields.items():
            if place and _key(name, field) == place[0]:
                yield from _forms_at(field.annotation, place[1:])
    elif place or origin in _SAME_PLACE:
        # arguments that are no form, such as a mapping's key type or a note of Annotated, yield nothing
        for inner in get_args(annotation):
            yield from _forms_at(inner, place if origin in _SAME_PLACE else place[1:])


def _key(name: str, field: FieldInfo) -> str:
    return field.validation_alias if isinstance(field.validation_alias, str) else name
