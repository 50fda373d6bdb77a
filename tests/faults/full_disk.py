"""Fill the disk under a store while batches land, make room again, and let the next worker go on."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labelop.errors import LandingError
from tests.faults import world as worlds
from tests.faults.results import Count, kept
from tests.faults.world import answered, forked, hash_tree, landed_exactly_once, make_world, partial_batches, work

IMAGES, BATCH_IMAGES = 64, 4
_DISK_BYTES = 2 << 20
_LEFT_BYTES = 96 << 10


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of two MiB in memory.

    Raises:
        PermissionError: This user may not mount.
    """
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(folder)]
    try:
        subprocess.run(options, check=True, capture_output=True)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        raise PermissionError("a small disk cannot be mounted here: that takes root") from error
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def run(folder: Path) -> dict[str, Count]:
    """Fill, fail, make room, finish; gives what was counted, asserts what must hold."""
    with small_disk(folder / "disk") as disk:
        environment = worlds.quiet({"store": disk / "store", "data_docs": folder / "docs"})
        world = answered(lambda: make_world(folder, IMAGES, BATCH_IMAGES, environment))
        before = hash_tree(world.source)
        _fill(disk)

        def fail() -> str:
            try:
                work(world, BATCH_IMAGES)
            except LandingError as error:
                return str(error)
            return ""

        said = answered(fail)
        assert "No space left" in said, f"expected a landing error, got {said!r}"
        seen = answered(lambda: worlds.rows_by_batch(world)[0])
        partial = len(answered(lambda: partial_batches(world)))
        assert len(seen) < len(world.batches), "the disk was never full"
        (disk / "ballast").unlink()
        assert os.waitpid(forked(lambda: work(world, BATCH_IMAGES)), 0)[1] == 0
        found: dict[str, Count] = {"landed_when_full_count": len(seen), "batches_count": len(world.batches)}
        found |= {"partial_views_count": partial, **answered(lambda: landed_exactly_once(world))}
        found["originals_changed_count"] = int(hash_tree(world.source) != before)
    wrong = {name: found[name] for name in found if name.split("_")[0] in {"lost", "doubled", "partial", "originals"}}
    assert not any(wrong.values()), wrong
    return found


def _fill(disk: Path) -> None:
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    (disk / "ballast").write_bytes(bytes(max(0, free - _LEFT_BYTES)))


def main() -> None:
    """Run it, or say why it cannot be run here."""
    worlds.decode_here()
    done = "The disk under a store ran full in mid-run: a landing error, no half batch, and the next worker finished"
    with tempfile.TemporaryDirectory(prefix="labelop-full-") as folder, kept("disk-full", done) as counts:
        try:
            counts.update(run(Path(folder)))
        except PermissionError as error:
            counts["skipped"] = str(error)


if __name__ == "__main__":
    main()
