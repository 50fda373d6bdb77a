"""Every row enters and leaves the tables here, so that landing twice equals landing once wherever the tables are.

A table is a Delta Lake table: Parquet files and a log. A commit carries the key of its rows as an application
transaction; the log refuses a second commit of the same key, also from another machine. Must not know what rows mean.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from deltalake import CommitProperties, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError

from labelop import schemas
from labelop.errors import LandingError
from labelop.landing.address import Store, open_store
from labelop.landing.rows import conform, empty_table, rows_to_table
from labelop.landing.tables import (
    create_table,
    open_stored,
    open_table,
    said,
    steadily,
    taking_turns,
    writer_properties,
)
from labelop.schemas import utc_now

__all__ = [
    "Store",
    "dataset_of",
    "is_empty",
    "is_landed",
    "land",
    "land_after",
    "land_many",
    "landed_keys",
    "look_at",
    "open_store",
    "read",
    "read_rows",
    "require_tables",
    "rows_to_table",
    "time_in",
]

_COMMIT_RETRIES = 50  # other writers may commit between our read of the log and our write; appends never conflict
_ATTEMPTS, _LOOKS = 5, 20
_MARK_BITS = 62

Rows: TypeAlias = pa.Table | Sequence[Mapping[str, Any]]
"""Rows of one table: Arrow, or one mapping per row with every column."""


def land(store: Store, name: str, rows: Rows, key: str) -> bool:
    """Land rows in one atomic commit, once per key.

    Args:
        store: Where.
        name: A table of `labelop.schemas`.
        rows: May be empty: then only the key is recorded.
        key: Names the rows by their content; holds no clock and no run id.

    Returns:
        True when this call landed the rows, False when the key had been landed before, by anybody.

    Raises:
        UnknownTableError: There is no such table.
        SchemaMismatchError: The rows or the stored table do not have the declared columns.
        LandingError: The store did not take the commit.
    """
    return land_many(store, name, [(key, rows)])[0]


def land_many(store: Store, name: str, groups: Sequence[tuple[str, Rows]]) -> list[bool]:
    """Land several groups of rows, each once per key, in one commit where nobody else lands one of them meanwhile.

    Args:
        store: Where.
        name: A table of `labelop.schemas`.
        groups: Key and rows of each group; of two groups with one key the first counts.

    Returns:
        For each group what `land` would have returned.

    Raises:
        UnknownTableError: There is no such table.
        SchemaMismatchError: Some rows or the stored table do not have the declared columns; then nothing is landed.
        LandingError: The store did not take the commit.
    """
    waiting: dict[str, pa.Table] = {}
    first: dict[str, int] = {}
    for position, (key, rows) in enumerate(groups):
        if not key:
            raise ValueError("a landing key must not be empty")
        table = conform(name, rows) if isinstance(rows, pa.Table) else rows_to_table(name, rows)
        if key not in first:
            first[key], waiting[key] = position, table
    landed = _commit(store, name, waiting)
    return [key in landed and first[key] == position for position, (key, _) in enumerate(groups)]


def land_after(store: Store, name: str, look: Callable[[], tuple[str, Rows]]) -> None:
    """Land rows that follow from what has landed: of those who saw the same one lands, and the others look again.

    Args:
        store: Where.
        name: A table of `labelop.schemas`.
        look: Reads the table; gives a digest of all that its rows follow from, and the rows. None end it.

    Raises:
        LandingError: The store did not take the commit, or others landed first each time.
    """
    for _ in range(_LOOKS):
        seen, rows = look()
        if len(rows) == 0 or land(store, name, rows, key=f"after:{seen}"):
            return
    raise LandingError(f"Others landed in {name!r} first {_LOOKS} times in a row.", hint="Run the same again.")


def is_landed(store: Store, name: str, key: str) -> bool:
    """Say whether rows are landed under this key."""
    return key in landed_keys(store, name, [key])


def landed_keys(store: Store, name: str, keys: Iterable[str]) -> set[str]:
    """Say which of the keys are landed, with one look at the table."""
    table = open_table(store, name)
    return set() if table is None else {key for key in keys if table.transaction_version(key) is not None}


def read(
    store: Store,
    name: str,
    *,
    columns: list[str] | None = None,
    filters: ds.Expression | None = None,
) -> pa.Table:
    """Read the newest version of a table.

    Args:
        store: Where.
        name: A table of `labelop.schemas`.
        columns: Columns to read, in this order; all when None.
        filters: Rows to read, for example `pyarrow.compute.field("dataset") == "bccd"`; all when None.

    Returns:
        Rows in no promised order; an empty table with the declared columns when nothing was ever landed.

    Raises:
        UnknownTableError: There is no such table.
        LandingError: The store cannot be read, or a column does not exist.
    """
    return steadily(
        store,
        f"Table {name!r} in {store.root} cannot be read",
        lambda: dataset_of(store, name).to_table(columns=columns, filter=filters),
    )


def read_rows(
    store: Store,
    name: str,
    *,
    columns: list[str] | None = None,
    filters: ds.Expression | None = None,
) -> list[dict[str, Any]]:
    """Read the newest version of a table as one dict per row; see `read`."""
    rows: list[dict[str, Any]] = read(store, name, columns=columns, filters=filters).to_pylist()
    return rows


def dataset_of(store: Store, name: str) -> ds.Dataset:
    """Give the newest version of a table as exactly its files, for a scan by Arrow or DuckDB.

    Files of unfinished or removed commits are in the folder and not in the dataset: nothing here ever lists a folder.

    Raises:
        UnknownTableError: There is no such table.
        LandingError: The store cannot be read.
    """
    return look_at(store, name)[0]


def look_at(store: Store, name: str) -> tuple[ds.Dataset, list[str]]:
    """Give the newest version of a table, and its Parquet files where they lie on this machine; see `dataset_of`.

    Returns:
        The dataset, and paths of files with exactly its rows; none for a table in an object store or of no rows.
    """
    table = open_table(store, name)
    addresses = [] if table is None else table.file_uris()
    if table is None or not addresses:
        return ds.dataset(empty_table(name)), []
    # Arrow reads a folder by itself: through the table library its threads come back to Python, and a process that ends
    # just then is aborted
    folder = pafs.SubTreeFileSystem(store.uri(name), pafs.LocalFileSystem()) if store.is_local else None
    rows = table.to_pyarrow_dataset(schema=schemas.table(name).schema, filesystem=folder)
    # no table has partitions, so a file is in its table's folder; its address has % for some characters of the folder
    files = [f"{store.uri(name)}/{address.rpartition('/')[2]}" for address in addresses] if store.is_local else []
    return rows, files


def time_in(store: Store, name: str) -> datetime:
    """Give the time for new rows of a table in which the newest counts: now, but never before what has landed there.

    A clock that was set back, or that of another machine which is behind, would else make the newest word the older
    one. Only the log is read; it tells milliseconds. Source: Kulkarni et al., Logical Physical Clocks (2014).

    Raises:
        UnknownTableError: There is no such table.
        LandingError: The store cannot be read.
    """
    table, now = open_table(store, name), utc_now()
    if table is None:
        return now
    files = pa.table(table.get_add_actions(flatten=True))
    newest = pc.max(files["max.landed_at"]).as_py() if "max.landed_at" in files.column_names else None
    return now if newest is None else max(now, newest + timedelta(milliseconds=1))


def is_empty(store: Store) -> bool:
    """Say whether the store has no table at all, for example because its name is misspelt.

    Raises:
        LandingError: The store cannot be read.
    """
    return all(open_stored(store, name) is None for name in schemas.TABLES)


def require_tables(store: Store) -> None:
    """Refuse a store without any table, for who has to look after those that are there.

    Raises:
        LandingError: There is none, or the store cannot be read.
    """
    if is_empty(store):
        raise LandingError(
            f"There is no table in {store.root}.",
            hint="Check --store and LABELOP_STORE; `labelop ingest SOURCE --dataset NAME` makes the first.",
        )


def _commit(store: Store, name: str, waiting: dict[str, pa.Table]) -> set[str]:
    """Land the groups together; after a lost race go on one by one. Returns the keys landed here."""
    tried: set[int] = set()
    try:
        return _attempt(store, name, waiting, tried)
    except CommitFailedError:
        landed: set[str] = set()
    for key, rows in waiting.items():
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                landed |= _attempt(store, name, {key: rows}, tried)
                break
            except CommitFailedError as error:
                # mostly the winner landed this very key, which the next look shows
                if attempt == _ATTEMPTS:
                    raise LandingError(
                        f"Table {name!r} in {store.root} refused {key!r} {_ATTEMPTS} times: {said(error)}.",
                        hint="Too many writers at once; run again, what is landed stays landed.",
                    ) from error
    return landed


def _attempt(store: Store, name: str, waiting: dict[str, pa.Table], tried: set[int]) -> set[str]:
    """Write what is not landed yet; a try that broke off after its commit counts as landed here."""

    def write() -> set[str]:
        table = open_table(store, name) or create_table(store, name)
        # look and write share one version of the log, so a key that somebody lands in between makes the commit fail
        landed = {key: table.transaction_version(key) for key in waiting}
        keys = [key for key, mark in landed.items() if mark is None]
        here = {key for key, mark in landed.items() if mark in tried}
        if not keys:
            return here
        # a number of its own tells the commit of this try from one that somebody else made under the same key
        tried.add(mark := secrets.randbits(_MARK_BITS))
        write_deltalake(
            table,
            pa.concat_tables([waiting[key] for key in keys]),
            mode="append",
            writer_properties=writer_properties(name),
            commit_properties=CommitProperties(
                app_transactions=[Transaction(app_id=key, version=mark) for key in keys],
                max_commit_retries=_COMMIT_RETRIES,
            ),
        )
        return here | set(keys)

    first, *more = waiting or [""]
    with taking_turns(store):
        return steadily(store, f"Table {name!r} in {store.root} did not take {first!r} and {len(more)} more", write)
