"""The bench's arithmetic: medians, ratios, verdicts, the floor, and the form of its JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import cast

import pytest

from bench.floor import fastest, floor_of, floor_rate
from bench.gpu import facts
from bench.ours import Opened, fastest_that_counts, listed_only, open_ways
from bench.photos import ROOT
from bench.ratios import Table, Target, explained, from_json, merged, summary, to_json, to_markdown, wanted
from bench.with_ray import rounds_of
from labelop.catalog.cards import load_card
from labelop.engines.base import Engine
from labelop.engines.samples import load_samples

TAKEN = {"command": "python -m bench --quick", "machine": {"cores": 2}}


def make_table(**given: tuple[float, ...]) -> Table:
    """Make a table of three rounds in which ours is three times the loop."""
    rates = {"loop": (2.5, 3.5, 3.0), "ours": (9.0, 10.0, 8.0)} | given
    targets = (
        Target("ours", "loop", 2.0, "times the loop"),
        Target("ours", "floor", 0.9, "share of the floor"),
        Target("loop", "ours", 0.5, "share of ours"),
    )
    return Table("toy", "Toy", "images/s", "loop", rates, targets, ("a note",))


def test_a_ratio_is_that_of_the_medians() -> None:
    """One round that a busy machine spoiled does not move the ratio."""
    assert make_table(ours=(9.0, 90.0, 8.0)).ratio("ours", "loop") == 3.0


def test_disturbed_rounds_judge_nothing() -> None:
    """Where the rounds of either case disagree, the ratio is shown and no target counts as reached or missed."""
    verdict = make_table(loop=(0.8, 3.0, 3.1)).verdicts()[0]
    assert (verdict.ratio, verdict.reached) == (3.0, None)
    assert verdict.sentence.endswith("not judged, the rounds differ by more than 1.5x")


def test_one_round_judges_nothing() -> None:
    """A single round cannot disagree with itself: its ratio is shown and no target counts as reached or missed."""
    verdict = make_table(loop=(3.0,)).verdicts()[0]
    assert (verdict.ratio, verdict.reached) == (3.0, None)
    assert verdict.sentence.endswith("not judged, one round")


def test_a_missing_or_idle_case_has_no_ratio() -> None:
    """What did not run is never reported as a number."""
    assert make_table().ratio("ours", "floor") is None
    assert make_table(idle=(0.0,)).ratio("ours", "idle") is None


def test_verdicts_say_reached_missed_and_not_measured() -> None:
    """A target names what was measured and by how much it was reached or missed."""
    reached, missing, missed = make_table().verdicts()
    assert (reached.reached, missing.reached, missed.reached) == (True, None, False)
    assert reached.sentence == "times the loop: at least 2, measured 3.00: reached (+50 %)"
    assert missing.sentence.endswith("not measured")
    assert missed.sentence.endswith("measured 0.33: not reached (-33 %)")


def test_nothing_is_faster_than_its_floor() -> None:
    """A ratio above what can be real is shown and not judged."""
    rates = {"floor": (2.0, 2.0), "ours": (3.0, 3.0)}
    table = Table("t", "T", "images/s", "floor", rates, (Target("ours", "floor", 0.9, "share", 1.05),))
    assert table.verdicts()[0].reached is None
    assert table.verdicts()[0].sentence.endswith("measured 1.50: not judged, the floor itself was disturbed")


def test_a_ratio_at_its_target_reaches_it() -> None:
    """The bound itself counts."""
    table = Table("t", "T", "images/s", "a", {"a": (2.0, 2.0), "b": (4.0, 4.0)}, (Target("b", "a", 2.0, "twice"),))
    assert table.verdicts()[0].reached is True


def test_the_floor_adds_the_times_of_its_parts() -> None:
    """With every core busy in both parts, an image takes the sum of the two times."""
    assert floor_rate(100.0, 300.0) == pytest.approx(75.0)
    with pytest.raises(ValueError, match="more than zero"):
        floor_rate(0.0, 1.0)


def test_a_floor_has_a_rate_for_every_round() -> None:
    """The fastest of each round counts, and a case with fewer rounds leaves the others to the rest."""
    assert fastest([(1.0, 5.0, 2.0), (3.0, 4.0)]) == (3.0, 5.0, 2.0)
    assert floor_of([(100.0, 100.0), (50.0,)], [(300.0, 100.0)]) == pytest.approx((75.0, 50.0))


def test_json_holds_rounds_medians_ratios_and_verdicts() -> None:
    """A reader of the file needs nothing else, and reading it back gives the same table."""
    made = explained(dataclasses.replace(make_table(), taken=TAKEN), {"decode": 1.0, "forward": 3.0}, 2)
    text = to_json([made])
    content = json.loads(text)
    [table] = content["tables"]
    assert (content["form"], table["taken"], table["stages"]) == (2, TAKEN, {"decode": 1.0, "forward": 3.0})
    assert table["cases"][1] == {"name": "ours", "rounds": [9.0, 10.0, 8.0], "median": 9.0, "ratio": 3.0}
    assert [target["reached"] for target in table["targets"]] == [True, None, False]
    assert from_json(text) == [made]


def test_a_table_measured_anew_takes_the_place_of_the_old_one() -> None:
    """A run of a part keeps the other tables of the file, and all stand in the order of the bench."""
    old, other = make_table(), dataclasses.replace(make_table(), name="other")
    fresh, order = make_table(ours=(1.0, 1.0, 1.0)), [make_table().name, "other"]
    assert merged([other, old], [fresh], order) == [fresh, other]
    assert merged([other], [fresh], order) == [fresh, other]
    assert merged([other], [fresh], []) == [other, fresh]


def test_a_missed_target_has_its_reason_beside_it() -> None:
    """Shares of the stages, largest first, and what the floor itself reaches."""
    table = explained(make_table(floor=(12.0, 12.0, 12.0)), {"decode": 1.0, "forward": 3.0}, 2)
    assert table.why == (
        "Of 4 ms an image on one thread: forward 0.75, decode 0.25. 2 such threads without a wait: 500 images/s. "
        "The floor itself is 4.00 x the reference."
    )
    assert "| forward | 3.00 | 0.75 |" in to_markdown(table)
    rows = summary([table]).splitlines()[2:]
    assert rows[1] == f"| Toy | share of the floor | 0.9 | 0.75 | not reached | {table.why} |"
    assert rows[0] == "| Toy | times the loop | 2 | 3.00 | reached |  |"


def test_a_word_that_names_no_table_is_refused() -> None:
    """A slip of the pen used to measure nothing and end well; now it names the tables there are."""
    known = ["decode-640x480", "landing", "decode-1920x1080"]
    assert wanted(known, []) == known
    assert wanted(known, ["decode"]) == ["decode-640x480", "decode-1920x1080"]
    with pytest.raises(ValueError, match="starts with 'nope'; this form has decode-640x480, landing"):
        wanted(known, ["landing", "nope"])


def test_tables_of_a_gpu_are_refused_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """No table is begun where there is nothing to measure, and the reason names the library that was asked."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"torch .* finds no GPU here"):
        facts()


def test_another_form_is_refused() -> None:
    """A file of another version is not read by guess."""
    with pytest.raises(ValueError, match="the form is 1, expected 2"):
        from_json('{"form": 1}')


def test_markdown_marks_the_reference_and_lists_verdicts() -> None:
    """The page's table is made from the same numbers."""
    text = to_markdown(make_table())
    assert "| loop (reference) | 3 | 2.5 to 3.5 | 3 | 1.00 |" in text
    assert "| ours | 9 | 8 to 10 | 3 | 3.00 |" in text
    assert text.endswith("- a note\n")


def test_the_rate_of_actors_is_by_their_own_clocks() -> None:
    """Batches that arrive together do not look fast, and actors' clocks need not agree."""
    actors = [[(0.0, 2.0), (2.0, 4.0), (4.0, 8.0)], [(100.0, 104.0), (104.0, 108.0), (108.0, 112.0)]]
    assert rounds_of(actors) == [8 / 2 + 8 / 4, 8 / 2 + 8 / 4, 8 / 4 + 8 / 4]


def way(refused: str | None = None) -> Opened:
    """Stand for a way whose engine nobody asks."""
    return Opened(cast("Engine", None), refused)


def test_a_way_the_product_refuses_never_counts_as_ours() -> None:
    """The segmenter's bf16 was ours, and reached its target, while its masks differ by more than is allowed."""
    ways = {"ours, onnxruntime": way(), "ours, openvino-bf16": way("differs by 0.046, 0.02 is allowed")}
    rates = {"ours, onnxruntime": (10.0, 12.0), "ours, openvino-bf16": (40.0, 44.0), "a peer": (99.0,)}
    assert fastest_that_counts(ways, rates) == "ours, onnxruntime"
    assert listed_only(ways) == ["ours, openvino-bf16: differs by 0.046, 0.02 is allowed: listed only."]


def test_the_segmenters_bf16_is_opened_to_be_listed() -> None:
    """What profiling finds of the sample's own segmenter is what the bench goes by."""
    pytest.importorskip("openvino")
    card = load_card(ROOT / "data/sample/models/boxes-to-masks.yaml")
    ways = open_ways(card, load_samples(ROOT / "data/sample/smears/images", most=24))
    assert ways["ours, onnxruntime"].refused is None
    if "ours, openvino-bf16" in ways:
        assert "0.02 is allowed" in str(ways["ours, openvino-bf16"].refused)
