from __future__ import annotations

from pathlib import Path

import pytest

from labelop.errors import SettingsError
from labelop.landing.address import open_store
from labelop.settings import load_settings


def test_a_folder_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A relative folder names the same place after the process has changed its folder."""
    monkeypatch.chdir(tmp_path)
    store = open_store(load_settings(store="tables"))
    assert store.root == str(tmp_path / "tables")
    assert store.is_local
    assert store.storage_options == {}


def test_an_object_store_gets_its_options() -> None:
    """An S3 store carries endpoint, region, credentials and the conditional put, and shows no secret."""
    settings = load_settings(
        store="s3://bucket/prefix/", s3_endpoint="http://127.0.0.1:9", s3_key="key", s3_secret="hush"
    )
    store = open_store(settings)
    assert store.uri("images") == "s3://bucket/prefix/images"
    assert not store.is_local
    assert store.storage_options == {
        "AWS_REGION": "us-east-1",
        "AWS_CONDITIONAL_PUT": "etag",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "hush",
    }
    assert "hush" not in repr(store)


def test_a_plain_connection_needs_a_plain_endpoint() -> None:
    """Without an http:// endpoint nothing goes out unencrypted."""
    encrypted = open_store(load_settings(store="s3://bucket", s3_endpoint="https://store.example"))
    assert encrypted.storage_options["AWS_ALLOW_HTTP"] == "false"
    assert "AWS_ALLOW_HTTP" not in open_store(load_settings(store="s3://bucket")).storage_options


@pytest.mark.parametrize("root", ["gs://bucket", "ftp://x/y", "", "s3://", "a%20b", "a[1]", "a\\b", "a\nb"])
def test_an_unsafe_root_is_refused(root: str) -> None:
    """An address that the table library would misread is refused before anything is written."""
    with pytest.raises(SettingsError, match="LABELOP_STORE"):
        open_store(load_settings(store=root))
