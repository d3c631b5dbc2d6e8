"""One trial, or the session that proposed a candidate, as a person reads it: a page of its steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lorimer.dashboard.shelf import SEALED, Opened
from lorimer.errors import UserError
from lorimer.harness.api import Message
from lorimer.meta_agent.ledger.fired import FiredInTrial, fired_in_trial
from lorimer.meta_agent.state.names import short
from lorimer.terminal.trajectory import steps_dropped
from lorimer.terminal.words import calls_of
from lorimer.traces.base import StudyReader
from lorimer.traces.effects import each_hunk
from lorimer.traces.schema import StepKind
from lorimer.traces.tables import Candidate, Step, Trial
from lorimer.wording import dollars

STEPS = 40
"""Steps on a page."""
LONGEST = 40_000
"""Characters of one text; of a longer one the head and the tail are shown."""


@dataclass(frozen=True)
class MessageView:
    """A message."""

    role: str
    text: str
    reasoning: tuple[str, ...] = ()
    calls: tuple[tuple[str, str], ...] = ()
    """Name and arguments of each tool that is called."""
    failed: bool = False


@dataclass(frozen=True)
class Moment:
    """A step."""

    index: int
    kind: str
    head: str
    """What it did, in a line."""
    aside: str
    """Tokens, seconds and the like."""
    recorded: bool
    system: str = ""
    heard: tuple[MessageView, ...] = ()
    """What the model was told that it had not been told before."""
    reply: MessageView | None = None
    error: str = ""
    texts: tuple[tuple[str, str], ...] = ()
    """What stands below the head, each with its name."""
    acted: tuple[int, ...] = ()
    """The numbers of the hunks of an edit that ran for the first time just before it, and led to it."""


@dataclass(frozen=True)
class TrajectoryPage:
    """A page of a trial or of a proposal session."""

    owner: str
    title: str
    of_candidate: int | None
    """The candidate whose session it is, or whose harness ran; `None` of the seed harness."""
    session: bool
    facts: tuple[tuple[str, str], ...]
    """A word and a sentence each."""
    state: str
    moments: tuple[Moment, ...]
    first: int
    total: int
    answer: str = ""
    verifier: str = ""

    @property
    def pages(self) -> tuple[tuple[int, int], ...]:
        """First and last step of each page."""
        return tuple((at, min(at + STEPS, self.total) - 1) for at in range(0, self.total, STEPS))


def trajectory(reader: StudyReader, opened: Opened, owner: str, at: int) -> TrajectoryPage:
    """The page that holds step `at`. Raises UserError for what is no trial or session of this study, and for a sealed one."""
    candidate = reader.candidate(owner)
    found = candidate if candidate is not None else reader.trial(owner)
    if found.study != opened.id:
        raise UserError(f"{owner} is not of study {opened.id}, but of {found.study}")
    if isinstance(found, Trial) and opened.hides(found):
        raise UserError(f"{found.id} is {SEALED}")
    total = reader.step_count(found.id)
    first = min(at, max(0, total - 1)) // STEPS * STEPS
    steps = reader.steps(found.id, max(0, first - 8), first + STEPS - 1)
    shown = _moments(reader, steps, first)
    if isinstance(found, Candidate):
        facts = [
            ("state", found.state + (f": {found.failure}" if found.failure else "")),
            ("hypothesis", found.hypothesis),
        ]
        title = f"How {short(found.number)} was proposed"
        return TrajectoryPage(
            found.id,
            title,
            found.number,
            True,
            tuple(each for each in facts if each[1]),
            found.state,
            shown,
            first,
            total,
        )
    edit = fired_in_trial(reader, found)
    hunks = edit[1] if edit is not None else ()
    evaluation = reader.evaluation(found.evaluation)
    whose = reader.candidate(evaluation.subject) if evaluation and evaluation.subject else None
    last = first + STEPS >= total
    return TrajectoryPage(
        found.id,
        found.task,
        whose.number if whose else None,
        False,
        (*_facts(reader, found, hunks), *([("steps", gone)] if (gone := steps_dropped(reader, found, total)) else [])),
        _outcome(found),
        acted(hunks, shown),
        first,
        total,
        answer=_clipped(found.answer) if last else "",
        verifier=_clipped(found.verifier_output) if last else "",
    )


def _outcome(trial: Trial) -> str:
    """`solved`, `failed`, or its state."""
    if trial.reward is None:
        return trial.state
    return "solved" if trial.reward >= 1 - 1e-9 else "failed"


def _facts(reader: StudyReader, trial: Trial, hunks: Sequence[FiredInTrial]) -> list[tuple[str, str]]:
    reward = "none" if trial.reward is None else f"{trial.reward:g}"
    tokens = f"{trial.input_tokens:,} tokens in, {trial.output_tokens:,} out"
    found = [
        ("outcome", f"{trial.state}, reward {reward}, {trial.cause}" + (f": {trial.detail}" if trial.detail else "")),
        ("stage", f"{trial.stage}, repeat {trial.repeat}, attempt {trial.attempt}, harness {trial.harness[:12]}"),
        ("used", f"{calls_of(trial)} calls, {tokens}, {dollars(trial.cost_usd)}, {trial.seconds:.1f} s"),
        ("where", f"{trial.model or 'no model'}, {trial.sandbox}, network {'on' if trial.network else 'off'}"),
        *(("flag", flag) for flag in trial.flags),
    ]
    if trial.recorded_trial and not trial.ran_whole:
        until = "to its end" if trial.touch is None else f"up to its call {trial.touch}, and live from there"
        found.append(("replayed", f"from the record of {trial.recorded_trial} {until}"))
    if hunks:
        found.append(("edit", each_hunk(hunks)))
    return found


def acted(hunks: Sequence[FiredInTrial], moments: Sequence[Moment]) -> tuple[Moment, ...]:
    """These steps, each with the hunks that led to it first."""
    before: dict[int, list[int]] = {}
    for number, each in enumerate(hunks, 1):
        if each.step is not None:
            before.setdefault(each.step, []).append(number)
    return tuple(replace(each, acted=tuple(before.get(each.index, ()))) for each in moments)


def moment(reader: StudyReader, step: Step, told: list[Message]) -> Moment:
    """A step. `told` holds what the model said in the steps before, and grows by what it says in this one."""
    data, kind = step.data, StepKind(step.kind)
    made = Moment(step.index, kind.value, "", f"{step.seconds:.1f} s", bool(data.get("recorded")))
    match kind:
        case StepKind.MODEL_CALL:
            return _call(reader, step, made, told)
        case StepKind.EXEC:
            ended = "timed out" if data["timed_out"] else f"exit code {data['exit_code']}"
            texts = [("command", str(data["command"])), ("output", data["stdout"]), ("errors", data["stderr"])]
            shown = tuple((name, _clipped(text)) for name, text in texts if text)
            return replace(made, head=f"ran a command: {ended}", texts=shown)
        case StepKind.READ | StepKind.WRITE:
            said = data.get("error") or f"{data['bytes']} bytes"
            verb = "read" if kind is StepKind.READ else "wrote"
            return replace(made, head=f"{verb} {data['path']}: {said}")
        case StepKind.VERDICT:
            reward = "none" if data["reward"] is None else f"{data['reward']:g}"
            return replace(made, head=f"verdict: {data['state']}, reward {reward}, {data['cause']}", aside="")
        case _:
            return replace(made, head=kind.value, texts=(("text", _clipped(str(data.get("text", "")))),))


def _call(reader: StudyReader, step: Step, made: Moment, told: list[Message]) -> Moment:
    call = reader.added(step)
    usage, reply = call.completion.usage, call.completion.message
    waited = f" after {call.waited_seconds:.0f} s of waiting" if call.retries else ""
    cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
    heard = tuple(_said(message) for message in call.messages if message not in told)
    told.append(reply)
    return replace(
        made,
        head=f"{call.model} answered: {call.completion.stop_reason.replace('_', ' ')}",
        aside=f"{usage.input_tokens:,} tokens in{cached}, {usage.output_tokens:,} out, {step.seconds:.1f} s{waited}",
        system=_clipped(call.system or "") if step.index == 0 else "",
        heard=heard,
        reply=_said(reply),
        error=call.completion.error,
    )


def _moments(reader: StudyReader, steps: Sequence[Step], first: int) -> tuple[Moment, ...]:
    """The steps from `first` on; those before it tell alone what the model had said."""
    told: list[Message] = []
    found = []
    for step in steps:
        if step.index >= first:
            found.append(moment(reader, step, told))
        elif step.kind == StepKind.MODEL_CALL.value:
            told.append(reader.added(step).completion.message)
    return tuple(found)


def _said(message: Message) -> MessageView:
    calls = tuple(
        (call.name, _clipped(call.malformed or _arguments(dict(call.arguments)))) for call in message.tool_calls
    )
    reasoning = tuple(_clipped(block.text) for block in message.reasoning if block.text)
    return MessageView(message.role, _clipped(message.text), reasoning, calls, message.is_error)


def _arguments(given: dict[str, object]) -> str:
    """One text alone stands as it is; several as JSON."""
    if len(given) == 1 and isinstance(next(iter(given.values())), str):
        return str(next(iter(given.values())))
    return json.dumps(given, ensure_ascii=False, indent=1)


def _clipped(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    out = f"[… {len(text) - LONGEST:,} characters are left out; `lorimer traces show TRIAL --full` has them …]"
    return f"{text[:half]}\n{out}\n{text[-half:]}"
