"""A server that checks releases: the client sends them by itself, and nothing without a good one is looked at."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelop.catalog.cards import ModelCard
from labelop.egress.audit import AuditLog
from labelop.egress.far_end import FarEnd
from labelop.egress.gate import USES, Gate, Released
from labelop.egress.keys import SigningKey, export_public, init_keys
from labelop.engines.answers import Description
from labelop.engines.remote import RemoteEngine
from labelop.engines.serve import run_in_thread
from labelop.errors import LabelopError, ModelInputError, SettingsError
from labelop.settings import Settings
from tests.contract.triton_core import triton_core
from tests.unit.egress.egress_values import NOW, Policy, ring
from tests.unit.engines.models import detector, picture, segmenter

KEY = SigningKey.generate()


@dataclass
class Served:
    """A server and what stands behind it."""

    url: str
    far_end: FarEnd
    cards: dict[str, ModelCard]
    clock: list[int | None]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Serve a detector and a segmenter that ask for releases; the clock can be turned."""
    from labelop.egress.far_end import now_ms  # noqa: PLC0415 - the real clock, unless a test turns it

    clock: list[int | None] = [None]
    far_end = FarEnd(ring(KEY), "cloud", clock=lambda: clock[0] or now_ms())
    cards = {card.task: card for card in (detector(tmp_path), segmenter(tmp_path))}
    with run_in_thread({card.id: card for card in cards.values()}, Settings(), far_end=far_end) as url:
        yield Served(url, far_end, cards, clock)


def release(folder: Path, key: SigningKey | None = KEY) -> Released:
    """Release one picture to the cloud."""
    gate = Gate(Policy(internal={"cloud"}), AuditLog(folder / "audit.jsonl"), "cloud", key=key)
    return gate.release(picture(), "i" * 64, "internal", "run-1")


def send(served: Served, made: Released, task: str = "detection", boxes: Any = None) -> Any:
    """Send one image."""
    engine = RemoteEngine(served.url, pause=lambda _: None)
    try:
        return engine.forward(served.cards[task], [made], boxes)
    finally:
        engine.close()


def test_one_release_goes_to_every_model(served: Served, tmp_path: Path) -> None:
    """Detector and segmenter take the same release, which the client sends along unasked."""
    made = release(tmp_path)
    send(served, made)
    send(served, made, "segmentation", np.array([[1, 1, 9, 9]], dtype=np.float32))
    assert served.far_end.counts == {"ADMITTED": 2}


def test_the_server_says_that_it_wants_releases(served: Served) -> None:
    """The input is in the model's description, so that any client of the protocol can know."""
    with urllib.request.urlopen(f"{served.url}/v2/models/{served.cards['detection'].id}") as answer:
        inputs = {one["name"]: one for one in json.load(answer)["inputs"]}
    assert inputs["release"] == {"name": "release", "datatype": "BYTES", "shape": [-1, 1]}


def test_a_stranger_ends_the_run(served: Served, tmp_path: Path) -> None:
    """A key that the server does not know is a fault of the set-up: no image would be taken."""
    with pytest.raises(SettingsError, match="UNKNOWN_KEY"):
        send(served, release(tmp_path, key=None))


def test_a_clock_that_is_behind_ends_the_run(served: Served, tmp_path: Path) -> None:
    """A server in the past takes no image at all, which is not the images' fault."""
    served.clock[0] = NOW // 2
    with pytest.raises(SettingsError, match="NOT_YET_VALID"):
        send(served, release(tmp_path))


def test_a_release_that_is_not_good_fails_its_image(served: Served, tmp_path: Path) -> None:
    """An expired and a replayed release are failures of that image only."""
    made = release(tmp_path)
    for _ in range(USES):
        served.far_end.check(made.payload, made.token)
    with pytest.raises(ModelInputError, match="REPLAYED"):
        send(served, made)
    served.clock[0] = 2 * NOW
    with pytest.raises(ModelInputError, match="EXPIRED"):
        send(served, release(tmp_path))


def test_an_image_without_a_release_is_not_looked_at(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests without the input, with too few rows or with rubbish are refused before anything is decoded."""
    from tests.unit.engines.models import packed  # noqa: PLC0415

    looked: list[bytes] = []
    monkeypatch.setattr("labelop.engines.payload.decode", looked.append)
    for tokens in ([], [b""], [b"rubbish"], [b"rubbish", b"rubbish"]):
        image, more = packed([b"JPEG"]), packed(tokens)
        inputs: list[dict[str, Any]] = [
            {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(image)}}
        ]
        if tokens:
            size = {"binary_data_size": len(more)}
            inputs.append({"name": "release", "shape": [len(tokens)], "datatype": "BYTES", "parameters": size})
        header = json.dumps({"inputs": inputs}).encode()
        request = urllib.request.Request(
            f"{served.url}/v2/models/{served.cards['detection'].id}/infer",
            header + image + (more if tokens else b""),
            {"Inference-Header-Content-Length": str(len(header))},
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        with caught.value as answer:
            assert answer.code == 400
            assert b"MALFORMED" in answer.read()
    assert looked == []


def test_a_server_that_does_not_ask_gets_no_token(tmp_path: Path) -> None:
    """A foreign server without the input works as before."""
    card = detector(tmp_path)
    with run_in_thread({card.id: card}, Settings()) as url:
        engine = RemoteEngine(url, pause=lambda _: None)
        try:
            assert engine.forward(card, [release(tmp_path)]).sent_bytes > 0
        finally:
            engine.close()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("way", ["http", "grpc"])
def test_a_triton_core_checks_as_well(tmp_path: Path, way: str) -> None:
    """With public keys it takes a good release, and a stranger's image fails alone and without an answer."""
    if way == "grpc":
        pytest.importorskip("grpc")
    catalog, keys, public = tmp_path / "catalog", tmp_path / "keys", tmp_path / "public"
    catalog.mkdir()
    card, _ = detector(catalog), segmenter(catalog)
    key = init_keys(keys)
    export_public(keys, public)
    with triton_core(catalog, LABELOP_PUBLIC_KEYS=str(public)) as addresses:
        engine = RemoteEngine(addresses[way], pause=lambda _: None)
        try:
            both = [release(tmp_path, key=key), release(tmp_path, key=None)]
            raw = engine.forward(card, both).raw
            bare = RemoteEngine(addresses[way], pause=lambda _: None)
            bare._described[card.digest] = Description(proves_digest=False, wants_release=False)
            with pytest.raises(LabelopError, match="release"):
                bare.forward(card, both)
            bare.close()
        finally:
            engine.close()
    assert np.isfinite(raw["boxes"][0]).all()
    assert np.isnan(raw["boxes"][1]).all()
