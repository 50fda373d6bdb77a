"""Record a dataset version: which arms can label it, and how many files its source held. Knows no image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from labelop.errors import ManifestError
from labelop.landing.filters import equal
from labelop.landing.store import Store, land, read_rows
from labelop.schemas import utc_now

_EXAMPLES = 3


def find_ontology(
    wanted: str | None,
    categories: Sequence[str],
    classes_of: Mapping[str, Iterable[str]],
    refused: Sequence[str] = (),
) -> str:
    """Choose the ontology of a dataset.

    Args:
        wanted: What the operator said, or None.
        categories: Class names used by the dataset's truth; empty without truth.
        classes_of: Class names the detectors know, by ontology.
        refused: Annotation files that were refused as a whole, each with its reason; their classes are unknown.

    Returns:
        The ontology: the operator's word, else the only one that knows all categories.

    Raises:
        ManifestError: Nothing was said and the categories fit no ontology, or more than one.
    """
    known = sorted(classes_of)
    if wanted is not None:
        if wanted not in classes_of:
            raise ManifestError(f"Ontology {wanted!r} is unknown, expected one of {known}.")
        return wanted
    fitting = [name for name in known if categories and set(categories) <= set(classes_of[name])]
    if len(fitting) != 1:
        said = f"The classes {sorted(categories)} fit {fitting or 'no ontology'} of {known}, expected exactly one."
        hint = f"Say which with --ontology {'|'.join(known)}."
        if refused:
            more = len(refused) - _EXAMPLES
            said += f" Refused: {' '.join(refused[:_EXAMPLES])}{f' And {more} more files.' if more > 0 else ''}"
            hint = f"Mend what was refused. {hint}"
        raise ManifestError(said, hint=hint)
    return fitting[0]


def register_dataset(
    store: Store,
    *,
    dataset: str,
    dataset_version: str,
    ontology: str,
    categories: Sequence[str],
    source_uri: str,
    source_format: str,
    declared_level: str | None,
    discovered_count: int,
    run_id: str,
) -> bool:
    """Land the dataset version's row once; True when it is new."""
    row = {
        "dataset": dataset,
        "dataset_version": dataset_version,
        "ontology": ontology,
        "categories": sorted(categories),
        "source_uri": source_uri,
        "source_format": source_format,
        "declared_level": declared_level,
        "discovered_count": discovered_count,
        "run_id": run_id,
        "landed_at": utc_now(),
    }
    return land(store, "datasets", [row], f"{dataset}:{dataset_version}:{ontology}")


def ontology_of(store: Store, dataset: str, dataset_version: str) -> str:
    """Read back the ontology a dataset version was given last.

    Raises:
        ManifestError: The version is not registered.
    """
    where = {"dataset": dataset, "dataset_version": dataset_version}
    events = [row for row in read_rows(store, "runs", filters=equal(**where, event="ingested")) if row["ontology"]]
    rows = events or read_rows(store, "datasets", filters=equal(**where))
    if not rows:
        raise ManifestError(
            f"Dataset {dataset} {dataset_version} is not registered.", hint="Run `labelop ingest` first."
        )
    return str(max(rows, key=lambda r: r["landed_at"])["ontology"])
