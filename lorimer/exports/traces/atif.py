"""Harbor's Agent Trajectory Interchange Format (ATIF 1.8): one JSON file per trial, in a folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lorimer
from lorimer.exports.runtime.atif import AnsweredTurn, Steps
from lorimer.exports.trajectories import RecordedStep, TrialTrace, happened, output_of, valid
from lorimer.exports.wrote import Wrote, free, new_file
from lorimer.kinds import StepKind
from lorimer.meta_agent.reports.export import put
from lorimer.traces.schema import ModelCallData

PLACE = "traces-atif"


def write(found: Iterator[TrialTrace], place: str, *, force: bool) -> Wrote:
    """Write a folder. Raises UserError where it holds anything and `force` is not set, or cannot be written."""
    folder, files = Path(place), 0
    free(folder, force=force)
    for trace in found:
        told, pictures = trajectory(trace)
        put(folder, pictures, force=True)
        with new_file(folder / file_name(trace.trial.id), force=True) as file:
            json.dump(told, file, ensure_ascii=False, indent=1)
        files += 1
    return Wrote(files, f"{files:,} files")


def file_name(trial: str) -> str:
    """The trial's id in letters that every file system takes, with a part of its SHA-256, so that no two are alike."""
    told = re.sub(r"[^A-Za-z0-9._-]+", "_", trial)[-150:].lstrip("._-")
    return f"{told}-{hashlib.sha256(trial.encode()).hexdigest()[:8]}.json"


def trajectory(trace: TrialTrace) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A trial as one trajectory, and the pictures that it names, by their paths beside it."""

    def at(seconds: float) -> str:
        return trace.at(seconds).isoformat(timespec="milliseconds")

    trial, steps = trace.trial, Steps(trace.task.instruction, at(0.0))
    for event in trace.events:
        if event.call is not None:
            steps.turn(_turn(event, event.call, trial.model, at))
        elif event.step.kind != StepKind.VERDICT:
            _happened(event, steps.found[-1])
    agent = {
        "name": "lorimer",
        "version": lorimer.__version__,
        **({"model_name": trial.model} if trial.model else {}),
        "extra": {"harness": trial.harness, "candidate": trace.candidate},
    }
    totals = {
        "total_prompt_tokens": trial.input_tokens,
        "total_completion_tokens": trial.output_tokens,
        "total_cached_tokens": trial.cached_tokens,
        **({} if trial.cost_usd is None else {"total_cost_usd": trial.cost_usd}),
    }
    extra = {
        "study": trial.study,
        "stage": trial.stage,
        "task": trial.task,
        "split": trace.task.split,
        "repeat": trial.repeat,
        "attempt": trial.attempt,
        "state": trial.state,
        "reward": trial.reward,
        "rewards": trial.rewards,
        "cause": trial.cause,
        "detail": trial.detail,
        "answer": trial.answer,
        "seconds": trial.seconds,
    }
    return valid(steps.whole(agent, trial.id, totals, trajectory_id=trial.id, extra=extra)), steps.pictures


def _turn(event: RecordedStep, call: ModelCallData, model: str, at: Callable[[float], str]) -> AnsweredTurn:
    own: dict[str, Any] = {} if call.model == model else {"model_name": call.model}
    if call.settings.get("effort"):
        own["reasoning_effort"] = call.settings["effort"]
    index = event.step.index
    return AnsweredTurn(
        number=index,
        base=event.base,
        kept=event.kept,
        heard=call.messages,
        system=call.system,
        tools=call.tools,
        completion=call.completion,
        began=at(call.at),
        ended=at(call.at + call.seconds),
        cost_usd=call.cost_usd,
        own=own,
        extra={"step": index, **({"recorded": True} if call.recorded else {})},
    )


def _happened(event: RecordedStep, step: dict[str, Any]) -> None:
    """What a harness did goes to the step that it followed. The output of a command is what that step observed, where the
    model did not ask for it by a tool call: there the tool's answer stands, as the model was told it."""
    step.setdefault("extra", {}).setdefault("events", []).append(happened(event))
    if event.step.kind == StepKind.EXEC and step["source"] == "agent" and "tool_calls" not in step:
        result = {"content": output_of(event), "extra": {"step": event.step.index}}
        step.setdefault("observation", {"results": []})["results"].append(result)
