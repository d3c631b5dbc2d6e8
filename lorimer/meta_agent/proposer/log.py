"""The log of earlier experiments as the meta-agent reads it: short however long the study is, and any of it in full on request.

The newest experiments say what the champion is up against now, so they are told whole, and so are those most alike to an idea
that is asked about. Of the others a line is told while there is room, and the rest is counted by kind.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from lorimer.meta_agent.proposer.cases import CUT_MARK_CHARS, cut, one_line

TIGHT = 4_000
"""Characters of the log, where it is not asked for one experiment: some 1,150 tokens, of a session of 16,000. So what a session
costs does not grow with the study (docs/traces.md has what was measured); a rejected edit that comes again is caught by its text
(`proposer.dead_ends`), whether it was read here or not."""

LINES_SHARE = 0.5
"""The share of the room for experiments told in a line. They keep some 25 titles in sight, so that no idea is had twice."""

MOST_WHOLE = 3
"""Experiments told whole where not all fit: one has some 700 to 1,400 characters."""

MARK_CHARS = 120
"""Kept for the line that says what was left out."""

COUNTED_CHARS = 320
"""Kept for the counts of what is told in no line."""


@dataclass(frozen=True)
class ToldExperiment:
    """An experiment."""

    name: str
    """`c007`; of a study that came before, `study-1/c007`."""
    whole: str
    """The whole story; its first line says what was tried, what happened and what it means."""
    state: str = ""
    title: str = ""
    """The title, one line; empty where it came to no edit."""
    ended: str = ""
    """What ended it, in a few words."""
    kind: str = ""
    """What its edit is about; empty where that is not known."""

    @property
    def line(self) -> str:
        """The experiment in one short line."""
        said = [part for part in (self.title, self.ended) if part]
        return f"{self.name} [{self.state}] {': '.join(said)}".rstrip()

    def under(self, study: str) -> ToldExperiment:
        """The same, told as an experiment of an earlier study."""
        return replace(self, name=f"{study}/{self.name}", whole=f"{study}/{self.whole}")


@dataclass(frozen=True)
class Log:
    """What was tried, predicted, decided and why."""

    head: str
    """Where the study stands."""
    experiments: tuple[ToldExperiment, ...] = ()
    """All experiments, in order of number."""

    def after(self, before: Log | None) -> Log:
        """This log with another one before it, which is shortened first."""
        if before is None:
            return self
        return Log(f"{before.head}\n{self.head}", (*before.experiments, *self.experiments))

    @property
    def everything(self) -> str:
        """All that can be read of it, one question after another."""
        told = [each.whole for each in self.experiments] or ["No experiment has been made yet."]
        return "\n".join([self.head, "", *told])

    def one(self, name: str, room: int) -> str:
        """An experiment whole, in at most `room` characters; empty where there is none of that name."""
        wanted = name.strip().strip("`'\"[]").lower()
        if wanted.isdecimal():
            wanted = f"c{int(wanted):03}"
        found = [each for each in self.experiments if each.name.lower() == wanted]
        return _within(found[-1].whole, room) if found else ""

    def within(self, room: int, about: str = "") -> str:
        """The log in at most `room` characters and at most `TIGHT`: all of it where it fits; else the newest experiments whole,
        others by a line, and the rest counted. The newest alone is cut where not even it fits.

        Args:
            about: words; the experiments that share most of them are told whole before newer ones.
        """
        room = min(room, TIGHT)
        if len(self.everything) <= room or not self.experiments:
            return _within(self.everything, room)
        left = room - len(self.head) - MARK_CHARS
        newest = len(self.experiments) - 1
        lines = [each.line for each in self.experiments]
        if left < len(lines[newest]):
            return _within(lines[newest], room)  # of so little room, the last thing that was tried makes the best use
        reserved = min(sum(len(line) + 1 for line in lines), int(left * LINES_SHARE)) if newest else 0
        whole = self.experiments[newest].whole
        told = {newest: _within(whole, max(left - reserved, min(left, 2 * len(lines[newest]))))}
        for place in self._order(about)[: MOST_WHOLE - 1]:
            if sum(len(text) + 1 for text in told.values()) + len(self.experiments[place].whole) + 1 > left - reserved:
                break
            told[place] = self.experiments[place].whole
        left -= sum(len(text) + 1 for text in told.values())
        rest = [place for place in range(newest, -1, -1) if place not in told]
        fits = _fitting([lines[place] for place in rest], left)
        if fits < len(rest):
            fits = _fitting([lines[place] for place in rest], left - COUNTED_CHARS)
        for place in rest[:fits]:
            told[place] = lines[place]
        mark = ["[Others are told by a line each; experiment_log tells any in full, by its name.]"] if rest else []
        counted = _counted([self.experiments[place] for place in rest[fits:]], COUNTED_CHARS if fits else left)
        return _within("\n".join([self.head, "", *mark, *counted, *(told[place] for place in sorted(told))]), room)

    def _order(self, about: str) -> list[int]:
        """The experiments but the newest, in the order in which they are told whole: those that share most words with `about`,
        of as many words the newer one."""
        wanted = set(re.findall(r"\w{3,}", about.lower()))
        texts = [each.whole for each in self.experiments]
        shared = [len(wanted & set(re.findall(r"\w{3,}", text.lower()))) if wanted else 0 for text in texts]
        return sorted(range(len(texts) - 1), key=lambda place: (-shared[place], -place))


def _counted(left_out: Sequence[ToldExperiment], room: int) -> list[str]:
    """A line on experiments that are told in no other: how many of each kind came to what."""
    if not left_out or room < 40:
        return []
    empty = sum(not each.title for each in left_out)
    kinds: dict[str, Counter[str]] = {}
    for each in left_out:
        if each.title:
            kinds.setdefault(each.kind or "kind not stated", Counter())[each.ended or each.state] += 1
    said = [
        f"{kind}: {', '.join(f'{count} {ended}' for ended, count in counts.most_common())}"
        for kind, counts in sorted(kinds.items(), key=lambda item: -item[1].total())
    ]
    said += [f"{empty} held no usable edit"] if empty else []
    return [one_line(f"[Left out: {len(left_out)}. {'; '.join(said)}.]", room - 1)]


def _within(text: str, room: int) -> str:
    return text if len(text) <= room else cut(text, room - CUT_MARK_CHARS)


def _fitting(texts: Sequence[str], room: int) -> int:
    """How many of the first texts fit into `room`, a line break after each."""
    return sum(1 for used in accumulate(len(text) + 1 for text in texts) if used <= room)
