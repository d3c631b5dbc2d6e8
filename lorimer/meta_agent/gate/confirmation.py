"""Whether a candidate that passed its test is better in fresh trials, run side by side with the champion's. Pure.

A champion's standing trials age: providers change, hours are bad, and a long-standing champion is one whose audit was lucky. So
what passed its test meets the champion once more, the same tasks in the same hours, and only these trials are compared: its mean
must be strictly higher. They are run in rounds of one trial per task and arm, until the answer is plain. They also say what the
candidate costs (`gate.cost`): they are of every task, and a full run that ended early knows the hard ones alone.
"""

from __future__ import annotations

import math

from lorimer.meta_agent.gate.comparison import Arms, Decision, Evidence, errored, too_many_errors, versus
from lorimer.meta_agent.gate.statistics.permutation import TIE
from lorimer.meta_agent.gate.statistics.policies import Policy, Value, means
from lorimer.meta_agent.gate.statistics.scores import smoothed_variance
from lorimer.meta_agent.gate.verdicts import too_errored
from lorimer.wording import scores_apart

ROUNDS = 4
"""The most trials per task and arm. A fifth round finds no more of 100 candidates and takes a twentieth more trials."""
FINAL_REPEATS = 2
"""Trials per task of the last champion at a study's end: its score is theirs, as those of its confirmation have decided."""
FEWEST = 2
"""Rounds before a candidate is ahead for good: what is confirmed is the next champion, whose trials these are."""


def confirmed(evidence: Evidence, policy: Policy) -> Decision | None:
    """The decision after so many trials of both arms: `pass`, `reject` or `undecided`; `None` where another round is needed.

    Args:
        evidence: the candidate's and the champion's trials of this confirmation, and all that are planned of an arm.
    """
    arms = Arms(evidence)
    pairs = arms.pairs()
    last = len(evidence.candidate) >= len(evidence.planned)
    if last:
        for arm, found in (("candidate", evidence.candidate), ("champion", evidence.champion)):
            if too_errored(found, policy):
                return too_many_errors(arm, errored(found), len(found), policy, arms, " side by side")
    if not pairs:
        said = "undecided: no task was scored for both harnesses side by side"
        return Decision("undecided", said, arms.numbers()) if last else None
    candidate, champion = means(pairs)
    difference = candidate - champion
    error = math.sqrt(
        math.fsum(
            smoothed_variance(math.fsum(pair.pool), math.fsum(reward * reward for reward in pair.pool), len(pair.pool))
            * (1 / len(pair.candidate) + 1 / len(pair.champion))
            for pair in pairs
        )
    ) / len(pairs)
    z, ends = difference / error, policy.ends
    tasks = len(set(evidence.planned))
    if not last and z >= ends.behind and (z <= ends.ahead or len(evidence.candidate) < FEWEST * tasks):
        return None
    numbers: dict[str, Value] = dict(arms.numbers()) | {"difference": difference, "error": error}
    between = f"{'-' if difference < 0 else '+'}{scores_apart([abs(difference), 0.0])[0]}"
    said = f"{versus(pairs)} side by side, a difference of {between} (± {error:.3f})"
    if difference <= TIE:
        return Decision("reject", f"not confirmed: {said}", numbers)
    return Decision("pass", f"confirmed: {said}", numbers)
