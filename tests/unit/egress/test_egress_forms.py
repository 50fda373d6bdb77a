"""Release forms: what was found is gone from the pixels, and what cannot be made sure of does not leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from labelop.egress.forms import MOSAIC_CELLS, Region, make_form
from labelop.egress.release_token import FormRecord


@dataclass(frozen=True)
class Form:
    """What a policy asks for."""

    redact: tuple[Region, ...] = ()
    downscale_px: int | None = None
    placements: frozenset[str] = frozenset({"cloud"})


def noise(height: int = 120, width: int = 160) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """Draw an image in which no two places are alike."""
    return np.random.default_rng(7).integers(1, 255, (height, width, 3), dtype=np.uint8)


def test_a_region_is_filled_with_its_margin() -> None:
    """Nothing of the region or its rim is left; the rest and the original are as they were."""
    pixels = noise()
    before = pixels.copy()
    out, said = make_form(pixels, Form(((40, 30, 80, 60),)))
    assert not out[26:64, 36:84].any()
    assert (out[:26] == before[:26]).all()
    assert (pixels == before).all()
    assert said == FormRecord("redact", 1)


def test_a_mosaic_keeps_sixteen_cells_at_most() -> None:
    """Two images that differ only inside the cells of a mosaic become the same."""
    one = noise(64, 64)
    other = one.copy()
    cell = 64 // MOSAIC_CELLS
    other[:cell, :cell] = one[:cell, :cell][::-1, ::-1]
    form = Form(((0.0, 0.0, 64.0, 64.0),))
    masked = [make_form(pixels, form, style="mosaic")[0] for pixels in (one, other)]
    assert (masked[0] == masked[1]).all()


def test_regions_follow_an_image_decoded_smaller() -> None:
    """Regions are of the original's frame, whatever the scale of the pixels."""
    out, _ = make_form(noise(60, 80), Form(((80, 60, 160, 120),)), frame=(160, 120))
    assert not out[30:, 40:].any()
    assert out[:25].all()


def test_downscaling_keeps_the_shape() -> None:
    """The longest side is the one asked for; a smaller image stays as it is."""
    out, said = make_form(noise(), Form(downscale_px=40))
    assert out.shape == (30, 40, 3)
    assert said == FormRecord("downscale", 0, 40)
    assert make_form(noise(), Form(downscale_px=400))[0].shape == (120, 160, 3)
    both = make_form(noise(), Form(((0, 0, 9, 9),), 40))[1]
    assert both == FormRecord("redact+downscale", 1, 40)


@pytest.mark.parametrize(
    "region",
    [(float("nan"), 0, 5, 5), (0, 0, float("inf"), 5), (9, 9, 3, 3), (500, 500, 600, 600), (5, 5, 5, 9)],
    ids=str,
)
def test_a_region_that_is_not_sure_stops_the_release(region: Region) -> None:
    """What has to go and cannot be found is a refusal, not a guess."""
    with pytest.raises(ValueError, match="region"):
        make_form(noise(), Form((region,)))


def test_a_form_may_only_drop_the_notes() -> None:
    """Where only notes of the file were sensitive the pixels stay as they are; a side below one pixel is no form."""
    out, said = make_form(noise(), Form())
    assert (out == noise()).all()
    assert said == FormRecord("strip")
    with pytest.raises(ValueError, match="at least 1"):
        make_form(noise(), Form(downscale_px=0))
