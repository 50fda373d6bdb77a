"""The cases of one model: what users write, what we do, and the floor. Knows transformers, torch and both runtimes.

Every case takes files and ends in decoded results. Memory files are warm: the disk is not what is measured.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.measure import Work
from labelop.catalog.cards import ModelCard
from labelop.settings import forbid

CORES = os.cpu_count() or 1
BATCH = 8
"""Images per forward pass where a case batches."""
INT8 = "int8"
"""What the names of cases with an int8 graph contain."""


def full_decode(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode all pixels with Pillow and stretch them: what a plain loop does."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))


def fast_decode(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode with simplejpeg, scaled as far as the target allows, and stretch: the fastest decode there is here."""
    import simplejpeg  # noqa: PLC0415 - an extra of its own

    pixels = simplejpeg.decode_jpeg(
        path.read_bytes(), fastdct=True, fastupsample=True, min_height=size[1], min_width=size[0], min_factor=1
    )
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


def pillow_decode(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Decode scaled with Pillow and stretch: the fastest way without another library."""
    with Image.open(path) as image:
        image.draft("RGB", size)
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))


def cycle(paths: list[Path], count: int) -> list[Path]:
    """Give `count` paths, round and round."""
    return list(itertools.islice(itertools.cycle(paths), count))


class Peers:
    """What a user would write with transformers and torch, from a Hugging Face folder.

    Args:
        folder: The Hugging Face folder.
        card: Task and input size.
        paths: Photographs.
        together: Batch size of the pipeline.
        device: cpu | cuda.
        batch: Images per forward pass behind the DataLoader.
    """

    def __init__(
        self,
        folder: Path,
        card: ModelCard,
        paths: list[Path],
        *,
        together: int = BATCH,
        device: str = "cpu",
        batch: int = BATCH,
    ) -> None:
        import torch  # noqa: PLC0415 - the shipped models are measured without it
        import transformers  # noqa: PLC0415

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self._torch, self._paths, self._together, self._device = torch, paths, together, device
        torch.set_num_threads(CORES)  # also where the environment asks for fewer
        classify = card.task == "classification"
        self._pipe = transformers.pipeline(
            "image-classification" if classify else "object-detection", model=str(folder), device=device
        )
        kind = transformers.AutoModelForImageClassification if classify else transformers.AutoModelForObjectDetection
        self._model = kind.from_pretrained(folder).eval().to(device)
        self._compiled: Any = None
        self._sampler = _Counted(len(paths))
        # the library asks for no more than an index and a length
        pixels: Any = _Pixels(paths, (card.width_px, card.height_px))
        self._loader: Any = torch.utils.data.DataLoader(
            pixels,
            batch_size=batch,
            pin_memory=device != "cpu",
            sampler=self._sampler,
            num_workers=CORES,
            persistent_workers=True,
        )

    def loop(self, count: int) -> None:
        """Run the pipeline on one image after the other."""
        for path in cycle(self._paths, count):
            self._pipe(str(path))

    def batched(self, count: int) -> None:
        """Run the pipeline with a batch size."""
        for _ in self._pipe([str(path) for path in cycle(self._paths, count)], batch_size=self._together):
            pass

    def bf16(self, count: int) -> None:
        """Run a DataLoader and the model under bf16 autocast."""
        self._loaded(self._model, count)

    def compiled(self, count: int) -> None:
        """Do the same with torch.compile."""
        if self._compiled is None:
            self._compiled = self._torch.compile(self._model, dynamic=False)
        self._loaded(self._compiled, count)

    def _loaded(self, model: Any, count: int) -> None:
        torch = self._torch
        self._sampler.count = count
        with torch.inference_mode(), torch.autocast(self._device, torch.bfloat16):
            for pixels in self._loader:
                found = model(pixel_values=pixels.to(self._device, non_blocking=True))
                found.logits.float().cpu().numpy()


class _Counted:
    """Indices 0..count-1 round the photographs; the count may change between rounds."""

    def __init__(self, photos: int) -> None:
        self._photos = photos
        self.count = photos

    def __iter__(self) -> Iterator[int]:
        return (index % self._photos for index in range(self.count))

    def __len__(self) -> int:
        return self.count


class _Pixels:
    """Normalised float tensors of photographs, as a training recipe would make them."""

    def __init__(self, paths: list[Path], size: tuple[int, int]) -> None:
        self._paths, self._size = paths, size

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Any:
        import torch  # noqa: PLC0415

        from bench.models import DEVIATION, MEAN  # noqa: PLC0415

        pixels = full_decode(self._paths[index], self._size).astype(np.float32) / 255
        normal = (pixels - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
        return torch.from_numpy(np.ascontiguousarray(normal.transpose(2, 0, 1)))


def plain_loop(card: ModelCard, paths: list[Path]) -> Work:
    """Loop over onnxruntime fp32 with Pillow, one image at a time, all cores in the session."""
    import onnxruntime  # noqa: PLC0415

    from labelop.engines.base import OUTPUTS  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = CORES
    session = onnxruntime.InferenceSession(str(card.files["model"]), options, providers=["CPUExecutionProvider"])
    size, names = (card.width_px, card.height_px), list(OUTPUTS[card.task])

    def work(count: int) -> None:
        for path in cycle(paths, count):
            session.run(names, {"images": full_decode(path, size)[None]})

    return work


def forward_only(card: ModelCard, int8: ModelCard | None = None) -> dict[str, Work]:
    """Run pure inference every way that may be the fastest, on pixels that lie ready."""
    cases: dict[str, Work] = {"forward, onnxruntime fp32": _forward_onnxruntime(card)}
    try:
        forbid("openvino_telemetry")
        import openvino  # noqa: PLC0415
    except ImportError:
        return cases
    graphs = {"bf16": card} if int8 is None else {"bf16": card, INT8: int8}
    for kind, one in graphs.items():
        for batch in (1, BATCH):
            cases[f"forward, openvino {kind}, batch {batch}"] = _forward_openvino(openvino, one, batch)
    return cases


def _forward_onnxruntime(card: ModelCard) -> Work:
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = CORES
    session = onnxruntime.InferenceSession(str(card.files["model"]), options, providers=["CPUExecutionProvider"])
    pixels = _noise(card, 1)

    def work(count: int) -> None:
        for _ in range(count):
            session.run(None, {"images": pixels})

    return work


def _forward_openvino(openvino: Any, card: ModelCard, batch: int) -> Work:
    """Keep every core busy: one stream per core for single images, all cores together for a batch."""
    core = openvino.Core()
    model = core.read_model(str(card.files["model"]))
    model.reshape({"images": [batch, card.height_px, card.width_px, 3]})
    options = {
        "INFERENCE_PRECISION_HINT": "bf16",
        "INFERENCE_NUM_THREADS": str(CORES),
        "NUM_STREAMS": str(CORES if batch == 1 else 1),
    }
    compiled = core.compile_model(model, "CPU", options)
    queue = openvino.AsyncInferQueue(compiled, CORES if batch == 1 else 2)
    pixels = _noise(card, batch)

    def work(count: int) -> None:
        for _ in range(-(-count // batch)):
            queue.start_async({"images": pixels})
        queue.wait_all()

    return work


def _noise(card: ModelCard, count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, (count, card.height_px, card.width_px, 3), dtype=np.uint8)


def decode_pool(paths: list[Path], size: tuple[int, int]) -> Work:
    """Run simplejpeg's scaled decode on all cores, to the model's input."""
    return _pool(fast_decode, paths, size)


def pillow_pool(paths: list[Path], size: tuple[int, int]) -> Work:
    """Run Pillow's scaled decode on all cores, to the model's input."""
    return _pool(pillow_decode, paths, size)


def _pool(step: Callable[[Path, tuple[int, int]], object], paths: list[Path], size: tuple[int, int]) -> Work:
    def work(count: int) -> None:
        with ThreadPoolExecutor(CORES) as pool:
            for _ in pool.map(lambda path: step(path, size), cycle(paths, count)):
                pass

    return work
