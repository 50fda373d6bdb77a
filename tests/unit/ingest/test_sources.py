"""Every file below a root is found or is a side file, and nothing outside of it can be reached."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from pydantic import SecretStr

from labelop.errors import ManifestError, UnreadableImageError
from labelop.ingest import names, places
from labelop.ingest.sources import open_source, read_original
from labelop.settings import Settings

Encoder = Callable[..., bytes]


def found(root: Path | str, settings: Settings, source_format: str = "folder") -> dict[str, str | None]:
    """List found files and their problems."""
    return {file.path: file.problem for file in open_source(str(root), source_format, settings).found()}


def test_side_files_are_left_out_by_name(tmp_path: Path, settings: Settings) -> None:
    """Lists, notes and hidden files are no images; any other name is found, whatever is inside."""
    for name in ("levels.csv", "notes.TXT", "README", "license.md", ".hidden", "a.xml", "b.json", "x.jpg", "odd"):
        (tmp_path / name).write_text("words")

    assert found(tmp_path, settings) == {"odd": None, "x.jpg": None}


def test_an_image_is_found_under_any_name(tmp_path: Path, settings: Settings, picture: Encoder) -> None:
    """A name never hides an image: not as text, not as a hidden file, not as a readme."""
    for name in ("scan.txt", ".photo.jpg", "README.png"):
        (tmp_path / name).write_bytes(picture())

    assert set(found(tmp_path, settings)) == {"scan.txt", ".photo.jpg", "README.png"}


def test_links_and_pipes_are_found_and_refused(tmp_path: Path, settings: Settings, picture: Encoder) -> None:
    """What is not a regular file is counted, and neither followed nor opened."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(picture())
    root = tmp_path / "root"
    root.mkdir()
    (root / "link.png").symlink_to(outside / "secret.png")
    (root / "folder").symlink_to(outside)
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe.png")

    assert found(root, settings) == dict.fromkeys(("folder", "link.png", "loop", "pipe.png"), "NOT_REGULAR")


def test_folders_may_lie_in_each_other_without_end(tmp_path: Path, settings: Settings, picture: Encoder) -> None:
    """What lies deeper than calls may be nested, or than a path may be long, is found, or is one thing not taken."""
    (tmp_path / "good.png").write_bytes(picture())
    here = os.open(".", os.O_RDONLY)
    os.chdir(tmp_path)
    try:
        for depth in range(1200):
            if depth == 900:
                Path("deep.png").write_bytes(picture())
            Path("folder").mkdir()
            os.chdir("folder")
    finally:
        os.fchdir(here)
        os.close(here)

    listed = found(tmp_path, settings)

    deep = "folder/" * 900 + "deep.png"
    assert listed.pop("good.png", "lost") is None
    assert listed.pop(deep, "lost") is None
    assert list(listed.values()) == ["NOT_REGULAR"]
    assert read_original(str(tmp_path), deep, settings) == picture()
    subprocess.run(["rm", "-rf", str(tmp_path / "folder")], check=True)  # Python's own way calls itself


def test_a_machine_out_of_descriptors_blames_no_file(
    tmp_path: Path, settings: Settings, picture: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole file was quarantined as "no regular file" where only too many were open."""
    (tmp_path / "good.png").write_bytes(picture())
    source = open_source(str(tmp_path), "folder", settings)

    def none_left(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", none_left)
    with pytest.raises(ManifestError, match=r"good\.png.*cannot be read now: Too many open files") as error:
        source.place.read("good.png", 1000)
    assert not isinstance(error.value, UnreadableImageError)


def test_a_folder_that_becomes_a_link_is_not_followed(tmp_path: Path, picture: Encoder) -> None:
    """Names outside the root stay unknown where a listed folder is swapped for a link before it is entered."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "a", root / "b", outside):
        folder.mkdir(parents=True)
        (folder / "of somebody.png").write_bytes(picture())
    walk = places.open_place(str(root), Settings()).walk()

    first = next(walk)
    (root / "b").rename(tmp_path / "gone")
    (root / "b").symlink_to(outside)

    assert [(one.path, one.regular) for one in (first, *walk)] == [("a/of%20somebody.png", True), ("b", False)]


@pytest.mark.parametrize("path", ["link.png", "folder/secret.png", "pipe.png"])
def test_reading_does_not_leave_the_root(tmp_path: Path, settings: Settings, picture: Encoder, path: str) -> None:
    """A link put in place after the listing is not followed, neither as a file nor as a folder on the way."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.png").write_bytes(picture())
    root = tmp_path / "root"
    root.mkdir()
    (root / "link.png").symlink_to(tmp_path / "outside/secret.png")
    (root / "folder").symlink_to(tmp_path / "outside")
    os.mkfifo(root / "pipe.png")

    with pytest.raises(UnreadableImageError, match="NOT_REGULAR"):
        read_original(str(root), path, settings)


@pytest.mark.parametrize("path", ["../x.png", "a/../../x.png", "/etc/hostname", "%2e%2e/x.png", "", "a%00.png", "a//b"])
def test_climbing_paths_are_refused(tmp_path: Path, settings: Settings, path: str) -> None:
    """A path that could leave the root is refused before anything is opened."""
    with pytest.raises(ManifestError, match="does not stay below"):
        read_original(str(tmp_path), path, settings)


def test_any_name_survives(tmp_path: Path, settings: Settings, picture: Encoder) -> None:
    """Names of any bytes are found as ASCII and lead back to the same file."""
    raw_names = [
        b"line\nbreak.png",
        b"-rf.png",
        "ä \u202e 😀.png".encode(),
        b"not-utf8-\xff\xfe.png",
        b"100%25.png",
        b"n" * 250,
    ]
    for number, raw in enumerate(raw_names):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + raw)).write_bytes(picture(seed=number))

    source = open_source(str(tmp_path), "folder", settings)
    paths = [file.path for file in source.found()]

    assert {names.decode(path) for path in paths} == set(raw_names)
    assert all(path.isascii() and path.isprintable() for path in paths)
    for path in paths:
        number = raw_names.index(names.decode(path))
        assert read_original(source.root_uri, path, settings) == picture(seed=number)


def test_roots_of_any_name_can_be_read_back(tmp_path: Path, settings: Settings, picture: Encoder) -> None:
    """The address in the manifest leads back to a root with blanks and percent signs in its name."""
    root = tmp_path / "a b%20c"
    root.mkdir()
    (root / "x.png").write_bytes(picture())

    source = open_source(str(root), "folder", settings)

    assert source.root_uri.endswith("/a%20b%2520c")
    assert read_original(source.root_uri, "x.png", settings) == picture()


def test_annotated_layouts_look_into_their_image_folder_only(
    tmp_path: Path, settings: Settings, picture: Encoder
) -> None:
    """With an image folder nothing beside it is an image of the dataset; a file in it that is none is found."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(picture())
    (tmp_path / "images/text.jpg").write_text("words")

    assert set(found(tmp_path, settings, "voc")) == {"images/a.png", "images/text.jpg"}
    assert set(found(tmp_path, settings)) == {"images/a.png", "images/text.jpg", "masks/a.png"}


def test_a_file_that_keeps_changing_is_unstable(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that change between the two looks at a file are not used."""
    (tmp_path / "a.png").write_bytes(b"begin")
    plain = places._drain

    def growing(descriptor: int, most: int) -> bytes:
        with (tmp_path / "a.png").open("ab") as file:
            file.write(b"more")
        return plain(descriptor, most)

    monkeypatch.setattr(places, "_drain", growing)

    with pytest.raises(UnreadableImageError, match="UNSTABLE"):
        read_original(str(tmp_path), "a.png", settings)


def test_wrong_sources_are_told_apart(tmp_path: Path, settings: Settings) -> None:
    """A missing folder, an unknown layout and an unknown scheme are each one clear error."""
    with pytest.raises(ManifestError, match="is not a folder"):
        open_source(str(tmp_path / "none"), "folder", settings)
    with pytest.raises(ManifestError, match="folder, coco, voc, yolo"):
        open_source(str(tmp_path), "csv", settings)
    with pytest.raises(ManifestError, match="cannot be opened"):
        open_source("nosuch://bucket/x", "folder", settings)


def test_object_stores_are_read_alike(settings: Settings, picture: Encoder) -> None:
    """A source behind any fsspec address gives the same paths and bytes."""
    files = fsspec.filesystem("memory")
    files.pipe("/lake/set/ä b.png", picture())
    files.pipe("/lake/set/deep/c.png", b"")
    files.pipe("/lake/set/levels.csv", b"file_name,level\n")
    source = open_source("memory://lake/set", "folder", settings)

    assert [file.path for file in source.found()] == ["deep/c.png", "%C3%A4%20b.png"]
    assert source.read("%C3%A4%20b.png") == picture()
    assert read_original(source.root_uri, "deep/c.png", settings) == b""
    with pytest.raises(UnreadableImageError, match="UNREADABLE"):
        source.read("gone.png")
    with pytest.raises(ManifestError):
        open_source("memory://lake/none", "folder", settings)


def test_a_store_that_goes_away_ends_the_run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection is one clear error, never a quarantine of everything."""
    files = fsspec.filesystem("memory")
    files.pipe("/away/a.png", b"x")
    source = open_source("memory://away", "folder", settings)

    def lost(*_: object, **__: object) -> bytes:
        raise ConnectionError

    monkeypatch.setattr(type(files), "cat_file", lost)

    with pytest.raises(ManifestError, match="cannot be read: ConnectionError"):
        source.read("a.png")


@pytest.fixture
def s3_settings() -> Iterator[Settings]:
    """Start an S3-compatible server on a free loopback port."""
    server_type: Any = pytest.importorskip("moto.server").ThreadedMotoServer
    server = server_type(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield Settings(s3_endpoint=f"http://{host}:{port}", s3_key="key", s3_secret=SecretStr("secret"))
    server.stop()


@pytest.mark.slow
def test_s3_sources_are_read(s3_settings: Settings, picture: Encoder) -> None:
    """A bucket prefix is a source; endpoint and keys come from the settings."""
    files = fsspec.filesystem(
        "s3",
        key="key",
        secret="secret",
        client_kwargs={"endpoint_url": s3_settings.s3_endpoint},
        use_listings_cache=False,
    )
    files.mkdir("photos")
    files.pipe("photos/night 1/a.png", picture())

    source = open_source("s3://photos/night 1", "folder", s3_settings)

    assert [(file.path, file.size_bytes) for file in source.found()] == [("a.png", len(picture()))]
    assert read_original(source.root_uri, "a.png", s3_settings) == picture()
