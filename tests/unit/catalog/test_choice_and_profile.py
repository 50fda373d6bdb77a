"""Engines are chosen by what was measured on this machine, and by nothing else; the reason is always told."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from labelop.catalog import profile as profiles
from labelop.catalog.choice import EngineChoice, choose_engine
from labelop.catalog.profile import Measured, host_facts, newest_figures
from labelop.configuration import load_configuration
from labelop.errors import MissingExtraError, SettingsError
from labelop.landing.store import Store, read_rows
from labelop.settings import Settings
from tests.unit.catalog.conftest import CARD, CATALOG, land_figures, measured


def fast(**changes: Any) -> Measured:
    """Fill the figure of another, faster way; the library of the reference, so that it is surely installed."""
    usual: dict[str, Any] = {"device": "cuda", "image_seconds": 0.01, "reference": False}
    return measured(**(usual | changes))


def test_without_a_profile_the_default_runs(settings: Settings) -> None:
    """Nothing is guessed: onnxruntime in f32 on the processor, and why."""
    choice = choose_engine(CARD, settings)
    assert (choice.engine, choice.precision, choice.device) == ("onnxruntime", "f32", "cpu")
    assert "no profile of this host with 1 thread(s)" in choice.reason


@pytest.mark.parametrize(
    ("side_px", "task", "device", "count"),
    [
        (224, "classification", "cpu", 8),
        (640, "detection", "cpu", 1),
        (640, "detection", "cuda", 8),
        (1024, "segmentation", "cpu", 1),
        (1024, "segmentation", "cuda", 1),
        (4096, "detection", "cuda", 1),
    ],
)
def test_unmeasured_passes_are_smaller_the_larger_the_inputs(side_px: int, task: str, device: str, count: int) -> None:
    """Memory is bounded where no profile says what fits; an encoder of a megapixel takes GiB an image anywhere."""
    card = replace(CARD, width_px=side_px, height_px=side_px, task=task)
    assert EngineChoice("onnxruntime", device=device).images_of(card) == count
    assert EngineChoice("onnxruntime", device=device, most_images=3).images_of(card) == 3


def test_the_fastest_measured_way_is_taken(store: Store, settings: Settings) -> None:
    """Batch size and device come from the profile, with figures in the reason."""
    land_figures(store, measured(), measured(images_count=1, image_seconds=0.03), fast(images_count=4))
    choice = choose_engine(CARD, settings)
    assert (choice.device, choice.most_images) == ("cuda", 4)
    assert "100.0 images/s with 4 in a pass, 1 side by side, 2.00 times the reference with 8;" in choice.reason


UNUSABLE: dict[str, dict[str, Any]] = {
    "differs": {"agrees": False, "difference": 0.5},
    "failed": {"outcome": "failed", "image_seconds": None},
    "other-release": {"engine_version": "0.0.1"},
    "not-installed": {"engine": "openvino", "engine_version": "0.0.1"},
}


@pytest.mark.parametrize("fault", UNUSABLE)
def test_an_unusable_way_is_never_taken(store: Store, settings: Settings, fault: str) -> None:
    """However fast: what differs, failed, or was measured with another release stays out."""
    land_figures(store, measured(), fast(**UNUSABLE[fault]))
    assert choose_engine(CARD, settings).device == "cpu"


def test_only_this_kind_of_machine_counts(store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile of another machine, another number of threads or another model says nothing here."""
    land_figures(store, fast(), threads=2)
    land_figures(store, fast(), card=CATALOG["cells-large"])
    here = host_facts()
    monkeypatch.setattr(profiles, "host_facts", lambda: replace(here, cpu="another processor"))
    land_figures(store, fast())
    monkeypatch.undo()
    assert choose_engine(CARD, settings).device == "cpu"


def test_the_newest_profile_counts(store: Store, settings: Settings) -> None:
    """Each run is new rows, and the last one decides even if it was slower."""
    land_figures(store, measured(), fast())
    land_figures(store, measured(image_seconds=0.005), fast(image_seconds=0.011))
    assert len(read_rows(store, "profiles")) == 4
    assert len(newest_figures(store, CARD.digest, host_facts().host_id, 1)) == 2
    assert choose_engine(CARD, settings).device == "cpu"


def test_a_partial_profile_hides_no_other_way(store: Store, settings: Settings) -> None:
    """What is measured again counts anew and the rest stays: one engine or batch size alone replaced all before."""
    land_figures(store, measured(), measured(images_count=1, image_seconds=0.03), fast(), fast(images_count=1))
    land_figures(store, measured(image_seconds=0.04))
    assert len(newest_figures(store, CARD.digest, host_facts().host_id, 1)) == 4
    assert choose_engine(CARD, settings).device == "cuda"
    # the newer reference, of a machine as busy as then, is no measure of this
    assert "1 side by side, 3.00 times the reference with 1;" in choose_engine(CARD, settings).reason
    land_figures(store, fast(agrees=False, difference=0.5), fast(images_count=1, agrees=False, difference=0.5))
    assert choose_engine(CARD, settings).device == "cpu"


def test_what_the_operator_sets_counts_first(store: Store, settings: Settings) -> None:
    """A named engine needs no profile; precision and device narrow the measured ones."""
    pytest.importorskip("openvino")
    land_figures(store, measured(), fast())
    named = chosen(settings, engine="openvino")
    assert named.label == "openvino f32 cpu"
    assert named.reason.startswith("LABELOP_ENGINE names it; none of the 2 ways measured")
    assert chosen(settings, engine_device="cpu").device == "cpu"
    assert chosen(settings, engine="onnxruntime").device == "cuda"


@pytest.mark.parametrize(("agrees", "precision"), [(True, "bf16"), (False, "f32"), (None, "f32")])
def test_a_named_engine_has_no_precision_that_was_not_measured(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch, agrees: bool | None, precision: str
) -> None:
    """Half precision only where it was measured to find the same; every card had it before once OpenVINO was named."""
    monkeypatch.setattr("labelop.catalog.choice.installed_version", lambda _: "1")
    monkeypatch.setattr("labelop.catalog.choice.ways_here", lambda *_: {"cpu": ("f32", "bf16")})
    vino = partial(measured, "openvino", engine_version="1", image_seconds=0.01)
    if agrees is not None:
        land_figures(store, vino(precision="f32", image_seconds=0.015), vino(precision="bf16", agrees=agrees))
    choice = chosen(settings, engine="openvino")
    assert choice.label == f"openvino {precision} cpu"
    assert "LABELOP_ENGINE names it; " in choice.reason
    # asked for by name it is an order
    assert chosen(settings, engine="openvino", engine_precision="bf16").precision == "bf16"


def chosen(settings: Settings, **changes: str) -> EngineChoice:
    """Choose with some settings changed."""
    return choose_engine(CARD, settings.model_copy(update=changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"engine": "openvino", "engine_device": "cuda"}, "openvino, which computes on cpu and not on cuda"),
        ({"engine": "openvino", "engine_device": "tensorrt"}, "openvino, which computes on cpu and not on tensorrt"),
        ({"engine": "onnxruntime", "engine_precision": "bf16"}, "onnxruntime on cpu, which computes in f32 and not"),
        (
            {"engine_precision": "bf16"},
            r"onnxruntime on cpu, which computes in f32 and not in bf16.*models profile`.*LABELOP_ENGINE to openvino\.",
        ),
        ({"engine": "torch", "engine_device": "tensorrt"}, "torch, which computes on cpu, cuda and not on tensorrt"),
    ],
)
def test_settings_that_no_engine_does_together_are_refused(
    settings: Settings, changes: dict[str, str], said: str
) -> None:
    """Each was chosen before, shown as such, and something else ran."""
    with pytest.raises(SettingsError, match=said):
        chosen(settings, **changes)


def test_what_is_not_here_is_refused_before_any_image(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device the installed library lacks, a precision the processor lacks, and a library that is not there."""
    monkeypatch.setattr("labelop.catalog.choice.ways_here", lambda *_: {"cpu": ("f32",)})
    with pytest.raises(
        MissingExtraError, match="cells-small was to run on tensorrt, the installed onnxruntime knows cpu"
    ):
        chosen(settings, engine="onnxruntime", engine_device="tensorrt")
    monkeypatch.setattr("labelop.catalog.choice.installed_version", lambda _: "1")
    with pytest.raises(MissingExtraError, match="run on cpu in bf16, the installed openvino knows cpu in f32 here"):
        chosen(settings, engine="openvino", engine_precision="bf16")
    assert chosen(settings, engine="openvino").label == "openvino f32 cpu"
    monkeypatch.setattr("labelop.catalog.choice.installed_version", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"openvino, which is not installed.*labelop\[openvino\]"):
        chosen(settings, engine="openvino")


def test_a_night_finds_an_impossible_engine_before_its_work(settings: Settings) -> None:
    """The configuration is read whole before the first dataset; engines are part of it."""
    with pytest.raises(SettingsError, match="LABELOP_ENGINE_DEVICE"):
        load_configuration(settings.model_copy(update={"engine": "openvino", "engine_device": "cuda"}))


def test_an_engine_of_another_format_is_told(settings: Settings) -> None:
    """A folder of weights keeps its engine, and the reason says why; bf16 was said of the other one."""
    for changes in ({}, {"engine_precision": "bf16"}):
        choice = chosen(settings, engine="torch", **changes)
        assert choice.label == "onnxruntime f32 cpu"
        assert "torch, which cannot run the format onnx" in choice.reason


def test_a_store_that_cannot_be_read_stops_nothing(settings: Settings, tmp_path: Path) -> None:
    """An engine is still chosen: the default."""
    (tmp_path / "store/profiles/_delta_log").mkdir(parents=True)
    (tmp_path / "store/profiles/_delta_log/00000000000000000000.json").write_text("no log")
    assert "cannot be read" in choose_engine(CARD, settings).reason
