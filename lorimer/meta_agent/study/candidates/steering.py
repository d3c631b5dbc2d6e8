"""What kind of edit a proposal is asked for, and what nobody has changed yet. A function of rows alone: after any kill the same.

An edit of code, such as a tool or a check of the output, gains more and breaks less than another wording of the prompt, and
is what a model thinks of last. So it is asked for first, and prompts once a few such edits were tested in vain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby

from lorimer.config.search import SearchSettings
from lorimer.harness.changed import components
from lorimer.meta_agent.ledger.experiments import Ledger
from lorimer.meta_agent.proposer.asked import EDIT_KINDS, PHASES, Asked
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.world import World
from lorimer.traces.base import StudyReader

JUDGED = ("rejected", "undecided")
GAVE_UP = 2
"""Rounds in a row without a usable edit after which the next phase begins too: whoever has no idea of one kind may have one of
another, and `[meta] patience` (3) ends a study in which nothing usable comes."""
NEWEST = 100
"""Experiments of which it is looked up which parts of the harness they changed: 2 ms each, once in a process."""


def asked(world: World, search: SearchSettings, number: int | None = None) -> Asked:
    """What the proposal of candidate `number` is asked for, or that of the next one. Of candidates from that number on nothing
    counts, so that proposals that are made side by side are asked for the same.
    """
    since, judged = _since(world, number), in_vain(world, number)
    place = _place(since, search)
    kinds = tuple(kind for phase in search.phases[: place + 1] for kind in PHASES[phase])
    return Asked(() if set(kinds) >= EDIT_KINDS.keys() else kinds, judged, search.phase_edits)


def in_vain(world: World, number: int | None = None) -> int:
    """How many edits, of any harness, were tested since the last promotion: before candidate `number`, or until now."""
    return sum(each.state in JUDGED for each in _since(world, number))


def told(reader: StudyReader, world: World, book: Ledger, search: SearchSettings, number: int, base: str) -> Asked:
    """`asked`, and where nothing was promoted for a while, what of the harness `base` nobody has changed yet."""
    found = asked(world, search, number)
    if not found.stalled:
        return found
    parts, unused = untouched(reader, base, book)
    return replace(found, parts=parts, unused=unused)


def untouched(reader: StudyReader, base: str, book: Ledger) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The parts of a harness that no tested edit of the study has changed, and the kinds of which none was."""
    tried = [entry for entry in book.entries if entry.harness and entry.state not in ("proposing", "failed")]
    changed = set[str]()
    for entry in tried[-NEWEST:]:
        before, after = (
            _components(reader.harness(entry.parent).text),
            _components(reader.harness(entry.harness or "").text),
        )
        changed |= {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    kinds = {entry.kind for entry in tried}
    parts = _components(reader.harness(base).text)
    return tuple(name for name in parts if name not in changed), tuple(k for k in EDIT_KINDS if k not in kinds)


def _since(world: World, number: int | None) -> list[CandidateView]:
    """The candidates of the champion's reign, before candidate `number` or all, without one that is being proposed alone, and
    without what was pruned: what an edit can win is not known the better for it."""
    return [
        each
        for each in world.candidates
        if each.number >= world.reign.since
        and (number is None or each.number < number)
        and each.id != _open(world)
        and not each.pruned
    ]


def _open(world: World) -> str:
    return world.open.id if world.open is not None and world.open.state == "proposing" else ""


def _place(since: Iterable[CandidateView], search: SearchSettings) -> int:
    """The phase that has been reached, by its place."""
    place = judged = failed = 0
    for _, found in groupby(since, lambda each: each.first):
        made = list(found)
        failed = failed + 1 if all(each.state == "failed" for each in made) else 0
        opened: Sequence[str] = [kind for phase in search.phases[: place + 1] for kind in PHASES[phase]]
        judged += sum(each.state in JUDGED and (not each.kind or each.kind in opened) for each in made)
        if place + 1 < len(search.phases) and (judged >= search.phase_edits or failed >= GAVE_UP):
            place, judged, failed = place + 1, 0, 0
    return place


@lru_cache(maxsize=2 * NEWEST + 8)
def _components(text: str) -> Mapping[str, str]:
    return components(text)
