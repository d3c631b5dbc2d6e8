"""Targets of an export, from a store filled by hand: run and read by the other side's own tools."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
import venv
from math import comb
from pathlib import Path
from typing import Any

import pytest

import lorimer
from lorimer.errors import ConfigError, PrerequisiteError, UserError
from lorimer.exports.runtime.machine import LocalMachine, container
from lorimer.exports.runtime.settings import Settings, endpoint
from lorimer.exports.winner import Winner, winner_of
from lorimer.exports.write import files, names, write
from lorimer.harness.api import EnvError, ExecResult, LimitReached
from lorimer.harness.version import diff, sha
from lorimer.meta_agent.reports.flips import flips
from tests.meta_agent.test_export import BETTER, SEED, fill
from tests.support.scripted_server import Reply, scripted_server

REACT = Path(lorimer.__file__).parent / "harness" / "seeds" / "react.py"
CALL = {
    "id": "1",
    "type": "function",
    "function": {"name": "shell", "arguments": json.dumps({"command": "echo hi > made.txt; cat made.txt"})},
}


def answer(**message: Any) -> Reply:
    said = {"role": "assistant", "content": "", **message}
    return Reply(
        {"choices": [{"message": said, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
    )


async def won(tmp_path: Path, at: str | None = None) -> Winner:
    return winner_of(await fill(tmp_path / "traces.db"), "demo", at)


async def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """`run.py` by a Python of a fresh virtual environment, in which there is no lorimer."""
    await asyncio.to_thread(venv.create, folder.parent / "venv", symlinks=True)
    process = await asyncio.create_subprocess_exec(
        str(folder.parent / "venv" / "bin" / "python"),
        "-I",
        "-c",
        "import importlib.util, runpy, sys; assert importlib.util.find_spec('lorimer') is None; "
        "sys.path.insert(0, sys.argv[1]); sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0] + '/run.py', run_name='__main__')",
        str(folder),
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin"},
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_standalone_winner_solves_a_task_where_there_is_no_lorimer(tmp_path: Path) -> None:
    folder, job = tmp_path / "app", tmp_path / "job"
    write(await won(tmp_path), "standalone", folder)
    (folder / "agent.py").write_text(REACT.read_text())
    job.mkdir()
    async with scripted_server(
        answer(tool_calls=[CALL]),
        Reply({"error": {"message": "busy"}}, status=503, headers={"retry-after": "0"}),
        answer(content="It is done."),
    ) as server:
        code, out, err = await run(
            folder,
            "--task",
            "Make made.txt",
            "--workdir",
            str(job),
            "--model",
            "local/m",
            "--base-url",
            f"{server.url}/v1",
            "--json",
        )
    assert (code, json.loads(out)["answer"]) == (0, "It is done."), err
    assert json.loads(out)["calls"] == 2
    assert json.loads(out)["tokens"] == 20
    assert (job / "made.txt").read_text() == "hi\n"
    told = server.bodies[-1]["messages"][-1]
    assert told == {"role": "tool", "tool_call_id": "1", "content": "hi\n\n[exit code 0]"}
    assert "waiting 0 s: busy" in err
    code, _, err = await run(folder, "--check")
    assert (code, err) == (
        2,
        f"run: {folder}/agent.py: is not as it was exported; export the winner anew, or go on at your own risk\n",
    )


async def test_what_a_standalone_winner_prints_is_not_taken_for_its_answer(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    write(await won(tmp_path), "standalone", folder)
    (folder / "agent.py").write_text(
        "print('loaded')\ndef solve(task, env, llm):\n    print('looks')\n    return 'done'"
    )
    asked = ("--task", "x", "--model", "local/m", "--base-url", "http://127.0.0.1:9")
    assert await run(folder, *asked) == (0, "done\n", "loaded\nlooks\n")
    code, out, _ = await run(folder, *asked, "--json")
    assert (code, json.loads(out)["answer"]) == (0, "done")


@pytest.mark.parametrize("raised", ["TimeoutError('slow')", "FileNotFoundError(2, 'none', 'prompt.txt')"])
async def test_a_standalone_winner_that_fails_is_not_taken_for_bad_input(tmp_path: Path, raised: str) -> None:
    folder = tmp_path / "app"
    write(await won(tmp_path), "standalone", folder)
    (folder / "agent.py").write_text(f"def solve(task, env, llm):\n    raise {raised}")
    code, _, err = await run(folder, "--task", "x", "--model", "local/m", "--base-url", "http://127.0.0.1:9")
    assert code == 1
    assert 'agent.py", line 2, in solve' in err


async def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    write(await won(tmp_path), "standalone", folder)
    assert await run(folder, "--check") == (
        0,
        f"all {len(json.loads((folder / 'lock.json').read_text())['files'])} files are as they were exported\n",
        "",
    )
    code, _, err = await run(folder, "--task", "x")
    assert (code, err) == (2, "run: no model: the study's model was simulated; name one with --model PROVIDER/NAME\n")
    code, _, err = await run(folder, "--task", "x", "--model", "openai/gpt")
    assert (code, err) == (3, "run: the variable OPENAI_API_KEY is not set; export OPENAI_API_KEY=…\n")
    async with scripted_server(Reply({"error": {"message": "bad key"}}, status=401)) as server:
        (folder / "agent.py").write_text(REACT.read_text())
        code, _, err = await run(folder, "--task", "x", "--model", "local/m", "--base-url", server.url)
    assert (code, err.splitlines()) == (
        2,
        [f"run: model local/m at {server.url}: HTTP 401: bad key; check the key, the address and the model's name"],
    )


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        (Settings(model="gpt"), ConfigError, "not of the form PROVIDER/NAME"),
        (Settings(model="local/m"), ConfigError, "no address is known; name one with --base-url URL"),
        (Settings(model="local/m", base_url="http://x", api="soap"), ConfigError, "api 'soap': unknown"),
        (
            Settings(model="local/m", base_url="http://x", headers={"a": "${B}"}),
            PrerequisiteError,
            "the variable B is not set",
        ),
    ],
)
def test_an_endpoint_that_cannot_be_asked_is_told(settings: Settings, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind) as error:
        endpoint(settings, {})
    assert said in str(error.value)


def test_known_providers_have_their_address_and_key() -> None:
    found = endpoint(Settings(model="anthropic/c"), {"ANTHROPIC_API_KEY": "k"})
    assert (found.api, found.base_url, found.official) == ("anthropic", "https://api.anthropic.com", True)
    assert found.headers["x-api-key"] == "k"
    assert endpoint(Settings(model="openai/g", base_url="http://h/v1/"), {}).headers["authorization"] == "Bearer no-key"


async def test_a_library_winner_solves_in_this_process(tmp_path: Path) -> None:
    write(await won(tmp_path), "library", tmp_path / "winner")
    loaded = lorimer.load(tmp_path / "winner")
    done = await asyncio.to_thread(loaded.solve, "x", model="local/m", base_url="http://127.0.0.1:9", workdir=tmp_path)
    assert (done.answer, done.calls) == ("better", 0)
    with pytest.raises(UserError, match=r"winner\.json: cannot be read"):
        lorimer.load(tmp_path)


STATEFUL = """
from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_type_hints


@dataclass
class State:
    steps: list[str] = field(default_factory=list)


def solve(task, env, llm):
    state = State()
    state.steps.append({answer!r})
    return " ".join([*state.steps, *get_type_hints(State)])
"""


async def test_winners_whose_data_classes_need_their_module_run_beside_each_other(tmp_path: Path) -> None:
    before, loaded = sys.modules.get("agent"), []
    for name in ("first", "second"):
        (tmp_path / f"of-{name}").mkdir()
        write(await won(tmp_path / f"of-{name}"), "library", tmp_path / name)
        (tmp_path / name / "agent.py").write_text(STATEFUL.format(answer=name))
        loaded.append(lorimer.load(tmp_path / name))
    ended = [
        await asyncio.to_thread(each.solve, "x", model="local/m", base_url="http://127.0.0.1:9", workdir=tmp_path)
        for each in loaded
    ]
    assert [each.answer for each in ended] == ["first steps", "second steps"]
    assert sys.modules.get("agent") is before, "which is the program's own"


async def test_git_applies_the_series_with_a_commit_per_promotion(tmp_path: Path) -> None:
    folder, repository = tmp_path / "series", tmp_path / "repo"
    write(await won(tmp_path), "patch", folder)
    (repository / "harness").mkdir(parents=True)
    (repository / "harness" / "agent.py").write_text(SEED)

    def git(*arguments: str) -> str:
        said = ["git", "-c", "user.name=n", "-c", "user.email=e@x", *arguments]
        return subprocess.run(said, cwd=repository, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "seed")
    git("am", "-q", *map(str, sorted(folder.glob("*.patch"))))
    assert (repository / "harness" / "agent.py").read_text() == BETTER
    assert (
        git("log", "-1", "--format=%s|%an|%b").strip()
        == "Look first|lorimer|It guesses.\nIt should look.\n\nCandidate: c003"
    )


async def test_an_earlier_champion_can_be_exported(tmp_path: Path) -> None:
    seed = await won(tmp_path, "seed")
    assert (seed.text, seed.changes, seed.evidence.winner) == (SEED, (), "seed")
    assert seed.card.startswith("> These files hold seed; ")
    (tmp_path / "again").mkdir()
    with pytest.raises(UserError, match="c001 was never a champion of demo; name one of: seed, c003"):
        await won(tmp_path / "again", "c001")


async def test_the_evidence_of_a_target_is_of_the_harness_and_the_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    for winner in (await won(tmp_path), await won(tmp_path / "again", "seed")):
        made = write(winner, "library", tmp_path / winner.evidence.winner)
        card = (made.folder / "EVIDENCE.md").read_text()
        assert f"SHA-256 of `agent.py`: `{sha((made.folder / 'agent.py').read_text())}`" in card
        assert "harness.diff" not in card, "which is not among the files"
    assert f"SHA-256 of the champion's: `{sha(BETTER)}`" in card
    assert "- `agent.py` is the seed harness" in card
    assert "in the interval of `audit` in `evidence.json`" in card
    assert "git show" not in card


async def test_every_target_has_the_evidence(tmp_path: Path) -> None:
    winner = await won(tmp_path)
    assert names() == ["harbor", "inspect", "library", "patch", "pr", "standalone"]
    for target in names():
        made = files(winner, target)
        card = json.loads(made["evidence.json"])
        assert (card["winner"], card["audit"]["score"], card["candidates"]) == ("c003", 0.9, 3)
        assert card["lineage"][0]["hypothesis"] == "It guesses.\nIt should look."
        assert "## Task by task" in made["EVIDENCE.md"].decode()
    with pytest.raises(
        UserError, match="--to moon: no such target; one of harbor, inspect, library, patch, pr, standalone"
    ):
        files(winner, "moon")
    write(winner, "library", tmp_path / "w")
    with pytest.raises(UserError, match=r"agent\.py: exists already"):
        write(winner, "library", tmp_path / "w")
    assert diff(SEED, winner.text)
    assert sys.version_info >= (3, 11)


async def test_what_an_earlier_export_left_in_the_folder_is_named(tmp_path: Path) -> None:
    winner, folder = await won(tmp_path), tmp_path / "w"
    assert write(winner, "standalone", folder).said == ()
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref")
    made = write(winner, "patch", folder, force=True)
    others = sorted(set(files(winner, "standalone")) - set(made.files))
    assert others
    assert made.said[-1].startswith(f"{folder} also holds what is not of this export: {others[0]}, ")
    assert ".git" not in made.said[-1]
    assert all((folder / name).is_file() for name in others), "nothing of the user's is removed"


def test_flips_are_held_against_chance() -> None:
    found = flips({"a": [0, 0], "b": [1, 1], "c": [1, 0], "d": [1]}, {"a": [1, 1], "b": [1, 1], "c": [0, 0]}, "abcd")
    assert (found.fixed, found.broke, len(found.tasks)) == (("a",), (), 3)
    # Of the six ways to deal out two passes and two failures, two give one harness both.
    assert found.expected == pytest.approx(2 / 6)
    assert str(found) == "1 tasks fixed and 0 broken of 3; by chance alone 0.3 would flip"


def test_flips_by_chance_are_known_of_any_number_of_trials() -> None:
    many = {"a": [1] * 10 + [0] * 10}
    # 20 of 40 are solved: only where each gets ten of them does neither have more than half.
    assert flips(many, many, "a").expected == pytest.approx(1 - comb(20, 10) ** 2 / comb(40, 20))


def test_a_machine_keeps_its_limits(tmp_path: Path) -> None:
    machine = LocalMachine(tmp_path, Settings(output_bytes=8, read_bytes=4), time.monotonic() + 60)
    assert machine.exec("printf 0123456789abcdef").stdout == "0123\n[... 8 bytes dropped ...]\ncdef"
    assert machine.exec("sleep 60", timeout=0.2).timed_out
    assert machine.exec("sleep 60 & echo gone").stdout == "gone\n"
    assert machine.exec("true", cwd="nowhere").exit_code == 1
    machine.write("a/b", "12345")
    with pytest.raises(EnvError, match="a/b: over the limit of 4 bytes"):
        machine.read("a/b")
    with pytest.raises(EnvError, match="none: No such file or directory"):
        machine.read_text("none")
    with pytest.raises(LimitReached, match="time limit: 3600 s used"):
        LocalMachine(tmp_path, Settings(), time.monotonic()).exec("true")


@pytest.mark.docker
@pytest.mark.skipif(shutil.which("docker") is None, reason="no `docker` command")
def test_commands_run_in_a_container() -> None:
    with container("python:3.12-slim", Settings(exec_seconds=60), time.monotonic() + 120) as machine:
        assert machine.exec("pwd; echo no >&2; exit 3", cwd="/tmp") == ExecResult("/tmp\n", "no\n", 3)
        assert machine.exec("sleep 60", timeout=1).timed_out
        assert machine.exec("sleep 60 & echo gone").stdout == "gone\n"
        machine.write("/work/x/y", b"\0z")
        assert machine.read("/work/x/y") == b"\0z"
        assert "no such directory" in machine.exec("true", cwd="/nowhere").stderr
        with pytest.raises(EnvError, match="none"):
            machine.read("/none")
    with pytest.raises(PrerequisiteError, match=r"docker run nothing\.invalid/x"):
        container("nothing.invalid/x", Settings(), 0.0).__enter__()
