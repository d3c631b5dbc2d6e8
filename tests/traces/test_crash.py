"""What is left when a process dies or the disk is full."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from lorimer.traces.query import Query
from lorimer.traces.store import Store

from . import support as make

WRITER = """
import asyncio, sys
from lorimer.traces.store import Store
from tests.traces import support as make

async def main():
    with Store.open(sys.argv[1]) as store:
        async def worker(name):
            for repeat in range(100_000):
                begin = make.start(name, repeat)
                store.open_trial(begin)
                for number in range(20):
                    store.step(make.ran(begin.id, f"echo {number}", "x" * 500))
                await store.close_trial(make.end(begin.id))
                print(begin.id, flush=True)
        await asyncio.gather(*(worker(f"t{number}") for number in range(4)))

asyncio.run(main())
"""

FULL = """
import asyncio, resource, sys
from lorimer.errors import LorimerError
from lorimer.traces.store import Store
from tests.traces import support as make

async def main():
    store = Store.open(sys.argv[1])
    # As a full disk: no file of this process may grow beyond this.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    async def worker(name):
        for repeat in range(1000):
            begin = make.start(name, repeat)
            store.open_trial(begin)
            store.step(make.ran(begin.id, "cat", "x" * 20_000))
            await store.close_trial(make.end(begin.id))
            print("stored", begin.id, flush=True)
    for answer in await asyncio.gather(*(worker(f"t{n}") for n in range(3)), return_exceptions=True):
        print("refused", type(answer).__name__, answer, flush=True)
    try:
        store.step(make.ran("x", "ls"))
    except LorimerError as error:
        print("refused", type(error).__name__, error, flush=True)
    try:
        await store.flush()
    except LorimerError as error:
        print("refused", type(error).__name__, error, flush=True)
    store.close()

asyncio.run(asyncio.wait_for(main(), 60))
"""


def test_a_killed_writer_loses_no_trial_whose_end_was_answered(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        answered = [process.stdout.readline().strip() for _ in range(40)]
        os.kill(process.pid, signal.SIGKILL)
        answered += process.stdout.read().split()
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    with Store.open(path):
        query = Query(path)
        assert len(answered) >= 40
        for trial in answered:
            assert query.trial(trial).state == "scored"
            assert [step.index for step in query.steps(trial)] == list(range(20))
        # The index is in step with the table: the triggers are in the same transactions.
        assert query.sql("SELECT count(*) FROM step_fts WHERE step_fts MATCH 'echo'") == query.sql(
            "SELECT count(*) FROM step"
        )


def test_a_full_disk_is_told_to_everyone_who_waits_and_nothing_hangs(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    lines = done.stdout.splitlines()
    stored = [line.split()[1] for line in lines if line.startswith("stored")]
    refused = [line for line in lines if line.startswith("refused")]
    assert stored, done.stderr
    assert len(refused) == 5, done.stdout + done.stderr
    for line in refused:
        assert line.startswith(f"refused LorimerError the trace store {path} cannot be written: "), line
        assert line.endswith("; free space on its disk, then resume"), line
    # What was answered is there, and the file can be written again once there is space.
    with Store.open(path):
        query = Query(path)
        assert {query.trial(trial).state for trial in stored} == {"scored"}


async def test_two_processes_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with Store.open(path) as one, Store.open(path) as other:
        for repeat in range(20):
            await make.finished_trial(one, make.start("a", repeat))
            await make.finished_trial(other, make.start("b", repeat))
    assert len(Query(path).trials("s")) == 40
