"""The rig is only worth what it can see: every form in which a canary may leave is found, and nothing else is."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image
from pyarrow import parquet

from tests.canary.canaries import TEXTS, Tagged, drawn, tagged
from tests.canary.search import Search

ONE, OTHER = tagged("one"), tagged("other")
SEARCH = Search([ONE, OTHER], frames=[(32, 24)])

CODED: dict[str, Callable[[bytes], bytes]] = {
    "raw": lambda raw: raw,
    "hex": lambda raw: raw.hex().encode(),
    "base64, first": lambda raw: base64.b64encode(raw + b"!"),
    "base64, second": lambda raw: base64.b64encode(b"a" + raw + b"??"),
    "base64, third": lambda raw: base64.b64encode(b"ab" + raw + b"??"),
    "url": lambda raw: "".join(f"%{byte:02x}" for byte in raw).encode(),
    "json": lambda raw: "".join(f"\\u{byte:04x}" for byte in raw).encode(),
    "gzip": lambda raw: b"junk" + gzip.compress(raw * 3),
    "zlib in base64": lambda raw: base64.b64encode(zlib.compress(bytes(range(200)) + raw)),
    "utf-16": lambda raw: raw.decode().encode("utf-16-le"),
}


@pytest.mark.parametrize("form", CODED)
def test_a_text_is_found_in_every_form(form: str) -> None:
    """Raw, coded, at every alignment, packed, and packed inside of coded."""
    for where in TEXTS:
        found = SEARCH.hits([b"before" + CODED[form](ONE.texts[where].encode()) + b"after"])
        assert {(hit.picture, hit.where) for hit in found} == {("one", where)}


def _encoded(pixels: NDArray[Any], kind: str = "JPEG", **options: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def _resized(one: Tagged, width: int, height: int) -> NDArray[Any]:
    return np.asarray(Image.fromarray(one.pixels).resize((width, height), Image.Resampling.BILINEAR))


def _floats(pixels: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray((pixels.transpose(2, 0, 1).astype(np.float32) / 255 - 0.5) / 0.2)


PICTURES: dict[str, Callable[[], bytes]] = {
    "as it is": lambda: _encoded(ONE.pixels),
    "poor JPEG": lambda: _encoded(ONE.pixels, quality=30),
    "stretched to a model's input": lambda: _encoded(_resized(ONE, 32, 24), "PNG"),
    "square": lambda: _encoded(_resized(ONE, 64, 64)),
    "middle cut out and stretched": lambda: _encoded(
        np.asarray(Image.fromarray(ONE.pixels[:, 12:84]).resize((64, 64)))
    ),
    "with a border": lambda: _encoded(np.pad(ONE.pixels, ((20, 20), (4, 4), (0, 0)), constant_values=114)),
    "in base64": lambda: b"data:image/jpeg;base64," + base64.b64encode(_encoded(ONE.pixels)),
    "uint8 tensor": lambda: json.dumps({"inputs": []}).encode() + _resized(ONE, 32, 24).tobytes(),
    "float tensor, channels first": lambda: _floats(_resized(ONE, 32, 24)).tobytes(),
    "grey": lambda: _encoded(np.repeat(ONE.pixels.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)),
}


@pytest.mark.parametrize("form", PICTURES)
def test_pixels_are_found_at_any_scale(form: str) -> None:
    """Encoded again, scaled, cut, framed and as a tensor: the pattern is seen, and only that of this picture."""
    found = SEARCH.hits([b"header " + PICTURES[form]() if "tensor" not in form else PICTURES[form]()])
    assert {(hit.picture, hit.where) for hit in found} == {("one", "pixels")}


def test_the_whole_original_shows_all_its_canaries() -> None:
    """Notes, thumbnail and pixels are all in the file, so that a copy of it would show every one."""
    found = {hit.where for hit in SEARCH.hits([ONE.encoded])}
    assert found == {"pixels", "thumbnail", "gps", "artist", "comment", "xmp"}


def test_nothing_is_seen_where_nothing_is() -> None:
    """A thousand other pictures, noise and words give no hit: what is reported is a leak."""
    rng = np.random.default_rng(7)
    pictures = [drawn(f"stranger {number}", 48, 36) for number in range(1000)]
    assert not set().union(*(SEARCH.seen(pixels) for pixels in pictures))
    assert SEARCH.hits([rng.bytes(200_000), b"cnry" * 1000, json.dumps(list(range(5000))).encode()]) == set()


def test_columns_of_a_table_are_read() -> None:
    """A text and a picture in a Parquet file are found, which packs both in a way of its own."""
    file = io.BytesIO()
    columns = {"path": [ONE.texts["file"]], "data": [_encoded(OTHER.pixels)]}
    parquet.write_table(pa.table(columns), file, compression="zstd")
    found = SEARCH.hits([file.getvalue()])
    read = {(hit.picture, hit.where) for hit in found if hit.form.startswith("parquet")}
    assert read == {("one", "file"), ("other", "pixels")}
