"""The networks of task containers that ask for one.

*Open*: a bridge of this process's own, on which containers cannot reach each other. They reach the internet and what listens on
the host's own addresses, and nobody sees where they go.

*Through the proxy* (`Egress`): each container has a network to itself that leads nowhere, on which the host has no address
either, and beside it a proxy (`proxy.py`) in a container that leads out. What it was asked for is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lorimer.errors import SandboxError
from lorimer.sandbox.base import Egress
from lorimer.sandbox.docker import proxy as proxy_program
from lorimer.sandbox.docker.container import LITTLE_LOG, Way
from lorimer.sandbox.docker.engine import Engine, EngineError
from lorimer.sandbox.docker.jail import NOBODY, bare_env

PORT = 3128
MOST_HOSTS = 1_000
"""Recorded of one sandbox."""
START_SECONDS = 30.0
"""The proxy must listen within this time; it takes 0.3 s on an idle machine."""
ROLE = "lorimer.role"


class Networks:
    """Makes and removes the networks of one provider's containers.

    Args:
        egress: what a network leads to; `None` is an open one.
        create: makes a container from the engine's creation request and remembers it.
        discard: removes a container in the background.
        removed: is told of a container that was removed here.
    """

    def __init__(
        self,
        engine: Engine,
        egress: Egress | None,
        create: Callable[[dict[str, Any]], Awaitable[str]],
        discard: Callable[[str], None],
        removed: Callable[[str], None],
    ) -> None:
        self._engine, self._egress = engine, egress
        self._create, self._discard, self._removed = create, discard, removed
        self._open = ""
        self._opening = asyncio.Lock()
        self._ways: dict[str, Way] = {}

    @property
    def guarded(self) -> bool:
        """Whether a network leads to a proxy only."""
        return self._egress is not None

    async def way(
        self, labels: Mapping[str, str], image: Callable[[], Awaitable[str]], listed: Sequence[str] | None = None
    ) -> Way:
        """A way out for one container; `give` or `close` it. Raises EngineError.

        Args:
            image: gives the image that the proxy runs in, one with Python.
            listed: the hosts that its task allows, which a proxy then holds to whatever the network leads to.
        """
        if self._egress is None and listed is None:
            return Way(await self._open_network(labels), {})
        network = await self._make(labels, "task", internal=True, options={"inhibit_ipv4": "true"})
        proxy = ""
        try:
            proxy = await self._create(_proxy_config(await image(), labels, self._egress, listed))
            await self._engine.call(
                "connect a proxy", lambda client: client.connect_container_to_network(proxy, network)
            )
            await self._engine.call("start a proxy", lambda client: client.start(proxy))
            address = await self._listening(proxy, network)
        except BaseException:
            if proxy:
                self._discard(proxy)
            self._engine.beside(remove_network(self._engine, network))
            raise
        url = f"http://{address}:{PORT}"
        env = {name: url for each in ("http_proxy", "https_proxy") for name in (each, each.upper())}
        local = "localhost,127.0.0.1,::1"
        return Way(network, {**env, "no_proxy": local, "NO_PROXY": local}, proxy)

    def give(self, container: str, way: Way) -> None:
        """The container has this way until `forget`."""
        if way.proxy:
            self._ways[container] = way

    async def forget(self, container: str) -> None:
        """Remove the way of a container that is gone."""
        way = self._ways.pop(container, None)
        if way is not None:
            await self.close_way(way)

    async def close_way(self, way: Way) -> None:
        """Remove a way that no container has. The open network stays for others."""
        if way.proxy:
            with contextlib.suppress(EngineError):  # gone already
                await self._engine.call("remove a proxy", lambda client: client.remove_container(way.proxy, force=True))
            self._removed(way.proxy)
            await remove_network(self._engine, way.network)

    async def hosts(self, container: str) -> tuple[str, ...]:
        """What a container's proxy was asked for, in order. Raises EngineError."""
        way = self._ways.get(container)
        if way is None:
            return ()
        said = await self._said(way.proxy)
        return tuple(line["host"] + ("" if line["allowed"] else " (refused)") for line in said if "host" in line)

    async def close(self) -> None:
        """Remove the open network."""
        if self._open:
            network, self._open = self._open, ""
            await remove_network(self._engine, network)

    async def _open_network(self, labels: Mapping[str, str]) -> str:
        async with self._opening:
            if not self._open:
                self._open = await self._make(labels, "open", internal=False, options={"enable_icc": "false"})
            return self._open

    async def _make(self, labels: Mapping[str, str], role: str, *, internal: bool, options: Mapping[str, str]) -> str:
        import secrets

        return await make_network(
            self._engine,
            f"lorimer-{role}-{secrets.token_hex(6)}",
            {**labels, ROLE: role},
            internal=internal,
            options={f"com.docker.network.bridge.{name}": value for name, value in options.items()},
        )

    async def _listening(self, proxy: str, network: str) -> str:
        """The proxy's address once it listens."""
        try:
            async with asyncio.timeout(START_SECONDS):
                while not any("listening" in line for line in await self._said(proxy)):  # noqa: ASYNC110  the engine tells nobody
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise SandboxError("docker: the proxy of a task's network does not start") from None
        found = await self._engine.call("inspect a proxy", lambda client: client.inspect_container(proxy), quick=True)
        for each in found["NetworkSettings"]["Networks"].values():
            if each["NetworkID"] == network:
                return str(each["IPAddress"])
        raise SandboxError("docker: the proxy of a task's network has no address in it")

    async def _said(self, proxy: str) -> list[dict[str, Any]]:
        text = await self._engine.call(
            "read a proxy's log", lambda client: client.logs(proxy, stdout=True, stderr=False), quick=True
        )
        return [json.loads(line) for line in text.decode().splitlines()]


async def make_network(
    engine: Engine, name: str, labels: Mapping[str, str], *, internal: bool, options: Mapping[str, str]
) -> str:
    """The id of a new network, of which nothing is left where the caller is cancelled meanwhile. Raises EngineError."""

    async def make() -> str:
        made = await engine.call(
            "create a network",
            lambda client: client.create_network(
                name, driver="bridge", internal=internal, options=dict(options), labels=dict(labels)
            ),
        )
        return str(made["Id"])

    return await engine.make(make(), partial(remove_network, engine))


async def remove_network(engine: Engine, network: str) -> bool:
    """Whether it could be removed. One that a container is in carries its labels for `reap`."""
    with contextlib.suppress(EngineError):
        await engine.call("remove a network", lambda client: client.remove_network(network))
        return True
    return False


def _proxy_config(
    image: str, labels: Mapping[str, str], egress: Egress | None, listed: Sequence[str] | None
) -> dict[str, Any]:
    settings = {
        "port": PORT,
        "most": MOST_HOSTS,
        "policy": {
            "hosts": None if egress is None else list(egress.hosts),
            "public": egress is not None and egress.public,
            "listed": None if listed is None else list(listed),
        },
    }
    source = Path(proxy_program.__file__).read_text(encoding="utf-8")
    return {
        "Image": image,
        "Entrypoint": ["python3", "-I", "-S", "-u", "-c", source],
        "Cmd": [json.dumps(settings)],
        "Env": bare_env(()),
        "User": NOBODY,
        "Labels": {**labels, ROLE: "proxy"},
        "StopSignal": "SIGKILL",
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "NetworkMode": "bridge",
            "LogConfig": LITTLE_LOG,
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "Memory": 256 << 20,
            "MemorySwap": 256 << 20,
            "PidsLimit": 256,
        },
    }
