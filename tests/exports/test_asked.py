"""The model of an exported harness on a provider's bad days, and what its command line says of bad input."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lorimer.errors import ConfigError, LorimerError, ProviderOutage, SandboxError, UserError
from lorimer.exports.runtime import command, inspect_agent, model
from lorimer.exports.runtime.machine import DockerMachine
from lorimer.exports.runtime.model import HttpModel
from lorimer.exports.runtime.settings import Settings, endpoint
from lorimer.exports.runtime.solving import solve
from lorimer.exports.targets import standalone
from lorimer.harness.api import Completion, image, tool_result, user
from tests.support.scripted_server import Reply, ScriptedServer, scripted_server

DONE = {"choices": [{"message": {"content": "Done."}, "finish_reason": "stop"}]}
PICTURE = image(b"\x89PNG\r\n\x1a\n" + bytes(20))


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "FIRST_WAIT", 0.01)


def settings(server: ScriptedServer, **more: Any) -> Settings:
    return replace(Settings(model="local/m", base_url=f"{server.url}/v1"), **more)


def model_at(server: ScriptedServer, seconds: float = 60.0, **more: Any) -> HttpModel:
    given = settings(server, **more)
    return HttpModel(given, endpoint(given, {}), time.monotonic() + seconds)


async def asked(*replies: Reply, otherwise: Reply | None = None, seconds: float = 60.0, **more: Any) -> Completion:
    """What one call comes to."""
    async with scripted_server(*replies, otherwise=otherwise) as server:
        return await asyncio.to_thread(model_at(server, seconds, **more).complete, [user("Hello.")])


@pytest.mark.parametrize(
    "bad",
    [
        Reply(DONE, ending="half"),
        Reply(ending="close"),
        Reply("no JSON"),
        Reply({"choices": []}),
        Reply({"error": {"message": "overloaded"}}),
        Reply({"error": "busy"}, status=500, ending="half"),
        Reply({"error": {"message": "slow down"}}, status=429, headers={"retry-after": "nan"}),
        Reply({"error": {"message": "slow down"}}, status=429, headers={"retry-after": "soon"}),
    ],
    ids=["half", "closed", "no-json", "empty", "error-of-200", "half-an-error", "wait-of-nan", "wait-of-words"],
)
async def test_what_may_pass_is_tried_again(bad: Reply) -> None:
    assert (await asked(bad, Reply(DONE))).text == "Done."


async def test_a_single_stop_text_is_one_stop() -> None:
    async with scripted_server(Reply(DONE)) as server:
        await asyncio.to_thread(model_at(server).complete, [user("Hello.")], stop="END")
    assert server.bodies[0]["stop"] == ["END"]


async def test_an_answer_that_never_ends_is_no_answer() -> None:
    """Each byte of white space would begin the time of a plain read anew."""
    with pytest.raises(ProviderOutage, match="model local/m: no answer: no answer: the answer took too long"):
        await asked(otherwise=Reply(DONE, ending="trickle"), timeout_seconds=0.3, retry_seconds=0.0)


async def test_a_call_takes_no_longer_than_the_task_may() -> None:
    with pytest.raises(ProviderOutage, match="no answer: "):
        await asked(otherwise=Reply(ending="hang"), seconds=0.5)


async def test_an_outage_is_told_once_no_more_attempt_may_start() -> None:
    with pytest.raises(ProviderOutage, match="model local/m: no answer: away"):
        await asked(otherwise=Reply({"error": {"message": "away"}}, status=503), retry_seconds=0.1)


async def test_no_redirect_is_followed() -> None:
    with pytest.raises(ConfigError, match=r"model local/m at .*: HTTP 307: .*; check the key, the address"):
        await asked(Reply("Moved.", status=307, headers={"location": "http://127.0.0.1:9/"}))


async def test_what_a_server_takes_not_is_left_out_from_then_on() -> None:
    said = "Unsupported parameter: 'temperature' is not supported with this model."
    async with scripted_server(Reply({"error": {"message": said}}, status=400), Reply(DONE), Reply(DONE)) as server:
        asking = model_at(server)
        for _ in range(2):
            await asyncio.to_thread(asking.complete, [user("Hello.")], temperature=0.5)
    assert [("temperature" in body) for body in server.bodies] == [True, False, False]


@pytest.mark.parametrize(
    ("status", "words", "reason"),
    [
        (400, "maximum context length is 4096 tokens", "context_overflow"),
        (413, "too much", "context_overflow"),
        (422, "nonsense", "rejected"),
    ],
)
async def test_what_the_harness_can_mend_is_told_to_it(status: int, words: str, reason: str) -> None:
    found = await asked(Reply({"error": {"message": words}}, status=status))
    assert (found.stop_reason, found.error) == (reason, words)


def test_the_variable_of_an_address_moves_a_provider_with_its_key() -> None:
    """The SDKs, with which the study asked, do the same."""
    env = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://proxy/v1"}
    found = endpoint(Settings(model="openai/g"), env)
    assert (found.base_url, found.official, found.headers["authorization"]) == ("http://proxy/v1", True, "Bearer k")


# ---- what ended a task ----------------------------------------------------------------------------------------------


async def solved(folder: Path, harness: str, *replies: Reply, otherwise: Reply | None = None, **more: Any) -> str:
    (folder / "agent.py").write_text(harness)
    async with scripted_server(*replies, otherwise=otherwise) as server:
        given = settings(server, **more)
        return (await asyncio.to_thread(solve, folder, given, "Do it.", workdir=folder)).answer


@pytest.mark.parametrize("then", ["raise RuntimeError('it broke')", "return 'I gave up.'"])
async def test_a_provider_that_is_out_is_what_ended_a_task_whatever_the_harness_made_of_it(
    tmp_path: Path, then: str
) -> None:
    harness = f"""
def solve(task, env, llm):
    try:
        llm.complete([])
    except Exception:
        {then}
"""
    with pytest.raises(ConfigError, match="HTTP 401: bad key"):
        await solved(tmp_path, harness, Reply({"error": {"message": "bad key"}}, status=401))


@pytest.mark.parametrize(
    ("task", "workdir", "said"),
    [
        (" ", ".", "the task is empty; say what is to be done"),
        ("x", "none", "none: no such folder; name one that is there"),
    ],
)
def test_a_task_that_cannot_begin_is_told(tmp_path: Path, task: str, workdir: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        solve(tmp_path, Settings(model="local/m", base_url="http://x"), task, workdir=tmp_path / workdir)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("harness", "said"),
    [
        ("def solve(task, env, llm):\n    return 7\n", "agent.py: solve returned int, not str"),
        ("x = 1\n", "agent.py: defines no function `solve`"),
    ],
)
async def test_a_harness_that_is_none_is_told(tmp_path: Path, harness: str, said: str) -> None:
    with pytest.raises(LorimerError) as error:
        await solved(tmp_path, harness)
    assert said in str(error.value)


# ---- the command line -----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "agent.py").write_text("def solve(task, env, llm):\n    llm.complete([])\n    return 'never'\n")
    (tmp_path / "winner.json").write_text(
        json.dumps({"settings": {"model": "local/m", "base_url": "http://127.0.0.1:9"}})
    )
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ["--task-file", "none"],
            2,
            "run: none: cannot be read: No such file or directory; name a file that says the task",
        ),
        (["--task-file", "latin"], 2, "run: latin: is not UTF-8 (byte 0); save it as UTF-8"),
        (["--check"], 2, "lock.json: cannot be read, or lists no files; export the winner anew"),
        (
            ["--task", "x", "--calls", "0"],
            1,
            "run: the harness ended without an answer: model calls: 0 of 0 used",
        ),
    ],
)
def test_bad_input_is_one_line(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(folder)
    assert command.main(folder, arguments) == code
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "given", "said"),
    [
        ("--seconds", "0", "0 is no number of seconds above 0"),
        ("--seconds", "nan", "nan is no number of seconds above 0"),
        ("--seconds", "soon", "soon is no number of seconds above 0"),
        ("--calls", "-1", "-1 is no number of calls"),
    ],
)
def test_a_limit_that_is_none_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], option: str, given: str, said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(folder, ["--task", "x", f"{option}={given}"])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


async def test_an_interrupt_ends_it_without_a_traceback(folder: Path) -> None:
    (folder / "agent.py").write_text(
        "def solve(task, env, llm):\n    print('begun', flush=True)\n    env.exec('sleep 60')\n    return ''\n"
    )
    (folder / "run.py").write_text(standalone.RUN)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, folder / "run.py", "--task", "x"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ,
    )
    assert process.stderr is not None
    assert await process.stderr.readline() == b"begun\n"
    process.send_signal(signal.SIGINT)
    assert await process.communicate() == (b"", b"")
    assert process.returncode == 130


def test_a_container_that_is_gone_is_told_in_dockers_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`docker exec` ends before it has read the command, which is longer than what a pipe takes."""
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'Error: No such container: c' >&2\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    machine = DockerMachine("c", "/", Settings(), time.monotonic() + 60)
    with pytest.raises(SandboxError, match="docker exec: Error: No such container: c"):
        machine.exec("#" * 1_000_000)


# ---- Inspect --------------------------------------------------------------------------------------------------------


def _parts(**kinds: str) -> Any:
    """What stands for a module of Inspect's: classes whose values are what they were made of."""

    def made(kind: str) -> Callable[..., Any]:
        return lambda **given: SimpleNamespace(type=kind, **given)

    return SimpleNamespace(**{name: made(kind) for name, kind in kinds.items()})


INSPECT = SimpleNamespace(
    model=_parts(ChatMessageUser="user", ChatMessageTool="tool", ContentImage="image", ContentText="text"), tool=None
)


def test_pictures_go_along_to_inspects_model() -> None:
    shown = f"data:image/png;base64,{PICTURE.data}"
    said = inspect_agent.sent(user("What is this?", [PICTURE]), INSPECT)
    assert [(part.type, getattr(part, "text", None) or part.image) for part in said.content] == [
        ("image", shown),
        ("text", "What is this?"),
    ]
    answered = inspect_agent.sent(tool_result("1", "", images=[PICTURE]), INSPECT)
    assert [part.image for part in answered.content] == [shown]
    assert inspect_agent.sent(user("Plain."), INSPECT).content == "Plain."


def test_a_sample_that_is_more_than_text_is_refused() -> None:
    text, picture = SimpleNamespace(type="text"), SimpleNamespace(type="image")
    asked = SimpleNamespace(role="user", content=[text, picture], text="What is this?")
    with pytest.raises(
        UserError, match="the sample's input has a part of type 'image', and the task of a harness is text"
    ):
        inspect_agent.instruction_of([asked])
    assert inspect_agent.instruction_of([SimpleNamespace(role="user", content=[text], text="Do it.")]) == "Do it."
