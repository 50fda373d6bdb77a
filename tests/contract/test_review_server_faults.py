"""Pushing to and pulling from a review server, whatever becomes of requests, replies and records."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from labelop.egress.audit import entries
from labelop.errors import ReviewError, ReviewServerError, ReviewServerRefusedError
from labelop.landing.store import Store, land, read_rows
from labelop.review import label_server, push
from labelop.review.label_server import Backend
from labelop.review.label_studio import export_tasks, import_reviews
from labelop.review.pull import pull_reviews
from labelop.review.push import PushResult, push_reviews
from labelop.settings import Settings
from tests.fake_label_studio import FakeServer
from tests.unit.review_rows import VERSION, annotated, filled_store, image_row, imported, prelabel_row, written

IMPORT = "/import"


def _settings(tmp_path: Path, **changes: Any) -> Settings:
    known: dict[str, Any] = {
        "label_studio_url": "http://127.0.0.1:1",
        "label_studio_root": tmp_path,
        "store": str(tmp_path / "store"),
    }
    return Settings(**(known | changes))


def _store(tmp_path: Path, images: int = 7, source: str | None = None) -> Store:
    store = Store(str(tmp_path / "store"))
    uri = source or (tmp_path / "a b" / "images").as_uri()
    land(store, "images", [image_row(n, source_uri=uri) for n in range(images)], key="images")
    land(store, "prelabels", [prelabel_row(n) for n in range(images)], key="prelabels")
    return store


def _pushed(tmp_path: Path, store: Store, fake: FakeServer, **options: Any) -> PushResult:
    return push_reviews(store, fake.server(), "cells", _settings(tmp_path), **options)


def _on_import(*fates: str) -> Callable[[httpx.Request, int], str]:
    waiting = list(fates)

    def fate(request: httpx.Request, _: int) -> str:
        return waiting.pop(0) if request.url.path.endswith(IMPORT) and waiting else "pass"

    return fate


def test_every_task_is_pushed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks go out in chunks, a second push adds nothing, a longer one only what is new."""
    monkeypatch.setattr(push, "CHUNK_TASKS", 2)
    monkeypatch.setattr(label_server, "PAGE_TASKS", 3)
    store, fake = _store(tmp_path), FakeServer()
    assert _pushed(tmp_path, store, fake, limit=5) == PushResult(1, 5, 0, 0, 0)
    assert fake.calls["POST /api/projects/N/import"] == 3
    assert _pushed(tmp_path, store, fake, limit=5) == PushResult(1, 0, 5, 0, 0)
    assert _pushed(tmp_path, store, fake) == PushResult(1, 2, 5, 0, 0)
    assert len(set(fake.uids())) == len(fake.uids()) == 7
    assert [one["path"] for one in fake.storages] == [str(tmp_path / "a b" / "images")]
    [image, *_] = sorted(task["data"]["image"] for task in fake.tasks.values())
    assert image == "/data/local-files/?d=a%20b/images/images/a%200.jpg"


def test_a_chunk_is_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large tasks travel in smaller chunks, one that is larger than a chunk alone."""
    monkeypatch.setattr(push, "CHUNK_BYTES", 100)
    store, fake = _store(tmp_path), FakeServer()
    _pushed(tmp_path, store, fake)
    assert fake.calls["POST /api/projects/N/import"] == 7


@pytest.mark.parametrize("fates", [("lose",), ("500",), ("twice",), ("lose", "502", "lose", "503"), ("429", "429")])
def test_lost_and_repeated_requests_make_no_task_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fates: tuple[str, ...]
) -> None:
    """Whether a reply was lost, a request came twice or was refused for now: every task is there once in the end."""
    monkeypatch.setattr(push, "CHUNK_TASKS", 3)
    store, fake = _store(tmp_path), FakeServer(_on_import(*fates))
    _pushed(tmp_path, store, fake)
    _pushed(tmp_path, store, fake)
    assert len(set(fake.uids())) == len(fake.uids()) == 7


@pytest.mark.parametrize("seed", range(5))
def test_a_third_dropped_and_a_third_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """With 30 % of all replies dropped and 30 % of all requests done twice, N tasks are made and N reviews land."""
    monkeypatch.setattr(push, "CHUNK_TASKS", 2)
    draw = random.Random(seed)
    store = _store(tmp_path, images=20)
    fake = FakeServer(lambda _request, _number: draw.choices(["lose", "twice", "pass"], [0.3, 0.3, 0.4])[0])
    for _ in range(20):
        with suppress(ReviewServerError):
            _pushed(tmp_path, store, fake)
            break
    project = min(fake.projects)
    fake.fate = lambda _request, _number: "pass"
    _pushed(tmp_path, store, fake)
    assert len(set(fake.uids(project))) == len(fake.uids(project)) == 20
    _annotate(fake)
    assert pull_reviews(store, fake.server(), "cells", "run").landed == 20
    assert pull_reviews(store, fake.server(), "cells", "again").landed == 0


def _annotate(fake: FakeServer, **changes: Any) -> None:
    for task in fake.tasks.values():
        task["annotations"] = annotated(task, **changes)["annotations"]
        task["updated_at"] = "2026-11-20T10:00:00Z"


def test_of_a_doubled_task_the_touched_copy_is_kept(tmp_path: Path) -> None:
    """A copy that nobody touched goes; where people worked on both, both stay."""
    store, fake = _store(tmp_path, images=3), FakeServer()
    _pushed(tmp_path, store, fake)
    first, second, third = list(fake.tasks.values())
    for task in (first, second, third):
        fake.add(1, {"data": task["data"], "predictions": task["predictions"]})
    copies = list(fake.tasks.values())[3:]
    copies[1]["annotations"] = annotated(second)["annotations"]
    third["drafts"], copies[2]["drafts"] = [{"id": 1}], [{"id": 2}]
    assert _pushed(tmp_path, store, fake).doubled == 2
    assert sorted(fake.tasks) == sorted([first["id"], copies[1]["id"], third["id"], copies[2]["id"]])


def test_a_server_that_stays_away_ends_the_push(tmp_path: Path) -> None:
    """The error says that a retry can help, rests grow, and the server's own word on how long is heard."""
    store = _store(tmp_path)
    fake = FakeServer(lambda _request, _number: "503")
    with pytest.raises(ReviewServerError, match="answered with 503: drawn") as caught:
        _pushed(tmp_path, store, fake)
    assert caught.value.retryable
    assert fake.slept == [7.0] * 4
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("path", ["/api/projects", "/api/storages/localfiles"])
def test_what_was_made_with_a_lost_reply_is_found(tmp_path: Path, path: str) -> None:
    """A project or storage is never made twice because the reply to its making was lost."""
    lost = iter(["lose"])
    fake = FakeServer(
        lambda request, _: next(lost, "pass") if (request.method, request.url.path) == ("POST", path) else "pass"
    )
    _pushed(tmp_path, _store(tmp_path), fake)
    assert (list(fake.projects), len(fake.storages)) == ([1], 1)


def test_a_refusal_is_final(tmp_path: Path) -> None:
    """A token that is not good, or tasks the server does not take, end at once and say what the server said."""
    store = _store(tmp_path)
    for status in ("401", "400"):
        fake = FakeServer(_on_import(status))
        with pytest.raises(ReviewServerRefusedError, match=f"answered with {status}: drawn") as caught:
            _pushed(tmp_path, store, fake)
        assert not caught.value.retryable
        assert fake.calls["POST /api/projects/N/import"] == 1


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    """The token reaches no other host, whatever the server says."""
    with pytest.raises(ReviewServerRefusedError, match="302"):
        _pushed(tmp_path, _store(tmp_path), FakeServer(lambda _request, _number: "302"))


def test_a_backend_is_connected_once(tmp_path: Path) -> None:
    """However often a project is pushed it has one backend that answers, though the server refuses what it did.

    An older one with another token is removed, and one that cannot be reached is told; no token is shown.
    """
    store, fake = _store(tmp_path), FakeServer(backend_token="old")
    for token in ("old", "old", "new", "new"):
        fake.backend_token = token
        _pushed(tmp_path, store, fake, smart=True, backend=Backend("http://127.0.0.1:9090", token))
    [known] = fake.backends.values()
    assert (known["basic_auth_pass"], known["is_interactive"], known["project"]) == ("new", True, 1)
    assert fake.calls["POST /api/ml"] == 2
    with pytest.raises(ReviewServerRefusedError, match="answered with 400") as caught:
        _pushed(tmp_path, store, fake, smart=True, backend=Backend("http://127.0.0.1:9091", "0ther-t0ken"))
    assert "0ther-t0ken" not in f"{caught.value} {Backend('http://127.0.0.1:9091', '0ther-t0ken')}"


def test_images_that_nobody_could_see_are_not_pushed(tmp_path: Path) -> None:
    """A server elsewhere gets no task of images in a folder here, nor one whose root is not above them."""
    store = _store(tmp_path)
    away = _settings(tmp_path, label_studio_url="https://labels.example.org")
    with pytest.raises(ReviewError, match="is elsewhere"):
        push_reviews(store, FakeServer().server(), "cells", away)
    other = _settings(tmp_path, label_studio_root=tmp_path / "other")
    with pytest.raises(ReviewError, match="no folder below"):
        push_reviews(store, FakeServer().server(), "cells", other)


def test_a_bucket_is_told_of_no_image_that_may_not_leave(tmp_path: Path) -> None:
    """Images in a bucket are named only where the policy lets them go; without one none is, and no project is made."""
    store, fake = _store(tmp_path, source="s3://photos/night"), FakeServer()
    assert _pushed(tmp_path, store, fake) == PushResult(None, 0, 0, 0, 7)
    (line,) = entries(_settings(tmp_path).audit_path)
    assert (line["event"], line["answer"], line["to"], line["images_count"]) == ("named_elsewhere", "deny", "photos", 7)
    assert fake.calls == {}


def test_pull_lands_what_people_did_and_says_with_what(tmp_path: Path) -> None:
    """Submitted and skipped tasks land with the tool's release; tasks nobody touched are not asked for."""
    store, fake = _store(tmp_path, images=4), FakeServer()
    _pushed(tmp_path, store, fake)
    one, two, three, _ = fake.tasks.values()
    one["annotations"] = annotated(one)["annotations"]
    two["annotations"] = annotated(two, was_cancelled=True)["annotations"]
    three["annotations"] = [
        annotated(three)["annotations"][0],
        annotated(three, unique_id="x", completed_by=9)["annotations"][0],
    ]
    result = pull_reviews(store, fake.server(), "cells", "run")
    assert (result.landed, result.quarantined, result.skipped) == (4, 0, 0)
    rows = imported(store)
    assert {(row["tool"], row["tool_version"]) for row in rows} == {("label_studio", "1.23.2")}
    assert sorted(row["decision"] for row in rows) == ["approved", "approved", "approved", "rejected"]
    assert all(row["source_digest"] for row in rows)


def test_pull_looks_at_lately_changed_tasks_only_when_told(tmp_path: Path) -> None:
    """A pull of the last hours asks for less; a full one finds everything."""
    store, fake = _store(tmp_path, images=2), FakeServer()
    _pushed(tmp_path, store, fake)
    _annotate(fake)
    assert pull_reviews(store, fake.server(), "cells", "run", changed_within_hours=0.5).landed == 0
    assert fake.calls["GET /api/projects/N/export"] == 0
    assert pull_reviews(store, fake.server(), "cells", "run").landed == 2


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "NaN": (lambda _: "NaN", "BAD_RECORD"),
    "100,000 deep": (lambda _: "[" * 100_000 + "]" * 100_000, "BAD_RECORD"),
    "no object": (lambda _: "5", "BAD_RECORD"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_record_that_cannot_be_read_costs_only_itself(tmp_path: Path, name: str) -> None:
    """One task's export that is no JSON is quarantined under the task's number, its siblings land.

    Fails without the second look task by task: the whole pull ended.
    """
    change, reason = HOSTILE[name]
    store, fake = _store(tmp_path, images=3), FakeServer()
    _pushed(tmp_path, store, fake)
    _annotate(fake)
    fake.raw[2] = change({})
    result = pull_reviews(store, fake.server(), "cells", "run")
    assert (result.landed, result.quarantined) == (2, 1)
    [row] = read_rows(store, "quarantine")
    assert row["reason"] == reason
    assert row["path"] == "label-studio/projects/1"
    assert row["pointer"].startswith(("/2", "/?/1"))
    assert pull_reviews(store, fake.server(), "cells", "again").landed == 0


def test_tasks_of_others_land_nothing(tmp_path: Path) -> None:
    """Another project's tasks are never asked for; a foreign task in our project is quarantined."""
    store, fake = _store(tmp_path, images=1), FakeServer()
    _pushed(tmp_path, store, fake)
    _annotate(fake)
    [own] = fake.tasks.values()
    fake.projects[2] = "somebody else's"
    fake.add(2, {"data": {"task_uid": "t-foreign"}, "annotations": own["annotations"]})
    fake.add(1, {"data": {"task_uid": "t-foreign"}, "annotations": own["annotations"]})
    fake.add(1, {"data": {"image": "x"}, "annotations": own["annotations"]})
    result = pull_reviews(store, fake.server(), "cells", "run")
    assert (result.landed, result.quarantined) == (1, 2)
    assert sorted(row["reason"] for row in read_rows(store, "quarantine")) == ["BAD_RECORD", "UNKNOWN_TASK"]


def test_what_is_no_label_studio_is_told(tmp_path: Path) -> None:
    """A server that answers in another way than Label Studio is refused with a hint, not guessed at."""
    store = _store(tmp_path, images=1)
    with pytest.raises(ReviewServerRefusedError, match="no Version"):
        pull_reviews(store, FakeServer(release=7).server(), "cells", "run")


def test_a_file_and_a_pull_of_one_project_land_one_review(tmp_path: Path) -> None:
    """The export file of a project brings nothing that a pull of it brought."""
    store, fake = filled_store(tmp_path / "store"), FakeServer()
    fake.projects[1] = f"cells {push._mark('cells', VERSION)}-01234567"
    for form in export_tasks(store, "cells"):
        fake.add(1, form)
    _annotate(fake)
    assert pull_reviews(store, fake.server(), "cells", "run").landed == 3
    result = import_reviews(store, written(tmp_path / "e.json", list(fake.tasks.values())), "cells", "file")
    assert (result.landed, result.skipped) == (0, 3)
