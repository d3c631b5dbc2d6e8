"""What stored spot-checks and confirmations come to under another revision of the gate's ends. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lorimer.meta_agent.gate.comparison import Decision, Evidence
from lorimer.meta_agent.gate.confirmation import ROUNDS, confirmed
from lorimer.meta_agent.gate.statistics.policies import Policy, Value
from lorimer.meta_agent.gate.statistics.revisions import Ends
from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.gate.verdicts import too_broken


def spot_again(kind: str, numbers: Mapping[str, Value], ends: Ends) -> str | None:
    """`reject` or `pass`, by what a spot-check's decision says it found; `None` for one in pairs, whose plan had other looks."""
    if "broken" not in numbers:
        return None if "pairs" in numbers else kind
    return "reject" if too_broken(numbers, ends) else "pass"


def confirmed_again(
    mine: Sequence[Result], theirs: Sequence[Result], tasks: int, planned: Sequence[str], policy: Policy
) -> Decision | None:
    """The decision of the first round at which the confirmation would have ended; `None` where it would have gone on.

    Args:
        mine: the candidate's trials, round after round of so many `tasks`; `theirs`: the champion's.
        planned: the task of each trial that is planned of an arm.
    """
    for end in range(tasks, min(len(mine), len(theirs), tasks * ROUNDS) + 1, tasks):
        decision = confirmed(Evidence(mine[:end], theirs[:end], planned), policy)
        if decision is not None:
            return decision
    return None
