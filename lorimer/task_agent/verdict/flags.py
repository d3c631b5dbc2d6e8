"""What is said against a pass, and by which words it is known again."""

from __future__ import annotations

from collections.abc import Iterable

SUSPECT, WEAKER = "suspect: ", "weaker evidence: "
"""How a flag begins: the pass may be no pass; the pass could not be verified as well as others."""


def is_suspect(flags: Iterable[str]) -> bool:
    """Whether a pass may be no pass."""
    return any(flag.startswith(SUSPECT) for flag in flags)
