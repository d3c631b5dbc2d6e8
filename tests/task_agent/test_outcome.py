"""When a planned trial has its outcome: the table of causes, as the scheduler reads it."""

from __future__ import annotations

import pytest

from lorimer.task_agent.causes import FINAL, SAYS_NOTHING, SCORED, SUSPECT, WORLD, Cause
from lorimer.task_agent.outcome import is_settled, outcome_of
from lorimer.traces.schema import PlannedTrial, Stage, TrialEnd, TrialState, Used

PLANNED = PlannedTrial("s/b/t/0", "s", "s/b", Stage.BASELINE, "sha", "t", 0, 1)


def errored(cause: Cause) -> TrialEnd:
    return TrialEnd("t", TrialState.ERRORED, cause.value, used=Used(1, 10), seconds=1.0)


def scored(reward: float, cause: Cause = Cause.FINISHED) -> TrialEnd:
    return TrialEnd("t", TrialState.SCORED, cause.value, reward=reward, used=Used(1, 10, usd=0.5), seconds=1.0)


def cancelled() -> TrialEnd:
    return TrialEnd("t", TrialState.CANCELLED, Cause.CANCELLED.value, used=Used(1, usd=None))


def test_every_cause_is_in_one_row_of_the_table() -> None:
    rows = [SCORED, SUSPECT, WORLD, frozenset({Cause.CANCELLED})]
    assert frozenset().union(*rows) == frozenset(Cause)
    assert sum(len(row) for row in rows) == len(Cause)


def test_nothing_attempted_is_not_settled() -> None:
    assert not is_settled([], 2)


def test_a_score_settles_whatever_came_before() -> None:
    outcome = outcome_of(PLANNED, [errored(Cause.ENGINE_FAILURE), scored(1.0)], 2)
    assert outcome is not None
    assert (outcome.state, outcome.reward, outcome.attempts, outcome.used.tokens) == (TrialState.SCORED, 1.0, 2, 20)


@pytest.mark.parametrize("later", [cancelled(), errored(Cause.INTERNAL), errored(Cause.PROVIDER_OUTAGE)])
def test_a_score_that_was_taken_back_counts_no_more_once_another_attempt_began(later: TrialEnd) -> None:
    assert is_settled([scored(0.0)], 1)
    assert not is_settled([scored(0.0), later], 1)
    outcome = outcome_of(PLANNED, [scored(0.0), later, scored(1.0)], 1)
    assert outcome is not None
    assert (outcome.reward, outcome.attempts) == (1.0, 3)
    assert outcome.used.calls == 1 + (later.cause == Cause.INTERNAL)


@pytest.mark.parametrize("cause", sorted(WORLD - SAYS_NOTHING - FINAL))
def test_the_worlds_fault_is_retried_as_often_as_configured(cause: Cause) -> None:
    assert not is_settled([errored(cause)], 1)
    outcome = outcome_of(PLANNED, [errored(cause), errored(cause)], 1)
    assert outcome is not None
    assert outcome.state is TrialState.ERRORED
    assert outcome.reward is None


@pytest.mark.parametrize("cause", sorted(SUSPECT))
def test_a_suspect_verifier_is_tried_twice_however_many_retries_there_are(cause: Cause) -> None:
    assert not is_settled([errored(cause)], 0)
    assert not is_settled([errored(Cause.ENGINE_FAILURE), errored(cause)], 5)
    assert is_settled([errored(cause), errored(cause)], 5)


@pytest.mark.parametrize("outage", sorted(SAYS_NOTHING))
def test_an_outage_and_a_cancelled_attempt_use_up_no_retry(outage: Cause) -> None:
    attempts = [cancelled(), errored(outage), errored(Cause.INTERNAL)]
    assert not is_settled(attempts[:2], 0)
    assert not is_settled(attempts[:2], 9)
    assert is_settled(attempts, 0)


def test_a_cost_that_is_unknown_makes_the_sum_unknown() -> None:
    known = outcome_of(PLANNED, [scored(1.0)], 0)
    unpriced = TrialEnd("t", TrialState.ERRORED, Cause.INTERNAL.value, used=Used(1, usd=None))
    unknown = outcome_of(PLANNED, [unpriced, scored(1.0)], 2)
    assert known is not None
    assert unknown is not None
    assert known.used.usd == 0.5
    assert unknown.used.usd is None


def test_what_a_trial_cost_does_not_depend_on_how_often_the_study_was_stopped() -> None:
    straight = outcome_of(PLANNED, [scored(1.0)], 0)
    outage = TrialEnd("t", TrialState.ERRORED, Cause.PROVIDER_OUTAGE.value, used=Used(1, 7, usd=0.2), seconds=3.0)
    stopped = outcome_of(PLANNED, [cancelled(), outage, scored(1.0)], 0)
    assert straight is not None
    assert stopped is not None
    assert (stopped.used, stopped.seconds) == (straight.used, straight.seconds)
    assert stopped.attempts == 3
