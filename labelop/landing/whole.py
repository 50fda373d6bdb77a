"""Says whether a table is all there, by names and sizes alone: a file that is missing or cut is found before a night.

Knows which files the log of a table names; reads no row of them.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from labelop import schemas
from labelop.errors import LandingError, StoreUnavailableError
from labelop.landing.address import Store
from labelop.landing.tables import RESTORE, open_table


def faults_of(store: Store) -> dict[str, LandingError]:
    """Say what is wrong with each table that cannot be used; see `require_whole`.

    Raises:
        StoreUnavailableError: An object store did not answer, so that nothing can be said.
    """
    found: dict[str, LandingError] = {}
    for name in schemas.TABLES:
        try:
            require_whole(store, name)
        except StoreUnavailableError:
            raise
        except LandingError as error:
            found[name] = error
    return found


def require_whole(store: Store, name: str) -> None:
    """Open a table in its declared version and, where it lies on this machine, look at its log and its newest files.

    Raises:
        UnknownTableError: There is no such table.
        SchemaMismatchError: It is stored in another schema version.
        LandingError: It cannot be opened, or a file is missing or has another size than its log says; names the first.
    """
    table = open_table(store, name)
    if table is None or not store.is_local:
        return
    folder, what = Path(store.uri(name)), f"Table {name!r} in {store.root}"
    for entry in _needed(folder / "_delta_log"):
        with suppress(FileNotFoundError):  # summed up and removed meanwhile
            if entry.stat().st_size == 0:
                # the table library passes by it, and by the rows that it named
                raise LandingError(f"{what}: the commit _delta_log/{entry.name} is empty.", hint=RESTORE)
    files = pa.table(table.get_add_actions()).select(["path", "size_bytes"]).to_pylist()
    wrong = [said for file in files if (said := _fault(folder / file["path"].rpartition("/")[2], file["size_bytes"]))]
    if wrong:
        more = f", and {len(wrong) - 1} more of its {len(files)} files are not right" if wrong[1:] else ""
        raise LandingError(f"{what}: {wrong[0]}{more}.", hint=RESTORE)


def _needed(log: Path) -> list[Path]:
    """Give the commits that a reader needs: those behind the newest that sums up the ones before."""
    summed_up = max((file.name.partition(".")[0] for file in log.glob("*.checkpoint*.parquet")), default="")
    return sorted(entry for entry in log.glob("*.json") if entry.stem > summed_up)


def _fault(file: Path, size_bytes: int) -> str:
    try:
        found = file.stat().st_size
    except OSError as error:
        return f"{file.name} cannot be read: {error.strerror}"
    return "" if found == size_bytes else f"{file.name} has {found} bytes, expected {size_bytes}"
