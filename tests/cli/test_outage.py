"""A provider in trouble, seen through the whole command: a study waits, pauses and goes on; nothing is scored by an outage."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from tests.cli.provider import ANSWER, KEY, at, lorimer, rows
from tests.crash.support import scored_twice
from tests.support.scripted_server import Reply, Request, ScriptedServer, scripted_server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]

DOWN = Reply({"error": {"message": "boom"}}, status=500)
GONE = Reply(ending="close")
LIMITED = Reply({"error": {"message": "slow down"}}, status=429)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (DOWN, "retry window of 1 s used up: HTTP 500: boom"),
        (
            Reply(LIMITED.body, status=429, headers={"Retry-After": "3600"}),
            "asked to wait 3600 s, past the retry window",
        ),
    ],
    ids=["500", "429"],
)
async def test_an_outage_pauses_the_study_and_a_resume_goes_on(
    bubblewrap: None, workspace: Path, bad: Reply, words: str
) -> None:
    async with scripted_server(ANSWER, otherwise=bad) as server:
        at(server, workspace)
        said = await lorimer(workspace, "optimize")
        assert said.code == 1
        assert said.err.startswith("lorimer: study-1 is paused: provider local/model: ")
        assert words in said.err
        assert said.err.endswith(f"; `lorimer resume study-1 -C {workspace}` goes on when it answers\n")
        assert said.err.count("\n") == 1
        status = await lorimer(workspace, "status")
        assert status.out.startswith("study-1 (optimize): paused: provider local/model: ")
        # Not one zero: an outage is the world's fault, and a stopped trial is no trial.
        before = rows(workspace)
        assert ("errored", "provider_outage") in before.values()
        assert {state for state, cause in before.values() if cause in ("provider_outage", "cancelled")} <= {
            "errored",
            "cancelled",
        }
        finished = {name for name, (state, _) in before.items() if state == "scored"}
        assert len(finished) <= 1

        server.from_now_on(ANSWER)
        said = await lorimer(workspace, "resume")
        assert said.code == 0, said
        after = rows(workspace)
        assert before.items() <= after.items()
        planned = [name.rpartition("/")[0] for name, (state, _) in after.items() if state == "scored"]
        assert len(planned) == len(set(planned))
        made = {row.id: row.numbers for row in StoreReader(workspace / STORE).decisions("study-1")}
        score = made["study-1/baseline/baseline"]
        assert (score["trials"], score["errored"]) == (2, 0)

    # The key went to the server alone: not into the store, nor into what was printed.
    assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in server.requests)
    for path in (workspace / ".lorimer").iterdir():
        assert KEY.encode() not in path.read_bytes()
    assert KEY not in said.out + said.err + status.out


async def test_a_key_that_is_revoked_half_way_says_that_the_rest_is_kept_and_a_resume_goes_on(
    bubblewrap: None, workspace: Path
) -> None:
    revoked = Reply({"error": {"message": "Incorrect API key provided"}}, status=401)
    async with scripted_server(ANSWER, otherwise=revoked) as server:
        at(server, workspace)
        said = await lorimer(workspace, "run", "--quiet")
        assert said.code == 2
        assert said.err == (
            f"lorimer: model local/model at {server.url}/v1/: Incorrect API key provided (check the key in LOCAL_KEY "
            "([providers.local] key_env)); what has finished is kept, and once that is put right, "
            f"`lorimer resume run-1 -C {workspace}` goes on\n"
        )
        server.from_now_on(ANSWER)
        assert (await lorimer(workspace, "resume", "--quiet")).code == 0


async def test_a_model_that_is_not_there_says_that_another_name_needs_a_new_study(
    bubblewrap: None, workspace: Path
) -> None:
    unknown = Reply({"error": {"message": "The model `model` does not exist", "code": "model_not_found"}}, status=404)
    async with scripted_server(otherwise=unknown) as server:
        at(server, workspace)
        said = await lorimer(workspace, "run", "--quiet")
        assert said.code == 2
        assert said.err.endswith(
            f"once that is put right, `lorimer resume run-1 -C {workspace}` goes on; a study keeps its models, so with another "
            "name begin a new one\n"
        )
        other = await lorimer(workspace, "resume", "--quiet", "--set", "models.task=local/other")
        assert (other.code, "study run-1 keeps what it began with" in other.err) == (2, True)


@pytest.mark.hostile
async def test_an_outage_while_the_meta_agent_works_pauses_it_too(bubblewrap: None, workspace: Path) -> None:
    async with scripted_server(otherwise=ANSWER) as server:
        at(server, workspace, 0.3)
        assert (await lorimer(workspace, "run", "--quiet")).code == 0
        baseline = len(server.requests)
        server.from_now_on(Reply(ending="hang"))
        server.add(*[ANSWER] * baseline)
        said = await lorimer(workspace, "optimize", "--quiet")
        assert said.code == 1, said
        assert "is paused: provider local/model: " in said.err
        assert "no answer within 0.3 s" in said.err
        server.from_now_on(ANSWER)
        assert (await lorimer(workspace, "resume", "--quiet")).code == 0
    reader = StoreReader(workspace / STORE)
    (candidate,) = reader.candidates("study-1")
    assert candidate.state == "failed"
    assert "without a readable tool call" in candidate.failure


async def test_a_budget_is_warned_of_once_and_what_is_left_is_shown(bubblewrap: None, workspace: Path) -> None:
    """Through a stop and a resume: the cost goes on from where it was."""
    async with scripted_server(otherwise=ANSWER) as server:
        # A call of 15 tokens costs $0.00015; a trial makes one or two.
        at(server, workspace)
        first = await lorimer(
            workspace, "optimize", "--json", "--set", "budget.trials=3", "--set", "budget.candidates=1"
        )
        assert first.code == 0, first
        lines = first.lines()
        warned = [(line["bound"]["key"], line["percent"]) for line in lines if line["event"] == "BudgetWarning"]
        assert warned == [("budget.trials", 50), ("budget.trials", 95)]
        spent = [line["usd"] for line in lines if line["event"] == "BudgetUsed"][-1]
        assert spent > 0
        again = await lorimer(workspace, "resume", "--json", "--set", "budget.trials=3", "--set", "budget.candidates=1")
        assert [line for line in again.lines() if line["event"] == "BudgetWarning"] == []
        more = await lorimer(
            workspace, "resume", "--json", "--set", "budget.trials=300", "--set", "budget.candidates=1"
        )
        used: list[Any] = [line for line in more.lines() if line["event"] == "BudgetUsed"]
        assert used[0]["usd"] == pytest.approx(spent)
        assert used[-1]["usd"] > spent
        assert used[-1]["left"][0]["limit"] == 300
    status = await lorimer(workspace, "status")
    trials = StoreReader(workspace / STORE).spent("study-1").trials
    assert f"  left        {300 - trials} of 300 trials, 0 of 1 candidates" in status.out
    assert "  warned      budget.trials: 95% of 3 used" in status.out


# ---- a grid

GRID = """
task = ["local/model"]
meta = ["local/model", "local/other"]
searches = 1

[budget]
trials = 408
"""
"""Two pairings with a search each, of one candidate."""
STUDIES = ("pairs-model.model-1", "pairs-model.other-1")
MIDDLE = 20
"""Calls after which both searches have begun and neither is over: each takes 16 or more."""


def grid_at(server: ScriptedServer, root: Path, window: float) -> None:
    """Point a workspace with a grid at the server. Calls are tried again for so many seconds."""
    at(server, root, 30.0, "gate.alpha=0.49", "gate.holdout_repeats=2", window=window)
    (root / "pairings.toml").write_text(GRID)


async def whole(root: Path) -> None:
    """Every search has come to its end as if nothing had been wrong: no trial that failed, none that was scored twice."""
    found = (await lorimer(root, "compare", "--report", "--json")).lines()[-1]["result"]
    assert [(each["state"], each["candidates"], each["promoted"]) for each in found["searches"]] == 2 * [
        ("finished", 1, 0)
    ]
    assert scored_twice(root) == []
    planned = {name.rpartition("/")[0] for name in rows(root)}
    scored = {name.rpartition("/")[0] for name, (state, _) in rows(root).items() if state == "scored"}
    assert planned == scored
    made = {row.id: row.numbers for study in STUDIES for row in StoreReader(root / STORE).decisions(study)}
    scores = [made[f"{study}/baseline/{stage}"] for study in STUDIES for stage in ("baseline", "holdout")]
    assert [(each["trials"], each["errored"]) for each in scores] == 2 * [(2, 0), (4, 0)]


@pytest.mark.hostile  # the test after it has an outage in a grid, too
async def test_a_grid_rides_through_an_outage_in_its_middle(bubblewrap: None, workspace: Path) -> None:
    bad = (DOWN, Reply(DOWN.body, status=503), Reply(LIMITED.body, status=429, headers={"Retry-After": "0"}), GONE)
    outage = iter(2 * bad)
    async with scripted_server() as server:
        grid_at(server, workspace, 60.0)
        server.from_now_on(lambda request: next(outage, ANSWER) if len(server.requests) > MIDDLE else ANSWER)
        said = await lorimer(workspace, "compare", "--quiet")
    assert said.code == 0, said
    assert next(outage, None) is None, "it came before the grid ended"
    await whole(workspace)
    assert {state for state, _ in rows(workspace).values()} == {"scored"}
    assert all(name.endswith("/0") for name in rows(workspace)), "no trial was begun twice"
    assert (await lorimer(workspace, "verify")).code == 0


async def test_a_grid_whose_provider_stays_away_is_paused_and_goes_on(bubblewrap: None, workspace: Path) -> None:
    async with scripted_server() as server:
        grid_at(server, workspace, 1.0)

        async def reply(request: Request) -> Reply:
            if len(server.requests) == MIDDLE:
                await server.go_down()
            return ANSWER

        server.from_now_on(reply)
        said = await lorimer(workspace, "compare", "--quiet")
        assert said.code == 1, said
        named = re.fullmatch(
            r"lorimer: (\S+) is paused, and the grid with it: provider local/model: failed \d+ times, retry window of 1 s used "
            r"up: Connection error: .*; the same `lorimer (compare) -C (\S+)` goes on\n",
            said.err,
        )
        assert named, said
        assert (named[1] in STUDIES, named[3]) == (True, str(workspace))
        status = await lorimer(workspace, "status", "--study", named[1])
        assert f"{named[1]} (optimize): paused: provider local/model: " in status.out
        before = rows(workspace)
        assert ("errored", "provider_outage") in before.values()
        assert {cause for state, cause in before.values() if state != "scored"} <= {"provider_outage", "cancelled"}

        await server.listen()
        again = await lorimer(workspace, named[2], "--quiet")
        assert again.code == 0, again
        assert "Cannot tell: " in again.out
    assert before.items() <= rows(workspace).items()
    await whole(workspace)
