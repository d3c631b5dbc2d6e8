"""No rounding contradicts a verdict: two numbers of which one decides by being larger are never said alike."""

from __future__ import annotations

import pytest

from lorimer.meta_agent.gate.comparison import Decision, Evidence
from lorimer.meta_agent.gate.confirmation import confirmed
from lorimer.meta_agent.gate.decide import decide
from lorimer.meta_agent.gate.statistics.policies import Policy, bar_words
from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.ledger.telling import came_of
from lorimer.traces.tables import DecisionRow
from lorimer.wording import digits_apart, scores_apart

TASKS = [f"t{number:03}" for number in range(912)]
"""As many as SpreadsheetBench has."""


def solved(tasks: int, more: int = 0) -> list[Result]:
    """Three trials of every task: the first so many tasks are always solved, and the next one so many times."""
    return [
        Result(task, float(number < tasks or (number == tasks and repeat < more)))
        for repeat in range(3)
        for number, task in enumerate(TASKS)
    ]


def row(stage: str, decision: Decision, policy: Policy) -> DecisionRow:
    return DecisionRow(
        id=f"s/c001/{stage}",
        study="s",
        subject="s/c001",
        stage=stage,
        kind=decision.kind,
        reason=decision.reason,
        numbers=dict(decision.numbers),
        policy=policy.as_json(),
        made="",
    )


def test_one_trial_more_of_2736_shows_in_the_scores_that_promoted_it() -> None:
    policy = Policy("strict")
    decision = decide(Evidence(solved(400, 1), solved(400), TASKS * 3), policy, whole=True)
    assert decision.kind == "promote"
    told = came_of("promoted", "", [row("full", decision, policy)])
    assert told == "it scored 0.4390 against the champion's 0.4386, so it is better and became the champion"
    mine, theirs = ([Result(each.task, (each.reward or 0) / 2) for each in solved(400, more)] for more in (1, 0))
    half = decide(Evidence(mine, theirs, TASKS * 3), policy, whole=True)
    assert half.reason.startswith("passed: 0.2195 over 2736 trials against 0.2193 over 2736, ")


@pytest.mark.parametrize(("mine", "theirs", "said"), [((400, 1), (400, 0), "+0.0004"), ((400, 0), (400, 1), "-0.0004")])
def test_so_it_does_in_a_confirmation(mine: tuple[int, int], theirs: tuple[int, int], said: str) -> None:
    policy = Policy("pooled")
    decision = confirmed(Evidence(solved(*mine), solved(*theirs), TASKS * 3), policy)
    assert decision is not None
    assert f" side by side, a difference of {said} (± 0.007)" in decision.reason
    fresh = came_of("rejected", "", [row("audit", decision, policy)])
    if decision.kind == "reject":
        assert "(0.4386 against 0.4390)" in fresh


def test_evidence_just_under_its_bar_is_not_said_to_reach_it() -> None:
    assert bar_words({"e": 9.997, "alpha": 0.1}) == "evidence 9.997 to 1, needs 10"
    assert bar_words({"e": 19.6, "alpha": 0.1}) == "evidence 19.6 to 1, needs 10"


@pytest.mark.parametrize(
    ("trials", "alpha", "said"),
    [
        (5, 0.1, "p = 0.10, needs p <= 0.10"),
        (10, 0.1, "p = 0.10, needs p <= 0.10"),
        (20, 0.05, "p = 0.050, needs p <= 0.05"),
    ],
)
def test_a_p_that_is_its_level_passes_and_is_said_to_be_it(trials: int, alpha: float, said: str) -> None:
    """One of so many ways to deal out the trials gives all successes to the candidate. So p is the level, but for the last bit
    of its float, and the edit is promoted."""
    both = 2 if trials == 5 else 1
    mine = [Result("t", 1.0)] * both
    decision = decide(Evidence(mine, [Result("t", 0.0)] * (trials - both), ["t"] * both), Policy("paired", alpha=alpha))
    assert decision.kind == "promote"
    assert decision.reason.endswith(f", {said}")


def test_numbers_that_are_alike_or_equal_take_no_more_digits() -> None:
    assert scores_apart([0.5, 0.5 + 1e-16]) == ["0.500", "0.500"]
    assert scores_apart([0.6312, 0.6308]) == ["0.6312", "0.6308"]
    assert digits_apart([0.0013, 0.1], 2) == ["0.0013", "0.1"]
    assert digits_apart([0.1, 0.1], 2) == ["0.1", "0.1"]
