"""`lorimer power` of a study that is to begin: from trials of its tasks, from assumed rates, or from nothing but their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lorimer.benchmarks.split import around, rank, split
from lorimer.config.settings import Config
from lorimer.harness.version import sha
from lorimer.meta_agent.forecast import panel as panels
from lorimer.meta_agent.forecast.enough import lacking, needed
from lorimer.meta_agent.forecast.known import costs_of, forecast_of, source_of, untried
from lorimer.meta_agent.forecast.power import Basis, Forecast
from lorimer.meta_agent.forecast.spending import Costs
from lorimer.meta_agent.gate.statistics.scores import Result, Scored, by_task, scored
from lorimer.meta_agent.state.trials import results, standing_trials
from lorimer.meta_agent.state.world import World, scan
from lorimer.meta_agent.workspace.repository import Workspace
from lorimer.meta_agent.workspace.suite import load_suite
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.traces.base import StudyReader
from lorimer.traces.tables import StudyRow


def assumed(config: Config, assume: str) -> Forecast:
    """A study whose train tasks have these pass rates (`panel.parse_rates`). Raises UserError."""
    rates = panels.parse_rates(assume)
    holdout, test = around(len(rates), config.split)
    source = f"pass rates as assumed: {assume}"
    return forecast_of(config, Basis(panels.from_rates(rates), source, holdout=holdout, test=test))


@dataclass(frozen=True)
class _Measured:
    """A study or a run, and what it knows of the tasks of the one that is to begin."""

    row: StudyRow
    world: World
    trials: Sequence[TrialOutcome]
    """Those of its champion on these train tasks."""

    @cached_property
    def seen(self) -> Mapping[str, Scored]:
        """The rewards of each task that has a scored trial."""
        return scored(by_task(results(self.trials)))

    def enough(self, train: Sequence[str]) -> bool:
        """Whether a forecast of these tasks lacks no trials."""
        lack = lacking({task: self.seen[task].rewards if task in self.seen else () for task in train})
        return lack is None or lack.kind != "few"

    @property
    def worth(self) -> tuple[bool, int]:
        """What is known of it, for comparing two that both lack trials: a measured baseline first, then the tasks tried."""
        return bool(self.world.decisions), len(self.seen)


def of_new(root: Path, config: Config, reader: StudyReader | None, study: str | None) -> Forecast:
    """A study that is to begin, from trials of its train tasks: those of `study`, or the best that are known."""
    suite = load_suite(root, config)
    sides = split(suite.tasks, config.split, config.study.seed, base=root)
    trials: list[Result] = []
    remarks: list[str] = []
    more = _more([task.id for task in suite.tasks], sides.train, config.study.seed)
    source = f"no trial yet: {len(sides.train)} tasks, each assumed to be solved at any rate, half of them nearly always or never"
    panel, costs, of = panels.spread(len(sides.train)), Costs(), ""
    if (
        reader is not None
        and (best := _best_known(reader, config.models.task, sides.train, study, remarks)) is not None
    ):
        row, world, found = best.row, best.world, best.trials
        if best.seen:
            trials, of = results(found), row.id
            panel = panels.from_trials([*trials, *untried(sides.train, found)])
            source = source_of(world, found, len(sides.train))
            costs = costs_of(reader, found, row, reader.spent(row.id))
            now = Workspace(root, config.study.harness, config.study.program).read_harness()
            if sha(now) != world.champion_harness:
                remarks.append(
                    f"these are trials of harness {world.champion_harness[:12]}; {config.study.harness} is another"
                )
            if row.task_model != config.models.task:
                remarks.append(f"these are trials with {row.task_model}; models.task is {config.models.task}")
        elif found:
            every = "the only trial" if len(found) == 1 else f"all {len(found)} trials"
            remarks.append(
                f"{every} of {row.id} errored, which tells nothing: `lorimer traces ls --state errored --study {row.id}` says why"
            )
    if not trials:
        remarks.append(f"nothing is measured yet: all numbers are of assumed tasks, not of these; run: {more}")
    known = Basis(
        panel,
        source,
        study=of,
        trials=trials,
        holdout=len(sides.holdout),
        test=len(sides.test),
        costs=costs,
        remarks=remarks,
        more=more,
    )
    return forecast_of(config, known)


def _best_known(
    reader: StudyReader, model: str, train: Sequence[str], study: str | None, remarks: list[str]
) -> _Measured | None:
    """The study or run whose trials a forecast takes: `study`, where it is named.

    It is the newest with enough trials of these tasks, one with this task model before all others. So a few trials that were
    run last, to see that all works, hide no study; a remark says that they were passed over. Where none has enough, it is the one
    that knows the most tasks.
    """
    if study is not None:
        return _measured(reader, reader.study(study), train)
    rows = [row for row in reversed(reader.studies()) if row.kind in ("run", "optimize")]
    few: list[_Measured] = []
    for row in sorted(rows, key=lambda row: row.task_model != model):
        each = _measured(reader, row, train)
        if each.enough(train):
            if newer := [one.row.id for one in few if one.row.task_model == row.task_model]:
                remarks.append(
                    f"{', '.join(newer)}: newer, with too few scored trials of these tasks; `--study` takes them"
                )
            return each
        few.append(each)
    return max(few, key=lambda each: each.worth, default=None)


def _measured(reader: StudyReader, row: StudyRow, train: Sequence[str]) -> _Measured:
    world = scan(reader, row.id)
    standing = standing_trials(reader, world.stood, world.seed, int(row.config["retries"]["errored"]))
    return _Measured(row, world, [outcome for outcome in standing if outcome.planned.task in train])


def _more(tasks: Sequence[str], train: Sequence[str], seed: int) -> str:
    """The command that runs as many train tasks, as often, as a forecast takes: the smallest sample that holds them."""
    wanted, each = needed(len(train))
    sample = sorted(tasks, key=lambda id_: rank(seed, "sample", id_))
    places = [place for place, id_ in enumerate(sample, 1) if id_ in train]
    limit = "" if wanted == len(train) else f" --set benchmark.limit={places[wanted - 1]}"
    return f"`lorimer run --repeats {each}{limit}`"
