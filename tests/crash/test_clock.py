"""The clock is set forwards and backwards: nothing that is decided, waited for or paid for follows from it."""

from __future__ import annotations

import ast
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

import lorimer
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import configure, process, start
from tests.crash.support import Straight, begun, outcome, twin

WALL = {
    "sandbox/docker/files.py": "a file's time of change",
    "models/failing/retry.py": "what a Retry-After with a date means",
    "traces/writing/recorder.py": "for people to read",
    "exports/runtime/atif.py": "for people to read: when an exported harness did what its trajectory tells",
    "task_agent/serving/record.py": "what a harness saw when it asked its jail for the time, for a shadow of it to see again",
    "harness/shadow.py": "no clock is read: a shadow's harness is given the recorded time",
    "traces/migrations/versions/r0003_settings.py": "for people to read: when an older store was upgraded",
    "traces/migrations/versions/r0004_purpose.py": "for people to read: when an older store was upgraded",
    "dashboard/report.py": "for people to read: when a report was written",
    "commands/workspace.py": "which models' announced ends have come, which doctor warns of",
    "commands/store.py": "how old trials are, for [store] keep",
    "meta_agent/study/keeping.py": "how old trials are, for [store] keep",
    "terminal/listing.py": "for people to read: for how long a provider asked to be left alone",
    "meta_agent/workspace/parts.py": "for people to read, and [gate] champion_max_age, which survives a clock set back",
}
"""Where the time of day is read, and what for. Durations are the monotonic clock's."""

DAY = 86_400


def test_the_time_of_day_is_read_where_it_is_meant_and_nowhere_else() -> None:
    root = Path(lorimer.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        if "starter/tasks" in path.as_posix():
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in (
                "time.time",
                "time.time_ns",
                "datetime.now",
                "datetime.utcnow",
                "datetime.datetime.now",
                "datetime.today",
            ):
                found.add(path.relative_to(root).as_posix())
    assert found == set(WALL)


SHIM = r"""
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCK_OFFSET");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *seen = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
    if (seen != MAP_FAILED) offset = seen;
    close(file);
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, id, now);
    if (!failed && offset && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += *offset;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (out) *out = precise.tv_sec;
    return precise.tv_sec;
}
"""
"""The time of day and nothing else, off by as many seconds as a file says at the moment."""


class Clock:
    """The time of day of those processes that are started with `environment`. The monotonic clock is as it is."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("no C compiler is installed")
        self._offset, source, library = folder / "offset", folder / "shim.c", folder / "shim.so"
        self.jump(0)
        source.write_text(SHIM)
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(self._offset)}

    def jump(self, seconds: int) -> None:
        """Set it, from now on, to so many seconds beside the true time."""
        with self._offset.open("r+b" if self._offset.exists() else "wb") as file:
            file.write(struct.pack("=q", seconds))


@pytest.mark.hostile
@pytest.mark.bubblewrap
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("jumps", [(400 * DAY, -400 * DAY), (-400 * DAY, 30 * DAY)], ids=["forth", "back"])
def test_a_clock_that_jumps_changes_nothing(straight: Straight, tmp_path: Path, jumps: tuple[int, int]) -> None:
    clock = Clock(tmp_path)
    root = twin(straight.pristine, f"jumped-{jumps[0]}")
    configure(root, "budget.hours=1")
    running = start("optimize", "--quiet", "-C", root, environment=clock.environment)
    try:
        for jump, trials in zip(jumps, (2, 6), strict=True):
            while begun(root) < trials:
                assert running.poll() is None, running.communicate()
                time.sleep(0.05)
            clock.jump(jump)
        _, err = running.communicate()
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 0, err
    assert outcome(root) == outcome(straight.root)
    assert StoreReader(root / STORE).study("study-1").seconds < DAY
    assert all(0 <= trial.seconds < DAY for trial in StoreReader(root / STORE).trials(limit=None))
    years = {trial.started[:4] for trial in StoreReader(root / STORE).trials(limit=None)}
    assert len(years) > 1, "the clock did not jump"
    assert process("verify", "-C", root).code == 0
