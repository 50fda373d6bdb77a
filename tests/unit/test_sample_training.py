"""The training loop of the sample's models takes up interrupted work without a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.slow
def test_interrupted_training_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run stopped between two checkpoints and started again gives bit-equal weights to one that never stopped."""
    torch = pytest.importorskip("torch")
    from data.sample.train import steps  # noqa: PLC0415 - needs torch

    monkeypatch.setattr(steps, "SAVE_EVERY", 3)

    def run(folder: str, stop_at: int = -1) -> list[float]:
        monkeypatch.setattr(steps, "CHECKPOINTS", tmp_path / folder)
        torch.manual_seed(1)
        net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1))

        def loss_at(step: int) -> Any:
            if step == stop_at:
                raise KeyboardInterrupt
            return net(torch.randn(16, 4)).square().mean()

        mean = steps.train("tiny", net, loss_at, steps=10, rate=1e-2)
        weights: list[float] = torch.cat([v.flatten().double() for v in mean.state_dict().values()]).tolist()
        return weights

    undisturbed = run("one")
    with pytest.raises(KeyboardInterrupt):
        run("two", stop_at=7)
    assert run("two") == undisturbed
