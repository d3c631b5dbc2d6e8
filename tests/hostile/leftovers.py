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
    """What this process left in bubblewrap. Other processes and their groups may go while these are looked for."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            name, fields = (process / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        if name == "bwrap" and int(fields.split()[1]) == os.getpid() and fields.split()[0] != "Z":
            found.append(f"bwrap {process.name}")
    groups = (str(Path(folder, name)) for folder, names, _ in os.walk("/sys/fs/cgroup") for name in names)
    return found + [group for group in groups if Path(group).name.startswith(f"{PREFIX}{os.getpid()}-")]
