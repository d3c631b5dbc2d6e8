"""What every adapter owes to the rest: one suite, run on each of them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import pytest_asyncio

from lorimer.benchmarks.base import Suite
from lorimer.benchmarks.registry import KINDS, open_benchmark
from lorimer.config.settings import parse
from lorimer.errors import ConfigError
from lorimer.sandbox.base import SandboxProvider
from lorimer.task_agent.spec import Agent, Nop, Oracle
from lorimer.traces.schema import StepKind
from tests.support.trials import open_provider, play, solve

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def lines(path: Path, *rows: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def files(folder: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


# ---- a small set of two tasks for each kind, and a third that cannot be read ----------------------------------------


def starter(root: Path) -> None:
    """Ships with lorimer."""


def harbor(root: Path) -> None:
    for name in ("one", "two"):
        texts = {
            "task.toml": '[environment]\ndocker_image = "debian:bookworm"\nallow_internet = false\nworkdir = "/app"\n',
            "instruction.md": f"Write {name} to /app/out.",
            "tests/test.sh": f'[ "$(cat /app/out)" = {name} ]; echo $((1 - $?)) > /logs/verifier/reward.txt',
            "solution/solve.sh": f"echo {name} > /app/out",
        }
        files(root / name, texts)
    files(root / "bad", {"task.toml": "nonsense", "instruction.md": "x"})


def terminal_bench(root: Path) -> None:
    for name in ("one", "two"):
        test = f'[ "$(cat /app/out)" = {name} ] && said=PASSED || said=FAILED'
        texts = {
            "task.yaml": f"instruction: Write {name} to /app/out.\ndifficulty: easy\n",
            "Dockerfile": "FROM debian:bookworm\nWORKDIR /app\n",
            "run-tests.sh": f"{test}\necho '=== short test summary info ==='\necho $said t.py::test_it",
            "solution.sh": f"echo {name} > /app/out",
        }
        files(root / name, texts)
    files(root / "bad", {"task.yaml": "instruction: [", "run-tests.sh": ""})


def spreadsheetbench(root: Path) -> None:
    items = []
    for name in ("one", "two"):
        (root / name).mkdir()
        for role in ("init", "golden"):
            openpyxl.Workbook().save(root / name / f"1_{name}_{role}.xlsx")
        items.append({"id": name, "instruction": f"Add {name}.", "spreadsheet_path": name})
    items.append({"id": "bad", "instruction": "x", "spreadsheet_path": "nowhere"})
    common = {"instruction_type": "Cell", "answer_position": "A1"}
    (root / "dataset.json").write_text(json.dumps([{**item, **common} for item in items]))


def hf(root: Path) -> None:
    rows = [{"id": name, "q": f"Say {name}.", "a": name} for name in ("one", "two")]
    lines(root / "set.jsonl", *rows, {"id": "bad", "q": "x", "a": None})


MESSAGE = {"id": "id", "instruction": "q", "answer": "a"}
FILE = {**MESSAGE, "instruction": "{{ q }} Write it to /app/out.", "answer_file": "/app/out"}
PYTHON = {
    **MESSAGE,
    "scorer": {"kind": "python", "check": "import os\nassert open(os.environ['ANSWER_FILE']).read() == '{{ a }}'"},
}
IN_FILE = {**FILE, "scorer": {"kind": "python", "check": "assert open('/app/out').read().strip() == '{{ a }}'"}}


@dataclass(frozen=True)
class Subject:
    """An adapter and a set for it."""

    source: str
    make: Callable[[Path], None]
    mapping: dict[str, Any] | None = None

    def load(self, root: Path, *only: str) -> Suite:
        settings = parse({"benchmark": {"hf": self.mapping or {}}}).benchmark
        return open_benchmark(self.source.format(root=root), root, settings).load(only)


SUBJECTS = {
    "starter": Subject("starter", starter),
    "harbor": Subject("harbor:{root}", harbor),
    "terminal-bench": Subject("terminal-bench:{root}", terminal_bench),
    "spreadsheetbench": Subject("spreadsheetbench:{root}", spreadsheetbench),
    "spreadsheetbench-soft": Subject("spreadsheetbench-soft:{root}", spreadsheetbench),
    "hf": Subject("hf:{root}/set.jsonl", hf, MESSAGE),
    "hf with a file": Subject("hf:{root}/set.jsonl", hf, FILE),
    "hf with a check": Subject("hf:{root}/set.jsonl", hf, PYTHON),
    "hf with a check of a file": Subject("hf:{root}/set.jsonl", hf, IN_FILE),
}
READ = pytest.mark.parametrize("name", SUBJECTS)


def test_every_kind_of_benchmark_is_held_to_this() -> None:
    assert {name.partition(" ")[0] for name in SUBJECTS} == set(KINDS)


@READ
def test_tasks_come_in_order_with_unique_ids_and_digests(tmp_path: Path, name: str) -> None:
    subject = SUBJECTS[name]
    subject.make(tmp_path)
    suite = subject.load(tmp_path)
    ids = [task.id for task in suite.tasks]
    assert ids == sorted(set(ids))
    assert all(ID.fullmatch(id_) for id_ in ids)
    assert len({task.digest for task in suite.tasks}) == len(ids) >= 2
    assert all(re.fullmatch("[0-9a-f]{64}", task.digest) for task in suite.tasks)
    assert all(
        task.instruction.strip() and task.agent_timeout > 0 and task.verifier.timeout > 0 for task in suite.tasks
    )
    assert subject.load(tmp_path).tasks == suite.tasks


@READ
def test_one_bad_task_is_named_and_hides_no_other(tmp_path: Path, name: str) -> None:
    subject = SUBJECTS[name]
    subject.make(tmp_path)
    suite = subject.load(tmp_path)
    if name == "starter":
        assert suite.problems == ()
        return
    (bad,) = suite.problems
    assert [task.id for task in suite.tasks] == ["one", "two"]
    assert str(bad).startswith("task bad: ")
    assert "\n" not in str(bad)


@READ
def test_tasks_are_picked_by_name_and_by_pattern(tmp_path: Path, name: str) -> None:
    subject = SUBJECTS[name]
    subject.make(tmp_path)
    every = subject.load(tmp_path).tasks
    first, last = every[0], every[-1]
    assert subject.load(tmp_path, last.id).tasks == (last,)
    assert first in subject.load(tmp_path, first.id[:2] + "*").tasks
    with pytest.raises(ConfigError, match="no task matches 'nothing-like-it'"):
        subject.load(tmp_path, "nothing-like-it")


@READ
def test_a_set_that_is_not_there_is_one_line_with_its_place(tmp_path: Path, name: str) -> None:
    subject = SUBJECTS[name]
    if name == "starter":
        with pytest.raises(ConfigError, match="'starter:x' is not a benchmark"):
            open_benchmark("starter:x", tmp_path)
        return
    with pytest.raises(ConfigError) as caught:
        subject.load(tmp_path / "gone")
    assert str(tmp_path / "gone") in str(caught.value)
    assert "\n" not in str(caught.value)


@READ
def test_an_agent_is_given_nothing_of_verifier_or_solution(tmp_path: Path, name: str) -> None:
    subject = SUBJECTS[name]
    subject.make(tmp_path)
    for task in subject.load(tmp_path).tasks:
        assert task.solution is not None
        given = {source for source, _ in task.workspace}
        assert not given & {source for source, _ in (*task.verifier.files(), *task.solution.files())}


# ---- run ------------------------------------------------------------------------------------------------------------


Opening = Callable[[str], SandboxProvider]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened() -> AsyncIterator[Opening]:
    """The provider of a name, one for all tests: to open one costs more than a trial does."""
    made: dict[str, SandboxProvider] = {}

    def provider(where: str) -> SandboxProvider:
        if where not in made:
            made[where] = open_provider(where)
        return made[where]

    yield provider
    for each in made.values():
        await each.close()


@pytest.fixture
def outcome(tmp_path: Path, opened: Opening) -> Callable[[str, str, Agent], Any]:
    """The reward and the cause of one trial of the first task."""

    async def run(name: str, where: str, agent: Agent) -> tuple[float | None, str]:
        subject = SUBJECTS[name]
        subject.make(tmp_path)
        played = await play(opened(where), subject.load(tmp_path).tasks[0], agent)
        return played.end.reward, played.end.cause

    return run


SHARED = pytest.mark.asyncio(loop_scope="module")
"""For tests that share what was opened."""
RUN = [
    *(
        pytest.param(name, "bubblewrap", marks=pytest.mark.bubblewrap)
        for name in SUBJECTS
        if name.startswith(("starter", "hf"))
    ),
    *(pytest.param(name, "docker", marks=pytest.mark.docker) for name in ("harbor", "terminal-bench")),
    pytest.param("hf with a check of a file", "docker", marks=pytest.mark.docker),
]


@SHARED
@pytest.mark.parametrize(("name", "where"), RUN)
async def test_the_solution_scores_one_and_doing_nothing_zero(
    outcome: Callable[[str, str, Agent], Any], name: str, where: str
) -> None:
    assert await outcome(name, where, Oracle()) == (1.0, "finished")
    assert await outcome(name, where, Nop()) == (0.0, "finished")


ONE = 'env.write("/app/out", "one")\nreturn "one"'
HF = [name for name in SUBJECTS if name.startswith("hf")]


@SHARED
@pytest.mark.bubblewrap
@pytest.mark.parametrize("name", HF)
async def test_a_harness_is_scored_by_what_it_says_or_writes(
    outcome: Callable[[str, str, Agent], Any], name: str
) -> None:
    assert await outcome(name, "bubblewrap", solve(ONE)) == (1.0, "finished")
    assert await outcome(name, "bubblewrap", solve(ONE.replace('"one"', '"three"'))) == (0.0, "finished")
    assert await outcome(name, "bubblewrap", solve('return " "')) == (0.0, "finished")


LOOK = """
word = "secret-" + "reference"
found = env.exec(f"grep -rl {word} /app /home /logs /root /solution /tests /tmp /var; ls -A /tests /solution /logs")
return repr((found.stdout, word in task.instruction))
"""


@SHARED
@pytest.mark.bubblewrap
@pytest.mark.parametrize("mapping", [MESSAGE, FILE, PYTHON], ids=["message", "file", "check"])
async def test_an_agent_finds_no_reference_in_its_sandbox(
    tmp_path: Path, opened: Opening, mapping: dict[str, Any]
) -> None:
    lines(tmp_path / "set.jsonl", {"id": "x", "q": "What?", "a": "secret-reference"})
    (task,) = Subject("hf:{root}/set.jsonl", hf, mapping).load(tmp_path).tasks
    played = await play(opened("bubblewrap"), task, solve(LOOK))
    assert played.end.answer == "('', False)"
    assert played.only(StepKind.EXEC)["exit_code"] == 2


FORGERIES = {
    "leaves by itself": "import os\nos._exit(0)",
    "calls exit": "raise SystemExit(0)",
    "writes the reward": "import os\nos.makedirs('/logs/verifier', exist_ok=True)\n"
    "open('/logs/verifier/reward.json', 'w').write('1')\nos._exit(0)",
    "leaves a daemon that writes it": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    while True:\n"
    "        open('/logs/verifier/reward.json', 'w').write('1')\n        time.sleep(0.001)",
    "never ends": "while True: pass",
    "makes the reward a folder": "import os\nos.makedirs('/logs/verifier/reward.json/x')",
}


@SHARED
@pytest.mark.bubblewrap
@pytest.mark.parametrize("name", FORGERIES)
async def test_code_that_the_check_imports_cannot_easily_forge_the_reward(
    tmp_path: Path, opened: Opening, name: str
) -> None:
    mapping = {
        **IN_FILE,
        "answer_file": "/app/out.py",
        "instruction": "{{ q }} /app/out.py",
        "scorer": {"kind": "python", "check": "import out\nassert out.answer == '{{ a }}'", "seconds": 2},
    }
    lines(tmp_path / "set.jsonl", {"id": "x", "q": "What?", "a": "right"})
    (task,) = Subject("hf:{root}/set.jsonl", hf, mapping).load(tmp_path).tasks
    code = f"{FORGERIES[name]}\nanswer = 'wrong'\n"
    played = await play(opened("bubblewrap"), task, solve(f'env.write("/app/out.py", {code!r})\nreturn ""'))
    assert (played.end.reward, played.end.cause) == (0.0, "finished")
