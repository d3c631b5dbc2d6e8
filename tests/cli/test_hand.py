"""`lorimer propose`: an edit of one's own, on a real study with the simulated model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import process, refused


@pytest.mark.usefixtures("bubblewrap")
def test_an_edit_of_ones_own_is_tried_by_the_next_resume(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert process("optimize", "-C", workspace).code == 0
    harness = workspace / "harness" / "agent.py"
    edited = workspace / "edited.py"
    edited.write_text(harness.read_text().replace("You are an agent", "You are a patient agent"))
    said = process("propose", "--edit", edited, "--why", "Patience helps.", "--by", "Ada", "-C", workspace)
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
