"""What a candidate's edit did in its full run: the tasks on which it was better and worse, where it fired, and its tokens.

It follows from trials that no longer change. So it is stored beside the candidate once its round has ended, and whoever tells of
hundreds of candidates need not read all of their trials again. It decides nothing, and nothing in it was measured on a sealed
task. Nothing here knows a database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

FORM = 1
"""The form of what is stored. Whoever changes what an effect says of the same trials makes this larger, so that what an older
lorimer stored is worked out anew."""

FiredCounts = Mapping[str, tuple[int, int]]
"""How many trials of each task an edit fired in, and of how many that is known."""


@dataclass(frozen=True)
class TaskChanges:
    """Train tasks whose mean reward changed, in the suite's order."""

    better: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()


@dataclass(frozen=True)
class HunkFired:
    """One hunk in the scored trials of a full run that the gate read."""

    fired: int
    """Trials in which a statement ran that it changed."""
    told: int
    """Trials of which that is known."""
    unknown: str = ""
    """Why it is known of none; empty where it is of some."""
    tasks: FiredCounts = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        """`in 3 of 12 trials`."""
        if not self.told:
            return f"cannot be told ({self.unknown or 'its trials were ended before they had said all'})"
        return f"in {self.fired or 'none'} of {self.told} trials"


@dataclass(frozen=True)
class Fired:
    """The edit of a candidate in its full run."""

    hunks: tuple[HunkFired, ...]
    """Empty where no trial told of lines, as those of an older lorimer."""
    tasks: FiredCounts
    """The trials that some hunk fired in."""
    tokens: float | None = None
    """Input plus output of one trial, on average over tasks that both have run; `None` without trials."""
    champion_tokens: float | None = None
    """The same of the champion's trials on these tasks."""

    @property
    def never(self) -> tuple[int, ...]:
        """The numbers of the hunks that fired in no trial, from 1."""
        return tuple(n for n, each in enumerate(self.hunks, 1) if each.told and not each.unknown and not each.fired)

    def lines(self) -> list[tuple[str, str]]:
        """A word and a sentence each."""
        found = [("fired", str(self.hunks[0]) if len(self.hunks) == 1 else each_hunk(self.hunks))] if self.hunks else []
        if self.never:
            which = "what it changes" if len(self.hunks) == 1 else f"what hunk {_listed(self.never)} changes"
            found[-1] = "fired", f"{found[-1][1]}: {which} never ran"
        if self.tokens is not None and self.champion_tokens is not None:
            found.append(("cost", f"{self.tokens:,.0f} tokens per trial, the champion's {self.champion_tokens:,.0f}"))
        return found

    def beside(self, task: str) -> str:
        """A task that came out otherwise, with whether the edit fired in its trials."""
        fired, told = self.tasks.get(task, (0, 0))
        return f"{task} (fired in {fired} of {told})" if told else task


@dataclass(frozen=True)
class Effect:
    """What a candidate's edit did in its full run, and what that was read from besides the decision about it."""

    met: tuple[str, ...]
    """The evaluations of the champion that it was laid beside. A confirmation adds some: what was stored without them holds no
    more."""
    retries: int
    """`[retries] errored`, which says which trials had settled."""
    changes: TaskChanges
    fired: Fired

    def holds(self, met: Sequence[str], retries: int) -> bool:
        """Whether the same would be found now, where these are met and trials are retried so often."""
        return (self.met, self.retries) == (tuple(met), retries)

    def cleaned(self, clean: Callable[[str], str]) -> Self:
        """The same with its reasons as `clean` makes them: all else are names and numbers."""
        hunks = tuple(replace(each, unknown=clean(each.unknown)) if each.unknown else each for each in self.fired.hunks)
        return replace(self, fired=replace(self.fired, hunks=hunks))

    def as_json(self) -> dict[str, Any]:
        """The form in which the store keeps it: the name of each task once, and counts in columns, as a log reads hundreds."""
        fired = self.fired
        tasks = list(
            dict.fromkeys(name for counts in (fired.tasks, *(h.tasks for h in fired.hunks)) for name in counts)
        )
        places = {name: place for place, name in enumerate(tasks)}

        def columns(counts: FiredCounts) -> list[list[int]]:
            return [[places[name] for name in counts], *([each[at] for each in counts.values()] for at in (0, 1))]

        whole = columns(fired.tasks)
        # Where there is one hunk, it has the counts of the whole edit.
        hunks = [
            [each.fired, each.told, each.unknown, None if (own := columns(each.tasks)) == whole else own]
            for each in fired.hunks
        ]
        read = {"form": FORM, "met": list(self.met), "retries": self.retries}
        changed = {"better": list(self.changes.better), "worse": list(self.changes.worse)}
        took = {"tokens": fired.tokens, "champion_tokens": fired.champion_tokens}
        return read | changed | took | {"tasks": tasks, "fired": whole, "hunks": hunks}

    @classmethod
    def of_json(cls, body: Mapping[str, Any]) -> Self | None:
        """What `as_json` made; `None` where that was a lorimer of another form."""
        if body["form"] != FORM:
            return None
        name = body["tasks"].__getitem__

        def counts(columns: Sequence[Sequence[int]]) -> FiredCounts:
            places, fired, told = columns
            return dict(zip(map(name, places), zip(fired, told, strict=True), strict=True))

        whole = counts(body["fired"])
        hunks = tuple(
            HunkFired(fired, told, unknown, whole if own is None else counts(own))
            for fired, told, unknown, own in body["hunks"]
        )
        changed = TaskChanges(tuple(body["better"]), tuple(body["worse"]))
        fired = Fired(hunks, whole, body["tokens"], body["champion_tokens"])
        return cls(tuple(body["met"]), body["retries"], changed, fired)


def each_hunk(hunks: Sequence[object]) -> str:
    """`hunk 1 in 3 of 12 trials; hunk 2 …`, or `hunk 1 fired; hunk 2 …`."""
    return "; ".join(f"hunk {number} {each}" for number, each in enumerate(hunks, 1))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers[:-1]) + (" and " if len(numbers) > 1 else "") + str(numbers[-1])
