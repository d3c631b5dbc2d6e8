"""How a study's candidates come to be: a round begins, and the meta-agent proposes for each of its candidates.

An edit that was made for an earlier champion is applied to that of today; what passed beside a promoted one is rebased.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from lorimer.errors import CallFailed, InternalError, NumberTaken, UserError
from lorimer.harness.version import sha
from lorimer.meta_agent.ledger import continued, experiments
from lorimer.meta_agent.proposer.asked import Asked
from lorimer.meta_agent.proposer.diagnosis.clusters import clusters
from lorimer.meta_agent.proposer.log import Log
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.state.descent import known_trials
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.names import candidate_id, short
from lorimer.meta_agent.state.world import World
from lorimer.meta_agent.study.candidates import briefing, edits, pruning, steering, strategies
from lorimer.meta_agent.study.candidates.abreast import abreast
from lorimer.meta_agent.study.people.hearing import Heard
from lorimer.meta_agent.workspace.events import ProgramChanged, ProposalFailed, Proposed, Proposing
from lorimer.meta_agent.workspace.parts import StudyParts
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.task_agent.serving.refusals import RefusalWatch, is_answered, plain_question
from lorimer.traces.previews import Touches
from lorimer.traces.tables import Candidate, HarnessRow


@dataclass(frozen=True)
class _Known:
    """What all proposals of a round are told of what was tried before it."""

    book: experiments.Ledger
    log: Log
    asked: Asked


class Proposals:
    """Makes and stores the candidates of one study. What computes for long does so in a thread."""

    def __init__(self, parts: StudyParts, study: str, heard: Heard) -> None:
        self._parts, self._study, self._heard = parts, study, heard
        self._tell = parts.progress.on_event
        self._remembered: Log | None = None
        self._nothing_to_prune = ""
        """The champion of which nothing can be taken out, as was found; whatever was refused stays refused."""
        self._jails = edits.Jails(parts.trials.dry_start, parts.shadows, parts.scrub)

    async def remember(self) -> None:
        """Read, where the study continues another one, what that tried: once, as there may be hundreds of experiments."""
        retries = self._parts.config.retries.errored
        self._remembered = await asyncio.to_thread(continued.remembered, self._parts.reader, self._study, retries)

    async def begin(self, world: World, number: int, most: int) -> World | None:
        """Begin a round of at most so many candidates, the first of which has this number; `None` where a person's edit has just
        taken a number of them.

        What each is to be an edit of, and about, is stored with it. There are no more candidates than kinds of failures, and one
        where the kinds are not known. In place of what the meta-agent would propose, it may be the champion without a part of it.
        """
        pruned = await self._pruned(world, number)
        if pruned is not None:
            found = await self._numbered(world, [pruned], {})
            return None if found is None else self.told(world, found)
        base = strategies.base(world, self._parts.config.search)
        about: Sequence[str] = ()
        if most > 1 and self._parts.config.meta.traces:
            about = await asyncio.to_thread(self._clusters, world, base)
        count = max(1, min(most, len(about)))
        named = about[:count] if count > 1 else ("",)
        rows = [
            Candidate(
                id=candidate_id(self._study, each),
                study=self._study,
                number=each,
                parent=base,
                edit=[],
                fixes=[],
                at_risk=[],
                state="proposing",
                round=number if count > 1 else None,
                cluster=cluster,
            )
            for each, cluster in enumerate(named, number)
        ]
        return await self._numbered(world, rows, {})

    async def _pruned(self, world: World, number: int) -> Candidate | None:
        """The champion without a part of it as a candidate, where that is due and there is such a part; not stored yet."""
        parts = self._parts
        if self._nothing_to_prune == world.champion_harness or not pruning.due(world, parts.config):
            return None
        found = await pruning.pruned(parts.store, parts.reader, world, parts.config, self._jails, number)
        if found is None:
            self._nothing_to_prune = world.champion_harness
        return found

    def _clusters(self, world: World, base: str) -> tuple[str, ...]:
        reader = self._parts.reader
        return clusters(briefing.cases_of(reader, self._study, known_trials(reader, world, base)))

    async def rebase(self, world: World, champion: CandidateView, candidates: Sequence[CandidateView]) -> World | None:
        """Put edits that passed beside the new champion forward again, as a round of their own; `None` as of `begin`.

        They are applied to the champion (`apply`) when their turn comes, like all that were made for an earlier one.
        """
        rows, leaves = [], dict[str, str]()
        for number, each in enumerate(candidates, world.next_number):
            row = self._parts.reader.candidate(each.id)
            if row is None:
                raise InternalError(f"{each.id} is not in the trace store")
            changed = {
                "id": candidate_id(self._study, number),
                "number": number,
                "rebased": each.number,
                "touches": None,
                "refused": None,
            }
            first = world.next_number if len(candidates) > 1 else None
            rows.append(row.model_copy(update={**changed, "round": first}))
            leaves[each.id] = (
                f"{short(champion.number)} of its round was promoted first; its edit goes on as {short(number)}"
            )
        found = await self._numbered(world, rows, leaves)
        return None if found is None else found.with_all((self._now(name) for name in leaves), ())

    def _now(self, candidate: str) -> CandidateView:
        row = self._parts.reader.candidate(candidate)
        if row is None:
            raise InternalError(f"{candidate} is not in the trace store")
        return CandidateView.of(row)

    async def _numbered(self, world: World, rows: Sequence[Candidate], leaves: dict[str, str]) -> World | None:
        """Store the candidates of a round; `None` where a number is taken: a person may put an edit forward at any time."""
        try:
            stored = await self._parts.store.add_round(rows, leaves)
        except NumberTaken:
            return None
        return world.with_all(map(CandidateView.of, stored), ())

    async def make(self, world: World, numbers: Sequence[int]) -> World:
        """Have the meta-agent propose the edits of these candidates of a round, which are stored already, at once.

        Each knows what was tried before the round, and nothing of the others in it. What a session comes to is stored when it
        ends, and followed in order of number, so no session is held again whose end was seen, however the others end.
        """
        made = await asyncio.to_thread(self._made, numbers)
        asked = [number for number in numbers if number not in made]
        known = await asyncio.to_thread(self._before_round, world, numbers[0])
        programs = {number: await self._read_program(candidate_id(self._study, number)) for number in asked}
        kept = world

        async def session(number: int) -> Candidate:
            return made[number] if number in made else await self._ask(world, known, number, programs[number])

        async def keep(row: Candidate) -> None:
            nonlocal kept
            kept = await self._keep(kept, row)

        await abreast([session(number) for number in numbers], keep)
        return kept

    def _made(self, numbers: Sequence[int]) -> dict[int, Candidate]:
        """What those of these candidates came to whose sessions ended in an earlier process, by number."""
        rows = (self._parts.reader.made(candidate_id(self._study, number)) for number in numbers)
        return {row.number: row for row in rows if row is not None}

    def _before_round(self, world: World, number: int) -> _Known:
        """What every proposal of a round is told, from its candidate of this number."""
        reader, config, first = self._parts.reader, self._parts.config, world.round_of(number)
        book = experiments.read(reader, world, config.retries.errored, recent=experiments.RECENT, before=first)
        log = experiments.for_meta_agent(book).after(self._remembered)
        base = self._mine(world, number).parent
        return _Known(book, log, steering.told(reader, world, book, config.search, first, base))

    def _mine(self, world: World, number: int) -> CandidateView:
        """A candidate that is to be proposed."""
        found = world.candidate(candidate_id(self._study, number))
        if found is None:
            raise InternalError(f"{candidate_id(self._study, number)} is to be proposed before its round has begun")
        return found

    async def _ask(self, world: World, known: _Known, number: int, program: str) -> Candidate:
        """One session of the meta-agent; its candidate as it is stored then."""
        reader, config = self._parts.reader, self._parts.config
        mine = self._mine(world, number)
        name, base = mine.id, mine.parent
        self._tell(Proposing(name, number, self._heard.config.budget.candidates, mine.round))
        began = time.monotonic()
        refusals = RefusalWatch(config.meta_model, own_form=True)

        async def complete(request: ModelRequest, context: CallContext) -> ModelReply:
            question, alone = plain_question(request, own_form=True), replace(context, once=True)

            async def answers() -> bool:
                return await is_answered(self._parts.complete(question, alone, owner=name, began=began))

            context = replace(context, answers=answers)
            reply = await self._parts.complete(request, context, owner=name, began=began)
            refusals.heard(request, reply.completion)
            return reply

        def session() -> ProposalSession:
            trials = known_trials(reader, world, base)
            checks = edits.checks(reader, world, base, known.book, config, name, self._jails)
            return ProposalSession(
                complete=complete,
                number=number,
                harness=reader.harness(base).text,
                base=briefing.why_another(world, number, base, trials),
                cases=briefing.cases_of(reader, self._study, trials),
                log=known.log,
                program=program,
                focus=mine.cluster,
                abilities=self._parts.abilities,
                settings=config.meta,
                seed=world.seed,
                checks=replace(checks, asked=known.asked),
            )

        try:
            proposal = await self._parts.propose(await asyncio.to_thread(session))
        except CallFailed as error:
            return await self._ended(name, NoProposal(f"the meta model's provider fails at the conversation: {error}"))
        if isinstance(proposal, NoProposal) and refusals.question is not None:
            # Where the provider refuses whatever it is asked, the next proposal would fail in the same way.
            context = CallContext("meta", world.seed, base, name, number)
            reply = await self._parts.complete(refusals.question, context, owner=name, began=began)
            refusals.raise_if_refused(reply.completion)
        return await self._ended(name, proposal)

    async def _ended(self, name: str, proposal: Proposal | NoProposal) -> Candidate:
        """Store what came of a session, all at once; nothing follows from it yet."""
        store, refused = self._parts.store, [each.as_json() for each in proposal.refused] or None
        if isinstance(proposal, NoProposal):
            return await store.end_session(name, failure=proposal.reason, refused=refused)
        outcome: dict[str, Any] = {
            "title": proposal.title,
            "hypothesis": proposal.hypothesis,
            "edit": [asdict(hunk) for hunk in proposal.hunks],
            "kind": proposal.diagnosis.kind,
            "cause": proposal.diagnosis.cause,
            "mechanism": proposal.diagnosis.mechanism,
            "citations": [asdict(citation) for citation in proposal.diagnosis.citations],
            "fixes": list(proposal.fixes),
            "at_risk": list(proposal.at_risk),
            "refused": refused,
        }
        harness = HarnessRow(sha=sha(proposal.text), text=proposal.text)
        kept = proposal.preview.kept if proposal.preview else None
        return await store.end_session(name, harness, preview=kept, **outcome)

    async def _keep(self, world: World, made: Candidate) -> World:
        """Say what follows from a session, as its candidate is stored: all before it in its round are followed."""
        if made.harness is None:
            return await self._failed(world, made, made.failure)
        twin = _twin(world, made.harness, made.number)
        if twin:
            why = f"the edit gives the same harness as {twin}; running it again would only buy luck"
            return await self._failed(world, made, why)
        stored = await self._parts.store.update_candidate(made.id, "proposing", state="proposed")
        touches = "" if stored.touches is None else str(Touches.of_json(stored.touches))
        fixes, at_risk = tuple(stored.fixes), tuple(stored.at_risk)
        self._tell(Proposed(stored.id, stored.title, stored.hypothesis, fixes, at_risk, touches))
        return world.with_candidate(stored)

    async def _read_program(self, candidate: str) -> str:
        """The user's direction as it is now; a change is told, and kept in the chain. One that cannot be read any more ends no
        study that runs overnight: the last one that could be holds.
        """
        before = await asyncio.to_thread(self._parts.reader.program, self._study)
        try:
            text = await asyncio.to_thread(self._parts.program)
        except UserError as error:
            if before is None:
                raise
            self._tell(ProgramChanged(candidate, f"{error}; the direction of before holds"))
            return before.text
        if sha(text) != (before.sha if before else sha("")):
            await self._parts.store.note_program(self._study, sha(text), text, candidate)
            if before is not None:
                said = "the direction is another one now (study.program), and holds from here on"
                self._tell(ProgramChanged(candidate, said))
        return text

    def told(self, before: World, now: World) -> World:
        """Tell of the edits that came since the world was as before, and not of the meta-agent; the new one."""
        for each in now.candidates[len(before.candidates) :]:
            touches = "" if each.touches is None else str(each.touches)
            self._tell(Proposed(each.id, each.title, each.hypothesis, each.fixes, (), touches, each.origin))
        return now

    async def apply(self, world: World, candidate: CandidateView) -> World:
        """Apply an edit that was made for an earlier champion to the one of today; it fails where that does not go."""
        store, reader, config = self._parts.store, self._parts.reader, self._parts.config
        stored = await edits.applied(store, reader, world, config, self._jails, candidate)
        if stored.state == "failed":
            self._tell(ProposalFailed(stored.id, stored.failure))
        return world.with_candidate(stored)

    async def _failed(self, world: World, made: Candidate, reason: str) -> World:
        store, refused = self._parts.store, made.refused
        stored = await store.update_candidate(made.id, "proposing", state="failed", failure=reason, refused=refused)
        self._tell(ProposalFailed(made.id, reason))
        return world.with_candidate(stored)


def _twin(world: World, harness: str, number: int) -> str:
    """A harness with the same text about which something is known, or will be where it is of the same round."""
    if harness == world.seed_harness:
        return "the seed harness"
    first = world.round_of(number)
    for each in world.candidates:
        if each.harness != harness:
            continue
        if each.state in ("rejected", "promoted"):
            return f"{short(each.number)}, which was {each.state}"
        if first <= each.number < number:
            return f"{short(each.number)} of the same round"
    return ""
