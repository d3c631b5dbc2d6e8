"""What a study's world knows, prepared as candidates and decisions come, so that no question reads all of them again."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, replace
from typing import Self

from lorimer.errors import InternalError
from lorimer.kinds import PRUNING
from lorimer.meta_agent.state.names import About
from lorimer.traces.previews import RefusedEdit, Touches
from lorimer.traces.schema import Purpose, Stage
from lorimer.traces.tables import Candidate, DecisionRow

UNDER_WAY = ("proposing", "proposed")
"""States of a candidate that the loop is not done with."""


@dataclass(frozen=True)
class CandidateView:
    """A candidate as the loop needs it."""

    id: str
    number: int
    state: str
    parent: str
    harness: str | None
    title: str = ""
    hypothesis: str = ""
    fixes: tuple[str, ...] = ()
    failure: str = ""
    kind: str = ""
    """What its edit is about; empty where that is not known."""
    touches: Touches | None = None
    """How many recorded trials of its champion the edit touches, as it was when it was proposed; `None` where that was not worked
    out. Which ones, `StudyReader.preview` says."""
    round: int | None = None
    """The number of the first candidate of its round; `None` where it is a round of its own."""
    cluster: str = ""
    """The kind of failures that it is to be about; empty where it is to be about any."""
    rebased: int | None = None
    """The number of the candidate whose edit it is, made for an earlier champion; `None` of an edit that is new."""
    origin: str = "meta"
    """Who made the edit: `meta`, `human` or `pruning`."""
    refused: tuple[RefusedEdit, ...] = ()
    """Edits of its session that were refused before anything was paid for them."""

    @property
    def first(self) -> int:
        """The number of the first candidate of its round."""
        return self.number if self.round is None else self.round

    @property
    def pruned(self) -> bool:
        """Whether lorimer made it, by taking something out of the champion."""
        return self.origin == PRUNING

    @property
    def follows(self) -> bool:
        """Whether its edit is one of the champion, whichever that is when its turn comes: a person's, or a rebased one. What
        the meta-agent proposes is an edit of the harness that its round began with."""
        return self.origin == "human" or self.rebased is not None

    @classmethod
    def of(cls, row: Candidate) -> CandidateView:
        return cls(
            id=row.id,
            number=row.number,
            state=row.state,
            parent=row.parent,
            harness=row.harness,
            title=row.title,
            hypothesis=row.hypothesis,
            fixes=tuple(row.fixes),
            failure=row.failure,
            kind=row.kind,
            touches=None if row.touches is None else Touches.of_json(row.touches),
            round=row.round,
            cluster=row.cluster,
            rebased=row.rebased,
            origin=row.origin,
            refused=tuple(map(RefusedEdit.of_json, row.refused or ())),
        )


@dataclass(frozen=True)
class Round:
    """Candidates that were proposed unaware of one another, and that meet the same champion. A person's edit is one alone."""

    candidates: tuple[CandidateView, ...]
    """All candidates in order of number, those that have ended as well."""

    @property
    def under_way(self) -> tuple[CandidateView, ...]:
        """Those that have not ended."""
        return tuple(each for each in self.candidates if each.state in UNDER_WAY)

    @property
    def promoted(self) -> CandidateView | None:
        """The one that became the champion. The others are not compared with that: they are rebased."""
        return next((each for each in self.candidates if each.state == "promoted"), None)


@dataclass(frozen=True)
class Reign:
    """A harness that was the champion, and the candidate from which on it was."""

    since: int
    """The number of the first candidate that met it, or would have."""
    champion: str
    """A candidate by its id; "" for the seed harness."""
    reverted: DecisionRow | None = None
    """What a person said who made it the champion again; `None` where it was promoted."""


def state_after(about: About, kind: str) -> str:
    """The state in which a decision leaves its candidate: `rejected` or `undecided`; "" where it goes on, or is of none."""
    if not about.subject or about.purpose is not Purpose.FIRST:
        return ""
    return {"reject": "rejected", "undecided": "undecided"}.get(kind, "")


class Known:
    """Everything that a world knows of candidates and decisions. Whoever adds to one copies it first.

    A copy takes 30 µs at 700 candidates with 2,800 decisions; all else about an addition is the same however many there are.
    """

    def __init__(self) -> None:
        self.candidates: dict[str, CandidateView] = {}
        """The candidates by id, in order of number."""
        self.firsts: dict[int, int] = {}
        """The number of the first candidate of its round, by that of every other one."""
        self.lasts: dict[int, int] = {}
        """The number of the last candidate of a round, by that of its first one."""
        self.rebased = 0
        """How many candidates hold the edit of another one."""
        self.under_way: tuple[CandidateView, ...] = ()
        self.promoted: tuple[CandidateView, ...] = ()
        self.reverts: tuple[Reign, ...] = ()
        self.reigns: tuple[Reign, ...] = (Reign(1, ""),)
        """The champions' reigns, in order; the last one lasts."""
        self.decisions: dict[About, DecisionRow] = {}
        """All decisions, in the order in which they were made."""
        self.full_runs: list[tuple[int, DecisionRow]] = []
        """The decided full runs, each with its candidate's number, in order of that."""
        self.met: dict[tuple[str, Stage, Purpose], list[About]] = {}
        """What was decided of champions as they met candidates, in order of those, by subject, stage and purpose."""
        self.holdout_queries = 0

    def copy(self) -> Self:
        """A copy to add to."""
        made = type(self)()
        made.candidates, made.decisions = dict(self.candidates), dict(self.decisions)
        made.firsts, made.lasts, made.rebased = dict(self.firsts), dict(self.lasts), self.rebased
        made.under_way, made.promoted = self.under_way, self.promoted
        made.reverts, made.reigns = self.reverts, self.reigns
        made.full_runs = list(self.full_runs)
        made.met = {key: list(each) for key, each in self.met.items()}
        made.holdout_queries = self.holdout_queries
        return made

    def add_candidate(self, view: CandidateView) -> None:
        """A new candidate, or one that has changed."""
        before = self.candidates.get(view.id)
        last = next(reversed(self.candidates.values()), None)
        self.candidates[view.id] = view
        if before is None and last is not None and view.number < last.number:
            self.candidates = dict(sorted(self.candidates.items(), key=lambda item: item[1].number))
        last_known = self.lasts.get(view.first, view.first)
        if view.first != view.number:
            self.firsts[view.number] = view.first
            self.lasts[view.first] = max(view.number, self.lasts.get(view.first, 0))
        # A scan meets a promoted candidate before those that come after it in its round.
        grown = self.lasts.get(view.first, view.first) != last_known
        self.rebased += before is None and view.rebased is not None
        others = [each for each in self.under_way if each.id != view.id]
        self.under_way = _in_order([*others, view] if view.state in UNDER_WAY else others)
        if view.state == "promoted" or (before is not None and before.state == "promoted"):
            self.promoted = tuple(each for each in self.candidates.values() if each.state == "promoted")
            self._count_reigns()
        elif grown and self.promoted:
            self._count_reigns()

    def add_decision(self, row: DecisionRow) -> None:
        """A new decision, which ends its candidate where it rejects it or cannot tell.

        Raises InternalError for a candidate that is not known.
        """
        about = About.of(row)
        if about in self.decisions:
            return
        self.decisions[about] = row
        if about.purpose is not Purpose.FIRST:
            known = self.met.setdefault((about.subject, about.stage, about.purpose), [])
            insort(known, about, key=lambda each: each.met or 0)
            if about.purpose is Purpose.REVERTED:
                self.reverts = (*self.reverts, Reign(about.met or 0, about.subject, row))
                self._count_reigns()
            return
        candidate = self.candidates.get(about.subject)
        if about.subject and candidate is None:
            raise InternalError(f"decision {row.id} is about {about.subject}, which is no candidate of its study")
        if about.stage is Stage.HOLDOUT:
            self.holdout_queries += candidate is not None
        if candidate is None:
            return
        if about.stage is Stage.FULL:
            insort(self.full_runs, (candidate.number, row), key=lambda each: each[0])
        state = state_after(about, row.kind)
        if state and candidate.state == "proposed":
            self.add_candidate(replace(candidate, state=state))

    def _count_reigns(self) -> None:
        """A revert comes after the promotions before it, also where no candidate was tried in between."""
        crowned = [Reign(1, ""), *(Reign(self.last_of(each.number) + 1, each.id) for each in self.promoted)]
        self.reigns = tuple(sorted([*crowned, *self.reverts], key=lambda reign: reign.since))

    def first_of(self, number: int) -> int:
        """The number of the first candidate of a candidate's round; also of one that is still to come."""
        return self.firsts.get(number, number)

    def last_of(self, number: int) -> int:
        """The number of the last one."""
        first = self.first_of(number)
        return self.lasts.get(first, first)

    def full_runs_before(self, number: int) -> list[tuple[int, DecisionRow]]:
        """The decided full runs of candidates before the round of one."""
        first = self.first_of(number)
        return self.full_runs[: bisect_left(self.full_runs, first, key=lambda each: each[0])]


def _in_order(candidates: list[CandidateView]) -> tuple[CandidateView, ...]:
    return tuple(sorted(candidates, key=lambda each: each.number))
