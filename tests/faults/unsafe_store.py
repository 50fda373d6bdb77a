"""Ask two object stores before a night trusts them: one keeps the condition of a write, and one ignores it."""

from __future__ import annotations

import re

import pytest

from labelop.errors import UnsafeStoreError
from labelop.landing import probe
from labelop.landing.store import open_store
from labelop.settings import Settings, load_settings
from tests.faults.proxy import BUCKET, Behaviour, proxy, s3_server
from tests.faults.results import Count, kept


def run() -> dict[str, Count]:
    """Ask both; gives what was counted, asserts what must hold."""
    with s3_server() as good, proxy(good, Behaviour(ignores_conditions=True)) as careless:
        refused, taken = _settings(careless, "careless"), _settings(good, "good")
        bad, safe = (probe.ask(open_store(settings), settings) for settings in (refused, taken))
        with pytest.raises(UnsafeStoreError, match=re.escape(careless)):
            probe.require_safe(open_store(refused), refused)
        assert safe.safe, safe
    assert max(bad.seconds, safe.seconds) < 10, (bad, safe)
    return {
        "writers_count": probe.WRITERS,
        "rounds_count": bad.rounds_count,
        "rounds_with_two_winners_count": bad.two_winners_count,
        "late_overwrites_count": bad.overwrites_count,
        "seconds_until_refused": bad.seconds,
        "rounds_of_a_safe_store_count": safe.rounds_count,
        "seconds_until_taken": safe.seconds,
    }


def _settings(address: str, prefix: str) -> Settings:
    return load_settings(store=f"s3://{BUCKET}/{prefix}", s3_endpoint=address, s3_key="k", s3_secret="s")


def main() -> None:
    """Run it; it has one size."""
    done = "A store that takes `If-None-Match` and ignores it was refused by name, one that keeps it was taken"
    with kept("unsafe-store", done) as counts:
        counts.update(run())


if __name__ == "__main__":
    main()
