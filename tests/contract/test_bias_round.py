"""The silent-bias meter from plan to label set: planned, exported, reviewed, imported, measured, and never released."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from labelop.cli import app
from labelop.effort.ledger import land_edits
from labelop.errors import ReviewError
from labelop.landing.compare import content_digest
from labelop.landing.store import Store, land, read, read_rows
from labelop.meter.figures import Figure, catches, land_figures
from labelop.meter.plan import Shares, plan_bias
from labelop.queries import open_session, run_query
from labelop.review.approvals import NO_TRUST
from labelop.review.gate import approvals
from labelop.review.label_studio import export_tasks, import_reviews
from labelop.review.simulate import REVIEWERS, simulate_reviews
from labelop.review.tasks import load_tasks
from tests.unit.review_rows import VERSION, annotated, filled_store, image_id, prelabel_row, truth_row, written

SHARES = Shares(blind=0.5, double=0.25, seeded=0.5)
FIRST = 10


def planned(root: Path, images: int = 30, shares: Shares = SHARES) -> Store:
    """Make a store in which ten images were reviewed before the meter was planned."""
    store = filled_store(root / "store", images, truth=True)
    before = [task.task_uid for task in load_tasks(store, "cells", VERSION)][:FIRST]
    simulate_reviews(store, "cells", VERSION, 1, "run", assigned=dict.fromkeys(before, "sim-a"))
    land_edits(store, "run")
    plan_bias(store, "cells", "run", shares=shares)
    return store


def reviewed(store: Store) -> list[list[dict[str, Any]]]:
    """Let simulated reviewers do what each export holds until nothing is left; give the exports."""
    exports, names = [], sorted(REVIEWERS)
    for number in range(6):
        done = {(row["batch_id"], row["image_id"]) for row in read_rows(store, "reviews")}
        open_uids = {
            task.task_uid for task in load_tasks(store, "cells", VERSION) if (task.batch_id, task.image_id) not in done
        }
        fresh = [task for task in export_tasks(store, "cells") if task["data"]["task_uid"] in open_uids]
        if not fresh:
            break
        exports.append(fresh)
        who = dict.fromkeys((task["data"]["task_uid"] for task in fresh), names[number % len(names)])
        simulate_reviews(store, "cells", VERSION, 1, "run", assigned=who)
        land_edits(store, "run")
    return exports


def figure(figures: list[Figure], measure: str, name: str = "") -> Figure:
    """Find one figure."""
    [found] = [one for one in figures if (one.measure, one.name) == (measure, name)]
    return found


def test_a_whole_round(tmp_path: Path) -> None:
    """Nobody meets an image twice in one export, every error is found again, and no seeded review is accepted."""
    store = planned(tmp_path)
    purposes = Counter(row["purpose"] for row in read_rows(store, "bias_tasks"))
    assert purposes == {"blind": 10, "double": 5, "seeded": 10}
    exports = reviewed(store)
    assert len(exports) == 4
    assert sum(map(len, exports)) == 20 + 25
    for some in exports:
        assert max(Counter(task["data"]["image_id"] for task in some).values()) == 1
    figures = land_figures(store, "cells", "run")
    caught = figure(figures, "catch_rate").found
    assert caught.count == 10
    assert caught.value is not None
    assert caught.value >= 0.8
    assert figure(figures, "agreement_alpha", "blind").found.value is not None
    assert figure(figures, "agreement_alpha", "cross-arm").found.count > 20
    assert figure(figures, "anchoring_excess").found.count > 10
    accepted = run_query(store, "accepted_reviews", {"dataset": "cells"}).to_pylist()
    seeded = {row["review_id"] for row in read_rows(store, "reviews") if row["arm"] == "seeded"}
    assert len(seeded) == 10
    assert not seeded & {row["review_id"] for row in accepted}
    assert {row["image_id"] for row in accepted} == {image_id(n) for n in range(30)}


def test_careless_reviewers_are_found_out(tmp_path: Path) -> None:
    """Who submits what is shown catches nothing: the verdict is fail, and what they followed is not followed blind."""
    store = planned(tmp_path, images=50, shares=Shares(0.5, 0.0, 0.5))
    for number in range(3):
        tasks = export_tasks(store, "cells")
        records = [annotated(task, completed_by=number) for task in tasks]
        import_reviews(store, written(tmp_path / f"{number}.json", records), "cells", "run")
    figures = land_figures(store, "cells", "run")
    catch = figure(figures, "catch_rate")
    assert (catch.found.value, catch.found.count > 15, catch.verdict) == (0.0, True, "fail")
    each = {one.name: one.found for one in figures if (one.measure, one.slice) == ("catch_rate", "reviewer")}
    assert catches(store, "cells", read_rows(store, "images")[0]["dataset_version"]) == each != {}
    assert figure(figures, "residual_errors").found.value is None
    excess = figure(figures, "anchoring_excess", "seeded").found
    assert excess.value is not None
    assert excess.value > 0.4


def test_reviewers_cannot_tell(tmp_path: Path) -> None:
    """A seeded task has the form, the model and ids of the same look as others, and differs from the draft once."""
    store = planned(tmp_path)
    tasks = {task.task_uid: task for task in load_tasks(store, "cells", VERSION)}
    plain = {task.image_id: task for task in tasks.values() if task.arm == "local"}
    seeds = {row["task_uid"]: row for row in read_rows(store, "bias_seeds")}
    assert len(seeds) == 10
    for uid, seed in seeds.items():
        shown, usual = tasks[uid], plain[tasks[uid].image_id]
        assert (shown.model_digest, shown.width_px, shown.path) == (usual.model_digest, usual.width_px, usual.path)
        changed = {draft.prediction_id for draft in {*shown.drafts} ^ {*usual.drafts}}
        assert changed == {seed["prediction_id"]}
    first = [task for task in export_tasks(store, "cells") if task["predictions"][0]["result"]]
    assert len({json.dumps(sorted(task["data"])) for task in first}) == 1
    assert len({task["predictions"][0]["model_version"] for task in first}) == 1
    words = json.dumps(export_tasks(store, "cells"))
    assert "seeded" not in words
    assert "bias" not in words


def test_the_same_plan_is_made_once(tmp_path: Path) -> None:
    """Equal tables and seed give equal tasks, a second plan lands nothing, and seeds follow what was corrected."""
    one, other = (planned(tmp_path / name) for name in "ab")
    again = plan_bias(one, "cells", "again", shares=SHARES)
    assert (again.blind_count, again.double_count, again.seeded_count) == (10, 5, 10)
    for table in ("bias_tasks", "bias_seeds"):
        assert content_digest(one, table) == content_digest(other, table)
    # a simulated reviewer moves the second box, adds the third and changes the label of the image
    assert {row["kind"] for row in read_rows(one, "bias_seeds")} <= {"wrong_class", "shifted_box", "missing_object"}


def test_seeds_need_corrections(tmp_path: Path) -> None:
    """Without corrections nothing says how drafts are wrong: only a plan without seeds is made."""
    store = filled_store(tmp_path / "store", truth=True)
    with pytest.raises(ReviewError, match="how its drafts are wrong"):
        plan_bias(store, "cells", "run")
    assert plan_bias(store, "cells", "run", shares=replace(SHARES, seeded=0.0)).seeded_count == 0
    with pytest.raises(ReviewError, match=r"expected 0\.\.1"):
        plan_bias(store, "cells", "run", shares=Shares(blind=2))


def test_a_second_reading_needs_a_first(tmp_path: Path) -> None:
    """More second blind tasks than first ones are refused; they were planned, to agree with nobody."""
    store = filled_store(tmp_path / "store", images=10)
    with pytest.raises(ReviewError, match=r"double is 0\.5 and the share blind 0\.1"):
        plan_bias(store, "cells", "run", shares=Shares(0.1, 0.5, 0.0))
    made = plan_bias(store, "cells", "run", shares=Shares(0.5, 0.5, 0.0))
    assert (made.blind_count, made.double_count) == (5, 5)


def test_a_forgotten_seed_opens_no_door(tmp_path: Path) -> None:
    """With the rows of `bias_seeds` gone a review of a seeded task is still refused as such."""
    store = planned(tmp_path)
    reviewed(store)
    tables = {name: read(store, name) for name in ("reviews", "review_states", "bias_seeds")}
    found = approvals(tables | {"bias_seeds": tables["bias_seeds"].slice(0, 0)}, NO_TRUST).to_pylist()
    seeded = {row["review_id"] for row in read_rows(store, "reviews") if row["arm"] == "seeded"}
    assert {row["refusal"] for row in found if row["review_id"] in seeded} == {"SEEDED"}


def test_new_images_get_a_plan_of_their_own(tmp_path: Path) -> None:
    """Another seed draws from what nobody reviewed and no plan holds."""
    store = planned(tmp_path)
    land(store, "prelabels", [prelabel_row(n, batch_id="b-more") for n in range(40, 44)], key="more")
    land(store, "reviews", [truth_row(n) for n in range(40, 44)], key="more truth")
    before = {row["image_id"] for row in read_rows(store, "bias_tasks")}
    made = plan_bias(store, "cells", "run", shares=Shares(1, 0, 0), seed=2)
    assert made.blind_count == made.images_count == 24 - len(before)


def asked(store: Store, who: str, *words: str) -> Result:
    """Ask as somebody, where lena is the lead."""
    root = Path(store.root).parent
    (root / "roles.yaml").write_text("schema: 1\npeople: {lena: [lead]}\nothers: [analyst]\n")
    env = {"LABELOP_CONFIG": str(root), "LABELOP_USER": who, "LABELOP_STORE": store.root}
    return CliRunner().invoke(app, [*words, "--format", "json"], env=env)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Make a store in which everything that was planned has been reviewed."""
    store = planned(tmp_path_factory.mktemp("done"))
    reviewed(store)
    return store


def test_the_command_line(done: Store) -> None:
    """`bias plan` tells counts only; `bias report` lands figures and shows reviewers to a lead alone."""
    report = ("bias", "report", "--dataset", "cells")
    answers = [
        asked(done, "ana", "bias", "plan", "--dataset", "cells"),
        asked(done, "ana", *report),
        asked(done, "lena", *report, "--reviewers"),
        asked(done, "ana", *report, "--reviewers"),
    ]
    assert [one.exit_code for one in answers] == [0, 0, 0, 1], [one.output for one in answers]
    assert "'ana' may not compare reviewers" in answers[3].output
    assert "image_id" not in answers[0].stdout
    assert "sim-" not in answers[1].stdout
    assert "sim-" in answers[2].stdout
    assert len({row["figure_set"] for row in read_rows(done, "bias_figures")}) == 1


def test_what_is_left_reaches_the_cost(done: Store) -> None:
    """The rate of errors that cost is charged by is that of the meter, arm by arm.

    Fails where seeds were looked for under the arm of the drafts, which reviews of seeded tasks never have: the rate
    was unknown whatever was caught.
    """
    figures = land_figures(done, "cells", "run")
    left = {one.name: one.found.value for one in figures if (one.measure, one.slice) == ("residual_rate", "arm")}
    charged = open_session(done).sql("SELECT arm, residual_rate FROM v_residual").fetchall()
    assert dict(charged) == left
    assert left["local"] is not None


@pytest.mark.parametrize(
    ("words", "for_all"),
    [
        (("reviewer_figures",), False),
        (("pilot_reviews", "--param", "pilot_id=p"), False),
        (("bias_figures",), True),
        (("reviewer_reviews",), False),
        (("review_ledger",), True),
    ],
)
def test_no_query_is_a_way_around(done: Store, words: tuple[str, ...], for_all: bool) -> None:
    """By name too, figures of single reviewers are for a lead alone, and what anybody may ask names none of them.

    Fails where `bias_figures --param reviewers=true` or seconds beside a pseudonym in `review_ledger` told everybody.
    """
    land_figures(done, "cells", "run")
    lead, analyst = (asked(done, who, "query", *words) for who in ("lena", "ana"))
    assert (lead.exit_code, analyst.exit_code) == (0, 0 if for_all else 1), lead.output
    assert for_all or "'ana' may not compare reviewers" in analyst.output
    assert ("catch_rate" in analyst.stdout or "effort_seconds" in analyst.stdout) == for_all
    assert ("sim-" in lead.stdout) == words[0].startswith("reviewer_")
    assert "no parameter 'reviewers'" in asked(done, "ana", "query", "bias_figures", "--param", "reviewers=true").output


def test_seconds_of_a_review_are_not_beside_whose_it_is(done: Store) -> None:
    """What anybody may ask about reviews one by one names no reviewer, so that nothing joins a name with seconds.

    Fails where `review_states` and `accepted_reviews` told everybody whose a review is, of which `review_ledger` has
    the seconds, and `explain` both at once; and where --reviewer found the reviews of one person for anybody.
    """
    [row, *_] = [one for one in read_rows(done, "reviews") if one["reviewer"] and one["active_seconds"]]
    explained = [asked(done, who, "explain", row["image_id"]) for who in ("lena", "ana")]
    assert [row["reviewer"] in one.stdout for one in explained] == [True, False]
    assert all("active_seconds" in one.stdout for one in explained)
    stands = asked(done, "ana", "review", "state", "--dataset", "cells")
    assert row["review_id"] in stands.stdout
    assert row["reviewer"] not in stands.stdout
    own = ("review", "state", "--dataset", "cells", "--reviewer", row["reviewer"])
    assert row["review_id"] in asked(done, "lena", *own).stdout
    for words in (own, ("query", "accepted_reviews", "--param", "dataset=cells")):
        assert "'ana' may not compare reviewers" in asked(done, "ana", *words).output
