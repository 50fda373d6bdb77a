"""Says whether a released label set is still what was released: its files, its manifest and its name fit together.

Needs the folder alone; with the store that released it a rebuilt manifest shows as well. Knows no label.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelop.errors import ReviewFormatError
from labelop.ids import row_id, sha256_hex
from labelop.landing.filters import equal
from labelop.landing.store import Store, read_rows
from labelop.review.label_set import MANIFEST
from labelop.strict_text import read_json

_MOST_BYTES = 1 << 26


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one part of a label set."""

    part: str
    """A file, `name` or `listed`."""
    ok: bool
    """Whether it is what was released."""
    detail: str
    """What is wrong, or what was compared."""


def check_label_set(folder: Path, store: Store | None) -> list[Checked]:
    """Check a folder that `labelop release` wrote.

    Args:
        folder: The folder.
        store: The store that lists it; None to check the folder alone.

    Raises:
        ReviewFormatError: There is no manifest, or it has not the form of one.
    """
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        manifest = read_json(data, _MOST_BYTES)
        said = {name: value for name, value in manifest.items() if name != "label_set_id"}
        name, files = str(manifest["label_set_id"]), dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReviewFormatError(f"{path} is no manifest of a label set.") from error
    fits = name == row_id("ls", said)
    found = [Checked("name", fits, f"{name} {'is' if fits else 'is not'} the name of this manifest")]
    found += list(_files(folder, files))
    return [*found, *_listed(store, name, sha256_hex(data))]


def _files(folder: Path, files: dict[str, Any]) -> Iterator[Checked]:
    there = {path.name for path in folder.iterdir()} - {MANIFEST}
    for name in sorted(there | set(files)):
        if name not in files:
            yield Checked(name, ok=False, detail="is not in the manifest")
        elif name not in there:
            yield Checked(name, ok=False, detail="is missing")
        else:
            wanted = files[name].get("sha256") if isinstance(files[name], dict) else None
            got = sha256_hex((folder / name).read_bytes())
            yield Checked(name, got == wanted, f"hashes to {got[:12]}, the manifest says {str(wanted)[:12]}")


def _listed(store: Store | None, name: str, digest: str) -> Iterator[Checked]:
    if store is None:
        return
    rows = read_rows(store, "label_sets", filters=equal(label_set_id=name))
    if not rows:
        yield Checked("listed", ok=False, detail=f"{name} is no release of {store.root}")
    for row in rows:
        same = row["manifest_digest"] == digest
        yield Checked("listed", same, f"released by {row['released_by']}{'' if same else ' with another manifest'}")
