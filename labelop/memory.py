"""How a process that works for hours keeps its memory: few heaps, and what a piece of work leaves goes back.

The C library gives each of many short-lived threads a heap of its own, eight a core; the same work then leaves its gaps
in another heap each time, and a worker grew by 7 to 11 MiB for 10,000 images with nothing held. Knows no work. Where
the C library is another one than glibc, this does nothing.
"""

from __future__ import annotations

import ctypes
import gc

import pyarrow as pa

_HEAPS = 2
_M_ARENA_MAX = -8  # malloc.h


def keep_few_heaps() -> None:
    """Bound the heaps that threads of this process allocate from; to be called before there are many threads."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _HEAPS)


def give_back() -> None:
    """Return to the system what is free; takes tenths of a second, so it is for the end of minutes of work."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
