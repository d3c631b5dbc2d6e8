"""`lorimer diff` and `lorimer harness`, on a real study with the simulated model."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lorimer.harness.version import sha
from tests.cli.support import LORIMER, Said, refused, typed

Used = tuple[Path, dict[str, Said]]


def test_two_harnesses_are_told_apart_by_text_and_by_task(used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    root, _ = used
    said = typed(capsys, "diff", "seed", "c001", "-C", root)
    assert said.out.startswith("--- a/seed\n+++ b/c001\n@@ ")
    assert said.out.splitlines()[-1] == "no train task of study-1 has trials of both that a decision rests on"
    found = typed(capsys, "diff", "seed", "c001", "-C", root, "--json").json()
    assert found["before_sha"] != found["after_sha"]
    assert (found["flips"], found["before"], found["after"]) == (None, "seed", "c001")
    same = typed(capsys, "diff", "seed", "seed", "-C", root)
    assert same.out == "they are the same harness\n"


def test_a_harness_is_printed_as_it_was_run(used: Used, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, _ = used
    file = tmp_path / "c001.py"
    file.write_text(typed(capsys, "harness", "c001", "-C", root).out)
    as_stored = typed(capsys, "harness", "c001", "-C", root, "--json").json()
    assert sha(file.read_text()) == as_stored["sha"]
    assert typed(capsys, "diff", "c001", file, "-C", root).out == "they are the same harness\n"
    patch = tmp_path / "a.diff"
    patch.write_text(typed(capsys, "diff", "seed", "c001", "-C", root).out)
    seed = tmp_path / "seed.py"
    seed.write_text(typed(capsys, "harness", "seed", "-C", root).out)
    subprocess.run(["patch", "-s", str(seed), str(patch)], check=True)
    assert seed.read_text() == file.read_text(), "what follows the diff is no part of it"


def test_a_terminal_obeys_no_text_of_a_harness_and_a_file_gets_all_of_it(
    used: Used, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, _ = used
    other = tmp_path / "other.py"
    seed = typed(capsys, "harness", "seed", "-C", root).out
    other.write_text(seed + "ERASED = '\x1b[2J'\n")
    assert "+ERASED = '\x1b[2J'\n" in typed(capsys, "diff", "seed", other, "-C", root).out
    assert typed(capsys, "harness", other, "-C", root).out == other.read_text()
    ours, terminals = os.openpty()
    try:
        command = [*LORIMER, "diff", "seed", str(other), "-C", str(root)]
        subprocess.run(command, check=True, stdout=terminals, stdin=subprocess.DEVNULL)
        shown = os.read(ours, 1 << 16)
    finally:
        os.close(ours)
        os.close(terminals)
    assert b"+ERASED = '\\x1b[2J'\r\n" in shown


def test_what_cannot_be_compared_is_said(used: Used, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, _ = used
    said = refused(capsys, 2, "diff", "seed", "c009", "-C", root)
    assert said.startswith(
        "lorimer: c009: neither a harness of study-1 nor a file; name one of: seed, champion, c001; or"
    )
    other = tmp_path / "other.py"
    other.write_text("def solve(task, env, llm):\n    return ''\n")
    out = typed(capsys, "diff", "seed", other, "-C", root).out
    assert out.splitlines()[-1] == f"{other} was not run in study-1, so it has no trials to compare"
