"""Settings: from the environment, overridden by arguments, and never silent about a wrong value."""

from __future__ import annotations

from pathlib import Path

import pytest

from labelop.errors import SettingsError
from labelop.settings import load_settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORE", "AUDIT", "ENGINE_THREADS", "S3_SECRET", "DATA_DOCS", "REPORT", "CLOUD_URL"):
        monkeypatch.delenv(f"LABELOP_{name}", raising=False)


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command is told counts; what it is not told comes from the environment."""
    monkeypatch.setenv("LABELOP_STORE", "from-environment")
    assert load_settings(store="told").store == "told"
    assert load_settings(store=None).store == "from-environment"


def test_a_wrong_value_names_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which variable, what it holds, and where to look."""
    monkeypatch.setenv("LABELOP_ENGINE_THREADS", "many")
    with pytest.raises(SettingsError, match=r"LABELOP_ENGINE_THREADS has the value 'many'.*labelop doctor"):
        load_settings()


@pytest.mark.parametrize("count", ["0", "100000"])
def test_a_number_of_threads_that_no_machine_has_is_refused(monkeypatch: pytest.MonkeyPatch, count: str) -> None:
    """A slip of the finger ends in one message and not in as many threads; the large one was taken before."""
    monkeypatch.setenv("LABELOP_ENGINE_THREADS", count)
    with pytest.raises(SettingsError, match=f"LABELOP_ENGINE_THREADS has the value '{count}': Input should be"):
        load_settings()


def test_local_files_lie_beside_a_local_store() -> None:
    """Audit log, validation pages and report need no setting of their own."""
    settings = load_settings(store="somewhere/store")
    assert settings.audit_path == Path("somewhere/store/audit/egress.jsonl")
    assert settings.data_docs_path == Path("somewhere/store/data_docs")
    assert settings.report_path == Path("somewhere/store/report.html")


def test_local_files_of_a_remote_store_lie_here() -> None:
    """An audit line must be on a local disk before a byte is sent, so a remote store does not take it."""
    settings = load_settings(store="s3://bucket/prefix")
    assert settings.audit_path == Path("labelop-local/audit/egress.jsonl")
    assert load_settings(store="s3://bucket", audit="elsewhere.jsonl").audit_path == Path("elsewhere.jsonl")


@pytest.mark.parametrize("store", ["somewhere/store", "/data/store", "s3://bucket/prefix", ".", "/"])
def test_keys_lie_beside_the_tables_and_never_inside(store: str) -> None:
    """Who can read the tables' folder must not find the key that signs releases; heads of the log lie with the keys."""
    settings = load_settings(store=store)
    assert settings.keys_path.name.endswith("-keys")
    if store != "/":
        assert settings.local_root.absolute() not in settings.keys_path.parents
    assert settings.audit_heads_path.parent == settings.keys_path
    assert load_settings(store=store, keys="k", audit_heads="h").audit_heads_path == Path("h")


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the settings nor one field of them print the secret."""
    monkeypatch.setenv("LABELOP_S3_SECRET", "hunter2")
    settings = load_settings()
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in " ".join(str(value) for _, value in settings)
    assert settings.s3_secret is not None
    assert settings.s3_secret.get_secret_value() == "hunter2"


@pytest.mark.parametrize(
    "address",
    [
        "http://[::1",
        "http://host:99999",
        "http://host:0",
        "http://host:port",
        "ftp://host",
        "host:80",
        "http://",
        "http://ho st",
        "http://host/?key=hunter2",
        "http://user:hunter2@host",
        "http://user:hun/ter2@host",
        "grpcs://hunter2@host:1",
        "user:hunter2@host:80",
        "http://user:hunter2@[::1",
        "http://user:hunter2@host:99999",
    ],
)
def test_an_address_that_is_none_is_found_when_it_is_read(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """It names its setting and shows no secret; it was found out at the first shard, or was a traceback there."""
    monkeypatch.setenv("LABELOP_CLOUD_URL", address)
    with pytest.raises(SettingsError, match="LABELOP_CLOUD_URL") as caught:
        load_settings()
    assert "hun" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["", "http://host", "https://host:443/models/v1", "grpc://[::1]:8001", "grpcs://a.b:1"]
)
def test_addresses_of_both_transports_are_taken(address: str) -> None:
    """HTTP and gRPC with and without TLS, a path of a proxy, and nothing at all."""
    assert load_settings(cloud_url=address).cloud_url == address
