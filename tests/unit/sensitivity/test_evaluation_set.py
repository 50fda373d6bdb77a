"""The drawn evaluation set is found: nearly all that is sensitive stays at home, and little else does."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from labelop.sensitivity.evaluate import judge, needless_share, restricted_recall, scores
from labelop.sensitivity.policy import load_policy
from labelop.sensitivity.signals.looking import Looker

FOLDER = Path("data/sample/sensitivity")


def test_the_set_is_large_and_has_look_alikes() -> None:
    """At least 300 pictures, at least 100 of them clean, and a file for each."""
    rows = json.loads((FOLDER / "labels.json").read_text())
    files = {str(path.relative_to(FOLDER / "images")) for path in (FOLDER / "images").rglob("*") if path.is_file()}
    assert len(rows) >= 300
    assert sum(not row["holds"] for row in rows) >= 100
    assert {row["file"] for row in rows} == files


@pytest.mark.slow
def test_the_signals_keep_their_word() -> None:
    """At least 99 of 100 restricted pictures are restricted, and fewer than 15 of 100 clean ones are kept at home."""
    policy = load_policy(FOLDER / "policy.yaml", today=date(2026, 11, 20))
    with Looker(2, key="00" * 32) as looker:
        judged = judge(FOLDER, policy, looker, threads=2)
    assert restricted_recall(judged) >= 0.99
    assert needless_share(judged, policy) < 0.15
    recall = {one.category: one.recall for one in scores(judged, policy) if one.holding_count}
    # told as it is: cascades miss faces, and what is blurred is often not seen at all
    assert {name for name, share in recall.items() if share is not None and share < 0.8} <= {"text_unreadable"}
