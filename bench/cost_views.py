"""How long every question of the report takes over many predictions, against a raw scan and sum of the same files.

Each size runs in a process of its own (`python -m bench.cost_views PREDICTIONS FOLDER`), so that its memory is its own.
The raw scan of a question is that of every table it reads, found by name in its SQL and in that of its views: DuckDB's
own reader, flat columns and labels, summed by image or review (`_RAW`). Boxes of drafts are left out, as no question
reads them. Every question is asked in a session of its own, so that it pays alone for what questions share; `whole
report` asks all in one session. Approvals are given, as `labelop.review.gate` checks them once a session.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from bench.cost_rows import DRAWN, draw
from bench.measure import peak_mib
from bench.photos import ROOT
from bench.ratios import Table, Target
from labelop import schemas
from labelop.cost.prices import load_prices, price_rows
from labelop.landing.rows import rows_to_table
from labelop.queries import open_tables, run_query, sql_root
from labelop.report.forms import FORMS
from labelop.report.results import EXTRA_QUERIES
from labelop.views import Session

_QUESTIONS = tuple(dict.fromkeys([*(form.query for form in FORMS), *EXTRA_QUERIES]))
_ROUNDS = 3
_WHOLE = "whole report"
_MOST = 3
"""Raw scans that an answer may take."""

_RAW = {
    "images": "SELECT max(n) FROM (SELECT image_id, max(outcome) AS a, count(*) AS n FROM files GROUP BY ALL)",
    "levels": "SELECT max(n) FROM (SELECT image_id, max(level) AS a, count(*) AS n FROM files GROUP BY ALL)",
    "prelabels": "SELECT max(n) FROM (SELECT arm, image_id, max(outcome) AS a, count(*) AS n FROM files GROUP BY ALL)",
    "edits": "SELECT max(a) FROM (SELECT review_id, op, sum(model_seconds) AS a FROM files GROUP BY ALL)",
    "reviews": """SELECT max(a + n) FROM (
        SELECT arm, image_id, sum(active_seconds) AS a, sum(len(labels)) AS n FROM files GROUP BY ALL)""",
    "usage": "SELECT max(a) FROM (SELECT arm, run_id, sum(wall_seconds) AS a FROM files GROUP BY ALL)",
    "batches": "SELECT max(n) FROM (SELECT arm, sum(len(image_ids)) AS n FROM files GROUP BY ALL)",
    "runs": "SELECT max(landed_at) FROM files",
}
"""The least that a table costs who asks about its images; tables that are not here are empty."""


def cost_table(sizes: tuple[int, ...]) -> Table:
    """Run every size once, each in a fresh process."""
    rates: dict[str, tuple[float, ...]] = {"raw scan": (1.0,) * _ROUNDS}
    notes, targets = [], []
    for count in sizes:
        with tempfile.TemporaryDirectory(prefix="labelop-cost-") as folder:
            done = subprocess.run(
                [sys.executable, "-m", "bench.cost_views", str(count), folder],
                cwd=ROOT, check=True, capture_output=True, text=True,
            )  # fmt: skip
        found = json.loads(done.stdout.splitlines()[-1])
        cases = {f"{count:,}: {name}": tuple(rounds) for name, rounds in found["rates"].items()}
        rates |= cases
        slowest = min(cases.keys() - {f"{count:,}: {_WHOLE}"}, key=lambda case: statistics.median(cases[case]))
        targets.append(Target(slowest, "raw scan", 1 / _MOST, f"slowest of {count:,} within {_MOST} raw scans"))
        seconds = ", ".join(f"{name} {taken:.2f}" for name, taken in found["seconds"].items())
        notes.append(
            f"{count:,} predictions, made in {found['made_seconds']:.0f} s: at most {found['peak_mib']:,.0f} MiB. "
            f"Seconds: {seconds}."
        )
    rows = tuple(targets), tuple(notes)
    return Table("cost_views", "Questions of the report", "answers a raw scan", "raw scan", rates, *rows)


def run(count: int, folder: Path) -> dict[str, Any]:
    """Make the files, then time raw scans and questions in turn.

    Returns:
        By question the answers in the time of its raw scan, round by round, and median seconds; MiB at most.
    """
    start = time.perf_counter()
    approvals = draw(folder, count // 10)
    made_seconds = time.perf_counter() - start
    scans = {name: partial(_scan, duckdb.connect(), folder / name, text) for name, text in _RAW.items()}
    cases = {**{name: (name,) for name in _QUESTIONS}, _WHOLE: _QUESTIONS}
    bare = _session(folder, approvals)
    # a question that reads empty tables only has nothing to be compared with
    reads = {case: found for case, questions in cases.items() if (found := _tables(bare, questions))}
    rates, seconds = defaultdict(list), defaultdict(list)
    for _ in range(_ROUNDS):
        raw = {name: _timed(scan) for name, scan in scans.items()}
        seconds["raw scan of all"].append(sum(raw.values()))
        for case, tables in reads.items():
            session = _session(folder, approvals)
            taken = sum(_timed(partial(run_query, session, name)) for name in cases[case])
            seconds[case].append(taken)
            rates[case].append(sum(raw[name] for name in tables) / taken)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    return {"rates": rates, "seconds": medians, "made_seconds": made_seconds, "peak_mib": peak_mib()}


def _session(folder: Path, approvals: pa.Table) -> Session:
    tables: dict[str, Any] = {name: table.schema.empty_table() for name, table in schemas.TABLES.items()}
    for name in DRAWN:
        tables[name] = ds.dataset(folder / name, schema=schemas.table(name).schema)
    book = load_prices(ROOT / "data/sample/config/prices.yaml")
    tables["prices"] = rows_to_table("prices", price_rows(book, "r"))
    session = open_tables(tables, files={name: [str(path) for path in (folder / name).iterdir()] for name in DRAWN})
    session.register("approvals", approvals)
    return session


def _tables(session: Session, questions: tuple[str, ...]) -> set[str]:
    """Name the drawn tables that questions read, through however many views."""
    views = dict(session.execute("SELECT view_name, sql FROM duckdb_views() WHERE NOT internal").fetchall())
    waiting = [(sql_root() / "queries" / f"{name}.sql").read_text(encoding="utf-8") for name in questions]
    words: set[str] = set()
    while waiting:
        fresh = set(re.findall(r"\w+", re.sub(r"--[^\n]*", "", waiting.pop()))) - words
        words |= fresh
        waiting += [views[name] for name in fresh if name in views]
    return words & _RAW.keys()


def _scan(database: duckdb.DuckDBPyConnection, folder: Path, text: str) -> object:
    database.read_parquet(f"{folder}/*.parquet").create_view("files")
    return database.execute(text).fetchall()


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]), Path(sys.argv[2]))))
