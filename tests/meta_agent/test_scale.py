"""What a long study costs, counted in questions, rows and modules, which a busy machine does not change."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from lorimer.meta_agent.ledger import experiments
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.workspace.parts import StudyParts, Trials
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.sandbox.base import Owner
from lorimer.task_agent.outcome import TrialOutcome
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import PlannedTrial, TrialEnd
from lorimer.traces.wired import Gap, Record
from tests.meta_agent.test_loop import MARKS, Bench, bench, config, run, script

__all__ = ["bench"]

SMALL = {"study", "harness", "evaluation", "head"}
"""Questions that a row answers, of one study or harness or plan."""
HEARD = {"mark", "study", "chain"}
"""What `study/people/hearing.py` asks once a second, whatever else goes on."""


@dataclass
class Asked:
    """One question to the store."""

    question: str
    in_loop: bool
    """Whether the event loop's thread asked it."""
    rows: int


@dataclass
class Counting:
    """A reader of studies that notes every question."""

    inner: StudyReader
    asked: list[Asked] = field(default_factory=list)
    loop: int = field(default_factory=threading.get_ident)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(*arguments: Any, **named: Any) -> Any:
            answer = getattr(self.inner, name)(*arguments, **named)
            rows = len(answer) if isinstance(answer, list | dict) else 1
            self.asked.append(Asked(name, threading.get_ident() == self.loop, rows))
            return answer

        return ask


@dataclass
class Noted:
    """`parts.Trials` that notes what the store was asked while trials ran."""

    inner: Trials
    reader: Counting
    asked: list[Asked] = field(default_factory=list)

    async def run(
        self,
        plan: Sequence[PlannedTrial],
        harness_text: str,
        *,
        past: Mapping[str, Sequence[TrialEnd]] | None = None,
        stop: Callable[[Sequence[TrialOutcome]], bool] | None = None,
        others: Mapping[str, str] | None = None,
        records: Mapping[str, Record | Gap] | None = None,
        in_rounds: bool = False,
    ) -> list[TrialOutcome]:
        before = len(self.reader.asked)
        found = await self.inner.run(
            plan, harness_text, past=past, stop=stop, others=others, records=records, in_rounds=in_rounds
        )
        self.asked += self.reader.asked[before:]
        return found

    async def dry_start(self, harness_text: str, owner: Owner) -> str:
        return await self.inner.dry_start(harness_text, owner)


def counting(parts: StudyParts) -> tuple[StudyParts, Counting, Noted]:
    reader = Counting(parts.reader)
    trials = Noted(parts.trials, reader)
    return replace(parts, reader=cast(StudyReader, reader), trials=trials), reader, trials


async def test_what_many_rows_answer_is_never_asked_by_the_event_loop(bench: Bench) -> None:
    with bench.parts(script(*MARKS), config()) as (parts, _, _):
        await bench.create(parts)
        noted, reader, trials = counting(parts)
        await optimize(noted, "demo")
    assert {each.question for each in reader.asked if each.in_loop} <= SMALL
    assert {"scored", "ends", "candidates", "decisions"} <= {each.question for each in reader.asked}
    looked = [each for each in trials.asked if each.question not in HEARD]
    assert looked == [], "a look at finished trials asks the store nothing, however long the study"


async def test_a_proposal_reads_the_same_number_of_trials_however_many_candidates_there_were(bench: Bench) -> None:
    more = 4
    starts: list[list[Asked]] = []
    reader: Counting | None = None

    async def propose(session: ProposalSession) -> Proposal | NoProposal:
        assert reader is not None
        starts.append(list(reader.asked))
        reader.asked.clear()
        return await script()(session)

    # Edits of the champion alone: those of another harness read its trials, too.
    settings = config(
        budget={"candidates": experiments.RECENT + more},
        gate={"champion_every": 0},
        search={"strategies": ["champion"]},
    )
    with bench.parts(propose, settings) as (parts, _, _):
        await bench.create(parts)
        noted, reader, _ = counting(parts)
        await optimize(noted, "demo")
    counted = [
        [each.rows for each in asked if each.question in ("scored", "unscored", "ends", "outcomes", "trials")]
        for asked in starts
    ]
    assert len(counted) == experiments.RECENT + more
    assert {len(each) for each in counted[1:]} == {len(counted[-1])}, "as many questions as ever"
    # The log tells of the newest experiments: with each candidate one full run of up to 28 trials comes in, and one leaves.
    rows = [sum(each) for each in counted[experiments.RECENT :]]
    assert max(rows) - min(rows) <= 28


FORBIDDEN = (
    *("openai", "anthropic", "docker", "numpy", "alembic", "jinja2", "genai_prices", "rich", "requests", "httpx"),
    *("lorimer.models", "lorimer.sandbox", "lorimer.benchmarks", "lorimer.meta_agent.gate.decide"),
    *("lorimer.meta_agent.proposer.propose", "lorimer.task_agent.trial", "lorimer.task_agent.scheduling.scheduler"),
    # Only one format is any study's.
    *("lorimer.benchmarks.hf", "lorimer.benchmarks.spreadsheet_bench", "lorimer.benchmarks.terminal_bench"),
    "lorimer.meta_agent.ledger.experiments",
)
READ = """
import sys
from lorimer import cli
try:
    cli.main()
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""
READERS = {
    # They tell of candidates.
    "status": ("lorimer.meta_agent.ledger.experiments",),
    "studies": ("lorimer.meta_agent.ledger.experiments",),
    "log": ("lorimer.meta_agent.ledger.experiments",),
    "traces ls": (),
    "traces show c001": (),
    "traces search word": (),
    # They look at the benchmark's own files, and at edits.
    "verify": ("lorimer.benchmarks", "lorimer.sandbox"),
    "export --force winner": ("lorimer.benchmarks", "lorimer.sandbox", "lorimer.meta_agent.ledger.experiments"),
}


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a study."""
    from tests.meta_agent.test_loop import make_bench

    bench = make_bench(tmp_path_factory.mktemp("studied") / "work")
    asyncio.run(run(bench, script("GOOD"), config(budget={"candidates": 1})))
    (bench.root / STORE).parent.mkdir()
    (bench.root / "traces.db").rename(bench.root / STORE)
    (bench.root / "lorimer.toml").write_text("")
    return bench.root


@pytest.mark.parametrize("command", READERS)
def test_what_reads_imports_nothing_that_runs_a_study(studied: Path, command: str) -> None:
    words = [sys.executable, "-c", READ, *command.split()]
    done = subprocess.run(words, cwd=studied, capture_output=True, text=True, check=False)
    assert "lorimer.traces.sealed" in done.stderr, done.stderr
    modules = done.stderr.split()
    heavy = [name for name in FORBIDDEN if name not in READERS[command]]
    assert [each for each in modules if any(each == name or each.startswith(f"{name}.") for name in heavy)] == []
