"""Which drafts may go out for review under which address, and their way into a folder.

Knows the policy and the tables; the form of a task is `task_forms`' business, a server is not known.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from labelop.egress.address import shown
from labelop.egress.audit import AuditLog
from labelop.errors import ReviewError
from labelop.landing.store import Store
from labelop.meter.plan import one_at_a_time
from labelop.review.naming import answer_names
from labelop.review.queue import in_queue_order
from labelop.review.task_forms import LOCAL_FILES_PREFIX, labelling_config, task_form
from labelop.review.tasks import ReviewTask, load_ontology, load_tasks, still_open, tasks_to_give_out
from labelop.runs import current_version
from labelop.sensitivity.clearance import NamedPolicy

_AWAY = ("https", "http", "s3", "gs", "azure-blob")
"""Schemes that Label Studio opens."""
_PLAIN = re.compile(r"[!-\[\]-~]+")  # ASCII that shows, without the backslash
_RELATIVE = re.compile(r"(?![^/?#]*:)(?!.*//)[!-\[\]-~]*")


@dataclass(frozen=True, slots=True)
class ExportResult:
    """Where an export lies."""

    tasks_path: Path
    """JSON list of tasks with predictions."""
    config_path: Path
    """Labelling configuration, XML."""
    tasks_count: int
    """Tasks written."""
    withheld_count: int = 0
    """Tasks left out because their address would name an image to another host."""


def export_tasks(
    store: Store,
    dataset: str,
    *,
    dataset_version: str | None = None,
    prefix: str = LOCAL_FILES_PREFIX,
    policy: NamedPolicy | None = None,
    log: AuditLog | None = None,
    limit: int | None = None,
    again: bool = False,
) -> list[dict[str, Any]]:
    """Write the review tasks of a dataset as Label Studio tasks.

    Args:
        store: Where.
        dataset: Dataset name.
        dataset_version: Dataset version; the one landed last when None.
        prefix: Goes before each relative path; never the root of the originals. One that names a host or bucket tells
            it the names of files, so only images that may be at the cloud as they are are exported then.
        policy: The sensitivity policy in force; without one no image may be named elsewhere.
        log: The egress log, which has each answer before a task is written; without one no image may be named either.
        limit: Most tasks to export, from the front of the queue; all when None.
        again: Whether tasks whose review has come back are exported once more.

    Returns:
        Tasks in the order of `labelop.review.queue`; equal for equal tables.

    Raises:
        RunFailedError: The dataset has never been ingested.
        ReviewError: The prefix is no address that browsers and labelop read alike.
    """
    version = dataset_version or current_version(store, dataset)
    kept, _ = select_tasks(store, dataset, version, prefix, policy=policy, log=log, limit=limit, again=again)
    return [task_form(task, prefix) for task in kept]


def export_review(
    store: Store,
    dataset: str,
    folder: Path,
    *,
    dataset_version: str | None = None,
    prefix: str = LOCAL_FILES_PREFIX,
    policy: NamedPolicy | None = None,
    log: AuditLog | None = None,
    limit: int | None = None,
    again: bool = False,
) -> ExportResult:
    """Write `tasks.json` and `labelling-config.xml` into a folder, ready for a Label Studio project.

    Args: see `export_tasks`.

    Raises:
        RunFailedError: The dataset has never been ingested.
        ReviewError: The prefix is no address that browsers and labelop read alike, or the folder cannot be written.
    """
    version = dataset_version or current_version(store, dataset)
    kept, withheld = select_tasks(store, dataset, version, prefix, policy=policy, log=log, limit=limit, again=again)
    tasks = [task_form(task, prefix) for task in kept]
    # words that came with a source stay with its files
    config = labelling_config(load_ontology(store, dataset, version, with_source=not is_elsewhere(prefix)))
    result = ExportResult(folder / "tasks.json", folder / "labelling-config.xml", len(tasks), withheld)
    text = json.dumps(tasks, indent=1, sort_keys=True, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        result.tasks_path.write_text(text, encoding="utf-8")
        result.config_path.write_text(config, encoding="utf-8")
    except OSError as error:
        raise ReviewError(
            f"The export cannot be written to {folder}: {error.strerror}.", hint="`--output` names a folder."
        ) from error
    return result


def select_tasks(
    store: Store,
    dataset: str,
    version: str,
    prefix: str,
    *,
    policy: NamedPolicy | None,
    log: AuditLog | None,
    limit: int | None,
    again: bool,
) -> tuple[list[ReviewTask], int]:
    """Give the tasks that may be exported under a prefix, in the order of the queue, and how many may not.

    Without `again` those are left out whose review has come back.

    Raises:
        ReviewError: The prefix is no address that browsers and labelop read alike.
        OSError: The egress log could not be written; no task may go out then.
    """
    is_away = is_elsewhere(prefix)
    tasks = one_at_a_time(store, tasks_to_give_out(store, dataset, version, load_tasks(store, dataset, version)))
    if not again:
        tasks = still_open(store, dataset, version, tasks)
    tasks = in_queue_order(store, dataset, version, tasks)
    return answer_names(store, tasks, prefix, policy, log, limit=limit) if is_away else (tasks[:limit], 0)


def is_elsewhere(prefix: str) -> bool:
    r"""Say whether addresses name a host or bucket; relative ones stay with whoever serves the files.

    Browsers read `/\host/`, `//host/`, `http:host` and tabs in between as the address of another host, so what is
    neither plainly relative nor plainly absolute is refused.

    Raises:
        ReviewError: It is neither.
    """
    if _RELATIVE.fullmatch(prefix):
        return False
    try:
        address = urlsplit(prefix)
        if _PLAIN.fullmatch(prefix) and address.scheme in _AWAY and address.hostname and address.port != 0:
            return True
    except ValueError:
        pass  # no address either
    raise ReviewError(
        f"--prefix {shown(prefix)!r} is no address to put before the path of an image.",
        hint="Give a relative path without // and backslashes, or scheme://host/ with one of " + ", ".join(_AWAY) + ".",
    )
