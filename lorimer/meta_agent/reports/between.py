"""Two harnesses side by side: their texts, and the train tasks that they do not solve alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lorimer.errors import UserError
from lorimer.harness.version import diff, sha
from lorimer.meta_agent.gate.statistics.scores import together
from lorimer.meta_agent.reports.flips import Flips, flips
from lorimer.meta_agent.state.changes import arms
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.state.trials import rewards
from lorimer.meta_agent.state.world import World, scan
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import Stage

SEED, CHAMPION = "seed", "champion"


@dataclass(frozen=True)
class Named:
    """A harness that somebody named."""

    name: str
    """`seed`, a candidate such as `c003`, or a file's path."""
    sha: str
    """SHA-256 of its text."""
    text: str
    subject: str | None
    """Whose trials stand for it: a candidate's id, "" for the seed harness; `None` for a text that the study has not run."""


@dataclass(frozen=True)
class Between:
    """Two harnesses of a study."""

    study: str
    before: str
    before_sha: str
    after: str
    after_sha: str
    diff: str
    """Unified; empty where they are equal."""
    flips: Flips | None
    """The flips on the train tasks that both have trials on; `None` where there are none."""
    note: str
    """Why there are no flips; empty where there are."""


def named(reader: StudyReader, study: str, name: str, read: Callable[[Path], str]) -> Named:
    """A harness by name: `seed`, `champion`, a candidate (also one that was rejected), or else a file.

    Args:
        read: the text of a harness's file. Raises UserError.

    Raises UserError where it is none of these.
    """
    row, world = reader.study(study), scan(reader, study)
    subject = _subject(world, name)
    if subject is None:
        if not Path(name).is_file():
            known = ", ".join([SEED, CHAMPION, *_some(world)])
            raise UserError(f"{name}: neither a harness of {study} nor a file; name one of: {known}; or a path")
        text = read(Path(name))
        return Named(name, sha(text), text, _with(world, sha(text)))
    found = world.candidate(subject)
    if found is None:
        return Named(SEED, row.seed_harness, reader.harness(row.seed_harness).text, "")
    if found.harness is None:
        raise UserError(
            f"{name} of {study} has no harness: it is {found.state}; `lorimer log --study {study}` says why"
        )
    return Named(short(found.number), found.harness, reader.harness(found.harness).text, subject)


def between(reader: StudyReader, study: str, before: str, after: str, read: Callable[[Path], str]) -> Between:
    """Two harnesses, each by a name as of `named`. Raises UserError."""
    one, other = (named(reader, study, name, read) for name in (before, after))
    changed = diff(one.text, other.text, f"a/{one.name}", f"b/{other.name}")
    found, note = None, ""
    if one.sha == other.sha:
        note = "they are the same harness"
    else:
        unknown = [each.name for each in (one, other) if each.subject is None]
        if unknown:
            note = f"{unknown[0]} was not run in {study}, so it has no trials to compare"
        elif one.subject is not None and other.subject is not None:
            found = compared(reader, scan(reader, study), one.subject, other.subject)
            if not found.tasks:
                found, note = None, f"no train task of {study} has trials of both that a decision rests on"
    return Between(study, one.name, one.sha, other.name, other.sha, changed, found, note)


def compared(reader: StudyReader, world: World, before: str, after: str) -> Flips:
    """Two harnesses on the train tasks, each a candidate by id or "" for the seed harness.

    A champion is told of by the trials that its score comes from, any other candidate by its full run. Beside a candidate that
    was not promoted, the champion that it met is told of by the trials in which it was met. Of each, only trials count that a
    decision has read.
    """
    from lorimer.config.settings import parse_stored

    retries = parse_stored(reader.study(world.study).config, world.study).retries.errored
    mine, theirs = _met(reader, world, before, after)
    read = rewards(reader, {**mine, **theirs}, retries)
    return flips(together(read[name] for name in theirs), together(read[name] for name in mine), world.train)


Runs = Mapping[str, int | None]
"""Evaluations, each with how many of its settled trials were read; `None` is all."""


def _met(reader: StudyReader, world: World, before: str, after: str) -> tuple[Runs, Runs]:
    """The evaluations of `after` and of `before`."""
    view, row = world.candidate(after), reader.candidate(after) if after else None
    promoted = {each.id for each in world.promoted}
    if view is not None and row is not None and after not in promoted and world.champion_before(view.number) == before:
        own, met, runs = arms(reader, world, [row])
        if view.number in own:
            return {own[view.number]: runs[own[view.number]]}, {name: runs[name] for name in met[view.number]}
    return _evaluations(world, after), _evaluations(world, before)


def _evaluations(world: World, subject: str) -> Runs:
    if subject and subject not in {each.id for each in world.promoted}:
        full = world.decided(subject, Stage.FULL)
        return {full.id: int(full.numbers.get("run") or 0)} if full else {}
    return dict.fromkeys(world.reported_by(subject))


def _subject(world: World, name: str) -> str | None:
    if name == SEED:
        return ""
    if name == CHAMPION:
        return world.champion_id
    return next((each.id for each in world.candidates if name in (each.id, short(each.number))), None)


def _with(world: World, harness: str) -> str | None:
    """Whose trials are of a harness with this text."""
    if harness == world.seed_harness:
        return ""
    return next((each.id for each in world.candidates if each.harness == harness), None)


def _some(world: World) -> list[str]:
    """The candidates that have a harness, or the first and the last of many."""
    names = [short(each.number) for each in world.candidates if each.harness]
    return names if len(names) <= 6 else [names[0], "…", names[-1]]
