"""Drafts go to a Label Studio server, each task once, whatever becomes of requests and replies.

The server takes the same task twice if it is asked twice, so what is there is listed first, by our name of the task,
and again after every lost reply. Knows which tasks there are and what a task looks like; must not know HTTP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labelop import progress
from labelop.egress.audit import AuditLog
from labelop.errors import ReviewServerError
from labelop.ids import digest_of
from labelop.landing.filters import equal
from labelop.landing.store import Store, read_rows
from labelop.review.connection import image_place, is_onprem
from labelop.review.label_server import Backend, LabelServer, Project
from labelop.review.task_export import select_tasks
from labelop.review.task_forms import labelling_config, task_form
from labelop.review.tasks import ReviewTask, load_ontology
from labelop.runs import current_version, source_root
from labelop.sensitivity.clearance import NamedPolicy
from labelop.settings import Settings

CHUNK_TASKS = 5000
"""Most tasks of one request."""
CHUNK_BYTES = 32 * 1024 * 1024
"""Most bytes of one request, but for a single task that is larger."""
ROUNDS = 5
"""Times in a row that a push goes on after a lost reply without any task having arrived."""

_NAME_CHARACTERS = 30
_DIGITS = 8


@dataclass(frozen=True, slots=True)
class PushResult:
    """What a push came to."""

    project_id: int | None
    """The server's number of the project; None where there was nothing to push."""
    pushed: int
    """Tasks that were not there before."""
    present: int
    """Tasks that were there."""
    doubled: int
    """Copies of tasks that were removed; nobody had touched them."""
    withheld: int
    """Tasks left out because the server, or a bucket's address, is elsewhere and may not learn their names."""


def push_reviews(
    store: Store,
    server: LabelServer,
    dataset: str,
    settings: Settings,
    *,
    dataset_version: str | None = None,
    policy: NamedPolicy | None = None,
    masks: bool = False,
    smart: bool = False,
    backend: Backend | None = None,
    limit: int | None = None,
) -> PushResult:
    """Put the review tasks of a dataset on a server; what is there already is left alone.

    Args:
        store: Where the drafts are.
        server: Where they go.
        dataset: Dataset name.
        settings: Where that server is, and which files it serves.
        dataset_version: Dataset version; the one landed last when None.
        policy: The sensitivity policy in force; without one nothing may be named elsewhere.
        masks: Whether drafts that have a mask are shown as masks for the brush; else as boxes. Each has a project of
            its own.
        smart: Whether clicks and boxes ask an ML backend for masks; needs `masks`.
        backend: Whom they ask, with `smart`; whoever the project has when None.
        limit: Most tasks, from the front of the fixed order; all when None.

    Raises:
        RunFailedError: The dataset has never been ingested.
        ReviewError: The server cannot get to see the images.
        ReviewServerError: The server does not answer; what arrived is there, and a push later does the rest.
        ReviewServerRefusedError: The server does not take a task or a configuration.
        OSError: The egress log could not be written; nothing was pushed.
    """
    version = dataset_version or current_version(store, dataset)
    place = image_place(_source_uri(store, dataset, version), settings)
    log = AuditLog(settings.audit_path)
    # what is there is told by its name: a task that was done stays done, and a limit stays the front of one order
    kept, withheld = select_tasks(
        store, dataset, version, place.prefix, policy=policy, log=log, limit=limit, again=True
    )
    wanted = {task.task_uid: task for task in kept}
    if not wanted:
        return PushResult(None, 0, 0, 0, withheld)
    # words that came with a source stay with its files
    ontology = load_ontology(store, dataset, version, with_source=is_onprem(settings))
    project = _project(server, dataset, version, labelling_config(ontology, masks=masks, smart=smart))
    if place.folder:
        server.serve_folder(project.id, place.folder)
    if place.bucket:
        server.serve_bucket(project.id, place.bucket)
    there, doubled = _present(server, project, wanted)
    present = len(there)
    stuck, is_lost = 0, False
    while missing := [task for uid, task in wanted.items() if uid not in there]:
        try:
            for chunk in _chunks(missing, place.prefix, masks=masks):
                progress.report(f"push {dataset}", len(there), len(wanted))
                server.import_tasks(project.id, chunk)
                there |= {form["data"]["task_uid"] for form in chunk}
        except ReviewServerError:
            before, is_lost = len(there), True
            there, more = _present(server, project, wanted)
            doubled += more
            stuck = 0 if len(there) > before else stuck + 1
            if stuck == ROUNDS:
                raise
    if is_lost:  # the server may have done later what it was asked for a second time meanwhile
        doubled += _present(server, project, wanted)[1]
    if backend is not None:
        # after the drafts: an empty project would take the backend's version for that of its drafts
        server.connect_backend(project.id, backend)
    progress.report(f"push {dataset}", len(wanted), len(wanted))
    return PushResult(project.id, len(wanted) - present, present, doubled, withheld)


def find_projects(server: LabelServer, dataset: str, dataset_version: str) -> list[Project]:
    """List the projects that drafts of a dataset version were pushed to: one per labelling configuration."""
    mark = _mark(dataset, dataset_version)
    pattern = re.compile(rf".* {mark}-[0-9a-f]{{{_DIGITS}}}")
    return [project for project in server.projects(mark) if pattern.fullmatch(project.title)]


def _mark(dataset: str, dataset_version: str) -> str:
    return digest_of([dataset, dataset_version])[:_DIGITS]


def _project(server: LabelServer, dataset: str, version: str, config: str) -> Project:
    # the server takes 50 characters
    title = f"{dataset[:_NAME_CHARACTERS]} {_mark(dataset, version)}-{digest_of(config)[:_DIGITS]}"
    for tried in range(ROUNDS):
        known = [project for project in server.projects(title) if project.title == title]
        if known:
            return known[0]
        try:
            made = server.create_project(title, config)
        except ReviewServerError:
            if tried == ROUNDS - 1:
                raise
            continue  # it may have been made
        # of two pushes that made one at the same time the older one's counts
        oldest = next(project for project in server.projects(title) if project.title == title)
        if oldest.id != made.id:
            server.delete_project(made.id)
        return oldest
    raise AssertionError  # the last round returns or raises


def _present(server: LabelServer, project: Project, wanted: Mapping[str, ReviewTask]) -> tuple[set[str], int]:
    """List which of our tasks are there; of a doubled one the copy somebody touched is kept, else the first."""
    found: dict[str, list[int]] = {}
    for task in server.tasks(project.id):
        if task.task_uid is not None:
            found.setdefault(task.task_uid, []).append(task.id)
    removed = 0
    for ids in found.values():
        if len(ids) == 1:
            continue
        untouched = [task_id for task_id in ids if not server.task_state(task_id).is_touched]
        for task_id in untouched[1:] if len(untouched) == len(ids) else untouched:
            server.delete_task(task_id)
            removed += 1
    return found.keys() & wanted.keys(), removed


def _chunks(tasks: Sequence[ReviewTask], prefix: str, *, masks: bool) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    room = CHUNK_BYTES
    for task in tasks:
        form = task_form(task, prefix, masks=masks)
        size = len(json.dumps(form))
        if chunk and (len(chunk) == CHUNK_TASKS or size > room):
            yield chunk
            chunk, room = [], CHUNK_BYTES
        chunk.append(form)
        room -= size
    if chunk:
        yield chunk


def _source_uri(store: Store, dataset: str, version: str) -> str:
    known = source_root(store, dataset, version)
    if known is not None:
        return known
    rows = read_rows(store, "images", columns=["source_uri"], filters=equal(dataset=dataset, dataset_version=version))
    return str(rows[0]["source_uri"]) if rows else ""
