from __future__ import annotations

import re

import pytest

from labelop.landing.offline_page import make_offline

LOADS = re.compile(
    r"<(link|script|img|iframe|object|embed|base|form)\b|\bsrc=|https?:|\bon[a-z]+=|url\(|@import|javascript:",
    re.IGNORECASE,
)


@pytest.mark.parametrize(
    "page",
    [
        '<head><link rel="stylesheet" href="https://cdn.example/a.css"></head><body>kept</body>',
        '<body><script src="https://cdn.example/a.js"></script>kept</body>',
        "<body><script>fetch('https://cdn.example')</script>kept</body>",
        "<body><script>if (a < b) { document.write('<p>') }</script>kept</body>",
        '<body><img src="https://cdn.example/logo.png">kept</body>',
        "<body><style>@import 'https://cdn.example'; a { background: url(x.png) }</style>kept</body>",
        '<body><p style="background: URL(https://cdn.example/x.png)">kept</p></body>',
        '<body><a href="https://example.org">kept</a></body>',
        '<body><a href="../../index.html" onclick="go()">kept</a></body>',
        '<body><div onmouseover="go()">kept</div></body>',
        '<body><svg><image href="https://cdn.example/x.svg"/></svg>kept</body>',
        '<body><a href="javascript:go()">kept</a></body>',
        '<body><iframe srcdoc="<p>"></iframe>kept</body>',
        '<body><IMG SRC="https://cdn.example/x.png">kept</body>',
        '<body><form action="https://example.org"><input type="image" src="x"></form>kept</body>',
    ],
)
def test_a_page_loads_and_runs_nothing(page: str) -> None:
    """Whatever loads or runs something is taken out; the text stays."""
    result = make_offline(page, "title")
    assert "kept" in result
    assert LOADS.search(result) is None
    assert "default-src 'none'" in result


def test_structure_and_inner_links_stay() -> None:
    """Tables, classes and links to places in the page survive."""
    body = '<table class="t"><tr><td><a href="#here">one &amp; two</a></td></tr></table>'
    assert f"<body>{body}</body>" in make_offline(f"<html><body>{body}</body></html>", "title")


def test_text_stays_text() -> None:
    """Escaped markup in the text is not turned into markup."""
    result = make_offline("<body><p>&lt;script&gt;alert(1)&lt;/script&gt;</p></body>", "<b>")
    assert "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>" in result
    assert "<title>&lt;b&gt;</title>" in result
