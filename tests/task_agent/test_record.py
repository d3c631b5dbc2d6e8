"""The record of a trial: real harnesses in real jails, and what of it comes back from the store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lorimer.errors import UserError
from lorimer.harness.api import Completion, ExecResult, Reasoning, ToolCall, Usage, assistant
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import TrialEnd, TrialState
from lorimer.traces.scrub import scrubber
from lorimer.traces.wired import (
    Complete,
    Done,
    Exec,
    Finish,
    Gap,
    InvalidCall,
    Note,
    OpenedWrite,
    Read,
    ReadPiece,
    Record,
    RefusedCall,
    Write,
)
from lorimer.traces.writing.store import Store
from tests.support.trials import REAL, Played, Remembering, reply, solve
from tests.task_agent.conftest import Try

KEY = "sk-" + "a1b2c3d4" * 4


async def stored(played: Played, path: Path, secrets: tuple[str, ...] = ()) -> Store:
    """A store in which the trial has run."""
    store, sink = Store.open(path, scrubber(secrets)), played.sink
    for start in sink.starts.values():
        store.open_trial(start)
    if not sink.starts:
        raise AssertionError("no trial ran")
    for part in sink.parts:
        store.wire_part(part)
    for step in sink.steps:
        store.step(step)
    for call in sink.calls:
        store.model_call(call)
    for wired in sink.wire_calls:
        store.wire_call(wired)
    await store.close_trial(played.end)
    return store


async def record_of(played: Played, tmp_path: Path, secrets: tuple[str, ...] = ()) -> Record | Gap:
    with await stored(played, tmp_path / "t.db", secrets) as store:
        return StoreReader(store).records([played.end.id])[played.end.id]


def answer(request: ModelRequest, context: CallContext) -> ModelReply:
    thought = Reasoning("hm", {"signature": "x", "at": [1, 2.5]})
    message = assistant(f"answer {context.call_index}", [ToolCall("c1", "shell", {"n": [1, {"a": None}]})], [thought])
    return ModelReply(Completion(message, "tool_calls", Usage(10, 5, 1)), 0.01)


EVERYTHING = solve("""
    env.write("/app/in.bin", bytes(range(256)))
    ran = env.exec("cat nothing; echo out; exit 3", timeout=9)
    assert env.read("/app/in.bin") == bytes(range(256))
    try:
        env.read("/app/none")
    except EnvError:
        pass
    try:
        llm.complete([user("x")], temperature=9)
    except ValueError:
        pass
    tools = [Tool("shell", "Run.", {"type": "object"})]
    done = llm.complete([system("from the list"), user(task.instruction)], system="first", stop=["x"], tools=tools)
    form = {"schema": {"type": "object", "required": ["n"]}, "tools": tools, "tool_choice": "shell"}
    again = llm.complete([user("go on"), done.message, tool_result("c1", "fine")], max_tokens=100_000, effort="low", **form)
    note("halfway")
    env.exec("seq 1 20000")
    return done.text + again.text
""")


@pytest.mark.parametrize("provider", REAL, indirect=True)
async def test_every_call_comes_back_as_the_harness_made_it_and_was_answered(attempt: Try, tmp_path: Path) -> None:
    played = await attempt(EVERYTHING, answer=answer, limits={"trace_bytes": 1024, "exec_seconds": 7})
    record = await record_of(played, tmp_path)
    assert isinstance(record, Record), record
    (part,) = record.parts
    taken = played.sink.wire_calls
    assert [call.number for call in taken] == list(range(len(taken)))
    assert [call.request for call in part.calls] == [call.request for call in taken]
    assert [call.key for call in part.calls] == [call.request.key for call in taken]
    assert [call.answer for call in part.calls] == [call.answer for call in taken]
    kinds = [Write, Exec, Read, Read, InvalidCall, Complete, Complete, Note, Exec, Finish]
    assert [type(call.request) for call in part.calls] == kinds
    write, ran, whole, none, invalid, first, second, note, long, finish = part.calls
    assert write.request == Write("/app/in.bin", bytes(range(256)))
    assert (write.answer, whole.answer, note.answer) == (OpenedWrite(), ReadPiece(bytes(range(256))), Done())
    assert ran.request == Exec("cat nothing; echo out; exit 3", 7.0, "/app"), "the time-out that took effect"
    assert isinstance(none.answer, RefusedCall)
    assert isinstance(invalid.answer, RefusedCall)
    assert (none.answer.code, invalid.answer.code) == ("env", "invalid")
    assert isinstance(first.request, Complete)
    assert isinstance(second.request, Complete)
    assert first.request.system == "first\n\nfrom the list"
    assert (first.request.max_tokens, second.request.max_tokens) == (100, 100), "the numbers that took effect"
    assert (first.request.schema, first.request.tool_choice) == (None, None)
    assert (second.request.schema, second.request.tool_choice) == ({"type": "object", "required": ["n"]}, "shell")
    assert isinstance(long.answer, ExecResult)
    assert long.answer.stdout == "".join(f"{n}\n" for n in range(1, 20001)), "the trace has kept a kilobyte of it"
    assert finish.request == Finish("returned", "answer 0answer 1", "")
    assert (part.task.instruction, part.task.workdir, part.task.max_calls, part.max_tokens) == (
        "Do it.",
        "/app",
        50,
        100,
    )
    times = [(call.asked, call.answered) for call in part.calls]
    assert all(asked <= answered for asked, answered in times)
    assert times == sorted(times)


@pytest.mark.bubblewrap
async def test_threads_are_recorded_in_the_order_in_which_they_asked(attempt: Try, tmp_path: Path) -> None:
    played = await attempt(
        solve("""
            waits = "touch /app/begun; until [ -e /app/go ]; do sleep 0.05; done; echo a"
            first = threading.Thread(target=lambda: env.exec(waits))
            first.start()
            while env.exec("[ -e /app/begun ]").exit_code:
                time.sleep(0.05)
            env.exec("echo b")
            env.exec("touch /app/go")
            first.join()
            return "done"
        """)
    )
    record = await record_of(played, tmp_path)
    assert isinstance(record, Record), record
    *calls, finish = record.parts[0].calls
    assert [call.asked for call in calls] == sorted(call.asked for call in calls)
    said = [call.answer.stdout for call in calls if isinstance(call.answer, ExecResult)]
    slow, quick = calls[said.index("a\n")], calls[said.index("b\n")]
    assert slow.asked <= quick.asked <= quick.answered <= slow.answered <= finish.asked
    assert said.index("a\n") < said.index("b\n")


@pytest.mark.bubblewrap
async def test_a_call_in_flight_at_the_end_has_no_answer(attempt: Try, tmp_path: Path) -> None:
    played = await attempt(
        solve("""
            threading.Thread(target=lambda: env.exec("touch /app/begun; sleep 250"), daemon=True).start()
            env.exec("until [ -e /app/begun ]; do sleep 0.05; done")
            return "done"
        """)
    )
    record = await record_of(played, tmp_path)
    assert isinstance(record, Record), record
    open_call, _, finish = record.parts[0].calls
    assert (open_call.answer, finish.method) == (None, "finish")
    assert open_call.request == Exec("touch /app/begun; sleep 250", 300.0, "/app")


@pytest.mark.bubblewrap
async def test_limits_that_were_reached_are_answers(attempt: Try, tmp_path: Path) -> None:
    body = """
        told = []
        for n in range(3):
            try:
                llm.complete([user(f"{n}")])
            except LimitReached as error:
                told.append(str(error))
        return "|".join(told)
    """
    record = await record_of(await attempt(solve(body), limits={"calls": 1}), tmp_path)
    assert isinstance(record, Record), record
    answers = [call.answer for call in record.parts[0].calls]
    assert answers[1:3] == [RefusedCall("limit", "model calls: 1 of 1 used")] * 2
    assert record.parts[0].calls[2].request == Complete(record.parts[0].calls[2].request.messages, max_tokens=100)  # type: ignore[union-attr]


# ---- gaps -----------------------------------------------------------------------------------------------------------


@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    ("body", "why"),
    [
        (f'llm.complete([user("use {KEY}")])', "call 1 (llm.complete) held a secret, which is not kept"),
        (f'env.exec("echo {KEY}")', "call 1 (env.exec) held a secret, which is not kept"),
        (f'env.exec("head -c 3000 /dev/zero | tr \\\\0 x; echo {KEY}; seq 9999")', "call 1 (env.exec) held a secret"),
        (f'env.write("/app/key", b"\\xff{KEY}")', "call 1 (env.write) held a secret, which is not kept"),
        (f'note("it is {KEY}")', "call 1 (note) held a secret, which is not kept"),
        (f'return "{KEY}"', "call 1 (finish) held a secret, which is not kept"),
        (f'raise RuntimeError("{KEY}")', "call 1 (finish) held a secret, which is not kept"),
        (
            'env.exec("head -c 5000000 /dev/zero > /app/z"); env.read("/app/z")',
            "call 2 (env.read) is a piece of a file",
        ),
        ("os._exit(3)", "its harness was ended before it finished (jail_died)"),
    ],
)
async def test_a_record_with_a_gap_says_what_is_missing(attempt: Try, tmp_path: Path, body: str, why: str) -> None:
    played = await attempt(solve(f'{body}\nreturn ""'), limits={"trace_bytes": 1024})
    gap = await record_of(played, tmp_path)
    assert isinstance(gap, Gap), gap
    assert why in gap.why
    assert KEY.encode() not in on_disk(tmp_path)
    with closing(sqlite3.connect(tmp_path / "t.db")) as store:
        assert KEY.encode() not in b"".join(unzipped(data) for (data,) in store.execute("SELECT data FROM blob"))


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("t.db*"))


def unzipped(data: bytes) -> bytes:
    from lorimer.traces.writing.ledger import unpacked

    return unpacked(data)


@pytest.mark.bubblewrap
async def test_an_answer_that_held_a_known_key_is_a_gap_and_not_on_the_disk(attempt: Try, tmp_path: Path) -> None:
    """A key of no known shape, which the process knows by its value."""
    own = "correct horse battery"
    played = await attempt(solve('llm.complete([user("hello")])\nreturn ""'), answer=lambda r, c: reply(f"it is {own}"))
    gap = await record_of(played, tmp_path, (own,))
    assert isinstance(gap, Gap), gap
    assert gap.why == "call 1 (llm.complete) held a secret, which is not kept"
    assert own.encode() not in on_disk(tmp_path)


async def test_what_did_not_end_well_or_has_no_record_says_so(tmp_path: Path) -> None:
    from tests.traces.support import end, start

    sink = Remembering()
    with Store.open(tmp_path / "t.db") as store:
        for task, done in (("a", True), ("b", False), ("c", None)):
            begin = start(task)
            store.open_trial(begin)
            if done is not None:
                await store.close_trial(end(begin.id, 1.0) if done else errored(begin.id))
        await store.flush()
        found = StoreReader(store).records([start(task).id for task in "abc"])
        with pytest.raises(UserError, match="there is no trial s/x"):
            StoreReader(store).records(["s/x"])
    whys = [gap.why for gap in found.values() if isinstance(gap, Gap)]
    assert whys == [
        "it has no record: an older lorimer ran it, or no harness acted in it",
        "it is errored: the engine stopped",
        "it is still running",
    ]
    assert not sink.starts


def errored(trial: str) -> TrialEnd:
    return TrialEnd(trial, TrialState.ERRORED, "engine_outage", "the engine stopped")


@pytest.mark.bubblewrap
async def test_a_lost_row_is_a_gap_and_never_a_shorter_record(attempt: Try, tmp_path: Path) -> None:
    played = await attempt(EVERYTHING, answer=answer, limits={"trace_bytes": 1024})
    (await stored(played, tmp_path / "t.db")).close()
    for table in ("step", "blob", "message"):
        with closing(sqlite3.connect(tmp_path / "t.db")) as store:
            names = [name for (name,) in store.execute(f"SELECT rowid FROM {table}")]
            # Without what is computed of the others, which nobody can insert.
            columns = ", ".join(f'"{column[1]}"' for column in store.execute(f"PRAGMA table_info({table})"))
        for name in names:
            with closing(sqlite3.connect(tmp_path / "t.db")) as store:
                row = store.execute(f"SELECT {columns} FROM {table} WHERE rowid = ?", [name]).fetchone()
                store.execute(f"DELETE FROM {table} WHERE rowid = ?", [name])
                store.commit()
            found = StoreReader(tmp_path / "t.db").records([played.end.id])[played.end.id]
            if isinstance(found, Record):
                assert table == "step", "a step that is no call's"
                assert row[3] in ("output", "read", "write"), row
            with closing(sqlite3.connect(tmp_path / "t.db")) as store:
                places = ", ".join("?" * len(row))
                store.execute(f"INSERT INTO {table} ({columns}) VALUES ({places})", row)
                store.commit()


@pytest.mark.bubblewrap
async def test_half_a_key_that_the_traces_cut_left_is_a_gap_and_not_on_the_disk(attempt: Try, tmp_path: Path) -> None:
    """The sandbox keeps the key whole; the trace keeps 512 characters of the output's head, in which the key begins."""
    own = "correct-horse-battery-staple"
    played = await attempt(
        solve(f'env.exec("printf %0498d 0; echo {own}; seq 9999")\nreturn ""'),
        limits={"trace_bytes": 1024},
    )
    (said,) = (step.data["stdout"] for step in played.sink.steps if "stdout" in step.data)
    assert f"0{own[:14]}\n[..." in said
    gap = await record_of(played, tmp_path, (own,))
    assert isinstance(gap, Gap), gap
    assert f"0{own[:8]}".encode() not in on_disk(tmp_path)
