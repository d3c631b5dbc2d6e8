"""A trial's spec: plain values from which the trial can be run elsewhere."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from lorimer.benchmarks.starter import StarterBenchmark
from lorimer.harness.version import sha
from lorimer.sandbox.base import SandboxProvider
from lorimer.task_agent.budget import Budget
from lorimer.task_agent.limits import Metered
from lorimer.task_agent.spec import Harness, Nop, Oracle, TrialSpec, spec_of
from lorimer.task_agent.trial import Machine, run_trial
from lorimer.traces.schema import PlannedTrial, Stage, TrialEnd, TrialStart
from tests.support.simulated_world import SEED_HARNESS
from tests.support.trials import Remembering, ScriptedModel, config, make_task, reply, solve

HARNESS = """
from lorimer.harness.api import user

def solve(task, env, llm):
    said = llm.complete([user(task.instruction)]).text
    return said + env.exec("ls").stdout
"""

ELSEWHERE = """
import asyncio, sys
from lorimer.benchmarks.starter import StarterBenchmark
from lorimer.config.settings import BudgetSettings
from lorimer.models.registry import open_model
from lorimer.sandbox.select import choose
from lorimer.task_agent.budget import Budget
from lorimer.task_agent.limits import Metered
from lorimer.task_agent.spec import TrialSpec
from lorimer.task_agent.trial import Machine, run_trial
from tests.support.trials import Remembering

async def main():
    spec = TrialSpec.model_validate_json(sys.stdin.read())
    (task,) = StarterBenchmark().load([spec.start.planned.task]).tasks
    assert spec.fits(task)
    sink = Remembering()
    model = open_model(spec.start.model, {})
    provider = await choose(spec.start.sandbox)
    try:
        machine = Machine(provider, sink, Metered(model, Budget("s", BudgetSettings(), sink), sink, 4096))
        end = await run_trial(machine, spec, task)
    finally:
        await provider.close()
        await model.close()
    print(repr((end.id, str(end.state), end.cause, end.reward, end.answer, end.used)))

asyncio.run(main())
"""


def spec(harness: str = "sha", text: str = HARNESS) -> TrialSpec:
    task = StarterBenchmark().load().tasks[0]
    planned = PlannedTrial(f"s/e/{task.id}/2", "s", "s/e", Stage.FULL, harness, task.id, 2, 7)
    settings = config(limits={"calls": 3}, sandbox={"network": "registries", "registries": ["pypi.example"]})
    return spec_of(TrialStart(planned, 1, "simulated/apprentice", "bubblewrap"), text, task, settings)


def elsewhere(made: TrialSpec) -> str:
    """What another process, which is given the spec alone, says of the trial."""
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], input=made.model_dump_json(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def told(end: TrialEnd) -> str:
    """What of an end follows from the spec: everything but the times."""
    return repr((end.id, str(end.state), end.cause, end.reward, end.answer, end.used))


def test_a_spec_comes_back_from_json_as_it_was() -> None:
    before = spec()
    after = TrialSpec.model_validate_json(before.model_dump_json())
    assert after == before
    assert after.start.planned.stage is Stage.FULL
    assert after.settings.sandbox.registries == ("pypi.example",)
    assert json.loads(before.model_dump_json())["start"]["planned"]["repeat"] == 2


def test_a_spec_says_who_acts() -> None:
    assert spec().agent == Harness(HARNESS)
    assert (spec("oracle").agent, spec("nop").agent) == (Oracle(), Nop())
    assert spec("oracle").harness == ""


def test_a_spec_that_holds_something_else_is_refused() -> None:
    body = json.loads(spec().model_dump_json())
    with pytest.raises(ValidationError, match="keys"):
        TrialSpec.model_validate_json(json.dumps({**body, "keys": ["sk-1"]}))
    with pytest.raises(ValidationError, match=r"settings.limits.calls"):
        TrialSpec.model_validate_json(json.dumps({**body, "settings": {"limits": {"calls": "many"}}}))


def test_a_spec_fits_the_task_that_it_was_made_of_alone(tmp_path: Path) -> None:
    task = StarterBenchmark().load().tasks[0]
    assert spec().fits(task)
    assert not spec().fits(dataclasses.replace(task, digest="another"))
    assert not spec().fits(dataclasses.replace(task, isolation="same"))
    assert not spec().fits(make_task(tmp_path))


@pytest.mark.bubblewrap
async def test_a_trial_runs_from_a_spec_that_was_json(provider: SandboxProvider, tmp_path: Path) -> None:
    task = make_task(tmp_path)
    planned = PlannedTrial("s/e/task/0", "s", "s/e", Stage.BASELINE, "sha", task.id, 0, 7)
    made = spec_of(TrialStart(planned, 0, "scripted/model"), solve("return 'done'").text, task, config())
    ends = []
    for each in (made, TrialSpec.model_validate_json(made.model_dump_json())):
        sink = Remembering()
        model = Metered(ScriptedModel(lambda request, context: reply()), Budget("s", config().budget, sink), sink, 100)
        ends.append(told(await run_trial(Machine(provider, sink, model), each, task)))
    assert ends[0] == ends[1]
    assert "'done'" in ends[0]


@pytest.mark.bubblewrap
async def test_a_trial_comes_out_the_same_in_another_process(provider: SandboxProvider) -> None:
    """The model's replies, the task's files and the verdict: all that it takes is in the spec."""
    from lorimer.models.registry import open_model

    task, sink = StarterBenchmark().load().tasks[0], Remembering()
    planned = PlannedTrial(f"s/e/{task.id}/0", "s", "s/e", Stage.BASELINE, sha(SEED_HARNESS), task.id, 0, 3)
    made = spec_of(TrialStart(planned, 0, "simulated/apprentice", provider.name), SEED_HARNESS, task, config())
    model = open_model("simulated/apprentice", {})
    here = await run_trial(
        Machine(provider, sink, Metered(model, Budget("s", config().budget, sink), sink, 4096)), made, task
    )
    assert await asyncio.to_thread(elsewhere, made) == told(here)
    assert here.used.calls > 1
