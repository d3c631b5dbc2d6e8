"""`lorimer power` of a study that is to begin: from trials of its tasks, from assumed rates, or from nothing but their number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lorimer.benchmarks.split import around, rank, split
from lorimer.config.settings import Config
from lorimer.harness.version import sha
from lorimer.meta_agent.forecast import panel as panels
from lorimer.meta_agent.forecast.enough import needed
from lorimer.meta_agent.forecast.known import costs_of, forecast_of, source_of, untried
from lorimer.meta_agent.forecast.power import Basis, Forecast
from lorimer.meta_agent.forecast.spending import Costs
from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.state.trials import results, standing_trials
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.workspace.repository import Workspace
from lorimer.meta_agent.workspace.suite import load_suite
from lorimer.traces.base import StudyReader
from lorimer.traces.tables import StudyRow


def assumed(config: Config, assume: str) -> Forecast:
    """A study whose train tasks have these pass rates (`panel.parse_rates`). Raises UserError."""
    rates = panels.parse_rates(assume)
    holdout, test = around(len(rates), config.split)
    source = f"pass rates as assumed: {assume}"
    return forecast_of(config, Basis(panels.from_rates(rates), source, holdout=holdout, test=test))


def of_new(root: Path, config: Config, reader: StudyReader | None, row: StudyRow | None) -> Forecast:
    """A study that is to begin, from trials that there are of its train tasks."""
    suite = load_suite(root, config)
    sides = split(suite.tasks, config.split, config.study.seed, base=root)
    trials: list[Result] = []
    remarks: list[str] = []
    more = _more([task.id for task in suite.tasks], sides.train, config.study.seed)
    source = f"no trial yet: {len(sides.train)} tasks, each assumed to be solved at any rate, half of them nearly always or never"
    panel, costs, study = panels.spread(len(sides.train)), Costs(), ""
    if reader is not None and row is not None:
        world = scan(reader, row.id)
        everything = standing_trials(reader, world.stood, world.seed, int(row.config["retries"]["errored"]))
        found = [outcome for outcome in everything if outcome.planned.task in sides.train]
        if any(outcome.reward is not None for outcome in found):
            trials, study = results(found), row.id
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
        study=study,
        trials=trials,
        holdout=len(sides.holdout),
        test=len(sides.test),
        costs=costs,
        remarks=remarks,
        more=more,
    )
    return forecast_of(config, known)


def _more(tasks: Sequence[str], train: Sequence[str], seed: int) -> str:
    """The command that runs as many train tasks, as often, as a forecast takes: the smallest sample that holds them."""
    wanted, each = needed(len(train))
    sample = sorted(tasks, key=lambda id_: rank(seed, "sample", id_))
    places = [place for place, id_ in enumerate(sample, 1) if id_ in train]
    limit = "" if wanted == len(train) else f" --set benchmark.limit={places[wanted - 1]}"
    return f"`lorimer run --repeats {each}{limit}`"
