"""Foreign HTML becomes a page that asks nobody for anything, so that it can be read without a network.

Knows no report tool. Taken out: `<link>` (web fonts, Bootstrap, date picker), `<script>` (jQuery, Popper, Bootstrap,
Vega) with its content, `<img>` (logos), every other element that loads something, event handlers, addresses other than
`#place` (so also the links of a missing site around the page), and `url(...)` and `@import` in styles. A content
security policy then forbids what might be left, and one small stylesheet replaces those that were linked.
"""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from labelop.errors import LandingError

_DROPPED_WITH_CONTENT = frozenset({"script", "iframe", "object", "template", "noscript", "svg", "math", "footer"})
_DROPPED = frozenset({"link", "img", "base", "meta", "embed", "source", "video", "audio", "track", "form", "input"})
_VOID = frozenset({"area", "br", "col", "hr", "wbr"})
_LOADING = frozenset({"src", "srcset", "action", "formaction", "background", "data", "poster", "ping", "xlink:href"})
_STYLE_LOADS = re.compile(r"url\s*\([^)]*\)|@import[^;]*;?|image-set\s*\([^)]*\)", re.IGNORECASE)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem 1.5rem; color: #1c2430; }
table { border-collapse: collapse; margin: .5rem 0 1rem; }
td, th { border: 1px solid #ccd3dc; padding: .3rem .6rem; text-align: left; vertical-align: top; }
th { background: #f1f4f8; }
.badge, .text-danger, .failed { color: #a3231b; }
.text-success, .passed { color: #176b3a; }
.ge-breadcrumbs, .card, nav { display: none; }
"""
"""Stylesheet of every page written here."""


def head(title: str) -> str:
    """Open a page: document type, policy, title and stylesheet, up to and without `<body>`."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n"
    )


def make_offline(page: str, title: str) -> str:
    """Rewrite an HTML page so that opening it makes no request.

    Args:
        page: Any HTML, also broken or hostile.
        title: Replaces the page's own title.

    Returns:
        A whole page with the body's text and structure and nothing that loads or runs.
    """
    keeper = _Keeper()
    keeper.feed(page)
    keeper.close()
    return f"{head(title)}<body>{''.join(keeper.parts)}</body></html>\n"


def write_page(path: Path, page: str) -> Path:
    """Write a page into a folder that is made when missing; returns its path.

    Raises:
        LandingError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise LandingError(
            f"The validation page {path} cannot be written: {error.strerror}.",
            hint="It lies beside a local store; `--store` or LABELOP_DATA_DOCS names another place.",
        ) from error
    return path


def escaped(value: Any) -> Any:
    """Escape every text in nested lists and dicts, for report tools that put data into HTML as it is."""
    if isinstance(value, str):
        return html.escape(value, quote=False)
    if isinstance(value, list):
        return [escaped(item) for item in value]
    return {key: escaped(item) for key, item in value.items()} if isinstance(value, dict) else value


class _Keeper(HTMLParser):
    """Collects the harmless part of the body."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._inside: list[str] = []  # open elements whose content is dropped
        self._in_body = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":
            self._in_body = True
        elif tag in _DROPPED_WITH_CONTENT or tag == "style":
            self._inside.append(tag)
        elif self._in_body and not self._inside and tag not in _DROPPED and tag not in {"html", "head"}:
            attributes = "".join(
                f' {name}="{html.escape(kept)}"' for name, value in attrs if (kept := _kept(name, value))
            )
            self.parts.append(f"<{tag}{attributes}>")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # `<script/>` opens a script in HTML, so only real void elements end here
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._inside:
            if tag == self._inside[-1]:
                self._inside.pop()
        elif self._in_body and tag not in _DROPPED | _VOID | {"html", "head", "body"}:
            self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self._in_body and not self._inside:
            self.parts.append(html.escape(data, quote=False))


def _kept(name: str, value: str | None) -> str:
    if value is None or name.startswith("on") or name in _LOADING or not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        return ""
    if name == "href":
        return value if value.startswith("#") else ""
    return _STYLE_LOADS.sub("none", value) if name == "style" else value
