"""Whether a provider takes what a harness sends at all, and which attempts of an earlier process count for nothing. Pure.

A call that the provider refuses is an answer to the harness, and its trial is scored. Where every call of every trial is refused,
though the provider answers a plain question of lorimer's own (`task_agent.serving.refusals`), the score says nothing of the
harness: no candidate is to be paid for on it. Nor does a harness that breaks in every trial: it was brought here wrongly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from lorimer.models.failing.failures import what_helps
from lorimer.task_agent.causes import Cause
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.traces.schema import TrialEnd, TrialState
from lorimer.wording import count, quoted

REFUSED_TASKS = 20
"""After so many tasks of which every call was refused, and none of which any was answered, no further one is tried. A few may be
poisoned; of more the next one tells nothing new."""

BREAKS = frozenset({Cause.HARNESS_EXCEPTION, Cause.BAD_RETURN})
"""How a trial ends whose harness broke by itself. What a limit or memory ended did work."""

ASKED = frozenset({Cause.LIMIT_CALLS, Cause.LIMIT_TOKENS, Cause.LIMIT_DOLLARS})
"""How a trial ends that would have asked more."""


def refuses_all(found: Sequence[TrialOutcome], of: int | None = None) -> bool:
    """Whether every call was refused, in all trials that made one.

    Args:
        found: the first trials of a plan. Those that errored say nothing.
        of: how many trials the plan has. All of them are enough, and of a long plan those of `REFUSED_TASKS` tasks.
    """
    tasks = set()
    for outcome in found:
        if outcome.reward is not None and outcome.used.calls:
            if not outcome.used.for_nothing:
                return False
            tasks.add(outcome.planned.task)
    return bool(tasks) and (len(found) == of or len(tasks) >= REFUSED_TASKS)


def breaks_in_all(found: Sequence[TrialOutcome], of: int | None = None) -> bool:
    """Whether the harness itself broke in all trials that were scored, and none of them has a reward.

    Args:
        found: the first trials of a plan. Those that errored say nothing.
        of: how many the plan has, as in `refuses_all`.
    """
    scored = [outcome for outcome in found if outcome.reward is not None]
    # What a refused call leads to is the provider's doing, too.
    if any(outcome.reward or outcome.cause not in BREAKS or outcome.used.refused for outcome in scored):
        return False
    tasks = {outcome.planned.task for outcome in scored}
    return bool(tasks) and (len(found) == of or len(tasks) >= REFUSED_TASKS)


def asks_nothing(found: Sequence[TrialOutcome]) -> bool:
    """Whether no scored trial asked the model anything. One that its number of calls ended did."""
    scored = [outcome for outcome in found if outcome.reward is not None]
    return bool(scored) and not any(outcome.used.calls or outcome.cause in ASKED for outcome in scored)


def told_of_silence(whose: str, trials: int) -> str:
    """What to say of that, in one line."""
    return (
        f"{whose} asked the model nothing in {count(trials, 'trial')}: it ended before it called llm.complete, or what it starts "
        "asks a model by itself, and such calls are neither recorded nor limited nor counted as spent"
    )


def tells_nothing(found: Sequence[TrialOutcome]) -> bool:
    """Whether no further trial is to be paid for: the next one would say as little of the harness."""
    return refuses_all(found) or breaks_in_all(found)


def told(model: str, whose: str, trials: int, refusal: tuple[str, str] | None) -> str:
    """Why a study stops, in one line.

    Args:
        whose: the harness, as in "the seed harness".
        refusal: one of the trials, and the provider's words.
    """
    trial, words = refusal or ("", "")
    helps = what_helps(" ".join(words.split()), model.partition("/")[0])
    return (
        f"{model} refused every call of {whose} in {count(trials, 'trial')}, and answers a plain question: it does not take what "
        f"the harness sends: {quoted(words)}; {helps}; `lorimer traces show {trial}` shows what was sent; once that is mended, "
        "these trials are tried anew"
    )


def is_errored(end: TrialEnd) -> bool:
    return end.state is TrialState.ERRORED


def is_for_nothing(end: TrialEnd) -> bool:
    """Whether an attempt was scored, and every call of it refused."""
    return end.state is TrialState.SCORED and end.used.for_nothing


def taken_back(end: TrialEnd, again: Callable[[TrialEnd], bool]) -> TrialEnd:
    """The attempt, or where `again` says so one that counts for nothing, so that its trial is tried anew."""
    return replace(end, state=TrialState.CANCELLED) if again(end) else end
