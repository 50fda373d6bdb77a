"""Masks by box and by click in the real editor, from the real backend, and what comes back of them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from typer.testing import CliRunner

from labelop.cli import app
from labelop.ids import sha256_hex
from labelop.landing.store import Store, land, open_store, read_rows
from labelop.review import brush
from labelop.review.connection import connect
from labelop.review.push import find_projects
from tests.browser.conftest import SAMPLE
from tests.label_studio import ROOT, Editor, Started
from tests.unit.review_rows import VERSION, card_row, image_row, imported, prediction, prelabel_row

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TRUTH = json.loads((SAMPLE / "parcels" / "annotations.json").read_text())
CLASSES = [one["name"] for one in TRUTH["categories"]]
HELD_OUT = [image for image in TRUTH["images"] if image["split"] == "val"][:2]
PONDS = [one for one in TRUTH["annotations"] if one["image_id"] == HELD_OUT[0]["id"] and one["category_id"] == 3]
"""Objects of the first picture that the segmenter finds."""
SIZE = (256, 256)


def filled(served: Started, root: Path) -> Store:
    """Make a store with two pictures and a draft for each, of two arms."""
    store = open_store(served.settings(str(root / "store")))
    images, prelabels = [], []
    for number, (image, arm) in enumerate(zip(HELD_OUT, ("local", "cloud"), strict=True)):
        path = served.root / "parcels" / image["file_name"]
        own: dict[str, Any] = {
            "dataset": "ponds",
            "image_id": sha256_hex(path.read_bytes()),
            "width_px": 256,
            "height_px": 256,
        }
        images.append(image_row(number, path=path.name, source_uri=path.parent.as_uri(), **own))
        drafts = [prediction(f"p-{number}", "house", (2.0, 2.0, 30.0, 30.0))]
        prelabels.append(prelabel_row(number, arm, predictions=drafts, **own))
    land(store, "images", images, key="images")
    land(store, "prelabels", prelabels, key="prelabels")
    land(store, "cards", [card_row(f"m-{arm}", "detection", CLASSES) for arm in ("local", "cloud")], key="cards")
    return store


@contextmanager
def backend(store: Store) -> Iterator[str]:
    """Run `labelop review backend` in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-c", "from labelop.cli import main; main()", "review", "backend", "--store", store.root]
    with subprocess.Popen([*command, "--port", str(port)], cwd=ROOT) as process:
        try:
            until = time.monotonic() + 120
            while not _is_up(url):
                assert process.poll() is None
                assert time.monotonic() < until
            yield url
        finally:
            process.terminate()


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False, timeout=5).status_code == 200
    except httpx.HTTPError:
        time.sleep(0.2)  # it imports
        return False


def command(served: Started, store: Store, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """Run a command of the command line against the server."""
    monkeypatch.setenv("LABELOP_LABEL_STUDIO_URL", served.url)
    monkeypatch.setenv("LABELOP_LABEL_STUDIO_TOKEN_FILE", str(served.folder / "token"))
    monkeypatch.setenv("LABELOP_LABEL_STUDIO_ROOT", str(served.root))
    done = CliRunner().invoke(app, ["review", *words, "--dataset", "ponds", "--store", store.root, "--format", "json"])
    assert done.exit_code == 0, done.output
    return done.output


def inside(annotation: dict[str, Any]) -> tuple[float, float]:
    """Give the pixel of an object that is nearest to its middle."""
    mask = brush.from_counts(annotation["segmentation"]["counts"], *SIZE)
    rows, columns = mask.nonzero()
    at = ((columns - columns.mean()) ** 2 + (rows - rows.mean()) ** 2).argmin()
    return float(columns[at]) + 0.5, float(rows[at]) + 0.5


def overlap(counts: str, annotation: dict[str, Any]) -> float:
    """Compare two masks, pixel by pixel."""
    found, truth = (brush.from_counts(text, *SIZE) for text in (counts, annotation["segmentation"]["counts"]))
    return float((found & truth).sum() / (found | truth).sum())


def test_a_box_and_a_click_in_the_editor_become_masks(
    served: Started, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command connects the backend, a person prompts and submits, and a pull has masks near the truth.

    They say how many prompts they took, one that was left behind labels nothing, the draft keeps its lineage, drafts of
    both arms are in the server's own stream of tasks, and no token is shown.
    """
    store = filled(served, tmp_path)
    with backend(store) as url:
        said = command(served, store, monkeypatch, "push", "--backend", url)
        again = command(served, store, monkeypatch, "push", "--backend", url)
        [token] = [path.read_text().strip() for path in tmp_path.rglob("backend.token")]
        assert token not in said + again
        with connect(served.settings(store.root)) as server:
            [project] = find_projects(server, "ponds", VERSION)
        with served.client() as client:
            [known] = client.get("/api/ml", params={"project": project.id}).json()
            tasks = client.get("/api/tasks", params={"project": project.id, "fields": "all"}).json()["tasks"]
        assert (known["url"], known["readable_state"]) == (url, "Connected")
        [task] = [one for one in tasks if one["data"]["image"].endswith(HELD_OUT[0]["file_name"])]
        editor = Editor(browser.new_page(viewport={"width": 1400, "height": 1300}), served, SIZE)
        editor.open(project.id, task, drafts_count=1)
        editor.page.get_by_text("Auto-Annotation").click()
        x, y, width, height = PONDS[2]["bbox"]
        editor.prompt(2, 3, "pond", (x, y, x + width, y + height))
        editor.prompt(1, 2, "pond", inside(PONDS[1]))
        editor.submit()
        editor.page.close()
        with served.client() as client:
            shown = client.get(f"/api/projects/{project.id}/next").json()
            assert shown["id"] != task["id"]
            assert len(shown["predictions"]) == 1
            left = {"id": "left", "type": "keypointlabels", "from_name": "click", "to_name": "image"}
            result = [*shown["predictions"][0]["result"], left | {"value": {"x": 1, "y": 1, "width": 1}}]
            body = {"result": result, "lead_time": 5.0}
            client.post(f"/api/tasks/{shown['id']}/annotations", json=body).raise_for_status()
    command(served, store, monkeypatch, "pull")
    assert read_rows(store, "quarantine") == []
    [by_hand, by_program] = sorted(imported(store), key=lambda row: len(row["labels"]), reverse=True)
    assert len(by_program["labels"]) == 1
    masks = [one["mask_rle"] for one in by_hand["labels"] if one["mask_rle"]]
    assert len(masks) == 2
    for pond in PONDS[1:3]:
        assert max(overlap(mask, pond) for mask in masks) > 0.8
    edits = [row for row in read_rows(store, "edits") if row["image_id"] == by_hand["image_id"]]
    assert sorted((row["op"], row["clicks_count"]) for row in edits) == [("accept", 0), ("add", 1), ("add", 1)]
