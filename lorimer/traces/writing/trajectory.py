"""Turns a model call into a step and the messages it adds.

A call of a conversation repeats all that was said before, so a call is stored as "the first `keep` messages of the model
call at step `base`, then `append`", where messages are SHA-256 sums. A harness may run several conversations at once
(sub-agents); each call is put on the one that it continues.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import is_
from typing import Any

from lorimer.harness.api import Message
from lorimer.kinds import REFUSED
from lorimer.traces import codec
from lorimer.traces.caching import CacheWatch, Sent
from lorimer.traces.schema import ModelCallData, StepKind
from lorimer.traces.scrub import passes, scrub_json

MAX_HEADS = 8
"""Conversations of one owner that are remembered at once. An older one that goes on costs its sums once more, no more."""

LONG_OUTPUT = 80
"""Characters, a line of a terminal. A shorter output may stand in a message by chance, and there is little to spare in it."""


def common(before: tuple[Message, ...], now: tuple[Message, ...]) -> int:
    """How many messages two calls begin with in common."""
    length = min(len(before), len(now))
    if all(map(is_, before, now)):
        return length
    return next((place for place in range(length) if not _same(before[place], now[place])), length)


def _same(one: Message, other: Message) -> bool:
    """Whether two messages are the same JSON. Equal values in a call's arguments may not be: 1 is `true` for Python."""
    if one is other:
        return True
    if one != other:
        return False
    return not (one.tool_calls or one.reasoning) or repr(one) == repr(other)


@dataclass(frozen=True)
class _Sums:
    """The SHA-256 of one message: as it came, and as it was stored, scrubbed."""

    came: str
    stored: str


@dataclass
class _Head:
    """The newest call of one conversation."""

    index: int
    messages: tuple[Message, ...]
    """The messages as they came. They are compared, which is much quicker than to sum a whole conversation at every call."""
    came: tuple[str, ...]
    stored: tuple[str, ...]
    """The sums of the messages."""
    answer: Message
    answered: _Sums
    sent: Sent


@dataclass
class OwnerSteps:
    """What the writer remembers of one owner's steps. `next_index` is the index of the step to come."""

    next_index: int = 0
    heads: list[_Head] = field(default_factory=list)
    masked: bool = False
    """Whether anything of the newest model call was masked."""
    breaks: CacheWatch = field(default_factory=CacheWatch)
    _standing: dict[str, _Sums] = field(default_factory=dict)
    """System prompts and lists of tools that are stored, by their JSON: a harness sends the same ones with every call."""
    _outputs: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_HEADS))
    """The newest long outputs of commands that no model was told yet."""

    def take_index(self) -> int:
        self.next_index += 1
        return self.next_index - 1

    def put_out(self, *outputs: str) -> None:
        """Note what a command put out."""
        self._outputs.extend(text for output in outputs if len(text := output.strip()) > LONG_OUTPUT)

    def untold(self, told: str) -> str:
        """What a message says beside the outputs of commands in it."""
        for output in list(self._outputs):
            if output in told:
                told = told.replace(output, "\n")  # the words around it stay two
                self._outputs.remove(output)
        return told

    def model_call(
        self, call: ModelCallData, scrub: Callable[[str], str], store: Callable[[str, str], None]
    ) -> dict[str, Any]:
        """The step's row, without text columns; messages that may be new go to `store(sha, body)`, as JSON."""

        def put(body: dict[str, Any], *, standing: bool = False) -> _Sums:
            said = codec.canonical(body)
            sums = self._standing.get(said) if standing else None
            if sums is None:
                came, clean = codec.digest_of(said), body if passes(said, scrub) else scrub_json(body, scrub)
                same = clean is body or clean == body
                sums = _Sums(came, came if same else codec.digest(clean))
                store(sums.stored, said if same and codec.in_order(body) else codec.dumps(clean))
                if standing:
                    if len(self._standing) == 2 * MAX_HEADS:  # one of each kind for every conversation
                        del self._standing[next(iter(self._standing))]
                    self._standing[said] = sums
            self.masked = self.masked or sums.came != sums.stored
            return sums

        index, self.masked = self.take_index(), False
        head, keep = self._continued(call.messages)
        came, stored = (head.came[:keep], head.stored[:keep]) if head else ((), ())
        append: list[_Sums] = []
        for message in call.messages[keep:]:
            if head is not None and not append and _same(message, head.answer):
                append.append(head.answered)  # what the model answered is sent with the next call, and has its sums
            else:
                append.append(put(codec.encode_message(message)))
        came += tuple(sums.came for sums in append)
        stored += tuple(sums.stored for sums in append)
        self.masked = self.masked or came != stored
        answered = put(codec.encode_message(call.completion.message))
        sent = self._sent(
            call, came, answered.came, head.sent if head is not None and keep == len(head.came) else None, index
        )
        data: dict[str, Any] = {
            "model": call.model,
            "base": head.index if head else None,
            "keep": keep,
            "append": list(stored[keep:]),
            "system": None if call.system is None else put(codec.encode_system(call.system), standing=True).stored,
            "tools": put(codec.encode_tools(call.tools), standing=True).stored if call.tools else None,
            "completion": answered.stored,
            "stop_reason": call.completion.stop_reason,
            "usage": codec.encode_usage(call.completion.usage),
            "error": call.completion.error,
            "cost_usd": call.cost_usd,
            "settings": dict(call.settings),
            "waited_seconds": call.waited_seconds,
            "retries": call.retries,
        }
        if call.recorded:
            data["recorded"] = True
        if head is not None and keep == len(head.came):
            self.heads.remove(head)
        new = _Head(index, call.messages, came, stored, call.completion.message, answered, sent)
        self.heads = [*self.heads[-(MAX_HEADS - 1) :], new]
        return {
            "owner": call.owner,
            "index": index,
            "kind": StepKind.MODEL_CALL.value,
            "at": call.at,
            "seconds": call.seconds,
            "data": data,
        }

    def _sent(self, call: ModelCallData, came: tuple[str, ...], answer: str, carried: Sent | None, index: int) -> Sent:
        """What the call sent; `carried` is what it carries on, whole."""
        start, said = (len(carried.messages), carried.said) if carried else (0, frozenset[str]())
        new = zip(call.messages[start:], came[start:], strict=True)
        said = said.union([answer], (digest for message, digest in new if message.role == "assistant"))
        usage = call.completion.usage
        # Of what a record answered, was refused or was not counted, the provider's cache knows nothing that could be told.
        counted = not call.recorded and not usage.estimated and call.completion.stop_reason not in REFUSED
        sent = Sent(call.system, call.tools, came, said, usage.input_tokens if counted else 0)
        if counted:
            self.breaks.look((head.sent for head in reversed(self.heads)), sent, usage, index)
        return sent

    def _continued(self, messages: tuple[Message, ...]) -> tuple[_Head | None, int]:
        best: _Head | None = None
        keep = 0
        for head in self.heads:
            shared = common(head.messages, messages)
            if shared > keep:
                best, keep = head, shared
        return best, keep
