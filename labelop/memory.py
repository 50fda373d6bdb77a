"""How a process that works for hours keeps its memory: few heaps, and what a piece of work leaves goes back.

The C library gives each of many short-lived threads a heap of its own, eight a core; the same work then leaves its gaps
in another heap each time, and a worker grew by 7 to 11 MiB for 10,000 images with nothing held. Arrow and the table
library bring heaps of their own, which do the same. Knows no work, and loads no library before its heap is chosen.
Where the C library is another one than glibc, there is one heap less to bound and nothing else changes.
"""

from __future__ import annotations

import ctypes
import gc
import os

_HEAPS = 2
_M_ARENA_MAX = -8  # malloc.h
_OF_LIBRARIES = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    # what the table library frees goes back at once, not after ten seconds in which it has no thread to do it
    "_RJEM_MALLOC_CONF": f"narenas:{_HEAPS},dirty_decay_ms:0,muzzy_decay_ms:0",
}
"""Variables that Arrow and the table library read once, as they are loaded."""


def choose_heaps_of_libraries() -> None:
    """Say where libraries allocate; to be called before they are loaded. What the environment says already stays."""
    for name, value in _OF_LIBRARIES.items():
        os.environ.setdefault(name, value)


def keep_few_heaps() -> None:
    """Bound the heaps that threads of this process allocate from; to be called before there are many threads."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _HEAPS)


def give_back() -> None:
    """Return to the system what is free; takes tenths of a second, so it is for the end of minutes of work."""
    import pyarrow as pa  # noqa: PLC0415 - its heap is chosen as it is loaded

    gc.collect()
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
