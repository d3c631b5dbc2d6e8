"""What came of an experiment, in one line: what happened, in numbers, and what it means. Pure.

The same line serves people and the meta-agent, so nothing in it was measured on sealed tasks, and nothing was said by a clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lorimer.kinds import Stage
from lorimer.meta_agent.gate.cost import amounts, held_back
from lorimer.meta_agent.gate.statistics.policies import bar_words
from lorimer.traces.tables import DecisionRow
from lorimer.wording import count, scores_apart

Numbers = Mapping[str, Any]
"""A decision's."""


def came_of(state: str, failure: str, decided: Sequence[DecisionRow]) -> str:
    """What came of a candidate.

    Args:
        state: the candidate's.
        failure: why there was no usable edit, where there was none; of one that is rebased, as what it goes on.
        decided: the gate's decisions about it, in the order of the stages.
    """
    last = decided[-1] if decided else None
    match state:
        case "proposing":
            return "a proposal is under way"
        case "failed":
            return f"no usable edit: {failure or 'no reason was recorded'}"
        case "rejected" if last is not None:
            return _rejected(last)
        case "undecided" if last is not None:
            return _undecided(last)
        case "rebased" if last is not None:
            return f"{_scored(last)}, so {_gained(last.numbers)}, but {failure}"
        case "better" if last is not None:
            return f"{_scored(last)}, so {_gained(last.numbers)}; a comparison promotes nothing"
        case "promoted":
            return _promoted({row.stage: row for row in decided})
        case _:
            return "it is not decided yet"


def _rejected(decision: DecisionRow) -> str:
    numbers = decision.numbers
    match decision.stage:
        case _ if held_back(decision.kind, numbers):
            return f"{_too_dear(decision)}, so the champion stays; the same gain at less cost could be promoted"
        case Stage.SPOT if "pairs" in numbers:
            return f"{_pairs(numbers)}, so a gain is hardly to be found, and no full run was made"
        case Stage.SPOT:
            return f"{_broke(numbers)}, so it does harm, and no full run was made"
        case Stage.CANARY:
            passed = f"{numbers['passed']} of {numbers['canaries']} tasks that cannot be solved"
            return f"it passed {passed}, so it gets rewards without the work"
        case Stage.AUDIT:
            fresh = " against ".join(_both(numbers))
            beside = f"in fresh trials side by side with the champion's ({fresh})"
            return f"it was better in its full run, but not {beside}, so the champion stays"
        case Stage.HOLDOUT:
            vetoed = "it beat the champion on train tasks, but the sealed holdout vetoed it"
            return f"{vetoed}, so its gain does not hold on unseen tasks"
        case Stage.REVIEW:
            return f"it passed every stage, and a person refused it: {numbers['why']}"
        case _:
            return f"{_not_better(decision)}, so the champion stays"


def _broke(numbers: Numbers) -> str:
    said = f"in the spot-check it broke {numbers['broken']} of {numbers['guard_trials']} tasks that the champion solves"
    if numbers["fixed"] or not numbers["fix_trials"]:
        return said
    return f"{said} and did better in none of {numbers['fix_trials']} trials on tasks that it should fix"


def _pairs(numbers: Numbers) -> str:
    won = f"won {numbers['won']:g} of {numbers['failed']} failed trials"
    lost = f"lost {numbers['lost']:g} of {numbers['solved']} solved ones"
    return f"in the spot-check, run again from where it first makes a difference, it {won} and {lost}"


def _too_dear(decision: DecisionRow) -> str:
    """A full run or a confirmation that was passed, by a harness that costs too much."""
    numbers = decision.numbers
    counted = (numbers["cost"], numbers["champion_cost"], numbers["cost_allowed"])
    spent, was, most = amounts(numbers["cost_unit"], *counted)
    dear = f"a trial costs {spent} against the champion's {was}, over the {most} that its gain allows"
    return f"{_scored(decision)}, so {_gained(numbers)}, but {dear}"


def _not_better(decision: DecisionRow) -> str:
    """A full run that did not lead to promotion."""
    numbers = decision.numbers
    if "cost" in numbers:  # of a study of a time when the bound knew no gain
        cost = f"a trial costs {numbers['cost']:.4g} {numbers['cost_unit']} against {numbers['champion_cost']:.4g}"
        return f"{_scored(decision)}, but {cost}, over gate.max_cost_increase"
    if not numbers.get("early"):
        return f"{_scored(decision)}, which does not show that it is better"
    so_far = f"after {numbers['run']} of {numbers['planned']} trials"
    so_far += (
        "" if numbers.get("candidate_mean") is None else f" {_means(decision)} on the same tasks{_bar(numbers)}, and"
    )
    if numbers.get("chance") is not None:
        chance = f"{numbers['chance']:.0%}" if numbers["chance"] >= 0.01 else "less than 1%"
        return f"{so_far} an edit worth finding would be promoted from there with a chance of {chance}"
    return f"{so_far} no outcome of the rest could have shown it to be better"


def _undecided(decision: DecisionRow) -> str:
    if decision.stage == Stage.HOLDOUT:
        return "the sealed holdout could not tell whether its gain holds on unseen tasks, so the champion stays"
    return f"{decision.reason.removeprefix('undecided: ')}, so nothing is known of the edit"


def _promoted(decided: Mapping[str, DecisionRow]) -> str:
    full, audit = decided[Stage.FULL], decided.get(Stage.AUDIT)
    fresh = None if audit is None else audit.numbers.get("score")
    became = "became the champion" + ("" if fresh is None else f" (score {fresh:.3f} in fresh trials)")
    return f"{_scored(full)}, so {_gained(full.numbers)} and {became}"


def _gained(full: Numbers) -> str:
    """What a full run that was passed found."""
    if not full.get("route"):
        return "it is better"
    return "it is no worse, and simpler" if full["route"] == "simpler" else "it is no worse, and costs less"


def against(full: DecisionRow) -> str:
    """The score that a candidate's is set against in this decision, and whose it is.

    A store of an older lorimer does not tell how many of a pooled run's trials were the champion's own.
    """
    numbers = full.numbers
    theirs, own = _both(numbers)[1], numbers.get("champion_own")
    if own is None:
        pooled = full.stage == Stage.FULL and full.policy.get("name") == "pooled"
        return f"{theirs} of the champion's arm" if pooled else f"the champion's {theirs}"
    others = numbers["champion_trials"] - own
    if not others:
        return f"the champion's {theirs}"
    return f"{theirs} in {count(own, 'trial')} of the champion and {others} of rejected candidates"


def scored(full: DecisionRow) -> str:
    """The candidate's score in this decision, as it is told beside the other (`against`)."""
    return _both(full.numbers)[0]


def _both(numbers: Numbers) -> list[str]:
    return scores_apart([numbers["candidate_mean"], numbers["champion_mean"]])


def _scored(decision: DecisionRow) -> str:
    """Both scores. Those of a run that ended early are of the tasks that it came to, and can be far from the standing scores."""
    numbers = decision.numbers
    tasks = numbers.get("tasks") if numbers.get("early") else None
    where = f" on the {tasks} tasks that were run" if tasks else ""
    return f"{_means(decision)}{where}{_bar(numbers)}"


def _means(decision: DecisionRow) -> str:
    return f"it scored {scored(decision)} against {against(decision)}"


def _bar(numbers: Numbers) -> str:
    bar = bar_words(numbers)
    return f" ({bar})" if bar else ""
