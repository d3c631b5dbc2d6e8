"""A workspace whose model is served by a scripted server, and the command run beside it."""

from __future__ import annotations

import asyncio
import io
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from lorimer.cli import call, guarded
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import Said, configure, start
from tests.support.model_clients import good
from tests.support.scripted_server import Reply, ScriptedServer

KEY = "zq-Ab3dEf6hIj9lMn0pQr5tUv"
ANSWER = Reply(good("chat", "I am done."))
TABLES = """
[providers.local]
base_url = "{url}/v1"
key_env = "LOCAL_KEY"
usd_per_million_input = 10.0
usd_per_million_output = 10.0
max_tokens = 64
[providers.local.retry]
window_seconds = {window}
initial_seconds = 0.05
maximum_seconds = 0.2
timeout_seconds = {timeout}
"""


READERS = ("status", "studies", "log", "traces")
"""Commands that only read: in this process they spare a second each."""


async def lorimer(root: Path, *arguments: str) -> Said:
    """The command beside a server that lives in this loop."""
    if arguments[0] in READERS:
        with redirect_stdout(io.StringIO()) as said, redirect_stderr(io.StringIO()) as complained:
            code = guarded(lambda: call([*arguments, "-C", str(root)]))
        return Said(code, said.getvalue(), complained.getvalue())
    running = start(*arguments, "-C", root, environment={"TMPDIR": str(root.parent)})
    try:
        async with asyncio.timeout(200):
            out, err = await asyncio.to_thread(running.communicate)
    finally:
        running.kill()
    return Said(running.returncode or 0, out, err)


def at(
    server: ScriptedServer, root: Path, timeout: float = 30.0, *settings: str, priced: bool = True, window: float = 1.0
) -> None:
    """Point a workspace at the server, its key in `.env`."""
    configure(
        root, "models.task=local/model", "benchmark.limit=4", "gate.champion_repeats=1", "study.canaries=0", *settings
    )
    path = root / "lorimer.toml"
    tables = TABLES if priced else re.sub(r"usd_per_million.*\n", "", TABLES)
    path.write_text(path.read_text() + tables.format(url=server.url, timeout=timeout, window=window))
    (root / ".env").write_text(f"LOCAL_KEY={KEY}\n")


def rows(root: Path) -> dict[str, tuple[str, str]]:
    return {trial.id: (trial.state, trial.cause) for trial in StoreReader(root / STORE).trials(limit=None)}
