"""Why an unchanged harness parts from its own record: properties of what is told from two texts."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.config.settings import Config
from lorimer.harness.api import user
from lorimer.sandbox.base import SandboxProvider
from lorimer.task_agent.matching import Parted
from lorimer.task_agent.shadow.outcome import DIFF_LINES, NotPreviewable, Touched, Untouched, touched
from lorimer.task_agent.shadow.reasons import differ, reasons
from lorimer.task_agent.shadow.run import ShadowJail
from lorimer.traces.wired import Complete, Gap, GapKind, Note, Read, Record, WireRequest
from tests.support.trials import solve
from tests.task_agent.conftest import Try
from tests.task_agent.test_record import KEY, record_of
from tests.task_agent.test_shadow import OWNER

TIMES = st.datetimes(datetime(2020, 9, 14), datetime(2033, 1, 1))
FORMATS = (
    "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S+00:00", "%Y%m%d-%H%M%S", "%d.%m.%Y",
    "%m/%d/%Y", "%A, %d %B %Y", "%B %d, %Y", "%a %b %d %H:%M:%S %Y", "%H:%M:%S", "%I:%M %p", "%A",
)  # fmt: skip
PLAIN = st.lists(st.sampled_from(["list", "files", "in", "a_folder", "x.py:10:15", "3.12.4", "17", "(then)", "\n"]))
"""Words around a difference: nothing in them is a time or a name."""
CLOCK = st.builds(lambda when, form: when.strftime(form), TIMES, st.sampled_from(FORMATS))
SECONDS = st.builds("{:.3f}".format, st.floats(1_600_000_000, 1_999_999_999))
KINDS_OF_NAMES = (
    st.uuids().map(str),
    st.integers(0x700000000000, 0x7FFFFFFFFFFF).map(hex).map("<object at {}>".format),
    st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=8, max_size=8).map("/tmp/tmp{}/x".format),
    st.integers(2, 99999).map("pid {}".format),
    st.integers(10000, 65535).map("http://127.0.0.1:{}/".format),
)
NAMES = st.one_of(KINDS_OF_NAMES)


def around(words: list[str], middle: str, more: list[str]) -> str:
    return " ".join([*words, middle, *more])


@given(st.data(), st.sampled_from(FORMATS), TIMES, TIMES, PLAIN, PLAIN)
def test_texts_that_are_the_same_but_for_a_time_differ_by_the_clock(
    data: st.DataObject, form: str, one: datetime, other: datetime, before: list[str], after: list[str]
) -> None:
    old, new = (around(before, when.strftime(form), after) for when in (one, other))
    if old != new:
        assert differ(old, new) == ("clock",)
    first, second = data.draw(SECONDS), data.draw(SECONDS)
    if first != second:
        assert differ(around(before, first, after), around(before, second, after)) == ("clock",)


@given(st.sampled_from(["took {} s", "after {} seconds", "{}ms", "elapsed: {}"]), st.floats(0, 99), st.floats(0, 99))
def test_a_duration_is_the_clocks_where_its_unit_says_so(form: str, one: float, other: float) -> None:
    old, new = (form.format(f"{value:.4f}") for value in (one, other))
    if old != new:
        assert differ(old, new) == ("clock",)
        assert differ(f"{one:.4f}", f"{other:.4f}") == ("unknown",)


@given(st.data(), PLAIN, PLAIN)
def test_texts_that_are_the_same_but_for_a_name_differ_by_names(
    data: st.DataObject, before: list[str], after: list[str]
) -> None:
    kind = data.draw(st.sampled_from(KINDS_OF_NAMES))
    one, other = data.draw(kind), data.draw(kind)
    if one != other:
        assert differ(around(before, one, after), around(before, other, after)) == ("names",)


@given(st.uuids(), st.uuids(), TIMES, TIMES)
def test_both_are_told_where_both_differ(one: uuid.UUID, other: uuid.UUID, then: datetime, now: datetime) -> None:
    if one != other and abs(then - now) > timedelta(days=1):
        old, new = f"run {one} of {then:%Y-%m-%d}", f"run {other} of {now:%Y-%m-%d}"
        assert differ(old, new) == ("clock", "names")


@given(CLOCK, CLOCK, NAMES, NAMES, st.sampled_from(["read", "write"]), PLAIN)
def test_where_a_word_is_different_too_nothing_is_guessed(
    then: str, now: str, one: str, other: str, word: str, after: list[str]
) -> None:
    old, new = f"list {then} {one}", f"{word} {now} {other}"
    assert differ(around([], old, after), around([], new, after)) == ("unknown",)


@given(st.lists(st.text("abcxyz", min_size=1)), st.lists(st.text("abcxyz", min_size=1)))
def test_plain_words_are_never_a_time_or_a_name(one: list[str], other: list[str]) -> None:
    if one != other:
        assert differ(" ".join(one), " ".join(other)) == (("order",) if sorted(one) == sorted(other) else ("unknown",))


@given(st.data())
def test_it_does_not_matter_which_text_is_the_recorded_one(data: st.DataObject) -> None:
    pieces = st.lists(st.one_of(CLOCK, NAMES, SECONDS, st.text(max_size=5), st.just("Connection refused")), max_size=4)
    one, other = (" ".join(data.draw(pieces)) for _ in range(2))
    assert differ(one, other) == differ(other, one)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("x.py:10:15", "x.py:10:16", "unknown"),
        ("Python 3.12.4", "Python 3.12.5", "unknown"),
        ("max_tokens: 400", "max_tokens: 500", "unknown"),
        ("12345678 rows", "22345678 rows", "unknown"),
        ("may 3 of them", "may 4 of them", "unknown"),
        ("commit 9fceb02", "commit 1fceb02", "unknown"),
        ("commit 9fceb02d0ae5", "commit 1ac7e10be923", "names"),
        ("timeout: 8.5 s", "timeout: 8.25 s", "clock"),
        ("['b.txt', 'a.txt']", "['a.txt', 'b.txt']", "order"),
        ("a\nb\nc", "c\na\nb", "order"),
        ("no pip here", "urlopen error [Errno 111] Connection refused", "network"),
        ("Connection refused", "Temporary failure in name resolution", "network"),
        ("cat: Connection refused", "ls: Connection refused", "unknown"),
    ],
)
def test_what_single_differences_are(old: str, new: str, expected: str) -> None:
    assert differ(old, new) == (expected,)


# ---- of a shadow's outcome -------------------------------------------------------------------------------------------


def parted(recorded: WireRequest | None, now: WireRequest) -> Touched:
    return touched(Parted("other", 1, None if recorded is None else 0), (), 9, now, recorded)


def asked(text: str) -> Complete:
    return Complete((user("Begin."), user(text), user("End.")), system="Be good.", max_tokens=50)


def test_a_touch_is_told_by_the_two_texts() -> None:
    assert reasons(parted(asked("It is 2026-11-26."), asked("It is 2026-11-27."))) == ("clock",)
    assert reasons(parted(asked("at 0x7f3a5c0e1d30"), asked("at 0x7f3a5c0e1d99"))) == ("names",)
    assert reasons(parted(asked("one\ntwo"), asked("two\none"))) == ("order",)
    assert reasons(parted(asked("one"), asked("two"))) == ("unknown",)
    times = [f"{n} at 10:00:{n:02}" for n in range(20)]
    later = [f"{n} at 10:01:{n:02}" for n in range(20)]
    assert reasons(parted(Note("\n".join(times)), Note("\n".join(later)))) == ("clock",)


def test_of_another_call_or_of_what_is_not_shown_in_full_nothing_is_told() -> None:
    assert reasons(parted(Note("Connection refused"), Read("/app/x"))) == ("unknown",)
    assert reasons(parted(None, Note("Connection refused"))) == ("unknown",)
    many = [f"{n} at 10:00" for n in range(DIFF_LINES)]
    later = [f"{n} at 10:01" for n in range(DIFF_LINES)]
    assert reasons(parted(Note("\n".join(many)), Note("\n".join(later)))) == ("unknown",)


def test_what_was_drawn_and_what_is_missing_speak_for_themselves() -> None:
    assert reasons(Untouched(3)) == ()
    assert reasons(NotPreviewable("the harness draws random numbers (os.urandom)", ("os.urandom",))) == ("randomness",)
    assert reasons(NotPreviewable("the harness makes no call for 10 s")) == ("unknown",)
    for kind in get_args(GapKind):
        assert reasons(Gap("s/t", kind, "why")) == (kind,)


@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('llm.complete([user(f"It is {datetime.datetime.now()}. Begin.")])', "clock"),
        ('note(f"a {object()}")', "names"),
        ('note(f"as pid {os.getpid()}")', "names"),
        ("note(str(random.random()))", "randomness"),
        (f'env.exec("echo {KEY}")', "masked"),
        ("os._exit(3)", "ended"),
        ('note("fine")', None),
    ],
)
async def test_a_harness_that_does_not_do_the_same_again_is_told_why(
    attempt: Try, provider: SandboxProvider, tmp_path: Path, body: str, why: str | None
) -> None:
    agent = solve(f'{body}\nreturn ""', before="import datetime, random")
    record = await record_of(await attempt(agent), tmp_path)
    outcome: object = record
    if isinstance(record, Record):
        async with ShadowJail(provider, Config(), agent.text, OWNER) as jail:
            outcome = await jail.run(record)
    assert reasons(outcome) == (() if why is None else (why,)), outcome  # type: ignore[arg-type]
