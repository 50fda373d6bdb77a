"""Laws of the lattice: evidence only ever raises a level."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from labelop.errors import UnreadableImageError
from labelop.sensitivity.classify import classify_image
from labelop.sensitivity.levels import LEVEL_TEXTS, Level, join
from labelop.sensitivity.policy import load_policy

POLICY = load_policy(Path("data/sample/config/policy.yaml"), today=date(2026, 11, 20))
LEVELS = st.sampled_from(Level)
DECLARED = st.one_of(st.none(), st.sampled_from(LEVEL_TEXTS), st.text(max_size=12))


def level_of(declared: list[str | None]) -> Level:
    """Classify an image whose notes cannot even be looked at when nothing was declared."""

    def read() -> bytes:
        raise UnreadableImageError("no bytes in this test", code="EMPTY")

    return classify_image(declared=declared, paths=["a.jpg"] * len(declared), read=read, policy=POLICY)[1]


@given(st.lists(LEVELS), LEVELS)
def test_one_more_finding_never_lowers(levels: list[Level], more: Level) -> None:
    """Joining another level gives at least what there was, except that something known replaces nothing known."""
    assert join([*levels, more]) >= (join(levels) if levels else more)


@given(st.lists(LEVELS, min_size=1), st.data())
def test_raising_any_finding_never_lowers_the_level(levels: list[Level], data: st.DataObject) -> None:
    """A finding of a higher level never makes the joined level lower."""
    at = data.draw(st.integers(0, len(levels) - 1))
    raised = [*levels]
    raised[at] = data.draw(st.sampled_from([level for level in Level if level >= levels[at]]))

    assert join(raised) >= join(levels)


@given(LEVELS, LEVELS, LEVELS)
def test_join_is_a_lattice(a: Level, b: Level, c: Level) -> None:
    """Order and repetition of findings make no difference."""
    assert join([a, b]) == join([b, a])
    assert join([join([a, b]), c]) == join([a, join([b, c])])
    assert join([a, a]) == a


@given(LEVELS, LEVELS)
def test_a_higher_level_never_goes_further(a: Level, b: Level) -> None:
    """Raising the level of an image never adds a placement."""
    low, high = sorted((a, b))

    assert POLICY.allowed_placements(high) <= POLICY.allowed_placements(low)


@given(st.text())
def test_unknown_text_is_restricted(text: str) -> None:
    """Only the exact names of levels mean anything."""
    known = text.strip().lower() in LEVEL_TEXTS

    assert known or Level.from_text(text) is Level.RESTRICTED


@given(st.lists(DECLARED, max_size=4))
def test_injected_faults_never_release(declared: list[str | None]) -> None:
    """With a failing signal the level is restricted whatever anybody declared."""
    assert level_of(declared) is Level.RESTRICTED
    assert "cloud" not in POLICY.allowed_placements(level_of(declared))
