"""`lorimer pause`, `lorimer tune` and `lorimer resume --detach`: a study that another process runs, asked from here."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import Said, process, refused, start, typed
from tests.crash.support import finished, progress


@pytest.mark.bubblewrap
def test_a_study_is_tuned_and_paused_from_elsewhere_and_goes_on_apart(
    bubblewrap: None, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running = start("optimize", "--quiet", "-C", workspace, "--set", "sandbox.concurrency=1")
    try:
        while progress(workspace) < 1:
            assert running.poll() is None, running.communicate()
            time.sleep(0.05)
        tuned = typed(capsys, "tune", "-j", 2, "--set", "budget.usd=40", "-C", workspace)
        asked = typed(capsys, "pause", "--by", "Ada", "--why", "The night is over.", "-C", workspace)
        _, err = running.communicate()
    finally:
        running.kill()
        running.communicate()
    assert tuned.out.splitlines() == [
        "budget.usd changed from unset to 40.0",
        "sandbox.concurrency changed from 1 to 2",
    ]
    assert asked.out.startswith("study-1 is asked to pause, by Ada: The night is over.; whoever runs it hears that ")
    assert running.returncode == 1
    assert err == (
        "lorimer: study-1 is paused: asked for by Ada: The night is over.; "
        f"`lorimer resume study-1 -C {workspace}` goes on\n"
    )
    kept = finished(workspace)

    again = typed(capsys, "resume", "--detach", "-C", workspace)
    assert again.code == 0, again
    assert again.out.startswith("study-1 goes on in process ")
    assert f"; `lorimer watch study-1 -C {workspace}` shows it" in again.out
    log = workspace / ".lorimer" / "resumed-study-1.log"
    assert str(log) in again.out
    with StoreReader(workspace / STORE) as reader:
        while (study := reader.study("study-1")).holder:
            time.sleep(0.1)
    assert study.state == "finished", log.read_text()
    assert (study.config["budget"]["usd"], study.config["sandbox"]["concurrency"]) == (40.0, 2)
    assert kept.items() <= finished(workspace).items()
    assert process("verify", "-C", workspace).code == 0


def test_what_a_process_apart_refuses_is_told_in_a_line(
    used: tuple[Path, dict[str, Said]], capsys: pytest.CaptureFixture[str]
) -> None:
    root = used[0]
    said = refused(capsys, 2, "resume", "study-1", "--detach", "--set", "gate.alpha=0.2", "-C", root)
    assert said.startswith(
        "lorimer: study-1 does not go on: study study-1 keeps what it began with: gate.alpha is 0.1, "
    )
    alone = refused(capsys, 2, "pause", "study-1", "-C", root)
    assert alone == "lorimer: no process runs study-1, so there is nothing to pause"
    wrong = refused(capsys, 2, "tune", "study-1", "--set", "gate.alpha=0.2", "-C", root)
    assert wrong.startswith(
        "lorimer: gate.alpha: only [budget], search.width and sandbox.concurrency change while a study runs; "
    )
    assert refused(capsys, 2, "tune", "study-1", "-C", root) == (
        "lorimer: nothing changes: study study-1 has these settings already"
    )
