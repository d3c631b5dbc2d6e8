"""`lorimer propose` and `optimize --from`, on real studies with the simulated model."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lorimer.commands.shared import goes_on
from lorimer.harness.lint import SEALED
from lorimer.harness.version import sha
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.tables import StudyRow
from lorimer.traces.writing.holder import this_process
from tests.cli.support import SMALL, Said, configure, process, refused


def test_an_edit_of_ones_own_is_tried_by_the_next_resume(
    used: tuple[Path, dict[str, Said]], capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = used[0]
    harness = workspace / "harness" / "agent.py"
    edited = workspace / "edited.py"
    edited.write_text(harness.read_text().replace("You are an agent", "You are a patient agent"))
    said = process("propose", "--edit", edited, "--why", "Patience helps.", "-C", workspace)
    assert said.code == 0, said
    assert said.out.startswith("c002 (Patience helps.) is put before the gate of study-1, and touches "), said
    assert f"`lorimer resume study-1 -C {workspace}` goes on" in said.out
    assert process("resume", "-C", workspace).code == 0
    log = process("log", "-C", workspace).out
    assert "c002 [" in log
    assert "hypothesis: Patience helps." in log
    again = refused(capsys, 2, "propose", "--edit", edited, "-C", workspace)
    assert "this very edit was tried as experiment 2" in again
    missing = refused(capsys, 2, "propose", "--edit", workspace / "none.py", "-C", workspace)
    assert missing == f"lorimer: cannot read the harness {workspace / 'none.py'}: No such file or directory"


def test_an_edit_that_knows_a_task_is_refused_and_of_a_sealed_one_no_more_is_told(
    used: tuple[Path, dict[str, Said]], capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = used[0]
    harness = (workspace / "harness" / "agent.py").read_text()
    with StoreReader(workspace / STORE) as reader:
        tasks = reader.tasks("study-1")
    told = {}
    for task in tasks:
        edited = workspace / "edited.py"
        edited.write_text(harness.replace("You are an agent", f"For {task.id} look twice. You are an agent"))
        told[task.id] = refused(capsys, 2, "propose", "--edit", edited, "-C", workspace)
    sealed = {told[task.id] for task in tasks if task.split != "train"}
    assert len(sealed) == 1
    assert SEALED in sealed.pop()
    train = [task.id for task in tasks if task.split == "train"]
    assert train
    assert all(f"'{name}'" in told[name] for name in train), told


def study_held_by(holder: str) -> StudyRow:
    return StudyRow(
        id="study-1", kind="optimize", created="", state="running", seed=0, task_model="", meta_model="", benchmark="",
        suite_digest="", seed_harness="", holder=holder,
    )  # fmt: skip


def test_what_a_person_did_is_said_to_be_come_to_by_whoever_runs_the_study(tmp_path: Path) -> None:
    long_ago = this_process().rsplit(":", 1)[0] + ":another start"
    held, free, ended = map(study_held_by, (this_process(), "", long_ago))
    by_process = f"done; process {os.getpid()} on this machine runs the study and comes to it"
    assert goes_on("done", held, tmp_path) == by_process
    assert goes_on("done", free, tmp_path) == f"done; `lorimer resume study-1 -C {tmp_path}` goes on"
    assert goes_on("done", ended, tmp_path) == goes_on("done", free, tmp_path)


def test_an_edit_is_a_file_or_a_pruning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options in ([], ["--prune", "--edit", tmp_path / "edited.py"]):
        said = refused(capsys, 2, "propose", *options, "-C", tmp_path)
        assert said == "lorimer: propose: give either --edit FILE or --prune"


def test_a_study_goes_on_from_an_earlier_one(
    used: tuple[Path, dict[str, Said]], capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = used[0]
    configure(workspace, *SMALL, "benchmark.limit=6")
    said = process("optimize", "--from", "study-1", "-C", workspace)
    assert said.code == 0, said
    with StoreReader(workspace / STORE) as reader:
        before, now = ({row.id: row.split for row in reader.tasks(name)} for name in ("study-1", "study-2"))
        assert before.items() <= now.items(), "every task is on the side that it was on"
        assert len(now) == len(before) + 2
        assert reader.study("study-2").seed_harness == sha((workspace / "harness" / "agent.py").read_text())
        asked = reader.conversation("study-2/c001", 0)
    told = "\n".join(message.text for message in asked.messages)
    assert "Study study-1 came before. Its winner was " in told
    assert "study-1/c001 [" in told

    harness = workspace / "harness" / "agent.py"
    harness.write_text(harness.read_text() + "# mine\n")
    committed(workspace)
    said_no = refused(capsys, 2, "optimize", "--from", "study-1", "-C", workspace)
    assert said_no.startswith("lorimer: the harness here is not the winner of study-1, which is ")
    assert "no study nowhere" in refused(capsys, 2, "optimize", "--from", "nowhere", "-C", workspace)
    assert "study run-1 is a run" in refused(capsys, 2, "optimize", "--from", "run-1", "-C", workspace)


def committed(root: Path) -> None:
    subprocess.run(["git", "-c", "user.name=u", "-c", "user.email=u@x", "commit", "-qam", "mine"], cwd=root, check=True)
