"""Reading a reward that a verifier left: a number in 0..1, or a reason why it is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.task_agent.verify import Unreadable, parse_reward


@pytest.mark.parametrize(("data", "value"), [(b"1", 1.0), (b" 0\n", 0.0), (b"0.25", 0.25), (b"1e0", 1.0)])
def test_a_text_file_holds_one_number(data: bytes, value: float) -> None:
    assert parse_reward(data, json_object=False) == (value, {})


def test_a_json_file_holds_a_number_or_named_rewards() -> None:
    assert parse_reward(b"0.5", json_object=True) == (0.5, {})
    assert parse_reward(b'{"reward": 1, "style": 0.5}', json_object=True) == (1.0, {"reward": 1.0, "style": 0.5})
    assert parse_reward(b'{"accuracy": 0.75}', json_object=True) == (0.75, {"accuracy": 0.75})


@pytest.mark.parametrize(
    ("data", "as_json", "reason"),
    [
        (b"", False, "not a number"),
        (b"passed", False, "not a number: 'passed'"),
        (b"nan", False, "reward is nan, not between 0 and 1"),
        (b"inf", False, "reward is inf"),
        (b"2", False, "reward is 2, not between 0 and 1"),
        (b"-0.5", False, "reward is -0.5"),
        (b"\xff", False, "not UTF-8"),
        (b"{", True, "not JSON"),
        (b"{}", True, "no entry named `reward` among none"),
        (b'{"a": 1, "b": 0}', True, "no entry named `reward` among a, b"),
        (b'{"reward": "1"}', True, "reward is not a number"),
        (b'{"reward": true}', True, "reward is not a number"),
        (b'{"reward": NaN}', True, "reward is nan"),
        (b"[1]", True, "reward is not a number"),
        (b"[" * 100_000, True, "not JSON"),
    ],
)
def test_anything_else_is_unreadable_with_its_reason(data: bytes, as_json: bool, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse_reward(data, json_object=as_json)


@given(st.floats(0, 1))
def test_every_reward_survives_both_forms(value: float) -> None:
    assert parse_reward(repr(value).encode(), json_object=False)[0] == value
    assert parse_reward(json.dumps({"reward": value}).encode(), json_object=True)[0] == value


@given(st.binary(max_size=64), st.booleans())
def test_no_file_can_do_worse_than_unreadable(data: bytes, as_json: bool) -> None:
    try:
        value, _ = parse_reward(data, json_object=as_json)
    except Unreadable:
        return
    assert 0.0 <= value <= 1.0
