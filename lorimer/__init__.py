"""lorimer: improves AI agent harnesses while their owner sleeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from lorimer.exports.library import Loaded

__version__ = "0.1.0"


def load(folder: str | Path) -> Loaded:
    """A winner that `lorimer export --to library` or `--to standalone` wrote, ready to solve tasks. Raises UserError."""
    from lorimer.exports.library import load as loaded

    return loaded(folder)
