"""Keys: made once, readable by their owner only, and replaced without stopping work that runs."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from labelop.egress.keys import (
    MOST_GRACE_SECONDS,
    SigningKey,
    ensure_key,
    export_public,
    init_keys,
    load_key,
    open_keyring,
    public_folder,
    rotate_key,
)
from labelop.egress.public_keys import SUFFIX, Keyring
from labelop.errors import KeysError


def later() -> int:
    """Give a moment after every grace that these tests use, milliseconds since 1970."""
    return time.time_ns() // 1_000_000 + 1000


def test_the_first_use_makes_a_key_and_the_second_finds_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The same key comes back; the log says that it was made, and never what it is."""
    with caplog.at_level("INFO"):
        made = ensure_key(tmp_path / "keys")
    assert made.key_id in caplog.text
    assert ensure_key(tmp_path / "keys").key_id == load_key(tmp_path / "keys").key_id == made.key_id
    secret = (tmp_path / "keys/release.key.pem").read_text().splitlines()[1]
    assert secret not in caplog.text


def test_modes_are_narrow_from_the_start(tmp_path: Path) -> None:
    """Folder 0700, private key 0600, and only the public half may be read by others."""
    key = init_keys(tmp_path / "keys")
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "keys/release.key.pem").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in public_folder(tmp_path / "keys").iterdir()] == [f"{key.key_id}{SUFFIX}"]
    assert not [p for p in (tmp_path / "keys").iterdir() if p.name.endswith(".tmp")]


def _wide_file(folder: Path) -> None:
    (folder / "release.key.pem").chmod(0o640)


def _wide_folder(folder: Path) -> None:
    folder.chmod(0o750)


def _writable_public(folder: Path) -> None:
    public_folder(folder).chmod(0o777)


def _no_key(folder: Path) -> None:
    (folder / "release.key.pem").unlink()


def _rubbish(folder: Path) -> None:
    (folder / "release.key.pem").write_text("rubbish")


def _link(folder: Path) -> None:
    (folder / "release.key.pem").rename(folder / "other.pem")
    (folder / "release.key.pem").symlink_to(folder / "other.pem")


def _no_public(folder: Path) -> None:
    for path in public_folder(folder).iterdir():
        path.unlink()


def _swapped_public(folder: Path) -> None:
    path = next(public_folder(folder).iterdir())
    path.write_text(path.read_text().replace('"public_key":"', '"public_key":"00')[:-4] + "}\n")


@pytest.mark.parametrize(
    "spoil", [_wide_file, _wide_folder, _writable_public, _no_key, _rubbish, _link, _no_public, _swapped_public]
)
def test_a_key_that_is_not_safe_is_refused(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """Whatever is wrong where the key lies stops the start with a hint or a reason, and no key is shown."""
    init_keys(tmp_path / "keys")
    spoil(tmp_path / "keys")
    with pytest.raises(KeysError) as caught:
        load_key(tmp_path / "keys")
    assert "PRIVATE" not in str(caught.value)


def test_a_foreign_owner_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that another user owns is not ours to use."""
    init_keys(tmp_path / "keys")
    monkeypatch.setattr("labelop.egress.keys.os.geteuid", lambda: 12345)
    with pytest.raises(KeysError, match="belongs to user"):
        load_key(tmp_path / "keys")


def test_init_does_not_replace(tmp_path: Path) -> None:
    """A second init is refused and leaves the key."""
    made = init_keys(tmp_path / "keys")
    with pytest.raises(KeysError, match="has a key already"):
        init_keys(tmp_path / "keys")
    assert load_key(tmp_path / "keys").key_id == made.key_id


def test_a_rotation_keeps_the_old_public_key_until_its_date(tmp_path: Path) -> None:
    """Running work still verifies within the grace; what is signed later with the old key does not."""
    folder = tmp_path / "keys"
    old = init_keys(folder)
    keyring = open_keyring(folder)
    new = rotate_key(folder, grace_seconds=3600)
    now = later()
    assert load_key(folder).key_id == new.key_id != old.key_id
    # the keyring was opened before: a far end needs no restart
    assert keyring.find(old.key_id, now) is not None
    assert keyring.find(old.key_id, now + 3_600_000) is None
    assert keyring.find(new.key_id, now + 3_600_000) is not None
    assert [key.key_id for key in keyring.all() if key.retired_ms is None] == [new.key_id]
    rotate_key(folder, grace_seconds=0)
    assert keyring.find(new.key_id, now) is None


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e300, -1, MOST_GRACE_SECONDS + 1])
def test_a_time_that_is_none_replaces_nothing(tmp_path: Path, seconds: float) -> None:
    """A grace without an end, or in the past, is refused before a key is touched; it was a traceback, or for good."""
    folder = tmp_path / "keys"
    old = init_keys(folder)
    with pytest.raises(KeysError, match="expected 0 to"):
        rotate_key(folder, grace_seconds=seconds)
    assert load_key(folder).key_id == old.key_id


def test_a_rotation_shortens_the_time_of_keys_before_it(tmp_path: Path) -> None:
    """After a leak no key is good any more, also not one whose own grace was still running."""
    folder = tmp_path / "keys"
    old = init_keys(folder)
    rotate_key(folder, grace_seconds=3600)
    rotate_key(folder, grace_seconds=0)
    assert open_keyring(folder).find(old.key_id, later()) is None


def test_a_rotation_leaves_no_private_key_behind(tmp_path: Path) -> None:
    """The old private key is in no file of the folder afterwards."""
    folder = tmp_path / "keys"
    init_keys(folder)
    old = (folder / "release.key.pem").read_bytes()
    rotate_key(folder)
    assert all(old != path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert sorted(p.name for p in folder.iterdir()) == [".lock", "public", "release.key.pem"]


def test_only_public_keys_are_exported(tmp_path: Path) -> None:
    """A far end's folder has every public key, the retired too, nothing private, and no key that is not known here."""
    folder, target = tmp_path / "keys", tmp_path / "far"
    init_keys(folder)
    rotate_key(folder)
    export_public(folder, target)
    (target / f"k-{'0' * 32}{SUFFIX}").write_text("{}")
    assert len(export_public(folder, target)) == 2
    files = list(target.iterdir())
    assert len(files) == 2
    assert not any(b"PRIVATE" in path.read_bytes() for path in files)
    assert {key.key_id for key in Keyring(folder=target).all()} == {key.key_id for key in open_keyring(folder).all()}


def test_a_key_says_nothing_of_itself() -> None:
    """A signing key shows its id only, and cannot be sent to another process."""
    key = SigningKey.generate()
    assert repr(key) == f"SigningKey({key.key_id})"
    with pytest.raises(TypeError):
        pickle.dumps(key)
