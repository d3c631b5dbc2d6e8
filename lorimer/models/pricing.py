"""What a model call costs: the user's own price, else the price list that ships with `genai-prices`. No network."""

from __future__ import annotations

from lorimer.harness.api import Usage
from lorimer.models.provider import ProviderConfig, TokenPrice


def price(provider: ProviderConfig, model: str, usage: Usage) -> float | None:
    """Dollars for `usage`; `None` where no price is known, never 0 for that."""
    own = provider.prices.get(model, provider.price)
    if own is not None:
        return _own(own, usage)
    return _listed(provider, model, usage)


def at_most(provider: ProviderConfig, model: str, input_tokens: int, output_tokens: int) -> float | None:
    """Dollars that a call costs at most; `None` where no price is known.

    Nothing is read from a cache then, and all of the input may be written to one, which Anthropic bills at 1.25 times the input.
    """
    plain, written = (
        price(provider, model, Usage(input_tokens, output_tokens, cache_write_tokens=write))
        for write in (0, input_tokens)
    )
    return plain if plain is None or written is None else max(plain, written)


def cache_saves(provider: ProviderConfig, model: str, tokens: int) -> float | None:
    """Dollars by which `tokens` of input are cheaper when the provider's cache has them; `None` where no price is known.

    Priced in prompts of 1,000 tokens: some models take more for long prompts, and these tokens were of many.
    """
    whole, cached = price(provider, model, Usage(1000)), price(provider, model, Usage(1000, cached_tokens=1000))
    return None if whole is None or cached is None else (whole - cached) * tokens / 1000


def _own(price: TokenPrice, usage: Usage) -> float:
    cached = price.input if price.cached is None else price.cached
    fresh = usage.input_tokens - usage.cached_tokens
    return (fresh * price.input + usage.cached_tokens * cached + usage.output_tokens * price.output) / 1_000_000


def _listed(provider: ProviderConfig, model: str, usage: Usage) -> float | None:
    import genai_prices

    counted = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
    )
    try:
        # By address where there is one: a user's provider may be called anything, and a local server that serves a
        # model of a known name is not billed by that name's owner.
        if provider.base_url is None:
            found = genai_prices.calc_price(counted, model, provider_id=provider.name)
        else:
            found = genai_prices.calc_price(counted, model, provider_api_url=provider.base_url)
    except (LookupError, ValueError):
        # ValueError: counts that contradict each other (more cached than input), as some compatible servers report.
        return None
    return float(found.total_price)
