"""How an S3-compatible store is reached: one set of settings, in the words of each library that talks to one.

Images are read by s3fs and tables are kept by deltalake; both follow the same endpoint, region and key, so a store that
one of them reaches the other reaches too. Knows no file and no table. Nothing here touches a network.
"""

from __future__ import annotations

from typing import Any

from labelop.egress.environment import INSTANCE_KEYS
from labelop.settings import Settings, be_quiet, process_environment

be_quiet(INSTANCE_KEYS)  # without a key, both libraries ask a service of the cloud for one

_NOBODY = "http://127.0.0.1:9"
CONNECTIONS = 32
"""Requests of one process under way at once."""
_TRIES = 3
"""Of one request for a file, where the store is busy or breaks off; s3fs does it all five times."""


def table_options(settings: Settings) -> dict[str, str]:
    """Name the options by which deltalake reaches the store of the settings."""
    # conditional put: the log's next entry is written only if nobody else wrote it
    options = {"AWS_REGION": settings.s3_region, "AWS_CONDITIONAL_PUT": "etag"}
    if settings.s3_endpoint:
        options["AWS_ENDPOINT_URL"] = settings.s3_endpoint
        options["AWS_ALLOW_HTTP"] = str(settings.s3_endpoint.startswith("http://")).lower()
    if settings.s3_key and settings.s3_secret:
        options["AWS_ACCESS_KEY_ID"] = settings.s3_key
        options["AWS_SECRET_ACCESS_KEY"] = settings.s3_secret.get_secret_value()
    elif process_environment().get(INSTANCE_KEYS, "true").lower() == "true":
        # with an endpoint of its own the table library does not heed the variable
        options["AWS_METADATA_ENDPOINT"] = _NOBODY
    return options


def file_options(settings: Settings) -> dict[str, Any]:
    """Name the options by which s3fs reaches the store of the settings."""
    client = {"region_name": settings.s3_region, "endpoint_url": settings.s3_endpoint}
    return {
        "key": settings.s3_key,
        "secret": settings.s3_secret.get_secret_value() if settings.s3_secret else None,
        "client_kwargs": {name: value for name, value in client.items() if value},
        "config_kwargs": {"max_pool_connections": CONNECTIONS, "retries": {"max_attempts": _TRIES, "mode": "standard"}},
        "use_listings_cache": False,  # a file may have changed since the listing
    }
