"""What decoding in child processes costs against decoding in threads: `python -m bench.isolation`.

The stage measured is that of a worker: read a file, check its hash, decode.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from bench.measure import Work, load_now, measure
from bench.photos import ROOT, SIZES, photos
from labelop.engines.side import cores
from labelop.ids import sha256_hex
from labelop.ingest.decode import Frame, ImageArray, decode_for
from labelop.ingest.decoders import decoders

_IMAGES = 32
_SIDE_PX = 224


def main() -> None:
    """Print images a second in threads and in children, and their ratio, for each size and way to decode."""
    given = argparse.ArgumentParser(prog="python -m bench.isolation", description=__doc__)
    given.add_argument("--rounds", type=int, default=9, help="rounds of all cases (default 9)")
    given.add_argument("--seconds", type=float, default=0.5, help="of a case in a round (default 0.5)")
    options = given.parse_args()
    threads = max(2, cores())
    print(f"load {load_now()}, {threads} threads, medians of {options.rounds} rounds in turn; ratios count")
    print("| JPEG | pixels wanted | threads, img/s | children, img/s | ratio |\n|---|---|---|---|---|")
    with ThreadPoolExecutor(threads) as pool:
        for size, (width, height) in SIZES.items():
            paths = photos(size, ROOT / "build/bench", _IMAGES)
            for name, frame in {
                "all": Frame(width, height),
                f"{_SIDE_PX} stretched": Frame(_SIDE_PX, _SIDE_PX, stretched=True),
                f"{_SIDE_PX} scaled": Frame(_SIDE_PX, _SIDE_PX, scaled=True, stretched=True),
            }.items():
                rates = measure(_cases(pool, paths, frame), options.rounds, options.seconds, _IMAGES)
                here, there = (np.array(rates[way]) for way in ("threads", "children"))
                print(
                    f"| {size} | {name} | {np.median(here):.0f} | {np.median(there):.0f} "
                    f"| {np.median(there / here):.2f} |",
                    flush=True,
                )


def _cases(pool: ThreadPoolExecutor, paths: list[Path], frame: Frame) -> dict[str, Work]:
    def read(path: Path) -> bytes:
        data = path.read_bytes()
        sha256_hex(data)
        return data

    def in_thread(path: Path) -> ImageArray:
        return decode_for(read(path), frame)[0]

    def in_child(path: Path) -> ImageArray:
        return decoders().decode_for(read(path), frame)[0]

    def of(way: Callable[[Path], ImageArray]) -> Work:
        def work(count: int) -> None:
            for _ in range(count // len(paths)):
                for _ in pool.map(way, paths):
                    pass

        return work

    return {"threads": of(in_thread), "children": of(in_child)}


if __name__ == "__main__":
    main()
