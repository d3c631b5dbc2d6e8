"""How many of a candidate's trials its edit fired in, and what they cost beside the champion's. It is told and decides nothing:
which lines ran is said by the harness's own process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache

from lorimer.harness.version import Hunk
from lorimer.harness.watched import Watched, watched
from lorimer.meta_agent.state.changes import FullRuns
from lorimer.traces.base import StudyReader
from lorimer.traces.effects import Fired, HunkFired
from lorimer.traces.lines import FirstRan
from lorimer.traces.reading.bulk import TrialLines
from lorimer.traces.schema import LinesRan
from lorimer.traces.tables import Candidate, Trial


def fired_in(reader: StudyReader, candidates: Sequence[Candidate], runs: FullRuns) -> dict[int, Fired]:
    """The edits of those of these candidates whose full run is decided, by number. All of their trials are read at once.

    Args:
        runs: as `full_runs` gives them of these candidates.
    """
    if not runs.own:
        return {}
    trials: dict[str, dict[tuple[str, int], TrialLines]] = {name: {} for name in runs.read}
    for trial in reader.lines_ran(list(runs.read)):  # of one that was tried anew the last is the one that counts
        if (trial.task, trial.repeat) in runs.read[trial.evaluation]:
            trials[trial.evaluation][trial.task, trial.repeat] = trial
    edits = [each for each in candidates if each.number in runs.own]
    texts = reader.harness_texts({sha for each in edits for sha in (each.parent, each.harness) if sha})
    # Many candidates meet the same trials of a champion.
    standing = {
        names: _tokens(trial for name in names for trial in trials[name].values()) for names in set(runs.met.values())
    }
    found = {}
    for each in edits:
        own = list(trials[runs.own[each.number]].values())
        looked: tuple[Watched, ...] = ()
        if any(trial.ran for trial in own):
            hunks = tuple(Hunk(**hunk) for hunk in each.edit)
            looked = _watched(texts.get(each.parent, ""), hunks, texts.get(each.harness or "", ""))
        said = [_said(hunk, own) for hunk in looked]
        mine, theirs = _tokens(own), standing[runs.met[each.number]]
        both = mine.keys() & theirs.keys()
        found[each.number] = Fired(
            tuple(_hunk(*one, own) for one in zip(looked, said, strict=True)),
            _tasks(said, own),
            _mean_of_tasks(mine, both),
            _mean_of_tasks(theirs, both),
        )
    return found


@lru_cache(maxsize=256)
def _watched(parent: str, hunks: tuple[Hunk, ...], text: str) -> tuple[Watched, ...]:
    return watched(parent, hunks, text)


def fires(hunk: Watched, ran: LinesRan | None) -> bool | None:
    """Whether a hunk fired in a trial; `None` where that cannot be told."""
    if hunk.unknown or ran is None:
        return None
    return True if ran.any_of(hunk.lines) else False if ran.whole else None


@dataclass(frozen=True)
class FiredInTrial:
    """One hunk in one trial."""

    fired: bool | None
    """`None` where that cannot be told."""
    step: int | None = None
    """The index of the step that it led to first; `None` where it did not fire, or nobody kept that."""

    def __str__(self) -> str:
        """`fired, first before step 12`."""
        if not self.fired:
            return "cannot be told" if self.fired is None else "did not fire"
        return "fired" if self.step is None else f"fired, first before step {self.step}"


def fired_in_trial(reader: StudyReader, trial: Trial) -> tuple[Candidate, tuple[FiredInTrial, ...]] | None:
    """The candidate whose harness ran in a trial, with each of its hunks; `None` where it was no candidate's, or nothing was told
    of lines."""
    lines = reader.trial_lines(trial.id)
    if lines is None:
        return None
    evaluation = reader.evaluation(trial.evaluation)
    candidate = reader.candidate(evaluation.subject) if evaluation is not None else None
    if candidate is None or candidate.harness != trial.harness:
        return None
    texts = reader.harness_texts([candidate.parent, trial.harness])
    hunks = tuple(Hunk(**hunk) for hunk in candidate.edit)
    looked = _watched(texts.get(candidate.parent, ""), hunks, texts.get(trial.harness, ""))
    return candidate, tuple(FiredInTrial(fires(hunk, lines.ran), _led_to(hunk, lines.first)) for hunk in looked)


def _led_to(hunk: Watched, first: Sequence[FirstRan]) -> int | None:
    """The step before which one of the lines ran by which a hunk fires, and none had before."""
    return min(
        (each.step for each in first if any(each.first <= line <= each.last for line in hunk.lines)), default=None
    )


FiredIn = Sequence[bool | None]
"""Whether a hunk fired in each of some trials, in their order (`fires`)."""


def _said(hunk: Watched, trials: Sequence[TrialLines]) -> FiredIn:
    known: dict[LinesRan | None, bool | None] = {}  # the trials of one harness run much the same lines
    for trial in trials:
        if trial.ran not in known:
            known[trial.ran] = fires(hunk, trial.ran)
    return [known[trial.ran] for trial in trials]


def _hunk(hunk: Watched, said: FiredIn, trials: Sequence[TrialLines]) -> HunkFired:
    known = [each for each in said if each is not None]
    return HunkFired(sum(known), len(known), hunk.unknown, _tasks([said], trials))


def _tasks(hunks: Sequence[FiredIn], trials: Sequence[TrialLines]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for trial, said in zip(trials, zip(*hunks, strict=True), strict=False):  # without hunks there is nothing to tell
        # That none fired is known where it is known of each.
        if any(said) or None not in said:
            fired, told = found.get(trial.task, (0, 0))
            found[trial.task] = fired + any(said), told + 1
    return found


def _tokens(trials: Iterable[TrialLines]) -> dict[str, float]:
    """The mean of each task's trials, tasks in order of their first one."""
    by_task: dict[str, list[int]] = {}
    for trial in trials:
        by_task.setdefault(trial.task, []).append(trial.tokens)
    return {task: sum(each) / len(each) for task, each in by_task.items()}


def _mean_of_tasks(means: Mapping[str, float], tasks: Set[str]) -> float | None:
    """The mean over those of these tasks that there are."""
    known = [mean for task, mean in means.items() if task in tasks]
    return sum(known) / len(known) if known else None
