"""What is told before and after steps of trials are dropped."""

from __future__ import annotations

from lorimer.meta_agent.study.keeping import Dropped, Dropping, Plan
from lorimer.terminal.words import table
from lorimer.traces.writing.dropping import Loose
from lorimer.wording import count


def plan_text(plan: Plan, *, ask: bool = True) -> str:
    """What goes, for people.

    Args:
        ask: whether to say how it is done.
    """
    if plan.nothing:
        return f"nothing is older than [store] keep = {plan.keep} says"
    lines = [_studies(plan.studies)] if plan.studies else []
    lines += [f"{_loose(plan.loose)} that nothing else refers to"] if plan.loose.messages or plan.loose.blobs else []
    lines.append(
        "verdicts, decisions, spending and the chain stay, and all steps of the seed harness, of what was promoted, of what the "
        "search may go back to and of what is under way"
    )
    if plan.spare is not None:
        lines.append(
            f"the file is then written anew without the free room, which takes up to {_size(plan.spare.takes)} on its disk for "
            f"that time; {_size(plan.spare.there)} are free there"
        )
    if ask:
        lines.append("`lorimer store prune --yes` drops it, which cannot be undone")
    return "\n".join(lines)


def done_text(done: Dropped) -> str:
    """What has gone, for people."""
    trials = sum(each.trials for each in done.studies)
    size = sum(each.size for each in done.studies) + done.loose.size
    said = f"dropped steps of {count(trials, 'trial')}, about {_size(size)}, as [store] keep = {done.keep} says"
    if done.given_back:
        return f"{said}; the file is {_size(done.given_back)} smaller"
    return f"{said}; the file is as large as before: {done.remark}" if done.remark else said


def _studies(studies: tuple[Dropping, ...]) -> str:
    rows = [(each.study, f"{each.trials:,}", f"{each.steps:,}", _size(each.size)) for each in studies]
    return table(("study", "trials", "steps", "about"), rows)


def _loose(loose: Loose) -> str:
    messages, files = count(len(loose.messages), "message"), count(len(loose.blobs), "file")
    return f"and {messages} and {files}, about {_size(loose.size)},"


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
