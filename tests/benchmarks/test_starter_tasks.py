"""Every starter task tells the right answer from the wrong ones that a weak model gives.

Each task's reference solution, doing nothing, and each of its `slips` run in a real sandbox; the verifier and the task's
self-check (`solution/check.sh`, what a careful agent would run) judge what they leave behind.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import pytest_asyncio

from lorimer.benchmarks.base import Suite, Task
from lorimer.benchmarks.starter import StarterBenchmark
from lorimer.errors import PrerequisiteError
from lorimer.sandbox.base import Owner, SandboxRequest
from lorimer.sandbox.bubblewrap.provider import BubblewrapProvider

FLOOD_BYTES = 60_000
"""What `flood.sh` prints at least where the input is large: enough to fill the context of the demo's model."""
LOOK_BYTES = 3_000
"""What `look.sh` prints at most: a first look must never be the problem."""
SLIP_SECONDS = 3
"""What a slip may take of a processor, so that no study waits for it: a clock's would tell of what else the machine does. One
takes up to 0.8."""
IMPORTS_ALLOWED = {"openpyxl", "pandas", *sys.stdlib_module_names}
"""What slips may import; pandas is not installed, and reaching for it all the same is one of the mistakes."""

# Runs all attempts on one task in one sandbox, each on a fresh copy of the workspace, and prints a line for each.
JUDGE = r"""
pristine=$(mktemp -d)
cp -r /app/. $pristine
reset() { cd /; find /app -mindepth 1 -delete; cp -r $pristine/. /app/; cd /app; rm -f /logs/verifier/reward.txt; }
echo "size look $(bash /solution/look.sh 2>&1 | wc -c)"
echo "size flood $(bash /solution/flood.sh | wc -c)"
for attempt in nop /solution/solve.sh /solution/slips/*.py; do
    reset
    case $attempt in
        nop) ;;
        *.sh) bash "$attempt" || echo "failed $attempt" ;;
        *.py) (ulimit -t SECONDS; exec python3 "$attempt") > /dev/null 2>&1; [ $? -ge 128 ] && echo "failed $attempt" ;;
    esac
    said=$(bash /solution/check.sh)
    bash /tests/test.sh > /dev/null 2>&1
    echo "attempt $(basename "$attempt") $(cat /logs/verifier/reward.txt) $said"
done
""".replace("SECONDS", str(SLIP_SECONDS))


@cache
def suite() -> Suite:
    return StarterBenchmark().load()


def tasks() -> list[Task]:
    return list(suite().tasks)


def folder(task: Task) -> Path:
    assert isinstance(task.verifier.source, Path)
    return task.verifier.source.parent


@dataclass(frozen=True)
class Verdict:
    """What the verifier and the self-check said of one attempt."""

    reward: str
    check: str


def test_the_suite_has_ten_tasks_of_each_kind_and_no_problems() -> None:
    assert suite().problems == ()
    assert Counter(task.id.split("-")[0] for task in tasks()) == {"code": 10, "data": 10, "logs": 10, "spreadsheet": 10}


def test_first_lines_of_instructions_are_short_and_unique() -> None:
    lines = [task.instruction.splitlines()[0] for task in tasks()]
    assert len(set(lines)) == len(lines)
    assert max(map(len, lines)) <= 80


def test_the_tasks_stay_small_enough_to_ship() -> None:
    root = folder(tasks()[0]).parent
    assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) < 4_000_000


def test_slips_are_short_programs_of_at_least_two_kinds_that_never_import_lorimer() -> None:
    for task in tasks():
        slips = sorted((folder(task) / "solution/slips").iterdir())
        assert len(slips) >= 2, task.id
        for slip in slips:
            assert slip.name in {"guess.py", "slip.py", "formula.py"}
            text = slip.read_text(encoding="utf-8")
            assert len(text.splitlines()) <= 42, slip
            imported = {name for node in ast.walk(ast.parse(text)) for name in _imports(node)}
            assert imported <= IMPORTS_ALLOWED | _own_modules(task), slip


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    return [(node.module or "").split(".")[0]] if isinstance(node, ast.ImportFrom) else []


def _own_modules(task: Task) -> set[str]:
    return {path.stem for path in (folder(task) / "environment/workspace").glob("*.py")}


def test_at_least_twelve_inputs_are_large() -> None:
    assert sum(_large(task) for task in tasks()) >= 12


def _large(task: Task) -> bool:
    return "large-input" in (folder(task) / "task.toml").read_text(encoding="utf-8")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[BubblewrapProvider]:
    """One for all tasks: probing the machine and bundling openpyxl cost more than judging a task."""
    try:
        found = BubblewrapProvider()
        await found.probe()
    except PrerequisiteError as missing:
        pytest.skip(str(missing))
    yield found
    await found.close()


@pytest.mark.bubblewrap
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("task", tasks(), ids=lambda task: task.id)
async def test_only_the_right_answer_is_rewarded_and_the_self_check_agrees(
    task: Task, provider: BubblewrapProvider
) -> None:
    sizes, verdicts, output = await _judge(task, provider)
    assert "failed" not in output, output
    assert sizes["look"] <= LOOK_BYTES
    assert (sizes["flood"] >= FLOOD_BYTES) == _large(task)

    assert verdicts.pop("solve.sh") == Verdict("1", "OK")
    assert len(verdicts) == len(list((folder(task) / "solution/slips").iterdir())) + 1
    for attempt, verdict in verdicts.items():
        assert verdict.reward == "0", attempt
        assert verdict.check.startswith("PROBLEM: "), attempt


async def _judge(task: Task, provider: BubblewrapProvider) -> tuple[dict[str, int], dict[str, Verdict], str]:
    assert task.solution is not None
    image = await provider.prepare(task.image)
    request = SandboxRequest(image, Owner("test", task.id), limits=task.limits, workdir=task.workdir)
    sandbox = await provider.acquire(request)
    try:
        for source, target in (*task.workspace, *task.verifier.files(), *task.solution.files()):
            assert isinstance(source, Path)
            await sandbox.put_tree(source, target)
        result = await sandbox.exec(JUDGE, timeout=280)
    finally:
        await sandbox.close()
    output = result.stdout.decode() + result.stderr.decode()
    assert not result.timed_out, output
    sizes = {name: int(size) for name, size in re.findall(r"^size (\w+) (\d+)$", output, re.MULTILINE)}
    found = re.findall(r"^attempt (\S+) ([01]) (.*)$", output, re.MULTILINE)
    return sizes, {name: Verdict(reward, check) for name, reward, check in found}, output
