"""The ML backend: prompts become masks, only with a token, only of images we know, and restricted ones stay here."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from labelop.catalog.cards import load_catalog
from labelop.errors import CatalogError, SettingsError
from labelop.ids import sha256_hex
from labelop.ingest.originals import read_pixels
from labelop.landing.store import Store, land
from labelop.review import brush
from labelop.review.annotation_forms import BrushRegion
from labelop.review.backend import create_backend, find_segmenter, is_onprem
from labelop.review.backend_forms import MOST_BYTES
from labelop.review.connection import backend_token
from labelop.sensitivity.policy import load_policy
from labelop.settings import Settings, load_settings
from tests.unit.review_rows import NOW, image_row

PARCELS = Path("data/sample/parcels")
TOKEN = "t" * 32
TRUTH = json.loads((PARCELS / "annotations.json").read_text())
HELD_OUT = {image["id"]: image for image in TRUTH["images"] if image["split"] == "val"}
VERSION = "v-0123456789abcdef"


def image_id(image: dict[str, Any]) -> str:
    """Name a picture of the sample."""
    return sha256_hex((PARCELS / "images" / image["file_name"]).read_bytes())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Settings]:
    """A store that knows the held-out parcels, the first of them restricted and the second public."""
    root = tmp_path_factory.mktemp("backend")
    settings = load_settings(store=str(root / "store"))
    store = Store(str(root / "store"))
    source = str((PARCELS / "images").resolve())
    rows = [
        image_row(
            n, dataset="parcels", dataset_version=VERSION, path=image["file_name"], image_id=image_id(image),
            source_uri=source, width_px=image["width"], height_px=image["height"],
        )
        for n, image in enumerate(HELD_OUT.values())
    ]  # fmt: skip
    land(store, "images", rows, key="images")
    policy = load_policy(settings.config / "policy.yaml").digest
    levels = [
        {"dataset": "parcels", "dataset_version": VERSION, "image_id": row["image_id"], "findings_digest": "f",
         "level": level, "reason": "r", "policy_digest": policy, "run_id": "run", "landed_at": NOW}
        for row, level in zip(rows, ("restricted", "public"), strict=False)
    ]  # fmt: skip
    land(store, "levels", levels, key="levels")
    return store, settings


def client_at(place: tuple[Store, Settings], address: str = "127.0.0.1", token: str | None = TOKEN) -> TestClient:
    """Call from an address."""
    store, settings = place
    card = load_catalog(settings.catalog)["boxes-to-masks"]
    headers = {} if token is None else {"Authorization": f"Token {token}"}
    return TestClient(create_backend(store, settings, card, TOKEN), client=(address, 1), headers=headers)


@pytest.fixture(scope="module")
def client(place: tuple[Store, Settings]) -> Iterator[TestClient]:
    """Call from this machine with the token."""
    with client_at(place) as found:
        yield found


def asking(shown: dict[str, Any], region: dict[str, Any] | None, **data: Any) -> dict[str, Any]:
    """Write what the editor sends."""
    said = {"task_uid": "t-1", "image_id": image_id(shown), "dataset": "parcels", "dataset_version": VERSION, **data}
    context = {"context": {"result": [region]}} if region else {}
    return {"tasks": [{"id": 3, "data": said}], "project": "1.1", "label_config": "<View/>", "params": context}


def box(annotation: dict[str, Any], image: dict[str, Any], **value: Any) -> dict[str, Any]:
    """Write a rectangle prompt."""
    x, y, width, height = annotation["bbox"]
    percent = {
        "x": 100 * x / image["width"], "y": 100 * y / image["height"], "width": 100 * width / image["width"],
        "height": 100 * height / image["height"], "rotation": 0, "rectanglelabels": ["barn"],
    }  # fmt: skip
    return {"type": "rectanglelabels", "original_width": 256, "original_height": 256, "value": percent | value}


def overlap(region: dict[str, Any], annotation: dict[str, Any]) -> float:
    """Compare a brush region with the truth, pixel by pixel."""
    found = brush.decode(region["value"]["rle"], region["original_width"], region["original_height"])
    truth = brush.from_counts(annotation["segmentation"]["counts"], 256, 256)
    return float((found & truth).sum() / (found | truth).sum())


def holds(region: dict[str, Any], x: float, y: float) -> bool:
    """Say whether a brush region covers a pixel."""
    return bool(brush.decode(region["value"]["rle"], 256, 256)[int(y), int(x)])


def held_out() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """List held-out objects with their pictures."""
    return [(one, HELD_OUT[one["image_id"]]) for one in TRUTH["annotations"] if one["image_id"] in HELD_OUT]


def test_a_box_becomes_a_mask(client: TestClient) -> None:
    """Boxes of held-out objects give masks with a mean IoU above 0.8, in the brush's own form, with the box's class."""
    found = []
    for annotation, image in held_out()[::4]:
        [answer] = client.post("/predict", json=asking(image, box(annotation, image))).json()["results"]
        [region] = answer["result"]
        assert (region["type"], region["from_name"], region["value"]["brushlabels"]) == (
            "brushlabels",
            "mask",
            ["barn"],
        )
        found.append(overlap(region, annotation))
    assert len(found) >= 60
    assert np.mean(found) > 0.8


def test_a_click_becomes_a_mask(client: TestClient) -> None:
    """A click in the middle of an object gives a mask that holds it, and mostly the object."""
    found = []
    for annotation, image in held_out()[::8]:
        truth = brush.from_counts(annotation["segmentation"]["counts"], 256, 256)
        rows, columns = np.nonzero(truth)
        at = np.argmin((columns - columns.mean()) ** 2 + (rows - rows.mean()) ** 2)
        value = {"x": 100 * (columns[at] + 0.5) / 256, "y": 100 * (rows[at] + 0.5) / 256, "keypointlabels": ["barn"]}
        asked = asking(image, {"type": "keypointlabels", "value": value})
        [answer] = client.post("/predict", json=asked).json()["results"]
        found.append(overlap(answer["result"][0], annotation) if answer["result"] else 0.0)
    assert np.median(found) > 0.6


def test_more_clicks_say_more(client: TestClient) -> None:
    """All clicks of a mask count: one beside the object keeps the mask away from it, and alone it gives none."""
    annotation, image = held_out()[0]
    x, y, width, height = annotation["bbox"]

    def click(share: float, *, on: bool = True) -> dict[str, Any]:
        value = {"x": (x + share * width) / 2.56, "y": (y + share * height) / 2.56, "keypointlabels": ["barn"]}
        return {"type": "keypointlabels", "value": value, "is_positive": on}

    def answered(*clicks: dict[str, Any]) -> list[dict[str, Any]]:
        asked = asking(image, None) | {"params": {"context": {"result": list(clicks)}}}
        return list(client.post("/predict", json=asked).json()["results"][0]["result"])

    [first] = answered(click(0.5))
    beside = next(s for s in (0.6, 0.7, 0.8, 0.9, 1.0, 1.1) if not holds(first, x + s * width, y + s * height))
    [second] = answered(click(0.5), click(beside - 0.1), click(beside, on=False))
    assert holds(second, x + 0.5 * width, y + 0.5 * height)
    assert not holds(second, x + beside * width, y + beside * height)
    assert [BrushRegion.model_validate(one).clicks_count for one in (first, second)] == [1, 3]
    assert answered(click(0.5, on=False)) == []


def test_an_image_is_encoded_once(place: tuple[Store, Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    """The second prompt on an image neither reads nor encodes it again."""
    reads: list[str] = []

    def counted(image_id: str, *more: Any) -> Any:
        reads.append(image_id)
        return read_pixels(image_id, *more)

    monkeypatch.setattr("labelop.review.backend.read_pixels", counted)
    annotation, image = held_out()[0]
    with client_at(place) as client:
        for share in (1, 0.9, 0.8):
            shrunk = annotation | {"bbox": [annotation["bbox"][0], annotation["bbox"][1], 60 * share, 60 * share]}
            assert client.post("/predict", json=asking(image, box(shrunk, image))).status_code == 200
    assert reads == [image_id(image)]


@pytest.mark.parametrize("token", [None, "", "x" * 32, TOKEN[:-1]])
def test_without_the_token_nothing_is_answered(place: tuple[Store, Settings], token: str | None) -> None:
    """No word, or another one, gets neither a mask nor the model's name; the health check says only that it is up."""
    annotation, image = held_out()[0]
    with client_at(place, token=token) as client:
        assert client.post("/predict", json=asking(image, box(annotation, image))).status_code == 401
        assert client.post("/setup", json={}).status_code == 401
        assert client.get("/health").json() == {"status": "UP"}


def test_the_ways_to_say_the_token(place: tuple[Store, Settings]) -> None:
    """Label Studio sends it as a password, others as bearer; broken headers are refused."""
    with client_at(place, token=None) as client:
        basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
        for word, status in [(f"Basic {basic}", 200), (f"Bearer {TOKEN}", 200), ("Basic !!", 401), ("Digest x", 401)]:
            done = client.post("/setup", json={"project": "1"}, headers={"Authorization": word})
            assert done.status_code == status, word
            assert ("model_version" in done.json()) == (status == 200)


def test_restricted_images_stay_on_premises(place: tuple[Store, Settings]) -> None:
    """An address elsewhere is answered about images that may be at the cloud only; a header changes nothing."""
    for number, status in [(0, 403), (1, 200), (2, 403)]:
        image = list(HELD_OUT.values())[number]
        annotation = next(one for one in TRUTH["annotations"] if one["image_id"] == image["id"])
        asked = asking(image, box(annotation, image))
        with client_at(place, "203.0.113.9") as client:
            assert client.post("/predict", json=asked, headers={"X-Forwarded-For": "127.0.0.1"}).status_code == status
        with client_at(place) as client:
            assert client.post("/predict", json=asked).status_code == 200


def test_what_is_on_premises() -> None:
    """This machine and the networks an operator names, whatever form the address has."""
    import ipaddress  # noqa: PLC0415

    networks = [ipaddress.ip_network("10.1.0.0/16")]
    here = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3"]
    assert [is_onprem(one, networks) for one in here] == [True] * 5
    assert [is_onprem(one, networks) for one in ["10.2.0.1", "203.0.113.9", "", "testclient", "2001:db8::1"]] == [
        False
    ] * 5


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"data": {"image": "file:///etc/passwd"}}, 200),
        ({"data": {"image_id": "0" * 64}}, 404),
        ({"data": {"dataset": "other"}}, 404),
        ({"data": {"image_id": "../../etc/passwd"}}, 400),
        ({"value": {"width": 0}}, 400),
        ({"value": {"x": float("inf")}}, 400),
        ({"value": {"x": 150}}, 400),
        ({"value": {"rotation": 30}}, 400),
        ({"body": b"{"}, 400),
        ({"body": b'{"tasks": [NaN]}'}, 400),
        ({"body": b"[" * 100_000}, 400),
        ({"body": b" " * (MOST_BYTES + 1)}, 400),
        ({"body": b'{"tasks": []}'}, 400),
    ],
)
def test_hostile_requests_are_refused(client: TestClient, change: dict[str, Any], status: int) -> None:
    """Broken prompts, unknown images and endless bodies end in a status; no address of a request is opened."""
    annotation, image = held_out()[0]
    asked = asking(image, box(annotation, image, **change.get("value", {})), **change.get("data", {}))
    done = client.post("/predict", content=change.get("body") or json.dumps(asked).encode())
    assert done.status_code == status, done.text
    assert "/etc" not in done.text


def test_without_a_prompt_there_is_nothing_to_say(client: TestClient) -> None:
    """Label Studio asks for whole tasks too; they get empty answers, one each."""
    asked = asking(next(iter(HELD_OUT.values())), None)
    asked["tasks"] *= 3
    assert [one["result"] for one in client.post("/predict", json=asked).json()["results"]] == [[], [], []]


def test_token_and_model_have_to_be_there(tmp_path: Path) -> None:
    """The token is made once and only its owner may read it; a catalog without a segmenter is told."""
    path = tmp_path / "keys/backend.token"
    assert backend_token(path) == backend_token(path)
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="ask for masks"):
        backend_token(path)
    cards = load_catalog(load_settings().catalog)
    assert find_segmenter(cards.values(), None).id == "boxes-to-masks"
    for some, name in ((cards.values(), "cells-small"), ([], None)):
        with pytest.raises(CatalogError, match="segmenter of the catalog"):
            find_segmenter(some, name)
