"""Docker's sandboxes with jails by bubblewrap beside them: who makes what, and when that is chosen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lorimer.errors import PrerequisiteError
from lorimer.sandbox.base import JailRequest, Owner, PythonImage, SandboxRequest
from lorimer.sandbox.beside import JailsBeside
from lorimer.sandbox.bubblewrap.cgroup import JailGroups
from lorimer.sandbox.bubblewrap.provider import BubblewrapProvider
from lorimer.sandbox.fake import FakeProvider
from lorimer.sandbox.pool import Pool
from lorimer.sandbox.select import NoJails, choose, described, only_docker

OWNER = Owner("test", "beside")
HELLO = JailRequest(["python3", "-I", "-u", "-c", "print('hello')"], OWNER)


@pytest.fixture
async def beside() -> AsyncIterator[JailsBeside]:
    """The fake's sandboxes, and jails by bubblewrap."""
    try:
        jails = BubblewrapProvider()
        await jails.probe()
    except PrerequisiteError as error:
        pytest.skip(str(error))
    made = JailsBeside(FakeProvider(), jails)
    yield made
    await made.close()


@pytest.mark.bubblewrap
async def test_each_makes_its_own_and_both_are_closed(beside: JailsBeside) -> None:
    pool = Pool(beside, jails=1)
    assert (pool.name, pool.jails, described(pool)) == ("fake", "bubblewrap", "fake with jails in bubblewrap")
    sandbox = await pool.acquire(SandboxRequest(await pool.prepare(PythonImage()), OWNER))
    assert sandbox.id.startswith("fake")
    jail = await pool.jail(HELLO)
    assert jail.id.startswith("bwrap")
    assert await jail.receive() == b"hello"
    await pool.close()
    assert not await jail.running()
    with pytest.raises(Exception, match="closed"):
        await sandbox.read("/x", max_bytes=1)


@pytest.mark.docker
@pytest.mark.bubblewrap
async def test_auto_takes_jails_beside_docker_where_they_are_bounded_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    wanted = "docker with jails in bubblewrap" if JailGroups.find() is not None else "docker"
    for jails, said in (("auto", wanted), ("docker", "docker"), ("bubblewrap", "docker with jails in bubblewrap")):
        chosen = await choose("docker", jails=jails)  # type: ignore[arg-type]
        assert described(chosen) == said
        await chosen.close()
    monkeypatch.setattr(JailGroups, "find", lambda: None)
    chosen = await choose("docker", jails="auto")
    assert described(chosen) == "docker"
    await chosen.close()


def test_auto_leaves_jails_to_docker_where_more_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    usual = "python:3.12-slim"
    assert not only_docker(runtime=None, jail_image=usual)
    assert only_docker(runtime="runsc", jail_image=usual) == "[sandbox] runtime = 'runsc'"
    assert only_docker(runtime=None, jail_image="mine") == "[jail] image = 'mine'"
    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:2375")
    assert only_docker(runtime=None, jail_image=usual) == "DOCKER_HOST"


@pytest.mark.bubblewrap
async def test_jails_that_cannot_be_had_are_told_apart_from_sandboxes(
    beside: JailsBeside, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nowhere.sock")
    chosen = await choose("bubblewrap", jails="auto")
    assert described(chosen) == "bubblewrap"
    await chosen.close()
    with pytest.raises(NoJails, match="no Docker Engine answers"):
        await choose("bubblewrap", jails="docker")
