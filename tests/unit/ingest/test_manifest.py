"""Every file found is landed or quarantined, and the version follows the content."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labelop.errors import ManifestError
from labelop.ingest import manifest
from labelop.ingest.decode import decode
from labelop.ingest.manifest import Manifest, build_manifest, land_manifest
from labelop.ingest.places import LocalPlace
from labelop.ingest.sources import read_original
from labelop.landing.store import open_store, read_rows, rows_to_table
from labelop.settings import Settings

Encoder = Callable[..., bytes]
HOSTILE = Path("data/sample/hostile")


def build(root: Path | str, source_format: str = "folder", **options: Any) -> Manifest:
    """Read a source."""
    return build_manifest(str(root), "set", source_format, settings=Settings(), **options)


def levels(manifest: Manifest) -> dict[str, str | None]:
    """Give declared levels by path."""
    return {row["path"]: row["declared_level"] for row in manifest.images}


def test_every_file_is_accounted_for(tmp_path: Path, picture: Encoder) -> None:
    """Good, broken and irregular files each make one row; each that is not used has one reason."""
    (tmp_path / "good.png").write_bytes(picture())
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("words")
    os.mkfifo(tmp_path / "pipe.jpg")
    heard: list[tuple[int, int]] = []

    manifest = build(tmp_path, progress=lambda done, total: heard.append((done, total)))

    assert [(row["path"], row["outcome"]) for row in manifest.images] == [
        ("empty.png", "quarantined"),
        ("good.png", "ok"),
        ("pipe.jpg", "quarantined"),
        ("text.jpg", "quarantined"),
    ]
    assert [(row["path"], row["pointer"], row["reason"]) for row in manifest.quarantine] == [
        ("empty.png", "", "EMPTY"),
        ("pipe.jpg", "", "NOT_REGULAR"),
        ("text.jpg", "", "NOT_RASTER"),
    ]
    assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_large_files_are_read_one_at_a_time(tmp_path: Path, picture: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files above the limit are never in memory together, and small ones do not wait for them."""
    (tmp_path / "source").mkdir()
    for number in range(6):
        (tmp_path / "source" / f"{number}.png").write_bytes(picture() + bytes([number]) * 1000 * (number % 2))
    held, most, lock = set(), set(), threading.Lock()
    read = LocalPlace.read

    def slow(place: LocalPlace, path: str, max_bytes: int) -> bytes:
        with lock:
            held.add(path)
            most.update({(one, path) for one in held if one != path})
        threading.Event().wait(0.05)
        try:
            return read(place, path, max_bytes)
        finally:
            with lock:
                held.remove(path)

    monkeypatch.setattr(LocalPlace, "read", slow)
    monkeypatch.setattr(manifest, "_LARGE_BYTES", 1000)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    build(tmp_path / "source")
    assert most, "nothing was read at once at all"
    assert not [pair for pair in most if all(int(path[0]) % 2 for path in pair)]


def test_the_hostile_sample_ends_as_its_list_says() -> None:
    """Each hostile file of the sample has the outcome and reason written beside it, and the usable ones decode."""
    lines = (HOSTILE / "expected.csv").read_text().splitlines()[1:]
    expected = {path: reason or None for path, _, reason in (line.rsplit(",", 2) for line in lines)}

    manifest = build(HOSTILE)

    reasons = {row["path"]: row["reason"] for row in manifest.quarantine}
    assert {row["path"]: reasons.get(row["path"]) for row in manifest.images} == expected
    for row in manifest.images:
        if row["outcome"] == "ok":
            pixels = decode(read_original(row["source_uri"], row["path"], Settings()))
            assert pixels.shape == (row["height_px"], row["width_px"], 3)


@pytest.mark.parametrize("change", ["bytes", "name", "level", "split", "label"])
def test_version_follows_content(
    coco_source: Callable[..., str], tmp_path: Path, picture: Encoder, change: str
) -> None:
    """The same content has the same version; any change of files, levels, splits or labels gives another."""
    uri = coco_source()
    before = build(uri, "coco")
    assert build(uri, "coco") == before

    if change == "bytes":
        (tmp_path / "images/a.png").write_bytes(picture(seed=5))
    elif change == "name":
        (tmp_path / "images/b.png").write_bytes(picture(seed=5))
    elif change == "level":
        (tmp_path / "levels.csv").write_text("file_name,level\na.png,public\n")
    elif change == "split":
        coco_source(images=[{"id": 1, "file_name": "a.png", "split": "val"}])
    else:
        coco_source(annotations=[])

    assert build(uri, "coco").dataset_version != before.dataset_version


def test_declared_levels_join_upwards(tmp_path: Path, picture: Encoder) -> None:
    """The level of the dataset and those of single files: the higher counts, and an unknown word is restricted."""
    for name in ("a", "b", "c d", "e"):
        (tmp_path / f"{name}.png").write_bytes(picture())
    rows = 'a.png,public\nb.png,Confidential\n"c d.png",oops\ngone.png,public\n'
    (tmp_path / "levels.csv").write_text("file_name,level\n" + rows)

    manifest = build(tmp_path, declared_level="internal")

    assert levels(manifest) == {
        "a.png": "internal",
        "b.png": "confidential",
        "c%20d.png": "restricted",
        "e.png": "internal",
    }
    assert [(row["pointer"], row["reason"]) for row in manifest.quarantine] == [
        ("line 4", "BAD_LEVEL"),
        ("line 5", "MISSING_IMAGE"),
    ]
    assert levels(build(tmp_path, declared_level="topsecret"))["a.png"] == "restricted"
    assert levels(build(tmp_path))["e.png"] is None


@pytest.mark.parametrize("text", [b"name;level\n", b"", b'file_name,level\n"a.png,public\n'])
def test_a_broken_levels_file_restricts_its_folder(tmp_path: Path, picture: Encoder, text: bytes) -> None:
    """Nobody knows what it would have said, so everything under it is restricted, whatever the dataset declares."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(picture())
    (tmp_path / "b.png").write_bytes(picture(seed=1))
    (tmp_path / "in/levels.csv").write_bytes(text)

    manifest = build(tmp_path, declared_level="public")

    assert levels(manifest) == {"in/a.png": "restricted", "b.png": "public"}
    assert [row["reason"] for row in manifest.quarantine] == ["BAD_LEVELS"]


def test_copies_share_one_truth(coco_source: Callable[..., str], tmp_path: Path) -> None:
    """One image under two names has one truth; a copy that says otherwise is listed."""
    uri = coco_source(
        images=[{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "copy.png"}],
        annotations=[{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 1, 3, 2]}],
    )
    (tmp_path / "images/copy.png").write_bytes((tmp_path / "images/a.png").read_bytes())

    manifest = build(uri, "coco")

    assert [len(truth.labels) for truth in manifest.truths] == [1]
    assert [(row["path"], row["reason"]) for row in manifest.quarantine] == [("images/copy.png", "CONFLICTING_TRUTH")]


def test_a_source_without_images_is_an_error(tmp_path: Path) -> None:
    """Nothing to do is told, not landed as an empty dataset."""
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(ManifestError, match="no file that could be an image"):
        build(tmp_path)


def test_a_manifest_lands_once(tmp_path: Path, picture: Encoder) -> None:
    """Landing twice equals landing once; rows fit their tables before and after."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.png").write_bytes(picture())
    (source / "b.png").write_bytes(b"")
    store = open_store(Settings(store=str(tmp_path / "store")))
    manifest = build(source)

    assert rows_to_table("images", manifest.images).num_rows == 2
    assert land_manifest(store, manifest, "run-1")
    assert not land_manifest(store, manifest, "run-2")

    images, quarantine = read_rows(store, "images"), read_rows(store, "quarantine")
    assert sorted((row["path"], row["run_id"]) for row in images) == [("a.png", "run-1"), ("b.png", "run-1")]
    assert [(row["path"], row["reason"]) for row in quarantine] == [("b.png", "EMPTY")]
