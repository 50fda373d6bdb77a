"""Class names in model files: a card with renamed or turned classes is found where the file tells, and only there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from labelop.catalog.cards import load_card, verify
from labelop.catalog.graph_file import read_graph
from labelop.catalog.label_map import labels_in, labels_of, write_labels
from labelop.engines.base import open_engine
from labelop.errors import CatalogError
from labelop.settings import Settings
from tests.unit.engines.checkpoints import checkpoint
from tests.unit.engines.models import CLASSES, card_content, detector, write_card


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (CLASSES[::-1], "class 0 of 3 'disc', the card calls class 0 of 3 'dot'"),
        (("disc", "hoop", "dot"), "class 1 of 3 'ring', the card calls class 1 of 3 'hoop'"),
        (CLASSES[:2], "class 2 of 3 'dot', the card calls class 2 of 2 'nothing'"),
    ],
    ids=["turned", "renamed", "fewer"],
)
def test_a_card_with_other_classes_than_its_graph_is_refused(
    tmp_path: Path, classes: tuple[str, ...], said: str
) -> None:
    """Such a card was verified, ran, and landed cells under each other's names: only the number was compared."""
    write_labels(detector(tmp_path, "tiny").files["model"], CLASSES)
    after = card_content()["postprocess"] | {"draft_score": dict.fromkeys(classes, 0.5)}
    card = load_card(write_card(tmp_path, classes=list(classes), postprocess=after))
    with pytest.raises(CatalogError, match=r"Model tiny: tiny\.onnx calls") as caught:
        verify(card)
    assert said in str(caught.value)
    with pytest.raises(CatalogError, match="calls class"):
        open_engine(card, Settings())


def test_names_are_written_once_and_the_format_library_reads_them(tmp_path: Path) -> None:
    """Bytes behind the file are a field of its message; a file that has names keeps them."""
    graph = detector(tmp_path).files["model"]
    assert not verify(load_card(write_card(tmp_path, files={"model": graph.name})))
    write_labels(graph, CLASSES)
    write_labels(graph, ("other",))
    model = onnx.load(str(graph))
    onnx.checker.check_model(model)
    assert [(one.key, json.loads(one.value)) for one in model.metadata_props] == [
        ("names", {"0": "disc", "1": "ring", "2": "dot"})
    ]
    assert read_graph(graph).metadata["names"] == model.metadata_props[0].value
    assert verify(load_card(write_card(tmp_path, files={"model": graph.name})))


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({"names": "{0: 'disc', 1: \"it's\"}"}, ("disc", "it's")),
        ({"classes": '["a", "b"]'}, ("a", "b")),
        ({"id2label": '{"1": "b", "0": "a"}'}, ("a", "b")),
        ({"names": "of nothing", "classes": '["a"]'}, ("a",)),
        ({"author": '["a"]'}, None),
        ({"names": "3"}, None),
        ({"names": "['a', 'b', ]"}, ("a", "b")),
        ({"names": "{0: 'a', 2: 'b'}"}, None),
        ({"names": "{0: 'a', 'b'}"}, None),
        ({"names": "['a' 'b']"}, None),
        ({"names": "[1, 2]"}, None),
        ({"names": "[" * 90_000}, None),
        ({"names": "[__import__('os').getcwd()]"}, None),
        ({"names": '["LABEL_0", "LABEL_1"]'}, None),
    ],
)
def test_names_are_read_as_exporters_write_them(metadata: dict[str, str], found: tuple[str, ...] | None) -> None:
    """Python's and JSON's forms are read; what is no map of names, hostile or not, says nothing."""
    assert labels_of(metadata) == found


@pytest.mark.parametrize("content", [None, {}, [], "a", {"x": "a"}, {"0": None}, {0: "a", "0": "b"}])
def test_what_is_no_map_of_names_says_nothing(content: Any) -> None:
    """Nothing to compare with is not the same as a difference."""
    assert labels_in(content) is None


def test_a_folder_tells_its_classes_too(tmp_path: Path) -> None:
    """The names in config.json are the ones its card has to have."""
    card = checkpoint(tmp_path, "resnet")
    assert card.folder is not None
    assert verify(card)
    text = card.path.read_text()
    first, second = card.classes[:2]
    card.path.write_text(text.replace(first, "?").replace(second, first).replace("?", second))
    with pytest.raises(CatalogError, match=r"config\.json calls class 0"):
        verify(load_card(card.path))
