"""What tests in a browser share: one Chromium, and one review server whose root holds photographs of the sample."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.label_studio import ROOT, Started, label_studio

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SAMPLE = ROOT / "data" / "sample"
SMEARS = 50


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the system's Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine; on Debian: apt-get install chromium")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - needed only where there is a browser

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Start the server once; below its document root are smears in `photos` and parcels in `parcels`."""
    folder = tmp_path_factory.mktemp("review-server")
    photos = folder / "root" / "photos"
    photos.mkdir(parents=True)
    for path in sorted((SAMPLE / "smears" / "images").iterdir())[:SMEARS]:
        shutil.copy(path, photos)
    shutil.copytree(SAMPLE / "parcels" / "images", folder / "root" / "parcels")
    with label_studio(folder / "server", folder / "root") as started:
        yield started
