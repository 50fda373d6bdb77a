"""Drawn people: shaded heads at several poses, like enough for a person and for a detector to see a face."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

_SKINS = ((236, 196, 170), (222, 172, 138), (198, 146, 110), (160, 112, 82), (112, 76, 56))
_HAIRS = ((40, 28, 22), (84, 56, 34), (150, 112, 62), (90, 88, 88), (20, 18, 20))
_FRAME = 400  # drawn large and made smaller, so that edges are smooth


def _shade(colour: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    return tuple(int(min(255, max(0, part * factor))) for part in colour)  # type: ignore[return-value]


def head(rng: np.random.Generator) -> Image.Image:
    """Draw one head with shoulders, RGBA, 400 x 400, the face in its middle."""
    skin, hair = _SKINS[int(rng.integers(len(_SKINS)))], _HAIRS[int(rng.integers(len(_HAIRS)))]
    yaw = float(rng.uniform(-10, 10))
    picture = Image.new("RGBA", (_FRAME, _FRAME))
    pen = ImageDraw.Draw(picture)
    cx, cy, wide, high = 200, 200, float(rng.uniform(80, 90)), float(rng.uniform(108, 120))
    cloth = tuple(int(v) for v in rng.integers(30, 200, 3))
    pen.ellipse((cx - 150, cy + 130, cx + 150, cy + 420), fill=cloth)
    pen.rectangle((cx - 34, cy + 70, cx + 34, cy + 160), fill=_shade(skin, 0.72))
    pen.ellipse((cx - wide - 16, cy - high - 34, cx + wide + 16, cy + high * 0.5), fill=hair)
    for side in (-1, 1):
        pen.ellipse((cx + side * wide - 12, cy - 18, cx + side * wide + 12, cy + 34), fill=_shade(skin, 0.85))
    pen.ellipse((cx - wide, cy - high, cx + wide, cy + high), fill=skin)
    _shadows(picture, cx, cy, wide, high, float(rng.uniform(-1, 1)))
    pen = ImageDraw.Draw(picture)
    pen.pieslice((cx - wide, cy - high - 14, cx + wide, cy + high * 0.35), 198, 342, fill=hair)
    pen.ellipse((cx - wide * 0.86, cy - high * 0.62, cx + wide * 0.86, cy + high * 0.5), fill=skin)
    _features(picture, skin, hair, cx, cy, yaw, rng)
    return picture.rotate(float(rng.uniform(-8, 8)), Image.Resampling.BICUBIC, center=(cx, cy + 60))


def _shadows(picture: Image.Image, cx: float, cy: float, wide: float, high: float, light: float) -> None:
    """Darken the rim of the head and one side, as light from above and one side does."""
    ys, xs = np.mgrid[0:_FRAME, 0:_FRAME].astype(float)
    u, v = (xs - cx) / wide, (ys - cy) / high
    lit = np.clip(1.08 - 0.22 * (u * u + v * v) - 0.10 * u * light - 0.05 * v, 0.6, 1.1)
    pixels = np.asarray(picture).astype(float)
    inside = (u * u + v * v <= 1)[..., None]
    pixels[..., :3] = np.where(inside, np.clip(pixels[..., :3] * lit[..., None], 0, 255), pixels[..., :3])
    picture.paste(Image.fromarray(pixels.astype(np.uint8), "RGBA"))


def _features(
    picture: Image.Image, skin: tuple[int, int, int], hair: tuple[int, int, int], cx: float, cy: float, yaw: float,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    soft = Image.new("RGBA", picture.size)
    pen = ImageDraw.Draw(soft)
    dark, deep = _shade(skin, 0.55), _shade(skin, 0.42)
    for side in (-1, 1):
        x = cx + side * 36 + yaw
        pen.ellipse((x - 27, cy - 40, x + 27, cy - 2), fill=(*dark, 200))  # sockets
        pen.ellipse((x - 40 + side * 14, cy + 22, x + 22 + side * 14, cy + 62), fill=(*_shade(skin, 1.12), 150))
    pen.polygon([(cx + yaw - 7, cy - 36), (cx + yaw + 7, cy - 36), (cx + yaw + 10, cy + 34), (cx + yaw - 10, cy + 34)],
                fill=(*_shade(skin, 1.18), 230))  # fmt: skip
    pen.ellipse((cx + yaw - 22, cy + 34, cx + yaw + 22, cy + 50), fill=(*dark, 220))  # below the nose
    pen.ellipse((cx + yaw - 30, cy + 84, cx + yaw + 30, cy + 98), fill=(*dark, 160))  # below the lip
    picture.alpha_composite(soft.filter(ImageFilter.GaussianBlur(5)))
    pen = ImageDraw.Draw(picture)
    iris = tuple(int(v) for v in rng.integers(20, 90, 3))
    for side in (-1, 1):
        x, y = cx + side * 36 + yaw, cy - 18
        pen.ellipse((x - 19, y - 9, x + 19, y + 9), fill=(238, 236, 232), outline=deep, width=3)
        pen.ellipse((x - 9 + yaw * 0.2, y - 9, x + 9 + yaw * 0.2, y + 9), fill=iris)
        pen.ellipse((x - 4 + yaw * 0.2, y - 4, x + 4 + yaw * 0.2, y + 4), fill=(8, 8, 8))
        pen.arc((x - 28, y - 34, x + 28, y + 8), 205, 335, fill=_shade(hair, 0.9), width=9)
    for side in (-1, 1):
        pen.ellipse((cx + yaw + side * 11 - 5, cy + 34, cx + yaw + side * 11 + 5, cy + 41), fill=deep)
    lips = _shade((176, 84, 80), float(rng.uniform(0.7, 1.05)))
    pen.ellipse((cx + yaw - 32, cy + 62, cx + yaw + 32, cy + 84), fill=lips)
    pen.line((cx + yaw - 30, cy + 73, cx + yaw + 30, cy + 73), fill=_shade(lips, 0.5), width=4)


def place(scene: Image.Image, rng: np.random.Generator, side: int) -> Image.Image:
    """Put one head into a scene, `side` pixels wide in all, blurred and lit as the rest."""
    person = head(rng).resize((side, side), Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(0.5))
    out = scene.convert("RGBA")
    at = (int(rng.integers(0, max(1, out.width - side))), int(rng.integers(0, max(1, out.height - side))))
    out.alpha_composite(person, at)
    return out.convert("RGB")
