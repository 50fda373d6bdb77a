"""Keep the tables small and old versions short, between the nights; readers and writers go on meanwhile."""

from __future__ import annotations

from dataclasses import asdict

from prefect import flow

from labelop.landing.store import open_store
from labelop.landing.upkeep import Upkeep
from labelop.runs import new_run_id
from labelop.sensitivity.policy import load_policy
from labelop.settings import load_settings
from tasks.artifacts import publish_table
from tasks.landing import drop_evidence, maintain
from tasks.told import telling_safely


@flow(name="maintain-store", persist_result=False)
@telling_safely
def maintain_store(store: str | None = None, retention_hours: int | None = None) -> list[Upkeep]:
    """Drop evidence whose time has run out, put small files together, remove what no reader needs, sum up the logs.

    Args:
        store: Root of the tables; the setting when None.
        retention_hours: How long files of old versions are kept; the setting when None.

    Returns:
        What became of each table.

    Raises:
        PolicyError: The policy that says how long evidence is kept has a fault; nothing was done.
        LandingError: The store does not do it; what was done stays done, and the flow can simply run again.
    """
    settings = load_settings(store=store)
    hours = settings.store_retention_hours if retention_hours is None else retention_hours
    tables = open_store(settings)
    # first, so that the files of what was dropped begin to age
    drop_evidence(tables, load_policy(settings.config / "policy.yaml"), settings, new_run_id("maintain"))
    done = maintain(tables, hours)
    about = f"Files of versions older than {hours} hours were removed."
    publish_table("maintained-tables", [asdict(one) for one in done], about)
    return done
