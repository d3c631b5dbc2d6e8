"""What an edited harness does to many recorded trials, with every difference to look at. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from lorimer.task_agent.shadow.outcome import NotPreviewable, Outcome, Touched
from lorimer.traces.previews import CandidatePreview, Touch, Touches, TrialPreview


@dataclass(frozen=True)
class Previewed:
    """One recorded trial of the champion under an edited harness."""

    trial: str
    task: str
    repeat: int
    solved: bool
    outcome: Outcome
    """Where the trial cannot be replayed, `NotPreviewable` says why."""
    case: str = ""
    """The name under which the meta-agent knows the trial; empty where none was asked for."""

    @property
    def kept(self) -> TrialPreview:
        """What is kept of it: not the difference itself."""
        of, outcome = (self.trial, self.task, self.repeat, self.solved), self.outcome
        if isinstance(outcome, NotPreviewable):
            return TrialPreview(*of, why=outcome.why)
        if not isinstance(outcome, Touched):
            return TrialPreview(*of)
        touch = Touch(outcome.step, outcome.of, outcome.method, outcome.kinds, outcome.model_calls, outcome.tokens)
        return TrialPreview(*of, touch)


@dataclass(frozen=True)
class Preview:
    """All of them."""

    champion: str
    """The SHA-256 of the harness whose trials they are."""
    trials: tuple[Previewed, ...]
    why: str = ""
    """Why there is no preview, in a clause; empty where there is one."""
    idle: tuple[str, ...] = ()
    """Parts of the edit that make no difference by themselves, in a sentence each without its full stop."""

    @cached_property
    def kept(self) -> CandidatePreview:
        """What is stored with a candidate."""
        return CandidatePreview(self.champion, tuple(each.kept for each in self.trials), self.why, self.idle)

    @cached_property
    def touches(self) -> Touches:
        """How many trials of which kind the edit touches."""
        return self.kept.touches

    def __str__(self) -> str:
        """`touches 9 of 40 failed and 2 of 60 solved trials`."""
        return str(self.touches)
