"""What earlier checks of a benchmark tell of its tasks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lorimer.benchmarks.base import Suite
from lorimer.config.settings import Config
from lorimer.errors import EngineOutage
from lorimer.meta_agent.study.checking import checked, run_check
from lorimer.terminal.listing import state_of
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.writing.store import Store
from tests.support.trials import make_task
from tests.traces import support as make


@pytest.mark.parametrize(
    ("oracle", "problem"),
    [(1.0, ""), (0.0, "oracle scored 0, not 1"), (None, "")],
    ids=["valid", "invalid", "errored"],
)
async def test_a_task_whose_oracle_errored_was_never_checked(
    tmp_path: Path, oracle: float | None, problem: str
) -> None:
    with Store.open(tmp_path / "traces.db") as store:
        await store.create_study(make.study("check-1", kind="check"), [make.task("a", of="check-1")], "")
        for agent, reward in (("oracle", oracle), ("nop", 0.0)):
            begin = make.start("a", evaluation="check-1/restart", of="check-1", harness=agent)
            begin = replace(begin, planned=replace(begin.planned, id=f"check-1/restart/{agent}/a"))
            await make.finished_trial(store, begin, reward=reward)
        found = checked(StoreReader(store))
    assert {digest: known.problem for digest, known in found.items()} == ({} if oracle is None else {"d": problem})


async def test_a_task_without_a_solution_is_checked_with_nop_alone(tmp_path: Path) -> None:
    with Store.open(tmp_path / "traces.db") as store:
        await store.create_study(make.study("check-1", kind="check"), [make.task("a", of="check-1")], "")
        await make.finished_trial(
            store, make.start("a", evaluation="check-1/restart", of="check-1", harness="nop"), reward=0.0
        )
        assert [known.problem for known in checked(StoreReader(store)).values()] == [""]


async def test_a_check_that_an_error_ends_does_not_say_that_it_runs(tmp_path: Path) -> None:
    class Stopped:
        async def run(self, *_: object, **__: object) -> None:
            raise EngineOutage("docker was stopped")

    with Store.open(tmp_path / "traces.db") as store, StoreReader(store) as reader:
        session: Any = SimpleNamespace(reader=reader, store=store, config=Config(), scheduler=lambda *_: Stopped())
        watcher: Any = SimpleNamespace(on_event=lambda event: None)
        with pytest.raises(EngineOutage):
            await run_check(session, Suite("suite", (make_task(tmp_path),)), watcher)
        row = reader.study("check-1")
        assert state_of(row) == ("finished", "stopped before its end by an error: docker was stopped")
        assert row.holder == ""
