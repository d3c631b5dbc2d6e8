"""The clusters of failures among which a round shares out its proposals: the kinds of `list_failures`, the largest first."""

from __future__ import annotations

from lorimer.meta_agent.proposer.cases import Cases
from lorimer.meta_agent.proposer.diagnosis.listing import by_kind
from lorimer.meta_agent.proposer.diagnosis.looked_at import LookedAt


def clusters(cases: Cases) -> tuple[str, ...]:
    """The names of the kinds of which any trial failed; the one with most failed trials first, of two as large the surer one."""
    return tuple(kind.name for kind in by_kind(LookedAt(cases)))
