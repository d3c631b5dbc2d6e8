"""How long the dashboard's pages take on a long study: first byte, whole page, and the server's memory.

    python -m bench.dashboard [FOLDER] [CANDIDATES]     # the store of `bench.traces`, made if it is not there

The server is a process of its own, on a copy of the store. Of each page the best of three is told, after one that fills what the
server keeps, and how much of a processor the server took for it on average; then the same again while another process plays the
study on in that store, some 240 trials per minute with their steps. On a machine that does other work the seconds say how busy it
is; the load is told beside them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

from bench.made_store import STUDY, Size, make
from bench.traces import LORIMER
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader

FIRST_BYTE, STUDY_SECONDS, MEGABYTES = 0.3, 1.0, 400.0
"""The targets: of every page, of the study's whole page, and of the server."""


def paths(root: Path) -> list[str]:
    """One of every kind of page."""
    reader = StoreReader(root / STORE)
    newest = reader.candidates(STUDY)[-1].number
    trial = reader.trials(STUDY, stage="full", state="scored", limit=1)[0]
    of = f"beside?of={int(trial.evaluation.split('/')[1][1:])}&task={quote(trial.task)}"
    trace = f"trace?of={quote(trial.id, safe='')}"
    task, further = f"task?task={quote(trial.task)}", ("lineage", "search?q=pytest", "power", "act")
    pages = ("flips", of, "candidates", f"c/{newest}", "tasks", task, trace, *further)
    return ["/", f"/s/{STUDY}", f"/s/{STUDY}?part=live", *(f"/s/{STUDY}/{page}" for page in pages)]


def asked(client: httpx.Client, path: str) -> tuple[float, float, int]:
    """Seconds to the first byte and to the last, and bytes."""
    began = time.perf_counter()
    with client.stream("GET", path) as answer:
        answer.raise_for_status()
        parts = answer.iter_raw()
        size = len(next(parts))
        first = time.perf_counter() - began
        size += sum(map(len, parts))
    return first, time.perf_counter() - began, size


def processor(pid: int) -> float:
    """Milliseconds of a processor that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Took:
    """What one page took."""

    first: float
    """Seconds to the first byte."""
    whole: float
    processor: float
    """Milliseconds of a processor that the server took for it, on average."""
    size: int

    def is_slow(self, path: str) -> bool:
        return self.first > FIRST_BYTE or (path == f"/s/{STUDY}" and self.whole > STUDY_SECONDS)


def measured(client: httpx.Client, pid: int, path: str) -> Took:
    """The best of three, after one that fills what the server keeps."""
    asked(client, path)
    began = processor(pid)
    first, whole, size = min(asked(client, path) for _ in range(3))
    return Took(first, whole, (processor(pid) - began) / 3, size)


@contextmanager
def writing(root: Path) -> Iterator[Callable[[], int]]:
    """A study that goes on in this store, and how many trials it has finished."""
    reader = StoreReader(root / STORE)

    def finished() -> int:
        return int(reader.sql("SELECT count(*) FROM trial WHERE state = 'scored'").rows[0][0])

    before = finished()
    with subprocess.Popen([sys.executable, "-m", "bench.running", "write", str(root)]) as study:
        try:
            while finished() == before:
                assert study.poll() is None, "the study that was to write has ended"
                time.sleep(0.2)
            yield lambda: finished() - before
        finally:
            study.terminate()


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.gettempdir(), "lorimer-bench-traces")
    made = make(root.absolute(), Size(candidates=int(sys.argv[2])) if len(sys.argv) > 2 else Size())
    print(f"{made.candidates} candidates, {made.trials:,} trials, {made.steps:,} steps; ", end="")
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    # A copy, as the study that writes would leave another store to the next measurement.
    with tempfile.TemporaryDirectory(dir=made.root.parent) as folder:
        copy = Path(shutil.copytree(made.root, Path(folder, "workspace")))
        over = _pages(copy)
    raise SystemExit(f"over its target: {', '.join(over)}" if over else 0)


def _pages(root: Path) -> list[str]:
    """Print a row for every page, alone and beside a study that writes; what is over its target."""
    server = subprocess.Popen(
        [str(LORIMER), "dashboard", "-C", str(root), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    over = []
    try:
        said = server.stdout.readline()
        if " at " not in said:  # it has said on stderr why it does not serve this store
            raise SystemExit(server.wait() or 1)
        address = said.split(" at ")[1].split()[0]
        print(
            "| page | first byte, ms | whole, ms | processor, ms | kB | first byte while a study writes, ms | whole, ms |"
        )
        print("|---|---|---|---|---|---|---|")
        with httpx.Client(base_url=address, timeout=60.0) as client:
            pages = paths(root)
            alone = {path: measured(client, server.pid, path) for path in pages}
            with writing(root) as finished:
                began = time.monotonic()
                beside = {path: measured(client, server.pid, path) for path in pages}
                rate = 60 * finished() / (time.monotonic() - began)
        for path in pages:
            one, other = alone[path], beside[path]
            over += [path] if one.is_slow(path) or other.is_slow(path) else []
            mark = " (over)" if path in over else ""
            numbers = f"{1000 * one.first:.0f} | {1000 * one.whole:.0f} | {one.processor:.0f} | {one.size / 1000:.0f}"
            print(f"| {path} | {numbers} | {1000 * other.first:.0f} | {1000 * other.whole:.0f}{mark} |")
        status = Path(f"/proc/{server.pid}/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
        print(f"\nthe study wrote {rate:.0f} trials per minute; peak memory of the server {peak:.0f} MB")
        over += ["memory"] if peak > MEGABYTES else []
    finally:
        server.terminate()
        server.wait()
    return over


if __name__ == "__main__":
    main()
