"""Two stores hold the same or they do not: how a rerun, a resumed run and a killed run are compared with a quiet one.

Compares what rows say, not where or when they were written: file layout, row order and the columns of
`schemas.VOLATILE` do not count. Must not know how the rows came about.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from labelop import ids, schemas
from labelop.landing.store import Store, read

_SHOWN = 3


def content_digest(store: Store, name: str) -> str:
    """Hash the content of a table.

    Equal for tables with equal rows (counted with their multiplicity) apart from volatile columns, in any order and
    any file layout. An empty table and one never written are equal.

    Returns:
        64 hex digits.

    Raises:
        UnknownTableError: There is no such table.
        LandingError: The store cannot be read.
    """
    digest = hashlib.sha256()
    for line in sorted(_lines(store, name)):
        digest.update(line.encode())
        digest.update(b"\n")
    return digest.hexdigest()


def differences(store_a: Store, store_b: Store, names: Iterable[str]) -> list[str]:
    """Say how the content of two stores differs.

    Args:
        store_a: One store.
        store_b: The other.
        names: Tables to compare.

    Returns:
        One sentence per differing table with the counts and the first few differing rows by their grain; empty when
        the stores hold the same.

    Raises:
        UnknownTableError: There is no such table.
        LandingError: A store cannot be read.
    """
    found = []
    for name in names:
        rows_a, rows_b = Counter(_lines(store_a, name)), Counter(_lines(store_b, name))
        if rows_a != rows_b:
            only_a, only_b = rows_a - rows_b, rows_b - rows_a
            found.append(
                f"{name}: {only_a.total()} rows only in {store_a.root}{_some(name, only_a)}, "
                f"{only_b.total()} rows only in {store_b.root}{_some(name, only_b)}"
            )
    return found


def _lines(store: Store, name: str) -> list[str]:
    columns = [column for column in schemas.table(name).schema.names if column not in schemas.VOLATILE]
    return [ids.canonical_json(_plain(row)) for row in read(store, name, columns=columns).to_pylist()]


def _plain(value: Any) -> Any:
    """Make a value JSON without losing a distinction: money and times keep their exact text, NaN gets a name."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dt.datetime):
        return {"time": value.astimezone(dt.UTC).isoformat(timespec="microseconds")}
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return value


def _some(name: str, rows: Counter[str]) -> str:
    grain = [column for column in schemas.table(name).grain if column not in schemas.VOLATILE]
    shown = [json.loads(line) for line in sorted(rows)[:_SHOWN]]
    return f" ({'; '.join(str([row[column] for column in grain]) for row in shown)})" if shown else ""
