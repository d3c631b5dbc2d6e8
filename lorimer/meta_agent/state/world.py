"""The loop's state as a value; what to do next, as a pure function of it, is `commands`.

Everything follows from rows: candidates and decisions, scanned when a process starts and folded in as they are stored. A stage
is done when its decision is stored, so a process that dies anywhere leaves a world from which the next one goes on. Decisions
of the measuring stages (`baseline`, `audit` and the baseline's `holdout`) are `pass` with the score as their numbers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby, takewhile

from lorimer.meta_agent.gate.cost import held_back
from lorimer.meta_agent.gate.statistics.scores import Score
from lorimer.meta_agent.state.folding import CandidateView, Known, Reign, Round
from lorimer.meta_agent.state.names import STAGES, About, candidate_id, evaluation_id
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import Purpose, Stage
from lorimer.traces.tables import Candidate, DecisionRow


@dataclass(frozen=True)
class World:
    """A study as it stands. It never changes: `with_candidate` and `with_decision` make the next one of what was stored."""

    study: str
    seed: int
    seed_harness: str
    train: tuple[str, ...]
    holdout: tuple[str, ...]
    canaries: tuple[str, ...] = ()
    _known: Known = field(default_factory=Known, repr=False, compare=False)

    def with_candidate(self, row: Candidate) -> World:
        """After a candidate was stored or changed."""
        return self.with_all([CandidateView.of(row)], ())

    def with_decision(self, row: DecisionRow) -> World:
        """After a decision was stored. The state of its candidate follows from it."""
        return self.with_all((), [row])

    def with_all(self, candidates: Iterable[CandidateView], decisions: Iterable[DecisionRow]) -> World:
        """After many were stored. Raises InternalError for a decision about a candidate that is not known."""
        known = self._known.copy()
        for candidate in candidates:
            known.add_candidate(candidate)
        for row in decisions:
            known.add_decision(row)
        return replace(self, _known=known)

    @property
    def candidates(self) -> tuple[CandidateView, ...]:
        """All candidates, in order of number."""
        return tuple(self._known.candidates.values())

    @property
    def decisions(self) -> Mapping[About, DecisionRow]:
        """All decisions, in the order in which they were made."""
        return self._known.decisions

    @property
    def promoted(self) -> tuple[CandidateView, ...]:
        """All that were promoted, in order of number."""
        return self._known.promoted

    @property
    def champion(self) -> CandidateView | None:
        """The last promoted candidate, or the one that a person went back to; `None` while the seed harness holds."""
        return self.candidate(self.reign.champion)

    @property
    def reign(self) -> Reign:
        """Since when the champion is it, and who made it so."""
        return self._known.reigns[-1]

    @property
    def champion_id(self) -> str:
        """The champion as a subject: its id; "" for the seed harness."""
        return self.champion.id if self.champion else ""

    @property
    def champion_harness(self) -> str:
        champion = self.champion
        return champion.harness if champion is not None and champion.harness else self.seed_harness

    @property
    def standing(self) -> str:
        """The evaluation whose trials stand for the champion on the train split."""
        return self.standing_at(self.champion_id)

    def standing_at(self, champion: str, number: int | None = None) -> str:
        """The evaluation whose trials stood for a champion ("" for the seed harness) when candidate `number` met it, or stand
        for it now: its first one, or the last of those that were run anew because they had aged.
        """
        return self._name(self._first(champion, number))

    def stood_at(self, champion: str, number: int | None = None) -> tuple[str, ...]:
        """The evaluations whose trials, all together, stood for a champion on the train split when candidate `number` met it, or
        stand for it now: `standing_at`, and those that were added as it withstood candidates.
        """
        return tuple(self._name(about) for about in self._stood(champion, number))

    def stood_for(self, number: int) -> tuple[str, ...]:
        """The evaluations that stood for the champion when candidate `number` was compared with it in its full run. What the
        champion ran side by side with candidates of that round in their audits came after that."""
        champion, first = self.champion_before(number), self.round_of(number)

        def beside(each: About) -> bool:
            met = each.met or 0
            return each.purpose is Purpose.ADDED and first <= met and self._confirmed(met)

        return tuple(self._name(each) for each in self._stood(champion, number) if not beside(each))

    def decided_by(self, number: int) -> tuple[str, ...]:
        """The evaluations by which candidate `number` was decided as far as they were run: its own, and what the champion ran
        side by side with it."""
        own, champion = candidate_id(self.study, number), self.champion_before(number)
        added = [self._name(About(champion, Stage.AUDIT, Purpose.ADDED, number))] if self._confirmed(number) else []
        return (
            *(self._name(About(own, stage)) for stage in STAGES),
            *(self.beside(number, stage) for stage in (Stage.FULL, Stage.HOLDOUT)),
            *added,
        )

    def _confirmed(self, number: int) -> bool:
        """Whether a candidate's audit was run side by side with the champion."""
        audit = self.decided(candidate_id(self.study, number), Stage.AUDIT)
        return audit is not None and audit.policy.get("name") == "pooled"

    @property
    def stood(self) -> tuple[str, ...]:
        """`stood_at`, now."""
        return self.stood_at(self.champion_id)

    @property
    def met_since(self) -> int:
        """The number of the first candidate that can have met the champion's standing trials."""
        again = self._first(self.champion_id, None).met
        if again is not None:
            return again
        return self.reign.since

    @property
    def reported(self) -> DecisionRow | None:
        """The champion's score over all its standing trials."""
        return self.reported_of(self.champion_id)

    def reported_of(self, champion: str) -> DecisionRow | None:
        """The score of a champion, or of one that was: over the trials that decided nothing where it has any, else over all the
        trials that stand for it, or did in the end."""
        return self.decisions.get(self._reported(champion)[-1])

    def reported_by(self, champion: str) -> tuple[str, ...]:
        """The evaluations whose trials, all together, have the score of `reported_of`."""
        return tuple(map(self._name, self._reported(champion)))

    def _reported(self, champion: str) -> list[About]:
        final = self._met(champion, Stage.AUDIT, Purpose.FINAL, None)
        return final[-1:] or self._stood(champion, None)

    @property
    def seed_at_first(self) -> DecisionRow | None:
        """The seed harness's score over its first trials, which every study begins with; `None` where `reported_of("")` is of
        no others by now."""
        first = self.decided("", Stage.BASELINE)
        return None if first is self.reported_of("") else first

    @property
    def sealed_score(self) -> DecisionRow | None:
        """What the champion and the seed harness scored on the sealed tasks at the end, in trials that decided nothing."""
        final = self._last_sealed()
        return self.decisions[final] if final else None

    @property
    def sealed_by(self) -> tuple[str, str]:
        """The evaluations of the seed harness and of the champion by which the sealed tasks are told of: the last ones, which
        decided nothing, where there are any, else those of the baseline and of the query that the champion passed."""
        last = self._last_sealed() or About(self.champion_id, Stage.HOLDOUT)
        return self._name(replace(last, subject="")), self._name(last)

    def _last_sealed(self) -> About | None:
        final = self._met(self.champion_id, Stage.HOLDOUT, Purpose.FINAL, None)
        return final[-1] if final else None

    @property
    def next_number(self) -> int:
        """The number that the next candidate will have."""
        return len(self.candidates) + 1

    def _first(self, champion: str, number: int | None) -> About:
        again = self._met(champion, Stage.AUDIT, Purpose.REFRESHED, number)
        return again[-1] if again else About(champion, Stage.AUDIT if champion else Stage.BASELINE)

    def _stood(self, champion: str, number: int | None) -> list[About]:
        first = self._first(champion, number)
        added = self._met(champion, Stage.AUDIT, Purpose.ADDED, number)
        final = self._met(champion, Stage.AUDIT, Purpose.FINAL, number)
        return [first, *(each for each in (*added, *final) if (first.met or 0) < (each.met or 0))]

    def _met(self, champion: str, stage: Stage, purpose: Purpose, number: int | None) -> list[About]:
        """What was decided of a champion as it met candidates up to `number`, in order of those."""
        found = self._known.met.get((champion, stage, purpose), [])
        return [about for about in found if number is None or (about.met or 0) <= number]

    def _name(self, about: About) -> str:
        return evaluation_id(self.study, about)

    def beside(self, number: int, stage: Stage) -> str:
        """The evaluation of the champion that candidate `number` met, side by side with it, if it was."""
        return self._name(About(self.champion_before(number), stage, Purpose.BESIDE, number))

    def champion_before(self, number: int) -> str:
        """The candidate that was champion when candidate `number` was tried; "" for the seed harness."""
        return self.reign_at(number).champion

    def reign_at(self, number: int) -> Reign:
        """Who was champion when candidate `number` was tried, or will be, and since when."""
        place = bisect_right(self._known.reigns, number, key=lambda reign: reign.since)
        return self._known.reigns[max(0, place - 1)]

    @property
    def open(self) -> CandidateView | None:
        """The first candidate under way."""
        return self._known.under_way[0] if self._known.under_way else None

    @property
    def round(self) -> Round | None:
        """The round under way."""
        if self.open is None:
            return None
        first = self.open.first
        numbers = range(first, self._known.last_of(first) + 1)
        found = (self.candidate(candidate_id(self.study, number)) for number in numbers)
        return Round(tuple(each for each in found if each is not None))

    def round_of(self, number: int) -> int:
        """The number of the first candidate of the round of candidate `number`, which knows only what was before that."""
        return self._known.first_of(number)

    def round_from(self, number: int) -> tuple[int, int] | None:
        """The numbers of the first and the last candidate of that round; `None` for a round of one."""
        found = self._known.first_of(number), self._known.last_of(number)
        return None if found[0] == found[1] else found

    @property
    def proposals(self) -> int:
        """How many edits were put forward. A rebased one is not counted again: it is only judged again."""
        return len(self._known.candidates) - self._known.rebased

    @property
    def fruitless(self) -> int:
        """Rounds since the last one with a usable edit; of several proposals of a round one usable edit is enough. What was
        rebased was not proposed, and what was pruned was nobody's idea, so neither counts."""
        latest = (
            each for each in reversed(self._known.candidates.values()) if each.rebased is None and not each.pruned
        )
        rounds = (
            all(each.state == "failed" for each in found) for _, found in groupby(latest, lambda each: each.first)
        )
        return sum(1 for _ in takewhile(bool, rounds))

    @property
    def holdout_queries(self) -> int:
        """How often the holdout has answered about a candidate."""
        return self._known.holdout_queries

    @property
    def full_runs(self) -> list[DecisionRow]:
        """The full runs that were decided, in order of candidates."""
        return [row for _, row in self._known.full_runs]

    def full_runs_before(self, candidate: int, since: int = 0) -> list[DecisionRow]:
        """The full runs that were decided of candidates from number `since` on and before the round of `candidate`, in order."""
        return [row for number, row in self._known.full_runs_before(candidate) if since <= number]

    def withstood(self, number: int) -> dict[str, int | None]:
        """The evaluations of the candidates that the champion had withstood when candidate `number` met it: their full runs, and
        where these were won, the trials side by side that were not. Each with how many of its trials the gate read; `None` is
        all. A candidate that the sealed tasks vetoed, or that was held back for its cost, was better on these, so it is left out.
        """
        found: dict[str, int | None] = {}
        for row in self.full_runs_before(number, since=self._since(number)):
            audit = self.decided(row.subject, Stage.AUDIT)
            if any(held_back(each.kind, each.numbers) for each in (row, audit) if each is not None):
                continue
            if row.kind == "reject" or (audit is not None and audit.kind == "reject"):
                found[row.id] = int(row.numbers.get("run") or 0)
            if audit is not None and audit.kind == "reject":
                found[audit.id] = None
        return found

    def _since(self, number: int) -> int:
        """The number of the first candidate that met the champion whom candidate `number` met."""
        return self.reign_at(number).since

    def candidate(self, subject: str) -> CandidateView | None:
        """A candidate by its id; `None` for the seed harness ("")."""
        return self._known.candidates.get(subject)

    def decided(
        self, subject: str, stage: Stage, purpose: Purpose = Purpose.FIRST, met: int | None = None
    ) -> DecisionRow | None:
        """The decision about a candidate, or about the seed harness ("")."""
        return self.decisions.get(About(subject, stage, purpose, met))


ByStage = Mapping[Stage, DecisionRow]


def by_candidate(world: World) -> tuple[Mapping[str, ByStage], Mapping[int, ByStage]]:
    """What was decided of each candidate, by its id, and of the age of the champion's trials when it met them, by its number: for
    whoever tells of all candidates, as `decided` looks for one decision at a time.
    """
    own: dict[str, dict[Stage, DecisionRow]] = {}
    aged: dict[int, dict[Stage, DecisionRow]] = {}
    for about, row in world.decisions.items():
        if about.purpose is Purpose.FIRST and about.met is None:
            own.setdefault(about.subject, {})[about.stage] = row
        elif about.purpose is Purpose.AGE and about.met is not None:
            aged.setdefault(about.met, {})[about.stage] = row
    return own, aged


# ---- scanning -------------------------------------------------------------------------------------------------------


def scan(reader: StudyReader, study: str) -> World:
    """The study's world as the store has it now. Raises UserError for an unknown study."""
    row = reader.study(study)
    tasks = reader.tasks(study)
    world = World(
        study=study,
        seed=row.seed,
        seed_harness=row.seed_harness,
        train=tuple(task.id for task in tasks if task.split == "train"),
        holdout=tuple(task.id for task in tasks if task.split == "holdout"),
        canaries=tuple(task.id for task in tasks if task.split == "canary"),
    )
    # Decisions first: a candidate that one of them is about is stored before it, and so among those that are read then.
    decisions = reader.decisions(study)
    return world.with_all(map(CandidateView.of, reader.candidates(study)), decisions)


# ---- scores ---------------------------------------------------------------------------------------------------------


def score_numbers(score: Score) -> dict[str, float | int | None]:
    """A score as a decision's numbers."""
    return {
        "score": score.mean if score.trials else None,
        "low": score.low,
        "high": score.high,
        "tasks": score.tasks,
        "trials": score.trials,
        "errored": score.errored,
    }


def score_of(row: DecisionRow, whose: str = "") -> Score:
    """The score that a measuring stage stored; of two, `whose` tells which (`seed_`)."""
    numbers = {key.removeprefix(whose): value for key, value in row.numbers.items() if key.startswith(whose)}
    mean = numbers.get("score")
    return Score(
        mean=float("nan") if mean is None else float(mean),
        low=float(numbers.get("low", 0.0)),
        high=float(numbers.get("high", 1.0)),
        tasks=int(numbers.get("tasks", 0)),
        trials=int(numbers.get("trials", 0)),
        errored=int(numbers.get("errored", 0)),
    )
