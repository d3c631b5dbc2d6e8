"""A study as the loop works with it: what it needs, and how it is created."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from lorimer.benchmarks.base import Suite, Task
from lorimer.config.settings import Config
from lorimer.errors import UserError
from lorimer.harness.version import sha
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.workspace.events import (
    Progress,
    Silent,
)
from lorimer.meta_agent.workspace.notify import Notice, NoticeSubject
from lorimer.meta_agent.workspace.repository import Workspace
from lorimer.models.abilities import Abilities
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.sandbox.base import Owner, SandboxProvider
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.traces.base import StudyReader, StudyWriter
from lorimer.traces.schema import PlannedTrial, TrialEnd
from lorimer.traces.scrub import scrubber
from lorimer.traces.tables import Candidate, StudyRow, TaskRow
from lorimer.traces.wired import Gap, Record


class Trials(Protocol):
    """Runs planned trials; `task_agent.scheduling.scheduler.Scheduler` is one."""

    async def run(
        self,
        plan: Sequence[PlannedTrial],
        harness_text: str,
        *,
        past: Mapping[str, Sequence[TrialEnd]] | None = None,
        stop: Callable[[Sequence[TrialOutcome]], bool] | None = None,
        others: Mapping[str, str] | None = None,
        records: Mapping[str, Record | Gap] | None = None,
        in_rounds: bool = False,
    ) -> list[TrialOutcome]:
        """The outcomes in plan order: all, or the prefix that `stop` accepted. What is settled by `past` is not run.

        Trials of a harness in `others`, by SHA-256, run that text. Those in `records`, by id, go on from a record.
        They begin in plan order, or `in_rounds`: every task once, then again, the longest of a round first.

        Raises BudgetExhausted, ProviderOutage, ProviderRefusal, VerifierOutage, EngineOutage.
        """
        ...

    async def dry_start(self, harness_text: str, owner: Owner) -> str:
        """Load a harness in a jail; "" or why it does not start."""
        ...


class MetaModel(Protocol):
    """The metered model that proposes; `task_agent.limits.Metered.complete` is one."""

    async def __call__(self, request: ModelRequest, context: CallContext, *, owner: str, began: float) -> ModelReply:
        """One call, paid and traced under `owner`'s name, its time counted from `began` (monotonic).

        Raises BudgetExhausted, ProviderOutage, ConfigError.
        """
        ...


async def meta_agent(session: ProposalSession) -> Proposal | NoProposal:
    """The proposer of the product. Imported when it is used: measuring a harness needs none."""
    from lorimer.meta_agent.proposer.propose import propose

    return await propose(session)


async def untouched() -> str:
    """Nothing can change in a benchmark without files."""
    return ""


@dataclass(frozen=True)
class StudyParts:
    """What the loop works with. Opened and closed by the caller."""

    store: StudyWriter
    reader: StudyReader
    trials: Trials
    complete: MetaModel
    config: Config
    found: Config | None = None
    """The settings that a study which goes on had when `config` was made of them. What others change in the store meanwhile is
    neither undone nor overheard. `None` of a new study."""
    lorimer_toml: Mapping[str, Any] | None = None
    """What lorimer.toml says while the study runs."""
    workspace: Workspace | None = None
    """Where promotions are committed; needed by `optimize` alone."""
    program: Callable[[], str] = lambda: ""
    """Reads the user's direction in plain English, anew for every proposal. May raise UserError."""
    progress: Progress = field(default_factory=Silent)
    intact: Callable[[], Awaitable[str]] = untouched
    """Whether the benchmark's files are as they were when the study began: "" or what changed. Asked before every stage."""
    propose: Callable[[ProposalSession], Awaitable[Proposal | NoProposal]] = meta_agent
    abilities: Abilities | None = None
    """What the meta model's server honours, as a probe has found it."""
    shadows: SandboxProvider | None = None
    """Whose jails run shadows of edits against recorded trials ([replay]); `None` where there are no records."""
    scrub: Callable[[str], str] = field(default_factory=scrubber)
    """Masks secrets in what is shown of a difference."""
    tuned: Callable[[Config], None] = lambda config: None
    """Keeps the bounds and the trials at once of these settings from now on, in place of those that the study was opened with."""
    ring: Callable[[Notice, NoticeSubject], None] | None = None
    """Tells the user's command of a promotion, a pause, a wanted review, an end; returns at once. `None` where there is none."""


async def create(
    store: StudyWriter,
    *,
    study: str,
    kind: str,
    suite: Suite,
    holdout: Collection[str],
    config: Config,
    harness: str,
    test: Collection[str] = (),
    canaries: Sequence[Task] = (),
    lorimer_toml: Mapping[str, Any] | None = None,
    rival: tuple[Candidate, str] | None = None,
) -> None:
    """Store a new study, all of it in one transaction: its tasks with their split, its settings and its seed harness.

    Args:
        kind: `optimize`, `run`, `ab` or `check`.
        suite: the tasks that take part.
        holdout: ids of the sealed ones.
        test: ids of those that the study never runs.
        canaries: tasks that nobody can solve, which count for no score.
        lorimer_toml: what the file said, of a study that can be resumed.
        rival: the one candidate of a comparison of two files, with its harness.

    Raises UserError when the study exists, or no task is left to train on.
    """
    sides = dict.fromkeys(holdout, "holdout") | dict.fromkeys(test, "test")
    if all(task.id in sides for task in suite.tasks):
        raise UserError(f"{suite.name}: no task is left to work on; check [benchmark] tasks and [split]")
    rows = [
        TaskRow(
            study=study,
            id=task.id,
            position=position,
            split="canary" if position >= len(suite.tasks) else sides.get(task.id, "train"),
            digest=task.digest,
            instruction=task.instruction,
            category=task.category,
            difficulty=task.difficulty,
            isolation=task.isolation,
        )
        for position, task in enumerate((*suite.tasks, *canaries))
    ]
    row = StudyRow(
        id=study,
        kind=kind,
        created=now(),
        state="paused",
        state_reason="not started yet",
        seed=config.study.seed,
        task_model=config.models.task,
        meta_model=config.meta_model,
        benchmark=suite.name,
        suite_digest=suite.digest(),
        config=config.model_dump(mode="json", exclude={"notify", "store"}),
        seed_harness=sha(harness),
        lorimer_toml=None if lorimer_toml is None else dict(lorimer_toml),
    )
    await store.create_study(row, rows, harness, rival)


def now() -> str:
    """UTC, ISO 8601, for people alone."""
    return datetime.now(UTC).isoformat(timespec="seconds")
