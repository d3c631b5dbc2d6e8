"""A record as a trial's spec carries it: what it takes to answer the calls again, as a value and as JSON.

What was asked for is not carried: two requests are the same where their keys are, and those of a long trial are far larger than
its answers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from lorimer.harness.api import Task
from lorimer.traces import wired
from lorimer.traces.wired import AnsweredCall


@dataclass(frozen=True)
class CarriedPart:
    """One start of the recorded harness."""

    task: Task
    """What it was told."""
    began: float
    """When; seconds since 1970."""
    calls: tuple[AnsweredCall, ...]
    """The calls in order of issue; the last one is `finish`."""


@dataclass(frozen=True)
class Carried:
    """The record of one trial."""

    trial: str
    """Its id."""
    models: tuple[str, ...]
    """The models that its provider's answers named."""
    parts: tuple[CarriedPart, ...]


def carried(record: wired.Record) -> Carried:
    """A record without its requests."""
    names = [field.name for field in dataclasses.fields(AnsweredCall)]
    parts = [
        CarriedPart(
            part.task,
            part.began,
            tuple(AnsweredCall(**{name: getattr(call, name) for name in names}) for call in part.calls),
        )
        for part in record.parts
    ]
    return Carried(record.trial, record.models, tuple(parts))


def as_json(record: Carried) -> dict[str, Any]:
    """The record as plain values."""
    return {
        "trial": record.trial,
        "models": list(record.models),
        "parts": [
            {
                "task": dataclasses.asdict(part.task),
                "began": part.began,
                "calls": [{**vars(call), "answer": wired.answer_as_json(call.answer)} for call in part.calls],
            }
            for part in record.parts
        ],
    }


def from_json(value: Mapping[str, Any]) -> Carried:
    """What `as_json` was given. Raises ValueError for what it never gives."""
    try:
        parts = [
            CarriedPart(
                Task(**part["task"]),
                part["began"],
                tuple(
                    AnsweredCall(**{**call, "answer": wired.answer_from_json(call["answer"])}) for call in part["calls"]
                ),
            )
            for part in value["parts"]
        ]
        return Carried(value["trial"], tuple(value["models"]), tuple(parts))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no record: {type(error).__name__}: {error}") from None


def _read(value: object) -> Carried | None:
    if value is None or isinstance(value, Carried):
        return value
    if not isinstance(value, Mapping):
        raise ValueError("no record: not an object")
    return from_json(value)


CarriedRecord = Annotated[
    Carried | None, PlainValidator(_read), PlainSerializer(lambda value: None if value is None else as_json(value))
]
"""A field of a model."""
