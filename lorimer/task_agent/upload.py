"""A task's files into its sandbox."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lorimer.sandbox.base import Sandbox, SandboxFileError


async def upload(sandbox: Sandbox, source: Path | bytes, target: str) -> None:
    """Copy a host folder's content into the folder `target`, or a host file or bytes to the path `target`.

    Raises SandboxFileError, also where the host's file has gone since the task was read.
    """
    if isinstance(source, bytes):
        await sandbox.write(target, source)
        return
    if await asyncio.to_thread(source.is_dir):
        await sandbox.put_tree(source, target)
        return
    try:
        data = await asyncio.to_thread(source.read_bytes)
    except OSError as error:
        raise SandboxFileError(f"{source}: {error.strerror}") from None
    await sandbox.write(target, data)
