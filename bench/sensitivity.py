"""What looking for sensitive things costs, signal by signal and as a cascade, beside plain JPEG decoding.

`python -m bench.sensitivity` prints one table: median milliseconds of one image and the ratio to decoding the same
image in the same run. Signals are timed inside their child process, as they run in the product.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.photos import photos
from labelop.ingest.decode import decode
from labelop.sensitivity.cascade import classify_image
from labelop.sensitivity.policy import SensitivityPolicy, load_policy
from labelop.sensitivity.signals import metadata
from labelop.sensitivity.signals.looking import PIXEL_SIGNALS, Looker

POLICY = Path(__file__).resolve().parent.parent / "data/sample/config/policy.yaml"


def main(rounds: int) -> None:
    """Time everything in turn, round by round, so that load hits all alike."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = [path.read_bytes() for path in photos("1920x1080", Path(folder), count=4)]
    policy = load_policy(POLICY)
    cheap = replace(policy, declared="verify", signals={"codes": "open", "faces": "never", "text": "never"})
    whole = replace(cheap, signals=dict.fromkeys(PIXEL_SIGNALS, "open"))
    with Looker(1) as looker:

        def cascade(rules: SensitivityPolicy, data: bytes) -> None:
            classify_image(
                declared=["public"], paths=["a.jpg"], read=lambda: data, policy=rules, look=looker.look
            )  # fmt: skip

        work: dict[str, Callable[[bytes], object]] = {
            "decode": decode,
            **{name: partial(looker.look, name) for name in (metadata.NAME, *PIXEL_SIGNALS)},
            "cascade without pixels": lambda data: cascade(policy, data),
            "cascade with codes": lambda data: cascade(cheap, data),
            "cascade with all": lambda data: cascade(whole, data),
        }
        for run in work.values():
            run(pictures[0])  # libraries are loaded once
        seconds: dict[str, list[float]] = {name: [] for name in work}
        for _ in range(rounds):
            for data in pictures:
                for name, run in work.items():
                    begin = time.perf_counter()
                    run(data)
                    seconds[name].append(time.perf_counter() - begin)
    base = statistics.median(seconds["decode"])
    print("| what | ms | times decode |\n|---|---|---|")
    for name, found in seconds.items():
        middle = statistics.median(found)
        print(f"| {name} | {middle * 1000:.1f} | {middle / base:.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    main(parser.parse_args().rounds)
