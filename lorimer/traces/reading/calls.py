"""Model calls as they were made, read back from their steps and messages; `traces.writing.trajectory` says how those are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlmodel import Session, col, select

from lorimer.errors import UserError
from lorimer.kinds import StepKind
from lorimer.traces import codec
from lorimer.traces.schema import ModelCallData
from lorimer.traces.tables import MessageRow, Step


def whole(session: Session, owner: str, index: int) -> ModelCallData:
    """The model call at a step, with all its messages. Raises UserError when that step is no model call."""
    calls: list[Step] = []
    at: int | None = index
    while at is not None:
        step = session.exec(select(Step).where(Step.owner == owner, Step.index == at)).one_or_none()
        if step is None or step.kind != StepKind.MODEL_CALL.value:
            raise UserError(f"step {index} of {owner} is not a model call")
        calls.append(step)
        at = step.data["base"]
    shas: list[str] = []
    for step in reversed(calls):
        shas = shas[: step.data["keep"]] + step.data["append"]
    return call(session, calls[0], shas)


def call(session: Session, step: Step, shas: Sequence[str]) -> ModelCallData:
    """The model call at a step, with these messages by their SHA-256."""
    return _call(step, shas, _bodies(session, _named(step, shas)))


def added(session: Session, steps: Sequence[Step]) -> list[ModelCallData | None]:
    """The model calls at these steps, each with the messages that it added; `None` for a step of another kind."""
    calls = [step for step in steps if step.kind == StepKind.MODEL_CALL.value]
    bodies = _bodies(session, set().union(*(_named(step, step.data["append"]) for step in calls)))
    return [
        _call(step, step.data["append"], bodies) if step.kind == StepKind.MODEL_CALL.value else None for step in steps
    ]


def _named(step: Step, shas: Sequence[str]) -> set[str]:
    """The messages of a call, its system prompt, its tools and its answer among them, by SHA-256."""
    return {*shas, step.data["completion"], step.data["system"], step.data["tools"]} - {None}


def _call(step: Step, shas: Sequence[str], bodies: Mapping[str, dict[str, Any]]) -> ModelCallData:
    data = step.data
    return ModelCallData(
        owner=step.owner,
        at=step.at,
        seconds=step.seconds,
        waited_seconds=data["waited_seconds"],
        retries=data["retries"],
        system=bodies[data["system"]]["text"] if data["system"] else None,
        tools=codec.decode_tools(bodies[data["tools"]]) if data["tools"] else (),
        messages=tuple(codec.decode_message(bodies[sha]) for sha in shas),
        settings=data["settings"],
        completion=codec.decode_completion(bodies[data["completion"]], data),
        cost_usd=data["cost_usd"],
        model=data["model"],
        recorded=bool(data.get("recorded")),
    )


def _bodies(session: Session, shas: Iterable[str]) -> dict[str, dict[str, Any]]:
    bodies: dict[str, dict[str, Any]] = {}
    ordered = sorted(shas)
    for start in range(0, len(ordered), 500):  # SQLite's limit of variables was 999 for long
        part = ordered[start : start + 500]
        bodies.update(
            {row.sha: row.body for row in session.exec(select(MessageRow).where(col(MessageRow.sha).in_(part)))}
        )
    return bodies
