"""What candidates' edits did in their full runs: as it is stored, and else worked out of their trials, which is the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lorimer.meta_agent.ledger.fired import fired_in
from lorimer.meta_agent.state.changes import FullRuns, arms, changes
from lorimer.meta_agent.state.folding import UNDER_WAY
from lorimer.meta_agent.state.trials import read_trials
from lorimer.meta_agent.state.world import World
from lorimer.traces.base import StudyReader
from lorimer.traces.effects import Effect
from lorimer.traces.tables import Candidate


def effects(
    reader: StudyReader, world: World, candidates: Sequence[Candidate], retries: int, runs: FullRuns | None = None
) -> dict[int, Effect]:
    """The effects of those of these candidates whose full run is decided, by number.

    Args:
        retries: `[retries] errored` of the study.
        runs: as `full_runs` gives them of these candidates, where they have been read.
    """
    stored, worked_out = _both(reader, world, candidates, retries, runs)
    return {**stored, **worked_out}


def unstored(reader: StudyReader, world: World, candidates: Sequence[Candidate], retries: int) -> dict[str, Effect]:
    """The effects of those of these candidates of which none is stored that holds, by id.

    Of a round under way nothing is told: what its confirmations add to the champion's trials changes what is beside them.
    """
    open_rounds = {each.first for each in world.candidates if each.state in UNDER_WAY}
    ended = [each for each in candidates if world.round_of(each.number) not in open_rounds]
    _, worked_out = _both(reader, world, ended, retries)
    return {each.id: worked_out[each.number] for each in ended if each.number in worked_out}


def _both(
    reader: StudyReader, world: World, candidates: Sequence[Candidate], retries: int, runs: FullRuns | None = None
) -> tuple[Mapping[int, Effect], Mapping[int, Effect]]:
    """The effects that are stored, and those that had to be worked out. All trials that this takes are read at once."""
    own, met, lengths = (runs.own, runs.met, {}) if runs else arms(reader, world, candidates)
    decided = [each for each in candidates if each.number in own]
    kept = reader.effects([each.id for each in decided])
    stored = {
        each.number: kept[each.id]
        for each in decided
        if each.id in kept and kept[each.id].holds(met[each.number], retries)
    }
    rest = [each for each in decided if each.number not in stored]
    if not rest:
        return stored, {}
    mine = {each.number: own[each.number] for each in rest}
    theirs = {each.number: met[each.number] for each in rest}
    names = dict.fromkeys([*mine.values(), *(name for stood in theirs.values() for name in stood)])
    read = runs.read if runs else read_trials(reader, {name: lengths[name] for name in names}, retries)
    found = FullRuns(mine, theirs, {name: read[name] for name in names})
    changed, fired = changes(world, found), fired_in(reader, rest, found)
    return stored, {
        each.number: Effect(theirs[each.number], retries, changed[each.number], fired[each.number]) for each in rest
    }
