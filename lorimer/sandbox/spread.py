"""Which of several engines takes the next trial. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What there is to know of one engine when a trial is to be given away."""

    name: str
    share: int
    """How many trials it takes in relation to the others."""
    taken: int
    """Trials that it runs."""
    answers: bool


def places(most: int, shares: Sequence[int]) -> tuple[int, ...]:
    """How many of `most` trials at once each engine may run.

    Rounded up, so that each has a place: whoever hands out the trials keeps to `most`.
    """
    whole = sum(shares)
    return tuple(-(-most * share // whole) for share in shares)


def chosen(loads: Sequence[Load], most: int, avoid: Collection[str] = (), without: Collection[str] = ()) -> int | None:
    """The engine that takes the next trial; `None` where it has to wait for a place.

    The one that is used least for its share, this trial counted, and the first of those that are alike. One on which this trial
    has failed before comes after all others that have a place. Where none answers, a trial need not wait to find that out.

    Args:
        most: trials at once, on all together.
        avoid: names of engines on which the trial has failed.
        without: names of engines that lack what the trial needs: it waits for a place on another one that answers.
    """
    room = places(most, [load.share for load in loads])
    answering = [at for at, load in enumerate(loads) if load.answers]
    answering = [at for at in answering if loads[at].name not in without] or answering
    free = [at for at in answering if loads[at].taken < room[at]] if answering else range(len(loads))

    def rank(at: int) -> tuple[bool, float, int]:
        load = loads[at]
        return load.name in avoid, (load.taken + 1) / load.share, at

    return min(free, key=rank, default=None)
