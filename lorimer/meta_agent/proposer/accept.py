"""What makes an edit of the harness acceptable before any trial is paid for, whoever made it.

An edit must apply exactly and uniquely, be a valid harness of at most the allowed size, change no more lines than it may, be new,
carry no knowledge of single tasks, start in a jail, and make a difference to some recorded trial, as far as that can be told.
What is wrong with one is said in words that serve a model and a person alike; what to do about it is for the caller to add.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from lorimer.config.search import SearchSettings
from lorimer.errors import HarnessError
from lorimer.harness import version
from lorimer.harness.changed import changed_lines, words_alone
from lorimer.harness.version import Hunk
from lorimer.kinds import Fault
from lorimer.meta_agent.proposer.asked import Asked
from lorimer.meta_agent.proposer.cases import cut
from lorimer.meta_agent.proposer.dead_ends import EarlierExperiment, dead_end, tried
from lorimer.meta_agent.proposer.touching import Previewing, inert, look
from lorimer.task_agent.shadow.previewed import Preview
from lorimer.wording import count


@dataclass(frozen=True)
class LineAllowance:
    """How many lines an edit may change."""

    most: int
    why: str
    """Where the number comes from, in a clause without a subject."""

    @classmethod
    def allowed(cls, search: SearchSettings, promotions: int) -> LineAllowance | None:
        """What an edit of a champion may change; `None` where it may change any number.

        Args:
            promotions: how many the champion rests on. What each of them won may be lost by an edit of the next one.
        """
        first, least = search.edit_lines, search.edit_lines_least
        if first == "none":
            return None
        most = max(first >> min(promotions, first.bit_length()), min(first, least))
        rests = f"the harness rests on {count(promotions, 'promotion')}"
        return cls(most, f"as {rests}: [search] edit_lines is {first}, and is halved with each, to {least} at least")


@dataclass(frozen=True)
class Checks:
    """What an edit is held against."""

    max_bytes: int
    earlier: Sequence[EarlierExperiment]
    knowledge: Callable[[str, str], Sequence[str]]
    """Says of an edited harness and the one before it what the edit knows of single tasks, a clause each; empty where nothing."""
    dry_start: Callable[[str], Awaitable[str]]
    """Starts a harness in a jail; "" or why it does not start."""
    previews: Previewing | None = None
    """Says which recorded trials of the champion an edited harness touches; `None` where edits are not previewed."""
    lines: LineAllowance | None = None
    """How many lines it may change; `None` where that is not bounded."""
    asked: Asked | None = None
    """What kinds of edits are asked for; `None` of a person, who may change what they like."""


@dataclass(frozen=True)
class EditRefusal:
    """Why an edit cannot be tested."""

    fault: Fault
    why: str
    """A sentence without its full stop; several lines where a text is quoted."""
    repeats: int | None = None
    """The number of the experiment that it repeats."""


@dataclass(frozen=True)
class Accepted:
    """An edit that may be tested."""

    text: str
    """The whole new harness."""
    preview: Preview | None = None
    """What it touches; `None` where edits are not previewed."""
    kind: str = ""
    """What it is about: as it was stated, but `prompt` where it changes nothing but texts."""


async def accept(champion: str, edit: str | Sequence[Hunk], checks: Checks, kind: str = "") -> Accepted | EditRefusal:
    """Check an edit of `champion`: its hunks, or the whole new text.

    Args:
        kind: what it is stated to be about; empty where it is not.

    Raises only what `checks.dry_start` and `checks.previews` raise (SandboxError): nothing that is wrong with the edit itself.
    """
    # In a thread: beside a large suite or many experiments it takes some 100 ms, in which no other trial may stand still.
    found = await asyncio.to_thread(_read, champion, edit, checks, kind)
    if isinstance(found, EditRefusal):
        return found
    trouble = await checks.dry_start(found.text)
    if trouble:
        return EditRefusal(Fault.DOES_NOT_START, f"the edited agent.py does not start: {cut(trouble, 1_500)}")
    if checks.previews is None:
        return found
    preview = await look(champion, edit, found.text, checks.previews)
    why = inert(preview)
    return EditRefusal(Fault.INERT, why) if why else replace(found, preview=preview)


def _read(champion: str, edit: str | Sequence[Hunk], checks: Checks, kind: str) -> Accepted | EditRefusal:
    """What its text alone tells of an edit."""
    try:
        text = _edited(champion, edit)
    except HarnessError as error:
        return EditRefusal(Fault.DOES_NOT_APPLY, f"the edit was not applied: {error}")
    if text is None:
        same = "the file is" if isinstance(edit, str) else "`replace` is"
        other = "the harness" if isinstance(edit, str) else "`search`"
        return EditRefusal(Fault.CHANGES_NOTHING, f"the edit changes nothing: {same} the same as {other}")
    try:
        version.check(text, max_bytes=checks.max_bytes)
    except HarnessError as error:
        return EditRefusal(Fault.INVALID, f"the edited agent.py is not valid: {error}")
    if checks.lines is not None:
        changed = changed_lines(champion, text)
        if changed > checks.lines.most:
            return EditRefusal(
                Fault.TOO_LARGE,
                f"the edit changes {changed} lines, and may change {checks.lines.most}, {checks.lines.why}",
            )
    words = words_alone(champion, text)
    other = checks.asked.refuses(kind, words_alone=words) if checks.asked else ""
    if other:
        return EditRefusal(Fault.OTHER_KIND, other)
    about = "prompt" if words else kind
    again = tried(text, checks.earlier)
    if again is not None:
        return EditRefusal(Fault.GOES_BACK if again.number is None else Fault.TRIED, again.why, again.number)
    hunks = version.hunks_between(champion, edit) if isinstance(edit, str) else tuple(edit)
    again = dead_end(champion, hunks, about, checks.earlier)
    if again is not None:
        return EditRefusal(Fault.DEAD_END, again.why, again.number)
    known = checks.knowledge(text, champion)
    if known:
        return EditRefusal(
            Fault.KNOWS_TASKS,
            "the edit carries knowledge of single tasks, which would be worth nothing on new ones: "
            + "; ".join(known[:5]),
        )
    return Accepted(text, kind=about)


def _edited(champion: str, edit: str | Sequence[Hunk]) -> str | None:
    """The new text; `None` where the edit plainly leaves all as it is. Raises HarnessError."""
    if isinstance(edit, str):
        return None if edit == champion else edit
    if edit and all(hunk.search == hunk.replace for hunk in edit):
        return None
    return version.apply_edit(champion, edit)
