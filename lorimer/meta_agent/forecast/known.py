"""`lorimer power`: what is known of a champion, from the store or assumed, put before `power.forecast`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lorimer.config.settings import Config, parse_stored
from lorimer.errors import PrerequisiteError, SandboxError, UserError
from lorimer.meta_agent.forecast import panel as panels
from lorimer.meta_agent.forecast.power import Basis, Forecast, forecast
from lorimer.meta_agent.forecast.spending import Costs, Spending
from lorimer.meta_agent.gate.design import Design
from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.replay.unchanged import Replays, measured
from lorimer.meta_agent.state.names import About, evaluation_id
from lorimer.meta_agent.state.trials import refused, results, standing_trials
from lorimer.meta_agent.state.world import World, scan
from lorimer.meta_agent.workspace.where import has_store, store_at
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.traces.base import StudyReader
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import Spent, Stage
from lorimer.traces.tables import StudyRow
from lorimer.wording import count

REPLAYED = 40
"""Trials of the champion of which `power` tells whether they replay: a second on bubblewrap, and a share to within 16 points."""

WAITS = 2
"""`power` waits for sandboxes, and for a jail, this many times [executor] seconds: a forecast needs neither, and says where it
had none."""


def plan(
    root: Path,
    config: Config,
    *,
    study: str | None = None,
    assume: str | None = None,
    overrides: dict[str, Any] | None = None,
) -> Forecast:
    """The power of a study.

    - `assume`: of a new one, with these pass rates (`panel.parse_rates`) for its train tasks and the gate of `config`.
    - `study`, of kind `optimize`: of that one, with its own gate, its champion's trials and what is left of its budget.
    - Otherwise: of a new one with the gate of `config`, from a champion's or `lorimer run`'s trials in the store (`study` names
      whose; else `beginning.best_known` finds them), or with nothing assumed but the number of tasks where there are none.

    Raises UserError, ConfigError.
    """
    # What benchmarks and splits need takes 0.1 s to import, and the rest of a study needs none of it.
    if assume is not None:
        if study is not None:
            raise UserError("--assume and --study: name a study or assume rates, not both")
        from lorimer.meta_agent.forecast.beginning import assumed

        return assumed(config, assume)
    reader = StoreReader(store_at(root)) if study is not None or has_store(root) else None
    if reader is not None and study is not None and (row := reader.study(study)).kind == "optimize":
        return of_study(reader, row, parse_stored(row.config, row.id, overrides))
    from lorimer.meta_agent.forecast.beginning import of_new

    return of_new(root, config, reader, study)


async def replays(root: Path, config: Config, study: str) -> Replays | str:
    """How many of the champion's trials the champion itself replays, by a sample; or why that cannot be seen here."""
    if not config.replay.enabled:
        return "[replay] enabled = false turns it off"
    try:
        return await measured(StoreReader(store_at(root)), study, config, REPLAYED, WAITS * config.executor.seconds)
    except PrerequisiteError as error:
        return error.problem
    except SandboxError as error:
        return str(error)


def of_study(reader: StudyReader, row: StudyRow, config: Config) -> Forecast:
    """What is left of a study, from its own trials. Raises UserError where none of its champion has scored."""
    world = scan(reader, row.id)
    found = standing_trials(reader, world.stood, world.seed, config.retries.errored)
    if not any(outcome.reward is not None for outcome in found):
        raise UserError(f"{row.id} has no scored trial of its champion yet; without --study, power takes what there is")
    used = reader.spent(row.id)
    # The sum reads the row of every trial, 0.3 s of 125,000, and is held against this bound alone.
    hours = None if config.budget.hours is None else reader.trial_seconds(row.id) / 3600 / config.sandbox.concurrency
    known = Basis(
        panels.from_trials([*results(found), *untried(world.train, found)]),
        source_of(world, found, len(world.train)),
        study=row.id,
        trials=results(found),
        holdout=len(world.holdout),
        test=len(reader.tasks(row.id, split="test")),
        spent=Spending(used.trials, used.usd, used.tokens, hours),
        proposed=world.proposals,
        costs=costs_of(reader, found, row, used),
    )
    return replace(forecast_of(config, known), rest_of=row.id)


def forecast_of(config: Config, known: Basis) -> Forecast:
    """The forecast of a study with these settings, from what is known."""
    return forecast(
        Design.of(config),
        known,
        budget=config.budget,
        concurrency=config.sandbox.concurrency,
        seed=config.study.seed,
        workers=min(4, os.cpu_count() or 1),
    )


def untried(tasks: Sequence[str], found: Sequence[TrialOutcome]) -> list[Result]:
    """Tasks without a trial, as ones that say nothing."""
    tried = {outcome.planned.task for outcome in found}
    return [Result(task, None) for task in tasks if task not in tried]


def source_of(world: World, found: Sequence[TrialOutcome], tasks: int) -> str:
    """Where a champion's trials are from, in words; `tasks` is the number of train tasks."""
    tried = len({outcome.planned.task for outcome in found})
    of = f"all {tasks}" if tried == tasks else f"{tried} of {tasks}"
    first = world.standing == evaluation_id(world.study, About("", Stage.BASELINE))
    what = f"{world.study}/{Stage.BASELINE}" if first else world.standing
    share = refused(found)
    return f"{count(len(found), 'trial')} of {of} train tasks ({what})" + (f"; {share}" if share else "")


def costs_of(reader: StudyReader, found: Sequence[TrialOutcome], row: StudyRow, used: Spent) -> Costs:
    """Means a trial, and a proposal: this study's, which has `used` so much, or of the latest one with the same meta model that
    made some.
    """
    scored = [outcome for outcome in found if outcome.reward is not None]
    usd = [outcome.used.usd for outcome in scored]
    rows = [row, *reversed([other for other in reader.studies() if other.meta_model == row.meta_model])]
    proposed = next(((each, n) for each in rows if (n := len(reader.candidates(each.id)))), None)
    proposal_usd = proposal_tokens = None
    if proposed is not None:
        first, count = proposed
        spent = (used if first.id == row.id else reader.spent(first.id)).meta
        proposal_usd = None if spent.usd is None else spent.usd / count
        proposal_tokens = spent.tokens / count
    return Costs(
        usd=None if None in usd else sum(cost for cost in usd if cost is not None) / len(scored),
        tokens=sum(outcome.used.tokens for outcome in scored) / len(scored),
        seconds=sum(outcome.seconds for outcome in scored) / len(scored),
        proposal_usd=proposal_usd,
        proposal_tokens=proposal_tokens,
    )
