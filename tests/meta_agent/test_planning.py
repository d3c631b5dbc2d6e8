"""`lorimer power` on a store: which trials it takes, which gate, which budget."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from lorimer.benchmarks.base import Suite
from lorimer.config.settings import parse
from lorimer.errors import UserError
from lorimer.meta_agent.forecast import known as planning
from lorimer.meta_agent.study.loop import evaluate, optimize
from lorimer.meta_agent.workspace.parts import create
from lorimer.meta_agent.workspace.suite import load_suite
from lorimer.traces.schema import PlannedTrial
from tests.meta_agent.test_loop import SEED, Bench, config, make_bench, run, script, suite

STRICT = {"gate.policy": "strict", "gate.repeats": 1}
"""The quickest gate, where only what is read from the store matters."""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


def stored(bench: Bench) -> Path:
    """The workspace, its store where the product has it."""
    (bench.root / ".lorimer").mkdir()
    shutil.move(bench.root / "traces.db", bench.root / ".lorimer" / "lorimer.db")
    return bench.root


async def test_a_study_is_forecast_by_its_own_champion_gate_and_budget(bench: Bench) -> None:
    await run(bench, script("GOOD", "NULL"), config(budget={"candidates": 2, "trials": 400}))
    root = stored(bench)
    found = planning.plan(root, config(), study="demo", overrides=STRICT)
    assert (found.study, found.tasks, found.holdout) == ("demo", 14, 6)
    assert found.source == "28 trials of all 14 train tasks (demo/c001/audit)"
    assert (found.policy, found.repeats, found.champion_repeats) == ("strict", 1, 2)
    assert found.score is not None
    assert found.score.mean > 0.8
    assert found.start.trials == 0
    assert found.affordable is not None
    assert (found.affordable.candidates, found.affordable.bound) == (0, "budget.candidates")
    more = planning.plan(root, config(), study="demo", overrides={**STRICT, "budget.candidates": 1_000})
    assert more.affordable is not None
    assert more.affordable.bound == "budget.trials"
    assert more.null_candidate is not None
    # Dice are free and ask no meta model: their price is known to be nothing.
    assert more.null_candidate.tokens == pytest.approx(more.null_candidate.trials * 10)


async def test_a_study_without_a_champion_yet_is_refused(bench: Bench) -> None:
    with bench.parts(script(), config()) as (parts, _, _):
        await bench.create(parts)
    root = stored(bench)
    with pytest.raises(UserError, match="demo has no scored trial of its champion yet"):
        planning.plan(root, config(), study="demo")
    with pytest.raises(UserError, match="there is no study other"):
        planning.plan(root, config(), study="other")


def test_rates_and_a_study_are_not_given_together(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name a study or assume rates, not both"):
        planning.plan(tmp_path, parse({}), study="demo", assume="0.5x3")


async def test_a_new_study_is_forecast_from_a_run_of_its_tasks(bench: Bench) -> None:
    """The suite here is the starter's, of which the stored run knows nothing: it is assumed then, and said."""
    with bench.parts(script(), config()) as (parts, _, _):
        await create(parts.store, study="r", kind="run", suite=suite(), holdout=(), config=parts.config, harness=SEED)
        await evaluate(parts, "r")
        with pytest.raises(UserError):
            await optimize(parts, "unknown")
    root = stored(bench)
    settings = parse({"gate": {"policy": "strict", "repeats": 1}, "benchmark": {"limit": 10}})
    found = planning.plan(root, settings)
    assert (found.study, found.assumed, found.tasks, found.holdout) == ("", True, 7, 3)
    assert found.source.startswith("no trial yet: 7 tasks, each assumed")
    assert found.null_candidate is not None
    assert found.null_candidate.usd is None
    assert found.warnings[0] == (
        "nothing is measured yet: all numbers are of assumed tasks, not of these; run: `lorimer run --repeats 4`"
    )


async def test_a_run_that_errored_whole_is_no_measurement(bench: Bench) -> None:
    wanted = parse({"gate": {"policy": "strict", "repeats": 1}, "benchmark": {"limit": 10}})
    with bench.parts(script(), config(), rate_of=lambda text, planned: None) as (parts, _, _):
        here = load_suite(bench.root, wanted)
        await create(parts.store, study="r", kind="run", suite=here, holdout=(), config=parts.config, harness=SEED)
        await evaluate(parts, "r")
    found = planning.plan(stored(bench), wanted)
    assert (found.assumed, found.lacking) == (True, None)
    assert (
        found.warnings[0]
        == "all 14 trials of r errored, which tells nothing: `lorimer traces ls --state errored --study r` says why"
    )
    assert "nothing is measured yet" in found.warnings[1]


async def test_the_hours_of_a_study_are_those_of_all_its_trials(bench: Bench) -> None:
    await run(bench, script("NULL"), config(budget={"candidates": 1}, gate={"policy": "strict"}))
    reader = bench.reader()
    trials = reader.trials(limit=None)
    assert trials
    for row in reader.studies():
        own = sum(trial.seconds for trial in trials if trial.study == row.id)
        assert reader.trial_seconds(row.id) == pytest.approx(own)
    assert reader.trial_seconds("none") == 0.0


async def test_a_few_trials_that_were_run_last_hide_no_measured_run(bench: Bench) -> None:
    """Of the same model before others; where all are few, it is that of most tasks."""
    wanted = parse({"gate": {"policy": "strict", "repeats": 1}, "benchmark": {"limit": 10}})
    here = load_suite(bench.root, wanted)
    two = dataclasses.replace(here, tasks=here.tasks[:2])

    def half(text: str, planned: PlannedTrial) -> float:
        return 0.5

    async def ran(name: str, of: Suite, repeats: int, **models: str) -> None:
        with bench.parts(script(), config(gate={"champion_repeats": repeats}, models=models), rate_of=half) as (
            parts,
            _,
            _,
        ):
            await create(parts.store, study=name, kind="run", suite=of, holdout=(), config=parts.config, harness=SEED)
            await evaluate(parts, name)

    await ran("whole", here, 4)
    await ran("few", two, 1)
    await ran("other", here, 4, task="simulated/adept")
    root = stored(bench)
    found = planning.plan(root, wanted)
    assert (found.study, found.lacking) == ("whole", None)
    assert found.source == "28 trials of all 7 train tasks (whole/baseline)"
    assert "few: newer, with too few scored trials of these tasks; `--study` takes them" in found.warnings
    named = planning.plan(root, wanted, study="few")
    assert (named.study, named.lacking is not None) == ("few", True)
    another = planning.plan(root, parse({**wanted.model_dump(), "models": {"task": "simulated/adept"}}))
    assert another.study == "other"
    assert not any("too few" in said for said in another.warnings)
