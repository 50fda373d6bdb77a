"""A Label Studio in memory that does to requests and replies what a bad network and a bad server do."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from labelop.review.label_server import LabelServer
from labelop.review.rest import Rest

TOKEN = "s3cr3t-token"
"""What every request has to bring."""
Task = dict[str, Any]
Fate = Callable[[httpx.Request, int], str]
"""Says what becomes of a request of this number: pass, lose (done, no reply), twice, or a status to answer with."""


@dataclass
class FakeServer:
    """Answers the calls that labelop makes; the real one is asked by the slow tests."""

    fate: Fate = lambda _request, _number: "pass"
    release: Any = "1.23.2"
    projects: dict[int, str] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)
    storages: list[dict[str, Any]] = field(default_factory=list)
    backends: dict[int, dict[str, Any]] = field(default_factory=dict)
    backend_token: str | None = None
    """What the ML backend wants to hear; without one there is none."""
    raw: dict[int, str] = field(default_factory=dict)
    """Text that stands for a task in exports, instead of the task."""
    calls: Counter[str] = field(default_factory=Counter)
    slept: list[float] = field(default_factory=list)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def server(self, **options: Any) -> LabelServer:
        """Give the way to it."""
        rest = Rest(
            "http://127.0.0.1:1",
            TOKEN,
            transport=httpx.MockTransport(self.answer),
            sleep=self.slept.append,
            draw=lambda _low, high: high,
            **options,
        )
        return LabelServer(rest)

    def add(self, project: int, form: Task) -> int:
        """Add one task as an import does."""
        task_id = next(self._ids)
        self.tasks[task_id] = {"id": task_id, "project": project, "annotations": [], "drafts": [], **form}
        return task_id

    def uids(self, project: int = 1) -> list[str]:
        """Name the tasks of a project, doubled ones twice."""
        return sorted(t["data"]["task_uid"] for t in self.tasks.values() if t["project"] == project)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request, or raise what a client sees of a lost reply."""
        assert request.headers["Authorization"] == f"Token {TOKEN}"
        assert "s3cr3t" not in str(request.url)
        self.calls[f"{request.method} {re.sub(r'[0-9]+', 'N', request.url.path)}"] += 1
        fate = self.fate(request, next(self._numbers))
        if fate.isdigit():
            return httpx.Response(int(fate), json={"detail": "drawn"}, headers={"Retry-After": "7"})
        answer = self._done(request)
        if fate == "twice":
            answer = self._done(request)
        if fate == "lose":
            raise httpx.ReadError("the reply is lost")
        return answer

    def _done(self, request: httpx.Request) -> httpx.Response:  # noqa: C901, PLR0911 - one line for each call
        path, query = request.url.path, request.url.params
        if path == "/api/version":
            return httpx.Response(200, json={"release": self.release})
        if path == "/api/projects" and request.method == "GET":
            found = [{"id": i, "title": t} for i, t in self.projects.items() if query["title"].lower() in t.lower()]
            return httpx.Response(200, json={"results": found, "next": None})
        if path == "/api/projects":
            number = len(self.projects) + 1
            self.projects[number] = json.loads(request.content)["title"]
            return httpx.Response(201, json={"id": number, "title": self.projects[number]})
        if path == "/api/tasks":
            return httpx.Response(200, json={"tasks": self._listed(query)})
        if path.startswith("/api/ml"):
            return self._backends(request)
        if path.startswith("/api/storages/"):
            if request.method == "POST":
                self.storages.append(json.loads(request.content))
                return httpx.Response(201, json={"id": 1})
            return httpx.Response(200, json=[{"id": 1, **one} for one in self.storages])
        number = int(path.split("/")[3])
        if path.endswith("/import"):
            made = [self.add(number, form) for form in json.loads(request.content)]
            return httpx.Response(201, json={"task_count": len(made)})
        if path.endswith("/export"):
            wanted = [int(one) for one in query.get_list("ids[]")]
            texts = [self.raw.get(one) or json.dumps(self.tasks[one]) for one in wanted if one in self.tasks]
            return httpx.Response(200, content=f"[{','.join(texts)}]".encode())
        if path.startswith("/api/projects/"):
            gone = self.projects.pop(number, None)
            return httpx.Response(204 if gone else 404)
        if request.method == "DELETE":
            return httpx.Response(204 if self.tasks.pop(number, None) else 404)
        task = self.tasks[number]
        return httpx.Response(200, json={**task, "total_annotations": len(task["annotations"])})

    def _backends(self, request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            return httpx.Response(204 if self.backends.pop(int(request.url.path.split("/")[3]), None) else 404)
        if request.method == "POST":
            form = json.loads(request.content)
            if form["basic_auth_pass"] != self.backend_token:
                return httpx.Response(400, json={"validation_errors": {"non_field_errors": ["Can't connect"]}})
            self.backends[next(self._ids)] = form
            return httpx.Response(403, json={"detail": "URL resolves to a reserved network address"})  # as 1.23.2 does
        known = [{"id": i, "state": "CO", **one} for i, one in self.backends.items()]
        for one in known:
            if one.pop("basic_auth_pass") != self.backend_token:
                one["state"] = "ER"
        return httpx.Response(200, json=known)

    def _listed(self, query: httpx.QueryParams) -> list[Task]:
        asked = {
            one["filter"].rpartition(":")[2]: one["value"] for one in json.loads(query["query"])["filters"]["items"]
        }
        kept = [
            {"id": i, "data": task["data"]}
            for i, task in sorted(self.tasks.items())
            if str(task["project"]) == query["project"]
            and i > asked["id"]
            and ("total_annotations" not in asked or _count(task, cancelled=False))
            and ("cancelled_annotations" not in asked or _count(task, cancelled=True))
            and ("updated_at" not in asked or str(task.get("updated_at", "")) > asked["updated_at"])
        ]
        return kept[: int(query["page_size"])]


def _count(task: Task, *, cancelled: bool) -> int:
    return sum(bool(one.get("was_cancelled")) is cancelled for one in task["annotations"] if isinstance(one, dict))
