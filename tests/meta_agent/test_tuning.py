"""What a person asks of a study that runs, whichever process asks: a pause, other bounds, more or fewer trials or proposals
at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from lorimer.config.settings import Config, parse
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.reports import audit
from lorimer.meta_agent.state.result import StudyResult
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.study.people import asking
from lorimer.meta_agent.study.people.hand import Person
from lorimer.meta_agent.workspace.events import Event, SettingChanged
from tests.cli.support import refused, typed
from tests.meta_agent.test_hand import bench, settings, studied
from tests.meta_agent.test_loop import Bench, script

__all__ = ["bench"]

ADA = Person("Ada", "to think it over")
QUICK = script("NULL", "NULL", "NULL", "NULL", "NULL")


def asked_of(
    bench: Bench, asked: Mapping[str, object], chosen: Config
) -> tuple[StudyResult, list[Config], list[Event]]:
    """A study in whose second proposal somebody asks for other settings; it goes on once it has heard them."""
    heard, told = asyncio.Event(), list[Config]()

    def tuned(found: Config) -> None:
        told.append(found)
        heard.set()

    async def propose(session: ProposalSession) -> Proposal | NoProposal:
        if session.number == 2:
            await asking.tune(bench.root, bench.reader().study("demo"), asked)
            await heard.wait()
        return await QUICK(session)

    async def work() -> tuple[StudyResult, list[Event]]:
        with bench.parts(propose, chosen) as (parts, _, recorder):
            await bench.create(parts)
            return await optimize(replace(parts, tuned=tuned), "demo"), recorder.events

    result, events = asyncio.run(work())
    return result, told, events


def intact(bench: Bench) -> bool:
    found = audit.verify(bench.root, bench.reader())
    return not [check for check in found.checks if check.what != "benchmark" and check.problems]


def test_a_study_that_runs_hears_other_bounds_and_more_trials_at_once(bench: Bench) -> None:
    asked = {"budget.candidates": 3, "budget.usd": 12.5, "sandbox.concurrency": 9}
    result, told, events = asked_of(bench, asked, settings(2))
    assert result.reason.startswith("budget.candidates: 3 of 3 tried")
    assert [(each.budget.usd, each.sandbox.concurrency) for each in told] == [(12.5, 9)]
    assert [str(each.key) for each in events if isinstance(each, SettingChanged)] == sorted(asked)
    stored = bench.reader().study("demo").config
    assert (stored["budget"]["candidates"], stored["sandbox"]["concurrency"]) == (3, 9)
    assert [row.body["changes"][0] for row in bench.reader().chain("demo", "settings")] == [
        {"key": "budget.candidates", "from": 2, "to": 3}
    ]
    assert intact(bench)


def test_bounds_that_are_asked_for_while_a_resume_starts_hold(bench: Bench) -> None:
    """The resume has read the study's settings, and has not yet taken the study."""
    studied(bench, QUICK, settings(1))
    read = bench.reader().study("demo")
    asyncio.run(asking.tune(bench.root, read, {"budget.usd": 12.5}))
    told: list[Config] = []

    async def resumed() -> tuple[StudyResult, list[Event]]:
        with bench.parts(QUICK, settings(2)) as (parts, _, recorder):
            parts = replace(parts, found=settings(1), tuned=told.append)
            return await optimize(parts, "demo"), recorder.events

    result, events = asyncio.run(resumed())
    assert result.reason.startswith("budget.candidates: 2 of 2 tried")
    assert [(each.budget.usd, each.budget.candidates) for each in told] == [(12.5, 2)]
    assert bench.reader().study("demo").config["budget"]["usd"] == 12.5
    assert [row.body["changes"] for row in bench.reader().chain("demo", "settings")] == [
        [{"key": "budget.usd", "from": None, "to": 12.5}],
        [{"key": "budget.candidates", "from": 1, "to": 2}],
    ]
    assert [each.key for each in events if isinstance(each, SettingChanged)] == ["budget.candidates", "budget.usd"]
    assert intact(bench)


def test_of_two_who_ask_at_once_neither_undoes_the_other(bench: Bench) -> None:
    studied(bench, QUICK, settings(1))
    read = bench.reader().study("demo")
    for asked in ({"budget.usd": 12.5}, {"budget.candidates": 7}, {"budget.usd": 20.0}):
        asyncio.run(asking.tune(bench.root, read, asked))
    budget = bench.reader().study("demo").config["budget"]
    assert (budget["usd"], budget["candidates"]) == (20.0, 7)
    assert bench.reader().chain("demo", "settings")[-1].body["changes"] == [
        {"key": "budget.usd", "from": 12.5, "to": 20.0}
    ]
    assert intact(bench)


def test_a_bound_can_be_taken_away(bench: Bench) -> None:
    chosen = parse(settings(2).model_dump(mode="json"), overrides={"budget.usd": 5.0})
    _, told, events = asked_of(bench, {"budget.usd": None}, chosen)
    assert told[0].budget.usd is None
    assert [(each.before, each.after) for each in events if isinstance(each, SettingChanged)] == [(5.0, None)]


def test_a_study_pauses_when_it_is_asked_to_and_goes_on_as_if_nothing_had_happened(bench: Bench) -> None:
    async def propose(session: ProposalSession) -> Proposal | NoProposal:
        if session.number == 2:
            await asking.pause(bench.root, bench.reader().study("demo"), ADA)
            await asyncio.Event().wait()  # for good: only a pause ends it
        return await QUICK(session)

    done = studied(bench, propose, settings(3))
    assert (done.state, done.reason) == (
        "paused",
        "asked for by Ada: to think it over; `lorimer resume demo` goes on",
    )
    assert [row.body for row in bench.reader().chain("demo", "pause")] == [{"by": "Ada", "why": "to think it over"}]
    assert [row.state for row in bench.reader().candidates("demo")] == ["rejected", "proposing"]
    assert bench.reader().study("demo").holder == ""
    done = studied(bench, QUICK, settings(3))
    assert done.reason.startswith("budget.candidates: 3 of 3 tried"), (
        "what was asked before is no matter of a later process"
    )
    assert intact(bench)


def test_a_study_that_nobody_runs_is_not_paused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    studied(bench, QUICK, settings(1))
    said = refused(capsys, 2, "pause", "-C", bench.root)
    assert said == "lorimer: no process runs demo, so there is nothing to pause"
    assert bench.reader().chain("demo", "pause") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--set", "gate.alpha=.2"),
            "gate.alpha: only [budget], search.width and sandbox.concurrency change while a study runs; `lorimer",
        ),
        (("--set", "budget.candidates=1"), "nothing changes: study demo has these settings already"),
        ((), "nothing changes: study demo has these settings already"),
        (("--set", "budget.usd=-1"), "--set budget.usd"),
        (("--set", "sandbox.concurrency=0"), "--set sandbox.concurrency"),
        (("--set", "budget.usd=3"), "budget.usd: the price of local/nobody is unknown"),
        (("--unset", "budget.euros"), "budget.euros"),
    ],
)
def test_what_cannot_be_changed_is_refused_in_a_line(
    bench: Bench, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    local: dict[str, Any] = {
        "models": {"task": "local/nobody"},
        "providers": {"local": {"base_url": "http://127.0.0.1:9/v1"}},
    }
    chosen = settings(1)
    studied(bench, QUICK, parse(chosen.model_dump(mode="json") | local))
    assert words in refused(capsys, 2, "tune", "-C", bench.root, *arguments)
    assert bench.reader().chain("demo", "settings") == []


def test_where_trials_run_is_kept_for_the_next_resume(bench: Bench) -> None:
    studied(bench, QUICK, settings(1))
    moved = {"budget.candidates": 2, "executor.kind": "ray"}
    studied(bench, QUICK, parse(settings(1).model_dump(mode="json"), overrides=moved))
    stored = bench.reader().study("demo").config
    assert (stored["budget"]["candidates"], stored["executor"]["kind"]) == (2, "ray")
    (chained,) = bench.reader().chain("demo", "settings")
    assert [change["key"] for change in chained.body["changes"]] == sorted(moved)
    assert intact(bench)


def test_a_study_at_rest_has_its_new_settings_when_it_goes_on(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    studied(bench, QUICK, settings(1))
    said = typed(capsys, "tune", "demo", "-j", "7", "--width", "2", "--set", "budget.candidates=2", "-C", bench.root)
    assert said.out.splitlines() == [
        "budget.candidates changed from 1 to 2",
        "sandbox.concurrency changed from 4 to 7",
        "search.width changed from 1 to 2",
    ]
    stored = parse(bench.reader().study("demo").config)
    assert studied(bench, QUICK, stored).reason.startswith("budget.candidates: 2 of 2 tried")
