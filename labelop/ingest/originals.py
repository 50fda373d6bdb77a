"""Read one original again, and tell what is true of the file for good from what is only true of the source just now.

A landed row is final, so only a fact about the file may become one; trouble with the store must leave the image to do.
Knows no batch, no engine and no level.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from labelop import ids
from labelop.errors import ManifestError, SourceUnavailableError, UnreadableImageError
from labelop.ingest import names
from labelop.ingest.decode import Frame, ImageArray
from labelop.ingest.decoders import Decoded, decoders
from labelop.ingest.places import LocalPlace, open_place
from labelop.ingest.sources import read_original
from labelop.settings import Settings

_NO_FILE = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENXIO})
"""What opening answers for a link, below a file and for a socket: another thing lies there now."""


def read_pixels(image_id: str, source_uri: str, path: str, settings: Settings) -> ImageArray:
    """Read and decode one original of the manifest.

    Args:
        image_id: SHA-256 that its bytes must have.
        source_uri: Root of its source.
        path: Percent-encoded path below the root.
        settings: How to reach an object store.

    Returns:
        Upright RGB pixels, shape (height, width, 3).

    Raises:
        UnreadableImageError: For good: as `read_bytes`, or the bytes cannot be decoded.
        SourceUnavailableError: For now: the source, or the way to the file, is away.
    """
    return decoders().decode(read_bytes(image_id, source_uri, path, settings))


def read_frames(
    originals: Sequence[tuple[str, str, str, Frame]], settings: Settings
) -> list[Decoded | UnreadableImageError]:
    """Read several originals and decode no more of their pixels than the models take.

    Args:
        originals: Image id, root of its source, path below the root and what the models take.
        settings: How to reach an object store.

    Returns:
        For each one upright RGB pixels and facts; or why there are none, for good.

    Raises:
        SourceUnavailableError: For now: the source, or the way to a file, is away.
    """
    found: dict[int, Decoded | UnreadableImageError] = {}
    files = {}
    for at, (image_id, source_uri, path, frame) in enumerate(originals):
        try:
            files[at] = (read_bytes(image_id, source_uri, path, settings), frame)
        except UnreadableImageError as error:
            found[at] = error
    found.update(zip(files, decoders().decode_each(list(files.values())), strict=True))
    return [found[at] for at in range(len(originals))]


def read_bytes(image_id: str, source_uri: str, path: str, settings: Settings) -> bytes:
    """Read one original of the manifest and make sure that it is the image.

    Args:
        image_id: SHA-256 that its bytes must have.
        source_uri: Root of its source.
        path: Percent-encoded path below the root.
        settings: How to reach an object store.

    Raises:
        UnreadableImageError: For good: the bytes changed, or the file is gone from a source that is there.
        SourceUnavailableError: For now: the source, or the way to the file, is away.
    """
    if not names.is_safe(path):
        raise UnreadableImageError(
            f"The path of image {image_id[:12]} does not stay below its source.", code="BAD_PATH"
        )
    try:
        data = read_original(source_uri, path, settings)
    except UnreadableImageError as error:
        raise _judged(error, image_id, source_uri, settings) from error
    except (ManifestError, OSError) as error:
        raise _unavailable(image_id, source_uri, str(getattr(error, "message", error))) from error
    if ids.sha256_hex(data) != image_id:
        raise UnreadableImageError(f"Image {image_id[:12]} has other bytes than at ingest.", code="CHANGED")
    return data


def _judged(error: UnreadableImageError, image_id: str, source_uri: str, settings: Settings) -> ManifestError:
    cause = error.__cause__
    if isinstance(cause, FileNotFoundError):
        if _is_there(source_uri, settings):
            return UnreadableImageError(f"The file of image {image_id[:12]} is gone.", code="GONE")
        return _unavailable(image_id, source_uri, "its root is missing or empty")
    if isinstance(cause, OSError) and cause.errno not in _NO_FILE:
        return _unavailable(image_id, source_uri, type(cause).__name__ if cause.errno is None else str(cause.strerror))
    if error.code == "UNSTABLE":
        return _unavailable(image_id, source_uri, "the file changed while it was read")
    return error


def _is_there(source_uri: str, settings: Settings) -> bool:
    """Say whether a root is there and holds something: the folder of an absent mount is there, and empty."""
    try:
        place = open_place(source_uri, settings)
        if not isinstance(place, LocalPlace):
            return True  # a prefix without objects is not there
        with os.scandir(place.root) as entries:
            return next(entries, None) is not None
    except (ManifestError, OSError):
        return False


def _unavailable(image_id: str, source_uri: str, what: str) -> SourceUnavailableError:
    return SourceUnavailableError(
        f"Image {image_id[:12]} of source {source_uri} cannot be read now: {what.rstrip('.')}.",
        hint="Make the source readable and run again: only what has not landed is done.",
        image_id=image_id,
    )
