"""Keep tables small and old: what many commits left apart is put together, and what no reader needs is removed.

Nothing here changes a row. A reader holds the list of files of the version it opened, and these files stay for the
retention; whoever reads longer than that loses. Knows no row and no key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from deltalake import DeltaTable, Field, Schema
from deltalake.exceptions import CommitFailedError

from labelop import schemas
from labelop.errors import LandingError, SchemaMismatchError
from labelop.landing.address import Store
from labelop.landing.tables import VERSION_PROPERTY, open_stored, open_table, steadily, taking_turns, version_of
from labelop.settings import MOST_RETENTION_HOURS

_FEWEST_FILES = 2
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What became of one table."""

    table: str
    """Its name."""
    files_before_count: int
    """Data files of its newest version before."""
    files_after_count: int
    """Data files of its newest version after."""
    removed_count: int
    """Files removed for good: of versions older than the retention, and of commits that never came to be."""
    busy: bool
    """Whether somebody else changed the same files meanwhile, so that putting together is left to the next time."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What an upgrade did to one table."""

    table: str
    """Its name."""
    version_before: int
    """Schema version it was stored in."""
    version_after: int
    """Schema version it has now."""
    added: tuple[str, ...]
    """Columns added; null in the rows of before."""


def maintain(store: Store, retention_hours: int) -> list[Upkeep]:
    """Put small files together, remove old ones and sum up the log, table by table. May be killed and run again.

    Args:
        store: Where the tables are.
        retention_hours: How long files of old versions are kept: longer than the longest reader and the slowest commit.

    Returns:
        One per table that exists.

    Raises:
        SchemaMismatchError: A table has another schema version.
        LandingError: The store does not do it.
    """
    if not 0 <= retention_hours <= MOST_RETENTION_HOURS:
        raise ValueError(f"retention_hours is {retention_hours}, expected 0 to {MOST_RETENTION_HOURS}")
    tables = ((name, open_table(store, name)) for name in schemas.TABLES)
    return [_keep(store, name, table, retention_hours) for name, table in tables if table is not None]


def _keep(store: Store, name: str, table: DeltaTable, retention_hours: int) -> Upkeep:
    def step(call: Callable[[], object]) -> object:
        table.update_incremental()
        return call()

    what, before, busy = f"Table {name!r} in {store.root} cannot be maintained", len(table.file_uris()), False
    with taking_turns(store):
        if before >= _FEWEST_FILES:
            try:
                steadily(store, what, partial(step, table.optimize.compact))
            except CommitFailedError:
                busy = True  # two maintenances at once: the other one does it
        clear = partial(table.vacuum, retention_hours, dry_run=False, enforce_retention_duration=False, full=True)
        removed = steadily(store, what, partial(step, clear))
        steadily(store, what, partial(step, table.create_checkpoint))
        steadily(store, what, partial(step, table.cleanup_metadata))
    return Upkeep(name, before, len(table.file_uris()), len(removed), busy)  # type: ignore[arg-type]


def upgrade(store: Store) -> list[Upgrade]:
    """Give every table the columns of this release, in place; no row and no file is written again.

    Only columns are added. They are null in the rows of before, which the views read as "not known". A commit adds them
    and another one names the new version, so that an upgrade which was cut off is simply done again. Stop the workers
    of the older release first: they refuse the new version.

    Returns:
        One per table that was behind.

    Raises:
        SchemaMismatchError: A table cannot become this release's by added columns alone; then nothing was changed.
        LandingError: The store does not do it.
    """
    behind: list[tuple[str, int, list[Field]]] = []
    for name, declared in schemas.TABLES.items():
        table = open_stored(store, name)
        if table is not None and version_of(table) != declared.version:
            behind.append((name, version_of(table) or 0, _missing(store, name, table)))
    with taking_turns(store):
        for name, _, _ in behind:
            _upgrade(store, name)
    return [
        Upgrade(name, before, schemas.table(name).version, tuple(field.name for field in missing))
        for name, before, missing in behind
    ]


def _upgrade(store: Store, name: str) -> None:
    """Do what an upgrade of a table lacks; where somebody else does it at the same time, what he has left."""
    declared, what = schemas.table(name), f"Table {name!r} in {store.root} cannot be upgraded"

    def step() -> None:
        table = open_stored(store, name)
        if table is None or version_of(table) == declared.version:
            return
        if missing := _missing(store, name, table):
            table.alter.add_columns(missing)
        table.alter.set_table_properties({VERSION_PROPERTY: str(declared.version)}, raise_if_not_exists=False)

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            steadily(store, what, step)
            break
        except CommitFailedError as error:
            if attempt == _ATTEMPTS:
                raise LandingError(
                    f"{what}: others changed it {_ATTEMPTS} times meanwhile.", hint="Stop the workers and run it again."
                ) from error


def _missing(store: Store, name: str, table: DeltaTable) -> list[Field]:
    """Name the columns that a table lacks, where that is all that is wrong with it."""
    wanted = {field.name: field for field in Schema.from_arrow(schemas.table(name).schema).fields}
    stored = {field.name: field for field in table.schema().fields}
    version, declared = version_of(table), schemas.table(name).version
    changed = sorted(key for key, field in stored.items() if key not in wanted or wanted[key].type != field.type)
    if version is None or version > declared or changed:
        raise SchemaMismatchError(
            f"Table {name!r} in {store.root} has schema version {version}, expected {declared} or one before it"
            + (f"; columns {changed} are not those of this release." if changed else "."),
            hint="Use the release that wrote it, or a new store root.",
        )
    return [field for key, field in wanted.items() if key not in stored]
