"""What processes of a placement find around them: an allow-list, and on premises no credential at all."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from deltalake import DeltaTable
from typer.testing import CliRunner

from labelop import object_store
from labelop.cli import app
from labelop.egress.environment import CLOUD, FAR_END, ONPREM, check_environment, child_environment
from labelop.errors import SettingsError
from labelop.settings import Settings, process_environment
from tests.loopback import Handler, serving

PARENT = {
    "PATH": "/bin",
    "AWS_ACCESS_KEY_ID": "canary-1",
    "AWS_SESSION_TOKEN": "canary-2",
    "AWS_PROFILE": "canary-3",
    "GOOGLE_APPLICATION_CREDENTIALS": "canary-4",
    "AZURE_STORAGE_CONNECTION_STRING": "canary-5",
    "HF_TOKEN": "canary-6",
    "https_proxy": "http://canary-7",
    "LABELOP_CLOUD_URL": "http://canary-8",
    "LABELOP_KEYS": "/canary-9",
    "SOMETHING_ELSE": "canary-10",
}


def test_on_premises_nothing_of_a_cloud_is_handed_on() -> None:
    """No value of the parent but the allowed ones arrives, and libraries find no shared credentials."""
    env = child_environment(ONPREM, PARENT)
    assert "canary" not in "".join(env.values())
    assert env["PATH"] == "/bin"
    assert env["AWS_EC2_METADATA_DISABLED"] == "true"
    assert env["AWS_SHARED_CREDENTIALS_FILE"] == env["AWS_CONFIG_FILE"] == "/dev/null"
    assert env["LABELOP_PLACEMENT"] == ONPREM
    check_environment(ONPREM, env)


def test_the_gate_gets_its_way_out_and_no_other_credential() -> None:
    """The cloud's worker knows the far end and none of the parent's credentials."""
    env = child_environment(CLOUD, PARENT)
    assert env["LABELOP_CLOUD_URL"] == "http://canary-8"
    assert [name for name, value in env.items() if "canary" in value] == ["LABELOP_CLOUD_URL"]


def test_no_process_asks_the_cloud_for_keys_unless_the_gate_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store without a key made both libraries ask the metadata service of the machine, also on premises."""
    name = "AWS_EC2_METADATA_DISABLED"
    monkeypatch.delenv(name, raising=False)
    importlib.reload(object_store)
    assert process_environment()[name] == "true"
    monkeypatch.setenv(name, "false")
    importlib.reload(object_store)
    assert process_environment()[name] == "false"
    asked = {placement: child_environment(placement, {name: "false"})[name] for placement in (ONPREM, CLOUD, FAR_END)}
    assert asked == {ONPREM: "true", CLOUD: "false", FAR_END: "true"}
    assert child_environment(CLOUD, {})[name] == "true"


def test_tables_ask_no_metadata_service_unless_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table library heeds an address of its own only, so it gets one where nobody is."""
    asked: list[str] = []

    class Service(Handler):
        def do_PUT(self) -> None:  # noqa: N802 - the server's word
            asked.append(self.path)
            self.answer(403, b"")

    with serving(Service) as address:
        monkeypatch.setattr(object_store, "_NOBODY", address)
        quick = {"max_retries": "0", "retry_timeout": "2s"}
        with pytest.raises(OSError, match="latest/api/token"):
            DeltaTable(
                "s3://bucket/table", storage_options=object_store.table_options(Settings(s3_endpoint=address)) | quick
            )
    assert asked, "the library does not heed the option that keeps it away"
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    assert "AWS_METADATA_ENDPOINT" not in object_store.table_options(Settings())


def test_a_far_end_gets_nothing_but_what_it_is_given() -> None:
    """An inference server has no store, no gate and no private key."""
    env = child_environment(FAR_END, PARENT | {"LABELOP_S3_SECRET": "canary"}, {"LABELOP_PUBLIC_KEYS": "public"})
    assert "canary" not in "".join(env.values())
    assert env["LABELOP_PUBLIC_KEYS"] == "public"
    assert "LABELOP_PLACEMENT" not in env


@pytest.mark.parametrize("name", [name for name in PARENT if name not in {"PATH", "LABELOP_KEYS", "SOMETHING_ELSE"}])
def test_an_ambient_credential_stops_a_worker_on_premises(name: str) -> None:
    """Each is refused by its name, never by its value; in the cloud's worker it is not looked at."""
    with pytest.raises(SettingsError, match=name) as caught:
        check_environment(ONPREM, {name: PARENT[name]})
    assert "canary" not in str(caught.value)
    check_environment(CLOUD, {name: PARENT[name]})
    check_environment(ONPREM, {name: ""})


def test_shared_credentials_elsewhere_are_refused() -> None:
    """The variables that hide credential files may not point at some."""
    with pytest.raises(SettingsError, match="AWS_SHARED_CREDENTIALS_FILE"):
        check_environment(ONPREM, {"AWS_SHARED_CREDENTIALS_FILE": "/somewhere/credentials"})


def test_where_certificates_lie_is_no_credential() -> None:
    """A bundle of certificates or a region reaches no cloud."""
    check_environment(ONPREM, {"AWS_CA_BUNDLE": "/etc/bundle.crt", "AWS_DEFAULT_REGION": "eu-central-1"})


def test_a_command_on_premises_with_a_credential_opens_nothing(tmp_path: Path) -> None:
    """It ends before the store is made; it ingested and classified until the first shard was opened."""
    store = tmp_path / "store"
    env = {"LABELOP_PLACEMENT": ONPREM, "AWS_SECRET_ACCESS_KEY": "canary-9"}
    done = CliRunner().invoke(app, ["ingest", str(tmp_path), "--dataset", "cells", "--store", str(store)], env=env)
    assert (done.exit_code, store.exists()) == (1, False)
    assert "AWS_SECRET_ACCESS_KEY" in done.output
    assert "canary-9" not in done.output


def test_nobody_can_hand_a_credential_on_by_hand() -> None:
    """What a caller adds is checked like the rest, and a placement must be known."""
    with pytest.raises(SettingsError, match="AWS_SECRET_ACCESS_KEY"):
        child_environment(ONPREM, {}, {"AWS_SECRET_ACCESS_KEY": "x"})
    with pytest.raises(SettingsError, match="moon"):
        child_environment("moon", {})


TABLES, EVERYWHERE = frozenset({ONPREM, CLOUD}), frozenset({ONPREM, CLOUD, FAR_END})
PREMISES, GATE = frozenset({ONPREM}), frozenset({CLOUD})
NOBODY: frozenset[str] = frozenset()
TAKEN_BY = {
    # models run at each of them
    **dict.fromkeys(("catalog", "config", "engine_threads"), EVERYWHERE),
    # whoever writes tables writes to the same ones, and into the same egress log with the same heads
    **dict.fromkeys(("audit", "audit_heads", "data_docs", "sql", "store_single_writer"), TABLES),
    **dict.fromkeys(("s3_endpoint", "s3_key", "s3_secret", "s3_region"), TABLES),
    # plans, models of the premises, what is written for people, what a site hands over
    **dict.fromkeys(("engine", "engine_precision", "engine_device", "engine_compile"), PREMISES),
    **dict.fromkeys(("shard_seconds", "shard_workers", "gpu_slots", "gpu_slots_folder"), PREMISES),
    "operators_waiting": PREMISES,
    **dict.fromkeys(("report", "openlineage", "store_retention_hours"), PREMISES),
    **dict.fromkeys(("site", "site_folder", "head_store", "head_keys", "outbox_items", "outbox_bytes"), PREMISES),
    # reviews come back to the premises, and are sealed, counted and measured there
    **dict.fromkeys(("label_studio_url", "label_studio_token_file", "label_studio_root"), PREMISES),
    **dict.fromkeys(("label_studio_onprem", "approvals", "effort"), PREMISES),
    # the gate and its one way out
    **dict.fromkeys(("cloud_url", "cloud_requests", "cloud_timeout_seconds", "cloud_compress"), GATE),
    "release_seconds": GATE,
    # said by whoever starts a child, and never ambient: the store, the two halves of the keys, what the child is; and
    # a worker is no person who gives commands
    **dict.fromkeys(("store", "keys", "public_keys", "placement", "user"), NOBODY),
}
"""Which placements take a setting from the process that starts them; a new setting has to be put here."""


def test_every_setting_reaches_exactly_the_placements_that_need_it() -> None:
    """A worker that did not hear LABELOP_AUDIT wrote another egress log than its operator looked at."""
    assert set(TAKEN_BY) == set(Settings.model_fields)
    parent = {f"LABELOP_{name.upper()}": f"said-{name}" for name in Settings.model_fields}
    found = {name: child_environment(name, parent).values() for name in EVERYWHERE}
    taken = {name: {place for place in EVERYWHERE if f"said-{name}" in found[place]} for name in Settings.model_fields}
    assert taken == TAKEN_BY
