"""An item that cannot be read is set aside, and what it said is taken from the site's own tables again.

An outbox is not the truth: answers are those of the tables, and work is what they call deferred. So a damaged item
costs a person's look at the disk, and none of those behind it. Knows no orchestrator.
"""

from __future__ import annotations

from labelop.errors import OutboxFullError, SiteError
from labelop.landing.store import Store
from labelop.runs import current_datasets
from labelop.site.answers import queue_answers, received
from labelop.site.outbox import Item
from labelop.site.place import ROWS, Site
from labelop.site.work import work_in_tables, work_of


def set_damaged_aside(site: Site, store: Store, run_id: str) -> list[str]:
    """Read every item once, so that nothing behind meets one that cannot be read.

    Args:
        site: The site.
        store: Its own tables.
        run_id: Run after which answers are told again; the same run tells the same dataset once.

    Returns:
        What happened to each that was damaged, in one line: names and ids only, since an orchestrator may hear it.
    """
    damaged = [item for item in site.outbox.items() if damage_of(site, item) is not None]
    if not damaged:
        return []
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
    if any(item.kind == ROWS for item in damaged):
        # every answer is a whole and the newest counts, so nobody has to know which one this was
        try:
            for dataset in current_datasets(store):
                queue_answers(site.outbox, store, dataset, run_id)
        except OutboxFullError:
            said.append("The outbox is too full to tell all answers again: the next night does.")
    return said


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
