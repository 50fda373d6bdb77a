"""Rows leave a table here, for good: nothing else in the library takes one away.

A reader that has opened an earlier version keeps its files; `upkeep.maintain` removes them after the store's retention.
Must not know what rows mean.
"""

from __future__ import annotations

from functools import partial

import pyarrow.dataset as ds
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError

from labelop.errors import LandingError
from labelop.landing.address import Store
from labelop.landing.store import dataset_of
from labelop.landing.tables import open_table, said, steadily, taking_turns

_COMMIT_RETRIES = 50  # rows that land meanwhile are newer than what is dropped


def count_rows(store: Store, name: str, filters: ds.Expression) -> int:
    """Count the rows of a table's newest version that a filter takes."""
    what = f"Table {name!r} in {store.root} cannot be read"
    return steadily(store, what, lambda: int(dataset_of(store, name).count_rows(filter=filters)))


def drop_rows(store: Store, name: str, predicate: str) -> int:
    """Drop rows in one commit.

    Args:
        store: Where.
        name: A table of `labelop.schemas`.
        predicate: SQL over the table's columns; made by the library, never from outside.

    Returns:
        Rows dropped.

    Raises:
        LandingError: The store did not do it; it can simply be called again.
    """
    table = open_table(store, name)
    if table is None:
        return 0
    what = f"Table {name!r} in {store.root} does not drop rows"
    with taking_turns(store):
        try:
            return steadily(store, what, partial(_delete, table, predicate))
        except CommitFailedError as error:
            raise LandingError(f"{what}: {said(error)}.", hint="Too many writers at once; run again.") from error


def _delete(table: DeltaTable, predicate: str) -> int:
    table.update_incremental()
    done = table.delete(predicate, commit_properties=CommitProperties(max_commit_retries=_COMMIT_RETRIES))
    return int(done["num_deleted_rows"] or 0)
