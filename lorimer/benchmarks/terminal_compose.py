"""The compose file of a Terminal-Bench 1 task, where it describes the one container `client` in the usual way.

Everything else that a compose file can say (more services, ports, privileges, …) is refused by name: a task without it would
be another task.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lorimer.benchmarks import _yaml
from lorimer.errors import TaskError
from lorimer.sandbox.base import PulledImage

TEST_DIR = "/tests"
"""Where Terminal-Bench 1 puts run-tests.sh and the content of tests/."""

_LOCAL = "T_BENCH_TASK_DOCKER_CLIENT_IMAGE_NAME"
_VARIABLES = {
    "T_BENCH_TEST_DIR": TEST_DIR,
    "T_BENCH_CONTAINER_LOGS_PATH": "/logs",
    "T_BENCH_CONTAINER_AGENT_LOGS_PATH": "/agent-logs",
    "T_BENCH_TASK_LOGS_PATH": "./logs",
    "T_BENCH_TASK_AGENT_LOGS_PATH": "./agent-logs",
    "T_BENCH_TASK_DOCKER_CLIENT_CONTAINER_NAME": "client",
    "T_BENCH_TASK_DOCKER_NAME_PREFIX": "client",
    _LOCAL: "client",
}
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::?-([^}]*))?\}|(\w+))")
_LOGS = ("/logs", "/agent-logs")
_IDLE = {"sleep infinity", "tail -f /dev/null"}
_SHELLS = {"sh", "bash", "/bin/sh", "/bin/bash"}


@dataclass(frozen=True)
class Client:
    """The task's container."""

    image: PulledImage | None = None
    """`None`: built from `dockerfile` in `context`."""
    context: str = "."
    """Relative to the task's folder."""
    dockerfile: str = "Dockerfile"
    """Relative to `context`."""
    env: Mapping[str, str] = field(default_factory=lambda: {"TEST_DIR": TEST_DIR})
    workdir: str | None = None


def read_compose(task: str, name: str, text: str) -> Client:
    """The container that a compose file describes. Raises TaskError by the key of what is not supported."""

    def refuse(key: str, problem: str = "is not supported") -> TaskError:
        return TaskError(task, f"{name}: {key}", problem)

    def table(key: str, value: object) -> dict[str, Any]:
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value):
            raise refuse(key, "is not a mapping of names to values")
        return value

    file = _yaml.mapping(task, name, text)
    for key in file:
        if key not in ("services", "version", "name"):
            raise refuse(key)
    services = table("services", file.get("services"))
    for service in services:
        if service != "client":
            raise refuse(f"services.{service}", "is not supported; lorimer runs the one container `client`")
    if not services:
        raise refuse("services", "has no client")
    client = table("services.client", services["client"])
    known = ("build", "image", "container_name", "command", "environment", "volumes", "working_dir")
    for key in client:
        if key not in known:
            raise refuse(f"services.client.{key}")

    def fill(key: str, value: object) -> str:
        """Text with its variables put in."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise refuse(key, "is not text")

        def one(match: re.Match[str]) -> str:
            variable, default = match[1] or match[3], match[2]
            if variable is None:
                return "$"
            if variable in _VARIABLES:
                return _VARIABLES[variable]
            if default is None:
                raise refuse(key, f"needs the variable {variable}, which Terminal-Bench does not set")
            return default

        return _VARIABLE.sub(one, str(value))

    if "command" in client and not _idle(client["command"]):
        raise refuse("services.client.command", "is not supported; only one that waits is, such as `sleep infinity`")
    for at, volume in enumerate(_list(client.get("volumes"))):
        key = f"services.client.volumes.{at}"
        if not isinstance(volume, str) or fill(key, volume).split(":")[1:2] not in [[path] for path in _LOGS]:
            raise refuse(key, "is not supported; only the two volumes of logs are")
    env = {"TEST_DIR": TEST_DIR} | _environment(client.get("environment"), fill, refuse)
    workdir = None
    if client.get("working_dir") is not None:
        workdir = fill("services.client.working_dir", client["working_dir"])
        if not workdir.startswith("/"):
            raise refuse("services.client.working_dir", "must be an absolute path")
    build = client.get("build")
    if build is None:
        image = client.get("image")
        if image is None or (isinstance(image, str) and _LOCAL in image):
            raise refuse("services.client.build", "is missing, and `image` names none to pull")
        return Client(PulledImage(fill("services.client.image", image)), env=env, workdir=workdir)
    if not isinstance(build, dict):
        build = {"context": build}
    for key in table("services.client.build", build):
        if key not in ("context", "dockerfile"):
            raise refuse(f"services.client.build.{key}")
    paths = {}
    for key, default in (("context", "."), ("dockerfile", "Dockerfile")):
        path = fill(f"services.client.build.{key}", build.get(key, default))
        paths[key] = posixpath.normpath(path)
        if posixpath.isabs(path) or paths[key].split("/")[0] == "..":
            raise refuse(f"services.client.build.{key}", f"{path!r} leaves the task's folder")
    return Client(None, paths["context"], paths["dockerfile"], env, workdir)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _idle(command: object) -> bool:
    """Whether it does nothing but keep the container alive, as lorimer's own command does."""
    words = command.split() if isinstance(command, str) else command
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return False
    if len(words) == 3 and words[0] in _SHELLS and words[1] == "-c":
        words = words[2].split()
    return " ".join(words) in _IDLE


def _environment(value: object, fill: Any, refuse: Any) -> dict[str, str]:
    key = "services.client.environment"
    if value is None:
        return {}
    if isinstance(value, list):
        pairs = [str(entry).partition("=") for entry in value]
        for name, equals, _ in pairs:
            if not equals:
                raise refuse(f"{key}.{name}", "would take its value from the host, which an agent must not see")
        value = {name: text for name, _, text in pairs}
    if not isinstance(value, dict):
        raise refuse(key, "is not a list or a mapping")
    for name, text in value.items():
        if text is None:
            raise refuse(f"{key}.{name}", "would take its value from the host, which an agent must not see")
    return {str(name): fill(f"{key}.{name}", text) for name, text in value.items()}
