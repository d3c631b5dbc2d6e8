"""The settings of model providers: [providers.NAME] and its table of retries."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from lorimer.config.rows import Table

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""How a header's value names an environment variable."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET_HEADER = re.compile(
    r"(?:^|[-_])(?:api-?key|key|token|auth|authorization|secret|password|cookie|credentials?|signature|jwt)$",
    re.IGNORECASE,
)
"""Names of headers that hold a secret: `Authorization`, `X-Api-Key`, `api-key`, `Cookie`, `Helicone-Auth`, `X-Goog-Api-Key`."""
_SECRET_FIELD = re.compile(r"(?:^|_)(?:api_?key|secret|password|authorization)$", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"(?:Bearer|Basic|Token) +\S|sk-\S|gh[pousr]_\S|hf_\S|AIza\S|eyJ\S", re.IGNORECASE)
"""How the value of a secret begins, under whatever name."""
_LONG_WORD = re.compile(r"(?=[^\s=;,]*\d)[^\s=;,]{8,}")
"""Beside a variable a secret header's value may hold words such as `Bearer`, and nothing that could be a part of a secret."""
_OF_THE_CONNECTION = frozenset(
    (
        "connection",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
    )
)
"""Headers that say how a request is sent: a value of the user's own would break it."""

_OUTPUT = "max_tokens of the same table"
_RESERVED: Mapping[str, str] = {
    "model": "[models]",
    "messages": "the harness",
    "input": "the harness",
    "system": "the harness",
    "instructions": "the harness",
    "tools": "the harness",
    "functions": "the harness",
    "stop": "the harness",
    "stop_sequences": "the harness",
    "stream": "stream of the same table",
    "stream_options": "stream of the same table",
    "max_tokens": _OUTPUT,
    "max_completion_tokens": _OUTPUT,
    "max_output_tokens": _OUTPUT,
    "n": "lorimer, which reads one answer to a request",
    "background": "lorimer, which waits for the answer",
    "previous_response_id": "lorimer, which sends the whole conversation",
}
"""Fields of a request that `extra_body` must not override, and what sets each."""


class RetrySettings(Table):
    """[providers.NAME.retry]"""

    window_seconds: float = Field(default=600.0, gt=0)
    """How long one call may wait for the provider, all in all, before the trial errors."""
    initial_seconds: float = Field(default=1.0, gt=0)
    maximum_seconds: float = Field(default=60.0, gt=0)
    timeout_seconds: float = Field(default=600.0, gt=0)
    """One request's time limit, a stream's to its end included."""
    between_tokens_seconds: float = Field(default=300.0, gt=0)
    """The time limit of a stream between two tokens, after the first. Models that think without a word are silent for minutes
    (other agents' clients wait five as well)."""


class ProviderSettings(Table):
    """[providers.NAME]"""

    api: Literal["anthropic", "responses", "chat"] = "chat"
    base_url: str | None = None
    key_env: str | None = None
    """Name of the environment variable with the key; unset for a server that needs none."""
    max_tokens: int = Field(default=4096, ge=1)
    """Output tokens per call, where the harness asks for no fewer."""
    context_window: int | None = Field(default=None, ge=1)
    usd_per_million_input: float | None = Field(default=None, ge=0)
    usd_per_million_output: float | None = Field(default=None, ge=0)
    concurrency: int | None = Field(default=None, ge=1)
    """The most requests in flight at once; a llama.cpp server has as many as slots."""
    adaptive_concurrency: bool = True
    """Whether fewer are in flight once the provider has too much to do (429, overloaded), and slowly more again. All studies of a
    machine that use the same key then share what it takes, `concurrency` included."""
    stream: Literal["auto", True, False] = "auto"
    """Whether answers come as streams, whose tokens are counted on the progress line as they arrive. `auto`: once the server asks
    for it."""
    send_reasoning: bool = False
    """`chat` only: the model's thoughts of earlier turns always go back. Else those before a tool call do, and all once a server
    asks for them."""
    extra_body: dict[str, Any] = Field(default={})
    """Fields that every request carries besides lorimer's own, such as `{ top_k = 20, chat_template_kwargs = { enable_thinking =
    false } }`."""
    headers: dict[str, str] = Field(default={})
    """HTTP headers that every request carries. `${NAME}` stands for the value of an environment variable, which is no more
    stored than a key is."""
    retry: RetrySettings = RetrySettings()

    @field_validator("extra_body")
    @classmethod
    def _a_body_is_json_and_lorimers_fields_stay(cls, body: dict[str, Any]) -> dict[str, Any]:
        for name, value in body.items():
            if name in _RESERVED:
                raise ValueError(f"{name} is not set here: it is set by {_RESERVED[name]}")
            if _SECRET_FIELD.search(name):
                raise ValueError(
                    f"{name} holds a secret, which must not stand here: send it by headers, as a variable's value"
                )
            if found := _no_json(value, name):
                raise ValueError(found)
        return body

    @field_validator("headers")
    @classmethod
    def _headers_can_be_sent_and_hold_no_secret(cls, headers: dict[str, str]) -> dict[str, str]:
        seen: dict[str, str] = {}
        for name, value in headers.items():
            if wrong := _wrong_header(name, value):
                raise ValueError(wrong)
            if (before := seen.setdefault(name.lower(), name)) != name:
                raise ValueError(f"{before} and {name} are one header: leave one of them out")
        return headers

    @model_serializer(mode="wrap")
    def _what_was_set(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A stored study keeps apart what the user set and what not: a built-in provider's defaults are not these."""
        return {key: value for key, value in whole(self).items() if key in self.model_fields_set}


def variables(headers: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the environment variables that headers ask for, each once."""
    return tuple(dict.fromkeys(name for value in headers.values() for name in VARIABLE.findall(value)))


def _wrong_header(name: str, value: str) -> str:
    """Why a header cannot be taken, without its value, which may be a secret; empty where it can."""
    if not _HEADER_NAME.fullmatch(name):
        return f"{name!r} is no name of a header: letters, digits and hyphens make one, such as X-Team"
    if name.lower() in _OF_THE_CONNECTION:
        return f"{name} belongs to the connection, which lorimer makes: leave it out"
    if not (value.isascii() and value.isprintable()):
        return f"{name}: its value holds a line break, a control character or a letter that is not ASCII"
    if value != value.strip():
        return f"{name}: its value begins or ends with a blank"
    rest = VARIABLE.sub("", value)
    if "${" in rest:
        return f"{name}: after ${{ stands the name of an environment variable and }}, such as ${{GATEWAY_KEY}}"
    secret = _SECRET_HEADER.search(name) is not None
    if (secret and value and rest == value) or _SECRET_VALUE.match(rest) or (secret and _LONG_WORD.search(rest)):
        variable = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
        said = "Bearer ${MY_" if value.lower().startswith("bearer ") else "${MY_"
        return (
            f"{name} holds a secret, which must not stand in a file that is committed and stored: put it into an environment "
            f'variable or into .env, and name that here: {name} = "{said}{variable}}}"'
        )
    return ""


def _no_json(value: object, path: str) -> str:
    """What of a body's value JSON cannot hold; empty where it can."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{path} is {value}, which JSON has no number for"
    if isinstance(value, Mapping):
        return next((found for key, inner in value.items() if (found := _no_json(inner, f"{path}.{key}"))), "")
    if isinstance(value, list | tuple):
        return next((found for at, inner in enumerate(value) if (found := _no_json(inner, f"{path}.{at}"))), "")
    if value is None or isinstance(value, str | bool | int | float):
        return ""
    return f"{path} is a {type(value).__name__}, which JSON does not have: write it in quotes"
