"""The Docker Engine stops and starts again while a study runs: no trial is scored for it, and the decisions are the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lorimer.errors import LorimerError
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import configure, process, start
from tests.crash.support import Straight, finished, outcome, scored_twice, twin
from tests.support.engine_proxy import EngineProxy
from tests.support.warm import Running

pytestmark = [pytest.mark.hostile, pytest.mark.bubblewrap, pytest.mark.docker]

LABEL = "lorimer.study"


@pytest.fixture
def engine(docker: None, tmp_path: Path) -> Iterator[EngineProxy]:
    """A door to the real engine, which alone is shut: other people use it."""
    proxy = EngineProxy(tmp_path / "engine.sock")
    yield proxy
    proxy.stop()


def on_docker(straight: Straight, name: str, *settings: str) -> Path:
    root = twin(straight.pristine, name)
    configure(root, "sandbox.provider=docker", f"study.name={name}", *settings)
    return root


@pytest.fixture(scope="module")
def undisturbed(docker: None, straight: Straight) -> list[Any]:
    """What the study comes to on Docker: its commands print a little else there than in bubblewrap, which tokens tell."""
    root = on_docker(straight, "engine-untouched")
    said = process("optimize", "--quiet", "-C", root)
    assert said.code == 0, said
    return outcome(root)


def in_the_middle(running: Running, root: Path, trials: int) -> None:
    """Returns once so many trials are finished and another one is under way."""
    while True:
        assert running.poll() is None, running.communicate()
        try:
            rows = StoreReader(root / STORE).trials(limit=None)
        except LorimerError:
            rows = []
        states = [row.state for row in rows]
        if states.count("scored") >= trials and "running" in states:
            return
        time.sleep(0.05)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("jails", ["docker", "bubblewrap"])
def test_a_restart_of_the_engine_is_waited_for(
    straight: Straight, undisturbed: list[Any], engine: EngineProxy, jails: str
) -> None:
    name = f"engine-restarted-{jails}"
    root = on_docker(straight, name, f"jail.provider={jails}")
    running = start("optimize", "--quiet", "-C", root, environment={"DOCKER_HOST": engine.url})
    try:
        for trials in (3, 9):
            in_the_middle(running, root, trials)
            engine.stop(kill=f"{LABEL}={name}")  # as an engine without live restore does
            time.sleep(3)
            engine.start()
        _, err = running.communicate()
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 0, err
    lost = [row for row in StoreReader(root / STORE).trials(limit=None) if row.state == "errored"]
    assert lost
    assert {row.cause for row in lost} <= {"engine_outage", "sandbox_lost", "engine_failure"}
    assert outcome(root) == undisturbed
    assert scored_twice(root) == []
    assert engine.containers(f"{LABEL}={name}") == []


@pytest.mark.timeout(1800)
def test_an_engine_that_stays_away_pauses_the_study(
    straight: Straight, undisturbed: list[Any], engine: EngineProxy
) -> None:
    root = on_docker(straight, "engine-gone", "retries.engine_seconds=1")
    running = start("optimize", "--quiet", "-C", root, environment={"DOCKER_HOST": engine.url})
    try:
        in_the_middle(running, root, 3)
        engine.stop(kill=f"{LABEL}=engine-gone")
        _, err = running.communicate()
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 1
    assert err.startswith("lorimer: engine-gone is paused: docker: ")
    assert ": the engine does not answer (" in err
    assert err.endswith(f"`lorimer resume engine-gone -C {root}` goes on when the engine answers\n")
    assert err.count("\n") == 1, err
    assert StoreReader(root / STORE).study("engine-gone").state == "paused"
    refused = process("resume", "--quiet", "-C", root, environment={"DOCKER_HOST": engine.url})
    assert refused.code == 3
    assert refused.err == (
        "lorimer: study engine-gone began on docker and goes on there alone: no Docker Engine answers at "
        f"{engine.url}; start the Docker Engine, or start a new study\n"
    )
    done = finished(root)
    engine.start()
    said = process("resume", "--quiet", "-C", root, environment={"DOCKER_HOST": engine.url})
    assert said.code == 0, said
    assert outcome(root) == undisturbed
    assert done.items() <= finished(root).items()
    assert engine.containers(f"{LABEL}=engine-gone") == []


@pytest.mark.timeout(1800)
def test_a_host_that_is_lost_is_done_without_and_changes_no_decision(
    straight: Straight, undisturbed: list[Any], engine: EngineProxy, tmp_path: Path
) -> None:
    other = EngineProxy(tmp_path / "other.sock")
    root = on_docker(straight, "engine-hosts")
    hosts = f'executor.docker_hosts=["{engine.url}", "{other.url}"]'
    running = start("optimize", "-C", root, "--set", hosts)
    try:
        in_the_middle(running, root, 3)
        other.stop()
        out, err = running.communicate()
    finally:
        running.kill()
        running.communicate()
        other.stop(kill=f"{LABEL}=engine-hosts")
    assert running.returncode == 0, err
    assert f"{other.url} takes no trials: docker: " in out + err
    lost = [row for row in StoreReader(root / STORE).trials(limit=None) if row.state == "errored"]
    assert {row.cause for row in lost} <= {"engine_outage", "sandbox_lost", "engine_failure"}
    assert {row.detail.partition(": docker: ")[0] for row in lost} <= {other.url}
    assert outcome(root) == undisturbed
    assert scored_twice(root) == []
