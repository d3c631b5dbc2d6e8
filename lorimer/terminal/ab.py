"""Two files and the gate's answer, for people."""

from __future__ import annotations

from lorimer.meta_agent.reports.ab import AbReport, Arm
from lorimer.terminal.between import flips_text
from lorimer.terminal.words import duration, score_text, table
from lorimer.wording import digits_apart, dollars


def text(found: AbReport) -> str:
    """The verdict first."""
    rows = [("a", *_arm(found.a)), ("b", *_arm(found.b))]
    return "\n".join(
        [
            verdict(found),
            *([f"the gate: {found.reason}"] if found.reason else []),
            table(("", "file", "score", "trials", "cost", "tokens", "time"), rows),
            *([flips_text(found.flips)] if found.flips.tasks else []),
            *(f"{word}: {said}" for word, said in found.trust.lines()),
            f"{found.study}: `lorimer traces ls --study {found.study}` lists the trials",
        ]
    )


def verdict(found: AbReport) -> str:
    """What is known of the second file against the first, in one sentence."""
    a, b = found.a.file, found.b.file
    by = "" if found.difference is None else f": {found.difference} of mean reward, 95% interval for tasks like these"
    if found.p is not None:
        p, asked = digits_apart([found.p, found.alpha], 2)
        by += f"; p = {p}, where {asked} is asked for"
    by += "; it ended early, as the rest could not have changed the answer" if found.early else ""
    said = {
        "better": f"{b} is better than {a}",
        "too dear": f"{b} is better than {a}, and costs more than the gate allows",
        "cannot tell": f"cannot tell: {b} is not shown to be better than {a}, nor surely worse",
        "worse": f"{b} is worse than {a}, by the interval",
        "undecided": f"undecided between {a} and {b}: too many trials errored",
        None: f"no answer yet between {a} and {b}",
    }
    return said[found.verdict] + by


def _arm(arm: Arm) -> tuple[str, str, int, str, str, str]:
    return (arm.file, score_text(arm.score), arm.trials, dollars(arm.usd), f"{arm.tokens:,}", duration(arm.seconds))
