"""Masks secrets in text before it is stored.

Two kinds are masked: the exact values that the caller knows to be secret (the provider keys it read from the environment),
and common shapes of keys that a trajectory may have met by itself. Every pattern has a literal that must occur before the
pattern is tried: searching a megabyte for a literal takes microseconds, searching it for an alternation takes tens of
milliseconds. What a cut left of either is masked too (`traces.halves`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lorimer.traces import codec, halves
from lorimer.traces.halves import MASK as MASK

MIN_SECRET = 8
"""Shorter values (`test`, `1234`) occur in honest text; masking them would ruin traces and protect nothing."""

_SHAPES: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    # OpenAI and Anthropic: sk-..., sk-proj-..., sk-ant-... With a digit, as names (`sk-learn-pipelines-…`) have none.
    (("sk-",), re.compile(r"(?<![A-Za-z0-9])sk-(?=[A-Za-z_-]{0,200}[0-9])[A-Za-z0-9_-]{16,}"), MASK),
    # AWS access key ids are exactly 20 characters.
    (("AKIA", "ASIA"), re.compile(r"(?<![A-Za-z0-9])A(?:KI|SI)A[0-9A-Z]{16}(?![A-Za-z0-9])"), MASK),
    # GitHub: personal, OAuth, user, server, refresh, and the fine-grained form.
    (
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        re.compile(r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})"),
        MASK,
    ),
    (("hf_",), re.compile(r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{20,}"), MASK),
    (("AIza",), re.compile(r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{30,}"), MASK),
    # An Authorization header's credential. At least 16 characters, so that prose ("bearer bonds") stays as it is.
    (
        ("Bearer ", "bearer ", "BEARER "),
        re.compile(r"\b([Bb]earer|BEARER) +(?!\[secret\])[A-Za-z0-9._~+/-]{16,}=*"),
        rf"\1 {MASK}",
    ),
    # The password of an address: scheme://user:password@host.
    (("://",), re.compile(r"(://[^\s/@:]{0,64}:)(?!\[secret\])[^\s/@]{1,256}(?=@)"), rf"\1{MASK}"),
)


_BY_LITERAL = tuple(
    (literal, pattern, replacement) for literals, pattern, replacement in _SHAPES for literal in literals
)

SHORTEST_KEY = 19
"""Characters of the shortest key that a shape takes; an address with a password may be shorter."""

SHORTEST = len("://:x@")
"""Characters of the shortest text in which anything is masked."""


class Scrubber:
    """Masks exact values, the longest first, key shapes, and what cuts left of them."""

    def __init__(self, values: Sequence[str]) -> None:
        self._values = tuple((value, *halves.signs(value)) for value in values)
        self._signs = (
            *(sign for value in values for sign in halves.signs(value)),
            *(literal for literal, _, _ in _BY_LITERAL),
        )
        self._told_by_json = all(codec.canonical(value) == f'"{value}"' for value in values)

    def __call__(self, text: str) -> str:
        if len(text) < SHORTEST:
            return text
        met = False
        for value, first, last in self._values:
            if first in text or last in text:
                met = True
                text = halves.known(text.replace(value, MASK), value)
        if len(text) < SHORTEST_KEY and "://" not in text:
            return text
        for literal, pattern, replacement in _BY_LITERAL:
            if literal in text:
                met = True
                text = pattern.sub(replacement, text)
        return halves.shaped(text) if met else text

    def passes(self, encoded: str) -> bool:
        """Whether the JSON of a value shows that nothing in it is masked, in one look at all of its strings.

        Where it does not show that, each string has to be looked at. A value that JSON writes with escapes is never found so.
        """
        if not self._told_by_json:
            return False
        for sign in self._signs:  # noqa: SIM110 - `any` over a generator takes twice as long, and every step comes by here
            if sign in encoded:
                return False
        return True


def scrubber(secrets: Iterable[str] = ()) -> Callable[[str], str]:
    """A function that masks `secrets` (exact values of at least 8 characters; shorter ones are ignored) and key shapes."""
    # Longest first: a secret that contains another must not be cut in the middle.
    return Scrubber(
        sorted({value for value in secrets if len(value) >= MIN_SECRET}, key=lambda value: (-len(value), value))
    )


def passes(encoded: str, scrub: Callable[[str], str]) -> bool:
    """What `Scrubber.passes` says; of another function nothing is known."""
    return isinstance(scrub, Scrubber) and scrub.passes(encoded)


def scrub_json(value: Any, scrub: Callable[[str], str]) -> Any:
    """`value` with every string in it scrubbed, keys included. Mappings become dicts and sequences lists, as in JSON."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {scrub(str(key)): scrub_json(item, scrub) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [scrub_json(item, scrub) for item in value]
    return value


_PROSE = frozenset(
    {
        "state_reason",
        "config",
        "lorimer_toml",
        "instruction",
        "title",
        "hypothesis",
        "failure",
        "detail",
        "answer",
        "verifier_output",
    }
    | {"rewards", "flags", "reason", "numbers", "policy"}
)
"""Columns with words or data from outside, which are scrubbed. The others are names, which would then name nothing."""


class Cleaner:
    """Makes of values what may be stored."""

    def __init__(self, scrub: Callable[[str], str]) -> None:
        self.scrub = scrub

    def row(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A row's values, scrubbed where a column holds words or data from outside."""
        clean = dict(values)
        for name in _PROSE & values.keys():
            value = values[name]
            clean[name] = self.text(value) if isinstance(value, str) else self.json(value)
        return clean

    def json(self, value: Any) -> Any:
        """A JSON value with every string in it scrubbed; the value itself where there is nothing to mask."""
        return self.encoded(value)[0]

    def encoded(self, value: Any) -> tuple[Any, str]:
        """What `json` makes of a value, and that as the JSON of a column."""
        encoded = codec.dumps(value)
        if passes(encoded, self.scrub):
            return value, encoded
        clean = scrub_json(value, self.scrub)
        return clean, codec.dumps(clean)

    def text(self, text: str) -> str:
        """Scrubbed, and in the form in which a text column can hold it."""
        return storable(self.scrub(text))


def storable(text: str) -> str:
    """A text without what a column cannot hold: NUL ends a text for SQLite, a lone surrogate is no UTF-8."""
    text = text.replace("\x00", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
