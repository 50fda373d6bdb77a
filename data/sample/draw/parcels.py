"""Aerial land parcels: a ground cover that tells the land use, and a few countable objects on it.

A sparser and harmless counterpart of the smears. Part of each parcel shows a second ground cover, so that the
land use has to be judged from the whole picture and is not always certain.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from .scene import Bools, Drawn, Floats, Patch, Scene, blob, cloud, drawn, paint, slab, soft, to_pixels

CLASSES = ("house", "tree", "pond", "silo", "vehicle", "greenhouse")
LAND_USES = ("farm", "orchard", "residential", "wetland")
WIDTH, HEIGHT = 256, 256
SIZE = (HEIGHT, WIDTH)
LEAST, MOST = 2, 15  # objects in one picture
_STREAM = 13  # separates these random numbers from the other painters'
_SUN = (3.0, 4.0)  # px, offset of shadows

# lowest and highest count of each class, in the order of CLASSES
_COUNTS = {
    "farm": ((0, 2), (0, 4), (0, 1), (0, 3), (0, 3), (0, 2)),
    "orchard": ((0, 1), (5, 11), (0, 1), (0, 1), (0, 2), (0, 1)),
    "residential": ((2, 6), (1, 4), (0, 1), (0, 0), (1, 5), (0, 1)),
    "wetland": ((0, 1), (0, 6), (1, 3), (0, 0), (0, 1), (0, 0)),
}
_ROOFS = ((158, 84, 66), (120, 72, 62), (132, 128, 126), (94, 92, 98), (176, 128, 96))
_PAINTS = ((206, 208, 212), (58, 60, 66), (168, 48, 46), (58, 84, 148), (196, 178, 70), (122, 126, 130))


def draw(seed: int) -> Scene:
    """Draw one parcel; `extra["land_use"]` names its main ground cover."""
    rng = np.random.default_rng([_STREAM, seed])
    use = LAND_USES[int(rng.integers(len(LAND_USES)))]
    other = LAND_USES[int(rng.integers(len(LAND_USES)))]
    canvas = _GROUNDS[use](rng)
    share = rng.uniform(0.0, 0.45)
    canvas = np.where(_corner(rng, share)[..., None], _GROUNDS[other](rng), canvas)
    counts = [int(rng.integers(low, high + 1)) for low, high in _COUNTS[other if rng.random() < 0.12 else use]]
    while sum(counts) > MOST:
        counts[int(np.argmax(counts))] -= 1
    taken: Bools = np.zeros(SIZE, dtype=np.bool_)
    objects: list[Drawn] = []
    for label in ("pond", "greenhouse", "house", "silo", "vehicle", "tree"):  # large ones find room first
        for _ in range(counts[CLASSES.index(label)]):
            _place(rng, canvas, taken, label, objects)
    while len(objects) < LEAST:
        _place(rng, canvas, taken, "tree", objects)
    haze = rng.uniform(0.0, 0.12)
    lit = (canvas * (1 - haze) + 205 * haze) * np.exp(rng.normal(0, 0.08)) * rng.normal(1.0, 0.02, 3)
    picture = Image.fromarray(to_pixels(lit)).filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8)))
    noise = rng.normal(0.0, rng.uniform(0.8, 3.5), (HEIGHT, WIDTH, 3))
    return Scene(to_pixels(np.asarray(picture, dtype=np.float64) + noise), tuple(objects), {"land_use": use})


def _corner(rng: np.random.Generator, share: float) -> Bools:
    """A half plane with a wavy edge that covers about `share` of the picture."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    angle = rng.uniform(0, 2 * np.pi)
    height = x * np.cos(angle) + y * np.sin(angle) + 9 * cloud(rng, HEIGHT, WIDTH, 45.0)
    return np.asarray(height < np.quantile(height, share))


def _stripes(angle: float, period: float, phase: float) -> Floats:
    """Parallel waves in [-1, 1]."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.asarray(np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period + phase))


def _farm(rng: np.random.Generator) -> Floats:
    crops = np.array([[122.0, 140, 74], [150, 128, 88], [182, 164, 96], [96, 122, 66], [138, 110, 80]])
    angle = rng.uniform(0, np.pi)
    canvas = np.empty((HEIGHT, WIDTH, 3))
    fields = np.zeros(SIZE, dtype=np.int64)
    for bit in range(int(rng.integers(1, 3))):
        fields += _corner(rng, rng.uniform(0.3, 0.7)).astype(np.int64) << bit
    for index in range(4):
        crop = crops[int(rng.integers(len(crops)))] + rng.normal(0, 7, 3)
        rows = _stripes(angle + rng.choice([0.0, np.pi / 2]), rng.uniform(5, 10), rng.uniform(0, 6))
        field = crop + rows[..., None] * rng.uniform(4, 12) + cloud(rng, HEIGHT, WIDTH, 30.0)[..., None] * 7
        canvas = np.where((fields == index)[..., None], field, canvas)
    return canvas


def _orchard(rng: np.random.Generator) -> Floats:
    angle, period = rng.uniform(0, np.pi), rng.uniform(13, 20)
    ground = np.array([134.0, 134, 84]) + rng.normal(0, 9, 3) + cloud(rng, HEIGHT, WIDTH, 24.0)[..., None] * 9
    along = _stripes(angle, period, rng.uniform(0, 6))
    across = _stripes(angle + np.pi / 2, period * rng.uniform(0.55, 1.0), rng.uniform(0, 6))
    shrubs = np.clip(along * 0.8 + across * 0.6 - 0.55 + 0.25 * cloud(rng, HEIGHT, WIDTH, 7.0), 0, 0.5)[..., None] * 2
    return np.asarray(ground * (1 - shrubs * 0.8) + np.array([84.0, 104, 56]) * shrubs * 0.8)


def _residential(rng: np.random.Generator) -> Floats:
    lawn = np.array([118.0, 136, 86]) + rng.normal(0, 9, 3)
    canvas = lawn + cloud(rng, HEIGHT, WIDTH, 20.0)[..., None] * 10 + cloud(rng, HEIGHT, WIDTH, 3.0)[..., None] * 4
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    for turn in (angle, angle + np.pi / 2)[: int(rng.integers(1, 3))]:
        away = np.abs((x - WIDTH / 2) * np.cos(turn) + (y - HEIGHT / 2) * np.sin(turn) - rng.uniform(-75, 75))
        half = rng.uniform(8, 12)
        canvas = np.where((away < half + 3)[..., None], np.array([176.0, 174, 168]), canvas)
        canvas = np.where((away < half)[..., None], 118.0 + cloud(rng, HEIGHT, WIDTH, 9.0)[..., None] * 6, canvas)
    return np.asarray(canvas)


def _wetland(rng: np.random.Generator) -> Floats:
    wet = np.clip(cloud(rng, HEIGHT, WIDTH, 34.0) + 0.6 * cloud(rng, HEIGHT, WIDTH, 13.0) + 0.4, 0, 1)[..., None]
    reed = np.array([116.0, 120, 78]) + rng.normal(0, 8, 3)
    mud = np.array([82.0, 92, 78]) + rng.normal(0, 7, 3)
    return np.asarray(reed * (1 - wet) + mud * wet + cloud(rng, HEIGHT, WIDTH, 3.5)[..., None] * 12)


_GROUNDS: dict[str, Callable[[np.random.Generator], Floats]] = {
    "farm": _farm,
    "orchard": _orchard,
    "residential": _residential,
    "wetland": _wetland,
}


def _outline(rng: np.random.Generator, label: str, centre: tuple[float, float]) -> tuple[Patch | None, float]:
    """The shape of an object and its typical half size in pixels."""
    angle = rng.uniform(0, np.pi)
    if label == "house":
        half = rng.uniform(11, 19)
        return slab(centre, (half, half * rng.uniform(0.6, 0.9)), angle, SIZE), half
    if label == "greenhouse":
        half = rng.uniform(15, 26)
        return slab(centre, (half, half * rng.uniform(0.25, 0.4)), angle, SIZE), half
    if label == "vehicle":
        half = rng.uniform(5.5, 8.0)
        return slab(centre, (half, half * rng.uniform(0.42, 0.52)), angle, SIZE), half
    if label == "pond":
        half = rng.uniform(15, 34)
        return blob(rng, centre, half, SIZE, rng.uniform(1.0, 1.5), 0.12), half
    if label == "silo":
        half = rng.uniform(6, 11)
        return blob(rng, centre, half, SIZE, 1.0, 0.0), half
    half = rng.uniform(7, 15)
    return blob(rng, centre, half, SIZE, rng.uniform(1.0, 1.15), 0.08), half


def _place(rng: np.random.Generator, canvas: Floats, taken: Bools, label: str, objects: list[Drawn]) -> None:
    """Find free ground for one object and paint it; gives up quietly after 30 tries, as counts are random anyway."""
    for _ in range(30):
        centre = (float(rng.uniform(0, WIDTH)), float(rng.uniform(0, HEIGHT)))
        patch, half = _outline(rng, label, centre)
        if patch is None or bool(taken[patch.window][patch.rho < 1.1].any()):
            continue
        found = drawn(label, patch, patch.rho <= 1.0, least_px=int(0.8 * half * half))
        if found is None:
            continue
        taken[patch.window] |= patch.rho < 1.1
        objects.append(found)
        if label != "pond":
            _shade(canvas, patch, half)
        _PAINT[label](rng, canvas, patch, half)
        return


def _shade(canvas: Floats, patch: Patch, half: float) -> None:
    size = min(1.0, half / 12)
    down, right = round(_SUN[1] * size), round(_SUN[0] * size)
    rows, columns = patch.rho.shape
    top, left = patch.top + down, patch.left + right
    part = canvas[top : top + rows, left : left + columns]
    cover = soft(patch.rho, half, 2.0)[: part.shape[0], : part.shape[1]]
    part *= (1.0 - 0.45 * cover)[..., None]


def _house(rng: np.random.Generator, canvas: Floats, patch: Patch, half: float) -> None:
    colour = np.array(_ROOFS[int(rng.integers(len(_ROOFS)))], dtype=np.float64) + rng.normal(0, 8, 3)
    rows, columns = patch.rho.shape
    y, x = np.mgrid[0:rows, 0:columns]
    turn = rng.uniform(0, 2 * np.pi)
    side = np.sign((x - columns / 2) * np.cos(turn) + (y - rows / 2) * np.sin(turn))[..., None]
    paint(
        canvas, patch, soft(patch.rho, half), colour * (1 + 0.11 * side) + cloud(rng, rows, columns, 3.0)[..., None] * 6
    )


def _greenhouse(rng: np.random.Generator, canvas: Floats, patch: Patch, half: float) -> None:
    ribs = 0.5 + 0.5 * np.sign(np.sin(patch.rho * half * 1.3))[..., None]
    colour = np.array([206.0, 216, 214]) + rng.normal(0, 6, 3) - ribs * rng.uniform(14, 30)
    paint(canvas, patch, soft(patch.rho, half) * rng.uniform(0.75, 0.95), colour)


def _vehicle(rng: np.random.Generator, canvas: Floats, patch: Patch, half: float) -> None:
    colour = np.array(_PAINTS[int(rng.integers(len(_PAINTS)))], dtype=np.float64) + rng.normal(0, 7, 3)
    paint(canvas, patch, soft(patch.rho, half, 1.0), colour)
    paint(canvas, patch, soft(patch.rho * 1.9, half, 1.0) * 0.7, np.array([52.0, 58, 66]))


def _pond(rng: np.random.Generator, canvas: Floats, patch: Patch, half: float) -> None:
    colour = np.array([62.0, 88, 102]) + rng.normal(0, [8, 9, 12])
    water = colour + cloud(rng, *patch.rho.shape, 14.0)[..., None] * 7
    paint(canvas, patch, soft(patch.rho * 0.93, half, 3.0) * 0.6, np.array([138.0, 130, 100]))
    paint(canvas, patch, soft(patch.rho, half, 2.5), water)


def _silo(rng: np.random.Generator, canvas: Floats, patch: Patch, half: float) -> None:
    rows, columns = patch.rho.shape
    y, x = np.mgrid[0:rows, 0:columns]
    slope = ((x - columns / 2) + (y - rows / 2))[..., None] / half
    colour = np.array([188.0, 190, 194]) + rng.normal(0, 8) - 18 * slope
    paint(canvas, patch, soft(patch.rho, half), colour)
    paint(canvas, patch, soft(patch.rho * 5, half), np.array([120.0, 122, 128]))


def _tree(rng: np.random.Generator, canvas: Floats, patch: Patch, half: float) -> None:
    rows, columns = patch.rho.shape
    y, x = np.mgrid[0:rows, 0:columns]
    slope = ((x - columns / 2) + (y - rows / 2))[..., None] / half
    colour = np.array([72.0, 98, 52]) + rng.normal(0, [9, 9, 6]) - 9 * slope
    paint(canvas, patch, soft(patch.rho, half, 1.8), colour + cloud(rng, rows, columns, 3.5)[..., None] * 17)


_PAINT: dict[str, Callable[[np.random.Generator, Floats, Patch, float], None]] = {
    "house": _house,
    "greenhouse": _greenhouse,
    "vehicle": _vehicle,
    "pond": _pond,
    "silo": _silo,
    "tree": _tree,
}
