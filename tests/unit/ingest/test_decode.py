"""Hostile bytes become pixels in one canonical form, or a reason code."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from labelop.errors import UnreadableImageError
from labelop.ingest import colours
from labelop.ingest.decode import DEFAULT_LIMITS, Limits, decode, inspect
from labelop.ingest.signatures import looks_like_image

Encoder = Callable[..., bytes]


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    """Encode an image."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def bomb() -> bytes:
    """Make a PNG of a few bytes that claims 60,000 x 60,000 pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunks = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head)) + struct.pack(">I", 100) + b"IDAT"
    return b"\x89PNG\r\n\x1a\n" + chunks + bytes(104)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_applied_once(kind: str, orientation: int) -> None:
    """The decoded image is upright whatever EXIF orientation the file has, also in TIFF, which Pillow turns itself."""
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :8] = (255, 0, 0)
    upright[8:, 24:] = (0, 0, 255)
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = Image.fromarray(upright)
    if orientation > 1:
        stored = stored.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = save(stored, kind, exif=exif, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {}))

    facts = inspect(data)

    assert (facts.width_px, facts.height_px, facts.orientation) == (32, 16, orientation)
    np.testing.assert_allclose(decode(data).astype(int), upright.astype(int), atol=4 if kind == "JPEG" else 0)


def test_sixteen_bits_are_scaled_not_cut() -> None:
    """A 16-bit grey value keeps its share of the full range."""
    deep = Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16))

    assert decode(save(deep, "PNG")).tolist() == [[[0] * 3, [100] * 3, [255] * 3]]


def test_floating_point_is_stretched_between_its_extremes() -> None:
    """Values without a fixed range use their own; what is not finite counts as zero."""
    image = Image.fromarray(np.array([[-1.0, 0.0, 1.0, np.nan]], np.float32))

    assert decode(save(image, "TIFF"))[0, :, 0].tolist() == [0, 128, 255, 128]


def test_transparency_is_laid_over_white() -> None:
    """Transparent pixels become white, not the colour hidden under them."""
    image = Image.new("RGBA", (2, 1), (10, 20, 30, 255))
    image.putpixel((1, 0), (10, 20, 30, 0))

    assert decode(save(image, "PNG")).tolist() == [[[10, 20, 30], [255, 255, 255]]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "CMYK", "YCbCr"])
def test_every_common_pixel_layout_becomes_rgb(mode: str) -> None:
    """Layouts that a format can hold decode to three 8-bit channels."""
    kind = {"CMYK": "JPEG", "YCbCr": "JPEG"}.get(mode, "PNG")
    pixels = decode(save(Image.new("RGBA", (4, 3), (200, 100, 50, 255)).convert("RGB").convert(mode), kind))

    assert pixels.shape == (3, 4, 3)
    assert pixels.dtype == np.dtype("uint8")


def test_first_frame_is_used_and_frames_are_counted() -> None:
    """An animation gives its first frame; the facts say how many there are."""
    red, blue = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    data = save(red, "GIF", save_all=True, append_images=[blue, red])

    assert inspect(data).frame_count == 3
    assert decode(data)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "EMPTY"),
        (b"just text", "NOT_RASTER"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "NOT_RASTER"),
        (b"%PDF-1.7 ...", "NOT_RASTER"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "UNSUPPORTED_FORMAT"),
        (b"8BPS\0\1" + bytes(30), "UNSUPPORTED_FORMAT"),
        (b"\xff\xd8\xff\xe0 and nothing more", "CORRUPT"),
        (b"\x89PNG\r\n\x1a\n", "CORRUPT"),
        (b"II*\0" + b"\xff" * 40, "CORRUPT"),
        (bomb(), "TOO_LARGE"),
    ],
    ids=["nothing", "text", "svg", "pdf", "heic", "psd", "jpeg-start", "png-start", "tiff-start", "bomb"],
)
def test_reason_codes(data: bytes, code: str) -> None:
    """Each kind of unusable file has its own reason code."""
    with pytest.raises(UnreadableImageError) as caught:
        inspect(data)

    assert caught.value.code == code


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_half_a_file_is_corrupt(picture: Encoder, kind: str) -> None:
    """A file cut in half is refused in every format, never half decoded."""
    whole = picture(kind, size=(64, 64))

    with pytest.raises(UnreadableImageError, match="CORRUPT"):
        decode(whole[: len(whole) // 2])


def test_wrong_checksum_inside_a_png_is_corrupt(picture: Encoder) -> None:
    """A fault that loading alone does not notice is found."""
    data = bytearray(picture("PNG", size=(64, 64)))
    data[data.index(b"IDAT") - 4 + 8 + int.from_bytes(data[data.index(b"IDAT") - 4 : data.index(b"IDAT")])] ^= 0xFF

    with pytest.raises(UnreadableImageError, match="CORRUPT"):
        inspect(bytes(data))


def test_lab_colours_are_refused_not_guessed() -> None:
    """A colour space without an exact conversion has a reason of its own."""
    with pytest.raises(UnreadableImageError, match="UNSUPPORTED_FORMAT"):
        decode(save(Image.new("LAB", (4, 4)), "TIFF"))


@pytest.mark.parametrize("limits", [Limits(max_bytes=10), Limits(max_pixels=47), Limits(max_frames=0)])
def test_limits_are_checked(picture: Encoder, limits: Limits) -> None:
    """Size in bytes, pixels and frames each have a limit."""
    with pytest.raises(UnreadableImageError, match="TOO_LARGE"):
        inspect(picture(), limits)


def test_warnings_of_the_decoder_stay_inside(picture: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many threads decode files that make Pillow warn: none escapes, and the filters are as before."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)  # 48 pixels: a warning, not yet an error
    data, before = picture(), list(warnings.filters)

    with ThreadPoolExecutor(8) as pool:
        facts = set(pool.map(inspect, [data] * 200))

    assert len(facts) == 1
    assert list(warnings.filters) == before


def test_signature_tells_images_from_text(picture: Encoder) -> None:
    """First bytes of images are known, also of formats not opened; words that start like a bitmap are not."""
    assert all(looks_like_image(picture(kind)[:16]) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"))
    assert looks_like_image(b"\0\0\0\x18ftypheic")
    assert not looks_like_image(b"BMI;age;weight;id")
    assert not looks_like_image(b"file_name,level\n")
    assert DEFAULT_LIMITS.max_pixels == 64_000_000


def photo(**options: object) -> bytes:
    """Write noise that ends in grey as a JPEG."""
    pixels = np.random.default_rng(3).integers(0, 256, (70, 90, 3), np.uint8)
    pixels[40:] = 128
    return save(Image.fromarray(pixels), "JPEG", **options)


END = b"\xff\xd9"


@pytest.mark.parametrize(
    "data",
    [
        photo(),
        photo(progressive=True),
        photo(restart_marker_blocks=3),
        photo() + b"more",
        photo() + END,
        photo()[:-2] + bytes(64) + END,
        photo()[:-2] + b"\xff" * 8 + END,
        photo().replace(b"\xff\xda", b"\0\0\0\xff\xda", 1),
        save(Image.new("CMYK", (90, 70), (127, 127, 127, 127)), "JPEG"),
        save(Image.new("L", (91, 71), 128), "JPEG"),
        save(Image.new("RGB", (9, 7), (128, 128, 128)), "MPO", save_all=True, append_images=[Image.new("RGB", (9, 7))]),
    ],
)
def test_an_odd_but_whole_jpeg_is_taken(data: bytes) -> None:
    """Bytes behind the end or between parts are what cameras write, and an image may end in grey."""
    assert inspect(data).width_px > 1


@pytest.mark.parametrize("options", [{}, {"restart_marker_blocks": 9}, {"quality": 100, "subsampling": 0}])
@pytest.mark.parametrize("share", [0.35, 0.6, 0.9])
def test_a_jpeg_that_breaks_off_before_its_end_is_corrupt(options: dict[str, int], share: float) -> None:
    """Pixels that are not there were grey ones that models were asked about, since the file ended like a whole one."""
    pixels = np.random.default_rng(4).integers(0, 256, (70, 90, 3), np.uint8)
    data = save(Image.fromarray(pixels), "JPEG", **options)
    with pytest.raises(UnreadableImageError, match="CORRUPT"):
        inspect(data[: int(share * len(data))] + END)


@pytest.mark.parametrize("mode", ["F", "I", "I;16", "RGBA", "LA", "P"])
def test_bands_change_no_pixel(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames at the limit took 1.8 GiB at once to convert; in bands they take a third and are the same."""
    noise = np.random.default_rng(5).integers(0, 256, (47, 61, 4), np.uint8)
    if mode in ("F", "I", "I;16"):
        data = save(Image.fromarray(noise[..., 0].astype({"F": "f4", "I": "i4", "I;16": "u2"}[mode]) * 99), "TIFF")
    else:
        more = {"transparency": 7} if mode == "P" else {}
        data = save(Image.fromarray(noise).convert(mode), "PNG", **more)
    whole = decode(data)
    monkeypatch.setattr(colours, "_BAND_PIXELS", 100)
    assert np.array_equal(decode(data), whole)
