"""Makes the client that a model string (`PROVIDER/NAME`) names."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace

from lorimer.config.providers import VARIABLE, variables
from lorimer.errors import ConfigError, PrerequisiteError
from lorimer.keys import Keys
from lorimer.models import guard
from lorimer.models.base import ModelClient
from lorimer.models.client import Dialect, ProviderClient
from lorimer.models.failing.retry import RetryClock
from lorimer.models.provider import BUILT_IN, Key, ProviderConfig

SIMULATED = "simulated"
EXAMPLES = ("anthropic/claude-sonnet-5-5", "openai/gpt-6.1-terra")
"""What messages, help and documentation name: of a middle price, and neither has an announced end. A test holds that."""
_NO_KEY = "no-key"
"""Both SDKs insist on some key; a server that needs none ignores it."""


def open_model(
    model: str,
    providers: Mapping[str, ProviderConfig] | None = None,
    *,
    keys: Keys | None = None,
    clock: RetryClock | None = None,
    on_tokens: Callable[[float], None] = lambda tokens: None,
) -> ModelClient:
    """A client for `PROVIDER/NAME`; close it when done. Its key is read here, once; `keys` is the environment alone by default.

    `providers` adds to the built-in ones (`anthropic`, `openai`) and replaces those of the same name. Raises ConfigError
    for a string or a provider that is wrong, PrerequisiteError where the key is nowhere. No request is made.

    `on_tokens` is told of the tokens of streamed answers as they arrive, by an estimate from their characters.
    """
    name = model.partition("/")[2]
    if simulated(model):
        from lorimer.models.simulated import open_simulated

        return open_simulated(name)
    return open_at_provider(model, providers, keys=keys, clock=clock, on_tokens=on_tokens)


def simulated(model: str) -> bool:
    """Whether `PROVIDER/NAME` names a simulated model."""
    return model.partition("/")[0] == SIMULATED


def open_at_provider(
    model: str,
    providers: Mapping[str, ProviderConfig] | None = None,
    *,
    keys: Keys | None = None,
    clock: RetryClock | None = None,
    on_tokens: Callable[[float], None] = lambda tokens: None,
) -> ProviderClient:
    """Open a model that is not simulated, as `open_model` does."""
    provider = provider_of(model, providers)
    key = _key(provider, keys or Keys())
    dialect = _dialect(model.partition("/")[2], provider, key)
    guard.check(dialect.base_url)
    return ProviderClient(model, provider, dialect, key, clock or RetryClock(), on_tokens)


def check_name(model: str, providers: Mapping[str, ProviderConfig] | None = None) -> None:
    """Raises ConfigError where no model of this name could be opened, whatever keys there are. Asks nobody."""
    if simulated(model):
        from lorimer.models.simulated import open_simulated

        open_simulated(model)
    else:
        provider_of(model, providers)


def provider_of(model: str, providers: Mapping[str, ProviderConfig] | None = None) -> ProviderConfig:
    """The provider of `PROVIDER/NAME`, among the built-in ones and `providers`. Raises ConfigError, as `open_model` does."""
    provider_name, _, name = model.partition("/")
    if not provider_name.strip() or not name.strip():
        raise ConfigError(f"models: '{model}' is not PROVIDER/NAME, such as {' or '.join(EXAMPLES)}")
    known = {**BUILT_IN, **(providers or {})}
    if provider_name not in known:
        names = sorted({*known, SIMULATED})
        near = difflib.get_close_matches(provider_name, names, 1)
        raise ConfigError(
            f"models: no provider '{provider_name}' for '{model}'; there are {', '.join(names)}"
            + (f" (did you mean '{near[0]}/{name}'?)" if near else ""),
            f"add [providers.{provider_name}] with its base_url to lorimer.toml",
        )
    provider = known[provider_name]
    if provider.base_url is None and provider_name not in BUILT_IN:
        raise ConfigError(f"providers.{provider_name}.base_url: missing, such as http://127.0.0.1:8080/v1")
    if provider.base_url is not None and not provider.base_url.startswith(("http://", "https://")):
        raise ConfigError(
            f"providers.{provider_name}.base_url: '{provider.base_url}' does not start with http:// or https://"
        )
    return provider


def _key(provider: ProviderConfig, keys: Keys) -> Key:
    value, table = _NO_KEY, f"[providers.{provider.name}]"
    if provider.key_env is not None:
        found = keys.find(provider.key_env)
        if found is None:
            raise PrerequisiteError(
                f"no key for provider '{provider.name}': {provider.key_env} is {keys.missing}",
                f"run `export {provider.key_env}=...`, write it to .env, or name another in {table} key_env",
            )
        value = found[0]
    values: dict[str, str] = {}
    for name in variables(provider.headers):
        found = keys.find(name)
        if found is None:
            header = next(header for header, said in provider.headers.items() if name in VARIABLE.findall(said))
            raise PrerequisiteError(
                f"no value for the header {header} of provider '{provider.name}': {name} is {keys.missing}",
                f"run `export {name}=...`, write it to .env, or name another in {table} headers",
            )
        values[name] = found[0]
    headers = {name: VARIABLE.sub(lambda match: values[match[1]], said) for name, said in provider.headers.items()}
    return Key(value, headers, tuple(values.values()))


def _dialect(name: str, provider: ProviderConfig, key: Key) -> Dialect:
    # The SDKs take one to two seconds to import: each only for who uses it.
    if provider.api == "anthropic":
        from lorimer.models.dialects.anthropic import AnthropicDialect

        if provider.base_url is not None:
            # The SDK adds /v1 itself, and users write it as for every other server.
            provider = replace(provider, base_url=provider.base_url.rstrip("/").removesuffix("/v1"))
        return AnthropicDialect(name, provider, key)
    if provider.api == "responses":
        from lorimer.models.dialects.responses import ResponsesDialect

        return ResponsesDialect(name, provider, key)
    from lorimer.models.dialects.openai import ChatDialect

    return ChatDialect(name, provider, key)
