"""`lorimer doctor`: each thing that may be wrong is found, told in one line, and has a command or an edit that mends it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lorimer.config import settings as config
from lorimer.config.settings import Config
from lorimer.doctor import machine, workspace
from lorimer.doctor.findings import Finding, by_hand, text
from lorimer.doctor.hosts import fix as hosts_fix
from lorimer.doctor.models import Asking, models
from lorimer.doctor.workspace import harness as look_at_harness
from lorimer.sandbox.docker.image.buildkit import BuildKit
from lorimer.scaffold import init
from tests.cli import provider
from tests.cli.support import configure, process, typed
from tests.support.model_clients import good
from tests.support.scripted_server import Reply, Request, scripted_server

TODAY = date(2026, 11, 26)
ANSWER = Reply(good("chat", "ok"))
NO_LIST = Reply("nothing here", status=404)
DEAD = "http://127.0.0.1:9/v1"
"""Port 9 is for discarding, and nobody listens there."""


def settings(url: str, *, meta: str = "same", **keys: Any) -> Config:
    """Both models at a server."""
    server = {"base_url": url, "usd_per_million_input": 1.0, "usd_per_million_output": 1.0, **keys}
    return config.parse({"models": {"task": "local/m", "meta": meta}, "providers": {"local": server}})


async def look(root: Path, found: Config, seconds: float = 20.0) -> tuple[dict[str, Finding], list[str]]:
    """The findings by what they are about, and what was said while they were waited for."""
    said: list[str] = []
    findings = await models(root, found, Asking(seconds, said.append, TODAY))
    for finding in findings:
        assert "\n" not in finding.said + finding.fix
        assert bool(finding.fix) == (finding.level != "ok"), finding
    return {finding.what: finding for finding in findings}, said


def told(root: Path, line: str, table: str = "models") -> str:
    return f"in {root / 'lorimer.toml'}, [{table}]: {line}"


# ---- models


async def test_one_call_shows_that_a_model_answers_and_is_said_before(tmp_path: Path) -> None:
    async with scripted_server(ANSWER, Reply({"data": [{"id": "m"}]})) as server:
        found, said = await look(tmp_path, settings(f"{server.url}/v1"))
    assert found["task model"].level == "ok"
    assert found["task model"].said.startswith("local/m answers in ")
    assert found["task model"].said.endswith(" s; needs no key")
    assert found["meta model"].said == "local/m, as the task model"  # which is asked once
    assert [request.method for request in server.requests] == ["POST", "GET"]
    assert server.requests[0].body["max_tokens"] <= 16
    assert said == [f"asking local/m at {server.url}/v1/ (at most 20 s)"]


async def test_another_meta_model_is_asked_as_well(tmp_path: Path) -> None:
    async with scripted_server(ANSWER, NO_LIST, Reply({"error": {"message": "no such model: n"}}, 404)) as server:
        found, said = await look(tmp_path, settings(f"{server.url}/v1", meta="local/n"))
    assert (found["task model"].level, found["meta model"].level) == ("ok", "missing")
    assert "no such model: n" in found["meta model"].said
    assert [body["model"] for body in (server.requests[0].body, server.requests[2].body)] == ["m", "n"]
    assert len(said) == 2


async def test_a_dead_server_is_missing(tmp_path: Path) -> None:
    found, _ = await look(tmp_path, settings(DEAD))
    assert found["task model"].level == found["meta model"].level == "missing"
    assert found["task model"].said.startswith(f"local/m at {DEAD}/: Connection error")
    assert found["task model"].fix == (
        f"start the server there: `curl {DEAD}/models` must answer; or {told(tmp_path, 'base_url', 'providers.local')}"
    )


@pytest.mark.parametrize("ending", ["hang", "trickle"])
async def test_a_server_that_hangs_is_waited_for_no_longer_than_was_said(tmp_path: Path, ending: Any) -> None:
    async with scripted_server(otherwise=Reply(ending=ending)) as server:
        found, said = await look(tmp_path, settings(f"{server.url}/v1"), seconds=0.3)
    assert said == [f"asking local/m at {server.url}/v1/ (at most 0.3 s)"]
    assert found["task model"].level == "missing"
    assert "no answer within 0.3 s" in found["task model"].said or "timed out" in found["task model"].said
    assert found["task model"].fix == (
        f"if the server is still loading the model: lorimer doctor --seconds 3 -C {tmp_path}"
    )
    # Once, and no list is asked for. A machine that is busy may not even have connected by then.
    assert [request.method for request in server.requests] in (["POST"], [])


@pytest.mark.parametrize(
    ("reply", "level", "words", "fix"),
    [
        (Reply({"error": {"message": "slow down"}}, 429), "warning", "HTTP 429: slow down", "{providers}concurrency = 1"),
        (Reply({"error": {"message": "overloaded"}}, 503), "missing", "HTTP 503: overloaded", "try again later: lorimer"),
        (Reply("<html>Welcome</html>"), "missing", "the answer is not JSON", '{providers}api = "responses" or api = "an'),
        (Reply({"a": 1}), "missing", "the answer is not a completion", '{providers}api = "responses" or api = "anthropic"'),
        (
            Reply({"error": {"message": "Incorrect API key provided"}}, 401),
            "missing",
            "Incorrect API key provided",
            '{providers}key_env = "LOCAL_API_KEY"; then export LOCAL_API_KEY=... with one that is valid',
        ),
        (Reply({"error": {"message": "not found"}}, 404), "missing", "not found", "{providers}base_url and api as the server"),
        (Reply({"error": {"message": "we take no images"}}, 400), "missing", "refuses a plain question: we take no images",
         "{providers}base_url and api as the server wants them; api is chat now"),
    ],
)  # fmt: skip
async def test_an_answer_that_is_none_is_told_with_what_to_do(
    tmp_path: Path, reply: Reply, level: str, words: str, fix: str
) -> None:
    async with scripted_server(reply, otherwise=NO_LIST) as server:
        found, _ = await look(tmp_path, settings(f"{server.url}/v1"))
    assert found["task model"].level == level
    assert words in found["task model"].said
    assert found["task model"].fix.startswith(fix.format(providers=told(tmp_path, "", "providers.local")))


async def test_a_key_that_is_refused_is_named_by_its_variable(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MY_KEY=sk-0123456789\n")
    refusal = Reply({"error": {"message": "Incorrect API key provided: sk-0123456789"}}, 401)
    async with scripted_server(refusal, otherwise=NO_LIST) as server:
        found, _ = await look(tmp_path, settings(f"{server.url}/v1", key_env="MY_KEY"))
    assert "sk-0123456789" not in str(found)
    assert found["task model"].fix == f"export MY_KEY=... with one that is valid, or write it to {tmp_path / '.env'}"


async def test_an_address_without_v1_is_told_the_one_with_it(tmp_path: Path) -> None:
    async with scripted_server(otherwise=NO_LIST) as server:
        found, _ = await look(tmp_path, settings(server.url))
    assert found["task model"].fix == told(tmp_path, f'base_url = "{server.url}/v1"', "providers.local")


LIST = [{"id": "m", "shutdown_date": "2026-12-11"}, {"id": "m2"}, {"id": "other", "deprecated": True}, {"id": "embed"}]
STAYS = 'task = "local/m2" or task = "local/embed"'


async def test_a_model_that_is_going_to_be_shut_down_is_warned_of(tmp_path: Path) -> None:
    async with scripted_server(ANSWER, Reply({"data": LIST})) as server:
        found, _ = await look(tmp_path, settings(f"{server.url}/v1"))
    assert found["task model"].level == "warning"
    assert found["task model"].said.endswith("; it is shut down on 2026-12-11")
    assert found["task model"].fix == told(tmp_path, STAYS)


async def test_a_model_that_answers_and_is_not_listed_is_warned_of(tmp_path: Path) -> None:
    async with scripted_server(ANSWER, Reply({"data": [*LIST[1:], {"id": "z1"}, {"id": "z2"}]})) as server:
        found, _ = await look(tmp_path, settings(f"{server.url}/v1"))
    assert found["task model"].level == "warning"
    words = "the server's list of models has m2, other, embed and 2 more and not this one: another may have answered"
    assert words in found["task model"].said
    assert found["task model"].fix.startswith(told(tmp_path, 'task = "local/m2" or task = "local/'))


@pytest.mark.parametrize(
    ("listed", "words", "fix"),
    [
        (LIST[1:], "gone; the list of models there has m2, other, embed", STAYS),
        ([{"id": "m", "lifecycle": "retired"}, *LIST[1:]], "it has been shut down", STAYS),
        ([LIST[2]], "the list of models there has other", "task = another model; this provider lists none that stays"),
    ],
)
async def test_a_model_that_is_gone_is_missing_and_others_are_named(
    tmp_path: Path, listed: list[Mapping[str, Any]], words: str, fix: str
) -> None:
    async with scripted_server(Reply({"error": {"message": "gone"}}, 404), Reply({"data": listed})) as server:
        found, _ = await look(tmp_path, settings(f"{server.url}/v1"))
    assert found["task model"].level == "missing"
    assert words in found["task model"].said.replace(
        " (check the model's name, and base_url and api in [providers.local])", ""
    )
    assert found["task model"].fix == told(tmp_path, fix)


async def test_a_budget_in_dollars_needs_a_price(tmp_path: Path) -> None:
    async with scripted_server(otherwise=ANSWER) as server:
        unpriced = {"models": {"task": "local/m"}, "providers": {"local": {"base_url": f"{server.url}/v1"}}}
        found, _ = await look(tmp_path, config.parse(unpriced))
        assert found["task model"].level == "ok"
        assert found["task model"].said.endswith("; its price is unknown, so dollars cannot be counted")
        found, _ = await look(tmp_path, config.parse({**unpriced, "budget": {"usd": 5}}))
    assert found["task model"].level == "missing"
    assert found["task model"].said == "budget.usd: the price of local/m is unknown"
    assert found["task model"].fix.startswith(
        "set usd_per_million_input and usd_per_million_output in [providers.local]"
    )


@pytest.mark.parametrize(
    ("tables", "words", "fix"),
    [
        ({"models": {"task": "who/m"}}, "no provider 'who' for 'who/m'", "add [providers.who] with its base_url"),
        ({"models": {"task": "simulated/who"}}, "no such model: simulated/who", 'task = "simulated/apprentice"'),
        ({"models": {"task": "l/m"}, "providers": {"l": {}}}, "providers.l.base_url: missing",
         '[providers.l]: base_url = "http://127.0.0.1:8080/v1"'),
        ({"models": {"task": "l/m"}, "providers": {"l": {"base_url": "127.0.0.1:8977/v1"}}}, "does not start with http://",
         '[providers.l]: base_url = "http://127.0.0.1:8977/v1"'),
        ({"models": {"task": "l/m"}, "providers": {"l": {"base_url": "htps://api.example.org/v1"}}}, "does not start with",
         '[providers.l]: base_url = "https://api.example.org/v1"'),
        ({"models": {"task": "antropic/m"}}, "(did you mean 'anthropic/m'?)",
         '[models]: task = "anthropic/m"; or add [providers.antropic] with its base_url to lorimer.toml'),
        ({"models": {"task": "l/m"}, "providers": {"l": {"base_url": DEAD, "key_env": "NO_SUCH_KEY"}}},
         "l/m: NO_SUCH_KEY is neither in the environment nor in .env", "export NO_SUCH_KEY=..., or write it to "),
    ],
)  # fmt: skip
async def test_what_could_not_be_asked_is_told_without_asking(
    tmp_path: Path, tables: dict[str, Any], words: str, fix: str
) -> None:
    found, said = await look(tmp_path, config.parse(tables))
    assert (found["task model"].level, said) == ("missing", [])
    assert words in found["task model"].said
    assert fix in found["task model"].fix


async def test_the_fix_of_each_model_names_its_own_line(tmp_path: Path) -> None:
    """A meta model that is `same` is mended where the task model is."""
    for meta, line in {"same": "task", "antropic/m": "meta", "antropic/n": "meta"}.items():
        found, _ = await look(tmp_path, config.parse({"models": {"task": "antropic/m", "meta": meta}}))
        name = "anthropic/n" if meta.endswith("n") else "anthropic/m"
        assert found["task model"].fix.startswith(told(tmp_path, 'task = "anthropic/m"; or '))
        assert found["meta model"].fix.startswith(told(tmp_path, f'{line} = "{name}"; or '))


async def test_a_key_that_no_header_can_hold_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_KEY='two words'\n")
    found, _ = await look(tmp_path, config.parse({}))
    assert found["keys"].level == "missing"
    assert "OPENAI_API_KEY (.env): it holds a blank" in found["keys"].said
    assert found["keys"].fix == f"write it anew, one NAME=VALUE per line, to {tmp_path / '.env'}"


async def test_offline_asks_nobody(tmp_path: Path) -> None:
    (found, *_) = await models(tmp_path, settings(DEAD), None)
    assert found == Finding("task model", "ok", "local/m: needs no key; not asked (--offline)")


# ---- the workspace


def edited(tmp_path: Path, harness: str | bytes) -> Path:
    """A workspace whose harness was changed."""
    root = tmp_path / "work"
    init(root)
    path = root / "harness" / "agent.py"
    path.write_bytes(harness.encode() if isinstance(harness, str) else harness)
    return root


@pytest.mark.parametrize(
    ("harness", "level", "words"),
    [
        (
            "def solve(task env): pass\n",
            "missing",
            "agent.py line 1, column 16: invalid syntax: 'def solve(task env): pass'",
        ),
        ("import numpy\ndef solve(task, env, llm): pass\n", "missing", "'numpy' is not in the jail"),
        ("def other(): pass\n", "missing", "solve"),
        (b"\xff\xfe", "missing", "is not UTF-8 (byte 0)"),
        ("\ufeffdef solve(task, env, llm): return ''\n", "missing", "it starts with a byte-order mark"),
        ("def solve(task, env, llm): return ''\n", "warning", "it has uncommitted changes"),
    ],
)
def test_a_harness_that_would_be_refused_is_told(tmp_path: Path, harness: str | bytes, level: str, words: str) -> None:
    root = edited(tmp_path, harness)
    accepted, (found,) = workspace.harness(root, Config())
    assert (found.what, found.level) == ("harness", level)
    assert words in found.said
    assert found.fix
    assert (accepted is None) == (level == "missing")
    if "go back to the committed one: " in found.fix:
        subprocess.run(["sh", "-c", found.fix.rpartition("one: ")[2]], check=True, cwd="/", capture_output=True)
        assert workspace.harness(root, Config())[1] == [Finding("harness", "ok", str(root / "harness" / "agent.py"))]


def test_a_harness_or_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    root = edited(tmp_path, "")
    (root / "harness" / "agent.py").unlink()
    (root / "program.md").unlink()
    _, (harness, program) = workspace.harness(root, Config())
    assert (harness.level, program.level) == ("missing", "missing")
    assert harness.fix == f"get back the committed one with: git -C {root} checkout HEAD -- harness/agent.py"
    assert program.fix == f"get back the committed one with: git -C {root} checkout HEAD -- program.md"


def test_a_harness_that_opens_files_in_its_jail_is_warned_of(
    bubblewrap: None, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = workspace / "harness" / "agent.py"
    agent.write_text(
        "def solve(task, env, llm):\n    with open('/tmp/a', 'w') as file:\n        return str(file.write('1'))\n"
    )
    _, findings = look_at_harness(workspace, config.load(workspace / "lorimer.toml"))
    (warned,) = (finding for finding in findings if "line 2: open" in finding.said)
    assert (warned.what, warned.level) == ("harness", "warning")
    assert "env.read_text or env.write" in warned.said
    said = typed(capsys, "run", "-C", workspace, "--set", "benchmark.limit=1")
    assert said.out.count(f"warning: {warned.said.removeprefix(f'{workspace}/')}") == 1, said.out
    assert "run-1: score 0.000" in said.out


def test_a_committed_harness_that_is_no_better_is_not_proposed(tmp_path: Path) -> None:
    root = edited(tmp_path, "def solve(\n")
    git = ["git", "-C", str(root), "-c", "user.name=u", "-c", "user.email=u@x"]
    subprocess.run([*git, "commit", "-qam", "broken"], check=True)
    _, (found,) = workspace.harness(root, Config())
    log = f"git -C {root} log --oneline -- harness/agent.py"
    assert found.fix == f"correct it in {root / 'harness' / 'agent.py'}; its earlier versions are listed by: {log}"
    assert "broken" in subprocess.run(["sh", "-c", log], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("harness", "words"),
    [
        ("\n\nx = 1 / 0\n\ndef solve(task, env, llm): return ''\n", "ZeroDivisionError: division by zero (line 3)"),
        ("raise SystemExit(3)\n\ndef solve(task, env, llm): return ''\n", "exit"),
        ("from lorimer.harness.api import Nothing\ndef solve(task, env, llm): return ''\n", "ImportError: cannot import name"),
    ],
)  # fmt: skip
async def test_a_harness_that_does_not_start_in_its_jail_is_told_in_one_line(
    tmp_path: Path, harness: str, words: str, bubblewrap: None
) -> None:
    root = edited(tmp_path, harness)
    on_bubblewrap = config.parse({"sandbox": {"provider": "bubblewrap"}})
    found = await workspace.jail(root, on_bubblewrap, harness, other="")
    assert (found.what, found.level) == ("jail", "missing")
    assert found.said.startswith("harness/agent.py does not start: ")
    assert words.lower() in found.said.lower()
    assert "\n" not in found.said
    assert "go back to the committed one: git -C " in found.fix


async def test_a_jail_that_cannot_be_had_names_the_other_sandbox(tmp_path: Path, docker: None) -> None:
    without_image = config.parse({"sandbox": {"provider": "docker"}, "jail": {"image": "localhost:9/no-such-image:1"}})
    found = await workspace.jail(tmp_path, without_image, "def solve(task, env, llm): return ''\n", other="bubblewrap")
    assert found.level == "missing"
    assert "no-such-image:1 is not on this Docker Engine and cannot be pulled" in found.said
    other = told(tmp_path, 'provider = "bubblewrap"', "sandbox")
    assert found.fix.endswith(f" - or {other}")


def test_keys_that_git_has_are_taken_out_of_it(tmp_path: Path) -> None:
    root = edited(tmp_path, "")
    (root / ".env").write_text("A=b\n")
    subprocess.run(["git", "-C", str(root), "add", "-f", ".env"], check=True)
    (root / ".gitignore").write_text("")
    found = workspace.dotenv(root)
    assert (found.level, found.said[:11]) == ("warning", "git has it:")
    subprocess.run(["sh", "-c", found.fix], check=True, cwd="/", capture_output=True)
    found = workspace.dotenv(root)
    assert found.said == "other users of this machine can read it"
    subprocess.run(["sh", "-c", found.fix], check=True, cwd="/")
    assert workspace.dotenv(root).level == "ok"


def rows(tmp_path: Path, **keys: Any) -> dict[str, Any]:
    """Settings of a benchmark of eight rows."""
    lines = [f'{{"name": "r{number}", "text": "Say {number}.", "right": "{number}"}}\n' for number in range(8)]
    (tmp_path / "rows.jsonl").write_text("".join(lines))
    return {"source": "hf:rows.jsonl", "hf": keys}


@pytest.mark.parametrize(
    ("tables", "words", "table", "fix"),
    [
        ({"benchmark": {"source": "harbor:none"}}, "none: no such folder",
         "benchmark", 'source = "harbor:DIR" with the folder\'s place'),
        ({"benchmark": {"source": "terminal-bench:none"}}, "none: no such folder",
         "benchmark", 'source = "terminal-bench:DIR" with the folder\'s place'),
        ({"benchmark": {"source": "hf:none.jsonl"}}, "none.jsonl: no such file or folder",
         "benchmark", 'source = "hf:NAME_OR_DIR" with the place of the data, or the name of a set on the hub'),
        ({"benchmark": {"source": "swe"}}, "'swe' is not a benchmark",
         "benchmark", 'source = "starter" or source = "harbor:DIR" or '),
        ({"benchmark": {"exclude": ["*"]}}, "benchmark.exclude: *: leaves out all 40 tasks",
         "benchmark", "exclude = fewer of the tasks"),
        ({"benchmark": {"tasks": ["nope"]}}, "benchmark.tasks: no task matches 'nope'",
         "benchmark", "tasks = names or patterns of tasks that there are; without it, all take part"),
        ({"split": {"train_file": "none"}}, "split.train_file: ",
         "split", 'train_file = "FILE" with the file\'s place, or leave train_file out'),
    ],
)  # fmt: skip
def test_a_benchmark_without_tasks_is_told(
    tmp_path: Path, tables: dict[str, Any], words: str, table: str, fix: str
) -> None:
    found = workspace.benchmark(tmp_path, config.parse(tables))
    assert found.level == "missing"
    assert words in found.said
    assert found.fix.startswith(told(tmp_path, fix, table))


@pytest.mark.parametrize(
    ("keys", "words", "table", "fix"),
    [
        ({}, "benchmark.hf.instruction: is not set", "benchmark.hf", 'instruction = "COLUMN"'),
        ({"instruction": "text"}, "benchmark.hf.answer: is not set", "benchmark.hf", 'answer = "COLUMN"'),
        ({"instruction": "txt"}, "no column 'txt'; did you mean 'text'?", "benchmark.hf", 'instruction = "text"'),
        ({"instruction": "{{ txt }}"}, "no column 'txt'", "benchmark.hf", "correct instruction, as said above"),
        ({"instruction": "text", "answer": "right", "scorer": {"tolerance": 1.0}},
         "benchmark.hf.scorer.tolerance: is for numeric", "benchmark.hf.scorer", "leave out tolerance"),
        ({"instruction": "text", "scorer": {"kind": "python"}},
         "benchmark.hf.scorer.check: ", "benchmark.hf.scorer", 'check = "COLUMN"'),
        ({"instruction": "text", "answer": "right", "answer_file": "/answer"},
         "none of its 8 tasks can be read", "benchmark.hf", "correct instruction, as said above"),
        ({"instruction": "text", "answer": "right", "environment": "none"},
         "holds no Dockerfile", "benchmark.hf", 'environment = "DIR"'),
        ({"revision": "main"}, "only sets from the hub have revisions",
         "benchmark.hf", "leave out revision, or name one that the hub has"),
    ],
)  # fmt: skip
def test_a_mapping_of_rows_that_is_wrong_is_told_with_the_key_at_fault(
    tmp_path: Path, keys: dict[str, Any], words: str, table: str, fix: str
) -> None:
    found = workspace.benchmark(tmp_path, config.parse({"benchmark": rows(tmp_path, **keys)}))
    assert found.level == "missing"
    assert words in found.said
    assert found.fix == told(tmp_path, fix, table)


def test_a_file_that_names_no_side_well_is_corrected_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "sealed").write_text("nope\n")
    found = workspace.benchmark(tmp_path, config.parse({"split": {"holdout_file": "sealed"}}))
    assert "no such task: nope" in found.said
    assert found.fix.startswith(f"correct {tmp_path / 'sealed'}: ")


def test_tasks_that_cannot_be_read_are_corrected_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "tasks" / "one").mkdir(parents=True)
    (tmp_path / "tasks" / "one" / "task.toml").write_text("[")
    found = workspace.benchmark(tmp_path, config.parse({"benchmark": {"source": "harbor:tasks"}}))
    assert "its only task cannot be read" in found.said
    assert found.fix == f"correct the tasks: lorimer benchmarks ls -C {tmp_path} says what is wrong with each"


def test_a_benchmark_that_its_sandboxes_cannot_serve_is_told(tmp_path: Path, bubblewrap: None) -> None:
    for name in ("web", "still"):
        task = tmp_path / "tasks" / name
        (task / "environment").mkdir(parents=True)
        (task / "environment" / "Dockerfile").write_text("FROM debian:bookworm\n")
        (task / "tests").mkdir()
        (task / "tests" / "test.sh").write_text("#!/bin/sh\necho 1 > /logs/verifier/reward.txt\n")
        (task / "instruction.md").write_text("Do it.\n")
        (task / "task.toml").write_text('version = "1.0"\n')
    read = config.parse({"benchmark": {"source": "harbor:tasks"}, "split": {"holdout": 0.5}})
    assert workspace.benchmark(tmp_path, read, "docker").level == "ok"
    found = workspace.benchmark(tmp_path, read, "bubblewrap")
    assert (found.level, found.said) == (
        "missing",
        "tasks still, web ask for an image, and bubblewrap serves this machine's own Python alone",
    )
    assert found.fix == 'start a Docker Engine and set [sandbox] provider = "docker"'


# ---- the machine


WORKS = Finding("bubblewrap", "ok", "limits")
FAILS = Finding("docker", "warning", "no engine answers", "systemctl start docker")


def test_the_sandbox_that_is_used_is_the_one_that_works(tmp_path: Path) -> None:
    docker = replace(WORKS, what="docker")
    automatic = Config()
    both = machine.choice(tmp_path, automatic, docker, WORKS)
    assert (both.used, both.other) == ("docker", "bubblewrap")
    none = ", for jails too (no cgroup can be made for jails in bubblewrap)"
    assert both.findings[-1].said == f"docker is used{none}"
    one = machine.choice(tmp_path, automatic, FAILS, WORKS)
    assert (one.used, one.other, one.findings[-1].said) == ("bubblewrap", "", "bubblewrap is used")


def test_a_sandbox_that_was_asked_for_and_does_not_work_is_missing(tmp_path: Path) -> None:
    wanted = config.parse({"sandbox": {"provider": "docker"}})
    found = machine.choice(tmp_path, wanted, FAILS, WORKS)
    assert found.used == ""
    assert found.findings[-1].level == "missing"
    assert "[sandbox] provider = 'docker', which does not work here: no engine answers" in found.findings[-1].said
    other = told(tmp_path, 'provider = "bubblewrap"', "sandbox")
    assert found.findings[-1].fix == f"systemctl start docker - or {other}"


def test_what_makes_the_jails_is_told_beside_the_sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    docker = replace(WORKS, what="docker")

    def said(bounds: bool = True, **tables: dict[str, str]) -> str:
        return machine.choice(tmp_path, config.parse(tables), docker, WORKS, bounds=bounds).findings[-1].said

    assert said() == "docker is used, with jails in bubblewrap"
    assert said(sandbox={"runtime": "runsc"}) == "docker is used, for jails too ([sandbox] runtime = 'runsc')"
    assert said(jail={"image": "mine"}) == "docker is used, for jails too ([jail] image = 'mine')"
    assert said(jail={"provider": "docker"}) == "docker is used"
    assert said(False, jail={"provider": "bubblewrap"}) == "docker is used, with jails in bubblewrap"
    assert said(sandbox={"provider": "bubblewrap"}) == "bubblewrap is used"
    assert said(sandbox={"provider": "bubblewrap"}, jail={"provider": "docker"}) == (
        "bubblewrap is used, with jails in docker"
    )
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:2375")
    assert said() == "docker is used, for jails too (DOCKER_HOST)"


def test_jails_that_were_asked_for_and_cannot_be_made_are_missing(tmp_path: Path) -> None:
    docker, none = replace(WORKS, what="docker"), Finding("bubblewrap", "warning", "no bwrap", "install it")
    found = machine.choice(tmp_path, config.parse({"jail": {"provider": "bubblewrap"}}), docker, none)
    assert (found.used, found.findings[-1].level) == ("", "missing")
    assert found.findings[-1].said == (
        "docker is used, and [jail] provider = 'bubblewrap', which does not work here: no bwrap"
    )
    assert found.findings[-1].fix == "install it - or " + told(tmp_path, 'provider = "docker"', "jail")


def test_what_builds_dockerfiles_that_need_buildkit_is_told() -> None:
    assert machine.buildkit(BuildKit("/usr/bin/docker", "28.2")).said == "/usr/bin/docker, with Docker Engine 28.2"
    assert machine.buildkit(BuildKit("", "5.0", podman=True)).level == "ok"
    found = machine.buildkit(BuildKit("", "28.2"))
    assert (found.level, found.fix.partition(" (")[0]) == ("warning", "Debian: apt-get install docker-buildx")
    assert "tasks are left out whose Dockerfiles have here-documents, RUN --mount or COPY --chmod" in found.said


def test_a_machine_without_any_sandbox_is_told_both_ways_to_one(tmp_path: Path) -> None:
    none = replace(FAILS, what="bubblewrap", fix="apt-get install bubblewrap")
    found = machine.choice(tmp_path, Config(), FAILS, none)
    assert (
        found.findings[-1].fix == "for bubblewrap: apt-get install bubblewrap - or for Docker: systemctl start docker"
    )


# ---- each line that is not in order has a command, or names what to edit

TYPED = re.compile(
    r"(?:^|: |`|&& |\b(?:or|then|run) )"
    r"(?:lorimer|git|curl|ssh|cp|mv|ln|echo|export|chmod|sed|install|iconv|pip|apt-get|createdb|sudo|systemctl) \S"
)
"""A command as it is typed, where one can begin in a fix."""
EDITED = re.compile(r"\[[a-z_.]+\](: | \w+ = | with its base_url)|\[store\] url|NAME=VALUE per line, to \S+/\.env$")
"""A key of lorimer.toml under its table, or the file that holds keys."""


BROKEN: tuple[tuple[set[str], dict[str, bytes | None]], ...] = (
    ({"workspace"}, {"lorimer.toml": b"[gate\n"}),
    ({"workspace"}, {"lorimer.toml": b"[gate]\nalfa = 1\n"}),
    ({"workspace"}, {"lorimer.toml": b"\xff"}),
    ({"workspace"}, {"lorimer.toml": b"[store]\nurl = 'mysql://u@h/d'\n"}),
    (
        {"store", "harness", "program", ".env", "benchmark", "task model"},
        {
            "lorimer.toml": b"[store]\nurl = '${NO_SUCH_WORD}'\n[benchmark]\nsource = 'harbor:none'\n"
            b"[models]\ntask = 'who/m'\n",
            "harness/agent.py": b"def solve(\n",
            "program.md": b"\xff",
            ".env": b"A=b\n",
        },
    ),
    (
        {"store", "harness", "program", "keys"},
        {
            "lorimer.toml": b"[store]\nurl = 'postgresql+psycopg://u@127.0.0.1:1/d'\n",
            "harness/agent.py": b"\xff",
            "program.md": None,
            ".env": b"OPENAI_API_KEY='two words'\n",
        },
    ),
    (
        {"harness"},
        {"harness/agent.py": b"def solve(task, env, llm):\n    return open('/etc/hosts').read()\n"},
    ),
    ({"harness"}, {"harness/agent.py": None}),
)
"""What one may break in a workspace by hand, several things at once where none of them hides another: what the lines are about,
and the files. To look at a workspace is to start jails too."""


def broken_workspaces(tmp_path: Path) -> list[tuple[set[str], Path]]:
    """Workspaces in which each of those is so, one that git has nothing of, and a folder that is none."""
    made = []
    for number, (lines, files) in enumerate(BROKEN):
        root = tmp_path / str(number)
        init(root)
        for name, content in files.items():
            if content is None:
                (root / name).unlink()
            else:
                (root / name).write_bytes(content)
        made.append((lines, root))
    uncommitted = tmp_path / "uncommitted"
    init(uncommitted)
    shutil.rmtree(uncommitted / ".git")
    return [*made, ({"harness"}, uncommitted), ({"workspace"}, tmp_path / "none")]


def test_whatever_is_broken_has_a_command_or_an_edit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none").mkdir()
    for lines, root in broken_workspaces(tmp_path):
        rows = typed(capsys, "doctor", "--offline", "--json", "-C", root).json()
        amiss = [row for row in rows if row["level"] != "ok"]
        assert lines <= {row["what"] for row in amiss}, (root, rows)
        for row in amiss:
            assert TYPED.search(row["fix"]) or EDITED.search(row["fix"]), row


def test_what_is_broken_elsewhere_has_a_command(tmp_path: Path) -> None:
    fixes = [hosts_fix(url) for url in ("unix:///run/a b.sock", "tcp://host:2375", "ssh://me@host")]
    fixes += [by_hand(tmp_path, "put that right"), machine.buildkit(BuildKit("", "28.2")).fix]
    assert [fix for fix in fixes if not TYPED.search(fix)] == []
    assert "curl --unix-socket '/run/a b.sock' http://localhost/version" in fixes[0]


async def test_what_cannot_be_kept_is_asked_again_by_a_command(tmp_path: Path) -> None:
    (tmp_path / ".lorimer").touch()  # where the store's folder would be
    async with scripted_server(otherwise=ANSWER) as server:
        found = await models(
            tmp_path, settings(f"{server.url}/v1"), Asking(20.0, lambda said: None, TODAY, probes=True)
        )
    (kept,) = (finding for finding in found if finding.what == "abilities")
    assert (kept.level, "not kept: " in kept.said) == ("warning", True)
    assert kept.fix == f"a study asks again as it goes; to keep it: lorimer doctor --model -C {tmp_path}"


# ---- the command


async def test_the_command_asks_says_how_long_it_waits_and_ends_with_3_where_something_is_missing(
    tmp_path: Path, bubblewrap: None
) -> None:
    root = tmp_path / "work"
    init(root)
    configure(root, "sandbox.provider=bubblewrap")
    async with scripted_server(ANSWER, NO_LIST, otherwise=Reply({"error": {"message": "bad key"}}, 401)) as server:
        provider.at(server, root)
        (root / ".env").chmod(0o600)
        said = await provider.lorimer(root, "doctor", "--seconds", "25")
        assert said.code == 0, said
        assert said.err == f"asking local/model at {server.url}/v1/ (at most 25 s)\n"
        assert "ok       task model   local/model answers in " in said.out
        assert "ok       jail         harness/agent.py starts in " in said.out
        said = await provider.lorimer(root, "doctor", "--json")
        assert (said.code, said.err) == (3, "")
        levels = {row["what"]: row["level"] for row in said.json()}
        assert levels["task model"] == levels["meta model"] == "missing"
        assert provider.KEY not in said.out
        said = await provider.lorimer(root, "doctor", "--offline")
        assert (said.code, said.err) == (0, "")
        assert len(server.requests) == 4


async def test_what_a_server_honours_is_asked_once_kept_and_shown(tmp_path: Path) -> None:
    def answer(request: Request) -> Reply:
        if request.method == "GET":
            return NO_LIST
        return Reply(good("chat", '{"word": "kolibri"}' if "response_format" in request.body else "Hello!"))

    root = tmp_path / "work"
    init(root)
    configure(root, "sandbox.provider=bubblewrap")
    async with scripted_server(otherwise=answer) as server:
        provider.at(server, root)
        (root / ".env").chmod(0o600)
        said = await provider.lorimer(root, "doctor", "--json")
        assert "abilities" not in {row["what"] for row in said.json()}
        asked = len(server.requests)
        said = await provider.lorimer(root, "doctor", "--model", "--seconds", "25")
        assert said.code == 0, said
        found = (
            "ok       abilities    local/model: schema honoured, tool_choice ignored, tools ignored, system ignored, "
            "stream ignored, images ignored; said in the prompt instead: tool_choice"
        )
        assert f"{found}\n" in said.out
        assert "asking local/model for: tool_choice\n" in said.err
        assert len(server.requests) == 2 * asked + 6
        said = await provider.lorimer(root, "doctor")
        assert f"{found} (asked on 20" in said.out
        moved = (root / "lorimer.toml").read_text().replace(f"{server.url}/v1", f"{server.url}/v2")
        (root / "lorimer.toml").write_text(moved)
        said = await provider.lorimer(root, "doctor")
        assert "task model   local/model answers in" in said.out
        assert "abilities" not in said.out, "of another address nothing is known"


def test_a_folder_that_is_no_workspace_is_told_how_to_make_one(tmp_path: Path) -> None:
    found, said = workspace.settings(tmp_path)
    assert (found, said.level, said.fix) == (None, "warning", f"lorimer init {tmp_path}")
    assert workspace.settings(Path())[1].fix == "lorimer init"


def test_doctor_says_every_missing_thing_and_its_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "work"
    init(root)
    tables = (
        '[models]\ntask = "mine/m"\nmeta = "who/m"\n[providers.mine]\nkey_env = "NO_SUCH_KEY"\nbase_url = "http://a"\n'
    )
    (root / "lorimer.toml").write_text(tables + '[benchmark]\nsource = "harbor:none"\n')
    said = typed(capsys, "doctor", "-C", root)
    assert said.code == 3
    assert "MISSING  task model   mine/m: NO_SUCH_KEY is neither in the environment nor in .env nor in " in said.out
    assert "-> export NO_SUCH_KEY=..." in said.out
    assert "MISSING  meta model   models: no provider 'who' for 'who/m'" in said.out
    assert "none: no such folder" in said.out
    (root / "lorimer.toml").write_text("[gate]\nalfa = 1\n")
    assert "gate.alfa: there is no such key" in typed(capsys, "doctor", "-C", root).out
    for broken in ("[store\n", "[store]\nurl = 3\n"):
        (root / "lorimer.toml").write_text(broken)
        (told,) = [line for line in typed(capsys, "doctor", "-C", root).out.splitlines() if line.startswith("MISSING")]
        assert told.startswith(f"MISSING  workspace    {root / 'lorimer.toml'}: ")
    (root / "lorimer.toml").write_text("")
    (root / "harness" / "agent.py").unlink()
    assert "MISSING  harness      " in typed(capsys, "doctor", "-C", root).out


def test_doctor_without_git_has_the_command_that_installs_it(tmp_path: Path) -> None:
    said = process("doctor", "-C", tmp_path, environment={"PATH": str(tmp_path)})
    assert said.code == 3
    assert "Debian: apt-get install git" in said.out


def test_findings_are_a_line_each_with_the_fix_below() -> None:
    said = text([Finding("git", "ok", "/usr/bin/git"), FAILS])
    assert said.splitlines() == [
        "ok       git          /usr/bin/git",
        "warning  docker       no engine answers",
        "                      -> systemctl start docker",
    ]


# ---- several engines


@pytest.mark.docker
async def test_each_of_several_engines_is_asked_whether_it_answers(docker: None, tmp_path: Path) -> None:
    here, away = "unix:///var/run/docker.sock", f"unix://{tmp_path}/nobody.sock"
    found = await machine.sandboxes(tmp_path, config.parse({"executor": {"docker_hosts": [here, away], "seconds": 60}}))
    assert found.used == "docker"
    assert [(finding.level, finding.said) for finding in found.findings] == [
        ("ok", f"{here}: an engine answers"),
        ("warning", f"{away}: no Docker Engine answers at {away}"),
        ("ok", "docker is used, on 1 of 2 hosts"),
    ]


async def test_engines_of_which_none_answers_are_missing(tmp_path: Path) -> None:
    away = f"unix://{tmp_path}/nobody.sock"
    found = await machine.sandboxes(tmp_path, config.parse({"executor": {"docker_hosts": [away]}}))
    (finding,) = found.findings
    assert (finding.level, found.used) == ("missing", "")
    assert finding.said == (f"none of [executor] docker_hosts answers: {away}: no Docker Engine answers at {away}")
