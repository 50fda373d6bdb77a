"""Show a run's progress and tables to ops as Prefect artifacts; silent where no flow run is active."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact
from prefect.context import FlowRunContext

from labelop import progress

_EVERY_SECONDS = 2.0
"""An update is a request to the server; more often than this nobody looks."""


@contextmanager
def progress_shown() -> Iterator[None]:
    """Turn progress of the library into progress artifacts while the block runs inside a flow run."""
    if FlowRunContext.get() is None:
        yield
        return
    known: dict[str, UUID] = {}
    updated: dict[str, float] = {}

    def listen(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        finished = done >= total
        if not finished and now - updated.get(stage, -_EVERY_SECONDS) < _EVERY_SECONDS:
            return
        updated[stage] = now
        percent = 100.0 * done / total if total else 100.0
        if stage in known:
            update_progress_artifact(artifact_id=known[stage], progress=percent)
        else:
            known[stage] = _as_uuid(create_progress_artifact(percent, key=_key(stage), description=stage))

    with progress.listening(listen):
        yield


def publish_table(key: str, rows: Sequence[Mapping[str, object]], description: str) -> None:
    """Show rows as a table artifact; does nothing outside a flow run.

    Args:
        key: Artifact key; anything but letters and digits becomes a dash.
        rows: One mapping per row.
        description: Sentence above the table, markdown.
    """
    if FlowRunContext.get() is None:
        return
    create_table_artifact(
        table=[{name: _plain(value) for name, value in row.items()} for row in rows],
        key=_key(key),
        description=description,
    )


def publish_tables(tables: Iterable[tuple[str, Sequence[Mapping[str, object]], str]]) -> None:
    """Show several tables; see `publish_table`."""
    for key, rows, description in tables:
        publish_table(key, rows, description)


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _key(text: str) -> str:
    return "-".join("".join(c if c.isalnum() and c.isascii() else " " for c in text.lower()).split())


def _as_uuid(value: object) -> UUID:
    if not isinstance(value, UUID):
        raise TypeError(f"artifact id is {value!r}, expected a UUID")
    return value
