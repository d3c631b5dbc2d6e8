"""An edit is held against recorded trials before it is paid for: real trials, real jails, the real loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lorimer.benchmarks.base import Suite, Task
from lorimer.config.settings import Config, parse
from lorimer.harness.version import Hunk, sha
from lorimer.kinds import Fault, TrialState
from lorimer.meta_agent.ledger import experiments
from lorimer.meta_agent.proposer.accept import Accepted, EditRefusal, accept
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.proposer.tools import Toolbox
from lorimer.meta_agent.replay.preview import chosen
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.workspace.parts import StudyParts, create
from lorimer.models.base import ModelReply
from lorimer.sandbox.base import SandboxProvider
from lorimer.sandbox.fake import FakeProvider
from lorimer.task_agent.limits import Budget, Metered
from lorimer.task_agent.scheduling.attempts import StudyAttempts
from lorimer.task_agent.scheduling.scheduler import Scheduler
from lorimer.task_agent.trial import Machine
from lorimer.terminal import listing
from lorimer.traces.previews import CandidatePreview
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.scrub import MASK, scrubber
from lorimer.traces.tables import Trial
from lorimer.traces.writing.store import Store
from tests.support.trials import ScriptedModel, make_task, open_provider

SEED = '''"""A harness with a prompt that is never sent."""

import random

from lorimer.harness.api import user

PROMPT = "Solve the task."
NUDGE = "Go on with it."
SPOKEN = "Say it."


def solve(task, env, llm):
    said = llm.complete([user(task.instruction)], system=PROMPT).text
    if "hard" in task.instruction:
        said += llm.complete([user(SPOKEN)]).text
    if "never" in said:
        said += llm.complete([user(NUDGE)]).text
    env.exec(f"echo '{said}' > /app/said")
    return said
'''

INERT = Hunk('NUDGE = "Go on with it."', 'NUDGE = "Carry on with it, to its end."')
PROMPT = Hunk('PROMPT = "Solve the task."', 'PROMPT = "Solve the whole task."')
LATER = Hunk('SPOKEN = "Say it."', 'SPOKEN = "Say it hunter2-hunter2."')
ALOUD = Hunk('SPOKEN = "Say it."', 'SPOKEN = "Say it aloud."')
CHANCE = Hunk("    return said", "    return said + str(random.random())")


@dataclass
class Study:
    """One study in a folder of its own, with real trials."""

    root: Path
    provider: SandboxProvider
    heard: list[object] = field(default_factory=list)
    """What the sessions heard of their edits."""
    sessions: list[ProposalSession] = field(default_factory=list)

    @property
    def reader(self) -> StoreReader:
        return StoreReader(self.root / "traces.db")

    def tasks(self) -> list[Task]:
        """An easy task, which is always solved, and a hard one, which never is."""
        never = "echo 0 > /logs/verifier/reward.txt"
        return [
            make_task(self.root, name="one", instruction="an easy one"),
            make_task(self.root, never, name="two", instruction="a hard one"),
        ]

    async def run(
        self,
        *edits: Sequence[Hunk],
        shadows: SandboxProvider | None = None,
        concurrency: int = 2,
        enabled: bool = True,
    ) -> None:
        """The study to its end, with one session an edit."""
        settings = configure(len(edits), concurrency, enabled=enabled)
        left = list(edits)

        async def propose(session: ProposalSession) -> Proposal | NoProposal:
            self.sessions.append(session)
            hunks = tuple(left[session.number - 1])
            found = await accept(session.harness, hunks, session.checks)
            self.heard.append(found)
            if isinstance(found, EditRefusal):
                return NoProposal(found.why)
            return Proposal(f"edit {session.number}", "why", hunks, (), (), found.text, preview=found.preview)

        with Store.open(self.root / "traces.db") as store:
            tasks = self.tasks()
            budget = Budget("s", settings.budget, store)
            model = Metered(ScriptedModel(), budget, store, 100)
            attempts = StudyAttempts(
                Machine(self.provider, store, model), settings, {task.id: task for task in tasks}, budget
            )
            parts = StudyParts(
                store=store,
                reader=StoreReader(store),
                trials=Scheduler(attempts, concurrency=settings.sandbox.concurrency, retries=0),
                complete=no_model,
                config=settings,
                propose=propose,
                shadows=shadows or self.provider,
                scrub=scrubber(["hunter2-hunter2"]),
            )
            await create(
                store,
                study="s",
                kind="optimize",
                suite=Suite("two", tuple(tasks)),
                holdout=(),
                config=settings,
                harness=SEED,
            )
            await optimize(parts, "s")

    def previews(self) -> list[CandidatePreview | None]:
        return [self.reader.preview(row.id) for row in self.reader.candidates("s")]

    def told(self) -> str:
        """What the meta-agent reads of the experiments."""
        return experiments.for_meta_agent(experiments.read(self.reader, scan(self.reader, "s"), 0)).everything

    def log(self) -> str:
        return experiments.render(experiments.read(self.reader, scan(self.reader, "s"), 0))


def configure(candidates: int, concurrency: int, *, enabled: bool) -> Config:
    gate = {"policy": "paired", "repeats": 1, "champion_repeats": 2, "futility": 0.0}
    return parse(
        {
            "gate": gate,
            "budget": {"candidates": candidates},
            "meta": {"patience": 10},
            "sandbox": {"concurrency": concurrency},
            "replay": {"enabled": enabled},
            "study": {"canaries": 0},
            "search": {"phases": []},
        }
    )


async def no_model(*arguments: object, **named: object) -> ModelReply:
    raise AssertionError("these proposers ask no model")


@pytest.fixture
async def study(tmp_path: Path) -> AsyncIterator[Study]:
    provider = open_provider("bubblewrap")
    yield Study(tmp_path, provider)
    await provider.close()


@pytest.mark.bubblewrap
async def test_an_edit_that_touches_nothing_costs_nothing(study: Study) -> None:
    await study.run(
        [INERT], [Hunk("import random", "import random  # a comment")], [Hunk(SEED[-16:], SEED[-16:] + HELPER)]
    )
    first, second, third = study.heard
    assert first == EditRefusal(
        Fault.INERT,
        "this edit touches none of 4 recorded trials (0 of 2 failed, 0 of 2 solved): "
        "the text of NUDGE was changed and reached no request",
    )
    assert isinstance(second, EditRefusal)
    assert second.why.endswith(": it changes comments and layout alone")
    assert isinstance(third, EditRefusal)
    assert third.why.endswith(": nothing in agent.py uses helper, which it adds")
    assert {trial.stage for trial in study.reader.trials("s", limit=None)} == {"baseline"}
    assert study.previews() == [None] * 3
    assert "touches none of 4 recorded trials" in study.told()


HELPER = "\n\ndef helper(text):\n    return text.strip()\n"


@pytest.mark.bubblewrap
async def test_what_an_edit_touches_is_kept_with_it_and_told(study: Study) -> None:
    await study.run([LATER], [PROMPT, INERT], [ALOUD, Hunk("    return said", "    return said or str(None)")])
    later, both, two = study.previews()
    assert later is not None
    assert both is not None
    assert two is not None
    assert [(each.task, each.repeat, each.solved, each.touch and each.touch.step) for each in later.trials] == [
        ("one", 0, True, None),
        ("one", 1, True, None),
        ("two", 0, False, 2),
        ("two", 1, False, 2),
    ]
    touch = later.trials[2].touch
    assert touch is not None
    assert (touch.of, touch.method, touch.kinds) == (4, "llm.complete", ("messages",))
    assert (touch.model_calls, touch.tokens) == (1, 15), "one answer of ten and five tokens comes before"
    assert later.champion == sha(SEED)
    assert str(later.touches) == "touches 2 of 2 failed and 0 of 2 solved trials"
    assert both.idle == ("the text of NUDGE was changed and reached no request",)
    assert two.idle == ("hunk 2 of 2 by itself touches none of these trials",)
    for text in (study.told(), study.log()):
        assert "  touches 2 of 2 failed and 0 of 2 solved trials\n" in text
        assert "  touches 2 of 2 failed and 2 of 2 solved trials; the text of NUDGE was changed" in text
    views = scan(study.reader, "s").candidates
    assert [view.touches for view in views] == [later.touches, both.touches, two.touches]
    status = listing.status(study.reader, study.reader.study("s"), study.root)
    assert status.touches == f"c003 {two.touches}"
    assert f"  touched     {status.touches}" in listing.status_text(status).splitlines()


@pytest.mark.bubblewrap
async def test_a_part_that_another_one_needs_is_not_called_idle(study: Study) -> None:
    """`WORDS` alone reaches no request, and without it the other hunk would not run."""
    words = Hunk("\n\ndef solve", '\nWORDS = "All of it."\n\n\ndef solve')
    await study.run([words, Hunk("system=PROMPT", "system=PROMPT + WORDS")])
    (found,) = study.previews()
    assert found is not None
    assert found.touches.touched == 4
    assert found.idle == ()


@pytest.mark.bubblewrap
async def test_where_nothing_can_be_told_the_edit_goes_on_and_it_is_said(study: Study) -> None:
    await study.run([CHANCE], [INERT], shadows=None)
    chance, inert = study.heard
    assert isinstance(chance, Accepted)
    assert isinstance(inert, EditRefusal)
    (kept, _) = study.previews()
    assert kept is not None
    said = "was not previewed: of none of 4 recorded trials it can be told what it touches: the harness draws random numbers"
    assert str(kept.touches).startswith(said)
    assert f"  {said}" in study.told()


@pytest.mark.bubblewrap
async def test_a_jail_that_cannot_be_had_ends_no_study(study: Study) -> None:
    await study.run([INERT], shadows=FakeProvider())
    (found,) = study.heard
    assert isinstance(found, Accepted)
    (kept,) = study.previews()
    assert kept is not None
    assert kept.why.startswith("there was no jail for it (the fake provider has no jails")
    assert scan(study.reader, "s").candidates[0].state == "rejected"
    assert "  was not previewed: there was no jail for it (the fake provider" in study.log()
    assert "  was not previewed\n" in study.told(), "nothing of the machine is told to a model"


@pytest.mark.bubblewrap
async def test_without_replay_nothing_is_previewed(study: Study) -> None:
    await study.run([INERT], enabled=False)
    assert study.heard == [Accepted(SEED.replace(INERT.search, INERT.replace), kind="prompt")]
    assert study.previews() == [None]
    assert "touches" not in study.told()
    (session,) = study.sessions
    assert "preview_edit" not in [tool.name for tool in Toolbox(session).tools]


@pytest.mark.bubblewrap
async def test_previews_are_the_same_at_any_concurrency(tmp_path: Path, study: Study) -> None:
    edits = ([LATER], [INERT], [PROMPT, INERT])
    (tmp_path / "other").mkdir()
    other = Study(tmp_path / "other", study.provider)
    await study.run(*edits, concurrency=1)
    await other.run(*edits, concurrency=4)
    assert study.previews() == other.previews()
    assert study.previews()[1] is None
    assert study.told() == other.told()


@pytest.mark.bubblewrap
async def test_the_meta_agent_can_ask_what_an_edit_touches(study: Study) -> None:
    await study.run([PROMPT])
    tools = Toolbox(study.sessions[0])

    async def ask(*hunks: Hunk, room: int = 20_000) -> tuple[str, bool]:
        given = [{"search": hunk.search, "replace": hunk.replace} for hunk in hunks]
        answer = await tools.call("preview_edit", {"hunks": given}, room)
        assert answer.proposal is None
        assert len(answer.text) <= room
        return answer.text, answer.is_error

    text, failed = await ask(LATER)
    assert not failed
    assert text.startswith(
        "This edit would be accepted. It touches 2 of 2 failed and 0 of 2 solved trials.\n"
        "First difference in llm.complete (messages), 2 trials: two/0 (step 2), two/1 (step 2)\n"
        "== two/0, step 2 of 4, llm.complete ==\n--- recorded\n+++ now\n"
    )
    assert f"-Say it.\n+Say it {MASK}." in text, "what may be a secret is masked"
    assert text.count("== two/") == 1, "a difference is shown once"
    assert "s/baseline" not in text, "trials have the names of their cases"
    assert (await ask(INERT))[0].startswith("Error: this edit touches none of 4 recorded trials")
    assert (await ask(Hunk("nowhere", "x")))[1]
    for room in (800, 120):
        await ask(LATER, PROMPT, room=room)


def trial(task: str, repeat: int, *, solved: bool) -> Trial:
    return Trial(
        id=f"s/b/{task}/{repeat}/0", planned="", study="s", evaluation="s/b", stage="baseline", harness="h", task=task,
        repeat=repeat, attempt=0, model="m", started="", state=TrialState.SCORED.value, reward=float(solved),
    )  # fmt: skip


def test_of_many_trials_failed_and_solved_ones_of_every_task_are_chosen() -> None:
    solved = [trial(f"t{task}", repeat, solved=True) for task in range(10) for repeat in range(9)]
    failed = [trial(f"t{task}", 9, solved=False) for task in range(3)]
    trials = [*solved, *failed]
    assert chosen(trials, 200) == trials
    found = chosen(trials, 23)
    assert [each for each in found if each in failed] == failed, "there are few, so all are taken"
    assert [(each.task, each.repeat) for each in found if each in solved] == [
        (f"t{task}", repeat) for task in range(10) for repeat in range(2)
    ]
    assert found == [each for each in trials if each in found], "in their order"
    halves = chosen([replace_reward(each, 0.0) if each.repeat % 2 else each for each in solved], 20)
    assert sum(each.reward == 0.0 for each in halves) == 10


def replace_reward(of: Trial, reward: float) -> Trial:
    return of.model_copy(update={"reward": reward})
