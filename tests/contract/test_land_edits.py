"""Edits of a review land once, whoever lands them at the same time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from labelop.effort import ledger
from labelop.effort.ledger import land_edits
from labelop.landing.store import read_rows
from labelop.review.label_studio import export_tasks, import_reviews
from tests.unit.review_rows import annotated, filled_store, written


def test_two_at_once_land_the_edits_of_a_review_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull and a night that end at once each compute the edits of the reviews they see; each is landed once.

    Fails where the key of the rows was of those rows: the second had seen one review more, and the others were doubled.
    """
    store = filled_store(tmp_path / "store")
    records = [annotated(task) for task in export_tasks(store, "cells")]
    import_reviews(store, written(tmp_path / "a.json", records[:2]), "cells", "run-a")
    real, landed = ledger.edit_rows, []

    def first_the_other(*given: Any, **named: Any) -> list[dict[str, Any]]:
        monkeypatch.setattr(ledger, "edit_rows", real)
        import_reviews(store, written(tmp_path / "b.json", records), "cells", "run-b")
        landed.append(land_edits(store, "run-b", dataset="cells"))
        return real(*given, **named)

    monkeypatch.setattr(ledger, "edit_rows", first_the_other)
    landed.append(land_edits(store, "run-a"))
    assert landed == [9, 0]
    assert Counter((row["review_id"], row["edit_id"]) for row in read_rows(store, "edits")).most_common(1)[0][1] == 1
