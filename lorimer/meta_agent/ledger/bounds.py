"""What a study has used of each bound that is set for it."""

from __future__ import annotations

from lorimer.config.settings import parse_stored
from lorimer.meta_agent.state.world import World
from lorimer.task_agent.budget import Allowance, allowances
from lorimer.traces.schema import Spent
from lorimer.traces.tables import StudyRow


def bounds_of(study: StudyRow, world: World, spent: Spent) -> tuple[Allowance, ...]:
    """The bounds of a study's settings. Only one that tries candidates has a bound of them."""
    settings = parse_stored(study.config, study.id).budget
    found = allowances(settings, spent)
    if study.kind == "optimize" and settings.candidates is not None:
        found += (Allowance("budget.candidates", world.proposals, settings.candidates),)
    return found
