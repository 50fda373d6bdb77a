"""The one tree of errors: every class is documented, says what to do, and survives a process border."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from labelop import errors
from labelop.errors import LabelopError

ROOT = Path(__file__).resolve().parents[2]


def family(kind: type[LabelopError]) -> Iterator[type[LabelopError]]:
    """Walk a class and everything below it."""
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


CLASSES = sorted(
    {kind for kind in family(LabelopError) if kind.__module__ == "labelop.errors"}, key=lambda k: k.__name__
)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda k: k.__name__)
def test_an_error_survives_pickling(kind: type[LabelopError]) -> None:
    """A worker's error arrives whole: class, message, hint and context."""
    error = kind("Batch b-1 failed.", hint="Try again.", code="CORRUPT", batch_id="b-1")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.message, copy.hint, copy.context) == (kind, error.message, error.hint, error.context)
    assert str(copy) == "Batch b-1 failed. Hint: Try again."


@pytest.mark.parametrize("kind", CLASSES, ids=lambda k: k.__name__)
def test_an_error_stands_in_the_documented_tree(kind: type[LabelopError]) -> None:
    """The module's docstring shows the whole tree, with each class on the line of its parent."""
    tree = errors.__doc__ or ""
    assert re.search(rf"\b{kind.__name__}\b", tree)
    parent = kind.__mro__[1]
    if parent not in {Exception, LabelopError}:
        block = re.split(r"\n  (?=\w)", tree)
        assert any(re.match(rf"{parent.__name__}\b", part) and kind.__name__ in part for part in block)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda k: k.__name__)
def test_retryable_errors_are_marked_in_the_tree(kind: type[LabelopError]) -> None:
    """What the tree calls retryable is what the class says."""
    assert kind.retryable == (f"{kind.__name__} (retryable)" in (errors.__doc__ or ""))


def test_errors_are_defined_in_one_module() -> None:
    """No other module of the product adds a class to the tree."""
    elsewhere = []
    names = {kind.__name__ for kind in CLASSES}
    for path in sorted(p for folder in ("labelop", "tasks", "flows") for p in (ROOT / folder).rglob("*.py")):
        if path.name == "errors.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ClassDef):
                continue
            if names & {base.id for base in node.bases if isinstance(base, ast.Name)}:
                elsewhere.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert elsewhere == []


def test_a_code_is_the_quarantine_reason() -> None:
    """An unreadable image always has a reason code, also when nobody gave one."""
    assert errors.UnreadableImageError("a", code="BOMB").code == "BOMB"
    assert errors.UnreadableImageError("a").code == "UNREADABLE"
