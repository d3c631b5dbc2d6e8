"""What each tool of the meta-agent takes on a store, beside one indexed SELECT of the same run.

python -m bench.looking FOLDER [STUDY]

The floor reads one step of a trial by the index of `step`, through SQLite's own connection, opened for it as every question of a
reader opens one. Each tool answers in a session of its own, as at its first call: nothing was read before but the list of cases.
`own` are seconds of a processor, which other work on the machine hardly lengthens.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.made_steps import COMMON
from bench.made_store import STUDY
from lorimer.meta_agent.proposer.cases import Cases
from lorimer.meta_agent.proposer.diagnosis.looking import Looking
from lorimer.meta_agent.state.trials import named_trials
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.study.candidates.briefing import cases_of
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader

ROOM = 20_000
"""Characters of an answer, as a session with the default context has."""


def calls(cases: Cases) -> dict[str, tuple[str, dict[str, Any]]]:
    """Every tool, and searches for a rare and a common word, by what it is called here."""
    failed = cases.failures[0]
    part = next(
        (case.task for case in cases.failures if any(each.solved for each in cases.of_task(case.task))), failed.task
    )
    return {
        "list_failures": ("list_failures", {}),
        "list_failures, one kind": ("list_failures", {"kind": "stopped-midway", "first": 5}),
        "read_trace": ("read_trace", {"trial": failed.name}),
        "read_trace, one step": ("read_trace", {"trial": failed.name, "first": 1, "last": 1}),
        "search_traces, a word": ("search_traces", {"query": "traceback"}),
        "search_traces, a common word": ("search_traces", {"query": COMMON}),
        "search_traces, the last page": ("search_traces", {"query": COMMON, "first": 5_000}),
        "compare_trials": ("compare_trials", {"task": part}),
        "tool_stats": ("tool_stats", {}),
    }


def best(prepare: Callable[[], Callable[[], object]], times: int = 5) -> tuple[float, float]:
    """The least seconds, and the least of a processor, of some runs; each is prepared before its time begins."""
    found = list[tuple[float, float]]()
    for _ in range(times):
        ask = prepare()
        began, cpu = time.perf_counter(), time.thread_time()
        ask()
        found.append((time.perf_counter() - began, time.thread_time() - cpu))
    return min(seconds for seconds, _ in found), min(own for _, own in found)


def main() -> None:
    path = Path(sys.argv[1]) / STORE
    study = sys.argv[2] if len(sys.argv) > 2 else STUDY
    reader = StoreReader(path)
    trials = named_trials(reader, study, scan(reader, study).stood)
    cases = cases_of(reader, study, trials)
    with closing(sqlite3.connect(path)) as store:
        owner = store.execute("SELECT owner FROM step ORDER BY id DESC LIMIT 1").fetchone()[0]

    def select() -> None:
        with closing(sqlite3.connect(path)) as store:
            store.execute('SELECT data FROM step WHERE owner = ? AND "index" = 0', [owner]).fetchone()

    seconds, own = best(lambda: select, 20)
    print(json.dumps({"name": "floor", "seconds": seconds, "own": own}))
    for name, (tool, arguments) in calls(cases).items():
        said = list[str]()

        def session(
            tool: str = tool, given: dict[str, Any] = arguments, said: list[str] = said
        ) -> Callable[[], object]:
            # Cases anew: what a session has read it keeps.
            looking = Looking(cases_of(reader, study, trials), traces=True)
            return lambda: said.append(looking.answer(tool, given, ROOM))

        seconds, own = best(session)
        print(json.dumps({"name": name, "seconds": seconds, "own": own, "chars": len(said[0])}))


if __name__ == "__main__":
    main()
