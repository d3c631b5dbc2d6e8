"""Which study a command speaks of, and how trials are found."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer._completion_shared import get_completion_script

from lorimer import cli
from tests.cli.support import Said, process, refused, typed

Used = tuple[Path, dict[str, Said]]


def commands(command: Any, path: str = "lorimer") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, f"{path} {name}")


def test_every_study_is_listed_with_its_score_and_cost(used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    said = typed(capsys, "studies", "-C", used[0])
    assert said.out.splitlines()[0].split() == [
        "study",
        "kind",
        "state",
        "began",
        "model",
        "score",
        "promoted",
        "trials",
        "cost",
    ]
    assert [line.split()[:3] for line in said.out.splitlines()[1:]] == [
        ["run-1", "run", "finished"],
        ["check-1", "check", "finished"],
        ["study-1", "optimize", "finished"],
    ]
    # Whoever reads it elsewhere would take a time without its zone for one of theirs.
    began = typed(capsys, "studies", "-C", used[0], "--json").json()[0]["began"]
    assert began.endswith("+00:00")
    assert f"{began[:10]} {began[11:16]} UTC" in said.out.splitlines()[1]
    found = {row["study"]: row for row in typed(capsys, "studies", "-C", used[0], "--json").json()}
    status = typed(capsys, "status", "-C", used[0], "--json").json()
    assert found["study-1"]["score"] == status["champion"]["mean"]
    assert (found["study-1"]["candidates"], found["run-1"]["candidates"]) == (1, 0)
    assert found["check-1"]["score"] is None


def test_the_latest_is_the_same_study_for_every_command(used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = used[0]
    assert process("run", "-C", workspace, "-q").code == 0
    assert process("benchmarks", "check", "-C", workspace, "--set", "benchmark.limit=1", "-q").code == 0
    assert typed(capsys, "status", "-C", workspace, "--json").json()["study"] == "run-2"
    ids = [row["id"] for row in typed(capsys, "traces", "ls", "-C", workspace, "--json").json()]
    assert {name.split("/")[0] for name in ids} == {"run-2"}
    everything = [row["study"] for row in typed(capsys, "traces", "ls", "--all", "-C", workspace, "--json").json()]
    assert set(everything) == {"run-1", "run-2", "study-1", "check-1", "check-2"}
    wrong = refused(capsys, 2, "traces", "ls", "--all", "--study", "run-1", "-C", workspace)
    assert wrong == "lorimer: traces ls: --all and --study exclude each other; leave one out"
    # A run tries no candidates: what lists them names the study that it takes instead.
    remark = "lorimer: run-2 began later, but it is a run, which tries no candidates; this is study-1\n"
    for command in (("log",), ("gate", "replay"), ("export", str(workspace / "winner"))):
        said = typed(capsys, *command, "-C", workspace)
        assert (said.code, said.err) == (0, remark)


def test_a_candidate_is_shown_by_the_name_that_the_log_prints(used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    short = typed(capsys, "traces", "show", "c001", "-C", used[0])
    assert short.out.startswith("study-1/c001\n")
    assert short == typed(capsys, "traces", "show", "study-1/c001", "-C", used[0])
    assert short == typed(capsys, "traces", "show", "c001", "--study", "study-1", "-C", used[0])
    wrong = refused(capsys, 2, "traces", "show", "c009", "-C", used[0])
    assert (
        wrong == f"lorimer: study study-1 has no candidate c009; `lorimer log --study study-1 -C {used[0]}` lists them"
    )


def test_a_reply_is_shown_once(used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    """The harness sends each reply back with the next call; it was read where it was said."""
    trial = typed(capsys, "traces", "ls", "-C", used[0], "--json", "--sort", "tokens").json()[0]
    assert trial["model_calls"] > 1
    steps = typed(capsys, "traces", "show", trial["id"], "-C", used[0], "--json").json()["steps"]
    calls = [step["data"] for step in steps if step["kind"] == "model_call"]
    assert any(message["role"] == "assistant" for message in calls[1]["added"])
    shown = typed(capsys, "traces", "show", trial["id"], "-C", used[0]).out
    assert shown.count("\n  assistant:\n") == len(calls)
    # Read from a later step on, nothing of the earlier reply has been shown yet.
    later = next(step["index"] for step in steps if step["kind"] == "model_call" and step["index"])
    alone = typed(capsys, "traces", "show", trial["id"], "--first", later, "--last", later, "-C", used[0]).out
    assert alone.count("\n  assistant:\n") == 2


def test_trials_are_sorted_by_what_they_took_and_filtered_by_failure(
    used: Used, capsys: pytest.CaptureFixture[str]
) -> None:
    def rows(*options: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = typed(capsys, "traces", "ls", "-C", used[0], "--json", *options).json()
        return found

    took = {"cost": ("cost_usd",), "seconds": ("seconds",), "tokens": ("input_tokens", "output_tokens")}
    for order, keys in took.items():
        values = [sum(row[key] for key in keys) for row in rows("--sort", order)]
        assert values == sorted(values, reverse=True)
        assert len(set(values)) > 1
    failed = rows("--failed")
    assert failed == [row for row in rows() if row["state"] == "scored" and row["reward"] < 1]
    assert failed
    assert {row["stage"] for row in rows("--stage", "canary")} == {"canary"}
    assert "'newest', 'cost', 'tokens', 'seconds'" in refused(capsys, 2, "traces", "ls", "--sort", "age", "-C", used[0])


def test_a_workspace_is_found_from_a_folder_within_it(
    used: Used, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    within = used[0] / "harness"
    expected = typed(capsys, "log", "-C", used[0])
    assert typed(capsys, "log", "-C", within) == expected
    monkeypatch.chdir(within)
    assert typed(capsys, "log") == expected
    monkeypatch.chdir(tmp_path)
    assert "no lorimer.toml in" in refused(capsys, 2, "log")


def test_sql_keeps_every_digit(used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    said = typed(
        capsys, "traces", "sql", "SELECT 0.000123456 AS a, 1e-9 AS b, 2.0/3 AS c, 12345678.25 AS d", "-C", used[0]
    )
    assert said.out.splitlines()[1].split() == ["0.000123456", "1e-09", "0.6666666666666666", "12345678.25"]


def test_search_finds_what_the_model_was_told(used: Used, capsys: pytest.CaptureFixture[str]) -> None:
    """The instruction of a task and the system prompt, at the call in which the model read them first."""
    trial = typed(capsys, "traces", "ls", "-C", used[0], "--json").json()[0]["id"]
    steps = typed(capsys, "traces", "show", trial, "-C", used[0], "--json").json()["steps"]
    call = next(step for step in steps if step["kind"] == "model_call")
    told = call["data"]["added"][0]
    words = " ".join(re.findall(r"\w+", told["text"])[:6])
    hits = typed(capsys, "traces", "search", f'"{words}"', "-C", used[0], "--json", "--limit", 1000).json()
    assert (trial, call["index"]) in {(hit["owner"], hit["step"]) for hit in hits}


def test_a_command_that_is_built_alone_is_the_one_of_the_whole_app() -> None:
    def told(app: typer.Typer) -> dict[str, str]:
        context = {"resilient_parsing": True, "terminal_width": 80, "max_content_width": 80}
        found = commands(typer.main.get_command(app))
        return {path: each.get_help(each.make_context(path, ["x"] * 9, **context)) for path, each in found}

    whole = told(cli.app)
    top = {path.split()[1] for path in whole if path != "lorimer"}
    assert len(top) >= 30
    for name in top:
        alone = told(cli.app_of([name, "--help"]))
        del alone["lorimer"]
        assert alone == {path: text for path, text in whole.items() if path.split()[1:2] == [name]}
    assert all(cli.app_of(arguments) is cli.app for arguments in ([], ["--help"], ["statsu"]))


def test_help_is_whole_on_a_terminal_of_80_columns() -> None:
    for path, command in commands(typer.main.get_command(cli.app)):
        context = command.make_context(path, ["x"] * 9, resilient_parsing=True, terminal_width=80, max_content_width=80)
        text = command.get_help(context)
        assert [line for line in text.splitlines()[1:] if line.rstrip().endswith("...")] == [], path


def test_help_answers_to_its_short_name(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ([], ["run"], ["traces", "ls"]):
        short, long = typed(capsys, *command, "-h"), typed(capsys, *command, "--help")
        assert short == long
        assert short.code == 0
        assert "-h, --help" in short.out


def completions(shell: str, line: str) -> Said:
    """What a shell is answered that asks as its completion script does."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    asked = {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args", **words}
    return process(environment={**asked, "_LORIMER_COMPLETE": f"complete_{shell}"})


def test_a_shell_gets_completions() -> None:
    assert completions("bash", "lorimer st").out.split() == ["studies", "status", "store"]
    fish = dict(line.split("\t") for line in completions("fish", "lorimer st").out.splitlines())
    assert list(fish) == ["studies", "status", "store"]
    zsh = completions("zsh", "lorimer st").out
    assert re.findall(r'"(\w+)":"', zsh) == list(fish)
    assert all(f'"{name}":"{summary}"' in zsh for name, summary in fish.items())


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_shell_gets_whole_summaries(shell: str) -> None:
    for line in ("lorimer ", "lorimer traces ", "lorimer store "):
        said = completions(shell, line)
        assert (said.code, said.err) == (0, "")
        assert "lorimer" in said.out or "trial" in said.out or "studies" in said.out
        assert "..." not in said.out
        assert said.out.count(".") >= 2, "each of its commands has a sentence"


def test_an_installed_completion_script_asks_lorimer(tmp_path: Path) -> None:
    """Where the shells are there they read it without an error; each script names the variable that `lorimer` answers to."""
    for shell, check in (("bash", ["-n"]), ("zsh", ["-n"]), ("fish", ["--no-execute"])):
        script = tmp_path / shell
        script.write_text(get_completion_script(prog_name="lorimer", complete_var=cli.COMPLETE, shell=shell))
        assert f"{cli.COMPLETE}=complete_{shell}" in script.read_text()
        found = shutil.which(shell)
        if found is not None:
            done = subprocess.run([found, *check, script], capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, "")
