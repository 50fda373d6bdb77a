"""A night whose tables and sources lie in buckets at home: what buckets hold of it, and what the cloud got."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml

from tests.canary.capture import inference_server, sink
from tests.canary.test_nights import LABELOP, elsewhere, push_to, run
from tests.canary.world import World, make_world
from tests.faults.proxy import BUCKET, s3_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SOURCES = "sources"
"""Bucket of the originals; that of the tables is `BUCKET`."""


@contextmanager
def bucket_client(address: str) -> Iterator[Any]:
    """Open a client of the object store."""
    named = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    client = botocore.session.get_session().create_client("s3", endpoint_url=address, **named)
    try:
        yield client
    finally:
        client.close()


def everything_in(client: Any, bucket: str) -> dict[tuple[str, str], bytes]:
    """Read every version of every object of a bucket, also what was written over or removed since."""
    found = {}
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for one in page.get("Versions", []):
            which = {"Key": one["Key"], "VersionId": one["VersionId"]}
            found[one["Key"], one["VersionId"]] = client.get_object(Bucket=bucket, **which)["Body"].read()
    return found


def upload(client: Any, world: World) -> None:
    """Put the sources into their bucket; both buckets keep every version from now on."""
    client.create_bucket(Bucket=SOURCES)
    for bucket in (SOURCES, BUCKET):
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for name, source in world.sources.items():
        for file in (one for one in source.root.rglob("*") if one.is_file()):
            key = f"{name}/{file.relative_to(source.root).as_posix()}"
            client.put_object(Bucket=SOURCES, Key=key, Body=file.read_bytes())


def test_tables_in_a_bucket_hold_no_picture(tmp_path: Path) -> None:
    """No version of any object shows a pixel or a note of a restricted picture, and the cloud gets nothing of them.

    A review server elsewhere is told of public pictures only. The tables of a bucket at home hold paths and labels:
    that they are found says that the search reads the tables.
    """
    world, report = make_world(tmp_path), tmp_path / "report.html"
    jobs = [{**job, "source": f"s3://{SOURCES}/{job['dataset']}"} for job in world.night()]
    (tmp_path / "night.yaml").write_text(yaml.safe_dump(jobs))
    with (
        s3_server() as s3,
        bucket_client(s3) as client,
        inference_server(world.catalog, world.settings, world.far_end(), fails_every=3) as (url, kept),
        sink() as (away, sunk),
    ):
        upload(client, world)
        handed_over = everything_in(client, SOURCES)
        local = {name: str(tmp_path / "local" / name.lower()) for name in ("AUDIT", "DATA_DOCS", "AUDIT_HEADS")}
        named = {"STORE": f"s3://{BUCKET}/store", "S3_ENDPOINT": s3, **local}
        environment = elsewhere(world, url, away, **{f"LABELOP_{name}": value for name, value in named.items()})
        night = ["nightly", "--night", str(tmp_path / "night.yaml"), "--report", str(report), "--batch-images", "4"]
        said = [run([*LABELOP, *night], environment, folder=tmp_path)]
        said.append(run([*LABELOP, "query", "outcomes", "--format", "csv"], environment, folder=tmp_path))
        pushed, _ = push_to(world, environment, "127.0.0.2", *world.sources)
        stored = everything_in(client, BUCKET)
        assert everything_in(client, SOURCES) == handed_over, "an original was touched"
        arrived, told = kept.all(), sunk.all()
    found = world.secret.hits([*stored.values(), *(key.encode() for key, _ in stored)])
    assert {hit.where for hit in found} == {"file", "folder", "label"}
    assert {hit.picture for hit in world.control.hits(arrived)} == {f"public {number}" for number in range(4)}
    assert world.control.hits(stored.values()) == set()
    assert world.search.hits([*arrived, *told]) == set()
    assert world.secret.hits([report.read_bytes(), *said, *pushed]) == set()
    # of public pictures a review server elsewhere learns the name, and nothing of what is in them or said of them
    assert {hit.where for hit in world.search.hits(pushed)} == {"file", "folder"}
    assert world.control.hits(pushed) == set()
    assert not any(b"/api/storages" in one for one in pushed), "a credential of the bucket was handed out"
