"""Tells a lineage service that a run began and how it ended, as OpenLineage events; off unless asked for.

Events hold ids and digests only: no name of a dataset, no path and no address of its images. The one module that knows
the library. A service that cannot be told costs a warning, never a run.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from labelop.egress.address import shown
from labelop.errors import MissingExtraError, SettingsError
from labelop.ids import sha256_hex
from labelop.settings import Settings

_NAMESPACE = "labelop"
_PRODUCER = "https://labelop.invalid/producer"
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Told:
    """What becomes known of a dataset while its run goes on."""

    version: str | None = None
    """Dataset version."""


@contextmanager
def telling(settings: Settings, run_id: str, dataset: str) -> Iterator[Told]:
    """Tell that the work on one dataset begins, and at the end of the block whether it was done.

    Args:
        settings: `openlineage` says where to; nothing is told when it is empty.
        run_id: The run; its event id is made from it and the dataset's digest.
        dataset: Name of the dataset; only its digest is told.

    Yields:
        Where the block puts the dataset version once it is known.

    Raises:
        SettingsError: The setting is no file: or http(s): address; what may be secret in it is not shown.
        MissingExtraError: The extra `openlineage` is not installed.
    """
    told = Told()
    if not settings.openlineage:
        yield told
        return
    client = _client(settings.openlineage)
    try:
        _emit(client, "START", run_id, dataset, told)
        try:
            yield told
        except BaseException:
            _emit(client, "FAIL", run_id, dataset, told)
            raise
        _emit(client, "COMPLETE", run_id, dataset, told)
    finally:
        client.close()


def _client(address: str) -> Any:
    try:
        from openlineage.client import OpenLineageClient  # noqa: PLC0415 - an extra
        from openlineage.client.transport.file import FileConfig, FileTransport  # noqa: PLC0415
        from openlineage.client.transport.http import HttpConfig, HttpTransport  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            "LABELOP_OPENLINEAGE is set, but OpenLineage's client is not installed.",
            hint="Install labelop[openlineage], or empty the setting.",
        ) from error
    try:
        parts = urlsplit(address)
        if parts.scheme == "file" and parts.path:
            path = Path(url2pathname(parts.path))
            path.parent.mkdir(parents=True, exist_ok=True)
            return OpenLineageClient(transport=FileTransport(FileConfig(log_file_path=str(path), append=True)))
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return OpenLineageClient(transport=HttpTransport(HttpConfig(url=address)))
    except ValueError:
        pass  # its words repeat the address as it is
    raise SettingsError(
        f"LABELOP_OPENLINEAGE is {shown(address)!r}, expected file:///path or http(s)://host.",
        hint="Empty it to tell nobody.",
    )


def _emit(client: Any, kind: str, run_id: str, dataset: str, told: Told) -> None:
    from openlineage.client.event_v2 import InputDataset, Job, Run, RunEvent, RunState  # noqa: PLC0415
    from openlineage.client.facet_v2 import dataset_version_dataset  # noqa: PLC0415

    name = sha256_hex(dataset.encode())[:16]
    facets: dict[str, Any] = {}
    if told.version is not None:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=told.version)
    event = RunEvent(
        eventType=RunState[kind],
        eventTime=datetime.now(UTC).isoformat(),
        # the same run tells the same id again, also when it is resumed by another process
        run=Run(runId=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{run_id}:{name}"))),
        job=Job(namespace=_NAMESPACE, name="nightly"),
        inputs=[InputDataset(namespace=_NAMESPACE, name=name, facets=facets)],
        outputs=[],
        producer=_PRODUCER,
    )
    try:
        client.emit(event)
    except Exception as error:  # noqa: BLE001 - whatever a transport raises, the night's work counts more
        _log.warning("the lineage service was not told of %s: %s", kind, type(error).__name__)
