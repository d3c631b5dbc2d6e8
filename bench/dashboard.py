"""How long the dashboard's pages take on a long study: first byte, whole page, and the server's memory.

    python -m bench.dashboard [FOLDER] [CANDIDATES]     # the store of `bench.traces`, made if it is not there

The server is a process of its own. Of each page the best of three is told, after one that fills what the server keeps, and how
much of a processor the server took for it on average. On a machine that does other work the seconds say how busy it is; the load
is told beside them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import httpx

from bench.made_store import STUDY, Size, make
from bench.traces import LORIMER
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reader import StoreReader

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


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.gettempdir(), "lorimer-bench-traces")
    made = make(root.absolute(), Size(candidates=int(sys.argv[2])) if len(sys.argv) > 2 else Size())
    command = [str(LORIMER), "dashboard", "-C", str(made.root), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    over = []
    try:
        said = server.stdout.readline()
        if " at " not in said:  # it has said on stderr why it does not serve this store
            raise SystemExit(server.wait() or 1)
        address = said.split(" at ")[1].split()[0]
        print(f"{made.candidates} candidates, {made.trials:,} trials, {made.steps:,} steps; ", end="")
        print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
        print("| page | first byte, ms | whole, ms | processor, ms | kB |\n|---|---|---|---|---|")
        with httpx.Client(base_url=address, timeout=60.0) as client:
            for path in paths(made.root):
                asked(client, path)
                began = processor(server.pid)
                first, whole, size = min(asked(client, path) for _ in range(3))
                took = (processor(server.pid) - began) / 3
                slow = first > FIRST_BYTE or (path == f"/s/{STUDY}" and whole > STUDY_SECONDS)
                over += [path] if slow else []
                over_it = " (over)" if slow else ""
                print(f"| {path} | {1000 * first:.0f}{over_it} | {1000 * whole:.0f} | {took:.0f} | {size / 1000:.0f} |")
        status = Path(f"/proc/{server.pid}/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
        print(f"\npeak memory of the server {peak:.0f} MB")
        over += ["memory"] if peak > MEGABYTES else []
    finally:
        server.terminate()
        server.wait()
    raise SystemExit(f"over its target: {', '.join(over)}" if over else 0)


if __name__ == "__main__":
    main()
