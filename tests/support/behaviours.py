"""Sixteen ways in which a meta model behaves, as scripts of its answers: what it is told each time, and what becomes of it.

`docs/meta-agent.md` has the same rows; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SEED = '''"""A harness that asks once, and says what it was told."""

from lorimer.harness.api import user

PROMPT = "Solve the task."
NUDGE = "Go on with it."


def solve(task, env, llm):
    said = llm.complete([user(task.instruction)], system=PROMPT).text
    if "never" in said:
        said += llm.complete([user(NUDGE)]).text
    env.exec(f"echo '{said}' > /app/said")
    return said
'''

QUIET = "The answer, quietly."
"""What the task model says, and what every failed trial quotes."""
GOOD = {"search": 'PROMPT = "Solve the task."', "replace": 'PROMPT = "Solve the task aloud."'}
SLOWLY = {"search": 'PROMPT = "Solve the task."', "replace": 'PROMPT = "Solve the task slowly."'}
RETURNED = {"search": "    return said", "replace": "    return said.strip()"}
FAILED = "hard-0/0"
"""A trial of the seed harness that failed."""

Call = tuple[str, Any]
"""A tool and its arguments; text stands for arguments that are no JSON."""


@dataclass(frozen=True)
class Behaviour:
    """One session's script."""

    name: str
    """As docs/meta-agent.md names it."""
    answers: tuple[tuple[Call, ...] | str, ...]
    """Calls, or words. The last repeats until the session ends."""
    told: tuple[str, ...] = ()
    """What the model reads in return, in this order."""
    state: str = "failed"
    ends: str = ""
    """What people read of it in `lorimer log`."""


def proposal(*hunks: dict[str, str], **changes: Any) -> Call:
    given = {
        "title": "An edit",
        "hypothesis": "Answers are too quiet; said otherwise, they will be heard.",
        "hunks": list(hunks),
        "citations": [{"trial": FAILED, "step": 0, "quote": QUIET}],
        "kind": "prompt",
        "cause": "too quiet",
        "mechanism": "It asks for more.",
        "fixes": ["hard-0", "hard-1"],
        "at_risk": [],
    }
    return "propose_edit", {**given, **changes}


def refused(name: str, call: Call, *words: str) -> Behaviour:
    """A model whose edit is refused with these words, and which then gives up."""
    ends = f"answered 4 times without a readable tool call; at last: I give up; its last edit was refused: {words[0]}"
    return Behaviour(name, ((call,), "I give up."), words, ends=ends)


BEFORE = Behaviour(
    "an edit that does not help",
    ((proposal(SLOWLY, title="Slowly"),),),
    state="rejected",
    ends="so the champion stays",
)
"""It comes first, so that there is an edit that was rejected."""

SIXTEEN = (
    refused(
        "gives an ambiguous hunk",
        proposal({"search": "said", "replace": "told"}),
        "the edit was not applied: hunk 1 of 1: `search` is found 6 times, at lines 10, 11, 12, 13, 13, 14; add lines of context",
        "Each `search` must be copied exactly from agent.py (read_harness), with its indentation, and occur there once.",
    ),
    refused(
        "makes a syntax error",
        proposal({"search": "    return said", "replace": "    return said +"}),
        "the edited agent.py is not valid: agent.py line 14, column 18: invalid syntax: 'return said +'",
        "Correct the edit and call propose_edit again.",
    ),
    refused(
        "removes `solve`",
        proposal({"search": "def solve(", "replace": "def resolve("}),
        "the edited agent.py is not valid: agent.py must define `def solve(task, env, llm)` at its top level",
        "Correct the edit and call propose_edit again.",
    ),
    refused(
        "hard-codes an answer",
        proposal(
            {
                "search": "    return said",
                "replace": '    if task.instruction == "Say it loud, number 0.":\n        return "loud"\n    return said',
            }
        ),
        "the edit carries knowledge of single tasks, which would be worth nothing on new ones: compares task.instruction, or its "
        "length, with a constant",
        "Make it general, without task names, wording or answers.",
    ),
    refused(
        "copies 8 words of a task",
        proposal({"search": "Solve the task.", "replace": "Count the grey ships that came after the noon bell."}),
        "the edit carries knowledge of single tasks, which would be worth nothing on new ones: quotes a task's text: "
        '"count the grey ships that came after the"',
        "Make it general, without task names, wording or answers.",
    ),
    refused(
        "changes nothing",
        proposal({"search": "    return said", "replace": "    return said"}),
        "the edit changes nothing: `replace` is the same as `search`",
        "Propose a real change.",
    ),
    refused(
        "changes comments only",
        proposal({"search": "    return said", "replace": "    return said  # as it was told"}),
        "this edit touches none of 10 recorded trials (0 of 8 failed, 0 of 2 solved): it changes comments and layout alone",
        "Change what the failed trials send, run or return.",
    ),
    refused(
        "makes an inert edit",
        proposal({"search": "Go on with it.", "replace": "Carry on to the end."}),
        "this edit touches none of 10 recorded trials (0 of 8 failed, 0 of 2 solved): the text of NUDGE was changed and reached "
        "no request",
        "Change what the failed trials send, run or return.",
    ),
    refused(
        "cites a trial that is not there",
        proposal(GOOD, citations=[{"trial": "hard-77/0", "step": 0, "quote": QUIET}]),
        "citation 1: there is no trial hard-77/0. There is, for example, hard-0/0",
        "Cite what you have read.",
    ),
    refused(
        "misquotes a trial",
        proposal(GOOD, citations=[{"trial": FAILED, "step": 0, "quote": "The answer, shouted."}]),
        f"citation 1: step 0 of trial {FAILED} does not say 'The answer, shouted.'. The nearest there: 'model: {QUIET}'.",
        "Copy the words exactly, without leaving any out.",
    ),
    Behaviour(
        "asks for the holdout",
        (
            (("read_trace", {"trial": "sealed-0/0"}),),
            (("search_traces", {"query": "lighthouse"}), ("compare_trials", {"task": "sealed-1"})),
            (("read_holdout", {}),),
            "Then I know nothing.",
        ),
        (
            "Error: there is no trial sealed-0/0.",
            "Nothing in the traces matches 'lighthouse'.",
            "Error: there is no task sealed-1.",
            "Error: there is no tool read_holdout.",
        ),
        ends="answered 4 times without a readable tool call; at last: Then I know nothing.",
    ),
    Behaviour(
        "reads without end",
        tuple((("read_trace", {"trial": f"hard-{number}/0"}),) for number in range(8)),
        ("[2 answers left: call propose_edit now.]", "[1 answer left: call propose_edit now.]"),
        ends="the meta-agent used up its 8 calls without a usable edit",
    ),
    Behaviour(
        "gives bad arguments",
        (
            (("propose_edit", '{"title": "A "quoted" one"}'),),
            (("propose_edit", {"title": "An edit", "hypothesis": "It helps.", "hunks": 7}),),
            (("read_trace", {"trial": ["hard-0/0"]}), ("read_trace", {"trial": "hard-0/0", "first": "two"})),
            (proposal(GOOD, citations="hard-0/0"),),
            "I give up.",
        ),
        (
            "Error: the call could not be read: not a JSON object",
            'Error: `hunks` must be a list such as [{"search": "old lines", "replace": "new lines"}]',
            "Error: `trial` is missing: give a text.",
            "Error: `first` must be a whole number, not 'two'.",
            "Error: `citations` must be a list such as",
        ),
        ends="answered 4 times without a readable tool call; at last: I give up; its last edit was refused: `citations` must be",
    ),
    Behaviour(
        "sends empty replies",
        ("",),
        ("That was no tool call, so nothing happened.",),
        ends="the meta-agent answered 4 times without a readable tool call; at last: nothing",
    ),
    Behaviour(
        "merges two edits",
        ((proposal(SLOWLY, RETURNED),),),
        (
            "Error: the edit holds all of experiment 1 (Slowly), which was rejected on this very harness: ",
            "Error: you made this very call just before",
        ),
        ends="the meta-agent repeated the same call 3 times (propose_edit); its last edit was refused: the edit holds all of "
        "experiment 1 (Slowly)",
    ),
    # Last, as the champion changes with it.
    Behaviour(
        "makes a good edit",
        (
            (("list_failures", {}), ("tool_stats", {})),
            (("read_trace", {"trial": FAILED}),),
            (("preview_edit", {"hunks": [GOOD]}),),
            (proposal(GOOD, title="Aloud"),),
        ),
        ("8 of 10 trials failed", QUIET, "This edit would be accepted. It touches 8 of 8 failed and 2 of 2 solved trials."),
        state="promoted",
        ends="promoted",
    ),
)  # fmt: skip
