"""Which of several engines takes the next trial."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lorimer.sandbox.spread import Load, chosen, places


def loads(*taken: int, shares: Sequence[int] = (), down: str = "") -> list[Load]:
    names = "abcdef"
    return [Load(names[at], shares[at] if shares else 1, each, names[at] not in down) for at, each in enumerate(taken)]


def test_places_are_in_relation_to_the_shares() -> None:
    assert places(16, (1, 3)) == (4, 12)
    assert places(4, (1, 1)) == (2, 2)


def test_each_host_has_a_place_however_few_there_are() -> None:
    assert places(1, (1, 1, 5)) == (1, 1, 1)


def test_the_host_that_is_used_least_for_its_share_takes_the_next_trial() -> None:
    assert chosen(loads(0, 0), 4) == 0
    assert chosen(loads(1, 0), 4) == 1
    assert chosen(loads(1, 2, shares=(1, 3)), 8) == 1


def test_a_trial_waits_where_every_host_that_answers_is_full() -> None:
    assert chosen(loads(2, 2), 4) is None
    assert chosen(loads(2, 0, down="b"), 4) is None


def test_a_host_that_does_not_answer_takes_none() -> None:
    assert chosen(loads(0, 1, down="a"), 4) == 1


def test_where_no_host_answers_a_trial_need_not_wait_to_find_that_out() -> None:
    assert chosen(loads(9, 8, down="ab"), 4) == 1


def test_a_trial_is_tried_elsewhere_than_where_it_failed_if_there_is_a_place() -> None:
    assert chosen(loads(0, 1), 4, {"a"}) == 1
    assert chosen(loads(0, 2), 4, {"a"}) == 0


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 60))
def test_trials_are_spread_by_shares_and_every_place_is_used(shares: list[int], most: int) -> None:
    hosts, given_away = loads(*(0 for _ in shares), shares=shares), Counter[str]()
    for _ in range(most):
        at = chosen(hosts, most)
        assert at is not None
        given_away[hosts[at].name] += 1
        hosts[at] = replace(hosts[at], taken=hosts[at].taken + 1)
    for host in hosts:
        assert abs(given_away[host.name] - most * host.share / sum(shares)) <= 1
