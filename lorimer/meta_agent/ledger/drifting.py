"""What a study's stored trials tell of drift: for people alone, beside decisions that it never changes."""

from __future__ import annotations

from lorimer.meta_agent.gate.reported.drift import Drift, drift
from lorimer.meta_agent.state.names import About, evaluation_id
from lorimer.meta_agent.state.trials import by_task, scored_rewards
from lorimer.meta_agent.state.world import World
from lorimer.traces.base import StudyReader
from lorimer.traces.schema import Purpose, Stage

AGAIN = (Purpose.REFRESHED, Purpose.ADDED, Purpose.FINAL)
"""Trials of a champion on the train tasks after its first ones, those side by side with a candidate's audit among them."""


def drift_of(reader: StudyReader, world: World) -> Drift | None:
    """The change from the champions' early trials to their late ones; `None` where no champion was run at two times."""
    runs = [times for times in run_again(world) if len(times) > 1]
    found = scored_rewards(reader, [name for times in runs for name in times]) if runs else {}
    return drift([[by_task(found[name]) for name in times] for times in runs])


def run_again(world: World) -> list[list[str]]:
    """The evaluations on the train tasks of each harness that has been champion, in order of time: how it scored at one time and
    at another. The audit that made it champion is left out, as that one was lucky.

    The trials that stood for a harness when it lost to another are left out too: the unluckier they were, the sooner it lost, and
    the newest of them are late, so every study would seem to drift downwards. Trials that had been replaced before count.
    """
    found: dict[str, list[About]] = {}
    for about in world.decisions:
        if about == About("", Stage.BASELINE) or (about.stage is Stage.AUDIT and about.purpose in AGAIN):
            found.setdefault(about.subject, []).append(about)
    told = list[list[str]]()
    for subject, own in found.items():
        # What stands for a champion anew is run before what it runs side by side with the same candidate.
        ordered = sorted(own, key=lambda each: (each.met or 0, each.purpose is Purpose.ADDED))
        lost = frozenset(world.stood_at(subject)) if subject != world.champion_id else frozenset()
        names = [name for about in ordered if (name := evaluation_id(world.study, about)) not in lost]
        if names:
            told.append(names)
    return told
