"""The floor of a trial's fixed cost: raw Engine API create, start, two execs, remove of a Debian image, nothing else. Or with
more execs and the restart before a verifier, which is the same work as a whole trial's.

Run it alone (`python -m bench.floor`), or call `floor` to print the number beside a measurement of the real thing.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

IMAGE = "debian:bookworm"
TRIALS = 12
"""Enough for a mean within about a tenth, in about four seconds."""


@dataclass(frozen=True)
class Floor:
    """Seconds of wall time a trial."""

    sequential: float
    concurrent: float
    concurrency: int


def lifecycle(image: str = IMAGE, *, execs: int = 2, restarts: int = 0) -> None:
    """One container's life through the SDK's low-level client: create, start, execs, restarts, remove."""
    from docker import APIClient
    from docker.errors import DockerException

    client = APIClient(version="auto")
    try:
        made = client.create_container_from_config(  # type: ignore[no-untyped-call]
            {
                "Image": image,
                "Entrypoint": ["/bin/sh", "-c", "while :; do sleep 3600; done"],
                "StopSignal": "SIGKILL",
                "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none", "Config": {}}},
            }
        )
        try:
            client.start(made["Id"])
            for _ in range(restarts):
                client.restart(made["Id"], timeout=1)
            for _ in range(execs):
                execution = client.exec_create(made["Id"], ["/bin/sh", "-c", "echo hello"])
                output = client.exec_start(execution["Id"])
                if output != b"hello\n":
                    raise DockerException(f"the exec printed {output!r}")
        finally:
            client.remove_container(made["Id"], v=True, force=True)
    finally:
        client.close()


def floor(
    *, image: str = IMAGE, trials: int = TRIALS, concurrency: int = 4, execs: int = 2, restarts: int = 0
) -> Floor:
    """Measure it, one after the other and `concurrency` at once. Raises DockerException without an engine or the image."""
    once = partial(lifecycle, execs=execs, restarts=restarts)
    once(image)  # the first one pays for imports and the engine's caches
    started = time.perf_counter()
    for _ in range(trials):
        once(image)
    sequential = (time.perf_counter() - started) / trials
    started = time.perf_counter()
    with ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(once, [image] * trials))
    return Floor(sequential, (time.perf_counter() - started) / trials, concurrency)


if __name__ == "__main__":
    found = floor()
    print(f"floor: {found.sequential:.2f} s a trial sequential, {found.concurrent:.2f} s at {found.concurrency}")
