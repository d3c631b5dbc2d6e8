"""What happens beside a study in its workspace: another study that runs there, a branch that does not hold its champion."""

from __future__ import annotations

from collections.abc import Iterable

from lorimer.meta_agent.state.names import short
from lorimer.meta_agent.state.world import World
from lorimer.traces.tables import StudyRow
from lorimer.traces.writing.holder import alive, described


def others_at_work(studies: Iterable[StudyRow], own: str, branch: str) -> str:
    """Which other studies are being optimised in the same workspace, and what follows from it; "" where none is.

    Args:
        branch: where this one's promotions go that the current branch cannot take.
    """
    found = [
        f"{study.id} by {described(study.holder, study.held_since)}"
        for study in studies
        if study.id != own and study.kind == "optimize" and study.holder and alive(study.holder)
    ]
    if not found:
        return ""
    return (
        f"another study is at work in this workspace: {', '.join(found)}. Both promote to the same file: whichever finds that "
        f"the other has changed it leaves it alone and promotes to a branch of its own, here {branch}"
    )


def departed(world: World, held: str | None, branch: str) -> str:
    """What the branch holds in place of the study's champion, and what follows from that; "" where it holds the champion.

    Args:
        held: SHA-256 of the harness that the current branch holds; "" where it holds none, `None` where there is no commit
            to speak of.
        branch: where promotions go that it cannot take.
    """
    if held is None or held == world.champion_harness:
        return ""
    champion = short(world.champion.number) if world.champion else "the seed harness"
    earlier = [each for each in world.candidates if each.state == "promoted" and each.harness == held]
    if not held:
        what = "no harness"
    elif earlier:
        what = f"{short(earlier[-1].number)}, an earlier champion"
    else:
        what = "the seed harness" if held == world.seed_harness else "a harness that this study did not promote"
    return (
        f"the branch holds {what}, where this study's champion is {champion}: it was reverted, changed by hand, or promoted "
        f"elsewhere. The study goes on from its champion, and promotes to the branch {branch}"
    )
