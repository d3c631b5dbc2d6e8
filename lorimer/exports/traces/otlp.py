"""OpenTelemetry spans by the conventions for generative AI, sent to a collector over OTLP/HTTP."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import lorimer
from lorimer.errors import PrerequisiteError, UserError
from lorimer.exports.trajectories import RecordedStep, TrialTrace, output_of, valid
from lorimer.exports.wrote import Wrote
from lorimer.harness.api import Message
from lorimer.kinds import StepKind
from lorimer.traces import codec
from lorimer.traces.schema import ModelCallData

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

PLACE = "http://localhost:4318"
PATH = "/v1/traces"
MOST_CHARS = 4_000_000
"""The most characters of text in the spans of one request: collectors take a few megabytes as they come."""
MOST_SPANS = 512
SECONDS = 10.0
"""How long a request that fails is tried again."""


def write(found: Iterator[TrialTrace], place: str, *, force: bool) -> Wrote:
    """Send every trial as one trace. Ids follow from the trial's, so that what is sent again is the same trace.

    Args:
        place: where the collector listens; `/v1/traces` is added where no path is named. Headers, such as a key, come from
            `OTEL_EXPORTER_OTLP_HEADERS`.
        force: nothing: no collector is asked what it has.

    Raises PrerequisiteError without opentelemetry-sdk, UserError for an address that is none and for a collector that refuses.
    """
    sender = Sender(place)
    spans = trials = 0
    for trace in found:
        for some in requests(made(trace)):
            sender.send(some)
            spans += len(some)
        trials += 1
    return Wrote(trials, f"{spans:,} spans")


class Sender:
    """A collector's address, and what went wrong there in its own words."""

    def __init__(self, place: str) -> None:
        needed = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
        if not all(_there(name) for name in needed):
            raise PrerequisiteError("--to otlp needs the package opentelemetry-sdk", "pip install 'lorimer[otlp]'")
        scheme, _, rest = place.partition("://")
        if scheme not in ("http", "https") or not rest:
            raise UserError(f"-o {place}: not the address of a collector", f"name one such as {PLACE}")
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        self._address = place if "/" in rest.rstrip("/") else place.rstrip("/") + PATH
        self._exporter = OTLPSpanExporter(endpoint=self._address, timeout=SECONDS)

    def send(self, spans: Sequence[ReadableSpan]) -> None:
        """Returns when the collector has taken them. Raises UserError."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        log, heard = logging.getLogger("opentelemetry.exporter.otlp"), _Heard()
        passed_on, log.propagate = log.propagate, False
        log.addHandler(heard)
        try:
            taken = self._exporter.export(spans) is SpanExportResult.SUCCESS
        finally:
            log.removeHandler(heard)
            log.propagate = passed_on
        if not taken:
            said = " ".join(heard.said.split()) or "it gave no reason"
            raise UserError(
                f"the collector at {self._address} did not take the spans: {said.rstrip('.')}",
                "is one there, and does it know you (OTEL_EXPORTER_OTLP_HEADERS)?",
            )


class _Heard(logging.Handler):
    """The last thing that a logger said."""

    said = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.said = record.getMessage()


def _there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def requests(spans: Sequence[ReadableSpan]) -> Iterator[list[ReadableSpan]]:
    """The spans in lists that one request may hold."""
    some: list[ReadableSpan] = []
    chars = 0
    for span in spans:
        size = sum(len(value) for value in (span.attributes or {}).values() if isinstance(value, str))
        if some and (chars + size > MOST_CHARS or len(some) == MOST_SPANS):
            yield some
            some, chars = [], 0
        some.append(span)
        chars += size
    if some:
        yield some


def made(trace: TrialTrace) -> list[ReadableSpan]:
    """The trial as a span, and within it a span for each model call and for whatever its harness did in the sandbox."""
    trial = trace.trial
    agent = f"lorimer {trace.candidate or trial.harness[:12]}"
    about = {
        "gen_ai.conversation.id": trial.id,
        "gen_ai.agent.name": agent,
    }
    whole = {
        "gen_ai.operation.name": "invoke_agent",
        **about,
        "gen_ai.agent.id": trial.harness,
        "gen_ai.request.model": trial.model,
        "gen_ai.usage.input_tokens": trial.input_tokens,
        "gen_ai.usage.output_tokens": trial.output_tokens,
        "gen_ai.input.messages": _json([{"role": "user", "parts": [_text(trace.task.instruction)]}]),
        "gen_ai.output.messages": _json(
            [{"role": "assistant", "parts": [_text(trial.answer)], "finish_reason": "stop"}]
        ),
        "lorimer.study": trial.study,
        "lorimer.stage": trial.stage,
        "lorimer.task": trial.task,
        "lorimer.split": trace.task.split,
        "lorimer.repeat": trial.repeat,
        "lorimer.attempt": trial.attempt,
        "lorimer.candidate": trace.candidate,
        "lorimer.state": trial.state,
        "lorimer.cause": trial.cause,
        "lorimer.reward": trial.reward,
        "lorimer.cost_usd": trial.cost_usd,
    }
    spans = _Spans(trace)
    failed = trial.detail or trial.cause if trial.state == "errored" else ""
    ended = max([trial.seconds, *(event.step.at + event.step.seconds for event in trace.events)])
    root = spans.add("", f"invoke_agent {agent}", 0.0, ended, whole, failed)
    sent: dict[int, tuple[Message, ...]] = {}
    for event in trace.events:
        name, attributes, failed = (
            _did(event) if event.call is None else _asked(event, event.call, _said_before(event, event.call, sent))
        )
        if name:
            at, seconds = event.step.at, event.step.seconds
            spans.add(str(event.step.index), name, at, at + seconds, {**about, **attributes}, failed, root)
    return spans.found


class _Spans:
    """The spans of one trial as they are made."""

    def __init__(self, trace: TrialTrace) -> None:
        from opentelemetry.sdk.resources import Resource

        self._trace = trace
        self._trace_id = _number(trace.trial.id, 16)
        self._resource = Resource.create({"service.name": "lorimer", "service.version": lorimer.__version__})
        self.found: list[ReadableSpan] = []

    def add(
        self,
        key: str,
        name: str,
        begin: float,
        end: float,
        attributes: dict[str, Any],
        failed: str = "",
        parent: ReadableSpan | None = None,
    ) -> ReadableSpan:
        """A span. `key` names it within the trial; `failed` is why, where what it tells of was in vain."""
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

        context = SpanContext(
            self._trace_id, _number(f"{self._trace.trial.id}\n{key}", 8), is_remote=False, trace_flags=TraceFlags(1)
        )
        known = {name: value for name, value in valid(attributes).items() if value is not None and value != ""}
        span = ReadableSpan(
            name,
            context,
            parent=parent.context if parent else None,
            resource=self._resource,
            attributes=known,
            kind=SpanKind.CLIENT if attributes.get("gen_ai.operation.name") == "chat" else SpanKind.INTERNAL,
            instrumentation_scope=InstrumentationScope("lorimer", lorimer.__version__),
            status=Status(StatusCode.ERROR, failed) if failed else Status(),
            start_time=_nanoseconds(self._trace.at(begin)),
            end_time=_nanoseconds(self._trace.at(end)),
        )
        self.found.append(span)
        return span


def _said_before(event: RecordedStep, call: ModelCallData, sent: dict[int, tuple[Message, ...]]) -> tuple[Message, ...]:
    """All messages that a call was sent; noted in `sent` for the calls that go on from it."""
    before = () if event.base is None else sent[event.base]
    sent[event.step.index] = before[: event.kept] + call.messages
    return sent[event.step.index]


def _asked(event: RecordedStep, call: ModelCallData, messages: Sequence[Message]) -> tuple[str, dict[str, Any], str]:
    provider, _, model = call.model.partition("/")
    completion, used = call.completion, call.completion.usage
    reason = completion.stop_reason
    answer = {"role": "assistant", "parts": _parts(completion.message), "finish_reason": reason}
    settings = call.settings
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model or call.model,
        "gen_ai.response.model": model or call.model,
        "gen_ai.request.max_tokens": settings.get("max_tokens"),
        "gen_ai.request.temperature": settings.get("temperature"),
        "gen_ai.request.stop_sequences": list(settings.get("stop") or ()) or None,
        "gen_ai.response.finish_reasons": [reason],
        "gen_ai.usage.input_tokens": used.input_tokens,
        "gen_ai.usage.output_tokens": used.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": used.cached_tokens or None,
        "gen_ai.usage.cache_creation.input_tokens": used.cache_write_tokens or None,
        "gen_ai.system_instructions": _json([_text(call.system)]) if call.system else None,
        "gen_ai.input.messages": _json([{"role": each.role, "parts": _parts(each)} for each in messages]),
        "gen_ai.output.messages": _json([answer]),
        "gen_ai.tool.definitions": (
            _json([{"type": "function", **each} for each in codec.encode_tools(call.tools)["tools"]])
            if call.tools
            else None
        ),
        "error.type": reason if completion.error else None,
        "lorimer.step": event.step.index,
        "lorimer.recorded": True if call.recorded else None,
        "lorimer.cost_usd": call.cost_usd,
    }
    return f"chat {model or call.model}", attributes, completion.error


def _did(event: RecordedStep) -> tuple[str, dict[str, Any], str]:
    """What a harness did itself; without a name where no span tells of it."""
    step, data = event.step, event.step.data
    if step.kind == StepKind.EXEC:
        arguments: dict[str, Any] = {"command": data["command"], "cwd": data.get("cwd")}
        result: Any = {"exit_code": data["exit_code"], "output": output_of(event)}
    elif step.kind in (StepKind.READ, StepKind.WRITE):
        arguments, result = {"path": data["path"]}, {name: data.get(name) for name in ("bytes", "error")}
    else:
        return "", {}, ""
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": step.kind,
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.arguments": _json(arguments),
        "gen_ai.tool.call.result": _json(result),
        "lorimer.step": step.index,
    }
    return f"execute_tool {step.kind}", attributes, str(data.get("error") or "")


def _parts(message: Message) -> list[dict[str, Any]]:
    """A message's content by the conventions."""
    pictures: list[dict[str, Any]] = [
        {"type": "blob", "mime_type": image.type, "modality": "image", "content": image.data}
        for image in message.images
    ]
    if message.role == "tool":
        return [{"type": "tool_call_response", "id": message.tool_call_id, "response": message.text}, *pictures]
    parts = pictures + [{"type": "reasoning", "content": block.text} for block in message.reasoning if block.text]
    parts += [_text(message.text)] if message.text else []
    return parts + [
        {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.malformed or dict(call.arguments)}
        for call in message.tool_calls
    ]


def _text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def _json(value: Any) -> str:
    return json.dumps(valid(value), ensure_ascii=False)


def _number(name: str, size: int) -> int:
    """An id of so many bytes that follows from a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:size], "big") or 1


def _nanoseconds(when: datetime) -> int:
    return round(when.timestamp() * 1_000_000) * 1_000
