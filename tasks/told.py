"""What the orchestrator may hear of a failure: a class, ids and words of ours, never what a file or a label says.

An orchestrator may be hosted elsewhere, and it keeps messages and tracebacks with all their causes. The whole error
goes to standard error of the worker's own process. Knows no flow.
"""

from __future__ import annotations

import functools
import secrets
import sys
import traceback
from collections.abc import Callable
from pathlib import PurePath
from typing import ParamSpec, TypeVar

from prefect.context import FlowRunContext

from labelop.errors import LabelopError, of_machine

P = ParamSpec("P")
R = TypeVar("R")

_REFERENCE = "reference"


class UnexpectedError(Exception):
    """An error that is none of ours, told by its class and the place where it was raised."""


def telling_safely(function: Callable[P, R]) -> Callable[P, R]:
    """Let nothing but safe errors out of a flow; outside a flow run errors stay as they are."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs) if FlowRunContext.get() is None else safely(function, *args, **kwargs)

    return call


def safely(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function and let nothing but safe errors out, without the errors that caused them."""
    try:
        return function(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - told again below, as far as it may be
        told = safe(error)
    # raised outside of the handler: an error keeps the one it was raised in, and its words with it
    raise told


def safe(error: Exception) -> Exception:
    """Give the form of an error that the orchestrator may keep, and write the whole one to standard error.

    An error of ours keeps its class, which says whether a retry can help. Its words are kept where its class says that
    they hold ids and what the operator wrote; all others are left out, not searched for names.
    """
    if isinstance(error, UnexpectedError) or (isinstance(error, LabelopError) and _REFERENCE in error.context):
        return _alone(error)
    reference = secrets.token_hex(4)
    print(f"error {reference}:", file=sys.stderr)  # noqa: T201 - a log handler could send it on
    traceback.print_exception(error, file=sys.stderr)
    where = f"The log of the worker that ran it has the words, under {reference}."
    if isinstance(error, OSError):
        error = of_machine(error)
    if not isinstance(error, LabelopError):
        return UnexpectedError(f"{type(error).__name__} at {_place(error)}. {where}")
    if error.tellable:
        return _alone(type(error)(error.message, hint=error.hint, **error.context))
    return type(error)(f"It stays on premises what this is about. {where}", **{**error.context, _REFERENCE: reference})


def heard(error: LabelopError | OSError) -> LabelopError:
    """Give the form of an error whose words become part of another one; outside a flow run they are all of them."""
    if FlowRunContext.get() is None:
        return of_machine(error) if isinstance(error, OSError) else error
    told = safe(error)
    assert isinstance(told, LabelopError)
    return told


def _alone(error: Exception) -> Exception:
    error.__cause__ = error.__context__ = error.__traceback__ = None
    return error


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
