"""A study that is stopped or killed goes on as if nothing had happened."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from lorimer.errors import LorimerError
from lorimer.meta_agent.study import campaign
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.meta_agent.workspace.session import Session
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import configure, process, start, typed
from tests.traces import support as make

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]

STUDY = ("gate.policy=pooled", "gate.alpha=0.49")
"""Its one candidate passes its spot-check, and so has a full run, and an audit."""


@pytest.fixture
def study(bubblewrap: None, workspace: Path) -> Path:
    configure(workspace, *STUDY)
    return workspace


def finished(root: Path) -> dict[str, str]:
    """Finished trials and when each began, which running one again would change."""
    try:
        trials = StoreReader(root / STORE).trials(limit=None)
    except LorimerError:
        return {}
    return {trial.id: trial.started for trial in trials if trial.state == "scored"}


def decisions(root: Path) -> list[Any]:
    reader = StoreReader(root / STORE)
    made = [(row.id, row.kind, row.reason, row.numbers) for row in reader.decisions("study-1")]
    tried = [(row.id, row.state, row.harness, row.title, row.edit) for row in reader.candidates("study-1")]
    return [made, tried]


def stop_after(
    trials: int, root: Path, number: signal.Signals, *arguments: object, temp: Path, times: int = 1
) -> tuple[int, str]:
    """Start `lorimer`, signal it (`times` times) once so many trials more are finished; its exit code and stderr."""
    before = len(finished(root))
    running = start(*arguments, "-C", root, environment={"TMPDIR": str(temp)})
    try:
        while len(finished(root)) < before + trials:
            assert running.poll() is None, "it ended before it could be stopped"
            time.sleep(0.05)
        for again in range(times):
            time.sleep(0.1 * again)
            running.send_signal(number)
        _, err = running.communicate()
    finally:
        if running.poll() is None:
            running.kill()
            running.communicate()
    return running.returncode, err


def left_behind(temp: Path) -> list[str]:
    """Folders and processes that name the study's temporary folder."""
    found = [path.name for path in temp.iterdir()]
    deadline = time.monotonic() + 60
    while True:
        names = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and str(temp).encode() in (entry / "cmdline").read_bytes():
                    names.append(entry.name)
            except OSError:
                continue
        if not names or time.monotonic() > deadline:
            return found + names
        time.sleep(0.1)


# Two whole studies, one of them begun four times, take two minutes where two cores are shared.
@pytest.mark.timeout(900)
def test_stopped_and_killed_at_any_concurrency_a_study_ends_the_same(study: Path, tmp_path: Path) -> None:
    root, temp = tmp_path / "disturbed", tmp_path / "temp"
    subprocess.run(["cp", "-a", study, root], check=True)
    temp.mkdir()

    assert process("optimize", "--quiet", "-C", study, "--set", "sandbox.concurrency=4").code == 0
    undisturbed = decisions(study)
    assert len(undisturbed[0]) > 3

    two = ("--set", "sandbox.concurrency=2")
    code, err = stop_after(2, root, signal.SIGINT, "optimize", "--quiet", *two, temp=temp)
    assert code == 130
    assert err == f"lorimer: stopped; what has finished is kept, and `lorimer resume study-1 -C {root}` goes on\n"
    assert left_behind(temp) == []
    state = StoreReader(root / STORE).study("study-1")
    assert (state.state, state.state_reason) == ("paused", "stopped by the user; `lorimer resume study-1` goes on")
    kept = finished(root)
    code, err = stop_after(2, root, signal.SIGTERM, "resume", "--quiet", temp=temp)
    assert code == 130
    kept |= finished(root)

    one, three = ("--set", "sandbox.concurrency=1"), ("--set", "sandbox.concurrency=3")
    code, _ = stop_after(3, root, signal.SIGKILL, "resume", "--quiet", *one, temp=temp)
    assert code == -signal.SIGKILL
    kept |= finished(root)
    assert process("resume", "--quiet", "-C", root, *three, environment={"TMPDIR": str(temp)}).code == 0
    assert left_behind(temp) == []
    assert kept.items() <= finished(root).items()
    assert decisions(root) == undisturbed
    trials = StoreReader(root / STORE).trials("study-1", limit=None)
    planned = [trial.planned for trial in trials if trial.state == "scored"]
    assert len(planned) == len(set(planned))


def test_a_study_that_another_process_begins_meanwhile_keeps_its_name(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dry_start = campaign.starts

    async def meanwhile(session: Session, *rest: Any) -> None:
        await dry_start(session, *rest)
        await session.store.create_study(make.study("study-1"), [make.task("t", of="study-1")], "text")

    monkeypatch.setattr(campaign, "starts", meanwhile)
    said = typed(capsys, "optimize", "-C", study, "--quiet", "--set", "budget.trials=1")
    assert said.code == 0, said.err
    assert [row.id for row in StoreReader(study / STORE).studies()] == ["study-1", "study-2"]


def test_two_processes_do_not_run_one_study(study: Path, tmp_path: Path) -> None:
    configure(study, "budget.candidates=500")  # it lasts until it is stopped
    running = start("optimize", "--quiet", "-C", study)
    try:
        while not finished(study):
            assert running.poll() is None, running.communicate()
            time.sleep(0.05)
        said = process("resume", "-C", study)
        assert said.code == 2
        assert f"study-1 is being run by process {running.pid} on this machine since 20" in said.err
        assert said.err.count("\n") == 1
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate()
