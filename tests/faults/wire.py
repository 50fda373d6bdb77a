"""A wire on loopback that can be cut: bytes in flight are dropped, and whoever calls then is never answered."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator


class Wire:
    """Passes bytes on to an address while it is whole.

    Args:
        upstream: Host and port to pass on to.
    """

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.is_cut = threading.Event()
        self.refused_count = 0
        self._open: set[socket.socket] = set()
        self._ended = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def cut(self) -> None:
        """Cut it: open connections hang, new ones are taken and never answered."""
        self.is_cut.set()

    def mend(self) -> None:
        """Mend it: what hung is reset, as it is when a network comes back to one that has forgotten it."""
        self.is_cut.clear()
        self._drop()

    def end(self) -> None:
        """Take it away."""
        self._ended.set()
        self._listener.close()
        self._drop()

    def _drop(self) -> None:
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.close()
        self._open.clear()

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(here)
            if self.is_cut.is_set():
                self.refused_count += 1
                continue
            there = socket.create_connection(self._upstream)
            self._open.add(there)
            threading.Thread(target=self._pass_on, args=(here, there), daemon=True).start()

    def _pass_on(self, here: socket.socket, there: socket.socket) -> None:
        other = {here: there, there: here}
        with contextlib.suppress(OSError, ValueError, KeyError), selectors.DefaultSelector() as ready:
            for end in other:
                ready.register(end, selectors.EVENT_READ, end)
            while True:
                for key, _ in ready.select(timeout=0.5):
                    one: socket.socket = key.data
                    data = one.recv(1 << 16)
                    if not data:
                        return self._close(here, there)
                    if self.is_cut.is_set():
                        # the connection stays and is never heard of again
                        return None
                    other[one].sendall(data)
        return self._close(here, there)

    def _close(self, *ends: socket.socket) -> None:
        for one in ends:
            one.close()
            self._open.discard(one)


@contextlib.contextmanager
def wire(upstream: str) -> Iterator[Wire]:
    """Lay a wire to `http://host:port`."""
    host, _, port = upstream.removeprefix("http://").partition(":")
    laid = Wire((host, int(port)))
    try:
        yield laid
    finally:
        laid.end()
