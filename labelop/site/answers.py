"""What a site tells head office: sums over its tables, and only the columns that head office's tables have.

No path, no image id, no label and no pixel has a column there, so none can be told. Every answer is a whole: head
office counts the newest of each dataset. Knows no network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pyarrow as pa

from labelop import schemas
from labelop.errors import SiteError, UnknownTableError
from labelop.ids import row_id
from labelop.landing.store import Store
from labelop.queries import open_session, run_query
from labelop.schemas import utc_now
from labelop.settings import Settings
from labelop.site.outbox import Item, Outbox
from labelop.site.place import ROWS, find_site

QUESTIONS: Mapping[str, str] = {
    "site_outcomes": "outcomes",
    "site_costs": "cost_lines",
    "site_effort": "arm_effort",
    "site_datasets": "run_summary",
}
"""Query by table of head office, in the order in which answers wait: when the last has arrived all have."""

_OTHER_NAMES = {
    "mean_active_seconds": "active_seconds_mean",
    "mean_model_seconds": "model_seconds_mean",
    "mean_scratch_seconds": "scratch_seconds_mean",
}
"""Column of a query by column of a table, where they differ."""

ROOM_ITEMS, ROOM_BYTES = len(QUESTIONS) + 1, 1 << 18
"""What one dataset of a night may put into an outbox: its answers, and its work for the cloud."""


def queue_answers(outbox: Outbox, store: Store, dataset: str, run_id: str) -> list[Item]:
    """Put what the tables say about a dataset now into the outbox.

    Args:
        outbox: The site's.
        store: The site's own tables.
        dataset: The dataset.
        run_id: Run after which it is told; the same run tells the same dataset once.

    Raises:
        OutboxFullError: It does not fit; the tables keep it, and the next run tells it.
    """
    session = open_session(store)
    waiting = []
    for name, question in QUESTIONS.items():
        found = run_query(session, question, {"dataset": dataset})
        with pa.BufferOutputStream() as sink:
            with pa.ipc.new_stream(sink, _allowed(name, found).schema) as stream:
                stream.write_table(_allowed(name, found))
            body = sink.getvalue().to_pybytes()
        facts = {"table": name, "dataset": dataset, "run_id": run_id}
        waiting.append(outbox.put(row_id(ROWS, name, dataset, run_id), facts, body))
    return waiting


@contextmanager
def night_of(settings: Settings, store: Store, dataset: str, run_id: str) -> Iterator[None]:
    """Begin the work on a dataset only where its answers will find room, and put them into the outbox afterwards.

    Does nothing where this machine is no site.

    Raises:
        OutboxFullError: There is no room; nothing was begun.
    """
    site = find_site(settings)
    if site is not None:
        site.outbox.check_room(ROOM_ITEMS, ROOM_BYTES)
    yield
    if site is not None:
        queue_answers(site.outbox, store, dataset, run_id)


def received(site: str, item: Item, facts: Mapping[str, str], body: bytes) -> tuple[str, pa.Table]:
    """Give the name of head office's table for an item, and its rows.

    What an item of another release lacks is null, and what the table lacks is left out, as in tables of another one.

    Args:
        site: Name of the site.
        item: The item.
        facts: Its facts.
        body: Its body.

    Raises:
        SiteError: It names no table, or holds no rows of it.
    """
    try:
        told, rows = schemas.table(facts["table"]), pa.ipc.open_stream(body).read_all()
        same = {"site": site, "position": item.sequence, "run_id": facts["run_id"], "landed_at": utc_now()}
        rows.select([name for name in told.grain if name not in same])  # without these a row says nothing
        columns = [
            rows[field.name].cast(field.type)
            if field.name in rows.column_names and field.name not in same
            else pa.array([same.get(field.name)] * len(rows), field.type)
            for field in told.schema
        ]
    except (UnknownTableError, KeyError, pa.ArrowException) as error:
        raise SiteError(
            f"Item {item.path} holds no rows that head office has a table for: {error}.",
            hint="Keep a copy, find out which release put it there, and move it out of the folder.",
        ) from error
    return told.name, pa.table(columns, schema=told.schema)


def _allowed(name: str, found: pa.Table) -> pa.Table:
    """Keep what the table of head office has a column for."""
    wanted = [field for field in schemas.table(name).schema if field.name not in _ADDED]
    return pa.table({f.name: found[_OTHER_NAMES.get(f.name, f.name)].cast(f.type) for f in wanted})


_ADDED = frozenset({"site", "position", "run_id", "landed_at"})
"""Columns that are filled where an item is received."""
