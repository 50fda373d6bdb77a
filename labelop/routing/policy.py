"""The routing policy: placements, the arms of each ontology and an operator's refusals, one versioned file.

Knows no image and no price. It cannot allow what the sensitivity policy forbids: it only has refusals to add.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from labelop.forms import FirstSchema, StrictForm, read_form
from labelop.ids import digest_of

_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
_Text = Annotated[str, Field(min_length=1, max_length=500)]
_Placement = Literal["onprem", "cloud"]
_PLACEMENT_OF = {"local": "onprem", "cloud": "cloud"}


class _PlacementForm(StrictForm):
    online: bool = True
    emulated: bool = False


class _OntologyForm(StrictForm):
    labels_per_image: Annotated[float, Field(gt=0, le=10000)]


class _ArmForm(StrictForm):
    arm: Literal["local", "cloud"]
    placement: _Placement
    ontology: _Name
    detector: _Name
    segmenter: _Name | None = None
    classifier: _Name | None = None
    seconds_per_image: Annotated[float, Field(gt=0, le=3600)]


class _RefusalForm(StrictForm):
    id: _Name
    dataset: _Text = "*"
    placement: _Placement
    because: _Text


class _RoutingForm(StrictForm):
    version_of_schema: FirstSchema = Field(alias="schema")
    version: _Text
    compare_share: Annotated[float, Field(ge=0, le=1)]
    placements: dict[_Placement, _PlacementForm]
    ontologies: dict[_Name, _OntologyForm]
    arms: Annotated[tuple[_ArmForm, ...], Field(min_length=1)]
    refusals: tuple[_RefusalForm, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        here = self.placements.get("onprem")
        if here is not None and here.emulated:
            raise ValueError(
                "key placements.onprem.emulated has the value True; allowed is False, only a cloud is emulated"
            )
        seen: set[tuple[str, str]] = set()
        for number, arm in enumerate(self.arms):
            key = f"key arms.{number}"
            if arm.placement != _PLACEMENT_OF[arm.arm]:
                raise ValueError(
                    f"{key}.placement has the value {arm.placement!r}; arm {arm.arm} allows {_PLACEMENT_OF[arm.arm]!r}"
                )
            if arm.placement not in self.placements:
                raise ValueError(f"{key}.placement has the value {arm.placement!r}; allowed are {[*self.placements]}")
            if arm.ontology not in self.ontologies:
                raise ValueError(f"{key}.ontology has the value {arm.ontology!r}; allowed are {[*self.ontologies]}")
            if (arm.arm, arm.ontology) in seen:
                raise ValueError(f"{key} is a second {arm.arm} arm of ontology {arm.ontology!r}; one is allowed")
            seen.add((arm.arm, arm.ontology))
        return self


@dataclass(frozen=True, slots=True)
class Placement:
    """Where work may run."""

    name: str
    """onprem | cloud."""
    online: bool
    """Whether it can be reached now."""
    emulated: bool
    """Whether a machine outside the cloud plays it; then every number from it is marked as simulated."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One alternative to prelabel images of an ontology."""

    arm: str
    """local | cloud."""
    placement: str
    """onprem | cloud."""
    ontology: str
    """Labels it speaks."""
    detector: str
    """Id of the model card that finds objects."""
    segmenter: str | None
    """Id of the model card that turns boxes into masks, or None."""
    classifier: str | None
    """Id of the model card that labels the whole image, or None."""
    seconds_per_image: float
    """Machine seconds per image to expect until a run has measured them."""

    @property
    def cards(self) -> tuple[str, ...]:
        """Ids of all its model cards."""
        return tuple(card for card in (self.detector, self.segmenter, self.classifier) if card is not None)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An operator's veto."""

    id: str
    """Rule id, shown with every decision it made."""
    dataset: str
    """Pattern of dataset names, with `*` and `?`."""
    placement: str
    """Placement that is refused."""
    because: str
    """The reason, as a clause a person understands."""

    def covers(self, dataset: str, placement: str) -> bool:
        """Say whether it refuses this dataset at this placement."""
        return placement == self.placement and fnmatchcase(dataset, self.dataset)


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """Everything routing is told in advance."""

    version: str
    """Version its author gave it."""
    digest: str
    """SHA-256 of the content, 64 hex digits."""
    placements: Mapping[str, Placement]
    """Placements by name."""
    labels_per_image: Mapping[str, float]
    """Labels an image has in the mean, by ontology."""
    arms: tuple[Arm, ...]
    """Alternatives, in the file's order."""
    compare_share: float
    """Share of images, 0..1, that every allowed arm prelabels."""
    refusals: tuple[Refusal, ...]
    """Vetoes beside the built-in hard rules."""

    def arms_of(self, ontology: str) -> dict[str, Arm]:
        """List the arms of an ontology by name."""
        return {arm.arm: arm for arm in self.arms if arm.ontology == ontology}


def load_routing(path: Path) -> RoutingPolicy:
    """Read a routing policy.

    Raises:
        PolicyError: The file breaks its form; names file, key, value found and what is allowed.
    """
    form = read_form(path, _RoutingForm)
    return RoutingPolicy(
        version=form.version,
        digest=digest_of(form.model_dump(mode="json", by_alias=True)),
        placements={name: Placement(name, place.online, place.emulated) for name, place in form.placements.items()},
        labels_per_image={name: ontology.labels_per_image for name, ontology in form.ontologies.items()},
        arms=tuple(
            Arm(a.arm, a.placement, a.ontology, a.detector, a.segmenter, a.classifier, a.seconds_per_image)
            for a in form.arms
        ),
        compare_share=form.compare_share,
        refusals=tuple(Refusal(r.id, r.dataset, r.placement, r.because) for r in form.refusals),
    )
