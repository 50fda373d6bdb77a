"""Large foreign JSON and XML, read record by record: a file takes many times its size once it is whole in memory.

Strict as `strict_text`, whose limits it shares. A document is read to its end each time, so whoever has read it once
knows that it is well-formed. Knows no schema. Raises ValueError, which callers turn into their own error.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from labelop.strict_text import check_size, no_key_twice, refuse_constant

MAX_FILE_BYTES = 256 * 1024 * 1024
"""Largest annotation file."""

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""Largest single record, which takes up to 30 times its size while it is looked at."""

MAX_RECORDS = 1_000_000
"""Most records of one file, in whichever list: what is kept of each takes about 500 bytes."""

_CHUNK_BYTES = 1024 * 1024
_MOST_KEYS = 1000
_MARK = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
"""What decides where a value ends: a text as a whole, a bracket, a comma."""
_BLANKS = re.compile(r"[ \t\n\r]*")
_TOP = 1


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a record that cannot be read."""

    why: str
    """What is wrong with it."""


def json_records(file: BinaryIO, lists: Collection[str]) -> Iterator[tuple[str, int, Any]]:
    """Read the lists of a JSON object that are called so; what else stands there is read and dropped.

    Yields:
        Name of the list, place in it from 0, and record.

    Raises:
        ValueError: A list is missing, a record or the file is too large, or as `strict_text.read_json`.
    """
    text = _JsonText(file)
    seen: set[str] = set()
    count = 0
    with _told(text):
        for name in text.members():
            if name in seen or len(seen) > _MOST_KEYS:
                raise ValueError(f"has the key {name[:80]!a} twice in one object, or over {_MOST_KEYS} keys")
            seen.add(name)
            if text.peek() != "[":
                text.value()
                if name in lists:
                    raise ValueError(f"has no list under {name!r}")
                continue
            for number, record in enumerate(text.items()):
                count += 1  # also what is dropped: reading it takes as long
                if count > MAX_RECORDS:
                    raise ValueError(f"has over {MAX_RECORDS} records; split it")
                if name in lists:
                    yield name, number, record
    if missing := [name for name in lists if name not in seen]:
        raise ValueError(f"has no list under {missing[0]!r}")


def json_list(file: BinaryIO, max_record_bytes: int = MAX_RECORD_BYTES) -> Iterator[Any]:
    """Read the records of a JSON list, one after the other.

    Yields:
        Each record; `Unreadable` for one that is no JSON, holds NaN or a doubled key, or is nested too deeply, where it
        can be told where the next one begins.

    Raises:
        ValueError: A record, their number or the file is too large, or as `strict_text.read_json` for the whole list.
    """
    text = _JsonText(file, max_record_bytes)
    with _told(text):
        if text.peek() != "[":
            raise ValueError("holds no list")
        for number, record in enumerate(text.items(text.value_or_why)):
            if number >= MAX_RECORDS:
                raise ValueError(f"has over {MAX_RECORDS} records; split it")
            yield record
        text.end()


def xml_records(file: BinaryIO, root_tag: str) -> Iterator[Element]:
    """Read what stands directly under the root of an XML document without a document type, one after the other.

    Yields:
        Each element with all that it holds; the next one takes its place.

    Raises:
        ValueError: An element or the file is too large, or as `strict_text.read_xml`.
    """
    feed = _XmlFeed(file)
    depth = 0
    root: Element | None = None
    try:
        for event, node in iterparse(feed, ("start", "end"), forbid_dtd=True):
            depth += 1 if event == "start" else -1
            if root is None:
                root = node
                if node.tag != root_tag:
                    raise ValueError(f"holds <{node.tag:.40}>, expected <{root_tag}>")
            elif event == "end" and depth == _TOP:
                yield node
                root.clear()
                feed.record_ended()
    except (ParseError, DefusedXmlException, RecursionError, LookupError) as error:
        raise ValueError(f"is no plain XML: {type(error).__name__}") from None


@contextlib.contextmanager
def _told(text: _JsonText) -> Iterator[None]:
    """Say of what Python's readers raise what and where it was."""
    try:
        yield
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError(f"is not UTF-8 near byte {text.fed_bytes}") from None


class _JsonText:
    """A piece of a JSON text that moves along as it is read."""

    def __init__(self, file: BinaryIO, max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self._size = _rewound(file)
        self._most = max_record_bytes
        self._file = file
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder(parse_constant=refuse_constant, object_pairs_hook=no_key_twice)
        self._text = ""
        self._at = 0
        self.fed_bytes = 0

    def members(self) -> Iterator[str]:
        """Give the keys of the object that is the document; whoever asks reads the value of each."""
        self._take("{")
        if self.peek() == "}":
            self._take("}")
        else:
            while True:
                if self.peek() != '"':
                    raise self._unexpected("a key")
                name = self.value()
                self._take(":")
                yield name
                if self._take(",}") == "}":
                    break
        self.end()

    def items(self, read: Callable[[], Any] | None = None) -> Iterator[Any]:
        """Give the values of a list, each as it is read by `value` or another."""
        read = read or self.value
        self._take("[")
        if self.peek() == "]":
            self._take("]")
            return
        while True:
            yield read()
            if self._take(",]") == "]":
                return

    def value_or_why(self) -> Any:
        """Read one value of a list, or pass over it and say why."""
        try:
            return self.value()
        except UnicodeDecodeError:
            raise
        except (ValueError, RecursionError) as error:
            if not self._pass():
                raise
            return Unreadable("is nested too deeply" if isinstance(error, RecursionError) else str(error))

    def _pass(self) -> bool:
        """Go to the end of a value of a list, by its brackets; False where there is none or it is not to be found."""
        while (end := self._end_of_value()) is None:
            if self._is_fed or len(self._text) - self._at > self._most:
                return False
            self._feed()
        is_something, self._at = end > self._at, end
        return is_something

    def _end_of_value(self) -> int | None:
        """Find it in what is at hand; None where it is not there."""
        depth = 0
        for found in _MARK.finditer(self._text, self._at):
            mark = found[0]
            if mark == '"':  # a text that goes on
                return None
            if not depth and mark in {",", "]", "}"}:
                return found.start()
            depth += (mark in {"[", "{"}) - (mark in {"]", "}"})
            if not depth and mark in {"]", "}"}:
                return found.end()
        return None

    def value(self) -> Any:
        """Read one value whole."""
        self.peek()
        while True:
            problem = None
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                problem = f"is no JSON near byte {self.fed_bytes}: {error.msg}"
            else:
                # a number at the end of the piece may go on in the next, as 1 in 1.5 and in 1e5
                if self._is_fed or self._text[end : end + 1] not in ("", ".", "e", "E"):
                    self._at = end
                    return value
            if problem and self._is_fed:
                raise ValueError(problem)
            if len(self._text) - self._at > self._most:
                raise ValueError(f"has a record of over {self._most} bytes, or is no JSON, near byte {self.fed_bytes}")
            self._feed()

    def peek(self) -> str:
        """Give the next character that is no blank; nothing at the end."""
        while True:
            if (blanks := _BLANKS.match(self._text, self._at)) is not None:
                self._at = blanks.end()
            if self._at < len(self._text) or self._is_fed:
                return self._text[self._at : self._at + 1]
            self._feed()

    def end(self) -> None:
        """Make sure that nothing follows."""
        if self.peek():
            raise self._unexpected("its end")

    def _take(self, wanted: str) -> str:
        found = self.peek()
        if not found or found not in wanted:
            raise self._unexpected(" or ".join(wanted))
        self._at += 1
        return found

    def _unexpected(self, wanted: str) -> ValueError:
        return ValueError(f"is not the JSON it should be near byte {self.fed_bytes}: expected {wanted}")

    @property
    def _is_fed(self) -> bool:
        return self.fed_bytes >= self._size

    def _feed(self) -> None:
        """Take in as much again as is left, so that a long record is tried a few times only."""
        rest = self._text[self._at :]
        size = max(_CHUNK_BYTES, min(len(rest), self._most - len(rest)))
        piece = self._file.read(size)
        if not piece:
            raise ValueError(f"ends at byte {self.fed_bytes} of {self._size}")
        self.fed_bytes += len(piece)
        self._text, self._at = rest + self._utf8.decode(piece, final=self._is_fed), 0


class _XmlFeed:
    """A file that ends with an error when too much of it is read for one record."""

    def __init__(self, file: BinaryIO) -> None:
        _rewound(file)
        self._file = file
        self._ended = 0

    def record_ended(self) -> None:
        """Begin to count anew."""
        self._ended = self._file.tell()

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        if (at := self._file.tell()) - self._ended > MAX_RECORD_BYTES:
            raise ValueError(f"has a record of over {MAX_RECORD_BYTES} bytes before byte {at}")
        return self._file.read(size)


def _rewound(file: BinaryIO) -> int:
    """Go to the beginning of a file that is not too large; gives its size in bytes."""
    size = file.seek(0, io.SEEK_END)
    check_size(size, MAX_FILE_BYTES)
    file.seek(0)
    return size
