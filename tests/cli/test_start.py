"""Starting up: help, version, what is imported, init."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lorimer import scaffold
from lorimer.config import settings as config
from tests.cli.support import LORIMER, Said, process, refused, typed
from tests.support.quickness import slowness

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


def test_numpy_starts_no_threads_in_a_command() -> None:
    """They would spin for a while. On one processor there would be none in any case."""
    code = """
import os, sys
from lorimer.cli import main
sys.argv = ["lorimer", "--version"]
try:
    main()
except SystemExit:
    import numpy
    print(len(os.listdir("/proc/self/task")))
"""
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1] == "1"


def test_verify_reads_a_store_without_an_object_mapper() -> None:
    """Its import takes longer than all that a long study's check reads."""
    rooms = "lorimer.meta_agent.reports.audit, lorimer.meta_agent.workspace.suite, lorimer.terminal.opening"
    code = f"import sys, {rooms}; print(*({{'sqlalchemy', 'sqlmodel'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_help_answers_at_once() -> None:
    """0.4 s on two quiet cores is the bar; it takes 0.1 s there."""
    best = float("inf")
    for _ in range(3):
        before = os.times()
        done = subprocess.run([*LORIMER, "--help"], capture_output=True, text=True, check=True)
        after = os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        best = min(best, spent)
        assert "optimize" in done.stdout
    assert best < 0.4 * slowness()


def test_no_arguments_print_help_and_a_group_prints_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, word in (((), "optimize"), (("traces",), "search"), (("benchmarks",), "check")):
        said = typed(capsys, *arguments)
        assert said.code == 0
        assert said.out.startswith("Usage: lorimer")
        assert word in said.out


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(capsys, "--version").out.startswith("lorimer 0.")


def test_the_command_is_a_module_too_where_its_folder_is_not_on_the_path(tmp_path: Path) -> None:
    as_module = [sys.executable, "-m", "lorimer"]
    assert subprocess.check_output([*as_module, "--version"], text=True).startswith("lorimer 0.")
    said = subprocess.run([*as_module, "status", "-C", tmp_path], text=True, capture_output=True, check=False)
    assert (said.returncode, said.stderr) == (
        2,
        f"lorimer: no lorimer.toml in {tmp_path} or above it; name a workspace with -C\n",
    )


def test_init_makes_a_workspace_that_loads_and_is_committed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, tasks = tmp_path / "work", tmp_path / "my tasks"
    tasks.mkdir()
    said = typed(capsys, "init", root, "--model", "openai/gpt-6.1-terra", "--benchmark", f"harbor:{tasks}")
    assert said.code == 0
    assert said.out.count("wrote ") == 4
    loaded = config.load(root / "lorimer.toml")
    assert (loaded.models.task, loaded.benchmark.source) == ("openai/gpt-6.1-terra", f"harbor:{tasks}")
    log = subprocess.run(["git", "-C", root, "log", "--format=%s"], capture_output=True, text=True, check=True)
    assert log.stdout == "Start a lorimer workspace\n"


@pytest.mark.parametrize(
    ("folder", "benchmark", "stored"),
    [
        ("work", "harbor:suite", "harbor:{here}/suite"),
        ("work", "harbor:./work/../suite", "harbor:{here}/suite"),
        ("work", "harbor:work/own", "harbor:own"),
        ("work", "hf:rows.jsonl", "hf:{here}/rows.jsonl"),
        ("work", "hf:openai/gsm8k", "hf:openai/gsm8k"),
        ("work", "spreadsheetbench:KAKA22/SpreadsheetBench", "spreadsheetbench:KAKA22/SpreadsheetBench"),
        (".", "terminal-bench:suite", "terminal-bench:suite"),
    ],
)
def test_a_folder_given_to_init_is_the_one_that_it_was_where_it_was_typed(
    folder: str,
    benchmark: str,
    stored: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / "work" / "own").mkdir(parents=True)
    (tmp_path / "rows.jsonl").write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    assert typed(capsys, "init", folder, "--benchmark", benchmark).code == 0
    assert config.load(tmp_path / folder / "lorimer.toml").benchmark.source == stored.format(here=tmp_path)


def test_init_of_rows_writes_the_keys_that_say_what_they_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "Say 1.", "right": "1"}\n')
    monkeypatch.chdir(tmp_path)
    said = typed(capsys, "init", "work", "--benchmark", "hf:rows.jsonl")
    file = Path("work") / "lorimer.toml"
    assert f"set instruction and answer, columns of the data, in {file}, [benchmark.hf]\n" in said.out
    written = file.read_text()
    assert 'instruction = "" ' in written
    file.write_text(
        written.replace('instruction = ""', 'instruction = "text"').replace('answer = ""', 'answer = "right"')
    )
    assert typed(capsys, "benchmarks", "ls", "-C", "work").code == 0
    assert "[benchmark.hf]" not in typed(capsys, "init", "other").out
    assert "[benchmark.hf]" not in (Path("other") / "lorimer.toml").read_text()


def test_what_init_says_to_type_next_works_from_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, there in (("a work", " -C 'a work'"), (".", "")):
        said = typed(capsys, "init", folder).out.splitlines()[-1]
        steps = ", ".join(f"`lorimer {step}{there}`" for step in ("doctor", "run", "optimize"))
        assert said == f"next: edit {Path(folder) / 'program.md'}; then {steps}"
        assert typed(capsys, *shlex.split(f"status{there}")).err.startswith("lorimer: there are no traces")


def test_init_in_a_repository_says_that_it_commits_there_and_asks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    words = (
        f"work is in the git repository {tmp_path}: lorimer would commit its files there now, and every promotion later"
    )
    said = refused(capsys, 2, "init", tmp_path / "work")
    assert said.endswith(f"{words}; say --yes to that, or --own-repository to have one made in the folder")
    for answer, code in (("n", 1), ("y", 0)):
        assert not (tmp_path / "work").exists()
        asked = at_a_terminal(answer, "init", tmp_path / "work")
        assert asked.code == code, asked
        assert f"{words}\n" in asked.out
        assert "Go on? [y/N]" in asked.out
        assert ("nothing was written; --own-repository makes" in asked.err) == (answer == "n")
    assert committed(tmp_path) == ["Start a lorimer workspace"]
    assert typed(capsys, "init", tmp_path / "more", "--yes").code == 0
    assert committed(tmp_path) == ["Start a lorimer workspace"] * 2
    assert typed(capsys, "init", tmp_path / "own", "--own-repository").code == 0
    assert (len(committed(tmp_path)), committed(tmp_path / "own")) == (2, ["Start a lorimer workspace"])


def test_nobody_is_asked_about_a_workspace_that_could_not_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert "no provider 'foo'" in refused(capsys, 2, "init", tmp_path / "work", "--model", "foo/bar")


def test_a_repository_that_would_take_keys_along_is_told_how_not_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "my work"
    root.mkdir()
    (root / ".gitignore").write_text("harness/\n")
    said = typed(capsys, "init", root).out
    warnings = [line for line in said.splitlines() if line.startswith("warning: ")]
    assert [line.split()[4] for line in warnings] == [str(tmp_path / "my"), str(tmp_path / "my")]
    for line in warnings:
        subprocess.run(["sh", "-c", line.partition("keep it out with: ")[2]], check=True, cwd="/")
    (root / ".env").write_text("KEY=secret\n")
    (root / ".lorimer").mkdir()
    (root / ".lorimer" / "lorimer.db").touch()
    status = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True)
    assert status.stdout == "?? .gitignore\n"  # the harness is committed, though a folder of that name is ignored


def at_a_terminal(answer: str, *arguments: object) -> Said:
    """Type a command, and an answer to what it asks, at a terminal."""
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [*LORIMER, *map(str, arguments)], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        os.write(ours, f"{answer}\n".encode())
        out, err = running.communicate()
    os.close(ours)
    os.close(theirs)
    return Said(running.returncode, out, err)


def committed(folder: Path) -> list[str]:
    """The subjects of a repository's commits."""
    done = subprocess.run(["git", "-C", folder, "log", "--format=%s"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


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


def test_init_commits_where_the_user_signs_without_a_key_and_ignores_everything(tmp_path: Path) -> None:
    """As in a container or over ssh: `commit.gpgsign` with no key at hand, and an excludes file of the user's own."""
    (tmp_path / "ignore").write_text("*\n")
    (tmp_path / ".gitconfig").write_text(
        "[user]\nname = u\nemail = u@example.org\nsigningkey = DEADBEEF\n[commit]\ngpgsign = true\n"
        f"[core]\nexcludesFile = {tmp_path / 'ignore'}\n"
    )
    said = process("init", tmp_path / "work", environment={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    assert (said.code, said.err) == (0, "")
    assert committed(tmp_path / "work") == ["Start a lorimer workspace"]
    tracked = subprocess.run(["git", "ls-files"], cwd=tmp_path / "work", check=True, capture_output=True, text=True)
    assert tracked.stdout.split() == [".gitignore", "harness/agent.py", "lorimer.toml", "program.md"]


def test_init_passes_on_gits_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".git").write_text("nonsense")
    said = typed(capsys, "init", tmp_path)
    assert said.code == 2
    assert said.err.startswith(
        f"lorimer: {tmp_path}: the files are written, but git init failed: fatal: invalid gitfile"
    )
    (tmp_path / ".git").unlink()
    by_hand = said.err.partition("then run: ")[2].replace("commit -m", "-c user.name=u -c user.email=u@x commit -m")
    subprocess.run(["sh", "-c", by_hand], cwd="/", check=True, capture_output=True)
    assert committed(tmp_path) == ["Start a lorimer workspace"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "gpt-6"), "models: 'gpt-6' is not PROVIDER/NAME, such as anthropic/claude-"),
        (("--model", "anthropic/"), "models: 'anthropic/' is not PROVIDER/NAME, such as anthropic/claude-"),
        (("--model", "/x"), "models: '/x' is not PROVIDER/NAME, such as anthropic/claude-"),
        (
            ("--model", "foo/bar"),
            "models: no provider 'foo' for 'foo/bar'; there are anthropic, local, openai, simulated; for a ",
        ),
        (("--model", "foo/bar"), 'then add [providers.foo] with its base_url, and task = "foo/bar" in [models], to '),
        (("--model", "antropic/x"), "(did you mean 'anthropic/x'?)"),
        (("--model", "simulated/foo"), "the simulated models are simulated/apprentice, "),
        (("--benchmark", "swe"), "'swe' is not a benchmark; write starter or harbor:DIR"),
        (("--benchmark", "harbor:none"), "/none: no such folder"),
        (("--benchmark", "terminal-bench:none"), "/none: no such folder"),
        (
            ("--benchmark", "spreadsheetbench:none"),
            "/none: no such folder, and no name of a set on the Hugging Face hub",
        ),
        (("--benchmark", "hf:./none"), "/none: no such file or folder, and no name of a set on the Hugging Face hub"),
        (("--benchmark", "hf:rows.csv"), "/rows.csv: no such file or folder, and no name of a set"),
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


def test_a_model_of_a_server_of_ones_own_gets_its_provider(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "work"
    said = typed(capsys, "init", root, "--model", "local/qwen2.5-coder")
    assert said.code == 0
    assert f"set base_url of your server in {root / 'lorimer.toml'}, [providers.local]\n" in said.out
    made = config.load(root / "lorimer.toml")
    assert made.models.task == "local/qwen2.5-coder"
    assert (made.providers["local"].api, made.providers["local"].base_url) == ("chat", "http://127.0.0.1:8080/v1")
