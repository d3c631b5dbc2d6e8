"""`tool_stats`: how often each command and each of the model's tools was used, how often in vain, in failed and solved trials."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lorimer.harness.size import CHARS_PER_TOKEN
from lorimer.kinds import REFUSED, StepKind
from lorimer.meta_agent.proposer.diagnosis.kinds import Facts, bare, failed
from lorimer.meta_agent.proposer.diagnosis.looked_at import LookedAt
from lorimer.traces.schema import StepOutline

_PREFIX = re.compile(
    r"^(?:\s*#[^\n]*\n|\s|\w+=\S*\s|(?:sudo|env|time|nohup|exec|set -\w+(?: pipefail)?[;\n&]*|timeout \S+)\s"
    r"|cd [^;&\n]+(?:&&|;|\n))+"
)
_HEAD = re.compile(r"[\w./+-]+")


@dataclass
class Doing:
    """One kind of thing that was done."""

    name: str
    uses: int = 0
    failed: int = 0
    timeouts: int = 0
    chars: float = 0.0
    """Characters of output."""
    trials: dict[bool, set[str]] = field(default_factory=lambda: {False: set(), True: set()})
    """Names of failed trials and of solved ones in which it occurs."""

    def add(self, facts: Facts, *, failed: int, late: bool, chars: float, uses: int = 1) -> None:
        self.uses += uses
        self.failed += failed
        self.timeouts += late
        self.chars += chars
        self.trials[facts.case.solved].add(facts.case.name)


def stats(looked: LookedAt, first: int, room: int) -> str:
    """A table, the most used first, from row `first` in about `room` characters."""
    cases = (*looked.failed, *looked.solved)
    if not cases:
        return "No trial of this harness has been scored yet."
    facts = looked.facts(cases)
    rows = sorted(_rows(facts), key=lambda row: (-row.uses, row.name))
    head = [
        f"{len(looked.failed)} failed and {len(looked.solved)} solved trials. What was done, the most frequent first; "
        "tokens are those of the output, estimated:",
        "what | times | failed | timed out | tokens | in failed trials | in solved trials",
    ]
    remark = looked.remark()
    used = sum(map(len, head)) + len(remark) + 100
    told = list[str]()
    for row in rows[first:]:
        text = (
            f"{row.name} | {row.uses} | {row.failed} | {row.timeouts} | {int(row.chars / CHARS_PER_TOKEN):,} | "
            f"{_share(len(row.trials[False]), len(looked.failed))} | {_share(len(row.trials[True]), len(looked.solved))}"
        )
        used += len(text) + 1
        if told and used > room:
            break
        told.append(text)
    left = len(rows) - first - len(told)
    more = [f"[{left} more: tool_stats with first {first + len(told)}]"] if left > 0 else []
    return "\n".join([*head, *told, *more, *([remark] if remark else [])])


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole}"


def _rows(facts: Sequence[Facts]) -> list[Doing]:
    rows: dict[str, Doing] = {}
    for trial in facts:
        for step in trial.steps:
            for name, wrong, late, chars, uses in _uses(step):
                rows.setdefault(name, Doing(name)).add(trial, failed=wrong, late=late, chars=chars, uses=uses)
    return list(rows.values())


def _uses(step: StepOutline) -> Iterator[tuple[str, int, bool, float, int]]:
    """Name, failures, whether it ran out of time, characters and uses of what a step did."""
    if step.kind is StepKind.MODEL_CALL:
        wrong = step.stop_reason in REFUSED or step.stop_reason == "max_tokens"
        yield "the model", int(wrong), False, step.output_tokens * CHARS_PER_TOKEN, 1
        if step.called:
            yield "calls of tools", min(len(step.called), step.unreadable + step.unknown), False, 0.0, len(step.called)
    elif step.kind is StepKind.EXEC:
        yield command_kind(step.command), int(failed(step)), step.timed_out, step.output_chars, 1
    elif step.kind in (StepKind.READ, StepKind.WRITE):
        yield f"env.{step.kind.value}", int(bool(step.error)), False, 0.0, 1


def command_kind(command: str) -> str:
    """The program that a command runs first, what prepares it left out: `python`, `git diff`, `cat`."""
    rest = _PREFIX.sub("", f"{bare(command)} ", count=1)
    found = _HEAD.match(rest.strip())
    if not found:
        return "(other)"
    name = found.group().rsplit("/", 1)[-1][:30] or "(other)"
    second = (
        _HEAD.match(rest.strip()[found.end() :].strip()) if name in ("git", "pip", "npm", "cargo", "make") else None
    )
    name = re.sub(r"^(python|pip)3(?:\.\d+)?$", r"\1", name)
    return f"{name} {second.group()[:20]}" if second else name
