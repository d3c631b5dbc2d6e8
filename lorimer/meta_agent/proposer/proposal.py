"""What goes into one proposal session, and what comes out of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lorimer.config.settings import MetaSettings
from lorimer.harness.version import Hunk
from lorimer.meta_agent.proposer.accept import Checks
from lorimer.meta_agent.proposer.cases import Cases
from lorimer.meta_agent.proposer.log import Log
from lorimer.models.abilities import Abilities
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.task_agent.shadow.previewed import Preview
from lorimer.traces.previews import RefusedEdit


@dataclass(frozen=True)
class Citation:
    """Words of a step of one of the cases, which were found there."""

    trial: str
    """The case's name."""
    step: int
    quote: str


@dataclass(frozen=True)
class Diagnosis:
    """What a proposal rests on."""

    kind: str = ""
    """One of `asked.EDIT_KINDS`; empty where it was not stated."""
    cause: str = ""
    """What fails, in a line."""
    mechanism: str = ""
    """How the edit removes it, in a line."""
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True)
class Proposal:
    """A usable edit: it applied, passed the checks and the lint, and started in a jail."""

    title: str
    """One line."""
    hypothesis: str
    hunks: tuple[Hunk, ...]
    fixes: tuple[str, ...]
    """Train tasks that it should fix."""
    at_risk: tuple[str, ...]
    text: str
    """The whole new harness."""
    diagnosis: Diagnosis = Diagnosis()
    preview: Preview | None = None
    """Which recorded trials it touches; `None` where edits are not previewed."""
    refused: tuple[RefusedEdit, ...] = ()
    """The edits of its session that were refused."""


@dataclass(frozen=True)
class NoProposal:
    """No usable edit came. `reason` is for the user and for the experiment log."""

    reason: str
    refused: tuple[RefusedEdit, ...] = ()
    """The edits of its session that were refused."""


@dataclass(frozen=True)
class ProposalSession:
    """Everything that one session of the meta-agent may use: values, and functions that were given their subjects for good.

    Nothing in it can be asked about a sealed task, another study, or a trial that is no case.
    """

    complete: Callable[[ModelRequest, CallContext], Awaitable[ModelReply]]
    """The meta model; metered and traced by the caller. May raise BudgetExhausted, ProviderOutage."""
    number: int
    """The candidate's."""
    harness: str
    """The text of the harness to be edited."""
    cases: Cases
    """How it did on the train split."""
    log: Log
    """What was tried before, predicted, decided and why; written for a model."""
    program: str
    """The human's direction."""
    settings: MetaSettings
    seed: int
    checks: Checks
    """What an edit must pass."""
    focus: str = ""
    """The kind of failures that it is to be about, as `list_failures` names it; empty where it may be about any."""
    base: str = ""
    """Why it is to edit another harness than the champion, and which; empty where it is the champion."""
    abilities: Abilities | None = None
    """What the meta model's server honours, as a probe has found it; `None` where nobody has asked."""
