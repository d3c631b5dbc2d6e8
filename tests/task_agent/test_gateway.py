"""Harnesses in real jails, and what the gateway lets them do."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from lorimer.config.settings import BudgetSettings
from lorimer.errors import BudgetExhausted, ConfigError, ProviderOutage
from lorimer.harness.api import image, user
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.task_agent.causes import SUSPECT, Cause
from lorimer.task_agent.limits import ActiveClock
from lorimer.task_agent.output import cut
from lorimer.task_agent.serving import gateway
from lorimer.task_agent.serving.gateway import LinePace
from lorimer.task_agent.spec import Harness
from lorimer.traces.schema import StepKind, TrialState
from tests.support.trials import REAL, make_task, reply, solve
from tests.task_agent.conftest import Try

both = pytest.mark.parametrize("provider", REAL, indirect=True)
bubblewrap = pytest.mark.bubblewrap


# ---- what a harness can do ------------------------------------------------------------------------------------------


@both
async def test_a_harness_works_on_the_sandbox_and_the_model(attempt: Try) -> None:
    played = await attempt(
        solve("""
            env.write("/app/in/data.txt", "héllo")
            ran = env.exec("cat in/data.txt; echo oops >&2; exit 3")
            done = llm.complete([system("from the list"), user(task.instruction)], system="first", max_tokens=7, stop=["x"])
            note("halfway")
            print("printed")
            return json.dumps([ran.stdout, ran.stderr, ran.exit_code, env.read_text("/app/in/data.txt"), done.text,
                               task.max_calls, task.workdir, task.seconds])
        """)
    )
    assert played.end.state is TrialState.SCORED, played.end
    assert json.loads(played.end.answer) == ["héllo", "oops\n", 3, "héllo", "ok", 50, "/app", 60.0]
    assert (played.end.cause, played.end.reward, played.end.used.calls) == ("finished", 1.0, 1)
    assert (played.end.used.input_tokens, played.end.used.output_tokens) == (10, 5)
    assert played.end.used.usd == pytest.approx(0.015)
    kinds = [step.kind.value for step in played.sink.steps]
    assert kinds == ["write", "exec", "note", "read", "output"]
    assert dict(played.only(StepKind.EXEC)) == {
        "command": "cat in/data.txt; echo oops >&2; exit 3",
        "cwd": "/app",
        "exit_code": 3,
        "timed_out": False,
        "stdout": "héllo",
        "stderr": "oops\n",
        "dropped": 0,
    }
    assert played.only(StepKind.OUTPUT)["text"] == "printed\n"
    (request,) = played.model.requests
    assert (request.system, request.max_tokens, request.stop) == ("first\n\nfrom the list", 7, ("x",))
    assert [message.text for message in request.messages] == ["Do it."]


@both
async def test_a_harness_gets_a_value_that_fits_its_schema_or_what_is_wrong(attempt: Try) -> None:
    said = iter(['so: {"command": "ls"}', "no idea", "no idea"])
    played = await attempt(
        solve("""
            form = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
            shell = Tool("shell", "Run.", form)
            good, bad = [llm.complete([user("go")], schema=form) for _ in range(2)]
            none = llm.complete([user("go")], tools=[shell], tool_choice="shell")
            try:
                llm.complete([user("go")], tool_choice="shell")
            except ValueError as error:
                wrong = str(error)
            return json.dumps([good.parsed, good.mismatch, bad.parsed, bad.mismatch, none.mismatch, wrong])
        """),
        answer=lambda request, context: reply(next(said)),
    )
    assert json.loads(played.end.answer) == [
        {"command": "ls"},
        "",
        None,
        "the answer holds no JSON",
        "the model did not call shell, which was required",
        "llm.complete: tool_choice: 'shell' asks for a tool call, and the call has no tools; give tools=[…] or drop it",
    ]
    first, _, third = played.model.requests
    assert first.schema == {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
    assert (third.schema, third.tool_choice) == (None, "shell")
    assert [call.settings.get("tool_choice") for call in played.sink.calls] == [None, None, "shell"]
    assert played.sink.calls[0].settings["schema"] == first.schema


@both
async def test_what_is_no_text_is_not_written_as_bytes_of_its_own_making(attempt: Try) -> None:
    played = await attempt(
        solve("""
            wrong = []
            for data in (3, None, ["a"], {"a": 1}):
                try:
                    env.write("/app/n.txt", data)
                except TypeError as error:
                    wrong.append(str(error))
            return json.dumps([wrong, env.exec("ls /app/n.txt").exit_code != 0])
        """)
    )
    kinds = ("int", "NoneType", "list", "dict")
    said = [f"env.write: data is a {kind}; give a text or bytes" for kind in kinds]
    assert json.loads(played.end.answer) == [said, True]


@both
async def test_a_harness_shows_the_model_a_picture_that_it_read(attempt: Try) -> None:
    played = await attempt(
        solve("""
            env.write("/app/shot.png", b"\\x89PNG\\r\\n\\x1a\\n" + bytes(range(256)))
            return llm.complete([user("what is this?", [image(env.read("/app/shot.png"))])]).text
        """)
    )
    (request,) = played.model.requests
    assert request.messages == (user("what is this?", [image(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))]),)


@both
async def test_bytes_go_both_ways_unchanged_in_pieces(attempt: Try) -> None:
    played = await attempt(
        solve("""
            data = bytes(range(256)) * (20 * 1024) + b"end"   # 5 MiB and a bit: two pieces
            env.write("/app/big", data)
            env.write("/app/empty", b"")
            return str([env.read("/app/big") == data, env.read("/app/empty"), env.exec("wc -c < /app/big").stdout.strip()])
        """)
    )
    assert played.end.answer == "[True, b'', '5242883']"


@bubblewrap
async def test_file_failures_are_env_errors_and_the_trial_goes_on(attempt: Try) -> None:
    played = await attempt(
        solve("""
            told = []
            def failing(call, *args):
                try:
                    call(*args)
                except EnvError as error:
                    told.append(str(error))
            failing(env.read, "/app/none")
            failing(env.read, "/app")
            env.exec("head -c 2000 /dev/zero > /app/big")
            failing(env.read, "/app/big")
            failing(env.write, "/app/bigger", b"x" * 2000)
            failing(env.write, "/app", b"x")
            return "|".join(told)
        """),
        limits={"read_bytes": 1024},
    )
    told = played.end.answer.split("|")
    assert len(told) == 5, told
    assert "/app/none" in told[0]
    assert "1024" in told[2]
    assert told[3] == "/app/bigger: over the limit of 1024 bytes"
    assert played.end.state is TrialState.SCORED
    assert [step.data.get("error") for step in played.sink.steps if step.kind is StepKind.READ] == told[:3]


@bubblewrap
async def test_threads_have_calls_in_flight_at_once(attempt: Try) -> None:
    # Each waits until all are under way, so one after another none would end.
    asked = asyncio.Barrier(8)

    async def slow(request: ModelRequest, context: CallContext) -> ModelReply:
        await asked.wait()
        return reply(request.messages[-1].text)

    played = await attempt(
        solve("""
            got = {}
            meet = "touch /app/here-{n}; until [ $(ls -d /app/here-* | wc -l) = 8 ]; do sleep 0.05; done; echo e{n}"
            def ask(n):
                got[n] = llm.complete([user(f"m{n}")]).text + env.exec(meet.format(n=n)).stdout.strip()
            threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
            [t.start() for t in threads]
            [t.join() for t in threads]
            assert got == {n: f"m{n}e{n}" for n in range(8)}, got
            return "all at once"
        """),
        answer=slow,
    )
    assert (played.end.cause, played.end.answer) == ("finished", "all at once"), played.end
    assert sorted(context.call_index for context in played.model.contexts) == list(range(8))


@bubblewrap
async def test_output_over_the_limit_keeps_both_ends_and_says_the_cut(attempt: Try) -> None:
    played = await attempt(
        solve("""
            ran = env.exec("echo head; head -c 100000 /dev/zero | tr '\\\\0' x; echo; echo tail")
            return json.dumps([ran.stdout[:5], ran.stdout[-5:], ran.truncated, len(ran.stdout), "bytes dropped" in ran.stdout])
        """),
        limits={"output_bytes": 2048},
    )
    head, tail, truncated, length, said = json.loads(played.end.answer)
    assert (head, tail, truncated, said) == ("head\n", "tail\n", True, True)
    assert length < 2200
    assert played.only(StepKind.EXEC)["dropped"] == 100_011 - 2048


@pytest.mark.parametrize("limit", [1024, 1025])
def test_a_text_is_cut_to_just_as_many_characters_as_are_allowed(limit: int) -> None:
    head, said, tail = cut("é" * 3000, limit).split("\n")
    assert (len(head) + len(tail), said) == (limit, f"[... {3000 - limit} characters dropped ...]")
    assert cut("é" * limit, limit) == "é" * limit


@bubblewrap
async def test_what_the_provider_refuses_is_a_value(attempt: Try) -> None:
    def refuse(request: ModelRequest, context: CallContext) -> ModelReply:
        if "answer" in str(request.messages[-1].text):
            return reply("yes")
        if context.call_index == 0:
            return reply("", stop="rejected", error="400: no such tool", tokens=(0, 0))
        return reply("", stop="context_overflow", error="prompt is too long", tokens=(0, 0))

    played = await attempt(
        solve("""
            first, second = llm.complete([user("a")]), llm.complete([user("b")])
            assert llm.complete([user("answer")]).text == "yes"
            return f"{first.stop_reason}: {first.error}; {second.stop_reason}: {second.error}"
        """),
        answer=refuse,
    )
    assert played.end.answer == "rejected: 400: no such tool; context_overflow: prompt is too long"
    assert played.end.cause == "finished"


@bubblewrap
async def test_parameters_that_do_not_fit_are_value_errors(attempt: Try) -> None:
    played = await attempt(
        solve("""
            told = []
            for call in (
                lambda: llm.complete([]),
                lambda: llm.complete([system("alone")]),
                lambda: llm.complete([user("a")], temperature=9.0),
                lambda: llm.complete([user("a")], temperature=float("nan")),
                lambda: env.exec("echo a\\0b"),
                lambda: env.exec("true", timeout=-1),
                lambda: env.read("x" * 5000),
            ):
                try:
                    call()
                except ValueError as error:
                    told.append(str(error))
            return "\\n".join(told)
        """)
    )
    told = played.end.answer.splitlines()
    assert len(told) == 7, told
    assert told[0].startswith("llm.complete: messages: ")
    assert told[1] == "llm.complete: messages: none but system messages"
    assert told[2].startswith("llm.complete: temperature: ")
    assert told[4] == "env.exec: command: a NUL character"
    assert not played.model.requests


@bubblewrap
async def test_a_single_stop_text_is_one_stop(attempt: Try) -> None:
    """As in the SDKs. Taken as a list it would be a stop for each letter, of which nobody would be told."""
    played = await attempt(solve("return llm.complete([user(task.instruction)], stop='END').text"))
    assert [request.stop for request in played.model.requests] == [("END",)], played.end


@bubblewrap
async def test_text_that_is_no_unicode_is_mended_and_trips_nobody(attempt: Try) -> None:
    played = await attempt(
        solve("""
            note("bad \\ud800 note")
            llm.complete([user("\\udfff"), assistant("", [ToolCall("1", "x\\ud801", {"\\ud802": ["\\ud803"]})])])
            return env.exec("printf %s '\\ud800'").stdout + "\\ud800"
        """)
    )
    assert played.end.cause == "finished"
    assert played.end.answer == "��"
    for text in (played.sink.texts(StepKind.NOTE)[0], str(played.model.requests[0])):
        text.encode()


# ---- how a harness can end ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cause", "detail"),
    [
        ("def solve(task, env, llm):\n    raise RuntimeError('boom')", Cause.HARNESS_EXCEPTION, "RuntimeError: boom"),
        ("def solve(task, env, llm):\n    import sys; sys.exit(0)", Cause.HARNESS_EXCEPTION, "SystemExit: 0"),
        ("def solve(task, env, llm):\n    return 5", Cause.BAD_RETURN, "solve returned int, not str"),
        ("async def solve(task, env, llm):\n    return ''", Cause.BAD_RETURN, "solve returned coroutine, not str"),
        (
            "def solve(task, env, llm):\n    llm.complete([{'role': 'user', 'content': ''}])",
            Cause.HARNESS_EXCEPTION,
            "TypeError: llm.complete: messages[0] is a dict; make it by user(), assistant(), system() or tool_result()",
        ),
        (
            "def solve(task, env, llm):\n    llm.complete('do it')",
            Cause.HARNESS_EXCEPTION,
            "TypeError: llm.complete: messages is a text; give a list, of which each is made by user(), assistant()",
        ),
        (
            "def solve(task, env, llm):\n    llm.complete([], tools=[{'type': 'function'}])",
            Cause.HARNESS_EXCEPTION,
            "TypeError: llm.complete: tools[0] is a dict; make it by Tool(name=",
        ),
        (
            "from lorimer.harness.api import *\n"
            "def solve(task, env, llm):\n    llm.complete([assistant('', [ToolCall('1', 'a', {'a': Usage})])])",
            Cause.HARNESS_EXCEPTION,
            "TypeError: Object of type type is not JSON serializable",
        ),
        ("x = 1", Cause.BAD_RETURN, "agent.py defines no function `solve`"),
        ("def solve(:", Cause.HARNESS_EXCEPTION, "SyntaxError: invalid syntax"),
        ("import openai", Cause.HARNESS_EXCEPTION, "ModuleNotFoundError: No module named 'openai'"),
        ("import os\nos._exit(9)", Cause.JAIL_DIED, "the harness process ended without finishing (exit code 9)"),
        ("import os\nos.kill(os.getpid(), 9)", Cause.JAIL_DIED, "the harness process ended without finishing"),
    ],
)
@bubblewrap
async def test_its_own_faults_end_it_scored(attempt: Try, text: str, cause: Cause, detail: str) -> None:
    played = await attempt(Harness(text))
    assert (played.end.state, played.end.cause, played.end.reward) == (TrialState.SCORED, cause.value, 1.0)
    assert played.end.detail.startswith(detail)
    assert played.only(StepKind.ERROR)["cause"] == cause.value


@bubblewrap
async def test_a_harness_that_was_cut_off_is_no_failure_of_its_own_and_saying_so_wins_nothing(attempt: Try) -> None:
    """Its stdin ended, as when the engine's connection broke: it says so by its exit code, as a liar may too."""
    played = await attempt(Harness("import os\nos._exit(75)"))
    assert (played.end.state, played.end.cause) == (TrialState.ERRORED, "sandbox_lost")
    assert played.end.detail == "the connection to the harness broke"
    assert Cause.SANDBOX_LOST in SUSPECT


FORGE = """
    import gc
    from lorimer.harness.host import Wire
    wire = next(o for o in gc.get_objects() if isinstance(o, Wire))
    def say(line):
        wire._writer.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\\n")
"""


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("b'x' * (17 << 20)", "a line over 16 MiB"),
        ("b'not json\\n'", "not JSON: b'not json'"),
        ('b\'{"id": 1, "method": "note", "params": {"text": NaN}}\\n\'', "not JSON"),
        ("b'[' * 100000 + b'\\n'", "not JSON"),
        ("b'[' + b'[],' * 300000 + b'[]]\\n'", "more than 250,000 values in a line"),
        ("b'\\xff\\xfe{}\\n'", "not JSON"),
        ("[1]", "not a request"),
        ("{'id': 50, 'method': 'env.own', 'params': {}}", "unknown method 'env.own'"),
        ("{'id': 1, 'method': 'note', 'params': {'text': ''}}", "id 1 after id 1: ids must rise"),
        ("{'id': 50, 'method': 'finish', 'params': {'status': 'won', 'reward': 1}}", "finish: status: "),
    ],
)
@bubblewrap
async def test_a_breach_of_the_protocol_ends_it_scored(attempt: Try, line: str, detail: str) -> None:
    played = await attempt(
        solve(f"note('one')\n{FORGE.replace(chr(10) + '    ', chr(10))}\nsay({line})\ntime.sleep(60)")
    )
    assert (played.end.state, played.end.cause) == (TrialState.SCORED, "protocol_breach")
    assert played.end.detail.startswith(detail), played.end.detail


@bubblewrap
async def test_forged_replies_fool_only_the_forger(attempt: Try) -> None:
    """A harness owns its side of the pipe. It may tell itself anything; the gateway's books do not change."""
    played = await attempt(
        solve(
            FORGE.replace("\n    ", "\n")
            + """
real = wire.call
wire.call = lambda method, params: {"stdout": "flag", "stderr": "", "exit_code": 0, "timed_out": False, "truncated": False}
faked = env.exec("cat /flag").stdout
wire.call = real
say({"id": 70, "result": {"reward": 1.0}, "method": "note", "params": {"text": "no such key in a request"}})
time.sleep(60)
"""
        )
    )
    assert played.end.cause == "protocol_breach"
    assert not played.sink.texts(StepKind.EXEC)


@bubblewrap
async def test_the_end_of_stdin_means_stop(provider: Any) -> None:
    from lorimer.config.settings import Config
    from lorimer.harness.api import Task
    from lorimer.sandbox.base import Owner
    from lorimer.task_agent.serving.gateway import start_line
    from lorimer.task_agent.trial import jail_request

    jail = await provider.jail(jail_request(Config(), Owner("s", "t")))
    await jail.send(start_line("def solve(task, env, llm):\n    env.exec('true')", Task("x")))
    assert "ran" in json.loads(await jail.receive())
    assert json.loads(await jail.receive())["method"] == "env.exec"
    await jail.close()
    assert await jail.receive() is None


def test_lines_that_take_long_to_read_wait_so_that_others_are_served() -> None:
    pace = LinePace()
    assert pace.wait(100.0) == 0.0
    for moment in range(100):  # an ordinary trial never waits
        pace.took(0.001, 100.0 + moment / 100)
        assert pace.wait(100.0 + moment / 100) == 0.0
    pace.took(0.5, 200.0)
    assert pace.wait(200.0) == 2.0
    pace.took(0.5, 201.0)
    assert (pace.wait(201.0), pace.wait(204.0)) == (3.0, 0.0)


@bubblewrap
async def test_what_reading_a_line_takes_is_counted_to_its_jail(attempt: Try, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = list[str]()

    def took(pace: LinePace, seconds: float, now: float) -> None:
        counted.append("took")

    def wait(pace: LinePace, now: float) -> float:
        counted.append("wait")
        return 0.0

    monkeypatch.setattr(LinePace, "took", took)
    monkeypatch.setattr(LinePace, "wait", wait)
    played = await attempt(solve("note('one')\nnote('two')\nreturn ''"))
    assert played.sink.texts(StepKind.NOTE) == ["one", "two"]
    assert counted.count("took") >= 5
    assert counted.count("wait") >= 3  # two notes, read and understood, and the end


# ---- limits ---------------------------------------------------------------------------------------------------------


ASK_UNTIL_REFUSED = """
    asked = 0
    try:
        while True:
            llm.complete([user("x" * 30)])
            asked += 1
    except LimitReached as limit:
        env.write("/app/best", "what I have")
        return f"{asked}: {limit}; {env.read_text('/app/best')}"
"""


@pytest.mark.parametrize(
    ("limits", "cause", "answer"),
    [
        ({"calls": 3}, "limit_calls", "3: model calls: 3 of 3 used; what I have"),
        ({"tokens": 40}, "limit_tokens", "3: tokens: 45 of 40 used; what I have"),
        ({"usd": 0.03}, "limit_dollars", "2: dollars: $0.0300 of $0.0300 used; what I have"),
    ],
)
@bubblewrap
async def test_a_limit_of_model_calls_ends_those_alone(
    attempt: Try, limits: dict[str, float], cause: str, answer: str
) -> None:
    played = await attempt(solve(ASK_UNTIL_REFUSED), limits=limits)
    assert (played.end.cause, played.end.answer, played.end.reward) == (cause, answer, 1.0)


@bubblewrap
async def test_threads_together_pass_a_token_limit_by_no_more_than_one_call(attempt: Try) -> None:
    async def slow(request: ModelRequest, context: CallContext) -> ModelReply:
        await asyncio.sleep(0.2)
        return reply(tokens=(50, 50))

    played = await attempt(
        solve("""
            def ask():
                try:
                    llm.complete([user("x")], max_tokens=50)
                except LimitReached:
                    pass
            threads = [threading.Thread(target=ask) for _ in range(4)]
            [t.start() for t in threads]
            [t.join() for t in threads]
            return ""
        """),
        answer=slow,
        limits={"tokens": 150},
    )
    assert played.end.cause == "limit_tokens"
    assert played.end.used.tokens <= 150 + 200


@bubblewrap
async def test_a_harness_may_not_ask_for_more_output_than_the_provider_is_set_to(attempt: Try) -> None:
    played = await attempt(solve("return llm.complete([user('x')], max_tokens=10**30).text"), max_tokens=64)
    assert played.model.requests[0].max_tokens == 64


@both
async def test_a_harness_that_sleeps_for_ever_is_ended(attempt: Try, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "GRACE_SECONDS", 1.5)
    began = time.monotonic()
    played = await attempt(solve("while True:\n    time.sleep(1)"), limits={"seconds": 0.5})
    assert (played.end.cause, played.end.reward) == ("limit_seconds", 1.0)
    assert played.end.detail == "time limit: 0.5 s of active time used"
    assert 0.5 + 1.5 <= played.end.active_seconds < 30  # the grace, and what a busy machine adds
    assert time.monotonic() - began < 120


@bubblewrap
async def test_the_time_limit_interrupts_a_command_and_a_harness_may_still_finish(attempt: Try) -> None:
    played = await attempt(
        solve("""
            try:
                while True:
                    env.exec("sleep 30", timeout=30)
            except LimitReached as limit:
                note("finishing")
                try:
                    env.read("/app/x")
                except LimitReached:
                    return f"in time: {limit}"
        """),
        limits={"seconds": 1.0},
    )
    assert played.end.answer == "in time: time limit: 1 s of active time used"
    assert (played.end.cause, played.end.state) == ("limit_seconds", TrialState.SCORED)
    assert played.end.active_seconds < 20  # the command alone takes longer
    assert played.sink.texts(StepKind.NOTE) == ["finishing"]


@bubblewrap
async def test_the_time_limit_interrupts_a_model_call(attempt: Try) -> None:
    async def never(request: ModelRequest, context: CallContext) -> ModelReply:
        await asyncio.sleep(60)
        return reply()

    played = await attempt(solve("llm.complete([user('x')])\nreturn ''"), answer=never, limits={"seconds": 2.5})
    assert played.end.cause == "limit_seconds"
    assert played.end.active_seconds < 30  # the call alone takes longer
    assert len(played.sink.reservations) == 1
    assert not played.sink.settlements  # it may be billed: what was set aside stays spent


@bubblewrap
async def test_waiting_for_the_provider_is_not_active_time(attempt: Try) -> None:
    async def busy(request: ModelRequest, context: CallContext) -> ModelReply:
        context.on_wait(1.5, "429")
        await asyncio.sleep(1.5)
        return reply()

    began = time.monotonic()
    played = await attempt(solve("llm.complete([user('x')])\nreturn env.exec('echo fine').stdout"), answer=busy)
    took = time.monotonic() - began
    assert (played.end.cause, played.end.answer) == ("finished", "fine\n")
    assert played.end.active_seconds <= took - 1.5
    assert played.waits == ["429: 1.5"]


@bubblewrap
async def test_waiting_for_its_turn_at_the_provider_is_not_active_time(attempt: Try) -> None:
    async def queued(request: ModelRequest, context: CallContext) -> ModelReply:
        with context.queued():
            await asyncio.sleep(1.0)
        return reply()

    began = time.monotonic()
    played = await attempt(solve("llm.complete([user('x')])\nreturn env.exec('echo fine').stdout"), answer=queued)
    took = time.monotonic() - began
    assert (played.end.cause, played.end.answer) == ("finished", "fine\n")
    assert played.end.active_seconds <= took - 1.0


def test_a_wait_during_another_one_counts_once() -> None:
    clock = ActiveClock()
    clock.pause(0.2)
    with clock.stopped():
        time.sleep(0.4)
    assert clock.seconds() >= 0


@bubblewrap
async def test_a_command_has_the_time_that_settings_allow(attempt: Try) -> None:
    played = await attempt(
        solve("""
            ran = env.exec("echo first; sleep 20", timeout=20)
            return f"{ran.stdout}{ran.timed_out} {ran.exit_code}"
        """),
        limits={"exec_seconds": 2},
    )
    assert played.end.answer == "first\nTrue None"
    assert played.end.cause == "finished"


# ---- the world's fault ----------------------------------------------------------------------------------------------


@bubblewrap
async def test_an_outage_errors_the_trial_and_keeps_what_it_used(attempt: Try) -> None:
    def fails(request: ModelRequest, context: CallContext) -> ModelReply:
        if context.call_index:
            raise ProviderOutage("scripted: 503 for 600 s")
        return reply()

    played = await attempt(
        solve("print('hello')\nllm.complete([user('x')])\nllm.complete([user('x')])\nreturn ''"), answer=fails
    )
    assert (played.end.state, played.end.cause, played.end.reward) == (TrialState.ERRORED, "provider_outage", None)
    assert played.end.detail == "scripted: 503 for 600 s"
    assert (played.end.used.calls, played.end.used.input_tokens) == (2, 10)
    assert played.end.used.usd == pytest.approx(0.015)
    assert [each.used.usd for each in played.sink.settlements] == [pytest.approx(0.015), 0.0]


@bubblewrap
async def test_a_spent_budget_stops_the_study_not_the_trial_alone(attempt: Try) -> None:
    harness = solve("while True:\n    llm.complete([user('x')])")
    with pytest.raises(BudgetExhausted, match=r"budget.tokens: 15 of 120 used"):
        await attempt(harness, budget=BudgetSettings(tokens=120))


@bubblewrap
async def test_a_wrong_key_stops_the_study(attempt: Try) -> None:
    def refuse(request: ModelRequest, context: CallContext) -> ModelReply:
        raise ConfigError("scripted: 401 invalid key")

    with pytest.raises(ConfigError, match="401 invalid key"):
        await attempt(solve("llm.complete([user('x')])\nreturn ''"), answer=refuse)


# ---- bombs ----------------------------------------------------------------------------------------------------------


MEMORY = solve("hog = []\nwhile True:\n    hog.append(bytearray(16 << 20))")
FORKS = solve("""
    alive = 0
    while True:
        try:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
            alive += 1
        except OSError:
            return str(alive)
""")
# Half as much again as the jail has memory, and three thousand times what is kept.
PRINTS = solve("""
    block = "x" * (1 << 20)
    for _ in range(192):
        print(block)
    print("the end")
    return "printed"
""")
CALLS = solve("""
    def flood():
        while True:
            note("x" * 100_000)
    [threading.Thread(target=flood, daemon=True).start() for _ in range(4)]
    time.sleep(1)
    return "flooded"
""")


@pytest.mark.parametrize(
    "provider",
    [
        pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
        pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.slow]),  # 70 MB/s come through the engine
    ],
    indirect=True,
)
async def test_bombs_end_scored_and_the_next_trial_is_unharmed(attempt: Try, tmp_path: Path) -> None:
    limits = {"seconds": 25.0}
    jail = {"memory_mb": 128, "pids": 32}
    memory = await attempt(MEMORY, limits=limits, jail=jail)
    # A cgroup kills the process, an rlimit tells it: both are the harness's own doing.
    assert memory.end.cause in ("jail_memory", "harness_exception"), memory.end
    if memory.end.cause == "harness_exception":
        assert memory.end.detail.startswith("MemoryError")
    else:
        assert memory.end.detail == "the harness used more memory than its jail has"
    forks = await attempt(FORKS, limits=limits, jail=jail)
    assert (forks.end.cause, int(forks.end.answer) < 32) == ("finished", True), forks.end
    prints = await attempt(PRINTS, limits=limits, jail=jail)
    assert prints.end.cause in ("finished", "limit_seconds"), prints.end
    printed = str(prints.only(StepKind.OUTPUT)["text"])
    assert len(printed) < 70_000
    assert "bytes dropped" in printed
    flood = await attempt(CALLS, limits=limits, jail=jail)
    assert (flood.end.cause, flood.end.answer) == ("finished", "flooded")
    for played in (memory, forks, prints, flood):
        assert (played.end.state, played.end.reward) == (TrialState.SCORED, 1.0)
    after = await attempt(solve("return env.exec('echo fine').stdout"))
    assert (after.end.cause, after.end.answer) == ("finished", "fine\n")


@bubblewrap
async def test_a_flood_of_notes_fills_no_disk(attempt: Try) -> None:
    played = await attempt(
        solve("""
            for _ in range(1200):
                note("x" * 65_000)
            return "done"
        """)
    )
    assert played.end.answer == "done"
    kept = sum(len(step.text) for step in played.sink.steps)
    assert 60 << 20 < kept < 66 << 20
    assert "64 MiB; but for model calls no more are recorded" in played.sink.steps[-1].text


@bubblewrap
async def test_large_reads_at_once_are_served_one_after_the_other(attempt: Try, tmp_path: Path) -> None:
    played = await attempt(
        solve("""
            env.exec("head -c 6000000 /dev/zero > /app/big")
            sizes = []
            def read():
                sizes.append(len(env.read("/app/big")))
            threads = [threading.Thread(target=read) for _ in range(6)]
            [t.start() for t in threads]
            [t.join() for t in threads]
            return str(sizes)
        """),
        make_task(tmp_path),
    )
    assert played.end.answer == str([6_000_000] * 6), played.end


@bubblewrap
async def test_files_written_in_pieces_hold_no_more_together_than_is_allowed(attempt: Try) -> None:
    """A handle that is opened with one byte may not grow past what one that is opened with all of them may."""
    played = await attempt(
        solve(
            FORGE.replace("\n    ", "\n")
            + """
def write(size, handle=""):
    data = base64.b64encode(b"x" * size).decode()
    return wire.call("env.write", {"path": "/app/x", "data": data, "handle": handle, "more": True})["handle"]

handles = [write(1) for _ in range(6)]
told = []
for handle in handles:
    try:
        told.append(write(1000, handle) == handle)
    except EnvError as error:
        told.append(str(error))
try:
    for _ in range(100):
        write(0)
except EnvError as error:
    told.append(str(error))
return json.dumps(told)
"""
        ),
        limits={"read_bytes": 1024},
    )
    refused = "/app/x: too many large files are being read or written at once; do one at a time"
    assert json.loads(played.end.answer) == [True, True, *[refused] * 5], played.end


@bubblewrap
async def test_a_handle_that_was_never_given_and_data_that_are_no_base64_are_refused(attempt: Try) -> None:
    played = await attempt(
        solve(
            FORGE.replace("\n    ", "\n")
            + """
told = []
for method, sent in (
    ("env.read", {"path": "/app/x", "handle": "h9"}),
    ("env.write", {"path": "/app/x", "data": "", "handle": "h9", "more": False}),
    ("env.write", {"path": "/app/x", "data": "?", "handle": "", "more": False}),
):
    try:
        wire.call(method, sent)
    except EnvError as error:
        told.append(str(error))
return json.dumps(told)
"""
        ),
    )
    refused = ["no such read in progress: h9", "no such write in progress: h9", "data is not base64"]
    assert json.loads(played.end.answer) == refused, played.end
