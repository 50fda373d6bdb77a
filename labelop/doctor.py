"""Look over an installation and say what is wrong before a night fails on it."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labelop.catalog.cards import load_catalog, verify
from labelop.cost.prices import load_prices
from labelop.egress.heads import heads_file
from labelop.egress.set_up import verify_log
from labelop.errors import KeysError, LabelopError, PolicyError
from labelop.landing.probe import WRITERS, require_safe
from labelop.landing.store import open_store, read_rows
from labelop.landing.whole import faults_of
from labelop.prelabel.shard import check_arms
from labelop.queries import list_queries
from labelop.roles import load_roles
from labelop.routing.policy import load_routing
from labelop.sensitivity.policy import load_policy
from labelop.settings import Settings, load_settings
from labelop.slots import holders

_LIBRARIES = ("prefect", "onnxruntime", "deltalake", "duckdb", "great-expectations", "torch", "transformers")
_LEAST_FREE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    """What was looked at."""
    ok: bool
    """Whether a night can run with it."""
    detail: str
    """What was found, or what is wrong and what to do."""


def examine(store: str | None) -> list[Finding]:
    """Check settings, files, models and the store.

    Raises:
        SettingsError: The settings themselves cannot be read.
    """
    settings = load_settings(store=store)
    return [
        *[Finding(f"setting {name}", ok=True, detail=str(value)) for name, value in settings],
        *[_library(name) for name in _LIBRARIES],
        _checked("policy.yaml", lambda: _policy(settings)),
        _checked("routing.yaml", lambda: _routing(settings)),
        _checked("prices.yaml", lambda: load_prices(settings.config / "prices.yaml").digest[:12]),
        _checked("roles.yaml", lambda: _roles(settings)),
        _checked("models", lambda: _models(settings)),
        _checked("sql", lambda: f"{len(list_queries())} queries"),
        *_store(settings),
        _checked("store probe", lambda: _probe(settings)),
        _slots(settings),
        _audit(settings),
        _free_space(settings),
    ]


def _checked(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, ok=True, detail=look())
    except LabelopError as error:
        return Finding(subject, ok=False, detail=str(error))


def _store(settings: Settings) -> list[Finding]:
    try:
        store = open_store(settings)
        if faults := faults_of(store):
            tables = [Finding(f"table {name}", ok=False, detail=str(fault)) for name, fault in faults.items()]
            return [Finding("store", ok=False, detail=f"cannot be used: {', '.join(faults)}"), *tables]
        return [Finding("store", ok=True, detail=f"{len(read_rows(store, 'datasets'))} dataset versions")]
    except LabelopError as error:
        return [Finding("store", ok=False, detail=str(error))]


def _roles(settings: Settings) -> str:
    path = settings.config / "roles.yaml"
    roles = load_roles(path)
    mine = ", ".join(sorted(roles.of(settings.acting_user)))
    return f"{len(roles.people)} people{'' if path.exists() else ' (no file)'}; {settings.acting_user!r} is {mine}"


def _policy(settings: Settings) -> str:
    policy = load_policy(settings.config / "policy.yaml")
    if policy.stale:
        raise PolicyError(
            f"The policy {policy.version!r} was valid until {policy.valid_until}: every image counts as restricted.",
            hint=f"Review {settings.config / 'policy.yaml'} and set a later valid_until.",
        )
    return f"{policy.digest[:12]}, valid until {policy.valid_until}"


def _routing(settings: Settings) -> str:
    routing = load_routing(settings.config / "routing.yaml")
    check_arms(settings, routing)
    return f"{routing.digest[:12]}, {len(routing.arms)} arms"


def _probe(settings: Settings) -> str:
    store = open_store(settings)
    # to look is not to make: the probe would leave its answer in a folder that nobody asked for
    if store.is_local and not Path(store.root).exists():
        return f"not asked: there is no store at {store.root} yet; the first run asks"
    found = require_safe(store, settings)
    if found is None:
        return "not asked: LABELOP_STORE_SINGLE_WRITER is set, so only this machine may write"
    when = f"on {found.asked_at:%Y-%m-%d}" if found.remembered else f"in {found.seconds} s"
    return f"of {WRITERS} racing writers one won, {found.rounds_count} times ({when})"


def _slots(settings: Settings) -> Finding:
    if not settings.gpu_slots:
        return Finding("gpu slots", ok=True, detail="no cap")
    taken = [
        f"{one.slot} by run {one.run_id or '?'} in process {one.pid}" for one in holders(settings.gpu_slots_folder)
    ]
    # a lock ends with its process, so whoever is named here is alive
    return Finding("gpu slots", ok=True, detail=f"{settings.gpu_slots}, held: {', '.join(taken) or 'none'}")


def _audit(settings: Settings) -> Finding:
    path = settings.audit_path
    try:
        if not path.exists() and not heads_file(settings.audit_heads_path, path).exists():
            return Finding("egress log", ok=True, detail=f"nothing was sent yet ({path})")
        found = verify_log(settings)
    except KeysError as error:
        return Finding("egress log", ok=False, detail=str(error))
    except OSError as error:
        return Finding("egress log", ok=False, detail=f"{path} cannot be read: {error.strerror}")
    if found.bad_line is not None:
        return Finding(
            "egress log",
            ok=False,
            detail=f"{path} line {found.bad_line}: {found.problem}; keep a copy of it and find out why",
        )
    return Finding("egress log", ok=True, detail=f"{found.lines_count} lines, chain whole, head {found.head[:12]}")


def _models(settings: Settings) -> str:
    catalog = load_catalog(settings.catalog)
    for card in catalog.values():
        verify(card)
    return f"{len(catalog)} cards, all digests match"


def _library(name: str) -> Finding:
    try:
        return Finding(f"library {name}", ok=True, detail=importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        optional = name in {"torch", "transformers"}
        return Finding(
            f"library {name}", ok=optional, detail="not installed" + (" (extra `torch`)" if optional else "")
        )


def _free_space(settings: Settings) -> Finding:
    folder = settings.local_root.absolute()
    while not folder.exists() and folder != Path(folder.anchor):
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return Finding("disk", ok=free >= _LEAST_FREE_BYTES, detail=f"{free / (1 << 30):.1f} GiB free at {folder}")
