"""The repertoire of the simulated meta-agent: honest cures, useless edits, harmful ones; all of them documented."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lorimer.models.simulated import source as edit
from lorimer.models.simulated.reading import Advice
from lorimer.models.simulated.source import Replacement, Source
from lorimer.models.simulated.tasks import Flaw

IdeaKind = Literal["honest", "useless", "harmful"]
Build = Callable[[Source], Replacement | tuple[Replacement, ...] | None]


@dataclass(frozen=True)
class Idea:
    """One edit that may come to its mind."""

    title: str
    hypothesis: str
    kind: IdeaKind
    build: Build
    cures: Flaw | None = None
    about: str = "prompt"
    """What kind of edit it says that this is."""

    def hunks(self, source: Source) -> tuple[Replacement, ...]:
        """The edit on this harness; empty where it does not fit or is there already."""
        built = self.build(source)
        if built is None:
            return ()
        return (built,) if isinstance(built, Replacement) else built


def _say(sentence: str, gives: Advice | None = None) -> Build:
    return lambda source: edit.add_to_prompt(source, sentence, gives)


_CHECK_REQUEST = (
    "Before you finish, verify the result: read your output again and check it against what the task asks for."
)

HONEST = (
    Idea(
        "Look at the inputs before writing code",
        "Failed trials wrote a script without having seen the input files; told to look first, the model will not guess.",
        "honest",
        _say("Before you write any code, look at the input files.", Advice.LOOK),
        Flaw.GUESSES,
    ),
    Idea(
        "Inspect a sample of the data first",
        "The scripts rest on guessed column names and formats; a look at the data would show the real ones.",
        "honest",
        _say("Inspect the data first, then decide how to solve the task.", Advice.LOOK),
        Flaw.GUESSES,
    ),
    Idea(
        "Require reading every input",
        "Blind first steps come before most failures; reading the inputs is cheap.",
        "honest",
        _say("Always read every input file once, so that you know its format.", Advice.LOOK),
        Flaw.GUESSES,
    ),
    Idea(
        "Check the result before finishing",
        "Trials end right after the script ran, with a wrong result that a check would have shown.",
        "honest",
        _say("Before you finish, check that the result is what the task asks for, and correct it.", Advice.VERIFY),
        Flaw.FORGETS_TO_VERIFY,
    ),
    Idea(
        "Ask for a verification turn",
        "The model stops as soon as its script ran; a turn of the harness that asks for a check will catch slips.",
        "honest",
        lambda source: None if source.says(Advice.VERIFY) else edit.ask_for_a_check(source, _CHECK_REQUEST),
        Flaw.FORGETS_TO_VERIFY,
        about="middleware",
    ),
    Idea(
        "Verify the output with a command",
        "Slips stay in the output since nothing reads it again before the last message.",
        "honest",
        _say(
            "Verify your output with a separate command before the final answer; repair what is wrong.", Advice.VERIFY
        ),
        Flaw.FORGETS_TO_VERIFY,
    ),
    Idea(
        "Write values, not formulas",
        "Spreadsheet trials leave formulas where the task wants values, which nothing has computed.",
        "honest",
        _say("In spreadsheets write computed values, never formulas.", Advice.VALUES),
        Flaw.FORMULAS,
    ),
    Idea(
        "Cells must hold literal values",
        "A formula that is never calculated reads as empty; the tasks want the number itself.",
        "honest",
        _say("Where a cell is asked for, store the literal value in it instead of a formula.", Advice.VALUES),
        Flaw.FORMULAS,
    ),
    Idea(
        "Cap the output of commands",
        "One command printed a whole file and the conversation no longer fitted into the model's context.",
        "honest",
        lambda source: edit.set_constant(source, r"MAX_OUTPUT\w*", 4_000, only_above=10_000),
        Flaw.OVERFLOWS,
        about="middleware",
    ),
    Idea(
        "Keep head and tail of long output",
        "Long outputs overflow the context; their two ends say enough.",
        "honest",
        lambda source: edit.keep_head_and_tail(source, 6_000),
        Flaw.OVERFLOWS,
        about="middleware",
    ),
    Idea(
        "Tell the model to keep output short",
        "The context overflows after a careless `cat`; `head` would do.",
        "honest",
        _say("Keep the output of commands short: use `head` or `wc` on large files.", Advice.LIMIT),
        Flaw.OVERFLOWS,
    ),
    Idea(
        "Read fenced shell blocks as calls",
        "Some replies hold the command in a fenced block; the harness takes them for the final answer and runs nothing.",
        "honest",
        lambda source: edit.read_more_calls(source, fenced=True, quoted=False),
        Flaw.TEXT_CALLS,
        about="middleware",
    ),
    Idea(
        "Read every form of a call in text",
        "Calls written as fenced blocks or as <tool_call> text are lost; all of these forms can be read.",
        "honest",
        lambda source: edit.read_more_calls(source, fenced=True, quoted=True),
        Flaw.TEXT_CALLS,
        about="middleware",
    ),
    Idea(
        "Ask for native tool calls",
        "Commands written as text were never run; the model can call the tool if it is told how.",
        "honest",
        _say("Always call the tool natively; never write a tool call as text or in a code block.", Advice.NATIVE),
        Flaw.TEXT_CALLS,
    ),
)

USELESS = (
    Idea(
        "Give the model a persona",
        "A confident expert makes fewer mistakes.",
        "useless",
        _say("You are a world-class engineer with decades of experience."),
    ),
    Idea(
        "Be polite and encouraging",
        "An encouraged model tries harder.",
        "useless",
        _say("Take a deep breath. You can do this, thank you for your effort!"),
    ),
    Idea(
        "Describe the tool in more words",
        "A fuller description of the tool may help the model to use it.",
        "useless",
        lambda source: edit.describe_tool(
            source, "Run one shell command on the Linux machine and get back what it wrote."
        ),
        about="tool",
    ),
    Idea(
        "Lower the command timeout",
        "No command needs two minutes.",
        "useless",
        lambda source: edit.set_constant(source, r"COMMAND_TIMEOUT", 90, only_above=100),
        about="tool",
    ),
)

HARMFUL = (
    Idea(
        "Cut the number of turns",
        "Long conversations drift; three turns force the model to the point.",
        "harmful",
        lambda source: edit.set_constant(source, r"MAX_TURNS", 3, only_above=6),
        about="routing",
    ),
    Idea(
        "Keep only a glimpse of the output",
        "Output costs tokens; 200 characters say whether a command worked.",
        "harmful",
        lambda source: edit.set_constant(source, r"MAX_OUTPUT\w*", 200, only_above=1_000),
        about="middleware",
    ),
    Idea(
        "Drop the status line",
        "The exit status only repeats what the output says.",
        "harmful",
        edit.drop_status,
        about="middleware",
    ),
    Idea(
        "Hurry the model along",
        "Exploring costs calls; a direct solution is cheaper.",
        "harmful",
        _say("Be quick: solve the task in as few commands as possible, without exploring.", Advice.HURRY),
    ),
)

_NEUTRAL = (
    "The machine runs Linux.",
    "The task is given in the first message.",
    "Every command starts in the same folder.",
    "You work alone.",
    "The shell is a usual one.",
    "There is no need to introduce yourself.",
    "English is fine.",
    "The user will come back later.",
    "A task stands by itself.",
    "The clock of the machine may be wrong.",
)
_REMARKS = (
    "The loop below is the whole agent.",
    "One turn: ask the model, run what it calls.",
    "A plain loop; nothing is planned ahead.",
    "Called once for a task.",
    "Returns the last message of the model.",
    "The conversation grows by two messages a turn.",
    "Errors of the model end the loop.",
    "No state is kept between tasks.",
    "The shell is the only tool.",
    "Everything the model sees is in `messages`.",
)


def _remark(words: str) -> Build:
    return lambda source: edit.comment(source, words)


NEUTRAL = tuple(
    Idea(f"Reword the prompt: {words}", "The wording may matter.", "useless", _say(words)) for words in _NEUTRAL
) + tuple(
    Idea(f"Explain the loop: {words}", "A clearer file is easier to improve.", "useless", _remark(words))
    for words in _REMARKS
)
"""The edits of `simulated/null`, which change nothing that its task side heeds."""
