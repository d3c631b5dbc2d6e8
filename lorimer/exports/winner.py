"""A study's winner as a value, read from the store once: all that a target may write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorimer.meta_agent.reports.evidence import EvidenceCard, evidence, table
from lorimer.meta_agent.reports.export import card_of, with_winner
from lorimer.meta_agent.reports.gain import gain_of
from lorimer.meta_agent.state.world import scan
from lorimer.traces.base import StudyReader

NOT_ALONE = "It was not promoted by itself; the edit after it was made of it, and its result was."
"""What is said of an edit that was not promoted, and that the winner rests on."""


@dataclass(frozen=True)
class Change:
    """One edit on the way to the winner: the harness that it made, and why."""

    candidate: str
    title: str
    hypothesis: str
    made: str
    """UTC, ISO 8601; empty where it is not known."""
    text: str
    promoted: bool = True
    """Whether it was promoted by itself."""


@dataclass(frozen=True)
class Winner:
    """A champion, with what it rests on."""

    text: str
    seed_text: str
    changes: tuple[Change, ...]
    """The edits that lead from the seed harness to the winner; empty where that is the seed harness."""
    evidence: EvidenceCard
    card: str
    """The evidence in Markdown."""
    config: Mapping[str, Any]
    """The study's settings as they were resolved."""
    harness_path: str
    """The path of the harness in its workspace."""


def winner_of(reader: StudyReader, study: str, at: str | None = None) -> Winner:
    """The champion of a study, or an earlier one (`c003`, `seed`). Raises UserError for a study without any."""
    row, world = with_winner(reader, study), scan(reader, study)
    gain = gain_of(reader, world, row)
    found = evidence(reader, world, gain, at)
    changes = tuple(
        Change(
            each.candidate,
            each.title,
            each.hypothesis if each.promoted else f"{each.hypothesis}\n\n{NOT_ALONE}".strip(),
            each.decided,
            reader.harness(each.harness).text,
            each.promoted,
        )
        for each in found.lineage
    )
    card = f"{card_of(reader, row, world, gain, found)}\n{table(found.tasks)}"
    if at is not None:
        card = f"> These files hold {found.winner}; the page is about the whole study.\n\n{card}"
    return Winner(
        text=reader.harness(found.harness).text,
        seed_text=reader.harness(row.seed_harness).text,
        changes=changes,
        evidence=found,
        card=card,
        config=row.config,
        harness_path=str(row.config.get("study", {}).get("harness", "harness/agent.py")),
    )
