"""How many of a candidate's trials its edit fired in, and what they cost beside the champion's. It is told and decides nothing:
which lines ran is said by the harness's own process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import lru_cache

from lorimer.harness.version import Hunk
from lorimer.harness.watched import Watched, watched
from lorimer.meta_agent.state.changes import FullRuns
from lorimer.traces.base import StudyReader
from lorimer.traces.lines import FirstRan
from lorimer.traces.reading.bulk import TrialLines
from lorimer.traces.schema import LinesRan
from lorimer.traces.tables import Candidate, Trial


@dataclass(frozen=True)
class HunkFired:
    """One hunk in the scored trials of a full run that the gate read."""

    fired: int
    """Trials in which a statement ran that it changed."""
    told: int
    """Trials of which that is known."""
    unknown: str = ""
    """Why it is known of none; empty where it is of some."""
    tasks: Mapping[str, tuple[int, int]] = field(default_factory=dict, compare=False)
    """How many trials of each task it fired in, and of how many that is known."""

    def __str__(self) -> str:
        """`in 3 of 12 trials`."""
        if not self.told:
            return f"cannot be told ({self.unknown or 'its trials were ended before they had said all'})"
        return f"in {self.fired or 'none'} of {self.told} trials"


@dataclass(frozen=True)
class Fired:
    """The edit of a candidate in its full run."""

    hunks: tuple[HunkFired, ...]
    """Empty where no trial told of lines, as those of an older lorimer."""
    tasks: Mapping[str, tuple[int, int]]
    """How many trials of each task some hunk fired in, and of how many that is known."""
    tokens: float | None = None
    """Input plus output of one trial, on average over tasks that both have run; `None` without trials."""
    champion_tokens: float | None = None
    """The same of the champion's trials on these tasks."""

    @property
    def never(self) -> tuple[int, ...]:
        """The numbers of the hunks that fired in no trial, from 1."""
        return tuple(n for n, each in enumerate(self.hunks, 1) if each.told and not each.unknown and not each.fired)

    def lines(self) -> list[tuple[str, str]]:
        """A word and a sentence each."""
        found = [("fired", str(self.hunks[0]) if len(self.hunks) == 1 else each_hunk(self.hunks))] if self.hunks else []
        if self.never:
            which = "what it changes" if len(self.hunks) == 1 else f"what hunk {_listed(self.never)} changes"
            found[-1] = "fired", f"{found[-1][1]}: {which} never ran"
        if self.tokens is not None and self.champion_tokens is not None:
            found.append(("cost", f"{self.tokens:,.0f} tokens per trial, the champion's {self.champion_tokens:,.0f}"))
        return found

    def beside(self, task: str) -> str:
        """A task that came out otherwise, with whether the edit fired in its trials."""
        fired, told = self.tasks.get(task, (0, 0))
        return f"{task} (fired in {fired} of {told})" if told else task


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


def each_hunk(hunks: Sequence[HunkFired] | Sequence[FiredInTrial]) -> str:
    """`hunk 1 in 3 of 12 trials; hunk 2 …`, or `hunk 1 fired; hunk 2 …`."""
    return "; ".join(f"hunk {number} {each}" for number, each in enumerate(hunks, 1))


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


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers[:-1]) + (" and " if len(numbers) > 1 else "") + str(numbers[-1])
