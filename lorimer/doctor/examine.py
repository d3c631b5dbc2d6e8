"""Everything that `lorimer doctor` looks at, in order."""

from __future__ import annotations

from pathlib import Path

from lorimer.config.settings import Config
from lorimer.doctor import machine, models, workspace
from lorimer.doctor.findings import Finding
from lorimer.doctor.models import Asking


async def examine(root: Path, asking: Asking | None) -> list[Finding]:
    """Look at everything. Never raises for what is missing, never shows a key, changes nothing.

    Args:
        root: the workspace's folder, which need not be one.
        asking: how models are asked; `None` where none may be.
    """
    config, settings = workspace.settings(root)
    # Both read lorimer.toml: what neither can read there is said once.
    store = [finding for finding in machine.store(root) if finding.said != settings.said]
    findings = [machine.python(), machine.git(), machine.disk(root), *store, settings]
    text = None
    if config is not None:
        text, said = workspace.harness(root, config)
        findings += said
    sandboxes = await machine.sandboxes(root, config or Config())
    findings += sandboxes.findings
    if config is None:
        return findings
    if text is not None and sandboxes.used:
        findings.append(await workspace.jail(root, config, text, other=sandboxes.other))
    findings += await models.models(root, config, asking)
    findings += [workspace.dotenv(root), workspace.benchmark(root, config, sandboxes.used)]
    return findings
