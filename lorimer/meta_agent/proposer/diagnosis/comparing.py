"""`compare_trials`: a failed and a solved trial of one task, aligned by what was done, from where they part.

What a model says differs at every call, so trials are aligned by their commands and files (difflib's matching blocks). They part
at the first of these that differs, or whose command ended otherwise or wrote more or less.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from lorimer.kinds import StepKind
from lorimer.meta_agent.proposer.cases import Case, Cases, one_line
from lorimer.meta_agent.proposer.diagnosis.looked_at import LookedAt
from lorimer.meta_agent.proposer.diagnosis.reading import step_text
from lorimer.traces.schema import StepOutline

LONGEST = 400
"""Things done that are aligned: difflib takes 60 ms for twice so many that differ, and few trials do more."""
SHOWN = 6
"""Steps of each trial that are shown from where they part."""


@dataclass(frozen=True)
class AlignedTrials:
    """Two trials, aligned."""

    rows: tuple[tuple[StepOutline | None, StepOutline | None], ...]
    """What the failed and the solved trial did, in order; beside each other where they did the same."""
    parts: int | None
    """The first row in which they differ; `None` where they do not."""


def align(failed: Sequence[StepOutline], solved: Sequence[StepOutline]) -> AlignedTrials:
    """Align two trials by what they did."""
    ours, theirs = (
        [step for step in steps if step.kind in (StepKind.EXEC, StepKind.READ, StepKind.WRITE)][:LONGEST]
        for steps in (failed, solved)
    )
    matcher = difflib.SequenceMatcher(None, [*map(done, ours)], [*map(done, theirs)], autojunk=False)
    rows: list[tuple[StepOutline | None, StepOutline | None]] = []
    for what, a, b, c, d in matcher.get_opcodes():
        if what == "equal":
            rows += zip(ours[a:b], theirs[c:d], strict=True)
        else:
            rows += [(step, None) for step in ours[a:b]] + [(None, step) for step in theirs[c:d]]
    return AlignedTrials(tuple(rows), next((place for place, row in enumerate(rows) if _differ(*row)), None))


def done(step: StepOutline) -> str:
    """What a step did, by which two are the same."""
    return f"{step.kind.value} {' '.join((step.command or step.path).split())}"


def _differ(one: StepOutline | None, other: StepOutline | None) -> bool:
    return one is None or other is None or _came_of(one) != _came_of(other)


def _came_of(step: StepOutline) -> tuple[object, ...]:
    return step.exit_code, step.timed_out, step.output_chars, step.error


def compare(cases: Cases, looked: LookedAt, failed: Case, solved: Case, room: int) -> str:
    """The two trials in about `room` characters."""
    ours, theirs = (facts.steps for facts in looked.facts([failed, solved]))
    pair = align(ours, theirs)
    head = (
        f"Failed: {failed.name} ({len(ours)} steps; {failed.ending}). Solved: {solved.name} ({len(theirs)} steps). "
        "Aligned by what was done."
    )
    place = pair.parts
    if place is None:
        both = "nothing at all" if not pair.rows else f"the same {len(pair.rows)} things, with the same result"
        parts = [f"{head}\nBoth did {both}; they differ in what was said."]
        begin, other = (ours[-1].index if ours else 0), (theirs[-1].index if theirs else 0)
    else:
        parts = [head]
        if place:
            parts.append(
                f"The first {place} are the same in both: {_listed([row[0] for row in pair.rows[:place]], room // 8)}"
            )
        begin, other = (_begin(pair.rows[place:], side, steps) for side, steps in ((0, ours), (1, theirs)))
        one, two = pair.rows[place]
        same = one is not None and two is not None
        parts.append("They part at the same command, with another result:" if same else "They part here:")
    after = [] if place is None else _outline(pair, place, room // 6)
    share = (room - sum(map(len, parts)) - sum(map(len, after)) - 200) // 2
    for word, case, index in (("failed", failed, begin), ("passed", solved, other)):
        parts += [f"== {word} ==", _shown(cases, case, index, share)]
    return "\n".join([*parts, *after])


def _begin(
    rows: Sequence[tuple[StepOutline | None, StepOutline | None]], side: int, steps: Sequence[StepOutline]
) -> int:
    """The step of one trial from which it is shown: the model call that led to what it did next, else its end."""
    step = next((row[side] for row in rows if row[side] is not None), None)
    if step is None:
        return steps[-1].index if steps else 0
    before = [each.index for each in steps if each.index < step.index and each.kind is StepKind.MODEL_CALL]
    return before[-1] if before else step.index


def _shown(cases: Cases, case: Case, first: int, room: int) -> str:
    parts, used = list[str](), 0
    steps = cases.recorded.steps(case.name, first, first + SHOWN - 1)
    for step in steps:
        text = step_text(step, max(200, room // 3))
        if parts and used + len(text) > room - 80:
            break
        parts.append(text)
        used += len(text) + 1
    last = steps[len(parts) - 1].index if parts else first
    return "\n".join([*parts, f"[read_trace with trial {case.name}, first {last + 1} goes on]"])


def _outline(pair: AlignedTrials, place: int, room: int) -> list[str]:
    """What was done from where they part on, a line each."""
    marks = {(True, True): "both", (True, False): "failed alone", (False, True): "solved alone"}
    lines, used = ["After that, in outline:"], 0
    rows = pair.rows[place:]
    for position, (one, two) in enumerate(rows):
        numbers = "/".join(str(step.index) for step in (one, two) if step is not None)
        step = one or two
        assert step is not None
        text = f"- {marks[one is not None, two is not None]} [{numbers}] {one_line(done(step), 100)}"
        if used + len(text) > room - 60:
            lines.append(f"[{len(rows) - position} more]")
            break
        lines.append(text)
        used += len(text) + 1
    return lines


def _listed(steps: Sequence[StepOutline | None], room: int) -> str:
    """The last of some steps in a line: they lead up to what follows."""
    told, used = list[str](), 0
    for step in reversed([step for step in steps if step is not None]):
        text = f"[{step.index}] {one_line(done(step), 80)}"
        if told and used + len(text) > room:
            told.append("…")
            break
        told.append(text)
        used += len(text) + 2
    return "; ".join(reversed(told))
