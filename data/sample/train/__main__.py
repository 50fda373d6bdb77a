"""`python -m data.sample.train [--only NAME ...]`: train, export, measure and write the model cards."""

from __future__ import annotations

import argparse

import torch

from . import detectors


def main() -> None:
    """Train the named models, or all."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--only", nargs="*", help="model ids; all without it")
    args = parser.parse_args()
    torch.set_num_threads(1)  # small nets: more threads cost more than they give
    for name in args.only or detectors.PLANS:
        detectors.build(name)


if __name__ == "__main__":
    main()
