"""`python -m data.sample.train [--only NAME ...]`: train, export, measure and write the model cards."""

from __future__ import annotations

import argparse
import warnings

import torch

from . import cards


def main() -> None:
    """Train and publish the named models, or all; finished and interrupted work is taken up from checkpoints."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--only", nargs="*", choices=cards.NAMES, help="model ids; all without it")
    args = parser.parse_args()
    torch.set_num_threads(1)  # small nets: more threads cost more than they give
    warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # shapes are fixed by design
    for name in args.only or cards.NAMES:
        cards.publish(name)


if __name__ == "__main__":
    main()
