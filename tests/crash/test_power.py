"""The machine loses its power: what was not on the disk yet is gone, or torn. `lorimer resume` goes on from what is left.

SQLite writes to the log (`-wal`) first and syncs it before it copies pages from it (a checkpoint), so an honest disk loses of
the log only what came after the last copy. A disk that says "synced" and lies may lose the rest as well: that can damage the
file, which must be told.
"""

from __future__ import annotations

import random
import shutil
import signal
import struct
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from lorimer.errors import LorimerError
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import Said, process, start
from tests.crash.support import Straight, begun, evidence, finished, kept, outcome, scored_twice, twin

pytestmark = [pytest.mark.hostile, pytest.mark.bubblewrap, pytest.mark.timeout(1800)]

RUNS = 6

LOST = "names an entry that this chain does not have: it lost its end, or was rewritten"
"""The one thing that `verify` may still say: a promotion's commit outlived the entries that it testifies to."""


def interrupted(straight: Straight, name: str, dice: random.Random) -> Path:
    """A workspace whose process was killed in the middle of its study.

    In the middle of its trials, not of its seconds: on a machine that has become quieter since the straight study was
    measured, it would be over, and its log gone.
    """
    trials = begun(straight.root)
    for attempt in range(5):
        root = twin(straight.pristine, f"{name}-{attempt}")
        after = dice.randint(1, trials - 3)
        running = start("optimize", "--quiet", "-C", root)
        while running.poll() is None and begun(root) < after:
            time.sleep(0.02)
        with suppress(subprocess.TimeoutExpired):
            running.wait(timeout=dice.uniform(0, 0.5))
        running.kill()
        running.communicate()
        # Its log goes as its store is closed, which may be long before the process is gone.
        if running.returncode == -signal.SIGKILL and Path(f"{root / STORE}-wal").is_file():
            return root
    raise AssertionError("every study was over before it could be killed")


def copied(root: Path) -> int:
    """Bytes of the log that were synced for sure: up to the last page that a checkpoint may have copied from it."""
    log, index = Path(f"{root / STORE}-wal"), Path(f"{root / STORE}-shm")
    if log.stat().st_size < 32:
        return 0
    (page,) = struct.unpack_from(">I", log.read_bytes(), 8)
    (attempted,) = struct.unpack_from("=I", index.read_bytes(), 128)  # WalCkptInfo.nBackfillAttempted
    return 32 + int(attempted) * (24 + int(page))


def lose(root: Path, since: int, dice: random.Random) -> None:
    """Cut the log somewhere after a position, or put zeros or noise there. The index in memory is gone in any case."""
    log = Path(f"{root / STORE}-wal")
    content = log.read_bytes()
    at = dice.randint(min(since, len(content)), len(content))
    rest = len(content) - at
    end = dice.choice((b"", b"", bytes(rest), dice.randbytes(rest)))
    log.write_bytes(content[:at] + end)
    Path(f"{root / STORE}-shm").unlink(missing_ok=True)


def gone_on(root: Path) -> Said:
    """`lorimer resume`, or `optimize` where the study itself is lost: then it begins again."""
    said = process("resume", "--quiet", "-C", root)
    if said.code == 2 and ("there is no study" in said.err or "not a trace store" in said.err):
        said = process("optimize", "--quiet", "-C", root)
    return said


def ends_the_same(root: Path, straight: Straight) -> None:
    looked = twin(root, f"{root.name}-looked-at")  # looking rebuilds the index
    before = evidence(looked)
    done = finished(looked) if before else {}  # of a log that was lost whole, not even the tables may be left
    said = gone_on(root)
    assert said.code == 0, said
    assert outcome(root) == outcome(straight.root)
    assert not kept(before, evidence(root))
    assert done.items() <= finished(root).items()
    assert scored_twice(root) == []
    verified = process("verify", "-C", root)
    problems = [line for line in verified.out.splitlines() if line.strip().startswith("- ")]
    assert all(line.endswith(LOST) for line in problems), verified.out
    assert verified.code == (1 if problems else 0)


@pytest.mark.parametrize("seed", range(RUNS))
def test_a_torn_log_loses_nothing_but_its_end(straight: Straight, seed: int) -> None:
    dice = random.Random(seed)
    root = interrupted(straight, f"torn-{seed}", dice)
    lose(root, copied(root), dice)
    ends_the_same(root, straight)


@pytest.mark.parametrize("seed", range(RUNS))
def test_a_log_lost_by_a_disk_that_lied_is_survived_or_told(straight: Straight, seed: int) -> None:
    dice = random.Random(100 + seed)
    root = interrupted(straight, f"lied-{seed}", dice)
    if seed % 2:
        Path(f"{root / STORE}-wal").unlink()
        Path(f"{root / STORE}-shm").unlink()
    else:
        lose(root, 0, dice)
    untouched = twin(root, f"{root.name}-untouched")
    said = gone_on(root)
    if said.code == 0:
        shutil.rmtree(root)
        shutil.copytree(untouched, root)
        ends_the_same(root, straight)
    else:
        assert said.code == 1
        assert said.err.startswith(f"lorimer: the trace store {root / STORE} is damaged: ")
        assert said.err.count("\n") == 1
        with pytest.raises(LorimerError):
            StoreReader(root / STORE).sql("SELECT id FROM nothing")
