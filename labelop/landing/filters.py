"""Say which rows to read without writing SQL or knowing the file format."""

from __future__ import annotations

from functools import reduce
from operator import and_

import pyarrow.compute as pc
import pyarrow.dataset as ds


def equal(**columns: str) -> ds.Expression:
    """Select rows whose columns all have these values.

    Args:
        columns: Wanted value by column name; at least one.
    """
    return reduce(and_, (pc.field(name) == value for name, value in columns.items()))
