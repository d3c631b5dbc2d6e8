"""What a harness and its model said, as a trajectory in Harbor's format (ATIF 1.8). Pure but for the clock it is handed.

`Steps` is the one writer. `LiveTrajectory` feeds it while an exported harness runs, `exports.traces.atif` from what was recorded.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lorimer.harness.api import Completion, Message, Tool, ToolCall
from lorimer.models.base import ModelRequest

VERSION = "ATIF-v1.8"


@dataclass(frozen=True)
class AnsweredTurn:
    """A call of the model that was answered."""

    number: int
    """The number by which later calls name it."""
    base: int | None
    """The call that this one goes on from."""
    kept: int
    """How many messages of that call this one begins with."""
    heard: Sequence[Message]
    """Those that follow them."""
    system: str | None
    tools: Sequence[Tool]
    completion: Completion
    began: str
    ended: str
    """Times, as JSON has them."""
    cost_usd: float | None = None
    own: Mapping[str, Any] = field(default_factory=dict)
    """What else the step of its answer says, by fields of the format."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What else is known of it, beyond the format."""


class Steps:
    """The steps of a trajectory as they grow, in the order in which things happened. A harness may hold several conversations:
    each answer has the number of its own."""

    def __init__(self, instruction: str, began: str) -> None:
        self._instruction = instruction
        self.found: list[dict[str, Any]] = []
        self.tools: dict[str, dict[str, Any]] = {}
        """Those that the model was offered, by name."""
        self.pictures: dict[str, bytes] = {}
        """What steps name, by its path beside the trajectory."""
        self.used = {"total_prompt_tokens": 0, "total_completion_tokens": 0, "total_cached_tokens": 0}
        self._calling: dict[str, dict[str, Any]] = {}
        """The step of each tool call that has no result yet."""
        self._system: str | None = None
        self._replies: list[Message] = []
        """What the model has said so far: it comes again as a part of what it is sent."""
        self._sent: dict[int, int] = {}
        """How many messages each call was sent."""
        self._conversation: dict[int, int] = {}
        """The number of its conversation."""
        self.add("user", instruction, began)

    def add(self, source: str, message: str | list[dict[str, Any]], at: str, **more: Any) -> dict[str, Any]:
        """A step that is not of a call."""
        step = {"step_id": len(self.found) + 1, "timestamp": at, "source": source, "message": message, **more}
        self.found.append(step)
        return step

    def turn(self, turn: AnsweredTurn) -> None:
        """The steps that a call adds: what the model was told, and its answer."""
        before = 0 if turn.base is None else self._sent[turn.base]
        self._sent[turn.number] = turn.kept + len(turn.heard)
        known = self._conversation
        known[turn.number] = len(set(known.values())) + 1 if turn.base is None else known[turn.base]
        for tool in turn.tools:
            described = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
            self.tools[tool.name] = {"type": "function", "function": described}
        if turn.system and turn.system != self._system:
            self._system = turn.system
            self.add("system", turn.system, turn.began)
        for message in turn.heard:
            self._heard(message, turn.began)
        extra: dict[str, Any] = {**turn.extra, "conversation": known[turn.number]}
        if turn.kept < before:
            extra["dropped"] = before - turn.kept
        self._answered(turn)["extra"] = {**extra, "stop_reason": turn.completion.stop_reason}

    def _heard(self, message: Message, at: str) -> None:
        if message.role == "tool":
            step = self._calling.pop(message.tool_call_id, None)
            if step is None:
                named = {"role": "tool", "tool_call_id": message.tool_call_id}
                self.add("user", self._content(message), at, extra=named)
                return
            result: dict[str, Any] = {"source_call_id": message.tool_call_id, "content": self._content(message)}
            if message.is_error:
                result["extra"] = {"is_error": True}
            step.setdefault("observation", {"results": []})["results"].append(result)
        elif message.role == "assistant":
            if message not in self._replies:  # the harness wrote it itself, and no model was asked
                self.add("agent", message.text, at, llm_call_count=0)
        elif message.role == "system":
            self.add("system", message.text, at)
        elif message.images or message.text != self._instruction or len(self.found) > 2:
            self.add("user", self._content(message), at)

    def _content(self, message: Message) -> str | list[dict[str, Any]]:
        """A message's text; in parts where there are pictures, each named by the hash of what it shows."""
        parts: list[dict[str, Any]] = [{"type": "text", "text": message.text}] if message.text else []
        for image in message.images:
            data = base64.b64decode(image.data)
            path = f"pictures/{hashlib.sha256(data).hexdigest()}.{image.type.removeprefix('image/')}"
            self.pictures[path] = data
            parts.append({"type": "image", "source": {"media_type": image.type, "path": path}})
        return parts if message.images else message.text

    def _answered(self, turn: AnsweredTurn) -> dict[str, Any]:
        completion, used = turn.completion, turn.completion.usage
        self._replies.append(completion.message)
        metrics: dict[str, Any] = {
            "prompt_tokens": used.input_tokens,
            "completion_tokens": used.output_tokens,
            "cached_tokens": used.cached_tokens,
        }
        for name, count in metrics.items():
            self.used[f"total_{name}"] += count
        if turn.cost_usd is not None:
            metrics["cost_usd"] = turn.cost_usd
        more = {"cache_write_tokens": used.cache_write_tokens, "reasoning_tokens": used.reasoning_tokens}
        told = {name: count for name, count in more.items() if count} | ({"estimated": True} if used.estimated else {})
        if told:
            metrics["extra"] = told
        text = completion.text or completion.error
        step = self.add("agent", text, turn.ended, llm_call_count=1, metrics=metrics, **turn.own)
        if completion.reasoning:
            step["reasoning_content"] = completion.reasoning
        if completion.tool_calls:
            step["tool_calls"] = [_call(call) for call in completion.tool_calls]
            self._calling |= {call.id: step for call in completion.tool_calls}
        return step

    def whole(
        self, agent: Mapping[str, Any], session: str | None, totals: Mapping[str, Any], **more: Any
    ) -> dict[str, Any]:
        """The trajectory, as JSON has it.

        Args:
            agent: `name`, `version` and `model_name`.
            session: the run that it belongs to.
            totals: the tokens and the cost of all of it.
            more: further fields of the format.
        """
        return {
            "schema_version": VERSION,
            **({"session_id": session} if session else {}),
            "agent": {**agent, **({"tool_definitions": list(self.tools.values())} if self.tools else {})},
            "steps": self.found,
            "final_metrics": {**totals, "total_steps": len(self.found)},
            **more,
        }


def _call(call: ToolCall) -> dict[str, Any]:
    made: dict[str, Any] = {"tool_call_id": call.id, "function_name": call.name, "arguments": dict(call.arguments)}
    return {**made, "extra": {"malformed": call.malformed}} if call.malformed else made


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class LiveTrajectory:
    """Grows with each call of the model that runs now."""

    def __init__(self, instruction: str, clock: Callable[[], str] = _now) -> None:
        self._clock = clock
        self._last = clock()
        self.steps = Steps(instruction, self._last)
        self._calls = 0
        self._open: dict[int, Sequence[Message]] = {}
        """What calls were sent with which no later call went on as they were."""

    def on_call(self, request: ModelRequest, completion: Completion) -> None:
        """A call of the model that was answered."""
        base, kept = self._continued(request.messages)
        now = self._clock()
        self.steps.turn(
            AnsweredTurn(
                number=self._calls,
                base=base,
                kept=kept,
                heard=request.messages[kept:],
                system=request.system,
                tools=request.tools,
                completion=completion,
                began=self._last,
                ended=now,
            )
        )
        if base is not None and kept == len(self._open[base]):
            del self._open[base]
        self._open[self._calls] = request.messages
        self._last, self._calls = now, self._calls + 1

    def _continued(self, messages: Sequence[Message]) -> tuple[int | None, int]:
        """The call that has the longest beginning in common with these messages, and how long that is."""
        base, kept = None, 0
        for number, sent in self._open.items():
            common = 0
            for one, other in zip(sent, messages, strict=False):
                if one is not other and one != other:
                    break
                common += 1
            if common > kept:
                base, kept = number, common
        return base, kept

    def ended(self, answer: str) -> None:
        """What the harness returned, where it is not what the model said last."""
        last = self.steps.found[-1]
        if last["source"] != "agent" or last["message"] != answer:
            self.steps.add("agent", answer, self._clock(), llm_call_count=0)

    def value(self, agent: Mapping[str, Any], session: str | None) -> dict[str, Any]:
        """The whole, as JSON has it: see `Steps.whole`."""
        return self.steps.whole(agent, session, self.steps.used)
