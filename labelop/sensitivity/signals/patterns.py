"""What a line of text is about: person, number, address, or harmless. Pure text; knows no image and no policy.

Presidio's recognisers are called one by one: its engine around them wants a language model, and asks the network for
one. Where a checksum fails the wide patterns still speak, since one letter read wrong must not open an image.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

VERSION = "2"

_DATE = r"(?:\d{1,4}\s?[./\-\u2013\u2014\s]\s?(?:\d{1,2}|[A-Za-z]{3,9})\s?[./\-\u2013\u2014\s,]\s?\d{2,4})"
_PATTERNS: tuple[tuple[str, str], ...] = (
    (
        "patient_id",
        (
            r"\b(?:PAT(?:IENT)?(?:[\s_\-.]*(?:ID|NO|NR|#))?|MRN|PID|UHID|HOSP(?:ITAL)?[\s.]*(?:ID|NO|NR)|CASE[\s.]*(?:ID|NO|NR)"
            r"|FALL[\s\-]?NR|ID)[\s:;.#=\-]*[A-Z]{0,3}[\s\-]?\d[\d\s\-/]{3,}"
        ),
    ),
    (
        "date_of_birth",
        (
            r"\b(?:D[\s.]?[O0Q][\s.]?B|BORN|BIRTH[\s\-]?(?:DATE|DAY)?|DATE\s+OF\s+BIRTH|GEB(?:OREN|\.)?|GEBURTSDATUM)\b"
            r"[\s:;.,=\-]*(?:ON\s+)?" + _DATE
        ),
    ),
    (
        "person_name",
        (
            r"\b(?:(?:PATIENT(?:'S)?|FULL|LAST|FIRST|SUR|GIVEN)?[\s\-]?NAME|PATIENT|NOM|VORNAME|NACHNAME)\s*[:;=.,\-]\s*"
            r"[A-Z][\w'\u2019.\-]+"
        ),
    ),
    ("person_name", r"\b(?:DR|MR|MRS|MS|PROF|HERR|FRAU)\b[.,]?\s+[A-Z][\w'\u2019\-]{2,}"),
    ("email", r"[\w.+\-]+\s?[@\u00a9\u00ae]\s?[\w\-]+\s?[.,]\s?[A-Za-z]{2,}"),
    ("phone", r"(?:\b(?:TEL|PHONE|FON|FAX|MOB(?:ILE)?|CELL|CALL)\b[\s.:;]*\+?|\+\s?)\(?\d[\d\s()/.\-]{6,}"),
    # after its name a number is one, whichever of its signs was read as another
    ("phone", r"\b(?:TEL|PHONE|FON|FAX|MOB(?:ILE)?|CELL|CALL)\b[\W_]*(?:\d[\W_]*){6,}"),
    ("iban", r"\b[A-Z]{2}\s?[\dOQIlBS]{2}(?:\s?[A-Z0-9]{4}){3,}(?:\s?[A-Z0-9]{1,4})?\b"),
    ("iban", r"\b[A-Z]{2}[\dOQIlBS]{2}\s?(?:\d\s?){14,}"),
    ("card_number", r"\b(?:\d[\s\-]?){13,19}\b"),
    ("social_security", r"\bSSN?\b[\s:#.]*\d{3}[\s\-]?\d{2}[\s\-]?\d{4}"),
    ("plate", r"\b[A-Z\u00c4\u00d6\u00dc]{1,3}\s?[\-\u2013\u2014:.\u00b7]\s?[A-Z]{1,2}\s?\d{1,4}\b"),
    ("plate", r"\b[A-Z]{2}\s?[\dOQISBZ]{2}\s?[A-Z]{1,3}\b"),  # also one read in part
    ("person_name", r"\b(?:Dr|Mr|Mrs|Ms|Prof)\.\s*\S"),  # a name follows, however badly it was read
    ("person_name", r"\b[A-Z][a-z]{2,},\s?[A-Z][a-z]{2,}\b"),
    ("plate", r"\b(?:[A-Z]{3}[\s\-]\d{3,4}|\d[A-Z]{3}\s?\d{3}|[A-Z]{2}[\s\-]\d{3}[\s\-][A-Z]{2})\b"),
    ("number", r"(?:\d[\s\-./]?){7,}"),
)
"""Category and pattern, tried on a line as it was read and in capitals."""

_HARMLESS = re.compile(
    r"""^[\s.,:;|_\-\u2013\u2014=()\[\]'"~]*(?:I\s)?(?:
        (?:SCALE\s*(?:BAR)?\s*[:=]?\s*)?[\d.,]+\s*(?:[\u00b5u\u03bcpyn]?m|mm|cm|km|nm|px|um|[\u00b5u\u03bc]|kV|V|s|ms|%|\u00b0\s?C?|C|K|x|X|dpi|Hz|kHz|mL|ml|[u\u00b5]L)\b
        |[x\u00d7X]\s?\d{1,5}|(?:MAG|ZOOM|OBJ)\w*[\s.:=]*[x\u00d7X]?\s*[\d.,]+\s*[kK]?\s*[x\u00d7X]?
        |[A-P]\s?(?:[1-9]|0[1-9]|1\d|2[0-4])
        |(?:WELL|PLATE|LANE|ROW|COL|FIELD|TILE|CH|SLIDE|ROI|FRAME|FIG|Z|T|N)\.?[\s:=#]*[A-P]?\d{0,3}\s?[CK]?
        |\d{1,4}|[A-Z]|DAPI|GFP|RFP|FITC|CY[357]|H\s?&\s?E
        |DIC|PHASE|BF|SEM|TEM|HE|CTRL|CONTROL|TEST|SCALE|NORTH|[NSEW]
    )[\s.,:;|_\-\u2013\u2014=()\[\]'"~]*$""",
    re.VERBOSE,
)
"""Lines that say something about the picture and nothing about a person."""


def categories_of(line: str) -> list[tuple[str, str]]:
    """Name what a line of text is about.

    Args:
        line: One line as it was read.

    Returns:
        Category and the part that shows it, one per category; `text` for a readable line about something else, and
        nothing for a harmless one.

    Raises:
        ImportError: presidio-analyzer is not installed.
    """
    found: dict[str, str] = {}
    for category, recogniser, entity in _recognisers():
        for match in recogniser.analyze(line, [entity]):
            found.setdefault(category, line[match.start : match.end])
    for category, pattern in _patterns():
        if match := pattern.search(line) or pattern.search(line.upper()):
            found.setdefault(category, match[0])
    if len(found) > 1:
        found.pop("number", None)  # it only repeats what another has named
    if not found and not is_harmless(line):
        found["text"] = line
    return list(found.items())


def is_harmless(line: str) -> bool:
    """Say whether a line is a scale bar, a well name, a magnification or the like.

    >>> is_harmless("10 um"), is_harmless("B07"), is_harmless("Mag: 400x"), is_harmless("MRN 123456")
    (True, True, True, False)
    """
    words = line.strip()
    return bool(_HARMLESS.match(words) or _HARMLESS.match(words.upper()))


def all_categories() -> Sequence[str]:
    """List every category there can be."""
    return sorted({category for category, _ in _PATTERNS} | {"ip_address", "social_security", "text"})


@lru_cache(maxsize=1)
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((category, re.compile(text)) for category, text in _PATTERNS)


@lru_cache(maxsize=1)
def _recognisers() -> tuple[tuple[str, Any, str], ...]:
    import tldextract.tldextract as suffixes  # noqa: PLC0415 - heavy, and only where it is asked for

    # left alone it asks the network for the list of suffixes, and only then takes its own copy
    suffixes.TLD_EXTRACTOR = suffixes.TLDExtract(suffix_list_urls=(), cache_dir=None)
    from presidio_analyzer import predefined_recognizers as known  # noqa: PLC0415

    return (
        ("email", known.EmailRecognizer(), "EMAIL_ADDRESS"),
        ("phone", known.PhoneRecognizer(), "PHONE_NUMBER"),
        ("iban", known.IbanRecognizer(), "IBAN_CODE"),
        ("card_number", known.CreditCardRecognizer(), "CREDIT_CARD"),
        ("ip_address", known.IpRecognizer(), "IP_ADDRESS"),
        ("social_security", known.UsSsnRecognizer(), "US_SSN"),
    )
