"""Pictures that hold something sensitive, and pictures that only look as if: the evaluation set of the signals.

Every name, number and address in them is invented. What each picture holds is written into `labels.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from . import imprints, parcels, portraits, smears

SEED = 41
WIDTH, HEIGHT = 320, 240


@dataclass(frozen=True, slots=True)
class Sensitive:
    """One picture of the set."""

    name: str  # path below `images`
    content: bytes
    holds: tuple[str, ...]  # categories; empty for a clean look-alike
    kind: str  # what was drawn


def scene(rng: np.random.Generator, busy: bool = True) -> Image.Image:
    """A plain wall in soft light, a field from above or a smear, 320 x 240."""
    kind = int(rng.integers(4)) if busy else 0
    if kind == 2:
        pixels = parcels.draw(700_000 + int(rng.integers(500))).pixels
        return Image.fromarray(pixels).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    if kind == 3:
        return Image.fromarray(smears.draw(700_000 + int(rng.integers(500))).pixels).crop((0, 8, WIDTH, 8 + HEIGHT))
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH]
    slope = (xs * rng.uniform(-0.2, 0.2) + ys * rng.uniform(-0.2, 0.2))[..., None]
    base = rng.uniform(70, 190, 3) + slope + rng.normal(0, 1.5, (HEIGHT, WIDTH, 1))
    return Image.fromarray(np.clip(base, 0, 255).astype(np.uint8))


def write_text(
    picture: Image.Image, lines: list[str], rng: np.random.Generator, *, size: int = 0, turned: bool = False
) -> Image.Image:
    """Burn lines of text into a picture, often on a strip; turned by a quarter where asked."""
    size = size or int(rng.integers(14, 21))
    font = ImageFont.load_default(size)
    out = picture.rotate(90, expand=True) if turned else picture.copy()
    pen = ImageDraw.Draw(out)
    wide = max(int(pen.textlength(line, font=font)) for line in lines)
    while wide > out.width - 12 and size > 9:
        size -= 1
        font = ImageFont.load_default(size)
        wide = max(int(pen.textlength(line, font=font)) for line in lines)
    high = (size + 6) * len(lines)
    x = int(rng.integers(4, max(5, out.width - wide - 6)))
    y = int(rng.integers(4, max(5, out.height - high - 6)))
    dark = bool(rng.integers(2))
    if rng.random() < 0.6:
        pen.rectangle((x - 4, y - 3, x + wide + 4, y + high), fill=(236, 236, 230) if dark else (16, 16, 24))
    else:
        ground = np.asarray(out.crop((x, y, x + wide, y + high)).convert("L")).mean()
        dark = bool(ground > 127)
    for number, line in enumerate(lines):
        pen.text((x, y + number * (size + 6)), line, font=font, fill=(14, 14, 24) if dark else (244, 244, 240))
    return out.rotate(-90, expand=True) if turned else out


def encoded(picture: Image.Image, **options: object) -> bytes:
    """Encode as JPEG."""
    out = BytesIO()
    picture.save(out, "JPEG", quality=82, optimize=True, **options)
    return out.getvalue()


def _texts(seed: int) -> list[Sensitive]:
    made = []
    for kind, count, phrase in imprints.PHRASES:
        for number in range(count):
            rng = np.random.default_rng([seed, sum(kind.encode()), number])
            picture = write_text(scene(rng), [phrase(rng, number)], rng, turned=number % 8 == 7)
            made.append(Sensitive(f"{kind}_{number:02d}.jpg", encoded(picture), (kind,), "text"))
    for number in range(10):  # the header of a scanner's screen
        rng = np.random.default_rng([seed, 2, number])
        lines = [f"NAME: {imprints.surname(rng)}", f"DOB: {imprints.day(rng)}", "10 cm  MI 0.9"]
        picture = write_text(_fan(rng), lines, rng, size=13)
        made.append(Sensitive(f"screen_{number:02d}.jpg", encoded(picture), ("person_name", "date_of_birth"), "screen"))
    for number in range(12):  # writing that is plainly there and hard to read
        rng = np.random.default_rng([seed, 3, number])
        line = f"{imprints.surname(rng)} {imprints.day(rng)}"
        plain = write_text(scene(rng, busy=False), [line, f"MRN {rng.integers(10**6, 10**7)}"], rng, size=15)
        picture = plain.filter(ImageFilter.GaussianBlur(1.3 + 0.05 * number))
        made.append(Sensitive(f"blurred_{number:02d}.jpg", encoded(picture), ("text_unreadable",), "blurred text"))
    return made


def _fan(rng: np.random.Generator) -> Image.Image:
    """An ultrasound picture: a bright noisy fan on black."""
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    away, angle = np.hypot(xs - 160, ys + 20), np.arctan2(xs - 160, ys + 20)
    fan = (away > 60) & (away < 250) & (np.abs(angle) < 0.55)
    speckle = np.where(fan, rng.gamma(2.0, 22.0, (HEIGHT, WIDTH)), 0)
    grey = Image.fromarray(np.clip(speckle, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.2))
    return grey.convert("RGB")


def _faces(seed: int) -> list[Sensitive]:
    made = []
    for number in range(24):
        rng = np.random.default_rng([seed, 4, number])
        picture = portraits.place(scene(rng, busy=False), rng, int(rng.integers(150, 230)))
        made.append(Sensitive(f"face_{number:02d}.jpg", encoded(picture), ("face",), "portrait"))
    return made


def _codes(seed: int) -> list[Sensitive]:
    made = []
    for number in range(24):
        rng = np.random.default_rng([seed, 5, number])
        square = number % 2 == 0
        code = imprints.code(rng, square)
        picture = scene(rng)
        room = (WIDTH - code.width, HEIGHT - code.height)
        picture.paste(code, (int(rng.integers(0, room[0])), int(rng.integers(0, room[1]))))
        kind = "qr_code" if square else "barcode"
        made.append(Sensitive(f"{kind}_{number:02d}.jpg", encoded(picture), (kind,), "code"))
    return made


def _notes(seed: int) -> list[Sensitive]:
    made = []
    for kind, count in imprints.NOTES:
        for number in range(count):
            rng = np.random.default_rng([seed, 6, sum(kind.encode()), number])
            content = imprints.with_note(scene(rng), kind, number, rng, encoded)
            made.append(Sensitive(f"{kind}_{number:02d}.jpg", content, (kind,), "note"))
    for number in range(12):
        rng = np.random.default_rng([seed, 7, number])
        holds = ("dicom_identity", "dicom_burned_in") if number % 2 else ("dicom_burned_in",)
        made.append(
            Sensitive(f"scan_{number:02d}.dcm", imprints.dicom(_fan(rng), "dicom_identity" in holds), holds, "DICOM")
        )
    for number in range(8):
        rng = np.random.default_rng([seed, 8, number])
        name = f"ward/patient_{number}/view.jpg"
        made.append(Sensitive(name, encoded(scene(rng)), ("path_rule",), "path"))
    return made


def _harmless(seed: int) -> list[Sensitive]:
    made = []
    first = 710_000 + 1000 * ((seed - SEED) % 1000)
    drawn: list[tuple[str, int, Callable[[np.random.Generator, int], Image.Image]]] = [
        ("scale", 22, lambda rng, k: _scale_bar(scene(rng), rng, k)),
        ("label", 24, lambda rng, k: write_text(scene(rng), [imprints.HARMLESS[k % len(imprints.HARMLESS)]], rng)),
        ("sign", 8, lambda rng, k: write_text(scene(rng), [imprints.SIGNS[k % len(imprints.SIGNS)]], rng, size=26)),
        ("field", 16, lambda _, k: Image.fromarray(parcels.draw(first + k).pixels)),
        ("smear", 16, lambda _, k: Image.fromarray(smears.draw(first + k).pixels)),
        ("fan", 6, lambda rng, _: _fan(rng)),
        ("stripes", 8, lambda rng, _: _pattern(rng, stripes=True)),
        ("checks", 8, lambda rng, _: _pattern(rng, stripes=False)),
        ("balls", 10, lambda rng, _: _balls(rng)),
    ]
    for kind, count, draw in drawn:
        for number in range(count):
            rng = np.random.default_rng([seed, 9, sum(kind.encode()), number])
            made.append(Sensitive(f"clean_{kind}_{number:02d}.jpg", encoded(draw(rng, number)), (), kind))
    return made


def _scale_bar(picture: Image.Image, rng: np.random.Generator, number: int) -> Image.Image:
    out, length = picture.copy(), int(rng.integers(40, 90))
    pen = ImageDraw.Draw(out)
    pen.rectangle((200, 190, 312, 234), fill=(10, 10, 10))
    pen.rectangle((210, 222, 210 + length, 226), fill=(250, 250, 250))
    pen.text(
        (212, 196),
        imprints.LENGTHS[number % len(imprints.LENGTHS)],
        font=ImageFont.load_default(18),
        fill=(250, 250, 250),
    )
    return out


def _pattern(rng: np.random.Generator, *, stripes: bool) -> Image.Image:
    """A fence, or tiles: regular, and no code."""
    ys, xs = np.mgrid[0:HEIGHT, 0:WIDTH]
    step = int(rng.integers(8, 22))
    on = (xs // step) % 2 if stripes else (xs // step + ys // step) % 2
    low, high = rng.uniform(40, 110, 3), rng.uniform(150, 230, 3)
    return Image.fromarray(np.where(on[..., None] == 1, high, low).astype(np.uint8))


def _balls(rng: np.random.Generator) -> Image.Image:
    """Round shaded things of skin-like colours, without a face."""
    picture = scene(rng, busy=False)
    for _ in range(4):
        radius = int(rng.integers(20, 50))
        ball = Image.radial_gradient("L").resize((2 * radius, 2 * radius))
        mask = Image.new("L", ball.size)
        ImageDraw.Draw(mask).ellipse((0, 0, 2 * radius - 1, 2 * radius - 1), fill=255)
        shade = np.asarray(ball, dtype=float)[..., None]
        colour = np.clip(np.array([230, 180, 150]) - shade * rng.uniform(0.3, 0.7), 0, 255).astype(np.uint8)
        at = (int(rng.integers(0, WIDTH - 2 * radius)), int(rng.integers(0, HEIGHT - 2 * radius)))
        picture.paste(Image.fromarray(colour), at, mask)
    return picture


def pictures(seed: int = SEED) -> list[Sensitive]:
    """Every picture of the set, in the order of `labels.json`; another seed gives another set."""
    return [*_notes(seed), *_texts(seed), *_faces(seed), *_codes(seed), *_harmless(seed)]


def write(folder: Path, seed: int = SEED) -> None:
    """Write the pictures below `folder/images` and what they hold into `folder/labels.json`."""
    rows = []
    for one in pictures(seed):
        path = folder / "images" / one.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one.content)
        rows.append({"file": one.name, "holds": list(one.holds), "kind": one.kind})
    text = ",\n".join(json.dumps(row) for row in rows)
    (folder / "labels.json").write_text(f"[\n{text}\n]\n", encoding="utf-8")
