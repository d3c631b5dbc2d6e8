"""Full-text search over the steps of trajectories."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col, select

from lorimer.kinds import SearchOrder
from lorimer.traces import codec
from lorimer.traces.tables import Step

RANKED = 20_000
"""The best matches are looked for among the newest ones only, at most this many: to rank 1.5 million takes 3 s, these 0.1 s."""


@dataclass(frozen=True)
class Hit:
    """A step that full-text search found."""

    step: Step
    snippet: str
    """The words around the match, which is in [brackets]."""


def search(
    session: Session,
    words: str,
    study: str | None,
    limit: int,
    owners: Sequence[str] | None,
    order: SearchOrder,
    sealed: Sequence[str],
) -> list[Hit]:
    """Do what `traces.base.StudyReader.search` promises."""
    for query in (words, quoted(words)):
        if not query.strip():
            return []
        try:
            return _search(session, query, study, limit, owners, order, sealed)
        except _NotFts:
            continue
    return []


def quoted(words: str) -> str:
    """Any text as an FTS5 query: its words, each quoted, all of which must occur."""
    return " ".join(f'"{word}"' for word in re.findall(r"\w+", words))


_MANY = 5_000
"""Trials of a study, from which on it takes longer to list them (0.15 s for 120,000) than to ask of each step."""
_STUDYS = "SELECT id FROM trial WHERE study = :study UNION SELECT id FROM candidate WHERE study = :study"
_OF_STUDY = (
    "(EXISTS (SELECT 1 FROM trial WHERE trial.id = step.owner AND trial.study = :study) "
    "OR EXISTS (SELECT 1 FROM candidate WHERE candidate.id = step.owner AND candidate.study = :study))"
)

_UNSEALED = (
    "NOT EXISTS (SELECT 1 FROM trial WHERE trial.id = step.owner AND trial.stage = 'holdout' "
    "AND trial.study IN (SELECT value FROM json_each(:sealed)))"
)


_ORDERS: dict[SearchOrder, str] = {
    "best": 'step_fts.rank, step.owner, step."index"',
    "newest": "step_fts.rowid DESC",
    "steps": 'step.owner, step."index"',
}


class _NotFts(Exception):
    """The text is not a valid FTS5 query."""


def _search(
    session: Session,
    query: str,
    study: str | None,
    limit: int,
    owners: Sequence[str] | None,
    order: SearchOrder,
    sealed: Sequence[str],
) -> list[Hit]:
    where = ["step_fts MATCH :query"]
    values: dict[str, Any] = {"query": query, "limit": limit, "ranked": max(RANKED, limit) - 1}
    if study is not None:
        values["study"] = study
        where += _within(_STUDYS) if _is_small(session, study) else [_OF_STUDY]
    if owners is not None:
        values["owners"] = codec.dumps(list(owners))
        where += _within("SELECT value FROM json_each(:owners)")
    if sealed:
        values["sealed"] = codec.dumps(list(sealed))
        where.append(_UNSEALED)
    matching = f"FROM step_fts JOIN step ON step.id = step_fts.rowid WHERE {' AND '.join(where)}"
    if order == "best":
        oldest = f"SELECT step_fts.rowid {matching} ORDER BY step_fts.rowid DESC LIMIT 1 OFFSET :ranked"
        matching += f" AND step_fts.rowid >= coalesce(({oldest}), 0)"
    statement = (
        f"SELECT step.id, snippet(step_fts, 0, '[', ']', ' … ', 24) {matching} ORDER BY {_ORDERS[order]} LIMIT :limit"
    )
    try:
        found = session.connection().execute(text(statement), values).all()
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.OperationalError) and blames_the_query(str(error.orig)):
            session.rollback()
            raise _NotFts from None
        raise
    steps = {step.id: step for step in session.exec(select(Step).where(col(Step.id).in_([row[0] for row in found])))}
    return [Hit(steps[row[0]], row[1]) for row in found]


def _within(owners: str) -> list[str]:
    """That a step is of one of these. The range spares a look at every other step that holds a common word."""
    return [
        f"step.owner IN ({owners})",
        f"step_fts.rowid BETWEEN (SELECT min(id) FROM step WHERE owner IN ({owners})) "  # noqa: S608
        f"AND (SELECT max(id) FROM step WHERE owner IN ({owners}))",
    ]


def _is_small(session: Session, study: str) -> bool:
    """Whether it is quicker to list a study's trials than to ask of each step that was found whether it is one of theirs."""
    trials = session.connection().execute(
        text("SELECT count(*) FROM (SELECT 1 FROM trial WHERE study = :study LIMIT :many)"),
        {"study": study, "many": _MANY},
    )
    return bool(trials.scalar_one() < _MANY)


def blames_the_query(words: str) -> bool:
    """Whether what SQLite said of a search is about its words: they are no FTS5 query."""
    return any(sign in words for sign in ("fts5:", "no such column", "unterminated string", "unknown special query"))
