"""What the store promises to those who write."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from lorimer.errors import ConfigError, InternalError, NumberTaken, TakenOver, UserError
from lorimer.harness.api import Message, Reasoning, ToolCall, assistant, tool_result, user
from lorimer.processes import exists, started
from lorimer.traces import codec
from lorimer.traces.databases.sqlite import configure
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import Reservation, Settlement, StepData, StepKind, TraceSink, TrialState, Used
from lorimer.traces.scrub import MASK, scrubber
from lorimer.traces.tables import AbilityRow, Candidate, DecisionRow, HarnessRow
from lorimer.traces.writing.holder import this_process
from lorimer.traces.writing.store import Store
from lorimer.traces.writing.trajectory import OwnerSteps

from . import support as make
from .conftest import Where


def candidate(name: str = "s/c1", **changes: Any) -> Candidate:
    values: dict[str, Any] = {"id": name, "study": "s", "number": 1, "parent": "a" * 64, "state": "proposing"}
    return Candidate(**{**values, "edit": [], "fixes": [], "at_risk": [], **changes})


def decision(**changes: Any) -> DecisionRow:
    values: dict[str, Any] = {
        "id": "s/c1/full",
        "study": "s",
        "subject": "s/c1",
        "stage": "full",
        "kind": "reject",
    }
    return DecisionRow(**{**values, "reason": "worse", "numbers": {"p": 0.5}, "policy": {}, "made": "now", **changes})


def test_a_store_is_a_trace_sink(path: Where) -> None:
    with Store.open(path) as store:
        sink: TraceSink = store
        assert sink is store


async def test_a_finished_trial_is_there_with_all_its_steps_in_order(path: Where) -> None:
    with Store.open(path) as store:
        begin = make.start()
        store.open_trial(begin)
        for number in range(250):
            store.step(make.ran(begin.id, f"echo {number}"))
        await store.close_trial(make.end(begin.id, 0.5, answer="42", rewards={"a": 0.5}, flags=("odd",)))
        reader = StoreReader(path)
        trial = reader.trial(begin.id)
        assert (trial.state, trial.reward, trial.answer) == ("scored", 0.5, "42")
        assert (trial.rewards, trial.flags) == ({"a": 0.5}, ["odd"])
        steps = reader.steps(begin.id)
        assert [step.index for step in steps] == list(range(250))
        assert [step.data["command"] for step in steps] == [f"echo {number}" for number in range(250)]


async def test_steps_can_be_read_within_a_quarter_of_a_second_without_waiting_for_the_trial(path: Where) -> None:
    with Store.open(path) as store:
        begin = make.start()
        store.open_trial(begin)
        store.step(make.ran(begin.id, "ls"))
        begun = time.monotonic()
        reader = StoreReader(path)
        while not reader.steps(begin.id):
            assert time.monotonic() - begun < 60  # 0.25 is promised; a busy machine may be late
            await asyncio.sleep(0.01)
        assert reader.trial(begin.id).state == TrialState.RUNNING.value


async def test_a_trial_ends_once(path: Where) -> None:
    with Store.open(path) as store:
        begin = make.start()
        await make.finished_trial(store, begin)
        with pytest.raises(InternalError, match="cannot end: it is scored"):
            await store.close_trial(make.end(begin.id, 0.0))
        with pytest.raises(InternalError, match="cannot end: it is not in the trace store"):
            await store.close_trial(make.end("nowhere"))
        assert StoreReader(path).trial(begin.id).reward == 1.0


async def test_a_second_trial_with_one_id_is_refused_and_leaves_the_first_alone(path: Where) -> None:
    with Store.open(path) as store:
        begin = make.start()
        await make.finished_trial(store, begin, [make.ran(begin.id, "first")])
        store.open_trial(begin)
        store.step(make.ran(begin.id, "second"))
        with pytest.raises(InternalError, match="is in the trace store already"):
            await store.close_trial(make.end(begin.id))
        assert [step.data["command"] for step in StoreReader(path).steps(begin.id)] == ["first"]


async def test_a_refused_write_leaves_those_around_it_untouched(path: Where) -> None:
    with Store.open(path) as store:
        begins = [make.start(repeat=number) for number in range(3)]
        for begin in begins:
            store.open_trial(begin)
        ends = [make.end(begins[0].id), make.end("nowhere"), make.end(begins[1].id), make.end(begins[2].id)]
        answers = await asyncio.gather(*(store.close_trial(end) for end in ends), return_exceptions=True)
        assert [type(answer) for answer in answers] == [type(None), InternalError, type(None), type(None)]
        assert {trial.state for trial in StoreReader(path).trials("s")} == {"scored"}


async def test_a_verdict_is_stored_even_where_its_caller_is_cancelled(path: Where) -> None:
    with Store.open(path) as store:
        begin = make.start()
        store.open_trial(begin)
        closing = asyncio.create_task(store.close_trial(make.end(begin.id)))
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await store.flush()
        assert StoreReader(path).trial(begin.id).state == "scored"


async def test_a_conversation_is_rebuilt_as_it_was_sent(path: Where) -> None:
    shell = ToolCall("1", "shell", {"command": "ls"})
    broken = ToolCall("2", "shell", malformed='{"command": ')
    answer = assistant("let me see", [shell, broken], [Reasoning("hm", {"signature": "abc"})])
    first: tuple[Message, ...] = (user("Do it."),)
    second = (*first, answer, tool_result(shell, "a.txt"), tool_result("2", "not JSON", is_error=True))
    with Store.open(path) as store:
        begin = make.start()
        store.open_trial(begin)
        calls = [make.call(begin.id, first, answer), make.call(begin.id, second, system=None, tools=())]
        for call in calls:
            store.model_call(call)
        await store.close_trial(make.end(begin.id))
        reader = StoreReader(path)
        assert [reader.conversation(begin.id, index) for index in (0, 1)] == calls
        assert reader.added(reader.steps(begin.id)[1]).messages == second[1:]
        with pytest.raises(UserError, match=r"step 7 of .* is not a model call"):
            reader.conversation(begin.id, 7)


async def test_a_trace_grows_with_the_conversation_not_with_its_square(file: Path) -> None:
    async def size(turns: int) -> int:
        each = file.with_name(f"{turns}.db")
        with Store.open(each) as store:
            begin = make.start()
            store.open_trial(begin)
            messages: tuple[Message, ...] = (user("Do it."),)
            for turn in range(turns):
                answer = assistant(f"turn {turn} " + "a" * 500)
                store.model_call(make.call(begin.id, messages, answer))
                messages = (*messages, answer, user(f"output {turn} " + "b" * 500))
            await store.close_trial(make.end(begin.id))
            reader = StoreReader(each)
            assert reader.conversation(begin.id, turns - 1).messages == messages[:-2]
            held = reader.sql("SELECT (SELECT sum(length(body)) FROM message) + (SELECT sum(length(data)) FROM step)")
            return int(held.rows[0][0])

    small, large = await size(20), await size(80)
    assert large < 4.5 * small


async def test_no_message_is_summed_again_with_each_call_that_repeats_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summed: list[str] = []
    digest_of = codec.digest_of

    def counted(said: str) -> str:
        summed.append(said)
        return digest_of(said)

    monkeypatch.setattr(codec, "digest_of", counted)
    with Store.open(file) as store:
        begin = make.start()
        store.open_trial(begin)
        messages: tuple[Message, ...] = (user("Do it."),)
        for turn in range(30):
            answer = assistant(f"turn {turn}", [ToolCall(str(turn), "shell", {"command": "ls"})])
            sent = tuple(replace(message) for message in messages)  # each call is read anew
            store.model_call(make.call(begin.id, sent, answer, system=f"Be good {turn % 2}."))
            messages = (*messages, answer, user(f"output {turn}"))
        await store.close_trial(make.end(begin.id))
    assert sum('"turn ' in said for said in summed) == 30
    assert sum('"output ' in said for said in summed) == 29
    assert sum('"Be good ' in said for said in summed) == 2
    assert sum('"tools"' in said for said in summed) == 1


async def test_system_prompts_that_are_never_the_same_are_all_kept(path: Where) -> None:
    with Store.open(path) as store:
        begin = make.start()
        store.open_trial(begin)
        calls = [make.call(begin.id, [user("Do it.")], system=f"It is {hour} o'clock.") for hour in range(24)]
        for call in calls:
            store.model_call(call)
        await store.close_trial(make.end(begin.id))
        assert [StoreReader(path).conversation(begin.id, index) for index in range(24)] == calls


async def test_the_arguments_of_a_call_keep_the_order_in_which_the_model_gave_them(path: Where) -> None:
    with Store.open(path) as store:
        begin = make.start()
        store.open_trial(begin)
        store.model_call(make.call(begin.id, [user("Do it.")], assistant("", [ToolCall("1", "f", {"b": 1, "a": 2})])))
        await store.close_trial(make.end(begin.id))
        (call,) = StoreReader(path).conversation(begin.id, 0).completion.tool_calls
        assert list(call.arguments) == ["b", "a"]


async def test_a_value_that_equals_another_is_stored_as_it_was_sent(path: Where) -> None:
    """`True == 1 == 1.0` for Python, and not in a trace."""
    sent = []
    for value in (1, True, 1.0, 1):
        call = ToolCall("1", "count", {"n": value})
        opaque = Reasoning("hm", {"n": value})
        sent.append((user("Do it."), assistant("", [call], [opaque]), tool_result(call, "done")))
    with Store.open(path) as store:
        begin = make.start()
        store.open_trial(begin)
        for messages in sent:
            store.model_call(make.call(begin.id, messages))
        await store.close_trial(make.end(begin.id))
        reader = StoreReader(path)
        assert [repr(reader.conversation(begin.id, index).messages) for index in range(4)] == list(map(repr, sent))


def test_a_call_that_repeats_an_answer_of_which_something_was_masked_is_not_stored_as_it_was_sent() -> None:
    trajectory = OwnerSteps()
    first: tuple[Message, ...] = (user("Which key?"),)
    answer = assistant("hf_" + "a" * 30)
    said = []
    for messages in (first, (*first, answer), (*first, answer, user("Thanks."))):
        trajectory.model_call(make.call("t", messages, answer), scrubber(), lambda sha, body: None)
        said.append(trajectory.masked)
    plain = assistant("none")
    trajectory.model_call(make.call("t", (*first, answer, plain), plain), scrubber(), lambda sha, body: None)
    said.append(trajectory.masked)
    trajectory.model_call(make.call("t", first, plain), scrubber(), lambda sha, body: None)
    assert [*said, trajectory.masked] == [True, True, True, True, False]


def test_an_answer_that_is_sent_on_is_masked_though_the_next_one_is_not() -> None:
    trajectory, plain = OwnerSteps(), assistant("none")
    answer = assistant("hf_" + "a" * 30)
    for messages, said in (((user("Which key?"),), answer), ((user("Which key?"), answer), plain)):
        trajectory.model_call(make.call("t", messages, said), scrubber(), lambda sha, body: None)
        assert trajectory.masked


async def test_conversations_that_take_turns_are_each_continued(path: Where) -> None:
    with Store.open(path) as store:
        begin = make.start()
        store.open_trial(begin)
        calls = []
        one: tuple[Message, ...] = (user("one"),)
        other: tuple[Message, ...] = (user("other"),)
        for turn in range(10):
            calls += [make.call(begin.id, one), make.call(begin.id, other)]
            one, other = (*one, assistant("ok"), user(f"{turn}")), (*other, assistant("ok"), user(f"{turn}"))
        for call in calls:
            store.model_call(call)
        await store.close_trial(make.end(begin.id))
        reader = StoreReader(path)
        assert [reader.conversation(begin.id, index) for index in range(20)] == calls
        assert max(len(step.data["append"]) for step in reader.steps(begin.id)) == 2


async def test_a_session_goes_on_after_a_restart_where_it_ended(path: Where) -> None:
    with Store.open(path) as store:
        store.model_call(make.call("s/c1", [user("a")]))
    with Store.open(path) as store:
        store.model_call(make.call("s/c1", [user("a"), assistant("ok"), user("b")]))
        await store.flush()
        reader = StoreReader(store)
        assert [step.index for step in reader.steps("s/c1")] == [0, 1]
        assert reader.conversation("s/c1", 1).messages[-1] == user("b")


async def test_text_that_a_database_cannot_hold_does_not_lose_a_trial(path: Where) -> None:
    with Store.open(path) as store:
        begin = make.start()
        store.open_trial(begin)
        odd = "nul \x00 lone \ud800 end"
        store.step(make.ran(begin.id, odd, odd))
        store.model_call(make.call(begin.id, [user(odd)], assistant(odd)))
        await store.close_trial(make.end(begin.id, answer=odd, detail=odd))
        reader = StoreReader(path)
        assert reader.steps(begin.id)[0].data["stdout"] == odd
        assert reader.conversation(begin.id, 1).messages == (user(odd),)
        assert reader.trial(begin.id).answer == "nul \ufffd lone ? end"


async def test_secrets_reach_no_table(file: Path) -> None:
    secret = "hunter2-hunter2"
    with Store.open(file, scrubber([secret])) as store:
        await store.create_study(make.study(config={"k": secret}), [make.task("t", instruction=secret)], "text")
        begin = make.start()
        store.open_trial(begin)
        store.step(make.ran(begin.id, f"echo {secret}", secret))
        answer = assistant(secret, [ToolCall("1", "shell", {"command": secret})], [Reasoning(secret, {"x": secret})])
        store.model_call(make.call(begin.id, [user(f"use {secret}")], answer, system=secret))
        await store.close_trial(make.end(begin.id, answer=secret, detail=secret, verifier_output=secret))
        await store.add_candidate(candidate(title=secret, hypothesis=secret))
        await store.add_decision(decision(reason=secret, numbers={"why": secret}))
        await store.set_study_state("s", "paused", secret)
        assert StoreReader(file).conversation(begin.id, 1).messages == (user(f"use {MASK}"),)
    for each in file.parent.iterdir():
        assert secret.encode() not in each.read_bytes()


async def test_full_text_search_finds_what_stands_in_the_middle_of_a_long_output(path: Where) -> None:
    with Store.open(path) as store:
        begin = make.start()
        await make.finished_trial(store, begin, [make.ran(begin.id, "cat", "x " * 25_000 + "midword " + "x " * 25_000)])
        reader = StoreReader(path)
        assert [hit.step.owner for hit in reader.search("midword")] == [begin.id]


# ---- states change by comparing ------------------------------------------------------------------------------------


async def test_a_study_is_created_once(path: Where) -> None:
    with Store.open(path) as store:
        await store.create_study(make.study(), [make.task("t")], "text")
        with pytest.raises(UserError, match="there is a study s already; resume it, or choose another"):
            await store.create_study(make.study(), [make.task("t")], "text")
        assert [row.id for row in StoreReader(path).tasks("s")] == ["t"]
        assert StoreReader(path).harness("a" * 64).text == "text"


async def test_a_study_and_a_candidate_that_it_begins_with_are_stored_together(path: Where) -> None:
    commits = list[object]()
    heard = commits.append
    with Store.open(path) as store:
        event.listen(Engine, "commit", heard)
        try:
            await store.create_study(make.study(), [make.task("t")], "text", (candidate(harness="b" * 64), "other"))
        finally:
            event.remove(Engine, "commit", heard)
        assert len(commits) == 1
        assert StoreReader(path).harness("b" * 64).text == "other"
        assert [row.id for row in StoreReader(path).candidates("s")] == ["s/c1"]


async def test_a_study_is_run_by_one_process(path: Where) -> None:
    with Store.open(path) as store:
        await store.create_study(make.study(), [], "text")
        mine = this_process()
        await store.claim("s", mine)
        await store.claim("s", mine)
        host, pid, _ = mine.rsplit(":", 2)
        # PID 1 is alive on every machine.
        with pytest.raises(
            UserError,
            match=f"study s is being run by process {pid} on this machine since [-0-9]+ [:0-9]+ UTC; end that one",
        ):
            await store.claim("s", f"{host}:1:0")
        await store.release("s", f"{host}:1:0")
        assert StoreReader(path).study("s").holder == mine
        await store.release("s", mine)
        assert StoreReader(path).study("s").holder == ""
        with pytest.raises(UserError, match="there is no study nope in"):
            await store.claim("nope", mine)


async def test_a_study_whose_process_is_dead_is_taken_over(path: Where) -> None:
    mine = this_process()
    host, pid, started = mine.rsplit(":", 2)
    with Store.open(path) as store:
        gone = await asyncio.create_subprocess_exec("true")
        await gone.wait()
        reused = f"{host}:{pid}:{int(started) - 1}"
        for number, dead in enumerate((f"{host}:{gone.pid}:123", reused)):
            await store.create_study(make.study(f"s{number}", holder=dead), [], "text")
            await store.claim(f"s{number}", mine)
            assert StoreReader(path).study(f"s{number}").holder == mine


@pytest.mark.parametrize("ended", [False, True], ids=["which runs", "which has ended"])
async def test_a_process_whose_study_was_taken_over_stores_nothing_when_it_wakes(path: Where, ended: bool) -> None:
    before, after = "elsewhere:1:1", this_process()
    with Store.open(path) as new:
        old = Store.open(path)
        await old.create_study(make.study(), [], "text")
        await old.claim("s", before)
        await old.set_study_state("s", "running")
        await new.claim("s", after, over=before)
        if ended:
            await new.set_study_state("s", "finished", "all done")
            await new.release("s", after)
        kept = StoreReader(path).study("s")
        # What nobody waits for is not stored either.
        old.step(StepData("s/e/t/0/0", StepKind.OUTPUT, 0.0, 0.0, {"text": "words"}))
        who = (
            "was run by another process meanwhile, which has ended" if ended else "is being run by process .* since .*"
        )
        for what in (
            old.set_seconds("s", 99.0),
            old.set_study_state("s", "paused", "no answer"),
            old.release("s", before),
            old.flush(),
        ):
            with pytest.raises(TakenOver, match=f"^study s {who}: it was taken over from this process, which had not"):
                await what
        with pytest.raises(TakenOver):
            old.step(StepData("s/e/t/0/0", StepKind.OUTPUT, 0.0, 0.0, {"text": "words"}))
        old.close()
        assert StoreReader(path).study("s") == kept
        assert StoreReader(path).step_count("s/e/t/0/0") == 0
        await new.set_study_state("s", "running")


async def test_a_process_that_let_go_of_a_study_stores_what_it_does_without_it(path: Where) -> None:
    with Store.open(path) as first, Store.open(path) as second:
        await first.create_study(make.study(), [], "text")
        await first.claim("s", this_process())
        await first.release("s", this_process())
        await second.claim("s", "elsewhere:1:1")
        await first.add_harness("c" * 64, "other")


@contextmanager
def ended_and_not_waited_for() -> Iterator[tuple[str, int]]:
    """A process that has ended and keeps its number, as under a first process that never waits: as a holder, and its number."""
    said = "from lorimer.traces.writing.holder import this_process; print(this_process())"
    with subprocess.Popen([sys.executable, "-c", said], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        holder = process.stdout.read().strip()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        yield holder, process.pid


async def test_a_study_whose_process_has_ended_and_is_waited_for_by_nobody_is_taken_over(path: Where) -> None:
    mine = this_process()
    with Store.open(path) as store, ended_and_not_waited_for() as (dead, pid):
        assert exists(os.getpid())
        assert not exists(pid)
        assert not started(pid)  # by which folders and control groups of the dead are told from a living process's
        await store.create_study(make.study(holder=dead), [], "text")
        await store.claim("s", mine)
        assert StoreReader(path).study("s").holder == mine


def test_a_new_file_to_which_another_process_writes_in_the_same_moment_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "lorimer.db"
    refused: list[str] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE study (id)")
        other.execute("BEGIN IMMEDIATE")

        class Watched(sqlite3.Connection):
            def execute(self, *asked: Any) -> sqlite3.Cursor:
                try:
                    return super().execute(*asked)
                except sqlite3.OperationalError as error:
                    refused.append(error.sqlite_errorname)
                    other.execute("ROLLBACK")
                    raise

        with closing(sqlite3.connect(path, timeout=0.0, factory=Watched)) as connection:
            configure(connection, None)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert refused == ["SQLITE_BUSY"]


async def test_a_study_held_on_another_machine_is_not_taken(path: Where) -> None:
    with Store.open(path) as store:
        await store.create_study(make.study(holder="elsewhere:12:34"), [], "text")
        with pytest.raises(UserError, match="process 12 on the machine elsewhere"):
            await store.claim("s", this_process())


async def test_a_candidate_changes_only_from_the_state_that_is_expected(path: Where) -> None:
    with Store.open(path) as store:
        await store.create_study(make.study(), [], "text")
        await store.add_candidate(candidate())
        hunks = [{"search": "a", "replace": "key = 'sk-proj-Ab3dEf6hIj9lMn0pQr5tUv'"}]
        await store.update_candidate("s/c1", "proposing", state="proposed", title="Better", edit=hunks)
        with pytest.raises(InternalError, match="candidate s/c1 is proposed, not proposing"):
            await store.update_candidate("s/c1", "proposing", state="failed")
        with pytest.raises(InternalError, match="candidate s/c9 is not stored"):
            await store.update_candidate("s/c9", "proposing", state="failed")
        with pytest.raises(NumberTaken, match="candidate s/c1 is in the trace store already"):
            await store.add_candidate(candidate())
        (stored,) = StoreReader(path).candidates("s")
        assert (stored.state, stored.title, stored.edit) == ("proposed", "Better", hunks)


async def test_a_round_is_stored_as_a_whole_or_not_at_all(path: Where) -> None:
    with Store.open(path) as store:
        await store.create_study(make.study(), [], "text")
        first = [candidate(id=f"s/c{number}", number=number, round=1, state="proposed") for number in (1, 2)]
        stored = await store.add_round(first)
        assert stored == StoreReader(path).candidates("s")
        again = [candidate(id=f"s/c{number}", number=number, rebased=2) for number in (3, 2)]
        with pytest.raises(NumberTaken, match="candidate s/c2 is in the trace store already"):
            await store.add_round(again, {"s/c1": "it goes on"})
        with pytest.raises(InternalError, match="candidate s/c9 is not stored"):
            await store.add_round(again[:1], {"s/c9": "it goes on"})
        assert StoreReader(path).candidates("s") == stored
        await store.add_round(again[:1], {"s/c2": "its edit goes on as c003"})
        rows = StoreReader(path).candidates("s")
        assert [(row.state, row.failure, row.rebased) for row in rows[1:]] == [
            ("rebased", "its edit goes on as c003", None),
            ("proposing", "", 2),
        ]


async def test_a_session_that_is_over_is_let_go_and_what_still_comes_is_counted_on(path: Where) -> None:
    with Store.open(path) as store:
        await store.create_study(make.study(), [], "text")
        await store.add_candidate(candidate())
        store.model_call(make.call("s/c1", [user("look")]))
        await store.flush()
        assert set(store._trajectories) == {"s/c1"}
        await store.update_candidate("s/c1", "proposing", state="failed", failure="none came")
        assert store._trajectories == {}, "its messages would be kept to the end of the study"
        store.step(make.ran("s/c1", "ls"))
        await store.flush()
        assert [step.index for step in StoreReader(path).steps("s/c1")] == [0, 1]


async def test_a_plan_and_a_decision_are_stored_once_and_never_changed(path: Where) -> None:
    with Store.open(path) as store:
        await store.create_study(make.study(), [], "text")
        await store.add_evaluation(make.evaluation([("t", 0)]))
        await store.add_evaluation(make.evaluation([("t", 0)]))
        with pytest.raises(InternalError, match="evaluation s/baseline/baseline is stored with another plan"):
            await store.add_evaluation(make.evaluation([("t", 1)]))
        await store.add_decision(decision())
        await store.add_decision(decision(made="later"))
        with pytest.raises(InternalError, match="is stored with another kind"):
            await store.add_decision(decision(kind="promote"))
        assert [row.made for row in StoreReader(path).decisions("s")] == ["now"]


async def test_a_decision_and_the_state_that_follows_from_it_are_stored_together_or_not_at_all(path: Where) -> None:
    with Store.open(path) as store:
        await store.create_study(make.study(), [], "text")
        await store.add_candidate(candidate())
        with pytest.raises(InternalError, match="candidate s/c1 is proposing, not proposed"):
            await store.add_decision(decision(), leaves="rejected")
        assert StoreReader(path).decisions("s") == []
        assert [row.kind for row in StoreReader(path).chain()] == ["study"]
        await store.update_candidate("s/c1", "proposing", state="proposed")
        stored = await store.add_decision(decision(reason="as sk-proj-Ab3dEf6hIj9lMn0pQr5tUv says"), leaves="rejected")
        assert stored == StoreReader(path).decisions("s")[0]
        assert "sk-proj" not in stored.reason
        assert [row.state for row in StoreReader(path).candidates("s")] == ["rejected"]
        again = await store.add_decision(decision(reason="as sk-proj-Ab3dEf6hIj9lMn0pQr5tUv says"), leaves="rejected")
        assert again == stored


async def test_trials_that_a_dead_process_left_are_cancelled_and_kept(path: Where) -> None:
    with Store.open(path) as store:
        done, left, other = make.start(), make.start(repeat=1), make.start(of="other", evaluation="other/x")
        idle = make.start(repeat=2)
        await make.finished_trial(store, done)
        for start in (left, other, idle):
            store.open_trial(start)
        for name, owner in (("r1", left.id), ("r2", left.id), ("r3", other.id)):
            await store.reserve(Reservation(name, "s", "task", owner, 0.5, 100))
        store.settle(Settlement("r1", Used(1, 10, 5, usd=0.125)))
        assert await store.cancel_running("s") == 2
        assert await store.cancel_running("s") == 0
        found = {trial.id: trial for trial in StoreReader(path).trials()}
        states = {name: trial.state for name, trial in found.items()}
        assert states == {done.id: "scored", left.id: "cancelled", other.id: "running", idle.id: "cancelled"}
        assert (found[left.id].model_calls, found[left.id].cost_usd, found[left.id].input_tokens) == (2, 0.625, 10)
        assert (found[idle.id].model_calls, found[idle.id].cost_usd) == (0, 0.0)


async def test_what_is_reserved_and_never_settled_counts_as_spent(path: Where) -> None:
    with Store.open(path) as store:
        await store.reserve(Reservation("r1", "s", "task", "x", 0.5, 100))
        await store.reserve(Reservation("r2", "s", "meta", "x", 0.25, 200))
        await store.reserve(Reservation("r3", "s", "meta", "x", None, 300))
        store.settle(Settlement("r1", Used(1, 10, 5, usd=0.125)))
        store.settle(Settlement("r1", Used(1, 9, 9, usd=9.0)))
        with pytest.raises(InternalError, match="reservation r1 was made before"):
            await store.reserve(Reservation("r1", "s", "task", "x", 0.5, 100))
        spent = StoreReader(path).spent("s")
        assert (spent.known_usd, spent.usd, spent.unknown, spent.tokens, spent.calls) == (0.375, None, 1, 515, 3)
        assert StoreReader(path).spent("s").meta.tokens == 500
        assert StoreReader(path).spent("nobody").usd == 0.0


async def test_what_was_spent_is_kept_as_totals_that_no_number_of_calls_makes_slower_to_read(file: Path) -> None:
    calls = [(role, number, None if number == 3 else number / 8) for role in ("task", "meta") for number in range(5)]
    with Store.open(file) as store:
        for role, number, usd in calls:
            await store.reserve(Reservation(f"{role}{number}", "s", role, "x", 0.5, 100))
            store.settle(Settlement(f"{role}{number}", Used(1, number, 10, usd=usd)))
        await store.reserve(Reservation("open", "s", "task", "x", 0.25, 70))
        await store.flush()
        before = StoreReader(file).spent("s")
    # 0 + 1/8 + 2/8 + 4/8, and the fourth at what was reserved for it.
    assert (before.meta.known_usd, before.meta.tokens, before.meta.unknown, before.meta.calls) == (1.375, 60, 1, 5)
    assert (before.task.known_usd, before.task.tokens, before.task.unknown, before.task.calls) == (1.625, 130, 1, 6)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM spend WHERE settled")
    assert StoreReader(file).spent("s") == before, "it reads the totals and the open call alone"


async def test_a_settlement_that_is_undone_adds_nothing_to_the_totals(path: Where) -> None:
    with Store.open(path) as store:
        await store.reserve(Reservation("r1", "s", "task", "x", 0.5, 100))
    before = StoreReader(path).spent("s")
    store = Store.open(path)
    store.settle(Settlement("r1", Used(1, 10, 5, usd=0.125)))
    store.settle(Settlement("never", Used(1, 10, 5, usd=0.125)))
    with pytest.raises(InternalError, match="never, which was never reserved"):
        await store.flush()
    store.close()
    assert StoreReader(path).spent("s") == before


# ---- files that are none ---------------------------------------------------------------------------------------------


def test_a_store_opens_again_by_path_and_by_url(file: Path) -> None:
    for name in (file, str(file), f"sqlite:///{file}"):
        with Store.open(name) as store:
            assert store.path == file


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(ConfigError, match="traces are kept in SQLite or PostgreSQL; give a file"):
        Store.open("mysql://host/db")


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("hello " * 1000)
    with pytest.raises(Exception, match=r"notes\.txt cannot be used: file is not a database"):
        Store.open(file)
    with pytest.raises(UserError, match=r"notes\.txt is not a trace store"):
        StoreReader(file)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE study (x)")
    connection.close()
    with pytest.raises(UserError, match=r"other\.db is a database of another program; choose another file"):
        Store.open(file)
    with pytest.raises(UserError, match=r"other\.db is not a trace store"):
        StoreReader(file)


def test_a_store_of_a_newer_lorimer_is_left_alone(file: Path) -> None:
    Store.open(file).close()
    connection = sqlite3.connect(file)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(UserError, match=r"was written by a newer lorimer .* upgrade lorimer"):
        Store.open(file)
    with pytest.raises(UserError, match=r"was written by a newer lorimer .* upgrade lorimer"):
        StoreReader(file)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot make the folder .*file/sub for the trace store"):
        Store.open(tmp_path / "file" / "sub" / "traces.db")


def test_a_closed_store_takes_nothing(path: Where) -> None:
    store = Store.open(path)
    store.close()
    store.close()
    with pytest.raises(InternalError, match="is closed"):
        store.step(StepData("x", StepKind.NOTE, 0.0))


async def test_an_unknown_settlement_is_told_when_the_store_is_left(path: Where) -> None:
    with pytest.raises(InternalError, match="settlement of r9, which was never reserved"), Store.open(path) as store:
        store.settle(Settlement("r9", Used(1, 0, 0, usd=0.0)))


async def test_the_same_harness_may_be_added_again(path: Where) -> None:
    with Store.open(path) as store:
        for _ in range(2):
            await store.add_harness("b" * 64, "KEY = 'sk-proj-Ab3dEf6hIj9lMn0pQr5tUv'")
        row: HarnessRow = StoreReader(path).harness("bbbb")
        assert row.text == "KEY = 'sk-proj-Ab3dEf6hIj9lMn0pQr5tUv'"


async def test_what_a_server_honours_is_kept_by_model_and_replaced(path: Where) -> None:
    def row(model: str, word: str) -> AbilityRow:
        return AbilityRow(model=model, address="http://a/v1", asked="2026-01-02T00:00:00+00:00", found={"schema": word})

    with Store.open(path) as store, StoreReader(store) as reader:
        await store.set_abilities(row("a/m", "ignored"))
        await store.set_abilities(row("a/n", "refused"))
        await store.set_abilities(row("a/m", "honoured"))
        assert reader.abilities("a/m") == row("a/m", "honoured")
        assert reader.abilities("a/n") == row("a/n", "refused")
        assert reader.abilities("a/o") is None
