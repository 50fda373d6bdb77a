"""Model cards: every fault is one clear error, and files are proven before they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper

from labelop.catalog.cards import describe_catalog, load_card, load_catalog, verify
from labelop.catalog.graph_file import read_graph
from labelop.errors import CatalogError, DigestMismatchError
from tests.unit.engines.models import card_content, detector, segmenter, write_card


def test_a_whole_card_becomes_typed_values(tmp_path: Path) -> None:
    """Every part of a card is there after loading, with a digest of its content."""
    card = load_card(write_card(tmp_path))
    assert (card.id, card.task, card.width_px, card.height_px) == ("tiny", "detection", 32, 24)
    assert card.files["model"] == tmp_path / "tiny.onnx"
    assert card.postprocess is not None
    assert card.postprocess.draft_score == {"disc": 0.5, "ring": 0.5, "dot": 0.5}
    assert card.quality_of("ap50", "noise", "val") == 0.1
    assert card.quality_of("ap50", "elsewhere") is None
    assert len(card.digest) == 64


def test_the_digest_follows_content_and_not_layout(tmp_path: Path) -> None:
    """Reordered keys keep the digest; another threshold or other weights change it."""
    path = write_card(tmp_path)
    first = load_card(path).digest
    path.write_text("# a remark\n" + yaml.safe_dump(yaml.safe_load(path.read_text()), sort_keys=True))
    assert load_card(path).digest == first
    assert load_card(write_card(tmp_path, digests={"model": "1" * 64})).digest != first
    changed = card_content()["postprocess"] | {"min_score": 0.06}
    assert load_card(write_card(tmp_path, postprocess=changed)).digest != first


def test_scaled_decoding_is_part_of_the_digest_where_it_is_allowed(tmp_path: Path) -> None:
    """Allowing it changes predictions and so the digest; saying no is what a card without the key says."""
    silent = load_card(write_card(tmp_path))
    refused = load_card(write_card(tmp_path, input={"width_px": 32, "height_px": 24, "scaled_decode": False}))
    allowed = load_card(write_card(tmp_path, input={"width_px": 32, "height_px": 24, "scaled_decode": True}))
    assert (silent.scaled_decode, refused.scaled_decode, allowed.scaled_decode) == (False, False, True)
    assert silent.digest == refused.digest != allowed.digest


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "tracking"}, ["key task", "'tracking'", "'detection'"]),
        ({"family": "resnet"}, ["key family", "'resnet'", "rtdetr_v2"]),
        ({"format": "pickle"}, ["key format", "'pickle'", "'huggingface'"]),
        ({"schema": 2}, ["key schema", "2", "1"]),
        ({"id": "../up"}, ["key id", "'../up'"]),
        ({"licence": None}, ["key licence is missing"]),
        ({"treshold": 3}, ["key treshold is unknown", "value 3", "allowed are schema, id, version", "postprocess"]),
        (
            {"quality": [{"dataset": "d", "split": "v", "metric": "m", "value": 1, "image_count": 1, "n": 2}]},
            ["key quality.0.n is unknown", "allowed are dataset, split, metric, value, image_count"],
        ),
        ({"classes": ["disc", "disc"]}, ["key classes", "distinct"]),
        ({"classes": []}, ["key classes is empty"]),
        ({"input": {"width_px": 0, "height_px": 4}}, ["key input.width_px", "0"]),
        ({"postprocess": None}, ["key postprocess is missing"]),
        ({"digests": {"model": "abc"}}, ["key digests.model", "'abc'"]),
        ({"digests": {}}, ["key digests", "model"]),
        ({"files": {"weights": "a.onnx"}}, ["key files", "model"]),
        ({"files": {"model": "weights.pt"}}, ["weights.pt", "pickled", "safetensors"]),
        ({"files": {"model": "weights.safetensors"}}, ["files.model", ".onnx"]),
        ({"files": {"model": "../weights.onnx"}}, ["outside"]),
        ({"files": {"model": "/etc/weights.onnx"}}, ["outside"]),
        ({"format": "huggingface"}, ["needs the key folder"]),
        ({"folder": "somewhere"}, ["allows no key folder"]),
        ({"task": "segmentation", "family": "sam2"}, ["key files", "decoder"]),
    ],
)
def test_each_fault_names_file_key_and_value(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    """One fault gives one error that says where it is and what is allowed."""
    with pytest.raises(CatalogError) as caught:
        load_card(write_card(tmp_path, **changes))
    message = str(caught.value)
    assert all(word in message for word in ["tiny.yaml", *words]), message
    assert "\n" not in message


def test_draft_scores_name_exactly_the_classes(tmp_path: Path) -> None:
    """A class without a draft score, or a score for no class, is a fault."""
    after = card_content()["postprocess"] | {"draft_score": {"disc": 0.5, "rign": 0.5}}
    with pytest.raises(CatalogError, match=r"draft_score.*rign"):
        load_card(write_card(tmp_path, postprocess=after))


@pytest.mark.parametrize(
    "text", ["- a\n- b\n", "a: [1", "", "\x00", "x" * 300_000, "id: a\nid: b\n", "id: &a [1]\nclasses: *a\n"]
)
def test_what_is_no_card_is_refused(tmp_path: Path, text: str) -> None:
    """Lists, broken YAML, empty and giant files, doubled keys and aliases are card errors."""
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(CatalogError, match=r"bad\.yaml"):
        load_card(tmp_path / "bad.yaml")


def test_a_missing_card_names_the_setting(tmp_path: Path) -> None:
    """A missing card says which setting points at its folder."""
    with pytest.raises(CatalogError, match=r"none\.yaml cannot be read.*LABELOP_CATALOG"):
        load_card(tmp_path / "none.yaml")


def test_a_catalog_lists_its_models(tmp_path: Path) -> None:
    """A folder of cards loads in name order and is described as rows."""
    detector(tmp_path, "b-model")
    segmenter(tmp_path, "a-model")
    catalog = load_catalog(tmp_path)
    assert list(catalog) == ["a-model", "b-model"]
    assert [row["quality"] for row in describe_catalog(catalog)] == ["noise/val ap50 = 0.1"] * 2


def test_a_missing_catalog_and_a_doubled_id_are_errors(tmp_path: Path) -> None:
    """Neither is passed over in silence."""
    with pytest.raises(CatalogError, match="does not exist"):
        load_catalog(tmp_path / "none")
    (tmp_path / "again.yaml").write_text(write_card(tmp_path).read_text())
    with pytest.raises(CatalogError, match=r"again\.yaml and tiny\.yaml"):
        load_catalog(tmp_path)


def test_verify_finds_changed_and_missing_files(tmp_path: Path) -> None:
    """A flipped byte is a digest mismatch, a missing file says how to make it."""
    card = detector(tmp_path)
    verify(card)
    data = bytearray(card.files["model"].read_bytes())
    data[-1] ^= 1
    card.files["model"].write_bytes(bytes(data))
    with pytest.raises(DigestMismatchError, match="pins"):
        verify(card)
    card.files["model"].unlink()
    with pytest.raises(CatalogError, match="missing"):
        verify(card)


def test_a_folder_with_pickled_weights_only_is_refused(tmp_path: Path) -> None:
    """The old weight format gets its own hint instead of a missing file."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "pytorch_model.bin").write_bytes(b"x")
    digests = dict.fromkeys(["config.json", "model.safetensors", "preprocessor_config.json"], "0" * 64)
    card = load_card(write_card(tmp_path, format="huggingface", files=None, folder="model", digests=digests))
    with pytest.raises(CatalogError, match=r"pytorch_model\.bin.*pickled"):
        verify(card)


def outside_weights(path: Path, location: str) -> None:
    """Write a graph that keeps a constant in another file, in a nested graph as well as at the top."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2], np.zeros(2, np.float32).tobytes(), raw=True)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", location
    inner = helper.make_graph([helper.make_node("Constant", [], ["o"], value=weights)], "inner", [], [])
    node = helper.make_node("If", ["c"], ["o"], then_branch=inner, else_branch=inner)
    graph = helper.make_graph([node], "outer", [], [])
    path.write_bytes(helper.make_model(graph).SerializeToString())


@pytest.mark.parametrize("location", ["../outside.data", "/etc/passwd", "beside.data"])
def test_weights_outside_the_card_are_refused(tmp_path: Path, location: str) -> None:
    """A graph may not reach files that the card does not pin, wherever they lie."""
    outside_weights(tmp_path / "tiny.onnx", location)
    card = load_card(write_card(tmp_path))
    with pytest.raises(CatalogError, match=r"outside the folder|does not pin"):
        verify(card)


@pytest.mark.parametrize("name", ["a\0b.onnx", "circle.onnx", "a" * 1500 + ".onnx"])
@pytest.mark.parametrize("where", ["card", "folder", "graph"])
def test_a_name_no_file_could_have_is_one_error(tmp_path: Path, name: str, where: str) -> None:
    """A NUL, a link to itself and a name too long came out as whatever the system raised, from card and graph."""
    (tmp_path / "circle.onnx").symlink_to("circle.onnx")
    if where == "graph":
        outside_weights(tmp_path / "tiny.onnx", name)
        card = load_card(write_card(tmp_path))
        with pytest.raises(CatalogError, match=r"tiny\.yaml names .* is no path of a file"):
            verify(card)
        return
    digests = dict.fromkeys(["config.json", "model.safetensors", "preprocessor_config.json"], "0" * 64)
    folder = {"format": "huggingface", "files": None, "folder": name, "digests": digests}
    changes = {"files": {"model": name}, "digests": {"model": "0" * 64}} if where == "card" else folder
    with pytest.raises(CatalogError, match=r"tiny\.yaml") as caught:
        load_card(write_card(tmp_path, **changes))
    assert len(str(caught.value)) < 1000, "a message of the whole name"


@pytest.mark.parametrize(("key", "value"), [("offset", "9" * 30), ("length", "9" * 18), ("length", "9" * 30)])
def test_places_far_behind_a_file_ask_for_nothing(tmp_path: Path, key: str, value: str) -> None:
    """Weights outside the graph that claim to lie or end far behind their file cost no memory and no traceback."""
    outside_weights(tmp_path / "tiny.onnx", "beside.data")
    model = onnx.load(str(tmp_path / "tiny.onnx"), load_external_data=False)
    for branch in model.graph.node[0].attribute:
        entry = branch.g.node[0].attribute[0].t.external_data.add()
        entry.key, entry.value = key, value
    (tmp_path / "tiny.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "beside.data").write_bytes(bytes(8))
    card = load_card(write_card(tmp_path, files={"model": "tiny.onnx", "data": "beside.data"}))
    if key == "offset":
        with pytest.raises(CatalogError, match="cannot be read"):
            verify(card)
    else:
        verify(card)


def test_pinned_outside_weights_are_allowed(tmp_path: Path) -> None:
    """Large models keep weights beside the graph; pinned by digest they are part of the card."""
    outside_weights(tmp_path / "tiny.onnx", "beside.data")
    (tmp_path / "beside.data").write_bytes(bytes(8))
    verify(load_card(write_card(tmp_path, files={"model": "tiny.onnx", "data": "beside.data"})))


def test_external_locations_agree_with_the_format_library(tmp_path: Path) -> None:
    """The walk over the bytes finds what the library writes, and nothing in a plain graph."""
    outside_weights(tmp_path / "a.onnx", "w.data")
    assert read_graph(tmp_path / "a.onnx").locations == {"w.data"}
    model = onnx.load(str(detector(tmp_path).files["model"]))
    onnx.save(model, str(tmp_path / "b.onnx"), save_as_external_data=True, location="b.data", size_threshold=0)
    assert read_graph(tmp_path / "b.onnx").locations == {"b.data"}
    assert read_graph(detector(tmp_path).files["model"]).locations == set()


@pytest.mark.parametrize(("domain", "fits"), [("com.microsoft", True), ("evil.ops", False), ("own.ops", True)])
def test_operators_that_are_somebodys_code_are_refused(tmp_path: Path, domain: str, fits: bool) -> None:
    """A graph uses operators of the engines and functions of its own; a library that brings others is never loaded."""
    node = helper.make_node("Strange", ["x"], ["y"], domain=domain)
    inside = helper.make_node("Identity", ["x"], ["y"])
    made = helper.make_function("own.ops", "Strange", ["x"], ["y"], [inside], [helper.make_opsetid("", 17)])
    graph = helper.make_graph([node], "graph", [], [])
    (tmp_path / "tiny.onnx").write_bytes(helper.make_model(graph, functions=[made]).SerializeToString())
    card = load_card(write_card(tmp_path))
    if fits:
        verify(card)
        return
    with pytest.raises(CatalogError, match=r"evil\.ops.*code"):
        verify(card)


@pytest.mark.parametrize("data", [b"\x0a\xff\xff\xff\x7f", b"\xff" * 20, b"not a graph", b"\x0f"])
def test_bytes_that_are_no_graph_are_refused(tmp_path: Path, data: bytes) -> None:
    """Hostile bytes end in a card error and not in a crash."""
    (tmp_path / "x.onnx").write_bytes(data)
    with pytest.raises(CatalogError, match="not a readable ONNX graph"):
        read_graph(tmp_path / "x.onnx")
