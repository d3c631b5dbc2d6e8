"""What is left when a process dies or the disk is full."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from lorimer.errors import LorimerError
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.writing.holder import this_process
from lorimer.traces.writing.store import Store

from . import support as make

WRITER = """
import asyncio, sys
from lorimer.traces.writing.store import Store
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
from lorimer.traces.writing.store import Store
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
        reader = StoreReader(path)
        assert len(answered) >= 40
        for trial in answered:
            assert reader.trial(trial).state == "scored"
            assert [step.index for step in reader.steps(trial)] == list(range(20))
        # The index is in step with the table: both are written in the same transactions.
        assert reader.sql("SELECT count(*) FROM step_fts WHERE step_fts MATCH 'echo'") == reader.sql(
            "SELECT count(*) FROM step"
        )


def test_a_log_cut_anywhere_loses_whole_trials_and_nothing_else(tmp_path: Path) -> None:
    """The machine lost its power: the log ends in the middle of a page. What it still holds of a trial is all of it."""
    path = tmp_path / "traces.db"
    ends = '        await asyncio.gather(*(worker(f"t{number}") for number in range(4)))\n'
    assert ends in WRITER
    # Few enough that no page is copied from the log before it ends: an honest disk has synced the log by then.
    dying = WRITER.replace("100_000", "4").replace(ends, f"{ends}        import os; os.kill(os.getpid(), 9)\n")
    done = subprocess.run([sys.executable, "-c", dying, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    answered = done.stdout.split()
    assert len(answered) == 16
    log = Path(f"{path}-wal").read_bytes()
    dice, counts = random.Random(1), []
    cuts = [*sorted(dice.randint(0, len(log)) for _ in range(8)), len(log)]
    for number, at in enumerate(cuts):
        copy = tmp_path / f"cut-{number}.db"
        shutil.copyfile(path, copy)
        torn = bytes(len(log) - at) if number % 2 else b""
        Path(f"{copy}-wal").write_bytes(log[:at] + torn)
        with Store.open(copy):
            reader = StoreReader(copy)
            with closing(sqlite3.connect(copy)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            ended = [trial.id for trial in reader.trials(state="scored", limit=None)]
            assert all([step.index for step in reader.steps(trial)] == list(range(20)) for trial in ended)
            counts.append(len(ended))
    assert counts == sorted(counts)
    assert counts[-1] == len(answered)


@pytest.mark.parametrize("found_by", ["claim", "read"])
async def test_a_damaged_file_is_told_and_not_gone_on_with(tmp_path: Path, found_by: str) -> None:
    """A disk that lost what it had said was stored. The process that wrote it died with the machine."""
    path = tmp_path / "traces.db"
    dead = f"{socket.gethostname()}:{2**22 + 1}:1"
    with Store.open(path) as store:
        await store.create_study(make.study(), [make.task("t")], "text")
        await store.claim("s", dead)
        for repeat in range(20):
            await make.finished_trial(store, make.start("t", repeat), [make.ran("x", "echo", "y" * 3000)])
    content = bytearray(path.read_bytes())
    if found_by == "claim":
        # A page of an index as it was long ago: every read of the table succeeds.
        with closing(sqlite3.connect(path)) as connection:
            wanted = "SELECT rootpage FROM sqlite_master WHERE type = 'index' AND tbl_name = 'trial' LIMIT 1"
            (page,) = connection.execute(wanted).fetchone()
        size = int.from_bytes(content[16:18], "big")
        content[(page - 1) * size : page * size] = empty_index_page(size)
    else:
        content[4096 * 2 :] = bytes(len(content) - 4096 * 2)
    path.write_bytes(content)

    async def go_on() -> None:
        with Store.open(path) as store:
            StoreReader(store).trials("s", limit=None)
            await store.claim("s", this_process())

    with pytest.raises(LorimerError, match=r"the trace store .* is damaged: .*; restore a copy of it, or move it away"):
        await go_on()


def empty_index_page(size: int) -> bytes:
    """A leaf of an index with nothing in it."""
    return bytes([10, 0, 0, 0, 0]) + (size % 65536).to_bytes(2, "big") + bytes(size - 7)


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
        assert line.endswith("; free space on its disk"), line
    # What was answered is there, and the file can be written again once there is space.
    with Store.open(path):
        reader = StoreReader(path)
        assert {reader.trial(trial).state for trial in stored} == {"scored"}


async def test_two_processes_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    with Store.open(path) as one, Store.open(path) as other:
        for repeat in range(20):
            await make.finished_trial(one, make.start("a", repeat))
            await make.finished_trial(other, make.start("b", repeat))
    assert len(StoreReader(path).trials("s")) == 40
