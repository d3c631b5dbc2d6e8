"""What a harness and its model said, as a trajectory in Harbor's format (ATIF 1.8). Pure but for the clock it is handed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from lorimer.harness.api import Completion, Message, ToolCall
from lorimer.models.base import ModelRequest


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Trajectory:
    """Grows with each call of the model. A harness may hold several conversations: a step is written where it happened."""

    def __init__(self, instruction: str, clock: Callable[[], str] = _now) -> None:
        self._clock, self._steps = clock, list[dict[str, Any]]()
        self._known: dict[int, Message] = {}
        """Messages that have been written, by identity; kept, so that no other gets the same."""
        self._instruction, self._system = instruction, ""
        self._calling: dict[str, dict[str, Any]] = {}
        """The step of each tool call that has no result yet."""
        self._used = {"total_prompt_tokens": 0, "total_completion_tokens": 0, "total_cached_tokens": 0}
        self._tools: dict[str, dict[str, Any]] = {}
        self._add("user", instruction)

    def on_call(self, request: ModelRequest, completion: Completion) -> None:
        """A call of the model that was answered."""
        if request.system and request.system != self._system:
            self._system = request.system
            self._add("system", request.system)
        for tool in request.tools:
            described = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
            self._tools[tool.name] = {"type": "function", "function": described}
        for message in request.messages:
            if id(message) not in self._known:
                self._known[id(message)] = message
                self._heard(message)
        self._known[id(completion.message)] = completion.message
        self._answered(completion)

    def _heard(self, message: Message) -> None:
        if message.role == "tool" and (step := self._calling.pop(message.tool_call_id, None)) is not None:
            result = {"source_call_id": message.tool_call_id, "content": message.text}
            step.setdefault("observation", {"results": []})["results"].append(result)
        elif message.role == "assistant":
            # One that the harness wrote itself: no model was asked.
            self._add("agent", message.text, llm_call_count=0)
        elif message.text != self._instruction:
            self._add("user", message.text)

    def _answered(self, completion: Completion) -> None:
        used = completion.usage
        metrics = {
            "prompt_tokens": used.input_tokens,
            "completion_tokens": used.output_tokens,
            "cached_tokens": used.cached_tokens,
        }
        for name, value in metrics.items():
            self._used[f"total_{name}"] += value
        step = self._add("agent", completion.text or completion.error, llm_call_count=1, metrics=metrics)
        if completion.reasoning:
            step["reasoning_content"] = completion.reasoning
        if completion.tool_calls:
            step["tool_calls"] = [_call(call) for call in completion.tool_calls]
            self._calling |= {call.id: step for call in completion.tool_calls}

    def ended(self, answer: str) -> None:
        """What the harness returned, where it is not what the model said last."""
        if not self._steps or self._steps[-1]["source"] != "agent" or self._steps[-1]["message"] != answer:
            self._add("agent", answer, llm_call_count=0)

    def _add(self, source: str, message: str, **more: Any) -> dict[str, Any]:
        step = {
            "step_id": len(self._steps) + 1,
            "timestamp": self._clock(),
            "source": source,
            "message": message,
            **more,
        }
        self._steps.append(step)
        return step

    def value(self, agent: Mapping[str, Any], session: str | None) -> dict[str, Any]:
        """The whole, as JSON has it.

        Args:
            agent: `name`, `version` and `model_name`.
            session: the run that it belongs to.
        """
        described = {**agent, **({"tool_definitions": list(self._tools.values())} if self._tools else {})}
        return {
            "schema_version": "ATIF-v1.8",
            **({"session_id": session} if session else {}),
            "agent": described,
            "steps": self._steps,
            "final_metrics": {**self._used, "total_steps": len(self._steps)},
        }


def _call(call: ToolCall) -> dict[str, Any]:
    made: dict[str, Any] = {"tool_call_id": call.id, "function_name": call.name, "arguments": dict(call.arguments)}
    return {**made, "extra": {"malformed": call.malformed}} if call.malformed else made
