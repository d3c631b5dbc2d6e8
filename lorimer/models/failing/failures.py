"""What a provider's failure means: wait, tell the user, or tell the harness. Pure, one table for every API."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from lorimer.config.providers import variables
from lorimer.harness.api import Usage
from lorimer.models.bodies.words import CONTEXT_OVERFLOW
from lorimer.models.forms import NO_IMAGES
from lorimer.models.provider import ProviderConfig
from lorimer.models.streamed import asks_for_stream, takes_no_stream

FailureKind = Literal["retry", "config", "rejected", "context_overflow", "refusal"]
SetupFault = Literal["key", "access", "credit", "model", "api", "path", "moved"]
"""What of the set-up is wrong: the key; what the key may do; no money; the model's name or the address; the API that is
spoken there; the path, where no API is served; the address alone."""


UNCOUNTED = Usage()
"""What a failure is counted that is billed to nobody."""


class StatusFailure(Exception):
    """The provider answered with an HTTP error (or with an error inside a success).

    Args:
        usage: what an error inside a success was counted.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: str, usage: Usage = UNCOUNTED) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.headers, self.body, self.usage = status, headers, body, usage


class Unreachable(Exception):
    """No answer: refused, reset, cut off, timed out.

    Args:
        begun: the provider took the request and may bill it: its answer had begun, or was waited for until the time was up.
    """

    def __init__(self, said: str, *, begun: bool = False) -> None:
        super().__init__(said)
        self.begun = begun


class WentSilent(TimeoutError):
    """A stream that stopped in the middle of an answer, its connection open."""


class UnreadableAnswer(Exception):
    """An answer that is not what the API promises: invalid JSON, missing fields.

    Args:
        usage: what it was counted, as far as that can be read.
        begun: see Unreachable; of a stream, whose counts would have come at its end.
    """

    def __init__(self, said: str, usage: Usage = UNCOUNTED, *, begun: bool = False) -> None:
        super().__init__(said)
        self.usage, self.begun = usage, begun


@dataclass(frozen=True)
class Judgement:
    """What to do about a failure."""

    kind: FailureKind
    words: str
    """The provider's own, for the user or the harness."""
    retry_after: float | None = None
    """Seconds that the provider asks to wait."""
    fault: SetupFault | None = None
    """What the user has to put right, where it is a `config` failure."""
    everybodys: bool = False
    """Whether a `retry` failure is no call's own, see Retryable."""
    moved_to: str = ""
    """Where a redirect leads."""
    usage: Usage = UNCOUNTED
    """What the provider counted all the same."""


_TOO_LARGE = re.compile(r"request too large|reduce your message size", re.IGNORECASE)
"""A request that is over what the account may use in a minute by itself (OpenAI, Groq) will be so in a minute as well."""
_PAYMENT = re.compile(
    r"insufficient_quota|insufficient (?:balance|credit|funds)|exceeded your current quota|billing_not_active"
    r"|billing_hard_limit|credit balance is too low|account is not active|billing_error|out of credits?|no credits? left"
    r"|(?:requires|needs) more credits|(?:spend(?:ing)?|budget|credit|key) (?:limit|cap) (?:has been |was )?(?:exceeded|reached)"
    r"|budget has been exceeded|budget_exceeded|exceeded_current_quota|arrearage|overdue payment|payment required|monthly quota",
    re.IGNORECASE,
)
"""No money, or no more of it for this key: nobody's waiting helps."""
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_SOON = re.compile(
    rf"(?:retry|try again) in (?P<said>{_NUMBER}) ?s|\"retryDelay\": ?\"(?P<field>{_NUMBER})s\"", re.IGNORECASE
)
"""How a rate limit says when to come back in its body: OpenAI, and Gemini in the words of a quota that is used up."""
NO_PATH = re.compile(
    r"unexpected endpoint|unknown (?:endpoint|request url|url|route|path)|invalid url|no such (?:endpoint|route)"
    r"|(?:route|endpoint|path|page|url) (?:\S{1,80} )?(?:was )?not found|cannot post |no handler (?:for|found)"
    r"|no static resource",
    re.IGNORECASE,
)
_MODERATED = re.compile(
    r"moderation|(?:input|prompt|content|message|request|text)s?\b.{0,60}\b(?:flagged|blocked|prohibited|violat\w+|unsafe|harmful)"
    r"|(?:flagged|blocked|refused)\b.{0,40}\b(?:safety|content|policy|guardrail)|usage polic|safety system|sensitive content",
    re.IGNORECASE,
)
"""How a 403 or a 400 tells of content that the provider does not take (OpenRouter, Azure, guardrails), and not of a key."""
_NO_MODEL = re.compile(
    r"model_not_found|no such model|model .{0,80}(?:does not exist|not found|is not available)|invalid model"
    r"|unknown model",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"content_filter|content filtering policy|content management policy|content_policy_violation|bio_policy"
    r"|misalignment_policy|flagged as potentially violating|safety_violation|cyber_policy",
    re.IGNORECASE,
)
_TEMPLATE = re.compile(
    r"jinja|chat template|conversation roles must alternate|unable to generate parser|failed to parse (?:messages|tools)",
    re.IGNORECASE,
)
"""llama.cpp and vLLM answer 500 when the chat template cannot take the conversation; it never will."""

_NO_TOOLS = re.compile(
    r"(?:tool|function)s?[ _-]?(?:use|call(?:s|ing)?|choice|param)?`?\b.{0,60}"
    r"(?:not (?:support|enabl|configur|available|allow)\w*|unsupported|n't support|requires? --)"
    r"|(?:not|n't|cannot) (?:support|have|handle|use)\w* (?:native )?(?:the )?(?:`?tools?\b|function|parameter[: ]+`?tools)"
    r"|no endpoints found that support tool|(?:unrecogni[sz]ed|unknown|unsupported|extra)\b.{0,60}\btools?\b"
    r"|--enable-auto-tool-choice|--jinja",
    re.IGNORECASE,
)
"""How servers say that they take no tools: vLLM, llama.cpp (500), Ollama, OpenRouter (404), Gemini, Groq, DeepSeek."""

_RETRIED = frozenset({408, 409, 425, 429})
_EVERYBODYS = frozenset({429, 529})
_SETUP: Mapping[int, SetupFault] = {
    **dict.fromkeys((301, 302, 303, 307, 308), "moved"),
    401: "key",
    402: "credit",
    403: "access",
    404: "model",
    405: "api",
    501: "api",
}
_LONGEST_ADDRESS = 200
_LONGEST_WORDS = 2000
"""Some servers answer with a whole page; this much says what is wrong."""


def judgement_of(failure: StatusFailure, now: float) -> Judgement:
    """`now` is the wall clock, for a Retry-After that is a date."""
    status, body = failure.status, failure.body
    words = provider_words(body) or f"HTTP {status} without a word"
    searched = f"{words} {_codes(body)}"
    if status == 429 and (soon := _SOON.search(f"{words} {body}")):
        return _retry(failure, words, now, said=_finite(float(soon["said"] or soon["field"])))
    # Whoever says when to come back speaks of a rate, also in the words of a limit or a quota that is used up.
    is_rate = status == 429 and retry_after(failure.headers, now) is not None
    if _PAYMENT.search(searched) and 400 <= status < 500 and not is_rate:
        return Judgement("config", words, fault="credit")
    if status in (400, 403, 451) and (_REFUSAL.search(searched) or _MODERATED.search(words)):
        return Judgement("refusal", words)
    if (_NO_TOOLS.search(words) or NO_IMAGES.search(words)) and status != 429:
        return Judgement("rejected", words)
    if status in (404, 405) and (NO_PATH.search(words) or words.lower() == "not found"):
        return Judgement("config", words, fault="path")
    if status in _SETUP:
        location = {key.lower(): value for key, value in failure.headers.items()}.get("location", "")
        return Judgement("config", words, fault=_SETUP[status], moved_to=location[:_LONGEST_ADDRESS])
    if status == 429 and _TOO_LARGE.search(words):
        return Judgement("context_overflow", words)
    if status in _RETRIED:
        return _retry(failure, words, now)
    if status == 413 or ((status < 500 or status == 500) and CONTEXT_OVERFLOW.search(searched)):
        return Judgement("context_overflow", words)
    if status >= 500 and not _TEMPLATE.search(words):
        return _retry(failure, words, now)
    if _REFUSAL.search(searched):
        return Judgement("refusal", words)
    if _NO_MODEL.search(searched):
        return Judgement("config", words, fault="model")
    return Judgement("rejected", words)


def _retry(failure: StatusFailure, words: str, now: float, said: float | None = None) -> Judgement:
    """`said` is the wait that the body asks for, which holds where no header asks for one."""
    after = retry_after(failure.headers, now)
    after = said if after is None else after
    everybodys = after is not None or failure.status in _EVERYBODYS
    return Judgement("retry", f"HTTP {failure.status}: {words}", after, everybodys=everybodys)


def advice(judgement: Judgement, provider: ProviderConfig) -> str:
    """What the user has to put right where the set-up is at fault, as a clause. Pure."""
    table = f"[providers.{provider.name}]"
    told = _advice(judgement, provider, table)
    if judgement.fault not in ("model", "api", "path") or not provider.lacks_version:
        return told
    address = f"{(provider.base_url or '').rstrip('/')}/v1"
    return f'{told}; base_url has no /v1, where most servers have their API: base_url = "{address}"'


def _advice(judgement: Judgement, provider: ProviderConfig, table: str) -> str:
    names = [*([provider.key_env] if provider.key_env else []), *variables(provider.headers)]
    key = f"the key in {' or '.join(names)}" if names else f"key_env in {table}, as no key is sent"
    match judgement.fault:
        case "key":
            setting = "key_env" if provider.key_env else "headers" if names else ""
            return f"check {key}" + (f" ({table} {setting})" if setting else "")
        case "access":
            return f"this is not allowed: check {key}, what it may be used for, and the model's name ({table})"
        case "credit":
            return f"the account has no credit, or its quota is used up: add some there, or use another provider than {table}"
        case "api":
            return f"this address does not serve the {provider.api} API: check base_url and api in {table}"
        case "path":
            return f"no API is served at this address: check base_url and api in {table}"
        case "moved":
            to = f" to {judgement.moved_to}" if judgement.moved_to else ""
            return f"the address leads elsewhere{to}: set base_url in {table} to where the API is served"
        case _:
            return f"check the model's name, and base_url and api in {table}"


def what_helps(words: str, provider: str) -> str:
    """What the user can do where a provider refuses every request with these words, as a clause. Pure.

    Args:
        provider: its name in lorimer.toml.
    """
    table = f"[providers.{provider}]"
    if asks_for_stream(words):
        return (
            f"it asks for a streamed request, and unless stream = false stands in {table}, it refused one too: extra_body may "
            "turn off what needs streams"
        )
    if takes_no_stream(words):
        return f"it takes no streamed requests: set stream = false in {table}"
    if _NO_TOOLS.search(words):
        return (
            "it takes no tools for this model: start vLLM with --enable-auto-tool-choice and --tool-call-parser, or llama-server "
            "with --jinja; or take a model that has tools, or a harness that asks for commands in text (docs/models.md)"
        )
    return (
        f"check base_url, api, max_tokens and context_window in {table}, and whether this model takes what the harness sends, "
        "such as tools"
    )


def takes_no_tools(words: str) -> bool:
    """Whether a refusal's words say that the model or its server takes no tools."""
    return _NO_TOOLS.search(words) is not None


def provider_words(body: str) -> str:
    """The message in an error body, in whichever of the usual places it stands; else the body's start."""
    try:
        data: Any = json.loads(body)
        if not data:  # such as {}
            return ""
    except (ValueError, RecursionError):
        data = None
    for path in (("error", "message"), ("error",), ("message",), ("detail",), ("error", "type")):
        found = data
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, str) and found.strip():
            return " ".join(found.split())[:_LONGEST_WORDS]
    return " ".join(body.split())[:_LONGEST_WORDS]


def _codes(body: str) -> str:
    """`code` and `type` of an error body, which are steadier than its message."""
    try:
        error = json.loads(body)["error"]
        return f"{error.get('code')} {error.get('type')}"
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ""


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds from `retry-after-ms` or `Retry-After` (seconds or an HTTP date); `None` where absent or unreadable."""
    lowered = {key.lower(): value.strip() for key, value in headers.items()}
    try:
        if "retry-after-ms" in lowered:
            return _finite(float(lowered["retry-after-ms"]) / 1000)
        return _finite(float(lowered["retry-after"]))
    except KeyError:
        return None
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(lowered.get("retry-after", "")).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _finite(seconds: float) -> float | None:
    return seconds if 0 <= seconds < float("inf") else None
