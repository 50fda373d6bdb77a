"""`python -m bench.scaled`: what scaled JPEG decoding does to the figures of the shipped models, card by card.

Full and scaled pixels of the same files, the same truth, the same engine. Files that are too small for a scale are
enlarged, with a sensor's noise put on them, so that there is detail for the decoder to leave out.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco

from bench.photos import PHOTOGRAPHS, ROOT
from labelop.catalog.cards import ModelCard, load_catalog
from labelop.effort.quality import average_precision
from labelop.egress.gate import encode_payload
from labelop.engines.base import Engine, ModelInputs, open_engine
from labelop.engines.masks import read_masks, to_model_frame
from labelop.engines.payload import decode as decode_payload
from labelop.engines.prelabeller import ArmModels, ImageItem, with_engines
from labelop.geometry import Box, boxes_to_array, from_xywh
from labelop.ids import sha256_hex
from labelop.ingest.decode import Frame, decode_for
from labelop.ingest.manifest import build_manifest
from labelop.labels import AcceptedLabel
from labelop.settings import Settings, load_settings

SCALES = (2, 4, 8)
"""Scales of the decoder."""
_NOISE = 6.0
"""Standard deviation of the noise on enlarged pictures, of 255."""
_QUALITY = 92


@dataclass(frozen=True, slots=True)
class Picture:
    """One held-out picture with its truth, in pixels of the file."""

    data: bytes
    """The JPEG file."""
    labels: tuple[AcceptedLabel, ...]
    """Its objects, and its class where it has one."""
    size: tuple[int, int]
    """Width and height, pixels."""
    masks: tuple[str, ...] = ()
    """COCO run lengths of the objects, where they are known, in the frame of `masks_size`."""
    masks_size: tuple[int, int] = (0, 0)
    """Width and height before the picture was enlarged."""


def photographs() -> list[Picture]:
    """Read the 87 photographs of BCCD that no training has seen."""
    folder = PHOTOGRAPHS.parent
    manifest = build_manifest(str(folder), "bccd", "voc", settings=Settings())
    truth = {one.image_id: tuple(one.labels) for one in manifest.truths}
    rows = [row for row in manifest.images if row["split"] == "val"]
    return [
        Picture((folder / r["path"]).read_bytes(), truth[r["image_id"]], (r["width_px"], r["height_px"])) for r in rows
    ]


def drawn(dataset: str) -> list[Picture]:
    """Read the held-out pictures of the sample."""
    folder = ROOT / "data/sample" / dataset
    truth = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    names = {row["id"]: row["name"] for row in truth["categories"]}
    found = []
    for row in (one for one in truth["images"] if one["split"] == "val"):
        own = [one for one in truth["annotations"] if one["image_id"] == row["id"]]
        labels = [_label(number, names[one["category_id"]], from_xywh(*one["bbox"])) for number, one in enumerate(own)]
        if "land_use" in row:
            labels.append(_label(len(own), row["land_use"], None))
        masks = tuple(one["segmentation"]["counts"] for one in own)
        data = (folder / "images" / row["file_name"]).read_bytes()
        size = (row["width"], row["height"])
        found.append(Picture(data, tuple(labels), size, masks, size))
    return found


def enlarged(pictures: list[Picture], card: ModelCard, scale: int) -> list[Picture]:
    """Enlarge pictures as little as needed for the decoder to take a scale for this card."""
    return [_enlarged(one, card, scale, number) for number, one in enumerate(pictures)]


def figure(card: ModelCard, engine: Engine, pictures: list[Picture], frame: Frame, *, away: bool = False) -> float:
    """Measure a card on pictures: AP50, share of right classes, or mean IoU of masks.

    Args:
        card: The model.
        engine: The model, opened.
        pictures: What to measure on.
        frame: How to decode.
        away: Whether the pixels go through the gate's encoding first.
    """
    items = [_item(one, frame, away=away) for one in pictures]
    if card.task == "segmentation":
        return _mask_iou(card, engine, pictures, items)
    if card.task == "detection":
        results = with_engines(ArmModels(card), {card.id: engine}).prelabel(items)
        pairs = [(r.predictions, p.labels) for r, p in zip(results, pictures, strict=True)]
        return average_precision(pairs)["ap50"]
    raw = engine.forward(ModelInputs(np.stack([engine.preprocess(item.pixels) for item in items])))
    best = raw["logits"].argmax(axis=1)
    right = [_whole(p) == card.classes[index] for p, index in zip(pictures, best.tolist(), strict=True)]
    return float(np.mean(right))


def scale_of(picture: Picture, frame: Frame) -> int:
    """Say at which scale a picture is decoded."""
    pixels, facts = decode_for(picture.data, replace(frame, stretched=False))
    return round(facts.width_px / int(pixels.shape[1]))


def truth_of(card: ModelCard) -> Iterator[tuple[str, list[Picture]]]:
    """Give what a card's figures are measured on."""
    if card.task == "segmentation":
        yield from ((name, drawn(name)) for name in ("smears", "parcels"))
    elif card.ontology == "cells":
        yield "bccd", photographs()
    else:
        yield card.ontology, drawn(card.ontology)


def main() -> None:
    """Print the figures of every shipped card."""
    given = argparse.ArgumentParser(prog="python -m bench.scaled", description=__doc__)
    given.add_argument("--only", nargs="*", default=[], help="model ids; all without it")
    options = given.parse_args()
    print("| model | data | file | scale | full | scaled | change | through the gate, full | scaled | change |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for card in load_catalog(ROOT / "data/sample/models").values():
        if options.only and card.id not in options.only:
            continue
        engine = open_engine(card, load_settings())
        for name, pictures in truth_of(card):
            for scale in SCALES:
                _line(card, engine, name, enlarged(pictures, card, scale))


def _line(card: ModelCard, engine: Engine, name: str, pictures: list[Picture]) -> None:
    full = Frame(card.width_px, card.height_px, scaled=False, stretched=True)
    little = replace(full, scaled=True)
    cells = []
    for away in (False, True):
        before, after = (figure(card, engine, pictures, f, away=away) for f in (full, little))
        cells += [f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}"]
    size = "x".join(map(str, pictures[0].size))
    print(f"| {card.id} | {name} | {size} | 1/{scale_of(pictures[0], little)} | {' | '.join(cells)} |", flush=True)


def _label(number: int, name: str, box: Box | None) -> AcceptedLabel:
    return AcceptedLabel(f"l-{number}", name, box)


def _whole(picture: Picture) -> str:
    return next(label.label for label in picture.labels if label.box is None)


def _enlarged(one: Picture, card: ModelCard, scale: int, seed: int) -> Picture:
    width, height = one.size
    times = max(-(-scale * card.width_px // width), -(-scale * card.height_px // height), 1)
    if times == 1:
        return one
    with Image.open(io.BytesIO(one.data)) as image:
        large = image.convert("RGB").resize((times * width, times * height), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(seed).normal(0.0, _NOISE, (times * height, times * width, 1))
    pixels = np.clip(np.asarray(large) + noise, 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=_QUALITY)
    labels = tuple(replace(x, box=x.box and Box(*(times * edge for edge in x.box.xyxy))) for x in one.labels)
    return replace(one, data=out.getvalue(), labels=labels, size=(times * width, times * height))


def _item(one: Picture, frame: Frame, *, away: bool) -> ImageItem:
    pixels, facts = decode_for(one.data, replace(frame, stretched=frame.stretched and not away))
    if away:
        pixels = decode_payload(encode_payload(pixels))
    return ImageItem(sha256_hex(one.data), pixels, "public", facts.width_px, facts.height_px)


def _mask_iou(card: ModelCard, engine: Engine, pictures: list[Picture], items: list[ImageItem]) -> float:
    met: list[float] = []
    for one, item in zip(pictures, items, strict=True):
        boxes = boxes_to_array([label.box for label in one.labels if label.box])
        prompts = to_model_frame(boxes, one.size, (card.width_px, card.height_px))
        raw = engine.forward(ModelInputs(engine.preprocess(item.pixels)[None], prompts))
        found = read_masks(raw, len(boxes), *one.masks_size)
        met += [_overlap(*pair, one.masks_size) for pair in zip(found, one.masks, strict=True)]
    return float(np.mean(met))


def _overlap(found: str | None, wanted: str, size: tuple[int, int]) -> float:
    width, height = size
    pair: list[Any] = [{"size": [height, width], "counts": text.encode()} for text in (found, wanted) if text]
    return float(coco.iou(pair[:1], pair[1:], [0])[0, 0]) if len(pair) > 1 else 0.0


if __name__ == "__main__":
    main()
