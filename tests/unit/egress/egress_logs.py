"""Audit logs with signed heads for the tests: log, heads and what is remembered of them in three folders."""

from __future__ import annotations

from pathlib import Path

from labelop.egress.audit import AuditLog, Verification, verify
from labelop.egress.heads import SignedHeads, heads_file, memory_file, recall
from labelop.egress.heads_check import read_heads
from labelop.egress.keys import SigningKey
from labelop.egress.public_keys import Keyring
from tests.unit.egress.egress_values import ring

KEY = SigningKey.generate()
MINUTE_MS = 60_000


def log(folder: Path, key: SigningKey = KEY, *, every_lines: int = 4) -> AuditLog:
    """Open a log whose heads lie in another folder, and are remembered in a third."""
    path = folder / "audit.jsonl"
    file = heads_file(folder / "heads", path)
    heads = SignedHeads(file, key, every_lines=every_lines, memory=memory_file(folder / "keys", file))
    return AuditLog(path, heads=heads)


def filled(folder: Path, lines: int = 10, key: SigningKey = KEY) -> Path:
    """Write a log of some lines and close it."""
    made = log(folder, key)
    for number in range(lines):
        made.append({"event": "release", "image_id": f"{number:064d}", "run_id": f"run-{number % 2}"})
    made.close()
    return made.path


def examined(path: Path, keyring: Keyring | None = None) -> Verification:
    """Check a log against its heads."""
    file = heads_file(path.parent / "heads", path)
    remembered = recall(memory_file(path.parent / "keys", file))
    return verify(path, heads=read_heads(file, keyring or ring(KEY), remembered=remembered))
