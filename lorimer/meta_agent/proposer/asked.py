"""What kind of edit a session is asked for, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lorimer.kinds import PhaseName
from lorimer.wording import first_names

EDIT_KINDS: Mapping[str, str] = {
    "tool": "what the model can call, and how it is described",
    "middleware": "what happens between the model and its tools: output handling, retries, verification, context, memory",
    "routing": "which conversation, instruction or effort a task is given",
    "sub-agent": "another conversation that does part of the work",
    "prompt": "words that the model reads",
}
"""What an edit is about, as a proposal states it; middleware and tools regress half as often as prompts do."""
PHASES: Mapping[PhaseName, tuple[str, ...]] = {
    "capability": ("tool", "middleware", "routing", "sub-agent"),
    "prompt": ("prompt",),
}
"""The kinds of edits that are asked for in each phase of a search."""
PARTS_NAMED = 12
"""Parts of a harness that a nudge names."""


@dataclass(frozen=True)
class Asked:
    """What a session is asked for."""

    kinds: tuple[str, ...] = ()
    """Those of `EDIT_KINDS` that are asked for; empty where any will do."""
    judged: int = 0
    """Edits that were tested since the last promotion, none of which was promoted."""
    phase_edits: int = 4
    """`[search] phase_edits`."""
    parts: tuple[str, ...] = ()
    """Parts of agent.py that no edit has changed."""
    unused: tuple[str, ...] = ()
    """Kinds of edits of which none was tested."""

    @property
    def stalled(self) -> bool:
        """Whether nothing was promoted for a while."""
        return self.judged >= self.phase_edits

    def refuses(self, kind: str, *, words_alone: bool) -> str:
        """Why an edit of a kind is refused for now, a sentence without its full stop; empty where it is not.

        Args:
            kind: as it is stated; empty where it is not.
            words_alone: whether it changes nothing but text.
        """
        about = "prompt" if words_alone else kind
        if not self.kinds or not about or about in self.kinds:
            return ""
        why = "it changes nothing but texts, so it is a prompt edit" if words_alone else f"its kind is {kind}"
        stated = f", though it is stated as {kind}" if words_alone and kind not in ("", "prompt") else ""
        return f"{why}{stated}, and for now edits of these kinds are asked for: {', '.join(self.kinds)}"

    def lines(self) -> list[str]:
        """What a session is told at its start."""
        told = []
        if self.kinds:
            words = (
                "; an edit that changes nothing but texts is a prompt edit, and refused for now"
                if "prompt" not in self.kinds
                else ""
            )
            told.append(f"Asked for now: an edit of kind {' or '.join(self.kinds)}{words}.")
        if self.stalled:
            told.append(f"Of the last {self.judged} edits that were tested none was promoted.")
            if self.parts:
                told.append(f"No edit has changed these parts of agent.py yet: {first_names(self.parts, PARTS_NAMED)}.")
            if self.unused:
                told.append(f"No edit of these kinds was tested yet: {', '.join(self.unused)}.")
        return told
