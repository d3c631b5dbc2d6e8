"""The disk under the trace store is full in the middle of a study, be it this machine's or a database server's."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import process, start
from tests.crash.support import Straight, evidence, finished, kept, outcome, scored_twice, twin
from tests.crash.test_postgresql import done, in_store
from tests.support import postgresql

pytestmark = [pytest.mark.hostile, pytest.mark.bubblewrap, pytest.mark.timeout(1800)]

DISK = 16 << 20
"""Room for the whole study, several times."""
SERVERS_DISK = 200 << 20
"""Room for a database server and the whole study."""
SERVERS_LOG = 24 << 20
"""Room for what a server writes ahead."""


@pytest.fixture
def small_disk(straight: Straight) -> Iterator[Path]:
    """A workspace whose store has a disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    root = twin(straight.pristine, "small-disk")
    place = (root / STORE).parent
    place.mkdir()
    with mounted(place, DISK):
        yield root


@contextmanager
def mounted(place: Path, size: int) -> Iterator[None]:
    """A folder on a disk of so many bytes."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all that is left."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        for size in (1 << 16, 1 << 9, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return path


def sizes(root: Path) -> dict[str, int]:
    """What is in the store's folder: a study that ended well all the same must have found room there."""
    return {path.name: path.stat().st_size for path in (root / STORE).parent.iterdir()}


def test_a_full_disk_ends_it_with_one_line_and_nothing_is_lost(small_disk: Path, straight: Straight) -> None:
    root = small_disk
    command = "optimize"
    done: dict[str, str] = {}
    before: dict[str, tuple[object, ...]] = {}
    for more in (2, 4):
        running = start(command, "--quiet", "-C", root)
        try:
            while not evidence(root) or len(finished(root)) < len(done) + more:
                assert running.poll() is None, running.communicate()
                time.sleep(0.05)
            filler = fill((root / STORE).parent)
            stood = (len(finished(root)), sizes(root))
            out, err = running.communicate()
        finally:
            running.kill()
            running.communicate()
        assert running.returncode == 1, (out, err, stood, len(finished(root)), sizes(root))
        assert err == (
            f"lorimer: the trace store {root / STORE} cannot be written: database or disk is full; free space on its disk; "
            f"what has finished is kept, and once that is put right, `lorimer resume study-1 -C {root}` goes on\n"
        )
        said = process("resume", "--quiet", "-C", root)  # still full
        assert said.code == 1, said
        assert said.err.startswith(f"lorimer: the trace store {root / STORE} cannot be ")
        assert said.err.count("\n") == 1
        filler.unlink()
        assert not kept(before, evidence(root))
        before, done, command = evidence(root), done | finished(root), "resume"
        assert done.items() <= finished(root).items()
    assert process("resume", "--quiet", "-C", root).code == 0
    assert outcome(root) == outcome(straight.root)
    assert not kept(before, evidence(root))
    assert done.items() <= finished(root).items()
    assert scored_twice(root) == []
    assert process("verify", "-C", root).code == 0
    assert StoreReader(root / STORE).study("study-1").state == "finished"


@pytest.mark.parametrize("full", ["its tables", "its log"])
def test_a_full_disk_of_a_server_ends_it_with_one_line_and_nothing_is_lost(full: str, straight: Straight) -> None:
    """A server that cannot lengthen a table refuses that alone; one that cannot write ahead ends, and starts again with room."""
    programs = postgresql.binaries()
    if os.geteuid() != 0 or programs is None:
        pytest.skip("this needs root and a PostgreSQL server (Debian: apt-get install postgresql)")
    tables, log = (Path(tempfile.mkdtemp(prefix="lorimer-pg-")) for _ in range(2))  # a socket's path is short
    with ExitStack() as undone:
        for place, size in ((tables, SERVERS_DISK), (log, SERVERS_LOG)):
            undone.callback(place.rmdir)
            undone.enter_context(mounted(place, size))
            postgresql.give(place)
        data, ahead = tables / "server", log / "ahead"
        for folder in (data, ahead):
            folder.mkdir()
            postgresql.give(folder)
        server = postgresql.Server(programs, data, ahead)
        server.start()
        undone.callback(server.end)
        url = server.empty()
        root = in_store(twin(straight.pristine, f"server-full-{tables.name}"), url)
        running = start("optimize", "--quiet", "-C", root)
        while done(url) < 6:
            assert running.poll() is None, running.communicate()
            time.sleep(0.05)
        before = done(url)
        filler = fill(tables if full == "its tables" else log)
        _, err = running.communicate(timeout=300)
        assert running.returncode == 1, err
        assert err.startswith("lorimer: the trace store postgresql+psycopg://postgres@/store0 cannot be written: "), err
        if full == "its tables":  # where the server ends, another connection may hear of it first
            assert "could not extend file" in err
            assert "No space left on device; free space on the server's disk; " in err
        assert err.endswith(
            f"; what has finished is kept, and once that is put right, `lorimer resume study-1 -C {root}` goes on\n"
        )
        assert err.count("\n") == 1
        still = process("resume", "--quiet", "-C", root)
        assert (still.code in (1, 2), still.err.count("\n")) == (True, 1), still
        filler.unlink()
        if full == "its log":
            server.start()
        assert done(url) >= before
        assert process("resume", "--quiet", "-C", root).code == 0
        assert outcome(root) == outcome(straight.root)
        assert process("verify", "-C", root).code == 0
