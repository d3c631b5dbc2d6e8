"""Suites with one thing wrong in them: each is one line that names the task and the file or key, and hides no other task."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lorimer.errors import ConfigError, TaskError
from lorimer.task_agent.check import problem
from lorimer.task_agent.spec import Nop
from tests.benchmarks.test_conformance import (
    MESSAGE,
    Subject,
    files,
    harbor,
    hf,
    lines,
    spreadsheetbench,
    terminal_bench,
)
from tests.support.trials import make_task, open_provider, play

GIGABYTE = 1 << 30
SUBJECTS = {
    "harbor": Subject("harbor:{root}", harbor),
    "terminal-bench": Subject("terminal-bench:{root}", terminal_bench),
    "spreadsheetbench": Subject("spreadsheetbench:{root}", spreadsheetbench),
    "hf": Subject("hf:{root}/set.jsonl", hf, MESSAGE),
}


@dataclass(frozen=True)
class Bad:
    """One thing that is wrong."""

    format: str
    do: Callable[[Path, Path], Any]
    """Given the suite's folder and that of its third task, which is as good as the others until then."""
    line: str
    """How the one line begins."""
    whole: bool = False
    """Nothing of the suite can be read."""


def text(name: str, content: str | bytes) -> Callable[[Path, Path], Any]:
    def do(root: Path, bad: Path) -> None:
        (bad / name).parent.mkdir(parents=True, exist_ok=True)
        (bad / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return do


def without(name: str) -> Callable[[Path, Path], Any]:
    return lambda root, bad: (bad / name).unlink()


def sparse(name: str) -> Callable[[Path, Path], Any]:
    def do(root: Path, bad: Path) -> None:
        (bad / name).parent.mkdir(exist_ok=True)
        with (bad / name).open("wb") as file:
            file.truncate(GIGABYTE + 1)

    return do


def renamed(name: str) -> Callable[[Path, Path], Any]:
    return lambda root, bad: bad.rename(root / name)


def link(name: str, target: str) -> Callable[[Path, Path], Any]:
    return lambda root, bad: (bad / name).symlink_to(target)


def a_folder(root: Path, bad: Path) -> None:
    (bad / "instruction.md").unlink()
    (bad / "instruction.md").mkdir()


def twice(root: Path, bad: Path) -> None:
    shutil.copytree(root / "one", root / "more" / "one")
    shutil.rmtree(bad)


def item(**changes: Any) -> Callable[[Path, Path], Any]:
    """Another entry of dataset.json; `None` takes a key away."""

    def do(root: Path, bad: Path) -> None:
        items = json.loads((root / "dataset.json").read_text())
        changed = {key: value for key, value in {**items[-1], **changes}.items() if value is not None}
        (root / "dataset.json").write_text(json.dumps([*items[:-1], changed]))

    return do


def row(**changes: Any) -> Callable[[Path, Path], Any]:
    good = [{"id": name, "q": f"Say {name}.", "a": name} for name in ("one", "two")]
    return lambda root, bad: lines(root / "set.jsonl", *good, {"id": "bad", "q": "x", "a": "y", **changes})


STEP = '[environment]\ndocker_image = "debian:bookworm"\n[[steps]]\nname = "a"'
SEVERAL = "services:\n  client:\n    build: .\n    "
BAD = {
    "no TOML": Bad("harbor", text("task.toml", "[agent\n"), "task bad: task.toml: not valid TOML"),
    "NUL in TOML": Bad("harbor", text("task.toml", 'a = "\0"'), "task bad: task.toml: holds a NUL byte"),
    "TOML that is no UTF-8": Bad("harbor", text("task.toml", b"a = '\xff'"), "task bad: task.toml: is not UTF-8"),
    "a key that is none": Bad(
        "harbor", text("task.toml", "[agent]\nspeed = 1"), "task bad: [agent] speed: no such key"
    ),
    "a time that is none": Bad(
        "harbor", text("task.toml", "[agent]\ntimeout_sec = nan"), "task bad: [agent] timeout_sec"
    ),
    "a GPU": Bad("harbor", text("task.toml", "[environment]\ngpus = 1"), "task bad: [environment] gpus: GPUs are not"),
    "no instruction": Bad("harbor", without("instruction.md"), "task bad: instruction.md: is missing"),
    "an empty instruction": Bad("harbor", text("instruction.md", " \n"), "task bad: instruction.md: is empty"),
    "NUL in the instruction": Bad(
        "harbor", text("instruction.md", "a\0"), "task bad: instruction.md: holds a NUL byte"
    ),
    "an instruction of 1 GB": Bad("harbor", sparse("instruction.md"), "task bad: instruction.md: "),
    "settings of 1 GB": Bad("harbor", sparse("task.toml"), "task bad: task.toml: "),
    "a file of 1 GB": Bad(
        "harbor", sparse("environment/x"), "task bad: environment/x: has 1,073,741,825 of the task's"
    ),
    "no verifier": Bad("harbor", without("tests/test.sh"), "task bad: tests/test.sh: is missing"),
    "no Dockerfile": Bad(
        "harbor", text("task.toml", ""), "task bad: environment/Dockerfile: is missing, and [environment] docker_image"
    ),
    "a folder for a file": Bad("harbor", a_folder, "task bad: instruction.md: cannot be read: Is a directory"),
    "a symlink out of the task": Bad(
        "harbor", link("tests/x", "../../one"), "task bad: tests/x: is a symlink that leaves"
    ),
    "a symlink to a file of the host": Bad("harbor", link("x", "/etc/passwd"), "task bad: x: is a symlink that leaves"),
    "a symlink in a circle": Bad("harbor", link("x", "x"), "task bad: x: is a symlink that leads to itself"),
    "a pipe": Bad(
        "harbor", lambda root, bad: os.mkfifo(bad / "x"), "task bad: x: is not a file, a folder or a symlink"
    ),
    "a line break in a file's name": Bad("harbor", text("a\nb", ""), "task bad: 'a\\nb': file names must be UTF-8"),
    "a line break in a task's name": Bad("harbor", renamed("a\nb"), "task 'a\\nb': folder name: may hold"),
    "a blank in a task's name": Bad("harbor", renamed("a b"), "task 'a b': folder name: may hold"),
    "two tasks of one id": Bad("harbor", twice, "task one: folder name: another data set of "),
    "a step that climbs out": Bad(
        "harbor", text("task.toml", '[[steps]]\nname = "../one"'), "task bad: [steps] 0.name: must be a portable folder"
    ),
    "a step that is missing": Bad("harbor", text("task.toml", STEP), "task bad: steps/a: is missing"),
    "a manifest that climbs out": Bad(
        "harbor",
        text("../dataset.toml", '[dataset]\nname = "o/n"\n[[tasks]]\nname = "../x"'),
        "{root}/dataset.toml: tasks.0.name: ",
        whole=True,
    ),
    "no YAML": Bad("terminal-bench", text("task.yaml", "instruction: ["), "task bad: task.yaml: not valid YAML"),
    "YAML that grows": Bad(
        "terminal-bench", text("task.yaml", "a: &a [x]\nb: [*a, *a]"), "task bad: task.yaml: line 2: aliases are not"
    ),
    "no difficulty": Bad("terminal-bench", text("task.yaml", "instruction: x"), "task bad: difficulty: Field required"),
    "no run-tests.sh": Bad("terminal-bench", without("run-tests.sh"), "task bad: run-tests.sh: is missing"),
    "no Dockerfile there": Bad("terminal-bench", without("Dockerfile"), "task bad: Dockerfile: is missing"),
    "a container that rules the host": Bad(
        "terminal-bench",
        text("docker-compose.yaml", f"{SEVERAL}privileged: true"),
        "task bad: docker-compose.yaml: services.client.privileged",
    ),
    "no JSON": Bad(
        "spreadsheetbench", text("../dataset.json", "[{"), "{root}/dataset.json: not valid JSON", whole=True
    ),
    "no list": Bad("spreadsheetbench", text("../dataset.json", "{}"), "{root}/dataset.json: is not a list", whole=True),
    "a data set of 1 GB": Bad(
        "spreadsheetbench",
        sparse("../dataset.json"),
        "{root}/dataset.json: is longer than 67,108,864 bytes",
        whole=True,
    ),
    "two items of one id": Bad("spreadsheetbench", item(id="two"), "task two: id: is in dataset.json 2 times"),
    "a path that climbs out": Bad(
        "spreadsheetbench", item(spreadsheet_path="../.."), "task bad: spreadsheet_path: '../..' leaves the data set"
    ),
    "an id that climbs out": Bad("spreadsheetbench", item(id="../up"), "task item-3: id: '../up' may hold letters"),
    "an item without a task": Bad("spreadsheetbench", item(instruction=None), "task bad: instruction: Field required"),
    "a workbook that is none": Bad(
        "spreadsheetbench", text("1_bad_golden.xlsx", "no zip"), "task bad: 1_bad_golden.xlsx: is not a workbook: "
    ),
    "a workbook that is missing": Bad(
        "spreadsheetbench", without("1_bad_golden.xlsx"), "task bad: case 1: has no answer workbook"
    ),
    "a row without an answer": Bad("hf", row(a=None), "task bad: benchmark.hf.answer: column a is empty"),
    "two rows of one id": Bad("hf", row(id="two"), "task two: row 3: has the id of row 2"),
    "rows that are no JSON": Bad("hf", text("../set.jsonl", "{"), "hf:{root}/set.jsonl: ", whole=True),
}
"""Each by what is wrong."""


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_suite_is_one_line(tmp_path: Path, name: str) -> None:
    case, root = BAD[name], tmp_path / "suite"
    root.mkdir()
    subject = SUBJECTS[case.format]
    subject.make(root)
    bad = root / "bad"
    if case.format in ("harbor", "terminal-bench"):
        shutil.rmtree(bad)
        shutil.copytree(root / "one", bad)
    elif case.format == "spreadsheetbench":
        files(bad, {})
        bad.mkdir()
        for role in ("init", "golden"):
            shutil.copy(root / "one" / f"1_one_{role}.xlsx", bad / f"1_bad_{role}.xlsx")
        item(spreadsheet_path="bad")(root, bad)
    else:
        row()(root, bad)
    assert [task.id for task in subject.load(root).tasks] == ["bad", "one", "two"]
    case.do(root, bad)
    if case.whole:
        with pytest.raises(ConfigError) as caught:
            subject.load(root)
        said = str(caught.value)
    else:
        suite = subject.load(root)
        (found,) = suite.problems
        assert isinstance(found, TaskError)
        assert {"one", "two"} - {found.task} <= {task.id for task in suite.tasks} <= {"one", "two"}
        said = str(found)
    assert said[: len(case.line.format(root=root))] == case.line.format(root=root)
    assert said.isprintable()
    assert len(said) < 400


REWARDS = {
    "nan": ("nan", "reward is nan, not a finite number"),
    "inf": ("inf", "reward is inf, not a finite number"),
    "a word": ("passed", "not a number: 'passed'"),
    "nothing": ("", "is empty"),
    "too long": (None, "over the limit of 65536"),
    "a folder": (None, "is a directory"),
}


@pytest.mark.bubblewrap
@pytest.mark.parametrize("name", REWARDS)
async def test_a_reward_that_is_none_is_one_line_and_never_a_score(tmp_path: Path, name: str) -> None:
    content, words = REWARDS[name]
    write = {"too long": "head -c 70000 /dev/zero >", "a folder": "mkdir"}.get(name, f"printf %s '{content}' >")
    task = make_task(tmp_path, f"{write} /logs/verifier/reward.txt")
    provider = open_provider("bubblewrap")
    try:
        end = (await play(provider, task, Nop())).end
    finally:
        await provider.close()
    assert (end.state, end.reward) == ("errored", None)
    said = problem(None, end)
    assert said.startswith("nop errored: ")
    assert words in said
    assert "\n" not in said
