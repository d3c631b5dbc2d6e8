"""What a node and the study's process say to each other, as values that can be pickled.

The study's process holds the store, the budget, the models' connections and their keys. A node holds its engine. So a trial's
steps go one way as they happen, and its model calls come back answered. All that a node says is taken in the order in which
it was said.
"""

from __future__ import annotations

from dataclasses import dataclass

from lorimer.errors import LorimerError
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.traces.schema import ModelCallData, StepData, TrialEnd
from lorimer.traces.wired import WireCall, WirePart

FarEnd = TrialEnd | LorimerError
"""How a trial ended, or why the study must stop."""

# From a node


@dataclass(frozen=True)
class Traced:
    """Something for the trace of a trial that this node runs."""

    what: StepData | ModelCallData | WirePart | WireCall


@dataclass(frozen=True)
class CallAsked:
    """A model call that a trial makes."""

    owner: str
    number: int
    """The node's own number for this call; what the node is told of the call bears it."""
    request: ModelRequest
    context: CallContext
    """Without what can be called in it."""
    others: bool
    """Whether the trial can tell if the provider answers others."""
    seconds: float
    """How long ago the clock of the trial's trace was 0: no two machines have the same."""
    traced: bool
    call: int | None


@dataclass(frozen=True)
class GaveUp:
    """Whoever made a call does not wait for its answer any more."""

    number: int


@dataclass(frozen=True)
class Others:
    """Whether the provider that fails at a call answers others; or what came of asking."""

    number: int
    answers: bool | LorimerError


@dataclass(frozen=True)
class Waited:
    """A trial waits for its engine or its provider, to be shown to the user."""

    owner: str
    seconds: float
    why: str


@dataclass(frozen=True)
class TrialEnded:
    """A trial has ended; nothing more is said of it."""

    owner: str
    outcome: FarEnd


Said = Traced | CallAsked | GaveUp | Others | Waited | TrialEnded

# To a node


@dataclass(frozen=True)
class CallAnswered:
    """What a call came to."""

    number: int
    answer: ModelReply | LorimerError


@dataclass(frozen=True)
class CallWaits:
    """A call is tried again after so many seconds."""

    number: int
    seconds: float
    why: str


@dataclass(frozen=True)
class Queued:
    """A call begins or ceases to wait for its turn."""

    number: int
    on: bool


@dataclass(frozen=True)
class AskOthers:
    """Find out whether the provider that fails at a call answers others."""

    number: int


@dataclass(frozen=True)
class CancelTrial:
    """Cancel a trial."""

    owner: str


OfCall = CallAnswered | CallWaits | Queued | AskOthers
Told = OfCall | CancelTrial
