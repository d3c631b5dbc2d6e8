"""What speaks against a study's results: suspect passes, weaker evidence, open networks, canaries that were passed."""

from __future__ import annotations

from dataclasses import dataclass

from lorimer.task_agent.verdict.flags import WEAKER, is_suspect
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import Stage

NAMED = 3
"""Suspect trials that are named."""


@dataclass(frozen=True)
class Trust:
    """Counts over a study's scored trials, canaries apart."""

    scored: int
    suspect: tuple[str, ...]
    """Trials that passed and are flagged, by id."""
    weaker: int
    """Passes that were verified beside what the agent had left running."""
    network: str
    """What tasks that asked for one had: `task` (open), `recorded`, `registries` or `none`."""
    networked: int
    """Trials that had one."""
    canaries: int
    """Trials of tasks that nobody can solve."""
    canaries_passed: int

    def lines(self) -> list[tuple[str, str]]:
        """A word and a sentence for each thing worth saying; none where nothing is."""
        said = []
        if self.suspect:
            names = ", ".join(self.suspect[:NAMED]) + (", …" if len(self.suspect) > NAMED else "")
            passes = "1 pass is" if len(self.suspect) == 1 else f"{len(self.suspect)} passes are"
            said.append(("suspect", f"{passes} flagged, as its agent changed what could have made it pass: {names}"))
        if self.weaker:
            passes = "1 pass was" if self.weaker == 1 else f"{self.weaker} passes were"
            said.append(("weaker", f"{passes} verified beside what the agent had left running"))
        if self.networked:
            how = {
                "task": "a network as their tasks ask: open, by which published solutions can be reached, or to the hosts that a "
                "task lists; the traces say which",
                "recorded": "a network through a proxy, which lets every public host through; the traces say which were reached",
                "registries": "a network that leads to the listed registries alone; the traces say what was asked for",
            }
            said.append(
                ("network", f"{self.networked} of {self.scored} trials had {how.get(self.network, how['task'])}")
            )
        if self.canaries_passed:
            said.append(("canaries", f"{self.canaries_passed} of {self.canaries} were passed: such a harness cheats"))
        return said


def trust(reader: StudyReader, study: str) -> Trust:
    """Read it from the store. Raises UserError for an unknown study."""
    settings = reader.study(study).config.get("sandbox", {})
    counts = reader.trial_counts(study)
    own = [each for each in counts if each.stage != Stage.CANARY]
    canaries = [each for each in counts if each.stage == Stage.CANARY]
    flagged = [(name, flags) for name, stage, flags in reader.flagged(study) if stage != Stage.CANARY]
    return Trust(
        scored=sum(each.trials for each in own),
        suspect=tuple(name for name, flags in flagged if is_suspect(flags)),
        weaker=sum(any(flag.startswith(WEAKER) for flag in flags) for _, flags in flagged),
        network=str(settings.get("network", "task")),
        networked=sum(each.networked for each in own),
        canaries=sum(each.trials for each in canaries),
        canaries_passed=sum(each.passed for each in canaries),
    )
