"""task.toml of the Harbor format, schema 1.0 to 1.4, as pydantic models.

Two kinds of trouble, both told by the key's path: a value that the format does not allow, and a setting that is legal but
that lorimer cannot honour on one machine. The second is refused rather than ignored: a task run without its GPU, its MCP
server or its second container is another task, and its score another number.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from lorimer.errors import TaskError

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Pause = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TEMPLATE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?\}", re.DOTALL)
_SECRET = re.compile(r"KEY|SECRET|TOKEN(?!S)|PASSWORD|CREDENTIAL|AUTH", re.IGNORECASE)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG])B?", re.IGNORECASE)
_MEGABYTES = {"K": 1 / 1024, "M": 1, "G": 1024}


def _env(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if not _ENV_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a variable's name")
        if "\0" in text:
            raise ValueError(f"{name} holds a NUL byte")
    return value


def _folder(value: str) -> str:
    if not value.startswith("/") or "\0" in value or ".." in value.split("/"):
        raise ValueError("must be an absolute path without '..'")
    return value


def _megabytes(value: object) -> object:
    """`2G`, `512M` or `4096K` in megabytes; anything else is left to pydantic's own words."""
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise ValueError("must be a size such as '2G' or '512M'")
        return int(float(match[1]) * _MEGABYTES[match[2].upper()])
    return value


def _user(value: str | int | None) -> str | int | None:
    if value is not None and not _USER.fullmatch(str(value)):
        raise ValueError("must be a user's name or number")
    return value


Env = Annotated[dict[str, str], AfterValidator(_env)]
# 6 MB is the least that a Docker Engine accepts.
Memory = Annotated[int, Field(ge=6)]
Storage = Annotated[int, Field(ge=1)]
NetworkMode = Literal["no-network", "public", "allowlist"]


class _Table(BaseModel):
    # Strict: Harbor would read "2" as 2, but a quoted number is more often a slip than a wish.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Phase(_Table):
    network_mode: NetworkMode | None = None
    allowed_hosts: list[str] | None = None
    user: Annotated[str | int | None, AfterValidator(_user)] = None


class AgentTable(_Phase):
    """[agent]"""

    timeout_sec: Seconds | None = None


class VerifierTable(_Phase):
    """[verifier]"""

    timeout_sec: Seconds = 600.0
    env: Env = {}
    environment_mode: Literal["shared", "separate"] | None = None
    environment: dict[str, Any] | None = None
    collect: list[dict[str, Any]] = []


class SolutionTable(_Table):
    """[solution]"""

    env: Env = {}


class HealthcheckTable(_Table):
    """[environment.healthcheck]"""

    command: str = Field(min_length=1)
    interval_sec: Pause = 5.0
    timeout_sec: Seconds = 30.0
    start_period_sec: Pause = 0.0
    start_interval_sec: Pause = 5.0
    retries: Annotated[int, Field(ge=1)] = 3


class EnvironmentTable(_Table):
    """[environment]"""

    build_timeout_sec: Seconds = 600.0
    docker_image: str | None = Field(default=None, min_length=1, pattern=r"^\S+$")
    os: str = "linux"
    cpus: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    memory_mb: Memory | None = None
    memory: Annotated[Memory, BeforeValidator(_megabytes)] | None = None
    storage_mb: Storage | None = None
    storage: Annotated[Storage, BeforeValidator(_megabytes)] | None = None
    allow_internet: bool | None = None
    network_mode: NetworkMode | None = None
    allowed_hosts: list[str] | None = None
    env: Env = {}
    workdir: Annotated[str, AfterValidator(_folder)] | None = None
    gpus: Annotated[int, Field(ge=0)] | None = None
    gpu_types: list[str] | None = None
    tpu: dict[str, Any] | None = None
    mcp_servers: list[dict[str, Any]] = []
    skills_dir: str | None = None
    healthcheck: HealthcheckTable | None = None

    @property
    def network(self) -> bool:
        """Open unless the task says otherwise, as in Harbor; `network_mode` wins over the older `allow_internet`."""
        if self.network_mode is not None:
            return self.network_mode == "public"
        return self.allow_internet is not False


class ArtifactTable(_Table):
    """One of `artifacts`."""

    source: str = Field(min_length=1)
    destination: str | None = None
    exclude: list[str] = []
    service: Literal["main"] | None = None


def _artifact(value: object) -> object:
    """A path alone is short for its table."""
    return {"source": value} if isinstance(value, str) else value


class TaskToml(_Table):
    """A whole task.toml. `[metadata]` and `[task]` are free: they change nothing in a run.

    Nor do `artifacts` where the verifier shares the agent's sandbox: Harbor saves them for people to look at.
    """

    schema_version: str | None = None
    version: str | None = None
    task: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    verifier: VerifierTable = VerifierTable()
    agent: AgentTable = AgentTable()
    environment: EnvironmentTable = EnvironmentTable()
    solution: SolutionTable = SolutionTable()
    source: str | None = None
    artifacts: list[Annotated[ArtifactTable, BeforeValidator(_artifact)]] = []
    steps: list[dict[str, Any]] | None = None
    multi_step_reward_strategy: str | None = None
    multi_step_reward_mode: str | None = None


def parse(task: str, text: str) -> TaskToml:
    """Read a task.toml. Raises TaskError with the path of the first key at fault."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TaskError(task, "task.toml", f"not valid TOML: {error}") from None
    try:
        settings = TaskToml.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = key_path(tuple(part for part in first["loc"] if not str(part).startswith("function-")))
        if first["type"] == "extra_forbidden":
            raise TaskError(task, key, "no such key in a Harbor task.toml; free notes belong in [metadata]") from None
        problem = first["msg"].removeprefix("Value error, ")
        raise TaskError(task, key, f"{problem} (given: {_shown(first['input'])})") from None
    for key, problem in _refused(settings):
        raise TaskError(task, key, problem)
    return settings


def key_path(location: tuple[str | int, ...]) -> str:
    """`('environment', 'cpus')` as a user would look for it: `[environment] cpus`."""
    if not location:
        return "task.toml"
    if len(location) == 1:
        return str(location[0])
    if location[1] == "env" and len(location) > 2:
        return f"[{location[0]}.env] {location[2]}"
    return f"[{location[0]}] " + ".".join(str(part) for part in location[1:])


def resolve_env(
    task: str, table: str, env: Mapping[str, str], host: Mapping[str, str], *, agent: bool
) -> dict[str, str]:
    """Fill `${VAR}` and `${VAR:-default}` from the host's variables; every other value is taken as it stands.

    Args:
        agent: the agent's commands will see these. Then a host variable that is named like a secret is refused: keys
            stay on the host.

    Raises TaskError where a variable is not set and has no default.
    """
    resolved = {}
    for name, value in env.items():
        match = _TEMPLATE.fullmatch(value)
        if match is None:
            resolved[name] = value
            continue
        variable, default = match[1], match[2]
        key = f"[{table}] {name}"
        if agent and _SECRET.search(variable):
            raise TaskError(task, key, f"asks for the host's {variable}, which an agent must not see")
        if variable in host:
            resolved[name] = host[variable]
        elif default is not None:
            resolved[name] = default
        else:
            raise TaskError(task, key, f"needs the variable {variable}, which is not set; export it or give a default")
    return resolved


def _refused(settings: TaskToml) -> Iterator[tuple[str, str]]:
    """What the format allows and lorimer cannot honour, or what contradicts itself: key and problem."""
    environment, verifier = settings.environment, settings.verifier
    version = settings.schema_version or settings.version
    if version is not None and not re.fullmatch(r"1\.[0-4]", version):
        yield "schema_version", f"{version!r} is not one of 1.0 to 1.4, which lorimer reads"
    for size in ("memory", "storage"):
        old, new = getattr(environment, size), getattr(environment, f"{size}_mb")
        if None not in (old, new) and old != new:
            yield f"[environment] {size}", f"says {old} MB where {size}_mb says {new}"
    if environment.os.lower() != "linux":
        yield "[environment] os", f"{environment.os!r} is not supported; lorimer's sandboxes are Linux"
    unsupported = {
        "steps": (settings.steps, "tasks of several steps"),
        "[environment] gpus": (environment.gpus, "GPUs"),
        "[environment] gpu_types": (environment.gpu_types, "GPUs"),
        "[environment] tpu": (environment.tpu, "TPUs"),
        "[environment] mcp_servers": (environment.mcp_servers, "MCP servers"),
        "[environment] skills_dir": (environment.skills_dir, "skills"),
        "[environment] allowed_hosts": (environment.allowed_hosts, "allow-lists of hosts"),
        "[environment] network_mode": (environment.network_mode == "allowlist", "allow-lists of hosts"),
        "[verifier] environment": (verifier.environment is not None, "separate verifier environments"),
        "[verifier] environment_mode": (verifier.environment_mode == "separate", "separate verifier environments"),
        "[verifier] collect": (verifier.collect, "collect hooks"),
    }
    for key, (value, what) in unsupported.items():
        if value:
            yield key, f"{what} are not supported"
    here = "public" if environment.network else "no-network"
    for table, phase in (("agent", settings.agent), ("verifier", verifier)):
        if phase.allowed_hosts:
            yield f"[{table}] allowed_hosts", "allow-lists of hosts are not supported"
        if phase.network_mode not in (None, here):
            yield (
                f"[{table}] network_mode",
                f"{phase.network_mode!r} differs from the environment's {here!r}: not supported",
            )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
