"""Where a server says too little, or refuses everything, nothing goes on as if all were well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lorimer.meta_agent.workspace.repository import STORE
from lorimer.task_agent.serving.refusals import QUESTION
from lorimer.traces.reading.reader import StoreReader
from tests.cli.provider import ANSWER, at, lorimer, rows
from tests.support.model_clients import good
from tests.support.scripted_server import Reply, Request, scripted_server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]

ENDLESS = """from lorimer.harness.api import LLM, Env, Task, user


def solve(task: Task, env: Env, llm: LLM) -> str:
    while True:
        llm.complete([user("again")])
"""


@pytest.mark.parametrize(
    ("usage", "limit", "cause"),
    [
        (None, "limits.tokens=40", "limit_tokens"),
        ({"prompt_tokens": None, "completion_tokens": None}, "limits.usd=0.0004", "limit_dollars"),
    ],
    ids=["no usage", "null fields"],
)
async def test_a_trial_keeps_to_its_limits_where_the_server_counts_nothing(
    bubblewrap: None, workspace: Path, usage: object, limit: str, cause: str
) -> None:
    """A call is 8 tokens of input and 7 of output by the estimate, at ten dollars a million: $0.00015."""
    (workspace / "harness" / "agent.py").write_text(ENDLESS)
    async with scripted_server(otherwise=Reply({**good("chat", "x" * 20), "usage": usage})) as server:
        at(server, workspace, 30.0, limit)
        said = await lorimer(workspace, "run")
    assert said.code == 0, said
    trials = StoreReader(workspace / STORE).trials(limit=None)
    assert {(trial.cause, trial.model_calls, trial.input_tokens + trial.output_tokens) for trial in trials} == {
        (cause, 3, 45)
    }
    warning = "local/model sends no token counts; its tokens, and what they cost, are estimated"
    assert said.out.count(f"warning: {warning}") == 1
    status = await lorimer(workspace, "status")
    assert f"  warned      {warning}" in status.out
    shown = await lorimer(workspace, "traces", "show", trials[0].id)
    assert "local/model, 8 tokens in (0 cached), 7 out (estimated)" in shown.out


TWICE = ENDLESS.replace("while True:", "for words in (task.instruction, 'again'):").replace('"again"', "words")

REFUSED = Reply({"error": {"message": "this deployment takes no requests."}}, status=400)
SAID = (
    'paused: local/model refuses every request: "this deployment takes no requests."; check base_url, api, '
    "max_tokens and context_window in [providers.local], and whether this model takes what the harness sends, such as tools; "
    "once that is mended, `lorimer resume {study} -C {workspace}` goes on"
)


@pytest.mark.parametrize(("command", "study"), [("run", "run-1"), ("optimize", "study-1")])
async def test_a_server_that_refuses_everything_pauses_it_and_a_resume_after_the_mend_goes_on(
    bubblewrap: None, workspace: Path, command: str, study: str
) -> None:
    async with scripted_server(otherwise=REFUSED) as server:
        at(server, workspace)
        said = await lorimer(workspace, command)
        assert said.code == 1, said
        assert said.err == f"lorimer: {study} is {SAID.format(study=study, workspace=workspace)}\n"
        before = rows(workspace)
        assert ("errored", "provider_refusal") in before.values()
        assert {state for state, _ in before.values()} <= {"errored", "cancelled"}
        status = await lorimer(workspace, "status", "--study", study)
        assert status.out.startswith(f"{study} ({command}): {SAID.format(study=study, workspace=workspace)}")
        server.from_now_on(ANSWER)
        said = await lorimer(workspace, "resume")
    assert said.code == 0, said
    after = rows(workspace)
    assert before.items() <= after.items()
    scored = [name.rpartition("/")[0] for name, (state, _) in after.items() if state == "scored"]
    assert len(scored) == len(set(scored))
    assert {name.rpartition("/")[0] for name in before} <= set(scored)


def refuses(request: Request) -> Reply:
    """All but lorimer's own short question."""
    return ANSWER if request.body["messages"][-1]["content"] == QUESTION else HARD


HARD = Reply({"error": {"message": "`top_k` is needed for this"}}, status=400)


@pytest.mark.parametrize(("command", "study"), [("run", "run-1"), ("optimize", "study-1")])
async def test_a_server_that_refuses_what_the_harness_sends_stops_it_in_its_own_words_before_a_candidate_is_paid_for(
    bubblewrap: None, workspace: Path, command: str, study: str
) -> None:
    async with scripted_server(otherwise=refuses) as server:
        at(server, workspace)
        said = await lorimer(workspace, command)
        assert said.code == 1, said
        assert said.err.startswith(
            f"lorimer: {study} is paused: local/model refused every call of the seed harness in "
        )
        assert (
            'and answers a plain question: it does not take what the harness sends: "`top_k` is needed for this"; check'
        ) in said.err
        assert said.err.endswith(f"are tried anew; `lorimer resume {study} -C {workspace}` goes on\n")
        assert said.err.count("\n") == 1
        assert {state for state, _ in rows(workspace).values()} == {"scored"}
        assert StoreReader(workspace / STORE).candidates(study) == []
        server.from_now_on(ANSWER)
        said = await lorimer(workspace, "resume")
    assert said.code == 0, said
    assert "refused:" not in said.out
    assert any(name.endswith("/1") for name in rows(workspace))


async def test_the_share_of_refused_calls_is_beside_the_score(bubblewrap: None, workspace: Path) -> None:
    """Each trial asks twice, and is answered once."""
    async with scripted_server(otherwise=lambda request: HARD if "again" in str(request.body) else ANSWER) as server:
        at(server, workspace)
        (workspace / "harness" / "agent.py").write_text(TWICE)
        said = await lorimer(workspace, "run")
        assert said.code == 0, said
    share = "(refused: 4 of 8 calls, 50.0%)"
    assert f"over 4 tasks {share}; " in said.out
    assert '\nrefused: such as "`top_k` is needed for this" (run-1/baseline/baseline/' in said.out
    assert share in (await lorimer(workspace, "status")).out
    assert share in (await lorimer(workspace, "studies")).out
    assert "2 (1 refused)" in (await lorimer(workspace, "traces", "ls")).out
    found = json.loads((await lorimer(workspace, "status", "--json")).out)
    assert found["champion"]["refused"] == {"refused": 4, "calls": 8}


async def test_a_meta_model_that_refuses_everything_pauses_the_study_at_the_first_proposal(
    bubblewrap: None, workspace: Path
) -> None:
    async with scripted_server(otherwise=ANSWER) as server, scripted_server(otherwise=REFUSED) as meta:
        at(server, workspace, 30.0, "budget.candidates=5", "models.meta=other/model")
        path = workspace / "lorimer.toml"
        path.write_text(f'{path.read_text()}[providers.other]\nbase_url = "{meta.url}/v1"\n')
        said = await lorimer(workspace, "optimize", "--quiet")
        assert said.code == 1, said
        assert "study-1 is paused: other/model refuses every request: " in said.err
        assert "this deployment takes no requests" in said.err
        assert "in [providers.other]" in said.err
        assert said.err.count("\n") == 1
        assert len(meta.requests) == 3, "before the study began, the proposal, and whether it refuses everybody"
        assert [row.state for row in StoreReader(workspace / STORE).candidates("study-1")] == ["proposing"]
        meta.from_now_on(ANSWER)
        assert (await lorimer(workspace, "resume", "--quiet")).code == 0
    failed = StoreReader(workspace / STORE).candidates("study-1")
    assert {row.state for row in failed} == {"failed"}
    assert "without a readable tool call" in failed[0].failure


@pytest.mark.parametrize(
    "command",
    [("optimize",), ("compare", "--task", "local/model", "--meta", "local/model,other/model", "--tokens", "100000000")],
)
async def test_a_meta_model_that_is_not_there_is_told_of_before_a_trial_is_paid_for(
    bubblewrap: None, workspace: Path, command: tuple[str, ...]
) -> None:
    unknown = Reply({"error": {"message": "The model `model` does not exist", "code": "model_not_found"}}, status=404)
    async with scripted_server(otherwise=ANSWER) as server, scripted_server(otherwise=unknown) as meta:
        at(server, workspace, 30.0, "budget.candidates=5", "models.meta=other/model")
        path = workspace / "lorimer.toml"
        path.write_text(f'{path.read_text()}[providers.other]\nbase_url = "{meta.url}/v1"\n')
        said = await lorimer(workspace, *command, "--quiet")
    assert said.code == 2, said
    assert said.err.startswith(f"lorimer: model other/model at {meta.url}/v1/: The model `model` does not exist")
    assert said.err.count("\n") == 1
    assert "goes on" not in said.err, "a study keeps its models, so none may have begun"
    assert len(meta.requests) == 1
    assert len(server.requests) == (1 if command[0] == "compare" else 0)
    assert StoreReader(workspace / STORE).studies() == []


async def test_a_meta_model_that_refuses_one_conversation_does_not_stop_the_study(
    bubblewrap: None, workspace: Path
) -> None:
    flagged = Reply({"error": {"message": "your prompt was flagged"}}, status=400)
    async with scripted_server(otherwise=ANSWER) as server, scripted_server(ANSWER, *[flagged, ANSWER] * 2) as meta:
        at(server, workspace, 30.0, "budget.candidates=2", "models.meta=other/model")
        path = workspace / "lorimer.toml"
        path.write_text(f'{path.read_text()}[providers.other]\nbase_url = "{meta.url}/v1"\n')
        said = await lorimer(workspace, "optimize")
    assert said.code == 0, said
    assert said.out.count("no usable edit: the meta model's provider refused the request: your prompt was flagged") == 2


def money(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every amount of dollars in a JSON value, with its place. What is known of an amount is told under a name of its own."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in ("usd", "cost_usd", "reserved_usd", "proposal_usd"):
                yield f"{at}.{key}", item
            yield from money(item, f"{at}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from money(item, f"{at}[{number}]")


@pytest.mark.parametrize("priced", [True, False])
async def test_in_json_a_cost_that_is_not_known_is_null_and_never_0(
    bubblewrap: None, workspace: Path, priced: bool
) -> None:
    async with scripted_server(otherwise=ANSWER) as server:
        at(server, workspace, 30.0, "study.name=s", priced=priced)
        ran = await lorimer(workspace, "run", "--json")
        optimized = await lorimer(workspace, "optimize", "--json")
    assert (ran.code, optimized.code) == (0, 0), (ran, optimized)
    told = [
        *money([line for line in ran.lines() if line["event"] != "BudgetUsed"], "run"),
        # Nothing was used before the first call.
        *money([line for line in ran.lines() if line["event"] == "BudgetUsed"][1:], "run"),
        *money([line for line in optimized.lines() if line["event"] == "BudgetUsed"][1:], "optimize"),
        *money(optimized.lines()[-1], "optimize"),
    ]
    trial = StoreReader(workspace / STORE).trials(limit=1)[0].id
    for command in (
        "status",
        "studies",
        "log",
        "traces ls",
        f"traces show {trial}",
        "traces show c001 --study s",
    ):
        said = await lorimer(workspace, *command.split(), "--json")
        assert said.code == 0, said
        told += money(json.loads(said.out), command)
    # So few trials do not tell what a trial of the suite costs, whatever the price of a token.
    forecast = json.loads((await lorimer(workspace, "power", "--json")).out)
    assert (forecast["lacking"]["kind"], forecast["start"]["usd"]) == ("few", None)
    places = {place.partition(".")[0].partition("[")[0] for place, _ in told}
    assert places >= {"run", "optimize", "status", "studies", "traces ls", f"traces show {trial}"}
    # A trial or a study that made no call cost nothing, and is none of these.
    wrong = [(place, usd) for place, usd in told if (usd is None) == priced or usd == 0]
    assert wrong == []
