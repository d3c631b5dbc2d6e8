"""The steps, messages and money of made trials: a conversation of a few turns about code, in words of an uneven vocabulary."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from lorimer.harness.api import Message, Tool, ToolCall, assistant, user
from lorimer.traces import codec

SYSTEM = "You are an agent that repairs programs. Work in small steps, and look before you change anything."
SHELL = Tool("shell", "Run a command.", {"type": "object", "properties": {"command": {"type": "string"}}})
VOCABULARY = 6_000
COMMON = "nata"
"""The word that is found in most steps."""
TURNS = 3_000
"""Different turns; each trial takes some of them, and a few of its own."""
OWN = 0.15
"""Share of turns that no other trial has."""
SYLLABLES = [
    "ba",
    "co",
    "de",
    "fi",
    "gu",
    "ha",
    "jo",
    "ke",
    "li",
    "mo",
    "na",
    "pe",
    "qui",
    "ro",
    "su",
    "ta",
    "ve",
    "wo",
    "xa",
]
COMMANDS = (
    'grep -rn "{0}" src/{1}', "sed -n '1,80p' src/{1}/{0}.py", "python -m pytest tests/test_{0}.py -q",
    "cat src/{0}.py", "git log --oneline -5 -- {1}", "python {0}.py --{1}", "ls -la {0}/{1}",
)  # fmt: skip
FAILURES = ("Traceback (most recent call last):", "KeyError: '{0}'", "AssertionError: {0} != {1}", "no such file: {0}")


@dataclass(frozen=True)
class Turn:
    """What the model said, and what its command gave."""

    said: str
    """The message's SHA-256."""
    given: str
    """The digest of the tool's result."""
    spoken: str
    """The text that search finds of the model's part."""
    output: str
    """The digest of the command's output."""
    exec: str
    """The command's step as JSON."""


class Steps:
    """Makes rows for `step`, `message` and `spend`. Messages that are new since the last call of `new_messages` wait there."""

    def __init__(self, dice: random.Random, turns: float) -> None:
        self._dice, self._turns = dice, turns
        self._new: list[tuple[str, str]] = []
        self._words = ["".join(dice.choices(SYLLABLES, k=dice.randint(1, 4))) for _ in range(VOCABULARY)]
        self._words[0] = COMMON
        # Zipf's law: the tenth word is a tenth as frequent as the first.
        self._often = list(accumulate(1 / place for place in range(1, VOCABULARY + 1)))
        self._system = self._message(codec.encode_system(SYSTEM))
        self._tools = self._message(codec.encode_tools((SHELL,)))
        self._tasks: dict[str, str] = {}
        self._shared = [self._turn() for _ in range(TURNS)]
        self._calls = 0
        self.made = 0

    def new_messages(self) -> list[tuple[str, str]]:
        """Hash and body of each message that was made since this was asked."""
        new, self._new = self._new, []
        return new

    def sentence(self, words: int) -> str:
        return " ".join(self._dice.choices(self._words, cum_weights=self._often, k=words))

    def conversation(self, owner: str, task: str, model: str, verdict: str) -> Iterator[tuple[object, ...]]:
        """The steps of a trial, or of a proposal: owner, index, kind, at, seconds, data, text."""
        dice, index, base, keep = self._dice, 0, "null", 0
        append = [self._task(task)]
        at = 0.5
        for _ in range(self.turns()):
            turn = self._turn() if dice.random() < OWN else dice.choice(self._shared)
            seconds = dice.random() * 6
            data = (
                f'{{"model":"{model}","base":{base},"keep":{keep},"append":{codec.dumps(append)},'
                f'"system":"{self._system}","tools":"{self._tools}","completion":"{turn.said}","stop_reason":"tool_calls",'
                f'"usage":{{"input_tokens":{400 + 300 * keep},"output_tokens":120}},"error":"","cost_usd":0.004,'
                '"settings":{"max_tokens":4096,"stop":[],"temperature":null,"effort":null},"waited_seconds":0.0,"retries":0}'
            )
            yield owner, index, "model_call", at, seconds, data, turn.spoken
            yield owner, index + 1, "exec", at + seconds, 0.2, turn.exec, turn.output
            base, keep, append = str(index), keep + len(append), [turn.said, turn.given]
            index, at = index + 2, at + seconds + 0.2
        if dice.random() < 0.3:
            yield owner, index, "note", at, 0.0, '{"text":"done"}', "done"
            index += 1
        yield owner, index, "verdict", at, 0.0, verdict, ""
        self.made += index + 1

    def turns(self) -> int:
        return max(1, round(self._dice.gauss(self._turns, self._turns / 3)))

    def call(self) -> str:
        """The name of a reservation."""
        self._calls += 1
        return f"{self._calls:08x}{self._dice.getrandbits(96):024x}"

    def _turn(self) -> Turn:
        dice = self._dice
        one, other = dice.choices(self._words, cum_weights=self._often, k=2)
        command = dice.choice(COMMANDS).format(one, other)
        lines = [self.sentence(dice.randint(3, 12)) for _ in range(dice.randint(1, 8))]
        if dice.random() < 0.3:
            lines.append(dice.choice(FAILURES).format(one, other))
        output, words = "\n".join(lines), self.sentence(dice.randint(8, 40))
        call = ToolCall(f"call_{dice.getrandbits(32):08x}", "shell", {"command": command})
        said = self._message(codec.encode_message(assistant(words, tool_calls=(call,))))
        given = self._message(codec.encode_message(Message("tool", output, tool_call_id=call.id)))
        data = {"command": command, "cwd": None, "exit_code": 0, "timed_out": False, "stdout": output, "stderr": ""}
        return Turn(said, given, f"{words}\nshell command: {command}", f"{command}\n{output}", codec.dumps(data))

    def _task(self, task: str) -> str:
        if task not in self._tasks:
            self._tasks[task] = self._message(codec.encode_message(user(f"Repair {task}. {self.sentence(60)}")))
        return self._tasks[task]

    def _message(self, body: dict[str, object]) -> str:
        sha = codec.digest(body)
        self._new.append((sha, codec.dumps(body)))
        return sha
