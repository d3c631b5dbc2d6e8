"""A harness in another program's event loop: its commands as a host runs them, and what a host's trajectory says."""

from __future__ import annotations

import asyncio
import contextvars
import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lorimer.errors import HarnessError, SandboxError
from lorimer.exports.runtime import hosted
from lorimer.exports.runtime.atif import LiveTrajectory
from lorimer.exports.runtime.harbor_agent import HarborMachine, HarborWinner
from lorimer.exports.runtime.settings import Settings
from lorimer.exports.write import write
from lorimer.harness.api import (
    Completion,
    EnvError,
    ExecResult,
    LimitReached,
    Tool,
    ToolCall,
    assistant,
    tool_result,
    user,
)
from lorimer.harness.api import Usage as Used
from lorimer.models.base import ModelRequest
from tests.exports.test_targets import CALL, REACT, answer, won
from tests.exports.test_trajectories import assert_valid
from tests.support.scripted_server import scripted_server


class Done:
    """A result as Harbor's environments give it, of one stream."""

    def __init__(self, stdout: str, return_code: int) -> None:
        self.stdout, self.stderr, self.return_code = stdout, None, return_code


class Here:
    """An environment in a folder of this machine, whose commands run by a shell of its own."""

    def __init__(self, folder: Path, shell: str = "sh") -> None:
        self.folder, self.shell = folder, shell

    async def exec(self, command: str, cwd: str | None = None, *, timeout_sec: int | None = None) -> Any:
        def run() -> Done:
            done = subprocess.run([self.shell, "-c", command], cwd=self.folder, capture_output=True, check=False)
            return Done((done.stdout + done.stderr).decode("utf-8", "replace"), done.returncode)

        return await asyncio.wait_for(asyncio.to_thread(run), timeout_sec)

    async def upload_file(self, source_path: Path | str, target_path: str) -> None:
        await asyncio.to_thread(subprocess.run, ["cp", str(source_path), target_path], check=True)

    async def download_file(self, source_path: str, target_path: Path | str) -> None:
        copy = ["cp", source_path, str(target_path)]
        done = await asyncio.to_thread(subprocess.run, copy, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.decode())


async def on(folder: Path, work: Any, shell: str = "sh", **settings: Any) -> Any:
    """`work(machine)` in a thread, as a harness runs."""
    loop = hosted.Loop()
    machine = HarborMachine(Here(folder, shell), loop, Settings(**settings), time.monotonic() + 60)
    await machine.begin()
    return await loop.run(lambda: work(machine))


@pytest.mark.parametrize("shell", ["sh", "bash"])
async def test_commands_run_as_on_any_other_machine(tmp_path: Path, shell: str) -> None:
    (tmp_path / "inner").mkdir()
    wanted = {
        "printf out; echo err >&2; exit 3": ExecResult("out", "err\n", 3),
        "kill -9 $$": ExecResult("", "", 137),
        "sleep 60 & echo gone": ExecResult("gone\n", "", 0),
        "cat; echo \"it's\" 'a $HOME'": ExecResult("it's a $HOME\n", "", 0),
        "printf 'a\\n\\n'": ExecResult("a\n\n", "", 0),
        "true": ExecResult("", "", 0),
    }
    for command, result in wanted.items():
        assert await on(tmp_path, lambda machine, said=command: machine.exec(said), shell) == result, command
    assert await on(tmp_path, lambda machine: machine.exec("pwd", cwd="inner").stdout) == f"{tmp_path}/inner\n"
    missing = await on(tmp_path, lambda machine: machine.exec("true", cwd="no where"), shell)
    assert missing == ExecResult("", f"cd: {tmp_path}/no where: no such directory\n", 1)


async def test_what_is_long_is_cut_and_what_takes_long_is_ended(tmp_path: Path) -> None:
    cut = await on(tmp_path, lambda machine: machine.exec("printf 0123456789abcdef"), output_bytes=8)
    assert cut == ExecResult("0123\n[... 8 bytes dropped ...]\ncdef", "", 0, truncated=True)
    began = time.monotonic()
    late = await on(tmp_path, lambda machine: machine.exec("echo begun; sleep 60; echo no", timeout=0.3))
    assert late == ExecResult("begun\n", "", None, timed_out=True)
    assert time.monotonic() - began < 30
    long = "echo " + "x" * 200_000 + " | wc -c"
    assert (await on(tmp_path, lambda machine: machine.exec(long).stdout)).strip() == "200001"


async def test_files_are_read_and_written(tmp_path: Path) -> None:
    def work(machine: Any) -> bytes:
        machine.write("a/b c", b"\0z")
        read: bytes = machine.read(f"{tmp_path}/a/b c")
        return read

    assert await on(tmp_path, work) == b"\0z"
    with pytest.raises(EnvError, match=r"none: .*No such file"):
        await on(tmp_path, lambda machine: machine.read("none"))
    with pytest.raises(EnvError, match="a/b c: over the limit of 1 bytes"):
        await on(tmp_path, lambda machine: machine.read("a/b c"), read_bytes=1)
    with pytest.raises(EnvError, match="a/b c/d: "):
        await on(tmp_path, lambda machine: machine.write("a/b c/d", "x"))


def test_a_sandbox_that_ran_nothing_is_told() -> None:
    with pytest.raises(SandboxError, match="the sandbox ran no command: OCI runtime exec failed"):
        hosted.result("OCI runtime exec failed", "/tmp/.run.x")


async def test_calls_run_in_the_hosts_context_and_end_with_it() -> None:
    sample = contextvars.ContextVar[str]("sample")
    sample.set("mine")
    loop, heard = hosted.Loop(), list[object]()
    asked, free, over = threading.Event(), threading.Event(), threading.Event()

    async def whose() -> str:
        return sample.get()

    def harness() -> str:
        heard.append(loop.call(whose))
        asked.set()
        free.wait(10)
        try:
            loop.call(whose)
        except LimitReached as reached:
            heard.append(str(reached))
        over.set()
        return ""

    running = asyncio.create_task(loop.run(harness))
    assert await asyncio.to_thread(asked.wait, 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    free.set()
    assert await asyncio.to_thread(over.wait, 10)
    assert heard == ["mine", "the run has ended"]
    with pytest.raises(HarnessError, match=r"agent\.py ended with SystemExit\(3\)"):
        await hosted.Loop().run(lambda: exec("raise SystemExit(3)"))


class Base:
    """What Harbor's `BaseAgent` keeps of what it is given."""

    def __init__(self, logs_dir: Path, model_name: str | None = None, **options: Any) -> None:
        self.logs_dir, self.model_name = logs_dir, model_name
        self.session_id: str | None = "trial__agent"


async def test_a_winner_solves_a_task_in_a_harbor_environment(tmp_path: Path) -> None:
    folder, job, logs = tmp_path / "w", tmp_path / "job", tmp_path / "logs"
    write(await won(tmp_path), "harbor", folder)
    (folder / "agent.py").write_text(REACT.read_text())
    job.mkdir()
    logs.mkdir()

    class Winner(HarborWinner, Base):
        FOLDER = folder

    class Context:
        n_input_tokens = n_output_tokens = n_cache_tokens = 0

    async with scripted_server(answer(tool_calls=[CALL]), answer(content="It is done.")) as server:
        winner, context = Winner(logs, "local/m", endpoint=f"{server.url}/v1", calls="7"), Context()
        await winner.run("Make made.txt", Here(job), context)
    assert (job / "made.txt").read_text() == "hi\n"
    assert (context.n_input_tokens, context.n_output_tokens) == (14, 6)
    assert winner.version() == "demo-c003-817a297051c1"
    found = json.loads((logs / "trajectory.json").read_text())
    assert_valid(found, logs)
    steps = [(step["source"], step["message"]) for step in found["steps"]]
    assert steps[0] == ("user", "Make made.txt")
    assert [source for source, _ in steps] == ["user", "system", "agent", "agent"]
    assert found["steps"][2]["observation"] == {"results": [{"source_call_id": "1", "content": "hi\n\n[exit code 0]"}]}
    assert (found["schema_version"], found["session_id"], steps[-1][1]) == ("ATIF-v1.8", "trial__agent", "It is done.")


def test_a_trajectory_tells_each_message_once() -> None:
    made = LiveTrajectory("Do it.", clock=lambda: "2026-01-02T03:04:05Z")
    call = ToolCall("1", "shell", {}, malformed="{")
    talk = [user("Do it.")]
    tools = (Tool("shell", "Runs.", {"type": "object"}),)

    def ask(said: Any) -> None:
        made.on_call(ModelRequest(tuple(talk), "Be good.", tools), Completion(said, "end", Used(5, 2, 1)))
        talk.append(said)

    ask(assistant("", [call]))
    talk.append(tool_result(call, "not JSON"))
    ask(assistant("Hm."))
    talk.append(user("Go on."))
    ask(assistant("Done."))
    made.ended("Done, really.")
    found = made.value({"name": "n", "version": "v", "model_name": "m"}, None)
    assert_valid(found, Path())
    assert [(step["source"], step["message"]) for step in found["steps"]] == [
        ("user", "Do it."),
        ("system", "Be good."),
        ("agent", ""),
        ("agent", "Hm."),
        ("user", "Go on."),
        ("agent", "Done."),
        ("agent", "Done, really."),
    ]
    assert [step["step_id"] for step in found["steps"]] == list(range(1, 8))
    assert found["steps"][2]["tool_calls"][0]["extra"] == {"malformed": "{"}
    assert found["steps"][2]["observation"]["results"][0]["content"] == "not JSON"
    assert (found["steps"][-1]["llm_call_count"], "metrics" in found["steps"][-1]) == (0, False)
    assert found["final_metrics"]["total_prompt_tokens"] == 15
    assert found["agent"]["tool_definitions"][0]["function"]["name"] == "shell"
