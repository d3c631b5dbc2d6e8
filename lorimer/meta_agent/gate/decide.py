"""The gate: from trials to a decision, as pure functions. No I/O, no clock; the same trials give the same answer.

The comparison, in order:

1. Errored trials are left out, and a task whose trials all errored in an arm.
2. Too many errored trials in an arm: `undecided`. So is a promotion that would not survive counting as failures those of
   the candidate's errored trials that are more than the champion's let expect: leaving them out would pay a harness for
   erroring where it was about to fail.
3. The candidate's mean must be strictly higher. `strict` asks no more; `paired` also asks for p <= alpha of a one-sided
   permutation test stratified by task: were the edit without effect, the trials of one task could have fallen to either
   arm, so every split of the pooled rewards is equally likely. Its p-value is valid for any reward, any number of trials
   a task and arm, and whatever the tasks' difficulties. `eprocess` asks for evidence of 1/alpha, at the end of any round.
4. Futility. Deterministic: raising any of the candidate's rewards never raises p nor lowers its mean or its evidence, so
   once even "all trials left succeed" misses the bar, the answer is known. By chance (`futility.py`): an edit worth
   finding would hardly be promoted from here. Both can only reject, so they cannot add a false promotion.

The candidate's trials are read in planned order and the decision is that of the shortest prefix that settles it. What
finished beyond it, by luck of timing, does not change a word of the decision (DESIGN 4.5).
"""

from __future__ import annotations

from lorimer.meta_agent.gate.comparison import PASSED, Arms, Decision, Evidence, errored, too_many_errors
from lorimer.meta_agent.gate.statistics.policies import RULES, Policy
from lorimer.meta_agent.gate.stopping.ends import first_stop, met_with_errors_failed
from lorimer.meta_agent.gate.stopping.futility import Unlikely
from lorimer.wording import count


def decide(evidence: Evidence, policy: Policy, *, whole: bool = False) -> Decision:
    """Promote the candidate, reject it, or say that the trials cannot tell.

    A plan that is neither complete nor settled early is `undecided`. Never promotes before every planned task has been
    run, and under `paired` and `strict` never on less than the whole plan. `whole` asks for the decision on all trials,
    wherever a run with these champion trials might have ended: for champion trials that were not there from the start.
    """
    return decide_arms(Arms(evidence), policy, whole=whole)


def decide_arms(arms: Arms, policy: Policy, *, whole: bool = False) -> Decision:
    """`decide`, for who has the evidence by task."""
    evidence = arms.evidence
    planned = len(evidence.planned)
    if not planned or not evidence.champion:
        return Decision("undecided", "undecided: there are no trials to compare", arms.numbers())
    champion_errors = arms.champion_errored
    if champion_errors > policy.max_errored * len(evidence.champion):
        return too_many_errors("champion", champion_errors, len(evidence.champion), policy, arms)

    stop = None if whole else first_stop(arms, policy)
    if isinstance(stop, Unlikely):
        return _reject_unlikely(arms.prefix(stop.at), stop, policy)
    if stop is not None and not stop.reached:
        return _reject_early(arms.prefix(stop.at), policy)
    if stop is not None:
        arms = arms.prefix(stop.at)

    run = len(arms.evidence.candidate)
    candidate_errors = errored(arms.evidence.candidate)
    if candidate_errors > policy.max_errored * planned:
        return too_many_errors("candidate", candidate_errors, planned, policy, arms)
    if run < planned and stop is None:
        return Decision("undecided", f"undecided: only {run} of {planned} trials were run", arms.numbers())
    pairs = arms.pairs()
    if not pairs:
        return Decision("undecided", "undecided: no task was scored for both harnesses", arms.numbers())

    bar = RULES[policy.name](pairs, policy)
    numbers = arms.numbers() | bar.numbers()
    said = f"{arms.versus()}{bar.said}"
    if arms.left_out:
        said += f"; {count(arms.left_out, 'task')} left out as errored"
    if run < planned:
        said += f"; {run} of {planned} trials were run, the rest was not needed"
        numbers |= {"early": True}
    if not bar.met:
        return Decision("reject", f"rejected: {said}", numbers)
    if not met_with_errors_failed(arms, policy):
        said += (
            f"; but the candidate errored more often than {arms.whose}: with {arms.excess_errors} of its "
            f"{count(candidate_errors, 'errored trial')} counted as failed it would not have been promoted"
        )
        return Decision("undecided", f"undecided: {said}", numbers)
    return Decision("promote", f"{PASSED}{said}", numbers)


def stops_early(arms: Arms, policy: Policy) -> bool:
    """Whether the trials so far settle the answer, so that the rest of the plan need not be run.

    Once true it stays true for every longer prefix.
    """
    evidence = arms.evidence
    return len(evidence.candidate) < len(evidence.planned) and first_stop(arms, policy) is not None


def _reject_unlikely(arms: Arms, stop: Unlikely, policy: Policy) -> Decision:
    pairs = arms.pairs()
    so_far = RULES[policy.name](pairs, policy) if pairs else None
    said = f"{arms.versus(partial=True)} on the tasks run{so_far.said}; " if so_far else ""
    return Decision(
        "reject",
        f"rejected: {said}an edit worth {stop.gain:+.3f}, which the whole plan would find every other time, would be promoted "
        f"from here with {stop.words(policy.futility)}; {stop.at} of {len(arms.evidence.planned)} trials were run, the rest was "
        "not worth its cost",
        arms.numbers()
        | (so_far.numbers() if so_far else {})
        | {"chance": stop.chance, "gain": stop.gain, "early": True},
    )


def _reject_early(arms: Arms, policy: Policy) -> Decision:
    best = RULES[policy.name](arms.best_case(), policy)
    run, planned = len(arms.evidence.candidate), len(arms.evidence.planned)
    said = f"{arms.versus(partial=True)} on the tasks run; " if arms.pairs() else ""
    numbers = arms.numbers() | {f"best_{key}": value for key, value in best.numbers().items()}
    return Decision(
        "reject",
        f"rejected: {said}had every trial left succeeded{best.said}; "
        f"{run} of {planned} trials were run, the rest could not have changed this",
        numbers | {"early": True},
    )
