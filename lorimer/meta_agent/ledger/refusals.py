"""How many edits of a study were refused before anything was paid for them, and why; told in one phrase. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lorimer.kinds import Fault
from lorimer.meta_agent.state.folding import CandidateView
from lorimer.meta_agent.state.names import short
from lorimer.traces.previews import MISCITED
from lorimer.wording import count

NAMED = 2
"""Experiments up to which those that were repeated are named."""
WORDS: Mapping[str, tuple[str, str]] = {
    Fault.CHANGES_NOTHING: ("changes nothing", "change nothing"),
    Fault.DOES_NOT_APPLY: ("does not apply", "do not apply"),
    Fault.INVALID: ("no valid harness", "no valid harness"),
    Fault.TOO_LARGE: ("too large", "too large"),
    Fault.OTHER_KIND: ("of a kind not asked for", "of a kind not asked for"),
    Fault.GOES_BACK: ("goes back to an earlier harness", "go back to an earlier harness"),
    Fault.KNOWS_TASKS: ("knows single tasks", "know single tasks"),
    Fault.DOES_NOT_START: ("does not start", "do not start"),
    Fault.INERT: ("inert", "inert"),
    MISCITED: ("without citations that hold", "without citations that hold"),
}
"""What is said of one edit, and of several. Those that repeat an experiment name it instead."""


@dataclass(frozen=True)
class Refusals:
    """Edits that were refused. It is true where there are any."""

    edits: int = 0
    """All of them. An edit of a session counts once."""
    kinds: Mapping[str, int] = field(default_factory=dict)
    """How many were refused for each reason, in order of name (`traces.previews.RefusedEdit`)."""
    repeats: tuple[str, ...] = ()
    """Experiments that were proposed again, such as `c004`, in order of number."""

    def __bool__(self) -> bool:
        return self.edits > 0

    def __str__(self) -> str:
        """`3 edits refused before they cost anything: 2 inert, 1 repeats c004`."""
        again = sum(self.kinds.get(kind, 0) for kind in (Fault.TRIED, Fault.DEAD_END))
        said = {
            _words(kind, many): many for kind, many in self.kinds.items() if kind not in (Fault.TRIED, Fault.DEAD_END)
        }
        if again:
            many = len(self.repeats)
            which = " and ".join(self.repeats) if many <= NAMED else count(many, "experiment")
            said[f"{'repeats' if again == 1 else 'repeat'} {which}"] = again
        parts = sorted(said.items(), key=lambda each: (-each[1], each[0]))
        why = ", ".join(f"{many} {words}" for words, many in parts)
        return f"{count(self.edits, 'edit')} refused before {'it' if self.edits == 1 else 'they'} cost anything: {why}"


NO_REFUSALS = Refusals()


def refusals(candidates: Iterable[CandidateView]) -> Refusals:
    """The refused edits of the sessions that proposed these candidates."""
    found = [each for candidate in candidates for each in candidate.refused]
    kinds = Counter(each.kind for each in found)
    numbers = sorted({each.repeats for each in found if each.repeats is not None})
    return Refusals(len(found), dict(sorted(kinds.items())), tuple(map(short, numbers)))


def _words(kind: str, many: int) -> str:
    one, several = WORDS.get(kind, (kind, kind))
    return one if many == 1 else several
