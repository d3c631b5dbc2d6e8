"""The values in which the other rooms speak to the trace store, and the protocol of whatever takes a running trial's.

Nothing here knows a database: whoever runs a trial imports no more than this. The rows are in `traces.tables`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lorimer.harness.api import Completion, Message, Tool
from lorimer.kinds import Purpose as Purpose
from lorimer.kinds import Stage as Stage
from lorimer.kinds import StepKind as StepKind
from lorimer.kinds import TrialState as TrialState
from lorimer.traces.lines import LinesRan as LinesRan
from lorimer.traces.wired import WireCall, WirePart
from lorimer.wording import dollars


@dataclass(frozen=True)
class Direction:
    """The user's direction in plain English, as a study went by it."""

    sha: str
    """SHA-256 of the text as it was read."""
    text: str
    """The text in the form in which it is stored, without secrets."""


@dataclass(frozen=True)
class Used:
    """What model calls have used."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    usd: float | None = 0.0
    """Dollars; `None` where the price of any call is unknown."""
    refused: int = 0
    """Those of the calls that the provider refused (`kinds.REFUSED`)."""

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def for_nothing(self) -> bool:
        """Whether there were calls, and every one was refused."""
        return 0 < self.calls == self.refused

    def __add__(self, more: Used) -> Used:
        return Used(
            self.calls + more.calls,
            self.input_tokens + more.input_tokens,
            self.output_tokens + more.output_tokens,
            self.cached_tokens + more.cached_tokens,
            None if self.usd is None or more.usd is None else self.usd + more.usd,
            self.refused + more.refused,
        )


NOTHING = Used()


@dataclass(frozen=True)
class Share:
    """What the calls of one role (`task` or `meta`) take of a budget."""

    known_usd: float = 0.0
    """Dollars, as far as they are known: a call of unknown cost counts at what was set aside for it, where that is known."""
    tokens: int = 0
    """Input plus output."""
    unknown: int = 0
    """Calls of unknown cost."""
    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    """Those of the input tokens that were read from the provider's cache."""

    @property
    def usd(self) -> float | None:
        """Dollars; `None` where the cost of any call is unknown, never 0 for that."""
        return None if self.unknown else self.known_usd

    def __add__(self, more: Share) -> Share:
        return Share(
            self.known_usd + more.known_usd,
            self.tokens + more.tokens,
            self.unknown + more.unknown,
            self.calls + more.calls,
            self.input_tokens + more.input_tokens,
            self.cached_tokens + more.cached_tokens,
        )


@dataclass(frozen=True)
class Saved:
    """What was answered from records, and so was not paid for again."""

    trials: int = 0
    """Trials that went on from a record."""
    calls: int = 0
    """Model calls that records answered."""
    tokens: int = 0
    """Input plus output."""
    known_usd: float = 0.0
    """Dollars, as far as they are known."""
    unknown: int = 0
    """Those of the calls whose cost is unknown."""
    seconds: float = 0.0
    """How long the recorded calls had been waited for, added up over all trials."""

    @classmethod
    def of(cls, replayed: Replayed | None) -> Saved:
        """What the record of one trial saved; nothing where it had none, or ran whole."""
        if replayed is None or replayed.whole:
            return cls()
        used = replayed.saved
        unknown = used.calls if used.usd is None else 0
        return cls(1, used.calls, used.tokens, used.usd or 0.0, unknown, replayed.seconds)

    def __add__(self, more: Saved) -> Saved:
        return Saved(
            self.trials + more.trials,
            self.calls + more.calls,
            self.tokens + more.tokens,
            self.known_usd + more.known_usd,
            self.unknown + more.unknown,
            self.seconds + more.seconds,
        )

    def __str__(self) -> str:
        """`$0.0123, 4,512 tokens and 31 s of waiting, by recorded answers in 12 trials`."""
        some = f"{self.unknown:,} calls of unknown price"
        usd = dollars(self.known_usd)
        money = usd if not self.unknown else f"{usd} and {some}" if self.known_usd else some
        trials = "1 trial" if self.trials == 1 else f"{self.trials:,} trials"
        return f"{money}, {self.tokens:,} tokens and {self.seconds:,.0f} s of waiting, by recorded answers in {trials}"


NOT_SAVED = Saved()


@dataclass(frozen=True)
class Spent:
    """What a study has spent. Reservations that were never settled (a crash) count as spent."""

    task: Share = Share()
    meta: Share = Share()
    trials: int = 0
    """Every attempt. Of earlier processes those that finished, so that a restart changes nothing."""
    hours: float = 0.0
    """How long processes ran it."""
    saved: Saved = NOT_SAVED
    """What would have been spent besides, had no record answered."""

    @property
    def known_usd(self) -> float:
        return self.task.known_usd + self.meta.known_usd

    @property
    def usd(self) -> float | None:
        """Dollars; `None` where the cost of any call is unknown."""
        return None if self.unknown else self.known_usd

    @property
    def tokens(self) -> int:
        return self.task.tokens + self.meta.tokens

    @property
    def unknown(self) -> int:
        return self.task.unknown + self.meta.unknown

    @property
    def calls(self) -> int:
        return self.task.calls + self.meta.calls


@dataclass(frozen=True)
class PlannedTrial:
    """A trial that a plan asks for. `id` names it for ever; its attempts are numbered."""

    id: str
    study: str
    evaluation: str
    stage: Stage
    harness: str
    """SHA-256 of the harness's text; `oracle` or `nop` for those agents."""
    task: str
    repeat: int
    seed: int


@dataclass(frozen=True)
class TrialStart:
    """An attempt at a planned trial begins. Each has a name of its own, so no retry overwrites the evidence of the one before."""

    planned: PlannedTrial
    attempt: int
    model: str
    sandbox: str = ""
    network: bool = False

    @property
    def id(self) -> str:
        return f"{self.planned.id}/{self.attempt}"


@dataclass(frozen=True)
class Conditions:
    """What a trial ran under, as far as it can differ between two trials of one plan."""

    concurrency: int | None = None
    """Trials at once, as its process was told; `None` where that is not known."""
    images: tuple[str, ...] = ()
    """What the images of its task held, by digest, in the task's order."""
    answered: tuple[str, ...] = ()
    """The models that the provider's answers named, in order of name. A router may name others than the one that was asked."""


@dataclass(frozen=True)
class Replayed:
    """What of a trial was answered from the record of another one, and so was not paid for again."""

    trial: str
    """The id of the recorded trial."""
    touch: int | None = None
    """The number of the first call that its record did not hold, from 1; `None` where there was none."""
    saved: Used = NOTHING
    """What the recorded answers had cost. `TrialEnd.used` holds it too: limits and comparisons count as if all had been live."""
    seconds: float = 0.0
    """How long the recorded model calls had been waited for."""
    whole: str = ""
    """Why the trial ran whole and live after all, in words for people; empty where it did not."""


@dataclass(frozen=True)
class TrialEnd:
    """A trial's verdict and totals."""

    id: str
    state: TrialState
    cause: str
    """A `task_agent.causes.Cause` value."""
    detail: str = ""
    """One line for people and for the meta-agent: an exception's last line, the limit that was reached, …"""
    reward: float | None = None
    rewards: Mapping[str, float] = field(default_factory=dict)
    """Named rewards, where the verifier gave several."""
    answer: str = ""
    """What `solve` returned."""
    verifier_output: str = ""
    """What the verifier printed. People read it; the meta-agent is never shown it, as it may quote the tests."""
    used: Used = NOTHING
    seconds: float = 0.0
    """Wall time, start to verdict."""
    active_seconds: float = 0.0
    """The agent's own time, without waits for provider retries."""
    flags: tuple[str, ...] = ()
    """Suspicions that do not change the score."""
    conditions: Conditions = Conditions()
    replayed: Replayed | None = None
    """`None` of a trial that nobody gave a record."""
    ran: LinesRan | None = None
    """`None` where that is not known: the agent was no harness, or nothing was told."""


@dataclass(frozen=True)
class StepData:
    """One step, of a trial or of the meta-agent's proposal session. `owner` is the trial's or the candidate's id."""

    owner: str
    kind: StepKind
    at: float
    """Seconds since the trial began."""
    seconds: float = 0.0
    data: Mapping[str, Any] = field(default_factory=dict)
    """JSON, by kind: exec {command, cwd, exit_code, timed_out, stdout, stderr, dropped}; read/write {path, bytes, error};
    note/output/task/error {text}; verdict {state, reward, cause, detail}; `recorded` where it was answered from a record."""
    text: str = ""
    """What full-text search finds."""
    call: int | None = None
    """The number of the harness's call that it tells of, in the record of the trial."""


@dataclass(frozen=True)
class StepOutline:
    """A few facts of a step, by which steps of many trials are counted; what does not belong to its kind is empty."""

    index: int
    kind: StepKind
    command: str = ""
    exit_code: int | None = None
    timed_out: bool = False
    output_chars: int = 0
    """The length of a command's standard output and error together, as far as they were kept."""
    path: str = ""
    """The path of the file that was read or written."""
    stop_reason: str = ""
    error: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    said: str = ""
    """What the model said beside its calls, from the beginning (`outlines.SAID_CHARS`)."""
    called: tuple[str, ...] = ()
    """The tools that the model called."""
    unreadable: int = 0
    """Those of these calls whose arguments could not be read."""
    unknown: int = 0
    """Those of these calls that named tools which it had not been offered."""


@dataclass(frozen=True)
class StepPlace:
    """Where a step is."""

    owner: str
    index: int
    kind: StepKind


@dataclass(frozen=True)
class ModelCallData:
    """One model call. The store turns it into a step of kind `model_call` and content-addressed messages."""

    owner: str
    at: float
    seconds: float
    waited_seconds: float
    retries: int
    system: str | None
    tools: tuple[Tool, ...]
    messages: tuple[Message, ...]
    """All messages sent, without the system message."""
    settings: Mapping[str, Any]
    """max_tokens, stop, temperature, effort as sent."""
    completion: Completion
    cost_usd: float | None
    model: str
    call: int | None = None
    """The number of the call that it belongs to, as a step has it."""
    recorded: bool = False
    """Whether it was answered from a record: no model was asked, and the seconds are those of the recorded call."""


@dataclass(frozen=True)
class Reservation:
    """Money and tokens set aside before a model call. One that is never settled counts as spent."""

    id: str
    study: str
    role: str
    """`task` or `meta`."""
    owner: str
    usd: float | None
    tokens: int


@dataclass(frozen=True)
class Settlement:
    """What a reserved call really used."""

    id: str
    used: Used


class TraceSink(Protocol):
    """Where a running trial writes. Steps are buffered and stored within 250 ms, in the order in which they came."""

    def open_trial(self, start: TrialStart) -> None: ...

    def step(self, step: StepData) -> None: ...

    def model_call(self, call: ModelCallData) -> None: ...

    def wire_part(self, part: WirePart) -> None:
        """The harness is started: the record of the trial goes on with it."""
        ...

    def wire_call(self, call: WireCall) -> None:
        """A call of the harness was answered, or will not be; its step, where it has one, was handed over before."""
        ...

    async def close_trial(self, end: TrialEnd) -> None:
        """Returns when the verdict, all the trial's steps and its record are committed and synced to disk."""
        ...

    async def reserve(self, reservation: Reservation) -> None:
        """Returns when the reservation is committed."""
        ...

    def settle(self, settlement: Settlement) -> None: ...

    def warn(self, name: str, study: str, text: str) -> None:
        """Keep a budget warning that was given. The same name again changes nothing."""
        ...
