"""What the champion may not need: hunks of the promotions that it rests on, taken out again one at a time. No model is asked.

A person asks for it (`lorimer propose --prune`), or a search that has stalled does it by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lorimer.config.settings import Config
from lorimer.errors import HarnessError, UserError
from lorimer.harness.size import size_of
from lorimer.harness.version import Hunk, apply_edit, check, sha
from lorimer.kinds import PRUNING
from lorimer.meta_agent.ledger import experiments
from lorimer.meta_agent.ledger.effects import effects
from lorimer.meta_agent.proposer.accept import Accepted, accept
from lorimer.meta_agent.state.descent import line
from lorimer.meta_agent.state.names import candidate_id, short
from lorimer.meta_agent.state.world import World, scan
from lorimer.meta_agent.study.candidates import steering
from lorimer.meta_agent.study.candidates.edits import Jails, PutForward, at_hand, checks, put_forward
from lorimer.traces.base import StudyReader, StudyWriter
from lorimer.traces.tables import Candidate, StudyRow


@dataclass(frozen=True)
class Pruning:
    """The champion without a hunk of an earlier promotion."""

    number: int
    """The number of the candidate that was promoted with it."""
    hunk: int
    """Which of its hunks, from 1."""
    edit: Hunk
    """The edit of the champion by which it goes."""
    never_fired: bool
    """Whether it ran in none of the trials of its full run that told which lines ran."""
    simpler: bool
    """Whether the gate takes the harness without it for a simpler one."""

    @property
    def title(self) -> str:
        fired = ", which fired in no trial" if self.never_fired else ""
        return f"Take out hunk {self.hunk} of {short(self.number)}{fired}"

    @property
    def why(self) -> str:
        return self.title if self.never_fired else f"{self.title}: is it needed?"


def prunings(reader: StudyReader, world: World, config: Config) -> list[Pruning]:
    """What can be taken out of the champion and was not tried yet: first what never fired, then what leaves a simpler harness,
    then what is oldest, as what came later may have made it needless.

    A hunk stays that later ones have changed, that did not make the harness longer, or without which there is no valid harness,
    and so does one that was taken out before, even of another champion.
    """
    taken_out = [Hunk(**each.edit[0]) for each in reader.candidates(world.study) if len(each.edit) == 1]
    behind = (each.id for each in line(world, world.champion_harness))
    rows = [row for row in map(reader.candidate, behind) if row is not None]
    found = effects(reader, world, rows, config.retries.errored)
    champion = reader.harness(world.champion_harness).text
    tried = {each.harness for each in world.candidates} | {world.seed_harness}
    made = []
    for row in rows:
        never = found[row.number].fired.never if row.number in found else ()
        for place, hunk in enumerate((Hunk(**each) for each in row.edit), 1):
            with suppress(HarnessError):
                without = Hunk(hunk.replace, hunk.search)
                text = apply_edit(champion, [without])
                check(text, max_bytes=config.meta.max_harness_bytes)
                if len(text) < len(champion) and sha(text) not in tried and without not in taken_out:
                    simpler = size_of(text).simpler_than(size_of(champion))
                    made.append(Pruning(row.number, place, without, place in never, simpler))
    return sorted(made, key=lambda each: (not each.never_fired, not each.simpler))


def due(world: World, config: Config) -> bool:
    """Whether the search is to prune its champion now: it has stalled, and the champion was not pruned by it before.

    Without a margin a pruned champion must be better than the whole one, which is seldom worth a full run.
    """
    if config.search.prune == "never" or config.gate.simplify_margin is None or world.champion is None:
        return False
    before = any(each.pruned and each.parent == world.champion_harness for each in world.candidates)
    return not before and steering.in_vain(world) >= config.search.strategy_edits


async def pruned(
    store: StudyWriter, reader: StudyReader, world: World, config: Config, jails: Jails, number: int
) -> Candidate | None:
    """The search's own pruning of the champion as candidate `number`: the first of `prunings` that leaves a simpler harness and
    is not refused before the gate; `None` where there is none. Its harness is stored, and the candidate is not yet.
    """
    found = await asyncio.to_thread(prunings, reader, world, config)
    book = await asyncio.to_thread(experiments.read, reader, world, config.retries.errored, recent=experiments.RECENT)
    name, champion = candidate_id(world.study, number), reader.harness(world.champion_harness).text
    against = checks(reader, world, world.champion_harness, book, config, name, replace(jails, shadows=None))
    for each in found:
        made = await accept(champion, [each.edit], against) if each.simpler else None
        if isinstance(made, Accepted):
            await store.add_harness(sha(made.text), made.text)
            tried = steering.in_vain(world)
            stalled = f"The last {'edit' if tried == 1 else f'{tried} edits'} came to nothing"
            return Candidate(
                id=name,
                study=world.study,
                number=number,
                parent=world.champion_harness,
                harness=sha(made.text),
                title=each.title,
                hypothesis=f"{stalled}, and the champion may not need this; {_how(each, config)}.",
                edit=[asdict(each.edit)],
                fixes=[],
                at_risk=[],
                kind=made.kind,
                state="proposed",
                origin=PRUNING,
            )
    return None


async def prune(root: Path, study: StudyRow) -> PutForward:
    """`prune_next` in a workspace, in the sandboxes of the study. Raises as that does; PrerequisiteError without a sandbox."""
    async with at_hand(root, study) as own:
        return await prune_next(own.store, own.reader, study.id, own.config, own.jails)


async def prune_next(store: StudyWriter, reader: StudyReader, study: str, config: Config, jails: Jails) -> PutForward:
    """Put the champion without the first of `prunings` that is not refused before the gate.

    It is not previewed: a hunk that touches no recorded trial is just what can go.

    Raises UserError where nothing can be taken out, or where all that can is refused, in the words of the first refusal.
    """
    world = await asyncio.to_thread(scan, reader, study)
    found = await asyncio.to_thread(prunings, reader, world, config)
    refusals: list[UserError] = []
    for each in found:
        try:
            return await put_forward(
                store, reader, study, config, replace(jails, shadows=None), [each.edit], _said(each, config)
            )
        except UserError as refused:
            refusals.append(refused)
    raise refusals[0] if refusals else UserError(_nothing(study, world.promoted))


def _said(pruning: Pruning, config: Config) -> str:
    return f"{pruning.why}\n{_how(pruning, config)}."


def _how(pruning: Pruning, config: Config) -> str:
    """How the gate judges it, in a clause."""
    margin = config.gate.simplify_margin
    if margin is None:
        return "[gate] simplify_margin is not set, so it must be better without"
    if pruning.simpler:
        return f"the harness is simpler without, so it need only be no worse by {margin:g}"
    return "without it the harness is not simpler in both code and words, so it must be better"


def _nothing(study: str, promoted: Sequence[object]) -> str:
    if not promoted:
        return f"propose --prune: nothing was promoted in {study} yet, so there is nothing to take out"
    return f"propose --prune: no hunk of a promotion of {study} can be taken out alone that was not tried yet"
