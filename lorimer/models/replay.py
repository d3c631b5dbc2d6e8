"""Recorded replies in place of a provider: the same call gets the same answer, whatever ran before or beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from lorimer.errors import ConfigError
from lorimer.models.base import CallContext, ModelClient, ModelReply, ModelRequest


@dataclass(frozen=True)
class ReplayKey:
    """What a recorded reply depends on (DESIGN 4.5), and nothing else."""

    role: str
    seed: int
    harness: str
    task: str
    attempt: int
    call_index: int
    stage: str
    content: str
    """SHA-256 of the request."""


def replay_key(request: ModelRequest, context: CallContext) -> ReplayKey:
    """The key under which the answer to this call is recorded."""
    return ReplayKey(
        context.role,
        context.seed,
        context.harness,
        context.task,
        context.attempt,
        context.call_index,
        context.stage,
        content_hash(request),
    )


def content_hash(request: ModelRequest) -> str:
    """SHA-256 over all that the model is asked, in a form that does not depend on the order of mappings."""
    return hashlib.sha256(json.dumps(asdict(request), sort_keys=True).encode()).hexdigest()


class ReplayModel:
    """A ModelClient that answers from `replies`: a mapping, or a function that returns `None` for what it does not know."""

    def __init__(
        self,
        replies: Mapping[ReplayKey, ModelReply] | Callable[[ReplayKey], ModelReply | None],
    ) -> None:
        self._find = replies.get if isinstance(replies, Mapping) else replies

    @property
    def id(self) -> str:
        return "replay/recorded"

    async def complete(self, request: ModelRequest, context: CallContext) -> ModelReply:
        """The recorded reply. Raises ConfigError, which names the call, when there is none."""
        key = replay_key(request, context)
        reply = self._find(key)
        if reply is None:
            raise ConfigError(
                f"{self.id}: no recorded reply for {key.role} call {key.call_index} of '{key.task}', attempt "
                f"{key.attempt}, seed {key.seed}, harness {key.harness[:12] or '-'}, request {key.content[:12]}"
            )
        return reply

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """A replay costs nothing, and that is known."""
        return 0.0

    async def close(self) -> None:
        pass


class RecordingModel:
    """A ModelClient that passes calls on and keeps every reply in `replies`, ready for a ReplayModel."""

    def __init__(self, model: ModelClient) -> None:
        self._model = model
        self.replies: dict[ReplayKey, ModelReply] = {}

    @property
    def id(self) -> str:
        return self._model.id

    async def complete(self, request: ModelRequest, context: CallContext) -> ModelReply:
        """The model's own answer, kept. Raises what the model raises."""
        reply = await self._model.complete(request, context)
        self.replies[replay_key(request, context)] = reply
        return reply

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        return self._model.price(input_tokens, output_tokens)

    async def close(self) -> None:
        await self._model.close()
