"""What a session of a round came to is stored when it ends: it was paid for, whatever becomes of those before it in the round."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lorimer.errors import BudgetExhausted, LorimerError, ProviderOutage
from lorimer.harness.version import Hunk, apply_edit
from lorimer.meta_agent.proposer.proposal import Citation, Diagnosis, NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.state.names import candidate_id
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.study.people import hand
from lorimer.meta_agent.workspace.events import Event, ProposalFailed, Proposed, Proposing
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.task_agent.shadow.previewed import Preview
from lorimer.traces.previews import RefusedEdit
from tests.meta_agent.test_loop import Bench, Recorder
from tests.meta_agent.test_rounds import SEED, opened, seeded, wide
from tests.support.dice_trials import Killed

PLACES = {1: 2, 2: 1, 4: 2, 6: 3}
"""Where each candidate edits. Candidate 3 has no edit, and that of candidate 4 is the one of candidate 1."""
OTHERS = (2, 3, 4)


def came_to(session: ProposalSession) -> Proposal | NoProposal:
    """What a session comes to, with something in every column of its candidate."""
    refused, place = (RefusedEdit("inert"), RefusedEdit("repeat", 1)), PLACES.get(session.number)
    if place is None:
        return NoProposal("the model answered with a poem", refused)
    hunk = Hunk(f"# place {place}\n", f"# {'GOOD' if place == 2 else 'NULL'}\n")
    diagnosis = Diagnosis("prompt", "it gives up", "it is told not to", (Citation("t07/0", 1, "I give up"),))
    preview = Preview("a" * 64, (), "there was no jail for it")
    text = apply_edit(session.harness, [hunk])
    title, why = f"Edit of place {place}", f"Session {session.number} says so."
    return Proposal(title, why, (hunk,), ("t07", "t08"), ("t01",), text, diagnosis, preview, refused)


@dataclass
class Sessions:
    """The sessions of a round, each of which ends by itself."""

    held: list[ProposalSession] = field(default_factory=list)

    async def __call__(self, session: ProposalSession) -> Proposal | NoProposal:
        self.held.append(session)
        return came_to(session)

    @property
    def numbers(self) -> list[int]:
        return sorted(session.number for session in self.held)


@dataclass
class Broken(Sessions):
    """The last of `order` is broken off by `end` once the others have come to their ends, one after another."""

    end: Any = None
    order: Sequence[int] = (4, 2, 3, 1)
    ended: list[asyncio.Event] = field(default_factory=list)

    async def __call__(self, session: ProposalSession) -> Proposal | NoProposal:
        self.ended = self.ended or [asyncio.Event() for _ in self.order]
        self.held.append(session)
        turn = self.order.index(session.number)
        if turn:
            await self.ended[turn - 1].wait()
        if session.number == self.order[-1]:
            await self.end()
        self.ended[turn].set()
        return came_to(session)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return seeded(tmp_path / "work")


@dataclass(frozen=True)
class Undisturbed:
    """A study of this round that nothing disturbed. It is read alone."""

    bench: Bench
    sessions: Sessions
    events: list[Event]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    made, sessions = seeded(tmp_path_factory.mktemp("undisturbed") / "work"), Sessions()
    return Undisturbed(made, sessions, asyncio.run(go_on(made, sessions, begin=True)))


async def go_on(bench: Bench, sessions: Sessions, *, begin: bool = False) -> list[Event]:
    """Run the study in a process of its own, as it were; what it tells."""
    with opened(bench, sessions, wide()) as (parts, _):
        if begin:
            await bench.create(parts)
        await optimize(parts, "demo")
        assert isinstance(parts.progress, Recorder)
        return parts.progress.events


def stored(bench: Bench) -> list[dict[str, Any]]:
    """All candidates with their previews, without commit ids, which hold times."""
    reader = bench.reader()
    return [
        {**row.model_dump(exclude={"commit"}), "preview": reader.preview(row.id)} for row in reader.candidates("demo")
    ]


def proposals(events: Sequence[Event]) -> list[Event]:
    """What is told of the ends of sessions."""
    return [event for event in events if isinstance(event, Proposed | ProposalFailed)]


def told(session: ProposalSession) -> tuple[Any, ...]:
    """What a session is told."""
    said = (session.number, session.focus, session.base, session.harness, session.program, session.log.within(10**6))
    return *said, session.checks.asked, session.checks.earlier, session.cases.failures


class Told(Recorder):
    """Knows when it was told of a candidate's edit."""

    def __init__(self, candidate: str) -> None:
        super().__init__()
        self.candidate, self.proposed = candidate, asyncio.Event()

    def on_event(self, event: Event) -> None:
        super().on_event(event)
        if isinstance(event, Proposed) and event.candidate == self.candidate:
            self.proposed.set()


async def breaks_off(bench: Bench, how: str, order: Sequence[int] = (4, 2, 3, 1)) -> Broken:
    """A new study, the last session of whose first round is broken off when the others have ended."""
    first = Told("demo/c001")
    with opened(bench, broken := Broken(order=order), wide()) as (parts, _):
        await bench.create(parts)
        work = asyncio.create_task(optimize(replace(parts, progress=first), "demo"))

        async def end() -> None:
            if order[-1] != 1:
                await first.proposed.wait()
            if how == "Ctrl-C":
                work.cancel()
                await asyncio.Event().wait()
            raise {
                "outage": ProviderOutage("of the meta model does not answer"),
                "budget": BudgetExhausted("budget.usd", 5, 5),
                "error": LorimerError("the disk is full"),
                "killed": Killed(),
            }[how]

        broken.end = end
        if how in ("outage", "budget"):
            assert (await work).state == ("paused" if how == "outage" else "finished")
        else:
            with pytest.raises((asyncio.CancelledError, LorimerError, Killed)) as caught:
                await work
            assert isinstance(
                caught.value, {"Ctrl-C": asyncio.CancelledError, "error": LorimerError, "killed": Killed}[how]
            )
    assert broken.numbers == [1, 2, 3, 4]
    return broken


def is_as_if_undisturbed(bench: Bench, undisturbed: Undisturbed, resumed: Sessions, events: list[Event]) -> None:
    """That only session 1 was held again, and nothing else is other than in the study that nothing disturbed."""
    assert resumed.numbers == [1]
    assert [told(each) for each in resumed.held] == [told(e) for e in undisturbed.sessions.held if e.number == 1]
    assert [event.candidate for event in events if isinstance(event, Proposing)] == ["demo/c001"]
    assert proposals(events) == proposals(undisturbed.events)
    assert stored(bench) == stored(undisturbed.bench)
    assert bench.log() == undisturbed.bench.log()
    assert bench.told() == undisturbed.bench.told()
    assert [*scan(bench.reader(), "demo").decisions] == [*scan(undisturbed.bench.reader(), "demo").decisions]


def test_the_round_is_one_in_which_every_end_of_a_session_comes_about(undisturbed: Undisturbed) -> None:
    rows = {row.number: row for row in undisturbed.bench.reader().candidates("demo")}
    assert undisturbed.sessions.numbers == [1, 2, 3, 4]
    assert [rows[number].state for number in (1, 2, 3, 4)] == ["promoted", "rejected", "failed", "failed"]
    assert rows[3].failure == "the model answered with a poem"
    assert rows[4].failure.startswith("the edit gives the same harness as c001 of the same round")
    assert (rows[4].harness, rows[4].title, rows[4].edit, rows[4].touches) == (None, "", [], None)
    assert [len(rows[number].refused or ()) for number in (1, 2, 3, 4)] == [2, 2, 2, 2]


@pytest.mark.parametrize("how", ["outage", "budget", "Ctrl-C", "error", "killed"])
async def test_a_session_that_had_ended_is_not_held_again(bench: Bench, undisturbed: Undisturbed, how: str) -> None:
    await breaks_off(bench, how)
    resumed = Sessions()
    is_as_if_undisturbed(bench, undisturbed, resumed, await go_on(bench, resumed))


async def test_one_in_the_middle_of_the_round_is_held_again_alone(bench: Bench, undisturbed: Undisturbed) -> None:
    await breaks_off(bench, "outage", order=(1, 3, 4, 2))
    assert [row.state for row in bench.reader().candidates("demo")] == ["proposed", *["proposing"] * 3]
    resumed = Sessions()
    events = await go_on(bench, resumed)
    assert resumed.numbers == [2]
    assert proposals(events) == proposals(undisturbed.events)[1:]
    assert stored(bench) == stored(undisturbed.bench)


async def test_nobody_is_told_what_a_session_came_to_before_its_turn(bench: Bench) -> None:
    await breaks_off(bench, "outage")
    reader = bench.reader()
    rows = reader.candidates("demo")
    assert [row.state for row in rows] == ["proposing"] * 4
    assert [(row.title, row.harness, row.failure, row.edit, row.refused) for row in rows] == [
        ("", None, "", [], None)
    ] * 4
    assert "c002 [proposing] a proposal is under way\n" in bench.log()
    assert "c002" not in bench.told()
    assert scan(reader, "demo").fruitless == 0
    found = {number: reader.made(candidate_id("demo", number)) for number in (1, 2, 3, 4)}
    assert [number for number, row in found.items() if row is not None] == list(OTHERS)


async def test_who_gives_up_a_round_gives_up_what_its_sessions_came_to(bench: Bench) -> None:
    (bench.root / STORE.parent).mkdir()
    (bench.root / ".gitignore").write_text(f"{STORE.parent}/\n")
    bench.git("-c", "user.name=u", "-c", "user.email=u@x", "commit", "-qam", "a store of its own")
    bench, six_ended = replace(bench, store=STORE), asyncio.Event()

    async def propose(session: ProposalSession) -> Proposal | NoProposal:
        if session.number == 5:
            await six_ended.wait()
            raise ProviderOutage("of the meta model does not answer")
        if session.number == 6:
            six_ended.set()
        return came_to(session)

    with opened(bench, propose, wide(budget={"candidates": 8})) as (parts, _):
        await bench.create(parts)
        await optimize(parts, "demo")
    ended = bench.reader().made("demo/c006")
    assert ended is not None
    assert ended.title == "Edit of place 3"
    await hand.revert(bench.root, bench.reader().study("demo"), "seed", hand.Person("Ada"), drop=True)
    given_up = bench.reader().candidate("demo/c006")
    assert given_up is not None
    assert given_up.failure.startswith("given up, as the seed harness was made the champion again")
    assert (given_up.harness, given_up.title, given_up.edit, given_up.touches) == (None, "", [], None)
    assert bench.reader().preview("demo/c006") is None


def child(root: str) -> None:
    """What the process that is killed runs. It notes which sessions were held."""

    async def work() -> None:
        bench, broken = Bench(Path(root), seed=SEED), Broken()

        async def end() -> None:
            await parts.store.flush()
            (bench.root.parent / "held").open("a").write(f"{broken.numbers}\n")
            os.kill(os.getpid(), signal.SIGKILL)

        broken.end = end
        with opened(bench, broken, wide()) as (parts, _):
            if parts.reader.studies():
                broken.order = (1,)
            else:
                await bench.create(parts)
            await optimize(parts, "demo")

    asyncio.run(work())


async def test_a_round_killed_by_the_system_keeps_what_its_sessions_came_to(
    bench: Bench, undisturbed: Undisturbed
) -> None:
    for _ in range(2):
        code = f"from tests.meta_agent.test_session_ends import child; child({str(bench.root)!r})"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
        assert await process.wait() == -signal.SIGKILL
    assert (bench.root.parent / "held").read_text() == "[1, 2, 3, 4]\n[1]\n"
    resumed = Sessions()
    is_as_if_undisturbed(bench, undisturbed, resumed, await go_on(bench, resumed))


async def test_a_trial_of_a_round_is_kept_where_another_run_of_it_breaks_off(
    bench: Bench, undisturbed: Undisturbed
) -> None:
    """Runs side by side are decided in order as well, but each of their trials is stored when it ends."""
    with opened(bench, Sessions(), wide(), width=8, fail_after=60, failure=ProviderOutage) as (parts, trials):
        await bench.create(parts)
        await optimize(parts, "demo")
        before = list(trials.ran)
    assert {each.split("/")[1] for each in before} >= {"c001", "c002"}
    with opened(bench, Sessions(), wide()) as (parts, trials):
        await optimize(parts, "demo")
        assert not {*before} & {*trials.ran}
    assert stored(bench) == stored(undisturbed.bench)
