"""The task side: one reply to one request, as a model with named weaknesses would give it.

A conversation goes: perhaps a listing, a look at the inputs, a script written, the script run, perhaps a check and a
repair, a last word. Which of these happen, and which script it is, follows from the dice of the trial and from what the
request holds: guidance, tools, and the real output of the commands so far. Nothing is remembered between calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lorimer.harness.api import Completion
from lorimer.models.base import CallContext, ModelRequest
from lorimer.models.forms import forces
from lorimer.models.simulated.dice import pick, roll
from lorimer.models.simulated.reading import Advice, Mark, SeenRequest, take_in
from lorimer.models.simulated.speech import Move, overflow, request_tokens, say
from lorimer.models.simulated.tasks import (
    CONTEXT_WINDOW,
    Flaw,
    KnownTask,
    SolutionScript,
    recognise,
    starter_tasks,
)

CURES = {
    Flaw.GUESSES: Advice.LOOK,
    Flaw.FORMULAS: Advice.VALUES,
    Flaw.OVERFLOWS: Advice.LIMIT,
    Flaw.TEXT_CALLS: Advice.NATIVE,
}
"""The guidance that holds a flaw back. A slip is not held back: it is found by a check, and repaired."""


@dataclass(frozen=True)
class Character:
    """How weak a simulated model is."""

    heeds: bool = True
    """Whether guidance changes anything."""
    weakness: float = 1.0
    """Factor on every chance of a flaw and of a plain miss."""
    lapse: float = 0.05
    """How often it does not do what it was told."""
    hurried: float = 0.7
    """Least chance of a blind guess when it is told to hurry."""
    dilution_from: int = 3_000
    """Characters of system prompt and tool descriptions that it takes in without loss…"""
    dilution: float = 0.05
    """…and how many more lapses and misses each further thousand brings, up to `dilution_most`."""
    dilution_most: float = 0.4
    repairs: float = 0.9
    """How often it mends a slip that a check has shown."""
    repairs_blind: float = 0.25
    """The same where it never looked at the inputs."""
    repairs_formulas: float = 0.35
    """The same where it wrote formulas: the check names a missing value, not the cause."""
    recovers: float = 0.15
    """How often it goes back to look when its script crashes visibly."""
    confused: float = 0.3
    """How often a command that ends with no output and no status makes it start over, with a slip."""
    json_calls: float = 0.08
    """How often it writes its calls as a JSON object in text, which the seed harness reads."""
    lists_first: float = 0.5
    """How often it lists the folder before the look."""


@dataclass(frozen=True)
class Dice:
    """Chance of one conversation: fresh for another harness text, stage or repeat, the same for a retry."""

    parts: tuple[object, ...]

    def under(self, chance: float, what: str) -> bool:
        return roll(*self.parts, what) < chance

    def pick(self, weighted: Sequence[tuple[str, float]], what: str) -> str:
        return pick(weighted, *self.parts, what)


def reply(request: ModelRequest, context: CallContext, character: Character) -> Completion:
    """One answer. Never raises: a request that it does not understand is answered as a weak model would, in words."""
    used = request_tokens(request)
    if used > CONTEXT_WINDOW:
        return overflow(used)
    if request.tool_choice == "none":
        request = replace(request, tools=())
    everything = "\n".join([request.system or "", *(message.text for message in request.messages)])
    task = recognise(everything, starter_tasks())
    seen = take_in(request, task.instruction if task else "")
    # A second conversation within one trial (a restart, a vote) has luck of its own.
    began = max(0, context.call_index - seen.turns)
    dice = Dice((context.seed, context.harness, context.task, context.stage, context.attempt, began))
    if task is None:
        move = _stranger(seen)
        form = "native"
    elif not character.heeds:
        move = _heedless(task, seen, dice)
        form = "native"
    else:
        move = _Mind(task, seen, dice, character).next()
        form = "native" if forces(request.tool_choice) else _form(task, seen, dice, character)
    return say(move, form, request, seen.tool, used, f"{began}.{seen.turns}")


class _Mind:
    """Decides the next move on a known task."""

    def __init__(self, task: KnownTask, seen: SeenRequest, dice: Dice, character: Character) -> None:
        self.task, self.seen, self.dice, self.character = task, seen, dice, character
        self.dilution = dilution(seen, character)
        self.looked = seen.done(Mark.LOOK)

    def heeds(self, what: Advice) -> bool:
        """Whether it was told so, and remembers it."""
        lapse = self.character.lapse + self.dilution
        return what in self.seen.advice and not self.dice.under(lapse, f"lapse {what}")

    def bites(self, flaw: Flaw) -> bool:
        chance = self.task.chances.get(flaw, 0.0) * self.character.weakness
        if flaw is Flaw.GUESSES and Advice.HURRY in self.seen.advice:
            chance = max(chance, self.character.hurried)
        return not self.heeds(CURES[flaw]) and self.dice.under(chance, flaw)

    @property
    def misses(self) -> bool:
        """A plain miss, that nothing mends."""
        return self.dice.under(self.task.miss * self.character.weakness + self.dilution / 2, "miss")

    @property
    def guesses(self) -> bool:
        return self.bites(Flaw.GUESSES)

    def script(self) -> SolutionScript:
        """Which solution it writes first."""
        if self.guesses or self._blinded():
            return self._or_slip(SolutionScript.GUESS)
        if self.bites(Flaw.FORMULAS) and SolutionScript.FORMULA in self.task.scripts:
            return SolutionScript.FORMULA
        slips = self.task.chances.get(Flaw.FORGETS_TO_VERIFY, 0.0) * self.character.weakness
        if self.misses or self.dice.under(slips, Flaw.FORGETS_TO_VERIFY):
            return self._or_slip(SolutionScript.SLIP)
        return SolutionScript.SOLVE

    def _or_slip(self, script: SolutionScript) -> SolutionScript:
        known = [script, SolutionScript.SLIP, SolutionScript.GUESS]
        return next((one for one in known if one in self.task.scripts), SolutionScript.SOLVE)

    def _blinded(self) -> bool:
        """Its looks came back cut to almost nothing, and it makes do with that."""
        looks = self.seen.results(Mark.LOOK)
        return bool(looks) and all(_tiny(look) for look in looks) and self.dice.under(0.6, "blinded")

    def next(self) -> Move:
        seen, task = self.seen, self.task
        if not seen.done(Mark.WRITE, Mark.REPAIR):
            if not self.guesses:
                look = self._look()
                if look is not None:
                    return look
            return self._write(self.script())
        if not seen.done(Mark.RUN, Mark.REPAIR):
            return Move("Now I run it.", Mark.RUN, "python3 /tmp/work.py")
        if not seen.done(Mark.REPAIR):
            result = seen.results(Mark.RUN)[-1]
            if _crashed(result) and self.dice.under(self.character.recovers, "recovers"):
                return self._repair("The script failed; I look again and correct it.", mends=True)
            if _bare(result) and self.dice.under(self.character.confused, "confused"):
                return self._repair("I cannot tell whether that ran; I start over.", mends=False)
        wants_check = seen.asked_to_verify or (not seen.finished and self.heeds(Advice.VERIFY))
        if SolutionScript.CHECK in task.scripts and wants_check and not seen.done(Mark.CHECK):
            return Move("I check the result before I finish.", Mark.CHECK, task.scripts[SolutionScript.CHECK])
        checks = seen.results(Mark.CHECK)
        if checks and not seen.done(Mark.REPAIR):
            if "PROBLEM" in checks[-1]:
                return self._repair("The check found a problem; I correct the script.", self._mends())
            if not _clear(checks[-1]) and len(checks) < 2:
                return Move("I see no clear answer; I check once more.", Mark.CHECK, task.scripts[SolutionScript.CHECK])
        return Move("The task is done; I have checked the result." if checks else "The task is done.")

    def _look(self) -> Move | None:
        looks = self.seen.results(Mark.LOOK)
        script = SolutionScript.FLOOD if self.bites(Flaw.OVERFLOWS) else SolutionScript.LOOK
        body = self.task.scripts.get(script) or self.task.scripts.get(SolutionScript.LOOK) or "head -c 2000 *"
        if not looks:
            if not self.seen.done(Mark.LIST) and self.dice.under(self.character.lists_first, "lists"):
                return Move("I see which files there are.", Mark.LIST, "ls -la")
            return Move("I look at the inputs before I write anything.", Mark.LOOK, body)
        if len(looks) < 2 and _tiny(looks[-1]):
            return Move(
                "The output was cut; I look once more.", Mark.LOOK, self.task.scripts.get(SolutionScript.LOOK, body)
            )
        return None

    def _write(self, script: SolutionScript) -> Move:
        says = "I write a script that does it." if self.looked else "I can guess what the inputs look like; I write it."
        return Move(says, Mark.WRITE, _heredoc(self.task.scripts[script]))

    def _repair(self, says: str, mends: bool) -> Move:
        script = SolutionScript.SOLVE if mends and not self.misses else self._or_slip(SolutionScript.SLIP)
        return Move(says, Mark.REPAIR, f"{_heredoc(self.task.scripts[script])}\npython3 /tmp/work.py")

    def _mends(self) -> bool:
        chance = {
            SolutionScript.GUESS: self.character.repairs_blind,
            SolutionScript.FORMULA: self.character.repairs_formulas,
        }.get(self.script(), self.character.repairs)
        return self.dice.under(chance, "mends")


def _form(task: KnownTask, seen: SeenRequest, dice: Dice, character: Character) -> str:
    """How it writes its calls: `native`, or as text in one of three forms."""
    if seen.tool is None:
        return "fence"
    if seen.scolded:
        return "native"
    lapse = character.lapse + dilution(seen, character)
    if Advice.NATIVE in seen.advice and not dice.under(lapse, "lapse native"):
        return "native"
    if dice.under(task.chances.get(Flaw.TEXT_CALLS, 0.0) * character.weakness, Flaw.TEXT_CALLS):
        return dice.pick((("fence", 0.75), ("quoted", 0.25)), "form")
    return "json" if dice.under(character.json_calls * character.weakness, "json") else "native"


def dilution(seen: SeenRequest, character: Character) -> float:
    """What a long system prompt costs in attention."""
    over = max(0, seen.told_chars - character.dilution_from) / 1000
    return min(character.dilution_most, over * character.dilution)


def _stranger(seen: SeenRequest) -> Move:
    """A task it has never met: a listing, then surrender."""
    if seen.tool is None or seen.done(Mark.LIST) or seen.turns >= 2:
        return Move("I am not able to solve this task.")
    return Move("I see what is there.", Mark.LIST, "ls -la")


def _heedless(task: KnownTask, seen: SeenRequest, dice: Dice) -> Move:
    """`simulated/null`: one command, right or wrong by the task's own chance and fresh dice, whatever the harness says."""
    if seen.turns:
        return Move("The task is done.")
    chance = 0.1 + 0.8 * roll("null competence", task.id)
    wrong = task.scripts.get(SolutionScript.SLIP) or task.scripts.get(SolutionScript.GUESS) or "pass"
    script = task.scripts[SolutionScript.SOLVE] if dice.under(chance, "null") else wrong
    return Move("I write a script and run it.", Mark.REPAIR, f"{_heredoc(script)}\npython3 /tmp/work.py")


def _heredoc(script: str) -> str:
    return f"cat > /tmp/work.py <<'END_OF_SCRIPT'\n{script}\nEND_OF_SCRIPT"


def _tiny(result: str) -> bool:
    """Cut to less than any look needs; a result that is short by itself says nothing of a cut."""
    cut = any(word in result.lower() for word in ("cut", "truncat", "omitted", "dropped", "…", "[..."))
    return len(result) < 500 and cut


def _crashed(result: str) -> bool:
    return "Traceback" in result or "exit code 1" in result


def _bare(result: str) -> bool:
    """Neither output nor any word of how it ended."""
    return not result.strip()


def _clear(result: str) -> bool:
    return "PROBLEM" in result or "OK" in result
