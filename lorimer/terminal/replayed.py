"""What people see of how many trials an unchanged harness replays: `doctor --replay`, and a section of `power`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lorimer.task_agent.shadow.outcome import Touched
from lorimer.task_agent.shadow.reasons import Reason
from lorimer.traces.wired import Gap
from lorimer.wording import count

if TYPE_CHECKING:
    from lorimer.meta_agent.replay.unchanged import PartedTrials, Replays, TrialReplay

WORDS: dict[Reason, str] = {
    "clock": "the clock",
    "names": "names",
    "order": "order",
    "network": "the network",
    "randomness": "randomness",
    "unknown": "unknown",
    "unscored": "not scored",
    "unrecorded": "no record",
    "continued": "going on from a record",
    "dropped": "a dropped record",
    "masked": "a masked secret",
    "large": "over the limit",
    "ended": "ended early",
    "lost": "a lost part",
}
ADVICE: dict[Reason, str] = {
    "clock": "the harness puts the time or the date into what it asks for: leave it out, or take it from time.time(), which a "
    "replay sets back; datetime.now() reads the real clock",
    "names": "the harness puts ids, addresses or temporary names into what it asks for: number things, or name them by what they "
    "hold",
    "order": "the harness asks for the same in another order: sort sets, listings of folders and what threads bring",
    "network": "the harness itself tries the network, which no jail has: let a command in the task's sandbox do it",
    "randomness": "the harness draws random numbers: take them from a generator with a seed, such as random.Random(0)",
    "unknown": "nothing that lorimer knows explains it: compare the two texts with --json",
    "unscored": "such trials say nothing: `lorimer traces ls --study {study} --state errored` says why they ended so",
    "unrecorded": "an older lorimer ran them, or no harness acted in them: trials that are run now are recorded",
    "continued": "a spot-check in pairs ran them on from the champion's records, and they keep none of their own: nothing is "
    "amiss, and its other trials are recorded",
    "dropped": '[store] keep lets records go with the steps, and they do not come back: keep = "all" keeps those of '
    "trials that are run from now on",
    "masked": "what held a secret is never kept: keep keys out of what the agent is shown, and out of the task's files",
    "large": "a file over 4 MiB and what is over 16 MiB in a trial are not kept: let commands read such files, not env.read",
    "ended": "a limit or a crash ended the harness: let it catch LimitReached and finish, or raise [limits]",
    "lost": "rows of the trace store are gone: `lorimer verify` says more",
}
"""What to do, a line for each; a command may name the study."""
EXAMPLE_CHARS = 160


@dataclass(frozen=True)
class ReplayRow:
    """One trial, for `--json`."""

    trial: str
    task: str
    repeat: int
    whole: bool
    says: str
    reasons: tuple[Reason, ...] = ()
    step: int | None = None
    """The first call that is not on record, from 1."""
    of: int | None = None
    diff: str = ""


@dataclass(frozen=True)
class ReasonRow:
    """Trials that part for the same reasons, for `--json`."""

    reasons: tuple[Reason, ...]
    trials: int
    example: str
    """The id of one of them."""
    says: str
    """What is said of it."""
    advice: tuple[str, ...]


@dataclass(frozen=True)
class ReplaySummary:
    """All but the single trials, for `--json`."""

    says: str
    study: str
    champion: str
    recorded: int
    """Trials that there are."""
    tried: int
    whole: int
    apart: tuple[ReasonRow, ...]


@dataclass(frozen=True)
class ReplayRows:
    """All of it, for `--json`."""

    summary: ReplaySummary
    trials: tuple[ReplayRow, ...]


def summary(found: Replays) -> ReplaySummary:
    """What is said in `power`."""
    apart = tuple(_reason(group, found.study) for group in found.apart)
    return ReplaySummary(said(found), found.study, found.champion, found.of, len(found.trials), found.whole, apart)


def rows(found: Replays) -> ReplayRows:
    """What `doctor --replay` finds, as plain values."""
    return ReplayRows(summary(found), tuple(_row(each) for each in found.trials))


def said(found: Replays) -> str:
    """`114 of 118 trials of the unchanged champion replay to their end`."""
    if not found.trials:
        return "there is no recorded trial of the champion on a train task yet"
    left = "" if found.of == len(found.trials) else f" (of {found.of:,} there are)"
    return f"{found.whole} of {count(len(found.trials), 'trial')}{left} of the unchanged champion replay to their end"


def lines(found: ReplaySummary) -> list[str]:
    """Why the others part, with an example and what to do, a line each."""
    told = []
    for group in found.apart:
        why = " and ".join(WORDS[reason] for reason in group.reasons)
        told.append(f"{group.trials} for {why}: {group.example} {group.says}")
        told += [f"  -> {advice}" for advice in group.advice]
    return told


def text(found: Replays) -> str:
    """All of it, for people."""
    shown = summary(found)
    first = f"{shown.says}: {found.study}, harness {found.champion[:12]}" if found.trials else shown.says
    return "\n".join([first, *(f"  {line}" for line in lines(shown))])


def _reason(group: PartedTrials, study: str) -> ReasonRow:
    example = group.trials[0]
    advice = tuple(ADVICE[reason].format(study=study) for reason in group.reasons)
    return ReasonRow(group.reasons, len(group.trials), example.trial, _says(example), advice)


def _row(each: TrialReplay) -> ReplayRow:
    outcome, says = each.outcome, _says(each)
    if isinstance(outcome, Touched):
        place = outcome.step, outcome.of, outcome.diff
        return ReplayRow(each.trial, each.task, each.repeat, False, says, each.reasons, *place)
    return ReplayRow(each.trial, each.task, each.repeat, not each.reasons, says, each.reasons)


def _says(each: TrialReplay) -> str:
    """A clause: `parts at step 2 of 9, llm.complete: the request now says "Today is …"`."""
    outcome = each.outcome
    if isinstance(outcome, Gap):
        found = f"has no whole record: {outcome.why}"
    elif isinstance(outcome, Touched):
        found = f"parts at step {outcome.step} of {outcome.of}, {outcome.method}: {outcome.says}"
    else:
        found = str(outcome)
    found = " ".join(found.split())
    return found if len(found) <= EXAMPLE_CHARS else f"{found[: EXAMPLE_CHARS - 1]}…"
