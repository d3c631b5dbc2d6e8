"""The tools by which the meta-agent looks at the champion's trials: what they are called, what they take, and who answers."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from lorimer.harness.api import Tool
from lorimer.meta_agent.proposer.arguments import CallRefused, count_of, text_of
from lorimer.meta_agent.proposer.cases import Case, Cases, one_line
from lorimer.meta_agent.proposer.diagnosis import listing, reading, searching, stats
from lorimer.meta_agent.proposer.diagnosis.comparing import compare
from lorimer.meta_agent.proposer.diagnosis.kinds import BY_NAME
from lorimer.meta_agent.proposer.diagnosis.looked_at import LookedAt
from lorimer.meta_agent.proposer.schemas import integer, object_schema, string

LISTED = 40
"""Failures listed where no limit is given."""
HITS = 20

LIST_FAILURES = Tool(
    "list_failures",
    "List the failed trials of the current harness by what went wrong.",
    object_schema(
        kind=string("One kind alone, as named in [brackets]."),
        first=integer("From which trial of the kind on."),
        limit=integer("How many."),
    ),
)
TRACE_TOOLS: tuple[Tool, ...] = (
    Tool(
        "read_trace",
        "Read what happened in a trial: model calls, commands, outputs.",
        object_schema(
            ("trial",),
            trial=string("Its name in list_failures."),
            first=integer("First step."),
            last=integer("Last step."),
            offset=integer("Of one step: from which character on."),
        ),
    ),
    Tool(
        "search_traces",
        "Find words in the traces of all trials.",
        object_schema(
            ("query",),
            query=string("Words."),
            first=integer("From which match on."),
            limit=integer("How many."),
        ),
    ),
    Tool(
        "compare_trials",
        "A failed and a solved trial of one task, from where they part.",
        object_schema(
            ("task",),
            task=string("Task id."),
            failed=string("Which failed trial."),
            solved=string("Which solved trial."),
        ),
    ),
    Tool(
        "tool_stats",
        "How often each command and tool was used, and failed, in failed and solved trials.",
        object_schema(first=integer("From which row on.")),
    ),
)
"""The tools that read traces."""

WIDE = frozenset({"compare_trials", "tool_stats"})
"""Those of these tools whose answers are of little use where there is little room."""


class Looking:
    """Answers the looking tools of one session.

    Args:
        traces: whether traces may be read; else there are scores alone.
        compact: without the tools that a small context has no room to answer.
    """

    def __init__(self, cases: Cases, *, traces: bool, compact: bool = False) -> None:
        self._cases, self._traces, self._compact = cases, traces, compact
        self._looked = LookedAt(cases)

    @property
    def tools(self) -> tuple[Tool, ...]:
        tools = (LIST_FAILURES, *TRACE_TOOLS) if self._traces else (LIST_FAILURES,)
        return tuple(tool for tool in tools if not (self._compact and tool.name in WIDE))

    def failures(self, limit: int, room: int) -> str:
        """What `list_failures` says without a kind."""
        if not self._traces:
            return listing.scores(self._cases, room)
        return listing.overview(self._looked, self._cases, limit, room)

    def answer(self, name: str, arguments: Mapping[str, Any], room: int) -> str:
        """The answer of one of `tools`, in at most about `room` characters. Raises CallRefused."""
        answers = {
            "list_failures": self._list,
            "read_trace": self._read,
            "search_traces": self._search,
            "compare_trials": self._compare,
            "tool_stats": self._stats,
        }
        return answers[name](arguments, room)

    def _list(self, arguments: Mapping[str, Any], room: int) -> str:
        limit, first = count_of(arguments, "limit", LISTED), count_of(arguments, "first", 0, least=0)
        wanted = arguments.get("kind")
        if not self._traces or not isinstance(wanted, str) or not wanted.strip():
            return self.failures(limit, room)
        name = wanted.strip().strip("[]`'\"").replace(" ", "-").lower()
        if name not in BY_NAME:
            near = difflib.get_close_matches(name, BY_NAME, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise CallRefused(f"there is no kind {one_line(wanted, 60)}.{hint} Kinds: {', '.join(BY_NAME)}.")
        return listing.of_kind(self._looked, BY_NAME[name], first, limit, room)

    def _read(self, arguments: Mapping[str, Any], room: int) -> str:
        case = self._case(text_of(arguments, "trial"))
        first = count_of(arguments, "first", 0, least=0)
        last = None if arguments.get("last") is None else count_of(arguments, "last", 0, least=0)
        if last is not None and last < first:
            raise CallRefused(f"last ({last}) comes before first ({first}).")
        if arguments.get("offset") is not None:
            found = reading.window(self._cases, case, first, count_of(arguments, "offset", 0, least=0), room)
            if not found:
                raise CallRefused(f"trial {case.name} has no step {first}.")
            return found
        return reading.trace(self._cases, self._looked, case, first, last, room)

    def _search(self, arguments: Mapping[str, Any], room: int) -> str:
        first, limit = count_of(arguments, "first", 0, least=0), count_of(arguments, "limit", HITS)
        return searching.search(self._cases, text_of(arguments, "query"), first, limit, room)

    def _stats(self, arguments: Mapping[str, Any], room: int) -> str:
        return stats.stats(self._looked, count_of(arguments, "first", 0, least=0), room)

    def _compare(self, arguments: Mapping[str, Any], room: int) -> str:
        task = text_of(arguments, "task").strip()
        cases = self._cases.of_task(task)
        if not cases:
            case = self._cases.find(task)
            cases = self._cases.of_task(case.task) if case else ()
        if not cases:
            near = difflib.get_close_matches(task, self._cases.tasks, 3)
            hint = f" Did you mean {', '.join(near)}?" if near else " list_failures names tasks."
            raise CallRefused(f"there is no task {one_line(task, 80)}.{hint}")
        failed = self._named(arguments, "failed", [case for case in cases if not case.solved])
        solved = self._named(arguments, "solved", [case for case in cases if case.solved])
        if failed is None or solved is None:
            every = "failed" if solved is None else "were solved"
            tail = f" Read one with read_trace: {', '.join(case.name for case in cases[:5])}."
            return f"All {len(cases)} trials of {cases[0].task} {every}; there is nothing to compare.{tail}"
        return compare(self._cases, self._looked, failed, solved, room)

    @staticmethod
    def _named(arguments: Mapping[str, Any], key: str, cases: list[Case]) -> Case | None:
        """The one of these cases that is named, or the first; `None` where there is none."""
        wanted = arguments.get(key)
        if not cases or not isinstance(wanted, str) or not wanted.strip():
            return cases[0] if cases else None
        found = next((case for case in cases if case.name == wanted.strip().replace("#", "/")), None)
        if found is None:
            names = ", ".join(case.name for case in cases[:5])
            raise CallRefused(f"{one_line(wanted, 60)} is no {key} trial of {cases[0].task}; there are: {names}.")
        return found

    def _case(self, name: str) -> Case:
        case = self._cases.find(name)
        if case is not None:
            return case
        of_task = self._cases.of_task(name.strip())
        if of_task:
            return next((case for case in of_task if not case.solved), of_task[0])
        # By the task: there are hundreds of tasks, and thousands of trials.
        tasks = difflib.get_close_matches(name.strip().rpartition("/")[0] or name.strip(), self._cases.tasks, 3)
        near = [cases[0].name for task in tasks if (cases := self._cases.of_task(task))]
        some = near or [case.name for case in self._cases.failures[:3]]
        hint = f" There is, for example, {', '.join(some)}." if some else ""
        raise CallRefused(f"there is no trial {one_line(name, 80)}.{hint} list_failures names them.")
