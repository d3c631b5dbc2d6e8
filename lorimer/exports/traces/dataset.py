"""A `datasets.Dataset` on disk: one row per conversation, its messages in the form that chat templates take, with the reward."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorimer.errors import UserError
from lorimer.exports.trajectories import FullConversation, TrialTrace, valid
from lorimer.exports.wrote import Wrote, free
from lorimer.harness.api import Message
from lorimer.kinds import SOLVED
from lorimer.traces import codec

if TYPE_CHECKING:
    from datasets import Features

PLACE = "traces-dataset"


def write(found: Iterator[TrialTrace], place: str, *, force: bool) -> Wrote:
    """Write a folder for `datasets.load_from_disk`. Raises UserError where it holds anything and `force` is not set, or cannot be
    written. Rows go to disk as they come."""
    import datasets
    from datasets.arrow_writer import ArrowWriter

    folder = Path(place)
    free(folder, force=force)
    trials = rows = 0
    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            file, whole = Path(temporary) / "rows.arrow", Path(temporary) / "whole"
            with ArrowWriter(features=features(), path=str(file)) as writer:
                for trace in found:
                    trials += 1
                    for number, conversation in enumerate(trace.conversations, 1):
                        writer.write(row(trace, number, conversation))
                        rows += 1
                writer.finalize()
            if not rows:
                raise UserError(f"none of the {trials:,} trials that match asked a model anything")
            datasets.Dataset.from_file(str(file)).save_to_disk(str(whole))
            shutil.rmtree(folder, ignore_errors=True)
            whole.rename(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror or error}") from None
    finally:
        if not bars:
            datasets.enable_progress_bars()
    return Wrote(trials, f"{rows:,} conversations")


def features() -> Features:
    """The columns, with their types."""
    from datasets import Features, List, Value

    text, number = Value("string"), Value("int64")
    function = {"name": text, "arguments": text}
    call = {"id": text, "type": text, "function": function}
    message = {
        "role": text,
        "content": text,
        "reasoning_content": text,
        "tool_calls": List(call),
        "tool_call_id": text,
    }
    return Features(
        {
            "messages": List(message),
            "tools": text,
            "reward": Value("float64"),
            "solved": Value("bool"),
            **dict.fromkeys(("study", "candidate", "harness", "stage", "task", "split", "trial"), text),
            **dict.fromkeys(("repeat", "attempt", "conversation", "conversations", "calls"), number),
            **dict.fromkeys(("model", "state", "stop_reason"), text),
        }
    )


def row(trace: TrialTrace, number: int, conversation: FullConversation) -> dict[str, Any]:
    """A conversation as a row; every conversation of a trial has the trial's reward."""
    trial, call = trace.trial, conversation.call
    system = [{"role": "system", "content": call.system}] if call.system else []
    tools = [{"type": "function", "function": each} for each in codec.encode_tools(call.tools)["tools"]]
    told: dict[str, Any] = valid(
        {
            "messages": [*system, *map(_message, conversation.messages)],
            "tools": json.dumps(tools) if tools else None,
            "reward": trial.reward,
            "solved": None if trial.reward is None else trial.reward >= SOLVED,
            "study": trial.study,
            "candidate": trace.candidate,
            "harness": trial.harness,
            "stage": trial.stage,
            "task": trial.task,
            "split": trace.task.split,
            "trial": trial.id,
            "repeat": trial.repeat,
            "attempt": trial.attempt,
            "conversation": number,
            "conversations": len(trace.conversations),
            "calls": conversation.calls,
            "model": call.model,
            "state": trial.state,
            "stop_reason": call.completion.stop_reason,
        }
    )
    return told


def _message(message: Message) -> dict[str, Any]:
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.malformed or json.dumps(dict(call.arguments))},
        }
        for call in message.tool_calls
    ]
    words = [message.text, *map(str, message.images)] if message.images else [message.text]
    told: dict[str, Any] = {"role": message.role, "content": "\n".join(words)}
    reasoning = "\n".join(block.text for block in message.reasoning if block.text)
    more = {"reasoning_content": reasoning, "tool_calls": calls, "tool_call_id": message.tool_call_id}
    return told | {name: value for name, value in more.items() if value}
