"""[executor] of lorimer.toml: where trials run."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from lorimer.config.rows import Table


class ExecutorSettings(Table):
    """[executor]: where trials run; docs/machines.md tells of it."""

    kind: Literal["local", "ray"] = "local"
    """`ray` runs trials on the nodes of a Ray cluster; `local` on engines that this machine drives."""
    ray_address: str = Field(default="auto", min_length=1)
    """The Ray cluster: `auto` for the one that this machine is part of, `HOST:6379`, or `ray://HOST:10001`."""
    docker_hosts: tuple[str, ...] = ()
    """Docker Engines that trials are spread over: `unix:///PATH` or `tcp://HOST:PORT`. Empty: the engine of `DOCKER_HOST`, else
    that of this machine."""
    shares: tuple[int, ...] = ()
    """How many trials each of `docker_hosts` takes in relation to the others, in their order: of `[sandbox] concurrency = 16`
    and `[1, 3]` the first has 4 places and the second 12. Empty: alike."""
    seconds: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    """How long an engine may take to say that it is there; then lorimer tells of it, or goes on without it. An engine that is to
    clear up is waited for as long, and one that runs trials three times as long before they are lost. A Ray cluster's address
    has as long to answer, and then six times as long to be joined. `lorimer power` waits twice as long for sandboxes."""

    @field_validator("docker_hosts")
    @classmethod
    def _are_addresses(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if host.startswith("ssh://"):
                name = host.removeprefix("ssh://")
                raise ValueError(
                    f"'{host}' is reached through its forwarded socket: run "
                    f"`ssh -NL /tmp/docker-1.sock:/var/run/docker.sock {name}` and write unix:///tmp/docker-1.sock"
                )
            if not re.fullmatch(r"unix:///.+|tcp://[^/:]+:[0-9]+|tcp://\[[0-9a-fA-F:]+\]:[0-9]+", host):
                raise ValueError(f"'{host}' is neither unix:///PATH nor tcp://HOST:PORT")
            if host.startswith("tcp://") and not 0 < int(host.rpartition(":")[2]) < 65536:
                raise ValueError(f"'{host}' has a port that no machine has; a port is a number from 1 to 65535")
        twice = next((host for host in hosts if hosts.count(host) > 1), "")
        if twice:
            raise ValueError(f"names {twice} twice; shares says which of several hosts takes more trials")
        return hosts

    @model_validator(mode="after")
    def _is_one_kind(self) -> ExecutorSettings:
        if self.kind == "ray" and self.docker_hosts:
            raise ValueError(
                "docker_hosts: nodes of a Ray cluster use their own engines; name docker_hosts or kind = 'ray'"
            )
        if self.kind == "local" and self.ray_address != "auto":
            raise ValueError("ray_address: has no effect without kind = 'ray'")
        return self

    @model_validator(mode="after")
    def _each_has_a_share(self) -> ExecutorSettings:
        if self.shares and len(self.shares) != len(self.docker_hosts):
            raise ValueError(f"shares: has {len(self.shares)} numbers for {len(self.docker_hosts)} docker_hosts")
        if any(share < 1 for share in self.shares):
            raise ValueError("shares: holds a number below 1; leave a host out that is to take no trials")
        return self
