"""What a long study costs its readers: seconds and memory of each command that reads, and how long a running study's loop stands.

    python -m bench.traces [FOLDER] [CANDIDATES]        # made in FOLDER if it is not there: minutes, and 2.5 GB for 700

The store is made (`bench.made_store`): 700 candidates, about 140,000 trials and 2,000,000 steps. Each reader runs in a process
of its own; its seconds hold the start of Python, its memory is that process's peak. Beside it stands the floor of the same run:
a process that starts, imports nothing but sqlite3 and counts the trials. On a busy machine the seconds of a processor are judged.

Then a copy of the store is run: the real loop with the real proposer, on dice and a scripted model. `stall` is the longest time
for which the event loop did not come round; `own` the longest that the loop's thread computed without a pause, which a busy
machine does not lengthen. The first of two candidates is the first of a process, and reads all earlier full runs.

Last the tools of the meta-agent answer on the store (`bench.looking`), and a scripted session of it reads the store and that of a
`lorimer demo`, made beside FOLDER: how many tokens it is sent (`bench.diagnosing`).
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.made_steps import COMMON
from bench.made_store import STUDY, Made, Size, make
from lorimer.meta_agent.workspace.repository import STORE

SECONDS, MEGABYTES, STALL_MS = 1.0, 300.0, 50.0
TOOL_SECONDS = 0.2
DIFFER = 0.1
"""The targets. The last is of the tokens of a session: by so much a long study may cost more to diagnose than the demo's."""

LORIMER = Path(sys.executable).with_name("lorimer")
COUNT = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM trial').fetchone())"


LAUNCH = """
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
seconds, code = time.perf_counter() - began, os.waitstatus_to_exitcode(status)
print(json.dumps([seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, code]))
"""
"""Runs a command from a process that is small: a child's peak memory counts from its parent's size."""


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    seconds: float
    cpu: float
    """Seconds of a processor, which other work on the machine does not lengthen, or hardly."""
    megabytes: float
    code: int = 0


def measured(command: list[str], root: Path) -> Cost:
    """Run a command in a workspace, its output thrown away."""
    launch = [sys.executable, "-S", "-c", LAUNCH, *command]
    # Installed packages are compiled. Where Python must keep no compiled files, it would compile lorimer anew for every command.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return Cost(*json.loads(subprocess.run(launch, cwd=root, env=kept, stdout=subprocess.PIPE, check=True).stdout))


def best(command: list[str], root: Path) -> Cost:
    """The run of three that took a processor for the shortest time, after one that warms the caches."""
    measured(command, root)
    return min((measured(command, root) for _ in range(3)), key=lambda cost: cost.cpu)


def readers(made: Made) -> dict[str, list[str]]:
    """Every command that reads, by what it is called here."""
    with closing(sqlite3.connect(made.root / STORE)) as store:
        trial = store.execute("SELECT id FROM trial ORDER BY started DESC, id DESC LIMIT 1").fetchone()
        failed = store.execute("SELECT task FROM trial WHERE state = 'errored' ORDER BY started, id LIMIT 1").fetchone()
    unusual = "traceback"
    return {
        "status": ["status"],
        "studies": ["studies"],
        "log": ["log"],
        "traces ls": ["traces", "ls"],
        "traces ls, of a task's errors": ["traces", "ls", "--task", failed[0], "--state", "errored"],
        "traces ls, the dearest": ["traces", "ls", "--sort", "cost"],
        "traces show": ["traces", "show", trial[0]],
        "traces show, by a beginning": ["traces", "show", trial[0][:-2]],
        "traces search, a word": ["traces", "search", unusual],
        "traces search, a common word": ["traces", "search", COMMON],
        "traces search, of the study": ["traces", "search", f"{COMMON} {unusual}", "--study", STUDY],
        "verify": ["verify"],
        "export": ["export", "--force", "winner"],
        "power": ["power", "--study", STUDY],
        "gate replay": ["gate", "replay"],
        "gate replay, another level": ["gate", "replay", "--alpha", "0.05"],
        "optimize --dry-run": ["optimize", "--dry-run"],
    }


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.gettempdir(), "lorimer-bench-traces")
    size = Size(candidates=int(sys.argv[2])) if len(sys.argv) > 2 else Size()
    made = make(root.absolute(), size)
    megabytes = (made.root / STORE).stat().st_size / 1e6
    print(
        f"{made.candidates} candidates, {made.promoted} promoted, {made.trials:,} trials, {made.steps:,} steps", end=""
    )
    print(f", {megabytes:,.0f} MB; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    count = [sys.executable, "-S", "-c", COUNT, str(made.root / STORE)]
    floor = min(measured(count, made.root).cpu for _ in range(3))
    print(f"the floor, counting the trials with sqlite3 alone: {floor:.2f} s of a processor\n")
    print("| reader | seconds | of a processor | of the floor | MB |\n|---|---|---|---|---|")
    over = []
    for name, arguments in readers(made).items():
        cost = best([str(LORIMER), *arguments], made.root)
        over += _row(name, cost, floor) or ([f"{name} (failed)"] if cost.code else [])
    for name in ("scan", "trust"):
        (found,) = _said("bench.running", name, str(made.root))
        over += _row(f"`{name}`, imports apart", Cost(**found), floor)
    print("\n| while a study runs | seconds | stall, ms | own, ms |\n|---|---|---|---|")
    *phases, memory = _said("bench.running", "loop", str(made.root))
    for phase in phases:
        slow = phase["seconds"] > SECONDS and phase["bounded"]
        mark = " (over)" if slow or phase["own_ms"] > STALL_MS else ""
        over += [phase["name"]] if mark else []
        print(f"| {phase['name']} | {phase['seconds']:.2f} | {phase['stall_ms']:.0f} | {phase['own_ms']:.0f}{mark} |")
    print(f"\npeak memory of the running study {memory['megabytes']:.0f} MB")
    over += _tools(made.root)
    over += _sessions(made.root)
    over += ["memory of the running study"] if memory["megabytes"] > MEGABYTES else []
    raise SystemExit(f"over its target: {', '.join(dict.fromkeys(over))}" if over else 0)


def _tools(root: Path) -> list[str]:
    """The meta-agent's tools, each beside one indexed SELECT; those over the target."""
    floor, *tools = _said("bench.looking", str(root))
    print(f"\nthe floor, one indexed SELECT: {1000 * floor['seconds']:.2f} ms\n")
    print("| tool of the meta-agent | ms | of a processor | of the floor | characters |\n|---|---|---|---|---|")
    over = []
    for each in tools:
        slow = min(each["seconds"], each["own"]) > TOOL_SECONDS
        over += [each["name"]] if slow else []
        numbers = f"{1000 * each['seconds']:.0f} | {1000 * each['own']:.0f} | {each['own'] / floor['own']:.0f}"
        print(f"| {each['name']} | {numbers} | {each['chars']:,}{' (over)' if slow else ''} |")
    return over


def _sessions(root: Path) -> list[str]:
    """What a session of the meta-agent is sent here and on the demo's study; that it is too much here."""
    demo = root.with_name(f"{root.name}-demo")
    if not demo.exists():
        subprocess.run([str(LORIMER), "demo", "--quiet", str(demo)], stdout=subprocess.DEVNULL, check=True)
    small, large = _said("bench.diagnosing", str(demo), "demo"), _said("bench.diagnosing", str(root))
    print("\n| tokens of the request that is answered by | the demo | here |\n|---|---|---|")
    for one, other in zip(small, large, strict=True):
        print(f"| {one['name']} | {one['tokens']:,} | {other['tokens']:,} |")
    totals = [sum(each["tokens"] for each in session) for session in (small, large)]
    more = totals[1] / totals[0] - 1
    print(f"| all | {totals[0]:,} | {totals[1]:,} ({100 * more:+.0f}%{', over' if more > DIFFER else ''}) |")
    return ["tokens of a session"] if more > DIFFER else []


def _said(*module: str) -> list[dict[str, Any]]:
    """The JSON lines that a module prints."""
    said = subprocess.run([sys.executable, "-m", *module], stdout=subprocess.PIPE, check=True, text=True).stdout
    return [json.loads(line) for line in said.splitlines()]


def _row(name: str, cost: Cost, floor: float) -> list[str]:
    over = min(cost.seconds, cost.cpu) > SECONDS or cost.megabytes > MEGABYTES
    numbers = f"{cost.seconds:.2f} | {cost.cpu:.2f} | {cost.cpu / floor:.0f} | {cost.megabytes:.0f}"
    print(f"| {name} | {numbers}{' (over)' if over else ''} |", flush=True)
    return [name] if over else []


if __name__ == "__main__":
    main()
