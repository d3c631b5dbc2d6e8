"""One proposal session: the meta model, its tools, and patience with models that are not good at calling them.

A session ends with a usable edit, or with the reason why none came: the calls are used up, the model goes in circles, does
not call tools, or its provider refuses. It never raises for anything that a model said.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lorimer.config.settings import MetaSettings
from lorimer.harness import version
from lorimer.harness.api import Message, ToolCall, tool_result, user
from lorimer.harness.size import CHARS_PER_TOKEN
from lorimer.harness.text import text_calls, what_is_wrong
from lorimer.meta_agent.proposer.asking import SessionRequests
from lorimer.meta_agent.proposer.cases import cut, one_line
from lorimer.meta_agent.proposer.conversation import Conversation, Turn, chars_of_tools
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.proposer.repeats import Repeats
from lorimer.meta_agent.proposer.tools import TOOLS, ToolAnswer, Toolbox
from lorimer.models.base import CallContext, ModelReply, ModelRequest
from lorimer.traces.previews import RefusedEdit
from lorimer.wording import count, dollars

__all__ = ["NoProposal", "Proposal", "ProposalSession", "propose"]

MAX_SILENT = 4
"""Answers in a row without a readable tool call before the session ends. Each was told what to do."""

MAX_OVERFLOWS = 4
"""Context overflows in a row; each shrinks the conversation to 60%, so three leave a fifth."""

MAX_CALLS_A_TURN = 8

RESULT_CHARS = 20_000
"""Longest tool result, where the context allows it; the rest is a call away."""

LAST_CALLS = 2
"""Answers left at which the model is told to propose now."""


async def propose(session: ProposalSession) -> Proposal | NoProposal:
    """Run one session of the meta-agent.

    Raises what `session.complete` and the dry start raise (BudgetExhausted, ProviderOutage, SandboxError), and LorimerError
    when the traces of the cases cannot be read.
    """
    # In a thread: the failures of a long study are read for the first message, and no other trial may stand still meanwhile.
    under_way = await asyncio.to_thread(_Session, session)
    found = await under_way.run()
    return replace(found, refused=under_way.refused)


@dataclass(frozen=True)
class _Call:
    """A call to be answered, native or read from text."""

    name: str
    arguments: Mapping[str, Any]
    problem: str = ""
    native: ToolCall | None = None

    @property
    def key(self) -> str:
        return json.dumps([self.name, dict(self.arguments), self.problem], sort_keys=True, default=str)


class _Used:
    """What one proposal has used of its own limits ([meta] tokens, usd, seconds)."""

    def __init__(self, settings: MetaSettings) -> None:
        self._settings = settings
        self._tokens, self._usd = 0, 0.0
        self._began, self._waited = time.monotonic(), 0.0

    def count(self, reply: ModelReply) -> None:
        usage = reply.completion.usage
        self._tokens += usage.input_tokens + usage.output_tokens
        self._usd += reply.cost_usd or 0.0
        self._waited += reply.waited_seconds

    def up(self) -> str:
        """The limit that is used up, in words; empty while none is. The call that reaches one is the last."""
        settings = self._settings
        if settings.tokens is not None and self._tokens >= settings.tokens:
            return f"{settings.tokens} tokens ([meta] tokens)"
        if settings.usd is not None and self._usd >= settings.usd:
            return f"{dollars(settings.usd)} ([meta] usd)"
        if settings.seconds is not None and time.monotonic() - self._began - self._waited >= settings.seconds:
            return f"{settings.seconds:g} s ([meta] seconds)"
        return ""


class _Session:
    def __init__(self, session: ProposalSession) -> None:
        self._session = session
        settings = session.settings
        # A quarter of the context at most is kept for the answer, so that a small context leaves room to look around.
        self._max_tokens = min(settings.max_tokens, settings.context_tokens // 4)
        self._budget = settings.context_tokens - self._max_tokens
        self._harness = version.sha(session.harness)
        self._read = False
        self._refusal = ""
        """Why the last edit was refused."""
        self._prompts = _Prompts()
        compact = self._budget < 8_000
        self._tools = Toolbox(session, compact=compact)
        self._asking = SessionRequests(self._tools.tools, session.abilities)
        self._repeats = Repeats()
        self._system = self._prompts.render(
            "system",
            compact=compact,
            calls=settings.calls,
            max_bytes=settings.max_harness_bytes,
            traces=settings.traces,
            previews=session.checks.previews is not None,
            most_lines=session.checks.lines.most if session.checks.lines else None,
            example=self._cited(),  # one that is there: a small model calls what it is shown, word for word
        )
        overhead = len(self._system) + chars_of_tools(self._tools.tools)
        # What is left for everything else, in characters.
        self._room = max(2_000, int(self._budget * CHARS_PER_TOKEN) - overhead)
        self._conversation = Conversation(user(self._first(self._room)), overhead, self._first)

    @property
    def refused(self) -> tuple[RefusedEdit, ...]:
        """The edits that were refused so far."""
        return self._tools.refused

    async def run(self) -> Proposal | NoProposal:
        calls = self._session.settings.calls
        silent = overflows = 0
        reason = f"the meta-agent used up its {calls} calls without a usable edit"
        used = _Used(self._session.settings)
        only = ""
        for index in range(calls):
            left = calls - index - 1
            over = used.up()
            if over:
                return NoProposal(_with(f"the meta-agent used up its {over} without a usable edit", self._refusal))
            await asyncio.to_thread(self._conversation.fit, self._budget)  # may write the first message anew
            reply = await self._session.complete(self._request(only), self._context(index))
            used.count(reply)
            completion = reply.completion
            if completion.stop_reason == "context_overflow":
                overflows += 1
                if overflows >= MAX_OVERFLOWS:
                    words = one_line(completion.error, 300)
                    return NoProposal(f"the meta model's context is too small even after shrinking: {words}")
                # The estimate or the setting is wrong: the provider's word counts, from now on.
                self._budget = int(min(self._budget, self._conversation.tokens) * 0.6)
                continue
            overflows = 0
            if completion.stop_reason in ("rejected", "refusal"):
                if self._asking.refused(completion.error):
                    continue
                words = one_line(completion.error or completion.text, 300) or "no reason was given"
                return NoProposal(f"the meta model's provider refused the request: {words}")
            made = _calls(completion.message)
            self._asking.heard(completion, called=bool(made))
            if not any(not call.problem for call in made):
                silent += 1
                if silent >= MAX_SILENT:
                    said = one_line(completion.text, 200) or "nothing"
                    words = f"the meta-agent answered {silent} times without a readable tool call; at last: {said}"
                    return NoProposal(_with(words, self._refusal))
            else:
                silent = 0
            circles = self._repeats.turn(tuple(call.key for call in made), one_line(made[0].name, 60) if made else "")
            if circles:
                return NoProposal(_with(circles, self._refusal))
            answers = await self._answers(made)
            proposal = next((answer.proposal for answer in answers if answer.proposal is not None), None)
            if proposal is not None:
                return proposal
            cut_off = completion.stop_reason == "max_tokens"
            self._conversation.add(self._turn(completion.message, made, answers, left, cut_off, silent))
            # A small model that looks at the same thing again, or is told to propose now, goes on looking for as long as it can.
            only = "propose_edit" if left <= LAST_CALLS or self._repeats.again else ""
        return NoProposal(_with(reason, self._refusal))

    # ---- asking -----------------------------------------------------------------------------------------------------

    def _request(self, only: str) -> ModelRequest:
        return self._asking.request(self._conversation.messages, self._system, self._max_tokens, only=only)

    def _context(self, index: int) -> CallContext:
        session = self._session
        name = f"c{session.number}"
        return CallContext("meta", session.seed, self._harness, name, session.number, index)

    def _first(self, room: int) -> str:
        """The first message where everything but tools and system prompt has `room` characters."""
        session = self._session
        harness = session.harness
        shown = harness if len(harness) <= room // 5 else ""
        return self._prompts.render(
            "first",
            program=cut(session.program.strip(), max(400, room // 8)),
            focus=session.focus,
            base=session.base,
            failures=self._tools.failures(5 if self._budget < 8_000 else 20, max(500, room // 8)),
            experiments=session.log.within(max(300, room // 12)),
            asked="\n".join(session.checks.asked.lines() if session.checks.asked else ()),
            harness=shown,
            harness_lines=harness.count("\n") + 1,
        )

    # ---- answering --------------------------------------------------------------------------------------------------

    async def _answers(self, made: tuple[_Call, ...]) -> list[ToolAnswer]:
        room = min(RESULT_CHARS, max(800, int(self._room * 0.4 / max(1, len(made)))))
        answers = []
        for position, call in enumerate(made):
            if call.problem:
                answers.append(ToolAnswer(f"Error: the call could not be read: {call.problem}", is_error=True))
                continue
            if position >= MAX_CALLS_A_TURN:
                answers.append(
                    ToolAnswer(f"Error: at most {MAX_CALLS_A_TURN} calls in one answer; call it again", is_error=True)
                )
                continue
            # A harness must be seen whole to be quoted; other results are disclosed bit by bit.
            wide = min(self._room // 2, 80_000) if call.name == "read_harness" else room
            answer = await self._tools.call(call.name, call.arguments, wide)
            self._read = self._read or call.name == "read_trace"
            if call.name == "propose_edit" and answer.is_error:
                # As it was first said: a repeated call is answered by "you made this very call", which tells a person nothing.
                self._refusal = answer.why
            answers.append(self._repeats.told(call.key, answer))
            if answer.proposal is not None:
                break
        return answers

    def _turn(
        self, said: Message, made: tuple[_Call, ...], answers: list[ToolAnswer], left: int, cut_off: bool, silent: int
    ) -> Turn:
        hurry = ""
        if made and left <= LAST_CALLS:
            hurry = f"\n\n[{count(left, 'answer')} left: call propose_edit now.]"
        replies: list[Message] = []
        if made and made[0].native is not None:
            for call, answer in zip(made, answers, strict=True):
                assert call.native is not None
                replies.append(tool_result(call.native, answer.text + hurry, is_error=answer.is_error))
                hurry = ""
            return Turn(said, replies)
        answered = [(call, answer) for call, answer in zip(made, answers, strict=True) if not call.problem]
        if answered:
            replies = [user(f"Result of {call.name}:\n{answer.text}") for call, answer in answered]
            return Turn(said, [user("\n\n".join(reply.text for reply in replies) + hurry)])
        problem = made[0] if made else None
        nudge = self._prompts.render(
            "nudge",
            truncated=cut_off and problem is None,
            whole_file=problem is None and _is_code(said.text),
            problem=problem.problem if problem else "",
            name=problem.name if problem else "",
            cited=self._cited(),
            example="" if silent > 1 else self._next_trial(),
            left=left,
        )
        # What was no call stays short: it is of no further use, and a small context would fill with it.
        kept = Message("assistant", cut(said.text, 600)) if said.text.strip() else None
        return Turn(kept, [user(nudge)], silent=True)

    def _cited(self) -> str:
        """A failed trial for an example; empty where there is none to read."""
        failures = self._session.cases.failures
        return failures[0].name if failures and self._session.settings.traces else ""

    def _next_trial(self) -> str:
        """A failed trial that may be read next, once none was read: a model that is at a loss copies what it is shown."""
        if self._read or not self._session.settings.traces:
            return ""
        return next((case.name for case in self._session.cases.failures), "")


def _calls(message: Message) -> tuple[_Call, ...]:
    if message.tool_calls:
        return tuple(
            _Call(
                call.name,
                call.arguments,
                f"not a JSON object: {one_line(call.malformed, 200)}" if call.malformed else "",
                call,
            )
            for call in message.tool_calls
        )
    return tuple(_Call(call.name, call.arguments, what_is_wrong(call)) for call in text_calls(message.text, TOOLS))


def _is_code(text: str) -> bool:
    """Whether an answer is a file or a diff where a call was asked for."""
    return re.search(r"^def solve\(|^(?:---|\+\+\+) |^@@ |^diff --git |^<<<<<<<", text, re.MULTILINE) is not None


def _with(reason: str, refusal: str) -> str:
    return (
        f"{reason.rstrip('.')}; its last edit was refused: {one_line(refusal, 300).rstrip('.')}" if refusal else reason
    )


class _Prompts:
    """The templates beside this file. An unknown name in one is an error, not an empty text."""

    def __init__(self) -> None:
        from jinja2 import Environment, PackageLoader, StrictUndefined

        self._environment = Environment(
            loader=PackageLoader("lorimer.meta_agent.proposer", "prompts"),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,  # noqa: S701 - plain text for a model, never a web page
        )

    def render(self, template: str, /, **values: Any) -> str:
        return self._environment.get_template(f"{template}.j2").render(**values).strip()
