"""Microscopy-like blood smears: dense fields of red cells, white cells and platelets.

Stain colours, sizes and overlaps imitate a Wright-stained smear under bright light. Light passes through red
cells, so their colours multiply where they overlap and each mask is the whole cell, also under another one.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from .scene import Drawn, Floats, Patch, Pixels, Scene, blob, cloud, drawn, paint, soft, to_pixels

CLASSES = ("RBC", "WBC", "Platelets")
WIDTH, HEIGHT = 320, 256
SIZE = (HEIGHT, WIDTH)
_STREAM = 11  # separates these random numbers from the other painters'


def draw(seed: int, text: str = "") -> Scene:
    """Draw one smear; `text` is burned in at the top, as older cameras do with the patient's record."""
    rng = np.random.default_rng([_STREAM, seed])
    fine = rng.random() < 0.4  # a lower magnification: smaller and more cells
    radius = rng.uniform(11.0, 16.0) if fine else rng.uniform(19.0, 26.0)
    crowd = rng.uniform(0.25, 1.0) ** 0.8
    red_count = int(crowd * (44 if fine else 26)) + 6
    white_count = int(rng.choice(4, p=[0.18, 0.6, 0.16, 0.06]))
    platelet_count = min(int(rng.poisson(1.8 if not fine else 3.0)), 7)
    whites = _spots(rng, white_count, 1.2 * radius)
    reds = _red_spots(rng, red_count, radius, whites)
    light = _background(rng)
    objects: list[Drawn] = []
    canvas = _red_cells(rng, light, reds, radius, objects)
    for centre in whites:
        _white_cell(rng, canvas, centre, radius * rng.uniform(1.35, 1.95), objects)
    for centre in _spots(rng, platelet_count, 6.0):
        _platelet(rng, canvas, centre, radius * rng.uniform(0.3, 0.48), objects)
    pixels = _camera(rng, canvas)
    if text:
        pixels = burn_text(pixels, text, dark=bool(rng.random() < 0.6))
    return Scene(pixels, tuple(objects))


def burn_text(pixels: Pixels, text: str, dark: bool) -> Pixels:
    """Write `text` into the top left corner with a bitmap font, on a plain strip half of the time."""
    picture = Image.fromarray(pixels)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default_imagefont()
    left, top, right, bottom = pen.textbbox((5, 3), text, font=font)
    if not dark:
        pen.rectangle((left - 3, top - 2, right + 2, bottom + 1), fill=(20, 20, 24))
    pen.text((5, 3), text, fill=(18, 18, 40) if dark else (235, 235, 225), font=font)
    return np.asarray(picture)


def _spots(rng: np.random.Generator, count: int, apart: float) -> list[tuple[float, float]]:
    spots: list[tuple[float, float]] = []
    for _ in range(count * 12):
        spot = (float(rng.uniform(-4, WIDTH + 4)), float(rng.uniform(-4, HEIGHT + 4)))
        if all(np.hypot(spot[0] - x, spot[1] - y) > 2 * apart for x, y in spots):
            spots.append(spot)
        if len(spots) == count:
            break
    return spots


def _red_spots(
    rng: np.random.Generator, count: int, radius: float, whites: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Half of the cells stick to an earlier one, so that rows and clumps appear."""
    spots: list[tuple[float, float]] = []
    clumping = rng.uniform(0.1, 0.75)
    for _ in range(count * 8):
        if spots and rng.random() < clumping:
            near = spots[int(rng.integers(len(spots)))]
            turn, step = rng.uniform(0, 2 * np.pi), radius * rng.uniform(1.15, 1.9)
            spot = (near[0] + step * np.cos(turn), near[1] + step * np.sin(turn))
        else:
            spot = (rng.uniform(-0.3, 1.3) * WIDTH, rng.uniform(-0.3, 1.3) * HEIGHT)
        if not (-0.5 * radius < spot[0] < WIDTH + 0.5 * radius and -0.5 * radius < spot[1] < HEIGHT + 0.5 * radius):
            continue
        close = any(np.hypot(spot[0] - x, spot[1] - y) < 1.12 * radius for x, y in spots)
        covered = any(np.hypot(spot[0] - x, spot[1] - y) < 2.1 * radius for x, y in whites)
        if not close and not covered:
            spots.append((float(spot[0]), float(spot[1])))
        if len(spots) == count:
            break
    return spots


def _background(rng: np.random.Generator) -> Floats:
    base = np.array([208.0, 209.0, 198.0]) + rng.normal(0, 6) + rng.normal(0, [4, 3, 5])
    tint = cloud(rng, HEIGHT, WIDTH, 150.0)[..., None] * rng.uniform(2, 7, 3)
    debris = np.clip(cloud(rng, HEIGHT, WIDTH, 22.0) - 0.55, 0, 1)[..., None] * rng.uniform(0, 22)
    return np.asarray(base + tint - debris * np.array([0.9, 1.0, 0.5]))


def _red_cells(
    rng: np.random.Generator, light: Floats, spots: list[tuple[float, float]], radius: float, objects: list[Drawn]
) -> Floats:
    thick = np.zeros(SIZE)
    stain = np.array([0.92, 0.69, 0.64]) ** rng.uniform(0.75, 1.25) * rng.normal(1.0, 0.015, 3)
    pallor, ghosts = rng.uniform(0.1, 0.9), rng.uniform(0.0, 0.3)
    marks: list[tuple[float, float]] = []
    for centre in spots:
        own = radius * rng.uniform(0.86, 1.16)
        stretch = 1.0 + abs(rng.normal(0, 0.13)) + (rng.uniform(0.2, 0.5) if rng.random() < 0.06 else 0.0)
        patch = blob(rng, centre, own, SIZE, stretch, wobble=rng.choice([0.02, 0.05, 0.09]))
        if patch is None:
            continue
        found = drawn("RBC", patch, patch.rho <= 1.0, least_px=int(0.12 * np.pi * own * own))
        if found is None:
            continue
        objects.append(found)
        hollow = np.clip(rng.normal(pallor, 0.25), 0.0, 0.92) * np.exp(-((patch.rho / rng.uniform(0.38, 0.6)) ** 2.6))
        ghost = rng.uniform(0.25, 0.6) if rng.random() < ghosts else rng.uniform(0.85, 1.1)
        rim = 1.0 + 0.22 * np.exp(-(((patch.rho - 0.86) / 0.09) ** 2))
        thick[patch.window] += soft(patch.rho, own, 2.0) * (1.0 - hollow) * rim * ghost
        if rng.random() < 0.15:
            marks.append(centre)
    thick += 0.05 * cloud(rng, *SIZE, 5.0) * np.minimum(thick, 1.0)
    canvas = np.asarray(light * stain ** (1.35 * (1.0 - np.exp(-np.maximum(thick, 0) / 1.15)))[..., None])
    for x, y in marks:  # bright refraction spots with a dark edge, common in dried smears
        halo = blob(rng, (x + rng.normal(0, 4), y + rng.normal(0, 4)), rng.uniform(2, 5), SIZE, 1.2, 0.15)
        if halo is not None:
            paint(canvas, halo, soft(halo.rho * 0.7, 3.0) * 0.5, np.array([120.0, 75.0, 80.0]))
            paint(canvas, halo, soft(halo.rho * 1.6, 3.0) * 0.8, np.array([232.0, 222.0, 215.0]))
    return canvas


def _white_cell(
    rng: np.random.Generator, canvas: Floats, centre: tuple[float, float], radius: float, objects: list[Drawn]
) -> None:
    patch = blob(rng, centre, radius, SIZE, rng.uniform(1.0, 1.15), wobble=0.04)
    if patch is None:
        return
    found = drawn("WBC", patch, patch.rho <= 1.0, least_px=int(0.15 * np.pi * radius * radius))
    if found is None:
        return
    objects.append(found)
    grain = cloud(rng, *patch.rho.shape, 2.2)[..., None]
    eosin = rng.random() < 0.15  # red granules fill the body
    body = np.array([176.0, 116.0, 140.0]) if eosin else np.array([192.0, 172.0, 202.0]) + rng.normal(0, 9, 3)
    paint(canvas, patch, soft(patch.rho, radius, 2.5) * rng.uniform(0.75, 0.97), body + grain * rng.uniform(6, 18))
    nucleus = np.array([106.0, 82.0, 190.0]) + rng.normal(0, [14, 12, 14])
    for lobe in _lobes(rng, centre, radius):
        cover = soft(lobe.rho, radius * 0.5, 2.2) * 0.95
        inside = np.clip((1.05 - _rho_at(patch, lobe)) * 10, 0, 1)
        texture = cloud(rng, *lobe.rho.shape, 4.0)[..., None] * 11
        paint(canvas, lobe, cover * inside, nucleus + texture)


def _lobes(rng: np.random.Generator, centre: tuple[float, float], radius: float) -> list[Patch]:
    kind = rng.choice(3, p=[0.6, 0.25, 0.15])
    lobes: list[Patch | None] = []
    if kind == 0:  # a chain of lobes
        turn, count = rng.uniform(0, 2 * np.pi), int(rng.integers(2, 6))
        for index in range(count):
            at = turn + index * rng.uniform(1.0, 1.5)
            reach = radius * rng.uniform(0.35, 0.55)
            spot = (centre[0] + reach * np.cos(at), centre[1] + reach * np.sin(at))
            lobes.append(blob(rng, spot, radius * rng.uniform(0.3, 0.42), SIZE, rng.uniform(1.0, 1.4), 0.06))
    elif kind == 1:  # one large round nucleus
        spot = (centre[0] + rng.normal(0, 0.07) * radius, centre[1] + rng.normal(0, 0.07) * radius)
        lobes.append(blob(rng, spot, radius * rng.uniform(0.6, 0.85), SIZE, rng.uniform(1.0, 1.15), 0.05))
    else:  # a bean
        turn = rng.uniform(0, 2 * np.pi)
        for offset in (-0.7, 0.0, 0.7):
            spot = (
                centre[0] + 0.36 * radius * np.cos(turn + offset),
                centre[1] + 0.36 * radius * np.sin(turn + offset),
            )
            lobes.append(blob(rng, spot, radius * rng.uniform(0.36, 0.46), SIZE, 1.1, 0.06))
    return [lobe for lobe in lobes if lobe is not None]


def _rho_at(body: Patch, lobe: Patch) -> Floats:
    """The body's rho on the lobe's window; 2 (outside) where the two windows do not meet."""
    whole = np.full(SIZE, 2.0)
    whole[body.window] = body.rho
    return np.asarray(whole[lobe.window])


def _platelet(
    rng: np.random.Generator, canvas: Floats, centre: tuple[float, float], radius: float, objects: list[Drawn]
) -> None:
    patch = blob(rng, centre, radius, SIZE, rng.uniform(1.0, 1.35), wobble=0.09)
    if patch is None:
        return
    found = drawn("Platelets", patch, patch.rho <= 1.0, least_px=int(0.3 * np.pi * radius * radius))
    if found is None:
        return
    objects.append(found)
    colour = np.array([140.0, 122.0, 188.0]) + rng.normal(0, [14, 12, 10])
    grain = cloud(rng, *patch.rho.shape, 2.0)[..., None] * 20
    paint(canvas, patch, soft(patch.rho, radius, 2.2) * rng.uniform(0.6, 0.95), colour + grain)


def _camera(rng: np.random.Generator, canvas: Floats) -> Pixels:
    """Vignetting, white balance, lens blur and sensor noise."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    off = ((x / WIDTH - 0.5) ** 2 + (y / HEIGHT - 0.5) ** 2)[..., None]
    lit = canvas * (1.0 - rng.uniform(0.0, 0.3) * off) * rng.normal(1.0, 0.02, 3)
    picture = Image.fromarray(to_pixels(lit)).filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.2)))
    noise = rng.normal(0.0, rng.uniform(0.8, 3.0), (HEIGHT, WIDTH, 3))
    return to_pixels(np.asarray(picture, dtype=np.float64) + noise)
