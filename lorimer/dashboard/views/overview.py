"""What the pages of all studies and of one study show: values, read through the shelf."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice

from lorimer.dashboard.shelf import Opened, Shelf
from lorimer.dashboard.views.history import History, history
from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.meta_agent.ledger import experiments, gain_price
from lorimer.meta_agent.ledger.bounds import bounds_of
from lorimer.meta_agent.ledger.drifting import drift_of
from lorimer.meta_agent.ledger.refusals import refusals
from lorimer.meta_agent.ledger.telling import came_of
from lorimer.meta_agent.ledger.trust import NAMED, trust
from lorimer.meta_agent.reports.gain import gain_of
from lorimer.meta_agent.state.names import STAGES, short
from lorimer.meta_agent.state.world import score_of
from lorimer.meta_agent.workspace.caching import cache_use
from lorimer.terminal.words import left_of
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import Spent, Stage, TrialState
from lorimer.wording import count, minute

LATEST = 8
"""Decisions in words on a study's page."""
AT_ONCE = 64
"""Running trials that are listed."""


@dataclass(frozen=True)
class ListedStudy:
    """One study in the list of all."""

    id: str
    kind: str
    state: str
    began: str
    """UTC, and said to be."""
    benchmark: str
    model: str
    seed: float | None
    """The seed harness's score; `None` while it is not measured."""
    score: float | None
    """The champion's."""
    promoted: int
    candidates: int
    spent: Spent


def lines(shelf: Shelf) -> list[ListedStudy]:
    """All studies, the one that began last first."""
    return [_line(shelf, row.id) for row in reversed(shelf.reader.studies())]


def _line(shelf: Shelf, study: str) -> ListedStudy:
    opened = shelf.open(study)
    spent = shelf.worked_out(study, "spent", opened.mark, lambda: shelf.reader.spent(study))
    row, world = opened.row, opened.world
    reported, baseline = world.reported, world.reported_of("")
    return ListedStudy(
        id=row.id,
        kind=row.kind,
        state=opened.state,
        began=minute(row.created),
        benchmark=row.benchmark,
        model=row.task_model if row.task_model == row.meta_model else f"{row.task_model} / {row.meta_model}",
        seed=baseline.numbers.get("score") if baseline else None,
        score=reported.numbers.get("score") if reported else None,
        promoted=len(world.promoted),
        candidates=len(world.candidates),
        spent=spent,
    )


@dataclass(frozen=True)
class ToldCandidate:
    """A candidate and what came of it, in words."""

    number: int
    name: str
    state: str
    title: str
    came_of: str


@dataclass(frozen=True)
class Stint:
    """Trials of one plan that run now."""

    what: str
    """`c007, full run`."""
    done: int
    planned: int
    trials: tuple[tuple[str, str], ...]
    """Id and task of each that runs; none of a sealed plan."""
    sealed: bool


@dataclass(frozen=True)
class Alert:
    """Something that speaks against a study's results, or stops it."""

    word: str
    said: str
    level: str = "warn"
    """`grave`, `warn`, or `calm` for what is only to be known."""


@dataclass(frozen=True)
class Overview:
    """A study's page."""

    opened: Opened
    baseline: Score | None
    champion: Score | None
    champion_name: str
    champion_title: str
    sealed: tuple[Score, Score] | None
    """The champion's and the seed's score on the sealed tasks; `None` while the study goes on, and where it
    ended without running them there once more."""
    history: History
    spent: Spent
    left: tuple[tuple[str, float], ...]
    """What is left of each bound of the budget in words, and the share of it that is used."""
    counts: Mapping[str, int]
    """Candidates by state."""
    refused: str
    """Which edits were refused before anything was paid for them, in words; empty where none was."""
    running: tuple[Stint, ...]
    proposing: ToldCandidate | None
    latest: tuple[ToldCandidate, ...]
    alerts: tuple[Alert, ...]
    gain: tuple[tuple[str, str], ...]
    cache: tuple[tuple[str, str], ...]
    """What was read from providers' caches and what was lost there, each after a word."""
    train: int
    holdout: int

    @property
    def headline(self) -> str:
        """What came of the study, in a sentence or two."""
        if self.champion is None or self.baseline is None:
            return "Nothing has been measured to its end yet."
        tried, promoted = sum(self.counts.values()), len(self.opened.world.promoted)
        where = f"on {count(self.train, 'train task')}"
        if self.opened.world.champion is None:
            which = f"none of {count(tried, 'candidate')} is in its place" if tried else "nothing else has been tried"
            return f"The seed harness scores {_interval(self.baseline)} {where}; {which}."
        said = (
            f"{self.champion_name}, the champion after {count(tried, 'candidate')} of which {promoted} "
            f"{'was' if promoted == 1 else 'were'} promoted, scores {_interval(self.champion)} {where}; the seed harness "
            f"scores {_interval(self.baseline)}."
        )
        if self.sealed is None:
            return said
        champion, seed = self.sealed
        return f"{said} On {count(self.holdout, 'sealed task')} it is {champion.mean:.3f} against {seed.mean:.3f}."


def _interval(found: Score) -> str:
    return f"{found.mean:.3f} (95% interval {found.low:.2f} to {found.high:.2f})"


def overview(shelf: Shelf, opened: Opened) -> Overview:
    """Read a study's page."""
    reader, world, row = shelf.reader, opened.world, opened.row
    baseline, reported, final = world.reported_of(""), world.reported, world.sealed_score
    mark = opened.mark
    spent = shelf.worked_out(row.id, "spent", mark, lambda: reader.spent(row.id))
    bounds = bounds_of(row, world, spent)
    champion = world.champion
    told = [tell(opened, view.number) for view in reversed(world.candidates[-LATEST - 1 :])]
    return Overview(
        opened=opened,
        baseline=score_of(baseline) if baseline else None,
        champion=score_of(reported) if reported else None,
        champion_name=short(champion.number) if champion else "the seed harness",
        champion_title=champion.title if champion else "",
        sealed=(score_of(final), score_of(final, "seed_")) if final and not opened.sealed else None,
        history=shelf.worked_out(row.id, "history", mark.decided, lambda: history(world)),
        spent=spent,
        left=tuple((left_of(each), min(1.0, each.used / each.limit) if each.limit else 1.0) for each in bounds),
        counts=dict(Counter(view.state for view in world.candidates)),
        refused=str(refused) if (refused := refusals(world.candidates)) else "",
        running=stints(reader, opened),
        proposing=next((each for each in told if each.state == "proposing"), None),
        latest=tuple(each for each in told if each.state != "proposing")[:LATEST],
        alerts=shelf.worked_out(row.id, "alerts", (mark, opened.state), lambda: tuple(alerts(reader, opened))),
        gain=shelf.worked_out(row.id, "gain", mark.decided, lambda: tuple(_gain(reader, opened, spent))),
        cache=shelf.worked_out(
            row.id, "cache", mark, lambda: tuple(cache_use(row, spent, reader.cache_breaks).lines())
        ),
        train=len(world.train),
        holdout=len(world.holdout),
    )


def _gain(reader: StudyReader, opened: Opened, spent: Spent) -> list[tuple[str, str]]:
    gain = gain_of(reader, opened.world, opened.row)
    return gain_price.gain_lines(gain, gain_price.of_study(gain, spent))


def tell(opened: Opened, number: int) -> ToldCandidate:
    """A candidate in words. Raises UserError."""
    row, world = opened.candidate(number), opened.world
    view = world.candidate(row.id)
    state = view.state if view else row.state
    decided = [each for stage in (*STAGES, Stage.REVIEW) if (each := world.decided(row.id, stage)) is not None]
    return ToldCandidate(number, short(number), state, row.title, came_of(state, row.failure, decided))


def stints(reader: StudyReader, opened: Opened) -> tuple[Stint, ...]:
    """What runs now, a plan at a time; nothing of a study that no living process runs."""
    if opened.state != "running":
        return ()
    running = reader.trials(opened.id, state=TrialState.RUNNING.value, limit=AT_ONCE)
    names = list(dict.fromkeys(trial.evaluation for trial in running))
    plans, scored = reader.plans(names), reader.scored(names)
    found = []
    for name in names:
        own = [trial for trial in running if trial.evaluation == name]
        evaluation = reader.evaluation(name)
        candidate = reader.candidate(evaluation.subject) if evaluation and evaluation.subject else None
        who = short(candidate.number) if candidate else "the seed harness"
        sealed = any(opened.hides(trial) for trial in own)
        found.append(
            Stint(
                what=f"{who}, {own[0].stage}",
                done=len({(task, repeat) for where, task, repeat, _ in scored if where == name}),
                planned=len(plans.get(name, ())),
                trials=() if sealed else tuple((trial.id, trial.task) for trial in own),
                sealed=sealed,
            )
        )
    return tuple(found)


def alerts(reader: StudyReader, opened: Opened) -> list[Alert]:
    """What speaks against the results, what luck alone would do, and why it does not go on."""
    world, found = opened.world, list[Alert]()
    if opened.state in ("paused", "interrupted"):
        found.append(Alert(opened.state, opened.reason, "grave"))
    found += [
        Alert(word, said, "grave" if word in ("suspect", "canaries") else "warn")
        for word, said in _trust(reader, opened)
    ]
    drift, luck = drift_of(reader, world), experiments.luck(reader, world)
    found += (
        [Alert("drift", str(drift), "warn" if drift.change.low > 0 or drift.change.high < 0 else "calm")]
        if drift
        else []
    )
    found += [Alert("luck", str(luck), "calm")] if luck.tests else []
    found += [Alert("budget", row.text) for row in reader.warnings(opened.id)]
    errored = int(world.reported.numbers.get("errored", 0)) if world.reported else 0
    found += (
        [Alert("errors", f"{count(errored, 'trial')} of the champion's errored, and its score leaves them out")]
        if errored
        else []
    )
    return found


def _trust(reader: StudyReader, opened: Opened) -> list[tuple[str, str]]:
    """What speaks against the trials, of which sealed ones are not named."""
    found = trust(reader, opened.id)
    if opened.sealed and found.suspect:
        named = (name for name in found.suspect if not opened.hides(reader.trial(name)))
        first = tuple(islice(named, NAMED))
        # As many as there are, of which those are named first that may be.
        found = replace(found, suspect=first + ("sealed",) * (len(found.suspect) - len(first)))
    return found.lines()
