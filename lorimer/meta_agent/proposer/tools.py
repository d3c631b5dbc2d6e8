"""The tools of the meta-agent. Every answer is text written for a model, of bounded length.

A tool that cannot do what was asked answers with what is wrong and what to do; nothing here raises for what a model said.
"""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lorimer.harness.api import Tool
from lorimer.harness.version import Hunk
from lorimer.kinds import Fault
from lorimer.meta_agent.proposer import previewed
from lorimer.meta_agent.proposer.accept import Accepted, EditRefusal, accept
from lorimer.meta_agent.proposer.arguments import CallRefused, object_of, text_of
from lorimer.meta_agent.proposer.asked import EDIT_KINDS
from lorimer.meta_agent.proposer.cases import cut, one_line
from lorimer.meta_agent.proposer.diagnosis.citing import citations_of
from lorimer.meta_agent.proposer.diagnosis.looking import LIST_FAILURES, TRACE_TOOLS, Looking
from lorimer.meta_agent.proposer.proposal import Diagnosis, Proposal, ProposalSession
from lorimer.meta_agent.proposer.schemas import briefly, integer, object_schema, string, strings, without
from lorimer.meta_agent.proposer.touching import summary
from lorimer.traces.previews import MISCITED, RefusedEdit

TITLE_CHARS = 100
LINE_CHARS = 200
"""The longest cause, and the longest mechanism."""


@dataclass(frozen=True)
class ToolAnswer:
    """What a tool says; `proposal` is set when an edit was accepted."""

    text: str
    is_error: bool = False
    proposal: Proposal | None = None
    why: str = ""
    """What people are told of an error: without what the model is to do about it."""


_HUNKS = {
    "type": "array",
    "items": object_schema(
        ("search", "replace"),
        search=string("Text of agent.py, copied exactly, that occurs once."),
        replace=string("What stands there instead."),
    ),
}
PREVIEW = Tool(
    "preview_edit",
    "See which recorded trials an edit would touch, and how, before it is proposed.",
    object_schema(("hunks",), hunks=_HUNKS),
)
"""A tool of sessions in which edits are previewed."""

TOOLS: tuple[Tool, ...] = (
    LIST_FAILURES,
    *TRACE_TOOLS,
    Tool("read_harness", "Read the harness, agent.py.", object_schema()),
    Tool(
        "experiment_log",
        "Read which edits were tried before, and why they were kept or refused.",
        object_schema(
            about=string("Words of your idea: what was most alike is told in full."),
            experiment=string("The name of one, such as c007, to read all that is known of it."),
        ),
    ),
    PREVIEW,
    Tool(
        "propose_edit",
        "Propose an edit of the harness: exact search and replace.",
        object_schema(
            ("title", "hypothesis", "hunks", "citations"),
            title=string("One line."),
            hypothesis=string("What fails, why, and why this edit helps."),
            hunks=_HUNKS,
            citations={
                "type": "array",
                "items": object_schema(
                    ("trial", "step", "quote"),
                    trial=string("A trial that you have read."),
                    step=integer("Its number in [brackets]."),
                    quote=string("Words copied exactly from that step."),
                ),
            },
            kind={"type": "string", "enum": list(EDIT_KINDS), "description": "What the edit changes."},
            cause=string("What fails, in a line; a kind of list_failures where one fits."),
            mechanism=string("How the edit removes the cause, in a line."),
            fixes=strings("Ids of failing tasks that it should fix."),
            at_risk=strings("Ids of tasks that it may break."),
        ),
    ),
)

ADVICE = {
    Fault.CHANGES_NOTHING: ". Propose a real change.",
    Fault.DOES_NOT_APPLY: "\nEach `search` must be copied exactly from agent.py (read_harness), with its indentation, and occur "
    "there once.",
    Fault.INVALID: ". Correct the edit and call propose_edit again.",
    Fault.TOO_LARGE: ". Propose the part of it that the cause needs most; the rest can follow once that is promoted.",
    Fault.OTHER_KIND: ". Change what the code around the model does, so that the failures need no better wording.",
    Fault.TRIED: ". Propose something else.",
    Fault.DEAD_END: ". Propose another edit; experiment_log tells what was tried.",
    Fault.GOES_BACK: ".",
    Fault.KNOWS_TASKS: ". Make it general, without task names, wording or answers.",
    Fault.DOES_NOT_START: "\nCorrect the edit and call again.",
    Fault.INERT: ". Change what the failed trials send, run or return.",
}
"""What a model is told to do about an edit that was refused, after why it was."""


class Toolbox:
    """Answers the calls of one session.

    Args:
        compact: for a model with a small context, which is shown fewer tools, and of their arguments no more than the needed
            ones are explained.
    """

    def __init__(self, session: ProposalSession, *, compact: bool = False) -> None:
        self._session, self._cases, self._compact = session, session.cases, compact
        self._looking = Looking(session.cases, traces=session.settings.traces, compact=compact)
        self._refused: dict[tuple[Hunk, ...], RefusedEdit] = {}

    async def call(self, name: str, arguments: Mapping[str, Any], room: int) -> ToolAnswer:
        """The answer in at most about `room` characters.

        Raises only what the host cannot help: the sandbox of a dry start failing, the traces of the cases being unreadable.
        """
        try:
            if name == "propose_edit":
                return await self._propose(arguments)
            names = [tool.name for tool in self.tools]
            if name not in names:
                near = difflib.get_close_matches(name, names, 1)
                hint = f" Did you mean {near[0]}?" if near else ""
                raise CallRefused(f"there is no tool {one_line(name, 60)}.{hint} Tools: {', '.join(names)}.")
            if name == PREVIEW.name:
                preview = (await self._accepted(_hunks(arguments))).preview
                assert preview is not None, "a tool that is offered has what it asks"
                return ToolAnswer(previewed.told(preview, room))
            # In a thread: a look at the traces of a long study takes 0.1 s, in which no other trial may stand still.
            return ToolAnswer(cut(await asyncio.to_thread(self._look, name, arguments, room), room))
        except CallRefused as refused:
            return ToolAnswer(cut(f"Error: {refused}", room), is_error=True, why=refused.why)

    @property
    def refused(self) -> tuple[RefusedEdit, ...]:
        """The edits that were refused so far, each once, whether they were proposed or only previewed."""
        return tuple(self._refused.values())

    # ---- looking ----------------------------------------------------------------------------------------------------

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Those that the session offers, in the order in which they are shown."""
        hidden = {tool.name for tool in (LIST_FAILURES, *TRACE_TOOLS)} - {tool.name for tool in self._looking.tools}
        if self._session.checks.previews is None:
            hidden.add(PREVIEW.name)
        offered = [tool for tool in TOOLS if tool.name not in hidden]
        if not self._session.settings.traces:
            offered = [without(tool, "citations") for tool in offered]
        return tuple(briefly(tool) if self._compact else tool for tool in offered)

    def failures(self, limit: int, room: int) -> str:
        """What `list_failures` says, for the first message."""
        return self._looking.failures(limit, room)

    def _look(self, name: str, arguments: Mapping[str, Any], room: int) -> str:
        if name == "read_harness":
            return self._session.harness
        if name == "experiment_log":
            asked = arguments.get("experiment")
            if asked is not None and asked != "":
                return self._experiment(str(asked), room)
            about = arguments.get("about")
            return self._session.log.within(room, about if isinstance(about, str) else "")
        return self._looking.answer(name, arguments, room)

    def _experiment(self, name: str, room: int) -> str:
        found = self._session.log.one(name, room)
        if not found:
            known = [each.name for each in self._session.log.experiments]
            there = f"there are {known[0]} to {known[-1]}" if known else "none was made yet"
            raise CallRefused(f"there is no experiment {one_line(name, 60)}; {there}.")
        return found

    # ---- proposing --------------------------------------------------------------------------------------------------

    async def _propose(self, arguments: Mapping[str, Any]) -> ToolAnswer:
        title = one_line(text_of(arguments, "title"), TITLE_CHARS)
        hypothesis = text_of(arguments, "hypothesis").strip()
        hunks = _hunks(arguments)
        remarks: list[str] = []
        fixes = self._known_tasks(arguments, "fixes", remarks)
        at_risk = self._known_tasks(arguments, "at_risk", remarks)
        try:
            diagnosis = await self._diagnosis(arguments, remarks)
        except CallRefused:
            self._refused[hunks] = RefusedEdit(MISCITED)
            raise
        found = await self._accepted(hunks, diagnosis.kind)
        if found.kind != diagnosis.kind:
            stated = f", not {diagnosis.kind}" if diagnosis.kind else ""
            remarks.append(f"Its kind is {found.kind}{stated}: it changes nothing but texts.")
            diagnosis = replace(diagnosis, kind=found.kind)
        if found.preview is not None:
            remarks.insert(0, f"It {summary(found.preview.touches)}.")
        accepted = Proposal(title, hypothesis, hunks, fixes, at_risk, found.text, diagnosis, found.preview)
        return ToolAnswer(" ".join(["Accepted: the edit will be tested.", *remarks]), proposal=accepted)

    async def _diagnosis(self, arguments: Mapping[str, Any], remarks: list[str]) -> Diagnosis:
        """What the proposal rests on; its citations are checked first, as nothing is paid for one that is made up."""
        traces = self._session.settings.traces
        cited = await asyncio.to_thread(citations_of, self._cases, arguments) if traces else ()
        kind = str(arguments.get("kind") or "").strip().lower()
        if kind not in EDIT_KINDS:
            if kind:
                remarks.append(f"Dropped is `kind` {one_line(kind, 40)}; kinds are {', '.join(EDIT_KINDS)}.")
            kind = ""
        cause, mechanism = (one_line(str(arguments.get(key) or ""), LINE_CHARS) for key in ("cause", "mechanism"))
        return Diagnosis(kind, cause, mechanism, cited)

    async def _accepted(self, hunks: tuple[Hunk, ...], kind: str = "") -> Accepted:
        found = await accept(self._session.harness, hunks, self._session.checks, kind)
        if isinstance(found, EditRefusal):
            self._refused[hunks] = RefusedEdit(found.fault.value, found.repeats)
            raise CallRefused(found.why, ADVICE[found.fault])
        self._refused.pop(hunks, None)
        return found

    def _known_tasks(self, arguments: Mapping[str, Any], key: str, remarks: list[str]) -> tuple[str, ...]:
        given = arguments.get(key)
        if given is None or given == "":
            return ()
        if isinstance(given, str):
            given = [part.strip() for part in given.strip("[]").split(",")]
        if not isinstance(given, list):
            raise CallRefused(f"`{key}` must be a list of task ids, such as {json.dumps(list(self._cases.tasks[:1]))}.")
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


def _hunks(arguments: Mapping[str, Any]) -> tuple[Hunk, ...]:
    given: Any = arguments.get("hunks")
    form = '`hunks` must be a list such as [{"search": "old lines", "replace": "new lines"}]'
    if given is None and "search" in arguments:
        given = [{"search": arguments["search"], "replace": arguments.get("replace")}]
    if isinstance(given, str):
        try:
            given = json.loads(given, strict=False)
        except (ValueError, RecursionError):
            raise CallRefused(f"{form}, not a text.") from None
    if isinstance(given, dict):
        given = [given]
    if not isinstance(given, list) or not given:
        raise CallRefused(f"{form}; it is {'empty' if given == [] else 'missing'}.")
    hunks = []
    for number, item in enumerate(given, 1):
        hunk = object_of(item)
        if hunk is None:
            raise CallRefused(f"{form}; hunk {number} is not an object.")
        for key in ("search", "replace"):
            if not isinstance(hunk.get(key), str):
                raise CallRefused(f"hunk {number} has no text `{key}`; {form}.")
        if not hunk["search"]:
            raise CallRefused(f"hunk {number}: `search` is empty; copy the lines of agent.py that shall be replaced.")
        hunks.append(Hunk(hunk["search"], hunk["replace"]))
    return tuple(hunks)
