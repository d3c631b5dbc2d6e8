"""BuildKit, for Dockerfiles that the engine's classic builder cannot build.

It is part of every engine since 18.09, but speaks gRPC, which the SDK does not. The `docker` command does: up to version 22 by
itself, later with its plugin buildx. So a build that needs BuildKit is a child process; all else stays with the Engine API.
Podman's engine builds such Dockerfiles by the API as they are.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lorimer.errors import ImageError
from lorimer.keys import child_environment
from lorimer.sandbox.docker.engine import LOCAL_SOCKET, version_of
from lorimer.sandbox.docker.image.dockerfile import HEREDOC, Need, buildkit_needs, without_syntax

INSTALL = "install the docker command's plugin buildx (package docker-buildx, or docker-buildx-plugin of Docker's own packages)"
OWN_LANGUAGE = b"lorimer: the language of the line `# syntax=` cannot be fetched, so the engine's own is taken\n"
PODMAN_HEREDOC = (4, 8)
"""The first Podman whose builder knows here-documents. 4.3.1 takes their first line for a command; it knows modes and mounts."""
_LOOK_SECONDS = 20
_END_SECONDS = 10.0
"""How long a build that is ended may take to tell the engine so."""
_ERROR = re.compile(r"(ERROR|error): |failed to solve")


@dataclass(frozen=True)
class BuildKit:
    """What builds Dockerfiles that need it."""

    command: str = ""
    """The path of a `docker` command that speaks with BuildKit; empty where there is none."""
    engine: str = ""
    """The version of the engine; empty where none answered."""
    podman: bool = False
    """The engine is Podman's, whose API builds them as they are."""

    @classmethod
    def here(cls, base_url: str | None = None) -> BuildKit:
        """What this machine has. Takes about a tenth of a second; never raises."""
        name, engine = version_of(base_url)
        return cls(find_command(), engine, name.startswith("Podman"))

    def lacks(self, needs: tuple[Need, ...]) -> tuple[Need, str] | None:
        """The first thing that cannot be built here, and what is missing and helps, as a clause; `None`: all can."""
        if not self.engine:
            return None  # without an engine nothing is built, and it is another's to say so
        return next(((need, why) for need in needs if (why := self._lacks(need))), None)

    def _lacks(self, need: Need) -> str:
        if self.podman:
            too_old = need.what == HEREDOC and _version(self.engine) < PODMAN_HEREDOC
            least = ".".join(map(str, PODMAN_HEREDOC))
            return f"needs Podman {least} or newer, and this one is {self.engine}" if too_old else ""
        if not self.command:
            return f"needs BuildKit, which no docker command here can use; {INSTALL}"
        if _version(self.engine) < (need.engine, 0):
            fix = "a first line `# syntax=docker/dockerfile:1` lets it fetch a newer one where it has a network"
            return f"needs the BuildKit of Docker Engine {need.engine} or newer, and this one is {self.engine}; {fix}"
        return ""


def _version(said: str) -> tuple[float, float]:
    """Major and minor; of a version that is no number, such as a developer's, the newest."""
    numbers = re.match(r"(\d+)\.(\d+)", said)
    return (float(numbers[1]), float(numbers[2])) if numbers is not None else (math.inf, math.inf)


def find_command(path: str | None = None) -> str:
    """The first `docker` command of the PATH that can build with BuildKit, not only the first; empty where none can."""
    for folder in (os.environ.get("PATH", "") if path is None else path).split(os.pathsep):
        found = shutil.which("docker", path=folder) if folder else None
        # Podman's own `docker` would build beside the engine.
        if found and (_says(found, "--version") or "").startswith("Docker version") and _says(found, "build", "--help"):
            return found
    return ""


def _says(*words: str) -> str | None:
    """What a command prints; `None` where it fails. One that lacks its plugin fails even at its help."""
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=_LOOK_SECONDS,
            env=child_environment({"DOCKER_BUILDKIT": "1"}),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


async def build(
    here: BuildKit,
    base_url: str | None,
    context: Path,
    options: Mapping[str, str | Mapping[str, str] | None],
    take: Callable[[bytes], None],
    timeout: float,
) -> None:
    """Build an image by BuildKit.

    Where the language that a `# syntax=` line names cannot be fetched, the engine's own is taken, if it knows all that is needed.

    Args:
        here: what this machine has, a command among it.
        base_url: the engine's address, if not from the environment.
        context: the folder; its `.dockerignore` holds.
        options: `tag`, `dockerfile`, `target`, and `labels` and `buildargs` by name.
        take: is given what the build prints.
        timeout: seconds.

    Raises TimeoutError; ImageError with the last words of a build that fails.
    """
    dockerfile, until = context / str(options["dockerfile"]), time.monotonic() + timeout
    try:
        await _build(here.command, base_url, context, dockerfile, options, take, timeout)
    except ImageError as error:
        text = dockerfile.read_text("utf-8", "replace")
        plain = without_syntax(text)
        if plain == text or "docker/dockerfile" not in str(error) or here.lacks(buildkit_needs(plain)) is not None:
            raise
        take(OWN_LANGUAGE)
        with tempfile.TemporaryDirectory(prefix="lorimer-dockerfile-") as folder:
            changed = Path(folder, "Dockerfile")
            await asyncio.to_thread(changed.write_text, plain, "utf-8")
            await _build(here.command, base_url, context, changed, options, take, until - time.monotonic())


async def _build(
    command: str,
    base_url: str | None,
    context: Path,
    dockerfile: Path,
    options: Mapping[str, str | Mapping[str, str] | None],
    take: Callable[[bytes], None],
    timeout: float,
) -> None:
    words = [command, "build", "--progress=plain", "--tag", str(options["tag"]), "--file", str(dockerfile)]
    for key, flag in (("labels", "--label"), ("buildargs", "--build-arg")):
        pairs = options.get(key) or {}
        assert isinstance(pairs, Mapping)
        words += [word for name, value in pairs.items() for word in (flag, f"{name}={value}")]
    if options.get("target"):
        words += ["--target", str(options["target"])]
    env = child_environment({"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"})
    env["DOCKER_HOST"] = base_url or env.get("DOCKER_HOST") or LOCAL_SOCKET  # not the engine of some context
    # A session of its own: the plugin is a child of the command, and both must end.
    child = await asyncio.create_subprocess_exec(
        *words,
        str(context),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
        start_new_session=True,
    )
    said = b""
    try:
        async with asyncio.timeout(timeout):
            assert child.stdout is not None
            while data := await child.stdout.read(64 << 10):
                take(data)
                said = (said + data)[-(16 << 10) :]
            code = await child.wait()
    finally:
        await _end(child)
    if code:
        raise ImageError(_last_words(said.decode("utf-8", "replace")) or f"{command} ended with exit code {code}")


async def _end(child: asyncio.subprocess.Process) -> None:
    """End a child that still runs: with its connection gone the engine ends the build too."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.returncode is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(TimeoutError):
            await asyncio.wait_for(child.wait(), _END_SECONDS)


def _last_words(said: str) -> str:
    """The line that says why: the last that names an error, else the last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    named = [line for line in lines if _ERROR.match(line)]
    return re.sub(r"^(ERROR|error): ", "", (named or lines or [""])[-1])
