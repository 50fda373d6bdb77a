"""The way in to prelabelling: an arm's models opened on this machine, or reached through the gate.

Knows no table and no routing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from labelop.egress.gate import Gate
from labelop.engines.base import Engine, chosen_engine, open_engine
from labelop.engines.compose import ArmModels, ComposedArm, ImageResult, arm_parameters
from labelop.engines.lanes import CloudLane, ImageItem, LocalLane
from labelop.engines.remote import RemoteEngine
from labelop.ingest.decode import Frame
from labelop.settings import Settings

__all__ = [
    "ArmModels",
    "ImageItem",
    "ImageResult",
    "Prelabeller",
    "arm_parameters",
    "open_cloud",
    "open_local",
    "with_engines",
]


class Prelabeller(Protocol):
    """Makes draft labels for images."""

    @property
    def model_id(self) -> str:
        """Id of the detector."""
        ...

    @property
    def model_digest(self) -> str:
        """Digest of the detector's card and weights."""
        ...

    @property
    def engine_name(self) -> str:
        """Kind of engine."""
        ...

    @property
    def device(self) -> str | None:
        """Where it runs: cpu | cuda | tensorrt | server; None where nobody said."""
        ...

    @property
    def engine_reason(self) -> str | None:
        """Why this engine, in words; None where nobody said."""
        ...

    @property
    def parameters(self) -> dict[str, Any]:
        """Everything else that changes predictions, as JSON values, for the batch id."""
        ...

    @property
    def simulated(self) -> bool:
        """Whether the placement is emulated on this machine."""
        ...

    @property
    def most_passes(self) -> int | None:
        """Most calls of `prelabel` at a time, from as many threads; None for as many as there are cores."""
        ...

    @property
    def most_images(self) -> int:
        """Images that are worth handing over in one call: as many as one of its models takes in a pass."""
        ...

    @property
    def frame(self) -> Frame:
        """What pixels the models take."""
        ...

    def open(self) -> None:
        """Wait until every model can answer, a server's included; a first call without it waits by itself.

        Raises:
            ConfigurationError: A server has other models, or does not admit this client.
            EngineUnavailableError: A server cannot be reached.
            EngineTimeoutError: A server did not answer in time.
        """
        ...

    def prelabel(self, items: Sequence[ImageItem]) -> list[ImageResult]:
        """Make draft labels; one result per item, in order.

        Raises:
            EngineUnavailableError: The server did not answer; nothing is decided about these images.
            EngineTimeoutError: The same, by time.
            LabelopError: With `costs` in its context, what was spent until then (`Cost`).
        """
        ...

    def close(self) -> None:
        """Free what was opened."""
        ...


def open_local(arm: ArmModels, settings: Settings) -> Prelabeller:
    """Open the models of an arm on this machine.

    Raises:
        CatalogError: A model's file is missing or not allowed.
        DigestMismatchError: A file is not the one its card pins.
        ModelLoadError: A file is no model of its family.
    """
    engines = {card.id: open_engine(card, settings) for card in arm.cards}
    return ComposedArm(arm, LocalLane(engines, {card.id: chosen_engine(card, settings) for card in arm.cards}))


def open_cloud(
    arm: ArmModels, settings: Settings, gate: Gate, endpoint: str, run_id: str = "", *, simulated: bool
) -> Prelabeller:
    """Reach the models of an arm on a server, through the gate.

    Args:
        arm: The models; the server must serve them.
        settings: Settings of the run.
        gate: Decides which image may leave.
        endpoint: Base URL of an Open Inference Protocol v2 server.
        run_id: Written into the audit log.
        simulated: Whether the routing policy calls this placement emulated. A loopback endpoint is marked as well
            when it does not: an emulated number must not go without its mark because somebody forgot the key.

    Raises:
        SettingsError: The endpoint is no URL.
    """
    engine = RemoteEngine(
        endpoint,
        placement=gate.placement,
        timeout_seconds=settings.cloud_timeout_seconds,
        requests=settings.cloud_requests,
        compress=settings.cloud_compress,
        check=lambda released: gate.check(released, run_id),
    )
    return ComposedArm(arm, CloudLane(engine, gate, run_id, simulated=simulated or engine.is_loopback))


def with_engines(arm: ArmModels, engines: Mapping[str, Engine]) -> Prelabeller:
    """Compose an arm from engines by model id; the way in for tests with a fixed engine."""
    return ComposedArm(arm, LocalLane(engines))
