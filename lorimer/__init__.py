"""lorimer: improves AI agent harnesses while their owner sleeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lorimer.exports.library import Loaded
    from lorimer.python.study import Study as Study

__version__ = "0.1.0"


def load(folder: str | Path) -> Loaded:
    """A winner that `lorimer export --to library` or `--to standalone` wrote, ready to solve tasks. Raises UserError."""
    from lorimer.exports.library import load as loaded

    return loaded(folder)


def init(folder: str | Path, *, source: str = "starter", model: str = "simulated/apprentice") -> None:
    """Make a workspace, as `lorimer init` does: lorimer.toml, program.md and harness/agent.py in a git repository.

    Args:
        source: [benchmark] source.
        model: `PROVIDER/NAME` of the task model, which proposes edits too.

    Raises UserError where a workspace is there already, ConfigError, PrerequisiteError without git.
    """
    from pathlib import Path

    from lorimer.scaffold import init as made

    made(Path(folder), source=source, model=model)


def optimize(
    workspace: str | Path = ".", *, settings: Mapping[str, Any] | None = None, progress: bool = False
) -> Study:
    """Run a new study until its budget is spent, as `lorimer optimize` does, and return it.

    Where an event loop runs, as in a notebook, await `optimize_async`. Ctrl-C stops it cleanly, and `lorimer resume` goes on.

    Args:
        workspace: a folder with lorimer.toml, or one below it.
        settings: what replaces settings of lorimer.toml: `{"budget.candidates": 4}`.
        progress: print what happens.

    Raises UserError, ConfigError, PrerequisiteError, SandboxError. A provider that is away, or the like, ends it `paused`, with
    the `reason` in the study that is returned.
    """
    from lorimer.python.running import optimize as run

    return run(workspace, settings=settings, progress=progress)


async def optimize_async(
    workspace: str | Path = ".", *, settings: Mapping[str, Any] | None = None, progress: bool = False
) -> Study:
    """What `optimize` does, to be awaited. Cancelling it stops the study cleanly."""
    from lorimer.python.running import optimize_async as run

    return await run(workspace, settings=settings, progress=progress)


def __getattr__(name: str) -> Any:
    if name == "Study":  # read when it is asked for: it needs the store
        from lorimer.python import study

        return study.Study
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
