"""The numbers at which the gate ends what it runs, as lorimer has had them one after another. Pure.

A study keeps the revision that it began with (`[gate] revision`): a decision that was right then stays right, whether the study
is resumed, verified or replayed. A number that changes is a new revision, and the old one stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Ends:
    """Where spot-checks, full runs and confirmations end."""

    early: float
    """Standard deviations ahead at which a pooled run may end before its plan does, for what is better."""
    behind: float
    """Standard errors of a confirmation's difference below which a round is the last one."""
    ahead: float
    """Those above which it is."""
    one_guard_kills: bool
    """Whether one broken guard kills in a spot-check where no fix did better."""
    never_is_doubted: bool
    """Whether a full run hopes for the less on a task the longer the champion's arm has never solved it."""


NEWEST = 3
REVISIONS: Mapping[int, Ends] = {
    1: Ends(early=2.0, behind=-0.3, ahead=0.8, one_guard_kills=True, never_is_doubted=False),
    2: Ends(early=2.2, behind=-0.6, ahead=0.6, one_guard_kills=False, never_is_doubted=False),
    NEWEST: Ends(early=2.2, behind=-0.6, ahead=0.6, one_guard_kills=False, never_is_doubted=True),
}
"""Revision 1 did not confirm two in ten of the gains that had passed their test, and one broken guard cost 4 of 100 gains of four
points. A confirmation that goes on to 0.6 standard errors behind finds most of these again; it also lets more edits without
effect through, which the later end of a full run takes back. Revision 2 ended the runs of most gains that leave alone what was
never solved: a run begins with such tasks, and was expected to solve as large a share of their failures as of any. `bench.gate`
and `bench.gate_suites` measure it (docs/gate.md)."""
