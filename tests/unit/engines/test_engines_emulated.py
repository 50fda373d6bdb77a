"""Which cloud is emulated: the routing policy says so, and this machine always is."""

from __future__ import annotations

from pathlib import Path

import pytest

from labelop.egress.audit import AuditLog
from labelop.egress.gate import Gate
from labelop.engines.prelabeller import ArmModels, open_cloud
from labelop.sensitivity.policy import load_policy
from labelop.settings import Settings
from tests.unit.engines.models import detector

CONFIG = Path(__file__).resolve().parents[3] / "data/sample/config"


@pytest.mark.parametrize(
    ("address", "emulated", "simulated"),
    [
        ("https://models.example:443", True, True),
        ("https://models.example:443", False, False),
        ("http://127.0.0.1:1", True, True),
        ("http://127.0.0.1:1", False, True),
    ],
)
def test_the_routing_policy_says_what_is_emulated(
    tmp_path: Path, address: str, emulated: bool, simulated: bool
) -> None:
    """Pages must say when the cloud was emulated, on whatever host; on this machine even when the policy forgot it."""
    door = Gate(load_policy(CONFIG / "policy.yaml"), AuditLog(tmp_path / "audit.jsonl"), "cloud")
    cloud = open_cloud(ArmModels(detector(tmp_path)), Settings(), door, address, simulated=emulated)
    assert cloud.simulated is simulated
    cloud.close()
