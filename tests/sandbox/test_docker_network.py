"""Networks of task containers: apart from each other, through a proxy where asked, gone afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lorimer.errors import PrerequisiteError, SandboxError
from lorimer.sandbox.base import Egress, Owner, PulledImage, Sandbox, SandboxLimits, SandboxRequest
from lorimer.sandbox.docker.disk import DiskWatch, Free, offender
from lorimer.sandbox.docker.provider import DockerProvider
from tests.hostile.leftovers import left_behind

pytestmark = pytest.mark.docker
IMAGE = "python:3.12-slim"
FETCH = "python3 -c \"import urllib.request as u; print(u.urlopen('{url}', timeout=10).status)\" 2>&1 | tail -n 1"
CONNECT = (
    "python3 -c \"import socket; socket.create_connection(('{host}', {port}), 1); print('connected')\" 2>&1 | tail -n 1"
)


@pytest.fixture
async def providers() -> AsyncIterator[list[DockerProvider]]:
    made: list[DockerProvider] = []
    yield made
    for provider in made:
        await provider.close()
        assert await left_behind(provider) == []


async def open_one(provider: DockerProvider, limits: SandboxLimits | None = None) -> Sandbox:
    image = await provider.prepare(PulledImage(IMAGE))
    return await provider.acquire(
        SandboxRequest(image, Owner("s", "t"), limits or SandboxLimits(network=True), workdir="/app")
    )


async def says(sandbox: Sandbox, command: str) -> str:
    return (await sandbox.exec(command, timeout=60)).stdout.decode().strip()


async def test_a_network_of_registries_leads_to_them_alone(providers: list[DockerProvider]) -> None:
    providers.append(provider := DockerProvider(egress=Egress(("localhost:3128",))))
    sandbox = await open_one(provider)
    # Nothing on this machine may be pulled, so the proxy itself stands for a registry: allowed, it answers what it is asked.
    assert "HTTPError: HTTP Error 403" in await says(sandbox, FETCH.format(url="http://localhost.example/"))
    env = "import os; print(os.environ['http_proxy'].split('/')[2].split(':')[0])"
    proxy = await says(sandbox, f'python3 -c "{env}"')
    tunnel = (
        "import os, socket; s = socket.create_connection((os.environ['http_proxy'].split('/')[2].split(':')[0], 3128), 10); "
        "s.sendall(b'CONNECT localhost:3128 HTTP/1.1\\r\\n\\r\\n'); print(s.recv(100).decode().split()[1])"
    )
    assert await says(sandbox, f'python3 -c "{tunnel}"') == "200"
    # Past the proxy there is nothing: not the internet, not the engine's gateways, not the host on this network, no names.
    gateway = proxy.rpartition(".")[0] + ".1"
    places = (("192.0.2.1", 443), ("172.17.0.1", 22), (gateway, 22), ("example.com", 80))
    asked = (says(sandbox, CONNECT.format(host=host, port=port)) for host, port in places)
    for said in await asyncio.gather(*asked):
        assert said, "it was tried"
        assert "connected" not in said
    assert await sandbox.hosts() == ("localhost.example:80 (refused)", "localhost:3128")
    await sandbox.close()


async def test_a_task_that_lists_its_hosts_reaches_them_alone_though_networks_are_open(
    providers: list[DockerProvider],
) -> None:
    providers.append(provider := DockerProvider())
    listing = await open_one(provider, SandboxLimits(network=True, hosts=("localhost",)))
    # The proxy itself stands for the listed host: what it answers comes from there, at a port of no list.
    tunnel = (
        "import os, socket; s = socket.create_connection((os.environ['http_proxy'].split('/')[2].split(':')[0], 3128), 10); "
        "s.sendall(b'CONNECT localhost:3128 HTTP/1.1\\r\\n\\r\\n'); print(s.recv(100).decode().split()[1])"
    )
    assert await says(listing, f'python3 -c "{tunnel}"') == "200"
    assert "HTTPError: HTTP Error 403" in await says(listing, FETCH.format(url="http://other.example/"))
    assert "connected" not in await says(listing, CONNECT.format(host="172.17.0.1", port=22))
    assert await listing.hosts() == ("localhost:3128", "other.example:80 (refused)")
    await listing.close()
    assert await (await open_one(provider)).hosts() is None  # another task's network stays open


async def test_containers_with_an_open_network_cannot_reach_each_other(providers: list[DockerProvider]) -> None:
    providers.append(provider := DockerProvider())
    one, other = await asyncio.gather(open_one(provider), open_one(provider))
    own = 'python3 -c "import socket; print(socket.gethostbyname(socket.gethostname()))"'
    answers = "python3 -c \"import socket; socket.create_connection(('127.0.0.1', 8714), 9)\""
    up = f"until {answers} 2> /dev/null; do sleep 0.1; done"
    address = await says(one, f"python3 -m http.server 8714 > /dev/null 2>&1 & {up}; {own}")
    assert "connected" in await says(one, CONNECT.format(host=address, port=8714))
    assert "connected" not in await says(other, CONNECT.format(host=address, port=8714))
    assert await one.hosts() is None
    await asyncio.gather(one.close(), other.close())


async def test_a_sandbox_without_a_network_reached_for_nothing(providers: list[DockerProvider]) -> None:
    providers.append(provider := DockerProvider(network="none"))
    sandbox = await open_one(provider)
    assert await sandbox.hosts() == ()


async def test_a_runtime_that_the_engine_does_not_have_is_a_prerequisite_with_its_fix(
    providers: list[DockerProvider],
) -> None:
    providers.append(provider := DockerProvider(runtime="no-such-runtime"))
    with pytest.raises(
        PrerequisiteError, match=r"has no runtime 'no-such-runtime' .*unset \[sandbox\] runtime"
    ) as error:
        await open_one(provider)
    assert error.value.exit_code == 3


# ---- the engine's disk ------------------------------------------------------------------------------------------------

GIB = 1 << 30


@pytest.mark.parametrize(
    ("free", "short"),
    [
        (Free(50 * GIB, 10**6, 100 * GIB, 10**7), ""),
        (Free(3 * GIB, 10**6, 100 * GIB, 10**7), "space"),
        (Free(3 * GIB, 10**6, 20 * GIB, 10**7), ""),  # a small disk has a small floor
        (Free(50 * GIB, 10**5, 100 * GIB, 10**7), "inodes"),
        (Free(50 * GIB, 0, 100 * GIB, 0), ""),  # a file system that makes inodes as needed
    ],
)
def test_what_runs_out_is_known(free: Free, short: str) -> None:
    assert free.short() == short


def test_who_wrote_most_is_ended_but_nobody_for_little() -> None:
    assert offender({"a": 100 << 20, "b": 200 << 20}, "space") == "b"
    assert offender({"a": 1 << 20}, "space") is None
    assert offender({"a": 9_000}, "inodes") is None
    assert offender({"a": 12_000}, "inodes") == "a"
    assert offender({}, "space") is None


async def test_a_sandbox_that_fills_the_disk_is_ended_and_its_neighbour_is_not(providers: list[DockerProvider]) -> None:
    providers.append(provider := DockerProvider())
    filler, neighbour = await asyncio.gather(
        open_one(provider, SandboxLimits(memory_mb=256)), open_one(provider, SandboxLimits(memory_mb=256))
    )
    # The disk of this machine is not to be filled: it is said to be nearly full, and what was written is measured.
    low = Free(GIB, 10**6, 100 * GIB, 10**7)
    watch = DiskWatch(lambda: low, provider._written, provider._end, every=0.2)
    assert (await says(filler, "head -c 150000000 /dev/zero > /app/filler; sync; echo written")) == "written"
    work = asyncio.create_task(filler.exec("sleep 100", timeout=100))
    watch.start()
    said = r"was ended: it wrote \d+ MB, more than any other, and the engine's disk has 1,024 MB left"
    with pytest.raises(SandboxError, match=said):
        await asyncio.wait_for(work, 60)
    await watch.close()
    assert await says(neighbour, "echo unharmed") == "unharmed"
    with pytest.raises(SandboxError, match="was ended"):
        await filler.read("/app/filler", max_bytes=1)
