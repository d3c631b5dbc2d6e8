"""Turns a model call into a step and the messages it adds.

A call of a conversation repeats all that was said before, so a call is stored as "the first `keep` messages of the model
call at step `base`, then `append`", where messages are SHA-256 sums. A harness may run several conversations at once
(sub-agents); each call is put on the one that it continues.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lorimer.kinds import REFUSED
from lorimer.traces import codec
from lorimer.traces.caching import CacheWatch, Sent
from lorimer.traces.schema import ModelCallData, StepKind
from lorimer.traces.scrub import scrub_json

MAX_HEADS = 8
"""Conversations of one owner that are remembered at once. An older one that goes on costs its sums once more, no more."""


@dataclass
class _Head:
    """The newest call of one conversation."""

    index: int
    raw: tuple[str, ...]
    """Digests of the messages as they came: comparing them saves scrubbing the whole conversation at every call."""
    stored: tuple[str, ...]
    """SHA-256 of the messages as they were stored, scrubbed."""
    sent: Sent


@dataclass
class Trajectory:
    """What the writer remembers of one owner's steps. `next_index` is the index of the step to come."""

    next_index: int = 0
    heads: list[_Head] = field(default_factory=list)
    masked: bool = False
    """Whether anything of the newest model call was masked."""
    breaks: CacheWatch = field(default_factory=CacheWatch)

    def take_index(self) -> int:
        self.next_index += 1
        return self.next_index - 1

    def model_call(
        self, call: ModelCallData, scrub: Callable[[str], str], store: Callable[[str, dict[str, Any]], None]
    ) -> dict[str, Any]:
        """The step's row, without text columns; messages that may be new go to `store(sha, body)`."""

        def put(body: dict[str, Any]) -> str:
            clean = scrub_json(body, scrub)
            self.masked = self.masked or clean != body
            sha = codec.digest(clean)
            store(sha, clean)
            return sha

        index, self.masked = self.take_index(), False
        bodies = [codec.encode_message(message) for message in call.messages]
        raw = tuple(codec.digest(body) for body in bodies)
        sent = self._sent(call, raw, index)
        head, keep = self._continued(raw)
        stored = (head.stored[:keep] if head else ()) + tuple(put(body) for body in bodies[keep:])
        self.masked = self.masked or stored != raw
        data: dict[str, Any] = {
            "model": call.model,
            "base": head.index if head else None,
            "keep": keep,
            "append": list(stored[keep:]),
            "system": None if call.system is None else put(codec.encode_system(call.system)),
            "tools": put(codec.encode_tools(call.tools)) if call.tools else None,
            "completion": put(codec.encode_message(call.completion.message)),
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
        if head is not None and keep == len(head.raw):
            self.heads.remove(head)
        self.heads = [*self.heads[-(MAX_HEADS - 1) :], _Head(index, raw, stored, sent)]
        return {
            "owner": call.owner,
            "index": index,
            "kind": StepKind.MODEL_CALL.value,
            "at": call.at,
            "seconds": call.seconds,
            "data": data,
        }

    def _sent(self, call: ModelCallData, raw: tuple[str, ...], index: int) -> Sent:
        said = [digest for message, digest in zip(call.messages, raw, strict=True) if message.role == "assistant"]
        answer = codec.digest(codec.encode_message(call.completion.message))
        usage = call.completion.usage
        # Of what a record answered, was refused or was not counted, the provider's cache knows nothing that could be told.
        counted = not call.recorded and not usage.estimated and call.completion.stop_reason not in REFUSED
        tokens = usage.input_tokens if counted else 0
        sent = Sent(call.system, call.tools, raw, frozenset([*said, answer]), tokens)
        if counted:
            self.breaks.look((head.sent for head in reversed(self.heads)), sent, usage, index)
        return sent

    def _continued(self, raw: tuple[str, ...]) -> tuple[_Head | None, int]:
        best: _Head | None = None
        keep = 0
        for head in self.heads:
            common = _common(head.raw, raw)
            if common > keep:
                best, keep = head, common
        return best, keep


def _common(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    for position, (left, right) in enumerate(zip(a, b, strict=False)):
        if left != right:
            return position
    return min(len(a), len(b))
