"""One task, solved by a harness in this process."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorimer.errors import HarnessError, UserError
from lorimer.exports.runtime.machine import LocalMachine, container
from lorimer.exports.runtime.model import HttpModel
from lorimer.exports.runtime.settings import Settings, endpoint
from lorimer.harness.api import Task

HARNESS = "agent.py"


@dataclass(frozen=True)
class Solved:
    """What came of a task."""

    answer: str
    calls: int
    tokens: int
    seconds: float


def load_harness(folder: Path) -> Any:
    """The `solve` of a folder's harness. Raises UserError, HarnessError."""
    path = folder / HARNESS
    if not path.is_file():
        raise UserError(f"{path}: there is no harness", "name a folder that `lorimer export` wrote")
    # Data classes look their module up by its name. It is no name that another winner, or the program around it, may have.
    name = f"lorimer_agent_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)  # another thread may have loaded the same in vain
        raise
    solve = getattr(module, "solve", None)
    if not callable(solve):
        raise HarnessError(f"{path}: defines no function `solve`")
    return solve


def text_of(answer: object, folder: Path) -> str:
    """What a folder's harness answered. Raises HarnessError for what is no text."""
    if not isinstance(answer, str):
        raise HarnessError(f"{folder / HARNESS}: solve returned {type(answer).__name__}, not str")
    return answer


def solve(
    folder: Path,
    settings: Settings,
    instruction: str,
    *,
    workdir: Path = Path(),
    image: str | None = None,
    network: bool = False,
) -> Solved:
    """Have a folder's harness solve a task.

    Args:
        workdir: where commands run, without an image.
        image: a Docker image in a container of which commands run.
        network: whether that container has one.

    Raises UserError, PrerequisiteError, HarnessError, ProviderOutage; what the harness itself raises passes through.
    """
    if not instruction.strip():
        raise UserError("the task is empty", "say what is to be done")
    if image is None and not workdir.is_dir():
        raise UserError(f"{workdir}: no such folder", "name one that is there")
    run, began = load_harness(folder), time.monotonic()
    deadline = began + settings.seconds
    model = HttpModel(settings, endpoint(settings), deadline)
    where = (
        nullcontext(LocalMachine(workdir, settings, deadline))
        if image is None
        else container(image, settings, deadline, network=network)
    )
    with where as machine, model.to_blame():
        task = Task(instruction, machine.workdir, settings.seconds, settings.calls)
        answer = run(task, machine, model)
    return Solved(text_of(answer, folder), model.calls, model.tokens, time.monotonic() - began)
