"""Equal, and better in another way: how simple a harness is, and a test of "no worse" that keeps its level."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from lorimer.config.gate import GateSettings
from lorimer.harness.size import Size, size_of
from lorimer.meta_agent.gate.cost import Paid
from lorimer.meta_agent.gate.full_run import FullRun, full_verdict, settled, units
from lorimer.meta_agent.gate.non_inferior import hopeless, non_inferior
from lorimer.meta_agent.gate.statistics.permutation import Pair
from lorimer.meta_agent.gate.statistics.policies import Policy
from lorimer.meta_agent.gate.statistics.scores import Result, by_task
from lorimer.wording import percents_apart

POLICY = Policy(futility=0.2)


def rewards(rate: float, trials: int, dice: random.Random) -> tuple[float, ...]:
    return tuple(float(dice.random() < rate) for _ in range(trials))


def passes(
    champion: Sequence[float], candidate: Sequence[float], margin: float, rounds: int, mine: int, theirs: int
) -> float:
    """Share of simulated runs in which the candidate is found no worse at 0.1."""
    dice = random.Random(f"{margin}/{mine}/{len(champion)}")
    found = 0
    for _ in range(rounds):
        pairs = [
            Pair(rewards(b, mine, dice), rewards(a, theirs, dice)) for a, b in zip(champion, candidate, strict=True)
        ]
        found += non_inferior(pairs, margin).passed(0.1)
    return found / rounds


# ---- size


def test_layout_names_comments_and_docstrings_are_no_size() -> None:
    plain = "def solve(task, env, llm):\n    return llm.complete('Go.').text\n"
    dressed = (
        '"""A harness."""\n# why\ndef solve(t, e, model):\n    """Solve."""\n'
        '    return (\n        model.complete(\n"Go.").text\n    )\n'
    )
    assert size_of(plain) == size_of(dressed)


def test_simpler_is_fewer_nodes_and_fewer_prompt_tokens() -> None:
    seed = size_of(
        "P = 'Think step by step, then answer, then check.'\ndef solve(t, e, l):\n    x = l.complete(P)\n    return x.text\n"
    )
    shorter_prompt = size_of("P = 'Answer.'\ndef solve(t, e, l):\n    x = l.complete(P)\n    return x.text\n")
    both = size_of("P = 'Answer.'\ndef solve(t, e, l):\n    return l.complete(P).text\n")
    assert both.simpler_than(seed)
    assert not shorter_prompt.simpler_than(seed)
    assert not Size(seed.nodes - 1, seed.tokens).simpler_than(seed)
    assert not seed.simpler_than(seed)


# ---- the level

FLAKY = [0.95] * 12 + [0.1 + 0.8 * step / 7 for step in range(8)] + [0.0] * 4
SMALL = [1.0, 0.8, 0.5, 0.5, 0.2, 0.0]
HALVES = [0.5] * 20


@pytest.mark.parametrize(
    ("champion", "margin", "mine", "theirs"),
    [
        (FLAKY, 0.05, 3, 6),
        (FLAKY, 0.1, 2, 2),
        (SMALL, 0.1, 2, 4),
        (SMALL, 0.2, 1, 2),
        (HALVES, 0.1, 3, 6),
        (HALVES, 0.1, 1, 1),
    ],
)
@pytest.mark.parametrize("spread", ["over all tasks", "on few tasks"])
def test_a_harness_worse_by_the_margin_passes_at_most_at_alpha(
    champion: list[float], margin: float, mine: int, theirs: int, spread: str
) -> None:
    """At the edge of the hypothesis, where passing is likeliest: losses thin and even, or whole tasks broken."""
    left, candidate = margin * len(champion), list(champion)
    able = sum(rate > 0 for rate in champion)
    for task, rate in sorted(enumerate(champion), key=lambda item: -item[1]):
        loss = min(rate, left, (margin * len(champion) / able if spread == "over all tasks" else 1.0))
        candidate[task], left = rate - loss, left - loss
    for task, rate in enumerate(candidate):  # what thin losses could not take from low rates
        loss = min(rate, left)
        candidate[task], left = rate - loss, left - loss
    assert sum(champion) - sum(candidate) == pytest.approx(margin * len(champion))
    rounds = 1_000
    assert passes(champion, candidate, margin, rounds, mine, theirs) <= 0.1 + 2.5 * (0.09 / rounds) ** 0.5


def test_an_equal_harness_passes_where_there_are_trials_enough() -> None:
    assert passes(FLAKY * 2, FLAKY * 2, 0.05, 300, 3, 6) > 0.5
    assert passes(FLAKY * 2, FLAKY * 2, 0.1, 300, 3, 6) > 0.9


def test_certainty_needs_more_than_a_lucky_trial() -> None:
    assert not non_inferior([Pair((1.0,), (1.0,))], 0.1).passed(0.1)


# ---- in a decision

TASKS = [f"t{n:02}" for n in range(24)]
PLAN = TASKS * 3


def trials(rates: Sequence[float], plan: Sequence[str], seed: int) -> list[Result]:
    dice = random.Random(seed)
    return [Result(task, float(dice.random() < rates[TASKS.index(task)])) for task in plan]


STABLE = [1.0] * 14 + [0.0] * 10
STANDING = trials(STABLE, TASKS * 6, 1)
SIMPLIFY = GateSettings(simplify_margin=0.1)


def test_a_simpler_harness_that_is_as_good_is_promoted_and_the_sentence_says_why() -> None:
    equal = trials(STABLE, PLAN, 2)
    run = FullRun(equal, STANDING, PLAN, simpler=True)
    decision = full_verdict(run, POLICY, SIMPLIFY)
    assert decision.kind == "promote"
    assert decision.reason.startswith(
        "passed: 42/72 against 84/144: not better, but simpler and no worse by 0.1 (+0.000, p = "
    )
    assert (decision.numbers["route"], decision.numbers["run"], decision.numbers["planned"]) == ("simpler", 72, 72)
    assert full_verdict(FullRun(equal, STANDING, PLAN), POLICY, SIMPLIFY).kind == "reject"
    assert full_verdict(run, POLICY, GateSettings()).kind == "reject"


def test_a_simpler_harness_that_is_worse_is_rejected_and_soon() -> None:
    broken = trials([0.5] * 14 + [0.0] * 10, PLAN, 2)
    ended = next(
        n for n in range(len(PLAN)) if settled(FullRun(broken[:n], STANDING, PLAN, simpler=True), POLICY, SIMPLIFY)
    )
    assert ended < 40
    decision = full_verdict(FullRun(broken[:ended], STANDING, PLAN, simpler=True), POLICY, SIMPLIFY)
    assert decision.kind == "reject"
    whole = full_verdict(FullRun(broken, STANDING, PLAN, simpler=True), POLICY, SIMPLIFY)
    assert whole.kind == "reject"
    assert "simpler, but not surely no worse by 0.1 (" in whole.reason


def test_a_level_that_is_just_missed_is_not_said_to_be_reached() -> None:
    run = FullRun(trials(STABLE, PLAN, 2), STANDING, PLAN, simpler=True)
    p = full_verdict(run, POLICY, SIMPLIFY).numbers["simpler_p"]
    assert isinstance(p, float)
    missed = full_verdict(run, replace(POLICY, alpha=p * 0.999), SIMPLIFY)
    assert missed.kind == "reject"
    said = re.search(r"not surely no worse by 0\.1 \(\S+, p = (\S+), needs p <= (\S+)\)", missed.reason)
    assert said is not None
    assert float(said[1]) > float(said[2])


def test_a_run_goes_on_while_an_equal_harness_could_still_pass() -> None:
    equal = trials(STABLE, PLAN, 2)
    lengths = range(len(PLAN))
    assert any(settled(FullRun(equal[:n], STANDING, PLAN), POLICY, SIMPLIFY) for n in lengths)
    assert not any(settled(FullRun(equal[:n], STANDING, PLAN, simpler=True), POLICY, SIMPLIFY) for n in lengths)


def test_hopeless_stays_hopeless() -> None:
    dice = [0.6] * 14 + [0.2] * 10
    standing = by_task(trials([0.8] * 14 + [0.3] * 10, TASKS * 6, 5))
    found = trials(dice, PLAN, 7)
    said = [hopeless(found[:n], standing, PLAN, 0.05, POLICY) for n in range(len(PLAN) + 1)]
    assert said == sorted(said)
    assert said[-1]


def test_errors_promote_nothing_as_equal() -> None:
    few = [Result(o.task, None) if i in (0, 1) else o for i, o in enumerate(trials(STABLE, PLAN, 2))]
    narrow = GateSettings(simplify_margin=0.06)
    assert (
        full_verdict(FullRun(trials(STABLE, PLAN, 2), STANDING, PLAN, simpler=True), POLICY, narrow).kind == "promote"
    )
    assert full_verdict(FullRun(few, STANDING, PLAN, simpler=True), POLICY, narrow).kind == "reject"
    many = [Result(o.task, None) if i % 10 == 0 else o for i, o in enumerate(trials(STABLE, PLAN, 2))]
    strict = replace(POLICY, max_errored=0.05)
    assert full_verdict(FullRun(many, STANDING, PLAN, simpler=True), strict, SIMPLIFY).kind == "undecided"


def costs(of: float, repeats: int, spread: float, seed: int) -> dict[str, list[float | None]]:
    dice = random.Random(seed)
    return {task: [of * dice.uniform(1 - spread, 1 + spread) for _ in range(repeats)] for task in TASKS}


def test_a_tie_goes_to_the_cheaper() -> None:
    tie = GateSettings(tie_break="tokens", tie_margin=0.1)
    run = FullRun(trials(STABLE, PLAN, 2), STANDING, PLAN)
    assert units(tie, full_verdict(run, POLICY, tie)) == {"tokens", "usd"}  # dollars, too, for the bound on cost

    def decided(cost: float) -> tuple[str, str]:
        paid = Paid({"tokens": costs(cost, 3, 0.4, 1)}, {"tokens": costs(100, 6, 0.4, 2)})
        decision = full_verdict(run, POLICY, tie, paid)
        return decision.kind, decision.reason

    kind, reason = decided(60)
    assert kind == "promote"
    assert "not better, but cheaper, " in reason
    assert " tokens per trial against " in reason
    assert " and no worse by 0.1 (" in reason
    assert decided(100)[0] == "reject"
    kind, reason = decided(140)
    assert kind == "reject"
    assert "not surely cheaper, " in reason


def test_an_unknown_price_breaks_no_tie() -> None:
    tie = GateSettings(tie_break="cost", tie_margin=0.1, max_cost_increase="none")
    run = FullRun(trials(STABLE, PLAN, 2), STANDING, PLAN)
    assert units(tie, full_verdict(run, POLICY, tie)) == {"usd"}
    paid = Paid({"usd": {task: [None] for task in TASKS}}, {"usd": costs(1, 6, 0.1, 2)})
    decision = full_verdict(run, POLICY, tie, paid)
    assert decision.kind == "reject"
    assert "dollars of some trials are unknown, so a tie is not broken" in decision.reason


def test_an_edit_that_changes_nothing_wins_no_tie_by_luck() -> None:
    tie = GateSettings(tie_break="tokens", tie_margin=0.1)
    won, quick = 0, Policy(futility=0.2, draws=1_000)
    for seed in range(100):
        paid = Paid({"tokens": costs(100, 3, 0.4, seed)}, {"tokens": costs(100, 6, 0.4, 1_000 + seed)})
        won += full_verdict(FullRun(trials(STABLE, PLAN, seed), STANDING, PLAN), quick, tie, paid).kind == "promote"
    assert 0 < won <= 10 + 2.5 * (100 * 0.09) ** 0.5


# ---- side by side


def test_side_by_side_nothing_is_promoted_on_less_than_the_whole_plan_and_hopeless_runs_end_at_a_round() -> None:
    good, bad = [1.0] * 20 + [0.0] * 4, [0.0] * 24
    gate = GateSettings()

    def run(rates: list[float], end: int) -> FullRun:
        return FullRun(trials(rates, PLAN, 1)[:end], trials(STABLE, PLAN, 2)[:end], PLAN, beside=True)

    assert not settled(run(good, 48), POLICY, gate)
    won = full_verdict(run(good, 72), POLICY, gate)
    assert won.kind == "promote"
    assert won.reason.startswith("passed: 60/72 against 42/72, p = ")
    assert not settled(run(bad, 23), POLICY, gate)
    assert settled(run(bad, 24), POLICY, gate)
    lost = full_verdict(run(bad, 24), POLICY, gate)
    assert lost.kind == "reject"
    assert lost.numbers["run"] == lost.numbers["champion_run"] == 24
    assert isinstance(lost.numbers["chance"], float)
    # The same run ends where hardly less is asked for, and tells the two chances apart.
    asked = lost.numbers["chance"] + 0.0004
    lost = full_verdict(run(bad, 24), replace(POLICY, futility=asked), gate)
    told = percents_apart([asked - 0.0004, asked])
    assert told[0] != told[1]
    assert (
        f" with a chance of {told[0]}, under the {told[1]} that is asked for; 24 of 72 trials of each harness were run"
        in lost.reason
    )
    exact = full_verdict(run(bad, 48), Policy(), gate)
    assert exact.reason.startswith(
        "rejected: 0/48 against 28/48 side by side; had every trial left of the candidate succeeded"
    )
    assert exact.reason.endswith("48 of 72 trials of each harness were run, the rest could not have changed this")
    assert full_verdict(run(good, 30), POLICY, gate).kind == "undecided"


@pytest.mark.parametrize("policy", [Policy(futility=0.2), Policy(), Policy(name="eprocess")])
def test_side_by_side_an_unchanged_harness_passes_at_most_at_alpha(policy: Policy) -> None:
    rates, gate, won, rounds = [0.9] * 6 + [0.3, 0.4, 0.5, 0.6, 0.7] * 3 + [0.0] * 3, GateSettings(), 0, 150
    for seed in range(rounds):
        mine, theirs = trials(rates, PLAN, seed), trials(rates, PLAN, 10_000 + seed)
        won += full_verdict(FullRun(mine, theirs, PLAN, beside=True), policy, gate).kind == "promote"
    assert won / rounds <= 0.1 + 2.5 * (0.09 / rounds) ** 0.5


def test_side_by_side_evidence_may_promote_at_a_round() -> None:
    better = [1.0] * 24
    policy = Policy(name="eprocess")
    run = FullRun(trials(better, PLAN, 1)[:24], trials([0.0] * 24, PLAN, 2)[:24], PLAN, beside=True)
    assert settled(run, policy, GateSettings())
    decision = full_verdict(run, policy, GateSettings())
    assert decision.kind == "promote"
    assert decision.reason.endswith("24 of 72 trials of each harness were run, the rest was not needed")
