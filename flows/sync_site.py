"""Hand over what a site kept for the network: pull models and policies, tell head office, do the work for the cloud."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from prefect import flow

from labelop import progress
from labelop.errors import LabelopError, PublishedError, RunFailedError
from labelop.landing.store import Store, open_store
from labelop.runs import current_version, is_partial, new_run_id
from labelop.settings import load_settings
from labelop.site.answers import queue_answers
from labelop.site.damage import set_damaged_aside, tell_again
from labelop.site.handover import head_office
from labelop.site.link import Link
from labelop.site.place import Site, require_site
from labelop.site.work import waiting_work
from tasks.artifacts import progress_shown
from tasks.dispatch import Child, run_children
from tasks.site import hand_over_rows, probe, pull, tell_sync
from tasks.told import telling_safely


@flow(name="sync-site", persist_result=False)
@telling_safely
def sync_site(store: str | None = None, run_id: str | None = None, wait_seconds: float = 0.0) -> None:
    """Sync this site; what was cut off goes on where it was.

    Args:
        store: Root of the site's tables; the setting when None.
        run_id: Name of the run; a new one when None.
        wait_seconds: How long to wait for head office when nobody answers; 0 tries once.

    Raises:
        SettingsError: This machine is no site, or has no head office.
        SiteError: Another sync is under way.
        HeadOfficeUnavailableError: Nobody answered; what waits goes on waiting.
        RunFailedError: Head office's set was refused, an item was damaged and set aside, or work for the cloud was not
            done; everything else was.
    """
    settings = load_settings(store=store)
    site, tables, run = require_site(settings), open_store(settings), run_id or new_run_id("sync")
    ask = partial(probe, head_office(site))
    link = Link(ask, patience_seconds=wait_seconds)
    problems: list[str] = []
    set_digest: str | None = None
    with progress_shown(), site.alone():
        link.call(ask)
        try:
            # before the work: it goes under the newest policy
            set_digest = link.call(partial(pull, site, settings))
        except PublishedError as error:
            problems.append(error.message)
        problems += set_damaged_aside(site, tables)
        done = hand_over_rows(site, link)
        problems += _work(site, tables, settings.store, run)
        # after the work, so that it says what is so now, and where the outbox has been emptied
        problems += tell_again(site, tables)
        done += hand_over_rows(site, link)
        tell_sync(site, link, tables, run_id=run, done=done, set_digest=set_digest)
    if problems:
        raise RunFailedError(
            f"Sync {run} ended with {len(problems)} problems: " + " | ".join(problems),
            hint="What was handed over stays so; the next sync does the rest.",
        )


def _work(site: Site, tables: Store, store: str, run: str) -> Iterator[str]:
    """Do what waits for the cloud, one dataset version after the other; give the problems."""
    waiting = waiting_work(site)
    for number, work in enumerate(waiting):
        progress.report("work for the cloud", number, len(waiting))
        try:
            # another version has been handed over since: its own night put its work here
            if work.dataset_version == current_version(tables, work.dataset):
                where = {"dataset": work.dataset, "dataset_version": work.dataset_version}
                parameters = {**where, **work.sizes, "store": store, "run_id": run, "syncs": True}
                [outcome] = run_children(
                    [Child("prelabel-dataset", "onprem", parameters, f"{run}:{work.item.key}:{work.dataset}")]
                )
                if outcome.error:
                    yield outcome.error
                    continue
                queue_answers(site.outbox, tables, work.dataset, run)
                if is_partial(tables, run, work.dataset):
                    continue  # reviewers cannot absorb all of it yet: the rest waits for a later sync
        except LabelopError as error:
            yield error.message
            continue
        site.outbox.done(work.item)
