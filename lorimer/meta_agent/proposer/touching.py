"""What an edit touches, and which parts of it make no difference, in words for a model and a person alike.

Everything here is claimed of recorded trials alone, and of each up to the first call that the edit changes: no record can say
how a trial would go on from there. So that a part of an edit makes no difference is said, and never held against it: it
may be there for what comes after. Of a whole edit that touches nothing it is known: what it does in such a trial is what was
done.

A part (the text of one name, or one hunk) is named where the champion with that part alone touches no trial, and the edit without
it does to every trial what the whole edit does. The second is for parts that another one needs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Protocol

from lorimer.errors import HarnessError
from lorimer.harness import version
from lorimer.harness.changed import changed_texts, never_named, same_code
from lorimer.harness.version import Hunk
from lorimer.task_agent.shadow.previewed import Preview
from lorimer.traces.previews import Touches

PARTS = 6
"""Parts of an edit that are looked at one by one. A surgical edit has one to three; each is held against all recorded trials
twice at most, which takes as long as the preview of the whole, and mostly ends at the first trial that it touches."""
NAMED = 3
"""Functions named in a sentence."""


class Previewing(Protocol):
    """Holds edited harnesses against recorded trials of the champion; `replay.preview.Previews` is one.

    Neither method fails where a jail does: it answers that nothing can be told. LorimerError where the store cannot be read.
    """

    async def attempt(self, text: str) -> Preview:
        """What an edited harness does to each trial."""
        ...

    async def idle(self, text: str, beside: Preview | None = None) -> bool:
        """Whether an edited harness touches none of the trials, or does to each the same as was found in `beside`. `False` also
        where that cannot be told of some trial."""
        ...


async def look(champion: str, edit: str | Sequence[Hunk], text: str, previews: Previewing) -> Preview:
    """What an edit touches, with those of its parts named that make no difference.

    Args:
        edit: the hunks, or the whole new text.
        text: the harness with all of it.
    """
    return await with_idle(champion, edit, text, await previews.attempt(text), previews)


async def with_idle(
    champion: str, edit: str | Sequence[Hunk], text: str, preview: Preview, previews: Previewing
) -> Preview:
    """The preview of an edit with those of its parts named that make no difference: of a file its hunks by their lines."""
    touches = preview.touches
    if not touches.told:
        return preview
    if not touches.touched:
        return dataclasses.replace(preview, idle=tuple(_reasons(champion, text)))
    idle = []
    for said, alone, rest in _parts(champion, edit, text):
        if await previews.idle(alone) and await previews.idle(rest, preview):
            idle.append(said)
    return dataclasses.replace(preview, idle=tuple(idle))


def _parts(champion: str, edit: str | Sequence[Hunk], text: str) -> Iterator[tuple[str, str, str]]:
    """Parts of an edit: what is said of one that makes no difference, the champion with it alone, and the edit without it."""
    told = {text}
    for each in changed_texts(champion, text)[:PARTS]:
        if each.alone and each.alone not in told:
            told.add(each.alone)
            yield f"the text of {each.name} was changed and reached no request", each.alone, each.without
    hunks = version.hunks_between(champion, edit) if isinstance(edit, str) else tuple(edit)
    where = _lines(champion, hunks) if isinstance(edit, str) else [""] * len(hunks)
    for number, hunk in enumerate(hunks[:PARTS]):
        alone, rest = _applied(champion, [hunk]), _applied(champion, [*hunks[:number], *hunks[number + 1 :]])
        if alone and rest and alone not in told:
            yield (
                f"hunk {number + 1} of {len(hunks)}{where[number]} by itself touches none of these trials",
                alone,
                rest,
            )


def _lines(champion: str, hunks: Sequence[Hunk]) -> list[str]:
    """Where in the edited file each hunk begins to differ. The hunks are those of `version.hunks_between`."""
    found, behind = [], 0
    for hunk in hunks:
        old, new = hunk.search.splitlines(), hunk.replace.splitlines()
        same = next(
            (at for at, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), min(len(old), len(new))
        )
        first = champion.count("\n", 0, champion.find(hunk.search)) + behind + same + 1
        found.append(f" (line {first} of the file)")
        behind += hunk.replace.count("\n") - hunk.search.count("\n")
    return found


def inert(preview: Preview) -> str:
    """Why an edit is refused that makes no difference, a sentence without its full stop; empty where it may make one."""
    touches = preview.touches
    if not touches.inert:
        return ""
    (_, failed), (_, solved) = touches.failed, touches.solved
    counts = f"0 of {failed} failed, 0 of {solved} solved"
    why = "; ".join(preview.idle) or "in each of them the harness asks for the same as before, and ends in the same way"
    return f"this edit touches none of {touches.told} recorded trials ({counts}): {why}"


def summary(touches: Touches) -> str:
    """What a model is told of an edit that may be tested, in a clause without a subject: nothing of the machine, on which no
    decision may depend."""
    if not touches.told + touches.untold:
        return "was not previewed"
    return "; ".join([str(touches), *touches.idle])


def _reasons(champion: str, text: str) -> Iterator[str]:
    """Why an edit touches nothing, as far as its text tells."""
    if champion == text:
        yield "it is the champion's own text"
        return
    if same_code(champion, text):
        yield "it changes comments and layout alone"
        return
    for each in changed_texts(champion, text)[:PARTS]:
        yield f"the text of {each.name} was {'changed' if each.alone else 'added'} and reached no request"
    unused = never_named(champion, text)
    if unused:
        more = f" and {len(unused) - NAMED} more" if len(unused) > NAMED else ""
        yield f"nothing in agent.py uses {', '.join(unused[:NAMED])}{more}, which it adds"


def _applied(champion: str, hunks: Sequence[Hunk]) -> str:
    """The champion with some of the hunks; empty where they need the others."""
    try:
        text = version.apply_edit(champion, hunks)
        version.check(text, max_bytes=len(text.encode()))
    except (HarnessError, UnicodeEncodeError):
        return ""
    return text
