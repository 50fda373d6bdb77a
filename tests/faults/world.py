"""A planned run with an engine that needs no model, whose worker is a process that may be killed at any moment.

The program that kills imports everything and then does nothing but fork: a worker starts warm, in a process that has
no thread of its maker. So whatever touches tables or images happens in a forked process too.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import fsspec
import great_expectations  # noqa: F401 - takes seconds, which every worker would spend again
import numpy as np
from PIL import Image

from flows.prelabel_batches import prelabel_batches
from labelop import ids
from labelop.engines.fixed import FixedEngine
from labelop.engines.prelabeller import ArmModels, with_engines
from labelop.errors import UnreadableImageError
from labelop.ingest import decode as decoding
from labelop.ingest import manifest, originals
from labelop.ingest.decode import DEFAULT_LIMITS, Frame, ImageFacts, Limits
from labelop.ingest.decoders import Decoded, Decoders
from labelop.landing.store import Store, land, open_store, read
from labelop.object_store import file_options
from labelop.prelabel import batch as batching
from labelop.prelabel import behind
from labelop.prelabel import shard as sharding
from labelop.prelabel.plan import plan_dataset
from labelop.sensitivity.policy import load_policy
from labelop.settings import load_settings
from tests.unit.prelabel.conftest import CONFIG, DATASET, VERSION, make_card, make_row

Answer = TypeVar("Answer")
RUN = "run-1"


@dataclass(frozen=True, slots=True)
class World:
    """A run that is planned, and what must have landed when it has ended."""

    environment: Mapping[str, str]
    """`LABELOP_` settings of its processes."""
    source: Path
    """Folder of the originals."""
    plan_id: str
    """The plan."""
    batches: Mapping[str, tuple[str, ...]]
    """Image ids by batch id."""

    @property
    def store(self) -> Store:
        """Where its tables are."""
        os.environ.update(self.environment)
        return open_store(load_settings())


def make_world(
    folder: Path, images: int, batch_images: int, environment: Mapping[str, str], source: tuple[str, str] | None = None
) -> World:
    """Draw the originals and land everything up to the plan; in a process of its own.

    Args:
        folder: Where the originals are drawn, in `source`.
        images: How many.
        batch_images: Images in a batch.
        environment: `LABELOP_` settings of the run's processes.
        source: Address where they are put for the run, and by which endpoint; left in the folder when None.
    """
    drawn, found = folder / "source", draw_originals(folder, images)
    os.environ.update(environment)
    store, policy, models = open_store(load_settings()), load_policy(CONFIG / "policy.yaml"), ArmModels(make_card())
    if source:
        files, root = fsspec.core.url_to_fs(source[0], **file_options(load_settings(s3_endpoint=source[1])))
        files.pipe({f"{root}/{path.name}": path.read_bytes() for path in drawn.iterdir()})
    source_uri = source[0] if source else str(drawn)
    facts = {"source_uri": source_uri, "width_px": 32, "height_px": 24, "outcome": "ok"}
    land(store, "images", [make_row("images", path=path, image_id=key, **facts) for key, path in found.items()], "i")
    level = {"level": "public", "policy_digest": policy.digest}
    land(store, "levels", [make_row("levels", image_id=key, **level) for key in found], "l")
    decision = make_row(
        "decisions", level="public", role="chosen", arm="local", placement="onprem", model_id="toy-small", allowed=True
    )
    plan = plan_dataset(
        store, DATASET, VERSION, decisions=[decision], arms={"local": models}, policy=policy, compare_share=0.0,
        batch_images=batch_images, run_id=RUN,
    )  # fmt: skip
    return World(environment, drawn, plan.plan_id, {b.batch_id: b.image_ids for b in plan.batches})


def draw_originals(folder: Path, images: int) -> dict[str, str]:
    """Draw so many pictures into the folder `source`; gives their names by image id."""
    drawn = folder / "source"
    drawn.mkdir(parents=True)
    found = {}
    for number in range(images):
        out = io.BytesIO()
        pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((32, 24), Image.Resampling.BICUBIC).save(out, format="PNG")
        (drawn / f"{number:06}.png").write_bytes(out.getvalue())
        found[ids.sha256_hex(out.getvalue())] = f"{number:06}.png"
    return found


def work(world: World, group_images: int) -> None:
    """Do the whole plan as a child run does it, landing whenever that many images are done."""
    os.environ.update({**world.environment, "LABELOP_CONFIG": str(CONFIG)})
    prelabel(world, group_images)


def prelabel(world: World, group_images: int) -> None:
    """Do the plan with an engine that needs no model, in an environment that is set."""
    models = ArmModels(make_card())
    put(sharding, "arm_models", lambda *_: {"local": models})
    put(sharding, "load_catalog", lambda *_: {"toy-small": models.detector})
    put(sharding, "open_local", lambda *_: with_engines(models, {models.detector.id: FixedEngine(models.detector)}))
    put(behind, "GROUP_SIZE", group_images)
    store = world.environment["LABELOP_STORE"]
    prelabel_batches.fn(world.plan_id, "onprem", 0, len(world.batches) - 1, "toys", store, RUN)


def forked(what: Callable[[], object]) -> int:
    """Do something in a process of its own; gives its id."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    try:
        what()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - nothing of the forked process may go on in its maker's place
        traceback.print_exc()
        os._exit(1)


def answered(what: Callable[[], Answer]) -> Answer:
    """Do something in a process of its own and give what it gave."""
    reading, writing = os.pipe()

    def tell() -> None:
        with os.fdopen(writing, "wb") as out:
            pickle.dump(what(), out)

    pid = forked(tell)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        data = answer.read()
    assert os.waitpid(pid, 0)[1] == 0, "a forked process failed; its words are above"
    found: Answer = pickle.loads(data)
    return found


def rows_by_batch(world: World) -> tuple[Counter[str], Counter[str]]:
    """Count landed rows by batch, and by image."""
    rows = read(world.store, "prelabels", columns=["batch_id", "image_id"])
    return Counter(rows["batch_id"].to_pylist()), Counter(rows["image_id"].to_pylist())


def partial_batches(world: World) -> list[str]:
    """Name batches of which some and not all rows are seen."""
    return [key for key, count in rows_by_batch(world)[0].items() if count != len(world.batches[key])]


def landed_exactly_once(world: World) -> dict[str, int]:
    """Count what is lost and what is doubled."""
    by_image = rows_by_batch(world)[1]
    wanted = {image_id for images in world.batches.values() for image_id in images}
    return {
        "lost_count": len(wanted - by_image.keys()),
        "doubled_count": sum(count - 1 for count in by_image.values()),
        "foreign_count": len(by_image.keys() - wanted),
    }


def hash_tree(folder: Path) -> str:
    """Hash names, modes, times and bytes of everything below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        digest.update(f"{path.relative_to(folder)} {facts.st_mode} {facts.st_size} {facts.st_mtime_ns}\n".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def kill(pid: int) -> bool:
    """Kill a process at once and say whether it was still at work."""
    os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def decode_here() -> None:
    """Decode in the worker itself: children for decoding would make each of its many lives a second longer."""

    class Here(Decoders):
        def __init__(self) -> None:
            """Have no children."""

        def start(self) -> None:
            """Do nothing."""

        def inspect(self, data: bytes, limits: Limits = DEFAULT_LIMITS) -> ImageFacts:
            """Look at a file here."""
            return decoding.inspect(data, limits)

        def decode_each(
            self, files: Sequence[tuple[bytes, Frame | None]], limits: Limits = DEFAULT_LIMITS
        ) -> list[Decoded | UnreadableImageError]:
            """Decode each file here; the first bad one ends it, since these worlds have none."""
            return [decoding.decode_for(data, frame, limits) for data, frame in files]

    put(originals, "decoders", Here)
    put(batching, "decoders", Here)
    put(manifest, "decoders", Here)


def put(module: ModuleType, name: str, value: object) -> None:
    """Replace a name of a module for good; the process ends with it."""
    assert hasattr(module, name), f"{module.__name__} has no {name}"
    setattr(module, name, value)


def quiet(environment: Mapping[str, object]) -> dict[str, str]:
    """Give settings as environment variables."""
    return {f"LABELOP_{name.upper()}": str(value) for name, value in environment.items()}
