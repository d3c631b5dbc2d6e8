"""The citations of a hypothesis: each names a trial, a step and words of it, and is checked before anything is paid.

Models invent failures. A hypothesis that has to quote one, copied from a trace, rests at least on something that happened. White
space aside the words must be there exactly; what is not there goes back with what is.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

from lorimer.meta_agent.proposer.arguments import CallRefused, object_of, objects_of
from lorimer.meta_agent.proposer.cases import Case, Cases, one_line
from lorimer.meta_agent.proposer.diagnosis.reading import WHOLE, step_text
from lorimer.meta_agent.proposer.proposal import Citation

MOST = 10
"""Citations of one proposal."""
LEAST_CHARS = 8
"""A quote's characters without white space: fewer are found anywhere."""
KEPT_CHARS = 300
"""The most that is kept of a quote that is right."""
LOOKED_AT_LINES = 2_000
"""Lines of a step among which the nearest to a wrong quote is looked for."""


def citations_of(cases: Cases, arguments: Mapping[str, Any]) -> tuple[Citation, ...]:
    """The citations of a proposal, checked. Raises CallRefused, in words from which a model can correct them.

    At least one is needed where any trial failed.
    """
    trial = cases.failures[0].name if cases.failures else "some-task/0"
    example = json.dumps([{"trial": trial, "step": 1, "quote": "words copied from that step"}])
    form = f"`citations` must be a list such as {example}"
    given = objects_of(arguments, "citations", form)
    if not given and cases.failures:
        raise CallRefused(
            f"the hypothesis cites nothing. Read a failed trial (read_trace with trial {trial}), and call propose_edit again "
            f"with `citations` that show the cause, such as {example}."
        )
    if len(given) > MOST:
        raise CallRefused(f"there are {len(given)} citations; give the {MOST} that show the cause best, or fewer.")
    found = []
    for number, item in enumerate(given, 1):
        cited = object_of(item)
        if cited is None or not isinstance(cited.get("quote"), str) or "trial" not in cited:
            raise CallRefused(f"{form}; citation {number} is not of this form.")
        found.append(_checked(cases, number, cited))
    return tuple(found)


def _checked(cases: Cases, number: int, cited: Mapping[str, Any]) -> Citation:
    name, quote = str(cited["trial"]), _flat(cited["quote"])
    case = cases.find(name)
    if case is None:
        near = [each.name for each in cases.of_task(name.strip().rpartition("/")[0])] or [
            each.name for each in cases.failures
        ]
        some = f" There is, for example, {', '.join(near[:3])}." if near else ""
        raise CallRefused(f"citation {number}: there is no trial {one_line(name, 80)}.{some} Cite what you have read.")
    steps = cases.recorded.outlines([case.name]).get(case.name, ())
    last = steps[-1].index if steps else -1
    try:
        index = int(cited.get("step", ""))
    except (TypeError, ValueError, OverflowError):
        raise CallRefused(
            f"citation {number}: `step` must be the number in [brackets] before a step of trial {case.name}, 0 to {last}."
        ) from None
    shown = cases.recorded.steps(case.name, index, index) if 0 <= index <= last else ()
    if not shown:
        raise CallRefused(f"citation {number}: trial {case.name} has no step {index}; its steps are 0 to {last}.")
    whole = step_text(shown[0], WHOLE)
    text = _flat(whole)
    if len(quote.replace(" ", "")) < min(LEAST_CHARS, len(text.replace(" ", ""))):
        raise CallRefused(
            f"citation {number}: {quote!r} is too short a quote to say anything; copy a line of the step."
        )
    if quote not in text:
        raise CallRefused(
            f"citation {number}: step {index} of trial {case.name} does not say {one_line(quote, 120)!r}. "
            f"{_where(cases, case, index, quote) or _nearest(whole, quote)} Copy the words exactly, without leaving any out."
        )
    return Citation(case.name, index, one_line(quote, KEPT_CHARS))


def _flat(text: str) -> str:
    return " ".join(text.split())


def _where(cases: Cases, case: Case, index: int, quote: str) -> str:
    """Where a quote is that is not where it was said to be; empty where no step holds it."""
    phrase = quote.replace('"', " ")
    places = [place for place in cases.recorded.find(f'"{phrase}"') if (place.case, place.index) != (case.name, index)]
    for place in sorted(places, key=lambda place: place.case != case.name)[:3]:
        for step in cases.recorded.steps(place.case, place.index, place.index):
            if quote in _flat(step_text(step, WHOLE)):
                return f"Step {place.index} of trial {place.case} does."
    return ""


def _nearest(text: str, quote: str) -> str:
    """The line of a step that shares most words with a quote; the step's beginning where none does."""
    wanted = set(quote.lower().split())
    lines = [_flat(line) for line in text.splitlines()[:LOOKED_AT_LINES] if line.strip()]
    best = max(lines, key=lambda line: len(wanted & set(line.lower().split())), default="")
    if not wanted & set(best.lower().split()):
        return f"It begins: {one_line(text, 200)!r}."
    match = difflib.SequenceMatcher(None, best[:1_000].lower(), quote[:300].lower(), autojunk=False)
    start = max(0, match.find_longest_match().a - 60)
    return f"The nearest there: {one_line(best[start:], 200)!r}."
