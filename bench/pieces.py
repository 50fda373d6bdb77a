"""The parts beside the model: decoding, landing and matching, each against what else one would write."""

from __future__ import annotations

import contextlib
import io
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bench.engines import CORES, cycle, fast_decode, pillow_decode
from bench.measure import Work, measure
from bench.photos import photos
from bench.ratios import Table, Target
from labelop import schemas
from labelop.effort.script import edit_script
from labelop.geometry import Box, iou_matrix
from labelop.ingest.decode import decode
from labelop.labels import AcceptedLabel, Prediction
from labelop.landing.rows import rows_to_table
from labelop.landing.store import Store, land
from labelop.schemas import utc_now

_TARGET_PX = (224, 224)
_IMAGES, _BOXES = 2000, 20
_WANTED = 1_000_000
_MATCHED_IMAGES, _MATCHED_BOXES = 200, 10


def decode_table(size: str, folder: Path, rounds: int, seconds: float) -> Table:
    """Measure decoding JPEGs of one size to a 224 px input."""
    paths = photos(size, folder)

    def simplejpeg_full(path: Path) -> Any:
        import simplejpeg  # noqa: PLC0415 - an extra of its own

        return simplejpeg.decode_jpeg(path.read_bytes())

    def pillow(path: Path) -> Any:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))

    def pillow_stretched(path: Path) -> Any:
        with Image.open(path) as image:
            return np.asarray(image.resize(_TARGET_PX, Image.Resampling.BILINEAR))

    def ours(path: Path) -> Any:
        return decode(path.read_bytes())

    single = {
        "Pillow, all pixels": pillow,
        "simplejpeg, all pixels": simplejpeg_full,
        "ours, all pixels (checked, turned upright)": ours,
        "Pillow + stretch": pillow_stretched,
        "Pillow scaled + stretch": lambda path: pillow_decode(path, _TARGET_PX),
        "simplejpeg scaled + stretch": lambda path: fast_decode(path, _TARGET_PX),
    }
    cases = {f"{name}, 1 thread": _one_by_one(step, paths) for name, step in single.items()}
    reference = "Pillow, all pixels, 1 thread"
    for name in ("ours, all pixels (checked, turned upright)", "simplejpeg scaled + stretch"):
        cases[f"{name}, {CORES} threads"] = _pooled(single[name], paths)
    title = f"Decoding JPEG, {size}"
    return Table(f"decode-{size}", title, "images/s", reference, measure(cases, rounds, seconds, 8))


def _one_by_one(step: Any, paths: list[Path]) -> Work:
    def work(count: int) -> None:
        for path in cycle(paths, count):
            step(path)

    return work


def _pooled(step: Any, paths: list[Path]) -> Work:
    def work(count: int) -> None:
        with ThreadPoolExecutor(CORES) as pool:
            for _ in pool.map(step, cycle(paths, count)):
                pass

    return work


def landing_table(folder: Path, rounds: int, seconds: float) -> Table:
    """Measure predictions per second from what a worker holds to a committed table or a written file."""
    columns = _columns()
    rows = _rows(columns)
    place = folder / "landing"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    number = iter(range(1 << 30))

    def each(step: Any) -> Work:
        total = _IMAGES * _BOXES

        def work(count: int) -> None:
            for _ in range(count // total):
                step()

        return work

    def commit(table: Any) -> None:
        land(Store(str(place / "store")), "prelabels", table, f"b-{next(number)}")

    def frame() -> None:
        flat = {name: values for name, values in columns.items() if len(values) == _IMAGES * _BOXES}
        pd.DataFrame(flat).to_parquet(place / "pandas.parquet", compression="zstd")

    ready = _arrow(columns)
    cases = {
        "list of dicts -> Arrow -> Parquet": each(
            lambda: pq.write_table(pa.Table.from_pylist(rows), place / "rows.parquet", compression="zstd")
        ),
        "pandas -> Parquet (no commit)": each(frame),
        "ours, rows -> committed table": each(lambda: commit(rows_to_table("prelabels", rows))),
        "ours, arrays -> committed table": each(lambda: commit(_arrow(columns))),
        "Arrow ready -> one Parquet file, zstd (no commit)": each(
            lambda: pq.write_table(
                ready, place / "ready.parquet", compression="zstd", compression_level=3, use_dictionary=["worker"]
            )
        ),
    }
    rates = measure(cases, rounds, seconds, _IMAGES * _BOXES)
    reference = next(iter(cases))
    wanted = f"wanted: {_WANTED:,} predictions/s"
    rates[wanted] = (float(_WANTED),) * rounds
    target = Target("ours, arrays -> committed table", wanted, 1.0, "share of the wanted rate")
    return Table(
        "landing",
        f"Landing, {_IMAGES:,} images with {_BOXES} predictions a commit",
        "predictions/s",
        reference,
        rates,
        (target,),
        notes=(
            (
                "Arrays: numpy columns of a whole commit, nested per image without a Python object per row. Prediction "
                "ids and class names are lists of strings that a worker has made before; making them is not in it."
            ),
        ),
    )


def _columns() -> dict[str, Any]:
    draw = np.random.default_rng(3)
    total = _IMAGES * _BOXES
    corner = np.round(draw.uniform(0, 400, (total, 2)), 2)
    side = np.round(draw.uniform(10, 200, (total, 2)), 2)
    return {
        "prediction_id": [f"p-{value:020x}" for value in draw.integers(0, 1 << 62, total)],
        "label": draw.choice(["RBC", "WBC", "Platelets"], total).tolist(),
        "score": np.round(draw.uniform(0.05, 1, total), 6),
        "draft": draw.uniform(size=total) > 0.5,
        "x0_px": corner[:, 0],
        "y0_px": corner[:, 1],
        "x1_px": corner[:, 0] + side[:, 0],
        "y1_px": corner[:, 1] + side[:, 1],
        "image_id": [f"{value:064x}" for value in range(_IMAGES)],
    }


_SHARED = {
    "dataset": "bench",
    "dataset_version": "v-1",
    "run_id": "r-1",
    "batch_id": "b-1",
    "arm": "local",
    "role": "chosen",
    "placement": "onprem",
    "worker": "host:1",
    "model_id": "cells-small",
    "model_digest": "0" * 64,
    "engine": "graph",
    "outcome": "ok",
    "reason": None,
    "width_px": 640,
    "height_px": 480,
    "policy_digest": "1" * 64,
    "simulated": False,
}


def _rows(columns: dict[str, Any]) -> list[dict[str, Any]]:
    fields = [field.name for field in schemas.table("prelabels").schema.field("predictions").type.value_type]
    plain = {name: np.asarray(values).tolist() for name, values in columns.items()}
    none = [None] * (_IMAGES * _BOXES)
    flat = [
        dict(zip(fields, values, strict=True)) for values in zip(*(plain.get(f, none) for f in fields), strict=True)
    ]
    return [
        _SHARED
        | {
            "image_id": image_id,
            "predictions": flat[i * _BOXES : (i + 1) * _BOXES],
            "landed_at": utc_now(),
        }
        for i, image_id in enumerate(columns["image_id"])
    ]


def _arrow(columns: dict[str, Any]) -> pa.Table:
    schema = schemas.table("prelabels").schema
    kind = schema.field("predictions").type
    total = _IMAGES * _BOXES
    parts = [
        pa.array(columns[f.name], type=f.type) if f.name in columns else pa.nulls(total, f.type)
        for f in kind.value_type
    ]
    offsets = pa.array(np.arange(0, total + 1, _BOXES, dtype=np.int32))
    nested = pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(parts, fields=list(kind.value_type)))
    special = {
        "image_id": pa.array(columns["image_id"]),
        "predictions": nested.cast(kind),
        "landed_at": pa.repeat(pa.scalar(utc_now(), schema.field("landed_at").type), _IMAGES),
    }
    arrays = [
        special[f.name] if f.name in special else pa.repeat(pa.scalar(_SHARED[f.name], f.type), _IMAGES) for f in schema
    ]
    return pa.table(arrays, schema=schema)


def matching_table(rounds: int, seconds: float) -> Table:
    """Measure images per second of telling what a reviewer changed, 10 boxes an image."""
    draw = np.random.default_rng(5)
    corner = draw.uniform(0, 500, (_MATCHED_IMAGES, _MATCHED_BOXES, 2))
    before = np.concatenate([corner, corner + draw.uniform(20, 90, corner.shape)], axis=2)
    after = before + draw.normal(0, 3, before.shape)
    pairs = [
        (
            [Prediction(f"p-{i}-{k}", "RBC", 0.9, True, Box(*map(float, box))) for k, box in enumerate(before[i])],
            [AcceptedLabel(f"l-{i}-{k}", "RBC", Box(*map(float, box))) for k, box in enumerate(after[i])],
        )
        for i in range(_MATCHED_IMAGES)
    ]

    def ours(count: int) -> None:
        for i in range(count):
            edit_script(*pairs[i % _MATCHED_IMAGES])

    def loop(count: int) -> None:
        from scipy.optimize import linear_sum_assignment  # noqa: PLC0415

        for i in range(count):
            linear_sum_assignment(-iou_matrix(before[i % _MATCHED_IMAGES], after[i % _MATCHED_IMAGES]))

    cases: dict[str, Work] = {
        "pycocotools evaluate, one threshold": _coco(before, after),
        "numpy IoU + scipy assignment, pairs only": loop,
        "ours, whole edit scripts": ours,
    }
    return Table(
        "matching",
        f"Matching drafts with corrected boxes, {_MATCHED_BOXES} an image",
        "images/s",
        "pycocotools evaluate, one threshold",
        measure(cases, rounds, seconds, _MATCHED_IMAGES),
        notes=("An edit script is more than pairs: it holds operations, drags and seconds of each object.",),
    )


def _coco(before: Any, after: Any) -> Work:
    from pycocotools.coco import COCO  # noqa: PLC0415
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

    def records(boxes: Any) -> list[dict[str, Any]]:
        found = []
        for i in range(_MATCHED_IMAGES):
            for x0, y0, x1, y1 in boxes[i]:
                box = [float(x0), float(y0), float(x1 - x0), float(y1 - y0)]
                found.append({"id": len(found) + 1, "image_id": i, "category_id": 1, "bbox": box, "score": 0.9})
                found[-1] |= {"area": box[2] * box[3], "iscrowd": 0}
        return found

    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for boxes in (after, before):
            side = COCO()
            images = [{"id": i} for i in range(_MATCHED_IMAGES)]
            side.dataset = {"images": images, "annotations": records(boxes), "categories": [{"id": 1, "name": "RBC"}]}
            side.createIndex()
            sides.append(side)

    def work(count: int) -> None:
        for _ in range(count // _MATCHED_IMAGES):
            with contextlib.redirect_stdout(io.StringIO()):
                evaluation = COCOeval(*sides, "bbox")
                evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0.0, 1e10]], ["all"]
                evaluation.params.maxDets, evaluation.params.iouThrs = [100], np.array([0.5])
                evaluation.evaluate()

    return work
