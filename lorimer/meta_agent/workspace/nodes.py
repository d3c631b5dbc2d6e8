"""The nodes of a Ray cluster, each of which runs some of a study's trials on its own engine. This file alone knows Ray."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorimer import __version__
from lorimer.benchmarks.base import Task
from lorimer.benchmarks.canary import MOST_CANARIES, canaries
from lorimer.config.settings import Config
from lorimer.errors import EngineOutage, InternalError, LorimerError, PrerequisiteError, UserError
from lorimer.meta_agent.workspace.engines import open_provider, room_for_trials
from lorimer.meta_agent.workspace.named import listed
from lorimer.meta_agent.workspace.suite import load_suite
from lorimer.sandbox.base import ImageSpec, SandboxProvider
from lorimer.sandbox.hosts import AGAIN_SECONDS, Host, Hosts
from lorimer.sandbox.pool import Pool
from lorimer.task_agent.cluster.messages import Said, Told
from lorimer.task_agent.cluster.node import Link, Node, WorkerLost
from lorimer.task_agent.cluster.worker import NodeResources, TaskModelSpec, Worker

OPEN_SECONDS = 120.0
"""How long a node may take to start a worker: a cold one reads all of lorimer from a disk that others use too."""

JOINS = 6
"""A cluster that is there takes some seconds to be joined, so it may take this many times [executor] seconds."""

CALLS_AT_ONCE = 10_000
"""Calls of one worker that may be under way, most of which wait for a trial: far more than a node runs trials."""

INSTALL = "pip install 'lorimer[ray]', here and on every node"


@dataclass(frozen=True)
class WorkerSpec:
    """What a worker is started with."""

    version: str
    """This lorimer's: both halves of a conversation are of one version."""
    root: str
    """The workspace's folder."""
    settings: str
    """What `said_to_nodes` leaves of lorimer.toml, as JSON."""
    model: TaskModelSpec | None


class RayWorker:
    """The actor that a node runs: a `Worker`, and nothing that a study decides.

    One for each node, not one for each trial: a process takes 95 MB of its own, a trial 2.
    """

    def __init__(self) -> None:
        self._worker: Worker | None = None

    async def open(self, spec: WorkerSpec) -> LorimerError | None:
        """Open the sandboxes of this node; why that cannot be, where it cannot."""
        if spec.version != __version__:
            return PrerequisiteError(
                f"it has lorimer {__version__}, and the study runs on {spec.version}",
                "install one version everywhere",
            )
        try:
            config = Config.model_validate_json(spec.settings)
            world = await _world(Path(spec.root), config)
        except LorimerError as error:
            return error
        self._worker = Worker(world, spec.model)
        return None

    async def do(self, name: str, *args: Any) -> Any:
        """What a method of the worker returns, or the error that it raises: Ray would write another around it."""
        if self._worker is None:
            raise InternalError("a worker is used before it is opened")
        try:
            found = _METHODS[name](self._worker, *args)
            return await found if asyncio.iscoroutine(found) else found
        except LorimerError as error:
            return error


_METHODS: Mapping[str, Callable[..., Any]] = {
    "run": Worker.run,
    "image": Worker.image,
    "take": lambda worker: worker.outbox.take(),
    "tell": Worker.tell,
    "answers": Worker.answers,
    "reap": Worker.reap,
    "close": Worker.close,
}


async def _world(root: Path, config: Config) -> NodeResources:
    room_for_trials(config)
    provider: SandboxProvider = Pool(await open_provider(config), jails=config.sandbox.warm)
    passed = {name: os.environ[name] for name in config.verifier.pass_env if name in os.environ}
    prices = {model.id: model.price for model in listed(config)}
    price = prices.get(config.models.task, lambda tokens_in, tokens_out: None)
    return NodeResources(provider, _tasks(root, config), price, passed)


def _tasks(root: Path, config: Config) -> Callable[[str], Task]:
    """Finds a task of the benchmark, which is read once, or a canary."""

    @functools.cache
    def usual() -> dict[str, Task]:
        return {task.id: task for task in (*load_suite(root, config).tasks, *canaries(MOST_CANARIES))}

    def find(name: str) -> Task:
        found = usual().get(name) or next(iter(load_suite(root, config, (name,)).tasks), None)
        if found is None:
            raise UserError(f"{config.benchmark.source} has no such task")
        return found

    return find


class RayLink(Link):
    """The way to a worker, by Ray's calls of an actor."""

    def __init__(self, actor: Any, name: str) -> None:
        self._actor, self._name = actor, name

    async def open(self, spec: WorkerSpec) -> None:
        """Raises EngineOutage, PrerequisiteError, and what opening the sandboxes there raises."""
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                error = await self._raised(self._actor.open.remote(spec))
        except TimeoutError:
            raise EngineOutage(f"no worker was ready in {OPEN_SECONDS:.0f} s") from None
        if error is not None:
            raise error

    async def run(self, written: str) -> None:
        await self._do("run", written)

    async def image(self, spec: ImageSpec) -> int | None:
        size: int | None = await self._do("image", spec)
        return size

    async def take(self) -> list[Said]:
        said: list[Said] = await self._do("take")
        return said

    async def tell(self, events: Sequence[Told]) -> None:
        await self._do("tell", list(events))

    async def answers(self) -> None:
        await self._do("answers")

    async def reap(self) -> int:
        removed: int = await self._do("reap")
        return removed

    async def close(self) -> None:
        import ray

        with suppress(LorimerError, TimeoutError):
            async with asyncio.timeout(OPEN_SECONDS):
                await self._do("close")
        with suppress(Exception):  # the cluster may be gone
            ray.kill(self._actor)

    async def _do(self, name: str, *args: Any) -> Any:
        said = await self._raised(self._actor.do.remote(name, *args))
        if isinstance(said, LorimerError):
            raise said
        return said

    async def _raised(self, reference: Any) -> Any:
        """What a call returns. Raises WorkerLost where the actor is gone, InternalError for a bug in it."""
        from ray.exceptions import RayError, RayTaskError

        try:
            return await reference
        except RayTaskError as error:
            raise InternalError(f"{self._name}: {_last_line(error)}") from error
        except RayError as error:
            raise WorkerLost(f"its worker is gone: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _last_line(error: BaseException) -> str:
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)


class Nodes:
    """The nodes of the cluster that this process is connected to, as hosts of trials. One that joins later takes trials too."""

    def __init__(self, spec: WorkerSpec, passed: Mapping[str, str], most: int, tell: Callable[[str], None]) -> None:
        self.hosts: Hosts[Node] = Hosts((), most, OPEN_SECONDS, tell)
        self._spec, self._passed, self._tell = spec, passed, tell
        self._known: set[str] = set()
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Raises PrerequisiteError where no node can run a trial."""
        self._added(await asyncio.to_thread(_alive))
        try:
            await self.hosts.look()
        except EngineOutage as error:
            raise PrerequisiteError(
                f"no node of the Ray cluster can run trials: {error}", "see docs/machines.md"
            ) from None
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """End the workers and leave the cluster."""
        import ray

        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self.hosts.close()
        await asyncio.to_thread(ray.shutdown)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(AGAIN_SECONDS)
            try:
                nodes = await asyncio.to_thread(_alive)
            except Exception:  # noqa: BLE001, S112 - Ray raises many kinds of them
                continue  # A cluster that does not answer adds no node; its nodes say that they are lost.
            for name in self._added(nodes):
                self._tell(f"{name} has joined the cluster and takes trials")

    def _added(self, nodes: Sequence[Mapping[str, Any]]) -> list[str]:
        """Add those nodes that are new, and say which these are."""
        found = []
        for node in nodes:
            if node["NodeID"] not in self._known:
                self._known.add(node["NodeID"])
                name = f"node {node['NodeManagerAddress']} ({node['NodeID'][:6]})"
                share = max(1, int(node["Resources"].get("CPU", 1)))
                self.hosts.add(Host(name, Node(self._opener(node["NodeID"], name)), share))
                found.append(name)
        return found

    def _opener(self, node: str, name: str) -> Callable[[], Coroutine[Any, Any, Link]]:
        async def open_link() -> Link:
            if all(other["NodeID"] != node for other in await asyncio.to_thread(_alive)):
                raise EngineOutage("it has left the cluster")
            link = RayLink(await asyncio.to_thread(_started, node, dict(self._passed)), name)
            try:
                await link.open(self._spec)
            except BaseException:
                await link.close()
                raise
            return link

        return open_link


async def open_nodes(
    root: Path,
    config: Config,
    model: TaskModelSpec | None,
    passed: Mapping[str, str],
    tell: Callable[[str], None] = lambda line: None,
) -> Nodes:
    """Connect to the cluster of [executor] and start a worker on each of its nodes; the caller closes them.

    Args:
        config: with the sandbox and the jail that were chosen.
        passed: the values of `[verifier] pass_env`; they go to the workers in their environment alone.
        tell: told in one line of nodes that come and go.

    Raises PrerequisiteError.
    """
    await _connect(config.executor.ray_address, config.executor.seconds)
    # A node keeps no study: what it needs of the workspace is the benchmark.
    spec = WorkerSpec(__version__, str(await asyncio.to_thread(root.resolve)), said_to_nodes(config), model)
    nodes = Nodes(spec, passed, config.sandbox.concurrency, tell)
    try:
        await nodes.open()
    except BaseException:
        await nodes.close()
        raise
    return nodes


def said_to_nodes(config: Config) -> str:
    """The settings as JSON, without those that no trial needs and that may hold a password: Ray keeps what it passes on."""
    return config.model_dump_json(exclude={"store", "notify"})


async def _connect(address: str, seconds: float) -> None:
    try:
        import ray
    except ImportError:
        raise PrerequisiteError("[executor] kind is 'ray', and Ray is not installed", INSTALL) from None
    # What it says would stand between the study's own lines. Its import has set another level.
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    connect = functools.partial(
        ray.init,
        address,
        namespace="lorimer",
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        configure_logging=False,
    )
    try:
        await _knock(address, seconds)
        # What nodes say of workers that were killed comes on the standard output whatever `log_to_driver` is, and would stand
        # in the middle of `--json`. Ray's own debugger keeps it back in this way; there is no other.
        ray._private.worker._worker_logs_enabled = False
        await _joined(connect, JOINS * seconds)
    except Exception as error:  # noqa: BLE001 - Ray raises many kinds of them
        raise PrerequisiteError(
            f"no Ray cluster answers at '{address}': {_first_line(error)}",
            "`ray start --head` starts one here, `ray start --address HOST:6379` adds a machine to it",
        ) from None


async def _joined(connect: Callable[[], object], seconds: float) -> None:
    """Do what connects, in a thread, where Ray leaves this process's signals alone.

    Nobody waits for that thread at the end: at an address where something else listens Ray waits for minutes,
    and hears of nothing.

    Raises what `connect` does, and OSError where it does not end.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Exception | None] = loop.create_future()

    def settle(error: Exception | None) -> None:
        if not ended.done():
            ended.set_result(error)

    def work() -> None:
        error = None
        try:
            connect()
        except Exception as raised:  # noqa: BLE001 - Ray raises many kinds of them
            error = raised
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=work, name="lorimer-ray", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            error = await ended
    except TimeoutError:
        raise OSError(f"what listens there did not answer as a cluster does, in {seconds:g} s") from None
    if error is not None:
        raise error


async def _knock(address: str, seconds: float) -> None:
    """Raises OSError where nobody listens at an address; Ray itself would ask for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return  # `auto`, which Ray looks up on this machine
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, int(port))
    except TimeoutError:
        raise OSError(f"no answer in {seconds:g} s") from None
    writer.close()


def _alive() -> list[dict[str, Any]]:
    import ray

    nodes: Callable[[], list[dict[str, Any]]] = ray.nodes
    return [node for node in nodes() if node["Alive"]]


def _started(node: str, passed: dict[str, str]) -> Any:
    """A worker on a node."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    options: dict[str, Any] = {
        "num_cpus": 0,
        "max_concurrency": CALLS_AT_ONCE,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False),
    }
    if passed:
        options["runtime_env"] = {"env_vars": passed}
    return ray.remote(RayWorker).options(**options).remote()
