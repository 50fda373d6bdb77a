"""A label set: the accepted labels of a dataset, frozen in files that say what they are and who approved them.

The same tables give the same bytes, a set is named by its content and never written over another. Takes labels through
the door of `gate` only, and checks them once more against what was approved. Knows no format but its own manifest's.
"""

from __future__ import annotations

import io
import secrets
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from labelop.egress.keys import sync_folder, write_durably
from labelop.errors import ReviewError
from labelop.ids import canonical_json, row_id, sha256_hex
from labelop.landing.filters import equal
from labelop.landing.store import Store, land, read, read_rows
from labelop.queries import open_session, run_query
from labelop.review.content import COLUMNS, content_digests
from labelop.review.label_set_coco import coco_document
from labelop.roles import Roles
from labelop.runs import current_version
from labelop.schemas import LABEL, utc_now

MANIFEST = "manifest.json"
"""Written last; names every other file with its digest."""
COCO_FILE, IMAGES_FILE, LABELS_FILE = "labels.coco.json", "images.parquet", "labels.parquet"

_IMAGES = pa.schema(
    [
        ("image_id", pa.string()),
        ("path", pa.string()),
        ("width_px", pa.int64()),
        ("height_px", pa.int64()),
        ("review_id", pa.string()),
        ("arm", pa.string()),
        ("model_id", pa.string()),
        ("reviewer", pa.string()),
        ("labels_count", pa.int64()),
        ("content_digest", pa.string()),
        ("approved_by", pa.string()),
        ("role", pa.string()),
        ("approved_at", pa.timestamp("us", tz="UTC")),
        ("simulated", pa.bool_()),
    ]
)
_LABELS = pa.schema([("image_id", pa.string()), ("review_id", pa.string()), *LABEL])


@dataclass(frozen=True, slots=True)
class LabelSet:
    """What was written."""

    label_set_id: str
    """Names the set by its content."""
    folder: str
    """Where it lies."""
    images_count: int
    """Images with accepted labels; one may have none, which was accepted too."""
    labels_count: int
    """Labels of them."""
    left_out_count: int
    """Images of the dataset version that are not in it."""


def write_label_set(
    store: Store, dataset: str, folder: Path, *, by: str, roles: Roles, run_id: str, with_simulated: bool = False
) -> LabelSet:
    """Write the accepted labels of a dataset's current version into a new folder.

    Args:
        store: Where they are.
        dataset: Dataset name.
        folder: Must not exist, or be empty, or hold this very set. What it will hold appears at once or not at all.
        by: Who releases it.
        roles: The roles in force.
        run_id: Run that lists it in `label_sets`.
        with_simulated: Take reviews that no person made; the manifest says so.

    Raises:
        RoleError: The person may not release.
        ReviewError: Nothing was accepted, labels are not what was approved, or the folder holds something else.
    """
    roles.require(by, "release")
    version = current_version(store, dataset)
    rows, left_out = chosen_reviews(store, dataset, version, roles, with_simulated=with_simulated)
    if not rows:
        raise ReviewError(
            f"Nothing of {dataset} {version} may be released: {canonical_json(left_out)} images are left out.",
            hint="`labelop review state` says where reviews stand.",
        )
    labels = accepted_labels(store, rows)
    files = {
        COCO_FILE: coco_document(dataset, version, rows, labels),
        IMAGES_FILE: _parquet([{name: row[name] for name in _IMAGES.names} for row in rows], _IMAGES),
        LABELS_FILE: _parquet([
            {"image_id": row["image_id"], "review_id": row["review_id"], **label}
            for row in rows
            for label in labels[row["review_id"]]
        ], _LABELS),
    }  # fmt: skip
    manifest = _manifest(store, dataset, version, rows, labels, files, left_out, by, with_simulated=with_simulated)
    result = LabelSet(
        manifest["label_set_id"], str(folder), len(rows), manifest["labels_count"], sum(left_out.values())
    )
    text = (canonical_json(manifest) + "\n").encode()
    _put(folder, {**files, MANIFEST: text})
    listed = {name: value for name, value in asdict(result).items() if name != "folder"} | {
        "dataset": dataset, "dataset_version": version, "manifest_digest": sha256_hex(text), "released_by": by,
        "simulated": manifest["simulated"], "run_id": run_id, "landed_at": utc_now(),
    }  # fmt: skip
    land(store, "label_sets", [listed], key=f"label_set:{result.label_set_id}")
    return result


def chosen_reviews(
    store: Store, dataset: str, version: str, roles: Roles, *, with_simulated: bool
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Give what may be released, one row per image in order of its id, and why other images are left out."""
    where = equal(dataset=dataset, dataset_version=version, outcome="ok")
    known: dict[str, dict[str, Any]] = {}
    images = read_rows(store, "images", columns=["image_id", "path", "width_px", "height_px"], filters=where)
    for image in sorted(images, key=lambda one: str(one["path"])):
        known.setdefault(image["image_id"], image)
    accepted = run_query(open_session(store), "accepted_reviews", {"dataset": dataset}).to_pylist()
    chosen, left_out = [], Counter[str]()
    for row in accepted:
        if row["dataset_version"] != version or row["image_id"] not in known:
            continue  # counted below as not reviewed
        if row["simulated"] and not with_simulated:
            left_out["simulated"] += 1
        elif roles.approver(dataset) == "lead" and row["role"] != "lead":
            left_out["needs_lead"] += 1
        else:
            chosen.append(row | known[row["image_id"]])
    unreviewed = len(known) - len(chosen) - sum(left_out.values())
    return chosen, dict(left_out) | ({"not_accepted": unreviewed} if unreviewed else {})


def accepted_labels(store: Store, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Read the labels of reviews, and check that they are the ones that were approved."""
    wanted = {row["review_id"]: row["content_digest"] for row in rows}
    where = pc.field("review_id").isin(pa.array(wanted, pa.string()))
    reviews = read(store, "reviews", columns=[*COLUMNS], filters=where)
    found = list(zip(reviews.column("review_id").to_pylist(), content_digests(reviews), strict=True))
    if sorted(found) != sorted(wanted.items()):
        raise ReviewError(
            f"Labels of {rows[0]['dataset']} are not what was approved any more.",
            hint="Somebody else writes these tables; look who, and try again.",
        )
    return dict(zip(reviews.column("review_id").to_pylist(), reviews.column("labels").to_pylist(), strict=True))


def _manifest(  # noqa: PLR0917 - what the manifest is made of
    store: Store,
    dataset: str,
    version: str,
    rows: Sequence[Mapping[str, Any]],
    labels: Mapping[str, Sequence[Mapping[str, Any]]],
    files: Mapping[str, bytes],
    left_out: Mapping[str, int],
    by: str,
    *,
    with_simulated: bool,
) -> dict[str, Any]:
    where = equal(dataset=dataset, dataset_version=version)
    columns = ["batch_id", "model_id", "model_digest", "policy_digest"]
    prelabels = read(store, "prelabels", columns=columns, filters=where).group_by(columns).aggregate([]).to_pylist()
    used = [row for row in prelabels if row["batch_id"] in {one["batch_id"] for one in rows}]
    classes = Counter(label["label"] for row in rows for label in labels[row["review_id"]])
    said = {
        "schema": 1,
        "dataset": dataset,
        "dataset_version": version,
        "filters": {"accepted": True, "seeded": False, "simulated": None if with_simulated else False},
        "simulated": any(row["simulated"] for row in rows),
        "images_count": len(rows),
        "labels_count": sum(classes.values()),
        "labels_by_class": dict(sorted(classes.items())),
        "left_out": dict(sorted(left_out.items())),
        "approved": [
            {"by": name, "role": role, "images_count": count}
            for (name, role), count in sorted(Counter((r["approved_by"], r["role"]) for r in rows).items())
        ],
        "models": sorted({(row["model_id"], row["model_digest"]) for row in used}),
        "policy_digests": sorted({row["policy_digest"] for row in used if row["policy_digest"]}),
        "files": {name: {"sha256": sha256_hex(data), "size_bytes": len(data)} for name, data in sorted(files.items())},
        "released_by": by,
    }
    return {"label_set_id": row_id("ls", said), **said}


def _parquet(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), out, compression="zstd")
    return out.getvalue()


def _put(folder: Path, files: Mapping[str, bytes]) -> None:
    """Let a folder appear with all its files, or find that it holds them already."""
    if folder.is_dir() and (there := sorted(path.name for path in folder.iterdir())):
        same = there == sorted(files) and all((folder / name).read_bytes() == data for name, data in files.items())
        if not same:
            raise ReviewError(
                f"{folder} holds something else.", hint="A release is never written over; name a new folder."
            )
        return
    fresh = folder.parent / f".{folder.name}.{secrets.token_hex(8)}"
    try:
        fresh.mkdir(parents=True)
        for name, data in files.items():
            write_durably(fresh / name, data, mode=0o644)
        sync_folder(fresh)
        fresh.replace(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise ReviewError(f"The label set cannot be written to {folder}: {error.strerror}.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
