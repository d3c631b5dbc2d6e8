"""One trial, or one proposal session, step by step: as text and as JSON."""

from __future__ import annotations

import re
from typing import Any

from lorimer.errors import UserError
from lorimer.harness.api import Message
from lorimer.meta_agent.ledger.fired import fired_in_trial
from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.state.sealed import hidden
from lorimer.terminal.opening import pick_experiments
from lorimer.traces import chain
from lorimer.traces.base import StudyReader
from lorimer.traces.effects import each_hunk
from lorimer.traces.schema import StepKind
from lorimer.traces.tables import Candidate, Step, Trial
from lorimer.wording import count, dollars, visible

SHOWN_CHARS = 2_000
"""The characters of one text in `traces show`, head and tail; `--full` shows everything."""

LINES_CHARS = 400
"""Characters for the ranges of lines that ran; `--json` has all."""


def trajectory(reader: StudyReader, name: str, study: str | None = None, *, sealed: bool = False) -> Trial | Candidate:
    """Whose steps are meant: a candidate's, for the meta-agent's session that proposed it, or a trial's.

    Args:
        name: a candidate's id, or its last part as `log` prints it; a trial's id or a unique beginning of it.
        study: whose candidate a short name means; the latest study's where `None`.
        sealed: whether a trial of a sealed task may be read while its study goes on.

    Raises UserError, also for such a trial.
    """
    if re.fullmatch(r"c\d+", name):
        owner, _ = pick_experiments(reader, study)
        found = reader.candidate(f"{owner.id}/{name}")
        if found is None:
            raise UserError(f"study {owner.id} has no candidate {name}; `lorimer log --study {owner.id}` lists them")
        return found
    whose = reader.candidate(name) or reader.trial(name)
    if isinstance(whose, Trial) and not sealed and hidden(reader.study(whose.study), whose):
        raise UserError(
            f"{whose.id} is of a sealed task, which people may steer by; it is told once {whose.study} has finished",
            "--sealed shows it now",
        )
    return whose


def trajectory_value(reader: StudyReader, found: Trial | Candidate, first: int, last: int | None) -> dict[str, Any]:
    """A trial or a proposal session with its steps as JSON has them; a model call shows the messages that it added."""
    steps = []
    for step in reader.steps(found.id, first, last):
        data = dict(step.data)
        if step.kind == StepKind.MODEL_CALL:
            call = reader.added(step)
            data = {
                "added": call.messages,
                "reply": call.completion.message,
                "stop_reason": call.completion.stop_reason,
                "error": call.completion.error,
                "usage": call.completion.usage,
                "cost_usd": call.cost_usd,
                "settings": call.settings,
            }
        steps.append({"index": step.index, "kind": step.kind, "at": step.at, "seconds": step.seconds, "data": data})
    if isinstance(found, Candidate):
        return {"candidate": found.model_dump(), "steps": steps}
    conditions, lines = reader.trial_conditions(found.id), _lines_value(reader, found)
    gone = steps_dropped(reader, found, len(steps) or reader.step_count(found.id))
    said = {"dropped": gone} if gone else {}
    return {"trial": found.model_dump(), "conditions": conditions, "lines": lines, **said, "steps": steps}


def _lines_value(reader: StudyReader, trial: Trial) -> dict[str, Any] | None:
    lines = reader.trial_lines(trial.id)
    if lines is None:
        return None
    edit = fired_in_trial(reader, trial)
    fired = {"fired": [each.fired for each in edit[1]], "before": [each.step for each in edit[1]]} if edit else {}
    return {"ran": lines.ran.ranges, "whole": lines.ran.whole, "fired": None, "before": None, **fired}


def steps_dropped(reader: StudyReader, found: Trial | Candidate, steps: int) -> str:
    """That and when the steps of a trial were dropped, as a sentence; "" where it has `steps`, or they were not."""
    if steps or isinstance(found, Candidate):
        return ""
    said = chain.dropped(reader.chain(found.study, "dropped"), found.id)
    return f"its steps {said}; its verdict, totals and answer stay" if said else ""


def trajectory_text(reader: StudyReader, found: Trial | Candidate, first: int, last: int | None, *, full: bool) -> str:
    """A trial or a proposal session for people: how it ended, then every step as it happened."""
    lines = (
        _candidate_head(found)
        if isinstance(found, Candidate)
        else _trial_head(found) + _conditions(reader, found) + _lines(reader, found)
    )
    total = reader.step_count(found.id)
    if gone := steps_dropped(reader, found, total):
        lines.append(f"  {gone}")
    replies: list[Message] = []
    for step in reader.steps(found.id, first, last):
        lines.append("")
        lines += _step_lines(reader, step, total, full, replies)
    if isinstance(found, Trial) and last is None:
        if found.answer:
            lines += ["", "answer:", _indented(found.answer, full)]
        if found.verifier_output:
            lines += ["", "verifier output:", _indented(found.verifier_output, full)]
    return visible("\n".join(lines))  # models, tasks and agents wrote most of it


def _candidate_head(candidate: Candidate) -> list[str]:
    lines = [candidate.id, f"  {candidate.state}" + (f": {candidate.failure}" if candidate.failure else "")]
    if candidate.title:
        lines += [f"  {candidate.title}", f"  {candidate.hypothesis}"]
    for hunk in candidate.edit:
        lines += [f"  - {line}" for line in hunk["search"].splitlines()]
        lines += [f"  + {line}" for line in hunk["replace"].splitlines()]
    return lines


def _trial_head(trial: Trial) -> list[str]:
    calls = count(trial.model_calls, "call") + (f" ({trial.refused_calls} refused)" if trial.refused_calls else "")
    tokens = f"{trial.input_tokens} tokens in, {trial.output_tokens} out"
    return [
        trial.id,
        f"  {trial.state}, reward {'-' if trial.reward is None else f'{trial.reward:g}'}, {trial.cause}"
        + (f": {trial.detail}" if trial.detail else ""),
        *(f"  {flag}" for flag in trial.flags),
        f"  {trial.model or 'no model'}, {calls}, {tokens}, {dollars(trial.cost_usd)}, {trial.seconds:.1f} s"
        f" in {trial.sandbox}, harness {trial.harness[:12]}, network {'on' if trial.network else 'off'}",
        *_replayed(trial),
    ]


def _replayed(trial: Trial) -> list[str]:
    """What of a trial was answered from the record of another one."""
    if not trial.recorded_trial:
        return []
    if trial.ran_whole:
        return [f"  whole and live, though there is a record of {trial.recorded_trial}: {trial.ran_whole}"]
    until = "to its end" if trial.touch is None else f"up to its call {trial.touch}, and live from there"
    calls, usd = count(trial.saved_calls, "call"), dollars(trial.saved_usd)
    saved = f"{calls}, {trial.saved_tokens} tokens, {usd}, {trial.saved_seconds:.1f} s"
    return [f"  answered from the record of {trial.recorded_trial} {until}", f"  that saved {saved} of those above"]


def _conditions(reader: StudyReader, trial: Trial) -> list[str]:
    ran = reader.trial_conditions(trial.id)
    if ran is None:
        return []
    images = f", on {', '.join(ran.images)}" if ran.images else ""
    return [f"  ran at concurrency {ran.concurrency}{images}", *(f"  answered as {name}" for name in ran.answered)]


def _lines(reader: StudyReader, trial: Trial) -> list[str]:
    """Which lines of the harness ran, as its own process told."""
    told = reader.trial_lines(trial.id)
    if told is None:
        return []
    ran = told.ran
    more = "" if ran.whole else "; it was ended before it said the last, so others may have run"
    shown = str(ran)
    lines = [f"  lines of agent.py that ran: {shown if len(shown) <= LINES_CHARS else f'{shown[:LINES_CHARS]}…'}{more}"]
    edit = fired_in_trial(reader, trial)
    if edit is not None:
        lines.append(f"  of the edit of {short(edit[0].number)} {each_hunk(edit[1])}")
    return lines


def _step_lines(reader: StudyReader, step: Step, total: int, full: bool, replies: list[Message]) -> list[str]:
    """A step as lines. `replies` holds what the model said in the steps before, and grows by what it says in this one."""
    data = step.data
    head = f"[{step.index}/{total - 1}] {step.at:8.2f}s {step.kind}{' (recorded)' if data.get('recorded') else ''}"
    if step.kind == StepKind.MODEL_CALL:
        call = reader.added(step)
        usage = call.completion.usage
        head += (
            f"  {call.model}, {usage.input_tokens} tokens in ({usage.cached_tokens} cached), {usage.output_tokens} out"
            f"{' (estimated)' if usage.estimated else ''}"
        )
        head += f", {step.seconds:.1f} s" + (f" after {call.waited_seconds:.0f} s of waiting" if call.retries else "")
        lines = [head]
        if call.system and step.index == 0:
            lines += ["  system:", _indented(call.system, full)]
        for message in call.messages:
            if message not in replies:  # it has been shown, as the reply of an earlier call
                lines += _message_lines(message, full)
        lines += _message_lines(call.completion.message, full)
        replies.append(call.completion.message)
        lines.append(f"  stop: {call.completion.stop_reason} {call.completion.error}".rstrip())
        return lines
    if step.kind == StepKind.EXEC:
        status = "timed out" if data["timed_out"] else f"exit code {data['exit_code']}"
        lines = [f"{head}  {status}, {step.seconds:.2f} s", _indented("$ " + data["command"], full)]
        lines += [_indented(data[stream], full) for stream in ("stdout", "stderr") if data[stream]]
        return lines
    if step.kind in (StepKind.READ, StepKind.WRITE):
        return [f"{head}  {data['path']}  {data.get('error') or str(data['bytes']) + ' bytes'}"]
    if step.kind == StepKind.VERDICT:
        reward = data["reward"]
        return [f"{head}  {data['state']}, reward {'-' if reward is None else f'{reward:g}'}, {data['cause']}"]
    return [head, _indented(str(data.get("text", "")), full)]


def _message_lines(message: Message, full: bool) -> list[str]:
    lines = [f"  {message.role}:"]
    lines += ["    (reasoning)\n" + _indented(block.text, full) for block in message.reasoning if block.text]
    if message.text:
        lines.append(_indented(message.text, full))
    lines += [f"    {image}" for image in message.images]
    for call in message.tool_calls:
        arguments = call.malformed or ", ".join(f"{name}={value}" for name, value in call.arguments.items())
        lines.append(_indented(f"-> {call.name}({arguments})", full))
    return lines


def _indented(text: str, full: bool) -> str:
    if not full and len(text) > SHOWN_CHARS:
        half = SHOWN_CHARS // 2
        text = f"{text[:half]}\n[... {len(text) - SHOWN_CHARS} characters; --full shows them ...]\n{text[-half:]}"
    return "\n".join(f"    {line}" for line in text.splitlines())
