"""Reading a reward that a verifier left: a number in 0..1, or a reason why it is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lorimer.scale import Scale
from lorimer.task_agent.verdict.verify import OffScale, Unreadable, parse_reward, parse_summary


@pytest.mark.parametrize(("data", "value"), [(b"1", 1.0), (b" 0\n", 0.0), (b"0.25", 0.25), (b"1e0", 1.0)])
def test_a_text_file_holds_one_number(data: bytes, value: float) -> None:
    assert parse_reward(data, json_object=False) == (value, {})


def test_a_json_file_holds_a_number_or_named_rewards() -> None:
    assert parse_reward(b"0.5", json_object=True) == (0.5, {})
    assert parse_reward(b'{"reward": 1, "style": 0.5}', json_object=True) == (1.0, {"reward": 1.0, "style": 0.5})
    assert parse_reward(b'{"accuracy": 0.75}', json_object=True) == (0.75, {"accuracy": 0.75})
    # What does not count may be on a scale of its own.
    assert parse_reward(b'{"reward": 1, "seconds": 12.5}', json_object=True)[1] == {"reward": 1.0, "seconds": 12.5}


@pytest.mark.parametrize(
    ("data", "as_json", "reason"),
    [
        (b"", False, "is empty"),
        (b"passed", False, "not a number: 'passed'"),
        (b"nan", False, "reward is nan, not a finite number"),
        (b"inf", False, "reward is inf"),
        (b"\xff", False, "not UTF-8"),
        (b"{", True, "not JSON"),
        (b"{}", True, "no entry named `reward` among none"),
        (b'{"a": 1, "b": 0}', True, "no entry named `reward` among a, b"),
        (b'{"reward": "1"}', True, "reward is not a number"),
        (b'{"reward": true}', True, "reward is not a number"),
        (b'{"reward": NaN}', True, "reward is nan"),
        (b'{"reward": 1, "seconds": Infinity}', True, "seconds is inf, not a finite number"),
        (b'{"reward": 1, "style": "good"}', True, "style is not a number"),
        (b"1" + b"0" * 400, True, "reward is inf"),
        (b"[1]", True, "reward is not a number"),
        (b"[" * 100_000, True, "not JSON"),
    ],
)
def test_anything_else_is_unreadable_with_its_reason(data: bytes, as_json: bool, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse_reward(data, json_object=as_json)


def test_the_key_of_a_named_reward_can_be_chosen() -> None:
    several = b'{"reward": 1, "style": 0.5, "seconds": 90}'
    assert parse_reward(several, json_object=True, key="style") == (0.5, {"reward": 1.0, "style": 0.5, "seconds": 90.0})
    assert parse_reward(b"0.25", json_object=True, key="style") == (0.25, {})
    with pytest.raises(OffScale, match="seconds is 90, not from 0 to 1"):
        parse_reward(several, json_object=True, key="seconds")
    # A single one stands for `reward` alone: asked for another, it may be the wrong one.
    with pytest.raises(Unreadable, match=r"no entry named `style` among accuracy$"):
        parse_reward(b'{"accuracy": 1}', json_object=True, key="style")
    with pytest.raises(Unreadable, match=r"no entry named `reward` among a, b; \[verifier\] reward_key chooses one"):
        parse_reward(b'{"a": 1, "b": 0}', json_object=True)


@pytest.mark.parametrize(
    ("data", "as_json", "said"),
    [(b"2.63", False, "reward is 2.63"), (b"-0.5", False, "reward is -0.5"), (b'{"points": 7}', True, "points is 7")],
)
def test_a_number_that_is_not_from_0_to_1_needs_a_scale(data: bytes, as_json: bool, said: str) -> None:
    with pytest.raises(OffScale, match=rf"^{said}, not from 0 to 1; say what it means by scale = \[LOW, HIGH\] or"):
        parse_reward(data, json_object=as_json)


def test_on_a_scale_more_is_more_and_the_raw_reward_is_kept() -> None:
    points = Scale.of((0.5, 2.5))
    assert parse_reward(b"2.5", json_object=False, scale=points) == (1.0, {"reward": 2.5})
    assert parse_reward(b"1", json_object=False, scale=points) == (0.25, {"reward": 1.0})
    # What lies beyond an end counts as that end.
    assert parse_reward(b"99", json_object=False, scale=points)[0] == 1.0
    assert parse_reward(b"-99", json_object=False, scale=points)[0] == 0.0
    several = b'{"points": 3, "seconds": 90}'
    assert parse_reward(several, json_object=True, key="points", scale=Scale.of("unbounded")) == (
        0.75,
        {"points": 3.0, "seconds": 90.0},
    )
    with pytest.raises(Unreadable, match="reward is inf, not a finite number"):
        parse_reward(b"inf", json_object=False, scale=points)


@example([0.0, 1.0, 6004799503160661.0, 9007199254740994.0])
@example([0.0, 5e-324, 1.0, 2.0])
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=4, unique=True))
def test_every_scale_keeps_the_order_of_rewards_within_0_to_1(numbers: list[float]) -> None:
    low, high, *rewards = sorted(numbers[:2]) + sorted(numbers[2:])
    for scale in (Scale.of((low, high)), Scale.of("unbounded")):
        worse, better = map(scale.share, rewards)
        assert 0.0 <= worse <= better <= 1.0


@given(st.floats(0, 1))
def test_every_reward_survives_both_forms(value: float) -> None:
    assert parse_reward(repr(value).encode(), json_object=False)[0] == value
    assert parse_reward(json.dumps({"reward": value}).encode(), json_object=True)[0] == value


@given(st.binary(max_size=64), st.booleans())
def test_no_file_can_do_worse_than_unreadable(data: bytes, as_json: bool) -> None:
    try:
        value, _ = parse_reward(data, json_object=as_json)
    except (Unreadable, OffScale):
        return
    assert 0.0 <= value <= 1.0


# ---- pytest's short summary -----------------------------------------------------------------------------------------

HEADER = "=========================== short test summary info ============================"


def summary(*lines: str, before: str = "collected 3 items\n", after: str = "==== 1 passed in 0.01s ====") -> str:
    return "\n".join([before, HEADER, *lines, after])


def test_a_summary_names_every_test_and_whether_it_passed() -> None:
    text = summary(
        "PASSED ../tests/test_outputs.py::test_file_exists",
        "SKIPPED [1] test_outputs.py:9: no network",
        "XFAIL test_outputs.py::test_known - a reason",
        "FAILED test_outputs.py::test_text - AssertionError: expected a - b",
        "XPASS test_outputs.py::test_surprise",
        "ERROR test_outputs.py::test_setup",
    )
    assert list(parse_summary(text).values()) == [True, True, True, False, False, False]
    assert parse_summary(text)["test_file_exists"] is True


def test_a_summary_in_colour_is_read_too() -> None:
    coloured = f"\x1b[36m\x1b[1m{HEADER}\x1b[0m\n\x1b[32mPASSED\x1b[0m t.py::\x1b[1mtest_a\x1b[0m\n"
    assert parse_summary(coloured) == {"test_a": True}


def test_a_long_line_of_equals_signs_is_read_once() -> None:
    """Read anew from each of its characters, it would take hours."""
    long = "=" * 1_000_000
    with pytest.raises(Unreadable, match="printed no pytest short test summary"):
        parse_summary(long)
    assert parse_summary(f"{long}\n{long} short test summary info {long}\nPASSED test_a.py::test_one\n") == {
        "test_one": True
    }


def test_a_summary_printed_by_the_agents_work_does_not_hide_the_true_one() -> None:
    forged = f"{HEADER}\nPASSED t.py::test_a\n"
    assert parse_summary(summary("FAILED t.py::test_a - assert 0", before=forged)) == {"test_a": False}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no pytest short test summary"),
        ("PASSED t.py::test_a", "no pytest short test summary"),
        (summary(), "without a test; it needs pytest's -rA"),
    ],
)
def test_a_summary_that_says_nothing_is_unreadable(text: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse_summary(text)


@given(st.text())
def test_no_output_can_do_worse_than_unreadable(text: str) -> None:
    for printed in (text, f"{HEADER}\n{text}"):
        try:
            assert parse_summary(printed)
        except Unreadable:
            continue
