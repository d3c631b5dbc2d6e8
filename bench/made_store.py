"""A workspace with a long study in its store, made rather than run: what readers are measured on.

The gate's own functions plan and decide every candidate, on trials drawn from dice; the rows go through the store's own tables.
So the store is one that a study could have left: `lorimer verify` finds nothing wrong, and `lorimer gate replay` decides as it
was decided.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.made_rows import TRIAL_SECONDS, Rows
from bench.made_steps import Steps
from bench.made_tasks import chances_of, edited, write_tasks
from lorimer.benchmarks.base import Suite
from lorimer.benchmarks.split import shares
from lorimer.config.settings import Config, load
from lorimer.harness.version import sha
from lorimer.meta_agent.gate import full_run
from lorimer.meta_agent.gate.comparison import Decision, Evidence
from lorimer.meta_agent.gate.design import policy_of
from lorimer.meta_agent.gate.full_run import FullRun
from lorimer.meta_agent.gate.plans import Luck, by_task_and_repeat, full_plan, spot_plan, spot_trials
from lorimer.meta_agent.gate.statistics.scores import Result, score, task_means
from lorimer.meta_agent.gate.statistics.weights import EarlierTrials, weights
from lorimer.meta_agent.gate.transfer import Met, sealed_verdict, sentence
from lorimer.meta_agent.gate.verdicts import spot_verdict
from lorimer.meta_agent.state.names import About, candidate_id, evaluation_id
from lorimer.meta_agent.state.world import scan, score_numbers
from lorimer.meta_agent.study.effects import store_effects
from lorimer.meta_agent.workspace.parts import create
from lorimer.meta_agent.workspace.repository import STORE, Promotion, Workspace
from lorimer.meta_agent.workspace.suite import load_suite
from lorimer.scaffold import init
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import Purpose, Stage
from lorimer.traces.tables import Candidate, DecisionRow, Evaluation, Trial
from lorimer.traces.writing.store import Store

STUDY = "long"
MODEL = "anthropic/claude-sonnet-4-5"
"""Not a simulated one: the trials of a simulated model's champion do not age."""
CONCURRENCY = 4
ERRORED = 0.01
"""Share of attempts that the world breaks."""
PAST_THE_END = 2
"""Trials of a full run that finish, by luck of timing, after the one that settles it."""

SETTINGS = f"""\
[benchmark]
source = "harbor:tasks"
[models]
task = "{MODEL}"
[sandbox]
provider = "docker"
[gate]
policy = "paired"
repeats = 5
champion_max_age = 36
holdout_queries = 500
[budget]
candidates = 100000
"""


@dataclass(frozen=True)
class Size:
    """How large a study."""

    candidates: int = 700
    tasks: int = 125
    turns: float = 6.55
    """Model calls per trial, on average; there are two steps and a bit for each."""


@dataclass(frozen=True)
class Made:
    """What was made."""

    root: Path
    candidates: int
    promoted: int
    trials: int
    steps: int


@dataclass
class _Champion:
    """Who holds, and what its trials gave."""

    id: str
    """The candidate's; empty for the seed harness."""
    number: int
    harness: str
    text: str
    chances: dict[str, float]
    stood: dict[str, list[Result]] = field(default_factory=dict)
    """The results of each evaluation, in order."""
    met: int = 0
    began: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    @property
    def standing(self) -> list[Result]:
        return [outcome for trials in self.stood.values() for outcome in trials]


def make(root: Path, size: Size = Size(), seed: int = 0) -> Made:
    """Make a workspace in a folder that is not there yet, or find the one made before. Minutes, for the whole size."""
    note = root / "made.json"
    if not note.exists():
        write_tasks(root / "tasks", size.tasks)
        init(root, source=f"harbor:{root / 'tasks'}", model=MODEL, own_repository=True)
        (root / "lorimer.toml").write_text(SETTINGS)
        made = asyncio.run(_Maker(root, size, seed).make())
        note.write_text(json.dumps(dataclasses.asdict(made) | {"root": str(root)}))
    return Made(**json.loads(note.read_text()) | {"root": root})


class _Maker:
    """Plays a study from its baseline on, as `meta_agent.study.stages` would."""

    def __init__(self, root: Path, size: Size, seed: int) -> None:
        self._root, self._size, self._seed = root, size, seed
        self._config: Config = load(root / "lorimer.toml", {"study.seed": seed})
        self._gate, self._policy = self._config.gate, policy_of(self._config)
        self._dice = random.Random(seed)
        self._steps = Steps(random.Random(seed + 1), size.turns)
        self._clock = datetime(2026, 1, 1, tzinfo=UTC)
        self._earlier, self._passed = EarlierTrials(), list[bool]()
        self._seed_trials = Met(([], []), ([], []))
        """The seed harness's, as the earlier ones."""
        self._outcomes: dict[str, list[Result]] = {}
        self._asked = self._promoted = 0

    async def make(self) -> Made:
        suite = load_suite(self._root, self._config)
        names = [task.id for task in suite.tasks]
        holdout = sorted(self._dice.sample(names, round(len(names) * shares(self._config.split, 0)[0])))
        self._train = [name for name in names if name not in holdout]
        self._holdout = holdout
        self._workspace = Workspace(self._root)
        text = self._workspace.read_harness()
        with Store.open(self._root / STORE) as store:
            self._store = store
            self._rows = Rows(store.path, self._steps, self._dice, MODEL)
            await self._check(suite)
            await create(
                store, study=STUDY, kind="optimize", suite=suite, holdout=holdout, config=self._config, harness=text
            )
            self._champion = _Champion("", 0, sha(text), text, chances_of(names, self._dice))
            await self._baseline()
            for number in range(1, self._size.candidates + 1):
                await self._candidate(number)
            reader = StoreReader(store)
            await store_effects(store, reader, scan(reader, STUDY), self._config.retries.errored)
            await store.set_study_state(STUDY, "paused", "stopped by the user; `lorimer resume long` goes on")
            self._rows.close()
        return Made(self._root, self._size.candidates, self._promoted, self._rows.trials, self._steps.made)

    async def _check(self, suite: Suite) -> None:
        """What `lorimer benchmarks check` leaves, without which a study could not have begun."""
        study = "check-1"
        await create(
            self._store, study=study, kind="check", suite=suite, holdout=(), config=self._config, harness=""
        )  # fmt: skip
        for agent, reward in (("oracle", 1.0), ("nop", 0.0)):
            of = Evaluation(
                id=f"{study}/restart/{agent}",
                study=study,
                subject="",
                stage=Stage.BASELINE.value,
                purpose=Purpose.FIRST.value,
                harness=agent,
                plan=[],
            )
            trials = [self._rows.trial(of, task.id, 0, 0, reward, self._clock) for task in suite.tasks]
            for trial in trials:
                trial.evaluation, trial.model, trial.flags = f"{study}/restart", "", []
            self._rows.write(trials, steps=False)
        await self._store.set_study_state(
            study, "finished", f"{len(suite.tasks)} of {len(suite.tasks)} tasks are valid"
        )

    # ---- the stages

    async def _baseline(self) -> None:
        champion, gate = self._champion, self._gate
        both = list[list[Result]]()
        for stage, tasks, repeats in (
            (Stage.BASELINE, self._train, gate.first_champion_repeats),
            (Stage.HOLDOUT, self._holdout, gate.holdout_repeats),
        ):
            about = About("", stage)
            name, plan = evaluation_id(STUDY, about), by_task_and_repeat(tasks, repeats)
            found = await self._run(about, champion.harness, plan, champion.chances)
            numbers: dict[str, Any] = dict(score_numbers(score(found)))
            if stage is Stage.BASELINE:
                champion.stood = {name: found}
            both.append(found)
            await self._decide(about, Decision("pass", _measured(found), numbers))
        self._seed_trials = Met(([], both[0]), ([], both[1]))

    async def _candidate(self, number: int) -> None:
        champion, name = self._champion, candidate_id(STUDY, number)
        row = Candidate(
            id=name, study=STUDY, number=number, parent=champion.harness, edit=[], fixes=[], at_risk=[], state="proposing"
        )  # fmt: skip
        await self._store.add_candidate(row)
        self._rows.proposal(STUDY, name)
        if number % 29 == 0:
            await self._store.update_candidate(
                name, "proposing", state="failed", failure="the meta-agent used up its 24 calls"
            )
            return
        title, words = self._steps.sentence(6), self._steps.sentence(40)
        text = f"{champion.text.rstrip()}\n\n# {number}: {words}\n"
        harness = sha(text)
        await self._store.add_harness(harness, text)
        means = task_means(champion.standing)
        failing = [task for task in self._train if means[task] < 1]
        fixes = self._dice.sample(failing, min(4, len(failing)))
        at_risk = self._dice.sample(self._train, 2)
        hunks = [{"search": champion.text.splitlines()[-1], "replace": f"{champion.text.splitlines()[-1]}\n# {words}"}]
        await self._store.update_candidate(
            name, "proposing", state="proposed", harness=harness, title=title, hypothesis=words, edit=hunks, fixes=fixes,
            at_risk=at_risk,
        )  # fmt: skip
        gain = self._dice.choices((0.0, -0.04, 0.05), (0.6, 0.28, 0.12))[0]
        chances = edited(champion.chances, gain, self._dice)
        state = await self._judged(name, number, harness, chances, fixes)
        if state != "promoted":
            await self._store.update_candidate(name, "proposed", state=state)
            return
        await self._promote(name, number, harness, text, title, words, chances)

    async def _judged(
        self, name: str, number: int, harness: str, chances: Mapping[str, float], fixes: Sequence[str]
    ) -> str:
        """The candidate's state after all its stages."""
        champion, gate = self._champion, self._gate
        luck = Luck(self._seed, number)
        plan = spot_plan(fixes, luck, champion.standing, gate.spot_fixes, gate.spot_guards)
        about = About(name, Stage.SPOT)
        found = await self._run(about, harness, plan, chances)
        decision = spot_verdict(spot_trials(found, champion.standing))
        await self._decide(about, decision)
        if decision.kind == "reject":
            return "rejected"
        known = self._earlier.rates()
        plan = full_plan(self._train, luck, gate.repeats, known)
        await self._aged(number)
        await self._once_more(number)
        decision, read = await self._full(name, harness, plan, chances, weights(known))
        self._earlier.add(read)
        self._passed.append(decision.kind == "promote")
        champion.met += 1
        if decision.kind != "promote":
            return {"reject": "rejected", "undecided": "undecided"}[decision.kind]
        audit = About(name, Stage.AUDIT)
        found = await self._run(audit, harness, by_task_and_repeat(self._train, gate.first_champion_repeats), chances)
        await self._decide(audit, Decision("pass", _measured(found), dict(score_numbers(score(found)))))
        return await self._sealed(name, number, harness, chances, found)

    async def _full(
        self,
        name: str,
        harness: str,
        plan: Sequence[tuple[str, int]],
        chances: Mapping[str, float],
        weighed: Mapping[str, int],
    ) -> tuple[Decision, list[Result]]:
        about, champion = About(name, Stage.FULL), self._champion
        planned = [task for task, _ in plan]
        drawn = [self._draw(task, chances) for task in planned]
        run = FullRun(drawn, champion.standing, planned, weights=weighed)
        decision = full_run.full_verdict(run, self._policy, self._gate)
        read = int(decision.numbers["run"] or 0)
        if not read:
            raise AssertionError("the made study has a full run that was decided before it began")
        stored = min(len(plan), read + (PAST_THE_END if read < len(plan) else 0))
        await self._run(about, harness, plan, chances, drawn[:stored])
        await self._decide(about, decision)
        return decision, drawn[:read]

    async def _sealed(
        self, name: str, number: int, harness: str, chances: Mapping[str, float], audited: Sequence[Result]
    ) -> str:
        about, champion, before = About(name, Stage.HOLDOUT), self._champion, self._seed_trials
        plan = by_task_and_repeat(self._holdout, self._gate.holdout_repeats)
        mine = await self._run(about, harness, plan, chances)
        beside = About(champion.id, Stage.HOLDOUT, Purpose.BESIDE, number)
        again = [(task, number * self._gate.holdout_repeats + repeat) for task, repeat in plan]
        theirs = await self._run(beside, champion.harness, again, champion.chances)
        self._asked += 1
        verdict = sealed_verdict(
            Evidence(mine, theirs, [task for task, _ in plan]),
            self._policy,
            Met((audited, champion.standing), (mine, theirs)),
            Met((audited, before.train[1]), (mine, before.sealed[1])),
            self._asked,
        )
        said = sentence(verdict, self._asked)
        await self._decide(about, Decision(verdict.kind, said, dict(verdict.numbers)))
        return {"reject": "rejected", "undecided": "undecided", "pass": "promoted"}[verdict.kind]

    async def _promote(
        self, name: str, number: int, harness: str, text: str, title: str, words: str, chances: dict[str, float]
    ) -> None:
        before, began = self._champion, self._clock
        audit = evaluation_id(STUDY, About(name, Stage.AUDIT))
        promotion = Promotion(STUDY, name, harness, title, words, "promoted", "0.5", "[0.4, 0.6]", self._rows.head())
        commit = self._workspace.promote(promotion, text, before.text).commit
        await self._store.update_candidate(name, "proposed", state="promoted", commit=commit)
        if not before.id:
            self._earlier.add(next(iter(before.stood.values())))  # the first champion's trials are tested no more
        stood = {audit: self._outcomes[audit]}
        self._champion = _Champion(name, number, harness, text, chances, stood, 0, began)
        self._promoted += 1

    # ---- the champion's trials

    async def _aged(self, number: int) -> None:
        """As `Stages._fresh`: where the champion's trials are too old, they are run anew."""
        champion, limit = self._champion, self._gate.champion_max_age
        assert limit is not None
        standing = next(iter(champion.stood))
        hours = (self._clock - champion.began).total_seconds() / 3600
        old = hours > limit
        said = f"the champion's trials ({standing}) are {hours:.1f} h old" if old else "the champion's trials are young"
        numbers: dict[str, Any] = {"hours": hours, "max_age": limit, "refresh": old, "standing": standing}
        await self._decide(About(champion.id, Stage.FULL, Purpose.AGE, number), Decision("pass", said, numbers))
        if not old:
            return
        first, about = self._gate.first_champion_repeats, About(champion.id, Stage.AUDIT, Purpose.REFRESHED, number)
        plan = [(task, number * first + repeat) for task, repeat in by_task_and_repeat(self._train, first)]
        now = self._clock
        found = await self._run(about, champion.harness, plan, champion.chances)
        champion.stood, champion.began, champion.met = {evaluation_id(STUDY, about): found}, now, 0
        await self._decide(about, Decision("pass", _measured(found), dict(score_numbers(score(found)))))

    async def _once_more(self, number: int) -> None:
        """As `Stages._once_more`: a champion that withstood candidates is known better."""
        champion, every = self._champion, self._gate.champion_every
        more, first = len(champion.stood) - 1, self._gate.first_champion_repeats
        if champion.met // every <= more or first + more >= self._gate.most_champion_repeats:
            return
        about = About(champion.id, Stage.AUDIT, Purpose.ADDED, number)
        plan = [(task, number * first) for task in self._train]
        champion.stood[evaluation_id(STUDY, about)] = await self._run(about, champion.harness, plan, champion.chances)
        measured = dict(score_numbers(score(champion.standing)))
        await self._decide(about, Decision("pass", _measured(champion.standing), measured))

    # ---- rows

    async def _run(
        self,
        about: About,
        harness: str,
        plan: Sequence[tuple[str, int]],
        chances: Mapping[str, float],
        drawn: Sequence[Result] | None = None,
    ) -> list[Result]:
        """Store an evaluation and its trials, those of the plan's beginning that are `drawn`; all of them by default."""
        row = Evaluation(
            id=evaluation_id(STUDY, about),
            study=STUDY,
            subject=about.subject,
            stage=about.stage.value,
            purpose=about.purpose.value,
            met=about.met,
            harness=harness,
            plan=[list(each) for each in plan],
        )
        await self._store.add_evaluation(row)
        found = [self._draw(task, chances) for task, _ in plan] if drawn is None else list(drawn)
        trials: list[Trial] = []
        for (task, repeat), outcome in zip(plan, found, strict=False):
            broken = 0
            while (
                outcome.reward is not None and broken < self._config.retries.errored and self._dice.random() < ERRORED
            ):
                broken += 1
            ends = [None] * (broken if outcome.reward is not None else self._config.retries.errored)
            for attempt, reward in enumerate([*ends, outcome.reward]):
                trials.append(self._rows.trial(row, task, repeat, attempt, reward, self._clock))
        self._clock += timedelta(seconds=TRIAL_SECONDS * len(trials) / CONCURRENCY)
        self._rows.write(trials)
        self._outcomes[row.id] = found
        return found

    def _draw(self, task: str, chances: Mapping[str, float]) -> Result:
        if self._dice.random() < ERRORED / 20:
            return Result(task, None)  # however often it was tried
        graded = int(task[-1]) == 0 and chances[task] > 0
        if graded:
            return Result(task, sum(self._dice.random() < chances[task] for _ in range(4)) / 4)
        return Result(task, float(self._dice.random() < chances[task]))

    async def _decide(self, about: About, decision: Decision) -> None:
        row = DecisionRow(
            id=evaluation_id(STUDY, about),
            study=STUDY,
            subject=about.subject,
            stage=about.stage.value,
            purpose=about.purpose.value,
            met=about.met,
            kind=decision.kind,
            reason=decision.reason,
            numbers=dict(decision.numbers),
            policy=dict(self._policy.as_json()),
            made=self._clock.isoformat(timespec="seconds"),
        )
        await self._store.add_decision(row)


def _measured(found: Sequence[Result]) -> str:
    measured = score(found)
    return f"{measured} over {measured.trials} trials of {measured.tasks} tasks"
