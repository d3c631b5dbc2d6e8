"""`lorimer ab`: the gate on two files, as a user types it."""

from __future__ import annotations

import os
import pty
import select
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lorimer.harness.size import size_of
from lorimer.meta_agent.gate.statistics.estimates import Estimate
from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.meta_agent.ledger.trust import Trust
from lorimer.meta_agent.reports.ab import AbReport, AbVerdict, Arm, ab
from lorimer.meta_agent.reports.flips import flips
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.terminal.ab import verdict
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import configure, process, refused, start, start_in_terminal, typed
from tests.crash.support import finished, killed, progress, twin

SEEDS = Path(__file__).parents[2] / "lorimer/harness/seeds"


@pytest.fixture
def two(workspace: Path) -> Path:
    """A workspace with two files: a harness that answers once, and one with tools."""
    (workspace / "a.py").write_text((SEEDS / "oneshot.py").read_text())
    (workspace / "b.py").write_text((SEEDS / "react.py").read_text())
    assert size_of((workspace / "b.py").read_text()) != size_of((workspace / "a.py").read_text())
    configure(workspace, "gate.max_cost_increase=none", "gate.alpha=0.49", "sandbox.concurrency=3")
    return workspace


def decided(root: Path) -> list[Any]:
    reader = StoreReader(root / STORE)
    return [(row.id, row.kind, row.reason, row.numbers) for row in reader.decisions("ab-1")]


def candidate(root: Path) -> str:
    """The state of the second file's; what it did is stored beside it."""
    reader = StoreReader(root / STORE)
    (row,) = reader.candidates("ab-1")
    assert reader.effects([row.id]).keys() == {row.id}
    return row.state


@pytest.mark.timeout(900)
def test_a_comparison_that_is_killed_and_resumed_ends_as_one_that_was_not(
    two: Path, bubblewrap: None, capsys: pytest.CaptureFixture[str]
) -> None:
    other = twin(two, "killed")
    said = process("ab", two / "a.py", two / "b.py", "-C", two, "--yes", "--json")
    found = said.lines()[-1]["result"]
    assert (found["verdict"] == "better", said.code) in ((True, 0), (False, 4)), said
    assert candidate(two) == ("better" if said.code == 0 else "rejected")
    assert (found["study"], found["state"], found["b"]["file"]) == ("ab-1", "finished", str(two / "b.py"))
    assert found["a"]["trials"] == found["b"]["trials"] > 0
    assert found["a"]["usd"] < found["b"]["usd"]
    assert found["difference"]["low"] <= found["difference"]["value"] <= found["difference"]["high"]
    assert 0 < found["p"] <= 1
    assert len(found["flips"]["tasks"]) == 4
    answer = verdict(ab(StoreReader(two / STORE), "ab-1"))
    assert f"  answer      {answer}\n" in process("status", "-C", two).out
    assert typed(capsys, "log", "-C", two).out.startswith(f"{answer}\nthe gate: ")
    assert process("verify", "-C", two).code == 0
    assert "ab-1/c001/full-beside/" in process("traces", "ls", "-C", two).out

    asked = ("ab", other / "a.py", other / "b.py", "-C", other, "--yes", "--quiet")
    killed(start(*asked), other, progress(two) // 2, 0.1)
    before = finished(other)
    again = process("resume", "-C", other)
    assert again.code == said.code, again
    assert f"{other / 'b.py'} is" in again.out or "cannot tell" in again.out
    assert (decided(other), candidate(other)) == (decided(two), candidate(two))
    assert before.items() <= finished(other).items(), "no finished trial is run again"
    assert process("verify", "-C", other).code == 0


def test_two_files_that_cannot_be_compared_are_refused_in_a_line(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = two / "a.py", two / "b.py"
    where = ("-C", two, "--yes", "--quiet")
    said = refused(capsys, 2, "ab", a, a, *where)
    assert said == f"lorimer: {a} and {a} hold the same harness; there is nothing to compare"
    (two / "c.py").write_text("def resolve(): ...\n")
    said = refused(capsys, 2, "ab", a, two / "c.py", *where)
    assert said == f"lorimer: {two / 'c.py'}: agent.py must define `def solve(task, env, llm)` at its top level"
    said = refused(capsys, 2, "ab", a, two / "no.py", *where)
    assert said == f"lorimer: cannot read the harness {two / 'no.py'}: No such file or directory"
    said = refused(capsys, 2, "ab", a, b, *where, "--set", "benchmark.limit=1")
    assert said.startswith("lorimer: these tasks can tell too little, whatever the files do: 1 train task with 1 trial")
    said = refused(capsys, 2, "ab", a, b, "-C", two, "--quiet")
    assert said == "lorimer: nobody is there to ask whether this may be paid for; say --yes"
    assert not (two / STORE).exists(), "nothing was begun"


def test_a_store_whose_process_was_killed_before_its_tables_were_made_is_no_hindrance(
    two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (two / STORE).parent.mkdir()
    (two / STORE).touch()
    said = refused(capsys, 2, "ab", two / "a.py", two / "b.py", "-C", two, "--quiet")
    assert said == "lorimer: nobody is there to ask whether this may be paid for; say --yes"


def test_a_file_that_does_not_start_is_refused_before_a_study_begins(
    two: Path, bubblewrap: None, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = (two / "b.py").read_text() + "\n1 / 0\n"
    (two / "c.py").write_text(broken)
    said = refused(capsys, 2, "ab", two / "a.py", two / "c.py", "-C", two, "--yes", "--quiet")
    assert (
        said
        == f"lorimer: {two / 'c.py'} does not start: ZeroDivisionError: division by zero (line {len(broken.splitlines())})"
    )
    assert StoreReader(two / STORE).studies() == []


@pytest.mark.parametrize(("answer", "code", "said"), [(b"n\n", 1, "nothing was run"), (b"\x03", 130, "stopped")])
def test_who_says_no_to_the_price_has_paid_nothing(two: Path, answer: bytes, code: int, said: str) -> None:
    ours, theirs = pty.openpty()
    running = start_in_terminal(theirs, "ab", two / "a.py", two / "b.py", "-C", two)
    os.close(theirs)
    seen = b""
    try:
        while b"run it? [y/N]: " not in seen:
            seen += os.read(ours, 4096)
        os.write(ours, answer)
        with suppress(OSError):  # Linux's word for the end of a terminal
            while True:
                if not select.select([ours], [], [], 5.0)[0]:
                    # Python misses a Ctrl-C that comes between its prompt and its read; whoever typed it types it again.
                    os.write(ours, answer)
                elif more := os.read(ours, 4096):
                    seen += more
                else:
                    break
        assert running.wait() == code
    finally:
        os.close(ours)
        running.kill()
        running.wait()
    assert seen.decode().rstrip().endswith(f"lorimer: {said}")
    assert not (two / STORE).exists()


def test_the_price_is_said_before_anything_is_run(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = typed(capsys, "ab", two / "a.py", two / "b.py", "-C", two, "--repeats", 3)
    assert said.code == 2
    first, second, *_ = said.err.splitlines()
    assert first == "starter: 4 tasks, 3 trials of each file on each, side by side: 8 to 24 trials"
    assert "tokens" in second
    assert "$" in second


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ("better", "b.py is better than a.py"),
        ("too dear", "b.py is better than a.py, and costs more than the gate allows"),
        ("cannot tell", "cannot tell: b.py is not shown to be better than a.py, nor surely worse"),
        ("worse", "b.py is worse than a.py, by the interval"),
        ("undecided", "undecided between a.py and b.py: too many trials errored"),
        (None, "no answer yet between a.py and b.py"),
    ],
)
def test_every_verdict_is_a_sentence_with_its_interval_and_p(found: AbVerdict | None, words: str) -> None:
    score = Score(0.5, 0.4, 0.6, 4, 8, 0)
    a, b = (Arm(name, "", score, 8, 0.1, 100, 5.0) for name in ("a.py", "b.py"))
    report = AbReport(
        study="ab-1",
        state="finished",
        state_reason="",
        a=a,
        b=b,
        verdict=found,
        difference=Estimate(0.1, -0.1, 0.3),
        p=0.04,
        alpha=0.1,
        early=True,
        reason="",
        flips=flips({}, {}, ()),
        trust=Trust(0, (), 0, "none", 0, 0, 0),
    )
    assert verdict(report) == (
        f"{words}: +0.100 [-0.100, +0.300] of mean reward, 95% interval for tasks like these; p = 0.04, where 0.1 is asked "
        "for; it ended early, as the rest could not have changed the answer"
    )
    assert "; p = 0.1004, where 0.1 is asked for; " in verdict(replace(report, p=0.1004))
