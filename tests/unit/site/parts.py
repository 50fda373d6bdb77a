"""A site and a head office on this disk, as small as they can be."""

from __future__ import annotations

from pathlib import Path

from labelop.landing.store import Store, read_rows
from labelop.settings import Settings, load_settings
from labelop.site.place import Site, require_site
from tests.small_sample import SAMPLE


def settings_of(folder: Path, **more: object) -> Settings:
    """Make the settings of a site `north` with its head office beside it."""
    (folder / "head").mkdir(exist_ok=True)
    given: dict[str, object] = {"store": str(folder / "store"), "site": "north", "head_store": str(folder / "head")}
    return load_settings(**{**given, "config": SAMPLE / "config", "catalog": SAMPLE / "models", **more})


def site_of(folder: Path, **more: object) -> Site:
    """Open that site."""
    return require_site(settings_of(folder, **more))


def head_rows(site: Site, name: str) -> list[dict[str, object]]:
    """Read a table of head office."""
    assert site.head is not None
    return read_rows(Store(site.head.root, site.head.storage_options), name)
