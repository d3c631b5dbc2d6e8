"""What a workspace's store knows of what the servers of its models honour; `lorimer doctor --model` asks them."""

from __future__ import annotations

from lorimer.meta_agent.workspace.parts import now
from lorimer.models.abilities import Abilities
from lorimer.models.base import ModelClient
from lorimer.models.client import ProviderClient
from lorimer.traces.base import StudyReader
from lorimer.traces.tables import AbilityRow


def stored(reader: StudyReader, model: ModelClient | None) -> Abilities | None:
    """What was found of a model at the address that it has now; `None` where nothing was, or the model is no server's."""
    if not isinstance(model, ProviderClient):
        return None
    row = reader.abilities(model.id)
    return Abilities.of_json(row.found) if row is not None and row.address == model.address else None


def tell(reader: StudyReader, *models: ModelClient | None) -> None:
    """Give each model what is known of it."""
    for model in models:
        found = stored(reader, model)
        if found is not None and isinstance(model, ProviderClient):
            model.knows(found)


def row_of(model: ProviderClient, found: Abilities) -> AbilityRow:
    """What was found, to be stored."""
    return AbilityRow(model=model.id, address=model.address, asked=now(), found=found.as_json())
