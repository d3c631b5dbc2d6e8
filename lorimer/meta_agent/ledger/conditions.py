"""What the trials of two arms ran under, and where that differs: for people alone, beside decisions that it never changes.

No decision holds a word of it: it is read from what is stored when a decision is shown. So a study on a simulated model is a
function of its seed at any concurrency, and the meta-agent is told nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lorimer.meta_agent.state.names import About, evaluation_id
from lorimer.meta_agent.state.world import World
from lorimer.traces.base import StudyReader
from lorimer.traces.reading.bulk import Ran
from lorimer.traces.schema import Purpose, Stage
from lorimer.traces.tables import DecisionRow
from lorimer.wording import first_names

Key = TypeVar("Key", int, str)

MODELS_NAMED = 3
"""Models named in a sentence."""


@dataclass(frozen=True)
class Compared:
    """The evaluations behind a decision about a candidate."""

    candidate: str
    beside: str
    """The champion's trials side by side with the candidate's, if there are such."""
    standing: tuple[str, ...]
    """What stood for the champion where there are none."""

    @property
    def all(self) -> tuple[str, ...]:
        return (self.candidate, self.beside, *self.standing)


@dataclass(frozen=True)
class ArmConditions:
    """What an arm's trials ran under."""

    concurrency: tuple[int, ...]
    answered: tuple[str, ...]
    images: Mapping[str, frozenset[tuple[str, ...]]]
    """What each task's images held, each time that they held something else."""


def differing(reader: StudyReader, world: World, decisions: Iterable[DecisionRow]) -> dict[str, str]:
    """What differed between the two arms of these decisions, by the decision's id, in a clause; those are left out that compared
    no arms, or arms between which nothing did.
    """
    if not reader.conditions_differ():
        return {}
    behind = {row.id: found for row in decisions if (found := compared(world, row)) is not None}
    known = reader.conditions(sorted({name for each in behind.values() for name in each.all}))
    said, champions = dict[str, str](), dict[tuple[str, ...], ArmConditions]()
    for decision, each in behind.items():
        standing = (each.beside,) if each.beside in known else each.standing
        if standing not in champions:  # many candidates meet the same trials
            champions[standing] = arm(ran for name in standing for ran in known.get(name, ()))
        said[decision] = difference(champions[standing], arm(known.get(each.candidate, ())))
    return {decision: clause for decision, clause in said.items() if clause}


def compared(world: World, row: DecisionRow) -> Compared | None:
    """What a decision compared; `None` where it did not compare a candidate with a champion."""
    candidate = world.candidate(row.subject)
    if candidate is None or row.purpose != Purpose.FIRST:
        return None
    number, pooled = candidate.number, row.policy.get("name") == "pooled"
    champion = world.champion_before(number)
    beside, standing = "", tuple[str, ...]()
    match row.stage:
        case Stage.SPOT:
            # What was run anew for this candidate came after its spot-check.
            standing = world.stood_at(champion, number - 1)
        case Stage.FULL:
            beside = world.beside(number, Stage.FULL)
            standing = (*world.stood_for(number), *(world.withstood(number) if pooled else ()))
        case Stage.HOLDOUT:
            beside = world.beside(number, Stage.HOLDOUT)
        case Stage.AUDIT if pooled:
            beside = evaluation_id(world.study, About(champion, Stage.AUDIT, Purpose.ADDED, number))
        case _:
            return None
    return Compared(row.id, beside, standing)


def arm(found: Iterable[Ran]) -> ArmConditions:
    """What these trials ran under, all together."""
    concurrency, answered, images = set[int](), set[str](), dict[str, frozenset[tuple[str, ...]]]()
    for ran in found:
        concurrency |= {ran.under.concurrency} if ran.under.concurrency is not None else set()
        answered |= set(ran.under.answered)
        if ran.under.images:
            images[ran.task] = images.get(ran.task, frozenset()) | {ran.under.images}
    return ArmConditions(tuple(sorted(concurrency)), tuple(sorted(answered)), images)


def difference(champion: ArmConditions, candidate: ArmConditions) -> str:
    """What differs between two arms, in a clause; "" where nothing does, as far as it is known of both."""
    said = []
    if _differ(champion.concurrency, candidate.concurrency):
        theirs, mine = (_and([str(each) for each in side.concurrency]) for side in (champion, candidate))
        said.append(f"the champion's trials ran at concurrency {theirs}, these at {mine}")
    if _differ(champion.answered, candidate.answered):
        theirs, mine = (first_names(side.answered, MODELS_NAMED) for side in (champion, candidate))
        said.append(f"the provider answered as {theirs} for the champion's trials and as {mine} for these")
    others = [task for task, held in candidate.images.items() if _differ(champion.images.get(task, ()), held)]
    if others:
        said.append("1 task ran on another image" if len(others) == 1 else f"{len(others)} tasks ran on other images")
    return "; ".join(said)


def _differ(theirs: Iterable[object], mine: Iterable[object]) -> bool:
    one, two = set(theirs), set(mine)
    return bool(one and two and one != two)


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


# ---- a whole study ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StudyConditions:
    """What the scored trials of a study ran under, as far as it was kept: each with its number of trials."""

    concurrency: Mapping[int, int]
    answered: Mapping[str, int]
    """The trials that each model answered; one that several models answered counts for each."""
    images: Mapping[str, tuple[str, ...]]
    """The tasks that ran on the image of each digest."""
    changed: tuple[str, ...]
    """Tasks whose trials did not all run on the same images."""


def study_conditions(reader: StudyReader, study: str) -> StudyConditions:
    """Read it from the store."""
    found = reader.study_conditions(study)
    images: dict[str, set[str]] = {}
    for ran in found:
        for digest in ran.under.images:
            images.setdefault(digest, set()).add(ran.task)
    return StudyConditions(
        _counted(found, lambda ran: [ran.under.concurrency] if ran.under.concurrency is not None else []),
        _counted(found, lambda ran: ran.under.answered),
        {
            digest: tuple(sorted(tasks))
            for digest, tasks in sorted(images.items(), key=lambda each: (-len(each[1]), each[0]))
        },
        tuple(sorted(task for task, held in arm(found).images.items() if len(held) > 1)),
    )


def _counted(found: Iterable[Ran], keys: Callable[[Ran], Iterable[Key]]) -> dict[Key, int]:
    counts: dict[Key, int] = {}
    for ran in found:
        for key in keys(ran):
            counts[key] = counts.get(key, 0) + ran.trials
    return dict(sorted(counts.items()))
