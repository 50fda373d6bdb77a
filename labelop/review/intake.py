"""What every import of reviews shares: collect rows and refusals of one file, then land what is new.

Knows the tables `reviews` and `quarantine`; must not know a file format.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from labelop.effort.ledger import REVIEWED_ARMS
from labelop.effort.parameters import DEFAULTS
from labelop.effort.saved import parameters_of
from labelop.errors import ReviewRecordError
from labelop.ids import digest_of
from labelop.labels import Ontology
from labelop.landing.filters import equal
from labelop.landing.store import Store, land, land_after, read_rows
from labelop.review.annotation_forms import shown
from labelop.review.history import check_alone, look_of, set_positions, successor
from labelop.review.rows import landed_values
from labelop.review.tasks import ReviewTask, load_ontology, load_tasks
from labelop.review.transitions import submit
from labelop.review.worked import Claims, Gap, load_claims, measure
from labelop.roles import load_roles
from labelop.runs import current_version
from labelop.settings import load_settings


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of the reviews of one file; the three counts together are all of them."""

    landed: int
    """Reviews landed by this call."""
    quarantined: int
    """Records that could not be used; each has a row in `quarantine`."""
    skipped: int
    """Reviews that were landed before."""
    unmeasured: int = 0
    """Of those skipped, reviews that landed without the seconds that the file tells now: they are not added."""

    def __add__(self, other: ImportResult) -> ImportResult:
        return ImportResult(
            self.landed + other.landed,
            self.quarantined + other.quarantined,
            self.skipped + other.skipped,
            self.unmeasured + other.unmeasured,
        )


@dataclass(frozen=True, slots=True)
class ImportContext:
    """What the tables know about the dataset a file is about; read once for many files."""

    dataset: str
    """Dataset name."""
    dataset_version: str
    """Dataset version."""
    tasks: Mapping[str, ReviewTask]
    """Tasks by name."""
    ontology: Ontology
    """Classes that may be used."""


def load_context(store: Store, dataset: str, dataset_version: str | None = None) -> ImportContext:
    """Read what an import needs to know about a dataset.

    Raises:
        RunFailedError: The dataset has never been ingested.
    """
    version = dataset_version or current_version(store, dataset)
    tasks = {task.task_uid: task for task in load_tasks(store, dataset, version)}
    return ImportContext(dataset, version, tasks, load_ontology(store, dataset, version))


def encoded_name(path: Path) -> str:
    """Percent-encode a file's name, whatever bytes it holds."""
    return quote(path.name, errors="surrogateescape")


@dataclass(slots=True)
class Reading:
    """What one import has read so far."""

    dataset: str
    """Dataset name."""
    dataset_version: str
    """Dataset version."""
    path: str
    """Percent-encoded name of the file that is read."""
    run_id: str
    """Run that imports it."""
    events_path: str | None = None
    """Percent-encoded name of the file of user events, where there is one."""
    gaps: dict[str, Sequence[Gap]] = field(default_factory=dict)
    """What user events tell of the time of reviews, by review id."""
    reviews: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Rows of `reviews` by review id."""
    pointers: dict[str, str] = field(default_factory=dict)
    """Places of their records by review id."""
    problems: list[dict[str, Any]] = field(default_factory=list)
    """Rows of `quarantine`."""

    def take(self, row: dict[str, Any], gaps: Sequence[Gap] = (), pointer: str = "#") -> None:
        """Keep one review, with what its reviewer's events tell of its time.

        Args:
            row: Row of `reviews`.
            gaps: What the events tell.
            pointer: Place of its record.

        Raises:
            ReviewRecordError: The file holds this review already.
        """
        if row["review_id"] in self.reviews:
            raise ReviewRecordError(f"review {row['review_id']} is in this file already", code="DUPLICATE")
        self.reviews[row["review_id"]] = row
        self.pointers[row["review_id"]] = pointer
        if gaps:
            self.gaps[row["review_id"]] = gaps

    def refuse(self, error: ReviewRecordError, image_id: str | None = None, path: str | None = None) -> None:
        """Note one record that cannot be used, and go on."""
        self.problems.append(
            {
                "dataset": self.dataset,
                "dataset_version": self.dataset_version,
                "path": path or self.path,
                "pointer": error.pointer,
                "image_id": image_id,
                "reason": error.code,
                "detail": shown(error.message),
                **landed_values(self.run_id),
            }
        )

    def land(self, store: Store) -> ImportResult:
        """Land what is new; an annotation that was changed after its import becomes a review of its own, see `history`.

        Raises:
            LandingError: The store did not take the rows.
            ConfigurationError: `roles.yaml` has a fault, or the saved seconds of the dataset cannot be used.
            RoleError: Who imports may only read: reviews come in with the approvals of those who submitted them.
        """
        settings = load_settings(store=store.root)
        roles = load_roles(settings.config / "roles.yaml")
        roles.require(settings.acting_user, "import", self.dataset)
        modelled_by = parameters_of(settings, self.dataset).origin
        where = equal(dataset=self.dataset, dataset_version=self.dataset_version)
        fresh: list[dict[str, Any]] = []
        landed: list[dict[str, Any]] = []
        problems = list(self.problems)

        def look() -> tuple[str, list[dict[str, Any]]]:
            nonlocal fresh, landed
            before, self.problems = read_rows(store, "reviews", filters=where), list(problems)
            fresh, landed = self._fresh(before, load_claims(store) if self.gaps else {})
            for row in fresh:
                # others have no edits (`effort.ledger`), and so no calibrated seconds
                if (
                    row["effort_source"] == DEFAULTS.origin
                    and row["arm"] in REVIEWED_ARMS
                    and row["decision"] == "approved"
                ):
                    row["effort_source"] = modelled_by
            set_positions(fresh, before)
            return digest_of([self.dataset_version, sorted(row["review_id"] for row in before)]), fresh

        land_after(store, "reviews", look)
        if self.problems:
            content = [(p["path"], p["pointer"], p["reason"], p["detail"]) for p in self.problems]
            land(store, "quarantine", self.problems, key=f"reviews:{digest_of([self.dataset_version, content])}")
        # those that were there too: a death may have come between their landing and their first state
        submit(store, [*fresh, *landed], roles, self.run_id)
        late = {name for name, row in self.reviews.items() if name in self.gaps or row["active_seconds"] is not None}
        unmeasured = sum(row["active_seconds"] is None and row["review_id"] in late for row in landed)
        return ImportResult(len(fresh), len(self.problems), len(landed), unmeasured)

    def _fresh(
        self, before: Sequence[Mapping[str, Any]], claims: Claims
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        known = {row["review_id"]: row for row in before}
        fresh: list[dict[str, Any]] = []
        landed: list[dict[str, Any]] = []
        looks = defaultdict(list)
        for row in before:
            looks[look_of(row)].append(row)
        # what is known goes first: of it and a copy, it alone is told from what its earlier states have counted
        for review_id, row in sorted(self.reviews.items(), key=lambda one: one[0] not in known):
            alike = looks[look_of(row)]
            try:
                found, is_new = successor(row, known)
                if is_new:
                    check_alone(row, alike, self.pointers[review_id])
            except ReviewRecordError as error:
                self.refuse(error, row["image_id"])
                continue
            (fresh if is_new else landed).append(found)
            alike.append(row)
            if is_new and review_id in self.gaps:
                try:
                    measure(found, self.gaps[review_id], claims)
                except ReviewRecordError as error:
                    self.refuse(error, row["image_id"], self.events_path)
        return fresh, landed
