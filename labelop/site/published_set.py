"""What head office gives its sites: models, policy, routing and prices as one signed set. Knows no network.

A set is a list of files with their digests, signed with head office's key. It counts as a whole or not at all, so that
a routing never names a model that has not come yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Protocol

from pydantic import Field, ValidationError

from labelop.catalog.files import sha256_of_file
from labelop.egress.public_keys import Keyring, PublicKey
from labelop.errors import PublishedError
from labelop.forms import FirstSchema, StrictForm
from labelop.ids import canonical_json, sha256_hex
from labelop.strict_text import read_json

CONFIG, MODELS = "config", "models"
"""Folders of a set: what `LABELOP_CONFIG` and `LABELOP_CATALOG` of a site point at."""
CONFIG_FILES = ("policy.yaml", "routing.yaml", "prices.yaml")
"""Files every set has."""

_DOMAIN = b"labelop/published/1\0"
_MOST_BYTES = 1 << 20
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _FileForm(StrictForm):
    path: Annotated[str, Field(pattern=r"^(config|models)/[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$")]
    sha256: _Digest
    size_bytes: Annotated[int, Field(ge=0)]


class _SetForm(StrictForm):
    form: FirstSchema = Field(alias="schema")
    issued_ms: Annotated[int, Field(ge=0)]
    files: Annotated[list[_FileForm], Field(min_length=len(CONFIG_FILES))]
    key_id: Annotated[str, Field(pattern=r"^k-[0-9a-f]{32}$")]
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class Signer(Protocol):
    """Whoever can sign for head office."""

    @property
    def key_id(self) -> str:
        """Name of the key."""

    def sign(self, domain: bytes, data: bytes) -> bytes:
        """Sign data of one domain."""


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One file of a set."""

    path: str
    """Relative, below `config` or `models`."""
    sha256: str
    """Digest of its bytes, 64 hex digits; also its name where it is published."""
    size_bytes: int
    """Its size."""


@dataclass(frozen=True, slots=True)
class PublishedSet:
    """One signed set."""

    issued_ms: int
    """When it was signed in its signer's word, ms since 1970; of one key a later set replaces an earlier one."""
    files: tuple[PublishedFile, ...]
    """Its files, by path."""
    digest: str
    """Names the set, 64 hex digits."""


def sign_set(config: Path, models: Path, key: Signer, issued_ms: int) -> tuple[PublishedSet, bytes]:
    """Sign the files of two folders as one set.

    Args:
        config: Folder of `CONFIG_FILES`; other files in it are left out.
        models: Folder of the model cards; everything below it but hidden files goes along.
        key: Head office's key.
        issued_ms: Now, milliseconds since 1970.

    Returns:
        The set, and its index as it is published.

    Raises:
        PublishedError: A file is missing or has a name that cannot be published.
    """
    found = {f"{CONFIG}/{name}": config / name for name in CONFIG_FILES}
    below = (path for path in sorted(models.rglob("*")) if path.is_file())
    found |= {f"{MODELS}/{path.relative_to(models).as_posix()}": path for path in below if path.name[0] != "."}
    try:
        listed = [{"path": p, "sha256": sha256_of_file(f), "size_bytes": f.stat().st_size} for p, f in found.items()]
    except OSError as error:
        raise PublishedError(f"{error.filename} cannot be published: {error.strerror}.") from error
    said = {"schema": 1, "issued_ms": issued_ms, "files": listed, "key_id": key.key_id}
    signature = key.sign(_DOMAIN, canonical_json(said).encode()).hex()
    index = canonical_json({**said, "signature": signature}).encode()
    return _parsed(_checked(index)), index


def read_set(index: bytes, keyring: Keyring) -> PublishedSet:
    """Read an index that was admitted before; its key may have been retired since.

    Raises:
        PublishedError: It breaks its form, or the signature is not one of head office's.
    """
    return _parsed(_signed(index, keyring)[0])


def admit_set(index: bytes, keyring: Keyring, now_ms: int, in_force: bytes | None) -> PublishedSet:
    """Read an index that has come, and say whether it may take the place of the one in force.

    When it was signed is its own word, and whoever stole a key that was replaced chooses it. So a retired key is good
    for nothing new, and behind a set of a newer key none of an older one is.

    Args:
        index: What has come.
        keyring: Head office's public keys.
        now_ms: Time here, milliseconds since 1970.
        in_force: Index of the set in force; None where there is none.

    Raises:
        PublishedError: It breaks its form, its key is not or no longer good, or it is older than the one in force.
    """
    form, key = _signed(index, keyring)
    if keyring.find(form.key_id, max(now_ms, form.issued_ms)) is None:
        raise PublishedError(
            f"What head office published is signed with {form.key_id}, which is retired.",
            hint="Head office signs its set with the new key: `labelop publish` there.",
        )
    found = _parsed(form)
    if in_force is None:
        return found
    installed, its_key = _signed(in_force, keyring)
    if (key.created_ms, form.issued_ms) <= (its_key.created_ms, installed.issued_ms):
        raise PublishedError(
            f"Head office's set {found.digest[:12]} is older than {_parsed(installed).digest[:12]}, which is in force "
            "here, or of an older key.",
            hint="It stays in force. Find out who put an old index back.",
        )
    return found


def files_of(folder: Path, published: PublishedSet) -> dict[str, Path]:
    """Name the files of a set inside a folder, by path."""
    return {one.path: folder.joinpath(*PurePosixPath(one.path).parts) for one in published.files}


def _signed(index: bytes, keyring: Keyring) -> tuple[_SetForm, PublicKey]:
    form = _checked(index)
    key = keyring.find(form.key_id, 0)
    said = canonical_json(form.model_dump(by_alias=True, exclude={"signature"})).encode()
    if key is None or not key.verifies(bytes.fromhex(form.signature), _DOMAIN, said):
        raise PublishedError(
            f"What head office published is signed with {form.key_id}, which is unknown or does not fit.",
            hint="LABELOP_HEAD_KEYS names the folder of its public keys; `labelop keys export-public` there writes it.",
        )
    return form, key


def _checked(index: bytes) -> _SetForm:
    try:
        form = _SetForm.model_validate(read_json(index, _MOST_BYTES))
    except (ValidationError, ValueError) as error:
        raise PublishedError("What head office published has not the form of an index of files.") from error
    paths = [one.path for one in form.files]
    missing = sorted({f"{CONFIG}/{name}" for name in CONFIG_FILES} - set(paths))
    if missing or len(set(paths)) != len(paths):
        raise PublishedError(f"What head office published lacks {missing} or names a file twice.")
    return form


def _parsed(form: _SetForm) -> PublishedSet:
    files = tuple(PublishedFile(one.path, one.sha256, one.size_bytes) for one in form.files)
    said = form.model_dump(by_alias=True, exclude={"signature", "key_id"})
    return PublishedSet(form.issued_ms, files, sha256_hex(canonical_json(said).encode()))
