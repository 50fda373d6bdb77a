"""Nothing this project needs may force its licence on those who use it."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
CHOICE = {"text-unidecode": "offered under the Artistic License or the GPL; the Artistic License is taken"}
"""Distributions whose metadata names the GPL beside a licence we may take instead."""

WEAK_COPYLEFT: dict[str, str] = {}
"""LGPL distributions that may be used, each with the reason."""

_LONGEST_NAME = 120
_COPYLEFT = re.compile(r"\b(A?GPL)|(GNU (Affero )?General Public)", re.IGNORECASE)
_WEAK = re.compile(r"\bLGPL|GNU (Lesser|Library) General Public", re.IGNORECASE)


def licences(name: str) -> list[str]:
    """Collect what a distribution's metadata says about its licence; whole licence texts are left out."""
    metadata = importlib.metadata.metadata(name).json
    # a long field is a text that may quote licences of bundled parts; its classifier says what it is
    stated = [str(metadata.get(key) or "") for key in ("license_expression", "license")]
    classifiers = [c for c in metadata.get("classifier", []) if c.startswith("License ::")]
    return [text for text in stated if 0 < len(text.strip()) <= _LONGEST_NAME] + classifiers


def closure(name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """Name everything that is installed because of a distribution."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(name, extras)]
    while waiting:
        one = waiting.pop()
        if one in seen or not _installed(one[0]):
            continue
        seen.add(one)
        for text in importlib.metadata.requires(one[0]) or []:
            wanted = Requirement(text)
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": e}) for e in ("", *one[1])):
                waiting.append((canonicalize_name(wanted.name), frozenset(wanted.extras)))
    return {found for found, _ in seen}


def pinned() -> set[str]:
    """Name the distributions of constraints.txt that are installed here."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    names = {canonicalize_name(Requirement(line).name) for line in lines if line.strip() and not line.startswith("#")}
    return {str(name) for name in names if _installed(name)}


def _installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


ALL = sorted(closure("labelop", frozenset({"torch", "dev"})) | pinned())


def test_the_walk_finds_what_is_installed() -> None:
    """The closure is a real one: it reaches dependencies of dependencies."""
    assert {"labelop", "prefect", "deltalake", "sqlalchemy", "markupsafe"} <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_no_dependency_is_copyleft(name: str) -> None:
    """No needed distribution is GPL or AGPL, and an LGPL one is listed with its reason."""
    texts = licences(name)
    strong = [t for t in texts if _COPYLEFT.search(_WEAK.sub("", t))]
    assert not strong or name in CHOICE, f"{name}: {strong}"
    weak = [t for t in texts if _WEAK.search(t)]
    assert not weak or name in WEAK_COPYLEFT, f"{name}: {weak}"


def test_exceptions_are_still_needed() -> None:
    """A listed exception names a distribution that is really needed and really says so."""
    for name in [*CHOICE, *WEAK_COPYLEFT]:
        assert name in ALL
        assert any(_COPYLEFT.search(text) for text in licences(name))
