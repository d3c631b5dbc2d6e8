"""`lorimer optimize --dry-run`: the plan of a study, stage by stage, with what it may cost. No model is called.

A trial costs what earlier trials of the same model in this store did: from the first quartile (or the mean, if that is less)
to the third (or the mean, if that is more); where they are of few tasks, from the cheapest to the dearest. Without such trials,
or with fewer still, from one short call up to the trial's limits. What has no upper bound, or no known price, is said to be
unknown, never 0.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lorimer.benchmarks.base import Task
from lorimer.benchmarks.split import split
from lorimer.config.gate import GateSettings
from lorimer.config.settings import Config
from lorimer.harness.api import Usage
from lorimer.meta_agent.gate import confirmation
from lorimer.meta_agent.study import ab
from lorimer.meta_agent.study.checking import checked
from lorimer.meta_agent.workspace.named import providers
from lorimer.meta_agent.workspace.session import upgrade_store
from lorimer.meta_agent.workspace.suite import load_suite
from lorimer.meta_agent.workspace.where import has_store, store_at
from lorimer.models import pricing
from lorimer.models.provider import BUILT_IN, ProviderConfig
from lorimer.models.usage import BYTES_PER_TOKEN
from lorimer.traces.base import StudyReader
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.tables import Trial

ENOUGH = 3
"""Earlier proposals from which their cost is taken rather than from the limits."""
FEWEST_TASKS, ENOUGH_TASKS = 5, 24
"""Tasks with an earlier trial from which the cost of one is taken at all, and from which it is taken closely. Measured on
log-normal costs that differ between tasks by 0.5 to 1.5 of their mean: from the cheapest to the dearest of 5 holds the true mean
in 82 to 91 of 100 samples, of 3 in 62 to 73. The quartiles hold it in 49 to 59 with 5, in 67 to 92 with 24."""
LOOKED_AT = 2_000
"""The newest trials of the store that are looked at."""


@dataclass(frozen=True)
class Range:
    """The least and the most that something may be; `None` where it is unknown."""

    low: float | None
    high: float | None

    def __add__(self, other: Range) -> Range:
        return Range(_sum(self.low, other.low), _sum(self.high, other.high))

    def times(self, least: float, most: float | None) -> Range:
        """The cost of at least `least` and at most `most` of them; none cost nothing, even where one's cost is unknown."""
        return Range(_product(self.low, least), _product(self.high, most))


NOTHING = Range(0.0, 0.0)


@dataclass(frozen=True)
class Cost:
    """What something uses."""

    tokens: Range = NOTHING
    usd: Range = NOTHING
    hours: Range = NOTHING

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.tokens + other.tokens, self.usd + other.usd, self.hours + other.hours)

    def times(self, least: float, most: float | None) -> Cost:
        return Cost(self.tokens.times(least, most), self.usd.times(least, most), self.hours.times(least, most))


@dataclass(frozen=True)
class PlannedStage:
    """A stage of the plan, over the whole study."""

    stage: str
    trials: Range
    cost: Cost
    note: str = ""


@dataclass(frozen=True)
class PriceEstimate:
    """The plan of a study and what it may cost."""

    benchmark: str
    train: int
    holdout: int
    test: int
    """Tasks that the study does not run at all."""
    candidates: int | None
    lines: tuple[PlannedStage, ...]
    total: PlannedStage
    sources: tuple[str, ...]
    """Where the costs of one trial and of one proposal come from."""
    ends: tuple[str, ...]
    """What of the budget ends, or may end, the study before its plan does."""


def estimate(root: Path, config: Config) -> PriceEstimate:
    """Price the study that `lorimer optimize` would start now. Raises ConfigError, UserError, as that would."""
    suite = load_suite(root, config)
    reader = StoreReader(store_at(root)) if has_store(root) else None
    sides = split(suite.tasks, config.split, config.study.seed, base=root)
    train, holdout = len(sides.train), len(sides.holdout)
    trial, trial_from = _trial_cost(reader, config, suite.tasks)
    proposal, proposal_from = _proposal_cost(reader, config)
    gate, most = config.gate, config.budget.candidates
    repeats, champion = gate.repeats, gate.first_champion_repeats
    arms = 2 if gate.champion == "interleaved" else 1
    pooled = gate.policy == "pooled"
    final, sealed = confirmation.FINAL_REPEATS * train, 2 * holdout * gate.holdout_repeats

    def fixed(stage: str, trials: int) -> PlannedStage:
        return PlannedStage(stage, Range(trials, trials), trial.times(trials, trials))

    def each(stage: str, trials: int, note: str) -> PlannedStage:
        high = None if most is None else float(most * trials)
        return PlannedStage(stage, Range(0.0, high), trial.times(0.0, high), note)

    def last(stage: str, trials: int) -> PlannedStage:
        return PlannedStage(
            stage, Range(0.0, trials), trial.times(0, trials), "of the last champion, when the study ends"
        )

    unknown = _unchecked(reader, config, suite.tasks)
    lines = [
        *(
            [PlannedStage("check", Range(2 * unknown, None), Cost(), "of tasks never checked; no model is paid")]
            if unknown
            else []
        ),
        fixed("baseline", train * champion),
        fixed("holdout", holdout * gate.holdout_repeats),
        PlannedStage("proposals", NOTHING, proposal.times(min(1, most or 1), most), "of the meta model"),
        each("spot", gate.spot_fixes + gate.spot_guards, "of each candidate with a usable edit"),
        each("full", arms * train * repeats, "of those that a spot-check does not reject; may end early"),
        each("audit", 2 * train * confirmation.ROUNDS, "of those, side by side with the champion; may end early")
        if pooled
        else each("audit", train * champion, "of those that a full run does not reject"),
        each("holdout", sealed, "of those, side by side with the champion"),
        *(last(stage, most) for stage, most in (("audit", final), ("holdout", sealed)) if pooled),
        *([_again(most, gate, train, trial)] if gate.champion_grows else []),
    ]
    lines = [line for line in lines if line.trials.high != 0 or line.stage == "proposals"]
    total = PlannedStage("all", NOTHING, Cost())
    for line in lines:
        total = PlannedStage("all", total.trials + line.trials, total.cost + line.cost)
    return PriceEstimate(
        benchmark=suite.name,
        train=train,
        holdout=holdout,
        test=len(sides.test),
        candidates=most,
        lines=tuple(lines),
        total=total,
        sources=(trial_from, proposal_from),
        ends=tuple(_ends(config, total)),
    )


@dataclass(frozen=True)
class Comparison:
    """The plan of a comparison of two files, and what it may cost."""

    benchmark: str
    tasks: int
    repeats: int
    """Trials of each file on each task."""
    trials: Range
    """Trials of both files: fewer where the rest could not change the answer."""
    cost: Cost
    source: str
    """Where the cost of one trial comes from."""
    ends: tuple[str, ...]
    """What of the budget ends, or may end, it before its plan does."""


def comparison(root: Path, config: Config) -> Comparison:
    """Price the comparison that `lorimer ab` would start now; `config` is as `study.ab.settings_of` makes it.

    A store that is there is brought up to date, as that does: an older lorimer may have written it, or a process that was killed
    before its tables were made. Raises ConfigError, UserError, as that would.
    """
    suite = load_suite(root, config)
    ab.refuse_too_small(config, [task.id for task in suite.tasks])
    upgrade_store(root)
    reader = StoreReader(store_at(root)) if has_store(root) else None
    trial, source = _trial_cost(reader, config, suite.tasks)
    tasks, repeats = len(suite.tasks), config.gate.repeats
    least, most = 2 * tasks, 2 * tasks * repeats
    cost = trial.times(least, most)
    ends = tuple(_ends(config, PlannedStage("full", Range(least, most), cost)))
    return Comparison(suite.name, tasks, repeats, Range(least, most), cost, source, ends)


def _again(candidates: int | None, gate: GateSettings, train: int, trial: Cost) -> PlannedStage:
    """A champion's further trials, as it withstands candidates."""
    times = 0 if candidates is None else (candidates - 1) // gate.champion_every
    high = None if candidates is None else float(times * train)
    return PlannedStage("audit", Range(0.0, high), trial.times(0.0, high), "of a champion that withstands many")


def _ends(config: Config, total: PlannedStage) -> list[str]:
    said = []
    budget = config.budget
    for key, bound, used in (
        ("usd", budget.usd, total.cost.usd),
        ("tokens", budget.tokens, total.cost.tokens),
        ("hours", budget.hours, total.cost.hours),
        ("trials", budget.trials, total.trials),
    ):
        if bound is None:
            continue
        if used.low is not None and used.low > bound:
            said.append(f"budget.{key} = {bound:g} ends the study before the least that it takes")
        elif used.high is None or used.high > bound:
            said.append(f"budget.{key} = {bound:g} may end the study before its plan does")
    return said


# ---- one trial, one proposal ----------------------------------------------------------------------------------------


def _trial_cost(reader: StudyReader | None, config: Config, tasks: Sequence[Task]) -> tuple[Cost, str]:
    model, workers = config.models.task, config.sandbox.concurrency
    rows = reader.trials(state="scored", limit=LOOKED_AT) if reader is not None else []
    known: list[Trial] = [row for row in rows if row.model == model]
    tried = len({row.task for row in known})
    most_tasks = min(ENOUGH_TASKS, len(tasks))
    more = f"`lorimer run --set benchmark.limit={min(FEWEST_TASKS, len(tasks))}` runs enough to price one by"
    if tried >= min(FEWEST_TASKS, len(tasks)):
        spread = _spread if tried >= most_tasks else _extremes
        cost = Cost(
            tokens=spread([float(row.tokens) for row in known]),
            usd=spread([row.cost_usd for row in known]),
            hours=spread([row.seconds / 3600 / workers for row in known]),
        )
        said = f"a trial: as {len(known)} earlier ones of {model} in this store"
        if tried < most_tasks:
            said += (
                f", from the cheapest to the dearest, as they are of {tried} tasks alone; {most_tasks} tell it more closely: "
                f"`lorimer run --set benchmark.limit={most_tasks}`"
            )
        return cost, said
    limits, provider = config.limits, _provider(config, model)
    shortest = min((len(task.instruction) for task in tasks), default=0) / BYTES_PER_TOKEN
    window = provider.context_window
    most = limits.tokens if limits.tokens is not None else (None if window is None else limits.calls * window)
    out = None if most is None else min(most, limits.calls * provider.max_tokens)
    low = _price(config, model, shortest, 1.0)
    high = None if most is None or out is None else _price(config, model, most - out, out)
    if limits.usd is not None and (high is None or high > limits.usd):
        high = limits.usd
    longest = max(
        (min(task.agent_timeout, limits.seconds or task.agent_timeout) + task.verifier.timeout for task in tasks),
        default=0.0,
    )
    cost = Cost(
        tokens=Range(shortest, most),
        usd=Range(low, high),
        hours=Range(0.0, longest / 3600 / workers),
    )
    lacks = "" if most is not None else "; set [limits] tokens for an upper bound"
    here = (
        "none here" if not tried else f"{tried} of the {min(FEWEST_TASKS, len(tasks))} tasks here that it takes to tell"
    )
    return cost, f"a trial: from one short call to its limits, as {model} has run {here}; {more}{lacks}"


def _proposal_cost(reader: StudyReader | None, config: Config) -> tuple[Cost, str]:
    model, meta = config.meta_model, config.meta
    hours = Range(0.0, None if meta.seconds is None else meta.seconds / 3600)
    tokens: list[float] = []
    usd: list[float | None] = []
    for study in reader.studies() if reader is not None else []:
        made = len(reader.candidates(study.id)) if reader is not None and study.meta_model == model else 0
        if made and reader is not None:
            spent = reader.spent(study.id).meta
            tokens += [spent.tokens / made] * made
            usd += [None if spent.usd is None else spent.usd / made] * made
    if len(tokens) >= ENOUGH:
        return Cost(
            _spread(tokens), _spread(usd)
        ), f"a proposal: as {len(tokens)} earlier ones of {model} in this store"
    most = meta.tokens if meta.tokens is not None else meta.calls * meta.context_tokens
    out = min(most, meta.calls * meta.max_tokens)
    high = _price(config, model, most - out, out)
    if meta.usd is not None and (high is None or high > meta.usd):
        high = meta.usd
    cost = Cost(Range(1.0, most), Range(_price(config, model, 1.0, 0.0), high), hours)
    return (
        cost,
        f"a proposal: from one short call to the limits of [meta], as {model} has made fewer than {ENOUGH} here",
    )


def _provider(config: Config, model: str) -> ProviderConfig:
    name = model.partition("/")[0]
    return providers(config).get(name) or BUILT_IN.get(name) or ProviderConfig(name)


def _price(config: Config, model: str, tokens_in: float, tokens_out: float) -> float | None:
    """The list price; `None` where it is unknown."""
    provider, _, name = model.partition("/")
    if provider == "simulated":
        from lorimer.models.simulated import open_simulated

        return open_simulated(name).price(int(tokens_in), int(tokens_out))
    return pricing.price(_provider(config, model), name, Usage(int(tokens_in), int(tokens_out)))


def _unchecked(reader: StudyReader | None, config: Config, tasks: Sequence[Task]) -> int:
    if config.benchmark.source == "starter" or not config.benchmark.check:
        return 0
    known = checked(reader) if reader is not None else {}
    return sum(task.digest not in known for task in tasks)


def _spread(values: Sequence[float | None]) -> Range:
    known = [value for value in values if value is not None]
    if len(known) < len(values) or len(known) < 2:
        return Range(None, None)
    first, _, third = statistics.quantiles(known, n=4, method="inclusive")
    mean = statistics.fmean(known)
    return Range(min(first, mean), max(third, mean))


def _extremes(values: Sequence[float | None]) -> Range:
    known = [value for value in values if value is not None]
    return Range(None, None) if len(known) < len(values) else Range(min(known), max(known))


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _product(one: float | None, times: float | None) -> float | None:
    if times == 0:
        return 0.0
    return None if one is None or times is None else one * times
