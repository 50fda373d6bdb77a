"""Keys that were replaced or stolen: a head is judged by its place, whatever time it claims."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from labelop.egress.audit import AuditLog, entries
from labelop.egress.heads import SignedHeads, heads_file
from labelop.egress.heads_check import HeadsFault, read_heads
from labelop.egress.keys import SigningKey
from labelop.egress.public_keys import Keyring
from labelop.egress.set_up import open_gate, replace_key, verify_log
from labelop.settings import Settings
from tests.unit.egress.egress_logs import KEY, MINUTE_MS, examined, filled, log
from tests.unit.egress.egress_values import Policy, ring


def stolen(log_file: Path, key: SigningKey, at: datetime, *, anew: bool) -> None:
    """Do what a thief of a key can who writes log and heads: add a line, or make all anew, with heads of any time."""
    file = heads_file(log_file.parent / "heads", log_file)
    records = [] if not anew else [json.loads(line)["record"] for line in log_file.read_text().splitlines()][:-1]
    if anew:
        log_file.unlink()
        file.unlink()
    forged = AuditLog(log_file, heads=SignedHeads(file, key), clock=lambda: at)
    forged.append_many([*records, {"event": "release", "image_id": "f" * 64}])
    forged.close()


def rotated(folder: Path) -> tuple[Path, SigningKey, Keyring, datetime]:
    """Write a log whose key was replaced half way; the log, the old key, both public halves, a time before that."""
    new = SigningKey.generate()
    new.created_ms = KEY.created_ms + MINUTE_MS
    before = datetime.fromtimestamp(KEY.created_ms / 1000, UTC)
    filled(folder, 5)
    return filled(folder, 5, new), KEY, ring(KEY, new), before


@pytest.mark.parametrize("anew", [False, True])
def test_a_key_that_was_replaced_vouches_for_nothing_more(tmp_path: Path, anew: bool) -> None:
    """Its thief may claim any time, and was believed when he claimed one before the rotation; now the place counts."""
    path, old, keyring, before = rotated(tmp_path)
    assert examined(path, keyring).cause == ""
    stolen(path, old, before, anew=anew)
    assert examined(path, keyring).cause == "head-forged"


def test_a_copy_of_the_heads_suffices_to_see_a_replaced_key(tmp_path: Path) -> None:
    """Where nothing is remembered, a head of an old key behind one of a newer is refused by its place alone."""
    path, old, keyring, before = rotated(tmp_path)
    stolen(path, old, before, anew=False)
    found = read_heads(heads_file(tmp_path / "heads", path), keyring)
    assert isinstance(found, HeadsFault)
    assert "had replaced before it" in found.problem


def test_the_place_counts_also_when_the_clock_was_ahead(tmp_path: Path) -> None:
    """Heads of a log that lives in the future stay good after a rotation; by their time they were called forged."""
    path = tmp_path / "audit.jsonl"
    file = heads_file(tmp_path / "heads", path)
    ahead = datetime.now(UTC) + timedelta(days=400)
    AuditLog(path, heads=SignedHeads(file, KEY), clock=lambda: ahead).append({"event": "release"})
    assert examined(path, ring(KEY, retired_ms=KEY.created_ms + MINUTE_MS)).cause == ""


def test_a_head_put_behind_is_seen_for_good(tmp_path: Path) -> None:
    """Even one of the key in use, signed by somebody else than the log's writers, is not the one that is remembered."""
    path = filled(tmp_path)
    stolen(path, KEY, datetime.now(UTC), anew=False)
    assert examined(path).cause == "head-forged"
    made = log(tmp_path)
    made.append({"event": "release"})
    made.close()
    assert examined(path).cause == "head-forged"


def test_work_that_began_before_a_rotation_signs_no_heads_behind_it(tmp_path: Path) -> None:
    """Its lines are vouched for by the new key's next head, and the log stays whole."""
    settings = Settings(store=str(tmp_path / "store"))
    running = open_gate(Policy(), settings, "cloud")
    running.audit.append({"event": "release"})
    new = replace_key(settings, 3600.0)
    running.audit.append({"event": "release"})
    running.close()
    found = verify_log(settings)
    assert (found.cause, found.lines_count, found.vouched_count) == ("", 3, 2)
    open_gate(Policy(), settings, "cloud").close()
    assert verify_log(settings).vouched_count == 3
    [line] = [one for one in entries(settings.audit_path) if one["event"] == "key_rotated"]
    assert (line["line"], line["key_id"]) == (2, new.key_id)
