"""Edited harnesses in real jails against the records of real trials."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorimer.config.settings import Config
from lorimer.harness.api import Completion, Usage, assistant
from lorimer.sandbox.base import Owner, SandboxProvider
from lorimer.task_agent.matching import Parted
from lorimer.task_agent.shadow.outcome import NotPreviewable, Outcome, Touched, Untouched, touched
from lorimer.task_agent.shadow.run import ShadowJail
from lorimer.task_agent.spec import Harness
from lorimer.traces.wired import Done, Record, RecordedCall, Write
from tests.support.trials import REAL, reply, solve
from tests.task_agent.conftest import Try
from tests.task_agent.test_record import record_of

OWNER = Owner("s", "preview")
BODY = """
    form = {"type": "object", "required": ["plan"]}
    llm.complete([user("Plan: " + task.instruction)], system="Be good.", max_tokens=50, schema=form)
    env.write("/app/a.txt", "one")
    out = env.exec("cat /app/a.txt", timeout=9).stdout
    same = [llm.complete([user("again")]).text for _ in range(3)]
    note("halfway")
    try:
        env.read("/app/none")
    except EnvError as error:
        out += str(error)
    return out + str(same) + env.read_text("/app/a.txt")
"""


NOISE = """
    for fd in range(3, 9):
        try:
            os.write(fd, b"not JSON\\n")
        except OSError:
            pass
"""
"""One of them is the wire."""


async def recorded(attempt: Try, tmp_path: Path, agent: Harness) -> Record:
    played = await attempt(agent, answer=lambda request, context: reply(f"answer {context.call_index}"))
    record = await record_of(played, tmp_path)
    assert isinstance(record, Record), record
    return record


async def shadow(provider: SandboxProvider, text: str, *records: Record) -> list[Outcome]:
    async with ShadowJail(provider, Config(), text, OWNER) as jail:
        return [await jail.run(record) for record in records]


@pytest.mark.parametrize("provider", REAL, indirect=True)
async def test_an_unchanged_harness_does_what_the_record_holds(
    attempt: Try, provider: SandboxProvider, tmp_path: Path
) -> None:
    agent = solve(BODY)
    record = await recorded(attempt, tmp_path, agent)
    assert await shadow(provider, agent.text, record, record) == [Untouched(10)] * 2


@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Be good.", "Be quick.", (1, "llm.complete", ("system",), '"Be quick."')),
        ("max_tokens=50", "max_tokens=60", (1, "llm.complete", ("max_tokens",), '"max_tokens: 60"')),
        ('["plan"]', '["task"]', (1, "llm.complete", ("schema",), '"task"')),
        (", schema=form", "", (1, "llm.complete", ("schema",), 'no longer "[schema of the answer]"')),
        (
            "schema=form",
            "tools=[Tool('a', '', {})], tool_choice='a'",
            (1, "llm.complete", ("tools", "schema", "tool_choice"), ""),
        ),
        ("timeout=9", "timeout=8", (3, "env.exec", ("timeout",), '"timeout: 8 s"')),
        ('"one"', '"two"', (2, "env.write", ("data",), '"two"')),
        ("range(3)", "range(4)", (7, "llm.complete", ("llm.complete",), '"llm.complete"')),
        ("range(3)", "range(2)", (9, "finish", ("answer",), "")),
        ("halfway", "half", (7, "note", ("text",), '"half"')),
        ("/app/none", "/app/nine", (8, "env.read", ("path",), '"path: /app/nine"')),
        ("return out", 'return "so: " + out', (10, "finish", ("answer",), "so: one")),
        ('env.write("/app/a.txt", "one")', "pass", (2, "env.exec", ("env.exec",), "left out")),
    ],
)
async def test_an_edit_touches_where_it_first_makes_a_difference(
    attempt: Try, provider: SandboxProvider, tmp_path: Path, old: str, new: str, expected: tuple[int, str, object, str]
) -> None:
    agent = solve(BODY)
    record = await recorded(attempt, tmp_path, agent)
    assert old in agent.text
    (outcome,) = await shadow(provider, agent.text.replace(old, new), record)
    assert isinstance(outcome, Touched), outcome
    step, method, kinds, says = expected
    assert (outcome.step, outcome.method) == (step, method), outcome
    assert outcome.kinds == kinds, outcome
    assert says in outcome.says
    assert outcome.diff.startswith("--- recorded\n+++ now\n")
    assert str(outcome).startswith(f"touched at step {step} of 10, {method}: ")


@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    note(", "    # a comment\n    note("),
        ("    note(", "    if not task.instruction:\n        env.exec('never')\n    note("),
        ("def solve(", "def unused():\n    return 'never wired in'\n\ndef solve("),
        ("max_tokens=50", "max_tokens=50, stop=[]"),
        ("max_tokens=50", "max_tokens=50, tool_choice='auto'"),
        ('"again")]', '"again")], max_tokens=100_000'),
    ],
    ids=[
        "a comment",
        "dead code",
        "a function that nobody calls",
        "a default",
        "a choice that is the default",
        "a limit over the trial's own",
    ],
)
async def test_an_edit_that_makes_no_difference_touches_nothing(
    attempt: Try, provider: SandboxProvider, tmp_path: Path, old: str, new: str
) -> None:
    agent = solve(BODY)
    record = await recorded(attempt, tmp_path, agent)
    assert old in agent.text
    assert await shadow(provider, agent.text.replace(old, new, 1), record) == [Untouched(10)]


def test_the_difference_of_long_texts_is_found_where_it_begins() -> None:
    lines = [f"line {n}" for n in range(200_000)]
    old = Write("/app/x", "\n".join(lines).encode())
    lines[150_000:150_001] = ["another", "line"]
    now = Write("/app/x", "\n".join(lines).encode())
    done = Completion(assistant("done"), "stop", usage=Usage(100, 20))
    before = [RecordedCall("", "", answer, 0.0, 0.0, None) for answer in (done, Done(), done)]
    found = touched(Parted("other", 4, 3), before, 9, now, old)
    assert (found.step, found.of, found.kinds) == (4, 9, ("data",))
    assert (found.model_calls, found.tokens) == (2, 240)
    assert found.says == 'the request now says "another"'
    assert "-line 150000\n+another\n+line\n" in found.diff


@pytest.mark.bubblewrap
async def test_an_exception_is_the_same_one_on_another_line(
    attempt: Try, provider: SandboxProvider, tmp_path: Path
) -> None:
    agent = solve('raise RuntimeError("no")')
    record = await recorded(attempt, tmp_path, agent)
    moved, other = "# one line more\n" + agent.text, agent.text.replace('"no"', '"yes"')
    assert await shadow(provider, moved, record) == [Untouched(1)]
    (outcome,) = await shadow(provider, other, record)
    assert isinstance(outcome, Touched)
    assert outcome.kinds == ("detail",)


@pytest.mark.bubblewrap
async def test_the_clocks_are_those_of_the_record(attempt: Try, provider: SandboxProvider, tmp_path: Path) -> None:
    """A harness that looks at the time decides as it did, and no sleep takes long."""
    agent = solve("""
        began, wall, fine = time.monotonic(), time.time(), time.perf_counter()
        env.exec("sleep 0.7")
        time.sleep(0.2)
        late = [time.monotonic() - began > 0.85, time.time() - wall > 0.85, time.perf_counter() - fine > 0.85]
        early = [time.monotonic() - began < 30, 0 <= time.time_ns() / 1e9 - wall < 30, time.perf_counter_ns() / 1e9 - fine < 30]
        env.exec(f"echo {late} {early} {time.strftime('%Y', time.gmtime(wall))}")
        return ""
    """)
    record = await recorded(attempt, tmp_path, agent)
    assert await shadow(provider, agent.text, record) == [Untouched(3)]
    slow = agent.text.replace("sleep(0.2)", "sleep(3600)")
    (outcome,) = await shadow(provider, slow, record)
    assert isinstance(outcome, Touched)
    assert "False" in outcome.says


@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    "draw",
    ["random.random()", "random.Random().random()", "random.SystemRandom().random()", "os.urandom(2)", "uuid.uuid4()"],
)
async def test_a_harness_that_draws_random_numbers_is_told_apart(
    attempt: Try, provider: SandboxProvider, tmp_path: Path, draw: str
) -> None:
    agent = solve(f'{draw}\nenv.exec("true")\nreturn ""', before="import random, uuid")
    record = await recorded(attempt, tmp_path, agent)
    (outcome,) = await shadow(provider, agent.text, record)
    assert isinstance(outcome, NotPreviewable), outcome
    assert outcome.why.startswith("the harness draws random numbers (")


@pytest.mark.bubblewrap
async def test_what_was_seeded_and_the_order_of_sets_are_no_chance(
    attempt: Try, provider: SandboxProvider, tmp_path: Path
) -> None:
    agent = solve(
        'random.seed(7)\nenv.exec(f"echo {random.random()} {random.Random(3).random()}")\n'
        'env.exec(" ".join({"echo", "alpha", "beta", "gamma", "delta", "epsilon"}))\nreturn ""',
        before="import random",
    )
    record = await recorded(attempt, tmp_path, agent)
    assert await shadow(provider, agent.text, record) == [Untouched(3)]


@pytest.mark.bubblewrap
async def test_nothing_that_a_shadow_writes_or_starts_reaches_the_next(
    attempt: Try, provider: SandboxProvider, tmp_path: Path
) -> None:
    agent = solve(
        """
        import subprocess
        found = sorted(os.listdir("/tmp")), COUNT, len([name for name in os.listdir("/proc") if name.isdigit()])
        env.exec(f"echo {found}")
        COUNT.append(1)
        api.CHANGED = True
        os.makedirs("/tmp/x/y"); open("/tmp/x/y/z", "w").write("left"); os.chmod("/tmp/x", 0o500)
        open("/tmp/harness/lorimer/harness/text.py", "w").write("raise SystemExit")
        subprocess.Popen(["sleep", "60"], start_new_session=True)
        if os.fork() == 0:
            os.setsid()
            time.sleep = None
            while True:
                pass
        env.exec(f"echo {hasattr(api, 'CHANGED')}")
        return ""
        """,
        before="COUNT = []",
    )
    record = await recorded(attempt, tmp_path, agent)
    first, second, third = await shadow(provider, agent.text, record, record, record)
    assert isinstance(first, Touched), "a jail with a process more than a trial's"
    assert (first, second) == (second, third)


@pytest.mark.bubblewrap
async def test_a_harness_that_ends_itself_or_hangs_is_not_previewable(
    attempt: Try, provider: SandboxProvider, tmp_path: Path
) -> None:
    agent = solve('env.exec("true")\nreturn ""')
    record = await recorded(attempt, tmp_path, agent)
    dies = agent.text.replace('env.exec("true")', "os._exit(0)")
    assert await shadow(provider, dies, record, record) == [
        NotPreviewable("the harness ends its own process before it finishes")
    ] * 2  # fmt: skip
    noise = agent.text.replace('env.exec("true")', NOISE)
    (outcome,) = await shadow(provider, noise, record)
    assert outcome == NotPreviewable("the harness breaks the protocol of the wire: not JSON: b'not JSON'")
    broken = "def solve(:"
    (outcome,) = await shadow(provider, broken, record)
    assert isinstance(outcome, Touched)
    assert outcome.method == "finish"
    assert "SyntaxError" in outcome.diff
