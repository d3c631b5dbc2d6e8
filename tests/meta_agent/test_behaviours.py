"""Sixteen ways in which a meta model behaves, each through one real study: HTTP through the real SDK, real jails, the real gate.

The server knows who asks by what it is asked: a task's harness has its own system prompt, and a session of the meta-agent begins
with one message alone.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lorimer.benchmarks.base import Suite
from lorimer.config.settings import parse
from lorimer.meta_agent.ledger import experiments
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.workspace.parts import StudyParts, create
from lorimer.meta_agent.workspace.repository import Workspace
from lorimer.models.registry import open_model
from lorimer.task_agent.limits import Budget, Metered
from lorimer.task_agent.scheduling.attempts import StudyAttempts
from lorimer.task_agent.scheduling.scheduler import Scheduler
from lorimer.task_agent.trial import Machine
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.tables import Candidate
from lorimer.traces.writing.store import Store
from tests.meta_agent.test_loop import make_bench
from tests.support.behaviours import BEFORE, QUIET, SEED, SIXTEEN, Behaviour
from tests.support.model_clients import good, provider_at
from tests.support.scripted_server import Reply, Request, scripted_server
from tests.support.trials import make_task, open_provider

PAGE = Path(__file__).parents[2] / "docs" / "meta-agent.md"
PLAYED = (BEFORE, *SIXTEEN)
LOUD = "grep -q loud /app/said && echo 1 > /logs/verifier/reward.txt || echo 0 > /logs/verifier/reward.txt"
SECRET = "harbour"
"""A word of the sealed tasks."""


@dataclass
class Served:
    """A server's two models: one that answers tasks, and one that plays the behaviours in turn."""

    sessions: list[list[dict[str, Any]]] = field(default_factory=list)
    """The requests of each session of the meta-agent."""

    def reply(self, request: Request) -> Reply:
        messages = request.body["messages"]
        if not str(messages[0]["content"]).startswith("You improve an AI agent"):
            system = str(messages[0]["content"])
            return Reply(good("chat", "The answer, loud." if "aloud" in system else QUIET))
        if messages[-1]["content"].endswith("Begin with a tool call."):
            self.sessions.append([])
        session = self.sessions[-1]
        session.append(request.body)
        answers = PLAYED[len(self.sessions) - 1].answers
        answer = answers[min(len(session), len(answers)) - 1]
        if isinstance(answer, str):
            return Reply(good("chat", answer))
        calls = [(f"call_{len(session)}_{place}", name, given) for place, (name, given) in enumerate(answer)]
        return Reply(good("chat", "", calls))


@dataclass(frozen=True)
class Study:
    """What is left of the study."""

    rows: dict[str, Candidate]
    """The candidate of each behaviour."""
    heard: dict[str, str]
    """All that the meta model read in the session of each."""
    log: str
    """What people read."""
    harness: str
    """The file in the workspace at the end."""


async def _play(root: Path) -> Study:
    provider = open_provider("bubblewrap")
    served = Served()
    tasks = [
        *(make_task(root, name=f"easy-{number}", instruction=f"Say it, number {number}.") for number in range(2)),
        *(make_task(root, LOUD, name=f"hard-{number}", instruction=_instruction(number)) for number in range(8)),
        *(
            make_task(
                root, LOUD, name=f"sealed-{n}", instruction=f"Of the lighthouse in the {SECRET}, {n} say it loud."
            )
            for n in range(2)
        ),
    ]
    gate = {"policy": "paired", "repeats": 1, "champion_repeats": 1, "holdout_repeats": 1, "futility": 0.0}
    settings = parse(
        {
            "gate": gate,
            "budget": {"candidates": len(PLAYED)},
            "meta": {"patience": 100, "calls": 8},
            "study": {"canaries": 0},
            "search": {"phases": []},
            "sandbox": {"concurrency": 2},
        }
    )
    try:
        async with scripted_server(otherwise=served.reply) as server:
            client = open_model("local/model", {"local": provider_at(server.url, "chat")})
            with Store.open(root / "traces.db") as store:
                budget = Budget("s", settings.budget, store)
                model = Metered(client, budget, store, 4_096)
                machine = Machine(provider, store, model)
                attempts = StudyAttempts(machine, settings, {task.id: task for task in tasks}, budget)
                bench = make_bench(root / "work")
                (bench.root / "harness" / "agent.py").write_text(SEED)
                bench.git("-c", "user.name=u", "-c", "user.email=u@x", "commit", "-qam", "the seed")
                parts = StudyParts(
                    store=store,
                    reader=StoreReader(store),
                    trials=Scheduler(attempts, concurrency=2, retries=0),
                    complete=model.complete,
                    config=settings,
                    workspace=Workspace(bench.root),
                    shadows=provider,
                )
                suite = Suite("sixteen", tuple(tasks))
                sealed = [task.id for task in tasks if task.id.startswith("sealed")]
                await create(
                    store, study="s", kind="optimize", suite=suite, holdout=sealed, config=settings, harness=SEED
                )
                await optimize(parts, "s")
                reader = StoreReader(store)
                log = experiments.render(experiments.read(reader, scan(reader, "s"), 0))
                rows = reader.candidates("s")
            await client.close()
    finally:
        await provider.close()
    names = [each.name for each in PLAYED]
    heard = [_read_by_the_model(session) for session in served.sessions]
    harness = (bench.root / "harness" / "agent.py").read_text()
    return Study(dict(zip(names, rows, strict=True)), dict(zip(names, heard, strict=True)), log, harness)


def _instruction(number: int) -> str:
    extra = " Count the grey ships that came after the noon bell." if number == 3 else ""
    return f"Say it loud, number {number}.{extra}"


def _read_by_the_model(session: list[dict[str, Any]]) -> str:
    """Every message of a session but the model's own, each once, and the tools."""
    told = [
        str(message.get("content"))
        for body in session
        for message in body["messages"]
        if message["role"] != "assistant"
    ]
    return "\n".join([*dict.fromkeys(told), str(session[0].get("tools"))])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return asyncio.run(_play(tmp_path_factory.mktemp("behaviours")))


@pytest.mark.bubblewrap
@pytest.mark.parametrize("behaviour", PLAYED, ids=lambda behaviour: behaviour.name)
def test_it_ends_as_documented(study: Study, behaviour: Behaviour) -> None:
    row, heard = study.rows[behaviour.name], study.heard[behaviour.name]
    assert row.state == behaviour.state, row.failure
    place = 0
    for words in behaviour.told:
        found = heard.find(words, place)
        assert found >= 0, f"{words!r} is not among what the model was told:\n{heard[place:]}"
        place = found
    (line,) = [line for line in study.log.splitlines() if line.startswith(f"c{row.number:03} [{row.state}]")]
    assert behaviour.ends in line
    assert SECRET not in heard, "nothing of a sealed task reaches the meta model"


@pytest.mark.bubblewrap
def test_the_good_edit_alone_changes_the_file(study: Study) -> None:
    assert study.harness == SEED.replace("Solve the task.", "Solve the task aloud.")


@pytest.mark.bubblewrap
def test_the_edits_that_went_back_are_counted_by_why(study: Study) -> None:
    assert study.rows["merges two edits"].refused == [{"kind": "dead_end", "repeats": 1}]
    assert study.rows["makes an inert edit"].refused == [{"kind": "inert"}]
    assert study.rows["reads without end"].refused is None
    (line,) = [line for line in study.log.splitlines() if line.startswith("Not tried: ")]
    assert line == (
        "Not tried: 12 edits refused before they cost anything: 3 without citations that hold, 2 inert, 2 know single tasks, "
        "2 no valid harness, 1 changes nothing, 1 does not apply, 1 repeats c001"
    )


def test_the_page_has_the_sixteen() -> None:
    rows = re.findall(r"^\| ([^|]+?) \| ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    names = [each.name for each in SIXTEEN]
    assert len(set(names)) == 16
    assert [name for name in rows if name in names] == sorted(names, key=rows.index)
    assert set(names) <= set(rows)
