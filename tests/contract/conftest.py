"""Places where a store can be: what every suite about stores runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labelop.landing.store import Store, open_store
from labelop.settings import load_settings
from tests.faults.proxy import BUCKET, s3_server


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Run an S3-compatible server with one bucket on loopback."""
    with s3_server() as address:
        yield address


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Give an empty store of each kind."""
    if request.param == "folder":
        return open_store(load_settings(store=str(tmp_path / "a b ü #1")))
    return open_store(
        load_settings(
            store=f"s3://{BUCKET}/{tmp_path.name}/a b",
            s3_endpoint=request.getfixturevalue("endpoint"),
            s3_key="key",
            s3_secret="secret",
        )
    )
