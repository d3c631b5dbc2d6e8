"""Outputs that differ in dates and durations alone, as real commands write them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lorimer.harness.api import ExecResult
from lorimer.task_agent.paired.alike import apart

months = st.sampled_from(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"])
days = st.integers(1, 31)
clocks = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
dates = st.builds("{} {:2} {}".format, months, days, clocks | st.just(" 2025"))
day_first = st.builds("{} {} {}".format, days, months, clocks)


def differs(old: str, new: str) -> bool:
    return bool(apart(ExecResult(old, "", 0), ExecResult(new, "", 0))[0])


def listed(size: int, date: str, name: str = "notes.txt") -> str:
    return f"drwxr-xr-x  2 agent agent {size:5} {date} {name}\n"


@given(st.integers(0, 99_999), dates, dates)
def test_a_listing_of_another_minute_is_alike_whatever_the_size(size: int, old: str, new: str) -> None:
    assert not differs(listed(size, old), listed(size, new))


@given(st.integers(0, 99_999), st.integers(1, 99_999), dates, dates)
def test_another_size_or_name_is_not(size: int, more: int, old: str, new: str) -> None:
    assert differs(listed(size, old), listed(size + more, new))
    assert differs(listed(size, old), listed(size, new, "notes2.txt"))


@given(day_first, day_first)
def test_dates_whose_day_comes_first_are_alike(old: str, new: str) -> None:
    assert not differs(f"written {old} by hand\n", f"written {new} by hand\n")
    assert not differs(f"{old}\n", f"{new}\n")
