"""Large foreign files are read record by record, as strictly as small ones."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from labelop import streamed_text
from labelop.streamed_text import Unreadable, json_list, json_records, xml_records

DOCUMENT = {
    "info": {"x": [1, {"y": "}]"}]},
    "other": [[], {}, 'a"\\'],
    "annotations": [
        {"id": 123456789012, "n": "ä日本\U0001f600\ud800"},
        0,
        -1.5e-7,
        None,
        True,
        [],
        "",
        1.5,
        1e5,
        "]",
    ],
    "images": [],
}
Read = Callable[[bytes], Any]


def records(data: bytes) -> list[tuple[str, int, Any]]:
    """Read two lists of a document."""
    return list(json_records(io.BytesIO(data), ("images", "annotations")))


def elements(data: bytes) -> list[str]:
    """Read the tags below a root."""
    return [node.tag for node in xml_records(io.BytesIO(data), "root")]


@pytest.mark.parametrize("chunk_bytes", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_records_are_those_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, chunk_bytes: int, indent: int | None, ascii_only: bool
) -> None:
    """Wherever a piece ends, also within a number, an escape or a letter, nothing is lost or changed."""
    monkeypatch.setattr(streamed_text, "_CHUNK_BYTES", chunk_bytes)
    text = json.dumps(DOCUMENT, indent=indent, ensure_ascii=ascii_only)
    data = b"\xef\xbb\xbf" + text.replace("\ud800", "").encode()
    whole = json.loads(text.replace("\ud800", ""))

    assert records(data) == [("annotations", at, value) for at, value in enumerate(whole["annotations"])]
    assert list(json_list(io.BytesIO(json.dumps([*whole["annotations"], whole]).encode()))) == [
        *whole["annotations"],
        whole,
    ]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "expected {"),
        (b"[]", "expected {"),
        (b'{"images": []}', "no list under 'annotations'"),
        (b'{"images": [], "annotations": {}}', "no list under 'annotations'"),
        (b'{"images": [], "annotations": [1 2]}', "expected , or ]"),
        (b'{"images": [], "annotations": [1,]}', "no JSON"),
        (b'{"images": [], "annotations": [1]', "expected , or }"),
        (b'{"images": [], "annotations": [1],}', "expected a key"),
        (b'{"images": [], "annotations": [1]} x', "expected its end"),
        (b'{"images": [], "images": [], "annotations": []}', "'images' twice"),
        (b'{"images": [{"a": 1, "a": 2}], "annotations": []}', "'a' twice"),
        (b'{"images": [NaN], "annotations": []}', "NaN"),
        (b'{"images": [' + b"[" * 100_000, "deep"),
        (b'{"images": ["\xff"], "annotations": []}', "UTF-8"),
        (b'{"images": ["\xc3', "UTF-8"),
        (b"{" + b",".join(b'"%d": 0' % n for n in range(1002)) + b"}", "over 1000 keys"),
    ],
)
def test_what_is_no_such_document_is_refused(data: bytes, word: str) -> None:
    """Each fault is one plain error that says what is wrong."""
    with pytest.raises(ValueError, match=word):
        records(data)


def test_a_list_is_one() -> None:
    """What is no list, or goes on behind it, is refused."""
    for data in (b"{}", b"", b"[1] 2"):
        with pytest.raises(ValueError, match=r"no list|its end"):
            list(json_list(io.BytesIO(data)))


def test_large_json_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that holds the whole file, too many records and too large a file each end the reading."""
    monkeypatch.setattr(streamed_text, "_CHUNK_BYTES", 8)
    with pytest.raises(ValueError, match="record of over 100 bytes, or is no JSON"):
        list(json_list(io.BytesIO(b"[[" + b"[]," * 200 + b"[]]]"), 100))
    monkeypatch.setattr(streamed_text, "MAX_RECORDS", 3)
    assert len(records(b'{"images": [1, 2], "annotations": [3], "other": 4}')) == 3
    with pytest.raises(ValueError, match="over 3 records"):
        records(b'{"images": [1], "annotations": [2], "other": [3, 4]}')
    with pytest.raises(ValueError, match="over 3 records"):
        records(b'{"images": [1, 2], "annotations": [3, 4]}')
    with pytest.raises(ValueError, match="over 3 records"):
        list(json_list(io.BytesIO(b"[1, 2, 3, 4]")))
    monkeypatch.setattr(streamed_text, "MAX_FILE_BYTES", 10)
    with pytest.raises(ValueError, match="allowed are 10"):
        records(b'{"images": [], "annotations": []}')
    with pytest.raises(ValueError, match="allowed are 10"):
        elements(b"<root></root>")


def test_elements_below_the_root_come_one_by_one() -> None:
    """Each is whole while it is looked at."""
    found = [
        (node.tag, len(list(node.iter())))
        for node in xml_records(io.BytesIO(b"<root>x<a><b/><b/></a> <c/></root>"), "root")
    ]
    assert found == [("a", 3), ("c", 1)]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"<other/>", "expected <root>"),
        (b"<root><a></root>", "no plain XML"),
        (b"<root/><root/>", "no plain XML"),
        (b"<!DOCTYPE root []><root/>", "no plain XML"),
        (b"<?xml version='1.0' encoding='nonsense'?><root/>", "no plain XML"),
        (b"<root>" + b"<a/>" * 10 + b"<b>" + b"<c/>" * 10_000 + b"</b></root>", "record of over 1000 bytes"),
        (b"<root>" + b" " * 40_000 + b"</root>", "record of over 1000 bytes"),
    ],
)
def test_what_is_no_such_xml_is_refused(monkeypatch: pytest.MonkeyPatch, data: bytes, word: str) -> None:
    """Each fault is one plain error, also an element that holds the whole file."""
    monkeypatch.setattr(streamed_text, "MAX_RECORD_BYTES", 1000)
    with pytest.raises(ValueError, match=word):
        elements(data)


def test_a_record_that_is_passed_over_may_be_longer_than_a_piece() -> None:
    """Where the next record begins is found behind megabytes of text with brackets and quotes in it."""
    long = '][ "{ ' * 500_000
    text = json.dumps([1, {"a": long, "b": "SPOILT", "c": long}, {"a": long}]).replace('"SPOILT"', "NaN")
    first, bad, last = json_list(io.BytesIO(text.encode()), 1 << 25)
    assert (first, last) == (1, {"a": long})
    assert bad == Unreadable("holds NaN, which is no JSON number")
