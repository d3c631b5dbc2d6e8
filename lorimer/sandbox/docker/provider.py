"""Sandboxes and jails as containers of a Docker Engine.

Everything made carries the labels of `labels`, so that a later process finds what a dead one left. The parts:
`engine` (connection and threads), `images`, `sandbox` with `exec` and `files`, `jail`, `stream` (pure).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import uuid
from collections.abc import Awaitable, Coroutine, Mapping
from typing import Any, TypeVar

from lorimer.errors import EngineOutage, ImageError, NotRemoved, PrerequisiteError, SandboxError
from lorimer.sandbox.base import (
    Egress,
    Group,
    ImageSpec,
    Jail,
    JailRequest,
    Needs,
    Refusal,
    RemovedImages,
    Sandbox,
    SandboxRequest,
)
from lorimer.sandbox.docker.commands.ahead import IDLE_SECONDS
from lorimer.sandbox.docker.commands.entrypoint import Entrypoint
from lorimer.sandbox.docker.container import HANDOVER_SECONDS, ImageFacts, Way, task_config
from lorimer.sandbox.docker.disk import DiskWatch, free_of
from lorimer.sandbox.docker.engine import Engine, EngineError, NoAnswer
from lorimer.sandbox.docker.group import Groups, Made, add_group, group_way
from lorimer.sandbox.docker.image.buildkit import BuildKit
from lorimer.sandbox.docker.image.images import Images, python_image_missing
from lorimer.sandbox.docker.image.snapshot import Snapshots
from lorimer.sandbox.docker.jail import DockerJail, jail_config, no_inodes
from lorimer.sandbox.docker.labels import IMAGE, PID, is_orphan, owner_labels, process_identity
from lorimer.sandbox.docker.network import Networks, remove_network
from lorimer.sandbox.docker.patience import PATIENCE, Patience
from lorimer.sandbox.docker.sandbox import DockerSandbox
from lorimer.wording import first_names, quoted

T = TypeVar("T")

WORKERS = 12
"""Engine calls at once. The engine does about four container lifecycles a second however many run (2 cores); these are
for the calls that wait beside them."""


class DockerProvider:
    """`SandboxProvider` on a Docker Engine, found as every Docker tool finds it (`DOCKER_HOST`, else the local socket).

    Args:
        python_image: what a `PythonImage` is built from.
        jail_image: what jails run in; needs Python 3.10 or newer.
        network: `"none"` denies the network to tasks that ask for it; `None` lets the task decide.
        egress: where a network leads; `None` is an open one.
        runtime: the engine's runtime for containers (`runsc`); `None` is its default.
        base_url: the engine's address, if not from the environment.
        buildkit: what builds Dockerfiles that need it; `None` finds out what this machine has.
        handover: seconds that an image's ENTRYPOINT may take until it runs its arguments.
        idle: seconds after which a series of commands that has none has an exec made for its next one.
        patience: how long the engine may be silent.
    """

    def __init__(
        self,
        *,
        python_image: str = "python:3.12-slim",
        jail_image: str = "python:3.12-slim",
        network: str | None = None,
        egress: Egress | None = None,
        runtime: str | None = None,
        base_url: str | None = None,
        handover: float = HANDOVER_SECONDS,
        buildkit: BuildKit | None = None,
        idle: float = IDLE_SECONDS,
        patience: Patience = PATIENCE,
    ) -> None:
        if network not in (None, "none"):
            raise ValueError(f"network must be None or 'none', not {network!r}")
        self._engine = Engine(workers=WORKERS, base_url=base_url, patience=patience)
        self._images = Images(self._engine, python_image=python_image, buildkit=buildkit)
        self._jail_image = jail_image
        self._network = network
        self._runtime = runtime
        self._handover, self._idle = handover, idle
        self._networks = Networks(
            self._engine, egress, self._create, self._discard, lambda proxy: self._held.discard(proxy)
        )
        self._groups = Groups(self._engine, self.prepare, self._create, self._remove_held)
        self._sandboxes: dict[str, DockerSandbox] = {}
        self._watch = DiskWatch(lambda: free_of(self._engine.folder), self._written, self._end)
        self._snapshots = Snapshots(self._engine)
        self._held: set[str] = set()
        self._removals: set[asyncio.Task[None]] = set()
        self._stuck: set[str] = set()
        self._unanswered = False
        """The engine did not answer when a container was to be removed last."""
        self._why = ""
        """The engine's words when it last failed to remove one."""

    @property
    def name(self) -> str:
        return "docker"

    @property
    def jails(self) -> str:
        return self.name

    def refusal(self, needs: Needs) -> Refusal | None:
        """See SandboxProvider. An engine can serve all that a task may ask for."""
        return None

    async def prepare(self, spec: ImageSpec) -> str:
        return await self._images.prepare(spec)

    async def image_bytes(self, image: str) -> int | None:
        return (await self._images.facts(image)).bytes

    async def image_digest(self, image: str) -> str:
        return (await self._images.facts(image)).digest or image

    async def remove_images(self) -> RemovedImages:
        return await self._images.remove_labelled(IMAGE)

    async def acquire(self, request: SandboxRequest) -> Sandbox:
        await self._engine.connect()
        image = await self._images.facts(request.image)
        return await self._acquire(request, image)

    async def _acquire(self, request: SandboxRequest, image: ImageFacts, copy_of: str = "") -> Sandbox:
        """A running sandbox; `copy_of`: the container whose snapshot `image` is."""
        container, way, made = await self._make(request, image)
        if copy_of:
            self._snapshots.use(image.id, container)
        entrypoint = None
        if image.entrypoint and request.entrypoint:
            entrypoint = Entrypoint(self._engine, container, image.entrypoint, self._handover)

        async def branch(of: str) -> Sandbox:
            snapshot = await self._snapshots.take(of)
            try:
                # Alone: of the services around it there is no copy, and those there are belong to the agent's sandbox.
                alone = dataclasses.replace(request, group=None)
                return await self._acquire(alone, dataclasses.replace(image, id=snapshot, digest=snapshot), copy_of=of)
            except BaseException:
                self._remove_later(self._snapshots.forget(snapshot))
                raise

        async def hosts(of: str) -> tuple[str, ...] | None:
            return (
                None if way.network != "none" and not way.proxy and not way.closed else await self._networks.hosts(of)
            )

        async def start() -> Sandbox:
            if copy_of:
                await self._snapshots.copy_volumes(copy_of, container)
            if request.group is not None and made is not None:
                await self._start_in_group(container, request.group, made, entrypoint, proxied=bool(way.proxy))
            else:
                await self._engine.call("start a container", lambda client: client.start(container))
            workdir = request.workdir or image.workdir
            services = {} if made is None else made.containers
            sandbox = DockerSandbox(
                self._engine,
                container,
                workdir,
                image.user,
                self._discard,
                branch,
                hosts,
                services,
                entrypoint,
                search_path=request.env.get("PATH", image.search_path),
                idle=self._idle,
            )
            await sandbox.begin(again=bool(copy_of))
            self._sandboxes[container] = sandbox
            self._watch.start()
            return sandbox

        return await self._or_discard(container, start())

    async def _make(self, request: SandboxRequest, image: ImageFacts) -> tuple[str, Way, Made | None]:
        """A sandbox's container, its way out and the services around it, none of them started. All or none."""
        labels, way, group = owner_labels(request.owner), Way("none"), request.group
        leads_out = request.limits.network and self._network is None
        listed = request.limits.hosts
        if leads_out and (group is None or self._networks.guarded or listed is not None):
            way = await self._networks.way(labels, self._jail_image_id, listed)
        made: Made | None = None
        engine = self._engine
        try:
            if group is not None:
                open_ = leads_out and not way.proxy
                made = await self._groups.make(group, labels, open_=open_, runtime=self._runtime)
                way = way if way.proxy else group_way(group, made, closed=not open_)
            config = task_config(
                request, image, labels=labels, way=way, cpus=engine.cpus, memory=engine.memory, runtime=self._runtime
            )
            if group is not None and made is not None:
                add_group(config, group.main, made, on_its_network=not way.proxy)
            container = await self._create(config)
        except BaseException as error:
            self._remove_later(self._networks.close_way(way))
            if made is not None:
                self._remove_later(self._groups.remove(made))
            if isinstance(error, EngineError) and error.status == 404:
                self._images.forget(request.image)  # removed since it was prepared: the next attempt makes it again
            raise
        self._networks.give(container, way)
        if made is not None:
            self._groups.give(container, made)
            self._held -= set(made.containers.values())  # they go with the group, after this container
        return container, way, made

    async def _start_in_group(
        self, container: str, group: Group, made: Made, entrypoint: Entrypoint | None, *, proxied: bool
    ) -> None:
        """Start a container among its services. Raises SandboxError."""
        await self._groups.join(container, group.main, made, first_too=proxied)
        try:
            await self._groups.start(group, made, container, group.main.name)
        except SandboxError:
            if entrypoint is not None:
                await entrypoint.check()  # says more than that its container ended
            raise

    async def jail(self, request: JailRequest) -> Jail:
        await self._engine.connect()
        image = await self._jails_image()
        config = jail_config(
            request, image, labels=owner_labels(request.owner), cpus=self._engine.cpus, runtime=self._runtime
        )
        try:
            container = await self._create(config)
        except EngineError as error:
            raise (no_inodes() if "nr_inodes" in error.explanation else error) from None

        def attach_and_start(client: Any) -> Any:
            # Attached first: nothing that the process prints can be missed.
            stream = client.attach_socket(container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
            try:
                client.start(container)
            except BaseException:
                stream._response.close()
                raise
            return stream

        async def start() -> Jail:
            attached = await self._engine.attach("start a jail", attach_and_start)
            return DockerJail(self._engine, container, attached, self._discard)

        return await self._or_discard(container, start())

    async def _jails_image(self) -> ImageFacts:
        try:
            return await self._images.pulled(self._jail_image)
        except ImageError as error:
            raise python_image_missing(self._jail_image, "jail_image", error) from error

    async def _jail_image_id(self) -> str:
        return (await self._jails_image()).id

    async def _written(self, short: str) -> Mapping[str, int]:
        """What each open sandbox has written, in bytes or in files."""
        if short == "inodes":
            found = {}
            for container, sandbox in list(self._sandboxes.items()):
                with contextlib.suppress(SandboxError):
                    found[container] = len((await sandbox.changed_files()).paths)
            return found
        mine = {"label": f"{PID}={process_identity()}"}
        try:
            seen = await self._engine.call("look at sizes", lambda client: client.containers(size=True, filters=mine))
        except SandboxError:
            return {}  # asked again at the next look
        return {each["Id"]: int(each.get("SizeRw") or 0) for each in seen if each["Id"] in self._sandboxes}

    async def _end(self, container: str, why: str) -> None:
        sandbox = self._sandboxes.get(container)
        if sandbox is not None:
            sandbox.end(why)

    async def answers(self) -> None:
        await self._engine.answers()

    async def reap(self) -> int:
        containers = await self._engine.call(
            "list containers", lambda client: client.containers(all=True, filters={"label": PID}), quick=True
        )
        orphans = [found["Id"] for found in containers if is_orphan(found.get("Labels") or {})]
        images = await self._engine.call(
            "list images", lambda client: client.images(filters={"dangling": True, "label": IMAGE})
        )
        removed = 0
        left = dict[str, str]()
        for container in list(self._stuck):
            await self._remove_or_keep(container)
        for container in orphans:
            try:
                removed += await self._remove_container(container)
            except EngineError as error:
                if error.status is None:
                    raise
                # One that the engine cannot remove now must not keep the others; the next start tries again.
                left[container] = error.explanation
        networks = await self._engine.call(
            "list networks", lambda client: client.networks(filters={"label": PID}), quick=True
        )
        for network in networks:
            if is_orphan(network.get("Labels") or {}):
                removed += await remove_network(self._engine, network["Id"])
        removed += await self._groups.reap()
        for image in images:
            labels = image.get("Labels") or {}
            # A snapshot carries its container's labels: one of a process that lives is about to be used.
            if PID not in labels or is_orphan(labels):
                removed += await self._images.remove(image["Id"])
        if left:
            raise NotRemoved(f"removed {removed}; {_not_removed(left)}")
        return removed

    async def close(self) -> None:
        self._engine.leave()
        await self._watch.close()
        await self._images.close()
        self._engine.detach_all()
        await self._engine.made()  # for callers that were cancelled: it is there a moment later
        for container in list(self._held):
            self._discard(container)
        while self._removals:
            await asyncio.gather(*self._removals)
        for container in list(self._stuck):
            await self._remove_or_keep(container)
        await self._networks.close()
        await self._engine.close()
        if self._stuck and (self._engine.given_up or not self._unanswered):
            # Of an engine that was away before its user has heard; the next start removes them.
            raise NotRemoved(_not_removed(dict.fromkeys(sorted(self._stuck), self._why)) + "; `lorimer gc` tries again")

    async def _create(self, config: dict[str, Any]) -> str:
        """Create a container and remember it, even when the caller is cancelled meanwhile."""

        name = f"lorimer-{uuid.uuid4().hex}"

        async def create() -> str:
            try:
                made = await self._engine.call(
                    "create a container", lambda client: client.create_container_from_config(config, name=name)
                )
            except NoAnswer:
                self._stuck.add(name)  # it may have been made all the same, and then its name alone is known
                raise
            except EngineError as error:
                if self._runtime and "runtime" in error.explanation.lower():
                    raise PrerequisiteError(
                        f"the Docker Engine has no runtime '{self._runtime}' ({error.explanation})",
                        "install it and name it in the engine's daemon.json, or unset [sandbox] runtime",
                    ) from error
                raise
            self._held.add(container := str(made["Id"]))
            return container

        async def discard(container: str) -> None:
            self._discard(container)

        return await self._engine.make(create(), discard)

    async def _or_discard(self, container: str, starting: Awaitable[T]) -> T:
        try:
            return await starting
        except BaseException:
            self._discard(container)
            raise

    def _discard(self, container: str) -> None:
        """Kill and remove in the background, where nobody's cancellation can stop it; `close` awaits it."""
        self._sandboxes.pop(container, None)
        if container in self._held:
            self._held.discard(container)
            self._remove_later(self._remove_or_keep(container))

    def _remove_later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)

    async def _remove_or_keep(self, container: str) -> None:
        self._stuck.discard(container)
        try:
            await self._remove_container(container)
            await self._networks.forget(container)
            await self._groups.forget(container)
            await self._snapshots.forget(self._snapshots.of(container))
        except BaseException as error:
            self._stuck.add(container)  # `close` tries once more, also where this was cancelled
            if not isinstance(error, SandboxError):
                raise
            self._unanswered = isinstance(error, EngineOutage)
            self._why = error.explanation if isinstance(error, EngineError) else str(error)

    async def _remove_held(self, container: str) -> None:
        """Remove a container that is nobody's sandbox. Raises EngineError."""
        await self._remove_container(container)
        self._held.discard(container)

    async def _remove_container(self, container: str) -> bool:
        """Whether it was there to be removed. Raises EngineError."""
        for _ in range(2):
            try:
                await self._engine.call(
                    "remove a container", lambda client: client.remove_container(container, v=True, force=True)
                )
                return True
            except EngineError as error:
                if error.status == 404:  # gone
                    return False
                if error.status != 409:
                    raise
            # It ended by itself just before the engine would have killed it, and is removed at the second asking; or it is
            # being removed by someone else.
        return False


def _not_removed(left: Mapping[str, str]) -> str:
    """Names the containers that stay, with the engine's words for the first."""
    names = first_names([container[:12] for container in left], 3)
    words = quoted(next(iter(left.values())))
    return (
        f"docker: {len(left)} {'container' if len(left) == 1 else 'containers'} could not be removed ({names}): {words}"
    )
