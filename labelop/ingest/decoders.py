"""Decodes originals in child processes: a file that crashes, hangs or eats memory costs one image and no more.

The children are kept, so that a decoded image costs part of a message and not a process. A call holds several files,
one after the other, and is answered by one block of shared memory with the pixels of all that could be decoded, and by
facts, size and place in the block of each. Where such a call fails, its files are asked for one by one, so that only
the faulty one pays. Knows no path and no table.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import mmap
import os
import queue
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeAlias

import numpy as np

from labelop.children import Child, Shared
from labelop.errors import ChildCrashedError, ChildFaultError, ChildTimeoutError, UnreadableImageError
from labelop.ingest.decode import (
    DEFAULT_LIMITS,
    Frame,
    ImageArray,
    ImageFacts,
    Limits,
    inspect,
    load_image,
)
from labelop.ingest.unusable import refused

Decoded: TypeAlias = tuple[ImageArray, ImageFacts]
"""Pixels, and what is known of the whole image."""

_CHANNELS = 3
_PIXELS = "PPM"
"""A few bytes of text and then the rows; the library writes it to a file without a copy of its own."""
_MEMORY_BYTES = 2 << 30
_CPU_SECONDS = 30.0
"""Most processor time of one image; the largest allowed ones take about three seconds."""
_WALL_SECONDS = 300.0
"""For a decoder that waits and does not work; far off, since a busy machine is no fault of the file."""


def look_in_child(data: bytes, limits: dict[str, int]) -> dict[str, Any]:
    """Inspect; runs in the child. Answers the facts, or why there are none."""
    try:
        return {"facts": asdict(inspect(data, Limits(**limits)))}
    except UnreadableImageError as error:
        return {"refused": [error.code, error.context["detail"]]}


def decode_in_child(
    data: bytes, limits: dict[str, int], sizes: Sequence[int], frames: Sequence[dict[str, Any] | None]
) -> Shared:
    """Decode; runs in the child. Answers facts, size and place of the pixels of each file, or why there are none."""

    def write(block: BinaryIO) -> list[dict[str, Any]]:
        answers, end = [], 0
        for size, frame in zip(sizes, frames, strict=True):
            start, end = end, end + size
            answers.append(
                _decoded(data[start:end], Limits(**limits), None if frame is None else Frame(**frame), block)
            )
        return answers

    return Shared(write)


def _decoded(data: bytes, limits: Limits, frame: Frame | None, block: BinaryIO) -> dict[str, Any]:
    try:
        facts, image = load_image(data, limits, frame)
    except UnreadableImageError as error:
        return {"refused": [error.code, error.context["detail"]]}
    image.save(block, _PIXELS)
    return {"facts": asdict(facts), "size": image.size, "end": block.tell()}


@functools.lru_cache(maxsize=64)
def _plain(given: Limits | Frame) -> dict[str, Any]:
    return asdict(given)  # which takes its time, and there are few different ones


class Decoders:
    """Decodes for as many threads at once as it has children; they start when they are needed and end with it.

    Args:
        children: Processes, at least 1.
        memory_bytes: Most address space of each.
        cpu_seconds: Most processor time of one image.
        wall_seconds: Deadline of one image.
        module: Where `look_in_child` and `decode_in_child` are found; tests put faulty ones there.
    """

    def __init__(
        self,
        children: int,
        *,
        memory_bytes: int = _MEMORY_BYTES,
        cpu_seconds: float = _CPU_SECONDS,
        wall_seconds: float = _WALL_SECONDS,
        module: str = __name__,
    ) -> None:
        self._cpu_seconds = cpu_seconds
        self._wall_seconds = wall_seconds
        self._module = module
        self._children = [Child(memory_bytes, module) for _ in range(children)]
        # the one used last first, so that no more start than are needed
        self._free: queue.LifoQueue[Child] = queue.LifoQueue()
        for child in self._children:
            self._free.put(child)

    def inspect(self, data: bytes, limits: Limits = DEFAULT_LIMITS) -> ImageFacts:
        """Decode fully and say what the image is; see `decode.inspect`.

        Raises:
            UnreadableImageError: As there; or `code` is TOO_SLOW or DECODER_CRASHED.
            ChildError: No child can be started, or what runs there is broken: the file is not to blame.
        """
        _check_size(data, limits)
        with self._child() as child:
            answer, _ = self._alone(child, "look_in_child", data, limits)
        if "refused" in answer:
            raise refused(*answer["refused"])
        return ImageFacts(**answer["facts"])

    def decode(self, data: bytes, limits: Limits = DEFAULT_LIMITS) -> ImageArray:
        """Decode the first frame to upright RGB; see `decode.decode`.

        Raises:
            UnreadableImageError: As `inspect`.
            ChildError: As `inspect`.
        """
        pixels, _ = self.decode_for(data, None, limits)
        return pixels

    def decode_for(self, data: bytes, frame: Frame | None, limits: Limits = DEFAULT_LIMITS) -> Decoded:
        """Decode the first frame to upright RGB, to no more pixels than the models take; see `decode.decode_for`.

        Raises:
            UnreadableImageError: As `inspect`.
            ChildError: As `inspect`.
        """
        [found] = self.decode_each([(data, frame)], limits)
        if isinstance(found, UnreadableImageError):
            raise found
        return found

    def decode_each(
        self, files: Sequence[tuple[bytes, Frame | None]], limits: Limits = DEFAULT_LIMITS
    ) -> list[Decoded | UnreadableImageError]:
        """Decode several files in one call, each as `decode_for` does: small images cost less so.

        Returns:
            For each file pixels and facts, or why there are none.

        Raises:
            ChildError: As `inspect`.
        """
        with self._child() as child:
            if len(files) > 1 and sum(len(data) for data, _ in files) <= limits.max_bytes:
                # what fails together is found out one by one
                with contextlib.suppress(ChildCrashedError, UnreadableImageError):
                    return self._decode(child, self._call, files, limits)
            return [one for file in files for one in self._by_itself(child, file, limits)]

    def _by_itself(
        self, child: Child, file: tuple[bytes, Frame | None], limits: Limits
    ) -> list[Decoded | UnreadableImageError]:
        try:
            _check_size(file[0], limits)
            return self._decode(child, self._alone, [file], limits)
        except UnreadableImageError as error:
            return [error]

    def _decode(
        self, child: Child, call: Callable[..., Any], files: Sequence[tuple[bytes, Frame | None]], limits: Limits
    ) -> list[Decoded | UnreadableImageError]:
        answers, block = call(
            child,
            "decode_in_child",
            b"".join(data for data, _ in files),
            limits,
            sizes=[len(data) for data, _ in files],
            frames=[None if frame is None else _plain(frame) for _, frame in files],
        )
        if len(answers) != len(files):
            raise refused("DECODER_CRASHED", "the decoder gave fewer answers than it was given files")
        return [_found(answer, block) for answer in answers]

    def start(self) -> None:
        """Start the children without waiting for them, where their first images are still being read."""
        for child in self._children:
            child.start()

    def peak_bytes(self) -> list[int]:
        """Say how much memory each running child has had at most."""
        return [child.peak_bytes() for child in self._children]

    def close(self) -> None:
        """End the children; the next image starts them again."""
        for child in self._children:
            child.close()

    @contextlib.contextmanager
    def _child(self) -> Iterator[Child]:
        child = self._free.get()
        try:
            yield child
        finally:
            self._free.put(child)

    def _alone(self, child: Child, function: str, data: bytes, limits: Limits, **arguments: Any) -> tuple[Any, Any]:
        """Ask about one file, and a fresh child again, once it has answered for no bytes: only then it is the file."""
        try:
            return self._call(child, function, data, limits, **arguments)
        except ChildCrashedError:
            self._call(child, "look_in_child", b"", limits)
        try:
            return self._call(child, function, data, limits, **arguments)
        except ChildCrashedError as error:
            raise refused("DECODER_CRASHED", "the decoder's process ended twice, and answered in between") from error

    def _call(self, child: Child, function: str, data: bytes, limits: Limits, **arguments: Any) -> tuple[Any, Any]:
        try:
            return child.call_shared(
                f"{self._module}:{function}",
                data,
                timeout_seconds=self._wall_seconds,
                cpu_seconds=self._cpu_seconds,
                limits=_plain(limits),
                **arguments,
            )
        except ChildTimeoutError as error:
            raise refused("TOO_SLOW", f"not decoded in {self._cpu_seconds:g} s of processor time") from error
        except ChildFaultError as error:
            if error.context["kind"] != MemoryError.__name__:
                raise
            raise refused("TOO_LARGE", "more memory than one image may take") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_size(data: bytes, limits: Limits) -> None:
    if len(data) > limits.max_bytes:
        raise refused("TOO_LARGE", f"{len(data)} bytes, allowed are {limits.max_bytes}")


def _found(answer: dict[str, Any], block: mmap.mmap | None) -> Decoded | UnreadableImageError:
    if "refused" in answer:
        return refused(*answer["refused"])
    width, height = answer["size"]
    count = width * height * _CHANNELS
    if block is None or not count <= answer["end"] <= len(block):
        return refused("DECODER_CRASHED", "the decoder gave fewer pixels than it said")
    pixels = np.frombuffer(block, np.uint8, count, offset=answer["end"] - count)
    return pixels.reshape(height, width, _CHANNELS), ImageFacts(**answer["facts"])


@functools.cache
def decoders() -> Decoders:
    """Give the decoders of this process, one child a core; they end with it."""
    made = Decoders(max(2, len(os.sched_getaffinity(0))))
    atexit.register(made.close)
    return made


# a forked process has children of its own: two that write to one would read each other's answers
os.register_at_fork(after_in_child=decoders.cache_clear)
