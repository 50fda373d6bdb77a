"""Which heaps a process works with."""

from __future__ import annotations

import os
import subprocess
import sys

from labelop.memory import _OF_LIBRARIES

_ARROW = "import labelop, pyarrow; print(pyarrow.default_memory_pool().backend_name)"

# what the process was told as the library's own code is looked for, which is before it reads the variable
_TABLES = """
import ctypes, sys
from types import SimpleNamespace
told = ctypes.CDLL(None).getenv
told.restype = ctypes.c_char_p
def look(name, *_):
    if name == "deltalake._internal":
        print((told(b"_RJEM_MALLOC_CONF") or b"").decode())
sys.meta_path.insert(0, SimpleNamespace(find_spec=look))
import labelop.landing.store, deltalake
"""


def _said(by: str, **environment: str) -> str:
    """Run a program in a process that was told nothing else of heaps."""
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_LIBRARIES}
    command = [sys.executable, "-c", by]
    done = subprocess.run(command, env=inherited | environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_arrow_allocates_where_free_memory_can_be_given_back() -> None:
    """A process that imports the library first has Arrow allocate from the C library's heaps."""
    assert _said(_ARROW) == "system"


def test_the_heap_that_an_operator_names_stays() -> None:
    """What the environment says of Arrow's heap is not overruled."""
    assert _said(_ARROW, ARROW_DEFAULT_MEMORY_POOL="mimalloc") == "mimalloc"


def test_the_table_library_is_told_to_give_back_before_it_is_loaded() -> None:
    """Set later it changes nothing, so it is in the process's environment when the code is looked for."""
    assert _said(_TABLES) == "narenas:2,dirty_decay_ms:0,muzzy_decay_ms:0"


def test_what_an_operator_says_of_the_table_library_stays() -> None:
    """What the environment says of its heap is not overruled."""
    assert _said(_TABLES, _RJEM_MALLOC_CONF="narenas:7") == "narenas:7"
