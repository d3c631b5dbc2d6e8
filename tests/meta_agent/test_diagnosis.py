"""How failures are told apart, how two trials are aligned and how tools are counted: functions of values."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorimer.config.settings import MetaSettings
from lorimer.kinds import StepKind
from lorimer.meta_agent.proposer.cases import Case, Cases, Recorded
from lorimer.meta_agent.proposer.diagnosis.comparing import align
from lorimer.meta_agent.proposer.diagnosis.kinds import BY_NAME, KINDS, Facts, kind_of
from lorimer.meta_agent.proposer.diagnosis.looked_at import spread
from lorimer.meta_agent.proposer.diagnosis.looking import Looking
from lorimer.meta_agent.proposer.diagnosis.stats import command_kind
from lorimer.meta_agent.proposer.tools import TOOLS, Toolbox
from lorimer.task_agent.causes import Cause
from lorimer.traces.schema import StepOutline
from tests.support import meta_model as make
from tests.support.meta_model import SEALED_TEXTS, SECRETS, Lab


def case(name: str = "alpha/0", *, reward: float = 0.0, cause: Cause = Cause.FINISHED, answer: str = "Done.") -> Case:
    return Case(name, name.split("/")[0], reward, cause, "", answer, 2, 100, 0.01)


def model(index: int, said: str = "", *called: str, **facts: Any) -> StepOutline:
    return StepOutline(index, StepKind.MODEL_CALL, said=said, called=called, **{"stop_reason": "end", **facts})


def ran(index: int, command: str, code: int = 0, **facts: Any) -> StepOutline:
    return StepOutline(index, StepKind.EXEC, command=command, exit_code=code, **facts)


LOOK, WRITE, CHECK = (
    ran(1, "head -3 in.csv"),
    ran(3, "cat > out.py <<'E'\nprint(1)\nE\npython out.py"),
    ran(5, "cat out.csv"),
)
END = model(6, "Done.")


@pytest.mark.parametrize(
    ("name", "steps", "facts"),
    [
        ("limit", [LOOK, END], {"cause": Cause.LIMIT_CALLS}),
        ("exception", [LOOK, END], {"cause": Cause.BAD_RETURN}),
        ("unverifiable", [LOOK, END], {"cause": Cause.REWARD_MISSING}),
        ("refused", [LOOK, model(6, stop_reason="context_overflow")], {}),
        ("cut-off", [LOOK, model(6, "And so", stop_reason="max_tokens")], {}),
        ("wrong-format", [LOOK, model(6, "I run\n```bash\ncat x\n```")], {}),
        ("wrong-format", [model(0, '{"name": "shell", "arguments": {"command": "ls"}}')], {}),
        ("tool-misuse", [model(0, "", "shell", unreadable=1), LOOK, END], {}),
        ("tool-misuse", [ran(1, "pyhton x.py", 127), LOOK, END], {}),
        ("stopped-midway", [LOOK, model(6, "", "shell")], {}),
        ("did-nothing", [END], {}),
        ("gave-up", [LOOK, END], {"answer": "I cannot open the file."}),
        ("gave-up", [LOOK, END], {"answer": " "}),
        ("in-circles", [LOOK, ran(2, "head  -3 in.csv"), ran(3, "head -3 in.csv"), END], {}),
        ("ended-on-error", [LOOK, ran(3, "python x.py", 1), END], {}),
        ("wrote-blind", [WRITE, CHECK, END], {}),
        ("never-verified", [LOOK, WRITE, END], {}),
        ("confident-and-wrong", [LOOK, WRITE, CHECK, END], {}),
    ],
)
def test_a_failure_is_of_the_first_kind_that_holds(name: str, steps: list[StepOutline], facts: dict[str, Any]) -> None:
    assert kind_of(Facts(case(**facts), steps)).name == name


def test_every_kind_is_named_once_and_says_why() -> None:
    assert len(BY_NAME) == len(KINDS)
    assert all(kind.words and kind.why.endswith((".", "?")) for kind in KINDS)


def test_two_trials_part_where_they_first_do_something_else_or_get_another_result() -> None:
    ours = [LOOK, model(2), ran(3, "python a.py"), END]
    theirs = [model(0), LOOK, ran(2, "head in.csv"), ran(3, "python  a.py"), CHECK]
    pair = align(ours, theirs)
    assert pair.parts == 1
    assert [(one is not None, two is not None) for one, two in pair.rows] == [
        (True, True),
        (False, True),
        (True, True),
        (False, True),
    ]
    assert align([LOOK], [LOOK]).parts is None
    assert align([LOOK], [ran(1, "head -3 in.csv", 1)]).parts == 0


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("python3 -m pytest -q", "python"),
        ("cd /work && FOO=1 timeout 5 /usr/bin/grep -n x y | head", "grep"),
        ("# look at the inputs\nhead -3 in.csv", "head"),
        ("git log --oneline", "git log"),
        ("cat > x.py <<'E'\nimport os\nE\n", "cat"),
        ("", "(other)"),
        ("((", "(other)"),
    ],
)
def test_a_command_is_counted_under_the_program_that_it_runs(command: str, kind: str) -> None:
    assert command_kind(command) == kind


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 40)), max_size=60), st.integers(1, 300))
def test_of_many_trials_some_of_every_task_are_looked_at(made: list[tuple[str, int]], steps: int) -> None:
    cases = [Case(f"{task}/{n}", task, 0.0, Cause.FINISHED, "", "", calls) for n, (task, calls) in enumerate(made)]
    chosen = spread(cases, steps)
    assert [each for each in cases if each in chosen] == list(chosen)
    assert bool(chosen) == bool(cases)
    assert len(chosen) == 1 or sum(2 * each.model_calls + 1 for each in chosen) <= steps
    counts = [sum(each.task == task for each in chosen) for task in {each.task for each in cases}]
    if chosen and len(chosen) < len(cases):
        everything = [sum(each.task == task for each in cases) for task in {each.task for each in cases}]
        assert all(count >= min(max(counts) - 1, every) for count, every in zip(counts, everything, strict=True))


# ---- bounded ----------------------------------------------------------------------------------------------------------


def many(trials: int, steps: int) -> Cases:
    """A champion of many long trials."""
    cases = [case(f"task-{n % 50}/{n // 50}", reward=float(n % 3 == 0), answer="Done. " * 50) for n in range(trials)]
    row = [model(0, "words " * 200, "shell"), ran(1, "python solve.py --all", 1, output_chars=9_000)] * (steps // 2)

    def outlines(names: Sequence[str]) -> dict[str, list[StepOutline]]:
        return dict.fromkeys(names, row)

    recorded = Recorded(lambda name, first, last: [], outlines, lambda words: [], lambda words, places: [])
    return Cases([f"task-{n}" for n in range(50)], cases, recorded)


@pytest.mark.parametrize(("name", "arguments"), [("list_failures", {}), ("tool_stats", {})])
def test_a_hundred_times_the_trials_cost_no_more_to_read(name: str, arguments: dict[str, Any]) -> None:
    few = Looking(many(300, 20), traces=True).answer(name, arguments, 20_000)
    lots = Looking(many(30_000, 20), traces=True).answer(name, arguments, 20_000)
    remark = "[Counted are 500 failed and 500 solved trials, as many of every task as possible.]"
    assert lots.endswith(remark)
    assert len(lots) - len(remark) <= 1.1 * len(few)


async def test_a_step_is_read_on_from_a_character(tmp_path: Path) -> None:
    made = await make.open_lab(tmp_path, long_output=50_000)
    try:
        box = Toolbox(made.session(make.ScriptedModel([make.says("")])))
        alone = (await box.call("read_trace", {"trial": "alpha/0", "first": 1, "last": 1}, 4_000)).text
        assert alone.endswith("[Read on from a character of this step: first 1, last 1, offset 3600]")
        read, offset = "", 0
        while offset < 50_000:
            page = (await box.call("read_trace", {"trial": "alpha/0", "first": 1, "offset": offset}, 9_000)).text
            assert len(page) <= 9_000
            head, text = page.split("\n", 1)
            assert head.startswith(f"Trial alpha/0, step 1, characters {offset:,} to ")
            if "\n[More: " not in text:
                read += text
                break
            text, more = text.rsplit("\n[More: ", 1)
            read, offset = read + text, int(more.rstrip("]").rsplit(" ", 1)[1])
        assert read == f"[1] command, exit code 0: cat alpha.txt\nKeyError needle {'x' * 50_000}"
    finally:
        made.store.close()


# ---- the seal ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    made = await make.open_lab(tmp_path)
    yield made
    made.store.close()


SEALED = [*SECRETS.values(), *SEALED_TEXTS, *SEALED_TEXTS.values()]
NAMES = ["alpha/0", "alpha/1", "beta/0", "gamma/0", "alpha", "omega", "omega/0", "omega#0", "psi-of-the-test/0", "s/c1"]
WORDS = [
    "needle",
    "ships-after-noon",
    "omega OR needle",
    "text:*",
    "a* OR h*",
    "harbour",
    "limit",
    "",
    "%",
    "../omega/0",
]
VALUES = st.one_of(
    st.sampled_from([*NAMES, *WORDS, *SEALED, *BY_NAME]), st.text(max_size=20), st.integers(-3, 60), st.none()
)
KEYS = sorted({key for tool in TOOLS for key in tool.parameters["properties"]})


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    name=st.sampled_from([tool.name for tool in TOOLS]),
    arguments=st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=5),
    room=st.sampled_from([300, 4_000, 200_000]),
    traces=st.booleans(),
)
async def test_no_call_of_any_tool_reads_what_is_sealed(
    lab: Lab, name: str, arguments: dict[str, Any], room: int, traces: bool
) -> None:
    session = lab.session(make.ScriptedModel([make.says("")]), settings=MetaSettings(traces=traces))
    text = (await Toolbox(session).call(name, arguments, room)).text
    for value in arguments.values():  # an answer may repeat what was asked for
        if isinstance(value, str) and value:
            text = text.replace(" ".join(value.split()), "").replace(repr(value), "")
    for sealed in SEALED:
        assert sealed not in text
