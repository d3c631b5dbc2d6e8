"""JSON lines: one trial per line, with everything that was recorded of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lorimer.exports.trajectories import RecordedStep, TrialTrace, valid
from lorimer.exports.wrote import Wrote, new_file
from lorimer.traces import codec
from lorimer.traces.tables import TaskRow, Trial

PLACE = "traces.jsonl"
FORMAT = "lorimer-trial/1"


def write(found: Iterator[TrialTrace], place: str, *, force: bool) -> Wrote:
    """Write one file. Raises UserError where it is there and `force` is not set, or cannot be written."""
    lines = 0
    with new_file(Path(place), force=force) as file:
        for trace in found:
            file.write(json.dumps(line(trace), ensure_ascii=False, separators=(",", ":")) + "\n")
            lines += 1
    return Wrote(lines, f"{lines:,} lines")


def line(trace: TrialTrace) -> dict[str, Any]:
    """A trial as JSON has it; docs/traces-out.md has every field."""
    found: dict[str, Any] = {
        "format": FORMAT,
        "candidate": trace.candidate,
        "trial": _columns(trace.trial),
        "task": _columns(trace.task),
        "steps": [_step(event) for event in trace.events],
    }
    told: dict[str, Any] = valid(found)
    return told


def _columns(row: Trial | TaskRow) -> dict[str, Any]:
    """A row of the store, its columns in the order of docs/traces.md."""
    return {name: getattr(row, name) for name in type(row).model_fields}


def _step(event: RecordedStep) -> dict[str, Any]:
    step = event.step
    head = {"index": step.index, "kind": step.kind, "at": step.at, "seconds": step.seconds}
    call = event.call
    if call is None:
        return {**head, **step.data}
    return {
        **head,
        "model": call.model,
        "continues": event.base,
        "kept": event.kept,
        "system": call.system,
        "tools": codec.encode_tools(call.tools)["tools"],
        "added": [codec.encode_message(message) for message in call.messages],
        "answer": codec.encode_message(call.completion.message),
        "stop_reason": call.completion.stop_reason,
        "error": call.completion.error,
        "usage": codec.encode_usage(call.completion.usage),
        "cost_usd": call.cost_usd,
        "settings": dict(call.settings),
        "waited_seconds": call.waited_seconds,
        "retries": call.retries,
        "recorded": call.recorded,
    }
