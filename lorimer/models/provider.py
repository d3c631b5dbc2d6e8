"""One provider's settings as values, and the key that goes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from lorimer.config.providers import ProviderSettings
from lorimer.errors import ConfigError

Api = Literal["anthropic", "responses", "chat"]
_DEFAULTS = ProviderSettings()
"""The defaults of lorimer.toml, which is where they live."""


@dataclass(frozen=True)
class RetryPolicy:
    """How long and how often a call is tried again. All in seconds."""

    window_seconds: float = _DEFAULTS.retry.window_seconds
    """How long after the first failure a new attempt may still start."""
    initial_seconds: float = _DEFAULTS.retry.initial_seconds
    """The first wait; it doubles from there, each with jitter."""
    maximum_seconds: float = _DEFAULTS.retry.maximum_seconds
    """The longest wait of our own choosing; a provider's Retry-After may ask for more, up to the window."""
    timeout_seconds: float = _DEFAULTS.retry.timeout_seconds
    """One request, from its first byte sent to the last received."""
    between_tokens_seconds: float = _DEFAULTS.retry.between_tokens_seconds
    """The longest wait, in a stream, from one token to the next. The first may take as long as the request."""


@dataclass(frozen=True)
class TokenPrice:
    """Dollars per million tokens, as the user states them."""

    input: float
    output: float
    cached: float | None = None
    """Input read from a cache; `None` counts it as other input."""


@dataclass(frozen=True)
class ProviderConfig:
    """One place that answers model requests."""

    name: str
    """What stands before the slash in a model string."""
    api: Api = "chat"
    base_url: str | None = None
    """`None` takes the SDK's own, which heeds ANTHROPIC_BASE_URL and OPENAI_BASE_URL."""
    key_env: str | None = None
    """The environment variable that holds the key; `None` for a server that needs none."""
    max_tokens: int = _DEFAULTS.max_tokens
    """Output tokens where a request names none."""
    context_window: int | None = None
    """Tokens. Where set, a prompt that cannot fit is refused here: some servers cut it in silence (Ollama)."""
    retry: RetryPolicy = RetryPolicy()
    concurrency: int | None = None
    """Requests in flight at once; `None` sets no bound."""
    adaptive_concurrency: bool = True
    """Whether there are fewer of them where the provider refuses some, over all processes that use the key."""
    price: TokenPrice | None = None
    """The user's own price, for every model of this provider; `None` looks it up."""
    prices: Mapping[str, TokenPrice] = field(default_factory=dict)
    """The user's own prices by model name; they win over `price`."""
    send_reasoning: bool = False
    """Chat only: send `reasoning_content` of earlier turns back. Some servers refuse it, some want it."""
    stream: Literal["auto", True, False] = "auto"
    """Whether requests are streamed; `auto`: once the server asks for it."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Fields merged into every request body."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """HTTP headers of every request, as lorimer.toml has them: `${NAME}` stands for a variable's value."""

    @property
    def official(self) -> bool:
        """Whether requests go to the provider whose API it is, not to a server compatible with it."""
        return self.base_url is None

    @property
    def lacks_version(self) -> bool:
        """Whether `base_url` names no version of the API (`/v1`), and no SDK adds it."""
        if self.base_url is None or self.api == "anthropic":
            return False
        parts = urlsplit(self.base_url).path.split("/")
        return not any(part[:1] == "v" and part[1:2].isdigit() for part in parts)


ANTHROPIC = ProviderConfig("anthropic", api="anthropic", key_env="ANTHROPIC_API_KEY", max_tokens=8192)
OPENAI = ProviderConfig("openai", api="responses", key_env="OPENAI_API_KEY", max_tokens=8192)
BUILT_IN: Mapping[str, ProviderConfig] = {config.name: config for config in (ANTHROPIC, OPENAI)}
"""Output includes reasoning, so their default leaves room for it: 8,192 tokens."""


def provider_config(name: str, settings: ProviderSettings) -> ProviderConfig:
    """`[providers.NAME]` of lorimer.toml as a value; what it leaves unset for a built-in provider stays as built in.

    Raises ConfigError for half a price: the other half is unknown, not 0; and for `send_reasoning` where the API knows no such
    thing.
    """
    base = BUILT_IN.get(name)
    given = settings.model_fields_set
    api = base.api if base and "api" not in given else settings.api
    if settings.send_reasoning and api != "chat":
        raise ConfigError(
            f'providers.{name}.send_reasoning: is for api = "chat"; under "{api}" reasoning always goes back, as it requires'
        )
    return ProviderConfig(
        name=name,
        api=api,
        base_url=settings.base_url,
        # A built-in provider moved to another address is a proxy or a local server: it needs a key only if one is named.
        key_env=base.key_env if base and "key_env" not in given and settings.base_url is None else settings.key_env,
        max_tokens=base.max_tokens if base and "max_tokens" not in given else settings.max_tokens,
        context_window=settings.context_window,
        retry=RetryPolicy(
            window_seconds=settings.retry.window_seconds,
            initial_seconds=settings.retry.initial_seconds,
            maximum_seconds=settings.retry.maximum_seconds,
            timeout_seconds=settings.retry.timeout_seconds,
            between_tokens_seconds=settings.retry.between_tokens_seconds,
        ),
        concurrency=settings.concurrency,
        adaptive_concurrency=settings.adaptive_concurrency,
        price=_price(name, settings),
        send_reasoning=settings.send_reasoning,
        stream=settings.stream,
        extra_body=settings.extra_body,
        headers=settings.headers,
    )


def _price(name: str, settings: ProviderSettings) -> TokenPrice | None:
    given, taken = settings.usd_per_million_input, settings.usd_per_million_output
    if given is None and taken is None:
        return None
    if given is None or taken is None:
        missing = "usd_per_million_input" if given is None else "usd_per_million_output"
        raise ConfigError(f"providers.{name}.{missing}: missing, while the other price is set (0 is a price)")
    return TokenPrice(given, taken)


class Key:
    """A secret: its repr hides it, and `scrub` takes it out of a provider's words.

    Args:
        value: the key itself.
        headers: the headers that go with it, with the values of the variables that they name.
        variables: those values, which are as secret as the key.
    """

    def __init__(self, value: str, headers: Mapping[str, str] | None = None, variables: Sequence[str] = ()) -> None:
        self._value, self._headers = value, dict(headers or {})
        # Longest first: one may be a part of another.
        self._secrets = sorted({value, *variables}, key=len, reverse=True)

    def reveal(self) -> str:
        """The key itself, for the SDK alone."""
        return self._value

    def headers(self) -> dict[str, str]:
        """The headers of every request, for the SDK alone."""
        return dict(self._headers)

    def scrub(self, text: str) -> str:
        """`text` with the key replaced, and with what providers echo of one (`sk-ab***yz`)."""
        import re

        for secret in self._secrets:
            # A short dummy key would blot out words that merely contain it.
            if len(secret) >= 8:
                text = text.replace(secret, "[key]")
        return re.sub(r"\b[\w-]{2,}\*{3,}[\w-]*", "[key]", text)

    def __repr__(self) -> str:
        return "Key(hidden)"
