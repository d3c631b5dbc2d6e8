"""One jail container: a process with no network, no privileges and one small place to write, on the end of a pipe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lorimer.errors import PrerequisiteError, SandboxError
from lorimer.sandbox.base import JailExit, JailRequest
from lorimer.sandbox.docker.attached import Attached
from lorimer.sandbox.docker.commands.stream import STDERR, Demux, LineBuffer, NotFramed
from lorimer.sandbox.docker.container import FIRST_TO_GO, ImageFacts
from lorimer.sandbox.docker.engine import Engine, EngineError, is_running
from lorimer.sandbox.streams import STDERR_LIMIT, HeadTail

NOBODY = "65534:65534"
OPEN_FILES = 1024
"""The usual soft limit of a login; a harness needs a handful."""

_POLL_SECONDS = 0.25
_LAG_SECONDS = 1.0
"""How long after the end of its streams the engine may still call a jail running; it is milliseconds. Less than the gateway waits
for last words: a jail that it had to kill would be the harness's fault."""
_LATE_SECONDS = 0.7
"""How long after the exit of a killed process the engine may still hear that it was for its memory. Together with `_LAG_SECONDS`
it is less than the gateway waits, too."""
_KILLED = 137


def bare_env(names: Sequence[str]) -> list[str]:
    """A jail's environment. A bare name removes a variable that the image (`names`) or the engine would set."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    env = {"PATH": path, "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}  # noqa: S108
    return [f"{name}={value}" for name, value in env.items()] + [n for n in (*names, "HOSTNAME") if n not in env]


def no_inodes() -> PrerequisiteError:
    """Podman's Docker socket knows no such option, at least in version 4.3."""
    return PrerequisiteError(
        "this engine, Podman's perhaps, cannot bound the number of files in a jail's /tmp (nr_inodes of a tmpfs)",
        'set DOCKER_HOST to a Docker Engine, or [sandbox] provider = "bubblewrap"',
    )


def jail_config(
    request: JailRequest, image: ImageFacts, *, labels: Mapping[str, str], cpus: int, runtime: str | None
) -> dict[str, Any]:
    """The engine's creation request for a jail."""
    memory = request.memory_mb << 20
    host: dict[str, Any] = {
        "NetworkMode": "none",
        "LogConfig": {"Type": "none", "Config": {}},
        "Init": False,
        "ReadonlyRootfs": True,
        "Tmpfs": {"/tmp": f"rw,nosuid,nodev,mode=1777,size={request.scratch_mb}m,nr_inodes={request.inodes}"},  # noqa: S108
        "IpcMode": "none",  # no /dev/shm, which would be a second place to write
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Memory": memory,
        "MemorySwap": memory,
        "NanoCpus": int(min(request.cpus, cpus) * 1e9),
        "PidsLimit": request.pids,
        "OomScoreAdj": FIRST_TO_GO,
        "Ulimits": [
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "msgqueue", "Soft": 0, "Hard": 0},  # /dev/mqueue would be another place to write
            {"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES},
            {"Name": "fsize", "Soft": request.scratch_mb << 20, "Hard": request.scratch_mb << 20},
        ],
        # The engine would copy the host's resolvers into a container, even into one without a network.
        "Dns": ["127.0.0.1"],
        "DnsSearch": ["."],
    }
    if runtime:
        host["Runtime"] = runtime
    return {
        "Image": image.id,
        "Entrypoint": list(request.argv[:1]),
        "Cmd": list(request.argv[1:]),
        "Env": bare_env(image.env_names),
        "Hostname": "jail",
        "User": NOBODY,
        "WorkingDir": "/tmp",  # noqa: S108
        "Labels": dict(labels),
        "StopSignal": "SIGKILL",
        "Healthcheck": {"Test": ["NONE"]},
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "OpenStdin": True,
        "StdinOnce": True,  # the host's end closes, the process reads the end of its stdin
        "HostConfig": host,
    }


class DockerJail:
    """A running jail; see `lorimer.sandbox.base.Jail`.

    The stream is read when the host asks for a line and not before, so a jail that floods its output blocks on its own
    pipe instead of filling the host's memory.
    """

    def __init__(self, engine: Engine, container: str, attached: Attached, discard: Callable[[str], None]) -> None:
        self._engine = engine
        self._container = container
        self._attached = attached
        self._discard = discard
        self._demux = Demux()
        self._lines = LineBuffer()
        self._stderr = HeadTail(STDERR_LIMIT)
        self._ended = False
        self._closed = False
        self._exit: JailExit | None = None
        self._reading = asyncio.Lock()

    @property
    def id(self) -> str:
        return self._container[:12]

    async def send(self, line: bytes) -> None:
        if not self._closed:
            await self._attached.write(line + b"\n")

    async def receive(self) -> bytes | None:
        if self._closed:
            return None
        async with self._reading:
            while (line := self._lines.pop()) is None:
                if self._ended or self._closed:
                    return self._lines.rest()
                await self._read_some()
            return line

    async def running(self) -> bool:
        return self._exit is None and not self._closed and await is_running(self._engine, self._container)

    async def wait(self) -> JailExit:
        cut_at = 0.0
        while self._exit is None:
            if self._closed:
                # Ended by our own hand before anyone asked how it was doing.
                self._exit = self._exit_of(_KILLED, out_of_memory=False)
                break
            state = await self._state()
            if state is None or state["Running"]:
                # Its stream ends a moment before the engine has noted its exit; before that, someone waits early.
                if state is not None and self._ended:
                    cut_at = cut_at or time.monotonic() + _LAG_SECONDS
                    if time.monotonic() > cut_at:
                        raise SandboxError(f"jail {self.id}: the connection to its process was lost")
                await asyncio.sleep(0.01 if self._ended else _POLL_SECONDS)
                continue
            async with self._reading:
                while not self._ended:  # what it said on stderr before it died
                    await self._read_some()
            code = int(state["ExitCode"])
            late = code == _KILLED and not state["OOMKilled"]
            self._exit = self._exit_of(code, out_of_memory=await self._heard_late() if late else state["OOMKilled"])
        return self._exit

    async def _heard_late(self) -> bool:
        """Whether the kernel killed the process for its memory. The engine may hear of that after it has noted the exit."""
        until = time.monotonic() + _LATE_SECONDS
        while time.monotonic() < until:
            await asyncio.sleep(0.05)
            state = await self._state()
            if state is None or state["OOMKilled"]:
                return state is not None
        return False

    async def _state(self) -> Mapping[str, Any] | None:
        """The engine's word on the process; `None` when the jail was closed meanwhile."""
        try:
            found = await self._engine.call(
                "inspect a jail", lambda client: client.inspect_container(self._container), quick=True
            )
        except EngineError:
            if self._closed:
                return None
            raise
        state: Mapping[str, Any] = found["State"]
        return state

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._attached.close()
            self._discard(self._container)

    def _exit_of(self, code: int, *, out_of_memory: bool) -> JailExit:
        return JailExit(code, out_of_memory, self._stderr.value(), self._stderr.dropped)

    async def _read_some(self) -> None:
        data = await self._attached.read()
        if not data:
            self._ended = True
            return
        try:
            pieces = self._demux.feed(data)
        except NotFramed as error:
            # Only the engine can write outside a frame: its words about a process that it could not run.
            self._stderr.feed(str(error).encode())
            self._ended = True
            return
        for stream, piece in pieces:
            if stream == STDERR:
                self._stderr.feed(piece)
            else:
                self._lines.feed(piece)
