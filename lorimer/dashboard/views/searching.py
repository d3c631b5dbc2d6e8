"""Search across the trajectories of a study: the steps that hold some words, each with a link to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lorimer.dashboard.shelf import Opened
from lorimer.kinds import SOLVED
from lorimer.meta_agent.state.names import short
from lorimer.traces.base import StudyReader
from lorimer.traces.reading.outlines import Hit
from lorimer.traces.tables import Candidate

MOST = 50
"""Steps that are shown, the newest first: to rank a word that stands everywhere takes most of a second, these take no time."""
LONGEST = 400
"""Characters of a query: more is no query of a person."""


@dataclass(frozen=True)
class Match:
    """A step that holds the words."""

    owner: str
    """The trial, or the candidate whose proposal session it is."""
    step: int
    kind: str
    whose: str
    """`c003, full` or `the session that proposed c003`."""
    task: str
    """Empty of a proposal session."""
    outcome: str
    snippet: str
    """The words around the match, which is in [brackets]."""


@dataclass(frozen=True)
class SearchPage:
    """The page."""

    words: str
    matches: tuple[Match, ...]
    more: bool
    """Whether there may be further ones."""


def search(reader: StudyReader, opened: Opened, words: str) -> SearchPage:
    """Look for words in all that the study's trials and proposal sessions hold; sealed trials are left out while it goes on."""
    words = words[:LONGEST]
    sealed = [opened.id] if opened.sealed else []
    hits = reader.search(words, opened.id, MOST, order="newest", sealed=sealed) if words.strip() else []
    proposed = {row.id: row for row in opened.candidates}
    # A harness that several candidates have is the first one's.
    whose = {row.harness: short(row.number) for row in reversed(opened.candidates) if row.harness}
    found = [match for hit in hits if (match := _match(reader, opened, proposed, whose, hit)) is not None]
    return SearchPage(words, tuple(found), len(hits) == MOST)


def _match(
    reader: StudyReader, opened: Opened, proposed: Mapping[str, Candidate], whose: Mapping[str, str], hit: Hit
) -> Match | None:
    """A hit in words; `None` of a trial that is sealed."""
    step, snippet = hit.step, " ".join(hit.snippet.split())
    row = proposed.get(step.owner)
    if row is not None:
        session = f"the session that proposed {short(row.number)}"
        return Match(step.owner, step.index, step.kind, session, "", row.state, snippet)
    trial = reader.trial(step.owner)
    if opened.hides(trial):
        return None
    who = whose.get(trial.harness, "the seed harness")
    outcome = trial.state if trial.reward is None else "solved" if trial.reward >= SOLVED else "failed"
    return Match(step.owner, step.index, step.kind, f"{who}, {trial.stage}", trial.task, outcome, snippet)
