"""Each harness to begin with does its work in a jail, with the answers that models really give."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import get_args

import pytest

from lorimer import scaffold
from lorimer.benchmarks.base import Task
from lorimer.harness import version
from lorimer.harness.api import Completion, Message, ToolCall, Usage, assistant
from lorimer.kinds import SeedName, StepKind
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.task_agent.spec import Harness
from tests.cli.support import refused
from tests.support.trials import Played, make_task, open_provider, play

SEEDS: tuple[SeedName, ...] = get_args(SeedName)
WRITE = "echo 42 > /app/answer.txt"
CHECK = 'test "$(cat /app/answer.txt)" = 42 && echo 1 > /logs/verifier/reward.txt || echo 0 > /logs/verifier/reward.txt'

NATIVE = assistant("I write it.", [ToolCall("1", "shell", {"command": WRITE})])
JSON = assistant(json.dumps({"name": "shell", "arguments": {"command": WRITE}}))
QWEN = assistant(
    f"<tool_call>\n<function=shell>\n<parameter=command>\n{WRITE}\n</parameter>\n</function>\n</tool_call>"
)
DOUBLED = assistant(f'{{{{"name": "shell", "arguments": {{{{"command": "{WRITE}"}}}}}}}}')
FENCED = assistant(f"I write it:\n\n```bash\n{WRITE}\n```\n")
CODE = assistant("```python\nprint(42)\n```\nYou solve a task on a Linux machine.")
BROKEN = assistant('{"name": "shell", "arguments": {"command": "echo "42""}}, so it is')
WORDS = assistant("The answer is 42.")
DONE = assistant("DONE")


def seed(name: str) -> Harness:
    return Harness((files("lorimer") / "harness" / "seeds" / f"{name}.py").read_text(encoding="utf-8"))


async def played(
    folder: Path, name: str, *said: Message, task: Task | None = None, heard: list[str] | None = None
) -> Played:
    """One trial, in which the model says these, and the last of them for ever. `heard` gets what the model was told last."""
    left: Iterator[Message] = iter(said)

    def answer(request: ModelRequest, context: CallContext) -> ModelReply:
        if heard is not None:
            heard.append(f"{request.system}\n{request.messages[-1].text}")
        return ModelReply(Completion(next(left, said[-1]), "end", Usage(10, 2)), cost_usd=0.0)

    provider = open_provider("bubblewrap")
    try:
        return await play(provider, task or make_task(folder, CHECK), seed(name), answer=answer)
    finally:
        await provider.close()


def commands_of(trial: Played) -> list[str]:
    return [str(step.data["command"]) for step in trial.sink.steps if step.kind is StepKind.EXEC]


@pytest.mark.parametrize("name", SEEDS)
def test_a_seed_keeps_the_contract(name: str) -> None:
    version.check(seed(name).text, max_bytes=16_000)


@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    ("name", "said", "calls"),
    [
        ("react", (NATIVE, DONE), 2),
        ("react", (JSON, DONE), 2),
        ("react", (QWEN, DONE), 2),
        ("react", (DOUBLED, DONE), 2),
        ("react", (FENCED, DONE), 2),
        ("react", (WORDS, WORDS, FENCED, DONE), 4),
        ("react", (BROKEN, JSON, DONE), 3),
        ("blocks", (FENCED, DONE), 2),
        ("blocks", (WORDS, FENCED, DONE), 3),
        ("blocks", (JSON, DONE), 2),
        ("blocks", (FENCED, FENCED), 2),
        ("oneshot", (FENCED,), 1),
        ("plain", (NATIVE, DONE), 2),
        ("plain", (JSON, DONE), 2),
    ],
)
async def test_a_seed_solves_a_task_with_what_models_say(
    name: str, said: tuple[Message, ...], calls: int, tmp_path: Path
) -> None:
    trial = await played(tmp_path, name, *said)
    assert (trial.end.state, trial.end.cause, trial.end.reward) == ("scored", "finished", 1.0), trial.end
    assert trial.end.used.calls == calls


@pytest.mark.bubblewrap
@pytest.mark.parametrize(
    ("name", "said", "calls"),
    [("react", (CODE, WORDS), 2), ("blocks", (CODE, CODE), 2), ("blocks", (CODE, DONE), 2), ("oneshot", (CODE,), 1)],
)
async def test_code_in_an_answer_goes_into_the_file_that_the_task_names(
    name: str, said: tuple[Message, ...], calls: int, tmp_path: Path
) -> None:
    check = 'test "$(cat /app/answer.py)" = "print(42)" && echo 1 > /logs/verifier/reward.txt'
    task = make_task(tmp_path, check, instruction="Write a program that prints 42 to /app/answer.py.")
    trial = await played(tmp_path, name, *said, task=task)
    assert (trial.end.state, trial.end.cause, trial.end.reward) == ("scored", "finished", 1.0), trial.end
    assert trial.end.used.calls == calls


@pytest.mark.bubblewrap
@pytest.mark.parametrize(("name", "told"), [("react", CODE), ("blocks", assistant(f"DONE\n\n{CODE.text}"))])
async def test_code_that_is_told_after_the_work_overwrites_nothing(name: str, told: Message, tmp_path: Path) -> None:
    task = make_task(tmp_path, CHECK, instruction="Write a program that prints 42 to /app/answer.py.")
    trial = await played(tmp_path, name, FENCED, told, DONE, task=task)
    assert commands_of(trial) == [WRITE]


@pytest.mark.bubblewrap
async def test_blocks_saves_the_file_of_an_answer_and_then_runs_its_commands(tmp_path: Path) -> None:
    task = make_task(tmp_path, CHECK, instruction="Write a program that prints 42 to /app/answer.py.")
    both = assistant("```bash\npython3 /app/answer.py > /app/answer.txt\n```\n\n```python\nprint(42)\n```")
    trial = await played(tmp_path, "blocks", both, DONE, task=task)
    saved = "cat > /app/answer.py <<'END_OF_FILE'\nprint(42)\nEND_OF_FILE"
    assert commands_of(trial) == [f"{saved}\npython3 /app/answer.py > /app/answer.txt"]
    assert (trial.end.reward, trial.end.used.calls) == (1.0, 2)


@pytest.mark.bubblewrap
async def test_blocks_offers_to_end_only_after_commands_that_worked(tmp_path: Path) -> None:
    failed = assistant("```bash\nfalse\n```")
    heard: list[str] = []
    await played(tmp_path, "blocks", failed, FENCED, DONE, heard=heard)
    assert ["DONE" in each for each in heard] == [False, False, True]
    assert "That failed" in heard[1]


@pytest.mark.bubblewrap
@pytest.mark.parametrize(("name", "calls"), [("react", 3), ("blocks", 3), ("oneshot", 1), ("plain", 2)])
async def test_a_model_that_only_talks_is_asked_again_and_then_left(name: str, calls: int, tmp_path: Path) -> None:
    trial = await played(tmp_path, name, WORDS)
    assert (trial.end.reward, trial.end.used.calls) == (0.0, calls)
    assert not [step for step in trial.sink.steps if step.kind is StepKind.EXEC]


@pytest.mark.bubblewrap
async def test_a_call_that_cannot_be_read_is_answered_with_what_is_wrong(tmp_path: Path) -> None:
    trial = await played(tmp_path, "react", BROKEN, JSON, DONE)
    told = trial.model.requests[1].messages[-1].text
    assert told.startswith(
        "Output of the command:\nError: the call could not be read: not valid JSON: Expecting ',' delimiter"
    )


@pytest.mark.parametrize("name", SEEDS)
def test_init_begins_with_the_harness_that_is_asked_for(name: SeedName, tmp_path: Path) -> None:
    scaffold.init(tmp_path / "w", harness=name, own_repository=True)
    assert (tmp_path / "w" / "harness" / "agent.py").read_text() == seed(name).text


@pytest.mark.parametrize(("model", "name"), [("simulated/apprentice", "plain"), ("openai/gpt-6.1-terra", "react")])
def test_init_takes_react_except_for_a_simulated_model(model: str, name: str, tmp_path: Path) -> None:
    scaffold.init(tmp_path / "w", model=model, own_repository=True)
    assert (tmp_path / "w" / "harness" / "agent.py").read_text() == seed(name).text
    shown = subprocess.run(["git", "-C", tmp_path / "w", "status", "--porcelain"], capture_output=True, check=True)
    assert shown.stdout == b""


def test_a_harness_that_there_is_not_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, 2, "init", tmp_path / "w", "--harness", "langgraph")
    assert said.startswith(
        "lorimer: invalid value for '--harness': 'langgraph' is not one of 'react', 'blocks', 'oneshot', 'plain'; see "
    )
    assert not (tmp_path / "w").exists()
