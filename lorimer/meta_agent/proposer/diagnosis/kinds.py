"""The ways in which a trial can go wrong, as far as its steps show: one table, and the function that reads it. Pure.

A failed trial is put under the first kind that holds of it. The table goes from what leaves no doubt (a limit, an exception) to
what is only likely, and ends with the kind of those of which nothing else holds. Apart from that each kind is a trait: it may
hold of a solved trial too, and a trait that failed and solved trials share alike is no reason for failing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from lorimer.kinds import REFUSED, StepKind
from lorimer.meta_agent.proposer.cases import Case
from lorimer.task_agent.causes import SUSPECT, Cause
from lorimer.traces.schema import StepOutline

LIMITS = frozenset({Cause.LIMIT_CALLS, Cause.LIMIT_TOKENS, Cause.LIMIT_DOLLARS, Cause.LIMIT_SECONDS})
BROKE = frozenset(
    {
        Cause.HARNESS_EXCEPTION,
        Cause.BAD_RETURN,
        Cause.PROTOCOL_BREACH,
        Cause.JAIL_MEMORY,
        Cause.JAIL_DIED,
    }
)
MISUSED = 0.25
"""The share of calls that could not be done from which on a trial is one of tool misuse: fewer are slips that a model mends."""
REPEATED = 3
"""How often the very same command is run in a circle; twice is how one looks again after a change."""
NOT_FOUND = (126, 127)
"""The exit codes by which a shell says that there is no such command, or that it cannot be run."""

_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1.*?^\s*\2\s*$", re.DOTALL | re.MULTILINE)
_WRITES = re.compile(
    r"<<|(?<![0-9&>])>{1,2}(?!\s*(?:/dev/null|&))|\b(?:tee|mv|cp|rm|mkdir|touch|patch|install|git apply)\b|\bsed -i"
)
_LOOKS = re.compile(
    r"\b(?:cat(?!\s*(?:>|<<))|head|tail|less|ls|grep|rg|diff|cmp|wc|sed -n|awk|find|file|stat|jq|od|xxd|md5sum|sha256sum|column|"
    r"pytest|unittest|doctest|tox|make (?:test|check)|npm test|cargo test|go test|git (?:diff|status|show))\b|"
    r"\btest\b|\bcheck|\bassert|\bprint\("
)
_GIVES_UP = re.compile(
    r"\b(?:I (?:cannot|can't|can not|could not|couldn't|was unable|am unable|was not able)|unable to (?:complete|solve|finish)|"
    r"give up|giving up|not possible to|sorry)\b",
    re.IGNORECASE,
)
_AS_TEXT = re.compile(
    r"```(?:bash|sh|shell|console|zsh)\b|<tool_call>|<function|\{\s*[\"']name[\"']\s*:\s*[\"']\w+[\"']\s*,\s*[\"'](?:arguments|parameters)"
)


def bare(command: str) -> str:
    """A command without the text of its here-documents, which are files and not commands."""
    return _HEREDOC.sub("<<", command)


@dataclass(frozen=True)
class Facts:
    """A trial with a few facts of each of its steps."""

    case: Case
    steps: Sequence[StepOutline]

    @cached_property
    def commands(self) -> list[StepOutline]:
        return [step for step in self.steps if step.kind is StepKind.EXEC]

    @cached_property
    def calls(self) -> list[StepOutline]:
        """The model's."""
        return [step for step in self.steps if step.kind is StepKind.MODEL_CALL]

    @cached_property
    def acts(self) -> list[StepOutline]:
        """Steps that do something to the task's machine, or look at it."""
        return [step for step in self.steps if step.kind in (StepKind.EXEC, StepKind.READ, StepKind.WRITE)]

    @cached_property
    def first_write(self) -> int | None:
        """The place among `acts` of the first that wrote something."""
        return next((place for place, step in enumerate(self.acts) if writes(step)), None)

    @property
    def last(self) -> StepOutline | None:
        """The last model call."""
        return self.calls[-1] if self.calls else None


def writes(step: StepOutline) -> bool:
    """Whether a step changes files, as far as its command shows."""
    return step.kind is StepKind.WRITE or (
        step.kind is StepKind.EXEC and _WRITES.search(bare(step.command)) is not None
    )


def looks(step: StepOutline) -> bool:
    """Whether a step looks at files or runs tests, as far as its command shows."""
    return step.kind is StepKind.READ or (step.kind is StepKind.EXEC and _LOOKS.search(bare(step.command)) is not None)


def failed(step: StepOutline) -> bool:
    """Whether a command did not end well."""
    return step.kind is StepKind.EXEC and (step.timed_out or step.exit_code not in (0, None))


@dataclass(frozen=True)
class Kind:
    """A way in which a trial goes wrong."""

    name: str
    words: str
    """What is the matter, as the model reads it."""
    why: str
    """Why the facts say so, and what an edit could do about it."""
    holds: Callable[[Facts], bool]


def _misused(facts: Facts) -> bool:
    made = sum(len(call.called) for call in facts.calls)
    wrong = sum(call.unreadable + call.unknown for call in facts.calls)
    missing = sum(command.exit_code in NOT_FOUND for command in facts.commands)
    return wrong > MISUSED * made or missing > MISUSED * len(facts.commands)


def _as_text(facts: Facts) -> bool:
    last = facts.last
    if last is None or last.called or not _AS_TEXT.search(last.said):
        return False
    return not any(step.index > last.index for step in facts.acts)


def _stopped(facts: Facts) -> bool:
    return facts.last is not None and bool(facts.last.called)


def _circles(facts: Facts) -> bool:
    counted = Counter(" ".join(step.command.split()) for step in facts.commands)
    return bool(counted) and max(counted.values()) >= REPEATED


def _unverified(facts: Facts) -> bool:
    last = max((place for place, step in enumerate(facts.acts) if writes(step)), default=None)
    return last is not None and not any(looks(step) for step in facts.acts[last:])


def _blind(facts: Facts) -> bool:
    first = facts.first_write
    return first is not None and not any(looks(step) for step in facts.acts[:first])


KINDS: tuple[Kind, ...] = (
    Kind(
        "limit",
        "a limit of the trial was reached",
        "The gateway ended its calls, so the work was cut off; what it spent them on is the question.",
        lambda facts: facts.case.cause in LIMITS,
    ),
    Kind(
        "exception",
        "the harness itself failed",
        "An exception, a wrong return value or too much memory is a bug of agent.py, whatever the model did.",
        lambda facts: facts.case.cause in BROKE,
    ),
    Kind(
        "unverifiable",
        "what it left could not be verified",
        "Twice in a row the verification failed on what this agent left, and works without it.",
        lambda facts: facts.case.cause in SUSPECT,
    ),
    Kind(
        "refused",
        "the provider refused a model call",
        "Most often the conversation no longer fits into the model's context; the harness sends it.",
        lambda facts: any(call.stop_reason in REFUSED for call in facts.calls),
    ),
    Kind(
        "cut-off",
        "the model's last answer was cut off at the output limit",
        "What came after the limit was never said, a call that it held was never made.",
        lambda facts: facts.last is not None and facts.last.stop_reason == "max_tokens",
    ),
    Kind(
        "wrong-format",
        "the last answer holds a command as text, which nobody ran",
        "The model meant to go on; the harness took its words for the final answer.",
        _as_text,
    ),
    Kind(
        "tool-misuse",
        "calls that no tool could do: unreadable, unknown, or commands that there are not",
        "More than a quarter of them; the tool's description or its error messages do not help the model.",
        _misused,
    ),
    Kind(
        "stopped-midway",
        "the model still called a tool when the harness returned",
        "The harness's own loop ended before the model did.",
        _stopped,
    ),
    Kind(
        "did-nothing",
        "no command was run and no file written",
        "The answer is words alone, where the task wants something done.",
        lambda facts: not facts.acts,
    ),
    Kind(
        "gave-up",
        "the final message says nothing, or that it cannot be done",
        "The model stopped by itself; another attempt or more of the output might have helped.",
        lambda facts: not facts.case.answer.strip() or _GIVES_UP.search(facts.case.answer[-1_000:]) is not None,
    ),
    Kind(
        "in-circles",
        f"the same command was run {REPEATED} times or more",
        "The model did not take in what it was shown, or was not shown what it needed.",
        _circles,
    ),
    Kind(
        "ended-on-error",
        "the last command failed, and the trial ended after it",
        "An error that was in sight was left as it was.",
        lambda facts: bool(facts.commands) and failed(facts.commands[-1]),
    ),
    Kind(
        "wrote-blind",
        "files were written before anything was looked at",
        "What was written rests on guesses about the inputs.",
        _blind,
    ),
    Kind(
        "never-verified",
        "after the last change nothing was looked at or tested",
        "A look at the result would have shown that it is wrong.",
        _unverified,
    ),
    Kind(
        "confident-and-wrong",
        "it worked, looked at its result and said that it was done",
        "Nothing in its steps went wrong: the task was misread, or the check was too weak.",
        lambda facts: True,
    ),
)
"""What is sure comes first; that nothing else holds comes last."""

BY_NAME = {kind.name: kind for kind in KINDS}
LAST = KINDS[-1]


def kind_of(facts: Facts) -> Kind:
    """The first kind that holds of a trial."""
    return next(kind for kind in KINDS if kind.holds(facts))
