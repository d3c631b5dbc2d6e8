"""Candidates against the champions that they met, task by task: what flipped, what chance flips, and where the edit fired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lorimer.dashboard.shelf import Opened
from lorimer.kinds import SOLVED
from lorimer.meta_agent.gate.statistics.scores import Rewards, together, wilson
from lorimer.meta_agent.ledger.drifting import run_again
from lorimer.meta_agent.ledger.effects import effects
from lorimer.meta_agent.reports.flips import Flips, chance, flips
from lorimer.meta_agent.state.changes import full_runs
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.state.trials import by_task, scored_rewards
from lorimer.traces.base import StudyReader
from lorimer.traces.effects import Fired
from lorimer.traces.schema import Stage
from lorimer.traces.tables import Candidate


@dataclass(frozen=True)
class Side:
    """One harness's trials of a task."""

    solved: int
    trials: int
    mean: float
    low: float
    high: float
    """The upper end of the mean's 95% interval (Wilson), whose lower end is `low`."""

    def __str__(self) -> str:
        """`2/4 [0.15, 0.85]`; where rewards are graded, `0.62 in 4 [0.25, 0.89]`."""
        graded = abs(self.mean * self.trials - self.solved) > 1e-6
        said = f"{self.mean:.2f} in {self.trials}" if graded else f"{self.solved}/{self.trials}"
        return f"{said} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class TaskCell:
    """A task under the champion and under the candidate."""

    task: str
    before: Side
    after: Side
    flip: str
    """`fixed`, `broke`, or empty."""
    chance: float
    """How likely it is that the task flips either way if both harnesses are the same."""
    fired: int = 0
    """Trials of the candidate in which the edit fired."""
    told: int = 0
    """Trials of which that is known."""
    hunks: tuple[tuple[int, int], ...] = ()
    """The same of each hunk."""

    @property
    def said(self) -> str:
        """The cell in words."""
        words = {"fixed": "fixed: ", "broke": "broken: "}.get(self.flip, "")
        fired = f"; the edit fired in {self.fired} of {self.told} trials" if self.told else ""
        luck = f"by chance alone it flips in {self.chance:.0%}"
        return f"{self.task}, {words}{self.before} before, {self.after} after{fired}; {luck}"


@dataclass(frozen=True)
class EditRow:
    """One edit."""

    number: int
    name: str
    title: str
    state: str
    cells: Mapping[str, TaskCell]
    """A cell for each task that both have run."""
    flips: Flips
    fired: Fired | None = None
    hunks: tuple[str, ...] = field(default=())
    """A line for each hunk: what it puts in place of what."""

    @property
    def flipped(self) -> int:
        """Tasks."""
        return len(self.flips.fixed) + len(self.flips.broke)

    @property
    def flipped_and_fired(self) -> int | None:
        """Those of the flips in whose trials the edit fired; `None` where that is known of none."""
        cells = [cell for cell in self.cells.values() if cell.flip and cell.told]
        known = any(cell.told for cell in self.cells.values())
        return sum(cell.fired > 0 for cell in cells) if known else None

    @property
    def sentence(self) -> str:
        """`12 flips, 5.0 expected by chance, 6 where the edit fired`."""
        fired = self.flipped_and_fired
        where = "whether the edit fired is not known" if fired is None else f"{fired} where the edit fired"
        return f"{self.flipped} {'flip' if self.flipped == 1 else 'flips'}, {self.flips.expected:.1f} expected by chance, {where}"


@dataclass(frozen=True)
class Again:
    """A champion against itself: its first trials, and those that were run later."""

    name: str
    cells: Mapping[str, TaskCell]
    flips: Flips


def rows(reader: StudyReader, opened: Opened, candidates: Sequence[Candidate]) -> list[EditRow]:
    """Those of these candidates whose full run is decided, in the order given. All of their trials are read at once."""
    runs = full_runs(reader, opened.world, candidates, opened.retries)
    read = {name: by_task(trials) for name, trials in runs.read.items()}
    known = effects(reader, opened.world, candidates, opened.retries, runs)
    fired = {number: each.fired for number, each in known.items()}
    joined = {names: together([read[name] for name in names]) for names in set(runs.met.values())}
    found = []
    for row in candidates:
        if row.number not in runs.own:
            continue
        before, after = joined[runs.met[row.number]], read[runs.own[row.number]]
        view = opened.world.candidate(row.id)
        hunks = tuple(_in_a_line(hunk["replace"] or f"without: {hunk['search']}") for hunk in row.edit)
        told = flips(before, after, opened.world.train)
        cells = _cells(told, before, after, fired.get(row.number))
        state = view.state if view else row.state
        found.append(
            EditRow(row.number, short(row.number), row.title, state, cells, told, fired.get(row.number), hunks)
        )
    return found


def again(reader: StudyReader, opened: Opened) -> list[Again]:
    """The champions that were run at two times, in order."""
    found = []
    for evaluations in run_again(opened.world):
        if len(evaluations) < 2:
            continue
        each_run = [by_task(trials) for trials in scored_rewards(reader, evaluations).values()]
        before, after = each_run[0], together(each_run[1:])
        told = flips(before, after, opened.world.train)
        subject = next(
            about.subject for about in opened.world.decisions if opened.world.decisions[about].id == evaluations[0]
        )
        view = opened.world.candidate(subject)
        found.append(Again(short(view.number) if view else "seed", _cells(told, before, after, None), told))
    return found


def with_full_run(opened: Opened) -> list[Candidate]:
    """The candidates whose full run is decided, the newest first."""
    return [row for row in reversed(opened.candidates) if opened.world.decided(row.id, Stage.FULL) is not None]


def _cells(told: Flips, before: Rewards, after: Rewards, fired: Fired | None) -> dict[str, TaskCell]:
    found = {}
    for pair in told.tasks:
        a, b = before[pair.task], after[pair.task]
        some, known = fired.tasks.get(pair.task, (0, 0)) if fired else (0, 0)
        hunks = tuple(hunk.tasks.get(pair.task, (0, 0)) for hunk in fired.hunks) if fired else ()
        found[pair.task] = TaskCell(pair.task, _side(a), _side(b), pair.flip, chance(a, b), some, known, hunks)
    return found


def _side(given: Sequence[float]) -> Side:
    mean = sum(given) / len(given)
    low, high = wilson(mean, len(given))
    return Side(sum(reward >= SOLVED for reward in given), len(given), mean, low, high)


def _in_a_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else f"{line[:89]}…"
