"""Search across the trajectories of a study: the steps that hold some words, each with a link to it."""

from __future__ import annotations

from dataclasses import dataclass

from lorimer.dashboard.shelf import Opened
from lorimer.kinds import SOLVED
from lorimer.meta_agent.state.names import short
from lorimer.traces.base import StudyReader
from lorimer.traces.search import Hit

MOST = 50
"""Steps that are shown, the best first."""
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
class Search:
    """The page."""

    words: str
    matches: tuple[Match, ...]
    more: bool
    """Whether there may be further ones."""


def search(reader: StudyReader, opened: Opened, words: str) -> Search:
    """Look for words in all that the study's trials and proposal sessions hold; sealed trials are left out while it goes on."""
    words = words[:LONGEST]
    hits = reader.search(words, opened.id, MOST, sealed=[opened.id] if opened.sealed else []) if words.strip() else []
    found = [match for hit in hits if (match := _match(reader, opened, hit)) is not None]
    return Search(words, tuple(found), len(hits) == MOST)


def _match(reader: StudyReader, opened: Opened, hit: Hit) -> Match | None:
    """A hit in words; `None` of a trial that is sealed."""
    step, snippet = hit.step, " ".join(hit.snippet.split())
    proposed = next((row for row in opened.candidates if row.id == step.owner), None)
    if proposed is not None:
        whose = f"the session that proposed {short(proposed.number)}"
        return Match(step.owner, step.index, step.kind, whose, "", proposed.state, snippet)
    trial = reader.trial(step.owner)
    if opened.hides(trial):
        return None
    evaluation = reader.evaluation(trial.evaluation)
    candidate = reader.candidate(evaluation.subject) if evaluation and evaluation.subject else None
    who = short(candidate.number) if candidate else "the seed harness"
    outcome = trial.state if trial.reward is None else "solved" if trial.reward >= SOLVED else "failed"
    return Match(step.owner, step.index, step.kind, f"{who}, {trial.stage}", trial.task, outcome, snippet)
