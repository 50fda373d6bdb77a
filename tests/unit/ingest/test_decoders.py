"""A file that ends, hangs or fills its decoder costs one image; the others do not notice."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from labelop.children import Child, Shared
from labelop.errors import ChildCrashedError, ChildFaultError, UnreadableImageError
from labelop.ingest.decode import DEFAULT_LIMITS, Frame, Limits, decode, decode_for, inspect
from labelop.ingest.decoders import Decoders
from labelop.ingest.decoders import decode_in_child as really_decode
from labelop.ingest.decoders import look_in_child as really_look
from tests.unit.ingest.conftest import Encoder

HOSTILE = {
    b"crash": "DECODER_CRASHED",
    b"spin": "TOO_SLOW",
    b"memory": "TOO_LARGE",
    b"short": "DECODER_CRASHED",
    b"": "EMPTY",
    b"text": "NOT_RASTER",
}


def look_in_child(data: bytes, limits: dict[str, int]) -> Any:
    """Inspect in the child, or do there what the bytes say."""
    return _as_told(data) or really_look(data, limits)


def decode_in_child(data: bytes, limits: dict[str, int], sizes: list[int], frames: list[dict[str, Any] | None]) -> Any:
    """Decode in the child, or do there what the bytes of one of the files say."""
    start = 0
    for size in sizes:
        answer = _as_told(data[start : start + size])
        if answer:
            return answer
        start += size
    return really_decode(data, limits, sizes, frames)


def _as_told(data: bytes) -> Any:
    if data == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if data == b"spin":
        while True:
            pass
    if data == b"sleep":
        time.sleep(60)
    if data == b"memory":
        return len(bytearray(8 << 30))
    if data == b"broken":
        raise ImportError("a library is missing")
    if data == b"short":
        facts = {"format": "PNG", "mode": "RGB", "width_px": 9, "height_px": 9, "orientation": 1, "frame_count": 1}
        answer = {"facts": facts, "size": [9, 9], "end": 9 * 9 * 3}
        return Shared(lambda file: [answer][: file.write(b"few")])
    return None


@pytest.fixture(scope="module")
def pool() -> Iterator[Decoders]:
    """Give decoders whose files do what they say."""
    with Decoders(2, cpu_seconds=0.5, wall_seconds=20, module=__name__) as made:
        yield made


def rotated() -> bytes:
    """Make a JPEG that lies on its side."""
    noise = np.random.default_rng(3).integers(0, 256, (40, 64, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "JPEG", exif=exif)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_pixels_and_facts_are_those_of_this_process(pool: Decoders, picture: Encoder, kind: str) -> None:
    """Where it is decoded changes neither a pixel nor a fact."""
    data = picture(kind, size=(64, 40))

    pixels, facts = pool.decode_for(data, None)

    assert (pixels == decode(data)).all()
    assert facts == pool.inspect(data) == inspect(data)


@pytest.mark.parametrize("frame", [Frame(16, 12, scaled=True), Frame(16, 12, scaled=True, stretched=True)])
def test_frames_are_kept_to(pool: Decoders, frame: Frame) -> None:
    """A frame and an orientation reach the child; pixels may be written to, as those of this process."""
    data = rotated()

    pixels, facts = pool.decode_for(data, frame)
    here, same = decode_for(data, frame)

    assert facts == same
    assert (pixels == here).all()
    pixels[0, 0] = 7


@pytest.mark.parametrize(("data", "code"), HOSTILE.items())
def test_a_hostile_file_costs_one_image(pool: Decoders, picture: Encoder, data: bytes, code: str) -> None:
    """The reason says what happened, and the next file is decoded."""
    with pytest.raises(UnreadableImageError) as caught:
        pool.decode_for(data, None)

    assert caught.value.code == code
    assert pool.decode(picture()).shape == (6, 8, 3)


@pytest.mark.parametrize("told", HOSTILE)
def test_a_hostile_file_among_others_of_its_call_costs_itself(pool: Decoders, picture: Encoder, told: bytes) -> None:
    """Files that share a call share no fate: each good one has its pixels, in its place, and the bad one its reason."""
    good = [picture(size=(8 + number, 6), seed=number) for number in range(5)]
    frame = Frame(4, 3, stretched=True)

    first, *found = pool.decode_each([(good[0], frame), (good[1], None), (told, None), *((one, None) for one in good)])
    bad = found.pop(1)

    assert isinstance(bad, UnreadableImageError)
    assert bad.code == HOSTILE[told]
    assert isinstance(first, tuple)
    assert (first[0] == decode_for(good[0], frame)[0]).all()
    for one, data in zip(found, [good[1], *good], strict=True):
        assert isinstance(one, tuple)
        assert (one[0] == decode(data)).all()
        assert one[1] == inspect(data)


def test_files_share_a_call(pool: Decoders, picture: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight good files are one message to one child; without that, each image costs a round trip of its own."""
    calls: list[str] = []
    call = Child.call_shared

    def counted(child: Child, function: str, *rest: Any, **more: Any) -> Any:
        calls.append(function)
        return call(child, function, *rest, **more)

    monkeypatch.setattr(Child, "call_shared", counted)
    found = pool.decode_each([(picture(seed=number), None) for number in range(8)])
    assert len(found) == 8
    assert len(calls) == 1


def test_a_decoder_that_only_waits_is_ended(picture: Encoder) -> None:
    """A hang without work meets the deadline of the clock."""
    with Decoders(1, wall_seconds=2.0, module=__name__) as made:
        assert made.inspect(picture()).format == "PNG"
        with pytest.raises(UnreadableImageError, match="TOO_SLOW"):
            made.inspect(b"sleep")


def test_a_crash_that_was_not_the_files_is_forgiven(pool: Decoders, picture: Encoder) -> None:
    """A child that somebody else ended costs no image: a fresh one is asked again."""
    good = picture()
    pool.decode(good)
    for child in pool._children:
        if child._process is not None:
            child._process.kill()
    assert (pool.decode(good) == decode(good)).all()


def test_a_broken_installation_is_no_fault_of_files(pool: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that cannot start, or a library that is missing, ends the run: nothing may be quarantined for it."""
    with pytest.raises(ChildFaultError):
        pool.inspect(b"broken")
    with Decoders(1, module="labelop.no_such_module") as made, pytest.raises(ChildCrashedError):
        made.inspect(b"text")


def test_large_files_do_not_reach_a_child(picture: Encoder) -> None:
    """A file beyond the limit in bytes is refused before anything is started for it."""
    with Decoders(1, module="labelop.no_such_module") as made, pytest.raises(UnreadableImageError, match="TOO_LARGE"):
        made.inspect(picture(), Limits(max_bytes=4))


def test_good_files_among_hostile_ones_lose_nothing(pool: Decoders, picture: Encoder) -> None:
    """Several threads and two children: each answer belongs to its own file, whatever its neighbours do."""
    files = [picture(size=(8 + number, 6), seed=number) for number in range(24)]
    mixed = [data for number, data in enumerate(files) for data in ([data, b"crash"] if number % 8 == 0 else [data])]

    def width(data: bytes) -> int | str:
        try:
            pixels = pool.decode(data)
        except UnreadableImageError as error:
            return error.code
        assert (pixels == decode(data)).all()
        return int(pixels.shape[1])

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(width, mixed))

    assert [one for one in found if one != "DECODER_CRASHED"] == [8 + number for number in range(24)]
    assert found.count("DECODER_CRASHED") == 3


def test_a_large_picture_fits_the_childs_memory(pool: Decoders) -> None:
    """The memory limit of a child leaves room for the largest frame that is allowed, turned and laid over white."""
    width, height = 8000, 8000
    assert width * height == DEFAULT_LIMITS.max_pixels
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.new("RGBA", (width, height), (9, 8, 7, 0)).save(out, "PNG", exif=exif, compress_level=1)
    with Decoders(1) as made:
        assert made.decode_for(out.getvalue(), Frame(8, 8, stretched=True))[0][0, 0].tolist() == [255, 255, 255]
