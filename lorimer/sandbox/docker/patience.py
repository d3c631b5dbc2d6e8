"""How long an engine may be silent before it is given up."""

from __future__ import annotations

from dataclasses import dataclass

LONG_SECONDS = 180.0
"""A start takes 0.2 s on an idle machine and some tens of seconds on one that thrashes, as do a copy and a removal; more than
this means that the engine hangs."""


@dataclass(frozen=True)
class Patience:
    """The bounds of one engine's calls, in seconds."""

    answer: float = 10.0
    """An engine that does not say by then what it is and has does not answer: it takes some hundredths of a second, and some
    seconds on a machine that thrashes. One that is being left, and answers none of the calls that clear up for so long, is
    left as it is."""

    @property
    def quick(self) -> float:
        """The bound of a call that an engine answers at once (`Engine.call`), and of the answer of one that runs trials.

        Three times `answer`, as trials are lost by it. Under 30 busy processes on two processors, with three containers made and
        removed all the time and two studies beside them, the slowest of 15 to 17 of each took 2.0 s (list), 1.4 s (inspect,
        make an exec), 1.2 s (what the engine is and has); a start took 4.0 s.
        """
        return 3 * self.answer

    @property
    def long(self) -> float:
        """The bound of every other call."""
        return max(LONG_SECONDS, self.quick)


PATIENCE = Patience()
