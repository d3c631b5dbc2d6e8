"""What a task container is made with: the engine's creation request, from a task's limits and its image's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lorimer.sandbox.base import SandboxLimits, SandboxRequest

KEEP_ALIVE = ["/bin/sh", "-c", "while :; do tail -f /dev/null; done"]
"""PID 1, whatever the image's own command is. It waits for any child, so it also reaps what daemons leave behind; no
signal from inside the container can end it, as the kernel shields an init that has no handler. `tail`, as `sleep` is
what agents start, count and kill."""

BEHIND_ENTRYPOINT = ["sh", *KEEP_ALIVE[1:]]
"""The same as the arguments of an image's own ENTRYPOINT. Some look at the first word: it is the one that Harbor gives them."""

HANDOVER_SECONDS = 300.0
"""An image's ENTRYPOINT that has not handed over by then never will: a data base that is made anew takes a minute."""

LITTLE_LOG: dict[str, Any] = {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}}
"""A log that is kept for an error message, and cannot fill the host's disk."""

MAX_FILE_BYTES = 16 << 30
"""Default of the largest file a process may write, where the task states no storage: a stop to `yes > file`."""

MEMORY_SHARE = 0.5
"""The share of the engine's machine for a task that states no memory: a bound for bombs, not a ration."""

FIRST_TO_GO = 1000
"""Out-of-memory score: when the whole machine is out of memory, the kernel takes a sandbox, not lorimer or the engine."""


@dataclass(frozen=True)
class Way:
    """How one container is connected."""

    network: str
    """The engine's name or id of it; `none`."""
    env: Mapping[str, str] = field(default_factory=dict)
    proxy: str = ""
    """The container of its proxy."""
    closed: bool = False
    """The network leads nowhere."""


@dataclass(frozen=True)
class ImageFacts:
    """What an image's configuration says about the containers made of it."""

    id: str
    workdir: str = "/"
    user: str = ""
    env_names: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    search_path: str = ""
    """Its PATH."""
    digest: str = ""
    """The engine's id of its content. A container is made by it, so that a name which is given to another image meanwhile changes
    no trial unseen."""
    bytes: int = 0
    """The size of the image with all its layers, shared ones too."""


NO_RESOLVER: dict[str, Any] = {"Dns": ["127.0.0.1"], "DnsOptions": ["timeout:1", "attempts:1"]}
"""The engine's own resolver still knows the containers of a network, and asks nobody else; what it does not know is given up
after a second, not after twenty."""


def task_config(
    request: SandboxRequest,
    image: ImageFacts,
    *,
    labels: Mapping[str, str],
    way: Way,
    cpus: int,
    memory: int,
    runtime: str | None,
) -> dict[str, Any]:
    """The engine's creation request for a task container."""
    limits = request.limits
    host: dict[str, Any] = {
        "NetworkMode": way.network,
        "LogConfig": {"Type": "none", "Config": {}},  # json-file would fill the host's disk
        "Init": False,
        "PidsLimit": limits.pids,
        "OomScoreAdj": FIRST_TO_GO,
        "Ulimits": [_ulimit("fsize", _max_file_bytes(limits)), _ulimit("core", 0)],
    }
    if limits.cpus is not None:
        host["NanoCpus"] = int(min(limits.cpus, cpus) * 1e9)  # the engine refuses more than the machine has
    allowed = limits.memory_mb << 20 if limits.memory_mb is not None else int(memory * MEMORY_SHARE)
    if allowed:
        host["Memory"] = host["MemorySwap"] = allowed
    if way.proxy or way.closed:
        host |= NO_RESOLVER  # names are the proxy's to resolve, or nobody's; a resolver would be another way out
    if runtime:
        host["Runtime"] = runtime
    started = {"Entrypoint": KEEP_ALIVE, "Cmd": []}
    if image.entrypoint and request.entrypoint:
        # Its process 1 is the entrypoint, with no init above: what hands over by `exec` leaves process 1 to the command, and
        # some entrypoints refuse to be another process.
        started = {"Cmd": BEHIND_ENTRYPOINT}
        host["LogConfig"] = LITTLE_LOG
    return {
        "Image": image.digest or image.id,
        **started,
        "Env": [f"{name}={value}" for name, value in {**way.env, **request.env}.items()],
        "WorkingDir": request.workdir or image.workdir,  # the engine makes it if it is missing
        "Labels": dict(labels),
        "StopSignal": "SIGKILL",
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": host,
    }


def _max_file_bytes(limits: SandboxLimits) -> int:
    return limits.storage_mb << 20 if limits.storage_mb is not None else MAX_FILE_BYTES


def _ulimit(name: str, value: int) -> dict[str, Any]:
    return {"Name": name, "Soft": value, "Hard": value}
