"""Foreign JSON and YAML are read strictly."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from labelop.strict_text import read_json, read_yaml


def test_plain_documents_are_read() -> None:
    """Ordinary values come through, with and without a byte order mark."""
    assert read_json(b'\xef\xbb\xbf{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
    assert read_yaml(b"a: [1, two]\n") == {"a": [1, "two"]}
    numbers = b"[0, -12, +3, 0.5, .5, 1., 1.0e-05, -.inf, '010', 2026-11-20]"
    assert read_yaml(numbers) == [0, -12, 3, 0.5, 0.5, 1.0, 1e-5, -math.inf, "010", dt.date(2026, 11, 20)]


@pytest.mark.parametrize(
    "data", [b'{"a": NaN}', b"[-Infinity]", b"[" * 100_000, b"\xff", b"{", b'{"a": ' + b"9" * 5000 + b"}", b" " * 101]
)
def test_hostile_json_is_refused(data: bytes) -> None:
    """What is no strict JSON, too deep or too large is one plain error."""
    with pytest.raises(ValueError, match=r"\w"):
        read_json(data, max_bytes=100 if data.isspace() else 1_000_000)


def test_a_key_said_twice_is_refused() -> None:
    """A reader that takes the last one would lose the labels of the first, without a word."""
    with pytest.raises(ValueError, match="'annotations' twice"):
        read_json(b'[{"annotations": [1], "images": [], "annotations": []}]')


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"a: 1\na: 2\n", "written twice"),
        (b"a: {<<: {b: 1}, b: 2}\n", "line 1: merge keys"),
        (b"a: &x [1]\nb: *x\n", "aliases"),
        (b"a: !!python/object/apply:os.system [ls]\n", "no plain YAML"),
        (b"a: [", "no plain YAML"),
        (b"\xff", "UTF-8"),
        (b"[" * 100_000, "deep"),
        (b"a: 1\nb: [2026-02-30]\n", "line 2: '2026-02-30'"),
        (b"a: " + b"9" * 5000, "line 1: '9999"),
        (b"a: !!bool maybe\n", "line 1: 'maybe'"),
        (b"a: !!timestamp soon\n", "line 1: 'soon'"),
        (b"a: 1\nb: 58:20\n", "line 2: '58:20' .* plain decimal number"),
        (b"a: 010\n", "'010' .* plain decimal number"),
        (b"a: 0x10\n", "'0x10' .* plain decimal number"),
        (b"a: 3_500\n", "'3_500' .* plain decimal number"),
        (b"a: 1:30.5\n", "'1:30.5' .* plain decimal number"),
    ],
)
def test_hostile_yaml_is_refused(data: bytes, word: str) -> None:
    """Doubled and merged keys, aliases, objects, endless nesting, no values and doubtful numbers: one plain error."""
    with pytest.raises(ValueError, match=word):
        read_yaml(data)
