"""Which Label Studio the settings name, whether it stands on premises, and how it sees images and asks for masks.

A server on premises may be told of every image. One elsewhere is told only of images that may be at the cloud as they
are, and is handed no credential. Images in a bucket are named by the bucket, so the same holds for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from labelop.egress.address import shown
from labelop.egress.keys import read_private
from labelop.errors import ReviewError, SettingsError
from labelop.review.label_server import Backend, Bucket, LabelServer
from labelop.review.rest import Rest
from labelop.review.task_forms import LOCAL_FILES_PREFIX
from labelop.secret_file import make_key, read_key
from labelop.settings import Settings

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_TOKEN = re.compile(r"[!-~]{8,4096}")


@dataclass(frozen=True, slots=True)
class ImagePlace:
    """Where a server finds the images of a dataset."""

    prefix: str
    """Goes before the path of each image."""
    folder: Path | None = None
    """Folder that the server has to serve; None for a bucket."""
    bucket: Bucket | None = None
    """Bucket that the server has to sign addresses of; None for a folder, or where it gets no credential."""


@contextmanager
def connect(settings: Settings) -> Iterator[LabelServer]:
    """Open the way to the server of the settings; the first request tells whether it is there.

    Raises:
        SettingsError: There is none, or no token for it.
        KeysError: The file of the token cannot be read, or others can read it too.
    """
    if not settings.label_studio_url:
        raise SettingsError(
            "No Label Studio is known.",
            hint="Set LABELOP_LABEL_STUDIO_URL and LABELOP_LABEL_STUDIO_TOKEN_FILE; `make labelstudio` starts one.",
        )
    with Rest(settings.label_studio_url, _token(settings.label_studio_token_file)) as rest:
        yield LabelServer(rest)


def is_onprem(settings: Settings) -> bool:
    """Say whether the server of the settings may be told of every image."""
    return settings.label_studio_onprem or urlsplit(settings.label_studio_url or "").hostname in _LOOPBACK


def image_place(source_uri: str, settings: Settings) -> ImagePlace:
    """Say how the server gets to see the images below a source.

    Args:
        source_uri: Root of the source, as its manifest names it.
        settings: The server's, and those of the object store.

    Raises:
        ReviewError: It cannot.
    """
    parts = urlsplit(source_uri)
    if parts.scheme == "s3":
        prefix = parts.path.strip("/")
        key, secret = settings.s3_key, settings.s3_secret.get_secret_value() if settings.s3_secret else None
        bucket = Bucket(parts.netloc, prefix, settings.s3_endpoint, settings.s3_region, key, secret)
        return ImagePlace(source_uri.rstrip("/") + "/", bucket=bucket if is_onprem(settings) else None)
    if parts.scheme not in {"", "file"}:
        raise ReviewError(
            f"Images at {parts.scheme}:// cannot be shown by Label Studio from here.",
            hint="Write tasks with `labelop review export --prefix` and import them by hand.",
        )
    if not is_onprem(settings):
        raise ReviewError(
            f"{settings.label_studio_url} is elsewhere, and the images lie in a folder here.",
            hint="Set LABELOP_LABEL_STUDIO_ONPREM=true if it stands on premises and sees this folder.",
        )
    folder = Path(unquote(source_uri.removeprefix("file://"))) if parts.scheme else Path(source_uri)
    root = settings.label_studio_root
    if root is None or root.resolve() not in folder.parents:
        raise ReviewError(
            f"The images lie in {folder}, which is no folder below the server's document root {root or '(not set)'}.",
            hint="Set LABELOP_LABEL_STUDIO_ROOT to the folder the server was started with.",
        )
    below = quote(folder.relative_to(root.resolve()).as_posix())
    return ImagePlace(f"{LOCAL_FILES_PREFIX}{below}/", folder=folder)


def backend_token(path: Path) -> str:
    """Read the token that every request to the ML backend needs, or make one at the first use.

    Raises:
        SettingsError: Others may read its file, or it holds none.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    make_key(path)
    return read_key(path, harm="ask for masks of images")


def backend_at(url: str, settings: Settings) -> Backend:
    """Say how the server of the settings reaches the ML backend that shares its token file with this store.

    Raises:
        ReviewError: The address is none, or the server is elsewhere: the backend's token stays on premises.
        SettingsError: Others may read the token.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or shown(url) != url:
        raise ReviewError(f"{shown(url)!r} is no address of a backend; http(s)://host:port without a name is expected.")
    if not is_onprem(settings):
        raise ReviewError(
            f"{settings.label_studio_url} is elsewhere, and the backend's token stays on premises.",
            hint="Set LABELOP_LABEL_STUDIO_ONPREM=true if it stands on premises.",
        )
    return Backend(url, backend_token(settings.backend_token_path))


def _token(path: Path | None) -> str:
    if path is None:
        raise SettingsError(
            "No token for Label Studio is known.", hint="Set LABELOP_LABEL_STUDIO_TOKEN_FILE to the file that holds it."
        )
    token = read_private(path).decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(token):
        raise SettingsError(f"The file {path} holds no token.", hint="Write the token into it and nothing else.")
    return token
