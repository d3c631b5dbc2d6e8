"""The meta side: the meta-agent's tools, driven as a model would drive them, to one proposed edit.

It lists failures, reads some of their traces and the log of experiments, reads the harness, and proposes one idea of its
repertoire (ideas.py). Symptoms are found in what the tools really answer; the dice decide which of them it takes up, and
now and then it has a useless or a harmful idea, as models do. Nothing is remembered between calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lorimer.harness.api import Completion, Reasoning, ToolCall
from lorimer.models.base import CallContext, ModelRequest
from lorimer.models.simulated.dice import pick, roll
from lorimer.models.simulated.ideas import HARMFUL, HONEST, NEUTRAL, USELESS, Idea, IdeaKind
from lorimer.models.simulated.reading import Mark
from lorimer.models.simulated.solver import Character
from lorimer.models.simulated.source import Replacement, Source, read_source
from lorimer.models.simulated.speech import call_id, finished, request_tokens
from lorimer.models.simulated.tasks import Flaw

TRACES_READ = 6
"""Failed trials it reads; enough to see which trouble is frequent, few enough to be wrong at times."""
MAX_PROPOSALS = 4
"""Calls of `propose_edit` before it gives up."""
KINDS: Sequence[tuple[IdeaKind, float]] = (("honest", 0.72), ("useless", 0.12), ("harmful", 0.16))
"""What it comes up with: mostly sense, as a small model does; calibrated so that a demo shows refusals and promotions."""
MISQUOTES = 0.12
"""How often it quotes the harness wrongly at first, so that the edit does not apply."""
QUOTED_CHARS = 100
"""The most that it cites of a step's first line."""
UNSEEN = 0.02
"""Weight of a symptom that it saw in no trace, beside 1 for one that it saw in all (it grows with the square)."""


@dataclass(frozen=True)
class EarlierCall:
    """One of its earlier calls and what the tool said."""

    name: str
    arguments: Mapping[str, Any]
    text: str
    is_error: bool


@dataclass(frozen=True)
class _Talk:
    """The conversation so far, and how the model goes on with it."""

    request: ModelRequest
    past: Sequence[EarlierCall]
    dice: tuple[object, ...]

    @property
    def offered(self) -> set[str]:
        return {tool.name for tool in self.request.tools}

    @property
    def names(self) -> list[str]:
        """The tools that it has called, in order."""
        return [one.name for one in self.past]

    def may_begin(self, name: str) -> bool:
        """Whether a tool is offered that it has not called yet."""
        return name in self.offered and name not in self.names

    def call(self, thought: str, *calls: tuple[str, Mapping[str, Any]]) -> Completion:
        made = [
            ToolCall(
                call_id(str(len(self.past)), str(place), name, json.dumps(arguments, default=str)), name, arguments
            )
            for place, (name, arguments) in enumerate(calls)
        ]
        return finished("", made, Reasoning(thought), self.request, request_tokens(self.request))

    def end(self, words: str) -> Completion:
        return finished(words, (), Reasoning(words), self.request, request_tokens(self.request))


def reply(request: ModelRequest, context: CallContext, character: Character) -> Completion:
    """One answer of the meta-agent's model. Never raises; where nothing fits it says so, without a call."""
    talk = _Talk(request, _past(request), (context.seed, context.harness, context.task, context.attempt))
    if "propose_edit" not in talk.offered:
        return talk.end("I have no way to propose an edit.")
    trials = _trials(_texts(talk.past, "list_failures"))
    looks = _look(talk, trials)
    if looks is not None:
        return looks
    # Read last, and again if its answer is no longer in the conversation: an edit must quote it exactly.
    shown = _texts(talk.past, "read_harness")
    source = read_source(shown[-1]) if shown else None
    if source is not None:
        return _propose(talk, trials, source, character)
    if "read_harness" in talk.offered and talk.names.count("read_harness") < 2:
        return talk.call("Now the harness itself.", ("read_harness", {}))
    return talk.end("I could not read the harness; I have nothing to propose.")


def _look(talk: _Talk, trials: Sequence[tuple[str, str]]) -> Completion | None:
    """Its next look at what happened; `None` when it has seen enough."""
    first = [name for name in ("list_failures", "experiment_log") if talk.may_begin(name)]
    if first and not talk.past:
        focus = _focus(talk.request)
        asked: dict[str, Mapping[str, Any]] = {"list_failures": {"kind": focus}} if focus else {}
        return talk.call(
            "I start with what failed, and with what was tried before.", *((n, asked.get(n, {})) for n in first)
        )
    if trials and talk.may_begin("read_trace"):
        chosen = _spread(trials, TRACES_READ, *talk.dice)
        return talk.call("I read some of the failed trials.", *(("read_trace", {"trial": name}) for name, _ in chosen))
    if trials and talk.may_begin("search_traces"):
        return talk.call("Do others end like this?", ("search_traces", {"query": "maximum context length"}))
    return None


def _propose(talk: _Talk, trials: Sequence[tuple[str, str]], source: Source, character: Character) -> Completion:
    """The edit that it draws, or its last words where there is none to draw or one was taken."""
    past, dice = talk.past, talk.dice
    proposals = [one for one in past if one.name == "propose_edit"]
    if proposals and not _refused(proposals[-1]):
        return talk.end(f"Proposed: {proposals[-1].arguments.get('title', 'an edit')}.")
    if len(proposals) >= MAX_PROPOSALS:
        return talk.end("My edits do not apply; I have nothing to propose.")
    log = "\n".join(_texts(past, "experiment_log"))
    here = [str(one.arguments.get("title")) for one in proposals]
    misquoted = _misquotes(dice) and len(proposals) == 1
    findings = _findings(past, trials)
    ideas = _asked_for(_repertoire(character), talk.request)
    hunks_of = {idea.title: idea.hunks(source) for idea in ideas}
    drawn = _draw(ideas, hunks_of, findings, log, here[:-1] if misquoted else here, dice)
    if drawn is None:
        return talk.end("Nothing that I can think of fits this harness; I have nothing to propose.")
    hunks = hunks_of[drawn.title]
    if _misquotes(dice) and not proposals:
        hunks = (Replacement(f"{hunks[0].search}  # as it was", hunks[0].replace), *hunks[1:])
    return talk.call(
        drawn.hypothesis if not proposals else "The edit was refused; I correct it.",
        (
            "propose_edit",
            {
                "title": drawn.title,
                "hypothesis": drawn.hypothesis,
                "hunks": [{"search": hunk.search, "replace": hunk.replace} for hunk in hunks],
                "citations": _citations(drawn, past),
                "kind": drawn.about,
                "cause": drawn.cures.value if drawn.cures else "",
                "mechanism": drawn.title,
                "fixes": _fixes(drawn, findings, trials),
                "at_risk": [],
            },
        ),
    )


def _focus(request: ModelRequest) -> str:
    """The kind of failures that it is to work on, as the first message says; empty where it may choose."""
    found = re.search(r"^Your part are the failed trials of kind \[([\w-]+)\]", _first_text(request), re.MULTILINE)
    return found[1] if found else ""


def _first_text(request: ModelRequest) -> str:
    return next((message.text for message in request.messages if message.role == "user"), "")


# ---- what the tools said --------------------------------------------------------------------------------------------


def _past(request: ModelRequest) -> list[EarlierCall]:
    calls: dict[str, ToolCall] = {}
    answered = []
    for message in request.messages:
        for made in message.tool_calls:
            calls[made.id] = made
        if message.role == "tool" and message.tool_call_id in calls:
            made = calls.pop(message.tool_call_id)
            answered.append(EarlierCall(made.name, made.arguments, message.text, message.is_error))
    return answered


def _texts(past: Sequence[EarlierCall], name: str) -> list[str]:
    return [one.text for one in past if one.name == name and not one.is_error]


def _refused(proposal: EarlierCall) -> bool:
    words = r"^\s*(?:error|refused|rejected|invalid)|not found|does not (?:occur|match|apply|appear)|not unique"
    return proposal.is_error or re.search(words, proposal.text[:400], re.IGNORECASE) is not None


def _trials(listings: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of trial and task named in lists of failures: `trial some-task/0`, the id's last part but one the task."""
    found: dict[str, str] = {}
    for trial in re.findall(r"\btrial ((?:[\w.-]+/)+\d[\w.-]*)", "\n".join(listings)):
        found.setdefault(trial, trial.split("/")[-2])
    return list(found.items())


def _spread(trials: Sequence[tuple[str, str]], count: int, *dice: object) -> list[tuple[str, str]]:
    """Some of `trials`, of different tasks as far as possible, drawn by the dice."""
    drawn = sorted(trials, key=lambda item: roll(*dice, "trace", item[0]))
    seen: set[str] = set()
    fresh = [item for item in drawn if item[1] not in seen and not seen.add(item[1])]  # type: ignore[func-returns-value]
    return (fresh + [item for item in drawn if item not in fresh])[:count]


def symptoms(trace: str) -> frozenset[Flaw]:
    """What a failed trial's trace looks like, as far as its text shows."""
    found = set()
    wrote = Mark.WRITE.value in trace
    if re.search(r"maximum context length|context_overflow", trace):
        found.add(Flaw.OVERFLOWS)
    elif re.search(r"```(?:bash|sh)\b|<tool_call>", trace) and not re.search(
        r"\bcommand, (?:exit code|timed out)", trace
    ):
        found.add(Flaw.TEXT_CALLS)
    elif re.search(r"""["']=(?:[A-Z]{2,}\(|\{|[A-Z]+[0-9{])""", trace):
        found.add(Flaw.FORMULAS)
    elif wrote and Mark.LOOK.value not in trace:
        found.add(Flaw.GUESSES)
    elif wrote and Mark.CHECK.value not in trace:
        found.add(Flaw.FORGETS_TO_VERIFY)
    return frozenset(found)


@dataclass(frozen=True)
class Findings:
    """Which tasks showed which symptom, among the traces that were read."""

    read: int
    tasks: Mapping[Flaw, tuple[str, ...]]

    def share(self, flaw: Flaw) -> float:
        return len(self.tasks.get(flaw, ())) / self.read if self.read else 0.0


def _findings(past: Sequence[EarlierCall], trials: Sequence[tuple[str, str]]) -> Findings:
    task_of = dict(trials)
    tasks: dict[Flaw, list[str]] = {}
    read = 0
    for one in past:
        if one.name == "read_trace" and not one.is_error:
            read += 1
            for flaw in symptoms(one.text):
                tasks.setdefault(flaw, []).append(task_of.get(str(one.arguments.get("trial")), ""))
    return Findings(read, {flaw: tuple(task for task in named if task) for flaw, named in tasks.items()})


# ---- what it makes of it --------------------------------------------------------------------------------------------


def _repertoire(character: Character) -> Sequence[Idea]:
    return (*HONEST, *USELESS, *HARMFUL) if character.heeds else NEUTRAL


def _asked_for(ideas: Sequence[Idea], request: ModelRequest) -> Sequence[Idea]:
    """Those of the kinds that the session asks for, where it asks for some and any is of them."""
    words = re.search(r"^Asked for now: an edit of kind ([^;.\n]+)", request.messages[0].text, re.MULTILINE)
    kinds = re.split(r" or |, ", words.group(1)) if words else []
    return [idea for idea in ideas if idea.about in kinds] or ideas


def _draw(
    ideas: Sequence[Idea],
    hunks: Mapping[str, Sequence[Replacement]],
    findings: Findings,
    log: str,
    refused: Sequence[str],
    dice: Sequence[object],
) -> Idea | None:
    """One idea that fits the harness and was not tried: first its kind, then the symptom, then the wording."""
    open_ideas = [idea for idea in ideas if hunks[idea.title] and idea.title not in log and idea.title not in refused]
    if not open_ideas:
        return None
    weights = [(kind, weight) for kind, weight in KINDS if any(idea.kind == kind for idea in open_ideas)]
    kind = pick(weights, *dice, "kind")
    weighted = [
        (idea, (findings.share(idea.cures) ** 2 + UNSEEN if idea.cures else 1.0))
        for idea in open_ideas
        if idea.kind == kind
    ]
    # Several wordings of one cure share its weight.
    alike = {idea.title: sum(other.cures == idea.cures for other, _ in weighted) for idea, _ in weighted}
    shared = [(idea, weight / (alike[idea.title] if idea.cures else 1)) for idea, weight in weighted]
    return pick(shared, *dice, "idea")


def _citations(idea: Idea, past: Sequence[EarlierCall]) -> list[dict[str, Any]]:
    """The last command of the first trial that it read and that showed the symptom, or of the first that it read."""
    read = [one for one in past if one.name == "read_trace" and not one.is_error]
    shown = [one for one in read if idea.cures in symptoms(one.text)] if idea.cures else []
    for one in [*shown, *read]:
        quoted = re.findall(r"^\[(\d+)\] (command, [^\n]+|model call)$", one.text, re.MULTILINE)
        if quoted:
            # A step's first line alone: what follows may be folded.
            step, words = max(quoted, key=lambda item: (item[1].startswith("command"), int(item[0])))
            return [{"trial": one.arguments.get("trial"), "step": int(step), "quote": words[:QUOTED_CHARS]}]
    return []


def _misquotes(dice: Sequence[object]) -> bool:
    return roll(*dice, "misquotes") < MISQUOTES


def _fixes(idea: Idea, findings: Findings, trials: Sequence[tuple[str, str]]) -> list[str]:
    """The tasks that showed the symptom; for an idea without one, the first that failed."""
    named = findings.tasks.get(idea.cures, ()) if idea.cures else ()
    tasks = dict.fromkeys(named or [task for _, task in trials])
    return list(tasks)[:3]
