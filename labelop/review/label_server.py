"""What a Label Studio server is asked for, call by call, and nothing about what its answers mean.

The calls are those of release 1.23 of its community edition. Every answer is foreign: it is checked here for the few
fields that are needed.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labelop.errors import ReviewServerError, ReviewServerRefusedError
from labelop.review.annotation_forms import shown
from labelop.review.rest import TRIES, Rest

PAGE_TASKS = 1000
"""Tasks of one page of a listing."""
IMPORT_SECONDS = 600.0
"""Longest wait for an answer to an import; the server checks every region before it answers."""

_BACKEND, _CONNECTED = "labelop", "CO"
_ANNOTATED = ("total_annotations", "cancelled_annotations")


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


_AnswerT = TypeVar("_AnswerT", bound=_Answer)


class Project(_Answer):
    """A project of the server."""

    id: int
    title: str


class ListedTask(_Answer):
    """A task as a listing has it."""

    id: int
    data: dict[str, Any] = Field(default_factory=dict)

    @property
    def task_uid(self) -> str | None:
        """Our name of the task; None for one that we did not make."""
        found = self.data.get("task_uid")
        return found if isinstance(found, str) else None


class TaskState(_Answer):
    """What has been done to a task."""

    id: int
    total_annotations: int = 0
    cancelled_annotations: int = 0
    drafts: list[Any] = Field(default_factory=list)

    @property
    def is_touched(self) -> bool:
        """Whether somebody's work would be lost with it."""
        return bool(self.total_annotations or self.cancelled_annotations or self.drafts)


class _Projects(_Answer):
    results: list[Project]
    next: str | None = None


class _Tasks(_Answer):
    tasks: list[ListedTask]


class _Version(_Answer):
    release: str


class _Imported(_Answer):
    task_count: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """An object store as a server reaches it."""

    name: str
    """Bucket."""
    prefix: str
    """What keys begin with."""
    endpoint: str | None
    """Address of the store; the provider's own when None."""
    region: str
    """Region."""
    key: str | None
    """Access key id."""
    secret: str | None
    """Secret of it."""


@dataclass(frozen=True, slots=True)
class Backend:
    """An interactive ML backend as a server reaches it, see `labelop.review.backend`."""

    url: str
    """Its address, http(s)."""
    token: str = field(repr=False)
    """What it wants to hear."""


class LabelServer:
    """A Label Studio server.

    Args:
        rest: The way to it.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self.name = rest.name

    def version(self) -> str:
        """Name the release that runs there.

        Raises:
            ReviewServerError: Nobody answers.
            ReviewServerRefusedError: It is no Label Studio.
        """
        return shown(_checked(_Version, self._rest.get("/api/version")).release)

    def projects(self, text: str) -> list[Project]:
        """List the projects whose title holds a text, oldest first."""
        found: list[Project] = []
        while True:
            page = len(found) // PAGE_TASKS + 1
            params = {"title": text, "page": page, "page_size": PAGE_TASKS, "include": "id,title"}
            answer = _checked(_Projects, self._rest.get("/api/projects", params))
            found += answer.results
            if answer.next is None or not answer.results:
                return sorted(found, key=lambda project: project.id)

    def create_project(self, title: str, config: str) -> Project:
        """Make a project; raises ReviewServerError when it is not known whether it was made."""
        # a draft fills the editor of whoever opens the task
        body = {"title": title, "label_config": config, "show_collab_predictions": True}
        return _checked(Project, self._rest.post("/api/projects", body))

    def delete_project(self, project_id: int) -> None:
        """Remove a project with everything in it."""
        self._rest.delete(f"/api/projects/{project_id}")

    def tasks(self, project_id: int) -> Iterator[ListedTask]:
        """List all tasks of a project in order of id."""
        last = 0
        while page := self._page(project_id, [_newer("id", "Number", last)]):
            yield from page
            last = page[-1].id

    def annotated(self, project_id: int, since: dt.datetime | None = None) -> list[int]:
        """List the ids of tasks that somebody submitted or skipped.

        Args:
            project_id: The project.
            since: Only tasks that were changed after it, by the server's clock; all when None.
        """
        changed = [] if since is None else [_newer("updated_at", "Datetime", since.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))]
        found: set[int] = set()
        for count in _ANNOTATED:  # their filters cannot say "one or the other, and after this id"
            last = 0
            while page := self._page(project_id, [_newer(count, "Number", 0), _newer("id", "Number", last), *changed]):
                found.update(task.id for task in page)
                last = page[-1].id
        return sorted(found)

    def _page(self, project_id: int, conditions: Sequence[Mapping[str, Any]]) -> list[ListedTask]:
        # by id and not by number: a page must not shift while tasks come and go
        query = {"filters": {"conjunction": "and", "items": list(conditions)}, "ordering": ["tasks:id"]}
        params = {"project": project_id, "page": 1, "page_size": PAGE_TASKS, "include": "id,data"}
        found = _checked(_Tasks, self._rest.get("/api/tasks", params | {"query": json.dumps(query)})).tasks
        ids = [task.id for task in found]
        after = [one["value"] for one in conditions if one["filter"] == "filter:tasks:id"]
        if ids != sorted(set(ids)) or (ids and ids[0] <= after[0]):
            raise ReviewServerRefusedError(f"Project {project_id} of {self.name} lists its tasks in no order.")
        return found

    def import_tasks(self, project_id: int, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Add tasks with their predictions.

        Raises:
            ReviewServerError: It is not known whether, or how many, were added: list and look.
            ReviewServerRefusedError: The server refuses all of them.
        """
        path = f"/api/projects/{project_id}/import"
        done = _checked(_Imported, self._rest.post(path, list(tasks), seconds=IMPORT_SECONDS))
        if done.task_count != len(tasks):
            raise ReviewServerError(f"{self.name} says it took {done.task_count} tasks of {len(tasks)}.")

    def task_state(self, task_id: int) -> TaskState:
        """Say what has been done to a task."""
        return _checked(TaskState, self._rest.get(f"/api/tasks/{task_id}"))

    def delete_task(self, task_id: int) -> None:
        """Remove a task."""
        self._rest.delete(f"/api/tasks/{task_id}")

    def export(self, project_id: int, task_ids: Sequence[int]) -> list[Any]:
        """Export tasks with their annotations in the form of the tool's JSON export, unchecked.

        Raises:
            ReviewFormatError: The answer cannot be read; one of the tasks may be why.
        """
        params = {"exportType": "JSON", "ids[]": [str(one) for one in task_ids]}
        found = self._rest.get(f"/api/projects/{project_id}/export", params, seconds=IMPORT_SECONDS)
        if not isinstance(found, list):
            raise ReviewServerRefusedError(f"The export of project {project_id} of {self.name} is no list.")
        return found

    def serve_folder(self, project_id: int, folder: Path) -> None:
        """Let the server serve the images of one of its folders; does nothing where it does already."""
        own = {"path": str(folder)}
        self._serve("localfiles", project_id, own, {"use_blob_urls": True, "title": folder.name})

    def serve_bucket(self, project_id: int, bucket: Bucket) -> None:
        """Let the server sign addresses of images in a bucket; does nothing where it does already."""
        own = {"bucket": bucket.name, "prefix": bucket.prefix}
        more = {
            "title": bucket.name,
            "s3_endpoint": bucket.endpoint,
            "region_name": bucket.region,
            "aws_access_key_id": bucket.key,
            "aws_secret_access_key": bucket.secret,
            "use_blob_urls": True,
            "presign": True,
            "presign_ttl": 60,
        }
        self._serve("s3", project_id, own, more)

    def connect_backend(self, project_id: int, backend: Backend) -> None:
        """Let the editor ask a backend for masks; does nothing where it can already.

        Raises:
            ReviewServerError: It is not known whether it was connected.
            ReviewServerRefusedError: The server does not reach it, or it refuses the token.
        """
        own = {"project": project_id, "url": backend.url, "title": _BACKEND, "is_interactive": True}
        more = {"auth_method": "BASIC_AUTH", "basic_auth_user": _BACKEND, "basic_auth_pass": backend.token}
        if self._is_connected(own):
            return
        try:
            self._rest.post("/api/ml", own | more)
        except (ReviewServerError, ReviewServerRefusedError):
            # one on premises is connected and then refused, since no events would be sent to such an address
            if not self._is_connected(own):
                raise

    def _is_connected(self, own: Mapping[str, Any]) -> bool:
        """Look for a backend of ours that answers the server, and remove others of ours: the editor asks only one."""
        known = self._rest.get("/api/ml", {"project": own["project"]})
        ours = [one for one in known or () if isinstance(one, dict) and one.get("title") == own["title"]]
        good = [one for one in ours if {**own, "state": _CONNECTED}.items() <= one.items()]
        for one in ours:
            if one not in good[:1]:
                self._rest.delete(f"/api/ml/{int(one['id'])}")
        return bool(good)

    def _serve(self, kind: str, project_id: int, own: Mapping[str, str], more: Mapping[str, Any]) -> None:
        path = f"/api/storages/{kind}"
        for tried in range(1, TRIES + 1):
            known = self._rest.get(path, {"project": project_id})
            if any(isinstance(one, dict) and own.items() <= one.items() for one in known or ()):
                return
            try:
                self._rest.post(path, {"project": project_id, **own, **more})
            except ReviewServerError:  # it may have done it
                if tried == TRIES:
                    raise
            else:
                return


def _newer(field: str, kind: str, value: Any) -> dict[str, Any]:
    return {"filter": f"filter:tasks:{field}", "operator": "greater", "type": kind, "value": value}


def _checked(form: type[_AnswerT], value: Any) -> _AnswerT:
    try:
        return form.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = "".join(f"/{part}" for part in first["loc"])
        raise ReviewServerRefusedError(
            f"The server's answer has no {form.__name__.strip('_')} in it: {first['msg']} at {shown(place) or '/'}.",
            hint="LABELOP_LABEL_STUDIO_URL must be the address of a Label Studio 1.x.",
        ) from error
