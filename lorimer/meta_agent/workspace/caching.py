"""What a study's calls read from providers' caches, and what they lost there, for people.

What was lost is told of a provider that has read from its cache in this study: of another one it is not known whether it caches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lorimer.meta_agent.gate.cost import amounts
from lorimer.traces.caching import NONE_BROKEN, CacheBreaks
from lorimer.traces.schema import Share, Spent
from lorimer.traces.tables import StudyRow
from lorimer.wording import count


@dataclass(frozen=True)
class CacheUse:
    """Shares of input tokens that were read from a provider's cache, and the calls that lost it."""

    task: float | None
    """The share of the trials' input tokens; `None` where they had none, or their provider has reported no cache."""
    meta: float | None
    """The same of the meta-agent's."""
    breaks: CacheBreaks
    """None where the trials' provider has reported no cache."""
    lost_usd: float | None
    """What the lost tokens cost over what they cost from the cache; `None` where prices are not known."""

    def lines(self) -> list[tuple[str, str]]:
        """A word and a line for each thing that is to be said."""
        whose = ((self.task, "trials", "of trials"), (self.meta, "the meta-agent", "the meta-agent's"))
        shares = [(share, short) for share, short, _ in whose if share is not None]
        found: list[tuple[str, str]] = []
        if shares:
            (share, first), *rest = shares
            said = f"{_percent(share)} of the input tokens of {first} were read from the provider's cache"
            found.append(("cache", said + "".join(f", {_percent(more)} of the meta-agent's" for more, _ in rest)))
        if self.breaks.calls:
            found.append(("cache lost", self._lost()))
        return found

    def _lost(self) -> str:
        breaks = self.breaks
        lost = f"{breaks.lost_tokens:,} tokens"
        if self.lost_usd:
            lost += f" at {amounts('usd', self.lost_usd)[0]} more than from the cache"
        calls = f"{count(breaks.calls, 'call')} in {count(breaks.trials, 'trial')}"
        said = f"{calls} read anew what the calls before had sent, {lost}"
        if breaks.changed:
            said += f"; {breaks.changed} of them began otherwise than the call before"
        if breaks.trial:
            said += f"; such as step {breaks.step} of {breaks.trial}: {breaks.why}"
        return said


def _percent(share: float) -> str:
    """A share in whole per cent; neither all nor nothing unless it is that."""
    return "under 1%" if 0 < share < 0.01 else "over 99%" if 0.99 < share < 1 else f"{100 * share:.0f}%"


def cache_use(study: StudyRow, spent: Spent, breaks_in: Callable[[str], CacheBreaks]) -> CacheUse:
    """What a study's calls read from caches.

    Args:
        breaks_in: says what a study's calls lost (`StudyReader.cache_breaks`); asked where the trials' provider caches.
    """
    same = study.task_model.partition("/")[0] == study.meta_model.partition("/")[0]
    task, meta = spent.task.cached_tokens > 0, spent.meta.cached_tokens > 0
    task, meta = task or (same and meta), meta or (same and task)
    breaks = breaks_in(study.id) if task else NONE_BROKEN
    return CacheUse(
        _share(spent.task) if task else None,
        _share(spent.meta) if meta else None,
        breaks,
        _lost_usd(study, breaks) if breaks.calls else None,
    )


def _share(of: Share) -> float | None:
    return of.cached_tokens / of.input_tokens if of.input_tokens else None


def _lost_usd(study: StudyRow, breaks: CacheBreaks) -> float | None:
    # What reads a study mostly finds no breaks, and is spared the import of what runs one.
    from lorimer.config.settings import parse_stored
    from lorimer.errors import ConfigError
    from lorimer.meta_agent.workspace.named import providers
    from lorimer.models.pricing import cache_saves
    from lorimer.models.registry import provider_of, simulated

    if simulated(study.task_model):
        return None
    try:
        provider = provider_of(study.task_model, providers(parse_stored(study.config, study.id)))
    except ConfigError:  # a study of settings that this lorimer knows no more is told of all the same
        return None
    return cache_saves(provider, study.task_model.partition("/")[2], breaks.lost_tokens)
