"""How passes of torch reach a GPU: asked for by one kept thread, with copies beside the computing.

Knows no model; torch is handed in, so that this module loads nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray


@functools.cache
def line() -> ThreadPoolExecutor:
    """Give the one thread of this process that asks the GPU for work.

    It asks and does not wait, so the GPU always has the next pass. Recorded CUDA graphs belong to the thread that
    recorded them: the threads of a worker come and go with each batch, and every one would record its own.
    """
    return ThreadPoolExecutor(1, thread_name_prefix="cuda")


class Cuda:
    """The first GPU that this process may see.

    Args:
        torch: The library.
    """

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._copies = torch.cuda.Stream()

    def run(
        self, values: Sequence[NDArray[Any]], compute: Callable[..., dict[str, Any]]
    ) -> dict[str, NDArray[np.float32]]:
        """Bring arrays to the GPU, compute, and bring the answers back.

        Several callers may wait at a time: bytes of one pass then travel while another is computed.

        Args:
            values: What `compute` takes, in its order.
            compute: Called in the line's thread with tensors on the GPU; gives tensors there.

        Returns:
            float32 by the names that `compute` gives.
        """
        # only page-locked memory travels while the GPU computes; the library keeps it for the next pass
        staged = [self._staged(value) for value in values]
        found, ready = line().submit(self._ask, staged, compute).result()
        ready.synchronize()
        return {name: value.numpy() for name, value in found.items()}

    def _staged(self, value: NDArray[Any]) -> Any:
        torch = self._torch
        staged = torch.empty(value.shape, dtype=getattr(torch, value.dtype.name), pin_memory=True)
        staged.numpy()[...] = value
        return staged

    def _ask(self, staged: Sequence[Any], compute: Callable[..., dict[str, Any]]) -> tuple[dict[str, Any], Any]:
        torch = self._torch
        computing = torch.cuda.current_stream()
        with torch.cuda.stream(self._copies):
            here = [value.to("cuda", non_blocking=True) for value in staged]
        computing.wait_stream(self._copies)
        for value in here:
            value.record_stream(computing)  # else its memory could be written by the next copy while it is read
        # a recorded graph writes its next answers over these: they leave on the same stream, so before it
        found = {name: value.float().to("cpu", non_blocking=True) for name, value in compute(*here).items()}
        ready = torch.cuda.Event()
        ready.record(computing)
        return found, ready
