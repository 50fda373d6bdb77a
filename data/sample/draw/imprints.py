"""What is put into the pictures of the evaluation set: invented names and numbers, notes, codes and headers."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

_NAMES = ("Miller, Anna", "Okafor, Ben", "Tanaka, Yuki", "Schmidt, Karl", "Rossi, Elena", "Novak, Petr", "Diaz, Lucia")
_FIRST, _LAST = ("Anna", "Ben", "Yuki", "Karl", "Elena", "Petr"), ("Miller", "Okafor", "Tanaka", "Schmidt", "Rossi")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
LENGTHS = ("10 um", "50 um", "100 um", "5 mm", "1 cm", "200 nm", "20 um", "2 mm", "500 um")
HARMLESS = (
    "400x", "Mag 100x", "B07", "A1", "H12", "Well C3", "x40", "DAPI", "Z 12", "Slide 4", "10.0 kV", "T = 37 C",
    "ROI 2", "GFP", "Field 9", "Scale 1 mm", "CTRL", "H&E", "25 ms", "FIG. 3", "5 kV", "D4", "ch 2", "SEM",
)  # fmt: skip
SIGNS = ("BAKERY", "EXIT", "OPEN", "CAUTION", "NORTH GATE", "PARKING", "MARKET", "STATION")


def surname(rng: np.random.Generator) -> str:
    """An invented person."""
    return _NAMES[int(rng.integers(len(_NAMES)))]


def day(rng: np.random.Generator) -> str:
    """A date in one of the usual forms."""
    year, month, date = 1930 + int(rng.integers(80)), 1 + int(rng.integers(12)), 1 + int(rng.integers(28))
    forms = (f"{year}-{month:02d}-{date:02d}", f"{date:02d}.{month:02d}.{year}", f"{month:02d}/{date:02d}/{year}",
             f"{date:02d} {_MONTHS[month - 1]} {year}")  # fmt: skip
    return forms[int(rng.integers(4))]


def _digits(rng: np.random.Generator, count: int) -> str:
    return "".join(str(int(d)) for d in rng.integers(0, 10, count))


def _of(rng: np.random.Generator, *choices: str) -> str:
    return choices[int(rng.integers(len(choices)))]


def _card(rng: np.random.Generator) -> str:
    body = [4, *(int(d) for d in rng.integers(0, 10, 14))]
    total = sum(sum(divmod(d * 2, 10)) if k % 2 == 0 else d for k, d in enumerate(body))
    text = "".join(map(str, [*body, (10 - total % 10) % 10]))
    return " ".join(text[k : k + 4] for k in range(0, 16, 4))


def _iban(rng: np.random.Generator) -> str:
    body = _digits(rng, 18)
    check = 98 - int(body + "131400") % 97  # D = 13, E = 14
    text = f"DE{check:02d}{body}"
    return " ".join(text[k : k + 4] for k in range(0, len(text), 4))


def _letters(rng: np.random.Generator, count: int) -> str:
    return "".join("ABCDEFGHJKLMNPRSTUVWXYZ"[int(k)] for k in rng.integers(0, 23, count))


def _plate(rng: np.random.Generator, number: int) -> str:
    forms = (
        f"{_letters(rng, 2)}-{_letters(rng, 2)} {_digits(rng, 3)}",
        f"{_letters(rng, 2)}{_digits(rng, 2)} {_letters(rng, 3)}",
        f"{_letters(rng, 3)}-{_digits(rng, 4)}",
    )
    return forms[number % 3]


def _mail(rng: np.random.Generator) -> str:
    return f"{_of(rng, *_FIRST).lower()}.{_of(rng, *_LAST).lower()}@{_of(rng, 'example.org', 'clinic.example.com')}"


def _phone(rng: np.random.Generator) -> str:
    return f"{_of(rng, 'Tel', 'Phone', 'Tel.')} +49 {_digits(rng, 2)} {_digits(rng, 7)}"


def _named(rng: np.random.Generator, number: int) -> str:
    if number % 3 == 2:
        return f"{_of(rng, 'Dr.', 'Mrs.', 'Mr.')} {_of(rng, *_LAST)}"
    return f"{_of(rng, 'NAME:', 'Name:', 'Patient:')} {surname(rng)}"


PHRASES: tuple[tuple[str, int, Callable[[np.random.Generator, int], str]], ...] = (
    ("patient_id", 18, lambda r, _: f"{_of(r, 'MRN', 'PAT', 'Patient ID:', 'PID', 'Pat. No')} {_digits(r, 7)}"),
    ("date_of_birth", 18, lambda r, _: f"{_of(r, 'DOB', 'DOB:', 'Born', 'Geb.', 'Date of birth:')} {day(r)}"),
    ("person_name", 18, _named),
    ("plate", 15, _plate),
    ("email", 12, lambda r, _: _mail(r)),
    ("phone", 12, lambda r, _: _phone(r)),
    ("iban", 10, lambda r, _: _iban(r)),
    ("card_number", 10, lambda r, _: _card(r)),
    ("social_security", 6, lambda r, _: f"SSN 5{_digits(r, 2)}-4{_digits(r, 1)}-6{_digits(r, 3)}"),
    ("ip_address", 4, lambda r, _: f"10.{r.integers(1, 250)}.{r.integers(1, 250)}.{r.integers(1, 250)}"),
)
"""Category, pictures and what is written into them."""

NOTES = (("gps", 15), ("owner", 12), ("serial", 9), ("thumbnail", 6), ("thumbnail_differs", 10), ("comment", 6))
"""Category of a note in the file, and pictures."""


def with_note(
    picture: Image.Image, kind: str, number: int, rng: np.random.Generator, encoded: Callable[..., bytes]
) -> bytes:
    """Encode a picture with one note of a kind, in one of the places where such notes are found."""
    exif = Image.Exif()
    xmp = number % 3 == 2
    if kind in ("thumbnail", "thumbnail_differs"):
        other = picture if kind == "thumbnail" else Image.radial_gradient("L").convert("RGB").filter(ImageFilter.SMOOTH)
        return _with_thumbnail(encoded(picture), encoded(other.resize((80, 60))))
    if kind == "comment":
        return encoded(picture, comment=f"seen by {surname(rng)}".encode())
    if xmp:
        tag = {
            "gps": 'exif:GPSLatitude="30,0.0N"',
            "owner": 'photoshop:OwnerName="A"',
            "serial": 'aux:SerialNumber="1"',
        }
        packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {tag[kind]}/></x:xmpmeta>'
        return encoded(picture, xmp=packet.encode())
    if kind == "gps":  # a place in the open Atlantic: nobody's address
        exif.get_ifd(0x8825).update({1: "N", 2: (30.0, float(number), 0.0), 3: "W", 4: (40.0, 0.0, 0.0)})
        exif[0x0131] = "drawn"
    elif kind == "owner":
        exif[0x013B if number % 2 else 0x8298] = surname(rng)
    else:
        exif.get_ifd(0x8769)[0xA431] = _digits(rng, 9)
        exif[0x0131] = "drawn"
    return encoded(picture, exif=exif)


def _with_thumbnail(data: bytes, small: bytes) -> bytes:
    """Put an EXIF block with a thumbnail in front of a JPEG, as cameras do; Pillow does not write one."""
    first = 8 + 2 + 4  # header, then an empty first directory
    at = first + 2 + 3 * 12 + 4
    entries = b"".join(
        tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + (1).to_bytes(4, "little") + value.to_bytes(4, "little")
        for tag, kind, value in ((0x0103, 4, 6), (0x0201, 4, at), (0x0202, 4, len(small)))
    )
    tiff = b"II*\0" + (8).to_bytes(4, "little") + b"\0\0" + first.to_bytes(4, "little")
    tiff += (3).to_bytes(2, "little") + entries + bytes(4) + small
    body = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]


def code(rng: np.random.Generator, square: bool) -> Image.Image:
    """A QR code or a barcode with a quiet zone."""
    import zxingcpp  # noqa: PLC0415 - only this drawing needs it

    kinds = zxingcpp.BarcodeFormat
    made: Any = zxingcpp.create_barcode(f"ID{_digits(rng, 8)}", kinds.QRCode if square else kinds.Code128)
    return Image.fromarray(np.array(made.to_image(scale=4 if square else 2, add_quiet_zones=True))).convert("RGB")


def dicom(picture: Image.Image, identity: bool) -> bytes:
    """A small DICOM file of one grey frame; nothing in it depends on the time."""
    from pydicom.dataset import FileDataset, FileMetaDataset  # noqa: PLC0415 - only this drawing needs it
    from pydicom.uid import ExplicitVRLittleEndian  # noqa: PLC0415

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
    meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    frame = np.asarray(picture.convert("L").resize((80, 60)))
    held = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    held.SOPClassUID, held.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    held.Modality = "US"
    if identity:
        held.PatientName, held.PatientID, held.PatientBirthDate = "Miller^Anna", "4711007", "19500203"
        held.BurnedInAnnotation = "YES"
    held.Rows, held.Columns, held.SamplesPerPixel, held.PhotometricInterpretation = 60, 80, 1, "MONOCHROME2"
    held.BitsAllocated, held.BitsStored, held.HighBit, held.PixelRepresentation = 8, 8, 7, 0
    held.PixelData = frame.tobytes()
    out = BytesIO()
    held.save_as(out, enforce_file_format=True)
    return out.getvalue()
