"""`lorimer demo`: the real loop on the starter benchmark, with a simulated model in place of a paid one."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorimer import scaffold
from lorimer.config.settings import load
from lorimer.errors import UserError
from lorimer.kinds import SandboxName
from lorimer.terminal.words import duration, score_text
from lorimer.wording import count, dollars

if TYPE_CHECKING:
    from lorimer.meta_agent.gate.statistics.scores import Score
    from lorimer.meta_agent.workspace.watching import Watcher

SIMULATED = (
    "The model is SIMULATED: a program with documented weaknesses and seeded luck (docs/simulated-model.md).\n"
    "The harness, the sandboxes, the traces, the gate and every number are real; what it says about real models is nothing."
)

SETTINGS: Mapping[str, Any] = {
    # Fewer trials than a real study wants: its gains are large, and it shall end in a few minutes.
    "gate.repeats": 2,
    "gate.champion_repeats": 2,
    "gate.holdout_repeats": 2,
    "gate.futility": 0.0,
    # Most cures that the simulated model knows are words. Asked for code first, six candidates would show few of them.
    "search.phases": [],
}
"""What the demo sets otherwise than a new workspace has it."""


@dataclass(frozen=True)
class DemoReport:
    """What the demo did."""

    workspace: Path
    study: str
    seed: int
    model: str
    sandbox: str
    baseline: Score | None
    final: Score | None
    promotions: tuple[str, ...]
    """Title and the gate's sentence of each."""
    candidates: Mapping[str, int]
    trials: int
    usd: float | None
    seconds: float
    winner: Path


async def demo(
    folder: Path,
    watcher: Watcher,
    *,
    seed: int = 0,
    candidates: int = 6,
    concurrency: int = 2,
    model: str = "simulated/apprentice",
    provider: SandboxName = "auto",
) -> DemoReport:
    """Make a workspace in `folder` (a numbered one beside it where that is taken), optimise it, export the winner.

    Raises UserError, PrerequisiteError where neither bubblewrap nor Docker works.
    """
    from lorimer.meta_agent.ledger import experiments
    from lorimer.meta_agent.reports.export import export
    from lorimer.meta_agent.state.names import short
    from lorimer.meta_agent.state.world import scan
    from lorimer.meta_agent.study import campaign
    from lorimer.meta_agent.workspace.repository import STORE
    from lorimer.traces.reading.reader import StoreReader

    if not model.startswith("simulated/"):
        raise UserError(
            f"--model {model}: the demo takes simulated models; `lorimer init` makes a workspace for real ones"
        )
    began = time.monotonic()
    root = fresh(folder)
    scaffold.init(root, source="starter", model=model, harness="plain", own_repository=True)
    watcher.say(SIMULATED)
    watcher.say(f"workspace: {root}")
    settings = {
        **SETTINGS,
        "study.name": "demo",
        "study.seed": seed,
        "budget.candidates": candidates,
        "sandbox.concurrency": concurrency,
        "sandbox.provider": provider,
    }
    config = load(root / "lorimer.toml", settings)
    result = await campaign.optimize(root, config, watcher, prefer_bubblewrap=provider == "auto")
    reader = StoreReader(root / STORE)
    exported = export(reader, result.study, root / "winner")
    entries = experiments.read(reader, scan(reader, result.study), config.retries.errored).entries
    promoted = tuple(
        f"{short(entry.number)} {entry.title}: {next(v.reason for v in entry.verdicts if v.stage == 'full')}"
        for entry in entries
        if entry.state == "promoted"
    )
    spent = reader.spent(result.study)
    sandbox = reader.trials(result.study, limit=1)
    return DemoReport(
        workspace=root,
        study=result.study,
        seed=seed,
        model=model,
        sandbox=sandbox[0].sandbox if sandbox else "",
        baseline=result.baseline,
        final=result.final,
        promotions=promoted,
        candidates=result.candidates,
        trials=spent.trials,
        usd=spent.usd,
        seconds=time.monotonic() - began,
        winner=exported.harness,
    )


def fresh(folder: Path) -> Path:
    """`folder`, or the first of `folder-2`, `folder-3`, … that does not exist: an earlier demo is never touched."""
    found, number = folder, 1
    while found.exists() and (not found.is_dir() or any(found.iterdir())):
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    return found


def text(report: DemoReport) -> str:
    """The demo's result for people."""
    there = shlex.quote(str(report.workspace))
    counts = ", ".join(f"{count} {state}" for state, count in sorted(report.candidates.items())) or "none"
    lines = [
        "",
        f"demo: seed {report.seed}, {report.model} (simulated), {report.sandbox}, {duration(report.seconds)}",
        f"  baseline    {score_text(report.baseline) if report.baseline else 'not measured'}",
        f"  final       {score_text(report.final) if report.final else 'not measured'}"
        + (" (fresh audit trials)" if report.promotions else " (nothing was promoted)"),
        f"  candidates  {counts}",
        f"  promotions  {len(report.promotions)}",
        *(f"    {line}" for line in report.promotions),
        f"  cost        {dollars(report.usd)} at the simulated model's made-up price, {count(report.trials, 'trial')}",
        f"  winner      {report.winner}",
        f"next: git -C {there} log; lorimer log -C {there}; lorimer traces ls -C {there}",
    ]
    return "\n".join(lines)
