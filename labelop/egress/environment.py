"""What a process of a placement may find in its environment: an allow-list, so that no cloud credential is ambient.

Names only: no value is ever shown. Knows no process; the caller hands in the environment it has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from labelop.errors import SettingsError

ONPREM = "onprem"
CLOUD = "cloud"
FAR_END = "far-end"
"""An inference server: it needs public keys, and no store, no gate and no credential."""

COMMON = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PATH",
    "TMPDIR",
    "TZ",
    "OMP_NUM_THREADS",
    "LABELOP_CATALOG",
    "LABELOP_CONFIG",
    "LABELOP_ENGINE_THREADS",
)
"""What every child may take from its parent: who and where it is, and the models, which each may run."""

INSTANCE_KEYS = "AWS_EC2_METADATA_DISABLED"
"""Says whether a library that was given no key may ask the host of its machine for some: not where it is true."""

QUIET = {
    INSTANCE_KEYS: "true",
    "DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
}
"""No library of any process sends usage data, fetches a model at run time, or asks the machine's host for keys."""

NO_CREDENTIALS = {
    INSTANCE_KEYS: "true",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_CONFIG_FILE": "/dev/null",
    "GCE_METADATA_HOST": "metadata.invalid",
    "NO_PROXY": "*",
}
"""Where a cloud library looks when it has been told nothing: nowhere."""

_OF_TABLES = (
    *("LABELOP_AUDIT", "LABELOP_AUDIT_HEADS", "LABELOP_DATA_DOCS", "LABELOP_SQL", "LABELOP_STORE_SINGLE_WRITER"),
    *("LABELOP_S3_ENDPOINT", "LABELOP_S3_KEY", "LABELOP_S3_SECRET", "LABELOP_S3_REGION"),
)
"""For whoever writes tables and the egress log: all of them write to the same ones."""

OF_PLACEMENT: dict[str, tuple[str, ...]] = {
    # models are what a far end has, and no store, no log and no key
    FAR_END: (),
    # plans, models of the premises, what is written for people, and what a site hands over
    ONPREM: (
        *_OF_TABLES,
        *("LABELOP_ENGINE", "LABELOP_ENGINE_PRECISION", "LABELOP_ENGINE_DEVICE", "LABELOP_ENGINE_COMPILE"),
        "LABELOP_OPERATORS_WAITING",
        *("LABELOP_SHARD_SECONDS", "LABELOP_SHARD_WORKERS", "LABELOP_GPU_SLOTS", "LABELOP_GPU_SLOTS_FOLDER"),
        *("LABELOP_REPORT", "LABELOP_OPENLINEAGE", "LABELOP_STORE_RETENTION_HOURS"),
        *("LABELOP_SITE", "LABELOP_SITE_FOLDER", "LABELOP_HEAD_STORE", "LABELOP_HEAD_KEYS"),
        *("LABELOP_OUTBOX_ITEMS", "LABELOP_OUTBOX_BYTES"),
        *("LABELOP_LABEL_STUDIO_URL", "LABELOP_LABEL_STUDIO_TOKEN_FILE"),
        *("LABELOP_LABEL_STUDIO_ROOT", "LABELOP_LABEL_STUDIO_ONPREM"),
        *("LABELOP_APPROVALS", "LABELOP_EFFORT"),
    ),
    # the gate and its one way out
    CLOUD: (
        *_OF_TABLES,
        *("LABELOP_CLOUD_URL", "LABELOP_CLOUD_REQUESTS", "LABELOP_CLOUD_TIMEOUT_SECONDS", "LABELOP_CLOUD_COMPRESS"),
        "LABELOP_RELEASE_SECONDS",
        INSTANCE_KEYS,  # false where its store is to be reached by the role of its machine
    ),
}
"""What a placement may take beside that. Never the store, the keys and what it is: whoever starts a child says them."""

_CREDENTIAL = re.compile(
    r"AWS_(?!((DEFAULT_)?REGION|CA_BUNDLE)$).*"
    r"|(AZURE|ARM|GOOGLE|GCP|GCLOUD|CLOUDSDK|OCI|OS|DO|HF|HUGGING_?FACE|WANDB|OPENAI|LABELOP_CLOUD)_.*"
    r"(KEY|SECRET|TOKEN|CREDENTIAL|PASSWORD|CONNECTION_STRING|URL).*"
    r"|(HTTPS?|ALL|FTP)_PROXY",
    re.IGNORECASE,
)


def child_environment(
    placement: str, parent: Mapping[str, str], extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Make the whole environment of a child of a placement.

    Args:
        placement: onprem, cloud (the worker with the gate) or far-end.
        parent: The environment of the process that starts it.
        extra: What the caller adds; checked like the rest.

    Returns:
        The environment, to be given instead of the parent's.

    Raises:
        SettingsError: The placement is unknown, or `extra` would hand a credential to a process on premises.
    """
    if placement not in OF_PLACEMENT:
        raise SettingsError(f"Placement {placement!r} is unknown, expected one of {sorted(OF_PLACEMENT)}.")
    names = (*COMMON, *OF_PLACEMENT[placement])
    env = QUIET | {name: parent[name] for name in names if name in parent}
    if placement != CLOUD:
        env |= NO_CREDENTIALS
    env |= {} if placement == FAR_END else {"LABELOP_PLACEMENT": placement}
    env |= dict(extra or {})
    check_environment(placement, env)
    return env


def check_environment(placement: str, environment: Mapping[str, str]) -> None:
    """Refuse to run on premises with a cloud credential or a proxy at hand.

    Args:
        placement: Where this process is; only on premises is anything refused.
        environment: Its environment.

    Raises:
        SettingsError: There is one; names it, without its value.
    """
    if placement != ONPREM:
        return
    found = sorted(
        name
        for name, value in environment.items()
        if value and _CREDENTIAL.fullmatch(name) and NO_CREDENTIALS.get(name) != value
    )
    if found:
        raise SettingsError(
            f"A process on premises has {', '.join(found)} in its environment: it could reach a cloud.",
            hint="Unset them, or start the worker with `make up`, which hands on an allow-list only.",
        )
