"""What bodies have in common: settings that a call can do without, and counts that may be missing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Optional:
    """A setting that some models of an API refuse, and that a call can do without."""

    field: str
    """The field of the request body; after a point the field within it."""
    named: str = ""
    """Regular expression for how an error message names it; empty where `refused` says all."""
    part: str = ""
    """The type of the parts of messages that it is about; `field` is then where the messages are."""
    refused: re.Pattern[str] | None = None
    """How servers refuse it, where that differs from how they refuse a setting."""

    def is_in(self, body: Mapping[str, Any]) -> bool:
        """Whether a request body has it."""
        name, _, inner = self.field.partition(".")
        if self.part:
            return _has_part(body.get(name), self.part)
        return name in body and (not inner or inner in body[name])

    def is_refused(self, words: str) -> bool:
        """Whether a provider's words complain of it."""
        if self.refused is not None:
            return self.refused.search(words) is not None
        return _UNSUPPORTED.search(words) is not None and re.search(self.named, words, re.IGNORECASE) is not None


def _has_part(messages: object, kind: str) -> bool:
    if isinstance(messages, Mapping):
        return messages.get("type") == kind or _has_part(messages.get("content"), kind)
    return isinstance(messages, list) and any(_has_part(each, kind) for each in messages)


@dataclass(frozen=True)
class Served:
    """Who answers, as far as a body depends on it."""

    model: str
    """Its name at the provider."""
    max_tokens: int
    """Output tokens where a request names none."""
    provider: str = ""
    """What stands before the slash in a model string."""
    official: bool = False
    """Whether requests go to the provider whose API it is, not to a server compatible with it."""
    thoughts: bool = False
    """Chat only: `reasoning_content` of earlier turns goes back."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields merged into every body."""


_UNSUPPORTED = re.compile(
    r"unsupported|not support|n.t support|no longer|deprecated|only the default|not (?:permitted|allowed|available)|unavailable"
    r"|unrecogni[sz]ed|unknown (?:field|parameter|name|argument)|extra (?:inputs|fields)|may only be set"
    r"|cannot be (?:set|used|specified)|can only be set|incompatible",
    re.IGNORECASE,
)


def unsupported(
    words: str, body: Mapping[str, Any], dropped: frozenset[str], optional: Mapping[str, Optional]
) -> str | None:
    """Which optional setting of `body`, not `dropped` before, a provider's words complain of."""
    for name, setting in optional.items():
        if name not in dropped and setting.is_refused(words) and setting.is_in(body):
            return name
    return None


MOST_TOKENS = 1_000_000_000
"""A hundred times what the largest windows hold. A larger count is ignored: servers that count wrongly send -1 as a number
without a sign, and money and budgets would follow it."""


def count(given: Any, *path: str) -> int:
    """A number of tokens by its path in an object of counts; 0 where there is none, or none that can be read or be true: a bad
    count does not make an answer a bad one."""
    for name in path:
        given = given.get(name) if isinstance(given, Mapping) else None
    try:
        return int(given) if 0 < float(given) <= MOST_TOKENS else 0
    except (TypeError, ValueError, OverflowError):
        return 0
