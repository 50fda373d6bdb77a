"""How an export becomes a model: the graph is written, compared with torch, and kept only when it says the same.

Knows neither which graphs a model has nor what is inside them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelop.catalog.cards import ModelCard
from labelop.catalog.checkpoint import place, write_card
from labelop.engines.base import RawOutputs
from labelop.errors import CatalogError, MissingExtraError, ModelLoadError

TOLERANCE = 0.01
"""Largest mean difference of an output from torch's, as a part of its spread (standard deviation)."""

_OPSET = 17
_BATCHES = (1, 3)
_CELLS = 8


@dataclass(frozen=True, slots=True)
class Parity:
    """How far an exported graph's output lies from torch's on the sample images."""

    format: str
    """onnx | openvino."""
    output: str
    """Name of the tensor."""
    image_count: int
    """Images compared, in passes of different sizes."""
    max_difference: float
    """Largest absolute difference, in the tensor's own unit."""
    mean_difference: float
    """Mean absolute difference."""
    spread: float
    """Standard deviation of torch's values."""

    @property
    def holds(self) -> bool:
        """Whether the difference is within `TOLERANCE`."""
        return self.mean_difference <= TOLERANCE * self.spread + 1e-9


@contextlib.contextmanager
def workshop(folder: Path, output: Path, content: Mapping[str, Any]) -> Iterator[tuple[Path, ModelCard]]:
    """Make the folder in which an export is made, with the source and its card in it; it is gone afterwards.

    Args:
        folder: Hugging Face folder.
        output: Folder of the new card; made when it is not there.
        content: What the source's card says.
    """
    output.mkdir(parents=True, exist_ok=True)
    # on the same disk, so that moving is one step
    with tempfile.TemporaryDirectory(dir=output, prefix=".export-") as made:
        work = Path(made)
        (work / folder.name).symlink_to(folder.resolve())
        yield work, write_card(content, work / "source.yaml")


def require_torch() -> None:
    """Refuse to start where something the exporter needs is missing: it says so late.

    Raises:
        MissingExtraError: torch, transformers or onnx is not installed.
    """
    missing = [name for name in ("torch", "transformers", "onnx") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"Exporting a model needs {', '.join(missing)}, not installed here.",
            hint="Install it with: pip install 'labelop[torch]'.",
        )


def sample_images(card: ModelCard) -> list[NDArray[np.uint8]]:
    """Draw the images of the comparison: coarse cells with fine noise, in the card's frame, in batches of 1 and 3."""
    random = np.random.default_rng(0)
    batches = []
    for count in _BATCHES:
        cells = random.integers(40, 216, (count, _CELLS, _CELLS, 3))
        rows = np.arange(card.height_px) * _CELLS // card.height_px
        columns = np.arange(card.width_px) * _CELLS // card.width_px
        noise = random.integers(-20, 21, (count, card.height_px, card.width_px, 3))
        batches.append((cells[:, rows][:, :, columns] + noise).astype(np.uint8))
    return batches


def write_graph(
    path: Path, module: Any, inputs: Mapping[str, Any], *, outputs: Sequence[str], axes: dict[str, Any]
) -> None:
    """Write a torch module as an ONNX graph.

    Args:
        path: File to write.
        module: The module; called with the inputs in their order.
        inputs: Tensor by name.
        outputs: Names of what it answers.
        axes: Open axes, place to name, by tensor.

    Raises:
        ModelLoadError: torch cannot write it.
    """
    import torch  # noqa: PLC0415 - takes seconds to load

    try:
        with warnings.catch_warnings(), torch.no_grad():
            # tracing warns of every shape it turns into a number; the comparison finds those that matter
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                tuple(inputs.values()),
                str(path),
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes=axes,
                opset_version=_OPSET,
                dynamo=False,
            )
    except Exception as error:
        # the exporter raises whatever its passes raise; all of it means that this model is no such graph
        said = " ".join(str(error).split())[:300]
        raise ModelLoadError(f"{path.name} cannot be written as a graph: {said}") from error


def parity(
    name: str, found: Sequence[RawOutputs], wanted: Sequence[RawOutputs], *, ranked: bool = False
) -> list[Parity]:
    """Compare answers of one format with torch's, output by output; both have one entry per pass.

    Args:
        name: The format.
        found: What the graph says.
        wanted: What torch says.
        ranked: Compare in order of size along the second axis: a detector ranks its queries, and rounding swaps
            near-equal ones.
    """
    rows = []
    for output in wanted[0]:
        ours, theirs = (_flat([np.asarray(one[output]) for one in side], ranked=ranked) for side in (found, wanted))
        off, count = np.abs(ours - theirs), sum(len(one[output]) for one in wanted)
        rows.append(Parity(name, output, count, float(off.max()), float(off.mean()), float(theirs.std())))
    return rows


def _flat(parts: list[NDArray[np.float32]], *, ranked: bool) -> NDArray[np.float32]:
    # a detector's queries are the second of three axes
    sort = ranked and parts[0].ndim > 2  # noqa: PLR2004
    return np.concatenate([(np.sort(part, axis=1) if sort else part).reshape(-1) for part in parts])


def keep(content: Mapping[str, Any], report: list[Parity], work: Path, output: Path) -> ModelCard:
    """Put an export whose report holds into its folder, see `place`.

    Raises:
        CatalogError: An output differs from torch's, or a card or file of its names is there; nothing is written.
    """
    name = content["id"]
    bad = [row for row in report if not row.holds]
    if bad:
        raise CatalogError(
            f"Model {name}: output {bad[0].output} of the {bad[0].format} graph differs from torch by "
            f"{bad[0].mean_difference:.2g} on average, allowed is {TOLERANCE} of its spread {bad[0].spread:.2g}.",
            hint="Nothing was written; run the folder as it is.",
        )
    (work / f"{name}.parity.json").write_text(json.dumps([asdict(row) for row in report], indent=2) + "\n")
    return place(content, work, output)
