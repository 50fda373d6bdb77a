"""Signals that open the file, run in a child process: a crash, a hang or a wrong answer there is an outcome here.

Notes are opened there like pixels: they hold pictures in the picture. Knows no policy and no table.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from labelop.children import Child
from labelop.errors import ChildCrashedError, ChildFaultError, ChildTimeoutError
from labelop.ingest.decode import decode
from labelop.sensitivity.signals import codes, dicom, faces, metadata, text
from labelop.sensitivity.signals.base import SignalResult, from_json, to_json

PIXEL_SIGNALS = {codes.NAME: codes, faces.NAME: faces, text.NAME: text}
"""Signals that need pixels, the cheapest first."""

NOTE_SIGNALS = {dicom.NAME: dicom, metadata.NAME: metadata}
"""Signals that need the file as it is; which of them depends on what it is."""

Look = Callable[[str, bytes], SignalResult]
"""Runs the named signal on the bytes of a file."""

HINT = "pip install 'labelop[sensitivity]'"
"""What helps where a library is missing."""

_FUNCTION = f"{__name__}:look_in_child"
_DEADLINE_SECONDS = 60.0  # of one signal on one image; the first call also imports its libraries
_MISSING = ("ImportError", "ModuleNotFoundError", "MissingExtraError")


def look_in_child(data: bytes, signal: str, key: str, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Look, and decode where pixels are needed; runs in the child. Answers observations as plain values."""
    if signal in NOTE_SIGNALS:
        return to_json(NOTE_SIGNALS[signal].observe(data, key))
    return to_json(PIXEL_SIGNALS[signal].observe(decode(data), key, **options))


class Looker:
    """Looks for as many threads at once as it has children; they end with it.

    Args:
        children: Processes, at least 1; each starts when it is first needed.
        key: The store's key for tokens, hex.
        options: Further arguments by signal.
        versions: Version by signal where an option changes it.
        absent: Why a signal cannot look here at all, by signal; it counts as missing.
        timeout_seconds: Deadline of one signal on one image.
        function: What the child runs; tests put a faulty one here.
    """

    def __init__(
        self,
        children: int,
        *,
        key: str = "",
        options: Mapping[str, Mapping[str, Any]] | None = None,
        versions: Mapping[str, str] | None = None,
        absent: Mapping[str, str] | None = None,
        timeout_seconds: float = _DEADLINE_SECONDS,
        function: str = _FUNCTION,
    ) -> None:
        self.versions = {name: module.VERSION for name, module in (PIXEL_SIGNALS | NOTE_SIGNALS).items()}
        self.versions |= versions or {}
        self._key = key
        self._options = {name: dict(given) for name, given in (options or {}).items()}
        self._absent = dict(absent or {})
        self._timeout_seconds = timeout_seconds
        self._function = function
        self._children = [Child() for _ in range(children)]
        # the one used last first, so that no more start than are needed
        self._free: queue.LifoQueue[Child] = queue.LifoQueue()
        for child in self._children:
            self._free.put(child)

    def look(self, signal: str, data: bytes) -> SignalResult:
        """Run a signal on the bytes of a file; a fault of it is an outcome."""
        version = self.versions[signal]
        if signal in self._absent:
            return SignalResult(signal, version, "missing", reason=self._absent[signal])
        child = self._free.get()
        try:
            rows = child.call(
                self._function,
                data,
                timeout_seconds=self._timeout_seconds,
                signal=signal,
                key=self._key,
                options=self._options.get(signal, {}),
            )
            return SignalResult(signal, version, "ok", from_json(rows))
        except ChildTimeoutError:
            return SignalResult(signal, version, "timeout", reason="deadline")
        except ChildCrashedError:
            return SignalResult(signal, version, "error", reason="crash")
        except ChildFaultError as error:
            kind = str(error.context["kind"])
            ended, more = ("missing", f"; {HINT}") if kind in _MISSING else ("error", "")
            return SignalResult(signal, version, ended, reason=kind + more)
        except (TypeError, ValueError, AttributeError) as error:
            # an answer that is no list of observations, or a score that is no share
            return SignalResult(signal, version, "error", reason=f"answer: {type(error).__name__}")
        finally:
            self._free.put(child)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.close()
