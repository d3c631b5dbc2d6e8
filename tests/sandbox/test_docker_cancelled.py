"""What an engine was making for a caller that was cancelled is gone once the provider is closed. No engine needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from lorimer.sandbox.base import Group, Network, Service
from lorimer.sandbox.docker.provider import DockerProvider


class Slow:
    """A client of an engine that makes each thing when it is let go on, whoever still waits for it."""

    def __init__(self) -> None:
        self.asked, self.may_go_on, self.made = threading.Event(), threading.Event(), threading.Event()
        self.there: set[str] = set()

    def _make(self, name: str) -> dict[str, str]:
        self.asked.set()
        self.may_go_on.wait()
        self.there.add(name)
        self.made.set()
        return {"Id": name}

    def create_network(self, name: str, **_: Any) -> dict[str, str]:
        return self._make(name)

    def create_volume(self, name: str, **_: Any) -> dict[str, str]:
        return self._make(name)

    def create_container_from_config(self, config: dict[str, Any], name: str) -> dict[str, str]:
        return self._make(name)

    def commit(self, container: str, **_: Any) -> dict[str, str]:
        return self._make(f"snapshot of {container}")

    def _remove(self, name: str, **_: Any) -> None:
        self.there.discard(name)

    remove_network = remove_volume = remove_container = remove_image = _remove

    def close(self) -> None:
        return


async def no_image() -> str:
    raise AssertionError("the network comes first")


def with_volume() -> Group:
    return Group(Service("main", None, volumes=(("data", "/data"),)))


def with_network() -> Group:
    return Group(Service("main", None), networks=(Network("default"),))


STARTS: dict[str, Callable[[DockerProvider], Coroutine[Any, Any, Any]]] = {
    "container": lambda provider: provider._create({}),
    "open network": lambda provider: provider._networks.way({}, no_image),
    "network of a proxy": lambda provider: provider._networks.way({}, no_image, ["example.org"]),
    "network of a group": lambda provider: provider._groups.make(with_network(), {}, open_=True, runtime=None),
    "volume of a group": lambda provider: provider._groups.make(with_volume(), {}, open_=True, runtime=None),
    "snapshot": lambda provider: provider._snapshots.take("abc"),
}


@pytest.mark.parametrize("what", STARTS)
async def test_what_was_being_made_for_a_caller_that_was_cancelled_is_removed(what: str) -> None:
    provider, client = DockerProvider(), Slow()
    given: Any = client
    provider._engine._client = given
    start = asyncio.create_task(STARTS[what](provider))
    await asyncio.to_thread(client.asked.wait)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    client.may_go_on.set()
    await provider.close()
    await asyncio.to_thread(client.made.wait)
    assert client.there == set()
