"""Running a study from a program or a notebook."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorimer.config.settings import FILE_NAME, load
from lorimer.errors import UserError
from lorimer.meta_agent.study import campaign
from lorimer.python.study import Study
from lorimer.terminal.here import find_workspace
from lorimer.terminal.live import Terminal, choose_mode


async def optimize_async(
    workspace: str | Path = ".", *, settings: Mapping[str, Any] | None = None, progress: bool = False
) -> Study:
    """What `lorimer.optimize_async` does."""
    root = find_workspace(Path(workspace))
    config = load(root / FILE_NAME, settings)
    with Terminal(choose_mode(quiet=not progress, as_json=False), workspace=root) as terminal:
        result = await campaign.optimize(root, config, terminal)
    return Study.open(root, result.study)


def optimize(
    workspace: str | Path = ".", *, settings: Mapping[str, Any] | None = None, progress: bool = False
) -> Study:
    """What `lorimer.optimize` does."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(optimize_async(workspace, settings=settings, progress=progress))
    raise UserError("lorimer.optimize: an event loop runs here, as in a notebook", "await lorimer.optimize_async(…)")
