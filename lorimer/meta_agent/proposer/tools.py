"""The tools of the meta-agent. Every answer is text written for a model, of bounded length.

A tool that cannot do what was asked answers with what is wrong and what to do; nothing here raises for what a model said.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lorimer.harness.api import Tool
from lorimer.harness.version import Hunk
from lorimer.meta_agent.proposer.accept import Fault, Refusal, accept
from lorimer.meta_agent.proposer.cases import Case, cut, one_line
from lorimer.meta_agent.proposer.proposal import Proposal, ProposalSession

LISTED = 40
"""Failures listed where no limit is given."""
HITS = 20
TITLE_CHARS = 100


@dataclass(frozen=True)
class Answer:
    """What a tool says; `proposal` is set when an edit was accepted."""

    text: str
    is_error: bool = False
    proposal: Proposal | None = None


class _Refused(Exception):
    """Why a call cannot be answered, in words for the model."""


def _object(required: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _integer(description: str) -> dict[str, Any]:
    return {"type": "integer", "description": description}


def _string(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


_TASKS = {"type": "array", "items": {"type": "string"}}

TOOLS: tuple[Tool, ...] = (
    Tool("list_failures", "List the failed trials of the current harness.", _object(limit=_integer("How many."))),
    Tool(
        "read_trace",
        "Read what happened in a trial: model calls, commands, outputs.",
        _object(
            ("trial",),
            trial=_string("As in list_failures, such as some-task/0."),
            first=_integer("First step."),
            last=_integer("Last step."),
        ),
    ),
    Tool(
        "search_traces",
        "Find words in the traces of all trials.",
        _object(("query",), query=_string("Words."), limit=_integer("How many.")),
    ),
    Tool(
        "compare_trials",
        "A failed and a passed trial of one task, side by side.",
        _object(("task",), task=_string("Task id.")),
    ),
    Tool("read_harness", "Read the harness, agent.py.", _object()),
    Tool("experiment_log", "Read which edits were tried before, and why they were kept or refused.", _object()),
    Tool(
        "propose_edit",
        "Propose an edit of the harness: exact search and replace.",
        _object(
            ("title", "hypothesis", "hunks"),
            title=_string("One line."),
            hypothesis=_string("What fails, why, and why this edit helps."),
            hunks={
                "type": "array",
                "items": _object(
                    ("search", "replace"),
                    search=_string("Text of agent.py, copied exactly, that occurs once."),
                    replace=_string("What stands there instead."),
                ),
            },
            fixes=_TASKS | {"description": "Ids of failing tasks that it should fix."},
            at_risk=_TASKS | {"description": "Ids of tasks that it may break."},
        ),
    ),
)
NAMES = frozenset(tool.name for tool in TOOLS)

ADVICE = {
    Fault.CHANGES_NOTHING: ". Propose a real change.",
    Fault.DOES_NOT_APPLY: "\nEach `search` must be copied exactly from agent.py (read_harness), with its indentation, and occur "
    "there once.",
    Fault.INVALID: ". Correct the edit and call propose_edit again.",
    Fault.TRIED: ". Propose something else.",
    Fault.GOES_BACK: ".",
    Fault.KNOWS_TASKS: ". Make it general, without task names, wording or answers.",
    Fault.DOES_NOT_START: "\nCorrect the edit and call again.",
}
"""What a model is told to do about an edit that was refused, after why it was."""


class Toolbox:
    """Answers the calls of one session."""

    def __init__(self, session: ProposalSession) -> None:
        self._session, self._cases = session, session.cases

    async def call(self, name: str, arguments: Mapping[str, Any], room: int) -> Answer:
        """The answer in at most about `room` characters.

        Raises only what the host cannot help: the sandbox of a dry start failing, the traces of the cases being unreadable.
        """
        try:
            if name == "propose_edit":
                return await self._propose(arguments)
            if name not in NAMES:
                near = difflib.get_close_matches(name, NAMES, 1)
                hint = f" Did you mean {near[0]}?" if near else ""
                raise _Refused(
                    f"there is no tool {one_line(name, 60)}.{hint} Tools: {', '.join(t.name for t in TOOLS)}."
                )
            return Answer(cut(self._look(name, arguments, room), room))
        except _Refused as refused:
            return Answer(cut(f"Error: {refused}", room), is_error=True)

    # ---- looking ----------------------------------------------------------------------------------------------------

    def failures(self, limit: int, room: int) -> str:
        """The failed trials, one a line, after a summary."""
        cases = self._cases
        lines = [cases.summary()]
        used = len(lines[0])
        failures = cases.failures
        for position, case in enumerate(failures):
            line = cases.line(case)
            if position >= limit or (position and used + len(line) > room - 150):
                more = f"limit {min(len(failures), limit * 2)}" if position >= limit else "search_traces"
                lines.append(f"[{len(failures) - position} more failed trials: list_failures with {more}]")
                if position < limit:
                    names = ", ".join(case.name for case in failures[position:])
                    lines[-1] = f"[{len(failures) - position} more failed trials, by name only: {one_line(names, 400)}]"
                break
            lines.append(line)
            used += len(line) + 1
        return "\n".join(lines)

    def _look(self, name: str, arguments: Mapping[str, Any], room: int) -> str:
        if name == "list_failures":
            return self.failures(_count(arguments, "limit", LISTED), room)
        if name == "read_trace":
            case = self._case(arguments)
            first = _count(arguments, "first", 0, least=0)
            last = None if arguments.get("last") is None else _count(arguments, "last", 0, least=0)
            if last is not None and last < first:
                raise _Refused(f"last ({last}) comes before first ({first}).")
            return self._cases.trace(case, first, last, room)
        if name == "search_traces":
            return self._search(_text(arguments, "query"), _count(arguments, "limit", HITS), room)
        if name == "compare_trials":
            return self._compare(arguments, room)
        if name == "read_harness":
            return self._session.champion
        return self._session.log.within(room)

    def _search(self, words: str, limit: int, room: int) -> str:
        found = self._cases.search(words)
        if not found:
            return f"Nothing in the traces matches {one_line(words, 100)!r}. Use few words that a trace would hold literally."
        trials = len({case.name for case, _ in found})
        lines = [f"{len(found)} steps in {trials} trials match (the match is in [brackets]):"]
        used = len(lines[0])
        for position, (case, hit) in enumerate(found):
            outcome = "solved" if case.solved else "failed"
            line = f"- trial {case.name} ({outcome}), step {hit.index}, {hit.kind.value}: {one_line(hit.snippet, 300)}"
            if position >= limit or used + len(line) > room - 120:
                lines.append(f"[{len(found) - position} more: use rarer words, or a larger limit]")
                break
            lines.append(line)
            used += len(line) + 1
        return "\n".join(lines)

    def _compare(self, arguments: Mapping[str, Any], room: int) -> str:
        task = _text(arguments, "task").strip()
        cases = self._cases.of_task(task)
        if not cases:
            case = self._cases.find(task)
            cases = self._cases.of_task(case.task) if case else ()
        if not cases:
            raise _Refused(self._unknown_task(task))
        failed = [case for case in cases if not case.solved]
        passed = [case for case in cases if case.solved]
        if not failed or not passed:
            every = "failed" if failed else "passed"
            tail = f" Read one with read_trace: {', '.join(case.name for case in cases[:5])}."
            return f"All {len(cases)} trials of {cases[0].task} {every}; there is nothing to compare.{tail}"
        half = max(400, room // 2 - 40)
        first, second = (self._cases.trace(case, 0, None, half) for case in (failed[0], passed[0]))
        return f"== failed ==\n{first}\n\n== passed ==\n{second}"

    def _case(self, arguments: Mapping[str, Any]) -> Case:
        name = _text(arguments, "trial")
        case = self._cases.find(name)
        if case is not None:
            return case
        of_task = self._cases.of_task(name.strip())
        if of_task:
            return next((case for case in of_task if not case.solved), of_task[0])
        near = difflib.get_close_matches(name, [case.name for case in self._cases.cases], 3)
        some = near or [case.name for case in self._cases.failures[:3]]
        hint = f" There is, for example, {', '.join(some)}." if some else ""
        raise _Refused(f"there is no trial {one_line(name, 80)}.{hint} list_failures names them.")

    def _unknown_task(self, task: str) -> str:
        near = difflib.get_close_matches(task, self._cases.tasks, 3)
        hint = f" Did you mean {', '.join(near)}?" if near else " list_failures names tasks."
        return f"there is no task {one_line(task, 80)}.{hint}"

    # ---- proposing --------------------------------------------------------------------------------------------------

    async def _propose(self, arguments: Mapping[str, Any]) -> Answer:
        session = self._session
        title = one_line(_text(arguments, "title"), TITLE_CHARS)
        hypothesis = _text(arguments, "hypothesis").strip()
        hunks = _hunks(arguments)
        remarks: list[str] = []
        fixes = self._known_tasks(arguments, "fixes", remarks)
        at_risk = self._known_tasks(arguments, "at_risk", remarks)
        found = await accept(session.champion, hunks, session.checks)
        if isinstance(found, Refusal):
            raise _Refused(f"{found.why}{ADVICE[found.fault]}")
        accepted = Proposal(title, hypothesis, hunks, fixes, at_risk, found.text, found.preview)
        return Answer(" ".join(["Accepted: the edit will be tested.", *remarks]), proposal=accepted)

    def _known_tasks(self, arguments: Mapping[str, Any], key: str, remarks: list[str]) -> tuple[str, ...]:
        given = arguments.get(key)
        if given is None or given == "":
            return ()
        if isinstance(given, str):
            given = [part.strip() for part in given.strip("[]").split(",")]
        if not isinstance(given, list):
            raise _Refused(f"`{key}` must be a list of task ids, such as {json.dumps(list(self._cases.tasks[:1]))}.")
        known: dict[str, None] = {}
        unknown: list[str] = []
        for item in given:
            name = str(item).strip().strip("\"'`")
            case = self._cases.find(name)
            task = case.task if case else name
            if task in self._cases.tasks:
                known[task] = None
            elif name:
                unknown.append(one_line(name, 40))
        if unknown:
            remarks.append(f"Dropped from `{key}`, as there are no such tasks: {', '.join(unknown[:10])}.")
        return tuple(known)


# ---- arguments ------------------------------------------------------------------------------------------------------


def _text(arguments: Mapping[str, Any], key: str) -> str:
    value = arguments.get(key)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise _Refused(f"`{key}` is missing: give a text.")
    return value


def _count(arguments: Mapping[str, Any], key: str, default: int, least: int = 1) -> int:
    value = arguments.get(key)
    if value is None or value == "":
        return default
    try:
        return max(least, int(value))
    except (TypeError, ValueError, OverflowError):
        raise _Refused(f"`{key}` must be a whole number, not {one_line(str(value), 40)!r}.") from None


def _hunks(arguments: Mapping[str, Any]) -> tuple[Hunk, ...]:
    given: Any = arguments.get("hunks")
    form = '`hunks` must be a list such as [{"search": "old lines", "replace": "new lines"}]'
    if given is None and "search" in arguments:
        given = [{"search": arguments["search"], "replace": arguments.get("replace")}]
    if isinstance(given, str):
        try:
            given = json.loads(given, strict=False)
        except (ValueError, RecursionError):
            raise _Refused(f"{form}, not a text.") from None
    if isinstance(given, dict):
        given = [given]
    if not isinstance(given, list) or not given:
        raise _Refused(f"{form}; it is {'empty' if given == [] else 'missing'}.")
    hunks = []
    for number, item in enumerate(given, 1):
        hunk = _object_of(item)
        if hunk is None:
            raise _Refused(f"{form}; hunk {number} is not an object.")
        for key in ("search", "replace"):
            if not isinstance(hunk.get(key), str):
                raise _Refused(f"hunk {number} has no text `{key}`; {form}.")
        if not hunk["search"]:
            raise _Refused(f"hunk {number}: `search` is empty; copy the lines of agent.py that shall be replaced.")
        hunks.append(Hunk(hunk["search"], hunk["replace"]))
    return tuple(hunks)


def _object_of(value: Any) -> Mapping[str, Any] | None:
    """An object, or what JSON text says that is one; `None` where it is neither."""
    if isinstance(value, str):
        try:
            value = json.loads(value, strict=False)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None
