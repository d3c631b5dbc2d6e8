"""Which recorded call answers a call of a shadow: properties that hold for any record."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lorimer.harness.api import ExecResult
from lorimer.task_agent.matching import SANDBOX, Parted, RecordedScript, ShadowPlace
from lorimer.traces.wired import Done, RecordedCall

METHODS = ("llm.complete", "env.exec", "env.read", "env.write", "note")


@st.composite
def records(draw: st.DrawFn) -> tuple[RecordedCall, ...]:
    """Calls in order of issue, some at once, few enough kinds that requests repeat; the last one is `finish`."""
    calls: list[RecordedCall] = []
    at = 0.0
    for _ in range(draw(st.integers(0, 8))):
        method = draw(st.sampled_from(METHODS))
        at += draw(st.integers(0, 2))
        answer = draw(st.sampled_from([ExecResult("", "", 0), None])) if draw(st.booleans()) else Done()
        key = f"{method} {draw(st.integers(0, 2))}"
        calls.append(RecordedCall(key, method, answer, at, at + draw(st.integers(1, 4)), lambda: None))
    return (*calls, RecordedCall("finish", "finish", None, at + 9, at + 9, lambda: None))


def play(script: RecordedScript, order: list[tuple[str, str]]) -> tuple[list[int], Parted | None]:
    """The recorded calls that answered, in order, and how the shadow parted."""
    place, taken = ShadowPlace(), list[int]()
    for key, method in order:
        step = script.ask(place, key, method)
        if isinstance(step, Parted):
            return taken, step
        place, index = step
        taken.append(index)
    return taken, None


def asks(calls: tuple[RecordedCall, ...]) -> list[tuple[str, str]]:
    return [(call.key, call.method) for call in calls]


@given(records())
def test_the_same_calls_in_the_same_order_are_answered_each_by_its_own(calls: tuple[RecordedCall, ...]) -> None:
    taken, parted = play(RecordedScript(calls), asks(calls))
    assert parted is None
    assert taken == list(range(len(calls)))


@given(records(), st.randoms(use_true_random=False))
def test_model_calls_may_come_in_any_order_and_the_jth_takes_the_jth(
    calls: tuple[RecordedCall, ...], dice: object
) -> None:
    free = [index for index, call in enumerate(calls[:-1]) if call.method not in SANDBOX]
    order, mixed = list(range(len(calls))), list(free)
    dice.shuffle(mixed)  # type: ignore[attr-defined]
    for place, index in zip(free, mixed, strict=True):
        order[place] = index
    taken, parted = play(RecordedScript(calls), [asks(calls)[index] for index in order])
    assert parted is None
    assert sorted(taken) == list(range(len(calls)))
    for key in {call.key for call in calls}:
        same = [index for index in taken if calls[index].key == key]
        assert same == sorted(same), "the j-th identical call takes the j-th answer"


@given(records(), st.data())
def test_a_request_that_is_new_touches_where_it_stands(calls: tuple[RecordedCall, ...], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(calls) - 1))
    order = asks(calls)
    order[at] = ("new", calls[at].method)
    taken, parted = play(RecordedScript(calls), order)
    assert taken == list(range(at))
    assert parted is not None
    assert (parted.way, parted.step) == ("other", at + 1)
    assert parted.instead is not None
    assert calls[parted.instead].method == calls[at].method, "it is shown against a call of its kind"
    assert parted.instead >= at


@given(records(), st.data())
def test_a_call_that_was_left_out_is_noticed_at_the_finish_at_the_latest(
    calls: tuple[RecordedCall, ...], data: st.DataObject
) -> None:
    # One that has a twin which nobody answered is not missed: the twin may not have been made yet.
    twins = {call.key for call in calls if call.answer is None}
    answered = [index for index, call in enumerate(calls) if call.answer is not None and call.key not in twins]
    if not answered:
        return
    out = data.draw(st.sampled_from(answered))
    order = [ask for index, ask in enumerate(asks(calls)) if index != out]
    taken, parted = play(RecordedScript(calls), order)
    assert parted is not None
    # No command was answered whose world the one that was left out had made.
    for index in taken:
        over = [
            before
            for before in range(index)
            if calls[before].method in SANDBOX
            and calls[before].answer is not None
            and calls[before].answered <= calls[index].asked
        ]
        if calls[index].method in SANDBOX:
            assert set(over) <= set(taken[: taken.index(index)])


@given(records())
def test_one_call_more_than_the_record_holds_touches(calls: tuple[RecordedCall, ...]) -> None:
    _, parted = play(RecordedScript(calls), [*asks(calls), ("llm.complete 0", "llm.complete")])
    assert parted == Parted("beyond", len(calls) + 1, None)


def test_calls_that_were_under_way_together_may_come_in_either_order() -> None:
    def call(key: str, asked: float, answered: float) -> RecordedCall:
        return RecordedCall(key, "env.exec", ExecResult("", "", 0), asked, answered, lambda: None)

    finish = RecordedCall("finish", "finish", None, 9, 9, lambda: None)
    together, apart = (call("a", 0, 2), call("b", 1, 3)), (call("a", 0, 1), call("b", 1, 3))
    swapped = [("b", "env.exec"), ("a", "env.exec"), ("finish", "finish")]
    assert play(RecordedScript((*together, finish)), swapped) == ([1, 0, 2], None)
    assert play(RecordedScript((*apart, finish)), swapped) == ([], Parted("skipped", 1, 0))


def test_a_call_that_nobody_answered_may_be_missing_at_the_end() -> None:
    open_call = RecordedCall("a", "env.exec", None, 0, 5, lambda: None)
    finish = RecordedCall("finish", "finish", None, 9, 9, lambda: None)
    assert play(RecordedScript((open_call, finish)), [("finish", "finish")]) == ([1], None)
