"""Edits that are put before the gate, whoever made them: what they are held against, and how a person's comes in.

A person's edit is a candidate like the meta-agent's, with a number of its own. It may be put forward while a process runs the
study, which comes to it when its own candidate is done. Where the champion is another one by then, the edit is applied to that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from lorimer.config.settings import Config, parse_stored
from lorimer.errors import InternalError, NumberTaken, UserError
from lorimer.harness.version import Hunk, hunks_between, sha
from lorimer.meta_agent.ledger import experiments
from lorimer.meta_agent.proposer.accept import Checks, EditRefusal, LineAllowance, accept
from lorimer.meta_agent.replay import preview as previewing
from lorimer.meta_agent.state.descent import promotions_behind
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.names import candidate_id, short
from lorimer.meta_agent.state.world import World, scan
from lorimer.meta_agent.study.candidates import briefing
from lorimer.meta_agent.study.people import hand
from lorimer.meta_agent.workspace.session import open_session
from lorimer.sandbox.base import Owner, SandboxProvider
from lorimer.traces.base import StudyReader, StudyWriter
from lorimer.traces.tables import Candidate, StudyRow
from lorimer.wording import a, first_names

TITLE_CHARS = 80
"""Characters of a title, as it stands in a listing's line."""
TRIES = 20
"""Numbers that are tried for a person's edit while a process that runs the study takes them: it takes one in minutes."""

DryStart = Callable[[str, Owner], Awaitable[str]]
"""Starts a harness in a jail; "" or why it does not start."""


@dataclass(frozen=True)
class Jails:
    """Where edits are tried before they are paid for."""

    dry_start: DryStart
    shadows: SandboxProvider | None
    """Whose jails run shadows; `None` where nothing is previewed."""
    scrub: Callable[[str], str]
    """Masks secrets in what is shown of a difference."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Edits of proposals that are made at once are previewed one after another: each takes as many jails as there may be."""


@dataclass(frozen=True)
class PutForward:
    """A person's edit that is a candidate now."""

    candidate: str
    """`c007`."""
    title: str
    touches: str
    """Which recorded trials it touches, in words; "" where that was not looked at."""


def checks(
    reader: StudyReader, world: World, base: str, book: experiments.Ledger, config: Config, owner: str, jails: Jails
) -> Checks:
    """What an edit of a harness is held against.

    Args:
        base: SHA-256 of the harness that is edited.
        owner: the candidate for which jails are started.
    """
    mine = Owner(world.study, owner)
    previews = None
    if config.replay.enabled and jails.shadows is not None:
        previews = previewing.of_harness(reader, world, base, jails.shadows, config, mine, jails.scrub, jails.turn)

    async def dry_start(text: str) -> str:
        async with jails.turn:
            return await jails.dry_start(text, mine)

    return Checks(
        max_bytes=config.meta.max_harness_bytes,
        earlier=briefing.earlier(book),
        knowledge=briefing.knowledge(reader, world.study),
        dry_start=dry_start,
        previews=previews,
        lines=LineAllowance.allowed(config.search, promotions_behind(world, base)),
    )


@dataclass(frozen=True)
class AtHand:
    """What a person's edit of a study needs, outside of the process that runs it."""

    store: StudyWriter
    reader: StudyReader
    config: Config
    jails: Jails


@asynccontextmanager
async def at_hand(root: Path, study: StudyRow) -> AsyncIterator[AtHand]:
    """Open a study that tries candidates, in its own sandboxes. Raises UserError for another one; PrerequisiteError without a
    sandbox."""
    if study.kind != "optimize":
        raise UserError(
            f"{study.id} is {a(study.kind)}, which tries no candidates; name one made by `lorimer optimize`"
        )
    config = parse_stored(study.config, study.id)
    async with open_session(root, config, models=False, resumes=study.id) as session:
        trials = session.scheduler({}, session.budget(study.id), lambda outcome: None, lambda report: None)
        jails = Jails(trials.dry_start, session.provider, session.scrub)
        yield AtHand(session.store, session.reader, config, jails)


async def propose(
    root: Path, study: StudyRow, text: str, why: str = "", fixes: Sequence[str] = (), at_risk: Sequence[str] = ()
) -> PutForward:
    """`put_forward` in a workspace, in the sandboxes of the study. Raises as that does; PrerequisiteError without a sandbox."""
    async with at_hand(root, study) as own:
        return await put_forward(
            own.store, own.reader, study.id, own.config, own.jails, text, why, fixes=fixes, at_risk=at_risk
        )


async def put_forward(
    store: StudyWriter,
    reader: StudyReader,
    study: str,
    config: Config,
    jails: Jails,
    edit: str | Sequence[Hunk],
    why: str = "",
    fixes: Sequence[str] = (),
    at_risk: Sequence[str] = (),
) -> PutForward:
    """Make a person's edit of the champion a candidate, if it passes the same checks as the meta-agent's.

    Args:
        edit: the whole edited harness, or the hunks.
        why: the person's hypothesis.
        fixes: train tasks that it should fix.
        at_risk: train tasks that it may break.

    Raises UserError with the reason where it does not pass, where a task is not for training, and where the sealed tasks have
    answered as often as they may.
    """
    world = await asyncio.to_thread(scan, reader, study)
    _known(world, [*fixes, *at_risk])
    asked, most = world.holdout_queries, config.gate.holdout_queries
    if world.holdout and most is not None and asked >= most:
        raise UserError(
            f"gate.holdout_queries: the sealed holdout of {study} has answered {asked} of {most} times; it is worn out"
        )
    champion = reader.harness(world.champion_harness).text
    book = await asyncio.to_thread(experiments.read, reader, world, config.retries.errored, recent=experiments.RECENT)
    against = checks(reader, world, world.champion_harness, book, config, "by-hand", jails)
    found = await accept(champion, edit, against)
    if isinstance(found, EditRefusal):
        raise UserError(found.why)
    await store.add_harness(sha(found.text), found.text)
    why = hand.reason(why)
    row = Candidate(
        id="",
        study=study,
        number=0,
        parent=world.champion_harness,
        harness=sha(found.text),
        title=_clipped(why) or "An edit by hand",
        hypothesis=why,
        edit=[asdict(hunk) for hunk in (hunks_between(champion, edit) if isinstance(edit, str) else edit)],
        fixes=list(fixes),
        at_risk=list(at_risk),
        kind=found.kind,
        state="proposed",
        origin="human",
    )
    stored = await _numbered(store, row, world.next_number)
    kept = found.preview.kept if found.preview else None
    if kept is not None:
        await store.update_candidate(stored.id, "proposed", preview=kept)
    return PutForward(short(stored.number), stored.title, str(found.preview) if found.preview else "")


async def applied(
    store: StudyWriter, reader: StudyReader, world: World, config: Config, jails: Jails, candidate: CandidateView
) -> Candidate:
    """A candidate that was made for an earlier champion, applied to the one of today and held against the same again; it is
    `failed` where that does not go. As it is stored.
    """
    row = reader.candidate(candidate.id)
    if row is None:
        raise InternalError(f"{candidate.id} is not in the trace store")
    book = await asyncio.to_thread(experiments.read, reader, world, config.retries.errored, recent=experiments.RECENT)
    against = checks(reader, world, world.champion_harness, book, config, candidate.id, jails)
    # It changed no more lines than it might when it was made.
    others = [each for each in against.earlier if each.number != candidate.number]
    against = replace(against, earlier=others, lines=None)
    hunks = [Hunk(**each) for each in row.edit]
    champion = short(world.champion.number) if world.champion else "the seed harness"
    found = await accept(reader.harness(world.champion_harness).text, hunks, against)
    if isinstance(found, EditRefusal):
        why = f"it was made for an earlier champion, and for {champion} {found.why}"
        return await store.update_candidate(candidate.id, "proposed", state="failed", failure=why)
    await store.add_harness(sha(found.text), found.text)
    kept = found.preview.kept if found.preview else None
    changed = {"parent": world.champion_harness, "harness": sha(found.text)}
    return await store.update_candidate(candidate.id, "proposed", preview=kept, **changed)


def _known(world: World, tasks: Sequence[str]) -> None:
    """Raises UserError for a task that is not for training: of a sealed one no more is said than of one that there is not."""
    unknown = [task for task in tasks if task not in world.train]
    if unknown:
        raise UserError(
            f"{first_names(unknown, 5)}: no train task of {world.study}; `lorimer traces ls --study {world.study}` names them"
        )


def _clipped(text: str) -> str:
    return text if len(text) <= TITLE_CHARS else text[: TITLE_CHARS - 1].rstrip() + "…"


async def _numbered(store: StudyWriter, row: Candidate, number: int) -> Candidate:
    """Store a candidate under the first number that is free: a process that runs the study may take one at any time."""
    for tried in range(number, number + TRIES):
        named = row.model_copy(update={"id": candidate_id(row.study, tried), "number": tried})
        with suppress(NumberTaken):
            return await store.add_candidate(named)
    raise InternalError(f"no number could be had for an edit of {row.study}")
