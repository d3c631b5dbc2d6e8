"""What a person reads before they approve or refuse a promotion: what was tried, what came of it, and the diff."""

from __future__ import annotations

from dataclasses import dataclass

from lorimer.config.settings import parse_stored
from lorimer.harness.version import diff
from lorimer.meta_agent.ledger import experiments
from lorimer.meta_agent.ledger.experiments import Entry
from lorimer.meta_agent.state.world import World
from lorimer.meta_agent.study.people import hand
from lorimer.traces.base import StudyReader
from lorimer.traces.tables import StudyRow


@dataclass(frozen=True)
class HeldPromotion:
    """A promotion that waits."""

    study: str
    experiment: Entry
    diff: str
    """The diff that turns the champion into the candidate."""


def held(reader: StudyReader, study: StudyRow, world: World) -> HeldPromotion | None:
    """The promotion of a study that waits for a person; `None` where there is none."""
    config = parse_stored(study.config, study.id)
    candidate = hand.waiting(world, config)
    if candidate is None or candidate.harness is None:
        return None
    book = experiments.read(reader, world, config.retries.errored, recent=1)
    entry = next(each for each in book.entries if each.candidate == candidate.id)
    champion = reader.harness(world.champion_harness).text
    return HeldPromotion(study.id, entry, diff(champion, reader.harness(candidate.harness).text))


def text(found: HeldPromotion) -> str:
    """What a person reads before they decide."""
    return "\n".join([*experiments.told(found.experiment), "", found.diff.rstrip("\n")])
