"""What the session of a candidate came to, between its end and its turn.

The sessions of a round run side by side, and their results are told and decided in order of number. What a session came to is
paid for, so it is stored as soon as the session ends: in the columns of its candidate, which stays `proposing`. Until its turn
comes it is no part of the study, and readers give the candidate as it was when its round began.
"""

from __future__ import annotations

from typing import Any

from lorimer.traces.tables import Candidate

PROPOSING = "proposing"
"""The state of a candidate until its turn."""


def nothing() -> dict[str, Any]:
    """The columns that say what a session came to, as they are before it ends."""
    hunks: dict[str, Any] = {"edit": [], "fixes": [], "at_risk": [], "citations": [], "touches": None, "refused": None}
    return {
        "harness": None,
        **dict.fromkeys(("title", "hypothesis", "failure", "kind", "cause", "mechanism"), ""),
        **hunks,
    }


def told(row: Candidate) -> Candidate:
    """A candidate as readers give it: without what its session came to, where its turn has not come."""
    return row.model_copy(update=nothing()) if row.state == PROPOSING else row


def waits(row: Candidate | None) -> bool:
    """Whether the session of a candidate, as it is stored, has ended, and its turn has not come."""
    return row is not None and row.state == PROPOSING and bool(row.harness or row.failure)
