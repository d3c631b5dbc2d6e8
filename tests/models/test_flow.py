"""The rule by which requests get their turn: simulated, without a clock, a file or a server."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorimer.models.flow import control
from lorimer.models.flow.control import FORGOTTEN_SECONDS, LATE_SECONDS, STALE_SECONDS, Flow, User

PATIENCE = 600.0


def turns(flow: Flow, name: str, now: float = 0.0, *, bound: int | None = None) -> tuple[Flow, bool]:
    return control.looked(flow, name, flow.users.get(name, User(bound=bound)), now, PATIENCE)


def refused(flow: Flow, began: float, now: float, after: float | None) -> Flow:
    return control.refused(flow, began, now, after, PATIENCE)


def left(flow: Flow, name: str) -> Flow:
    return flow.with_user(name, replace(flow.users[name], flying=flow.users[name].flying - 1))


def filled(count: int, name: str = "a", *, bound: int | None = None) -> Flow:
    flow = Flow()
    for _ in range(count):
        flow, mine = turns(flow, name, bound=bound)
        assert mine
    return flow


@dataclass
class Simulated:
    """Users with many requests each, at a provider that takes so many at once and answers in a second or so."""

    takes: int
    users: int
    each: int
    bound: int | None = None
    seed: int = 0
    flow: Flow = field(default_factory=Flow)
    served: Counter[str] = field(default_factory=Counter)
    refused: list[float] = field(default_factory=list)
    busy: float = 0.0
    most: int = 0
    lowest: float = 1e9

    def run(self, seconds: float, now: float = 0.0) -> Simulated:
        chance, serving, end = random.Random(self.seed), 0, now + seconds
        names = [f"user {number}" for number in range(self.users)]
        ready, knows = dict.fromkeys(names, self.each), {name: User(bound=self.bound) for name in names}
        events: list[tuple[float, int, str, str, float]] = []

        def later(at: float, what: str, name: str, began: float = 0.0) -> None:
            heapq.heappush(events, (at, chance.getrandbits(40), what, name, began))

        for name in names:
            later(now + 0.05 * chance.random(), "look", name)
        while events and events[0][0] < end:
            at, _, what, name, began = heapq.heappop(events)
            self.busy, now = self.busy + serving * (at - now), at
            if what == "ready":
                ready[name] += 1
                continue
            if what == "look":
                while ready[name]:
                    self.flow, mine = control.looked(self.flow, name, knows[name], now, PATIENCE)
                    knows[name] = self.flow.users[name]
                    if not mine:
                        break
                    ready[name] -= 1
                    self.most = max(self.most, self.flow.flying)
                    taken = serving < self.takes
                    serving += taken
                    later(now + (0.5 + chance.random() if taken else 0.02), "end" if taken else "refused", name, now)
                later(now + 0.05, "look", name)
                continue
            if what == "end":
                serving -= 1
                self.served[name] += 1
                self.flow = control.answered(self.flow, name, began)
                later(now, "ready", name)
            else:
                self.refused.append(now)
                self.flow = refused(self.flow, began, now, None)
                later(now + 0.5 + 0.5 * chance.random(), "ready", name)
            self.lowest = min(self.lowest, self.flow.limit or 1e9)
            knows[name] = replace(knows[name], flying=knows[name].flying - 1)
            self.flow = self.flow.with_user(name, knows[name])
        return self

    @property
    def share(self) -> float:
        """How much of what the provider takes was made use of, of 30 seconds."""
        return self.busy / (30 * self.takes)


@settings(max_examples=25)
@given(
    st.integers(1, 12), st.integers(1, 4), st.integers(1, 10), st.none() | st.integers(1, 12), st.integers(0, 1 << 16)
)
def test_it_is_never_over_the_bound_nor_below_one_and_nobody_is_left_out(
    takes: int, users: int, each: int, bound: int | None, seed: int
) -> None:
    run = Simulated(takes, users, each, bound, seed=seed).run(10)
    assert bound is None or run.most <= bound
    assert run.lowest >= 1
    assert run.flow.allowed is None or run.flow.allowed >= 1
    assert min(run.served[f"user {number}"] for number in range(users)) >= 1


@pytest.mark.parametrize(("takes", "users"), [(4, 1), (8, 2), (16, 5)])
def test_what_a_provider_takes_is_made_use_of_and_little_is_refused(takes: int, users: int) -> None:
    run = Simulated(takes, users, 2 * takes // users + 4).run(30)
    late = [at for at in run.refused if at > 5]
    assert run.share > 0.8
    assert len(late) < 0.05 * run.served.total()
    assert max(run.served.values()) < 1.2 * min(run.served.values()) + 5  # all get alike


def test_it_recovers_once_the_provider_takes_more() -> None:
    poor = Simulated(1, 2, 5).run(20)
    assert poor.flow.allowed in (1, 2)
    rich = Simulated(100, 2, 5, flow=replace(poor.flow, users={})).run(50, now=20)
    assert rich.flow.allowed is not None
    assert rich.flow.allowed >= 9


@given(st.integers(1, 60), st.integers(1, 60))
def test_refusals_of_one_moment_are_one_cut_to_what_was_taken(taken: int, more: int) -> None:
    flow = filled(taken + more)
    for _ in range(more):
        flow = left(refused(flow, began=0.0, now=1.0, after=None), "a")
    assert flow.limit == max(1, min(0.75 * (taken + more), taken if more > 1 else 100))


def test_a_refusal_after_the_cut_cuts_again() -> None:
    flow = left(refused(filled(9), 0.0, 1.0, None), "a")
    assert refused(flow, 2.0, 3.0, None).limit == 0.75 * 6.75


def test_nobody_asks_a_provider_that_wants_to_be_left_alone() -> None:
    flow = left(refused(filled(1), 0.0, 100.0, after=7.0), "a")
    assert not turns(flow, "a", 106.9)[1]
    assert not turns(flow, "b", 106.9)[1]
    assert turns(flow, "a", 107.0)[1]


def test_who_would_wait_for_longer_than_its_window_asks_and_is_told() -> None:
    flow = left(refused(filled(1), 0.0, 100.0, after=3600.0), "a")
    assert turns(flow, "a", 101.0)[1]


@pytest.mark.parametrize("kept", [0.0, 2.3e9])
def test_a_wait_that_nobody_keeps_to_hides_no_later_one(kept: float) -> None:
    """Whether it was asked for just now, a date in 2099, or an older lorimer left it in the file."""
    flow = refused(filled(2), 0.0, 1000.0, after=2.3e9)
    flow = replace(flow, until=kept or flow.until)
    flow = left(refused(left(flow, "a"), 2000.0, 2001.0, after=30.0), "a")
    assert not turns(flow, "b", 2030.9)[1]
    assert turns(flow, "b", 2031.0)[1]


def test_a_wait_that_is_asked_for_is_kept_whatever_others_are_told() -> None:
    flow = left(refused(filled(1), 0.0, 100.0, after=60.0), "a")
    for after in (None, 5.0, 3600.0):
        assert refused(flow, 101.0, 102.0, after).until == 160.0


def test_the_limit_rises_only_where_it_holds_requests_back() -> None:
    flow = replace(filled(2), limit=8.0)
    assert control.answered(flow, "a", 1.0).limit == 8.0
    full = replace(filled(8), limit=8.0)
    assert control.answered(full, "a", 1.0).limit == 8.0 + 0.5 / 8


def test_the_limit_is_not_raised_over_the_bound() -> None:
    flow = replace(filled(4, bound=4), limit=4.0)
    assert control.answered(flow, "a", 1.0).limit == 4.0


def test_the_smallest_of_several_bounds_holds() -> None:
    flow = filled(3, bound=8)
    flow, mine = turns(flow, "b", bound=2)
    assert not mine
    assert not turns(flow, "a")[1]  # b waits, who would otherwise never get a turn
    flow = left(left(flow, "a"), "a")
    assert turns(flow, "b")[1]


def test_one_that_was_stopped_while_it_waited_loses_its_turn() -> None:
    flow = replace(turns(Flow(), "a", 5.0)[0], limit=1.0)
    flow, mine = turns(flow, "b", 10.0)
    assert not mine
    flow = left(flow, "a")
    assert not turns(flow, "a", 10.0 + STALE_SECONDS)[1]
    assert turns(flow, "a", 10.1 + STALE_SECONDS)[1]


def test_requests_that_must_have_ended_long_ago_hold_nobody_up() -> None:
    """Those of a process that hangs; it is there, and says nothing."""
    hung = User(bound=1, within=600.0)
    flow, mine = control.looked(Flow(), "hung", hung, 100.0, PATIENCE)
    assert mine
    end = 700.0 + LATE_SECONDS
    assert not turns(flow, "b", end, bound=8)[1]  # a request may take as long as its process allows
    flow, mine = turns(flow, "b", end + 0.1, bound=8)
    assert (mine, flow.allowed) == (True, 8)
    back = flow.with_user("hung", replace(hung, flying=1, last=100.0))  # it was only slow to say so
    assert control.looked(back, "hung", back.users["hung"], end + 0.2, PATIENCE)[0].flying == 2


def test_a_process_that_asks_all_the_time_is_counted_however_long_it_does() -> None:
    flow = Flow()
    for now in range(0, 10_000, 500):
        flow, mine = control.looked(flow, "busy", flow.users.get("busy", User(within=600.0)), now, PATIENCE)
        assert mine
        assert turns(flow, "b", now + 499.0)[0].users["busy"].flying == flow.users["busy"].flying


def test_a_limit_is_forgotten_when_nobody_has_used_the_key_for_long() -> None:
    flow = left(refused(filled(1), 0.0, 100.0, None), "a")
    assert flow.limit == 1.0
    assert turns(flow, "a", 100.0 + FORGOTTEN_SECONDS)[0].limit == 1.0
    assert turns(flow, "a", 101.0 + FORGOTTEN_SECONDS)[0].limit is None


def test_a_clock_that_is_set_back_holds_nobody_up() -> None:
    flow = left(refused(filled(1), 0.0, 5000.0, after=60.0), "a")
    flow, mine = turns(flow, "a", 100.0)
    assert mine
    assert (flow.cut, flow.until) == (100.0, 100.0)
