"""What was known of a candidate before anything was paid for it: which recorded trials of the champion its edit touches, and
which other edits of its session were refused.

A preview is worked out when the candidate is proposed, of the trials that stood for its champion then, and stored with it.
So whatever follows from it is a function of the store, and a study that goes on finds it again. Nothing here knows a database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self


@dataclass(frozen=True)
class Touch:
    """Where an edit first makes a difference to a recorded trial."""

    step: int
    """The number of the first call that is different, from 1."""
    of: int
    """How many calls the record holds."""
    method: str
    """The wire's name of that call."""
    kinds: tuple[str, ...]
    """What of the call is different: `system`, `messages`, `max_tokens`, `command`, `timeout`, …"""
    model_calls: int
    """How many recorded answers of the model come before it."""
    tokens: int
    """What those answers took, input and output."""


@dataclass(frozen=True)
class TrialPreview:
    """One recorded trial under the edit: touched, untouched, or nobody can tell."""

    trial: str
    task: str
    repeat: int
    """The repeat's number in the plan of its evaluation."""
    solved: bool
    touch: Touch | None = None
    why: str = ""
    """Why it cannot be told, in a clause; empty where it can."""

    @property
    def told(self) -> bool:
        """Whether it can be told."""
        return not self.why


@dataclass(frozen=True)
class Touches:
    """How many recorded trials an edit touches."""

    failed: tuple[int, int] = (0, 0)
    """Touched, and those of which it can be told."""
    solved: tuple[int, int] = (0, 0)
    untold: int = 0
    """Trials of which it cannot be told."""
    untold_failed: int = 0
    """Those of them that failed."""
    why: str = ""
    """Why nothing can be told of any trial, in a clause; of several reasons the most frequent one. Empty where something can."""
    idle: tuple[str, ...] = ()
    """Parts of the edit that make no difference by themselves, in a sentence each without its full stop."""

    @classmethod
    def of(cls, trials: Sequence[TrialPreview], why: str = "", idle: tuple[str, ...] = ()) -> Self:
        """The counts of these trials."""
        told = [each for each in trials if each.told]
        failed, solved = ([each for each in told if each.solved is wanted] for wanted in (False, True))
        counts = [(sum(each.touch is not None for each in side), len(side)) for side in (failed, solved)]
        untold = [each for each in trials if not each.told]
        if untold and not told:
            why = Counter(each.why for each in untold).most_common(1)[0][0]
        return cls(counts[0], counts[1], len(untold), sum(not each.solved for each in untold), why, idle)

    @property
    def told(self) -> int:
        """Trials of which it can be told."""
        return self.failed[1] + self.solved[1]

    @property
    def touched(self) -> int:
        """Trials that it touches."""
        return self.failed[0] + self.solved[0]

    @property
    def inert(self) -> bool:
        """Whether the edit makes no difference to the harness, as far as its record goes.

        It touches no trial of which it can be told. The others are not like those: a limit ended them, or chance was in them. So
        an edit is inert only where none of the others failed, and they are fewer.
        """
        return self.told > self.untold and self.touched == self.untold_failed == 0

    def __str__(self) -> str:
        """`touches 9 of 40 failed and 2 of 60 solved trials`."""
        if not self.told:
            of = f"of none of {self.untold} recorded trials it can be told what it touches: " if self.untold else ""
            return f"was not previewed: {of}{self.why or 'there is no recorded trial yet'}"
        said = f"touches {self.failed[0]} of {self.failed[1]} failed and {self.solved[0]} of {self.solved[1]} solved trials"
        return f"{said} (of {self.untold} more it cannot be told)" if self.untold else said

    def as_json(self) -> dict[str, Any]:
        """The form in which the store keeps it."""
        untold = {"untold": self.untold, "untold_failed": self.untold_failed, "why": self.why}
        return {"failed": list(self.failed), "solved": list(self.solved), **untold, "idle": list(self.idle)}

    @classmethod
    def of_json(cls, body: Mapping[str, Any]) -> Self:
        """What `as_json` made."""
        untold = body["untold"], body["untold_failed"], body["why"]
        return cls(_pair(body["failed"]), _pair(body["solved"]), *untold, tuple(body["idle"]))


@dataclass(frozen=True)
class CandidatePreview:
    """What a candidate's edit touches."""

    champion: str
    """The SHA-256 of the harness whose trials they are: the candidate's parent."""
    trials: tuple[TrialPreview, ...]
    why: str = ""
    """Why there is no preview, in a clause: no jail was to be had. Empty where there is one."""
    idle: tuple[str, ...] = ()
    """Parts of the edit that make no difference by themselves, in a sentence each without its full stop."""

    @property
    def touches(self) -> Touches:
        """The counts."""
        return Touches.of(self.trials, self.why, self.idle)

    def cleaned(self, clean: Callable[[str], str]) -> Self:
        """The same with its reasons as `clean` makes them: all else are names, which would then name nothing."""
        trials = tuple(replace(each, why=clean(each.why)) if each.why else each for each in self.trials)
        return replace(self, trials=trials, why=clean(self.why), idle=tuple(map(clean, self.idle)))

    def as_json(self) -> dict[str, Any]:
        """The form in which the store keeps it: reasons and kinds of difference once, as a study's trials share a few of them."""
        whys = list(dict.fromkeys(each.why for each in self.trials if each.why))
        ways = list(dict.fromkeys((t.method, t.kinds) for each in self.trials if (t := each.touch)))
        rows = []
        for each in self.trials:
            t = each.touch
            touch = None if t is None else [t.step, t.of, ways.index((t.method, t.kinds)), t.model_calls, t.tokens]
            why = whys.index(each.why) if each.why else None
            rows.append([each.trial, each.task, each.repeat, each.solved, touch, why])
        shown = [[method, list(kinds)] for method, kinds in ways]
        said = {"why": self.why, "idle": list(self.idle)}
        return {"champion": self.champion, "trials": rows, "ways": shown, "whys": whys, **said}

    @classmethod
    def of_json(cls, body: Mapping[str, Any]) -> Self:
        """What `as_json` made."""
        ways = [(method, tuple(kinds)) for method, kinds in body["ways"]]

        def touch(row: Sequence[int] | None) -> Touch | None:
            return None if row is None else Touch(row[0], row[1], *ways[row[2]], row[3], row[4])

        trials = tuple(
            TrialPreview(trial, task, repeat, solved, touch(row), "" if why is None else body["whys"][why])
            for trial, task, repeat, solved, row, why in body["trials"]
        )
        return cls(body["champion"], trials, body["why"], tuple(body["idle"]))


def _pair(found: Sequence[int]) -> tuple[int, int]:
    touched, of = found
    return touched, of


MISCITED = "miscited"
"""The kind of an edit whose hypothesis rests on citations that do not hold; all others are `kinds.Fault`."""


@dataclass(frozen=True)
class RefusedEdit:
    """An edit of one session that was refused, by the last reason. One that was accepted in the end is not among them."""

    kind: str
    repeats: int | None = None
    """The number of the experiment that it repeats; `None` where it repeats none."""

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind} | ({} if self.repeats is None else {"repeats": self.repeats})

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> Self:
        return cls(kept["kind"], kept.get("repeats"))
