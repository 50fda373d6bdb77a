"""The far end: takes images with a good release, refuses all others, and forgets nothing too early."""

from __future__ import annotations

import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import pytest

from labelop.egress.audit import AuditLog
from labelop.egress.far_end import FarEnd, add_options, open_far_end
from labelop.egress.gate import USES, Gate
from labelop.egress.keys import SigningKey, export_public, init_keys, load_key
from labelop.egress.public_keys import Keyring
from labelop.errors import KeysError, ReleaseRefusedError
from tests.unit.egress.egress_values import NOW, Policy, ring
from tests.unit.engines.models import picture

KEY = SigningKey.generate()


def release(folder: Path, placement: str = "cloud", key: SigningKey | None = KEY) -> tuple[bytes, str]:
    """Release one picture; gives payload and token."""
    gate = Gate(Policy(internal={"cloud", "onprem"}), AuditLog(folder / "a.jsonl"), placement, key=key)
    made = gate.release(picture(), "i" * 64, "internal", "run-1")
    return made.payload, made.token


def test_a_release_is_admitted_as_pixels(tmp_path: Path) -> None:
    """What the gate let out arrives as an image of the same size."""
    far_end = FarEnd(ring(KEY), "cloud", run_id="run-1", policy_digest="p" * 64)
    pixels = far_end.admit(*release(tmp_path))
    assert pixels.shape == picture().shape
    assert np.abs(pixels.astype(int) - picture()).mean() < 3
    assert far_end.counts == {"ADMITTED": 1}


def test_refusals_are_counted_and_logged_without_pixels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each refusal has its code in counts and log; neither holds bytes of the image or the token."""
    far_end = FarEnd(ring(KEY), "cloud")
    payload, token = release(tmp_path)
    for bytes_, said in ((payload + b"x", token), (payload, "rubbish"), (payload, release(tmp_path, "onprem")[1])):
        with pytest.raises(ReleaseRefusedError):
            far_end.admit(bytes_, said)
    assert far_end.counts == {"OTHER_BYTES": 1, "MALFORMED": 1, "OTHER_PLACEMENT": 1}
    assert "OTHER_BYTES" in caplog.text
    assert token not in caplog.text


def test_a_gate_without_the_far_ends_key_gets_nothing_in(tmp_path: Path) -> None:
    """A gate that was given no key signs with one that nobody knows."""
    with pytest.raises(ReleaseRefusedError) as caught:
        FarEnd(ring(KEY), "cloud").admit(*release(tmp_path, key=None))
    assert caught.value.code == "UNKNOWN_KEY"


def test_one_release_is_good_for_its_passes_and_no_more(tmp_path: Path) -> None:
    """An image goes to each model with the same release; after its uses it is a replay."""
    far_end = FarEnd(ring(KEY), "cloud")
    payload, token = release(tmp_path)
    for _ in range(USES):
        far_end.check(payload, token)
    with pytest.raises(ReleaseRefusedError) as caught:
        far_end.check(payload, token)
    assert caught.value.code == "REPLAYED"


def test_an_expired_release_is_refused(tmp_path: Path) -> None:
    """Time of the far end decides."""
    payload, token = release(tmp_path)
    with pytest.raises(ReleaseRefusedError) as caught:
        FarEnd(ring(KEY), "cloud", clock=lambda: 2 * NOW).check(payload, token)
    assert caught.value.code == "EXPIRED"


def test_every_image_needs_its_own_release(tmp_path: Path) -> None:
    """A request with fewer releases than images is refused whole, and so is one with tokens exchanged."""
    far_end = FarEnd(ring(KEY), "cloud")
    payload, token = release(tmp_path)
    with pytest.raises(ReleaseRefusedError):
        far_end.check_all([payload, payload], [token.encode()])
    with pytest.raises(ReleaseRefusedError):
        far_end.check_all([payload], [b"\xff" + token.encode()])
    far_end.check_all([payload], [token.encode()])


def test_a_far_end_without_keys_does_not_start(tmp_path: Path) -> None:
    """Forgotten keys are told at the start, not by every image; a folder others write to is refused."""
    with pytest.raises(KeysError, match="cannot be read"):
        FarEnd(tmp_path / "none", "cloud")
    with pytest.raises(KeysError, match="No public key"):
        FarEnd(Keyring(), "cloud")
    init_keys(tmp_path / "keys")
    export_public(tmp_path / "keys", tmp_path / "far")
    FarEnd(tmp_path / "far", "cloud")
    (tmp_path / "far").chmod(0o777)
    with pytest.raises(KeysError, match="others may write"):
        FarEnd(tmp_path / "far", "cloud")


def test_a_server_is_held_to_the_run_and_policy_it_was_given(tmp_path: Path) -> None:
    """`--run` and `--policy` reach the check; without public keys they would hold nothing, which is an error."""
    parser = ArgumentParser()
    add_options(parser)
    init_keys(tmp_path / "keys")
    export_public(tmp_path / "keys", tmp_path / "far")
    key = load_key(tmp_path / "keys")
    payload, token = release(tmp_path, key=key)
    for words, code in (([], ""), (["--run", "run-2"], "OTHER_RUN"), (["--policy", "q" * 64], "OTHER_POLICY")):
        given = parser.parse_args(words)
        far_end = open_far_end(tmp_path / "far", given)
        assert far_end is not None
        if not code:
            assert far_end.check(payload, token).run_id == "run-1"
            assert open_far_end(None, given) is None
            continue
        with pytest.raises(ReleaseRefusedError) as caught:
            far_end.check(payload, token)
        assert caught.value.code == code
        with pytest.raises(KeysError, match="no run and no policy"):
            open_far_end(None, given)


def test_importing_it_loads_no_private_half() -> None:
    """A process that only checks releases has neither gate nor signing code in memory."""
    loaded = "import sys, labelop.egress.far_end; print([m for m in sys.modules if m.startswith('labelop.')])"
    said = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout
    assert "labelop.egress.far_end" in said
    assert not [name for name in ("egress.gate", "egress.keys'", "egress.audit", "sensitivity") if name in said]
