"""The floor of a trial's fixed cost: a container's life by the raw Engine API, with as many execs and restarts as a trial has.

Nothing else is done: no model, no files, no record. `python -m bench.overhead` prints it beside the real thing.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass


@dataclass(frozen=True)
class Life:
    """What happens to one container between its start and its removal."""

    image: str
    execs: int
    restarts: int = 0


def live(life: Life) -> None:
    """One container's life through the SDK's low-level client. Raises DockerException."""
    from docker import APIClient
    from docker.errors import DockerException

    client = APIClient(version="auto")
    try:
        made = client.create_container_from_config(  # type: ignore[no-untyped-call]
            {
                "Image": life.image,
                "Entrypoint": ["/bin/sh", "-c", "while :; do sleep 3600; done"],
                "StopSignal": "SIGKILL",
                "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none", "Config": {}}},
            }
        )
        try:
            client.start(made["Id"])
            for _ in range(life.restarts):
                client.restart(made["Id"], timeout=1)
            for _ in range(life.execs):
                execution = client.exec_create(made["Id"], ["/bin/sh", "-c", "echo hello"])
                output = client.exec_start(execution["Id"])
                if output != b"hello\n":
                    raise DockerException(f"the exec printed {output!r}")
        finally:
            client.remove_container(made["Id"], v=True, force=True)
    finally:
        client.close()


def seconds_per_life(life: Life, *, lives: int, at_once: int) -> float:
    """Seconds of wall time per container. Raises DockerException without an engine or the image."""
    started = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(live, [life] * lives))
    return (time.perf_counter() - started) / lives
