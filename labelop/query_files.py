"""What the header of an SQL file says: its purpose, its parameters and their types, its grain, and who may ask it.

Knows one file at a time; not where files lie, and no table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from labelop.errors import AnalysisError, QueryParameterError
from labelop.roles import ACTIONS, Action

_HEADER = re.compile(r"\A(?P<header>(?:--[^\n]*\n)+)")
_PARAM = re.compile(r"(?P<name>[a-z_]+) (?P<kind>text|integer|real|boolean)(?: = (?P<default>\S+))?\Z")
_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}

Value: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class QueryParam:
    """One named parameter of a query."""

    name: str
    """Name as in `--param name=value` and `$name` in the SQL."""
    kind: Literal["text", "integer", "real", "boolean"]
    """Type a value must have."""
    optional: bool
    """Whether it may be left out."""
    default: Value
    """Value when left out; `null` in the header is None."""


@dataclass(frozen=True, slots=True)
class QueryInfo:
    """One SQL file, as its header describes it."""

    name: str
    """File name without `.sql`."""
    purpose: str
    """What it answers, one sentence."""
    params: tuple[QueryParam, ...]
    """Named parameters in the header's order."""
    grain: tuple[str, ...]
    """Columns that make a row unique."""
    needs: Action | None
    """What of `labelop.roles` somebody who asks it must be allowed to do; None where anybody may ask."""
    path: Path
    """The file."""


def describe(path: Path) -> QueryInfo:
    """Read the header of an SQL file: purpose, `Params:`, `Grain:` and perhaps `Needs:` as comment lines at its top.

    Raises:
        AnalysisError: The header lacks one of them, a parameter is not `name type [= default]`, or what it needs is no
            action of `labelop.roles`.
    """
    match = _HEADER.match(path.read_text(encoding="utf-8"))
    text = " ".join(line[2:].strip() for line in match["header"].splitlines()) if match else ""
    purpose, has_params, rest = text.partition("Params:")
    params, has_grain, rest = rest.partition("Grain:")
    grain, has_needs, needs = (part.strip() for part in rest.partition("Needs:"))
    if not (purpose.strip() and has_params and has_grain and grain):
        raise AnalysisError(
            f"{path.name} has no header with a purpose, `-- Params:` and `-- Grain:`.",
            hint="Copy the header of another file in sql/queries.",
        )
    if has_needs and needs not in ACTIONS:
        raise AnalysisError(f"{path.name} needs {needs!r}, expected one of {', '.join(ACTIONS)}.")
    listed = [part.strip() for part in params.split(";") if part.strip() and part.strip() != "none"]
    return QueryInfo(
        name=path.stem,
        purpose=purpose.strip(),
        params=tuple(_param(path, part) for part in listed),
        grain=tuple(part.strip() for part in grain.split(",")),
        needs=next((action for action in ACTIONS if action == needs), None),
        path=path,
    )


def bind(info: QueryInfo, given: Mapping[str, Value]) -> dict[str, Value]:
    """Give every parameter its value: the one given, converted from text, or its default.

    Raises:
        QueryParameterError: A parameter is unknown, missing or of the wrong type.
    """
    allowed = ", ".join(f"{p.name} ({p.kind}{', optional' if p.optional else ''})" for p in info.params) or "none"
    unknown = sorted(given.keys() - {p.name for p in info.params})
    missing = [p.name for p in info.params if not p.optional and p.name not in given]
    if unknown or missing:
        problem = f"has no parameter {unknown[0]!r}" if unknown else f"needs the parameter {missing[0]!r}"
        raise QueryParameterError(f"Query {info.name!r} {problem}; its parameters are: {allowed}.")
    return {p.name: _convert(info, p, given[p.name]) if p.name in given else p.default for p in info.params}


def _param(path: Path, text: str) -> QueryParam:
    match = _PARAM.match(text)
    if match is None:
        raise AnalysisError(
            f"{path.name} declares the parameter {text!r}, expected `name type` or `name type = default`.",
            hint="Types are text, integer, real and boolean; parameters are separated by semicolons.",
        )
    kind: Any = match["kind"]
    default = match["default"]
    value = None if default in {None, "null"} else _CONVERT[kind](default)
    return QueryParam(match["name"], kind, default is not None, value)


def _convert(info: QueryInfo, param: QueryParam, value: Value) -> Value:
    if not isinstance(value, str):
        return value
    try:
        return _CONVERT[param.kind](value)
    except ValueError:
        raise QueryParameterError(
            f"Query {info.name!r}: parameter {param.name!r} got {value!r}, expected {param.kind}."
        ) from None


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise ValueError(text)


_CONVERT: dict[str, Callable[[str], Value]] = {"text": str, "integer": int, "real": float, "boolean": _boolean}
