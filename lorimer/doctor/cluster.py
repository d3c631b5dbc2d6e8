"""The nodes of a Ray cluster, with `[executor] kind = "ray"`: which of them can run trials."""

from __future__ import annotations

from pathlib import Path

from lorimer.config.settings import Config
from lorimer.doctor.findings import Finding, by_hand, one_line
from lorimer.errors import PrerequisiteError
from lorimer.meta_agent.workspace.nodes import open_nodes


async def cluster(root: Path, config: Config, used: str) -> tuple[Finding, ...]:
    """One finding for each node: a study needs one of them, and does without those that cannot run trials.

    Args:
        used: the sandbox that a study would begin on.
    """
    sandbox = config.sandbox.model_copy(update={"provider": used or config.sandbox.provider})
    try:
        nodes = await open_nodes(root, config.model_copy(update={"sandbox": sandbox}), None, {})
    except PrerequisiteError as error:
        return (Finding("ray", "missing", one_line(error.problem), one_line(error.fix)),)
    fix = by_hand(root, "a study does without it; to have it back, put that right there")
    try:
        return tuple(
            Finding("ray", "warning", f"{host.url}: {one_line(host.down)}", fix)
            if host.down
            else Finding("ray", "ok", f"{host.url}: trials can run there")
            for host in nodes.hosts.all
        )
    finally:
        await nodes.close()
