"""A study of a workspace, for programs and notebooks. It is read from the store whenever it is asked, also while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorimer.errors import PrerequisiteError, UserError
from lorimer.exports.trajectories import harness_of
from lorimer.kinds import Stage, TrialState
from lorimer.meta_agent.gate.comparison import told_reason
from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.meta_agent.reports.evidence import compared
from lorimer.meta_agent.reports.flips import Flips
from lorimer.meta_agent.state.names import STAGES, short
from lorimer.meta_agent.state.sealed import hidden
from lorimer.meta_agent.state.world import World, scan, score_of
from lorimer.terminal.here import find_workspace
from lorimer.terminal.listing import state_of
from lorimer.terminal.opening import open_reader, pick_experiments
from lorimer.traces import tables
from lorimer.traces.base import StudyReader
from lorimer.wording import count

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class TrialRow:
    """One trial that has ended. The transcript is a `lorimer traces show` or `lorimer traces export` away."""

    trial: str
    candidate: str
    """Whose harness ran: `seed`, or `c003`."""
    stage: str
    task: str
    split: str
    repeat: int
    attempt: int
    state: str
    """`scored` or `errored`."""
    reward: float | None
    """0 to 1; `None` where it errored."""
    cause: str
    model_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    """`None` where the price is not known."""
    seconds: float
    started: str
    """UTC, ISO 8601."""


@dataclass(frozen=True)
class CandidateRow:
    """One candidate, with what its full run measured on the train tasks."""

    candidate: str
    state: str
    title: str
    hypothesis: str
    kind: str
    parent: str
    """The harness that it edits: `seed`, or `c003`."""
    harness: str
    """SHA-256; empty where there was no usable edit."""
    score: float | None
    """The score of its full run, which may have ended before its last task; `None` where it had none."""
    trials: int | None
    """Scored ones of its full run."""
    champion_score: float | None
    """The score of what it was compared with: the champion, and under `pooled` the candidates that it withstood as well."""
    p: float | None
    decided_at: str
    """The stage at which it was decided."""
    reason: str
    """What the gate said there."""


@dataclass(frozen=True)
class Best:
    """The champion: the best harness that the gate let through."""

    candidate: str
    """`seed`, or `c003`."""
    title: str
    hypothesis: str
    harness: str
    """SHA-256 of the text."""
    text: str
    """Its agent.py."""
    score: Score | None
    """The score on the train tasks, from trials that it did not win by; `None` where it was not measured."""


class Study:
    """A study, for reading. `Study.open` makes one.

    Every method raises LorimerError where the store cannot be read. Trials of sealed tasks are left out until the study has
    finished (docs/decisions.md).
    """

    def __init__(self, reader: StudyReader, name: str, workspace: Path) -> None:
        self._reader = reader
        self.name = name
        self.workspace = workspace

    @classmethod
    def open(cls, path: str | Path = ".", study: str | None = None) -> Study:
        """Open a study.

        Args:
            path: its workspace, or a folder below it.
            study: its name; `None` takes the latest that tries candidates, or else the latest run.

        Raises UserError where there is no store, or no such study in it.
        """
        workspace = find_workspace(Path(path))
        reader = open_reader(workspace, named_by="path")
        return cls(reader, pick_experiments(reader, study)[0].id, workspace)

    def __repr__(self) -> str:
        world = self._world()
        return f"<lorimer study {self.name}: {self.state}, {count(len(world.candidates), 'candidate')}, best {self._best(world)}>"

    # ---- where it stands

    @property
    def state(self) -> str:
        """`running`, `paused`, `finished`, or `interrupted` where its process was killed."""
        return state_of(self._row())[0]

    @property
    def reason(self) -> str:
        """Why it is in that state, in words; empty where nothing is to be said."""
        return state_of(self._row())[1]

    @property
    def baseline(self) -> Score | None:
        """The seed harness's score on the train tasks; `None` until it is measured."""
        return _score(self._world(), "")

    @property
    def best(self) -> Best:
        """The champion, which is the seed harness while nothing was promoted."""
        world = self._world()
        champion, row = world.champion, None
        if champion is not None:
            row = self._reader.candidate(champion.id)
        text = self._reader.harness(world.champion_harness)
        return Best(
            self._best(world),
            row.title if row else "",
            row.hypothesis if row else "",
            text.sha,
            text.text,
            _score(world, world.champion_id),
        )

    # ---- rows

    def trial_list(
        self,
        *,
        candidate: str | None = None,
        stage: Stage | str | None = None,
        task: str | None = None,
        failed: bool = False,
    ) -> list[TrialRow]:
        """The trials that have ended and match all that is given, in the order in which they began.

        Args:
            candidate: whose harness ran: `c003`, `seed` or `best`.
            stage: `baseline`, `spot`, `full`, `audit`, `canary` or `holdout`.
            failed: only scored ones without the full reward.

        Raises UserError for an unknown candidate or stage.
        """
        row = self._row()
        if stage is not None and stage not in set(Stage):
            raise UserError(f"there is no stage {stage}", f"name one of {', '.join(Stage)}")
        harness = None if candidate is None else harness_of(self._reader, row, self._named(candidate))
        found = self._reader.trials(
            self.name, task=task, stage=stage and str(stage), harness=harness, failed=failed, limit=None
        )
        splits = {each.id: each.split for each in self._reader.tasks(self.name)}
        names = self._names()
        return [
            _trial(each, names.get(each.harness, ""), splits.get(each.task, ""))
            for each in reversed(found)
            if each.state in (TrialState.SCORED, TrialState.ERRORED) and not hidden(row, each)
        ]

    def candidate_list(self) -> list[CandidateRow]:
        """Every candidate, in the order in which they were tried."""
        world, names = self._world(), self._names()
        return [_candidate(each, world, names.get(each.parent, "")) for each in self._reader.candidates(self.name)]

    def trials(
        self,
        *,
        candidate: str | None = None,
        stage: Stage | str | None = None,
        task: str | None = None,
        failed: bool = False,
    ) -> pandas.DataFrame:
        """What `trial_list` gives, as a data frame whose columns are the fields of `TrialRow`. Raises PrerequisiteError without
        pandas."""
        return _frame(self.trial_list(candidate=candidate, stage=stage, task=task, failed=failed), TrialRow)

    def candidates(self) -> pandas.DataFrame:
        """What `candidate_list` gives, as a data frame whose columns are the fields of `CandidateRow`. Raises PrerequisiteError
        without pandas."""
        return _frame(self.candidate_list(), CandidateRow)

    # ---- comparisons and plots

    def flips(self, a: str = "seed", b: str = "best") -> Flips:
        """The train tasks that two harnesses do not solve alike, and how many would flip by chance.

        Args:
            a, b: `seed`, `best`, or a candidate such as `c003`. A champion is told of by the trials that its score comes from,
                any other candidate by its full run.

        Raises UserError for an unknown candidate, and for one without a full run.
        """
        world = self._world()
        found = compared(self._reader, world, *(self._subject(world, each) for each in (a, b)))
        if not found.tasks:
            raise UserError(f"{a} and {b} of study {self.name} were not run on any train task that both finished")
        return found

    def plot_scores(self) -> Figure:
        """Every full run's score beside that of its champion, and the champion's scores with their 95% intervals.

        Raises PrerequisiteError without matplotlib.
        """
        from lorimer.python import plots

        world = self._world()
        champions = [("seed", _score(world, ""))]
        champions += [(short(each.number), _score(world, each.id)) for each in world.promoted]
        return plots.scores(self.name, self.candidate_list(), champions)

    def plot_tasks(self, a: str = "seed", b: str = "best") -> Figure:
        """Each train task's mean reward under two harnesses, flips in colour.

        Raises PrerequisiteError without matplotlib, and what `flips` does.
        """
        from lorimer.python import plots

        return plots.tasks(self.flips(a, b), self._named(a), self._named(b))

    # ---- inside

    def _row(self) -> tables.StudyRow:
        return self._reader.study(self.name)

    def _world(self) -> World:
        return scan(self._reader, self.name)

    def _names(self) -> dict[str, str]:
        """The candidates' names by their harness's SHA-256."""
        rows = self._reader.candidates(self.name)
        return {self._row().seed_harness: "seed"} | {row.harness: short(row.number) for row in rows if row.harness}

    def _best(self, world: World) -> str:
        return short(world.champion.number) if world.champion else "seed"

    def _named(self, candidate: str) -> str:
        return self._best(self._world()) if candidate == "best" else candidate

    def _subject(self, world: World, candidate: str) -> str:
        """A candidate's id; "" for the seed harness. Raises UserError."""
        name = self._best(world) if candidate == "best" else candidate
        if name == "seed":
            return ""
        for each in world.candidates:
            if name in (each.id, short(each.number)):
                return each.id
        raise UserError(f"study {self.name} has no candidate {name}; `lorimer log --study {self.name}` lists them")


def _score(world: World, champion: str) -> Score | None:
    found = world.reported_of(champion)
    return score_of(found) if found else None


def _trial(row: tables.Trial, candidate: str, split: str) -> TrialRow:
    same = ("stage", "task", "repeat", "attempt", "state", "reward", "cause", "model_calls", "input_tokens")
    more = ("output_tokens", "cost_usd", "seconds", "started")
    return TrialRow(
        trial=row.id, candidate=candidate, split=split, **{name: getattr(row, name) for name in (*same, *more)}
    )


def _candidate(row: tables.Candidate, world: World, parent: str) -> CandidateRow:
    full = world.decided(row.id, Stage.FULL)
    numbers: dict[str, Any] = full.numbers if full else {}
    last = next((each for stage in reversed(STAGES) if (each := world.decided(row.id, stage)) is not None), None)
    return CandidateRow(
        candidate=short(row.number),
        state=row.state,
        title=row.title,
        hypothesis=row.hypothesis,
        kind=row.kind,
        parent=parent,
        harness=row.harness or "",
        score=numbers.get("candidate_mean"),
        trials=numbers.get("candidate_trials"),
        champion_score=numbers.get("champion_mean"),
        p=numbers.get("p"),
        decided_at=last.stage if last else "",
        reason=told_reason(last.reason) if last else row.failure,
    )


def _frame(rows: Sequence[Any], kind: type[Any]) -> pandas.DataFrame:
    try:
        import pandas
    except ImportError:
        raise PrerequisiteError(
            "data frames need the package pandas", "pip install 'lorimer[plots]', or ask for lists"
        ) from None
    return pandas.DataFrame([asdict(row) for row in rows], columns=[field.name for field in fields(kind)])
