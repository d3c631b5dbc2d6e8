"""`lorimer doctor --replay`: what an unchanged harness does again, on recorded trials of real runs with the simulated model."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from shutil import copytree

import pytest

from lorimer.meta_agent.replay.unchanged import Replays, TrialReplay
from lorimer.terminal.replayed import lines, summary
from lorimer.traces.wired import Gap, GapKind
from tests.cli.support import Said, process, refused, start, typed
from tests.support.mute_engine import HALF, VERSION, mute_engine

BEGUN = "def solve(task: Task, env: Env, llm: LLM) -> str:\n"


def changed(root: Path, tmp_path: Path, statement: str) -> Path:
    """A copy of a workspace with another store."""
    copy = copytree(root, tmp_path / "copy", symlinks=True)
    with closing(sqlite3.connect(copy / ".lorimer" / "lorimer.db")) as store, store:
        store.execute(statement)
    return copy


def power_without_engine(root: Path) -> Said:
    """What `power` says where there is no sandbox: no PATH, no bubblewrap, and an engine's address at which nothing answers."""
    nowhere = {"DOCKER_HOST": f"unix://{root / 'none.sock'}"}
    said = process("power", "-C", root, "--set", "sandbox.provider=docker", environment=nowhere)
    assert said.code == 0, said
    return said


def test_an_unchanged_champion_replays_all_its_trials(
    used: tuple[Path, dict[str, Said]], capsys: pytest.CaptureFixture[str]
) -> None:
    root, _ = used
    found = process("doctor", "--replay", "-C", root, "--json").json()
    summary, trials = found["summary"], found["trials"]
    assert summary["study"] == "study-1"
    assert summary["recorded"] == summary["tried"] == summary["whole"] == len(trials) > 0
    assert summary["apart"] == []
    assert {trial["whole"] for trial in trials} == {True}
    run = typed(capsys, "doctor", "--replay", "--study", "run-1", "-C", root)
    assert run.code == 0, run
    assert "trials of the unchanged champion replay to their end: run-1, harness " in run.out


def test_power_says_how_many_trials_replay(used: tuple[Path, dict[str, Said]]) -> None:
    root, _ = used
    found = process("power", "-C", root, "--json").json()
    assert found["replays"]["whole"] == found["replays"]["tried"] > 0
    assert found["no_replays"] == ""
    said = process("power", "-C", root)
    assert f"\n  replays     {found['replays']['says']}" in said.out


def test_power_without_a_sandbox_says_that_replays_are_unknown(used: tuple[Path, dict[str, Said]]) -> None:
    said = power_without_engine(used[0])
    assert "\n  replays     unknown: " in said.out


def test_power_asks_no_sandbox_about_trials_without_records(used: tuple[Path, dict[str, Said]], tmp_path: Path) -> None:
    said = power_without_engine(changed(used[0], tmp_path, "DELETE FROM record"))
    assert "\n  replays     0 of " in said.out
    assert "for no record: " in said.out
    assert (
        "    -> an older lorimer ran them, or no harness acted in them: trials that are run now are recorded\n"
        in said.out
    )


def test_power_says_of_trials_that_went_on_from_a_record_that_nothing_is_amiss(
    used: tuple[Path, dict[str, Said]], tmp_path: Path
) -> None:
    said = power_without_engine(changed(used[0], tmp_path, "UPDATE trial SET recorded_trial = id, ran_whole = ''"))
    assert " for going on from a record: " in said.out
    assert " it was answered in part from the record of another trial\n" in said.out
    assert (
        "    -> a spot-check in pairs ran them on from the champion's records, and they keep none of their own: "
        in said.out
    )
    assert "an older lorimer" not in said.out


def test_each_reason_for_having_no_record_has_advice_of_its_own() -> None:
    def told(kind: GapKind) -> list[str]:
        trial = TrialReplay("s/1", "t", 0, 0, Gap("s/1", kind, "it has none"))
        return lines(summary(Replays("s", "sha", 1, (trial,))))

    assert told("dropped") == [
        "1 for a dropped record: s/1 has no whole record: it has none",
        '  -> [store] keep lets records go with the steps, and they do not come back: keep = "all" keeps those of '
        "trials that are run from now on",
    ]
    kinds: tuple[GapKind, ...] = ("unrecorded", "continued", "dropped")
    assert len({told(kind)[1] for kind in kinds}) == len(kinds)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (VERSION, "the Docker Engine at {url} takes connections and does not answer (for 2 s)"),
        (HALF, "docker made no jail within 4 s; docker: "),
    ],
    ids=["a ping", "all but a container"],
)
def test_power_does_not_wait_for_an_engine_that_hangs(
    used: tuple[Path, dict[str, Said]], tmp_path: Path, answers: dict[str, object], words: str
) -> None:
    root, _ = used
    settings = ("--set", "executor.seconds=2", "--set", "sandbox.provider=docker", "--set", "jail.provider=docker")
    with mute_engine(tmp_path / "s", answers) as engine:
        running = start("power", "-C", root, *settings, environment={"DOCKER_HOST": engine.url})
        try:
            out, err = running.communicate(timeout=120)
        finally:
            running.kill()
            running.communicate()
    assert running.returncode == 0, err
    assert f"\n  replays     unknown: {words.format(url=engine.url)}" in out
    assert "HTTPConnectionPool" not in out


@pytest.fixture
def dated(bubblewrap: None, workspace: Path) -> Path:
    """A workspace whose harness tells the model what time it is, after a run."""
    harness = workspace / "harness" / "agent.py"
    text = harness.read_text()
    assert BEGUN in text
    text = text.replace("import json\n", "import datetime\nimport json\n", 1)
    text = text.replace(BEGUN, f'{BEGUN}    note(f"begun at {{datetime.datetime.now()}}")\n')
    harness.write_text(text.replace("LimitReached, Message,", "LimitReached, Message, note,"))
    said = process("run", "-C", workspace, "--set", "benchmark.limit=3")
    assert said.code == 0, said
    return workspace


def test_a_harness_that_tells_the_time_parts_for_the_clock_and_gets_advice(dated: Path) -> None:
    found = process("doctor", "--replay", "-C", dated, "--json").json()
    assert found["summary"]["whole"] == 0
    (apart,) = found["summary"]["apart"]
    assert apart["reasons"] == ["clock"]
    assert apart["trials"] == len(found["trials"])
    for trial in found["trials"]:
        assert (trial["whole"], trial["step"], trial["reasons"]) == (False, 1, ["clock"])
        assert "-begun at 20" in trial["diff"]
    said = process("doctor", "--replay", "-C", dated).out.splitlines()
    assert said[0].startswith(f"0 of {apart['trials']} trial")
    assert said[1].startswith(f"  {apart['trials']} for the clock: run-1/")
    assert "parts at step 1 of " in said[1]
    assert said[2].startswith("    -> the harness puts the time or the date into what it asks for: ")


def test_what_cannot_be_asked_is_refused_in_a_line(
    workspace: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert refused(capsys, 2, "doctor", "--study", "run-1", "-C", workspace) == (
        "lorimer: --study belongs to --replay; lorimer doctor --replay --study NAME"
    )
    assert "there are no traces at " in refused(capsys, 2, "doctor", "--replay", "-C", workspace)
