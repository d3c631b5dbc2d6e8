"""`read_trace` and the text of a step: what happened in a trial, disclosed bit by bit.

Many steps are shown in outline, one alone at full length; of a text that does not fit, both ends are shown, and the rest is read
on from a character.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from lorimer.harness.api import Message
from lorimer.kinds import StepKind
from lorimer.meta_agent.proposer.cases import Case, Cases, CaseStep, cut
from lorimer.meta_agent.proposer.diagnosis.looked_at import LookedAt

AT_ONCE = 20
"""Steps that are read from the store at a time: a page holds 5 to 40."""
WHOLE = 10**9
"""Room for any text."""
MARK = 260
"""Characters for the line that says how to read on."""


def trace(cases: Cases, looked: LookedAt, case: Case, first: int, last: int | None, room: int) -> str:
    """Steps `first` to `last` in at most about `room` characters; what is left out is said, with how to get it."""
    outline = looked.facts([case])[0].steps
    head = f"Trial {case.name}: reward {case.reward:g}; {case.ending}. {len(outline)} steps, numbered from 0."
    wanted = [step.index for step in outline if step.index >= first and (last is None or step.index <= last)]
    if not wanted:
        return f"{head}\nThere are no steps {first} to {last if last is not None else 'the end'}."
    # A single step may fill the room; of many, each is shown in outline.
    field = max(200, room - 400 if len(wanted) == 1 else max(300, min(2_000, room // 6)))
    parts, used, folded = [head], len(head), False
    for place, step in enumerate(_steps(cases, case, wanted)):
        text = step_text(step, field)
        if place and used + len(text) > room - MARK:
            parts.append(
                f"[{len(wanted) - place} more steps: read_trace with trial {case.name}, first {step.index} shows them; "
                "with first and last equal, one step is shown at full length]"
            )
            return "\n".join(parts)
        folded = folded or "characters left out …]" in text
        parts.append(text)
        used += len(text) + 1
    if folded and len(wanted) == 1:
        parts.append(f"[Read on from a character of this step: first {wanted[0]}, last {wanted[0]}, offset {field}]")
    return "\n".join(parts)


def window(cases: Cases, case: Case, index: int, offset: int, room: int) -> str:
    """The text of one step from a character on; "" where there is no such step."""
    found = cases.recorded.steps(case.name, index, index)
    if not found:
        return ""
    text = step_text(found[0], WHOLE)
    end = min(len(text), offset + max(200, room - MARK))
    head = f"Trial {case.name}, step {index}, characters {min(offset, len(text)):,} to {end:,} of {len(text):,}."
    more = f"\n[More: first {index}, last {index}, offset {end}]" if end < len(text) else ""
    return f"{head}\n{text[offset:end]}{more}"


def _steps(cases: Cases, case: Case, wanted: list[int]) -> Iterator[CaseStep]:
    for start in range(0, len(wanted), AT_ONCE):
        part = wanted[start : start + AT_ONCE]
        yield from cases.recorded.steps(case.name, part[0], part[-1])


def step_text(step: CaseStep, field: int) -> str:
    """A step as a model reads it, each text of it cut to `field` characters."""
    data = step.data
    if step.kind == StepKind.MODEL_CALL:
        return _call_text(step, field)
    if step.kind == StepKind.EXEC:
        status = "timed out" if data.get("timed_out") else f"exit code {data.get('exit_code')}"
        output = "\n".join(str(data[name]) for name in ("stdout", "stderr") if data.get(name)) or "(no output)"
        return f"[{step.index}] command, {status}: {cut(str(data.get('command', '')), field)}\n{cut(output, field)}"
    if step.kind in (StepKind.READ, StepKind.WRITE):
        what = data.get("error") or f"{data.get('bytes', 0)} bytes"
        return f"[{step.index}] file {step.kind.value}: {data.get('path', '')}: {what}"
    name = "the harness printed" if step.kind == StepKind.OUTPUT else step.kind.value
    return f"[{step.index}] {name}: {cut(str(data.get('text', '')), field)}"


def _call_text(step: CaseStep, field: int) -> str:
    call = step.call
    parts = [f"[{step.index}] model call"]
    if call is None:
        return parts[0]
    if call.begins and call.system:
        parts.append(f"system: {cut(call.system, field)}")
    # A command's output is in its own step; here only what the model was given of it matters.
    given = field if call.begins or field == WHOLE else min(field, 400)
    parts += [f"{message.role}: {cut(message.text, given)}" for message in call.messages if message.role != "assistant"]
    answer = call.completion
    if answer.reasoning:
        parts.append(f"model's reasoning: {cut(answer.reasoning, field)}")
    if answer.text:
        parts.append(f"model: {cut(answer.text, field)}")
    parts += [f"model calls {made}" for made in calls_of(answer.message, field)]
    if answer.error or answer.stop_reason not in ("end", "tool_calls", "stop"):
        parts.append(f"({answer.stop_reason}) {cut(answer.error, field)}".strip())
    return "\n".join(parts)


def calls_of(message: Message, field: int) -> list[str]:
    """A message's tool calls as lines."""
    return [
        f"{call.name}: "
        + (
            f"(not JSON) {cut(call.malformed, field)}"
            if call.malformed
            else "; ".join(
                f"{name}={cut(value if isinstance(value, str) else json.dumps(value, default=str), field)}"
                for name, value in call.arguments.items()
            )
        )
        for call in message.tool_calls
    ]
