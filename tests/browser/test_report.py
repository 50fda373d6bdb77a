"""The report in a real browser: hostile names run nothing, nothing is fetched, and it fits the screen."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from labelop.landing.store import open_store
from labelop.report.page import write_report
from labelop.report.values import plain
from labelop.settings import Settings
from tests.unit.report_rows import POLICY, drawn_photos, reviewed

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

pytestmark = pytest.mark.slow

HOSTILE = (
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "<svg/onload=window.hacked=1>",
    '"><script>window.hacked=1</script>',
    "'\"--></style></title></textarea><script>window.hacked=1</script>",
    "]]><script>window.hacked=1</script>",
    "<!--<iframe src=javascript:window.hacked=1>",
    "javascript:window.hacked=1",
    '<a href="http://127.0.0.1:9/x" onmouseover=window.hacked=1>x</a>',
    '<link rel=stylesheet href="http://127.0.0.1:9/x.css">',
    '<meta http-equiv="refresh" content="0;url=http://127.0.0.1:9/">',
    '<base href="http://127.0.0.1:9/">',
    '<form action="http://127.0.0.1:9/"><input autofocus onfocus=window.hacked=1>',
    "background:url(http://127.0.0.1:9/x.png)",
    '" style="background:url(http://127.0.0.1:9/x.png)" x="',
    "&lt;script&gt;window.hacked=1&lt;/script&gt;",
    "{{ 7*7 }}{% raw %}",
    "${7*7}#{7*7}",
    "=cmd()|'/c calc'!A1",
    "+1+1",
    "@SUM(1)",
    "'; DROP TABLE images; --",
    "../../etc/passwd",
    "\u202egnp.exe",
    "\u2066\u2067\u200f\u05e9\u05dc\u05d5\u05dd",
    "\u0645\u0631\u062d\u0628\u0627",
    "\x01\x1b[31m\x7f",
    "a\nb\tc\r",
    "\ufeff\u200b\u00ad",
    "Z\u0351\u036b\u0343a\u0301",
    "\U0001f469\u200d\U0001f52c",
    "%00%2e%2e%2f",
    "x" * 300,
    "null",
    "{'signal': 'window.hacked=1'}",
    "datum.x",
    "a.b[0]\\'c",
)
"""Names as somebody could write them into a folder, an annotation file or a command."""


@dataclass
class Watched:
    """A page and everything it did."""

    page: Page
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def dismiss(self, dialog: Dialog) -> None:
        """Note an alert and close it, so that the page goes on."""
        self.dialogs.append(dialog.message)
        dialog.dismiss()


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a report in which every foreign text is hostile: datasets, paths, classes, reasons, details."""
    folder = tmp_path_factory.mktemp("hostile")
    photos = drawn_photos(folder / "in", count=3)
    world = None
    for number, name in enumerate(HOSTILE[:12]):
        world = reviewed(
            photos,
            world=world,
            dataset=f"{number} {name}",
            source_uri=str(folder / "in"),
            rename={"RBC": name, "WBC": HOSTILE[-number - 1]},
            quarantined=[(text, text, text) for text in HOSTILE] if number == 0 else (),
            wrong={"local": 0.9, "cloud": 0.9},
        )
    assert world is not None
    for place, row in enumerate(world.rows["decisions"]):
        row["reason"] = row["rule_id"] = row["model_id"] = HOSTILE[place % len(HOSTILE)]
    settings = Settings(store=str(folder / "store"))
    return write_report(world.land(open_store(settings)), folder / "report.html", settings=settings, policy=POLICY)


def opened(browser: Browser, path: Path, width_px: int = 1280) -> Watched:
    """Open the page and write down what it does."""
    page = browser.new_page(viewport={"width": width_px, "height": 900})
    seen = Watched(page)
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("dialog", seen.dismiss)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("console", lambda message: seen.errors.append(message.text))
    page.goto(path.as_uri(), wait_until="load")
    return seen


def test_hostile_names_run_nothing_and_fetch_nothing(browser: Browser, hostile_report: Path) -> None:
    """With hostile text in every place, no script runs, no element of theirs exists and nothing is requested."""
    seen = opened(browser, hostile_report)
    page = seen.page
    page.mouse.move(300, 300)
    page.keyboard.press("Tab")
    assert page.evaluate("window.hacked") is None
    assert seen.dialogs == []
    assert seen.errors == []
    assert [url for url in seen.requests if not url.startswith("data:image/jpeg")] == [hostile_report.as_uri()]
    for tag in ("script", "iframe", "form", "input", "link", "base", "object", "embed", "img"):
        assert page.locator(tag).count() == 0, tag
    handlers = (
        "[...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => /^on/i.test(a.name))).length"
    )
    assert page.evaluate(handlers) == 0
    page.close()


def test_hostile_names_are_shown_as_what_they_are(browser: Browser, hostile_report: Path) -> None:
    """Escaping hides nothing: every name can be read, with invisible characters spelled out."""
    page = opened(browser, hostile_report).page
    text = " ".join(page.evaluate("document.querySelector('#quarantine').textContent").split())
    for name in HOSTILE:
        assert " ".join(plain(name).split()) in text
    page.close()


def test_policy_would_stop_a_script_that_slipped_in(browser: Browser, hostile_report: Path) -> None:
    """The second wall holds alone: a script or picture added to the page neither runs nor loads."""
    seen = opened(browser, hostile_report)
    seen.page.evaluate(
        """() => {
            const script = document.createElement('script');
            script.textContent = 'window.hacked = 1';
            document.body.append(script);
            const picture = '<img src="http://127.0.0.1:9/x.png" onerror="window.hacked=2">';
            document.body.insertAdjacentHTML('beforeend', picture);
        }"""
    )
    assert seen.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in error for error in seen.errors)
    seen.page.close()


@pytest.mark.parametrize("width_px", [1280, 768, 390])
def test_page_fits_the_screen(browser: Browser, hostile_report: Path, width_px: int) -> None:
    """Long names and wide tables scroll inside their own frame, never the whole page."""
    page = opened(browser, hostile_report, width_px).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width_px
    page.close()


def test_pictures_are_decoded_and_boxes_lie_on_them(browser: Browser, hostile_report: Path) -> None:
    """Each picture has a size on the screen and at least one box inside it."""
    page = opened(browser, hostile_report).page
    inside = """[...document.querySelectorAll('#pictures figure')].map(figure => {
        const frame = figure.querySelector('image').getBoundingClientRect();
        return frame.width > 100 && [...figure.querySelectorAll('rect')].some(rect => {
            const box = rect.getBoundingClientRect();
            return box.left >= frame.left - 3 && box.right <= frame.right + 3 && box.width > 5;
        });
    })"""
    found = page.evaluate(inside)
    assert len(found) == 8
    assert all(found)
    page.close()
