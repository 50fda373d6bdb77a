"""Between the audit line and the send a process may die at any instruction: no send without an earlier durable line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from labelop.egress.audit import verify

ROUNDS = 1000

_SCRIPT = """
import os, random, sys
from pathlib import Path
import numpy as np
from labelop.egress.audit import AuditLog
from labelop.egress.gate import Gate, Released, ReleaseRequest
from labelop.egress.keys import SigningKey

folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
log, sent = folder / "audit.jsonl", os.open(folder / "sent", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
key, pixels = SigningKey.generate(), np.full((8, 8, 3), 90, np.uint8)
synced = folder / "synced"
real_write, real_fsync = os.write, os.fsync

class Policy:
    digest = "p" * 64
    def allowed_placements(self, level):
        return frozenset({"cloud"})

def child(seed):
    chance = random.Random(seed)
    death = chance.randrange(6)
    def write(file, data):
        if file == sent:
            return real_write(file, data)
        if death == 0:
            os._exit(1)  # before the line
        if death == 1:
            real_write(file, data[: chance.randrange(len(data))])
            os._exit(1)  # inside the line
        return real_write(file, data)
    def fsync(file):
        if death == 2:
            os._exit(1)  # the line is written, and not durable
        real_fsync(file)
        if os.fstat(file).st_ino == log.stat().st_ino:
            synced.write_text(str(os.fstat(file).st_size))
    os.write, os.fsync = write, fsync
    gate = Gate(Policy(), AuditLog(log), "cloud", key=key)
    for answer in gate.release_many([ReleaseRequest(pixels, "i", "public")] * 2, f"run-{seed}"):
        if death == 3:
            os._exit(1)  # durable, and not sent
        if isinstance(answer, Released):
            real_write(sent, answer.name.removesuffix(".jpg").encode() + b"\\n")
        if death == 4:
            os._exit(1)  # half of the batch was sent

for seed in range(rounds):
    pid = os.fork()
    if pid == 0:
        child(seed)
        os._exit(0)
    os.waitpid(pid, 0)
    # the power goes as well: what was not synced is lost
    if log.exists():
        os.truncate(log, int(synced.read_text()) if synced.exists() else 0)
"""


@pytest.mark.slow
def test_no_send_without_an_earlier_durable_line(tmp_path: Path) -> None:
    """Killed 1,000 times, unsynced lines lost each time: what was sent has its line, and the chain is whole."""
    subprocess.run([sys.executable, "-c", _SCRIPT, str(tmp_path), str(ROUNDS)], check=True, timeout=250)
    records = [json.loads(line)["record"] for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    allowed = {record["nonce"] for record in records if record.get("answer") == "allow"}
    sent = (tmp_path / "sent").read_text().split()
    assert len(sent) > ROUNDS / 4
    assert len(allowed) > len(sent)
    assert set(sent) <= allowed
    assert verify(tmp_path / "audit.jsonl").cause == ""
