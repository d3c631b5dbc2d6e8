"""A task's trial under the champion beside one under the candidate, aligned by what they did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lorimer.dashboard.shelf import SEALED, Opened
from lorimer.dashboard.views.trajectory import Moment, acted, moment
from lorimer.errors import UserError
from lorimer.harness.api import Message
from lorimer.kinds import SOLVED
from lorimer.meta_agent.ledger.fired import FiredInTrial, fired_in_trial
from lorimer.meta_agent.proposer.diagnosis.comparing import align
from lorimer.meta_agent.state.changes import arms
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import StepKind
from lorimer.traces.tables import Step, Trial

MOST = 160
"""Steps of each trial that are shown."""


@dataclass(frozen=True)
class Lane:
    """One of the two trials."""

    trial: Trial
    whose: str
    """`champion` or `candidate`."""
    hunks: tuple[FiredInTrial, ...]
    """The edit's; empty for the champion's trial, and where nothing was told."""

    @property
    def outcome(self) -> str:
        """`solved` or `failed`."""
        return "solved" if (self.trial.reward or 0.0) >= SOLVED else "failed"

    @property
    def told(self) -> str:
        """Whether the edit fired, in words; empty of the champion's."""
        fired = [f"hunk {number} {each}" for number, each in enumerate(self.hunks, 1) if each.fired]
        if fired or not self.hunks:
            return "; ".join(fired)
        unknown = any(each.fired is None for each in self.hunks)
        return "whether the edit fired cannot be told" if unknown else "the edit did not fire"


@dataclass(frozen=True)
class SideBySide:
    """Two trials side by side."""

    task: str
    number: int
    """The candidate's."""
    left: Lane
    """The one that failed, where one did."""
    right: Lane
    rows: tuple[tuple[Moment | None, Moment | None], ...]
    parts: int | None
    """The row at which they part; `None` where they did the same."""
    others: tuple[tuple[Trial, ...], tuple[Trial, ...]]
    """All trials of the champion and of the candidate on the task."""
    cut: bool
    """Whether there are more steps than are shown."""

    @property
    def acts(self) -> bool:
        """Whether a step is shown to which the edit led."""
        return any(each is not None and each.acted for row in self.rows for each in row)


def pairing(
    reader: StudyReader, opened: Opened, number: int, task: str, before: str | None = None, after: str | None = None
) -> SideBySide:
    """The two trials that tell most of a task: of a champion that failed and a candidate that solved it, or the other way round.

    Args:
        before: a trial of the champion to take instead, by id.
        after: one of the candidate.

    Raises UserError where either has no scored trial of it, and for a sealed task.
    """
    row = opened.candidate(number)
    if task in opened.world.holdout and opened.sealed:
        raise UserError(f"{task} is {SEALED}")
    mine, theirs, _ = arms(reader, opened.world, [row])
    if number not in mine:
        raise UserError(f"the full run of c{number:03} of {opened.id} is not decided, so there is nothing to compare")
    champion = _scored(reader, theirs[number], task)
    candidate = _scored(reader, [mine[number]], task)
    if not champion or not candidate:
        raise UserError(f"{task} has no scored trial of {'the champion' if not champion else f'c{number:03}'}")
    one, other = _telling(champion, candidate)
    one = next((trial for trial in champion if trial.id == before), one)
    other = next((trial for trial in candidate if trial.id == after), other)
    edit = fired_in_trial(reader, other)
    left, right = Lane(one, "champion", ()), Lane(other, "candidate", edit[1] if edit else ())
    if left.outcome == "solved" and right.outcome == "failed":
        left, right = right, left
    rows, parts = _rows(reader, left, right)
    cut = any(reader.step_count(lane.trial.id) > MOST for lane in (left, right))
    return SideBySide(task, number, left, right, rows, parts, (champion, candidate), cut)


def _scored(reader: StudyReader, evaluations: Sequence[str], task: str) -> tuple[Trial, ...]:
    found = [
        trial for name in evaluations for trial in reader.trials(evaluation=name, task=task, state="scored", limit=None)
    ]
    return tuple(sorted(found, key=lambda trial: (trial.evaluation, trial.repeat, trial.attempt)))


def _telling(champion: Sequence[Trial], candidate: Sequence[Trial]) -> tuple[Trial, Trial]:
    """Two that came out otherwise, in the direction in which the task changed; else the first of each."""
    means = [sum(trial.reward or 0.0 for trial in side) / len(side) for side in (champion, candidate)]
    worst, best = (lambda trial: trial.reward or 0.0), (lambda trial: -(trial.reward or 0.0))
    if means[1] >= means[0]:
        return min(champion, key=worst), min(candidate, key=best)
    return min(champion, key=best), min(candidate, key=worst)


def _rows(
    reader: StudyReader, left: Lane, right: Lane
) -> tuple[tuple[tuple[Moment | None, Moment | None], ...], int | None]:
    """The steps of both: what was done aligned, and what was said before each of it above it."""
    outlines = reader.outlines([left.trial.id, right.trial.id])
    pair = align(outlines.get(left.trial.id, ()), outlines.get(right.trial.id, ()))
    lanes = [acted(lane.hunks, _moments(reader, reader.steps(lane.trial.id, 0, MOST - 1))) for lane in (left, right)]
    rows: list[tuple[Moment | None, Moment | None]] = []
    parts, done = None, [0, 0]
    if all(lane and lane[0].kind == StepKind.MODEL_CALL for lane in lanes):
        # Both were asked the same at first, whatever they did then.
        rows.append((lanes[0][0], lanes[1][0]))
        done = [1, 1]
    for place, steps in enumerate(pair.rows):
        if place == pair.parts:
            parts = len(rows)
        until = [
            next((at for at, each in enumerate(lanes[side]) if each.index == step.index), None) if step else None
            for side, step in enumerate(steps)
        ]
        said = [lanes[side][done[side] : at] if (at := until[side]) is not None else [] for side in (0, 1)]
        rows += _beside(said[0], said[1])
        both = [lanes[side][at] if (at := until[side]) is not None else None for side in (0, 1)]
        if any(both):
            rows.append((both[0], both[1]))
        done = [done[side] if (at := until[side]) is None else at + 1 for side in (0, 1)]
    if pair.parts is None:
        parts = len(rows) if any(len(lane) > done[side] for side, lane in enumerate(lanes)) else None
    rows += _beside(lanes[0][done[0] :], lanes[1][done[1] :])
    return tuple(rows), parts


def _beside(left: Sequence[Moment], right: Sequence[Moment]) -> list[tuple[Moment | None, Moment | None]]:
    longer = max(len(left), len(right))
    return [
        (left[place] if place < len(left) else None, right[place] if place < len(right) else None)
        for place in range(longer)
    ]


def _moments(reader: StudyReader, steps: Sequence[Step]) -> list[Moment]:
    told: list[Message] = []
    return [moment(reader, step, told) for step in steps if step.kind != StepKind.VERDICT.value]
