"""What processes of a placement find around them: an allow-list, and on premises no credential at all."""

from __future__ import annotations

import pytest

from labelop.egress.environment import CLOUD, FAR_END, ONPREM, check_environment, child_environment
from labelop.errors import SettingsError

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


def test_nobody_can_hand_a_credential_on_by_hand() -> None:
    """What a caller adds is checked like the rest, and a placement must be known."""
    with pytest.raises(SettingsError, match="AWS_SECRET_ACCESS_KEY"):
        child_environment(ONPREM, {}, {"AWS_SECRET_ACCESS_KEY": "x"})
    with pytest.raises(SettingsError, match="moon"):
        child_environment("moon", {})
