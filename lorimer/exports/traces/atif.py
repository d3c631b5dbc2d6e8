"""Harbor's Agent Trajectory Interchange Format (ATIF 1.8): one JSON file per trial, in a folder."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lorimer
from lorimer.exports.trajectories import Event, TrialTrace, happened, output_of, valid
from lorimer.exports.wrote import Wrote, free, new_file
from lorimer.harness.api import Message, Tool, ToolCall
from lorimer.kinds import StepKind
from lorimer.meta_agent.reports.export import put
from lorimer.traces import codec
from lorimer.traces.schema import ModelCallData

PLACE = "traces-atif"
VERSION = "ATIF-v1.8"


def write(found: Iterator[TrialTrace], place: str, *, force: bool) -> Wrote:
    """Write a folder. Raises UserError where it holds anything and `force` is not set, or cannot be written."""
    folder, files = Path(place), 0
    free(folder, force=force)
    for trace in found:
        told, pictures = trajectory(trace)
        put(folder, pictures, force=True)
        with new_file(folder / file_name(trace.trial.id), force=True) as file:
            json.dump(told, file, ensure_ascii=False, indent=1)
        files += 1
    return Wrote(files, f"{files:,} files")


def file_name(trial: str) -> str:
    """The trial's id in letters that every file system takes, with a part of its SHA-256, so that no two are alike."""
    told = re.sub(r"[^A-Za-z0-9._-]+", "_", trial)[-150:].lstrip("._-")
    return f"{told}-{hashlib.sha256(trial.encode()).hexdigest()[:8]}.json"


def trajectory(trace: TrialTrace) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A trial as one trajectory, and the pictures that it names, by their paths beside it.

    A harness may hold several conversations: their steps stand in the order in which they happened, each answer with the number
    of its conversation.
    """
    trial, steps = trace.trial, _Steps(trace)
    for event in trace.events:
        steps.add(event)
    told = {
        "schema_version": VERSION,
        "session_id": trial.id,
        "trajectory_id": trial.id,
        "agent": _agent(trace, steps.tools),
        "steps": steps.found,
        "final_metrics": {
            "total_prompt_tokens": trial.input_tokens,
            "total_completion_tokens": trial.output_tokens,
            "total_cached_tokens": trial.cached_tokens,
            **({} if trial.cost_usd is None else {"total_cost_usd": trial.cost_usd}),
            "total_steps": len(steps.found),
        },
        "extra": {
            "study": trial.study,
            "stage": trial.stage,
            "task": trial.task,
            "split": trace.task.split,
            "repeat": trial.repeat,
            "attempt": trial.attempt,
            "state": trial.state,
            "reward": trial.reward,
            "rewards": trial.rewards,
            "cause": trial.cause,
            "detail": trial.detail,
            "answer": trial.answer,
            "seconds": trial.seconds,
        },
    }
    return valid(told), steps.pictures


def _agent(trace: TrialTrace, tools: dict[str, Tool]) -> dict[str, Any]:
    agent: dict[str, Any] = {
        "name": "lorimer",
        "version": lorimer.__version__,
        "model_name": trace.trial.model or None,
        "extra": {"harness": trace.trial.harness, "candidate": trace.candidate},
    }
    if tools:
        agent["tool_definitions"] = [
            {"type": "function", "function": each} for each in codec.encode_tools(tuple(tools.values()))["tools"]
        ]
    return {name: value for name, value in agent.items() if value is not None}


class _Steps:
    """The steps of a trajectory as they grow."""

    def __init__(self, trace: TrialTrace) -> None:
        self._trace = trace
        self.found: list[dict[str, Any]] = []
        self.tools: dict[str, Tool] = {}
        self.pictures: dict[str, bytes] = {}
        self._calling: dict[str, dict[str, Any]] = {}
        """The step of each tool call that has no result yet."""
        self._system: str | None = None
        self._replies = set[str]()
        """What the model has said so far: it comes again as a part of what it is sent."""
        self._sent: dict[int, int] = {}
        """How many messages each model call was sent, by its step."""
        self._conversation: dict[int, int] = {}
        """The number of its conversation."""
        self._add("user", trace.task.instruction, 0.0)

    def add(self, event: Event) -> None:
        if event.call is not None:
            self._model_call(event, event.call)
        elif event.step.kind != StepKind.VERDICT:
            self._happened(event)

    def _content(self, message: Message) -> str | list[dict[str, Any]]:
        """A message's text; in parts where there are pictures, each named by the hash of what it shows."""
        parts: list[dict[str, Any]] = [{"type": "text", "text": message.text}] if message.text else []
        for image in message.images:
            data = base64.b64decode(image.data)
            path = f"pictures/{hashlib.sha256(data).hexdigest()}.{image.type.removeprefix('image/')}"
            self.pictures[path] = data
            parts.append({"type": "image", "source": {"media_type": image.type, "path": path}})
        return parts if message.images else message.text

    def _add(self, source: str, message: str | list[dict[str, Any]], at: float, **more: Any) -> dict[str, Any]:
        step: dict[str, Any] = {
            "step_id": len(self.found) + 1,
            "timestamp": self._trace.at(at).isoformat(timespec="milliseconds"),
            "source": source,
            "message": message,
            **more,
        }
        self.found.append(step)
        return step

    def _happened(self, event: Event) -> None:
        """What a harness did goes to the step that it followed. The output of a command is what that step observed, where the
        model did not ask for it by a tool call: there the tool's answer stands, as the model was told it."""
        step = self.found[-1]
        step.setdefault("extra", {}).setdefault("events", []).append(happened(event))
        if event.step.kind == StepKind.EXEC and step["source"] == "agent" and "tool_calls" not in step:
            result = {"content": output_of(event), "extra": {"step": event.step.index}}
            step.setdefault("observation", {"results": []})["results"].append(result)

    def _model_call(self, event: Event, call: ModelCallData) -> None:
        index, base = event.step.index, event.base
        before = 0 if base is None else self._sent[base]
        self._sent[index] = event.kept + len(call.messages)
        self._conversation[index] = (
            len(set(self._conversation.values())) + 1 if base is None else self._conversation[base]
        )
        self.tools.update({tool.name: tool for tool in call.tools})
        if call.system and call.system != self._system:
            self._system = call.system
            self._add("system", call.system, call.at)
        for message in call.messages:
            self._heard(message, call.at)
        step = self._answered(call)
        extra: dict[str, Any] = {"step": index, "conversation": self._conversation[index]}
        if event.kept < before:
            extra["dropped"] = before - event.kept
        if call.recorded:
            extra["recorded"] = True
        step["extra"] = {**extra, "stop_reason": call.completion.stop_reason}

    def _heard(self, message: Message, at: float) -> None:
        if message.role == "tool":
            step = self._calling.pop(message.tool_call_id, None)
            if step is None:
                self._add(
                    "user", self._content(message), at, extra={"role": "tool", "tool_call_id": message.tool_call_id}
                )
                return
            result: dict[str, Any] = {"source_call_id": message.tool_call_id, "content": self._content(message)}
            if message.is_error:
                result["extra"] = {"is_error": True}
            step.setdefault("observation", {"results": []})["results"].append(result)
        elif message.role == "assistant":
            if _named(message) not in self._replies:  # the harness wrote it itself, and no model was asked
                self._add("agent", message.text, at, llm_call_count=0)
        elif message.role == "system":
            self._add("system", message.text, at)
        elif message.images or message.text != self._trace.task.instruction or len(self.found) > 2:
            self._add("user", self._content(message), at)

    def _answered(self, call: ModelCallData) -> dict[str, Any]:
        completion, used = call.completion, call.completion.usage
        self._replies.add(_named(completion.message))
        metrics: dict[str, Any] = {
            "prompt_tokens": used.input_tokens,
            "completion_tokens": used.output_tokens,
            "cached_tokens": used.cached_tokens,
        }
        if call.cost_usd is not None:
            metrics["cost_usd"] = call.cost_usd
        more = {"cache_write_tokens": used.cache_write_tokens, "reasoning_tokens": used.reasoning_tokens}
        told = {name: count for name, count in more.items() if count} | ({"estimated": True} if used.estimated else {})
        if told:
            metrics["extra"] = told
        step = self._add(
            "agent", completion.text or completion.error, call.at + call.seconds, llm_call_count=1, metrics=metrics
        )
        if call.model != self._trace.trial.model:
            step["model_name"] = call.model
        if call.settings.get("effort"):
            step["reasoning_effort"] = call.settings["effort"]
        if completion.reasoning:
            step["reasoning_content"] = completion.reasoning
        if completion.tool_calls:
            step["tool_calls"] = [_tool_call(each) for each in completion.tool_calls]
            self._calling.update({each.id: step for each in completion.tool_calls})
        return step


def _tool_call(call: ToolCall) -> dict[str, Any]:
    made = {"tool_call_id": call.id, "function_name": call.name, "arguments": dict(call.arguments)}
    return {**made, "extra": {"malformed": call.malformed}} if call.malformed else made


def _named(message: Message) -> str:
    return codec.digest(codec.encode_message(message))
