"""The disk under the trace store is full in the middle of a study."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import process, start
from tests.crash.support import Straight, evidence, finished, kept, outcome, scored_twice, twin

pytestmark = [pytest.mark.hostile, pytest.mark.bubblewrap, pytest.mark.timeout(1800)]

DISK = 16 << 20
"""Room for the whole study, several times."""


@pytest.fixture
def small_disk(straight: Straight) -> Iterator[Path]:
    """A workspace whose store has a disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    root = twin(straight.pristine, "small-disk")
    place = (root / STORE).parent
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        yield root
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
            f"lorimer: the trace store {root / STORE} cannot be written: database or disk is full; free space on its disk, "
            "then resume\n"
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
