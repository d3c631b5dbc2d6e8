"""What the server of a model honours: asked for now and kept, or what the workspace's store knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lorimer.doctor.findings import Finding, command, one_line
from lorimer.errors import LorimerError

if TYPE_CHECKING:
    from lorimer.models.abilities import Abilities
    from lorimer.models.client import ProviderClient

WHAT = "abilities"


async def look(root: Path, client: ProviderClient, say: Callable[[str], None] | None) -> list[Finding]:
    """One finding, or none where nothing is known.

    Args:
        say: told what is asked; `None` asks nothing.
    """
    from lorimer.doctor.probe import probe
    from lorimer.meta_agent.workspace.session import keep_abilities, kept_abilities

    if say is not None:
        found = await probe(client, lambda name: say(f"asking {client.id} for: {name}"))
        said = f"{client.id}: {found}{_told(found)}"
        try:
            await keep_abilities(root, client, found)
        except LorimerError as error:
            again = f"a study asks again as it goes; to keep it: {command(root, 'doctor', '--model')}"
            return [Finding(WHAT, "warning", f"{said}; not kept: {one_line(str(error))}", again)]
        return [Finding(WHAT, "ok", said)]
    kept = kept_abilities(root, client)
    return [] if kept is None else [Finding(WHAT, "ok", f"{client.id}: {kept[0]}{_told(kept[0])} (asked on {kept[1]})")]


def _told(found: Abilities) -> str:
    names = sorted(found.in_words)
    return f"; said in the prompt instead: {', '.join(names)}" if names else ""
