"""Recorded trials as values that a target can write: which are meant, and one after another with all that happened in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from lorimer.errors import UserError
from lorimer.harness.api import Message
from lorimer.kinds import Stage, StepKind, TrialState
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.state.sealed import told
from lorimer.traces import chain
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import ModelCallData
from lorimer.traces.tables import Step, StudyRow, TaskRow, Trial

UNFINISHED = (TrialState.RUNNING, TrialState.CANCELLED)
"""States of trials that are left out unless one of them is asked for."""


@dataclass(frozen=True)
class Selection:
    """Trials of one study that match all that is given."""

    study: StudyRow
    task: str | None = None
    state: TrialState | None = None
    """`None` takes every trial that has ended: scored and errored ones."""
    stage: Stage | None = None
    candidate: str | None = None
    """`c003`, or `seed`."""
    harness: str | None = None
    """The beginning of a SHA-256."""
    failed: bool = False
    """Only scored trials without the full reward."""


@dataclass(frozen=True)
class Chosen:
    """The trials that a selection means."""

    ids: tuple[str, ...]
    """The ids of its trials, in the order in which they began."""
    sealed: int
    """How many were left out: they are of sealed tasks, and the study has not finished."""
    dropped: int
    """How many of the others were: their steps were dropped, as [store] keep says."""


@dataclass(frozen=True)
class RecordedStep:
    """One recorded step; of a model call also what was said, with the messages that it added to the one before."""

    step: Step
    call: ModelCallData | None

    @property
    def kept(self) -> int:
        """How many messages of the call before it a model call begins with."""
        return int(self.step.data["keep"])

    @property
    def base(self) -> int | None:
        """The index of the model call that a model call goes on from."""
        base: int | None = self.step.data["base"]
        return base


@dataclass(frozen=True)
class FullConversation:
    """All that was said in one conversation with the model, up to its last answer."""

    call: ModelCallData
    """The last model call."""
    messages: tuple[Message, ...]
    """What was sent to it, and its answer, without the system prompt."""
    calls: int
    """The model calls that it took."""


@dataclass(frozen=True)
class TrialTrace:
    """A trial with everything that was recorded of it."""

    study: StudyRow
    task: TaskRow
    trial: Trial
    candidate: str
    """Whose harness ran: `c003`, or `seed`; empty for another one."""
    events: tuple[RecordedStep, ...]

    def at(self, seconds: float) -> datetime:
        """The time so many seconds after the trial began; UTC."""
        return datetime.fromisoformat(self.trial.started) + timedelta(seconds=seconds)

    @cached_property
    def conversations(self) -> tuple[FullConversation, ...]:
        """Every conversation of the trial that no later call went on with. A harness has several where it asks sub-agents, or
        where it shortens what was said."""
        sent: dict[int, tuple[Message, ...]] = {}
        calls: dict[int, int] = {}
        last: dict[int, ModelCallData] = {}
        for event in self.events:
            if event.call is None:
                continue
            index, base = event.step.index, event.base
            before = () if base is None else sent[base]
            sent[index] = before[: event.kept] + event.call.messages
            calls[index] = 1 + (0 if base is None else calls[base])
            if base is not None and event.kept == len(before):
                last.pop(base, None)
            last[index] = event.call
        return tuple(
            FullConversation(call, (*sent[index], call.completion.message), calls[index])
            for index, call in last.items()
        )


def chosen(reader: StudyReader, selection: Selection) -> Chosen:
    """The trials that a selection means. Raises UserError where there are none."""
    study, stage = selection.study, selection.stage
    harness, name = selection.harness, selection.candidate
    if name is not None:
        if harness is not None:
            raise UserError("--candidate and --harness exclude each other; leave one out")
        harness = harness_of(reader, study, name)

    def ids(state: TrialState | None = selection.state, stage: Stage | None = stage) -> list[str]:
        return reader.trial_ids(
            study.id, task=selection.task, state=state, stage=stage, harness=harness, failed=selection.failed
        )

    found = ids()
    if selection.state is None:
        unfinished = {each for state in UNFINISHED for each in ids(state)}
        found = [each for each in found if each not in unfinished]
    sealed = set() if told(study) or stage not in (None, Stage.HOLDOUT) else set(ids(stage=Stage.HOLDOUT))
    open_ = [each for each in found if each not in sealed]
    dropped = chain.all_dropped(reader.chain(study.id, "dropped"))
    left = tuple(each for each in open_ if each not in dropped)
    if not left:
        hidden = f"; {len(found)} that would are of sealed tasks, which are told once it has finished" if found else ""
        gone = f"; {len(open_)} that would have no steps any more, as [store] keep says" if open_ else hidden
        raise UserError(f"no trial of study {study.id} matches{gone}")
    return Chosen(left, len(found) - len(open_), len(open_) - len(left))


def read(reader: StudyReader, study: StudyRow, ids: Sequence[str]) -> Iterator[TrialTrace]:
    """These trials, one after another: no more than one of them is held."""
    tasks = {task.id: task for task in reader.tasks(study.id)}
    names = {study.seed_harness: "seed"}
    names |= {row.harness: short(row.number) for row in reader.candidates(study.id) if row.harness}
    for each in ids:
        trial = reader.trial(each)
        events = tuple(RecordedStep(step, call) for step, call in reader.trajectory(each))
        yield TrialTrace(study, tasks[trial.task], trial, names.get(trial.harness, ""), events)


def valid(value: Any) -> Any:
    """A value of JSON without halves of surrogate pairs, which a model's answer may hold and no UTF-8 can."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {valid(key): valid(item) for key, item in value.items()}
    return [valid(item) for item in value] if isinstance(value, list | tuple) else value


def happened(event: RecordedStep) -> dict[str, Any]:
    """A step that is no model call in short, as JSON has it: what was done and how it ended, without long outputs."""
    step, data = event.step, event.step.data
    told: dict[str, Any] = {"kind": step.kind, "step": step.index, "at": step.at, "seconds": step.seconds}
    if step.kind == StepKind.EXEC:
        return told | {name: data.get(name) for name in ("command", "exit_code", "timed_out")}
    if step.kind in (StepKind.READ, StepKind.WRITE):
        return told | {name: data.get(name) for name in ("path", "bytes", "error")}
    return told | {"text": str(data.get("text", ""))}


def output_of(event: RecordedStep) -> str:
    """What a command printed: standard output, then standard error, as far as they were kept."""
    parts = (event.step.data.get("stdout", ""), event.step.data.get("stderr", ""))
    return "\n".join(part for part in parts if part)


def harness_of(reader: StudyReader, study: StudyRow, name: str) -> str:
    """The SHA-256 of a candidate's harness. Raises UserError for a candidate that is not there or has none."""
    if name == "seed":
        return study.seed_harness
    row = reader.candidate(name if "/" in name else f"{study.id}/{name}")
    if row is None or row.study != study.id:
        raise UserError(f"study {study.id} has no candidate {name}; `lorimer log --study {study.id}` lists them")
    if row.harness is None:
        raise UserError(f"candidate {name} of study {study.id} has no harness, and so no trials: {row.failure}")
    return row.harness
