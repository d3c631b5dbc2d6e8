"""The stand-in for an LLM: its weaknesses bite, each is cured by an honest edit, and its luck is seeded."""

from __future__ import annotations

import dataclasses
import functools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorimer.errors import ConfigError, HarnessError
from lorimer.harness import version
from lorimer.harness.api import Message, Tool, ToolCall, assistant, tool_result, user
from lorimer.harness.structured import read
from lorimer.models.base import CallContext, ModelRequest
from lorimer.models.simulated import open_simulated
from lorimer.models.simulated.ideas import HARMFUL, HONEST, NEUTRAL, USELESS, Idea
from lorimer.models.simulated.proposer import symptoms
from lorimer.models.simulated.reading import Advice, advice, shell_tool
from lorimer.models.simulated.source import read_source
from lorimer.models.simulated.tasks import Flaw, KnownTask, SolutionScript, starter_tasks
from tests.support.simulated_world import SEED_HARNESS, Played, play, rate, run, told

APPRENTICE = open_simulated("apprentice")
EXPERT = open_simulated("expert")
NULL = open_simulated("null")
TASKS = starter_tasks()

LOOK = "Look at the input files before you write anything."
VERIFY = "Before you finish, check that the result is right."
VALUES = "In spreadsheets write computed values, never formulas."
LIMIT = "Keep the output of commands short: use head on large files."
NATIVE = "Use the tool natively; never write a tool call as text."
CUT = SEED_HARNESS.replace("100_000", "4_000")


def of(flaw: Flaw) -> list[KnownTask]:
    """The tasks whose main trouble it is."""
    return [task for task in TASKS if task.chances[flaw] > 0.5]


def played(flaw: Flaw, harness: str = SEED_HARNESS, seeds: range = range(4)) -> list[Played]:
    return [play(APPRENTICE, task, harness=harness, seed=seed) for seed in seeds for task in of(flaw)]


def solved(trials: list[Played]) -> float:
    return sum(trial.solved for trial in trials) / len(trials)


# ---- weaknesses and cures -------------------------------------------------------------------------------------------


def test_every_weakness_is_the_main_trouble_of_some_starter_tasks() -> None:
    assert all(len(of(flaw)) >= 2 for flaw in Flaw)
    assert any(max(task.chances.values()) < 0.5 and task.miss < 0.5 for task in TASKS)
    assert any(task.miss > 0.5 for task in TASKS)


@pytest.mark.parametrize(
    ("flaw", "cured"),
    [
        (Flaw.GUESSES, told(LOOK)),
        (Flaw.FORGETS_TO_VERIFY, told(VERIFY)),
        (Flaw.FORMULAS, told(VALUES)),
        (Flaw.OVERFLOWS, told(LIMIT)),
        (Flaw.OVERFLOWS, CUT),
        (Flaw.TEXT_CALLS, told(NATIVE)),
    ],
    ids=["look", "verify", "values", "limit", "cut", "native"],
)
def test_a_weakness_loses_its_tasks_until_the_harness_cures_it(flaw: Flaw, cured: str) -> None:
    assert solved(played(flaw)) < 0.35
    assert solved(played(flaw, cured)) > 0.65


def test_the_seed_harness_is_middling_and_all_cures_make_it_good() -> None:
    before = rate(APPRENTICE, TASKS)
    after = rate(APPRENTICE, TASKS, told(LOOK, VERIFY, VALUES, LIMIT, NATIVE, harness=CUT))
    assert 0.28 <= before <= 0.5
    assert 0.82 <= after <= 0.95


@pytest.mark.parametrize(
    ("search", "replace"),
    [
        ("MAX_TURNS = 30", "MAX_TURNS = 3"),
        ("100_000", "200"),
        ("tools=[SHELL]", "tools=[]"),
        ('return f"{output}\\n[{status}]"', "return output"),
    ],
)
def test_an_edit_that_breaks_the_loop_really_hurts(search: str, replace: str) -> None:
    assert search in SEED_HARNESS
    assert rate(APPRENTICE, TASKS, SEED_HARNESS.replace(search, replace)) < rate(APPRENTICE, TASKS) - 0.03


def test_a_hurried_model_guesses_more_and_a_removed_guidance_hurts() -> None:
    assert rate(APPRENTICE, TASKS, told("Be quick, without exploring.")) < rate(APPRENTICE, TASKS) - 0.08
    assert rate(APPRENTICE, TASKS, told(LOOK, VERIFY)) > rate(APPRENTICE, TASKS, told(VERIFY)) + 0.05


def test_a_very_long_prompt_dilutes_attention() -> None:
    long = [
        f"Remark {number}: the weather does not matter here, nor does the hour of the day." for number in range(250)
    ]
    assert rate(APPRENTICE, TASKS, told(LOOK, VERIFY, *long)) < rate(APPRENTICE, TASKS, told(LOOK, VERIFY)) - 0.05


def test_a_flood_that_the_harness_passes_on_is_refused_in_a_providers_words() -> None:
    flooded = [trial for trial in played(Flaw.OVERFLOWS) if trial.completions[-1].stop_reason == "context_overflow"]
    assert flooded
    assert "maximum context length is 6000 tokens" in flooded[0].completions[-1].error
    assert "maximum context length" in flooded[0].answer
    assert not any(t.completions[-1].error for t in played(Flaw.OVERFLOWS, CUT))


def test_a_json_call_in_text_is_run_by_the_seed_harness_and_a_fenced_one_is_lost() -> None:
    trials = [play(APPRENTICE, task, seed=seed) for seed in range(6) for task in TASKS]
    by_json = [t for t in trials if '{"name": "shell"' in t.completions[0].text]
    fenced = [t for t in trials if "```bash" in t.completions[0].text]
    quoted = [t for t in trials if "<tool_call>" in t.completions[0].text]
    assert by_json
    assert all(t.shell.commands for t in by_json)
    assert fenced
    assert quoted
    assert not any(t.shell.commands for t in fenced + quoted)


def test_the_model_reads_the_real_verdict_of_its_check() -> None:
    checked = [t for t in played(Flaw.FORGETS_TO_VERIFY, told(VERIFY)) if any("# check" in c for c in t.shell.commands)]
    repaired = [t for t in checked if "# repair" in t.shell.commands[-1]]
    assert repaired
    # Told OK it stops there; told PROBLEM it repairs, mostly well.
    assert all(t.solved for t in checked if "# check" in t.shell.commands[-1])
    assert sum(t.solved for t in repaired) > 0.7 * len(repaired)


def test_a_harness_that_asks_for_a_check_after_the_answer_is_heard() -> None:
    asking = next(idea for idea in HONEST if idea.title == "Ask for a verification turn")
    assert solved(played(Flaw.FORGETS_TO_VERIFY, edited(asking))) > 0.65


# ---- seeded luck ----------------------------------------------------------------------------------------------------


def test_the_same_call_gets_the_same_reply_whoever_asks() -> None:
    for task in TASKS[:8]:
        first, second = play(APPRENTICE, task, seed=3), play(open_simulated("simulated/apprentice"), task, seed=3)
        assert first == second


def test_luck_is_fresh_for_another_harness_text_repeat_stage_and_seed() -> None:
    outcomes = {
        name: [play(APPRENTICE, task, **how).solved for task in TASKS]  # type: ignore[arg-type]
        for name, how in {
            "as it is": {},
            "reworded": {"harness": SEED_HARNESS + "\n# a remark\n"},
            "repeat": {"repeat": 1},
            "stage": {"stage": "audit"},
            "seed": {"seed": 1},
        }.items()
    }
    assert all(outcome != outcomes["as it is"] for name, outcome in outcomes.items() if name != "as it is")


def test_the_null_model_does_not_heed_the_harness() -> None:
    plain, cured = rate(NULL, TASKS, seeds=range(8)), rate(NULL, TASKS, told(LOOK, VERIFY, VALUES), seeds=range(8))
    assert abs(plain - cured) < 0.1
    assert 0.3 < plain < 0.7


def test_the_expert_is_better_than_the_apprentice() -> None:
    assert rate(EXPERT, TASKS) > rate(APPRENTICE, TASKS) + 0.2


# ---- what it takes in -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Examine the data before coding.", {Advice.LOOK}),
        ("Never start without reading the input.", {Advice.LOOK}),
        ("Do not look at the input files.", {Advice.HURRY}),
        ("Solve it in as few commands as possible.", {Advice.HURRY}),
        ("Verify the final answer.", {Advice.VERIFY}),
        ("Check the result; do not guess.", {Advice.VERIFY}),
        ("Write computed values, not formulas.", {Advice.VALUES}),
        ("Never dump whole files.", {Advice.LIMIT}),
        ("Use `head` on large files.", {Advice.LIMIT}),
        ("Never write a call as text.", {Advice.NATIVE}),
        ("You are a polite expert. Thank you!", set()),
    ],
)
def test_guidance_is_judged_by_stems_not_by_wording(text: str, found: set[Advice]) -> None:
    assert advice(text) == found


def test_the_seed_harness_gives_no_guidance() -> None:
    source = read_source(SEED_HARNESS)
    assert source is not None
    assert not any(source.says(what) for what in Advice)


def test_any_tool_that_takes_one_shell_command_will_do() -> None:
    def tool(name: str, description: str, required: list[str], **properties: str) -> Tool:
        typed = {key: {"type": kind} for key, kind in properties.items()}
        return Tool(name, description, {"type": "object", "properties": typed, "required": required})

    reader = tool("read_file", "Read a file.", ["path"], path="string")
    bash = tool("bash", "Execute in a terminal.", ["cmd"], cmd="string", timeout="number")
    assert shell_tool([reader]) is None
    assert shell_tool([]) is None
    found = shell_tool([reader, bash])
    assert found is not None
    assert (found.name, found.argument) == ("bash", "cmd")
    reply = run(APPRENTICE, ModelRequest((user(TASKS[-1].instruction),), None, (reader, bash)), CallContext("task"))
    assert [call.name for call in reply.tool_calls] in (["bash"], [])


def test_an_unknown_task_gets_a_listing_and_surrender() -> None:
    task = KnownTask("unknown", "Prove the Riemann hypothesis.", {})
    trial = play(APPRENTICE, task)
    assert trial.shell.commands == ["# list the folder\nls -la"]
    assert trial.answer == "I am not able to solve this task."


def test_a_reply_over_max_tokens_is_cut_and_its_call_unreadable() -> None:
    tools = (Tool("shell", "Run a shell command.", {"type": "object", "properties": {"command": {"type": "string"}}}),)
    reply = run(NULL, ModelRequest((user(TASKS[0].instruction),), None, tools, max_tokens=20), CallContext("task"))
    assert reply.stop_reason == "max_tokens"
    assert reply.tool_calls[0].malformed.startswith('{"command"')
    assert reply.usage.output_tokens == 20


texts = st.one_of(
    st.text(max_size=80), st.sampled_from([TASKS[0].instruction, "# write the solution", "```bash\nls```"])
)
calls = st.builds(
    ToolCall, st.sampled_from(["a", "b"]), st.text(max_size=8), st.just({"command": "# check the result"})
)
messages = st.lists(
    st.one_of(
        st.builds(user, texts),
        st.builds(lambda text, made: assistant(text, made), texts, st.lists(calls, max_size=2)),
        st.builds(lambda text, error: tool_result("a", text, is_error=error), texts, st.booleans()),
    ),
    max_size=8,
)
schemas = st.sampled_from(
    [{}, {"properties": 3}, {"properties": {"x": 1}, "required": "x"}, {"properties": {"c": {"type": "string"}}}]
)


@settings(max_examples=150, deadline=None)
@given(
    messages, st.none() | texts, st.lists(st.builds(Tool, st.text(max_size=6), texts, schemas), max_size=2), st.data()
)
def test_no_conversation_makes_it_raise(
    said: list[Message], system: str | None, tools: list[Tool], data: st.DataObject
) -> None:
    role = data.draw(st.sampled_from(["task", "meta"]))
    model = data.draw(st.sampled_from([APPRENTICE, EXPERT, NULL]))
    offered = [*tools, Tool("propose_edit", "", {}), Tool("read_harness", "", {})] if role == "meta" else tools
    request = ModelRequest(tuple(said), system, tuple(offered), max_tokens=data.draw(st.none() | st.integers(0, 50)))
    completion = run(model, request, CallContext(role, call_index=data.draw(st.integers(0, 5))))
    json.dumps(dataclasses.asdict(completion))


async def test_usage_has_a_price_that_is_made_up() -> None:
    reply = await APPRENTICE.complete(ModelRequest((user("hello"),)), CallContext("task"))
    usage = reply.completion.usage
    assert usage.input_tokens > 0
    assert reply.cost_usd == pytest.approx(usage.input_tokens * 0.15e-6 + usage.output_tokens * 0.6e-6)


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigError) as error:
        open_simulated("gpt")
    assert str(error.value) == (
        "no such model: simulated/gpt; the simulated models are simulated/apprentice, simulated/expert, simulated/null"
    )


# ---- the meta side --------------------------------------------------------------------------------------------------


def edited(idea: Idea, harness: str = SEED_HARNESS) -> str:
    source = read_source(harness)
    assert source is not None
    return version.apply_edit(harness, [version.Hunk(hunk.search, hunk.replace) for hunk in idea.hunks(source)])


@pytest.mark.parametrize("idea", [*HONEST, *USELESS, *HARMFUL, *NEUTRAL], ids=lambda idea: idea.title)
def test_every_idea_is_an_exact_edit_that_passes_the_checks(idea: Idea) -> None:
    text = edited(idea)
    assert text != SEED_HARNESS
    version.check(text, max_bytes=60_000)
    known = [(task.id, task.instruction) for task in TASKS]
    assert not version.lint(text, parent=SEED_HARNESS, tasks=known)


@pytest.mark.parametrize("idea", HONEST, ids=lambda idea: idea.title)
def test_every_honest_idea_cures_its_symptom(idea: Idea) -> None:
    assert idea.cures is not None
    assert solved(played(idea.cures, edited(idea))) > solved(played(idea.cures)) + 0.3


def test_no_useless_or_neutral_idea_gives_guidance() -> None:
    for idea in (*USELESS, *NEUTRAL):
        source = read_source(edited(idea))
        assert source is not None
        assert not any(source.says(what) for what in Advice), idea.title


def test_ideas_fit_a_harness_that_was_edited_before() -> None:
    text = SEED_HARNESS
    done = set()
    for idea in HONEST:
        source = read_source(text)
        assert source is not None
        if idea.hunks(source):
            text = edited(idea, text)
            done.add(idea.cures)
            version.check(text, max_bytes=60_000)
    assert done == set(Flaw)
    source = read_source(text)
    assert source is not None
    assert not any(idea.hunks(source) for idea in HONEST if idea.title != "Ask for a verification turn")


@pytest.mark.parametrize(
    "shown",
    [
        SEED_HARNESS,
        f"agent.py:\n```python\n{SEED_HARNESS}```",
        "\n".join(f"{number:4}: {line}" for number, line in enumerate(SEED_HARNESS.splitlines(), 1)),
        f"(You made this very call before.)\n{SEED_HARNESS}",
    ],
)
def test_the_harness_is_found_in_what_the_tool_shows(shown: str) -> None:
    source = read_source(shown)
    assert source is not None
    assert source.prompt() is not None


TOOLS = tuple(
    Tool(name, "", {"type": "object", "properties": {}})
    for name in ("list_failures", "read_trace", "search_traces", "read_harness", "experiment_log", "propose_edit")
)


def trace(trial: Played) -> str:
    """A trial as `read_trace` shows it, in outline."""
    said = [f"model: {c.text} {[dict(call.arguments) for call in c.tool_calls]} {c.error}" for c in trial.completions]
    return "\n".join([*said, *(f"[0] command, exit code 0: {command}" for command in trial.shell.commands)])


@pytest.mark.parametrize("flaw", list(Flaw))
def test_symptoms_are_found_in_the_text_of_a_failed_trial(flaw: Flaw) -> None:
    failed = [trial for trial in played(flaw) if not trial.solved]
    right = sum(flaw in symptoms(trace(trial)) for trial in failed)
    assert right / len(failed) > 0.7


@functools.cache
def standing(harness: str, seed: int) -> dict[str, Played]:
    """A harness's trials under the names that the meta-agent's tools give them."""
    return {f"{task.id}/0": play(APPRENTICE, task, harness=harness, seed=seed) for task in TASKS}


def session(
    candidate: int, *, harness: str = SEED_HARNESS, log: str = "", seed: int = 0, model: str = "apprentice"
) -> list[ToolCall]:
    """A session of the meta-agent against tools that answer from played trials; every call it made."""
    trials = standing(harness, seed)
    said: list[Message] = [user("Improve the harness.")]
    made: list[ToolCall] = []
    for index in range(12):
        context = CallContext("meta", seed, version.sha(harness), f"c{candidate}", candidate, index)
        completion = run(open_simulated(model), ModelRequest(tuple(said), "", TOOLS), context)
        said.append(completion.message)
        if not completion.tool_calls:
            break
        for call in completion.tool_calls:
            made.append(call)
            if call.name == "propose_edit":
                try:
                    hunks = [version.Hunk(hunk["search"], hunk["replace"]) for hunk in call.arguments["hunks"]]
                    version.apply_edit(harness, hunks)
                    said.append(tool_result(call, "Accepted: the edit will be tested."))
                except HarnessError as error:
                    said.append(tool_result(call, f"Error: the edit does not apply: {error}", is_error=True))
            else:
                failures = "\n".join(
                    f"- trial {name} (task {trial.task.id}): reward 0, 3 model calls"
                    for name, trial in trials.items()
                    if not trial.solved
                )
                name = str(call.arguments.get("trial"))
                answers = {
                    "list_failures": failures,
                    "experiment_log": log,
                    "read_harness": harness,
                    "search_traces": "Nothing matches.",
                    "read_trace": trace(trials[name]) if name in trials else "",
                }
                said.append(tool_result(call, answers[call.name]))
    return made


def test_a_session_reads_before_it_proposes_and_names_the_tasks_it_should_fix() -> None:
    made = session(0)
    names = [call.name for call in made]
    assert names.index("list_failures") < names.index("read_trace") < names.index("read_harness")
    assert names[-1] == "propose_edit"
    assert set(made[-1].arguments["fixes"]) <= {task.id for task in TASKS}
    assert made[-1].arguments["fixes"]


def test_sessions_propose_sense_and_nonsense_and_sometimes_misquote() -> None:
    sessions = [session(number) for number in range(30)]
    titles = [made[-1].arguments["title"] for made in sessions]
    for kind in (HONEST, USELESS, HARMFUL):
        assert {idea.title for idea in kind} & set(titles)
    proposals = [[call for call in made if call.name == "propose_edit"] for made in sessions]
    corrected = [made for made in proposals if len(made) == 2]
    assert corrected
    assert all(one.arguments["title"] == two.arguments["title"] for one, two in corrected)
    assert sessions == [session(number) for number in range(30)]


def test_what_the_log_names_is_not_proposed_again() -> None:
    log, titles = "", []
    for number in range(8):
        title = session(number, log=log)[-1].arguments["title"]
        titles.append(title)
        log += f"experiment {number}: {title}: rejected\n"
    assert len(set(titles)) == 8


def test_it_gives_up_in_words_when_nothing_fits() -> None:
    made = session(0, harness="def solve(task, env, llm):\n    return ''\n")
    assert "propose_edit" not in [call.name for call in made] or made[-1].arguments["title"].startswith("Explain")
    every = "\n".join(idea.title for idea in (*HONEST, *USELESS, *HARMFUL))
    assert "propose_edit" not in [call.name for call in session(0, log=every)]


def test_the_null_model_proposes_neutral_edits_only() -> None:
    titles = {session(number, model="null")[-1].arguments["title"] for number in range(6)}
    assert titles <= {idea.title for idea in NEUTRAL}


# ---- on a real shell ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task", [task for task in TASKS if not task.scripts[SolutionScript.SOLVE].count("openpyxl")][::6]
)
def test_its_commands_do_on_a_real_shell_what_the_offline_world_assumes(task: KnownTask, tmp_path: Path) -> None:
    folder = Path(__file__).parents[2] / "lorimer" / "benchmarks" / "starter" / "tasks" / task.id
    work = tmp_path / "app"
    work.mkdir()
    subprocess.run(["cp", "-r", f"{folder / 'environment' / 'workspace'}/.", str(work)], check=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)

    def shell(command: str) -> str:
        moved = command.replace("/tmp/work.py", str(tmp_path / "work.py")).replace("/app", str(work))
        path = f"{tmp_path / 'bin'}:/usr/local/bin:/usr/bin:/bin"
        done = subprocess.run(
            ["bash", "-c", moved], cwd=work, env={"PATH": path}, capture_output=True, text=True, timeout=60
        )
        return done.stdout

    def write_and_run(script: SolutionScript) -> None:
        body = task.scripts[script]
        shell(f"cat > /tmp/work.py <<'END_OF_SCRIPT'\n{body}\nEND_OF_SCRIPT\npython3 /tmp/work.py")

    write_and_run(SolutionScript.SLIP)
    assert "PROBLEM" in shell(task.scripts[SolutionScript.CHECK])
    write_and_run(SolutionScript.SOLVE)
    assert shell(task.scripts[SolutionScript.CHECK]).strip() == "OK"
    assert 0 < len(shell(task.scripts[SolutionScript.LOOK])) < 6_000
    if task.large and SolutionScript.FLOOD in task.scripts:
        assert len(shell(task.scripts[SolutionScript.FLOOD])) > 20_000


def test_a_schema_is_filled_and_a_choice_of_tools_is_kept() -> None:
    properties = {"thought": {"type": "string"}, "command": {"type": "string"}, "done": {"type": "boolean"}}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    request = ModelRequest((user("A task that nobody knows."),), schema=schema)
    value, wrong = read(run(APPRENTICE, request, CallContext("task")).text, schema)
    assert (value["command"], value["done"], wrong) == ("", True, "")
    known = replace(request, messages=(user(TASKS[0].instruction),))
    value, wrong = read(run(APPRENTICE, known, CallContext("task")).text, schema)
    assert (value["command"].startswith("# "), value["done"], wrong) == (True, False, "")
    shell = Tool("shell", "Run a shell command.", {"type": "object", "properties": {"command": {"type": "string"}}})
    for attempt in range(30):
        context = CallContext("task", attempt=attempt)
        forced = ModelRequest(known.messages, tools=(shell,), tool_choice="required")
        assert run(APPRENTICE, forced, context).tool_calls
        assert not run(APPRENTICE, replace(forced, tool_choice="none"), context).tool_calls
