"""What signals saw, kept by image and signal version: the dear part of classifying is done once.

Only runs that ended well are used again; what went wrong is written down and tried again. Knows tables and no policy:
the level of an observation is the policy's word each time.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow.compute as pc

from labelop.ids import digest_of
from labelop.landing.store import Store, land, read_rows
from labelop.schemas import utc_now
from labelop.sensitivity.signals.base import Finding, Observation, Region, SignalResult, from_json
from labelop.sensitivity.signals.looking import NOTE_SIGNALS, Look, Looker

_EDGES = ("x0_px", "y0_px", "x1_px", "y1_px")


class ResultCache:
    """Results of earlier runs, and those of this one. Safe to use from several threads.

    Args:
        store: Where they are kept.
        looker: Runs a signal that is not there yet. What notes say is not kept: reading them again costs less.
        image_ids: Images whose pixels will be asked for.
    """

    def __init__(self, store: Store, looker: Looker, image_ids: Sequence[str]) -> None:
        self._store = store
        self._looker = looker
        self._lock = threading.Lock()
        self._new: dict[tuple[str, str], SignalResult] = {}
        self._known: dict[tuple[str, str, str], SignalResult] = {}
        if image_ids:
            wanted = pc.field("image_id").isin(image_ids) & (pc.field("outcome") == "ok")
            for row in read_rows(store, "signal_results", filters=wanted):
                seen = tuple(_observation(one) for one in row["observations"])
                result = SignalResult(row["signal"], row["signal_version"], "ok", seen)
                self._known[row["image_id"], result.signal, result.signal_version] = result

    def look_at(self, image_id: str) -> Look:
        """Give the way to look at one image."""
        looker = self._looker

        def look(signal: str, data: bytes) -> SignalResult:
            if signal in NOTE_SIGNALS:
                return looker.look(signal, data)
            known = self._known.get((image_id, signal, looker.versions[signal]))
            if known is not None:
                return known
            result = looker.look(signal, data)
            with self._lock:
                self._new[image_id, signal] = result
            return result

        return look

    def land_new(self, run_id: str) -> None:
        """Land what this run saw, in one commit."""
        rows = [
            {
                "image_id": image_id,
                "signal": result.signal,
                "signal_version": result.signal_version,
                "outcome": result.outcome,
                "reason": result.reason,
                "observations": [_row(one) for one in result.observations],
                "run_id": run_id,
                "landed_at": utc_now(),
            }
            for (image_id, _), result in sorted(self._new.items())
        ]
        if rows:
            named = [[row[name] for name in ("image_id", "signal", "signal_version", "outcome")] for row in rows]
            land(self._store, "signal_results", rows, f"signals:{digest_of(named)}")


def finding_rows(findings: Iterable[Finding]) -> Iterator[dict[str, Any]]:
    """Write findings as columns, numbered among those of one signal and category."""
    counts: Counter[tuple[str, str]] = Counter()
    for found in findings:
        yield {
            "signal": found.signal,
            "signal_version": found.signal_version,
            "category": found.category,
            "position": counts[found.signal, found.category],
            "level": found.level.text,
            "evidence": found.evidence,
            **_edges(found.region),
            "score": found.score,
            "token": found.token,
        }
        counts[found.signal, found.category] += 1


def region_of(row: dict[str, Any]) -> Region | None:
    """Read the region of a row; None where it has none."""
    if row["x0_px"] is None:
        return None
    return row["x0_px"], row["y0_px"], row["x1_px"], row["y1_px"]


def _edges(region: Region | None) -> dict[str, float | None]:
    return dict(zip(_EDGES, region or (None,) * len(_EDGES), strict=True))


def _row(one: Observation) -> dict[str, Any]:
    return {
        "category": one.category,
        "evidence": one.evidence,
        **_edges(one.region),
        "score": one.score,
        "token": one.token,
    }


def _observation(row: dict[str, Any]) -> Observation:
    return from_json([{**row, "region": region_of(row)}])[0]
