"""`[notify] command`: a script hears of promotions, pauses, wanted reviews and ends, and no failure of it changes a study."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lorimer.config.notify import NotifySettings
from lorimer.config.settings import Config, parse
from lorimer.errors import ConfigError, ProviderOutage
from lorimer.keys import Keys
from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.meta_agent.state.result import StudyResult
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.workspace.notify import Notice, NoticeSubject, Notifier, line_of
from lorimer.meta_agent.workspace.settings import resumed
from lorimer.processes import exists
from lorimer.traces.schema import Spent
from lorimer.traces.scrub import scrubber
from tests.meta_agent.test_loop import Bench, Proposer, bench, config, script
from tests.meta_agent.test_settings import Case

__all__ = ["bench"]

ABOUT = NoticeSubject("demo", "optimize", "2026-01-01T00:00:00+00:00", Spent(trials=3))
SAID = Notice("promotion", "c001 is the champion", candidate="c001", title="Edit", score=Score(0.5, 0.4, 0.6, 4, 8, 0))


def a_script(root: Path, text: str) -> str:
    """A program of the user's in the workspace, named as lorimer.toml would name it."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / "ring"
    path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return "./ring"


APPENDS = "open('heard.jsonl', 'a').write(sys.stdin.read())"


def heard(root: Path) -> list[dict[str, Any]]:
    path = root / "heard.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines]
    return sorted(found, key=lambda each: [each["event"] != kind for kind in ("promotion", "review", "pause")])


@asynccontextmanager
async def notifier(root: Path, *command: str, seconds: float = 30.0, **passed: str) -> AsyncIterator[Notifier]:
    made = Notifier(NotifySettings(command=command, seconds=seconds), root, passed, scrubber(list(passed.values())))
    try:
        yield made
    finally:
        await made.close()


async def studied(
    bench: Bench, propose: Proposer, settings: Config, *command: str, **dice: Any
) -> tuple[StudyResult, list[str]]:
    """A study on dice whose command is told, and what was said of its failures."""
    failures: list[str] = []
    async with notifier(bench.root, *command) as made:
        with bench.parts(propose, settings, **dice) as (parts, _, _):
            told = replace(parts, ring=lambda notice, about: made.ring(notice, about, failures.append))
            if not parts.reader.studies():
                await bench.create(told)
            done = await optimize(told, "demo")
    return done, failures


def held(candidates: int = 2) -> Config:
    return config(budget={"candidates": candidates}, review={"required": True})


async def test_a_script_hears_of_a_promotion_and_of_the_end(bench: Bench) -> None:
    settings = config(budget={"candidates": 2})
    done, failures = await studied(bench, script("GOOD", "NULL"), settings, a_script(bench.root, APPENDS))
    assert failures == []
    promotion, end = heard(bench.root)
    assert promotion["version"] == end["version"] == 1
    assert promotion["event"] == "promotion"
    assert (promotion["study"], promotion["kind"], promotion["candidate"]) == ("demo", "optimize", "c001")
    assert promotion["title"] == "Edit GOOD"
    assert promotion["commit"] == bench.git("rev-parse", "HEAD")
    assert promotion["workspace"] == str(bench.root)
    assert done.final is not None
    assert promotion["score"] == end["score"]
    assert end["score"]["mean"] == pytest.approx(done.final.mean)
    assert (end["event"], end["cause"], end["said"]) == ("end", "done", done.reason)
    assert end["trials"] > promotion["trials"] > 0
    assert promotion.keys() == end.keys()


async def test_nothing_is_told_twice_however_often_a_study_is_resumed(bench: Bench) -> None:
    ring = a_script(bench.root, APPENDS)
    for _ in range(3):
        done, _ = await studied(bench, script("GOOD", "NULL"), held(), ring)
        assert done.state == "paused"
    (review,) = heard(bench.root)
    assert (review["event"], review["cause"], review["candidate"]) == ("review", "review", "c001")
    assert review["said"].startswith("c001 passed every stage and waits for a review: `lorimer review` shows it")
    (bench.root / "heard.jsonl").unlink()

    approved = config(budget={"candidates": 2})
    for _ in range(3):
        done, _ = await studied(bench, script("GOOD", "NULL"), approved, ring)
        assert done.state == "finished"
    assert [each["event"] for each in heard(bench.root)] == ["promotion", "end"]
    await studied(bench, script("GOOD", "NULL", "NULL"), config(budget={"candidates": 3}), ring)
    assert [each["event"] for each in heard(bench.root)] == ["promotion", "end", "end"], "it ended otherwise"


async def test_every_pause_is_told_with_its_cause(bench: Bench) -> None:
    ring = a_script(bench.root, APPENDS)
    for _ in range(2):
        await studied(bench, script("NULL"), config(), ring, fail_after=3, failure=ProviderOutage)
    found = heard(bench.root)
    assert [(each["event"], each["cause"]) for each in found] == [("pause", "provider")] * 2
    assert "provider the dice were taken away" in found[0]["said"]


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("print('no phone', file=sys.stderr); sys.exit(3)", 'it ended with exit code 3: "no phone"'),
        ("os.kill(os.getpid(), 9)", "signal 9 ended it"),
    ],
)
async def test_a_failure_is_said_once_and_changes_nothing(bench: Bench, program: str, why: str) -> None:
    settings = config(budget={"candidates": 2})
    done, failures = await studied(bench, script("GOOD", "NULL"), settings, a_script(bench.root, program))
    assert done.state == "finished"
    assert failures == [f"[notify] command ./ring: {why}; the study goes on, and no further failure of it is said"]


async def test_a_program_that_is_not_there_is_said_before_the_first_trial(tmp_path: Path) -> None:
    said: list[str] = []
    async with notifier(tmp_path, "./nowhere", "x") as made:
        made.check(said.append)
        made.ring(SAID, ABOUT, said.append)
    assert len(said) == 1
    assert said[0].startswith("[notify] command ./nowhere x: there is no such program, or it may not be run;")
    async with notifier(tmp_path, a_script(tmp_path, APPENDS)) as made:
        made.check(said.append)
    assert len(said) == 1


async def test_a_command_that_hangs_is_not_waited_for_and_dies_with_its_children(tmp_path: Path) -> None:
    """It hangs for an hour: whoever waited for it would not be back here."""
    ring = a_script(
        tmp_path,
        "import subprocess\nchild = subprocess.Popen(['sleep', '3600'])\n"
        "open('child', 'w').write(str(child.pid))\ntime.sleep(3600)",
    )
    said: list[str] = []
    async with notifier(tmp_path, ring, seconds=3.0) as made:
        made.ring(SAID, ABOUT, said.append)
        assert said == []
    assert said[0].startswith("[notify] command ./ring: it took longer than notify.seconds (3) and was killed; ")
    child = tmp_path / "child"
    if child.exists():  # under load it may have been killed before it had one
        pid = int(child.read_text())
        for _ in range(100):
            if not running(pid):
                break
            await asyncio.sleep(0.1)
        assert not running(pid)


def running(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return exists(pid) and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def appears(path: Path) -> None:
    """A test's own time limit ends it."""
    while not path.exists():
        time.sleep(0.02)


async def test_whoever_stops_the_waiting_ends_the_command(tmp_path: Path) -> None:
    ring = a_script(tmp_path, "open('began', 'w').close(); time.sleep(3600)")
    made = Notifier(NotifySettings(command=(ring,), seconds=3600), tmp_path, {}, scrubber())
    made.ring(SAID, ABOUT, lambda said: None)
    await asyncio.to_thread(appears, tmp_path / "began")
    closing = asyncio.create_task(made.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await made.close()


async def test_no_key_reaches_it_but_those_that_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_API_KEY", "sk-not-for-it")
    monkeypatch.setenv("PUSH_TOKEN", "wanted-1234567890")
    monkeypatch.setenv("PLAIN", "as it is")
    ring = a_script(tmp_path, "json.dump(dict(os.environ), open('environment', 'w'))")
    wanted = Keys(os.environ).find("PUSH_TOKEN")
    assert wanted is not None
    async with notifier(tmp_path, ring, PUSH_TOKEN=wanted[0]) as made:
        made.ring(SAID, ABOUT, lambda said: None)
    found = json.loads((tmp_path / "environment").read_text())
    assert "ACME_API_KEY" not in found
    assert found["PUSH_TOKEN"] == "wanted-1234567890"
    assert found["PLAIN"] == "as it is"


def test_the_line_is_one_line_and_masks_what_is_secret(tmp_path: Path) -> None:
    hostile = Notice("promotion", 'a\nb "$(touch x)" abcdefgh-secret', title="\u2028\x1b[2J", score=None)
    line = line_of(hostile, ABOUT, tmp_path, scrubber(["abcdefgh-secret"]))
    assert "\n" not in line
    assert "abcdefgh-secret" not in line
    assert json.loads(line)["said"].startswith('a\nb "$(touch x)" ')
    assert json.loads(line)["score"] is None


def test_a_wrong_command_is_refused_with_its_key() -> None:
    for said, why in (([""], "names no program"), (["a\0b"], "NUL")):
        with pytest.raises(ConfigError, match=why):
            parse({"notify": {"command": said}})
    with pytest.raises(ConfigError, match=r"notify\.seconds"):
        parse({"notify": {"seconds": 0}})


def test_who_is_told_is_what_the_file_says_now(tmp_path: Path) -> None:
    case = Case(tmp_path)
    assert case.resume().config.notify.command == ()
    case.file.write_text(case.file.read_text() + '[notify]\ncommand = ["./ring", "loud"]\n')
    found = resumed(case.study, case.file, json_of(case), {}, scrubber())
    assert found.config.notify.command == ("./ring", "loud")
    asked = resumed(case.study, case.file, json_of(case), {"notify.seconds": 2.5}, scrubber())
    assert (asked.config.notify.command, asked.config.notify.seconds) == (("./ring", "loud"), 2.5)


def json_of(case: Case) -> dict[str, Any]:
    from lorimer.config.settings import read

    return read(case.file)
