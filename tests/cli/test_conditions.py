"""A provider that puts another model under the same name while a study runs: the real command tells of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from tests.cli.provider import at, lorimer
from tests.support.model_clients import good
from tests.support.scripted_server import Reply, Request, scripted_server

pytestmark = [pytest.mark.bubblewrap, pytest.mark.slow]

FIRST, THEN = "gpt-x-2026-05-01", "gpt-x-2026-09-01"


async def test_a_model_that_changes_half_way_is_told_beside_the_decision(bubblewrap: None, workspace: Path) -> None:
    """The baseline is four trials of two calls."""

    def answer(request: Request) -> Reply:
        name = FIRST if len(server.requests) <= 8 else THEN
        return Reply(good("chat", "I am done.") | {"model": name})

    async with scripted_server(otherwise=answer) as server:
        at(server, workspace, 30.0, "models.meta=simulated/apprentice", "budget.candidates=1", "split.holdout=0")
        said = await lorimer(workspace, "optimize")
    assert said.code == 0, said
    told = f"; the provider answered as {FIRST} for the champion's trials and as {THEN} for these"
    assert told in said.out
    assert told in (await lorimer(workspace, "log")).out
    assert f": {told[2:]}" in (await lorimer(workspace, "status")).out
    reader = StoreReader(workspace / STORE)
    assert not any(told in row.reason for row in reader.decisions("study-1"))
    trial = reader.trials("study-1", stage="baseline")[0]
    assert f"\n  answered as {FIRST}\n" in (await lorimer(workspace, "traces", "show", trial.id)).out
    assert (await lorimer(workspace, "export", str(workspace / "winner"))).code == 0
    assert (
        f"| task model as answered | `{FIRST}` (4 trials), `{THEN}` ("
        in (workspace / "winner" / "EVIDENCE.md").read_text()
    )
