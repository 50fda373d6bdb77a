"""Files that were made come to their place in one step, and never over another."""

from __future__ import annotations

from pathlib import Path

import pytest

from labelop.catalog.files import appear
from labelop.errors import CatalogError


def test_a_disk_without_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is moved there all the same, and still not over another."""

    def link(*_: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr("os.link", link)
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    appear(tmp_path / "a", tmp_path / "c")
    with pytest.raises(CatalogError, match="c is there already"):
        appear(tmp_path / "b", tmp_path / "c")
    assert (tmp_path / "c").read_text() == "a"
