"""Edits that were tried before: the same one, one that holds the same, and the same idea in nearly the same words. Pure.

A false alarm costs an idea, a miss costs some trials, so what is only alike has to be very much alike: of the same kind, at the
same place, with the same numbers and negations, and nearly the same words taken out and put in.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lorimer.harness.version import Hunk, sha
from lorimer.meta_agent.proposer.cases import one_line

ALIKE = 0.6
"""Share of word triples that two edits have in common from which they are one idea. docs/meta-agent.md has what was measured."""
SAME_PLACE = 0.8
"""Share of the shorter `search` that is found in the longer one, where both are of one place."""
MOST_WORDS = 3_000
"""Words of a hunk past which edits are not compared by their words: that takes too long, and no surgical edit has as many."""
FEWEST_WORDS = 4
"""Changed words, below which two edits are one idea only where they are equal."""
STEM = 5
"""First letters by which two words are one: `finish` and `finishing`."""
FILLERS = frozenset(
    re.findall(
        r"\w+",
        """a an the and or but of to in on at for with by from as is are be it its this that then so if you your must should
        please always also only just first before after every each all any once""",
    )
)
"""Words that make no other idea of a sentence, where one has them and the other has not."""
NEGATIONS = frozenset({"not", "never", "no", "without", "t", "avoid", "instead", "false", "none"})


@dataclass(frozen=True)
class EarlierExperiment:
    """An experiment that was made before."""

    number: int
    title: str
    state: str
    reason: str
    """Why it is in that state, as far as the reader may know."""
    harness: str | None
    """SHA-256 of the edited harness; `None` where the experiment came to none."""
    parent: str
    """SHA-256 of the harness that was edited."""
    hunks: tuple[Hunk, ...] = ()
    """Its edit, where that is known as hunks."""
    kind: str = ""
    """What its edit is about; empty where that is not known."""
    promising: bool = False
    """Whether it was rejected though it was better in its full run: for its cost, by fresh trials, sealed tasks or a person. So
    another form of the idea may pass."""


@dataclass(frozen=True)
class Repeated:
    """An edit that need not be tried, as it was tried before."""

    why: str
    """A sentence without its full stop."""
    number: int | None = None
    """The number of the experiment that it repeats; `None` where it goes back to the harness of which that was an edit."""


def tried(text: str, earlier: Sequence[EarlierExperiment]) -> Repeated | None:
    """What an edited harness repeats; `None` where it is new."""
    name = sha(text)
    for each in earlier:
        if each.harness == name:
            why = f"this very edit was tried as {named(each)} and is {each.state}: {one_line(each.reason, 400)}"
            return Repeated(why, each.number)
        if each.parent == name:
            return Repeated("this edit goes back to an earlier harness, which was edited already")
    return None


def dead_end(champion: str, hunks: Sequence[Hunk], kind: str, earlier: Iterable[EarlierExperiment]) -> Repeated | None:
    """Which rejected edit this is once more; `None` where it is none.

    It is one where it holds all hunks of it, line breaks and spaces in a line aside, on whatever harness; or where it is the
    same idea in nearly the same words.
    """
    rejected = [each for each in earlier if each.state == "rejected" and each.hunks]
    here, given = sha(champion), {_plain(hunk) for hunk in hunks}
    for each in rejected:
        before = {_plain(hunk) for hunk in each.hunks}
        if before <= given and (each.parent == here or not each.promising):
            holds = "is that of" if before == given else "holds all of"
            where = "on this very harness" if each.parent == here else "on another harness of this study"
            why = f"the edit {holds} {named(each)}, which was rejected {where}: {one_line(each.reason, 400)}"
            return Repeated(why, each.number)
    mine = _changed(tuple(hunks))
    for each in rejected:
        share = 0.0 if each.promising or each.kind != kind else likeness(mine, _changed(each.hunks))
        if share >= ALIKE:
            why = (
                f"this is {named(each)} again, which was rejected: {one_line(each.reason, 400)}; both change the same place in "
                f"nearly the same words ({share:.0%} of the word triples)"
            )
            return Repeated(why, each.number)
    return None


def named(each: EarlierExperiment) -> str:
    """An experiment as it is named to who proposes."""
    return f"experiment {each.number} ({one_line(each.title, 80)})"


@dataclass(frozen=True)
class Changed:
    """What an edit does to the words of a harness."""

    place: frozenset[str]
    """Pairs of words of what is searched for."""
    triples: frozenset[str]
    """Triples of the words that are put in, and of those that are taken out."""
    numbers: tuple[str, ...]
    """Numbers that are put in, in order of size as text."""
    negations: tuple[str, ...]
    stems: frozenset[str]
    """The stems of the words that are put in, fillers aside."""
    words: int
    """How many are put in or taken out."""


def likeness(one: Changed | None, other: Changed | None) -> float:
    """How much two edits are one idea: 0 where they are at different places, put in other numbers or negations, or each a word
    that the other has not; else the share of all their word triples that both have. `None` is an edit too large to compare.
    """
    if one is None or other is None or min(one.words, other.words) < FEWEST_WORDS:
        return 0.0
    if (one.numbers, one.negations) != (other.numbers, other.negations):
        return 0.0
    if one.stems - other.stems and other.stems - one.stems:
        return 0.0  # one word stands for another: a retry after a timeout is no retry after an error
    if len(one.place & other.place) < SAME_PLACE * min(len(one.place), len(other.place)):
        return 0.0
    return len(one.triples & other.triples) / max(1, len(one.triples | other.triples))


@lru_cache(maxsize=2_000)
def _changed(hunks: tuple[Hunk, ...]) -> Changed | None:
    place, triples, put_in, words = set[str](), set[str](), list[str](), 0
    for hunk in hunks:
        before, after = _words(hunk.search), _words(hunk.replace)
        if len(before) > MOST_WORDS or len(after) > MOST_WORDS:
            return None
        place |= _grams(before, 2, "")
        added, taken = list[str](), list[str]()
        for kind, first, last, begin, end in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
            if kind != "equal":
                taken += before[first:last]
                added += after[begin:end]
        triples |= _grams(added, 3, "+") | _grams(taken, 3, "-")
        put_in += added
        words += len(added) + len(taken)
    return Changed(
        place=frozenset(place),
        triples=frozenset(triples),
        numbers=tuple(sorted(word for word in put_in if word[0].isdigit())),
        negations=tuple(sorted(NEGATIONS.intersection(put_in))),
        stems=frozenset(word[:STEM] for word in put_in if word not in FILLERS),
        words=words,
    )


def _words(text: str) -> list[str]:
    r"""Words, numbers (`6_000` is 6000) and signs that mean something in code; `\n` in a string is a break, not an n."""
    plain = re.sub(r"(?<=\d)_(?=\d)", "", text.lower().replace("\\n", " "))
    return re.findall(r"\d+(?:\.\d+)?|[^\W\d]\w*|[<>=!+\-*/%]+", plain)


def _grams(words: Sequence[str], length: int, mark: str) -> set[str]:
    """Runs of so many words; of fewer words the one run that there is."""
    runs = [words[at : at + length] for at in range(max(1, len(words) - length + 1))] if words else []
    return {" ".join([mark, *run]) for run in runs}


def _plain(hunk: Hunk) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A hunk by which two are the same: lines without what follows them and without empty ones; how deep they stand counts."""

    def lines(text: str) -> tuple[str, ...]:
        found = [line.expandtabs(4) for line in text.splitlines() if line.strip()]
        least = min((len(line) - len(line.lstrip()) for line in found), default=0)
        return tuple(" " * (len(line) - len(line.lstrip()) - least) + " ".join(line.split()) for line in found)

    return lines(hunk.search), lines(hunk.replace)
