"""Which review server the settings name, and what it is told of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from labelop.errors import (
    KeysError,
    ReviewError,
    ReviewFormatError,
    ReviewServerError,
    ReviewServerRefusedError,
    SettingsError,
)
from labelop.review import rest
from labelop.review.connection import backend_at, connect, image_place, is_onprem
from labelop.review.label_server import Bucket
from labelop.settings import Settings, load_settings


def _settings(tmp_path: Path, token: str = "0123456789abcdef", mode: int = 0o600, **changes: Any) -> Settings:
    file = tmp_path / "token"
    file.write_text(token + "\n")
    file.chmod(mode)
    known: dict[str, Any] = {"label_studio_url": "http://127.0.0.1:1", "label_studio_token_file": file}
    return Settings(**(known | {"label_studio_root": tmp_path} | changes))


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"label_studio_url": None}, SettingsError, "No Label Studio is known"),
        ({"label_studio_token_file": None}, SettingsError, "No token"),
        ({"label_studio_token_file": Path("gone")}, KeysError, "gone"),
        ({"mode": 0o644}, KeysError, "others can open it"),
        ({"token": "two words"}, SettingsError, "holds no token"),
        ({"token": ""}, SettingsError, "holds no token"),
    ],
)
def test_a_server_needs_an_address_and_a_token_of_its_own(
    tmp_path: Path, changes: dict[str, Any], kind: type[Exception], said: str
) -> None:
    """Without an address, or a token that only its owner can read, nothing is asked, and no token is shown."""
    with pytest.raises(kind, match=said) as caught, connect(_settings(tmp_path, **changes)):
        pass
    assert "0123456789abcdef" not in str(caught.value)


def test_a_backend_is_named_by_its_address_and_the_token_stays_here(tmp_path: Path) -> None:
    """The token is the one `labelop review backend` reads; a server elsewhere, or an address with a name, gets none."""
    settings = _settings(tmp_path, store=str(tmp_path / "store"))
    found = backend_at("http://127.0.0.1:9090", settings)
    assert found.token == settings.backend_token_path.read_text().strip()
    for address in ("http://me:secret@127.0.0.1:9090", "127.0.0.1:9090", "file:///etc/passwd", "http://h/?t=secret"):
        with pytest.raises(ReviewError, match="is no address of a backend") as caught:
            backend_at(address, settings)
        assert "secret" not in str(caught.value)
    away = _settings(tmp_path, store=str(tmp_path / "store"), label_studio_url="https://labels.example.org")
    with pytest.raises(ReviewError, match="stays on premises"):
        backend_at("http://127.0.0.1:9090", away)


def test_an_address_that_is_none_is_refused() -> None:
    """A token in the address would be logged on the way; another scheme reaches no such server."""
    for address in ("http://me:secret@labels.example.org", "grpc://labels.example.org", "labels.example.org"):
        with pytest.raises(SettingsError, match="LABELOP_LABEL_STUDIO_URL") as caught:
            load_settings(label_studio_url=address)
        assert "secret" not in str(caught.value)


def test_loopback_is_on_premises_and_nothing_else_by_itself(tmp_path: Path) -> None:
    """An address elsewhere is on premises only where the operator says so; names that look like loopback are not."""
    for address, known in {
        "http://127.0.0.1:8085": True,
        "http://localhost": True,
        "http://[::1]:80": True,
        "https://127.0.0.1.example.org": False,
        "http://10.0.0.5:8080": False,
    }.items():
        assert is_onprem(_settings(tmp_path, label_studio_url=address)) is known, address
    assert is_onprem(_settings(tmp_path, label_studio_url="http://10.0.0.5:8080", label_studio_onprem=True))


def test_a_bucket_is_signed_for_on_premises_only(tmp_path: Path) -> None:
    """A server elsewhere gets no credential of the store."""
    store: dict[str, Any] = {"s3_endpoint": "http://127.0.0.1:9", "s3_key": "k", "s3_secret": "s"}
    here = image_place("s3://photos/night one", _settings(tmp_path, **store))
    assert here.bucket == Bucket("photos", "night one", "http://127.0.0.1:9", "us-east-1", "k", "s")
    assert here.prefix == "s3://photos/night one/"
    away = image_place("s3://photos/n", _settings(tmp_path, label_studio_url="https://labels.example.org", **store))
    assert (away.bucket, away.folder) == (None, None)
    with pytest.raises(ReviewError, match="gs://"):
        image_place("gs://photos/n", _settings(tmp_path))


def test_a_folder_lies_below_the_document_root(tmp_path: Path) -> None:
    """The root itself is never served, nor a folder beside it; names are encoded once."""
    place = image_place((tmp_path / "a b" / "ü").as_uri(), _settings(tmp_path))
    assert place.prefix == "/data/local-files/?d=a%20b/%C3%BC/"
    assert place.folder == tmp_path / "a b" / "ü"
    for source in (tmp_path.as_uri(), (tmp_path.parent / (tmp_path.name + "-private")).as_uri()):
        with pytest.raises(ReviewError, match="no folder below"):
            image_place(source, _settings(tmp_path))


def _answering(*answers: httpx.Response | Exception, **options: Any) -> rest.Rest:
    waiting = list(answers)

    def answer(_: httpx.Request) -> httpx.Response:
        one = waiting.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    return rest.Rest("http://127.0.0.1:1", "t", transport=httpx.MockTransport(answer), **options)


def test_an_answer_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a server sends, no more than the largest answer is held."""
    monkeypatch.setattr(rest, "MAX_ANSWER_BYTES", 10)
    with pytest.raises(ReviewServerRefusedError, match="more than 10 bytes"):
        _answering(httpx.Response(200, content=b"x" * 11)).get("/")


def test_an_answer_that_drips_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a request is that of its whole answer, not of its next byte."""
    clock = iter(range(0, 1000, 7))
    monkeypatch.setattr("labelop.review.rest.time.monotonic", lambda: next(clock))
    slept: list[float] = []
    dripping = [httpx.Response(200, content=iter([b"1"] * 9)) for _ in range(rest.TRIES)]
    with pytest.raises(ReviewServerError, match="no whole answer"):
        _answering(*dripping, timeout_seconds=10.0, sleep=slept.append).get("/")
    assert len(slept) == rest.TRIES - 1


def test_only_what_harms_nothing_is_repeated() -> None:
    """A change whose reply is lost is told at once; one that never arrived is tried again."""
    lost = httpx.ReadError("gone")
    with pytest.raises(ReviewServerError, match="ReadError"):
        _answering(lost).post("/", {})
    quiet: dict[str, Any] = {"sleep": lambda _: None}
    assert _answering(httpx.ConnectError("no"), httpx.Response(201, json=1), **quiet).post("/", {}) == 1
    assert _answering(lost, httpx.Response(200, json=[]), **quiet).get("/") == []
    _answering(lost, httpx.Response(404), **quiet).delete("/")


def test_an_answer_that_is_no_json_is_told_apart() -> None:
    """NaN and pages for people are no answers; their text stays out of the message."""
    for body in (b'{"a": NaN}', b"<html>secret</html>"):
        with pytest.raises(ReviewFormatError) as caught:
            _answering(httpx.Response(200, content=body)).get("/")
        assert "secret" not in str(caught.value)
