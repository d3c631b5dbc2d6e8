"""What a harness came of, and by which trials it is known. An edit need not be one of the champion that it must beat."""

from __future__ import annotations

from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.names import About, evaluation_id, short
from lorimer.meta_agent.state.trials import named_trials
from lorimer.meta_agent.state.world import World
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import Stage
from lorimer.traces.tables import Trial
from lorimer.wording import visible_line

TITLE_CHARS = 60
"""Characters of a title after a name in a sentence."""


def maker(world: World, harness: str, before: int | None = None) -> CandidateView | None:
    """The candidate that a harness is known by: the one that was promoted, else the last of those whose harness it is; `None` for
    the seed harness.

    Args:
        before: only candidates before this number.
    """
    made = [each for each in world.candidates if each.harness == harness and (before is None or each.number < before)]
    return max(made, key=lambda each: (each.state == "promoted", each.number), default=None)


def line(world: World, harness: str) -> list[CandidateView]:
    """The candidates through which a harness came of the seed harness, each an edit of the one before; its own is the last."""
    found, made = list[CandidateView](), maker(world, harness)
    while made is not None:
        found.append(made)
        # Numbers fall, also where an edit came back to a harness that there was.
        made = maker(world, made.parent, made.number)
    return found[::-1]


def promotions_behind(world: World, harness: str) -> int:
    """How many promotions a harness rests on: those of its own line."""
    return sum(each.state == "promoted" for each in line(world, harness))


def edit_of(world: World, number: int, parent: str) -> str:
    """Which harness candidate `number` is an edit of, in words, where that is not the champion that it meets; "" where it is."""
    champion = world.candidate(world.champion_before(number))
    if parent == (champion.harness if champion else world.seed_harness):
        return ""
    made = maker(world, parent, number)
    if made is None:
        return "the seed harness"
    was = "an earlier champion" if made.state == "promoted" else "which was not promoted"
    title = visible_line(made.title)[:TITLE_CHARS].rstrip()
    return f"{short(made.number)}{f' ({title})' if title else ''}, {was}"


def known_trials(reader: StudyReader, world: World, harness: str) -> list[tuple[str, Trial]]:
    """The trials of train tasks from which edits of a harness are made, named as cases: its own, as far as they were decided by,
    and on tasks on which it has none those of the champion."""
    own = own_trials(reader, world, harness)
    if harness == world.champion_harness:
        return own
    tasks = {trial.task for _, trial in own}
    others = [each for each in own_trials(reader, world, world.champion_harness) if each[1].task not in tasks]
    place = {task: position for position, task in enumerate(world.train)}
    return sorted([*own, *others], key=lambda each: place[each[1].task])  # of one task they are in order already


def own_trials(reader: StudyReader, world: World, harness: str) -> list[tuple[str, Trial]]:
    """A harness's own trials of train tasks, as far as they were decided by, named as cases."""
    made = maker(world, harness) if harness != world.champion_harness else world.champion
    if made is None or made.state == "promoted":
        return named_trials(reader, world.study, world.stood_at(made.id if made else ""))
    full = world.decided(made.id, Stage.FULL)
    names = [evaluation_id(world.study, About(made.id, stage)) for stage in (Stage.FULL, Stage.AUDIT)]
    read = {full.id: int(full.numbers.get("run") or 0)} if full is not None else {}
    return named_trials(reader, world.study, names, read)
