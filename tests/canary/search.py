"""Looks for canaries in captured bytes: as they are, coded, packed, and as pictures or tensors at any scale."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pyarrow import parquet

from tests.canary.canaries import CELLS, Tagged, pattern

LEAST = 0.4
"""Correlation from which a pattern counts as seen: over six times the spread among pictures without it."""

_DEPTH = 4
_MOST_BYTES = 64 << 20
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{64,}={0,2}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){48,}")
_PICTURE = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n|RIFF....WEBP|GIF8[79]a|II\*\0|MM\0\*|BM", re.DOTALL)
_PACKED = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
_PARQUET = b"PAR1"
_WINDOWS = (
    *((0, 0, 1, 1), (0.125, 0, 0.875, 1), (0, 0.125, 1, 0.875), (0.125, 0.125, 0.875, 0.875), (0.25, 0.25, 0.75, 0.75)),
    *((x, y, x + 0.5, y + 0.5) for x in (0, 0.5) for y in (0, 0.5)),
)
"""Parts of a picture that may have been cut out and stretched: left, top, right, bottom."""


@dataclass(frozen=True, order=True)
class Hit:
    """One canary that was found."""

    picture: str
    where: str
    """Which of its canaries: pixels, thumbnail, or one of `TEXTS`."""
    form: str
    """In which form, for example base64 or decoded picture."""


class Search:
    """Knows the canaries of some pictures.

    Args:
        pictures: The pictures.
        frames: Sizes (width, height) in which raw tensors may be sent.
    """

    def __init__(self, pictures: Sequence[Tagged], frames: Sequence[tuple[int, int]] = ()) -> None:
        self._texts = [(one.name, where, text) for one in pictures for where, text in one.texts.items()]
        self._forms = {form: hit for name, where, text in self._texts for form, hit in _written(name, where, text)}
        self._any = re.compile(b"|".join(re.escape(form) for form in sorted(self._forms, key=len, reverse=True)))
        self._seeds = [
            (one.name, ("pixels", "thumbnail")[number]) for one in pictures for number in range(2) for _ in _WINDOWS
        ]
        views = [_view(seed, window) for one in pictures for seed in one.patterns for window in _WINDOWS]
        self._patterns = np.stack(views)
        self._frames = {(one.pixels.shape[1], one.pixels.shape[0]) for one in pictures} | set(frames)

    def hits(self, captured: Iterable[bytes]) -> set[Hit]:
        """Find every canary in some captured bytes."""
        found: set[Hit] = set()
        for data in set(captured):
            for inner, form in _unwrapped(data):
                for match in self._any.finditer(inner) if self._forms else ():
                    hit = self._forms[match.group()]
                    found.add(Hit(hit.picture, hit.where, f"{form}{hit.form}"))
                for pixels, kind in (*pictures(inner), *self._tensors(inner)):
                    found |= {Hit(name, where, f"{form}{kind}") for name, where in self.seen(pixels)}
        return found

    def seen(self, pixels: NDArray[np.uint8]) -> set[tuple[str, str]]:
        """Say whose patterns a picture shows."""
        image = Image.fromarray(pixels).convert("L")
        found = set()
        for part in (image, _without_border(image)):
            small = np.asarray(part.resize((CELLS, CELLS), Image.Resampling.BOX), dtype=float)
            # slow changes of light say nothing; the pattern is in the quick ones
            light = Image.fromarray(small).resize((4, 4), Image.Resampling.BOX)
            smooth = np.asarray(light.resize((CELLS, CELLS), Image.Resampling.BICUBIC))
            scores = self._patterns @ _normal(small - smooth).ravel()
            found |= {self._seeds[number] for number in np.flatnonzero(np.abs(scores) > LEAST)}
        return found

    def _tensors(self, data: bytes) -> Iterator[tuple[NDArray[np.uint8], str]]:
        """Read bytes as tensors of the known frames, at their start, at their end and behind a header."""
        for width, height in self._frames:
            for kind in (np.uint8, np.float16, np.float32):
                size = 3 * width * height * np.dtype(kind).itemsize
                if len(data) < size:
                    continue
                starts = {0, len(data) - size, *(m.end() for m in re.finditer(rb"\}(?=[^,\]\}\s])", data[:4096]))}
                for start in (at for at in starts if at + size <= len(data)):
                    with np.errstate(invalid="ignore"):
                        values = np.frombuffer(data, kind, 3 * width * height, start).astype(float)
                    if not np.isfinite(values).all() or np.ptp(values) == 0 or np.ptp(values) > 1e6:
                        continue
                    levels = ((values - values.min()) * 255 / np.ptp(values)).astype(np.uint8)
                    yield levels.reshape(height, width, 3), "tensor"
                    yield np.ascontiguousarray(levels.reshape(3, height, width).transpose(1, 2, 0)), "tensor"


def _written(name: str, where: str, text: str) -> Iterator[tuple[bytes, Hit]]:
    raw = text.encode()
    yield raw, Hit(name, where, "raw")
    yield raw.upper(), Hit(name, where, "upper case")
    yield text.encode("utf-16-le"), Hit(name, where, "utf-16")
    yield text.encode("utf-16-be"), Hit(name, where, "utf-16")
    yield raw.hex().encode(), Hit(name, where, "hex")
    yield raw.hex().upper().encode(), Hit(name, where, "hex")
    yield "".join(f"%{byte:02X}" for byte in raw).encode(), Hit(name, where, "url")
    yield "".join(f"%{byte:02x}" for byte in raw).encode(), Hit(name, where, "url")
    yield "".join(f"\\u{byte:04x}" for byte in raw).encode(), Hit(name, where, "json")
    yield raw[::-1], Hit(name, where, "reversed")
    for shift in range(3):
        # the characters that depend on neighbours are left out
        coded = base64.b64encode(bytes(shift) + raw)
        first, last = (0, 2, 3)[shift], len(coded) // 4 * 4 - 4
        yield coded[first:last], Hit(name, where, "base64")
    assert quote(text) == text, "a canary is the same in an address"


def _unwrapped(data: bytes, form: str = "", depth: int = 0) -> Iterator[tuple[bytes, str]]:
    """Give bytes and whatever is packed or coded in them."""
    yield data, form
    if depth == _DEPTH:
        return
    for match in _PACKED.finditer(data):
        unpack = zlib.decompressobj(16 + zlib.MAX_WBITS if match.group().startswith(b"\x1f") else zlib.MAX_WBITS)
        try:
            inner = unpack.decompress(data[match.start() :], _MOST_BYTES)
        except zlib.error:
            continue
        if len(inner) > 8:
            yield from _unwrapped(inner, f"{form}inflated ", depth + 1)
    if data.startswith(_PARQUET):
        rows = json.dumps(parquet.read_table(io.BytesIO(data)).to_pylist(), default=_as_text)
        yield from _unwrapped(rows.encode(), f"{form}parquet ", depth + 1)
    for match in _HEX.finditer(data):
        yield from _unwrapped(bytes.fromhex(match.group().decode()), f"{form}hex ", depth + 1)
    for match in _BASE64.finditer(data):
        text = match.group().rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        # other letters may stand right before what was coded
        for start in range(4 if depth == 0 else 1):
            part = text[start:]
            try:
                inner = base64.b64decode(part[: len(part) - (len(part) % 4 == 1)] + b"=" * (-len(part) % 4 % 3))
            except binascii.Error:
                continue
            yield from _unwrapped(inner, f"{form}base64 ", depth + 1)


def _as_text(value: object) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def pictures(data: bytes) -> Iterator[tuple[NDArray[np.uint8], str]]:
    """Decode every picture that lies somewhere in bytes."""
    for match in _PICTURE.finditer(data):
        try:
            with Image.open(io.BytesIO(data[match.start() :])) as image:
                if image.width * image.height <= 1 << 24:
                    yield np.asarray(image.convert("RGB")), "picture"
        except Exception:  # noqa: BLE001 - most of these bytes are no picture
            continue


def _view(seed: str, window: tuple[float, float, float, float]) -> NDArray[np.float64]:
    left, top, right, bottom = window
    image = Image.fromarray(np.kron(pattern(seed), np.ones((8, 8))).astype(np.float32))
    side = image.width
    part = image.crop((int(left * side), int(top * side), int(right * side), int(bottom * side)))
    small = np.asarray(part.resize((CELLS, CELLS), Image.Resampling.BOX), dtype=float)
    return _normal(small).ravel()


def _normal(values: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = values - values.mean()
    return np.asarray(centred / (np.linalg.norm(centred) or 1.0))


def _without_border(image: Image.Image) -> Image.Image:
    """Cut away a border of one colour, as a picture has that was fitted into a frame."""
    grey = np.asarray(image, dtype=float)
    rows, columns = np.flatnonzero(grey.std(axis=1) > 4), np.flatnonzero(grey.std(axis=0) > 4)
    if len(rows) < CELLS or len(columns) < CELLS:
        return image
    return image.crop((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1))
