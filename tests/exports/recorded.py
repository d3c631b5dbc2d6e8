"""A winner with a trial of its own: its harness ran in lorimer's jail, asked a model over HTTP and was scored.

What the model answered is read back from the store, so that a server can give the exported harness the same answers.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lorimer
from lorimer.config.settings import BudgetSettings
from lorimer.exports.winner import Winner, winner_of
from lorimer.harness.api import Completion
from lorimer.harness.version import sha
from lorimer.kinds import Stage, StepKind
from lorimer.task_agent.limits import Budget, Metered
from lorimer.task_agent.spec import spec_of
from lorimer.task_agent.trial import Machine, run_trial
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import PlannedTrial, TrialStart
from lorimer.traces.tables import Evaluation, Trial
from lorimer.traces.writing.store import Store
from tests.meta_agent.test_export import fill
from tests.support.model_clients import client, good
from tests.support.scripted_server import Reply, scripted_server
from tests.support.trials import config, make_task, open_provider

INSTRUCTION = "Write the word hi into made.txt."
CHECK = "grep -qx hi made.txt"
"""Whether the task is solved: a command in the folder of the task."""
REACT = (Path(lorimer.__file__).parent / "harness" / "seeds" / "react.py").read_text(encoding="utf-8")
WRITES = ("1", "shell", {"command": "echo hi > made.txt; cat made.txt"})
MISTAKES = ("2", "shell", {"command": "echo ho > made.txt; cat made.txt >&2; exit 3"})
SOLVED = (good("chat", "I write it.", [WRITES]), good("chat", "It is done."))
FAILED = (good("chat", "I try.", [MISTAKES]), good("chat", "It is done, I think."))
"""What a model says in a trial that is solved, and in one that is not."""


@dataclass(frozen=True)
class Recorded:
    """A winner, and how one of its trials went."""

    winner: Winner
    reader: StoreReader
    trial: Trial
    said: tuple[dict[str, Any], ...]
    """The bodies of the model's answers, as the store has them."""
    asked: tuple[dict[str, Any], ...]
    """What the model was sent: of each request its messages and tools."""
    commands: tuple[tuple[str, str, str, int], ...]
    """Each with its stdout, stderr and exit code."""


async def recorded(folder: Path, *answers: dict[str, Any]) -> Recorded:
    """Run the trial. Skips the test where bubblewrap does not work."""
    provider = open_provider("bubblewrap")
    path, harness = folder / "traces.db", sha(REACT)
    await fill(path, better=REACT, instruction=INSTRUCTION, task_model="local/model")
    task = make_task(
        folder, f"cd /app && {CHECK}; echo $((1 - $?)) > /logs/verifier/reward.txt", name="a", instruction=INSTRUCTION
    )
    planned = PlannedTrial("demo/c003/audit/a#0", "demo", "demo/c003/audit", Stage.AUDIT, harness, "a", 0, 7)
    async with scripted_server(*map(Reply, answers)) as server, client(server.url, "chat") as model:
        with Store.open(path) as store:
            await store.add_evaluation(
                Evaluation(id=planned.evaluation, study="demo", stage=Stage.AUDIT, harness=harness, plan=[["a", 0]])
            )
            metered = Metered(model, Budget("demo", BudgetSettings(), store), store, 8192)
            start = TrialStart(planned, 0, model.id)
            try:
                end = await run_trial(
                    Machine(provider, store, metered, lambda seconds, why: None),
                    spec_of(start, REACT, task, config()),
                    task,
                )
            finally:
                await provider.close()
            await store.close_trial(end)
        asked = tuple(map(conversation, server.bodies))
    reader = StoreReader(path)
    steps = list(reader.trajectory(end.id))
    said = tuple(_body(call.completion) for _, call in steps if call is not None)
    commands = tuple(
        (step.data["command"], step.data["stdout"], step.data["stderr"], step.data["exit_code"])
        for step, _ in steps
        if step.kind == StepKind.EXEC
    )
    return Recorded(winner_of(reader, "demo"), reader, reader.trial(end.id), said, asked, commands)


def _body(completion: Completion) -> dict[str, Any]:
    """A recorded answer as a provider sends it, with all that strict clients read."""
    calls = [(each.id, each.name, dict(each.arguments)) for each in completion.tool_calls]
    body, used = good("chat", completion.text, calls), completion.usage
    body["usage"] = {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.input_tokens + used.output_tokens,
    }
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "model", **body}


def conversation(body: dict[str, Any]) -> dict[str, Any]:
    """What of a request the harness wrote."""
    return {"messages": body["messages"], "tools": body["tools"]}


def solved(folder: Path) -> bool:
    """Whether the task is solved in a folder of this machine."""
    return subprocess.run(["sh", "-c", CHECK], cwd=folder, check=False).returncode == 0
