"""Pictures that may leave in a changed form only: what arrives is that form, and what was taken away is nowhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from labelop.egress.audit import entries
from tests.canary.canaries import Tagged, tagged, write_source
from tests.canary.capture import inference_server, sink
from tests.canary.search import Search, pictures
from tests.canary.test_nights import LABELOP, elsewhere, run
from tests.canary.world import RESTRICTED, World, make_world
from tests.unit.engines.models import CLASSES, HEIGHT_PX, WIDTH_PX

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
zxingcpp: Any = pytest.importorskip("zxingcpp")

WIDTH, HEIGHT, SMALL_PX = 240, 180, 64
LEFT, TOP = 20, 24
"""Where the code is drawn, in pixels."""
QUIET_PX, SIDE_PX = 12, 99
"""Its white rim, and its side with that rim."""
NOTES = ["owner", "comment", "thumbnail", "thumbnail_differs", "notes_unknown"]


def draw_code(pixels: NDArray[np.uint8], text: str) -> None:
    """Draw a text as a QR code."""
    made = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode)
    code = np.asarray(zxingcpp.write_barcode_to_image(made, scale=3, add_quiet_zones=True))
    assert code.shape == (SIDE_PX, SIDE_PX)
    pixels[TOP : TOP + SIDE_PX, LEFT : LEFT + SIDE_PX] = code[..., None]


def codes_in(pixels: NDArray[np.uint8]) -> list[str]:
    """Read codes, of a picture that was made smaller as well."""
    large = np.asarray(Image.fromarray(pixels).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    return [code.text for code in zxingcpp.read_barcodes(large)]


def prepared(folder: Path) -> tuple[World, list[Tagged], Path]:
    """Make a world whose policy lets pictures with codes and notes out without them, those with a position small."""
    world = make_world(folder, restricted=2, public=1)
    made = [tagged(f"coded {n}", width_px=WIDTH, height_px=HEIGHT, with_gps=n > 0, paint=draw_code) for n in range(2)]
    source = write_source(folder / "sources/c", made, CLASSES)
    path = world.settings.config / "policy.yaml"
    policy = yaml.safe_load(path.read_text())
    policy["categories"] |= dict.fromkeys([*NOTES, "gps", "qr_code"], "confidential")
    policy["signals"] |= {"codes": "always"}
    policy["release"] = [
        {"id": "whole", "up_to": "confidential", "placements": ["cloud"], "redact": ["qr_code"], "strip": [*NOTES]},
        {
            "id": "small",
            "up_to": "confidential",
            "placements": ["cloud"],
            "redact": ["qr_code"],
            "strip": [*NOTES, "gps"],
        },
    ]
    policy["release"][1]["downscale_px"] = SMALL_PX
    path.write_text(yaml.safe_dump(policy))
    ward = world.night()[0]
    assert ward["dataset"] == RESTRICTED
    lab = ward | {"dataset": "lab", "source": str(source.root), "sensitivity": "public"}
    night = folder / "night.yaml"
    night.write_text(yaml.safe_dump([ward, lab]))
    return world, made, night


def test_only_the_changed_form_leaves(tmp_path: Path) -> None:
    """The code is black, notes and thumbnail are gone, a small form is small; restricted pictures stay as always."""
    world, made, night = prepared(tmp_path)
    with (
        inference_server(world.catalog, world.settings, world.far_end(), fails_every=3) as (url, kept),
        sink() as (away, sunk),
    ):
        said = run([*LABELOP, "nightly", "--night", str(night)], elsewhere(world, url, away))
        arrived, told = kept.all(), sunk.all()
    frames = [(WIDTH_PX, HEIGHT_PX)]
    assert all(codes_in(one.pixels) == [one.texts["code"]] for one in made), "nobody could read them anyway"
    rest_of_it = Search([replace(one, texts={}, patterns=(one.patterns[0],) * 2) for one in made], frames)
    assert {hit.picture for hit in rest_of_it.hits(arrived)} == {"coded 0", "coded 1"}
    taken_away = Search([replace(one, patterns=(one.patterns[1],) * 2) for one in made], frames)
    assert taken_away.hits([*arrived, *told, said]) == set()
    assert world.secret.hits([*arrived, *told, said]) == set()
    seen = [pixels for request in arrived for pixels, _ in pictures(request)]
    assert {(pixels.shape[1], pixels.shape[0]) for pixels in seen} == {(WIDTH, HEIGHT), (SMALL_PX, SMALL_PX * 3 // 4)}
    for pixels in seen:
        assert codes_in(pixels) == []
        scale, end = pixels.shape[1] / WIDTH, SIDE_PX - QUIET_PX
        rows, columns = (slice(int(scale * (at + QUIET_PX)) + 1, int(scale * (at + end))) for at in (TOP, LEFT))
        assert pixels[rows, columns].max() < 40
    lines = [line for line in entries(world.settings.audit_path) if line["event"] == "release"]
    forms = {(line["form"]["kind"], line["form"]["regions_count"], line["form"]["side_px"]) for line in lines}
    assert forms == {("redact", 1, None), ("redact+downscale", 1, SMALL_PX)}
    assert {line["answer"] for line in lines} == {"allow"}
