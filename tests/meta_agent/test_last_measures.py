"""What a study that promoted is measured by at its end: on the sealed tasks, beside the seed harness."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.study.loop import optimize
from lorimer.terminal import listing
from lorimer.traces.schema import PlannedTrial, Purpose, Stage
from lorimer.traces.writing.store import Store
from tests.meta_agent.test_loop import Bench, make_bench, rate, run, script
from tests.meta_agent.test_pooled import pooled


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


class Engine:
    """One that is down for the last trials on the sealed tasks."""

    def __init__(self, bench: Bench, *, of: str) -> None:
        self.bench, self.of, self.down = bench, of, True

    def rate(self, text: str, planned: PlannedTrial) -> float | None:
        if self.down and planned.stage is Stage.HOLDOUT:
            row = self.bench.reader().evaluation(planned.evaluation)
            assert row is not None
            if row.purpose == Purpose.FINAL and bool(row.subject) == (self.of == "the champion"):
                return None
        return rate(text, planned)


@pytest.mark.parametrize("of", ["the champion", "the seed harness"])
async def test_a_measure_of_which_too_many_trials_err_is_no_score_and_is_tried_anew(bench: Bench, of: str) -> None:
    engine, settings = Engine(bench, of=of), pooled(budget={"candidates": 1})
    with bench.parts(script("GOOD"), settings, engine.rate) as (parts, _, _):
        await bench.create(parts)
        paused = await optimize(parts, "demo")
    assert (paused.state, scan(bench.reader(), "demo").sealed_score) == ("paused", None)
    assert paused.reason == (
        f"12 of 12 trials of {of} errored (12 engine_failure; such as: t14: the engine is down), over the 20% that are allowed; "
        "put that right, then they are tried anew; `lorimer resume demo` goes on"
    )
    engine.down = False
    with bench.parts(script("GOOD"), settings, engine.rate) as (parts, _, _):
        assert (await optimize(parts, "demo")).state == "finished"
    last = scan(bench.reader(), "demo").sealed_score
    assert last is not None
    assert (last.numbers["errored"], last.numbers["seed_errored"]) == (0, 0)


async def test_the_sealed_score_is_told_by_status_when_the_study_has_finished(bench: Bench) -> None:
    await run(bench, script("GOOD"), pooled(budget={"candidates": 1}))
    reader = bench.reader()

    def told() -> tuple[bool, bool]:
        found = listing.status(reader, reader.study("demo"), bench.root)
        return found.sealed is not None, "in trials that decided nothing" in listing.status_text(found)

    assert told() == (True, True)
    with Store.open(bench.root / bench.store) as store:
        await store.set_study_state("demo", "paused", "for a test")
    assert told() == (False, False)
