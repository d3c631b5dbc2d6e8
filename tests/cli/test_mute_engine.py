"""An engine that takes connections and hangs, seen through whole commands: they say so, and end when they are told to."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import Said, configure, process, start
from tests.cli.test_stopping import finished
from tests.support.engine_proxy import EngineProxy
from tests.support.mute_engine import HALF, VERSION, mute_engine

SECONDS = 1
"""[executor] seconds where the engine is mute from the first, or a fake; ten by default."""
DOCKER = ("--set", f"executor.seconds={SECONDS}", "--set", "sandbox.provider=docker", "--set", "jail.provider=docker")
ENDS = 100.0
"""Seconds; one call to an engine may take 180."""


def stopped_at(path: str, answers: Mapping[str, object] | None, where: Path, *arguments: object) -> Said:
    """A command that is told to stop while it waits for the engine to answer this."""
    with mute_engine(where, answers) as engine:
        running = start(*arguments, environment={"DOCKER_HOST": engine.url})
        try:
            engine.wait_for(path)
            running.send_signal(signal.SIGTERM)
            out, err = running.communicate(timeout=ENDS)
        finally:
            running.kill()
            running.communicate()
    return Said(running.returncode, out, err)


@pytest.mark.parametrize(
    ("path", "answers"), [("/version", None), ("/info", VERSION), ("/networks", {**HALF, "/networks": None})]
)
def test_gc_ends_when_it_is_told_to(tmp_path: Path, path: str, answers: Mapping[str, object] | None) -> None:
    known = None if answers is None else {name: said for name, said in answers.items() if said is not None}
    said = stopped_at(path, known, tmp_path / "s", "gc", "-C", tmp_path)
    assert (said.code, said.err) == (130, "lorimer: stopped\n")


@pytest.mark.docker
@pytest.mark.slow
def test_a_study_that_is_stopped_while_its_engine_hangs_ends_and_is_paused(
    docker: None, workspace: Path, tmp_path: Path
) -> None:
    name = f"mute-{os.getpid()}"
    configure(
        workspace, "sandbox.provider=docker", "jail.provider=docker", "budget.candidates=500", f"study.name={name}",
        "executor.seconds=5",
    )  # fmt: skip
    engine = EngineProxy(tmp_path / "s")
    running = start("optimize", "-C", workspace, environment={"DOCKER_HOST": engine.url})
    try:
        while not finished(workspace):
            assert running.poll() is None, running.communicate()
            time.sleep(0.05)
        engine.muted = True
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=ENDS)
    finally:
        running.kill()
        running.communicate()
        engine.stop()
    assert running.returncode == 130, err
    assert err.endswith(
        f"lorimer: stopped; what has finished is kept, and `lorimer resume {name} -C {workspace}` goes on\n"
    )
    study = StoreReader(workspace / STORE).study(name)
    assert (study.state, study.state_reason) == ("paused", f"stopped by the user; `lorimer resume {name}` goes on")
    assert "could not be removed (" in out + err
    assert process("gc", "-C", workspace).code == 0
    assert engine.containers(f"lorimer.study={name}") == []


@pytest.mark.docker
@pytest.mark.hostile
def test_a_run_goes_on_without_the_host_that_freezes_and_none_of_its_trials_is_scored_for_it(
    docker: None, workspace: Path, tmp_path: Path
) -> None:
    name = f"frozen-{os.getpid()}"
    well, frozen = EngineProxy(tmp_path / "a"), EngineProxy(tmp_path / "b")
    configure(workspace, "sandbox.provider=docker", "sandbox.concurrency=2", f"study.name={name}", "executor.seconds=5")
    running = start(
        "run", "-C", workspace, "--set", f'executor.docker_hosts=["{well.url}", "{frozen.url}"]',
        "--set", "study.canaries=0",
    )  # fmt: skip
    try:
        while not finished(workspace):
            assert running.poll() is None, running.communicate()
            time.sleep(0.05)
        frozen.muted = True
        out, err = running.communicate(timeout=ENDS)
    finally:
        running.kill()
        running.communicate()
        frozen.stop(kill=f"lorimer.study={name}")
        well.stop()
    assert running.returncode == 0, err
    warning = re.compile(
        rf"^warning: {frozen.url} takes no trials: .*: the engine does not answer \(.*\); it is asked again every 15 s$"
    )
    assert [bool(warning.match(line)) for line in out.splitlines() if "takes no trials" in line] == [True], out
    trials = StoreReader(workspace / STORE).trials(limit=None)
    assert [trial.state for trial in trials].count("scored") == 4
    lost = [trial for trial in trials if trial.state != "scored"]
    assert {(trial.cause, trial.detail.partition(": docker: ")[0]) for trial in lost} == {("engine_outage", frozen.url)}


@pytest.mark.parametrize("answers", [None, VERSION], ids=["nothing", "a ping"])
def test_gc_says_in_plain_words_that_the_engine_does_not_answer(
    tmp_path: Path, workspace: Path, answers: Mapping[str, object] | None
) -> None:
    configure(workspace, "sandbox.provider=docker", f"executor.seconds={SECONDS}")
    with mute_engine(tmp_path / "s", answers) as engine:
        said = process("gc", "-C", workspace, environment={"DOCKER_HOST": engine.url})
    assert said.code == 3, said
    assert said.err == (
        f"lorimer: the Docker Engine at {engine.url} takes connections and does not answer (for 1 s); restart it "
        "(`sudo systemctl restart docker`), or set DOCKER_HOST to one that answers\n"
    )


def test_a_command_that_is_stopped_names_what_the_engine_may_have_made(tmp_path: Path, workspace: Path) -> None:
    said = stopped_at("/containers/create", HALF, tmp_path / "s", "benchmarks", "check", *DOCKER, "-C", workspace)
    assert (said.code, said.err) == (130, "lorimer: stopped\n")
    assert re.search(
        rf'containers? could not be removed \(lorimer-.*\): "the engine at unix://{tmp_path / "s"} does not answer '
        r'\(for 1 s\)"; `lorimer gc -C \S+` tries again\n',
        said.out,
    )
