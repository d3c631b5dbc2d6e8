"""Which lines of a harness ran: told by its own process, and believed as far as that goes."""

from __future__ import annotations

import json
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.task_agent.causes import Cause
from lorimer.task_agent.serving.lines import MAX_BYTES, LinesTold
from lorimer.task_agent.spec import Harness
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import LinesRan, TrialState
from tests.support.trials import REAL, Played, solve
from tests.task_agent.conftest import Try
from tests.task_agent.test_record import stored

both = pytest.mark.parametrize("provider", REAL, indirect=True)


def harness(text: str) -> Harness:
    return Harness(textwrap.dedent(text).lstrip("\n"))


def ran(played: Played, agent: Harness) -> set[str]:
    """The letters of those comments `# X` in whose lines something ran."""
    told = played.end.ran
    assert told is not None
    lines = enumerate(agent.text.split("\n"), 1)
    return {text.rsplit("# ", 1)[1] for number, text in lines if "# " in text and told.any_of([number])}


EVERYWHERE = harness('''
    """What runs where."""
    from __future__ import annotations

    import asyncio
    import enum
    import threading


    class Colour(enum.Enum):
        """Red."""

        RED = 1


    def counted():
        yield 1  # generator
        yield 2  # never asked for


    async def later():
        await asyncio.sleep(0)
        return 3  # async


    def aside(found):
        found.append(1)  # thread


    def never():
        return 0  # never called


    def solve(task, env, llm):
        found = []
        thread = threading.Thread(target=aside, args=(found,))
        thread.start()
        thread.join()
        next(counted())
        asyncio.run(later())
        try:
            raise KeyError(1)
            found.append(2)  # behind an exception
        except ValueError:
            found.append(3)  # another exception
        except KeyError:
            found.append(4)  # caught
        finally:
            found.append(5)  # finally
        for each in ():
            found.append(each)  # empty loop
        else:
            found.append(6)  # else
        match found:
            case []:
                found.append(7)  # other case
            case _:
                found.append(8)  # case
        if len(found) > 100:
            return "many"  # not so many
        elif Colour.RED.value == 1:
            return "few"  # elif
''')


@both
async def test_threads_generators_async_and_exceptions_are_seen(attempt: Try) -> None:
    played = await attempt(EVERYWHERE)
    assert played.end.cause == Cause.FINISHED, played.end
    assert played.end.answer == "few"
    assert ran(played, EVERYWHERE) == {"generator", "async", "thread", "caught", "finally", "else", "case", "elif"}
    assert played.end.ran is not None
    assert played.end.ran.whole


OWN_TRACER = harness("""
    import sys


    def mine(frame, event, arg):
        return mine


    def solve(task, env, llm):
        sys.settrace(mine)
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is not None:
            monitoring.use_tool_id(monitoring.COVERAGE_ID, "mine")
            monitoring.set_events(monitoring.COVERAGE_ID, monitoring.events.LINE)
        assert sys.gettrace() is mine
        sys.settrace(None)
        return "traced"  # the end
""")


@both
async def test_a_harness_may_set_a_tracer_of_its_own(attempt: Try) -> None:
    played = await attempt(OWN_TRACER)
    assert (played.end.cause, played.end.answer) == (Cause.FINISHED, "traced"), played.end
    assert ran(played, OWN_TRACER) == {"the end"}


SAME_NAME = harness("""
    def never():
        return 1  # never called


    def solve(task, env, llm):
        exec(compile("\\n" * 1 + "x = 1", __file__, "exec"), {})
        return "ran"  # the end
""")


@both
async def test_other_code_under_the_same_file_name_does_not_count(attempt: Try) -> None:
    played = await attempt(SAME_NAME)
    assert played.end.answer == "ran", played.end
    assert ran(played, SAME_NAME) == {"the end"}


FOREIGN_GLOBALS = harness("""
    import types


    def inner():
        return 7  # inner


    def solve(task, env, llm):
        return str(types.FunctionType(inner.__code__, {})())
""")


@both
async def test_a_function_with_other_globals_still_works(attempt: Try) -> None:
    played = await attempt(FOREIGN_GLOBALS)
    assert played.end.answer == "7", played.end
    assert ran(played, FOREIGN_GLOBALS) == {"inner"}


BROKEN = harness("""
    def solve(task, env, llm):
        env.exec("true")
        raise RuntimeError("no")  # raised
        return ""  # never
""")

KILLED = harness("""
    import os


    def solve(task, env, llm):
        env.exec("true")  # asked
        os._exit(3)
        return ""  # never
""")

SLEEPING = harness("""
    import time


    def solve(task, env, llm):
        time.sleep(0.01)
        while True:
            time.sleep(0.01)  # for ever
        return ""  # never
""")


@both
@pytest.mark.parametrize(
    ("agent", "cause", "seen", "whole"),
    [(BROKEN, Cause.HARNESS_EXCEPTION, {"raised"}, True), (KILLED, Cause.JAIL_DIED, {"asked"}, False)],
)
async def test_a_trial_that_fails_tells_what_ran(
    attempt: Try, agent: Harness, cause: Cause, seen: set[str], whole: bool
) -> None:
    played = await attempt(agent)
    assert played.end.cause == cause, played.end
    assert ran(played, agent) == seen
    assert played.end.ran is not None
    assert played.end.ran.whole is whole


@pytest.mark.bubblewrap
async def test_a_harness_whose_time_is_up_is_asked_where_it_has_been(attempt: Try) -> None:
    played = await attempt(SLEEPING, limits={"seconds": 1.0})
    assert played.end.cause == Cause.LIMIT_SECONDS, played.end
    assert ran(played, SLEEPING) == {"for ever"}
    assert played.end.ran is not None
    assert not played.end.ran.whole


MADE_UP = [
    b"[[1, 1000000000]]",
    b"[[0, 1]]",
    b"[[3, 2]]",
    b"[[true, 2]]",
    b"[[2, 3], [1, 1]]",
    b"[[1.0, 2.0]]",
    b'"1-3"',
    b"{}",
    b"null",
    b"[1]",
    b"[" * 100_000,
    b" and so on",
]
LONGEST = max(MADE_UP, key=len)


# Whichever way a line comes, the same code reads it: through the engine comes the longest.
@pytest.mark.parametrize(
    ("provider", "said"),
    [pytest.param("bubblewrap", said, marks=pytest.mark.bubblewrap) for said in MADE_UP]
    + [pytest.param("docker", LONGEST, marks=pytest.mark.docker)],
    indirect=["provider"],
)
async def test_made_up_lines_are_passed_over_and_fail_no_trial(attempt: Try, said: bytes) -> None:
    told = b'{"ran": ' + said + b"}\n"
    agent = solve(f"""
        env._wire._write({told!r})
        env._wire._write({told!r})
        return "done"
    """)
    played = await attempt(agent)
    assert (played.end.state, played.end.cause, played.end.answer) == (TrialState.SCORED, "finished", "done"), (
        played.end
    )
    assert played.end.ran is not None
    assert played.end.ran.ranges[-1][1] <= agent.text.count("\n") + 1


@both
async def test_a_flood_of_made_up_lines_ends_nothing(attempt: Try) -> None:
    played = await attempt(
        solve("""
            for number in range(20_000):
                env._wire._write(b'{"ran": [[1, 1]]}\\n')
            return "done"
        """)
    )
    assert (played.end.cause, played.end.answer) == ("finished", "done"), played.end


def test_of_a_flood_no_more_is_read_than_can_be_true() -> None:
    told = LinesTold("a\nb\nc")
    for _ in range(100):
        told.hear(b'{"ran": [[1, 1]]}', 0)
    told.hear(b'{"ran": [[3, 3]]}', 0)
    assert told.lines(whole=True) == LinesRan(((1, 1),), True, ((1, 1, 0),))


def test_a_message_over_its_size_is_not_read() -> None:
    told = LinesTold("a\n" * MAX_BYTES)
    told.hear(json.dumps({"ran": [[line, line] for line in range(1, MAX_BYTES, 2)]}).encode(), 0)
    assert told.lines(whole=True) is None


def test_nothing_told_is_not_known() -> None:
    assert LinesTold("a").lines(whole=True) is None


def test_lines_are_written_down_and_read_again() -> None:
    lines = LinesRan(((1, 3), (7, 7)), whole=True)
    assert str(lines) == "1-3,7"
    assert LinesRan.of(str(lines), True) == lines
    assert LinesRan(((1, 2), (9, 9)), True) + LinesRan(((3, 4),), False) == LinesRan(((1, 4), (9, 9)), False)


def test_lines_lead_to_the_call_before_which_they_ran_first() -> None:
    told = LinesTold("a\n" * 9)
    for said, call in (("[[2, 3], [6, 6]]", 0), ("[[1, 4], [6, 8]]", 1), ("[[1, 9]]", 5), ("[[1, 9]]", 7)):
        told.hear(f'{{"ran": {said}}}'.encode(), call)
    ran = told.lines(whole=True)
    assert ran is not None
    assert ran.ranges == ((1, 9),)
    assert ran.led_to == ((2, 3, 0), (6, 6, 0), (1, 1, 1), (4, 4, 1), (7, 8, 1), (5, 5, 5), (9, 9, 5))


@given(st.lists(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5)), max_size=4), max_size=8))
def test_each_line_leads_to_one_call_whatever_is_told(messages: list[list[tuple[int, int]]]) -> None:
    told, first = LinesTold("\n" * 39), dict[int, int]()
    for call, message in enumerate(messages):
        ranges = [(begin, begin + more) for begin, more in message]
        told.hear(json.dumps({"ran": ranges}).encode(), call)
        if all(before[1] < after[0] for before, after in pairwise(ranges)):
            for begin, end in ranges:
                first |= {line: call for line in range(begin, end + 1) if line not in first}
    ran = told.lines(whole=True)
    led_to = ran.led_to if ran is not None else ()
    assert [line for begin, end, _ in led_to for line in range(begin, end + 1)] == sorted(
        first, key=lambda n: (first[n], n)
    )
    assert all(first[line] == call for begin, end, call in led_to for line in range(begin, end + 1))


STEPS = solve("""
    env.exec("true")  # first
    ran = env.exec("exit 3")  # second
    if ran.exit_code:
        note("it failed")  # third
        env.write("/app/x", b"1")  # fourth
    return "done"  # end
""")


@both
async def test_a_store_keeps_to_which_step_lines_led(attempt: Try, tmp_path: Path) -> None:
    played = await attempt(STEPS)
    assert played.end.answer == "done", played.end
    with await stored(played, tmp_path / "t.db") as store:
        reader = StoreReader(store)
        kinds = [step.kind for step in reader.steps(played.end.id)]
        lines = reader.trial_lines(played.end.id)
    assert lines is not None
    names = {number: text.rsplit("# ", 1)[1] for number, text in enumerate(STEPS.text.split("\n"), 1) if "# " in text}
    led = {
        name: each.step for number, name in names.items() for each in lines.first if each.first <= number <= each.last
    }
    assert "end" not in led, "it led to no step"
    assert {name: kinds[step] for name, step in led.items()} == {
        "first": "exec",
        "second": "exec",
        "third": "note",
        "fourth": "write",
    }
    assert list(led.values()) == sorted(led.values())
    assert led["first"] < led["second"]
