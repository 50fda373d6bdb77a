"""Which heaps a process works with."""

from __future__ import annotations

import os
import subprocess
import sys

_ASK = "import labelop, pyarrow; print(pyarrow.default_memory_pool().backend_name)"


def _heap_of_arrow(**environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    command = [sys.executable, "-c", _ASK]
    return subprocess.run(
        command, env=inherited | environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_arrow_allocates_where_free_memory_can_be_given_back() -> None:
    """A process that imports the library first has Arrow allocate from the C library's heaps."""
    assert _heap_of_arrow() == "system"


def test_the_heap_that_an_operator_names_stays() -> None:
    """What the environment says of Arrow's heap is not overruled."""
    assert _heap_of_arrow(ARROW_DEFAULT_MEMORY_POOL="mimalloc") == "mimalloc"
