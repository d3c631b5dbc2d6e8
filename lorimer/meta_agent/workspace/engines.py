"""The sandboxes that a workspace's settings ask for."""

from __future__ import annotations

from collections.abc import Callable

from lorimer.config.settings import MOST_AT_ONCE, Config
from lorimer.processes import open_files
from lorimer.sandbox.base import Egress, SandboxProvider
from lorimer.sandbox.docker.patience import Patience
from lorimer.sandbox.hosts import AnyHost, Hosts, open_hosts
from lorimer.sandbox.select import Wanted, choose

FILES, FILES_PER_TRIAL = 64, 16
"""What a process that runs trials has open besides them, and for each: 13 in bubblewrap (its sandbox, its jail, what watches
them), 4 in Docker, and a connection to its model."""


def room_for_trials(config: Config) -> str:
    """Let this process have open what its trials need; "", or what to do where it may not.

    It is room for as many as `lorimer tune` may ask for later.
    """
    allowed = open_files(FILES + FILES_PER_TRIAL * MOST_AT_ONCE)
    trials, fewer = config.sandbox.concurrency, max(1, (allowed - FILES) // FILES_PER_TRIAL)
    needed = FILES + FILES_PER_TRIAL * trials
    if allowed >= needed:
        return ""
    return (
        f"warning: this process may have {allowed:,} files open, and {trials} trials at once may need {needed:,}; "
        f"allow it more (`ulimit -n`, LimitNOFILE of systemd), or set [sandbox] concurrency = {fewer}"
    )


async def open_provider(config: Config, *, prefer_bubblewrap: bool = False) -> SandboxProvider:
    """The sandboxes that the settings ask for, seen to work; the caller closes it. Raises PrerequisiteError."""
    hosts = await open_hosts_of(config)
    if hosts is not None:
        return AnyHost(hosts)
    return await choose(
        config.sandbox.provider,
        jails=config.jail.provider,
        prefer_bubblewrap=prefer_bubblewrap,
        wanted=wanted_of(config),
    )


def wanted_of(config: Config) -> Wanted:
    """What sandboxes and jails are to be like."""
    return Wanted(
        network="none" if config.sandbox.network == "none" else None,
        python_image=config.sandbox.python_image,
        jail_image=config.jail.image,
        egress=egress(config),
        runtime=config.sandbox.runtime,
        handover=config.sandbox.entrypoint_seconds,
        patience=Patience(config.executor.seconds),
    )


def egress(config: Config) -> Egress | None:
    """Where the network of a task leads that asks for one; `None` is an open one."""
    if config.sandbox.network not in ("recorded", "registries"):
        return None
    return Egress(config.sandbox.registries, public=config.sandbox.network == "recorded")


async def open_hosts_of(
    config: Config, tell: Callable[[str], None] = lambda line: None
) -> Hosts[SandboxProvider] | None:
    """The engines of [executor] docker_hosts; `None` where none is named. Raises PrerequisiteError."""
    executor = config.executor
    if not executor.docker_hosts:
        return None
    return await open_hosts(
        executor.docker_hosts,
        executor.shares,
        jails=config.jail.provider,
        wanted=wanted_of(config),
        warm=config.sandbox.warm,
        most=config.sandbox.concurrency,
        seconds=executor.seconds,
        tell=tell,
    )
