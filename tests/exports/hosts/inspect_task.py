"""A task of Inspect: one instruction, solved where a command says so."""

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer
from inspect_ai.solver import TaskState
from inspect_ai.util import sandbox


@task
def one(instruction: str, check: str) -> Task:
    """The task."""
    return Task(dataset=[Sample(input=instruction)], scorer=held(check), sandbox="local")


@scorer(metrics=[accuracy()])
def held(check: str) -> Scorer:
    """1 where the command's exit code is 0."""

    async def score(state: TaskState, target: Target) -> Score:
        done = await sandbox().exec(["sh", "-c", check])
        return Score(value=1.0 if done.success else 0.0, answer=state.output.completion)

    return score
