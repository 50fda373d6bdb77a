"""The vault: opens only for the same dataset, purpose and image, and never again once the key is shredded."""

from __future__ import annotations

from pathlib import Path

import pytest

from labelop.egress.vault import Vault
from labelop.errors import KeysError, SealedDataError

IMAGE = "i" * 64


def test_what_was_sealed_opens_again(tmp_path: Path) -> None:
    """Another process with the same key folder opens it; equal bytes seal differently each time."""
    sealed = Vault(tmp_path).seal("night", b"pixels", purpose="spool", image_id=IMAGE)
    assert b"pixels" not in sealed
    assert Vault(tmp_path).open("night", sealed, purpose="spool", image_id=IMAGE) == b"pixels"
    assert Vault(tmp_path).seal("night", b"pixels", purpose="spool", image_id=IMAGE) != sealed


@pytest.mark.parametrize(
    "changes", [{"purpose": "embedding"}, {"image_id": "j" * 64}, {"dataset": "day"}], ids=lambda c: next(iter(c))
)
def test_it_opens_for_nothing_else(tmp_path: Path, changes: dict[str, str]) -> None:
    """Sealed bytes cannot be put in the place of others."""
    vault = Vault(tmp_path)
    vault.seal("day", b"", purpose="spool")
    asked = {"dataset": "night", "purpose": "spool", "image_id": IMAGE}
    sealed = vault.seal("night", b"pixels", purpose="spool", image_id=IMAGE)
    asked |= changes
    with pytest.raises(SealedDataError):
        vault.open(asked["dataset"], sealed, purpose=asked["purpose"], image_id=asked["image_id"])


def test_no_flipped_bit_opens(tmp_path: Path) -> None:
    """Every bit of what was sealed is under the seal."""
    vault = Vault(tmp_path)
    sealed = vault.seal("night", b"pixels", purpose="spool")
    for place in range(len(sealed)):
        flipped = bytearray(sealed)
        flipped[place] ^= 1
        with pytest.raises(SealedDataError):
            vault.open("night", bytes(flipped), purpose="spool")
    with pytest.raises(SealedDataError, match="cut short"):
        vault.open("night", sealed[:20], purpose="spool")


def test_a_shredded_key_takes_its_dataset_along_and_no_other(tmp_path: Path) -> None:
    """After shredding nothing of the dataset opens, also not under a key made later."""
    vault = Vault(tmp_path)
    sealed = vault.seal("night", b"pixels", purpose="spool")
    other = vault.seal("day", b"pixels", purpose="spool")
    assert vault.datasets_count() == 2
    assert vault.shred("night")
    assert not vault.shred("night")
    with pytest.raises(SealedDataError, match="key of the dataset is gone"):
        vault.open("night", sealed, purpose="spool")
    vault.seal("night", b"new", purpose="spool")
    with pytest.raises(SealedDataError, match="another purpose, image or key"):
        vault.open("night", sealed, purpose="spool")
    assert vault.open("day", other, purpose="spool") == b"pixels"


def test_key_files_are_narrow_and_say_no_name(tmp_path: Path) -> None:
    """Mode 0600, named by a digest; one that others can read is refused."""
    vault = Vault(tmp_path)
    sealed = vault.seal("patients-of-dr-a", b"", purpose="spool")
    (file,) = (tmp_path / "vault").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert "patients" not in file.name
    file.chmod(0o644)
    with pytest.raises(KeysError, match="0600"):
        vault.open("patients-of-dr-a", sealed, purpose="spool")
