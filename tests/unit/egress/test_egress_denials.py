"""Groups that stay at home: few lines, one sync, every image found."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from labelop.egress.audit import entries, verify
from labelop.egress.denials import Denial, note_denials
from labelop.ids import digest_of, sha256_hex
from labelop.settings import Settings, load_settings

IDS = [sha256_hex(str(number).encode()) for number in range(2000)]


def note(folder: Path, denials: list[Denial]) -> Settings:
    """Write groups into a log of its own."""
    settings = load_settings(store=str(folder / "store"))
    note_denials(settings, "kept_by_routing", denials, about={"batch_id": "b"}, policy_digest="p", run_id="r")
    return settings


def group(count: int, because: str = "text:phone") -> Denial:
    """Make a group of restricted images."""
    return Denial("cloud", "restricted", "level-not-allowed", because, IDS[:count])


def test_a_large_group_is_few_lines_and_one_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 images are three lines under one sync of the file; each is found, with count and digest of the group."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_mode))
    settings = note(tmp_path, [group(2000)])
    assert sum(map(stat.S_ISREG, synced)) == 1
    assert verify(settings.audit_path).lines_count == 3
    for image_id in (IDS[0], IDS[799], IDS[800], IDS[1999]):
        (line,) = entries(settings.audit_path, image_id=image_id)
        assert (line["image_id"], line["images_count"], line["images_digest"]) == (image_id, 2000, digest_of(IDS))
        assert "image_ids" not in line
    assert [line["image_id"] for line in entries(settings.audit_path, run_id="r")] == [""] * 3


def test_a_group_without_images_has_no_line(tmp_path: Path) -> None:
    """Where nothing was kept there is no line and no log."""
    assert not note(tmp_path, [group(0)]).audit_path.exists()


def test_the_longest_reason_fits_beside_a_full_list(tmp_path: Path) -> None:
    """A reason of any length is cut: a line has a bound, and a refused line would end the run."""
    settings = note(tmp_path, [group(2000, "ä" * 100_000)])
    assert verify(settings.audit_path).cause == ""


def test_lines_of_another_make_are_passed_over(tmp_path: Path) -> None:
    """A list of images that is none is nobody's line, and ends no question."""
    settings = note(tmp_path, [group(1)])
    with settings.audit_path.open("a") as file:
        file.write('{"at":"x","record":{"image_ids":5},"seq":2}\n')
    assert [line["line"] for line in entries(settings.audit_path, image_id=IDS[0])] == [1]
