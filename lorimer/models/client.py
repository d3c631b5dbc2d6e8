"""The one model client for real providers: retries, refusals, prices. How an API speaks is its dialect's business."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from lorimer.errors import CallFailed, ConfigError
from lorimer.harness.api import Completion, StopReason, Usage, assistant
from lorimer.models import forms, guard, listed, pricing
from lorimer.models.abilities import Abilities
from lorimer.models.base import Billed, CallContext, ModelNote, ModelReply, ModelRequest
from lorimer.models.bodies.settings import Optional, Served, unsupported
from lorimer.models.failing.failures import (
    UNCOUNTED,
    Judgement,
    SetupFault,
    StatusFailure,
    Unreachable,
    UnreadableAnswer,
    advice,
    judgement_of,
)
from lorimer.models.failing.inside import failure_inside
from lorimer.models.failing.lengths import lengths
from lorimer.models.failing.retry import Retryable, RetryClock, retrying
from lorimer.models.flow import places
from lorimer.models.flow.places import Place
from lorimer.models.flow.turns import RequestTurn, Turns, TurnsWaited
from lorimer.models.listed import ListedModel
from lorimer.models.messages import encodable
from lorimer.models.provider import Key, ProviderConfig
from lorimer.models.room import PLAINLY, Room
from lorimer.models.streamed import Streaming
from lorimer.models.streams.events import is_stream
from lorimer.models.streams.reading import Assembler, Pace, assembled
from lorimer.models.usage import counted


class ReplyFields(BaseModel):
    """The part of a provider's reply that lorimer reads; providers add fields freely."""

    model_config = ConfigDict(extra="ignore")


def served(model: str, provider: ProviderConfig) -> Served:
    """Who answers, as far as bodies depend on it."""
    return Served(
        model, provider.max_tokens, provider.name, provider.official, provider.send_reasoning, dict(provider.extra_body)
    )


class Dialect(Protocol):
    """One API: bodies from requests, completions from bodies, and the SDK that carries both."""

    base_url: str
    optional: Mapping[str, Optional]

    def encode(self, request: ModelRequest, dropped: frozenset[str], *, stream: bool = False) -> dict[str, Any]:
        """The request body, without the `optional` settings named in `dropped`.

        Args:
            stream: whether it asks for a stream.
        """
        ...

    def decode(self, data: Any, request: ModelRequest) -> Completion:
        """A reply in lorimer's words, with 0 for what the provider did not count.

        Raises pydantic's ValidationError, UnreadableAnswer or StatusFailure for a body that is no completion.
        """
        ...

    def usage(self, data: Mapping[str, Any]) -> Usage:
        """What a reply counts, an answer or not, 0 for what it does not."""
        ...

    def learn(self, words: str, body: Mapping[str, Any], request: ModelRequest) -> bool:
        """Whether a refusal's words say what a body lacked or held too much of, so that the request is worth sending again.

        From then on bodies are encoded so.
        """
        ...

    async def send(self, body: dict[str, Any], pace: Pace) -> bytes:
        """The answer in one piece, also where the body asks for a stream. Raises StatusFailure or Unreachable, never the SDK's
        own; for a stream what `collect` raises, too."""
        ...

    def assembler(self) -> Assembler:
        """What makes one answer of a stream."""
        ...

    async def list_models(self) -> bytes:
        """The provider's list of models, as it sends it. Raises as `send` does."""
        ...

    async def close(self) -> None: ...


_ENDED: Mapping[str, StopReason] = {
    "rejected": "rejected",
    "context_overflow": "context_overflow",
    "refusal": "refusal",
}


MODEL_CHARS = 200
"""The most that is kept of the name that an answer gives its model; a local server's is a path."""

_CALLS_OWN: frozenset[SetupFault | None] = frozenset({"access", "model", "api", "path"})
"""Faults of the set-up (403, 404, 405) that gateways answer to one prompt as well, where they route by what it holds."""


class _SetUpFailure(ConfigError):
    """The set-up is at fault, or, where the provider answers others, this call."""

    def __init__(self, told: str, words: str, fault: SetupFault | None) -> None:
        super().__init__(told)
        self.words, self.fault = words, fault
        if fault == "model":
            self.begin_anew = "a study keeps its models, so with another name begin a new one"


@dataclass(frozen=True)
class _Answer:
    """What a request came to."""

    completion: Completion
    seconds: float
    """What it alone took."""
    model: str = ""
    """The one that it names."""


class ProviderClient:
    """A ModelClient for one model of one provider."""

    def __init__(
        self,
        model_id: str,
        provider: ProviderConfig,
        dialect: Dialect,
        key: Key,
        clock: RetryClock,
        on_tokens: Callable[[float], None] = lambda tokens: None,
    ) -> None:
        self._id = model_id
        self._name = model_id.partition("/")[2]
        self._provider, self._dialect, self._key, self._clock = provider, dialect, key, clock
        self._dropped: frozenset[str] = frozenset()
        self._notes: dict[str, ModelNote] = {}
        self._room, self._streaming = Room(model_id, provider), Streaming(model_id, provider)
        self._pace = Pace(provider.retry.between_tokens_seconds, lambda count: on_tokens(count / PLAINLY))
        self._turns = Turns(
            self._place,
            provider.name,
            provider.concurrency,
            clock.wall,
            adapts=provider.adaptive_concurrency,
            patience=provider.retry.window_seconds,
            within=provider.retry.timeout_seconds,
        )

    @property
    def id(self) -> str:
        return self._id

    def __repr__(self) -> str:
        return f"ProviderClient({self._id!r}, {self._dialect.base_url!r})"

    async def complete(self, request: ModelRequest, context: CallContext) -> ModelReply:
        """See ModelClient. Raises ProviderOutage, ConfigError, CallFailed."""
        guard.check(self._dialect.base_url)
        policy = self._provider.retry
        if context.once:  # a window that has ended before it begins
            policy = replace(policy, window_seconds=-1.0)
        held = TurnsWaited(context.queued, self._clock.monotonic, lambda why: context.on_wait(0.0, why))
        try:
            outcome = await retrying(
                lambda: self._paid(request, held, context),
                policy,
                self._clock,
                context.on_wait,
                self._id,
                context.answers,
                lambda: held.seconds,
            )
        except _SetUpFailure as failure:
            if failure.fault in _CALLS_OWN and context.answers and await context.answers():
                raise CallFailed(
                    f"{self._id}: refused this conversation and answered a plain question meanwhile: {failure.words}"
                ) from None
            raise
        answer = outcome.value
        return ModelReply(
            completion=answer.completion,
            cost_usd=pricing.price(self._provider, self._name, answer.completion.usage),
            seconds=answer.seconds,
            waited_seconds=max(0.0, outcome.seconds - answer.seconds),
            retries=outcome.retries,
            answered=answer.model,
            notes=self._room.notes + self._streaming.notes + tuple(self._notes.values()),
        )

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """See ModelClient."""
        return pricing.at_most(self._provider, self._name, input_tokens, output_tokens)

    async def listed(self) -> tuple[ListedModel, ...] | None:
        """The models that the provider lists; `None` where it has no list, or none that can be read.

        One request that costs nothing, never tried again. Raises InternalError where requests are forbidden.
        """
        guard.check(self._dialect.base_url)
        try:
            async with asyncio.timeout(self._provider.retry.timeout_seconds):
                raw = await self._dialect.list_models()
            return listed.read(json.loads(raw)) or None
        except (StatusFailure, Unreachable, TimeoutError, ValueError, RecursionError):
            return None

    def knows(self, abilities: Abilities) -> None:
        """What a probe has found: what the server does not honour is said in the prompt from the start."""
        self._dropped |= abilities.in_words

    async def as_it_stands(self, request: ModelRequest, *, stream: bool = False) -> tuple[Completion, bool]:
        """One answer, or the refusal, to a request that is sent once and with all its settings, and whether it came as a stream.

        Raises Retryable, ConfigError, Unreachable, UnreadableAnswer; TimeoutError; ValueError for what is not JSON.
        """
        guard.check(self._dialect.base_url)
        heard: list[int] = []
        sent = self._dropped - forms.ALL
        body = encodable(self._dialect.encode(request, sent, stream=stream))
        try:
            async with self._turns.turn(), asyncio.timeout(self._provider.retry.timeout_seconds):
                raw = await self._dialect.send(body, Pace(self._pace.between_seconds, heard.append))
            if is_stream(raw):
                raw = assembled(raw, self._dialect.assembler())
            return self._read(raw, request)[0], bool(heard)
        except StatusFailure as failure:
            return self._verdict(judgement_of(failure, self._clock.wall())), False

    @property
    def address(self) -> str:
        """Where requests go."""
        return self._dialect.base_url

    async def close(self) -> None:
        self._turns.close()
        await self._dialect.close()

    def _place(self) -> Place:
        if not self._provider.adaptive_concurrency:
            return places.InMemory()
        return places.at(self._dialect.base_url, self._key.reveal(), self._key.headers())

    async def _paid(self, request: ModelRequest, held: TurnsWaited, context: CallContext) -> _Answer:
        """One attempt. Raises as `_attempt` does, and what `context.on_billed` raises."""
        try:
            return await self._attempt(request, held)
        except Retryable as failure:
            if failure.billed is not None:
                await context.on_billed(failure.billed)
            raise

    async def _attempt(self, request: ModelRequest, held: TurnsWaited) -> _Answer:
        """One answer. Raises Retryable, ConfigError.

        Sent again at once only without a setting that the model does not take, with fewer tokens of output, or as a stream.
        """
        if too_long := self._room.too_long(request):
            return _Answer(_ended("context_overflow", too_long), 0.0)
        asked = replace(request, max_tokens=self._room.most(request))
        in_words = frozenset[str]()
        while True:
            # What other calls learned meanwhile must not hide what this one sent.
            dropped, streamed = self._dropped | in_words, self._streaming.now
            try:
                body = encodable(self._dialect.encode(asked, dropped, stream=streamed))
            except (ValueError, RecursionError) as error:
                # A harness can put NaN or endless nesting into a call's arguments.
                return _Answer(_ended("rejected", f"the request cannot be written as JSON: {error}"), 0.0)
            began = self._clock.monotonic()
            answer = await self._answer(body, asked, held)
            if isinstance(answer, _Answer):
                self._streaming.answered(streamed=streamed)
                if forms.SCHEMA not in dropped and forms.ignores(request, answer.completion):
                    self._drop(forms.SCHEMA, "ignores")
                return answer
            judgement = answer
            if self._streaming.refused(judgement.words, streamed=streamed):
                continue
            if judgement.kind == "rejected" and (
                setting := unsupported(judgement.words, body, dropped, self._dialect.optional)
            ):
                self._drop(setting, "refuses")
                continue
            if (
                judgement.kind == "rejected"
                and forms.SCHEMA not in dropped
                and forms.is_about(request, judgement.words)
            ):
                in_words = frozenset({forms.SCHEMA})  # of this call alone: another schema may be taken
                continue
            if judgement.kind == "rejected" and self._dialect.learn(judgement.words, body, asked):
                continue
            if judgement.kind in ("rejected", "context_overflow"):
                sent = asked.max_tokens or 0
                less = self._room.refused(lengths(judgement.words, sent), sent, request)
                if less is not None:
                    asked = replace(asked, max_tokens=less)
                    continue
            return _Answer(self._verdict(judgement), self._clock.monotonic() - began)

    async def _answer(self, body: dict[str, Any], request: ModelRequest, held: TurnsWaited) -> _Answer | Judgement:
        """The answer, or what its failure means. Raises Retryable where there is none."""
        try:
            async with self._turns.turn(held, held.say) as turn:
                began = self._clock.monotonic()
                try:
                    # A second bound over the SDK's: its timeouts are per read, and a server may trickle for ever.
                    async with asyncio.timeout(self._provider.retry.timeout_seconds):
                        raw = await self._dialect.send(body, self._pace)
                    seconds = self._clock.monotonic() - began
                    if is_stream(raw):  # some servers stream whatever they are asked
                        raw = assembled(raw, self._dialect.assembler())
                    completion, model = self._read(raw, request)
                except StatusFailure as failure:
                    return self._judged(failure, turn)
                turn.answered()
            return _Answer(completion, seconds, model)
        except TimeoutError as late:
            timeout = self._provider.retry.timeout_seconds
            raise Retryable(str(late) or f"no answer within {timeout:g} s", kind="slow", billed=Billed()) from None
        except Unreachable as failure:
            billed = Billed() if failure.begun else None
            raise Retryable(self._key.scrub(str(failure)), kind="unreachable", billed=billed) from None
        except UnreadableAnswer as failure:
            billed = Billed() if failure.begun else self._billed(failure.usage)
            raise Retryable(self._key.scrub(str(failure)), kind="unreadable", billed=billed) from None

    def _judged(self, failure: StatusFailure, turn: RequestTurn) -> Judgement:
        """What a failure means. Where the provider has too much to do, fewer requests are in flight from then on."""
        body = self._key.scrub(failure.body)  # before its words are cut, which could leave half a key
        failure = StatusFailure(failure.status, failure.headers, body, failure.usage)
        judgement = replace(judgement_of(failure, self._clock.wall()), usage=failure.usage)
        if judgement.kind == "retry" and (judgement.everybodys or judgement.retry_after is not None):
            fewer = turn.refused(judgement.retry_after)
            if fewer is not None:
                return replace(judgement, words=f"{judgement.words} (from now on {fewer} at once)")
        return judgement

    def _read(self, raw: bytes, request: ModelRequest) -> tuple[Completion, str]:
        """The completion, and the model that it names."""
        try:
            data = json.loads(raw)
            if b"\\ud" in raw.lower():
                data = encodable(data)
        except (ValueError, RecursionError):
            if self._provider.lacks_version and raw.lstrip()[:1] == b"<":
                # The root of many servers is a page for people; waiting makes no API of it.
                raise StatusFailure(404, {}, f"the answer is a web page: {self._start(raw)}") from None
            raise UnreadableAnswer(f"the answer is not JSON: {self._start(raw)}") from None
        usage = self._dialect.usage(data) if isinstance(data, Mapping) else UNCOUNTED
        if failure := failure_inside(data):
            raise StatusFailure(failure.status, failure.headers, failure.body, usage)
        try:
            completion = self._dialect.decode(data, request)
        except ValidationError as error:
            where = "; ".join(".".join(map(str, item["loc"])) + ": " + item["msg"] for item in error.errors()[:3])
            said = f"the answer is not a completion ({where}): {self._start(raw)}"
            raise UnreadableAnswer(said, usage) from None
        completion = counted(request, completion, request.max_tokens or self._provider.max_tokens)
        if not completion.usage.estimated:
            self._room.heard(request, completion.usage)
        model = data.get("model")
        return completion, " ".join(self._key.scrub(model).split())[:MODEL_CHARS] if isinstance(model, str) else ""

    def _start(self, raw: bytes) -> str:
        """The first words of an answer that cannot be read, without the key that it may repeat."""
        text = self._key.scrub(raw[:65_536].decode("utf-8", "replace"))
        return " ".join(text[:200].split()) or "(empty)"

    def _verdict(self, judgement: Judgement) -> Completion:
        words = self._key.scrub(judgement.words)
        if judgement.kind == "retry":
            billed = self._billed(judgement.usage)
            raise Retryable(words, judgement.retry_after, everybodys=judgement.everybodys, billed=billed)
        if judgement.kind == "config":
            told = self._key.scrub(advice(judgement, self._provider))
            raise _SetUpFailure(
                f"model {self._id} at {self._dialect.base_url}: {words} ({told})", words, judgement.fault
            )
        return replace(_ended(_ENDED[judgement.kind], words), usage=judgement.usage)

    def _billed(self, usage: Usage) -> Billed | None:
        """What a failed attempt is billed by what was counted; nothing where nothing was."""
        if not usage.input_tokens and not usage.output_tokens:
            return None
        return Billed(usage, pricing.price(self._provider, self._name, usage))

    def _drop(self, setting: str, how: str) -> None:
        """A setting is not sent any more. Whether it `refuses` or `ignores` one is told of what is put into words instead."""
        self._dropped |= {setting}
        if setting in forms.ALL:
            self._notes.setdefault(setting, forms.note(self._id, setting, how))


def _ended(reason: StopReason, words: str) -> Completion:
    return Completion(assistant(""), reason, error=words)
