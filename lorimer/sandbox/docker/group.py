"""The containers, networks and volumes around one task container: what a task's compose file describes.

Made over the Engine API, not by `docker compose`: so everything carries the labels by which it is found again, nothing writes a
log on the host, and all ends by a kill. On a network that leads nowhere the host has no address either, and names are resolved
among the group alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import posixpath
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lorimer.errors import SandboxError
from lorimer.sandbox.base import Group, Health, ImageSpec, Service
from lorimer.sandbox.docker.container import MAX_FILE_BYTES, NO_RESOLVER, Way
from lorimer.sandbox.docker.engine import Engine, EngineError
from lorimer.sandbox.docker.files import one_file_tar, tree_tar
from lorimer.sandbox.docker.labels import PID, is_orphan
from lorimer.sandbox.docker.network import make_network, remove_network

READY_SECONDS = 600.0
"""All services must be up within this time, and healthy where they have a health check: a data base takes a minute."""

POLL_SECONDS = 0.25
PIDS = 1024
"""The most processes of one service: a busy data base has some hundred."""

SERVICE = "lorimer.service"
"""The label that says which service of its group a container is."""

_NANO = 1_000_000_000


@dataclass
class Made:
    """What was made of a group, to be used and removed."""

    name: str
    networks: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    containers: dict[str, str] = field(default_factory=dict)
    """The containers of the services, without the main one."""


class Groups:
    """Makes and removes what lies around the main containers of one provider.

    Args:
        prepare: makes an image ready and gives its name.
        create: makes a container from the engine's creation request and remembers it.
        remove: removes such a container.
    """

    def __init__(
        self,
        engine: Engine,
        prepare: Callable[[ImageSpec], Awaitable[str]],
        create: Callable[[dict[str, Any]], Awaitable[str]],
        remove: Callable[[str], Awaitable[None]],
    ) -> None:
        self._engine, self._prepare = engine, prepare
        self._create, self._remove = create, remove
        self._made: dict[str, Made] = {}

    async def make(self, group: Group, labels: Mapping[str, str], *, open_: bool, runtime: str | None) -> Made:
        """Networks, volumes and the services' containers, not yet started; where one cannot be made, none stays. Raises
        SandboxError.

        Args:
            open_: networks lead out, but for those that the group keeps closed.
        """
        made = Made(f"lorimer-group-{secrets.token_hex(6)}")
        try:
            for network in group.networks:
                closed = network.internal or not open_
                made.networks[network.name] = await self._network(f"{made.name}-{network.name}", labels, closed=closed)
            places = {volume for service in (group.main, *group.services) for volume, _ in service.volumes}
            for volume in sorted(places):
                made.volumes[volume] = await self._volume(f"{made.name}-{volume}", labels)
            for service in group.services:
                assert service.image is not None
                image = await self._prepare(service.image)
                config = service_config(
                    service, image, made, labels, closed=not open_, runtime=runtime, cpus=self._engine.cpus
                )
                made.containers[service.name] = container = await self._create(config)
                await self.join(container, service, made)
        except BaseException:
            self._engine.beside(self.remove(made))
            raise
        return made

    async def join(self, container: str, service: Service, made: Made, *, first_too: bool = False) -> None:
        """Connect a container, not yet started, to its networks beyond the first, and copy in its files."""
        for name, aliases in service.networks if first_too else service.networks[1:]:
            connect = partial(_connect, container, made.networks[name], [service.name, *aliases])
            await self._engine.call("connect a service", connect)
        for source, target in service.copies:
            await self._engine.call(f"copy {target}", partial(_copy_in, container, source, target))

    def give(self, container: str, made: Made) -> None:
        """The main container has this around it until `forget`."""
        self._made[container] = made

    async def start(self, group: Group, made: Made, main: str, main_name: str) -> None:
        """Start all, each after what it waits for, the main one too. Raises SandboxError when one does not come up."""
        containers = {**made.containers, main_name: main}
        waiting = {service.name: service for service in (*group.services, group.main)}
        until = time.monotonic() + READY_SECONDS
        started: set[str] = set()
        while waiting:
            ready = [name for name, each in waiting.items() if {other for other, _ in each.after} <= started]
            for name in ready:
                for other, condition in waiting[name].after:
                    await self._until(other, containers[other], condition, until)
                start = partial(_start, containers[name])
                await self._engine.call(f"start the service {name}", start)
                started.add(name)
                del waiting[name]
        for service in (*group.services, group.main):
            condition = "service_healthy" if service.health is not None else "service_started"
            await self._until(service.name, containers[service.name], condition, until)

    async def _until(self, name: str, container: str, condition: str, until: float) -> None:
        while True:
            found = await self._engine.call(
                "inspect a service", lambda client: client.inspect_container(container), quick=True
            )
            state = found["State"]
            health = (state.get("Health") or {}).get("Status")
            code, ended = int(state.get("ExitCode") or 0), not state["Running"] and state["Status"] != "created"
            if state.get("Restarting"):
                ended = False
            if condition == "service_completed_successfully":
                if ended and code == 0:
                    return
            elif condition == "service_started" or (health == "healthy"):
                if not ended or code == 0:
                    return
            elif ended:
                raise SandboxError(f"the service {name} ended before it was healthy (exit code {code})")
            if ended and code:
                raise SandboxError(f"the service {name} failed (exit code {code})")
            if health == "unhealthy":
                raise SandboxError(f"the service {name} is not healthy: {_last_check(state)}")
            if time.monotonic() > until:
                raise SandboxError(f"the service {name} was not ready in {READY_SECONDS:.0f} s")
            await asyncio.sleep(POLL_SECONDS)

    async def forget(self, container: str) -> None:
        """Remove what lies around a main container that is gone."""
        made = self._made.pop(container, None)
        if made is not None:
            await self.remove(made)

    async def remove(self, made: Made) -> None:
        """Remove all of it. What cannot be removed now has its labels for `reap`."""
        for container in made.containers.values():
            with contextlib.suppress(EngineError):
                await self._remove(container)
        for network in made.networks.values():
            await remove_network(self._engine, network)
        for volume in made.volumes.values():
            await self._remove_volume(volume)

    async def reap(self) -> int:
        """Remove volumes of dead processes; their containers and networks go before."""
        found = await self._engine.call(
            "list volumes", lambda client: client.volumes(filters={"label": PID}), quick=True
        )
        removed = 0
        for volume in found.get("Volumes") or ():
            if is_orphan(volume.get("Labels") or {}):
                removed += await self._remove_volume(volume["Name"])
        return removed

    async def _network(self, name: str, labels: Mapping[str, str], *, closed: bool) -> str:
        # Without an address on a closed bridge, the host is not to be reached by it either.
        options = {"com.docker.network.bridge.inhibit_ipv4": "true"} if closed else {}
        return await make_network(self._engine, name, labels, internal=closed, options=options)

    async def _volume(self, name: str, labels: Mapping[str, str]) -> str:
        async def make() -> str:
            await self._engine.call("create a volume", lambda client: client.create_volume(name, labels=dict(labels)))
            return name

        return await self._engine.make(make(), self._remove_volume)

    async def _remove_volume(self, name: str) -> bool:
        """Whether it could be removed. One that a container has carries its labels for `reap`."""
        with contextlib.suppress(EngineError):
            await self._engine.call("remove a volume", lambda client: client.remove_volume(name, force=True))
            return True
        return False


def service_config(
    service: Service,
    image: str,
    made: Made,
    labels: Mapping[str, str],
    *,
    closed: bool,
    runtime: str | None,
    cpus: int,
) -> dict[str, Any]:
    """The engine's creation request for a service's container."""
    host: dict[str, Any] = {
        "NetworkMode": made.networks[service.networks[0][0]] if service.networks else "none",
        "LogConfig": {"Type": "none", "Config": {}},
        "PidsLimit": PIDS,
        "Ulimits": [
            {"Name": "fsize", "Soft": MAX_FILE_BYTES, "Hard": MAX_FILE_BYTES},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
        "ReadonlyRootfs": service.read_only,
        **mounts(service, made),
    }
    if service.limits.cpus is not None:
        host["NanoCpus"] = int(min(service.limits.cpus, cpus) * _NANO)
    if service.limits.memory_mb is not None:
        host["Memory"] = host["MemorySwap"] = service.limits.memory_mb << 20
    if service.restarts:
        host["RestartPolicy"] = {"Name": "on-failure", "MaximumRetryCount": 10}
    if closed:
        host |= NO_RESOLVER
    if runtime:
        host["Runtime"] = runtime
    config: dict[str, Any] = {
        "Image": image,
        "Env": [f"{name}={value}" for name, value in service.env],
        "Labels": {**labels, SERVICE: service.name},
        "StopSignal": "SIGKILL",
        "HostConfig": host,
        **endpoint(service, made),
    }
    if service.command is not None:
        config["Cmd"] = list(service.command)
    if service.entrypoint is not None:
        config["Entrypoint"] = list(service.entrypoint)
        config.setdefault("Cmd", [])
    for key, value in (("WorkingDir", service.workdir), ("User", service.user), ("Hostname", service.hostname)):
        if value is not None:
            config[key] = value
    if service.health is not None:
        config["Healthcheck"] = health_config(service.health)
    return config


def group_way(group: Group, made: Made, *, closed: bool) -> Way:
    """How the main container is connected where no proxy is: to the group alone."""
    first = made.networks[group.main.networks[0][0]] if group.main.networks else "none"
    return Way(first, closed=closed)


def add_group(config: dict[str, Any], main: Service, made: Made, *, on_its_network: bool) -> None:
    """Complete the main container's creation request. `on_its_network`: it is created on the first network of its group."""
    config["HostConfig"] |= mounts(main, made)
    if on_its_network:
        config |= endpoint(main, made)
    if main.hostname is not None:
        config["Hostname"] = main.hostname
    if main.health is not None:
        config["Healthcheck"] = health_config(main.health)


def endpoint(service: Service, made: Made) -> dict[str, Any]:
    """The names of a container on its first network, for its creation request."""
    if not service.networks:
        return {}
    name, aliases = service.networks[0]
    return {"NetworkingConfig": {"EndpointsConfig": {made.networks[name]: {"Aliases": [service.name, *aliases]}}}}


def mounts(service: Service, made: Made) -> dict[str, Any]:
    """Volumes, tmpfs and the like, for `HostConfig`."""
    found: dict[str, Any] = {
        "Mounts": [
            {"Type": "volume", "Source": made.volumes[volume], "Target": place} for volume, place in service.volumes
        ],
        "Tmpfs": dict.fromkeys(service.tmpfs, ""),
        "CapDrop": list(service.cap_drop),
    }
    if service.shm_mb is not None:
        found["ShmSize"] = service.shm_mb << 20
    return found


def health_config(health: Health) -> dict[str, Any]:
    """A health check as the engine takes it, in nanoseconds."""
    return {
        "Test": list(health.test),
        "Interval": int(health.interval * _NANO),
        "Timeout": int(health.timeout * _NANO),
        "StartPeriod": int(health.start_period * _NANO),
        "Retries": health.retries,
    }


def _last_check(state: Mapping[str, Any]) -> str:
    log = (state.get("Health") or {}).get("Log") or [{}]
    return f"exit code {log[-1].get('ExitCode')}: {' '.join(str(log[-1].get('Output') or '').split())[:200]}"


def _connect(container: str, network: str, aliases: list[str], client: Any) -> None:
    client.connect_container_to_network(container, network, aliases=aliases)


def _start(container: str, client: Any) -> None:
    client.start(container)


def _copy_in(container: str, source: Path, target: str, client: Any) -> None:
    if source.is_dir():
        with tempfile.SpooledTemporaryFile(max_size=8 << 20) as archive:
            tree_tar(source, posixpath.normpath(target), archive)
            archive.seek(0)
            client.put_archive(container, "/", archive)
    else:
        mode = source.stat().st_mode & 0o777
        client.put_archive(container, "/", one_file_tar(target, source.read_bytes(), mode=mode, ids=(0, 0)))
