"""What a person decides about a study: whether a candidate that passed is promoted, and which champion it goes back to.

Each is a decision like the gate's, in the store and in its chain, with the person's name and their reason. Both need the study
to be at rest: whoever runs it holds it, and is to be stopped first.
"""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from lorimer.config.settings import Config, parse_stored
from lorimer.errors import UserError
from lorimer.meta_agent.gate.comparison import DecisionKind
from lorimer.meta_agent.state.commands import Await, next_command
from lorimer.meta_agent.state.folding import CandidateView, Round, state_after
from lorimer.meta_agent.state.names import About, evaluation_id, short
from lorimer.meta_agent.state.world import World, scan, score_of
from lorimer.meta_agent.workspace.parts import now
from lorimer.meta_agent.workspace.repository import Promotion, Workspace
from lorimer.meta_agent.workspace.session import open_store
from lorimer.traces.base import StudyReader, StudyWriter
from lorimer.traces.schema import Purpose, Stage
from lorimer.traces.tables import DecisionRow, StudyRow
from lorimer.traces.writing.holder import this_process
from lorimer.wording import a, first_names

SEED = "seed"
"""What a person types for the seed harness."""
LONGEST_WHY = 2_000
"""Characters of a reason: it stands in the log that the meta-agent reads."""


@dataclass(frozen=True)
class Person:
    """Who decides, and why."""

    name: str
    why: str = ""
    """The reason in one line (`reason`)."""

    def __str__(self) -> str:
        return f"by {self.name}{f': {self.why}' if self.why else ''}"


@dataclass(frozen=True)
class Reverted:
    """An earlier champion that is the champion again."""

    champion: str
    """`c003`, or the seed harness."""
    before: str
    """The champion until then."""
    commit: str
    """Empty where the study has no workspace."""
    note: str
    """What the user should know of the commit."""


def person(workspace: Workspace, name: str | None, why: str) -> Person:
    """Who decides: the name that was given, else git's, else the system's user.

    Raises UserError for a reason that is too long.
    """
    given = " ".join((name or "").split())
    return Person(given or workspace.person() or getpass.getuser(), reason(why))


def reason(why: str) -> str:
    """A reason in one line. Raises UserError where it is too long."""
    if len(why) > LONGEST_WHY:
        raise UserError(f"--why: {len(why)} characters, where at most {LONGEST_WHY} are kept; say it shorter")
    return " ".join(why.split())


def waiting(world: World, config: Config) -> CandidateView | None:
    """The candidate of a study that passed every stage and waits for a person; `None` where there is none."""
    command = next_command(world, config)
    return command.candidate if isinstance(command, Await) else None


async def review(root: Path, study: StudyRow, candidate: str | None, who: Person, *, approve: bool) -> str:
    """Approve or refuse the promotion that waits; returns what was decided, in one sentence.

    Args:
        candidate: as people name it (`c007`, or its id), to make sure which one is meant; `None` takes whichever waits.

    Raises UserError where none waits, where another one does, for a refusal without a reason, and where a process runs the
    study.
    """
    if not approve and not who.why:
        raise UserError("a refusal needs a reason, for the log and for the meta-agent: say it with --why")
    async with _at_rest(root, study) as (store, world, _):
        found = waiting(world, parse_stored(study.config, study.id))
        if found is None:
            raise UserError(f"no promotion of {study.id} waits for a review", _how_it_would(study))
        if candidate is not None and candidate not in (short(found.number), found.id):
            raise UserError(f"{candidate} does not wait for a review; {short(found.number)} does")
        said = f"{'approved' if approve else 'refused'} {who}"
        about = About(found.id, Stage.REVIEW)
        await _decide(store, study, about, "pass" if approve else "reject", said, who)
        return f"{short(found.number)} is {said}"


def _how_it_would(study: StudyRow) -> str:
    if not parse_stored(study.config, study.id).review.required:
        return "a study holds its promotions where lorimer.toml says `[review] required = true` when it begins"
    return f"`lorimer status --study {study.id}` says where it stands"


async def revert(root: Path, study: StudyRow, candidate: str, who: Person, *, drop: bool = False) -> Reverted:
    """Make an earlier champion the champion again: a chained decision, and a commit on top of those that there are.

    Args:
        candidate: a candidate that was promoted, as people name it (`c003`, or its id); `seed` is the seed harness.
        drop: give up the candidates that are under way against today's champion.

    Raises UserError for one that was never promoted or is the champion, where a candidate is under way and not to be dropped,
    where git refuses the commit, and where a process runs the study.
    """
    workspace = workspace_of(root, parse_stored(study.config, study.id))
    async with _at_rest(root, study) as (store, world, reader):
        target = _earlier(world, candidate)
        subject, name = (target.id, short(target.number)) if target else ("", "the seed harness")
        if subject == world.champion_id:
            raise UserError(f"{name} is the champion of {study.id} already")
        about = About(subject, Stage.REVIEW, Purpose.REVERTED, world.next_number)
        if about in world.decisions:
            raise UserError(
                f"{name} was made the champion again before {short(world.next_number)} once already; try one first"
            )
        if world.round is not None:
            await _give_up(store, world.study, world.round, name, drop=drop)
        before = short(world.champion.number) if world.champion else "the seed harness"
        said = f"{name} is the champion again, after {before}, {who}"
        harness = target.harness if target and target.harness else world.seed_harness
        promotion = Promotion(
            study=study.id,
            candidate=subject or f"{study.id}/{SEED}",
            harness=harness,
            title=f"Revert to {name}{f': {target.title}' if target else ''}",
            hypothesis="",
            decision=said,
            score=_score(world.reported_of(subject)),
            interval="",
            chain=reader.head(),
            reverted_before=world.next_number,
        )
        text, champion = reader.harness(harness).text, reader.harness(world.champion_harness).text
        done = await asyncio.to_thread(workspace.promote, promotion, text, champion)
        await _decide(store, study, about, "pass", said, who, {"commit": done.commit, "harness": harness})
        return Reverted(name, before, done.commit, done.note)


def workspace_of(root: Path, config: Config) -> Workspace:
    """The workspace of a study with these settings."""
    return Workspace(root, config.study.harness, config.study.program)


def _earlier(world: World, candidate: str) -> CandidateView | None:
    """A candidate that was promoted; `None` for the seed harness. Raises UserError."""
    if candidate == SEED:
        return None
    for each in world.promoted:
        if candidate in (short(each.number), each.id):
            return each
    known = ", ".join(short(each.number) for each in world.promoted)
    had = f"{known} and `{SEED}`, the seed harness" if known else f"`{SEED}` alone, the seed harness"
    raise UserError(f"{candidate} was never a champion of {world.study}; these were: {had}")


async def _give_up(store: StudyWriter, study: str, found: Round, champion: str, *, drop: bool) -> None:
    under_way = found.under_way
    if not drop:
        names = first_names([short(each.number) for each in under_way], len(under_way))
        are, them, their = ("is", "it", "its") if len(under_way) == 1 else ("are", "them", "their")
        raise UserError(
            f"{names} {are} under way against the champion of today",
            f"`lorimer resume {study}` takes {them} to {their} end first; --drop gives {them} up, with what was paid",
        )
    why = f"given up, as {champion} was made the champion again while it was under way"
    for each in under_way:
        await store.update_candidate(each.id, each.state, state="failed", failure=why)


def _score(row: DecisionRow | None) -> str:
    return "" if row is None else f"{score_of(row).mean:.3f}"


async def _decide(
    store: StudyWriter,
    study: StudyRow,
    about: About,
    kind: DecisionKind,
    said: str,
    who: Person,
    more: Mapping[str, str] | None = None,
) -> None:
    row = DecisionRow(
        id=evaluation_id(study.id, about),
        study=study.id,
        subject=about.subject,
        stage=about.stage.value,
        purpose=about.purpose.value,
        met=about.met,
        kind=kind,
        reason=said,
        numbers={"by": who.name, "why": who.why, **(more or {})},
        policy={"name": "person"},
        made=now(),
    )
    await store.add_decision(row, leaves=state_after(about, kind))


@asynccontextmanager
async def _at_rest(root: Path, study: StudyRow) -> AsyncIterator[tuple[StudyWriter, World, StudyReader]]:
    """The study's store, its world, and a reader, while nobody else runs the study. Raises UserError where somebody does."""
    if study.kind != "optimize":
        raise UserError(f"{study.id} is {a(study.kind)}, which promotes nothing")
    with open_store(root, parse_stored(study.config, study.id)) as (store, reader):
        holder = this_process()
        await store.claim(study.id, holder)
        try:
            yield store, scan(reader, study.id), reader
        finally:
            await store.release(study.id, holder)
