"""The models and providers that a workspace's settings name, and what they cost, without opening any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lorimer.config.providers import variables
from lorimer.config.settings import Config
from lorimer.errors import ConfigError
from lorimer.harness.api import Usage
from lorimer.models import pricing
from lorimer.models.base import ModelClient
from lorimer.models.provider import BUILT_IN, ProviderConfig, provider_config
from lorimer.models.registry import provider_of, simulated


def providers(config: Config) -> dict[str, ProviderConfig]:
    """The providers of lorimer.toml."""
    return {name: provider_config(name, settings) for name, settings in config.providers.items()}


def key_names(config: Config) -> list[str]:
    """The names of all variables with keys that any known provider would read, those that its headers name included."""
    known = {**BUILT_IN, **providers(config)}.values()
    named = {name for provider in known for name in variables(provider.headers)}
    return sorted(named | {provider.key_env for provider in known if provider.key_env})


def max_tokens_of(config: Config, model: ModelClient) -> int:
    """The most tokens that a model answers with where a request names no number."""
    name = model.id.partition("/")[0]
    provider = providers(config).get(name) or BUILT_IN.get(name) or ProviderConfig(name)
    return provider.max_tokens


class Priced(Protocol):
    """What has a price: a model's client, or its name in the list of prices."""

    @property
    def id(self) -> str: ...

    def price(self, input_tokens: int, output_tokens: int) -> float | None: ...


@dataclass(frozen=True)
class PricedModel:
    """A model that is not opened: its price is looked up, and no key is read."""

    id: str
    provider: ProviderConfig

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        return pricing.price(self.provider, self.id.partition("/")[2], Usage(input_tokens, output_tokens))


def listed(config: Config) -> list[PricedModel]:
    """The models of these settings, without the simulated ones, which have a price. Raises ConfigError."""
    names = dict.fromkeys((config.models.task, config.meta_model))
    return [PricedModel(name, provider_of(name, providers(config))) for name in names if not simulated(name)]


def check_prices(config: Config, *models: Priced) -> None:
    """A budget in dollars cannot be kept where a price is unknown: say so before anything is spent. Raises ConfigError."""
    bounds = {
        "budget.usd": config.budget.usd,
        "budget.task.usd": config.budget.task.usd,
        "budget.meta.usd": config.budget.meta.usd,
        "limits.usd": config.limits.usd,
        "meta.usd": config.meta.usd,
    }
    limits = [key for key, value in bounds.items() if value]
    for model in models:
        # Asked in any case: the list of prices takes 0.2 s to import, and trials would wait for it.
        priced = model.price(1, 1) is not None
        if limits and not priced:
            name = model.id.partition("/")[0]
            raise ConfigError(
                f"{limits[0]}: the price of {model.id} is unknown",
                f"set usd_per_million_input and usd_per_million_output in [providers.{name}], or set a budget in tokens",
            )
