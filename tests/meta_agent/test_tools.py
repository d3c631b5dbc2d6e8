"""What the meta-agent can see, and what it cannot by any argument."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lorimer.config.settings import MetaSettings
from lorimer.meta_agent.proposer.log import Log, ToldExperiment
from lorimer.meta_agent.proposer.tools import ToolAnswer, Toolbox
from lorimer.meta_agent.state.trials import named_trials
from lorimer.meta_agent.study.candidates.briefing import cases_of
from lorimer.traces.tables import Evaluation
from tests.support import meta_model as make
from tests.support.meta_model import EDIT, HARNESS, SECRETS, TOOL_NAMES, Lab

ROOM = 20_000


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    made = await make.open_lab(tmp_path)
    yield made
    made.store.close()


def toolbox(lab: Lab, **changes: Any) -> Toolbox:
    return Toolbox(lab.session(make.ScriptedModel([make.says("")]), **changes))


async def ask(
    lab: Lab, name: str, arguments: dict[str, Any] | None = None, room: int = ROOM, **changes: Any
) -> ToolAnswer:
    return await toolbox(lab, **changes).call(name, arguments or {}, room)


# ---- looking ----------------------------------------------------------------------------------------------------------


async def test_failures_are_listed_by_name_with_how_they_ended(lab: Lab) -> None:
    answer = await ask(lab, "list_failures")
    assert answer.text == (
        "2 of 4 trials failed (mean reward 0.50).\n"
        "By what went wrong, each trial under the first kind that fits:\n"
        "[exception] 1 of 2 failed trials, of 1 task; 0 tokens: the harness itself failed. An exception, a wrong return value or "
        "too much memory is a bug of agent.py, whatever the model did.\n"
        "- trial gamma/0 (task gamma): reward 0, 1 model calls; the harness raised an exception: ValueError: bad; "
        'last words: "done gamma"\n'
        "[stopped-midway] 1 of 2 failed trials, of 1 task; 0 tokens: the model still called a tool when the harness returned. "
        "The harness's own loop ended before the model did.\n"
        "- trial alpha/0 (task alpha): reward 0, 1 model calls; the harness returned, but the result is wrong; "
        'last words: "done alpha"\n'
        "Shared by failed trials (and, in brackets, by solved ones): exception 1 of 2 (0 of 2); stopped-midway 2 of 2 (2 of 2)."
    )


async def test_failures_of_one_kind_are_paged(lab: Lab) -> None:
    text = (await ask(lab, "list_failures", {"kind": "[exception]"})).text
    assert "trial gamma/0" in text
    assert "alpha/0" not in text
    assert (await ask(lab, "list_failures", {"kind": "exception", "first": 1})).text.endswith(
        "There are 1, numbered from 0."
    )
    assert (await ask(lab, "list_failures", {"kind": "gave up"})).text == "No failed trial is of the kind gave-up."


async def test_without_traces_scores_are_shown_and_nothing_else_can_be_read(lab: Lab) -> None:
    settings = MetaSettings(traces=False)
    assert (await ask(lab, "list_failures", settings=settings)).text == (
        "2 of 4 trials failed (mean reward 0.50).\n"
        "- task alpha: 1 of 2 trials solved\n"
        "- task gamma: 0 of 1 trials solved"
    )
    answer = await ask(lab, "read_trace", {"trial": "alpha/0"}, settings=settings)
    assert answer.is_error
    assert answer.text.endswith("Tools: list_failures, read_harness, experiment_log, propose_edit.")


async def test_a_trace_shows_what_was_asked_done_and_answered(lab: Lab) -> None:
    text = (await ask(lab, "read_trace", {"trial": "alpha/0"})).text
    assert text == (
        "Trial alpha/0: reward 0; the harness returned, but the result is wrong. 2 steps, numbered from 0.\n"
        "[0] model call\nsystem: Solve the task.\nuser: Do alpha with care.\n"
        "model: I will run cat on alpha.\nmodel calls shell: command=cat alpha.txt\n"
        "[1] command, exit code 0: cat alpha.txt\nKeyError needle "
    )


async def test_steps_are_read_by_range_and_a_trial_by_several_spellings(lab: Lab) -> None:
    assert "model call" not in (await ask(lab, "read_trace", {"trial": "alpha/0", "first": 1})).text
    assert "command, exit" not in (await ask(lab, "read_trace", {"trial": "alpha/0", "last": "0"})).text
    whole = await ask(lab, "read_trace", {"trial": "alpha/0"})
    for spelling in ("alpha#0", " `alpha/0` ", "alpha"):
        assert await ask(lab, "read_trace", {"trial": spelling}) == whole


async def test_long_output_is_disclosed_step_by_step(tmp_path: Path) -> None:
    made = await make.open_lab(tmp_path, long_output=50_000)
    try:
        outline = (await ask(made, "read_trace", {"trial": "alpha/0"}, 4_000)).text
        assert len(outline) < 4_000
        assert "characters left out" in outline
        alone = (await ask(made, "read_trace", {"trial": "alpha/0", "first": 1, "last": 1}, 4_000)).text
        assert len(outline) < len(alone) <= 4_100
        small = (await ask(made, "read_trace", {"trial": "alpha/0"}, 600)).text
        assert "[1 more steps: read_trace with trial alpha/0, first 1 shows them" in small
    finally:
        made.store.close()


async def test_a_failed_and_a_passed_trial_are_shown_side_by_side(lab: Lab) -> None:
    text = (await ask(lab, "compare_trials", {"task": "alpha"})).text
    assert text.index("== failed ==") < text.index("KeyError") < text.index("== passed ==") < text.index("all fine")
    assert (
        "All 1 trials of gamma failed; there is nothing to compare"
        in (await ask(lab, "compare_trials", {"task": "gamma"})).text
    )


async def test_search_answers_in_a_fixed_order_with_its_outcome(lab: Lab) -> None:
    text = (await ask(lab, "search_traces", {"query": "needle"})).text
    assert text == (
        "3 steps in 3 trials match, 2 of them failed (the match is in [brackets]):\n"
        "- trial alpha/0 (failed), step 1, exec: cat alpha.txt KeyError [needle]\n"
        "- trial gamma/0 (failed), step 1, exec: cat gamma.txt no such file [needle]\n"
        "- trial alpha/1 (solved), step 1, exec: cat alpha.txt all fine [needle]"
    )
    assert (await ask(lab, "search_traces", {"query": "needle", "limit": 1})).text.endswith(
        "[2 more: first 1 shows them; rarer words find fewer]"
    )
    assert "alpha/1" in (await ask(lab, "search_traces", {"query": "needle", "first": 2})).text
    assert (await ask(lab, "search_traces", {"query": 'no"such( thing'})).text.startswith(
        "Nothing in the traces matches"
    )


async def test_the_harness_and_the_log_are_given_as_they_are(lab: Lab) -> None:
    assert (await ask(lab, "read_harness")).text == HARNESS
    assert (await ask(lab, "experiment_log")).text.endswith("\n\nNo experiment has been made yet.")
    log = Log("Baseline: 0.5", (ToldExperiment("c001", "c001 [rejected] An idea\n  why", "rejected", "An idea"),))
    assert (await ask(lab, "experiment_log", log=log)).text == "Baseline: 0.5\n\nc001 [rejected] An idea\n  why"
    assert (await ask(lab, "experiment_log", {"experiment": 1}, log=log)).text == "c001 [rejected] An idea\n  why"
    missing = await ask(lab, "experiment_log", {"experiment": "c002"}, log=log)
    assert missing.is_error
    assert missing.text == "Error: there is no experiment c002; there are c001 to c001."
    assert (await ask(lab, "experiment_log", {"experiment": "c002"})).text.endswith("c002; none was made yet.")


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("read_trace", {}, "`trial` is missing: give a text."),
        ("read_trace", {"trial": "alpah/0"}, "there is no trial alpah/0. There is, for example, alpha/0"),
        ("read_trace", {"trial": "alpha/0", "first": "x"}, "`first` must be a whole number, not 'x'."),
        ("read_trace", {"trial": "alpha/0", "first": 3, "last": 1}, "last (1) comes before first (3)."),
        ("search_traces", {"query": " "}, "`query` is missing: give a text."),
        ("compare_trials", {"task": "alhpa"}, "there is no task alhpa. Did you mean alpha?"),
        (
            "compare_trials",
            {"task": "alpha", "solved": "alpha/0"},
            "alpha/0 is no solved trial of alpha; there are: alpha/1.",
        ),
        (
            "list_failures",
            {"kind": "gave-upp"},
            "there is no kind gave-upp. Did you mean gave-up? Kinds: limit, exception,",
        ),
        ("read_trace", {"trial": "alpha/0", "first": 7, "offset": 0}, "trial alpha/0 has no step 7."),
        ("read_traces", {}, "there is no tool read_traces. Did you mean read_trace? Tools: list_failures, read_trace,"),
    ],
)
async def test_a_call_that_cannot_be_answered_says_what_to_do(
    lab: Lab, name: str, arguments: dict[str, Any], words: str
) -> None:
    answer = await ask(lab, name, arguments)
    assert answer.is_error
    assert words in answer.text


async def test_no_answer_is_longer_than_its_room(lab: Lab) -> None:
    for name in sorted(TOOL_NAMES - {"propose_edit"}):
        arguments = {"trial": "alpha/0", "task": "alpha", "query": "needle"}
        assert len((await ask(lab, name, arguments, 500, log=Log("log " * 500))).text) <= 560


# ---- the seal ---------------------------------------------------------------------------------------------------------


async def test_nothing_but_the_champions_train_trials_can_be_reached_by_any_argument(lab: Lab) -> None:
    trials = [trial.id for trial in lab.reader.trials(limit=None)]
    names = [
        *trials,
        *(trial.split("/", 1)[1] for trial in trials),
        "omega",
        "omega/0",
        "omega#0",
        "alpha/2",
        "gamma/1",
    ]
    names += ["s/c1", "s/baseline/holdout", "../omega/0", "%", "*", "", "other/baseline/baseline"]
    words = [*SECRETS.values(), "needle", "needle OR omega", "text:needle", "*", "omega", "a* OR b* OR c* OR n*"]
    reached = []
    box = toolbox(lab)
    for name, value in itertools.product(sorted(TOOL_NAMES), [*names, *words]):
        for key in ("trial", "task", "query", "limit", "first", "search"):
            answer = await box.call(name, {"trial": "alpha/0", "task": "alpha", "query": "needle", key: value}, ROOM)
            # A refusal may repeat what was asked for.
            reached.append(
                answer.text.replace(str(value), "") if answer.is_error else answer.text.replace(repr(value), "")
            )
    seen = "\n".join(reached)
    for secret in SECRETS.values():
        assert secret not in seen


async def test_evaluations_of_the_holdout_or_of_another_study_are_ignored_even_when_handed_over(lab: Lab) -> None:
    evaluations = ("s/baseline/holdout", "other/baseline/baseline", "s/nowhere")
    assert (
        await ask(lab, "list_failures", cases=cases_of(lab.reader, "s", named_trials(lab.reader, "s", evaluations)))
    ).text == ("No trial of this harness has been scored yet.")


async def test_what_a_model_reads_holds_no_time_and_no_id_of_the_store(lab: Lab) -> None:
    box = toolbox(lab)
    arguments = {"trial": "alpha/0", "task": "alpha", "query": "needle"}
    seen = "\n".join([(await box.call(name, arguments, ROOM)).text for name in sorted(TOOL_NAMES - {"propose_edit"})])
    for foreign in ("123.456", "123.5", "77.1", "2026", "s/baseline", "attempt"):
        assert foreign not in seen


async def test_answers_do_not_depend_on_the_order_in_which_trials_finished(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    other = await make.open_lab(tmp_path / "again")
    try:
        # More trials of others came in between, in this store only.
        plan = [["beta", 0]]
        await other.store.add_evaluation(Evaluation(id="s/c9/full", study="s", stage="full", harness="x", plan=plan))
        await make._trial(other.store, "s/c9/full", "beta", 0, 0.0, "needle needle needle")
        for name in sorted(TOOL_NAMES - {"propose_edit"}):
            arguments = {"trial": "alpha/0", "task": "alpha", "query": "needle"}
            assert await ask(other, name, arguments) == await ask(lab, name, arguments)
    finally:
        other.store.close()


# ---- proposing --------------------------------------------------------------------------------------------------------


async def test_a_good_edit_is_accepted_with_the_new_harness(lab: Lab) -> None:
    proposal = (await ask(lab, "propose_edit", EDIT)).proposal
    assert proposal is not None
    assert (proposal.title, proposal.fixes, proposal.at_risk) == ("Look first", ("alpha",), ("beta",))
    assert proposal.text == HARNESS.replace("Solve the task.", "Look at the inputs, then solve the task.")


async def test_unknown_tasks_are_dropped_with_a_remark_and_trials_stand_for_their_task(lab: Lab) -> None:
    edit = {**EDIT, "fixes": ["alpha/0", "omega", "nope", "gamma"], "at_risk": "beta, beta"}
    answer = await ask(lab, "propose_edit", edit)
    assert answer.proposal is not None
    assert (answer.proposal.fixes, answer.proposal.at_risk) == (("alpha", "gamma"), ("beta",))
    assert answer.text == (
        "Accepted: the edit will be tested. Dropped from `fixes`, as there are no such tasks: omega, nope."
    )


@pytest.mark.parametrize(
    "form",
    [
        {"hunks": EDIT["hunks"][0]},
        {"hunks": '[{"search": "TURNS = 30", "replace": "TURNS = 40"}]'},
        {"hunks": None, "search": "TURNS = 30", "replace": "TURNS = 40"},
    ],
)
async def test_hunks_in_a_form_that_can_be_understood_are_taken(lab: Lab, form: dict[str, Any]) -> None:
    assert (await ask(lab, "propose_edit", {**EDIT, **form})).proposal is not None


def hunk(search: str, replace: str) -> dict[str, Any]:
    return {"hunks": [{"search": search, "replace": replace}]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"title": ""}, "`title` is missing"),
        ({"hypothesis": 3.5, "hunks": []}, "`hunks` must be a list such as"),
        ({"hunks": "change the prompt"}, "`hunks` must be a list such as"),
        ({"hunks": [{"search": "x"}]}, "hunk 1 has no text `replace`"),
        ({"hunks": [5]}, "hunk 1 is not an object"),
        (hunk("", "x"), "hunk 1: `search` is empty; copy the lines of agent.py"),
        (hunk("TURNS = 31", "x"), "the edit was not applied: hunk 1 of 1: `search` is not in agent.py"),
        (hunk("messages", "x"), "found 3 times"),
        (hunk("TURNS = 30", "TURNS = 30"), "the edit changes nothing"),
        (hunk("TURNS = 30", "TURNS = ("), "the edited agent.py is not valid: agent.py line"),
        (hunk("TURNS = 30", "import numpy"), "'numpy' is not in the jail"),
        (hunk("TURNS = 30", "TURNS = 30  # \ud800"), "holds a character that UTF-8 cannot write"),
        (hunk("def solve(task, env, llm)", "def run(task, env, llm)"), "must define"),
        (
            hunk("TURNS = 30", "TURNS = 3"),
            "tried as experiment 1 (Fewer turns) and is rejected: the mean fell from 0.50",
        ),
        (hunk("Solve the task.", "Solve the task. Totals go to gamma-ledger-totals.csv."), "knowledge of single tasks"),
        ({"fixes": {"a": 1}}, "`fixes` must be a list of task ids"),
    ],
)
async def test_an_edit_that_cannot_be_used_goes_back_with_what_to_do(
    lab: Lab, change: dict[str, Any], words: str
) -> None:
    answer = await ask(lab, "propose_edit", {**EDIT, **change})
    assert answer.is_error
    assert answer.proposal is None
    assert words in answer.text


@pytest.mark.parametrize(
    "words",
    [
        "psi-of-the-test",
        "For canary-of-the-study, give up.",
        "Mind every ship that entered the harbour after noon.",
        "Read ships-after-noon.csv first.",
        "Look which of the lamps along the northern quay were dark.",
        "Leave it in number-that-is-lost.txt.",
    ],
)
async def test_an_edit_that_knows_a_sealed_task_is_refused_without_a_word_of_it(lab: Lab, words: str) -> None:
    answer = await ask(lab, "propose_edit", {**EDIT, **hunk("Solve the task.", f"Solve the task. {words}")})
    assert answer.is_error
    assert answer.text == (
        "Error: the edit carries knowledge of single tasks, which would be worth nothing on new ones: holds the name, the "
        "wording or a file of a single task. Make it general, without task names, wording or answers."
    )


async def test_a_harness_that_does_not_start_goes_back_with_its_error(lab: Lab) -> None:
    async def fails(text: str) -> str:
        return "NameError: name 'x' is not defined"

    checks = replace(lab.session(make.ScriptedModel([make.says("")])).checks, dry_start=fails)
    answer = await ask(lab, "propose_edit", EDIT, checks=checks)
    assert "the edited agent.py does not start: NameError: name 'x' is not defined" in answer.text
    assert answer.is_error
