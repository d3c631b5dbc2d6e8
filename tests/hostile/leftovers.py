"""What carries this process's mark after its provider was closed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from lorimer.sandbox.base import SandboxProvider
from lorimer.sandbox.bubblewrap.cgroup import PREFIX


async def left_behind(provider: SandboxProvider) -> list[str]:
    """Containers and networks by label; for bubblewrap, its processes and control groups. Empty where nothing is left."""
    looks = {"docker": _containers, "bubblewrap": _processes}
    found = [await asyncio.to_thread(looks[name]) for name in {provider.name, provider.jails}]
    return [each for one in found for each in one]


def _containers() -> list[str]:
    import docker

    from lorimer.sandbox.docker.labels import PID, process_identity

    client = docker.APIClient()
    try:
        mine = {"label": f"{PID}={process_identity()}"}
        containers = [str(each["Names"]) for each in client.containers(all=True, filters=mine)]
        return containers + [str(each["Name"]) for each in client.networks(filters=mine)]
    finally:
        client.close()


def _processes() -> list[str]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, fields = stat.read_text().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        if name == "bwrap" and int(fields.split()[1]) == os.getpid() and fields.split()[0] != "Z":
            found.append(f"bwrap {stat.parent.name}")
    groups = Path("/sys/fs/cgroup").glob(f"**/{PREFIX}{os.getpid()}-*")
    return found + [str(group) for group in groups]
