"""A shard: the range of a plan that one child run does with its models loaded once. Knows no orchestrator."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from labelop import memory
from labelop.catalog.cards import ModelCard, load_catalog
from labelop.egress.environment import check_environment
from labelop.egress.set_up import open_gate
from labelop.engines.prelabeller import ArmModels, Prelabeller, open_cloud, open_local
from labelop.errors import CatalogError, ConfigurationError, LabelopError, PlacementForbiddenError, SettingsError
from labelop.landing.store import Store, land_many
from labelop.prelabel.assign import ONPREM
from labelop.prelabel.batch import BatchContext, BatchResult, Originals, image_refs, open_originals, run_batch
from labelop.prelabel.plan import PlannedBatch, load_plan, models_for
from labelop.prelabel.ranges import ShardRange
from labelop.routing.policy import Arm, RoutingPolicy, load_routing
from labelop.sensitivity.clearance import cloud_group
from labelop.sensitivity.policy import load_policy
from labelop.sensitivity.release import release_form
from labelop.settings import Settings, process_environment

_TASK_OF = {"detector": "detection", "segmenter": "segmentation", "classifier": "classification"}
"""Task a card must have for each role of an arm."""

_ANY = "any"
"""Ontology of a card that speaks none of its own."""


def arm_models(settings: Settings, routing: RoutingPolicy, ontology: str) -> dict[str, ArmModels]:
    """Look up the model cards of every arm of an ontology.

    Raises:
        CatalogError: An arm names a card that the catalog does not have, or one of another task or ontology than its
            role and arm; or no arm has this ontology.
    """
    catalog = load_catalog(settings.catalog)
    arms: dict[str, ArmModels] = {}
    for arm in routing.arms:
        if arm.ontology != ontology:
            continue
        named = {"detector": arm.detector, "segmenter": arm.segmenter, "classifier": arm.classifier}
        for role, card in named.items():
            if card is not None:
                _check_role(settings, catalog, arm, role, card)
        arms[arm.arm] = ArmModels(
            detector=catalog[arm.detector],
            segmenter=catalog[arm.segmenter] if arm.segmenter else None,
            classifier=catalog[arm.classifier] if arm.classifier else None,
        )
    if not arms:
        known = sorted({arm.ontology for arm in routing.arms})
        raise CatalogError(f"No arm labels the ontology {ontology!r}, expected one of {known}.")
    return arms


def check_arms(settings: Settings, routing: RoutingPolicy) -> None:
    """Look up the model cards of every arm there is, so that a wrong one fails before any work.

    Raises:
        CatalogError: As `arm_models`.
    """
    for ontology in sorted({arm.ontology for arm in routing.arms}):
        arm_models(settings, routing, ontology)


def _check_role(settings: Settings, catalog: Mapping[str, ModelCard], arm: Arm, role: str, named: str) -> None:
    def fits(one: ModelCard) -> bool:
        return one.task == _TASK_OF[role] and one.ontology in (arm.ontology, _ANY)

    card = catalog.get(named)
    if card is None or not fits(card):
        found = "which no card has" if card is None else f"a {card.task} model of ontology {card.ontology!r}"
        allowed = sorted(name for name, one in catalog.items() if fits(one))
        raise CatalogError(
            f"File {settings.config / 'routing.yaml'}: arm {arm.arm!r} of ontology {arm.ontology!r}: key {role} has "
            f"the value {named!r}, {found}; allowed are {_TASK_OF[role]} models of ontology {arm.ontology!r} or "
            f"{_ANY!r}: {allowed}.",
            hint=f"Cards are read from {settings.catalog}.",
        )


def ontology_classes(catalog: Mapping[str, ModelCard], ontology: str) -> tuple[str, ...]:
    """Name every class of an ontology, by all detectors and classifiers of the catalog that speak it.

    No single model says what may land: the one that is running could not be found wrong by its own card.

    Args:
        catalog: Model cards by id.
        ontology: Name of the ontology; cards of ontology `any` say nothing about it.

    Returns:
        Class names, sorted.
    """
    speaking = [c for c in catalog.values() if c.ontology == ontology and c.task in ("detection", "classification")]
    return tuple(sorted({name for card in speaking for name in card.classes}))


@dataclass(slots=True)
class OpenShard:
    """A shard with its inputs read and its engines opened as they are needed."""

    range: ShardRange
    """What to do."""
    batches: tuple[PlannedBatch, ...]
    """Batches of the range, in order; some may have landed meanwhile."""
    context: BatchContext
    """What all batches share."""
    arms: Mapping[str, ArmModels]
    """Models by arm."""
    classes: tuple[str, ...]
    """Every class of the ontology, by all cards of the catalog; see `ontology_classes`."""
    store: Store
    """Where attempts are booked."""
    is_emulated: bool
    """Whether the routing policy calls the placement emulated."""
    engines: dict[tuple[str, str], Prelabeller] = field(default_factory=dict)
    """Prelabellers by arm and role."""
    ready: set[tuple[str, str]] = field(default_factory=set)
    """Those of them whose models can answer."""
    originals: Originals | None = None
    """Reads originals ahead; opened with the first batch."""

    def run_for(
        self,
        seconds: float,
        waiting: deque[PlannedBatch],
        take: Callable[[BatchResult], None],
        look: Callable[[], None],
    ) -> list[tuple[PlannedBatch, LabelopError]]:
        """Prelabel batches until some seconds are over, at least one: a step long enough to be worth being watched.

        Args:
            seconds: For how long.
            waiting: Batches in order; those that were tried are taken out.
            take: Gets each result as it is there.
            look: Called before each batch; ends the step by raising.

        Returns:
            Batches that failed, with why.

        Raises:
            ConfigurationError: A card or setting is wrong, for this batch as for all others.
        """
        ends_at = time.monotonic() + seconds
        failed: list[tuple[PlannedBatch, LabelopError]] = []
        while waiting:
            look()
            batch = waiting.popleft()
            try:
                result = self.run(batch, waiting[0] if waiting else None)
            except ConfigurationError:
                raise
            except LabelopError as error:
                # one batch's trouble may not cost the others their turn
                failed.append((batch, error))
            else:
                take(result)
            if time.monotonic() >= ends_at:
                break
        return failed

    def run(self, batch: PlannedBatch, following: PlannedBatch | None = None) -> BatchResult:
        """Prelabel one batch with the models of its arm; see `run_batch`. A failed attempt is booked before it ends.

        An attempt begins when its models can answer: a server that is not there costs nothing.

        Args:
            batch: What to do.
            following: What comes next: its originals are read while this one lands.
        """
        prelabeller, cold_start_seconds = self._ready(batch)
        if self.originals is None:
            self.originals = open_originals(self.context)
        return run_batch(
            self.context,
            batch,
            prelabeller,
            lambda usage: self.book([usage]),
            cold_start_seconds=cold_start_seconds,
            originals=self.originals,
            following=following,
        )

    def book(self, usages: Sequence[Mapping[str, Any]], outcome: str | None = None) -> None:
        """Book attempts whose work was done and paid for, though no rows of them land; one that is booked stays so.

        Args:
            usages: Rows of `usage`.
            outcome: What became of them; what the rows say when None.
        """
        rows = [{**usage, "outcome": outcome or usage["outcome"]} for usage in usages]
        if rows:
            land_many(self.store, "usage", [(str(row["attempt_id"]), [row]) for row in rows])

    def group_of_image(self, image_id: str) -> str:
        """Name an image's level, and the rule by which it may go to the cloud where it needs one."""
        return cloud_group(self.context.policy, self.context.refs[image_id].standing)

    def _ready(self, batch: PlannedBatch) -> tuple[Prelabeller, float | None]:
        """Give a batch's prelabeller, and how long it took to get ready where this call waited for that."""
        key, started = (batch.arm, batch.role), time.perf_counter()
        if key not in self.engines:
            self.engines[key] = self._open(models_for(self.arms[batch.arm], batch.role))
        if key in self.ready:
            return self.engines[key], None
        self.engines[key].open()
        self.ready.add(key)
        return self.engines[key], time.perf_counter() - started

    def _open(self, models: ArmModels) -> Prelabeller:
        settings = self.context.settings
        if self.range.placement == ONPREM:
            return open_local(models, settings)
        if not settings.cloud_url:
            raise SettingsError(
                "LABELOP_CLOUD_URL is empty, expected the address of an Open Inference Protocol v2 server.",
                hint="`python -m labelop.engines.serve` starts one; `labelop nightly` does so by itself.",
            )
        gate = open_gate(self.context.policy, settings, self.range.placement, forms=release_form)
        return open_cloud(models, settings, gate, settings.cloud_url, self.context.run_id, simulated=self.is_emulated)


@contextmanager
def open_shard(store: Store, shard: ShardRange, ontology: str, settings: Settings, run_id: str) -> Iterator[OpenShard]:
    """Read what a shard needs and close its engines afterwards.

    Raises:
        PlacementForbiddenError: This process belongs to another placement.
        SettingsError: It is on premises and has a cloud credential in its environment.
        ManifestError: The plan has not landed.
        CatalogError: A model of an arm is not in the catalog.
    """
    _check_place(settings, shard.placement)
    plan = load_plan(store, shard.plan_id, shard.batches())
    policy = load_policy(settings.config / "policy.yaml")
    routing = load_routing(settings.config / "routing.yaml")
    context = BatchContext(plan, image_refs(store, plan, policy), policy, settings, run_id)
    place = routing.placements.get(shard.placement)
    opened = OpenShard(
        shard,
        plan.batches,
        context,
        arms=arm_models(settings, routing, ontology),
        classes=ontology_classes(load_catalog(settings.catalog), ontology),
        store=store,
        is_emulated=place is not None and place.emulated,
    )
    try:
        yield opened
    finally:
        if opened.originals is not None:
            opened.originals.close()
        for engine in opened.engines.values():
            engine.close()
        # a worker does one shard after the other: what this one needed is not what the next one finds taken
        memory.give_back()


def _check_place(settings: Settings, placement: str) -> None:
    """Hold a process that belongs to one placement to it; an embedded run belongs to none."""
    if settings.placement not in (None, placement):
        raise PlacementForbiddenError(
            f"A shard for {placement} reached a process of {settings.placement}.",
            hint="Each work pool serves one placement; see deployments/prefect.yaml.",
        )
    if settings.placement is not None:
        check_environment(settings.placement, process_environment())
