"""Forms: one fault is one clear line, whatever stands in the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field

from labelop.errors import CatalogError, PolicyError
from labelop.forms import FirstSchema, StrictForm, check_form, read_form


class Leaf(StrictForm):
    """A form inside others."""

    size: int = Field(default=1, ge=1)
    kind: Literal["a", "b"] | None = None


class Tree(StrictForm):
    """Leaves at every kind of place."""

    form: FirstSchema = Field(alias="schema")
    leaf: Leaf | None = None
    listed: tuple[Leaf, ...] = ()
    named: dict[str, list[Leaf] | None] = Field(default_factory=dict)
    text: str = Field(default="x", pattern="^x+$")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": True}, "key schema has the value True; allowed are 1"),
        ({"schema": 1.0}, "key schema has the value 1.0; allowed are 1"),
        ({"form": 1}, "key form is unknown (value 1); allowed are schema, leaf, listed, named, text"),
        ({"leaf": {"x": 1}}, "key leaf.x is unknown (value 1); allowed are size, kind"),
        ({"listed": [{}, {"x": 1}]}, "key listed.1.x is unknown (value 1); allowed are size, kind"),
        ({"named": {"n": [{"x": 1}]}}, "key named.n.0.x is unknown (value 1); allowed are size, kind"),
        ({"leaf": 3}, "key leaf has the value 3; allowed is a mapping of keys; allowed are size, kind"),
        ({"named": 3}, "key named has the value 3; allowed is a mapping of keys"),
        ({"leaf": {"kind": "c"}}, "key leaf.kind has the value 'c'; allowed are 'a' or 'b'"),
        ({"leaf": {"size": 0}}, "key leaf.size has the value 0; allowed is greater than or equal to 1"),
        ({"text": "y"}, "key text has the value 'y'; allowed is a string that should match pattern '^x+$'"),
        ({"text": "y" * 500}, f"key text has the value '{'y' * 119}; allowed is a string"),
        ({3: 4}, "key 3 is unknown; allowed are schema"),
        ({"a\nb": 1}, r"key 'a\nb' is unknown"),
        ({"text": 1, "leaf": {"size": 0}}, "greater than or equal to 1; and key text has the value 1; allowed is"),
    ],
)
def test_a_fault_says_key_value_and_what_is_allowed(changes: dict[Any, Any], said: str) -> None:
    """The key is found in lists, mappings and optional forms, by the name it has in the file."""
    with pytest.raises(CatalogError) as caught:
        check_form({"schema": 1} | changes, Tree, name="tree", error=CatalogError, hint="Prune it.")
    assert caught.value.message.startswith("tree: ")
    assert said in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint == "Prune it."


def test_a_flood_of_faults_stays_small() -> None:
    """Each of the first faults has its words, where once only the first had; the others are counted."""
    with pytest.raises(PolicyError, match=r"key k0 is unknown.*; and key k19 is unknown.*\(and 980 more\)") as caught:
        check_form({"schema": 1} | {f"k{n}": n for n in range(1000)}, Tree, name="tree")
    assert len(caught.value.context["faults"]) == 20


def test_a_file_has_a_largest_size(tmp_path: Path) -> None:
    """A file of the largest size is read, one byte more is refused before it is parsed."""
    path = tmp_path / "tree.yaml"
    path.write_text("schema: 1\n")
    assert read_form(path, Tree, max_bytes=10).form == 1
    with pytest.raises(PolicyError, match=r"tree\.yaml has more than 9 bytes"):
        read_form(path, Tree, max_bytes=9)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_only_a_regular_file_is_read(tmp_path: Path, kind: str) -> None:
    """A pipe among the files kept commands waiting for ever; a link to one is no way around."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "tree.yaml").symlink_to(tmp_path / kind)
    with pytest.raises(PolicyError, match=r"tree\.yaml is no regular file") as caught:
        read_form(tmp_path / "tree.yaml", Tree, hint="Prune it.")
    assert caught.value.hint == "Prune it."


def test_what_the_shell_has_opened_is_read() -> None:
    """`<(...)` on a command line is a pipe that has its writer."""
    reading, writing = os.pipe()
    try:
        os.write(writing, b"schema: 1\n")
        os.close(writing)
        assert read_form(Path(f"/dev/fd/{reading}"), Tree).form == 1
    finally:
        os.close(reading)
