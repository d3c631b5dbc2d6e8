"""`list_failures`: the failed trials by what went wrong, with what each kind cost and what failed trials share."""

from __future__ import annotations

from collections.abc import Sequence

from lorimer.meta_agent.proposer.cases import Case, Cases, one_line
from lorimer.meta_agent.proposer.diagnosis.kinds import KINDS, LAST, Facts, Kind, kind_of
from lorimer.meta_agent.proposer.diagnosis.looked_at import LookedAt
from lorimer.wording import count, dollars

FEWEST = 2
"""Trials named of every kind, so that one that happened once or twice is not hidden by a frequent one."""
SHARED = 6
"""Traits that are named: those that set failed trials apart most."""


def summary(cases: Cases) -> str:
    """How many trials, and how many failed."""
    if not cases.cases:
        return "No trial of this harness has been scored yet."
    mean = sum(case.reward for case in cases.cases) / len(cases.cases)
    return f"{len(cases.failures)} of {len(cases.cases)} trials failed (mean reward {mean:.2f})."


def line(case: Case) -> str:
    """A case in one line."""
    said = one_line(case.answer, 120)
    last = f'; last words: "{said}"' if said else ""
    calls = f"{case.model_calls} model calls"
    return f"- trial {case.name} (task {case.task}): reward {case.reward:g}, {calls}; {case.ending}{last}"


def scores(cases: Cases, room: int) -> str:
    """How many trials of every task were solved, for a session that may read no traces."""
    lines = [summary(cases)]
    solved = {task: [case.solved for case in cases.of_task(task)] for task in cases.tasks}
    for place, task in enumerate(each for each in cases.tasks if not all(solved[each])):
        text = f"- task {task}: {sum(solved[task])} of {len(solved[task])} trials solved"
        if sum(map(len, lines)) + len(lines) + len(text) > room - 60:
            left = sum(not all(each) for each in solved.values()) - place
            lines.append(f"[{left} more tasks with failed trials]")
            break
        lines.append(text)
    return "\n".join(lines)


def overview(looked: LookedAt, cases: Cases, limit: int, room: int) -> str:
    """The kinds with their counts, costs and first trials, `limit` trials all in all at most, in about `room` characters."""
    head = summary(cases)
    grouped = by_kind(looked)
    if not grouped:
        return head
    solved = looked.facts(looked.solved)
    tail = [text for text in (_shared(grouped, solved), looked.remark()) if text]
    heads = {kind: _heading(kind, found, len(looked.failed)) for kind, found in grouped.items()}
    left = room - len(head) - sum(map(len, [*heads.values(), *tail])) - 100 * len(heads)
    parts = [head, "By what went wrong, each trial under the first kind that fits:"]
    named = max(FEWEST, limit // len(grouped))
    for place, (kind, found) in enumerate(grouped.items()):
        share = left // (len(grouped) - place)
        lines = _fitting([line(facts.case) for facts in found[:named]], share)
        left -= sum(len(text) + 1 for text in lines)
        parts += [heads[kind], *lines]
        if len(lines) < len(found):
            parts.append(f"[{len(found) - len(lines)} more: list_failures with kind {kind.name}, first {len(lines)}]")
    return "\n".join([*parts, *tail])


def of_kind(looked: LookedAt, kind: Kind, first: int, limit: int, room: int) -> str:
    """The trials of one kind from the `first`, which counts from 0."""
    found = by_kind(looked).get(kind, [])
    if not found:
        return f"No failed trial is of the kind {kind.name}."
    parts = [_heading(kind, found, len(looked.failed))]
    lines = _fitting([line(facts.case) for facts in found[first : first + limit]], room - len(parts[0]) - 250)
    parts += lines
    after = first + len(lines)
    if after < len(found):
        parts.append(f"[{len(found) - after} more: list_failures with kind {kind.name}, first {after}]")
    if not lines:
        parts.append(f"There are {len(found)}, numbered from 0.")
    remark = looked.remark()
    return "\n".join([*parts, *([remark] if remark else [])])


def by_kind(looked: LookedAt) -> dict[Kind, list[Facts]]:
    """The failed trials that are counted, by kind; the largest kind first, of two as large the one that is surer."""
    found: dict[Kind, list[Facts]] = {}
    for facts in looked.facts(looked.failed):
        found.setdefault(kind_of(facts), []).append(facts)
    return {kind: found[kind] for kind in sorted(found, key=lambda kind: (-len(found[kind]), KINDS.index(kind)))}


def _heading(kind: Kind, found: Sequence[Facts], failed: int) -> str:
    cases = [facts.case for facts in found]
    tasks = len({case.task for case in cases})
    usd = None if any(case.usd is None for case in cases) else sum(case.usd or 0.0 for case in cases)
    cost = f"{sum(case.tokens for case in cases):,} tokens" + (f", {dollars(usd)}" if usd else "")
    of = f"{len(cases)} of {failed} failed trials, of {count(tasks, 'task')}; {cost}"
    return f"[{kind.name}] {of}: {kind.words}. {kind.why}"


def _shared(grouped: dict[Kind, list[Facts]], solved: Sequence[Facts]) -> str:
    """Traits of failed trials beside those of solved ones, those that differ most first."""
    failed = [facts for found in grouped.values() for facts in found]
    counts = {kind: (sum(map(kind.holds, failed)), sum(map(kind.holds, solved))) for kind in KINDS if kind is not LAST}

    def apart(kind: Kind) -> float:
        here, there = counts[kind]
        return here / len(failed) - (there / len(solved) if solved else 0.0)

    named = sorted((kind for kind in counts if counts[kind][0]), key=lambda kind: (-apart(kind), KINDS.index(kind)))
    told = [
        f"{kind.name} {counts[kind][0]} of {len(failed)} ({counts[kind][1]} of {len(solved)})"
        for kind in named[:SHARED]
    ]
    return f"Shared by failed trials (and, in brackets, by solved ones): {'; '.join(told)}." if told else ""


def _fitting(lines: Sequence[str], room: int) -> list[str]:
    """The first lines that fit, at least one."""
    found, used = list[str](), 0
    for text in lines:
        used += len(text) + 1
        if found and used > room:
            break
        found.append(text)
    return found
