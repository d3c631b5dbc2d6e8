"""What `gate replay` shows: the candidates that another gate would have decided otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lorimer.meta_agent.reports.replay import DecidedAgain, GateReplay
from lorimer.meta_agent.state.names import short


def text(found: GateReplay, *, whole: bool = False) -> str:
    """A replay for people: the candidates that come out otherwise, or may, and how many do not.

    Args:
        whole: tell of each of these too.
    """
    changed = "1 decision changes" if found.changed == 1 else f"{found.changed} decisions change"
    lines = [
        f"{found.study} under {found.gate}",
        f"  it was decided under {found.was}",
        f"  {changed} of {len(found.candidates)}, {found.open} cannot be told from the stored trials; nothing was run",
    ]
    warned = False
    for each in found.candidates:
        if each.after == each.before and not whole:
            continue
        if each.counterfactual and not warned:
            lines.append(
                "from here on another champion may have held, and other candidates been proposed: these are decided against the "
                "champion that the study had"
            )
            warned = True
        name = f"{short(each.number)} {each.title}".rstrip()
        if each.after == each.before:
            lines.append(f"{name}: {each.after}, as before")
        else:
            lines.append(f"{name}: {each.before} -> {'cannot be told' if each.after == 'open' else each.after}")
        lines.append(f"  {each.reason}")
        if each.after != each.before:
            lines.append(f"  the study: {each.was}")
        if each.read is not None and each.read < each.trials and _said_otherwise(each):
            lines.append(f"  this gate reads {each.read} of the {each.trials} trials that are stored")
    if not whole:
        lines += _as_before([each for each in found.candidates if each.after == each.before])
    if found.skipped:
        lines.append(f"left out: {found.skipped} without a usable edit or a decision")
    return "\n".join(lines)


def _as_before(candidates: Sequence[DecidedAgain]) -> list[str]:
    """How many come out as they did, in a line; none where there are none."""
    if not candidates:
        return []
    states = Counter(each.after for each in candidates)
    said = f"as before: {', '.join(f'{states[state]} {state}' for state in sorted(states))}"
    other = sum(each.counterfactual for each in candidates)
    if other:
        said += (
            f"; of {other} of them another champion may have held: they are decided against the one that the study had"
        )
    if any(map(_said_otherwise, candidates)):
        known = [(each.read, each.trials) for each in candidates if each.read is not None]
        read, stored = sum(read for read, _ in known), sum(trials for _, trials in known)
        if read < stored:
            said += f"; this gate reads {read:,} of the {stored:,} trials of their full runs that are stored"
    return [f"{said}; --all tells of each"]


def _said_otherwise(each: DecidedAgain) -> bool:
    """Whether this gate decided a full run in other words. Where it did not, it read the trials that the study's gate read, and
    those stored beyond them were under way when the run ended."""
    return each.trials > 0 and not each.reason.startswith(each.was)
