"""What a study tells whoever watches it. The loop prints nothing; `Progress` may draw, log or ignore."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from lorimer.meta_agent.gate.comparison import Decision
from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.task_agent.budget import Allowance
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.task_agent.scheduling.images import ImageReport
from lorimer.traces.schema import NOT_SAVED, Saved, Stage

EndCause = Literal[
    "done",
    "budget",
    "review",
    "stopped",
    "provider",
    "refusal",
    "verifier",
    "engine",
    "benchmark",
    "trials",
    "harness",
    "error",
]
"""Why the loop is done for now, in a word: nothing is left to do, as all candidates were tried or none can be promoted; another
bound of the budget is reached; a person is to answer; Ctrl-C or a signal; an outage of the provider; a provider that refuses
all; an outage of verifiers or of the engine; files of the benchmark that changed; trials that say nothing, as too many errored
or were refused; a harness that breaks in all of them; another error."""


@dataclass(frozen=True)
class StageStarted:
    """Trials are about to run."""

    evaluation: str
    subject: str
    """The candidate whose harness runs, by id; empty for the seed harness."""
    number: int | None
    """That candidate's number."""
    stage: Stage
    planned: int
    finished: int
    """How many of the planned trials were settled before a resume."""


@dataclass(frozen=True)
class TrialFinished:
    """One planned trial is settled. Sent by whoever owns the scheduler, as trials finish in any order."""

    outcome: TrialOutcome


@dataclass(frozen=True)
class ImageReady:
    """An image of trials to come is ready, or cannot be had."""

    report: ImageReport


@dataclass(frozen=True)
class StageFinished:
    """The trials of a stage are done; for `full` perhaps early."""

    evaluation: str
    subject: str
    stage: Stage
    score: Score | None
    """`None` of a candidate on the holdout, which is sealed."""


@dataclass(frozen=True)
class Proposing:
    """The meta-agent is at work."""

    candidate: str
    number: int
    of: int | None
    """The budget of candidates, if there is one."""
    round: int | None = None
    """The number of the first candidate of its round, all of which are proposed at once; `None` where it is one alone."""


@dataclass(frozen=True)
class Proposed:
    """There is a usable edit."""

    candidate: str
    title: str
    hypothesis: str
    fixes: tuple[str, ...]
    at_risk: tuple[str, ...]
    touches: str
    """How many recorded trials the edit touches, in a clause without its subject; empty where that is not asked."""
    origin: str = "meta"
    """Who made it: `meta`, `human` or `pruning`."""


@dataclass(frozen=True)
class ProposalFailed:
    """The meta-agent made no usable edit."""

    candidate: str
    reason: str


@dataclass(frozen=True)
class ProgramChanged:
    """The user's direction is another one than before, or cannot be read."""

    candidate: str
    """The first one that is proposed with it."""
    said: str


@dataclass(frozen=True)
class Decided:
    """The gate has spoken about a harness at a stage."""

    candidate: str
    """Its candidate, by id; empty for the seed harness."""
    stage: Stage
    decision: Decision
    conditions: str = ""
    """What differed between the conditions under which the two arms ran; "" where nothing did."""


@dataclass(frozen=True)
class Promoted:
    """A candidate is the new champion."""

    candidate: str
    title: str
    commit: str
    score: Score
    """The score of its audit."""
    note: str
    """What the user should know of the commit, if anything."""


@dataclass(frozen=True)
class BranchDiffers:
    """The branch does not hold the champion. Sent before a proposal, once each time that this changes."""

    said: str
    """What it holds, and what follows from it."""


@dataclass(frozen=True)
class LittleToWin:
    """No result of the next candidate would be promoted over this champion. Sent before a proposal, once for each champion."""

    said: str
    """Why, and what to change."""


@dataclass(frozen=True)
class BudgetUsed:
    """What the study has used so far, earlier processes included. Sent when it begins and whenever it has grown."""

    usd: float | None
    """`None` where the cost of any call is unknown."""
    known_usd: float
    """Dollars of the other calls, and what was set aside for those of unknown price, where that is known."""
    unknown: int
    """Calls of unknown cost."""
    tokens: int
    left: tuple[Allowance, ...]
    """Every bound that is set."""
    saved: Saved = NOT_SAVED
    """What records answered, which was not spent."""


@dataclass(frozen=True)
class BudgetWarning:
    """A bound of the budget is used by `percent`. Sent once a study."""

    bound: Allowance
    percent: int


@dataclass(frozen=True)
class SettingChanged:
    """A resume, or `lorimer tune` while the study runs, changed a setting of the study."""

    key: str
    """The setting's name as in `--set`: `budget.usd`."""
    before: Any
    after: Any


@dataclass(frozen=True)
class ModelNoted:
    """Something to know of how a model is served: its provider counts no tokens, takes fewer than asked, cuts prompts. Sent
    once a study for each such thing."""

    model: str
    """Its id, `provider/name`."""
    said: str
    """What it is, and what to set."""


@dataclass(frozen=True)
class VerifierNoted:
    """The verifier of a task tells of a failed download, and what came of asking it again without an agent. Sent once a study
    for each such thing."""

    said: str


@dataclass(frozen=True)
class HarnessNoted:
    """The study's own harness never asked the model. Sent by each process that begins with it, before a candidate is paid for."""

    said: str


@dataclass(frozen=True)
class NotifyFailed:
    """The command of [notify] failed. Sent once a process: nothing else follows from it."""

    said: str


@dataclass(frozen=True)
class StudyEnded:
    """The loop is done for now."""

    study: str
    state: str
    """`finished` or `paused`."""
    reason: str
    cause: EndCause


Event = (
    StageStarted
    | TrialFinished
    | ImageReady
    | StageFinished
    | Proposing
    | Proposed
    | ProgramChanged
    | ProposalFailed
    | Decided
    | Promoted
    | BranchDiffers
    | LittleToWin
    | BudgetUsed
    | BudgetWarning
    | SettingChanged
    | ModelNoted
    | VerifierNoted
    | HarnessNoted
    | NotifyFailed
    | StudyEnded
)


class Progress(Protocol):
    """Where events go. Called from the event loop's thread; must be quick and must not raise."""

    def on_event(self, event: Event) -> None: ...


class Silent:
    """Nobody watches."""

    def on_event(self, event: Event) -> None:
        return None
