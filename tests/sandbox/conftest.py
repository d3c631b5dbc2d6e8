"""The providers that the conformance suite runs on, and what each of them can do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import pytest

from lorimer.errors import PrerequisiteError
from lorimer.kinds import SandboxName
from lorimer.sandbox.base import ExecOutput, Owner, PythonImage, Sandbox, SandboxLimits, SandboxProvider, SandboxRequest
from lorimer.sandbox.docker.provider import DockerProvider
from lorimer.sandbox.fake import FakeProvider, FakeSandbox
from lorimer.sandbox.select import choose

OWNER = Owner("conformance", "trial")

IN_SERIES = "docker in series"


@dataclass(frozen=True)
class Subject:
    """A provider under test.

    Attributes:
        runs: it runs commands (the fake replays a script).
        isolates: its jails are jails.
    """

    provider: SandboxProvider
    runs: bool
    isolates: bool

    in_series: bool = False
    """Commands go the way of an agent's, each in what was prepared for it."""

    async def sandbox(self, limits: SandboxLimits | None = None, **options: object) -> Sandbox:
        """A new sandbox of the kind that the starter tasks use."""
        image = await self.provider.prepare(PythonImage())
        request = SandboxRequest(image, OWNER, limits or SandboxLimits(memory_mb=512, storage_mb=256, pids=128), "/app")
        made = await self.provider.acquire(request)
        return cast(Sandbox, InSeries(made)) if self.in_series else made


class InSeries:
    """A sandbox whose commands are those of one series, but for those in an environment of their own."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox, self._series = sandbox, sandbox.series()

    async def exec(
        self, command: str, *, timeout: float, env: Mapping[str, str] | None = None, **options: Any
    ) -> ExecOutput:
        if env is not None:
            return await self._sandbox.exec(command, timeout=timeout, env=env, **options)
        return await self._series.exec(command, timeout=timeout, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sandbox, name)


def echo(command: str, sandbox: FakeSandbox) -> ExecOutput:
    """The fake's script: the few commands that the shared part of the suite uses."""
    said = re.fullmatch(r"echo (\w+)", command)
    if said:
        return ExecOutput(said[1].encode() + b"\n", b"", 0)
    left = re.fullmatch(r"exit (\d+)", command)
    if left:
        return ExecOutput(b"", b"", int(left[1]))
    written = re.fullmatch(r"echo (\w+) > (\S+)", command)
    if written:
        sandbox.files[written[2]] = written[1].encode() + b"\n"
        return ExecOutput(b"", b"", 0)
    return ExecOutput(b"", b"not scripted", 127)


@asynccontextmanager
async def opened(name: str) -> AsyncIterator[Subject]:
    """The provider of that name; skips the test where the machine lacks what it needs."""
    provider: SandboxProvider
    in_series = name == IN_SERIES
    if name == "fake":
        provider = FakeProvider(echo, allow_unsandboxed_jail=True)
    else:
        try:
            kind: SandboxName = "bubblewrap" if name == "bubblewrap" else "docker"
            provider = DockerProvider(idle=0.0) if in_series else await choose(kind)
            if kind == "docker":
                await provider.prepare(PythonImage())
        except PrerequisiteError as error:
            pytest.skip(str(error))
    real = name != "fake"
    yield Subject(provider, runs=real, isolates=real, in_series=in_series)
    await asyncio.wait_for(provider.close(), 120)


BUBBLEWRAP = pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)
DOCKER = pytest.param("docker", marks=pytest.mark.docker)


@pytest.fixture(params=["fake", BUBBLEWRAP, DOCKER])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    """Each provider in turn."""
    async with opened(request.param) as provider:
        yield provider


@pytest.fixture(params=[BUBBLEWRAP, DOCKER, pytest.param(IN_SERIES, marks=pytest.mark.docker)])
async def commands(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    """Each way in which a command is run, in turn."""
    async with opened(request.param) as provider:
        yield provider


@pytest.fixture
def running(subject: Subject) -> Subject:
    """A provider that runs commands."""
    if not subject.runs:
        pytest.skip("the fake runs no commands")
    return subject


@pytest.fixture
def isolating(subject: Subject) -> Subject:
    """A provider with real jails."""
    if not subject.isolates:
        pytest.skip("the fake isolates nothing")
    return subject
