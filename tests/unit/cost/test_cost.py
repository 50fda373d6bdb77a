from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from labelop.cost.formulas import (
    CostPart,
    billed_seconds,
    cloud_parts,
    local_parts,
    planned_seconds,
    review_part,
    total,
)
from labelop.cost.items import ITEMS
from labelop.cost.prices import Price, PriceBook, describe_prices, load_prices
from labelop.errors import MissingPriceError, PolicyError

SAMPLE = Path(__file__).resolve().parents[3] / "data/sample/config/prices.yaml"

AMOUNTS: dict[str, str] = {
    "onprem.machine_price": "3500",
    "onprem.machine_salvage": "500",
    "onprem.machine_life": "3",
    "onprem.machine_busy": "1000",
    "onprem.machine_power": "0.5",
    "onprem.pue": "1",
    "onprem.electricity": "0.2",
    "onprem.slowdown": "0.2",
    "onprem.blocked": "0",
    "onprem.setup": "0.25",
    "onprem.retry_rate": "0.02",
    "cloud.gpu": "3.6",
    "cloud.increment": "1",
    "cloud.minimum": "60",
    "cloud.cold_start": "10",
    "cloud.keep_warm": "0",
    "cloud.api": "1",
    "cloud.storage": "0.02",
    "cloud.storage_time": "1",
    "cloud.put": "0.005",
    "cloud.get": "0.0004",
    "cloud.egress": "0.09",
    "cloud.setup": "0.25",
    "cloud.governance": "0.5",
    "cloud.retry_rate": "0.02",
    "review.loaded_rate": "24",
    "review.productive_fraction": "0.75",
}


def book(**changes: str) -> PriceBook:
    """Make a price book; `cloud__gpu="2"` changes one amount."""
    amounts = AMOUNTS | {name.replace("__", "."): amount for name, amount in changes.items()}
    keyed = {(name.split(".")[0], name.split(".")[1]): Decimal(amount) for name, amount in amounts.items()}
    return PriceBook("t", "USD", "d" * 64, {key: Price(a, ITEMS[key].unit, "2026-11", "t") for key, a in keyed.items()})


def amounts_of(parts: tuple[CostPart, ...]) -> dict[str, float]:
    """Amounts by category and item."""
    return {f"{part.category}: {part.item}": round(part.amount, 9) for part in parts}


def written(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Write the sample book with one change."""
    content = yaml.safe_load(SAMPLE.read_text(encoding="utf-8"))
    change(content)
    path = folder / "prices.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_an_hour_on_premises() -> None:
    """An hour costs its share of the machine, 0.5 kWh, a fifth of an hour of slowed work, and the setup."""
    assert amounts_of(local_parts(book(), 3600)) == {
        "hardware: workstation": 1.0,
        "energy: electricity": 0.1,
        "slowdown: work slowed down": 4.8,
        "blocked: work blocked": 0.0,
        "setup: setup and upkeep": 6.0,
    }


def test_low_use_makes_the_machine_dear() -> None:
    """The same machine at 200 busy hours a year costs five times its price per hour at 1,000."""
    rare, often = (local_parts(book(onprem__machine_busy=hours), 3600)[0].amount for hours in ("200", "1000"))
    assert rare == pytest.approx(5 * often)


@pytest.mark.parametrize(
    ("busy", "billed"),
    [(0.0, 60.0), (30.5, 60.0), (50.0, 60.0), (50.1, 61.0), (300.25, 311.0), (89.99999999999999, 100.0)],
)
def test_a_session_is_billed_from_its_start(busy: float, billed: float) -> None:
    """Ten seconds of start are billed, at least a minute in all, and every begun second in full."""
    assert billed_seconds(book(), busy) == billed


def test_two_sessions_in_the_cloud() -> None:
    """Each session pays its own start and minimum; bytes, calls and requests pay per unit, approval once."""
    parts = cloud_parts(book(), [30.5, 300.25], images_count=20, sent_bytes=10**9, received_bytes=5 * 10**8)
    assert amounts_of(parts) == {
        "gpu: working seconds": 0.33075,
        "gpu: start, minimum, rounding": 0.04025,
        "api: calls": 0.02,
        "storage: payloads kept": 0.02,
        "requests: put": 0.0001,
        "requests: get": 0.000008,
        "egress: answers received": 0.045,
        "setup: setup and upkeep": 6.0,
        "setup: approval and contracts": 12.0,
    }


def test_the_exchange_rate_of_a_review_second() -> None:
    """At 30 an hour and 0.75 productive a review second costs 0.0111, the figure of measures.md 4.3."""
    part = review_part(book(review__loaded_rate="30"), 1.0)
    assert part.amount == pytest.approx(0.0111, abs=5e-5)


def test_planning_adds_repeats() -> None:
    """Planned seconds hold the retry share; seconds already spent hold the real repeats."""
    assert planned_seconds(book(), "onprem", 100, 2.0) == pytest.approx(204.0)


def test_a_missing_price_is_never_guessed() -> None:
    """An item the book lacks is an error that names it."""
    prices = {key: price for key, price in book().prices.items() if key != ("cloud", "gpu")}
    with pytest.raises(MissingPriceError, match=r"cloud\.gpu"):
        cloud_parts(PriceBook("t", "USD", "d" * 64, prices), [1.0], images_count=1)


def test_the_sample_book_is_complete() -> None:
    """The sample prices every item, gives each a source, and its digest names its content."""
    sample = load_prices(SAMPLE)
    assert sample.prices.keys() == {key for key, kind in ITEMS.items() if not kind.optional}
    assert all(price.source and price.as_of for price in sample.prices.values())
    assert sample.digest == load_prices(SAMPLE).digest
    assert total(local_parts(sample, 3600)) > 0


def test_a_changed_price_is_another_book(tmp_path: Path) -> None:
    """Every amount takes part in the digest."""
    path = written(tmp_path, lambda c: c["items"]["cloud"]["gpu"].update(amount="1.5"))
    assert load_prices(path).digest != load_prices(SAMPLE).digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["items"]["cloud"].pop("gpu"), r"items\.cloud\.gpu is missing"),
        (lambda c: c["items"]["cloud"].update(gpus=dict(c["items"]["cloud"]["gpu"])), r"items\.cloud\.gpus is unknown"),
        (lambda c: c["items"]["cloud"]["gpu"].update(amount=-1), r"items\.cloud\.gpu\.0\.amount has the value -1"),
        (
            lambda c: c["items"]["cloud"]["gpu"].update(amount="much"),
            r"items\.cloud\.gpu\.0\.amount has the value 'much'",
        ),
        (lambda c: c["items"]["cloud"].update(gpu=[]), r"items\.cloud\.gpu has no price on"),
        (lambda c: c["items"]["cloud"]["gpu"].update(amount=float("nan")), r"items\.cloud\.gpu\.0\.amount"),
        (lambda c: c["items"]["cloud"]["gpu"].update(unit="money/day"), r"'money/day'; allowed is 'money/hour'"),
        (lambda c: c["items"]["cloud"]["gpu"].pop("source"), r"items\.cloud\.gpu\.0\.source is missing"),
        (lambda c: c["items"]["review"]["productive_fraction"].update(amount=0), r"allowed is 0\.05 to 1 share"),
        (
            lambda c: c["items"]["onprem"]["machine_salvage"].update(amount=9999),
            r"machine_price at its lowest, 2500",
        ),
        (lambda c: c.update(currency="dollars"), r"currency has the value 'dollars'"),
        (lambda c: c.update(schema=2), r"schema has the value 2"),
        (lambda c: c.update(colour="red"), r"colour is unknown \(value 'red'\); allowed are schema, version"),
        (
            lambda c: c["items"]["cloud"]["gpu"].update(price=1),
            r"items\.cloud\.gpu\.0\.price is unknown .* amount, unit, source, as_of",
        ),
    ],
)
def test_a_fault_names_file_key_and_value(tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str) -> None:
    """One clear error per fault: file, key, value found, what is allowed."""
    with pytest.raises(PolicyError, match=said) as caught:
        load_prices(written(tmp_path, change))
    assert "prices.yaml" in caught.value.message
    assert "tuple" not in caught.value.message, "the list that the fault left without an entry is no second fault"


@pytest.mark.parametrize("text", ["- 1\n", "a: [\n", "a: 1\na: 2\n", ""])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    """Lists, broken YAML, doubled keys and empty files are one error each that names the file."""
    path = tmp_path / "prices.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PolicyError, match=r"prices\.yaml"):
        load_prices(path)


def test_a_missing_file_names_the_setting(tmp_path: Path) -> None:
    """A missing file says which setting points at its folder."""
    with pytest.raises(PolicyError, match="LABELOP_CONFIG"):
        load_prices(tmp_path / "prices.yaml")


GPU = {"amount": 1, "unit": "money/hour", "source": "t"}


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([GPU, {**GPU}], r"items\.cloud\.gpu has two prices for"),
        ([{**GPU, "until": "2026-06-30"}, {**GPU, "since": "2026-06-30"}], r"has two prices for 2026-06-30"),
        ([{**GPU, "since": "2026-12-01"}], r"begins on 2026-12-01; the book is of 2026-11-20"),
        ([{**GPU, "until": "2026-06-30"}], r"has no price on 2026-11-20"),
        ([{**GPU, "since": "2026-06-30", "until": "2026-06-01"}], r"ends on 2026-06-01, before it begins"),
        ([], r"items\.cloud\.gpu"),
        ({**GPU, "as_of": "2026-12"}, r"as_of has the value '2026-12'; the book itself is of 2026-11-20"),
        ({**GPU, "as_of": "2026-02-31"}, r"gpu\.0\.as_of has the value '2026-02-31'; allowed is a day, month or year"),
        ({**GPU, "amount": 9e8}, r"allowed is 0 to 1e\+07 money/hour"),
        ({**GPU, "as_of": "lately"}, r"items\.cloud\.gpu\.0\.as_of has the value 'lately'"),
        ({**GPU, "currency": "EUR"}, r"currency has the value 'EUR'; the book is in 'USD'"),
        ({**GPU, "unit": "EUR/hour"}, r"unit has the value 'EUR/hour'; allowed is 'money/hour'"),
        ({**GPU, "low": 0.5}, r"only one of low and high"),
        ({**GPU, "low": 2, "high": 3}, r"amount has the value 1; allowed is 2 to 3"),
        ({**GPU, "amount": 0}, r"a path without a price"),
    ],
)
def test_dated_entries_fit_together(tmp_path: Path, entries: Any, said: str) -> None:
    """Doubled, overlapping, future and expired entries, a second currency and a free path are one clear error each."""
    with pytest.raises(PolicyError, match=said):
        load_prices(written(tmp_path, lambda c: c["items"]["cloud"].update(gpu=entries)))


@pytest.mark.parametrize("item", ["machine_price", "machine_power", "electricity"])
def test_a_local_path_is_never_free(tmp_path: Path, item: str) -> None:
    """A machine, its power and its electricity have a price; zero is refused as a missing one is."""
    with pytest.raises(PolicyError, match=rf"items\.onprem\.{item}"):
        load_prices(written(tmp_path, lambda c: c["items"]["onprem"][item].update(amount=0, low=0, high=0)))


def test_a_book_of_the_future_is_refused(tmp_path: Path) -> None:
    """A book that is dated after today has prices nobody has seen."""
    path = written(tmp_path, lambda c: c.update(as_of="2026-11-20"))
    with pytest.raises(PolicyError, match="still to come"):
        load_prices(path, today=dt.date(2026, 11, 19))
    assert load_prices(path, today=dt.date(2026, 11, 20)).version


def test_the_entry_of_the_books_day_counts(tmp_path: Path) -> None:
    """Of several dated entries the one that holds on the day of the book prices."""
    earlier, later = {**GPU, "until": "2026-05-31"}, {**GPU, "amount": 2, "since": "2026-06-01"}
    found = load_prices(written(tmp_path, lambda c: c["items"]["cloud"].update(gpu=[later, earlier])))
    assert found.amount("cloud", "gpu") == 2.0


def test_prices_say_how_old_they_are() -> None:
    """Every figure and every other offer has an age in days, but for one whose source names no day."""
    told = {
        (row["item"], row["offer"]): row for row in describe_prices(load_prices(SAMPLE), today=dt.date(2026, 11, 20))
    }
    assert told["onprem.electricity", "in force"]["age_days"] == 233
    assert told["cloud.gpu", "serverless T4 (Modal)"]["amount"] == Decimal("0.5904")
    assert told["cloud.api", "Google Vision labels"]["age_days"] is None
    assert {row["age_days"] is None for row in told.values() if row["as_of"] != "undated"} == {False}


def test_offers_price_nothing(tmp_path: Path) -> None:
    """Another public price changes no digest, so no decision is made again for it."""
    assert load_prices(written(tmp_path, lambda c: c.update(offers=[]))).digest == load_prices(SAMPLE).digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"item": "cloud.tpu"}, "no item of a book"),
        ({"unit": "money/day"}, r"allowed is 'money/hour'"),
        ({"name": "serverless L4 (Modal)"}, "a second time"),
        ({"as_of": "2026-02-31"}, r"offers\.0\.as_of has the value '2026-02-31'; allowed is a day, month or year"),
        ({"as_of": "2029"}, r"offers\.0\.as_of has the value '2029'; the book itself is of 2026-11-20"),
    ],
)
def test_an_offer_is_checked(tmp_path: Path, change: dict[str, str], said: str) -> None:
    """An offer of no item, in another unit, named twice or dated on no day or a coming one is an error."""
    with pytest.raises(PolicyError, match=said):
        load_prices(written(tmp_path, lambda c: c["offers"][0].update(change)))
