"""How a simulated model reads a request: what it is told, which tool it may use, what came of its own commands.

Guidance is judged by stems, sentence by sentence, so that any honest wording works: `Inspect the input files first` and
`look at the data before you write code` are the same to it. The stems are listed in docs/simulated-model.md.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lorimer.harness.api import Tool
from lorimer.models.base import ModelRequest


class Advice(StrEnum):
    """What a harness can tell the model to do, or not to do."""

    LOOK = "look"
    HURRY = "hurry"
    """The opposite: work blind, save steps."""
    VERIFY = "verify"
    VALUES = "values"
    LIMIT = "limit"
    NATIVE = "native"


_NOT = r"\b(?:not|never|n't|don't|without|avoid|instead of|rather than|no need|skip)\b|n't\b"
_RULES: Mapping[Advice, tuple[str, ...]] = {
    Advice.LOOK: (
        r"\b(?:look|inspect|read|examin|explor|view|study|preview|survey|open|understand)",
        r"\b(?:file|input|data|content|director|folder|format|sheet|logs?\b|workspace|sample|environment)",
    ),
    Advice.VERIFY: (
        r"\b(?:check|double-check|verif|validat|confirm|re-?read|test|make sure)",
        r"\b(?:result|output|answer|your work|done|finish|solution|produced|wrote|written|final)",
    ),
    Advice.VALUES: (r"\bvalues?\b|\bnumbers?\b|\bliteral", r"\bformula|\bcomputed\b|\bcalculated\b"),
    Advice.LIMIT: (
        r"\b(?:head|tail|limit|truncat|short|small|few|first|brief|slice|sample|part|cut|size|wc)\b|`head|`wc|`tail",
        r"\b(?:output|print|line|row|large|big|huge|long|whole|entire|dump|context|cat|byte|character)s?\b",
    ),
    Advice.NATIVE: (
        r"\btools?\b|\bcalls?\b|\bcommands?\b",
        r"\bnativ|\bstructured\b|\btool[- ]call(?:ing)? (?:interface|api|mechanism)|\bas text\b|\bin (?:your )?text\b"
        r"|\bcode block|\bfence|\bin prose\b|\bmarkdown\b",
    ),
}
_FORBIDS_DUMPS = (r"\b(?:print|dump|cat|show|output)", r"\b(?:whole|entire|large|big|huge|full|all)\b")


@functools.lru_cache(maxsize=4096)
def advice(text: str) -> frozenset[Advice]:
    """What `text` tells a model, judged sentence by sentence."""
    found: set[Advice] = set()
    for whole in re.split(r"[.!?;:]\s|\n\s*\n|\n(?=\s*[-*\d])|\n(?=[A-Z])", text.replace("\u2019", "'")):
        sentence = whole.lower()
        negations = [match.start() for match in re.finditer(_NOT, sentence)]
        for name, stems in _RULES.items():
            matches = [re.search(stem, sentence) for stem in stems]
            if not all(matches):
                continue
            # Only a negation before the verb turns it round: `check the result, do not guess` is still advice to check,
            # and so is `never finish without checking the result`.
            first = min(match.start() for match in matches if match)
            turned = sum(at < first for at in negations) % 2 == 1
            if name is Advice.NATIVE or not turned:
                found.add(name)
            elif name is Advice.LOOK and not re.search(_FORBIDS_DUMPS[1], sentence):
                found.add(Advice.HURRY)
        if negations and all(re.search(stem, sentence) for stem in _FORBIDS_DUMPS):
            found.add(Advice.LIMIT)
        blind = re.search(r"\bwithout (?:look|explor|inspect|check|read)", sentence)
        if (blind and negations[0] == blind.start()) or re.search(r"\bas few (?:steps|commands|calls|turns)", sentence):
            found.add(Advice.HURRY)
    if Advice.LOOK in found:
        found.discard(Advice.HURRY)
    return frozenset(found)


@dataclass(frozen=True)
class ShellTool:
    """The tool that the model takes for a shell, and its argument for the command."""

    name: str
    argument: str


def shell_tool(tools: Sequence[Tool]) -> ShellTool | None:
    """The offered tool that runs a shell command: one string argument that must be given, and words that say so."""
    best: tuple[int, ShellTool] | None = None
    for tool in tools:
        properties = tool.parameters.get("properties")
        if not isinstance(properties, Mapping):
            continue
        strings = [str(key) for key, value in properties.items() if _is_string(value)]
        required = tool.parameters.get("required")
        needed = [str(key) for key in required] if isinstance(required, list | tuple) else list(properties)
        arguments = [key for key in strings if key in needed] or (strings if len(strings) == 1 else [])
        if len(arguments) != 1 or any(key not in arguments for key in needed):
            continue
        words = f"{tool.name} {tool.description} {arguments[0]}".lower()
        score = len(re.findall(r"shell|bash|command|\bcmd|terminal|\bexec|\brun\b", words))
        if score and (best is None or score > best[0]):
            best = (score, ShellTool(tool.name, arguments[0]))
    return best[1] if best else None


def _is_string(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "string"


class Mark(StrEnum):
    """The comment that opens each of the model's commands, by which it knows its own earlier steps again."""

    LIST = "# list the folder"
    LOOK = "# look at the inputs"
    WRITE = "# write the solution"
    RUN = "# run the solution"
    CHECK = "# check the result"
    REPAIR = "# repair the solution and run it"


@dataclass(frozen=True)
class Own:
    """One of the model's earlier steps."""

    mark: Mark
    native: bool
    result: str | None
    """What came back; `None` where the harness did not run it."""


@dataclass(frozen=True)
class SeenRequest:
    """A request as the model takes it in."""

    text: str
    """All that the user and the system said; the task is known by it."""
    advice: frozenset[Advice]
    """Advice found in the system prompt, the tools' descriptions and what the harness adds to the task."""
    told_chars: int
    """Length of the system prompt and tool descriptions."""
    steps: tuple[Own, ...]
    finished: bool
    """It has given a final answer before, and was spoken to again."""
    asked_to_verify: bool
    """What it was told after that answer asks for a check."""
    scolded: bool
    """The harness said that it could not read a call."""
    turns: int
    """Its own messages so far."""
    tool: ShellTool | None

    def results(self, *marks: Mark) -> list[str]:
        return [step.result for step in self.steps if step.mark in marks and step.result is not None]

    def done(self, *marks: Mark) -> bool:
        return bool(self.results(*marks))


_SCOLDS = re.compile(
    r"^error: (?:call|no such tool|unknown tool)|no tool call|not a (?:valid )?tool call|could not (?:read|parse)"
    r"|call the tool|use the (?:\S+ )?tool|malformed",
    re.IGNORECASE,
)


def take_in(request: ModelRequest, instruction: str) -> SeenRequest:
    """Read a request. `instruction` is the known task's, which is no guidance; empty where the task is not known."""
    tools = "\n".join(f"{tool.description}\n{_descriptions(tool.parameters)}" for tool in request.tools)
    told = [request.system or "", tools]
    said: list[str] = [request.system or ""]
    steps: list[Own] = []
    finished = asked = scolded = False
    pending: dict[str, Mark] = {}
    in_text: Mark | None = None
    turns = 0
    for message in request.messages:
        if message.role == "assistant":
            turns += 1
            in_text, asked = None, False
            pending = {call.id: mark for call in message.tool_calls if (mark := _mark(str(dict(call.arguments))))}
            if not message.tool_calls:
                in_text = _mark(message.text)
                finished = finished or in_text is None
        elif message.role == "tool":
            mark = pending.pop(message.tool_call_id, None)
            refused = bool(_SCOLDS.search(message.text[:300]))
            scolded = scolded or refused
            if mark:
                steps.append(Own(mark, True, None if refused else message.text))
        elif in_text is not None:
            verify = Advice.VERIFY in advice(message.text[:600]) and "exit code" not in message.text
            refused = bool(_SCOLDS.search(message.text[:300]))
            scolded = scolded or refused
            steps.append(Own(in_text, False, None if refused else "" if verify else message.text))
            asked = asked or verify
            finished = finished or verify
            in_text = None
        else:
            rest = _without(message.text, instruction)
            said.append(message.text)
            if finished:
                asked = asked or Advice.VERIFY in advice(rest)
            told.append(rest)
    return SeenRequest(
        text="\n".join(said),
        advice=advice("\n\n".join(told)),
        told_chars=len(told[0]) + len(told[1]),
        steps=tuple(steps),
        finished=finished,
        asked_to_verify=asked,
        scolded=scolded,
        turns=turns,
        tool=shell_tool(request.tools),
    )


def _mark(text: str) -> Mark | None:
    found = [(text.find(mark.value), mark) for mark in Mark if mark.value in text]
    return min(found)[1] if found else None


def _without(text: str, instruction: str) -> str:
    """`text` less the task's instruction. A message that holds the task in other words is no guidance at all."""
    instruction = instruction.strip()
    if not instruction:
        return text
    if instruction in text:
        return text.replace(instruction, "\n\n")
    opening = instruction.splitlines()[0].strip()
    return "" if opening in text else text


def _descriptions(schema: Any) -> str:
    if isinstance(schema, Mapping):
        here = schema.get("description")
        inner = [_descriptions(value) for key, value in schema.items() if key != "description"]
        return "\n".join(part for part in [here if isinstance(here, str) else "", *inner] if part)
    return ""
