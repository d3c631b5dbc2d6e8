"""The demo over many seeds: how often it promotes, and whether what it promoted holds on the sealed tasks.

The holdout of a study is asked before a promotion, so its answer is not fresh. Here the seed harness and the final champion
each run on the sealed tasks once more, in trials that nothing was decided by.

    python -m bench.demo [SEEDS] [FIRST] [MODEL]        # default: 10 seeds from 1000, simulated/apprentice
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from lorimer.benchmarks.starter import StarterBenchmark
from lorimer.config.settings import load
from lorimer.demo import demo
from lorimer.harness.version import sha
from lorimer.meta_agent.gate.statistics.scores import Result, Score, score
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.meta_agent.workspace.session import open_session
from lorimer.terminal.live import Terminal
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import PlannedTrial, Stage

FRESH_REPEATS = 4
"""Fresh trials a sealed task: 12 tasks give a standard error of about 6 points on each side."""


async def fresh_holdout(root: Path, harness: str, seed: int) -> Score:
    """The harness on the study's sealed tasks, in trials of their own."""
    config = load(root / "lorimer.toml", {"sandbox.concurrency": 4, "study.seed": seed})
    with StoreReader(root / STORE) as reader:
        sealed = [task.id for task in reader.tasks("demo", "holdout")]
    async with open_session(root, config, prefer_bubblewrap=True) as session:
        tasks = {task.id: task for task in StarterBenchmark().load().tasks}
        scheduler = session.scheduler(tasks, session.budget("fresh"), lambda outcome: None, lambda report: None)
        name = f"fresh/{sha(harness)[:8]}"
        plan = [
            PlannedTrial(f"{name}/{task}/{n}", "fresh", name, Stage.AUDIT, sha(harness), task, 1000 + n, seed)
            for n in range(FRESH_REPEATS)
            for task in sealed
        ]
        outcomes = await scheduler.run(plan, harness)
    return score([Result(outcome.planned.task, outcome.reward) for outcome in outcomes])


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    model = sys.argv[3] if len(sys.argv) > 3 else "simulated/apprentice"
    promoted = held = candidates = promotions = 0
    print("seed  seconds  trials  promoted  rejected  baseline  final  sealed: seed harness  champion")
    for seed in range(first, first + seeds):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "demo")
            began = time.monotonic()
            report = asyncio.run(demo(root, Terminal("quiet"), seed=seed, concurrency=4, model=model))
            seconds = time.monotonic() - began
            with StoreReader(root / STORE) as reader:
                before = reader.harness(reader.study("demo").seed_harness).text
            after = report.winner.read_text(encoding="utf-8")
            sides = [asyncio.run(fresh_holdout(root, text, seed)) for text in (before, after)]
        count = len(report.promotions)
        promotions += count
        candidates += sum(report.candidates.values())
        promoted += count > 0
        held += count > 0 and sides[1].mean > sides[0].mean
        assert report.baseline is not None
        assert report.final is not None
        print(
            f"{seed:4}  {seconds:7.0f}  {report.trials:6}  {count:8}  {report.candidates.get('rejected', 0):8}  "
            f"{report.baseline.mean:8.3f}  {report.final.mean:5.3f}  {sides[0].mean:20.3f}  {sides[1].mean:8.3f}",
            flush=True,
        )
    print(f"{promoted} of {seeds} seeds promoted, {held} of {seeds} hold on fresh sealed trials;")
    print(f"{promotions} of {candidates} candidates were promoted ({promotions / max(candidates, 1):.1%})")


if __name__ == "__main__":
    main()
