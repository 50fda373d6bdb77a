"""What notes inside the file say: position, names, serial numbers, free text, and pictures in the picture.

EXIF, XMP, IPTC and comments; what is none of them and not known to be harmless is told as well. A thumbnail that shows
something else than its image is a finding of its own: it often shows what was cropped away. Knows no policy, no table.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageFile, IptcImagePlugin
from PIL.ExifTags import IFD

from labelop.errors import UnreadableImageError
from labelop.ingest.decode import DEFAULT_LIMITS, FORMATS, quiet
from labelop.sensitivity.signals.base import Observation, keyed_token
from labelop.sensitivity.signals.containers import unread_parts

NAME = "metadata"
VERSION = "5"
CATEGORIES = ("gps", "owner", "serial", "thumbnail", "thumbnail_differs", "comment", "maker_note", "notes_unknown")

_PAGED = ("TIFF", "MPO")  # formats whose later frames have notes of their own
_OWNER_TAGS = (0x013B, 0x8298, 0x9C9D, 0xA430)  # artist, copyright, XPAuthor, camera owner
_SERIAL_TAGS = (0xA420, 0xA431, 0xA435, 0xC62F)  # image unique id, body, lens, camera
_COMMENT_TAGS = (0x010D, 0x010E, 0x011D, 0x9213, 0x9286, 0x9C9B, 0x9C9C, 0x9C9E, 0x9C9F)
# names of document and page, description, history, user comment, XP notes
_MAKER_NOTE = 0x927C
_XMP = {
    # by local name: a file may give the namespace any prefix, or none
    "gps": re.compile(rb"[:<\s]GPS(?:Latitude|Longitude|Position)\b"),
    "owner": re.compile(rb"[:<\s](?:creator|rights|OwnerName|CreatorContactInfo|PersonInImage)\b"),
    "serial": re.compile(rb"\w*SerialNumber\b"),
    "comment": re.compile(rb"[:<\s](?:description|title|subject|UserComment|Instructions|Headline)\b"),
}
_XMP_SIGNS = (b"<x:xmpmeta", b"<rdf:RDF")
_WIDE_SIGNS = tuple(sign.decode().encode("utf-16-le")[:-1] for sign in _XMP_SIGNS)
"""The same in UTF-16 of either byte order, without the byte that tells them apart."""
_XMP_VALUE, _XMP_TAG = re.compile(rb"\"[^\"]*\"|'[^']*'"), re.compile(rb"<([^<>/][^<>]*)>")
_XMP_PLAIN = frozenset(
    b"xmpmeta xmptk RDF Description about lang Alt Bag Seq li parseType resource format Orientation CreateDate "
    b"ModifyDate MetadataDate DateCreated DateTimeOriginal CreatorTool Rating ColorMode ICCProfile ColorSpace "
    b"XResolution YResolution ResolutionUnit ImageWidth ImageLength Make Model Software".split()
)
"""Local names of XMP that tools write about themselves, and those that hold the others."""
_IPTC_OWNER = ((2, 80), (2, 85), (2, 110), (2, 116), (2, 118))  # by-line, its title, credit, copyright, contact
_IPTC_PLAIN = ((1, 0), (1, 90), (2, 0))  # versions and character set; whatever else is in it somebody wrote
_THUMBNAIL_AT, _THUMBNAIL_SIZE = 0x0201, 0x0202
_SIDE = 32
_DIFFERS = 24.0  # mean difference of grey values; a thumbnail of the same picture stays below 8


def observe(data: bytes, key: str = "") -> list[Observation]:  # noqa: C901 - one place after another
    """Look into the notes of an image; also an empty block counts, since somebody's tool wrote one.

    Args:
        data: The original file.
        key: The store's key for tokens, hex; no tokens without one.

    Raises:
        UnreadableImageError: The notes cannot be read; the caller takes that for restricted.
    """
    seen: dict[str, set[str]] = {}
    texts: dict[str, list[str]] = {}

    def saw(category: str, block: str, text: object = "") -> None:
        seen.setdefault(category, set()).add(block)
        if text:
            texts.setdefault(category, []).append(str(text))

    try:
        with quiet(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            pages = min(getattr(image, "n_frames", 1), DEFAULT_LIMITS.max_frames) if image.format in _PAGED else 1
            for page in range(pages):
                for category, text in _exif(_turned(image, page)):
                    saw(category, "EXIF", text)
            first = _turned(image, 0)
            for category, text in _iptc(image):
                saw(category, "IPTC", text)
            notes = [_bytes_of(note) for note in first.info.values() if isinstance(note, str | bytes)]
            claimed = [_bytes_of(first.info[name]) for name in ("xmp", "XML:com.adobe.xmp") if first.info.get(name)]
            if any(first.info.get(name) for name in ("comment", "Comment", "Description", "Author", "Copyright")):
                saw("comment", "comment")
            found = [Observation(category, evidence) for category, evidence in _thumbnail(first, data)]
    except Exception as error:
        # as in decode: hostile notes raise any class, and this is the rim
        raise UnreadableImageError(
            f"Notes inside the image cannot be read: {type(error).__name__}.", code="CORRUPT"
        ) from error
    for category, part in unread_parts(data):
        saw(category, part)
    packets = [packet for block in (data, *notes) for packet in _xmp(block)]
    for category, sign in _XMP.items():
        if any(sign.search(packet) for packet in packets):
            saw(category, "XMP")
    if any(_says_more(packet) for packet in packets) or not all(any(_xmp(block)) for block in claimed):
        saw("notes_unknown", "XMP")
    for category, kinds in sorted(seen.items()):
        what = "position" if category == "gps" else category.replace("_", " ")
        token = keyed_token(key, category, " ".join(sorted(texts[category]))) if category in texts else None
        found.append(Observation(category, f"{what} block in {', '.join(sorted(kinds))}", token=token))
    return found


def _xmp(block: bytes) -> Iterator[bytes]:
    """Give what may hold XMP, UTF-16 without its zeros."""
    if any(sign in block for sign in _WIDE_SIGNS):
        yield block.replace(b"\0", b"")
    if found := [at for sign in _XMP_SIGNS if (at := block.find(sign)) >= 0]:
        # what lies before are pixels or other notes, where a short name may stand by chance
        yield block[min(found) :]


def _says_more(packet: bytes) -> bool:
    """Say whether XMP has names that are neither looked for nor known to be harmless, or has no end."""
    end = max(packet.rfind(b"xmpmeta>"), packet.rfind(b"RDF>"))
    tags = _XMP_TAG.findall(_XMP_VALUE.sub(b" ", packet[: end + len(b"xmpmeta>")]))
    words = {word for tag in tags for word in tag.replace(b"=", b" ").strip(b"/").split()}
    names = {word.rpartition(b":")[2] for word in words if not word.startswith(b"xmlns")} - _XMP_PLAIN
    return end < 0 or any(not any(sign.search(b":" + name + b" ") for sign in _XMP.values()) for name in names)


def _exif(image: Image.Image) -> Iterator[tuple[str, object]]:
    exif = image.getexif()
    if IFD.GPSInfo in exif:
        yield "gps", ""
    inner = exif.get_ifd(IFD.Exif)
    for category, tags in (("owner", _OWNER_TAGS), ("serial", _SERIAL_TAGS), ("comment", _COMMENT_TAGS)):
        for tag in tags:
            # a blank in one place hides nothing in the other
            for value in (exif.get(tag), inner.get(tag)):
                text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
                if text.strip("\0 "):  # a number names a camera as well as letters do
                    yield category, text
    if _MAKER_NOTE in inner:
        yield "maker_note", ""


def _iptc(image: ImageFile.ImageFile) -> Iterator[tuple[str, object]]:
    notes = IptcImagePlugin.getiptcinfo(image) or {}
    for field in sorted(notes.keys() - set(_IPTC_PLAIN)):
        yield "owner" if field in _IPTC_OWNER else "comment", notes[field]


def _thumbnail(image: Image.Image, data: bytes) -> Iterator[tuple[str, str]]:
    """Find the EXIF thumbnail, and compare it with its image."""
    block = image.info.get("exif")
    inner = image.getexif().get_ifd(IFD.IFD1)
    at, size = inner.get(_THUMBNAIL_AT), inner.get(_THUMBNAIL_SIZE)
    if not isinstance(block, bytes) or not isinstance(at, int) or not isinstance(size, int):
        return
    yield "thumbnail", "a thumbnail in EXIF"
    offset = len(b"Exif\0\0") + at if block.startswith(b"Exif\0\0") else at
    try:
        with Image.open(io.BytesIO(block[offset : offset + size]), formats=("JPEG",)) as small:
            shown = _grey(small)
        with Image.open(io.BytesIO(data), formats=FORMATS) as whole:
            whole.draft("L", (_SIDE * 4, _SIDE * 4))  # JPEG is decoded at an eighth of its size
            differs = float(np.abs(_grey(whole) - shown).mean()) > _DIFFERS
    except Exception as error:  # noqa: BLE001 - a thumbnail nobody can read may show anything
        yield "thumbnail_differs", f"the thumbnail cannot be compared ({type(error).__name__})"
        return
    if differs:
        yield "thumbnail_differs", "the thumbnail shows something else than the image"


def _bytes_of(note: str | bytes) -> bytes:
    return note.encode("utf-8", "replace") if isinstance(note, str) else note


def _grey(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float32)


def _turned(image: Image.Image, page: int) -> Image.Image:
    if image.tell() != page:
        image.seek(page)
    return image
