"""Tables are found and made here, and what the table library does is tried again where a network is in between.

Knows the table library's errors and which version of a schema a table has; must not know rows or keys.
"""

from __future__ import annotations

import fcntl
import hashlib
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from deltalake import ColumnProperties, DeltaTable, WriterProperties
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from labelop import schemas
from labelop.errors import LandingError, SchemaMismatchError, StoreUnavailableError
from labelop.landing.address import Store

Answer = TypeVar("Answer")

STORE_ERRORS = (DeltaError, OSError, pa.ArrowException)
"""What the table library and Arrow raise where a store does not do what it is asked."""
RESTORE = "Put that file back from a copy of the store; what other files hold is not lost."
"""What to do about a file of a table that is missing or cut: another try would end the same way."""
_OPENED = "Check the folder and its rights; what its _delta_log lacks has to be put back from a copy of the store."
_TAKEN = "Check the folder and its disk, then run again: what is landed stays landed."
VERSION_PROPERTY = "labelop.schema_version"
_SUMMED_UP = {"delta.checkpointInterval": "20"}
"""Whoever opens a table reads every entry of the log since it was last summed up: that was most of a late commit."""
_TRIES = 8
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.1, 2.0
_ZSTD_LEVEL = 1
_SAID = 400
_FRAMES = re.compile(r"\n\s*(?:\d+: |stack backtrace)", re.IGNORECASE)  # frames of foreign code help no operator


def steadily(store: Store, what: str, call: Callable[[], Answer], *, hint: str = _TAKEN) -> Answer:
    """Call the table library; again after a while where an object store or the way to it failed.

    The library itself tries refused requests again, not answers that break off half way. `call` may have had its
    effect in spite of an error, so it has to be harmless when repeated.

    Args:
        store: Where.
        what: What does not happen, as in `Table 'images' in s3://b cannot be read`.
        call: What to do.
        hint: What to do about a folder that does not do it.

    Raises:
        CommitFailedError: Somebody else's commit came first.
        TableNotFoundError: There is no table.
        StoreUnavailableError: An object store did not do it in any try.
        LandingError: A folder did not do it, or what was asked cannot be: another try would end the same way.
    """
    for number in range(1, _TRIES + 1):
        try:
            return call()
        except (CommitFailedError, TableNotFoundError):
            raise
        except STORE_ERRORS as error:
            damaged = isinstance(error, FileNotFoundError | pa.ArrowInvalid)
            if store.is_local or damaged:
                raise LandingError(f"{what}: {said(error)}.", hint=RESTORE if damaged else hint) from error
            if number == _TRIES:
                raise StoreUnavailableError(
                    f"{what} in {_TRIES} tries: {said(error)}.",
                    hint="Check the store and LABELOP_S3_*, then run again: what is landed stays landed.",
                ) from error
            longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2**number)
            time.sleep(random.uniform(0, longest))  # noqa: S311 - many workers must not come back together
    raise AssertionError


def open_stored(store: Store, name: str) -> DeltaTable | None:
    """Open a table in whatever schema version it is stored; None where it was never made.

    Raises:
        UnknownTableError: There is no such table.
        LandingError: The store cannot be read.
    """
    schemas.table(name)
    try:
        return steadily(
            store,
            f"Table {name!r} in {store.root} cannot be opened",
            lambda: DeltaTable(store.uri(name), storage_options=store.storage_options or None),
            hint=_OPENED,
        )
    except TableNotFoundError:
        return None


def open_table(store: Store, name: str) -> DeltaTable | None:
    """Open a table; None where it was never made.

    Raises:
        UnknownTableError: There is no such table.
        SchemaMismatchError: It is stored in another schema version.
        LandingError: The store cannot be read.
    """
    table = open_stored(store, name)
    if table is not None and (stored := version_of(table)) != (declared := schemas.table(name).version):
        raise SchemaMismatchError(
            f"Table {name!r} in {store.root} has schema version {stored}, expected {declared}.",
            hint="`labelop store upgrade` adds the columns of this release."
            if stored is not None and stored < declared
            else "A newer release wrote it: use that one, or a new store root.",
        )
    return table


def version_of(table: DeltaTable) -> int | None:
    """Read the schema version a table is stored in; None where something else made it."""
    stored = table.metadata().configuration.get(VERSION_PROPERTY, "")
    return int(stored) if stored.isdecimal() else None


def create_table(store: Store, name: str) -> DeltaTable:
    """Make a table, or open the one that somebody else made meanwhile.

    Raises:
        LandingError: The store does not take it.
    """
    declared, what = schemas.table(name), f"Table {name!r} in {store.root} cannot be created"

    def create() -> DeltaTable:
        try:
            if store.is_local:
                Path(store.uri(name)).mkdir(parents=True, exist_ok=True)
            return DeltaTable.create(
                store.uri(name),
                declared.schema,
                mode="ignore",
                configuration={VERSION_PROPERTY: str(declared.version), **_SUMMED_UP},
                storage_options=store.storage_options or None,
                raise_if_key_not_exists=False,
            )
        except STORE_ERRORS:
            # another writer may have created it between our look and our try
            if (table := open_table(store, name)) is not None:
                return table
            raise

    try:
        return steadily(store, what, create)
    except (CommitFailedError, TableNotFoundError) as error:
        raise LandingError(f"{what}: {said(error)}.") from error


def writer_properties(name: str) -> WriterProperties:
    """Dictionaries for strings only: five times the writing speed of dictionaries for everything."""
    text = [column.name for column in schemas.table(name).schema if pa.types.is_string(column.type)]
    return WriterProperties(
        compression="ZSTD",
        compression_level=_ZSTD_LEVEL,
        default_column_properties=ColumnProperties(dictionary_enabled=False),
        column_properties={column: ColumnProperties(dictionary_enabled=True) for column in text},
    )


@contextmanager
def taking_turns(store: Store) -> Iterator[None]:
    """Let the processes of this machine change a single-writer store one after the other; else do nothing."""
    if not store.single_writer:
        yield
        return
    name = hashlib.sha256(store.root.encode()).hexdigest()[:16]
    with (Path(tempfile.gettempdir()) / f"labelop-writer-{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # goes with the process, however that ends
        yield


def said(error: BaseException) -> str:
    """Make one plain line of what the table library said; it writes colours, several lines and its own stack."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    return " ".join(_FRAMES.split(text)[0].split()).rstrip(".")[:_SAID]
