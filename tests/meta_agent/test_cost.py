"""What a promotion may cost: the rule, its settings, and a study that keeps it."""

from __future__ import annotations

import asyncio
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.config.gate import GateSettings
from lorimer.config.settings import load, overrides, parse, parse_stored
from lorimer.errors import ConfigError
from lorimer.meta_agent.gate.comparison import Decision
from lorimer.meta_agent.gate.cost import Paid, TaskCosts, amounts, bound_words, held_back, within_cost
from lorimer.meta_agent.gate.decide import decide
from lorimer.meta_agent.gate.design import policy_of
from lorimer.meta_agent.gate.full_run import FullRun, full_verdict, units
from lorimer.meta_agent.gate.statistics.policies import Policy
from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.ledger.telling import came_of
from lorimer.meta_agent.reports.replay import replay
from lorimer.meta_agent.state.result import result
from lorimer.meta_agent.state.world import scan
from lorimer.traces.schema import PlannedTrial, Stage, Used
from lorimer.traces.tables import DecisionRow
from tests.meta_agent.test_loop import Bench, config, make_bench, run, script

DEFAULT = policy_of(parse({}))
STRICT = replace(DEFAULT, name="strict")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


def promotion(points: float) -> Decision:
    """A promotion with a gain of so many points."""
    numbers: dict[str, Any] = {"candidate_mean": 0.5 + points / 100, "champion_mean": 0.5}
    return Decision("promote", "passed: 60/100 against 50/100", numbers)


def each(cost: float | None) -> TaskCosts:
    return {"a": [cost, cost], "b": [cost]}


def tokens(mine: float, theirs: float) -> Paid:
    """What trials of `mine` and of `theirs` tokens cost, at prices that are not known."""
    return Paid({"tokens": each(mine), "usd": each(None)}, {"tokens": each(theirs), "usd": each(None)})


# ---- the rule


@pytest.mark.parametrize(("points", "most"), [(0.0, 125.0), (1.0, 130.0), (4.0, 145.0), (20.0, 225.0)])
def test_a_quarter_more_is_allowed_and_a_twentieth_more_for_each_point_gained(points: float, most: float) -> None:
    assert within_cost(promotion(points), tokens(most, 100), "auto", DEFAULT).kind == "promote"
    over = within_cost(promotion(points), tokens(most + 0.1, 100), "auto", DEFAULT)
    assert over.kind == "reject"
    assert over.numbers["cost_allowed"] == pytest.approx(most)


def test_a_decision_says_the_cost_what_is_allowed_and_how_to_lift_it() -> None:
    kept = within_cost(promotion(4), tokens(140, 100), "auto", DEFAULT)
    assert kept.reason == (
        "passed: 60/100 against 50/100; a trial costs 140 tokens against 100 tokens (+40%), allowed up to 145 tokens "
        "(+45% for 4.0 points)"
    )
    held = within_cost(promotion(4), tokens(150, 100), "auto", DEFAULT)
    assert held.reason == (
        "rejected: it was better, but a trial costs 150 tokens against 100 tokens (+50%), allowed up to 145 tokens "
        '(+45% for 4.0 points): 60/100 against 50/100; gate.max_cost_increase sets the bound, and "none" lifts it'
    )
    equal = replace(promotion(0), numbers={**promotion(0).numbers, "route": "simpler"})
    assert "it was no worse, but a trial costs" in within_cost(equal, tokens(150, 100), "auto", DEFAULT).reason
    flat = within_cost(promotion(4), tokens(120, 100), "auto", replace(DEFAULT, cost_increase_per_point=0.0))
    assert flat.reason.endswith("(+20%), allowed up to 125 tokens (+25%)")


def test_dollars_count_where_every_price_is_known_and_tokens_where_one_is_not() -> None:
    dear = Paid({"usd": each(0.02), "tokens": each(1)}, {"usd": each(0.01), "tokens": each(1)})
    held = within_cost(promotion(4), dear, "auto", DEFAULT)
    assert held.kind == "reject"
    assert "a trial costs $0.0200 against $0.0100 (+100%), allowed up to $0.0145" in held.reason
    partly = Paid({"usd": {"a": [9.0, None], "b": [9.0]}, "tokens": each(1)}, dear.champion)
    kept = within_cost(promotion(4), partly, "auto", DEFAULT)
    assert kept.kind == "promote"
    assert kept.numbers["cost_unit"] == "tokens"
    # A server of one's own at a price of nothing: what is bounded is how much it is made to do.
    free = Paid({"usd": each(0.0), "tokens": each(300)}, {"usd": each(0.0), "tokens": each(100)})
    assert within_cost(promotion(4), free, "auto", DEFAULT).kind == "reject"


def test_what_was_not_counted_bounds_nothing_and_the_promotion_says_so() -> None:
    for mine in (0.0, 500.0):
        kept = within_cost(promotion(4), tokens(mine, 0), "auto", DEFAULT)
        assert kept.kind == "promote"
        assert kept.reason.endswith("; its cost is not bounded: the champion's trials took no tokens that were counted")
        assert not held_back("reject", kept.numbers)
    assert within_cost(promotion(4), Paid(), "auto", DEFAULT).kind == "promote"


def test_dollars_alone_leave_a_promotion_undecided_where_a_price_is_unknown() -> None:
    unknown = within_cost(promotion(4), tokens(1, 1), "usd", DEFAULT)
    assert unknown.kind == "undecided"
    assert unknown.reason.startswith(
        'undecided: the price of some trials is unknown, so the bound on dollars cannot be held (gate.cost = "usd"); passed'
    )


def test_a_cost_is_the_mean_over_tasks_of_each_tasks_mean() -> None:
    mine: TaskCosts = {"a": [150.0], "b": [450.0]}
    theirs: TaskCosts = {"a": [100.0, 100.0], "b": [300.0]}
    policy = Policy(max_cost_increase=0.5)
    kept = within_cost(promotion(4), Paid({"tokens": mine}, {"tokens": theirs}), "tokens", policy)
    assert (kept.kind, kept.numbers["cost"], kept.numbers["champion_cost"]) == ("promote", 300.0, 200.0)
    over = Paid({"tokens": {"a": [150.0], "b": [460.0]}}, {"tokens": theirs})
    assert within_cost(promotion(4), over, "tokens", policy).kind == "reject"
    assert within_cost(promotion(4), over, "tokens", Policy()) == promotion(4)


def test_nothing_but_a_promotion_is_asked_what_it_cost() -> None:
    settings, tasks = GateSettings(), [f"t{n}" for n in range(8)]
    plan = [task for _ in range(2) for task in tasks]
    lost = FullRun([Result(t, 0.0) for t in plan], [Result(t, 1.0) for t in plan], plan)
    won = FullRun(lost.champion, lost.candidate, plan)
    rejected, promoted = (full_verdict(each, DEFAULT, settings) for each in (lost, won))
    assert units(settings, rejected) == set()
    assert units(settings, promoted) == {"usd", "tokens"}
    assert promoted == decide(won.evidence, DEFAULT)
    dear = Paid({"tokens": {t: [30.0] for t in tasks}}, {"tokens": {t: [1.0] for t in tasks}})
    assert full_verdict(won, DEFAULT, settings, dear).kind == "reject"
    assert units(GateSettings(max_cost_increase="none"), promoted) == set()
    assert units(GateSettings(cost="seconds"), promoted) == {"seconds"}


@given(
    before=st.floats(0, 1),
    after=st.floats(0, 1),
    cost=st.floats(0.01, 1e6),
    was=st.floats(0.01, 1e6),
    share=st.floats(0, 3),
    per_point=st.floats(0, 1),
)
def test_a_confirmation_is_held_back_by_its_own_gain_and_cost_and_never_for_less_than_the_bound(
    before: float, after: float, cost: float, was: float, share: float, per_point: float
) -> None:
    policy = replace(DEFAULT, max_cost_increase=share, cost_increase_per_point=per_point)
    met = Decision("pass", "confirmed: side by side", {"candidate_mean": after, "champion_mean": before})
    found = within_cost(met, tokens(cost, was), "auto", policy)
    increase, allowed = cost / was - 1, share + per_point * 100 * max(0.0, after - before)
    if increase < allowed - 1e-6:
        assert found.kind == "pass"
        assert found.reason.startswith("confirmed: side by side; a trial costs ")
    if increase > allowed + 1e-6:
        assert found.reason.startswith("held back: it was better, but a trial costs ")
    assert held_back(found.kind, found.numbers) == (found.kind == "reject")
    # A bound that allows more holds nothing more back, and what was not confirmed is not asked what it cost.
    wider = within_cost(met, tokens(cost, was), "auto", replace(policy, max_cost_increase=share + 1))
    assert (found.kind, wider.kind) != ("pass", "reject")
    rejected = replace(met, kind="reject")
    assert within_cost(rejected, tokens(cost, was), "auto", policy) == rejected


def test_amounts_have_the_digits_that_tell_them_apart() -> None:
    assert amounts("tokens", 12345.2, 8000) == ["12,345 tokens", "8,000 tokens"]
    assert amounts("tokens", 100.4, 100.3) == ["100.4 tokens", "100.3 tokens"]
    assert amounts("usd", 0.0123, 0.01) == ["$0.0123", "$0.0100"]
    assert amounts("usd", 0.00004567) == ["$0.0000457"]
    assert amounts("usd", 12.0, 12.0) == ["$12.00", "$12.00"]
    assert amounts("seconds", 8.44, 8.0) == ["8.4 seconds", "8.0 seconds"]
    assert amounts("usd", 0.0) == ["$0.00"]


# ---- the settings


def test_the_bound_is_a_share_or_none_and_anything_else_is_told_what_to_write(tmp_path: Path) -> None:
    file = tmp_path / "lorimer.toml"
    for said, read in (("0", 0.0), ("1", 1.0), ("0.5", 0.5), ('"none"', "none")):
        file.write_text(f"[gate]\nmax_cost_increase = {said}\n")
        assert load(file).gate.max_cost_increase == read
    for wrong in ("-0.1", "inf", "nan", '"off"', "true", "[0.2]"):
        file.write_text(f"[gate]\nmax_cost_increase = {wrong}\n")
        with pytest.raises(ConfigError) as raised:
            load(file)
        assert str(raised.value) == (f'{file}: gate.max_cost_increase: should be a number >= 0, or "none" for no bound')
    unbound = parse({}, overrides=overrides(["gate.max_cost_increase=none"]))
    assert policy_of(unbound).max_cost_increase is None


def test_a_bound_is_said_in_words() -> None:
    assert bound_words(0.25, 0.05) == "a trial may cost 25% more, and 5% more for each point gained"
    assert bound_words(0.5, 0.0) == "a trial may cost 50% more"
    assert bound_words("none", 0.05) == bound_words(None, 0.0) == "no bound on cost"


def test_a_study_of_a_time_without_a_bound_goes_on_without_one() -> None:
    stored = parse({}).model_dump(mode="json")
    before = {key: value for key, value in stored["gate"].items() if key != "cost_increase_per_point"}
    unset = parse_stored(stored | {"gate": before | {"max_cost_increase": None, "cost": "tokens"}}, "study-1").gate
    assert (unset.max_cost_increase, unset.cost) == ("none", "tokens")
    share = parse_stored(stored | {"gate": before | {"max_cost_increase": 0.5}}, "study-1").gate
    assert (share.max_cost_increase, share.cost_increase_per_point) == (0.5, 0.0)
    older = {key: value for key, value in before.items() if key not in ("cost", "max_cost_increase")}
    assert parse_stored(stored | {"gate": older}, "study-1").gate.max_cost_increase == "none"
    assert parse_stored(stored, "study-1") == parse({})


# ---- a study


def dear(text: str, planned: PlannedTrial) -> Used:
    """A harness that is better asks for more: ten times the tokens, at prices that nobody knows."""
    return Used(1, 100 if "GOOD" in text else 10, usd=None)


GATES: list[dict[str, Any]] = [{}, {"policy": "pooled"}, {"champion": "interleaved"}, {"policy": "eprocess"}]


@pytest.fixture(scope="module", params=GATES, ids=str)
def too_dear(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A study, under each gate, of an edit that is better and ten times as dear; it is read alone."""
    made = make_bench(tmp_path_factory.mktemp("dear") / "work")
    settings = config(gate=request.param | {"repeats": 4}, budget={"candidates": 2})
    asyncio.run(run(made, script("GOOD", "NULL"), settings, used=dear, width=3, order=1))
    return made


def test_a_better_harness_that_costs_too_much_is_rejected_and_the_log_says_that_it_was_better(too_dear: Bench) -> None:
    bench = too_dear
    assert result(bench.reader(), "demo").champion_candidate == ""
    row = next(row for row in bench.reader().decisions("demo") if row.id == "demo/c001/full")
    assert row.kind == "reject"
    assert row.reason.startswith("rejected: it was better, but a trial costs 100 tokens against 10 tokens (+900%), ")
    assert row.policy["cost_increase_per_point"] == 0.05
    line = next(line for line in bench.told().splitlines() if line.startswith("c001"))
    assert ", so it is better, but a trial costs 100 tokens against the champion's 10 tokens, over the " in line
    assert line.endswith("so the champion stays; the same gain at less cost could be promoted")
    # It is no witness of the champion: it was better.
    assert scan(bench.reader(), "demo").withstood(2) == {}


async def test_what_is_too_dear_for_the_gain_of_its_confirmation_is_held_back_there(bench: Bench) -> None:
    """A full run knows the gain on the tasks that it ran; the confirmation, that on all of them."""

    def used(text: str, planned: PlannedTrial) -> Used:
        return Used(1, 100 if "GOOD" in text and planned.stage is Stage.AUDIT else 10, usd=None)

    settings = config(gate={"policy": "pooled", "repeats": 4}, budget={"candidates": 2})
    done, _ = await run(bench, script("GOOD", "NULL"), settings, used=used)
    assert done.champion_candidate == ""
    rows = {row.id: row for row in bench.reader().decisions("demo")}
    assert rows["demo/c001/full"].kind == "promote"
    audit = rows["demo/c001/audit"]
    assert audit.kind == "reject"
    assert audit.reason.startswith("held back: it was better, but a trial costs 100 tokens against 10 tokens (+900%), ")
    gained = 100 * (audit.numbers["candidate_mean"] - audit.numbers["champion_mean"])
    assert f" for {gained:.1f} points): " in audit.reason
    assert "demo/c001/holdout" not in rows
    line = next(line for line in bench.told().splitlines() if line.startswith("c001"))
    assert ", so it is better, but a trial costs 100 tokens against the champion's 10 tokens, over the " in line
    assert line.endswith("so the champion stays; the same gain at less cost could be promoted")
    # It is no witness of the champion: it was better.
    assert scan(bench.reader(), "demo").withstood(2) == {}
    found = replay(bench.reader(), "demo", {})
    assert (found.changed, found.open) == (0, 0)
    lifted = replay(bench.reader(), "demo", {"gate.max_cost_increase": "none"})
    assert lifted.candidates[0].after == "open"
    assert "; the holdout, which could veto it, was never run" in lifted.candidates[0].reason


def test_a_replay_agrees_with_the_study_about_the_bound_and_can_lift_it(too_dear: Bench) -> None:
    bench = too_dear
    found = replay(bench.reader(), "demo", {})
    assert (found.changed, found.open) == (0, 0)
    assert found.candidates[0].reason == found.candidates[0].was
    assert "a trial may cost 25% more, and 5% more for each point gained" in found.gate
    lifted = replay(bench.reader(), "demo", {"gate.max_cost_increase": "none"})
    assert lifted.candidates[0].reason.startswith("passed: ") or "was never run" in lifted.candidates[0].reason
    assert lifted.candidates[0].after == "open"
    assert lifted.gate.endswith("no bound on cost")
    wider = replay(bench.reader(), "demo", {"gate.cost_increase_per_point": 0.5})
    assert wider.candidates[0].after == "open"


async def test_a_study_whose_decisions_know_no_bound_is_replayed_as_it_was(bench: Bench) -> None:
    settings = config(gate={"max_cost_increase": "none"}, budget={"candidates": 2})
    done, _ = await run(bench, script("GOOD", "NULL"), settings, used=dear)
    assert done.champion_candidate == "demo/c001"
    found = replay(bench.reader(), "demo", {})
    assert (found.changed, found.open) == (0, 0)
    assert replay(bench.reader(), "demo", {"gate.max_cost_increase": 0.25}).changed == 1


async def test_unknown_prices_and_servers_that_count_no_tokens_hold_nothing_back(bench: Bench) -> None:
    settings = config(budget={"candidates": 1})
    done, _ = await run(bench, script("GOOD"), settings, used=lambda text, planned: Used(1, usd=None))
    assert done.champion_candidate == "demo/c001"
    row = next(row for row in bench.reader().decisions("demo") if row.id == "demo/c001/full")
    assert row.reason.endswith("; its cost is not bounded: the champion's trials took no tokens that were counted")


def test_a_harness_that_was_no_worse_and_costs_too_much_is_told_so() -> None:
    equal = replace(promotion(0), numbers={**promotion(0).numbers, "route": "simpler"})
    held = within_cost(equal, tokens(150, 100), "auto", DEFAULT)
    row = DecisionRow(
        id="x",
        study="s",
        stage=Stage.FULL,
        kind=held.kind,
        reason=held.reason,
        numbers=dict(held.numbers),
        policy={},
        made="",
    )
    assert came_of("rejected", "", [row]) == (
        "it scored 0.500 against the champion's 0.500, so it is no worse, and simpler, but a trial costs 150 tokens against "
        "the champion's 100 tokens, over the 125 tokens that its gain allows, so the champion stays; the same gain at less cost "
        "could be promoted"
    )


def test_the_template_of_a_workspace_names_the_bound() -> None:
    import importlib.resources

    text = (importlib.resources.files("lorimer") / "templates" / "lorimer.toml").read_text(encoding="utf-8")
    assert "max_cost_increase = 0.25" in text
    assert 'or "none"' in text
    assert tomllib.loads(text.replace("{source}", "starter").replace("{model}", "simulated/apprentice"))["gate"]
