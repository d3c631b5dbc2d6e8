"""Before the agent: the health check. And the user whose commands and files a task says the agent's are."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lorimer.benchmarks.base import Healthcheck
from lorimer.sandbox.base import ExecOutput, Owner, PulledImage, SandboxRequest
from lorimer.sandbox.docker.provider import DockerProvider
from lorimer.sandbox.fake import FakeProvider, FakeSandbox
from lorimer.task_agent import ready
from lorimer.task_agent.ready import write_file
from lorimer.task_agent.spec import Nop, Oracle
from lorimer.traces.schema import StepKind, TrialState
from tests.support.trials import SCORE_ONE, make_task, play, script, solve


class Slow:
    """A sandbox whose health check passes from a certain try on."""

    def __init__(self, healthy_from: int, *, timed_out: bool = False) -> None:
        self.tries, self._from, self._timed_out = 0, healthy_from, timed_out

    def __call__(self, command: str, sandbox: FakeSandbox) -> ExecOutput:
        if command == "am-i-ready":
            self.tries += 1
            if self.tries < self._from:
                code = None if self._timed_out else 7
                return ExecOutput(b"", b"starting\nnot yet", code, timed_out=self._timed_out)
        elif command.endswith("run.sh"):
            sandbox.files["/logs/verifier/reward.txt"] = b"1"
        return ExecOutput(b"", b"", 0)


def check(**settings: float) -> Healthcheck:
    return Healthcheck("am-i-ready", **{"interval": 0.0, "timeout": 3.0, "start_interval": 0.0, **settings})  # type: ignore[arg-type]


async def test_a_sandbox_that_becomes_healthy_in_time_is_used(tmp_path: Path) -> None:
    world = Slow(healthy_from=3)
    played = await play(FakeProvider(world), make_task(tmp_path, healthcheck=check()), Nop())
    assert (played.end.state, played.end.reward, world.tries) == (TrialState.SCORED, 1.0, 3)


@pytest.mark.parametrize(("timed_out", "why"), [(False, "exit code 7: not yet"), (True, "it ran over its 3 s")])
async def test_one_that_stays_unhealthy_is_the_worlds_fault(tmp_path: Path, timed_out: bool, why: str) -> None:
    world = Slow(healthy_from=99, timed_out=timed_out)
    played = await play(FakeProvider(world), make_task(tmp_path, healthcheck=check()), Nop())
    assert (played.end.state, played.end.cause) == (TrialState.ERRORED, "engine_failure")
    assert played.end.detail == f"the health check failed 3 times: {why}"
    assert world.tries == 3


async def test_failures_in_the_start_period_do_not_count(tmp_path: Path) -> None:
    world = Slow(healthy_from=20)
    task = make_task(tmp_path, healthcheck=check(start_period=60.0))
    played = await play(FakeProvider(world), task, Nop())
    assert (played.end.state, world.tries) == (TrialState.SCORED, 20)


@pytest.fixture
async def docker() -> AsyncIterator[DockerProvider]:
    provider = DockerProvider()
    yield provider
    await provider.close()


AS_NOBODY = """
said = env.exec("id -un; id -u > /tmp/made; cat /etc/shadow")
assert said.stdout == "nobody\\n", said
assert "denied" in said.stderr, said
for path, why in [("/etc/shadow", "permission denied"), ("/none", "no such file"), ("/tmp", "is a directory")]:
    try:
        env.read(path)
    except EnvError as error:
        assert why in str(error), error
    else:
        raise AssertionError(path)
assert env.read("/tmp/made") == b"65534\\n"
data = bytes(range(256)) * 4000
env.write("/tmp/deep/er/data", data)
assert env.read("/tmp/deep/er/data") == data
assert env.exec("stat -c %U /tmp/deep/er/data; ls -A /tmp").stdout.split() == ["nobody", "deep", "made"]
try:
    env.write("/etc/new", b"x")
except EnvError as error:
    assert "permission denied" in str(error), error
else:
    raise AssertionError("wrote to /etc")
return "all as it should be"
"""


@pytest.mark.docker
async def test_an_agent_acts_as_the_user_that_the_task_names(tmp_path: Path, docker: DockerProvider) -> None:
    image = PulledImage("debian:bookworm")
    verifier = "[ $(id -un) = daemon ] && [ $(stat -c %U /tmp/made) = nobody ] && echo 1 > /logs/verifier/reward.txt"
    task = make_task(tmp_path, verifier, image=image, user="nobody", workdir="/tmp")
    task = dataclasses.replace(
        task,
        verifier=dataclasses.replace(task.verifier, user="daemon"),
        solution=script(tmp_path, "solution", "id -un > /tmp/made"),
    )
    played = await play(docker, task, solve(AS_NOBODY))
    assert (played.end.cause, played.end.detail, played.end.reward) == ("finished", "", 1.0), played.end
    assert played.end.answer == "all as it should be"
    assert len([step for step in played.sink.steps if step.kind is StepKind.READ]) == 5
    assert (await play(docker, task, Oracle())).end.reward == 1.0


@pytest.mark.docker
async def test_loose_files_go_to_where_commands_start(tmp_path: Path, docker: DockerProvider) -> None:
    files = tmp_path / "files" / "deep"
    files.mkdir(parents=True)
    (files / "data").write_text("here")
    verifier = f'[ "$(pwd) $(cat deep/data)" = "$WANTED here" ] && {SCORE_ONE}'
    for workdir, start in (("/srv/work", "/srv/work"), (None, "/")):
        task = make_task(tmp_path, verifier, image=PulledImage("debian:bookworm"), workdir=workdir)
        task = dataclasses.replace(task, workspace=((files.parent, "."),), env={"WANTED": start})
        assert (await play(docker, task, Nop())).end.reward == 1.0, start


async def test_a_file_whose_writing_is_stopped_is_not_waited_for_where_the_engine_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready, "TIDY_SECONDS", 0.5)

    class Hangs(FakeSandbox):
        async def exec(self, command: str, **options: Any) -> ExecOutput:
            writing.set()
            await asyncio.Event().wait()
            raise AssertionError

    writing = asyncio.Event()
    request = SandboxRequest("image", Owner("study", "trial"))
    sandbox = Hangs("hangs", request, {}, lambda of: of)
    task = dataclasses.replace(make_task(tmp_path), user="agent")
    work = asyncio.create_task(write_file(sandbox, task, "/app/file", b"text"))
    await writing.wait()
    work.cancel()
    async with asyncio.timeout(90):
        await asyncio.wait({work})
    assert work.cancelled()
