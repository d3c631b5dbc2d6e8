"""The questions about many trials at once that a reader of studies answers (`traces.base.StudyReader`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lorimer.kinds import Refused
from lorimer.traces.reading.bulk import Attempt, Ran, ScoredTrial, TrialCost, TrialCounts, TrialLines, Tried
from lorimer.traces.reading.marks import TaskTotals
from lorimer.traces.schema import Share, TrialEnd


class TrialsReader(Protocol):
    """Looks at the trials of whole evaluations and studies: at columns of them, never at whole rows."""

    def ends(self, evaluation: str) -> list[tuple[str, TrialEnd]]:
        """How every attempt of an evaluation that has ended did end, by the planned trial's id, attempts in order."""
        ...

    def scored(self, evaluations: Sequence[str]) -> list[tuple[str, str, int, float]]:
        """Evaluation, task, repeat and reward of their scored trials, in that order; of one tried anew the last one counts."""
        ...

    def took(self, evaluations: Sequence[str]) -> dict[str, Share]:
        """What every attempt at the trials of these evaluations has used, one that was taken back included."""
        ...

    def scored_trials(self, evaluations: Sequence[str]) -> list[ScoredTrial]:
        """What `scored` gives, in the same order, with what each trial's calls took: a row that is looked up."""
        ...

    def trial_costs(self, evaluations: Sequence[str]) -> list[TrialCost]:
        """What every attempt of these evaluations that has ended took, by evaluation, task, repeat and attempt."""
        ...

    def trials_of_harness(self, study: str, sha: str) -> list[Attempt]:
        """The scored trials of a study's evaluations of this harness in a few words, in no order."""
        ...

    def lines_ran(self, evaluations: Sequence[str]) -> list[TrialLines]:
        """Their scored trials with which lines of their harness ran, as `scored_trials` orders them."""
        ...

    def refused(self, evaluations: Sequence[str]) -> dict[str, Refused]:
        """How many calls of the scored trials of these evaluations were refused; those without any are left out."""
        ...

    def conditions(self, evaluations: Sequence[str]) -> dict[str, list[Ran]]:
        """What the scored trials of each of these evaluations ran under; trials of which nothing was kept are left out."""
        ...

    def study_conditions(self, study: str) -> list[Ran]:
        """The same of all trials of a study together."""
        ...

    def conditions_differ(self) -> bool:
        """Whether any two trials of the store can have run under different conditions. Asked first, it spares `conditions`."""
        ...

    def refusal(self, evaluations: Sequence[str]) -> tuple[str, str] | None:
        """A scored trial of these evaluations whose provider refused a call, by its id, and what it said to the first."""
        ...

    def unscored(self, evaluations: Sequence[str]) -> list[Tried]:
        """Every attempt of these evaluations that has ended without a reward, by evaluation, task, repeat and attempt."""
        ...

    def trial_seconds(self, study: str) -> float:
        """How long all trials of a study have taken, as if one had run after another."""
        ...

    def trial_counts(self, study: str) -> list[TrialCounts]:
        """How many scored trials a study has of each stage, with a network, and passed."""
        ...

    def task_totals(self, evaluations: Sequence[str]) -> list[TaskTotals]:
        """What the scored trials of these evaluations took and gave, by task."""
        ...

    def ran_whole(self, evaluation: str) -> set[tuple[str, int]]:
        """Task and repeat of its trials that ran whole and live although there was a trial whose record should have answered."""
        ...

    def replayed(self, evaluations: Sequence[str]) -> set[tuple[str, str]]:
        """Evaluation and task of those trials of these evaluations that went on from a record."""
        ...

    def flagged(self, study: str) -> list[tuple[str, str, list[str]]]:
        """Id, stage and flags of each scored trial of a study that has flags, in order of id."""
        ...
