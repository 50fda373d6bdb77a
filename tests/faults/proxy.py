"""An S3-compatible server on loopback, and a proxy before it that does what a bad store or a bad network does."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import botocore.session

from tests.loopback import running

BUCKET = "tables"
_CONDITIONS = ("if-none-match", "if-match")
_ERRORS = {
    "unavailable": (503, b"<Error><Code>SlowDown</Code><Message>drawn</Message></Error>"),
    "conflict": (409, b"<Error><Code>ConditionalRequestConflict</Code><Message>drawn</Message></Error>"),
}
_HOP = frozenset({"connection", "transfer-encoding", "content-length", "server", "date"})


@dataclass(slots=True)
class Behaviour:
    """What the proxy does to requests; shares are drawn anew for each request."""

    ignores_conditions: bool = False
    """Let every conditional write through."""
    unavailable_share: float = 0.0
    """Answers 503 instead of passing a request on."""
    conflict_share: float = 0.0
    """Answers 409 to a conditional write instead of passing it on; every n-th, so that a small run has some too."""
    truncated_share: float = 0.0
    """Breaks off in the middle of a body that was asked for."""
    watch: Callable[[str, int], None] | None = None
    """Called with `before PUT /path` and `after PUT /path` of every change, and its number."""
    draw: random.Random = field(default_factory=lambda: random.Random(5))
    counts: Counter[str] = field(default_factory=Counter)
    """What was done, by name."""


_SERVER = """
import logging, sys
from moto.server import ThreadedMotoServer
from werkzeug.serving import WSGIRequestHandler
WSGIRequestHandler.disable_nagle_algorithm = True
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
logging.getLogger("werkzeug").setLevel(logging.ERROR)  # the server turns it up as it starts
print("http://%s:%s" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


@contextmanager
def s3_server() -> Iterator[str]:
    """Run an S3-compatible server with one bucket; gives its address.

    It has a process of its own: a few calls of the table library wait for the network and let no other thread run.
    """
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().decode().strip()
            client = botocore.session.get_session().create_client(
                "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
            )
            client.create_bucket(Bucket=BUCKET)
            client.close()
            yield address
        finally:
            server.kill()


@contextmanager
def proxy(upstream: str, behaviour: Behaviour) -> Iterator[str]:
    """Run the proxy; gives its address. What it does may be changed while it runs."""
    with running(_Server(upstream, behaviour)) as url:
        yield url


class _Server(ThreadingHTTPServer):
    def __init__(self, upstream: str, behaviour: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream.removeprefix("http://")
        self.behaviour = behaviour
        self.locked = threading.Lock()

    def handle_error(self, *_: object) -> None:
        """Say nothing: a killed client hangs up."""

    def drawn(self, *, is_read: bool, is_conditional: bool) -> tuple[int, str, bool]:
        """Count a request and draw its fate: number of its change, error to answer with, whether to break off."""
        how = self.behaviour
        with self.locked:
            bad, broken = (how.draw.random() < share for share in (how.unavailable_share, how.truncated_share))
            how.counts["requests"] += 1
            how.counts["changes"] += not is_read
            how.counts["conditional"] += is_conditional
            # there are few of these: every twentieth is 5 % of them in a small run too
            count = how.counts["conditional"]
            conflict = is_conditional and int(count * how.conflict_share) > int((count - 1) * how.conflict_share)
            error = "conflict" if conflict else "unavailable" if bad else ""
            how.counts[error] += bool(error)
            return how.counts["changes"], error, broken


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer waits 40 ms for a packet to be acknowledged
    wbufsize = -1
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.upstream = HTTPConnection(self.server.upstream)

    def finish(self) -> None:
        self.upstream.close()
        super().finish()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle_expect_100(self) -> bool:
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()  # the client waits for this before it sends its body
        return True

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        is_read, behaviour = self.command in {"GET", "HEAD"}, self.server.behaviour
        is_conditional = not is_read and any(name.lower() in _CONDITIONS for name in self.headers)
        number, error, broken = self.server.drawn(is_read=is_read, is_conditional=is_conditional)
        if error:
            self._answer(*_ERRORS[error])
            return
        watch = behaviour.watch if behaviour.watch and not is_read else lambda *_: None
        watch(f"before {self.command} {self.path}", number)
        dropped = {"connection", "expect", *(_CONDITIONS if behaviour.ignores_conditions else ())}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        self.upstream.request(self.command, self.path, body=body, headers=headers)
        answer = self.upstream.getresponse()
        data = answer.read()
        watch(f"after {self.command} {self.path}", number)
        cut = broken and self.command == "GET" and len(data) > 1
        behaviour.counts["truncated"] += cut
        self._answer(answer.status, data, answer, cut=cut)

    def _answer(self, status: int, body: bytes, of: HTTPResponse | None = None, *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in of.getheaders() if of else ():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        length = of.getheader("content-length") if of and self.command == "HEAD" else None
        self.send_header("content-length", length or str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815 - names of the base class
