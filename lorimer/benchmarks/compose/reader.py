"""docker-compose.yaml of a task: a documented subset, read here and run over the Engine API.

Not `docker compose`: its plugin is not in every distribution, it cannot be asked to leave out the log files, to bound processes
or to label everything it makes, and it would run whatever the file says. What is not in the subset is refused by name, before
anything is built: a task without it would be another task, and some of it (host paths, privileges) would let an agent out.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lorimer.benchmarks import _yaml
from lorimer.benchmarks.base import Start
from lorimer.benchmarks.compose.keys import DEFAULT_CAPS, NO_EFFECT, READ, UNSAFE
from lorimer.benchmarks.compose.values import ComposeValues, Rules, as_list
from lorimer.sandbox.base import (
    BuiltImage,
    Group,
    Health,
    ImageSpec,
    Network,
    PulledImage,
    SandboxLimits,
    Service,
)

LOGS = "lorimer-logs:"
"""What a variable for a log folder of the host begins with: nothing of the host is mounted, but services may share it."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LOG_PLACES = frozenset({"/logs", "/agent-logs", "/logs/verifier", "/logs/agent", "/logs/artifacts"})
_IDLE = {"sleep infinity", "tail -f /dev/null"}
_SHELLS = {"sh", "bash", "/bin/sh", "/bin/bash"}
_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")


@dataclass(frozen=True)
class Compose:
    """What a compose file says of a task."""

    image: ImageSpec | None
    """The image of the agent's container; `None` where the file names none."""
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    user: str | None = None
    cpus: float | None = None
    memory_mb: int | None = None
    start: Start = field(default_factory=Start)
    """How the agent's container starts."""
    group: Group | None = None
    """What is made beside and around the agent's container; `None`: nothing."""

    def limits(self, limits: SandboxLimits) -> SandboxLimits:
        """`limits`, with this file's where they say nothing."""
        return replace(
            limits,
            cpus=self.cpus if limits.cpus is None else limits.cpus,
            memory_mb=self.memory_mb if limits.memory_mb is None else limits.memory_mb,
        )


def read_compose(task: str, folder: Path, name: str, text: str, rules: Rules) -> Compose:
    """Read a compose file that lies in `folder`; `name` is how the user finds it. Raises TaskError by the key at fault."""
    return _Reader(task, folder, name, rules).read(_yaml.mapping(task, name, text))


class _Reader(ComposeValues):
    def __init__(self, task: str, folder: Path, name: str, rules: Rules) -> None:
        super().__init__(task, folder, name, rules)
        self._volumes: frozenset[str] = frozenset()
        self._networks: dict[str, bool] = {}
        self._bound: dict[Path, tuple[str, bool]] = {}

    def read(self, raw: Mapping[str, Any]) -> Compose:
        file = {str(key): value for key, value in raw.items() if not str(key).startswith("x-")}
        for key in file:
            if key not in ("services", "version", "name", "networks", "volumes"):
                self.refuse(key)
        services = self.table("services", self.filled("services", file.get("services")))
        if not services:
            self.refuse("services", f"has no {self._rules.main}")
        self._networks = self._read_networks(file.get("networks"))
        self._volumes = self._read_volumes(file.get("volumes"))
        if self._rules.main not in services and self._rules.main == "client":
            self.refuse("services", "has no client")
        read = {name: self._service(name, self.table(f"services.{name}", services[name])) for name in services}
        main, compose = read.pop(self._rules.main, (Service("main", None), Compose(None)))
        self._check_order({name: service for name, (service, _) in read.items()} | {self._rules.main: main})
        others = tuple(service for service, _ in read.values())
        for service in others:
            if service.image is None:
                self.refuse(f"services.{service.name}.image", "is missing, and there is no `build`")
        plain = replace(main, name="main", image=None, networks=(("default", ()),))
        if not others and plain == Service("main", None) and main.networks in ((), (("default", ()),)):
            return compose
        networks = tuple(Network(name, internal) for name, internal in self._networks.items())
        return replace(compose, group=Group(main, others, networks))

    # Services

    def _service(self, name: str, table: dict[str, Any]) -> tuple[Service, Compose]:
        base, is_main = f"services.{name}", name == self._rules.main
        if not _NAME.fullmatch(name):
            self.refuse(base, "is not a service's name")
        table = {key: value for key, value in table.items() if not key.startswith("x-") and value is not None}
        for key in table:
            if key in UNSAFE:
                self._refuse_unsafe(f"{base}.{key}", key, table[key])
            elif key not in NO_EFFECT and key not in READ:
                self.refuse(f"{base}.{key}")
        command, entrypoint = self.words(base, "command", table), self.words(base, "entrypoint", table)
        if is_main and not _idle([*(entrypoint or ()), *(command or ())]):
            key = "entrypoint" if entrypoint else "command"
            self.refuse(f"{base}.{key}", "is not supported; only one that waits is, such as `sleep infinity`")
        env = self.environment(base, table)
        workdir = self.text(f"{base}.working_dir", table.get("working_dir"))
        if workdir is not None and not workdir.startswith("/"):
            self.refuse(f"{base}.working_dir", "must be an absolute path")
        image = self._image(base, table, is_main=is_main)
        volumes, copies, tmpfs = self._mounts(base, name, table)
        cpus, memory = self._resources(base, table)
        user = self.text(f"{base}.user", table.get("user"))
        health = self._health(base, table.get("healthcheck"))
        alias = self.text(f"{base}.container_name", table.get("container_name"))
        service = Service(
            name=name,
            image=None if is_main else image,
            command=None if is_main else command,
            entrypoint=None if is_main else entrypoint,
            env=() if is_main else tuple(env.items()),
            workdir=None if is_main else workdir,
            user=None if is_main else user,
            health=health,
            after=self._after(base, table.get("depends_on")),
            networks=self._joined(base, table, () if alias in (None, name) else (alias or "",)),
            volumes=volumes,
            copies=copies,
            tmpfs=tmpfs,
            hostname=self.text(f"{base}.hostname", table.get("hostname")),
            read_only=self.flag(f"{base}.read_only", table.get("read_only")) and not is_main,
            restarts=not is_main and str(table.get("restart", "no")) not in ("no", "False"),
            shm_mb=None if table.get("shm_size") is None else self.megabytes(f"{base}.shm_size", table["shm_size"]),
            cap_drop=tuple(str(each) for each in as_list(table.get("cap_drop"))),
            limits=SandboxLimits() if is_main else SandboxLimits(cpus=cpus, memory_mb=memory),
        )
        # As in compose: an entrypoint in the file takes the place of the image's, a command is handed to it.
        start = Start(entrypoint is None, tuple(env.items()))
        return service, Compose(image, env, workdir, user, cpus, memory, start)

    def _refuse_unsafe(self, key: str, name: str, value: object) -> None:
        if value in (False, [], {}, ""):
            return
        if name == "network_mode" and value == "none":
            return
        if name == "security_opt" and all(str(each).startswith("no-new-privileges") for each in as_list(value)):
            return
        if name == "cap_add":
            extra = sorted({str(each).upper().removeprefix("CAP_") for each in as_list(value)} - DEFAULT_CAPS)
            if extra:
                self.refuse(key, f"is refused: {', '.join(extra)} could reach the host")
            return
        self.refuse(key, "is refused: it could reach the host")

    def _image(self, base: str, table: Mapping[str, Any], *, is_main: bool) -> ImageSpec | None:
        named = self.text(f"{base}.image", table.get("image"))
        build = table.get("build")
        if build is None:
            return None if named is None or named in self._rules.local_images else PulledImage(named)
        if not isinstance(build, dict):
            build = {"context": build}
        for key in self.table(f"{base}.build", build):
            if key not in ("context", "dockerfile", "args", "target"):
                self.refuse(f"{base}.build.{key}")
        paths = {}
        for key, default in (("context", "."), ("dockerfile", "Dockerfile")):
            path = self.text(f"{base}.build.{key}", build.get(key)) or default
            paths[key] = posixpath.normpath(path)
            if posixpath.isabs(path) or paths[key].split("/")[0] == "..":
                self.refuse(f"{base}.build.{key}", f"{path!r} leaves the task's folder")
        if not (self._folder / paths["context"] / paths["dockerfile"]).is_file():
            missing = posixpath.normpath(posixpath.join(paths["context"], paths["dockerfile"]))
            self.refuse(f"{base}.build", f"{missing} is missing")
        args = self.pairs(f"{base}.build.args", build.get("args"))
        target = self.text(f"{base}.build.target", build.get("target"))
        return BuiltImage(self._folder / paths["context"], paths["dockerfile"], args=tuple(args.items()), target=target)

    def _mounts(
        self, base: str, name: str, table: Mapping[str, Any]
    ) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[Path, str], ...], tuple[str, ...]]:
        """Named volumes and their places, files that are copied in, and places of a tmpfs."""
        volumes: list[tuple[str, str]] = []
        copies: list[tuple[Path, str]] = []
        tmpfs = [str(each).partition(":")[0] for each in as_list(table.get("tmpfs"))]
        for at, entry in enumerate(as_list(table.get("volumes"))):
            key = f"{base}.volumes.{at}"
            kind, source, target, read_only = self._mount(key, entry)
            if kind == "tmpfs":
                tmpfs.append(target)
            elif source.startswith(LOGS):
                if name != self._rules.main or target not in _LOG_PLACES:
                    volumes.append((source.removeprefix(LOGS), target))
            elif name == self._rules.main and target in _LOG_PLACES and kind == "bind":
                continue
            elif kind == "volume":
                if source:
                    volumes.append((source, target))
            else:
                copies.append((self._bind(key, name, source, read_only=read_only), target))
        return tuple(volumes), tuple(copies), tuple(tmpfs)

    def _mount(self, key: str, entry: object) -> tuple[str, str, str, bool]:
        """Kind, source, target and whether it is read-only."""
        if isinstance(entry, dict):
            for part in entry:
                if part not in (
                    "type",
                    "source",
                    "src",
                    "target",
                    "dst",
                    "destination",
                    "read_only",
                    "bind",
                    "volume",
                    "tmpfs",
                ):
                    self.refuse(f"{key}.{part}")
            kind = str(entry.get("type", "volume"))
            source = str(entry.get("source", entry.get("src", "")))
            target = str(entry.get("target", entry.get("dst", entry.get("destination", ""))))
            read_only = entry.get("read_only") is True
        else:
            text = str(entry)
            logs = text.startswith(LOGS)
            first, *rest = text.removeprefix(LOGS).split(":")
            source, target = (LOGS * logs + first, rest[0]) if rest else ("", first)
            read_only = "ro" in (rest[1].split(",") if len(rest) > 1 else ())
            kind = "bind" if source.startswith(("/", ".", "~")) else "volume"
        if kind not in ("volume", "bind", "tmpfs") or not target.startswith("/") or ".." in target.split("/"):
            self.refuse(key, "is no volume, bind or tmpfs at an absolute path")
        if kind == "volume" and source and not source.startswith(LOGS) and source not in self._volumes:
            self.refuse(key, f"{source!r} is not among the file's volumes")
        return kind, source, posixpath.normpath(target), read_only

    def _bind(self, key: str, name: str, source: str, *, read_only: bool) -> Path:
        """A file or folder beside the compose file; each service gets a copy of it."""
        if "docker.sock" in source or "containerd.sock" in source:
            self.refuse(key, "is refused: the engine's socket is the host itself")
        inside = posixpath.normpath(source)
        if source.startswith(("/", "~")) or inside.split("/")[0] == "..":
            self.refuse(key, f"is refused: {source!r} is a path of the host outside the task")
        if inside == "." or any(inside == each or inside.startswith(f"{each}/") for each in self._rules.hidden):
            self.refuse(key, f"is refused: {source!r} would show the agent how it is judged")
        path = self._folder / inside
        if not path.exists():
            self.refuse(key, f"{source} is missing")
        other, only_read = self._bound.get(path, (name, True))
        if other != name and not (read_only and only_read):
            self.refuse(key, f"{source!r} is shared with {other} and not read-only; services get copies, use a volume")
        self._bound[path] = (name, read_only and only_read)
        return path

    def _joined(
        self, base: str, table: Mapping[str, Any], aliases: tuple[str, ...]
    ) -> tuple[tuple[str, tuple[str, ...]], ...]:
        if table.get("network_mode") == "none":
            return ()
        value = table.get("networks")
        if value is None:
            self._networks.setdefault("default", False)
            return (("default", aliases),)
        entries = dict.fromkeys(map(str, value)) if isinstance(value, list) else self.table(f"{base}.networks", value)
        found = []
        for network, settings in entries.items():
            if network == "default":
                self._networks.setdefault("default", False)
            if network not in self._networks:
                self.refuse(f"{base}.networks.{network}", "is not among the file's networks")
            settings = self.table(f"{base}.networks.{network}", settings or {})
            for key in settings:
                if key not in ("aliases", "priority"):
                    self.refuse(f"{base}.networks.{network}.{key}")
            found.append((network, (*aliases, *(str(each) for each in as_list(settings.get("aliases"))))))
        return tuple(found)

    def _after(self, base: str, value: object) -> tuple[tuple[str, str], ...]:
        if isinstance(value, list):
            return tuple((str(each), "service_started") for each in value)
        found = []
        for name, settings in self.table(f"{base}.depends_on", value or {}).items():
            table = self.table(f"{base}.depends_on.{name}", settings or {})
            condition = str(table.get("condition", "service_started"))
            if condition not in _CONDITIONS:
                self.refuse(
                    f"{base}.depends_on.{name}.condition", f"{condition!r} is not one of {', '.join(_CONDITIONS)}"
                )
            found.append((name, condition))
        return tuple(found)

    def _check_order(self, services: Mapping[str, Service]) -> None:
        """Refuse what waits for no service, or for itself."""
        started: set[str] = set()
        waiting = dict(services)
        for name, service in services.items():
            for other, _ in service.after:
                if other not in services:
                    self.refuse(f"services.{name}.depends_on", f"there is no service {other!r}")
        while waiting:
            ready = [name for name, service in waiting.items() if {other for other, _ in service.after} <= started]
            if not ready:
                self.refuse(f"services.{sorted(waiting)[0]}.depends_on", "waits for itself")
            started |= set(ready)
            for name in ready:
                del waiting[name]

    def _health(self, base: str, value: object) -> Health | None:
        if value is None:
            return None
        key = f"{base}.healthcheck"
        table = self.table(key, value)
        for part in table:
            if part not in ("test", "interval", "timeout", "retries", "start_period", "start_interval", "disable"):
                self.refuse(f"{key}.{part}")
        test = table.get("test")
        if table.get("disable") is True or test == ["NONE"]:
            return None
        if isinstance(test, str):
            test = ["CMD-SHELL", test]
        if not isinstance(test, list) or len(test) < 2 or test[0] not in ("CMD", "CMD-SHELL"):
            self.refuse(f"{key}.test", "is no command, or list that begins with CMD or CMD-SHELL")

        def seconds(part: str, default: float) -> float:
            return default if table.get(part) is None else self.seconds(f"{key}.{part}", table[part])

        return Health(
            tuple(str(word) for word in test),
            interval=seconds("interval", 30.0),
            timeout=seconds("timeout", 30.0),
            start_period=seconds("start_period", 0.0),
            retries=int(self.number(f"{key}.retries", table.get("retries", 3))),
        )

    def _resources(self, base: str, table: Mapping[str, Any]) -> tuple[float | None, int | None]:
        """CPUs and megabytes."""
        deploy = self.table(f"{base}.deploy", table.get("deploy") or {})
        for key in deploy:
            if key not in ("resources", "replicas") or (key == "replicas" and deploy[key] != 1):
                self.refuse(f"{base}.deploy.{key}")
        resources = self.table(f"{base}.deploy.resources", deploy.get("resources") or {})
        reserved = self.table(f"{base}.deploy.resources.reservations", resources.get("reservations") or {})
        if "devices" in reserved:
            self.refuse(
                f"{base}.deploy.resources.reservations.devices", "is refused: devices and GPUs are not supported"
            )
        limits = self.table(f"{base}.deploy.resources.limits", resources.get("limits") or {})
        cpus, memory = limits.get("cpus", table.get("cpus")), limits.get("memory", table.get("mem_limit"))
        return (
            None if cpus is None else self.number(f"{base}.cpus", cpus),
            None if memory is None else self.megabytes(f"{base}.mem_limit", memory),
        )

    # Top level

    def _read_networks(self, value: object) -> dict[str, bool]:
        found = {}
        for name, settings in self.table("networks", value or {}).items():
            table = self.table(f"networks.{name}", settings or {})
            for key in table:
                if key not in ("internal", "driver", "name", "labels", "attachable"):
                    self.refuse(f"networks.{name}.{key}")
            if table.get("driver") not in (None, "bridge", "default"):
                self.refuse(f"networks.{name}.driver", f"{table['driver']!r} is not supported")
            found[name] = table.get("internal") is True
        return found

    def _read_volumes(self, value: object) -> frozenset[str]:
        for name, settings in self.table("volumes", value or {}).items():
            for key in self.table(f"volumes.{name}", settings or {}):
                if key not in ("name", "labels"):
                    self.refuse(f"volumes.{name}.{key}")
        return frozenset(self.table("volumes", value or {}))


def _idle(words: list[str]) -> bool:
    """Whether it does nothing but keep the container alive, as lorimer's own command does; no command at all does too."""
    if len(words) == 3 and words[0] in _SHELLS and words[1] == "-c":
        words = words[2].split()
    return not words or " ".join(words) in _IDLE
