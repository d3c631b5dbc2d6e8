"""`lorimer optimize --dry-run`: a plan priced before anything is run."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lorimer.config.settings import Config, parse
from lorimer.meta_agent.forecast.price import PlannedStage, PriceEstimate, Range, estimate
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.schema import Reservation, Settlement, Used
from lorimer.traces.tables import Candidate
from lorimer.traces.writing.store import Store
from tests.cli.support import typed
from tests.traces import support as make

PRICED = {
    "models": {"task": "local/m"},
    "providers": {
        "local": {
            "base_url": "http://127.0.0.1:1/v1",
            "usd_per_million_input": 1.0,
            "usd_per_million_output": 10.0,
            "max_tokens": 100,
        }
    },
}


def config(**tables: Any) -> Config:
    return parse(
        {
            "benchmark": {"limit": 10},
            "budget": {"candidates": 2},
            "gate": {"policy": "paired", "repeats": 2, "champion_repeats": 4, "holdout_repeats": 4},
            **tables,
        }
    )


def line(found: PriceEstimate, stage: str, number: int = 0) -> PlannedStage:
    return [each for each in found.lines if each.stage == stage][number]


def test_a_first_study_is_priced_from_its_limits(tmp_path: Path) -> None:
    found = estimate(
        tmp_path, config(**PRICED, limits={"calls": 10, "tokens": 5000}, meta={"tokens": 8000, "calls": 4})
    )
    assert (found.train, found.holdout) == (7, 3)
    assert line(found, "baseline").trials == Range(28, 28)
    assert line(found, "holdout").trials == Range(12, 12)
    assert line(found, "full").trials == Range(0, 28)
    assert line(found, "holdout", 1).trials == Range(0, 48)
    assert line(found, "audit").trials == Range(0, 56)
    assert line(found, "spot").trials == Range(0, 8)
    assert line(found, "baseline").cost.tokens.high == 28 * 5000
    # Ten calls give at most 1,000 tokens of output, at ten times the price of the others.
    assert line(found, "baseline").cost.usd.high == pytest.approx(28 * (4000 * 1 + 1000 * 10) / 1e6)
    assert line(found, "proposals").cost.tokens == Range(1.0, 16_000)
    assert found.total.trials == Range(40, 180)
    assert found.total.cost.tokens.high == 180 * 5000 + 16_000
    assert "has run none here" in found.sources[0]


def test_what_is_unknown_stays_unknown(tmp_path: Path) -> None:
    unpriced = {"models": {"task": "local/m"}, "providers": {"local": {"base_url": "http://127.0.0.1:1/v1"}}}
    found = estimate(tmp_path, config(**unpriced))
    assert found.total.cost.usd == Range(None, None)
    assert found.total.cost.tokens.high is None
    assert found.sources[0].endswith("; set [limits] tokens for an upper bound")
    endless = estimate(tmp_path, parse({"benchmark": {"limit": 10}, "budget": {"candidates": None}}))
    assert endless.candidates is None
    assert endless.total.trials == Range(28 + 24, None)


TOKENS = range(100, 1_100, 100)
"""The tokens of a trial of each of ten tasks."""


@pytest.mark.parametrize(
    ("tried", "repeats", "source"),
    [
        ((100, 900), 3, "from one short call to its limits, as local/m has run 2 of the 5 tasks here that it takes to tell; "
         "`lorimer run --set benchmark.limit=5` runs enough to price one by"),
        ((100, 200, 300, 400, 900), 1, "as 5 earlier ones of local/m in this store, from the cheapest to the dearest, as they "
         "are of 5 tasks alone; 10 tell it more closely: `lorimer run --set benchmark.limit=10`"),
    ],
)  # fmt: skip
def test_trials_of_a_few_tasks_do_not_price_the_others_closely(
    tmp_path: Path, tried: tuple[int, ...], repeats: int, source: str
) -> None:
    async def fill() -> None:
        with Store.open(tmp_path / STORE) as store:
            tasks = [make.task(f"t{number}") for number in range(len(tried))]
            await store.create_study(make.study(task_model="local/m", meta_model="local/m"), tasks, "text")
            for number, tokens in enumerate(tried):
                for repeat in range(repeats):
                    begin = replace(make.start(f"t{number}", repeat), model="local/m")
                    store.open_trial(begin)
                    await store.close_trial(make.end(begin.id, used=Used(1, tokens, usd=tokens / 1000), seconds=36.0))

    asyncio.run(fill())
    limits = {"tokens": 5000, "calls": 10}
    found = estimate(tmp_path, config(**PRICED, limits=limits))
    assert found.sources[0] == f"a trial: {source}"
    tokens = line(found, "baseline").cost.tokens
    assert tokens.high == 28 * (900 if len(tried) == 5 else 5000)
    assert (tokens.low == 28 * 100) == (len(tried) == 5)


def test_a_later_study_is_priced_from_what_trials_cost_here(tmp_path: Path) -> None:
    async def fill() -> None:
        with Store.open(tmp_path / STORE) as store:
            tasks = [make.task(f"t{number}") for number in range(10)]
            await store.create_study(make.study(task_model="local/m", meta_model="local/m"), tasks, "text")
            for number, tokens in enumerate(TOKENS):
                begin = replace(make.start(f"t{number}"), model="local/m")
                store.open_trial(begin)
                used = Used(1, tokens, usd=tokens / 1000)
                await store.close_trial(make.end(begin.id, used=used, seconds=36.0))
            for number in (1, 2, 3):
                name = f"s/c{number:03}"
                await store.add_candidate(
                    Candidate(
                        id=name,
                        study="s",
                        number=number,
                        parent="a" * 64,
                        state="failed",
                        edit=[],
                        fixes=[],
                        at_risk=[],
                    )
                )
                await store.reserve(Reservation(name, "s", "meta", name, 1.0, 1000))
                store.settle(Settlement(name, Used(1, 600, 0, usd=0.5)))

    asyncio.run(fill())
    found = estimate(tmp_path, config(**PRICED, budget={"candidates": 2, "usd": 4.0, "trials": 500}))
    assert line(found, "baseline").cost.tokens == Range(28 * 325, 28 * 775)
    assert line(found, "baseline").cost.usd.low == pytest.approx(28 * 0.325)
    assert line(found, "baseline").cost.hours.high == pytest.approx(28 * 0.01 / 4)
    assert line(found, "proposals").cost.usd.high == pytest.approx(1.0)
    assert found.sources[0] == "a trial: as 10 earlier ones of local/m in this store"
    assert found.ends == ("budget.usd = 4 ends the study before the least that it takes",)


def test_the_command_prints_the_plan_and_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "work"
    assert typed(capsys, "init", root).code == 0
    said = typed(
        capsys, "optimize", "--dry-run", "-C", root, "--set", "benchmark.limit=10", "--set", "budget.trials=35"
    )
    assert (said.code, said.err) == (0, "")
    head, columns, *_ = said.out.splitlines()
    assert head == "starter: 7 train tasks, 3 sealed; 20 candidates; nothing was run"
    assert columns.split() == ["stage", "trials", "tokens", "dollars", "time"]
    assert said.out.splitlines()[-1] == "budget.trials = 35 ends the study before the least that it takes"
    found = typed(capsys, "optimize", "--dry-run", "-C", root, "--json").json()
    assert found["total"]["trials"]["low"] == 28 * 4 + 12 * 8
    assert not (root / STORE).exists()
