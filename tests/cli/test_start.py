"""Starting up: help, version, what is imported, init."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lorimer import config, scaffold
from tests.cli.support import LORIMER, process, refused, typed

HEAVY = (
    "alembic",
    "anthropic",
    "asyncio",
    "docker",
    "genai_prices",
    "httpx",
    "jinja2",
    "openai",
    "openpyxl",
    "pydantic",
    "sqlalchemy",
    "sqlmodel",
)


def test_the_command_line_imports_nothing_heavy() -> None:
    code = f"import sys, lorimer.cli; print(*(set({HEAVY!r} + ('rich',)) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_help_answers_at_once() -> None:
    """0.4 s on two quiet cores is the bar. CPU time is what a busy machine does not change."""
    best = float("inf")
    for _ in range(3):
        before = os.times()
        done = subprocess.run([*LORIMER, "--help"], capture_output=True, text=True, check=True)
        after = os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        best = min(best, spent)
        assert "optimize" in done.stdout
    assert best < 0.4


def test_no_arguments_print_help_and_a_group_prints_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, word in (((), "optimize"), (("traces",), "search"), (("benchmarks",), "check")):
        said = typed(capsys, *arguments)
        assert said.code == 0
        assert said.out.startswith("Usage: lorimer")
        assert word in said.out


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(capsys, "--version").out.startswith("lorimer 0.")


def test_init_makes_a_workspace_that_loads_and_is_committed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "work"
    said = typed(capsys, "init", root, "--model", "openai/gpt-5", "--benchmark", "harbor:my tasks")
    assert said.code == 0
    assert said.out.count("wrote ") == 4
    loaded = config.load(root / "lorimer.toml")
    assert (loaded.models.task, loaded.benchmark.source) == ("openai/gpt-5", "harbor:my tasks")
    log = subprocess.run(["git", "-C", root, "log", "--format=%s"], capture_output=True, text=True, check=True)
    assert log.stdout == "Start a lorimer workspace\n"


def test_init_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(capsys, "init", tmp_path).code == 0
    assert "there is a workspace here already" in refused(capsys, 2, "init", tmp_path)


def test_init_leaves_files_that_exist_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "agent.py").write_text("mine\n")
    assert typed(capsys, "init", tmp_path).out.count("wrote ") == 3
    assert (tmp_path / "harness" / "agent.py").read_text() == "mine\n"


def test_init_in_a_folder_that_the_repository_around_ignores_makes_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("/work/\n")
    assert typed(capsys, "init", tmp_path / "work").code == 0
    assert (tmp_path / "work" / ".git").is_dir()
    around = subprocess.run(["git", "-C", str(tmp_path), "log"], capture_output=True, text=True, check=False)
    assert around.returncode != 0  # nothing was committed there


def test_the_demo_keeps_its_commits_out_of_the_repository_around_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    refused(capsys, 2, "demo", tmp_path / "real", "--model", "anthropic/some")
    scaffold.init(tmp_path / "demo", own_repository=True)
    assert (tmp_path / "demo" / ".git").is_dir()


def test_init_without_git_writes_nothing_and_says_what_to_install(tmp_path: Path) -> None:
    said = process("init", tmp_path / "work", environment={"PATH": str(tmp_path)})
    assert said.code == 3
    assert said.err == "lorimer: git is not installed, and promotions are commits; Debian: apt-get install git\n"
    assert not (tmp_path / "work").exists()


def test_init_passes_on_gits_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".git").write_text("nonsense")
    said = typed(capsys, "init", tmp_path)
    assert said.code == 2
    assert said.err.startswith(
        f"lorimer: {tmp_path}: the files are written, but git init failed: fatal: invalid gitfile"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "gpt-5"), "models.task: 'gpt-5' is not PROVIDER/NAME"),
        (("--benchmark", "swe"), "'swe' is not a benchmark; write starter or harbor:DIR"),
    ],
)
def test_init_refuses_what_the_workspace_could_not_use(
    arguments: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in refused(capsys, 2, "init", tmp_path / "work", *arguments)
    assert not (tmp_path / "work").exists()


def test_init_on_a_file_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(capsys, 2, "init", tmp_path / "file")


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    began = time.monotonic()
    with subprocess.Popen(
        [*LORIMER, "benchmarks", "ls", "starter"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        assert run.stderr.read() == b""
        assert run.wait(60 - (time.monotonic() - began)) == 0
