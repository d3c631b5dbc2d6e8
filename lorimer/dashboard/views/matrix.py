"""Every task under every candidate: solved, failed, errored, not run, replayed; the worst tasks first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lorimer.dashboard.shelf import SEALED, Opened
from lorimer.errors import UserError
from lorimer.kinds import SOLVED
from lorimer.meta_agent.state.names import About, evaluation_id, short
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import Stage
from lorimer.traces.tables import TaskRow, Trial

COLUMNS = 40
"""Candidates on a page."""
NEWEST = 200
"""Trials of one task that are listed."""


@dataclass(frozen=True)
class Spot:
    """A task under a candidate."""

    look: str
    """`solved` (more than half of its trials), `failed`, `errored` (all of them), `none`."""
    solved: int = 0
    trials: int = 0
    errored: int = 0
    replayed: bool = False
    """Whether its trials went on from a record: a spot-check's."""
    stage: str = ""

    @property
    def said(self) -> str:
        """The same in words."""
        if not self.trials:
            return f"errored in {self.errored} trials" if self.errored else "not run"
        errored = f", {self.errored} errored" if self.errored else ""
        how = f", {self.stage}, replayed up to the edit" if self.replayed else f", {self.stage}"
        return f"solved in {self.solved} of {self.trials}{errored}{how}"


@dataclass(frozen=True)
class MatrixLine:
    """A task with what the champion makes of it."""

    task: str
    split: str
    rate: float | None
    """The champion's mean reward; `None` without trials."""
    trials: int
    flaky: float | None
    """How far the champion's trials differ: 1 where half of them are solved, 0 where all or none are."""
    tokens: float | None
    """Tokens per trial; the next two are per trial as well."""
    usd: float | None
    seconds: float | None
    spots: tuple[Spot, ...]


@dataclass(frozen=True)
class Matrix:
    """The tasks' page."""

    candidates: tuple[tuple[int, str, str], ...]
    """Number, name and state of each column."""
    lines: tuple[MatrixLine, ...]
    sealed: int
    """Tasks that are not shown yet."""
    champion: str


def matrix(reader: StudyReader, opened: Opened, first: int, most: int = COLUMNS) -> Matrix:
    """The tasks under the candidates from place `first` on, `most` of them, the newest first."""
    world = opened.world
    columns = list(reversed(world.candidates))[first : first + most]
    stages = [Stage.FULL, Stage.SPOT]
    names = {evaluation_id(opened.id, About(view.id, stage)): (view.id, stage) for view in columns for stage in stages}
    counted = _counted(reader, list(names))
    replayed = reader.replayed(list(names))
    totals = {each.task: each for each in reader.task_totals(world.stood)}
    lines = []
    for row in reader.tasks(opened.id):
        if row.split != "train" and (opened.sealed or row.split != "holdout"):
            continue
        spots = tuple(_spot(opened.id, view.id, row.id, counted, replayed) for view in columns)
        total = totals.get(row.id)
        rate = total.reward / total.trials if total else None
        lines.append(
            MatrixLine(
                task=row.id,
                split=row.split,
                rate=rate,
                trials=total.trials if total else 0,
                flaky=None if rate is None else 4 * rate * (1 - rate),
                tokens=total.tokens / total.trials if total else None,
                usd=total.usd / total.trials if total and total.usd is not None else None,
                seconds=total.seconds / total.trials if total else None,
                spots=spots,
            )
        )
    # Which tasks nobody solves is looked for oftenest.
    lines.sort(key=lambda line: (2.0 if line.rate is None else line.rate, -(line.flaky or 0), line.task))
    champion = short(world.champion.number) if world.champion else "the seed harness"
    return Matrix(
        tuple((view.number, short(view.number), view.state) for view in columns),
        tuple(lines),
        len(world.holdout) if opened.sealed else 0,
        champion,
    )


Counts = Mapping[tuple[str, str], tuple[int, int, int]]
"""How many trials of an evaluation and a task were solved, scored and errored."""


def _counted(reader: StudyReader, evaluations: Sequence[str]) -> Counts:
    found: dict[tuple[str, str], list[int]] = {}
    rewards = {(name, task, repeat): reward for name, task, repeat, reward in reader.scored(evaluations)}
    for (name, task, _), reward in rewards.items():
        own = found.setdefault((name, task), [0, 0, 0])
        own[0] += reward >= SOLVED
        own[1] += 1
    errored = {
        (each.evaluation, each.task, each.repeat) for each in reader.unscored(evaluations) if each.state == "errored"
    }
    for name, task, _ in errored - rewards.keys():
        found.setdefault((name, task), [0, 0, 0])[2] += 1
    return {key: (own[0], own[1], own[2]) for key, own in found.items()}


def _spot(study: str, candidate: str, task: str, counted: Counts, replayed: set[tuple[str, str]]) -> Spot:
    """What the full run shows where the task was run in it, else the spot-check."""
    for stage in (Stage.FULL, Stage.SPOT):
        name = evaluation_id(study, About(candidate, stage))
        if (name, task) in counted:
            solved, trials, errored = counted[name, task]
            look = "errored" if not trials else "solved" if 2 * solved > trials else "failed"
            return Spot(look, solved, trials, errored, (name, task) in replayed, stage.value)
    return Spot("none")


@dataclass(frozen=True)
class TaskPage:
    """One task."""

    row: TaskRow
    trials: tuple[Trial, ...]
    """The newest."""
    total: int
    """How many there are."""


def task(reader: StudyReader, opened: Opened, name: str) -> TaskPage:
    """One task with its newest trials. Raises UserError for one that the study has not, and for a sealed one."""
    row = next((each for each in reader.tasks(opened.id) if each.id == name), None)
    if row is None:
        raise UserError(f"study {opened.id} has no task {name or '(empty)'}")
    if row.split == "test" or (opened.sealed and row.split == "holdout"):
        raise UserError(f"{name} is {SEALED}")
    return TaskPage(
        row, tuple(reader.trials(opened.id, task=name, limit=NEWEST)), reader.trials_of_task(opened.id, name)
    )
