"""Words that several rooms put together in the same way. The standard library alone: every room may import it."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_WORDS = 500
"""The provider's words are cut to so many characters in a message of one line: enough for what is wrong, where some servers
answer with a page."""


def first_names(names: Sequence[str], most: int) -> str:
    """`a, b and 3 more`: the first `most` of the names, and how many others there are."""
    others = len(names) - most
    return ", ".join(names[:most]) + (f" and {others} more" if others > 0 else "")


def a(word: str) -> str:
    """`a run`, `an optimize`."""
    return f"{'an' if word[:1] in 'aeiou' else 'a'} {word}"


def quoted(words: str) -> str:
    """A provider's words, for a message of one line."""
    line = " ".join(words.split()) or "it gave no reason"
    return f'"{line[:LONGEST_WORDS]}…"' if len(line) > LONGEST_WORDS else f'"{line}"'
