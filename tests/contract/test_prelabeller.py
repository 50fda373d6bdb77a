"""One suite for every prelabeller: graphs, folders and the fixed double here, and a server behind the gate."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from labelop.catalog.choice import EngineChoice
from labelop.egress.audit import AuditLog, verify
from labelop.egress.gate import Gate
from labelop.engines.base import Engine
from labelop.engines.fixed import FixedEngine
from labelop.engines.lanes import LocalLane
from labelop.engines.prelabeller import (
    ArmModels,
    ImageItem,
    Prelabeller,
    open_cloud,
    open_local,
    with_engines,
)
from labelop.engines.serve import run_in_thread
from labelop.errors import CatalogError
from labelop.ids import sha256_hex
from labelop.sensitivity.levels import Level
from labelop.settings import Settings
from tests.unit.engines.checkpoints import checkpoint
from tests.unit.engines.models import classifier, detector, picture, segmenter

KINDS = ("graph", "folder", "fixed", "cloud")


class AllButRestricted:
    """A policy that keeps restricted images on the premises."""

    digest = "d" * 64

    def allowed_placements(self, level: Level) -> frozenset[str]:
        """Answer by level."""
        return frozenset({"onprem"} if level is Level.RESTRICTED else {"onprem", "cloud"})


def item(seed: int = 0, *, level: str = "public", pixels: Any = None) -> ImageItem:
    """Make one image to prelabel."""
    drawn = picture(seed) if pixels is None else pixels
    return ImageItem(sha256_hex(bytes([seed])), drawn, level)


def arm(folder: Path) -> ArmModels:
    """Make a full arm of tiny graphs."""
    return ArmModels(detector(folder), segmenter(folder), classifier(folder))


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[Prelabeller]:
    """Open one kind of prelabeller over tiny models."""
    models = arm(folder)
    if kind == "folder":
        models = ArmModels(*(checkpoint(folder, family) for family in ("rt_detr_v2", "sam2", "resnet")))
    if kind == "fixed":
        yield with_engines(models, {card.id: FixedEngine(card) for card in models.cards})
    elif kind == "cloud":
        with run_in_thread({card.id: card for card in models.cards}, Settings()) as url:
            client = open_cloud(models, Settings(), gate(folder), url, "run-1", simulated=True)
            yield client
            client.close()
    else:
        yield open_local(models, Settings())


def with_fixed(folder: Path, **engines: Engine) -> Prelabeller:
    """Compose the tiny arm from fixed engines, some replaced by task."""
    models = arm(folder)
    made: Mapping[str, Engine] = {c.id: engines.get(c.task, FixedEngine(c)) for c in models.cards}
    return with_engines(models, made)


def gate(folder: Path) -> Gate:
    """Make a gate to the cloud with its log in a folder."""
    return Gate(AllButRestricted(), AuditLog(folder / "audit.jsonl"), "cloud")


@pytest.fixture(scope="module", params=KINDS)
def prelabeller(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prelabeller]:
    """Open every kind of prelabeller once."""
    with opened(request.param, tmp_path_factory.mktemp(request.param)) as one:
        yield one


def test_one_result_per_item_in_order(prelabeller: Prelabeller) -> None:
    """Eleven images need two passes and give eleven results in their order."""
    items = [item(seed) for seed in range(11)]
    results = prelabeller.prelabel(items)
    assert [r.image_id for r in results] == [i.image_id for i in items]
    assert {r.outcome for r in results} == {"ok"}
    assert all(r.infer_seconds > 0 for r in results)
    assert prelabeller.prelabel([]) == []


def test_it_says_where_it_runs_and_why(tmp_path: Path) -> None:
    """Usage keeps both for each attempt; the report named an engine without them before."""
    with opened("graph", tmp_path) as local, opened("cloud", tmp_path) as remote:
        assert (local.engine_name, local.device, remote.device) == ("onnxruntime", "cpu", "server")
        assert "so the default runs" in str(local.engine_reason)
        assert "placement cloud" in str(remote.engine_reason)
    choices = {
        "a": EngineChoice("onnxruntime", reason="slow"),
        "b": EngineChoice("torch", device="cuda", reason="fast"),
    }
    lane = LocalLane({}, choices | {"c": choices["a"]})
    assert (lane.device, lane.reason) == ("cpu+cuda", "a, c: slow; b: fast")


def test_predictions_are_well_formed(prelabeller: Prelabeller) -> None:
    """Boxes lie inside with area, ids are distinct, scores fall, the image's class has one draft and no box."""
    (result,) = prelabeller.prelabel([item(3)])
    objects = [p for p in result.predictions if p.box is not None]
    labels = [p for p in result.predictions if p.box is None]
    assert len({p.prediction_id for p in result.predictions}) == len(result.predictions)
    assert objects
    assert all(p.box is not None and p.box.clipped(61, 47) == p.box for p in objects)
    assert [p.score for p in objects] == sorted((p.score for p in objects), reverse=True)
    assert [p.draft for p in labels] == [True, False, False]
    assert sum(p.score for p in labels) == pytest.approx(1, abs=1e-5)


def test_drafts_are_those_above_their_score(prelabeller: Prelabeller) -> None:
    """The card's draft score of the class decides what a reviewer sees, and only drafts have masks."""
    for result in prelabeller.prelabel([item(seed) for seed in range(4)]):
        for p in result.predictions:
            if p.box is not None:
                assert p.draft == (p.score >= 0.5)
                assert p.mask_rle is None or p.draft


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")  # pycocotools' decode
def test_masks_cover_the_whole_image(tmp_path: Path) -> None:
    """A mask decodes to the image's size and lies in its box."""
    (result,) = with_fixed(tmp_path).prelabel([item(1)])
    found = [p for p in result.predictions if p.mask_rle is not None]
    assert found
    for p in found:
        assert p.box is not None
        assert p.mask_rle is not None
        mask = coco.decode({"size": [47, 61], "counts": p.mask_rle.encode()})
        rows, columns = np.nonzero(mask)
        assert columns.min() >= p.box.x0 - 4
        assert columns.max() <= p.box.x1 + 4
        assert rows.max() <= p.box.y1 + 4


def test_the_same_images_give_the_same_predictions(prelabeller: Prelabeller) -> None:
    """A repeated run lands equal rows, ids included."""
    items = [item(seed) for seed in range(3)]
    first, second = prelabeller.prelabel(items), prelabeller.prelabel(items)
    assert [r.predictions for r in first] == [r.predictions for r in second]
    assert [(r.sent_bytes, r.received_bytes) for r in first] == [(r.sent_bytes, r.received_bytes) for r in second]


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3))])
def test_what_is_no_image_fails_alone(prelabeller: Prelabeller, pixels: Any) -> None:
    """An array that is no RGB image is one failed result among good ones."""
    results = prelabeller.prelabel([item(0), item(1, pixels=pixels), item(2)])
    assert [(r.outcome, r.reason) for r in results] == [("ok", None), ("failed", "BAD_INPUT"), ("ok", None)]
    assert results[1].predictions == ()


def test_parameters_name_the_other_models(prelabeller: Prelabeller) -> None:
    """A batch id must change when any model of the arm changes."""
    assert {"segmenter", "classifier"} <= set(prelabeller.parameters)
    assert len(prelabeller.model_digest) == 64


def test_cloud_and_local_agree_on_what_was_sent(tmp_path: Path) -> None:
    """The server's raw answer read here equals the local run on the same decoded payload."""
    with opened("cloud", tmp_path) as cloud:
        away = cloud.prelabel([item(seed) for seed in range(3)])
    sent = [gate(tmp_path).release(picture(seed), "i", "public", "r").payload for seed in range(3)]
    seen = [item(seed, pixels=np.asarray(Image.open(io.BytesIO(data)))) for seed, data in enumerate(sent)]
    here = open_local(arm(tmp_path), Settings()).prelabel(seen)
    assert [r.predictions for r in away] == [r.predictions for r in here]
    assert all(r.sent_bytes > len(data) for r, data in zip(away, sent, strict=True))
    assert all(r.received_bytes > 100 for r in away)


@pytest.mark.parametrize("level", ["restricted", "publik", ""])
def test_a_forbidden_image_is_withheld_and_written_down(tmp_path: Path, level: str) -> None:
    """What may not leave is withheld, its neighbours are served, and the log has both answers."""
    with opened("cloud", tmp_path) as cloud:
        results = cloud.prelabel([item(0), item(1, level=level)])
        assert cloud.simulated
    assert [r.outcome for r in results] == ["ok", "withheld"]
    code = "NOT_ALLOWED" if level == "restricted" else "UNKNOWN_LEVEL"
    assert (results[1].reason, results[1].sent_bytes) == (code, 0)
    log = (tmp_path / "audit.jsonl").read_text()
    assert (log.count('"answer":"allow"'), log.count('"answer":"deny"')) == (1, 1)
    assert verify(tmp_path / "audit.jsonl").bad_line is None


def test_a_server_with_other_weights_ends_the_run(tmp_path: Path) -> None:
    """Another model under the same id is a fault of the set-up, not of the images."""
    (tmp_path / "other").mkdir()
    other = detector(tmp_path / "other", seed=77)
    with run_in_thread({other.id: other}, Settings()) as url:
        cloud = open_cloud(ArmModels(detector(tmp_path)), Settings(), gate(tmp_path), url, simulated=True)
        with pytest.raises(CatalogError, match="digest"):
            cloud.prelabel([item(0)])
        cloud.close()


def test_a_model_the_server_lacks_ends_the_run(tmp_path: Path) -> None:
    """A model that is not served is a fault of the set-up too."""
    with run_in_thread({}, Settings()) as url:
        cloud = open_cloud(ArmModels(detector(tmp_path)), Settings(), gate(tmp_path), url, simulated=True)
        with pytest.raises(CatalogError, match="not served"):
            cloud.prelabel([item(0)])
        cloud.close()
