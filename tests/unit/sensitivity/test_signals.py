"""Each signal sees what it is there for in drawn pixels and notes, in its place, and tells no text."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont, PngImagePlugin
from PIL.ExifTags import IFD

from data.sample.draw import imprints, portraits
from data.sample.draw.sensitive import encoded, scene, write_text
from labelop.sensitivity.signals import codes, dicom, faces, metadata, text
from labelop.sensitivity.signals.base import Observation
from labelop.sensitivity.signals.blurred import blurred_lines

KEY = "00" * 32


def wall(seed: int = 3) -> Image.Image:
    """Draw a plain wall."""
    return scene(np.random.default_rng(seed), busy=False)


def read(line: str, *, turned: bool = False) -> list[Observation]:
    """Write a line on a light wall and let the signal read it."""
    picture = Image.new("RGB", (480, 200), (230, 228, 220))
    ImageDraw.Draw(picture).text((40, 80), line, font=ImageFont.load_default(24), fill=(20, 20, 30))
    return text.observe(np.asarray(picture.rotate(-90, expand=True) if turned else picture), KEY)


@pytest.mark.parametrize(
    ("line", "category"),
    [
        ("MRN 4711007", "patient_id"),
        ("DOB 1950-02-03", "date_of_birth"),
        ("NAME: Miller, Anna", "person_name"),
        ("KA-TE 123", "plate"),
        ("anna@example.org", "email"),
        ("Tel. +49 30 1234567", "phone"),
        ("DE89 3704 0044 0532 0130 00", "iban"),
        ("4111 1111 1111 1111", "card_number"),
        ("SSN 536-40-6123", "social_security"),
        ("10.23.45.67", "ip_address"),
        ("NORTH GATE MARKET", "text"),
    ],
)
def test_burnt_in_text_is_told_by_kind(line: str, category: str) -> None:
    """Each kind is seen where it is written, and neither evidence nor token holds a word of it."""
    found = read(line)
    assert category in {one.category for one in found}
    assert any(one.region is not None and one.region[2] - one.region[0] > 80 for one in found)
    for one in found:
        assert not any(
            word in f"{one.evidence}{one.token}".casefold() for word in line.casefold().split() if len(word) > 4
        )


def test_text_on_its_side_is_read() -> None:
    """A quarter turn hides nothing."""
    assert "patient_id" in {one.category for one in read("MRN 4711007", turned=True)}


def test_a_scale_bar_is_harmless() -> None:
    """What says nothing about a person is no finding."""
    assert read("100 um") == []


@pytest.mark.parametrize("key", [KEY, ""])
def test_the_same_words_twice_are_two_places(key: str) -> None:
    """Whoever paints one over must know of the other, also where no key tells texts apart."""
    picture = np.asarray(write_text(wall(), ["MRN 4711007"], np.random.default_rng(5), size=16))
    pixels = np.concatenate([picture, picture])
    places = [one.region for one in text.observe(pixels, key) if one.category == "patient_id" and one.region]
    assert any(place[3] <= 240 for place in places)
    assert any(place[1] >= 240 for place in places)


def test_regions_are_in_the_frame_of_the_picture() -> None:
    """A picture that is looked at smaller or larger than it is has its regions in its own pixels."""
    picture = write_text(wall(), ["MRN 4711007"], np.random.default_rng(5), size=20)
    for scale in (1, 8):
        pixels = np.asarray(picture.resize((320 * scale, 240 * scale), Image.Resampling.BICUBIC))
        (place,) = [one.region for one in text.observe(pixels, KEY) if one.category == "patient_id"][:1]
        small = text.observe(np.asarray(picture), KEY)
        (expected,) = [one.region for one in small if one.category == "patient_id"][:1]
        assert place is not None
        assert expected is not None
        assert np.allclose(np.array(place) / scale, expected, atol=12)


def test_a_face_is_found_where_it_is() -> None:
    """A drawn portrait is one region of about its size; a wall has none."""
    rng = np.random.default_rng([41, 4, 3])
    found = faces.observe(np.asarray(portraits.place(scene(rng, busy=False), rng, 200)))
    assert {one.category for one in found} == {"face"}
    assert all(one.region is not None and 40 < one.region[2] - one.region[0] < 240 for one in found)
    assert faces.observe(np.asarray(wall())) == []


@pytest.mark.parametrize(("square", "category"), [(True, "qr_code"), (False, "barcode")])
def test_codes_are_found_where_they_are(square: bool, category: str) -> None:
    """QR codes and barcodes are told apart, and their region holds them."""
    code = imprints.code(np.random.default_rng(1), square)
    picture = wall()
    picture.paste(code, (20, 30))
    (one,) = codes.observe(np.asarray(picture), KEY)
    assert one.category == category
    assert one.region is not None
    x0, y0, x1, y1 = one.region
    assert 10 <= x0 < x1 <= 30 + code.width
    assert 20 <= y0 < y1 <= 40 + code.height


@pytest.mark.parametrize("kind", [kind for kind, _ in imprints.NOTES])
@pytest.mark.parametrize("number", [0, 2])
def test_notes_are_told_by_kind(kind: str, number: int) -> None:
    """Position, names, serial numbers, comments and thumbnails are seen in EXIF and in XMP, without their words."""
    data = imprints.with_note(wall(), kind, number, np.random.default_rng(1), encoded)
    found = metadata.observe(data, KEY)
    assert kind in {one.category for one in found}
    assert not any("Miller" in one.evidence or "Tanaka" in one.evidence for one in found)


def png_with(*texts: tuple[str, str]) -> bytes:
    """Write a wall as PNG with texts in it."""
    notes, out = PngImagePlugin.PngInfo(), io.BytesIO()
    for keyword, words in texts:
        notes.add_itxt(keyword, words)
    wall().save(out, "PNG", pnginfo=notes)
    return out.getvalue()


def xmp_of(inner: str, encoding: str = "utf-8") -> bytes:
    """Put XMP into a JPEG."""
    packet = (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description>{inner}</rdf:Description></rdf:RDF></x:xmpmeta>'
    )
    out = io.BytesIO()
    wall().save(out, "JPEG", xmp=packet.encode(encoding))
    return out.getvalue()


@pytest.mark.parametrize("keyword", ["PatientName", "Title", "Source", "anything"])
def test_any_text_in_a_png_is_seen(keyword: str) -> None:
    """Whatever its keyword; what tools write about themselves is no person's word."""
    assert [one.category for one in metadata.observe(png_with((keyword, "Miller")), KEY)] == ["comment"]
    assert metadata.observe(png_with(("Software", "a tool")), KEY) == []


@pytest.mark.parametrize(
    ("inner", "kind"),
    [
        ("<dc:description>Patient Miller</dc:description>", "comment"),
        ("<d:creator>Miller</d:creator>", "owner"),
        ('<rdf:Description exif:GPSLatitude="1"/>', "gps"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_xmp_is_read_by_local_name_in_any_encoding(inner: str, kind: str, encoding: str) -> None:
    """A prefix and an encoding are the writer's choice and hide nothing."""
    assert [one.category for one in metadata.observe(xmp_of(inner, encoding), KEY)] == [kind]


def test_a_blank_hides_no_name() -> None:
    """An empty owner in one directory of EXIF does not hide the one in the other."""
    exif = Image.Exif()
    exif[0xA430] = " "
    exif.get_ifd(IFD.Exif)[0xA430] = "Miller"
    out = io.BytesIO()
    wall().save(out, "JPEG", exif=exif)
    assert "owner" in {one.category for one in metadata.observe(out.getvalue(), KEY)}


def test_a_number_names_a_camera() -> None:
    """A serial number is one in whatever type it is written; a number was passed over."""
    exif, out = Image.Exif(), io.BytesIO()
    exif[0xC62F] = 123456789
    wall().save(out, "JPEG", exif=exif)
    assert [one.category for one in metadata.observe(out.getvalue(), KEY)] == ["serial"]


@pytest.mark.parametrize(
    ("identity", "expected"), [(True, {"dicom_identity", "dicom_burned_in"}), (False, {"dicom_burned_in"})]
)
def test_a_dicom_header_tells_whose_it_is(identity: bool, expected: set[str]) -> None:
    """Identity fields are named without their values, and a flag that does not say no counts as yes."""
    found = dicom.observe(imprints.dicom(wall(), identity), KEY)
    assert {one.category for one in found} == expected
    assert not any("Miller" in one.evidence or "4711007" in one.evidence for one in found)


@pytest.mark.parametrize("turned", [False, True])
def test_blurred_writing_is_unreadable_text(turned: bool) -> None:
    """Writing without one sharp edge is a finding in its place; the same wall without it is none."""
    picture = Image.new("RGB", (480, 200), (150, 148, 140))
    assert text.observe(np.asarray(picture), KEY) == []
    ImageDraw.Draw(picture).text(
        (40, 80), "Miller, Anna 03.02.1950", font=ImageFont.load_default(16), fill=(60, 60, 70)
    )
    soft = picture.filter(ImageFilter.GaussianBlur(1.7))
    found = text.observe(np.asarray(soft.rotate(-90, expand=True) if turned else soft), KEY)
    (place,) = [one.region for one in found if one.category == "text_unreadable"][:1]
    assert place is not None
    x0, y0, x1, y1 = (place[1], 200 - place[2], place[3], 200 - place[0]) if turned else place
    assert x0 < 60
    assert x1 > 180
    assert y0 < 92 < y1


def test_quiet_and_busy_grounds_are_no_blurred_writing() -> None:
    """A soft slope, one soft edge and texture all over are not taken for a line."""
    ys, xs = np.mgrid[0:200, 0:320].astype(np.float32)
    noise = np.random.default_rng(1).normal(128, 30, (200, 320)).astype(np.float32)
    grounds = [xs / 2, np.where(ys > 100, 90, 150), 128 + 40 * np.sin(xs / 3), noise]
    for ground in grounds:
        soft = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(2))
        assert blurred_lines(np.asarray(soft)) == []
