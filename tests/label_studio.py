"""The real Label Studio as `make labelstudio` starts it, a proxy that loses replies, and a person in a browser."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from labelop.settings import Settings
from tests.loopback import Handler, serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 280.0
_HOP = frozenset({"connection", "transfer-encoding", "content-length", "server", "date"})


@dataclass(frozen=True)
class Started:
    """A server that runs."""

    url: str
    root: Path
    folder: Path

    @property
    def password(self) -> str:
        """The password of the user it was made with."""
        return (self.folder / "password").read_text().strip()

    def settings(self, store: str, url: str | None = None) -> Settings:
        """Give settings that name it."""
        return Settings(
            store=store,
            label_studio_url=url or self.url,
            label_studio_token_file=self.folder / "token",
            label_studio_root=self.root,
        )

    def client(self) -> httpx.Client:
        """Give a client for what labelop itself never asks."""
        token = (self.folder / "token").read_text().strip()
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Token {token}"}, trust_env=False, timeout=120
        )


@contextmanager
def label_studio(folder: Path, root: Path) -> Iterator[Started]:
    """Start the server; skips with the reason where its environment cannot be made.

    Args:
        folder: Where its database and secrets go.
        root: Its document root.
    """
    made = subprocess.run(
        ["make", "labelstudio-env"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=290
    )
    if made.returncode:
        pytest.skip(f"Label Studio's environment cannot be made: {(made.stderr.strip().splitlines() or ['?'])[-1]}")
    command = [sys.executable, "deployments/labelstudio.py", "--folder", str(folder), "--root", str(root)]
    with subprocess.Popen([*command, "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        watch = threading.Timer(START_SECONDS, process.kill)
        watch.start()
        try:
            assert process.stdout is not None
            said = process.stdout.readline()  # comes when it answers; empty when it ended
            watch.cancel()
            found = re.match(r"Label Studio at (\S+),", said)
            if found is None:
                pytest.fail(f"Label Studio did not start: {(folder / 'log').read_text(errors='replace')[-3000:]}")
            yield Started(found[1], root, folder)
        finally:
            watch.cancel()
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()


Lost = Callable[[str, str, int], bool]
"""Says by method, path and number of the request whether its reply is lost."""


@contextmanager
def losing_replies(upstream: str, lost: Lost) -> Iterator[str]:
    """Run a proxy that lets the server do everything and hangs up instead of handing on some replies."""

    class Passing(Handler):
        def _pass_on(self) -> None:
            number = next(numbers)
            connection = HTTPConnection(upstream.removeprefix("http://"), timeout=280)
            try:
                connection.request(self.command, self.path, self.body() or None, dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
            finally:
                connection.close()
            if lost(self.command, self.path, number):
                self.close_connection = True
                return
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
            self.answer(answer.status, content, headers)

        do_GET = do_POST = do_DELETE = _pass_on  # noqa: N815 - the names that the library calls

    numbers = iter(range(1 << 30))
    with serving(Passing) as url:
        yield url


class Editor:
    """A person before the editor: mouse and keys only."""

    def __init__(self, page: Page, served: Started, size: tuple[int, int] = (320, 256)) -> None:
        self.page = page
        self.served = served
        self._width_px, self._height_px = size
        page.goto(f"{served.url}/user/login", wait_until="load", timeout=120_000)
        page.fill("input[name=email]", "operator@localhost")
        page.fill("input[name=password]", served.password)
        page.click("button[type=submit]")
        page.wait_for_url(lambda url: "/user/login" not in url, timeout=120_000, wait_until="commit")

    def open(self, project_id: int | None, task: dict[str, Any], drafts_count: int = 4) -> None:
        """Open a task and wait until its drafts are drawn."""
        self.page.goto(
            f"{self.served.url}/projects/{project_id}/data?task={task['id']}", wait_until="load", timeout=120_000
        )
        self.page.get_by_role("button", name="Submit").wait_for(timeout=120_000)
        self.page.wait_for_function(
            f"window.Htx?.task?.id == {task['id']}"
            f" && window.Htx.annotationStore.selected?.regions.length >= {drafts_count}"
            " && window.Htx.annotationStore.selected.objects.every(o => o.imageIsLoaded ?? true)",
            timeout=120_000,
        )
        self.page.locator(".konvajs-content canvas").first.wait_for(timeout=120_000)

    def _at(self, x: float, y: float) -> tuple[float, float]:
        # the picture itself: the editor may show it larger than the frame it draws in
        frame = self.page.locator('img[alt="image"]').last.bounding_box()
        assert frame is not None
        return frame["x"] + x / self._width_px * frame["width"], frame["y"] + y / self._height_px * frame["height"]

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press, move and let go, in pixels of the image."""
        mouse = self.page.mouse
        mouse.move(*self._at(*start))
        mouse.down()
        mouse.move(*self._at((start[0] + end[0]) / 2, (start[1] + end[1]) / 2), steps=4)
        mouse.move(*self._at(*end), steps=4)
        mouse.up()

    def prompt(self, tool: int, row: int, label: str, place: tuple[float, ...]) -> None:
        """Ask for a mask by a click (x, y) or a box (x, y, x, y), pixels of the image, and take what comes.

        Args:
            tool: Which of the prompting tools.
            row: Which of the rows of classes is its.
            label: Class of the object.
            place: Where.
        """
        tools = self.page.locator(".lsf-toolbar .lsf-tool_smart")
        tools.first.click()  # the one that is in use; the list of all opens beside it
        tools.nth(tool).click()
        self.page.get_by_text(label, exact=True).nth(row).click()
        with self.page.expect_response(lambda answer: "/interactive-annotating" in answer.url, timeout=120_000):
            if len(place) == 2:
                self.page.mouse.click(*self._at(*place))
            else:
                self.drag((place[0], place[1]), (place[2], place[3]))
        self.page.locator(".lsf-auto-accept__action_type_accept").click(timeout=30_000)

    def select(self, x: float, y: float) -> None:
        """Click on what is drawn there, in pixels of the image."""
        self.page.mouse.click(*self._at(x, y))
        self.page.wait_for_function("window.Htx.annotationStore.selected.selectedRegions.length == 1", timeout=30_000)

    def submit(self) -> None:
        """Press the button and wait until the server has it."""
        with self.page.expect_response(
            lambda answer: "/annotations" in answer.url and answer.request.method == "POST", timeout=120_000
        ) as sent:
            self.page.get_by_role("button", name="Submit").click()
        assert sent.value.status == 201, sent.value.text()
