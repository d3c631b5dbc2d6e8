"""The trials of one harness, evaluation by evaluation: what each of them is, what came out, and the trials themselves."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from lorimer.dashboard.paths import last_page
from lorimer.dashboard.shelf import Opened
from lorimer.errors import UserError
from lorimer.kinds import SOLVED
from lorimer.meta_agent.state.names import STAGES, short
from lorimer.traces.base import StudyReader
from lorimer.traces.reading.bulk import Attempt
from lorimer.traces.schema import Purpose, Stage, TrialState
from lorimer.traces.tables import Evaluation

LISTED = 400
"""Trials of one evaluation that stand on its harness's page; only of those that every candidate meets."""
PAGE = 1_000
"""Trials of an evaluation's own page."""

UNCOUNTED = (TrialState.ERRORED, TrialState.CANCELLED)

ORDER = (Stage.BASELINE, *STAGES)


@dataclass(frozen=True)
class EvaluationLine:
    """An evaluation of a harness."""

    id: str
    what: str
    """`audit, at the end of the study`."""
    stands: bool
    """Whether the score that is told of the champion or of the seed harness is that of these trials."""
    solved: int
    scored: int
    """Planned trials that have a reward; of one that was tried anew the last counts."""
    errored: int
    """Planned trials that ended without one, which no score counts."""
    again: int
    """Further attempts that ended without one: they were cancelled, or errored and were tried anew."""
    read: int | None
    """How many planned trials, the first ones, decided a full run; `None` where these are all, and of other evaluations."""
    attempts: int
    """All that were begun and may be shown, those under way included."""
    sealed: int
    """Planned trials that are not shown yet."""
    trials: tuple[Attempt, ...]
    """Those that are listed, by task."""

    @property
    def outcome(self) -> str:
        """`286 of 430 solved; 5 more errored, which no score counts; 2 attempts were cancelled or tried anew`, and of a
        full run how many decided it, where others came in beside them."""
        if not self.attempts:
            return ""
        errored = f"; {self.errored} more errored, which no score counts" if self.errored else ""
        attempts = "attempt was" if self.again == 1 else "attempts were"
        again = f"; {self.again} {attempts} cancelled or tried anew" if self.again else ""
        read = f"; the first {self.read} of the plan decided, and the others came in beside them" if self.read else ""
        return f"{self.solved} of {self.scored} solved{errored}{again}{read}"

    @property
    def unlisted(self) -> int:
        """Trials that are not listed."""
        return self.attempts - len(self.trials)


def ran(reader: StudyReader, opened: Opened, subject: str) -> tuple[EvaluationLine, ...]:
    """The evaluations of a candidate, by its id, or of the seed harness (""), in the order in which a candidate meets stages."""
    found = reader.evaluations(opened.id, subject)
    found.sort(key=lambda row: (ORDER.index(Stage(row.stage)), row.met or 0, row.id))
    stands = _told(opened)
    return tuple(_ran(reader, opened, row, stands, LISTED if row.purpose == Purpose.FIRST else 0) for row in found)


def of(reader: StudyReader, opened: Opened, evaluation: str, first: int) -> tuple[Evaluation, EvaluationLine, int]:
    """One evaluation with its trials from place `first` on, and that place. Raises UserError for one that the study has not."""
    row = reader.evaluation(evaluation)
    if row is None or row.study != opened.id:
        raise UserError(f"study {opened.id} has no evaluation {evaluation or '(empty)'}")
    found = _ran(reader, opened, row, _told(opened), PAGE, first)
    last = last_page(first, found.attempts, PAGE)
    return row, found if last == first else _ran(reader, opened, row, _told(opened), PAGE, last), last


def named(row: Evaluation) -> str:
    """What an evaluation is, in words."""
    met = short(row.met or 0)
    match Purpose(row.purpose):
        case Purpose.REFRESHED:
            return f"{row.stage}, run anew before {met}, as the earlier trials had aged"
        case Purpose.ADDED:
            return f"{row.stage}, one more trial of each task as it met {met}"
        case Purpose.BESIDE:
            return f"{row.stage}, as champion side by side with {met}"
        case Purpose.FINAL:
            return f"{row.stage}, at the end of the study, in trials that decided nothing"
        case _:
            return row.stage


def _told(opened: Opened) -> Collection[str]:
    """The evaluations whose trials have the scores that the study's page tells."""
    world = opened.world
    sealed = world.sealed_by if world.sealed_score is not None else ()
    return {*world.reported_by(""), *world.reported_by(world.champion_id), *sealed}


def _ran(
    reader: StudyReader, opened: Opened, row: Evaluation, stands: Collection[str], most: int, first: int = 0
) -> EvaluationLine:
    trials = [each for each in reader.attempts(row.id) if not opened.hides_at(row.stage, each.task)]
    rewards = {(each.task, each.repeat): each.reward for each in trials if each.reward is not None}
    errored = {(each.task, each.repeat) for each in trials if each.state == TrialState.ERRORED} - rewards.keys()
    ended = len(rewards) + len(errored)
    decision = (
        opened.world.decided(row.subject, Stage(row.stage)) if row.stage == Stage.FULL and row.met is None else None
    )
    read = int(decision.numbers.get("run") or 0) if decision is not None else 0
    return EvaluationLine(
        id=row.id,
        what=named(row),
        stands=row.id in stands,
        solved=sum(reward >= SOLVED for reward in rewards.values()),
        scored=len(rewards),
        errored=len(errored),
        again=sum(each.state in UNCOUNTED for each in trials) - len(errored),
        read=read if 0 < read < ended else None,
        attempts=len(trials),
        sealed=sum(opened.hides_at(row.stage, str(task)) for task, _ in row.plan),
        trials=tuple(trials[first : first + most]),
    )
