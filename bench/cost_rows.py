"""Draw the tables of a store of any size with DuckDB, straight into Parquet; the rows are plausible and mean nothing.

Ids are as long and as different as real ones, as they are most of what a query reads. Knows no query.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from labelop import schemas
from labelop.review.gate import APPROVALS
from labelop.views import conformed

_TASK = """
    CREATE TABLE task AS
    SELECT
        i AS number, sha256(i::VARCHAR) AS image_id, 'd' AS dataset, sha256('v') AS dataset_version, arm, placement,
        role, 'm-' || arm AS model_id, 'r' AS run_id, sha256(arm || i // 256) AS batch_id, md5(arm || i) AS review_id,
        false AS simulated, now() AS landed_at, sha256('policy') AS policy_digest
    FROM range($images) AS images (i)
    CROSS JOIN (
        VALUES ('local', 'onprem', 'chosen', 1), ('cloud', 'cloud', 'compare', 5)
    ) AS arms (arm, placement, role, every)
    WHERE i % every = 0
"""
"""Every image has a draft of the local arm and a review of it, every fifth of the cloud's too; ten boxes each."""

_MACROS = """
    CREATE MACRO drawn(a, b) AS hash(a, b) / 18446744073709551616.0;
    CREATE MACRO class_of(a, b) AS ['RBC', 'WBC', 'Platelets'][1 + (hash(a, b, 1) % 3)::INT];
"""

DRAWN = {
    "images": """
        SELECT *, image_id || '.jpg' AS path, 'ok' AS outcome, 50000 AS size_bytes, 'train' AS split
        FROM task WHERE arm = 'local'""",
    "levels": """
        SELECT *, 'public' AS level, sha256('nothing') AS findings_digest
        FROM task WHERE arm = 'local'""",
    "prelabels": """
        SELECT *, 'ok' AS outcome, list_transform(range(10), lambda k: {
            prediction_id: 'p' || k, label: class_of(number, k), score: drawn(number, k), draft: true,
            x0_px: drawn(number, k) * 50, y0_px: drawn(k, number) * 50, x1_px: 60.0, y1_px: 60.0}) AS predictions
        FROM task""",
    "reviews": """
        SELECT *, 'approved' AS decision, 'measured' AS effort_source,
            exp(3 + 2 * drawn(number, arm)) AS active_seconds, landed_at AS submitted_at,
            list_transform(range(10), lambda k: {
                label_id: 'l' || k, prediction_id: 'p' || k, label: class_of(number, k),
                x0_px: drawn(number, k) * 50, y0_px: drawn(k, number) * 50, x1_px: 60.0, y1_px: 60.0}) AS labels
        FROM task""",
    "edits": """
        SELECT *, md5(review_id || k) AS edit_id, 'p' || k AS prediction_id, 'l' || k AS label_id,
            class_of(number, k) AS predicted_label, class_of(k, number) AS accepted_label,
            ['accept', 'accept', 'accept', 'adjust', 'relabel', 'delete', 'add'][1 + (hash(number, k) % 7)::INT] AS op,
            drawn(number, k) AS score, drawn(k, number) AS iou, 10 * drawn(number, k) AS model_seconds,
            12.5 AS scratch_seconds, 'literature-1' AS parameter_set, true AS lineage, false AS redrawn
        FROM task CROSS JOIN range(10) AS objects (k)""",
    "batches": """
        SELECT
            dataset, dataset_version, arm, placement, role, batch_id, 'p' AS plan_id,
            list(image_id ORDER BY number) AS image_ids
        FROM task GROUP BY ALL""",
    "usage": """
        SELECT
            dataset, dataset_version, arm, placement, role, batch_id, run_id, model_id, simulated,
            'a' || batch_id AS attempt_id, count(*) AS images_count, 20.0 AS wall_seconds, 15.0 AS infer_seconds,
            15.0 AS detector_seconds, 10000000 AS sent_bytes, 1000000 AS received_bytes, count(*) AS requests_count,
            'finished' AS outcome, max(landed_at) AS started_at
        FROM task GROUP BY ALL""",
    "runs": """
        SELECT *, 'p' AS plan_id
        FROM task CROSS JOIN (VALUES ('ingested'), ('planned')) AS said (event)
        WHERE number = 0 AND arm = 'local'""",
}
"""Rows by table; what a table has and its rows here lack is null, and the other way it is left out."""


def draw(folder: Path, images: int) -> pa.Table:
    """Write one file a table.

    Args:
        folder: Takes a folder for each table of `DRAWN`; it must have none yet.
        images: How many; each has ten drafts of the local arm, every fifth ten of the cloud's too.

    Returns:
        Approvals of all reviews.
    """
    # rows are written as they come, so that drawing needs less memory than what is measured afterwards
    database = duckdb.connect(
        config={"memory_limit": "2GiB", "preserve_insertion_order": "false", "temp_directory": f"{folder}/spilled"}
    )
    database.execute("SET enable_progress_bar = false")
    database.execute(_MACROS)
    database.execute(_TASK, {"images": images})
    for name, rows in DRAWN.items():
        (folder / name).mkdir(parents=True)
        rows_as_told = conformed(database, database.sql(rows), schemas.table(name).schema)
        rows_as_told.write_parquet(f"{folder}/{name}/0.parquet", compression="zstd")
    approved = database.sql("SELECT review_id, 'approved' AS state FROM task")
    return conformed(database, approved, APPROVALS).to_arrow_table()
