"""One suite for every inference server: the small loopback one here, and a real Triton core in its own environment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard
from labelop.egress.audit import AuditLog
from labelop.egress.gate import Gate, Released
from labelop.engines.base import ModelInputs, open_engine
from labelop.engines.payload import decode
from labelop.engines.prelabeller import ArmModels, ImageItem, open_cloud
from labelop.engines.remote import RemoteEngine
from labelop.engines.serve import run_in_thread
from labelop.errors import CatalogError, ModelInputError
from labelop.ids import sha256_hex
from labelop.settings import Settings
from tests.contract.doubles import Open
from tests.contract.triton_core import triton_core
from tests.unit.engines.models import classifier, detector, picture, segmenter

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 120.0


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelCard]:
    """Make one tiny model per task."""
    folder = tmp_path_factory.mktemp("catalog")
    return {card.task: card for card in (detector(folder), classifier(folder), segmenter(folder))}


@pytest.fixture(
    scope="module",
    params=["builtin", *(pytest.param(f"pytriton-{way}", marks=pytest.mark.slow) for way in ("http", "grpc"))],
)
def url(request: pytest.FixtureRequest, cards: dict[str, ModelCard]) -> Iterator[str]:
    """Serve the tiny catalog by each server and transport."""
    if request.param == "builtin":
        with run_in_thread({c.id: c for c in cards.values()}, Settings()) as address:
            yield address
    else:
        if request.param.endswith("grpc"):
            pytest.importorskip("grpc")
        yield request.getfixturevalue("triton")[request.param.removeprefix("pytriton-")]


@pytest.fixture(scope="module")
def triton(cards: dict[str, ModelCard]) -> Iterator[dict[str, str]]:
    """Start the Triton server over the tiny catalog."""
    with triton_core(next(iter(cards.values())).path.parent) as addresses:
        yield addresses


def released(folder: Path, *seeds: int) -> list[Released]:
    """Release some pictures."""
    gate = Gate(Open(), AuditLog(folder / "audit.jsonl"), "cloud")
    return [gate.release(picture(seed), f"i{seed}", "public", "r") for seed in seeds]


def prompts(card: ModelCard, count: int = 3) -> NDArray[np.float32] | None:
    """Give box prompts where the task takes them."""
    if card.task != "segmentation":
        return None
    edges = [[i, i + 1, card.width_px / 2 + i, card.height_px / 2 + i] for i in range(count)]
    return np.array(edges, dtype=np.float32)


def here(card: ModelCard, sent: list[Released], boxes: NDArray[np.float32] | None) -> dict[str, Any]:
    """Run the same payloads on this machine."""
    engine = open_engine(card, Settings())
    images = np.stack([engine.preprocess(decode(one.payload)) for one in sent])
    return dict(engine.forward(ModelInputs(images, boxes)))


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("task", ["detection", "classification", "segmentation"])
def test_a_server_answers_what_the_model_answers_here(
    url: str, cards: dict[str, ModelCard], tmp_path: Path, task: str, compress: bool
) -> None:
    """Raw tensors from a server equal those of the same payloads on this machine, packed or not."""
    card, engine = cards[task], RemoteEngine(url, compress=compress)
    sent, boxes = released(tmp_path, *range(1 if task == "segmentation" else 3)), prompts(cards[task])
    answer = engine.forward(card, sent, boxes)
    engine.close()
    expected = here(card, sent, boxes)
    assert set(answer.raw) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(answer.raw[name], value, atol=1e-5)
    assert answer.received_bytes > sum(value.nbytes for value in expected.values())


def test_threads_that_ask_together_get_their_own_answers(url: str, cards: dict[str, ModelCard], tmp_path: Path) -> None:
    """Requests that a server merges into one pass come apart again."""
    card, engine = cards["detection"], RemoteEngine(url)
    sent = released(tmp_path, *range(12))
    expected = here(card, sent, None)
    got: dict[int, Any] = {}

    def work(first: int) -> None:
        for i in range(first, len(sent), 4):
            got[i] = engine.forward(card, [sent[i]]).raw

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.close()
    assert sorted(got) == list(range(12))
    for i, raw in got.items():
        np.testing.assert_allclose(raw["logits"][0], expected["logits"][i], atol=1e-5)


def test_other_weights_are_found_out_by_their_digest(url: str, tmp_path: Path) -> None:
    """A server that runs other weights under the same id is refused, whatever way it proves them."""
    other = detector(tmp_path, seed=77)
    engine = RemoteEngine(url)
    with pytest.raises(CatalogError, match="digest"):
        engine.forward(other, released(tmp_path, 0))
    engine.close()


def test_a_model_that_is_not_served_is_a_fault_of_the_set_up(url: str, tmp_path: Path) -> None:
    """An unknown model ends the run; it fails no image."""
    engine = RemoteEngine(url)
    with pytest.raises(CatalogError, match="not served"):
        engine.forward(detector(tmp_path, "nobody"), released(tmp_path, 0))
    engine.close()


def test_a_bad_payload_spoils_no_neighbour(url: str, cards: dict[str, ModelCard], tmp_path: Path) -> None:
    """Bytes that are no image are refused or answered without numbers; the server answers the next request."""
    card, (good, bad) = cards["detection"], released(tmp_path, 0, 1)
    object.__setattr__(bad, "_payload", b"\xff\xd8\xff\xd9")  # a JPEG in which nothing is: other bytes never leave
    engine = RemoteEngine(url)
    try:
        assert np.isnan(engine.forward(card, [bad]).raw["logits"]).all()
    except ModelInputError as error:
        assert error.context["code"] == "SERVER_REFUSED"  # noqa: PT017 - either answer will do
    assert np.isfinite(engine.forward(card, [good]).raw["logits"]).all()
    engine.close()


def test_a_whole_arm_runs_on_a_server(url: str, cards: dict[str, ModelCard], tmp_path: Path) -> None:
    """Detector, segmenter and classifier give drafts with masks and a class, with bytes booked per image."""
    models = ArmModels(cards["detection"], cards["segmentation"], cards["classification"])
    cloud = open_cloud(
        models, Settings(), Gate(Open(), AuditLog(tmp_path / "a.jsonl"), "cloud"), url, "run", simulated=True
    )
    results = cloud.prelabel([ImageItem(sha256_hex(bytes([seed])), picture(seed), "public") for seed in range(10)])
    cloud.close()
    assert {result.outcome for result in results} == {"ok"}
    assert any(p.mask_rle for result in results for p in result.predictions)
    assert all(result.sent_bytes > 0 and result.received_bytes > 0 for result in results)


def test_opening_waits_for_every_model(url: str, cards: dict[str, ModelCard], tmp_path: Path) -> None:
    """Models are there when opening ends; one that is not served is left to the first request, which says so."""
    engine = RemoteEngine(url)
    engine.open(list(cards.values()))
    assert engine.ready()
    engine.open([detector(tmp_path, "nobody")])
    engine.close()
