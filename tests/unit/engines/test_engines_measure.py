"""Measuring: every way a machine has, compared with the reference; then the choice follows the figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from labelop.catalog.cards import ModelCard
from labelop.catalog.choice import EngineChoice
from labelop.catalog.profile import land_profile
from labelop.engines import measure as measuring
from labelop.engines.base import Engine, ImageArray, close_engines, load_engine, open_engine
from labelop.engines.measure import measure
from labelop.engines.samples import load_samples
from labelop.engines.side import streams_of
from labelop.errors import EngineResponseError, MissingExtraError, UnreadableImageError
from labelop.landing.store import open_store
from labelop.settings import Settings
from tests.unit.engines.models import classifier, detector, picture, segmenter

PICTURES = [picture(seed) for seed in range(3)]


def test_every_way_is_measured_with_the_reference_first(tmp_path: Path) -> None:
    """Both batch sizes of each engine have their figures, and the reference agrees with itself."""
    found = measure(detector(tmp_path), PICTURES, Settings(), engines=["onnxruntime"], rounds=2)
    assert [(one.engine, one.images_count, one.reference) for one in found] == [
        ("onnxruntime", 1, True),
        ("onnxruntime", 8, True),
    ]
    assert all(one.agrees and one.difference == 0 and one.image_seconds and one.rounds_count == 2 for one in found)


def test_a_worker_is_measured_and_not_a_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many passes as the worker's lanes run side by side, and energy is a figure or has its reason."""
    monkeypatch.setattr("labelop.engines.side.cores", lambda: 3)
    [one] = measure(detector(tmp_path), PICTURES, Settings(), engines=["onnxruntime"], batches=[1], rounds=1)
    assert one.lanes_count == 3
    told = one.energy_joules_per_image is not None
    assert (told, one.energy_source is not None, one.energy_reason is None) in {(True,) * 3, (False,) * 3}


def test_a_segmenter_is_measured_as_a_worker_runs_it(tmp_path: Path) -> None:
    """It encodes the images of a pass together, and what it then masks agrees with the way one by one."""
    found = measure(segmenter(tmp_path), PICTURES, Settings(), batches=(1, 2), rounds=1)[:2]
    assert [(one.images_count, one.outcome, one.agrees) for one in found] == [(n, "measured", True) for n in (1, 2)]


def test_openvino_is_measured_where_it_is_installed(tmp_path: Path) -> None:
    """Its f32 agrees with the reference, and a profile that found it faster makes `auto` take it."""
    pytest.importorskip("openvino")
    card, settings = classifier(tmp_path), Settings(store=str(tmp_path / "store"))
    found = measure(card, PICTURES, settings, engines=["openvino"], batches=[2], rounds=1)
    own = [one for one in found if one.engine == "openvino" and one.precision == "f32"]
    assert [(one.images_count, one.agrees, one.engine_name) for one in own] == [(2, True, "openvino-f32")]
    land_profile(open_store(settings), card.id, card.digest, 1, own)
    engine = open_engine(card, settings)
    assert engine.name == "openvino-f32"
    close_engines()


def test_passes_side_by_side_have_a_stream_each(tmp_path: Path) -> None:
    """OpenVINO gives every lane its own threads; with one stream for all they would queue."""
    pytest.importorskip("openvino")
    engine = load_engine(classifier(tmp_path), 1, EngineChoice("openvino"))
    compiled = engine._compiled("model", 1)._compiled  # type: ignore[attr-defined]
    assert compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") == streams_of(1)
    engine.close()


def test_an_engine_that_fails_has_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One way that cannot run does not end the others."""
    calls: list[EngineChoice] = []

    def load(card: ModelCard, threads: int, choice: EngineChoice) -> Engine:
        calls.append(choice)
        if len(calls) == 2:
            raise EngineResponseError("no room")
        return load_engine(card, threads, choice)

    monkeypatch.setattr(measuring, "load_engine", load)
    found = measure(detector(tmp_path), PICTURES, Settings(), engines=["onnxruntime"], rounds=1)
    assert [(one.outcome, one.reason, one.agrees) for one in found] == [
        ("failed", "no room", False),
        ("measured", None, True),
    ]


def test_an_engine_that_is_not_installed_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by name it is an error with the command that installs it."""
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"labelop\[openvino\]"):
        measure(detector(tmp_path), PICTURES, Settings(), engines=["openvino"])
    with pytest.raises(MissingExtraError, match="tiny-boxes was to run on openvino"):
        open_engine(detector(tmp_path), Settings(engine="openvino"))


def test_a_device_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """CUDA by name on a build without it is refused with what there is."""
    from labelop.engines.graph import devices  # noqa: PLC0415

    if "tensorrt" in devices():
        pytest.skip("this build has TensorRT")
    with pytest.raises(MissingExtraError, match="was to run on tensorrt, the installed onnxruntime knows cpu"):
        open_engine(detector(tmp_path), Settings(engine="onnxruntime", engine_device="tensorrt"))


def test_a_batch_that_would_not_fit_is_never_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only pixels were counted, and a batch of tens of gigabytes was begun: what smaller passes took bounds it now."""
    real, tried = measuring._pass, [0]

    def noted(engine: Engine, frames: ImageArray, count: int, start: int = 0) -> dict[str, NDArray[np.float32]]:
        tried.append(count)
        return real(engine, frames, count, start)

    # a mebibyte an image, of a hundred
    monkeypatch.setattr(measuring, "_pass", noted)
    monkeypatch.setattr(measuring, "status", lambda _: max(tried) << 20)
    monkeypatch.setattr("labelop.engines.room.status", lambda *_: 0)
    monkeypatch.setattr(measuring, "room", lambda: 100 << 20)
    [one] = measure(detector(tmp_path), PICTURES, Settings(), engines=["onnxruntime"], batches=[3000], rounds=1)
    assert (one.images_count, one.outcome) == (93, "measured")
    assert sorted(set(tried)) == [0, 1, 8, 64, 93]
    assert "a pass of 3000 images would take about 3000 MiB" in caplog.text
    assert caplog.text.count("going on with") == 1


def test_memory_that_runs_out_halves_a_batch_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody tells how much there is, the attempt does; with one image left the row has the reason."""
    real, room = measuring._pass, 2

    def narrow(engine: Engine, frames: ImageArray, count: int, start: int = 0) -> dict[str, NDArray[np.float32]]:
        if count > room:
            raise MemoryError
        return real(engine, frames, count, start)

    monkeypatch.setattr(measuring, "_pass", narrow)
    [one] = measure(detector(tmp_path), PICTURES, Settings(), engines=["onnxruntime"], batches=[8], rounds=1)
    assert (one.images_count, one.outcome) == (2, "measured")


def test_what_an_engine_halved_is_what_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that ran out of memory goes on with fewer images, and the row names those."""

    def load(card: ModelCard, threads: int, choice: EngineChoice) -> Engine:
        engine = load_engine(card, threads, choice)
        engine._most = min(3, engine.most_images)  # type: ignore[attr-defined]
        return engine

    monkeypatch.setattr(measuring, "load_engine", load)
    [one] = measure(detector(tmp_path), PICTURES, Settings(), engines=["onnxruntime"], batches=[8], rounds=1)
    assert one.images_count == 3


def test_samples_are_drawn_evenly_and_upright(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """First and last name are among them, turned files are upright, and a broken one is named and left out."""
    for number in range(40):
        turned = Image.Exif()
        turned[0x0112] = 6
        pixels = Image.fromarray(np.full((8, 16, 3), number * 6, np.uint8))
        pixels.save(tmp_path / f"{number:02}.jpg", quality=100, exif=turned)
    found = load_samples(tmp_path, 14)
    assert [round(float(one.mean()) / 6) for one in found] == [*range(0, 40, 3)]
    assert {one.shape for one in found} == {(16, 8, 3)}
    (tmp_path / "39.jpg").write_bytes((tmp_path / "39.jpg").read_bytes()[:200])
    assert len(load_samples(tmp_path, 14)) == 13
    assert "picture 39.jpg is left out: The image is not usable: CORRUPT" in caplog.text
    with pytest.raises(UnreadableImageError, match=r"None of the 1 pictures .* 39\.jpg"):
        load_samples(_alone(tmp_path / "39.jpg"))


def _alone(path: Path) -> Path:
    folder = path.parent / "alone"
    folder.mkdir()
    path.rename(folder / path.name)
    return folder


def test_samples_need_pictures(tmp_path: Path) -> None:
    """An empty folder is an error that names it."""
    with pytest.raises(FileNotFoundError, match="no JPEG or PNG"):
        load_samples(tmp_path)
