"""What a grid of searches measured, as values: pairings, searches, cells, the contrast. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, order=True)
class Pairing:
    """A cell of the grid: which model does the tasks, and which one edits the harness."""

    task: str
    """`PROVIDER/NAME`."""
    meta: str

    @property
    def same(self) -> bool:
        """Whether one model does both."""
        return self.task == self.meta

    def __str__(self) -> str:
        return f"{self.task} edited by {'itself' if self.same else self.meta}"


@dataclass(frozen=True)
class Tally:
    """How many of how many."""

    count: int = 0
    of: int = 0

    @property
    def share(self) -> float | None:
        """The share, from 0 to 1; `None` where there is nothing to share."""
        return self.count / self.of if self.of else None

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.count + other.count, self.of + other.of)

    def __str__(self) -> str:
        return f"{self.count} of {self.of}" if self.of else "-"


@dataclass(frozen=True)
class Search:
    """One search of a cell, as its study's rows tell it."""

    pairing: Pairing
    number: int
    """Its number within the cell, from 1."""
    study: str
    """The name of its study."""
    state: str
    """`planned`, `running`, `paused`, `finished`."""
    reason: str = ""
    gains: Mapping[str, float] | None = None
    """The champion's mean reward on each sealed task less the seed harness's, in trials that decided nothing; 0 on all of them
    where nothing was promoted. `None` until that is measured."""
    candidates: int = 0
    """Proposals, those without a usable edit included."""
    promoted: int = 0
    first: int | None = None
    """The number of the first candidate that was promoted."""
    predictions: Tally = Tally()
    """Tasks that edits with a full run should have fixed, and of these how many did better."""
    fired: Tally = Tally()
    """Full-run trials of promoted edits in which some line of the edit ran, of those in which that is known."""
    usd: float | None = 0.0
    """What the search spent, its last measure included; `None` where a price is unknown."""
    tokens: int = 0
    trials: int = 0


@dataclass(frozen=True)
class Interval:
    """A gain or a difference of gains in mean reward, with its 90% interval."""

    value: float
    low: float
    high: float
    error: float
    """Standard error."""
    freedom: float
    """Degrees of freedom of the error."""

    def __str__(self) -> str:
        """The interval in points, which are hundredths of mean reward."""
        return f"{100 * self.value:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"


@dataclass(frozen=True)
class Cell:
    """What came of all searches of a pairing."""

    pairing: Pairing
    searches: int
    measured: int
    """Searches whose gain on the sealed tasks is known."""
    gain: Interval | None
    """The gain on the sealed tasks; `None` where no search is measured."""
    usd: float | None
    """Dollars of a search, on average; `None` where a price is unknown."""
    points_per_usd: float | None
    """Points of gain for a dollar; `None` where calls were free or of unknown price."""
    tokens: float
    trials: float
    """The trials of a search, on average."""
    first: float | None
    """The mean number of the first promoted candidate, over searches that promoted one."""
    never: int
    """Searches that promoted nothing."""
    promotions: Tally
    """How many of its candidates were promoted."""
    predictions: Tally
    fired: Tally


Verdict = Literal["more", "less", "cannot tell"]


@dataclass(frozen=True)
class Contrast:
    """`same - cross`: how much more a search gains where one model does both."""

    verdict: Verdict
    sentence: str
    """What it means, for people."""
    interval: Interval | None
    """`None` where the grid does not hold both kinds."""
    confounded: bool = False
    """The meta model's own strength is in the difference too."""
    searches_known: bool = True
    """Whether the interval holds how much searches differ by luck; with one search per pairing nobody knows."""


@dataclass(frozen=True)
class Transfer:
    """The winner of a search on the sealed tasks under a task model that it was not searched with."""

    study: str
    """The search."""
    pairing: Pairing
    model: str
    """The task model that it was run under."""
    gain: float
    """Mean over the sealed tasks of the winner's mean reward less the seed harness's under that model."""
    tasks: int


@dataclass(frozen=True)
class GridResult:
    """All that a comparison says."""

    name: str
    benchmark: str
    simulated: bool
    """No language model was asked: the numbers say nothing about any."""
    unit: str
    """What the budgets are equal in: `trials`, `tokens` or `usd`."""
    each: float
    """The budget of one search in that unit."""
    tasks: tuple[str, ...]
    """Sealed tasks that every measured search has; gains are over these."""
    left_out: int
    """Sealed tasks that some search has not, as its trials errored."""
    searches: tuple[Search, ...]
    cells: tuple[Cell, ...]
    contrast: Contrast
    transfers: tuple[Transfer, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every search is measured."""
        return all(search.gains is not None for search in self.searches)
