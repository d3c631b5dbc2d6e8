"""`lorimer preview`: what an edit touches, on the recorded trials of a real study with the simulated model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import Said, process, refused

PROMPT = "You are an agent that solves a task on a Linux machine."


def previewed(root: Path, text: str, *options: str) -> Said:
    edited = root / "edited.py"
    edited.write_text(text)
    return process("preview", edited, "-C", root, *options)


@pytest.fixture
def harness(used: tuple[Path, dict[str, Said]]) -> tuple[Path, str]:
    """The workspace, and the text of its study's champion."""
    root = used[0]
    shown = process("export", root.parent / "winner", "-C", root, "--force")
    assert shown.code == 0, shown
    return root, (root.parent / "winner" / "agent.py").read_text()


def test_an_unchanged_harness_replays_to_its_end_and_an_inert_edit_is_called_so(harness: tuple[Path, str]) -> None:
    root, text = harness
    found = previewed(root, f"# a comment\n{text}\n\ndef unused():\n    return 'never wired in'\n", "--json").json()
    assert found["inert"]
    assert found["not_previewable"] == 0
    assert {trial["outcome"] for trial in found["trials"]} == {"untouched"}
    assert (found["failed_touched"], found["solved_touched"]) == (0, 0)
    assert found["failed"] + found["solved"] == len(found["trials"]) > 0
    said = previewed(root, text)
    assert said.code == 0, said
    assert "the edit is inert: no recorded trial would have asked for anything else" in said.out
    assert found["says"] in said.out


def test_a_reworded_prompt_touches_every_trial_at_its_first_call(harness: tuple[Path, str]) -> None:
    root, text = harness
    assert PROMPT in text
    edited = text.replace(PROMPT, "You work alone on a Linux machine.")
    found = previewed(root, edited, "--json").json()
    assert not found["inert"]
    for trial in found["trials"]:
        assert (trial["outcome"], trial["step"], trial["method"]) == ("touched", 1, "llm.complete")
        assert trial["kinds"] == ["system"]
        assert "-" + PROMPT in trial["diff"]
    assert (found["failed_touched"], found["solved_touched"]) == (found["failed"], found["solved"])
    said = previewed(root, edited, "--diffs")
    assert said.code == 0, said
    assert f"first difference: llm.complete: system, {len(found['trials'])} trials" in said.out
    assert "+You work alone on a Linux machine." in said.out


def test_hunks_that_touch_nothing_are_named_by_their_lines(harness: tuple[Path, str]) -> None:
    root, text = harness
    idle = "\n\ndef unused():\n    return 'never wired in'\n"
    edited = text.replace(PROMPT, "You work alone\non a Linux machine.") + idle
    line = edited.splitlines().index("def unused():") - 1
    said = previewed(root, edited)
    assert said.code == 0, said
    assert f"hunk 2 of 2 (line {line} of the file) by itself touches none of these trials" in said.out
    assert "hunk 1 of 2" not in said.out
    assert previewed(root, edited, "--json").json()["idle"] == [
        f"hunk 2 of 2 (line {line} of the file) by itself touches none of these trials"
    ]
    assert "it is the champion's own text" in previewed(root, text).out


def test_what_cannot_be_previewed_is_refused_in_a_line(
    harness: tuple[Path, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root, _ = harness
    missing = tmp_path / "none.py"
    assert refused(capsys, 2, "preview", missing, "-C", root) == (
        f"lorimer: cannot read the harness {missing}: No such file or directory"
    )
    broken = tmp_path / "broken.py"
    broken.write_bytes(b"\xff")
    assert "it is no UTF-8" in refused(capsys, 2, "preview", broken, "-C", root)
    broken.write_text("import numpy\n\ndef solve(task, env, llm):\n    return ''\n")
    assert "numpy" in refused(capsys, 2, "preview", broken, "-C", root)
