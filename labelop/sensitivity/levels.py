"""The ordered lattice of sensitivity; joining two levels takes the higher one.

Knows no policy and no image.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class Level(IntEnum):
    """How sensitive an image is; a greater number is more sensitive."""

    PUBLIC = 0
    INTERNAL = 1
    CONFIDENTIAL = 2
    RESTRICTED = 3

    @property
    def text(self) -> str:
        """The level as tables, files and the command line write it."""
        return self.name.lower()

    @classmethod
    def from_text(cls, text: str | None) -> Level:
        """Read a level; everything that is not exactly a known level means restricted.

        >>> Level.from_text(" Public ").text, Level.from_text("publik").text, Level.from_text(None).text
        ('public', 'restricted', 'restricted')
        """
        return _BY_TEXT.get((text or "").strip().lower(), cls.RESTRICTED)


def join(levels: Iterable[Level]) -> Level:
    """Take the highest level; restricted when there is none, since nothing known means unknown."""
    return max(levels, default=Level.RESTRICTED)


_BY_TEXT = {level.text: level for level in Level}

LEVEL_TEXTS = tuple(level.text for level in Level)
"""All levels as text, lowest first."""
