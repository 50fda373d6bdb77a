"""An item that cannot be read is set aside, and what it said is taken from the site's own tables again.

An outbox is not the truth: answers are those of the tables, and work is what they call deferred. So a damaged item
costs a person's look at the disk, and none of those behind it. Knows no orchestrator.
"""

from __future__ import annotations

from pathlib import Path

from labelop.egress.keys import sync_folder, write_durably
from labelop.errors import LabelopError, SiteError
from labelop.landing.store import Store
from labelop.runs import current_datasets, new_run_id
from labelop.site.answers import queue_answers, received
from labelop.site.outbox import Item
from labelop.site.place import ROWS, Site
from labelop.site.work import work_in_tables, work_of


def set_damaged_aside(site: Site, store: Store) -> list[str]:
    """Read every item once, so that nothing behind meets one that cannot be read.

    Args:
        site: The site.
        store: Its own tables.

    Returns:
        What happened to each that was damaged, in one line: names and ids only, since an orchestrator may hear it.
    """
    damaged = [item for item in site.outbox.items() if damage_of(site, item) is not None]
    if not damaged:
        return []
    if any(item.kind == ROWS for item in damaged):
        # first, and beside the items: a death leaves it, and so does a person who takes away what lies aside
        write_durably(_owed(site), b"", mode=0o600)
    known, said = work_in_tables(store), []
    for item in damaged:
        facts = known.get(item.key)
        aside = site.outbox.set_aside(item, facts)
        if item.kind == ROWS:
            after = "all answers are told again"
        elif facts is not None:
            after = f"the work on {facts['dataset']} waits in its place, as the tables have it"
        else:
            after = "no run of the tables kept such work; the next night keeps what is deferred"
        said.append(f"Item {item.key} was damaged and is set aside as {aside.name}: {after}.")
    return said


def tell_again(site: Site, store: Store) -> list[str]:
    """Queue the answers of all datasets where some were damaged, in this sync or in one that did not come so far.

    Every answer is a whole and the newest counts, so nobody has to know which one was damaged. It is told under a name
    of its own: head office drops what it knows of a run, and a run tells what its work has changed after this.

    Args:
        site: The site.
        store: Its own tables.

    Returns:
        What stands in the way, in one line; nothing where nothing is owed or all is queued.
    """
    if not _owed(site).exists():
        return []
    run_id = new_run_id("again")
    try:
        for dataset in current_datasets(store):
            queue_answers(site.outbox, store, dataset, run_id)
    except LabelopError as error:
        return [f"Not all answers could be told again, so the next sync does it: {error.message}"]
    _owed(site).unlink()
    sync_folder(site.folder)
    return []


def _owed(site: Site) -> Path:
    """Lies beside the outbox while answers have to be told again."""
    return site.folder / "answers-owed"


def losses_of_outbox(site: Site | None) -> list[str]:
    """Say in one line each what lies aside: until somebody has looked at it and taken it away, no night is complete."""
    items = [] if site is None else site.outbox.damaged()
    return [f"outbox: damaged item {item.key} of {item.queued_at:%Y-%m-%d} lies in {item.path}" for item in items]


def damage_of(site: Site, item: Item) -> SiteError | None:
    """Say what is wrong with an item that waits or was set aside; None where it can be read."""
    try:
        facts, body = site.outbox.read(item)
        if item.kind == ROWS:
            received(site.name, item, facts, body)
        else:
            work_of(item, facts)
    except SiteError as error:
        return error
    return None
