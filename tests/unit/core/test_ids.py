"""Ids: equal content gives equal names, and nothing else goes in."""

from __future__ import annotations

import hashlib

import pytest

from labelop import ids


def test_sha256_is_the_standard_one() -> None:
    """Anybody can recompute an image id from the file."""
    assert ids.sha256_hex(b"abc") == hashlib.sha256(b"abc").hexdigest()


def test_canonical_json_has_one_form() -> None:
    """Order of keys and spelling of characters do not matter."""
    assert ids.canonical_json({"b": 1, "a": "\u00e9"}) == '{"a":"\\u00e9","b":1}'
    assert ids.digest_of({"b": 1, "a": 2}) == ids.digest_of({"a": 2, "b": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_refused(value: float) -> None:
    """NaN has no canonical form, so it names nothing."""
    with pytest.raises(ValueError, match="JSON compliant"):
        ids.canonical_json([value])


def test_a_dataset_version_is_its_set_of_entries() -> None:
    """Order of listing does not change the version; content does."""
    entries = [["a.jpg", "1"], ["b.jpg", "2"]]
    version = ids.dataset_version(entries)
    assert version == ids.dataset_version(entries[::-1])
    assert version != ids.dataset_version([["a.jpg", "1"], ["b.jpg", "3"]])
    assert version.startswith("v-")
    assert len(version) == len("v-") + 16


def test_a_batch_id_depends_on_everything_that_goes_in() -> None:
    """Each ingredient changes the id, the order of images too."""
    base = ("v-1", "onprem", "m", {"a": 1}, ["x", "y"])
    others = [
        ("v-2", *base[1:]),
        (base[0], "cloud", *base[2:]),
        (*base[:2], "n", *base[3:]),
        (*base[:3], {"a": 2}, base[4]),
        (*base[:4], ["y", "x"]),
    ]
    names = {ids.batch_id(*one) for one in [base, *others]}
    assert len(names) == 6
    assert ids.batch_id(*base) == ids.batch_id(*base)


def test_row_ids_do_not_run_together() -> None:
    """Parts are kept apart, so no two different keys give one id."""
    assert ids.row_id("e", "ab", "c") != ids.row_id("e", "a", "bc")
    assert ids.row_id("e", 1) != ids.row_id("e", "1")
