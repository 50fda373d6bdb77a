"""Exchange with the Label Studio server of the settings: drafts out, corrections back, measured."""

from __future__ import annotations

from dataclasses import asdict

from prefect import flow

from labelop.landing.store import open_store
from labelop.review.connection import connect
from labelop.runs import new_run_id
from labelop.sensitivity.policy import load_policy
from labelop.settings import load_settings
from tasks.artifacts import progress_shown, publish_table
from tasks.review import land_edits, pull_reviews, push_reviews
from tasks.told import telling_safely


@flow(name="sync-reviews", persist_result=False)
@telling_safely
def sync_reviews(
    datasets: list[str],
    store: str | None = None,
    run_id: str | None = None,
    push: bool = True,
    masks: bool = False,
    changed_within_hours: float | None = None,
) -> None:
    """Push what is new and pull what people did; a second run with nothing new changes nothing.

    Args:
        datasets: Names of datasets, their newest versions.
        store: Root of the tables; the setting when None.
        run_id: Name of the run; a new one when None.
        push: Whether drafts go out as well.
        masks: Whether drafts that have a mask are shown as masks.
        changed_within_hours: Pull only what was changed so lately; all when None.

    Raises:
        SettingsError: No server is known.
        ReviewServerError: It does not answer; what was done stays done.
        ReviewServerRefusedError: It refuses.
    """
    settings = load_settings(store=store)
    tables, run = open_store(settings), run_id or new_run_id("review")
    policy = load_policy(settings.config / "policy.yaml")
    done = []
    with progress_shown(), connect(settings) as server:
        for dataset in datasets:
            pushed = push_reviews(tables, server, dataset, settings, policy=policy, masks=masks) if push else None
            pulled = pull_reviews(tables, server, dataset, run, changed_within_hours=changed_within_hours)
            land_edits(tables, run, dataset=dataset)
            done.append({"dataset": dataset, **(asdict(pushed) if pushed else {}), **asdict(pulled)})
    publish_table("synced-reviews", done, "Tasks that went out and reviews that came back.")
