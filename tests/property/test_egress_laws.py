"""Laws of the way out: nothing restricted is ever sent, and nothing is sent without an earlier line."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from labelop.egress.audit import AuditLog, verify
from labelop.egress.far_end import FarEnd
from labelop.egress.gate import Gate, Released, ReleaseRequest
from labelop.egress.keys import SigningKey
from labelop.egress.public_keys import Keyring
from labelop.sensitivity.levels import LEVEL_TEXTS, Level

PIXELS = np.full((8, 8, 3), 100, dtype=np.uint8)
KEY = SigningKey.generate()

faults = st.sampled_from([None, ValueError("x"), KeyError("x"), TypeError("x"), ZeroDivisionError(), MemoryError()])
levels = st.sampled_from([*LEVEL_TEXTS, "", "RESTRICTED", " public", "publik", None, float("nan"), 0, b"public"])
placements = st.frozensets(st.sampled_from(["onprem", "cloud", "CLOUD", ""]))
answers = st.one_of(placements, faults, st.just("cloud"), st.floats(), st.none(), st.just(["cloud"]))


class Random:
    """A policy with any answers; what it says of restricted never names the cloud, which its form guarantees."""

    digest = "r" * 64

    def __init__(self, says: dict[Level, Any]) -> None:
        self.says = says | {Level.RESTRICTED: frozenset({"onprem"})}

    def allowed_placements(self, level: Level) -> Any:
        """Answer, or raise."""
        said = self.says[level]
        if isinstance(said, Exception):
            raise said
        return said


policies = st.builds(Random, st.fixed_dictionaries(dict.fromkeys(Level, answers)))


@settings(max_examples=150, deadline=None)
@given(
    nights=st.lists(
        st.tuples(policies, st.lists(levels, min_size=1, max_size=4), st.sampled_from(["cloud", "onprem", "moon"])),
        min_size=1,
        max_size=3,
    )
)
def test_what_is_sent_was_allowed_first_and_is_never_restricted(nights: list[tuple[Random, list[Any], str]]) -> None:
    """Over any levels, policies and faults: sent and restricted are disjoint, and each send has its allow line."""
    with tempfile.TemporaryDirectory() as folder:
        log = AuditLog(Path(folder) / "audit.jsonl")
        far_end = FarEnd(Keyring([KEY.public]), "cloud")
        sent: list[tuple[str, str, Any]] = []
        number = 0
        for policy, asked, placement in nights:
            requests = []
            for level in asked:
                number += 1
                requests.append(ReleaseRequest(PIXELS, f"{number:064d}", level))
            for request, made in zip(
                requests, Gate(policy, log, placement, key=KEY).release_many(requests, "run"), strict=True
            ):
                if isinstance(made, Released) and made.placement == "cloud":
                    lines = [json.loads(line)["record"] for line in log.path.read_text().splitlines()]
                    said = far_end.check(made.payload, made.token)
                    assert any(
                        line["answer"] == "allow" and line["nonce"] == said.nonce and line["image_id"] == made.image_id
                        for line in lines
                        if line["answer"] == "allow"
                    )
                    sent.append((made.image_id, said.level, request.level))
        assert all(level == asked and level in LEVEL_TEXTS and level != "restricted" for _, level, asked in sent)
        assert verify(log.path).lines_count == number


@settings(max_examples=100, deadline=None)
@given(says=answers, level=st.sampled_from(LEVEL_TEXTS))
def test_only_a_set_that_names_the_placement_lets_out(says: Any, level: str) -> None:
    """Whatever else a policy answers is a refusal, and the answer is always one or the other."""
    policy = Random(dict.fromkeys(Level, says))
    with tempfile.TemporaryDirectory() as folder:
        gate = Gate(policy, AuditLog(Path(folder) / "audit.jsonl"), "cloud")
        (made,) = gate.release_many([ReleaseRequest(PIXELS, "i", level)], "run")
    expected = level != "restricted" and isinstance(says, frozenset) and "cloud" in says
    assert isinstance(made, Released) == expected
