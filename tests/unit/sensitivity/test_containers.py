"""Parts of a file that no signal reads are told, and what is harmless is not."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageCms

from labelop.sensitivity.signals import metadata
from labelop.sensitivity.signals.containers import unread_parts
from tests.unit.sensitivity.test_signals import KEY, wall, xmp_of


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_file_without_notes_has_none(kind: str) -> None:
    """Nothing is made up, of no format, and colours, sizes and padding are no notes."""
    assert metadata.observe(saved(kind), KEY) == []
    assert (
        metadata.observe(
            saved(kind, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()) + b"\0" * 9, KEY
        )
        == []
    )


def saved(kind: str = "JPEG", **options: Any) -> bytes:
    """Write a wall in a format."""
    out = io.BytesIO()
    wall().save(out, kind, **options)
    return out.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    """Write a JPEG with one more segment behind its first."""
    data = saved()
    return data[:20] + b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body + data[20:]


def chunk(kind: bytes, body: bytes) -> bytes:
    """Write a PNG with one more chunk before its end."""
    data = saved("PNG")
    return (
        data[:-12]
        + struct.pack(">I", len(body))
        + kind
        + body
        + struct.pack(">I", zlib.crc32(kind + body))
        + data[-12:]
    )


def resource(number: int, body: bytes) -> bytes:
    """Write an image resource of Photoshop."""
    return b"Photoshop 3.0\0" + struct.pack(">4sHHI", b"8BIM", number, 0, len(body)) + body + b"\0" * (len(body) % 2)


@pytest.mark.parametrize(
    ("data", "category"),
    [
        (segment(0xED, resource(0x040C, b"\0" * 28 + saved())), "notes_unknown"),
        (segment(0xED, resource(0x0404, b"\x1c\x02\x19\0\x06Miller")), "comment"),
        (segment(0xE0, b"JFXX\0\x10" + saved()), "notes_unknown"),
        (segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\1Mil"), "notes_unknown"),
        (segment(0xE2, b"MPF\0Miller"), "notes_unknown"),
        (segment(0xE9, b"Patient: Miller"), "notes_unknown"),
        (segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0Miller"), "notes_unknown"),
        (segment(0xFE, b"Miller"), "comment"),
        (saved() + b"Patient: Miller", "notes_unknown"),
        (saved() + saved(), "notes_unknown"),
        (saved()[:-2] + b"\xff\xe9\0\x08Miller\xff\xd9", "notes_unknown"),
        (saved()[:-2], "notes_unknown"),
        (xmp_of("<p:patient>Miller</p:patient>"), "notes_unknown"),
        (xmp_of("<!-- Miller -->"), "notes_unknown"),
        (saved("PNG") + b"Patient: Miller", "notes_unknown"),
        (chunk(b"miLr", b"Miller"), "notes_unknown"),
        (chunk(b"zTXt", b"Software\0\0" + zlib.compress(b"Miller")), "comment"),
        (chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(b"Miller")), "comment"),
        (chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0Miller"), "notes_unknown"),
        (saved("WEBP") + b"Patient: Miller", "notes_unknown"),
    ],
)
def test_what_nobody_reads_is_told(data: bytes, category: str) -> None:
    """A part of a file that is not known to be harmless is a finding; all of these were found free of notes."""
    assert category in {one.category for one in metadata.observe(data, KEY)}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP"]), st.integers(0), st.binary(min_size=1, max_size=12))
def test_bent_containers_come_to_an_end(kind: str, at: int, bits: bytes) -> None:
    """Whatever stands in a file, its parts are listed without an error."""
    data = _SAVED[kind]
    at %= len(data)
    assert all(len(part) == 2 for part in unread_parts(data[:at] + bits + data[at + len(bits) :]))
    assert all(len(part) == 2 for part in unread_parts(data[:at]))


_SAVED = {kind: saved(kind) for kind in ("JPEG", "PNG", "WEBP")}
