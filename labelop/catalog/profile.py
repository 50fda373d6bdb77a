"""What was measured about models on a machine: the rows of `profiles`, how they land, and which of them count.

Knows no engine and no library that runs models: `labelop.engines.measure` makes the figures.
"""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from labelop.ids import digest_of, row_id
from labelop.landing.store import Store, land, read_rows
from labelop.schemas import utc_now

WAY = ("engine", "precision", "device", "compiled", "images_count")
"""Columns of `profiles` that name one way to run a model."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The machine that measured."""

    cpu: str
    """Processor, as the system names it."""
    cores_count: int
    """Cores this process may use."""
    memory_bytes: int
    """Memory of the machine, bytes; 0 where the system does not tell."""
    system: str
    """Kernel name and machine type."""

    @property
    def host_id(self) -> str:
        """Name of this kind of machine: equal machines share their profiles."""
        return row_id("h", self.cpu, self.cores_count, self.memory_bytes >> 30, self.system)


@dataclass(frozen=True, slots=True)
class Measured:
    """One engine, one model, one batch size."""

    engine: str
    """onnxruntime | openvino | torch."""
    engine_version: str | None
    """Version of its library."""
    engine_name: str
    """What it writes into the `engine` column."""
    precision: str
    """f32 | bf16."""
    device: str
    """cpu | cuda | tensorrt."""
    compiled: bool
    """Whether torch compiled the model."""
    reference: bool
    """Whether the others are compared with this one."""
    images_count: int
    """Images of one pass."""
    rounds_count: int
    """Rounds of which `image_seconds` is the median."""
    image_seconds: float | None
    """Median over the rounds: wall time by the images of all lanes together; None when it failed."""
    lanes_count: int
    """Passes side by side, as in a worker."""
    energy_joules_per_image: float | None
    """Mean over the rounds, of the whole package or GPU; None where it is not told."""
    energy_source: str | None
    """rapl | nvml, or None."""
    energy_reason: str | None
    """Why there is no energy, or None."""
    growth_bytes: int | None
    """Peak growth of the process' resident memory by loading and first passes; None where it is not told."""
    compared_count: int
    """Objects or images by which it was compared with the reference."""
    difference: float | None
    """How far its results are from the reference's, 0..1; see `labelop.engines.parity`."""
    tolerance: float
    """Largest difference with which it may be chosen."""
    agrees: bool
    """Whether it may be chosen."""
    outcome: str
    """measured | failed."""
    reason: str | None
    """Why it failed, or None."""


@functools.cache
def host_facts() -> HostFacts:
    """Describe this machine; reads the system's files once."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []  # not Linux: the interpreter's own word remains
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        memory = 0
    return HostFacts(cpu, cores, memory, f"{platform.system()} {platform.machine()}")


def land_profile(
    store: Store, model_id: str, model_digest: str, threads: int, measured: Sequence[Measured]
) -> list[dict[str, Any]]:
    """Land what one run measured about one model.

    Args:
        store: Where.
        model_id: The model.
        model_digest: Its card's digest.
        threads: Threads each engine had.
        measured: The figures, of this machine.

    Returns:
        The rows as landed, each new: figures of two runs are never equal to the last digit.
    """
    host = host_facts()
    facts = [asdict(one) for one in measured]
    profile_set = row_id("ps", model_digest, host.host_id, threads, facts)
    rows = [
        {
            "profile_id": row_id("pf", profile_set, position),
            "profile_set": profile_set,
            "model_id": model_id,
            "model_digest": model_digest,
            "host_id": host.host_id,
            "cpu": host.cpu,
            "cores_count": host.cores_count,
            "memory_bytes": host.memory_bytes,
            "system": host.system,
            "threads_count": threads,
            **fact,
            "run_id": profile_set,
            "landed_at": utc_now(),
        }
        for position, fact in enumerate(facts)
    ]
    land(store, "profiles", rows, digest_of([profile_set]))
    return rows


def newest_figures(store: Store, model_digest: str, host_id: str, threads: int) -> list[dict[str, Any]]:
    """Read the newest figure of each way to run a model on a kind of machine; empty when nothing was measured.

    A run that measures some ways only leaves the figures of the others standing.

    Raises:
        LandingError: The store cannot be read.
    """
    same = (pc.field("model_digest") == model_digest) & (pc.field("host_id") == host_id)
    rows = read_rows(store, "profiles", filters=same & (pc.field("threads_count") == threads))
    rows.sort(key=lambda row: (row["landed_at"], row["profile_id"]))
    return list({tuple(row[name] for name in WAY): row for row in rows}.values())
