"""The processes of benches that hold no command: `scan`, `trust`, the loop on a copy of the store, and a study that goes on.

python -m bench.running scan|trust|loop|write FOLDER

`write` plays on in the store itself until it is ended: it is what `bench.dashboard` measures beside.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.made_store import STUDY
from lorimer.commands.shared import collect_seldom
from lorimer.config.settings import parse
from lorimer.harness.api import Completion, Message, ToolCall, Usage
from lorimer.kinds import StepKind
from lorimer.meta_agent.ledger.trust import trust
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.workspace.events import Decided, Event, Proposing, StageFinished, StageStarted
from lorimer.meta_agent.workspace.parts import StudyParts
from lorimer.meta_agent.workspace.repository import STORE, Workspace
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.sandbox.base import Owner
from lorimer.task_agent.causes import Cause
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.task_agent.scheduling.scheduler import Scheduler
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import PlannedTrial, Stage, StepData, TrialEnd, TrialStart, TrialState
from lorimer.traces.wired import Gap, Record
from lorimer.traces.writing.store import Store

CANDIDATES = 2
"""Played on: the first after the process has started, and one when all is known."""
TICK_SECONDS = 0.002
TRIAL_SECONDS = 0.02
WRITTEN_SECONDS, WRITTEN_STEPS = 1.0, 14
"""A trial of `write`, four of which run at once: 240 per minute, of as many steps as those of the made store. That is faster
than a study with real models on one machine."""
OUTPUT = "collected 41 items\n" + "tests/test_shapes.py::test_area PASSED\n" * 40


@dataclass
class Phase:
    """A part of the loop's way."""

    name: str
    bounded: bool
    """Whether the target of a second holds for it: nothing waits for trials."""
    began: float
    seconds: float = 0.0
    stall: float = 0.0
    own: float = 0.0


class Watch:
    """How long the event loop stands, by phases that begin when they are told."""

    def __init__(self) -> None:
        self.phases: list[Phase] = []
        self._now: Phase | None = None

    def begin(self, name: str, *, bounded: bool = False) -> None:
        """End the phase before."""
        now = time.perf_counter()
        if self._now is not None:
            self._now.seconds = now - self._now.began
        self._now = Phase(name, bounded, now)
        self.phases.append(self._now)

    async def run(self) -> None:
        # A gap belongs to every phase that it touches.
        before, cpu = time.perf_counter(), time.thread_time()
        while True:
            first = len(self.phases) - 1
            await asyncio.sleep(TICK_SECONDS)
            now, used = time.perf_counter(), time.thread_time()
            for phase in self.phases[max(0, first) :]:
                phase.stall, phase.own = max(phase.stall, now - before - TICK_SECONDS), max(phase.own, used - cpu)
            before, cpu = now, used


class Dice:
    """Attempts (`scheduler.Attempts`) that take a moment and come out as their task's mean says."""

    def __init__(self, store: Store, means: Mapping[str, float], seconds: float, steps: int) -> None:
        self._store, self._means = store, means
        self._seconds, self._steps = seconds, steps

    async def prepare(self, plan: Sequence[PlannedTrial]) -> None:
        return

    async def attempt(
        self, planned: PlannedTrial, harness: str, tried: Sequence[TrialEnd], record: Record | Gap | None = None
    ) -> TrialEnd:
        start = TrialStart(planned, len(tried), "dice/fair")
        self._store.open_trial(start)
        for step in range(self._steps):
            await asyncio.sleep(self._seconds / self._steps)
            ran = {"command": "python -m pytest -q", "exit_code": 0, "timed_out": False, "stdout": OUTPUT, "stderr": ""}
            self._store.step(StepData(start.id, StepKind.EXEC, float(step), 0.1, ran))
        if not self._steps:
            await asyncio.sleep(self._seconds)
        luck = int(hashlib.sha256(planned.id.encode()).hexdigest()[:12], 16) / 16**12
        reward = float(luck < self._means.get(planned.task, 0.5))
        end = TrialEnd(start.id, TrialState.SCORED, Cause.FINISHED.value, reward=reward)
        await self._store.close_trial(end)
        return end

    async def engine_answers(self, why: str) -> None:
        return

    async def dry_start(self, harness: str, owner: Owner) -> str:
        return ""


class Timed:
    """`parts.Trials` that tells the watch when trials begin and end, and how long a look at them takes."""

    def __init__(self, inner: Scheduler, watch: Watch) -> None:
        self._inner, self._watch = inner, watch
        self.looks: list[float] = []

    async def run(
        self,
        plan: Sequence[PlannedTrial],
        harness_text: str,
        *,
        past: Mapping[str, Sequence[TrialEnd]] | None = None,
        stop: Callable[[Sequence[TrialOutcome]], bool] | None = None,
        others: Mapping[str, str] | None = None,
        records: Mapping[str, Record | Gap] | None = None,
        in_rounds: bool = False,
    ) -> list[TrialOutcome]:
        def looked(prefix: Sequence[TrialOutcome]) -> bool:
            assert stop is not None
            began = time.thread_time()
            answer = stop(prefix)
            self.looks.append(time.thread_time() - began)
            return answer

        self._watch.begin(f"trials of {plan[0].stage}" if plan else "no trials")
        return await self._inner.run(
            plan,
            harness_text,
            past=past,
            stop=looked if stop else None,
            others=others,
            records=records,
            in_rounds=in_rounds,
        )

    async def dry_start(self, harness_text: str, owner: Owner) -> str:
        return await self._inner.dry_start(harness_text, owner)


class Progress:
    """Begins phases where the loop's events say so."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def on_event(self, event: Event) -> None:
        if isinstance(event, Proposing):
            self._watch.begin("a proposal's start", bounded=True)
        elif isinstance(event, StageFinished):
            self._watch.begin(f"after the trials of {event.stage}", bounded=True)
        elif isinstance(event, Decided) and event.stage is Stage.SPOT and event.decision.kind == "pass":
            self._watch.begin("a full run's start", bounded=True)
        elif isinstance(event, StageStarted):
            self._watch.begin(f"before the trials of {event.stage}", bounded=True)


def _look(said: str) -> Message:
    """A call of `read_trace` for the first trial that is named in what the model was told."""
    trial = re.findall(r"trial (\S+/\d+)", said)[0]
    return Message("assistant", "", tool_calls=(ToolCall("call_0", "read_trace", {"trial": trial}),))


def _edit(session_text: str, number: int, trial: object) -> Message:
    """A call of `propose_edit` that adds a line to the harness, and cites the first step of a trial."""
    last = session_text.rstrip().splitlines()[-1]
    arguments = {
        "title": f"Another line, {number}",
        "hypothesis": "It says more.",
        "hunks": [{"search": last, "replace": f"{last}\n# one more, {number}"}],
        "citations": [{"trial": trial, "step": 0, "quote": "model call"}],
        "fixes": [],
        "at_risk": [],
    }
    return Message("assistant", "", tool_calls=(ToolCall("call_1", "propose_edit", arguments),))


async def loop(
    root: Path, path: Path, candidates: int = CANDIDATES, seconds: float = TRIAL_SECONDS, steps: int = 0
) -> None:
    """Play so many more candidates, and print what each phase took."""
    watch = Watch()
    with Store.open(path) as store:
        reader = StoreReader(store)
        config = parse(reader.study(STUDY).config, STUDY)
        tried = len(reader.candidates(STUDY))
        budget = config.budget.model_copy(update={"candidates": tried + candidates})
        config = config.model_copy(update={"budget": budget})
        means = reader.sql(
            "SELECT task, avg(reward) FROM trial WHERE stage = 'audit' AND state = 'scored' GROUP BY task"
        ).rows
        trials = Timed(Scheduler(Dice(store, dict(means), seconds, steps), concurrency=4, retries=2), watch)

        async def complete(request: ModelRequest, context: CallContext, *, owner: str, began: float) -> ModelReply:
            watch.begin("the meta model's answer, checked", bounded=True)
            text = reader.harness(context.harness).text
            looked = [call for message in request.messages for call in message.tool_calls]
            said = (
                _edit(text, context.attempt, looked[0].arguments["trial"])
                if looked
                else _look(request.messages[0].text)
            )
            return ModelReply(Completion(said, "tool_calls", Usage(10, 5)), cost_usd=0.0)

        parts = StudyParts(
            store=store,
            reader=reader,
            trials=trials,
            complete=complete,
            config=config,
            workspace=Workspace(root),
            progress=Progress(watch),
        )
        ticking = asyncio.create_task(watch.run())
        watch.begin("the study's start", bounded=True)
        await optimize(parts, STUDY)
        watch.begin("the end")
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking
    for phase in watch.phases[:-1]:
        ms = {"stall_ms": 1000 * phase.stall, "own_ms": 1000 * phase.own}
        print(json.dumps({"name": phase.name, "bounded": phase.bounded, "seconds": phase.seconds} | ms))
    longest = max(trials.looks, default=0.0)
    name = f"the longest of {len(trials.looks)} looks at a full run, in a thread"
    print(json.dumps({"name": name, "bounded": True, "seconds": longest, "stall_ms": 0, "own_ms": 0}))


def _megabytes() -> float:
    """This process's peak."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    what, root = sys.argv[1], Path(sys.argv[2])
    if what == "loop":
        collect_seldom()  # as a command that runs a study does
        with tempfile.TemporaryDirectory(dir=root) as folder:
            copy = Path(shutil.copy(root / STORE, folder))
            asyncio.run(loop(root, copy))
        print(json.dumps({"megabytes": _megabytes()}))
        return
    if what == "write":
        collect_seldom()
        asyncio.run(loop(root, root / STORE, sys.maxsize, WRITTEN_SECONDS, WRITTEN_STEPS))
        return
    reader, began, cpu = StoreReader(root / STORE), time.perf_counter(), time.process_time()
    assert scan(reader, STUDY).champion if what == "scan" else trust(reader, STUDY).scored
    took = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
    print(json.dumps(took | {"megabytes": _megabytes()}))


if __name__ == "__main__":
    main()
