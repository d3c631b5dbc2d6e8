"""How the simulated models speak: a move as an assistant message, natively or as text, counted in estimated tokens."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lorimer.harness.api import Completion, Message, Reasoning, StopReason, ToolCall, Usage
from lorimer.models.base import ModelRequest
from lorimer.models.simulated.reading import Mark, ShellTool
from lorimer.models.simulated.tasks import CHARS_PER_TOKEN, CONTEXT_WINDOW

_SHELL = re.compile(r"shell|bash|command|\bcmd|terminal|\bexec|\brun\b")


@dataclass(frozen=True)
class Move:
    """What the model does next: a command, or a last word where there is none."""

    says: str
    mark: Mark | None = None
    command: str = ""


def tokens(*texts: str) -> int:
    """Estimated tokens of texts, with one for each text's frame."""
    return sum(len(text) for text in texts) // CHARS_PER_TOKEN + len(texts)


def message_tokens(messages: Sequence[Message]) -> int:
    """Estimated tokens of messages with their reasoning and calls."""
    return sum(
        tokens(message.text, *(block.text for block in message.reasoning), *map(_call_text, message.tool_calls))
        for message in messages
    )


def request_tokens(request: ModelRequest) -> int:
    """Estimated tokens of everything that is sent."""
    tools = [f"{tool.name} {tool.description} {json.dumps(tool.parameters, default=str)}" for tool in request.tools]
    return tokens(request.system or "", *tools) + message_tokens(request.messages)


def _call_text(call: ToolCall) -> str:
    return call.malformed or f"{call.name} {json.dumps(dict(call.arguments), default=str)}"


def overflow(used: int) -> Completion:
    """The refusal of a request that is larger than the context window, in a provider's manner."""
    return Completion(
        Message("assistant"),
        "context_overflow",
        Usage(),
        f"This model's maximum context length is {CONTEXT_WINDOW} tokens. However, your messages resulted in {used} tokens. "
        "Please reduce the length of the messages.",
    )


def say(move: Move, form: str, request: ModelRequest, tool: ShellTool | None, used: int, turn: str) -> Completion:
    """The move as a completion. `used` are the request's tokens; `turn` makes the call's id its own."""
    thought = Reasoning(move.says)
    if request.schema is not None:
        command = f"{move.mark.value}\n{move.command}" if move.mark else ""
        return finished(json.dumps(_filled(request.schema, move.says, command)), (), thought, request, used)
    if move.mark is None:
        return finished(move.says, (), thought, request, used)
    command = f"{move.mark.value}\n{move.command}"
    if form == "native" and tool is not None:
        call = ToolCall(call_id(turn, command), tool.name, {tool.argument: command})
        return finished("", (call,), thought, request, used)
    name, argument = (tool.name, tool.argument) if tool else ("shell", "command")
    value = {"name": name, "arguments": {argument: command}}
    text = {
        "json": f"{move.says}\n\n{json.dumps(value)}",
        "quoted": f"{move.says}\n<tool_call>\n{value!r}\n</tool_call>",
    }.get(form, f"{move.says}\n\n```bash\n{command}\n```")
    return finished(text, (), thought, request, used)


def _filled(schema: Any, says: str, command: str) -> Any:
    """A value of a simple schema: of its texts the one that a shell would take is the command, the others are words; truth values
    say whether there is no command any more."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if kind == "object":
        properties = schema.get("properties")
        inner = dict(properties) if isinstance(properties, Mapping) else {}
        shell = _command_field(inner)
        return {str(name): command if name == shell else _filled(one, says, command) for name, one in inner.items()}
    if isinstance(schema, Mapping) and isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    return {"string": says, "boolean": not command, "array": [], "integer": 0, "number": 0}.get(str(kind))


def _command_field(properties: Mapping[Any, Any]) -> Any:
    """The text that a shell would take: the first whose name or description speaks of one, or the only text that there is."""
    texts = [name for name, one in properties.items() if isinstance(one, Mapping) and one.get("type") == "string"]
    named = [name for name in texts if _SHELL.search(f"{name} {properties[name].get('description', '')}".lower())]
    return named[0] if named else texts[0] if len(texts) == 1 else None


def call_id(*parts: str) -> str:
    """A call's id, which follows from what it calls."""
    return "call_" + hashlib.blake2b("\x1f".join(parts).encode(), digest_size=6).hexdigest()


def finished(text: str, calls: Sequence[ToolCall], thought: Reasoning, request: ModelRequest, used: int) -> Completion:
    """An assistant message with its usage, cut as a provider would: at a stop word, at `max_tokens`."""
    stop: StopReason = "tool_calls" if calls else "end"
    cuts = [at for word in request.stop if word and (at := text.find(word)) >= 0]
    if cuts:
        text, calls, stop = text[: min(cuts)], (), "stop"
    room = request.max_tokens
    message = Message("assistant", text, (thought,), tuple(calls))
    output = message_tokens([message])
    if room is not None and output > room:
        stop, output, left = "max_tokens", room, max(0, room * CHARS_PER_TOKEN - len(thought.text))
        cut = tuple(_cut(call, left) for call in calls[:1])
        message = Message("assistant", text[:left], (thought,), cut)
    return Completion(message, stop, Usage(used, output, reasoning_tokens=min(output, tokens(thought.text))))


def _cut(call: ToolCall, room: int) -> ToolCall:
    arguments: Any = json.dumps(dict(call.arguments), default=str)
    return ToolCall(call.id, call.name, malformed=arguments[:room] or "{")
