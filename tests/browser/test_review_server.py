"""The real Label Studio: drafts go there, people and programs correct them, and the ledger says what they did."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from PIL import Image

from flows.sync_reviews import sync_reviews
from labelop.effort.ledger import land_edits
from labelop.ids import sha256_hex
from labelop.landing.store import Store, land, open_store, read_rows
from labelop.review import brush
from labelop.review.connection import connect
from labelop.review.pull import pull_reviews
from labelop.review.push import PushResult, find_projects, push_reviews
from tests.label_studio import Editor, Started, losing_replies
from tests.unit.review_rows import VERSION, card_row, image_row, imported, prediction, prelabel_row

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COUNT = 50
BOXES = {"a": (16.0, 16.0, 96.0, 80.0), "b": (190.0, 20.0, 280.0, 90.0), "c": (30.0, 150.0, 110.0, 230.0)}
"""Drafts of every image, pixels of 320 x 256; the lower right is free."""


def filled(served: Started, tmp_path: Path, dataset: str, *, mask: bool = False) -> Store:
    """Make a store with the sample's photographs and three drafts and a choice for each."""
    store = open_store(served.settings(str(tmp_path / "store")))
    photos = served.root / "photos"
    images, prelabels = [], []
    for number, path in enumerate(sorted(photos.iterdir())):
        with Image.open(path) as image:
            width, height = image.size
        assert (width, height) == (320, 256)
        own = {"dataset": dataset, "image_id": sha256_hex(path.read_bytes())}
        images.append(image_row(number, path=path.name, source_uri=photos.as_uri(), **own))
        drafts = [prediction(f"p-{number}-{name}", "RBC", edges) for name, edges in BOXES.items()]
        if mask:
            drafts[0]["mask_rle"] = brush.to_counts(_disc())
        drafts.append(prediction(f"p-{number}-choice", "thin", None))
        prelabels.append(prelabel_row(number, predictions=drafts, **own))
    cards = [card_row("m-local", "detection", ["RBC", "WBC"]), card_row("class", "classification", ["thin", "thick"])]
    for table, rows in {"images": images, "prelabels": prelabels, "cards": cards}.items():
        land(store, table, rows, key=table)
    return store


def _disc() -> brush.Mask:
    y, x = np.mgrid[:256, :320]
    return np.asarray((x - 56) ** 2 + (y - 48) ** 2 < 900)


def pushed(served: Started, store: Store, dataset: str, **options: Any) -> PushResult:
    """Push a dataset."""
    settings = served.settings(store.root, options.pop("url", None))
    with connect(settings) as server:
        return push_reviews(store, server, dataset, settings, **options)


def pulled(served: Started, store: Store, dataset: str, run: str) -> tuple[int, int, int]:
    """Pull a dataset and measure it."""
    with connect(served.settings(store.root)) as server:
        result = pull_reviews(store, server, dataset, run)
    land_edits(store, run, dataset=dataset)
    return result.landed, result.quarantined, result.skipped


def tasks_of(served: Started, project_id: int | None) -> list[dict[str, Any]]:
    """List tasks with their predictions, in the order of their ids."""
    with served.client() as client:
        params = {"project": project_id, "page": 1, "page_size": 1000, "fields": "all"}
        return sorted(client.get("/api/tasks", params=params).json()["tasks"], key=lambda task: int(task["id"]))


def submit(client: httpx.Client, task: dict[str, Any], result: list[Any], **more: Any) -> dict[str, Any]:
    """Submit an annotation as a program does."""
    body = {"result": result, "lead_time": 12.5, "parent_prediction": task["predictions"][0]["id"], **more}
    answer = client.post(f"/api/tasks/{task['id']}/annotations", json=body)
    answer.raise_for_status()
    return dict(answer.json())


def correct_by_hand(
    browser: Browser, served: Started, project_id: int | None, tasks: list[dict[str, Any]]
) -> list[str]:
    """Move and relabel in the first task, delete and add in the second, leave the third; give what was requested."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    editor = Editor(page, served)
    editor.open(project_id, tasks[0])  # move, and relabel another
    editor.drag((56, 48), (76, 58))
    editor.select(235, 55)
    page.keyboard.press("2")
    editor.submit()
    editor.open(project_id, tasks[1])  # delete, and add where there is room
    editor.select(70, 190)
    page.keyboard.press("Backspace")
    page.wait_for_function("window.Htx.annotationStore.selected.regions.length == 3", timeout=30_000)
    page.keyboard.press("2")
    editor.drag((180, 140), (280, 220))
    page.wait_for_function("window.Htx.annotationStore.selected.regions.length == 4", timeout=30_000)
    editor.submit()
    editor.open(project_id, tasks[2])  # nothing to correct
    editor.submit()
    page.close()
    return asked


def check_edits(store: Store, tasks: list[dict[str, Any]], rows: dict[str, dict[str, Any]]) -> None:
    """Compare the ledger with what was done to the first eight tasks."""
    expected = [
        {"adjust": 1, "relabel": 1, "accept": 2},
        {"delete": 1, "add": 1, "accept": 3},
        {"accept": 4},
        *[{"delete": 1, "accept": 3}] * 3,
        {},
        {"accept": 4},
    ]
    edits = read_rows(store, "edits")
    for task, wanted in zip(tasks, expected, strict=False):
        found = [edit for edit in edits if edit["image_id"] == task["data"]["image_id"]]
        assert Counter(edit["op"] for edit in found) == wanted, task["id"]
    image = tasks[0]["data"]["image_id"]
    moved = next(edit for edit in edits if edit["op"] == "adjust")
    assert (moved["image_id"], moved["drags_count"], moved["lineage"]) == (image, 1, True)
    assert moved["prediction_id"].endswith("-a")
    relabelled = next(edit for edit in edits if edit["op"] == "relabel")
    assert (relabelled["predicted_label"], relabelled["accepted_label"]) == ("RBC", "WBC")
    added = next(edit for edit in edits if edit["op"] == "add")
    label = next(v for v in rows[added["image_id"]]["labels"] if v["label_id"] == added["label_id"])
    edges = [label[name] for name in ("x0_px", "y0_px", "x1_px", "y1_px")]
    assert np.allclose(edges, (180, 140, 280, 220), atol=2.0)
    assert label["label"] == "WBC"


def test_what_people_and_programs_correct_is_what_the_ledger_says(
    served: Started, browser: Browser, tmp_path: Path
) -> None:
    """Fifty tasks out, corrections by API and in a real browser, one pull: the edits are those that were made.

    In the browser a draft is moved, one relabelled, one deleted and a box added; times are the editor's own, the
    prediction the annotation started from is named, and nothing is asked of another host.
    """
    store = filled(served, tmp_path, "people")
    first = pushed(served, store, "people")
    assert (first.pushed, first.present, first.doubled, first.withheld) == (COUNT, 0, 0, 0)
    assert pushed(served, store, "people") == PushResult(first.project_id, 0, COUNT, 0, 0)
    tasks = tasks_of(served, first.project_id)
    assert len(tasks) == COUNT

    asked = correct_by_hand(browser, served, first.project_id, tasks)
    assert [url for url in asked if not url.startswith((served.url, "data:", "blob:"))] == []
    with served.client() as client:
        for task in tasks[3:6]:  # a program deletes the first draft
            submit(client, task, task["predictions"][0]["result"][1:])
        submit(client, tasks[6], [], was_cancelled=True)
        reopened = submit(client, tasks[7], tasks[7]["predictions"][0]["result"])

    assert pulled(served, store, "people", "run-1") == (8, 0, 0)
    assert pulled(served, store, "people", "run-2") == (0, 0, 8)
    rows = {row["image_id"]: row for row in imported(store)}
    by_hand = [rows[task["data"]["image_id"]] for task in tasks[:3]]
    assert all(0 < row["lead_seconds"] < 600 and row["effort_source"] == "measured" for row in by_hand)
    assert all(row["lead_seconds"] != 12.5 and row["tool_version"] == "1.23.2" for row in by_hand)
    after = tasks_of(served, first.project_id)
    assert all(task["annotations"][0]["parent_prediction"] == task["predictions"][0]["id"] for task in after[:3])
    check_edits(store, tasks, rows)
    assert rows[tasks[6]["data"]["image_id"]]["decision"] == "rejected"

    with served.client() as client:  # somebody opens a task again, and the tool adds up the time
        change = {"result": tasks[7]["predictions"][0]["result"][:-1], "lead_time": 20.0}
        client.patch(f"/api/annotations/{reopened['id']}", json=change).raise_for_status()
    assert pulled(served, store, "people", "run-3") == (1, 0, 7)
    later = next(row for row in imported(store) if row["run_id"] == "run-3")
    earlier = rows[later["image_id"]]
    assert later["submitted_at"] > earlier["submitted_at"]
    assert (earlier["lead_seconds"], later["lead_seconds"]) == (12.5, 7.5)
    assert len(later["labels"]) == 3


def test_the_server_lets_nobody_in_by_itself(served: Started) -> None:
    """Its secrets are readable by their owner only; without them no image is given and nobody can sign up."""
    for name in ("password", "token"):
        assert (served.folder / name).stat().st_mode & 0o077 == 0
    with httpx.Client(base_url=served.url, timeout=60, trust_env=False) as client:
        assert client.get("/data/local-files/?d=photos/smear_0001.jpg").status_code == 401
        client.get("/user/signup")
        form = {
            "email": "a@example.org",
            "password": "long-enough-1",
            "csrfmiddlewaretoken": client.cookies.get("csrftoken"),
        }
        client.post("/user/signup", data=form, headers={"Referer": f"{served.url}/user/signup"})
        assert client.get("/api/projects").status_code == 401


def test_the_flow_pushes_and_pulls(served: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deployment's flow does both by settings alone, and a second run changes nothing."""
    store = filled(served, tmp_path, "flow")
    monkeypatch.setenv("LABELOP_LABEL_STUDIO_URL", served.url)
    monkeypatch.setenv("LABELOP_LABEL_STUDIO_TOKEN_FILE", str(served.folder / "token"))
    monkeypatch.setenv("LABELOP_LABEL_STUDIO_ROOT", str(served.root))
    sync_reviews.fn(["flow"], store=store.root)
    with connect(served.settings(store.root)) as server:
        [project] = find_projects(server, "flow", VERSION)
    tasks = tasks_of(served, project.id)
    with served.client() as client:
        submit(client, tasks[0], tasks[0]["predictions"][0]["result"])
    for _ in range(2):
        sync_reviews.fn(["flow"], store=store.root, changed_within_hours=24)
    assert len(imported(store)) == 1
    assert {edit["op"] for edit in read_rows(store, "edits")} == {"accept"}
    assert len(tasks_of(served, project.id)) == COUNT


def test_masks_come_back_from_the_editor(served: Started, browser: Browser, tmp_path: Path) -> None:
    """A draft's mask is shown by the editor's brush, and submitted untouched it is the same mask to the pixel."""
    store = filled(served, tmp_path, "masks", mask=True)
    project = pushed(served, store, "masks", masks=True, limit=2).project_id
    [by_hand, by_program] = tasks_of(served, project)
    editor = Editor(browser.new_page(viewport={"width": 1400, "height": 1000}), served)
    editor.open(project, by_hand)
    editor.submit()
    editor.page.close()
    with served.client() as client:
        submit(client, by_program, by_program["predictions"][0]["result"])
    assert pulled(served, store, "masks", "run") == (2, 0, 0)
    for row in imported(store):
        [label] = [label for label in row["labels"] if label["mask_rle"]]
        assert label["mask_rle"] == brush.to_counts(_disc())
        assert label["prediction_id"].endswith("-a")
    assert {edit["op"] for edit in read_rows(store, "edits")} == {"accept"}


def test_twelve_thousand_tasks_survive_lost_replies(served: Started, tmp_path: Path) -> None:
    """A push in chunks, the first reply of each kind lost after the server took the request, makes each task once."""
    store = open_store(served.settings(str(tmp_path / "store")))
    photo = next(iter(sorted((served.root / "photos").iterdir())))
    images, prelabels = [], []
    for number in range(12_000):
        own = {"dataset": "many", "image_id": f"{number:064x}"}
        images.append(image_row(number, path=photo.name, source_uri=photo.parent.as_uri(), **own))
        prelabels.append(prelabel_row(number, predictions=[prediction(f"p-{number}", "RBC", BOXES["a"])], **own))
    land(store, "images", images, key="images")
    land(store, "prelabels", prelabels, key="prelabels")
    imports = Counter[str]()

    def lost(method: str, path: str, _: int) -> bool:
        if method == "POST":
            imports[path.rpartition("/")[2]] += 1
        return method == "POST" and imports[path.rpartition("/")[2]] == 1  # the first of each kind

    with losing_replies(served.url, lost) as url:
        result = pushed(served, store, "many", url=url)
    assert result.pushed == 12_000
    assert imports["import"] == 3
    assert imports["projects"] == 1
    with connect(served.settings(store.root)) as server:
        [project] = find_projects(server, "many", VERSION)
        names = [task.task_uid for task in server.tasks(project.id)]
    assert len(names) == len(set(names)) == 12_000
