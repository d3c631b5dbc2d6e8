"""What is known of an edit before it is paid for: preview."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorimer.commands.options import HERE, Json, StudyName, Workspace
from lorimer.commands.shared import config_of, experiments_of, harness_of, run_to_end
from lorimer.wording import visible

if TYPE_CHECKING:
    from lorimer.task_agent.shadow.previewed import Preview

app = typer.Typer()


@app.command()
def preview(
    file: Annotated[Path, typer.Argument(help="The edited harness.")],
    study: StudyName = None,
    diffs: Annotated[bool, typer.Option("--diffs", help="Show what is different in each trial.")] = False,
    workspace: Workspace = HERE,
    json: Json = False,
) -> None:
    """Say which recorded trials an edited harness touches.

    The edited harness runs in its jail against the records of the champion's trials on train tasks, without a model or a
    container, up to the first call that a record does not hold. The preview costs nothing and decides nothing.
    """
    from lorimer.harness.version import check
    from lorimer.meta_agent.replay import preview as room
    from lorimer.meta_agent.workspace.engines import open_provider
    from lorimer.terminal import previewed
    from lorimer.terminal.opening import open_reader
    from lorimer.terminal.words import to_json

    config = config_of(workspace, None)
    text = harness_of(file)
    check(text, max_bytes=config.meta.max_harness_bytes)
    reader = open_reader(workspace)
    row = experiments_of(reader, study)

    async def work() -> Preview:
        provider = await open_provider(config)
        try:
            return await room.touched(reader, row.id, text, provider, config)
        finally:
            await provider.close()

    found = run_to_end(work())
    typer.echo(to_json(previewed.rows(found)) if json else visible(previewed.text(found, diffs=diffs)))
