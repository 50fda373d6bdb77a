"""Models and policies come from head office as one signed set, or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml

from labelop.catalog.cards import load_catalog
from labelop.egress.keys import SigningKey, ensure_key, export_public, load_key, rotate_key
from labelop.errors import HeadOfficeUnavailableError, PublishedError
from labelop.landing.store import Store
from labelop.schemas import utc_now
from labelop.sensitivity.policy import load_policy
from labelop.settings import Settings
from labelop.site.place import Site, require_site
from labelop.site.published import current, publish, pull
from labelop.site.published_set import sign_set
from tests.small_sample import SAMPLE
from tests.unit.site.parts import settings_of


@dataclass
class World:
    """A head office that publishes and a site that takes."""

    folder: Path
    office: Settings
    settings: Settings

    @property
    def site(self) -> Site:
        """The site."""
        return require_site(self.settings)

    def publish(self, **policy: object) -> str:
        """Change the policy and publish; gives the set's digest."""
        path = self.office.config / "policy.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | policy))
        return publish(Store(str(self.folder / "head")), self.office).digest

    def rotate(self, grace_seconds: float = 0.0) -> SigningKey:
        """Replace head office's key and tell the site; gives the old one, as its thief has it."""
        stolen = load_key(self.folder / "office-keys")
        rotate_key(self.folder / "office-keys", grace_seconds=grace_seconds)
        export_public(self.folder / "office-keys", self.folder / "public")
        return stolen

    def forge(self, key: SigningKey, issued_ms: int) -> None:
        """Put a set in place of head office's that another key signed, dated at will."""
        path = self.office.config / "policy.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"version": "forged"}))
        found, index = sign_set(self.office.config, self.office.catalog, key, issued_ms)
        there = self.folder / "head/published"
        shutil.copyfile(path, there / next(one.sha256 for one in found.files if one.path == "config/policy.yaml"))
        (there / "index.json").write_bytes(index)

    def in_force_ms(self) -> int:
        """Give the time of the set in force."""
        return int(json.loads((current(self.site) / "index.json").read_bytes())["issued_ms"])

    def pull(self) -> str | None:
        """Take it in at the site."""
        return pull(self.site, self.settings)

    def in_force(self) -> str:
        """Name the version of the policy in force at the site."""
        return load_policy(current(self.site) / "config/policy.yaml").version


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Make keys, the office's own files and a site that knows its public keys."""
    for name in ("config", "models"):
        (tmp_path / "office").mkdir(exist_ok=True)
        shutil.copytree(SAMPLE / name, tmp_path / "office" / name)
    office = settings_of(
        tmp_path,
        config=tmp_path / "office/config",
        catalog=tmp_path / "office/models",
        keys=tmp_path / "office-keys",
        site=None,
    )
    ensure_key(tmp_path / "office-keys")
    export_public(tmp_path / "office-keys", tmp_path / "public")
    return World(tmp_path, office, settings_of(tmp_path, head_keys=tmp_path / "public"))


def test_a_set_is_put_in_force_in_one_step(world: World) -> None:
    """After a pull the site's link has the models and the policy of head office, all digests proved."""
    digest = world.publish(version="two")
    assert world.pull() == digest
    assert world.in_force() == "two"
    assert load_catalog(current(world.site) / "models").keys() == load_catalog(SAMPLE / "models").keys()
    assert world.pull() == digest


def test_a_newer_set_replaces_an_older_one_and_never_the_other_way(world: World) -> None:
    """An old index that somebody puts back is refused, and the newer policy stays in force."""
    world.publish(version="one")
    old = (world.folder / "head/published/index.json").read_bytes()
    world.pull()
    newest = world.publish(version="two")
    assert world.pull() == newest
    (world.folder / "head/published/index.json").write_bytes(old)
    with pytest.raises(PublishedError, match="older"):
        world.pull()
    assert world.in_force() == "two"


def test_a_stolen_key_that_was_replaced_signs_nothing_new(world: World) -> None:
    """Its thief dates his set between the one in force and the retirement; fails where its own time is believed."""
    digest = world.publish(version="one")
    assert world.pull() == digest
    stolen = world.rotate()
    assert world.pull() == digest, "what came before the rotation stays"
    world.forge(stolen, world.in_force_ms() + 1)
    with pytest.raises(PublishedError, match="retired"):
        world.pull()
    assert world.in_force() == "one"
    shutil.rmtree(world.site.folder)
    with pytest.raises(PublishedError, match="retired"):
        world.pull()


def test_behind_a_set_of_a_newer_key_none_of_an_older_one_is_good(world: World) -> None:
    """Not in the time that running work may use the old key either, nor where the clock here was set back.

    And the newer key counts whatever time a thief gave his set; fails where sets are ordered by their own time.
    """
    world.publish(version="one")
    world.pull()
    stolen = world.rotate(grace_seconds=3600)
    ahead_ms = world.in_force_ms() + 1_800_000
    world.forge(stolen, ahead_ms)
    world.pull()
    assert world.in_force() == "forged", "within its grace the key is good"
    newest = world.publish(version="two")
    assert world.pull() == newest
    world.forge(stolen, ahead_ms + 1)
    with pytest.raises(PublishedError, match="older key"):
        world.pull()
    assert world.in_force() == "two"


def test_without_keys_of_head_office_nothing_is_taken(world: World) -> None:
    """Who says nothing about keys keeps what an operator put here."""
    world.publish(version="two")
    world.settings = world.settings.model_copy(update={"head_keys": None})
    assert world.pull() is None
    assert not current(world.site).exists()


def test_a_set_that_somebody_else_signed_is_refused(world: World) -> None:
    """Another key, a changed index and no index of ours: nothing is put in force."""
    world.office = world.office.model_copy(update={"keys": world.folder / "other-keys"})
    world.publish(version="forged")
    with pytest.raises(PublishedError, match="unknown"):
        world.pull()
    index = world.folder / "head/published/index.json"
    for wrong in (index.read_bytes().replace(b"policy", b"polixy"), b"[]", b"{}", b"\xff"):
        index.write_bytes(wrong)
        with pytest.raises(PublishedError):
            world.pull()
    assert not current(world.site).exists()


def test_a_stale_policy_is_neither_published_nor_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy past its date never replaces one, also when it became stale on its way."""
    with pytest.raises(PublishedError, match="valid until"):
        world.publish(valid_until=date(2020, 1, 1))
    tomorrow = date.today() + timedelta(days=1)  # noqa: DTZ011 - only a date that is not over
    world.publish(valid_until=tomorrow, version="short")
    later = utc_now() + timedelta(days=3)
    monkeypatch.setattr("labelop.site.published.utc_now", lambda: later)
    with pytest.raises(PublishedError):
        world.pull()
    assert not current(world.site).exists()


def test_a_policy_that_ends_before_the_operators_own_is_refused(world: World) -> None:
    """The first set must not put an older policy in the place of the one that is in force here."""
    world.publish(valid_until=date.today() + timedelta(days=2))  # noqa: DTZ011 - only a date that is not over
    with pytest.raises(PublishedError, match="older"):
        world.pull()


def test_wrong_bytes_are_thrown_away(world: World) -> None:
    """A model that comes with other bytes than its signed digest is refused, and nothing is put in force."""
    world.publish(version="two")
    for file in (world.folder / "head/published").iterdir():
        if file.stat().st_size > 20_000:
            file.write_bytes(b"x" * file.stat().st_size)
    with pytest.raises(PublishedError, match="other bytes"):
        world.pull()
    assert not current(world.site).exists()


def test_a_pull_that_was_cut_off_goes_on_where_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has come is not brought again, and until all is there the old set stays in force."""
    world.publish(version="one")
    world.pull()
    world.publish(version="two")
    hidden = world.folder / "hidden"
    gone = max((world.folder / "head/published").iterdir(), key=lambda path: path.stat().st_size)
    gone.rename(hidden)
    with pytest.raises(HeadOfficeUnavailableError):
        world.pull()
    assert world.in_force() == "one"
    [unfinished] = (world.site.folder / "sets").glob("*.part")
    came = {path for path in unfinished.rglob("*") if path.is_file()}
    assert came
    hidden.rename(gone)
    brought: list[str] = []
    real = shutil.copyfile

    def copyfile(source: Path, target: Path) -> None:
        brought.append(str(target))
        real(source, target)

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    world.pull()
    assert world.in_force() == "two"
    assert brought
    assert not set(brought) & {str(path) for path in came}


@pytest.mark.parametrize("step", range(6))
def test_a_death_at_any_rename_leaves_one_whole_set(world: World, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Killed at any step of putting it in force: the old set or the new one is in force, and the next pull ends it."""
    world.publish(version="one")
    world.pull()
    newest = world.publish(version="two")
    left = step

    class Killed(BaseException):
        pass

    def dying(name: str) -> None:
        real = getattr(os, name)

        def call(*args: object, **more: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return real(*args, **more)

        monkeypatch.setattr(os, name, call)

    for name in ("rename", "replace", "symlink"):
        dying(name)
    with contextlib.suppress(Killed):
        world.pull()
    monkeypatch.undo()
    assert world.in_force() in {"one", "two"}
    assert world.pull() == newest
    assert world.in_force() == "two"
