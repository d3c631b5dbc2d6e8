"""A Ray cluster on this machine, in a process of its own: nodes are added and killed by a line on its standard input."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SERVE = """
import sys
from ray.cluster_utils import Cluster
node = dict(num_cpus=2, object_store_memory=80 << 20)
cluster = Cluster(initialize_head=True, head_node_args=dict(node, include_dashboard=False))
print(cluster.address, flush=True)
added = []
for line in sys.stdin:
    match line.strip():
        case "add":
            added.append(cluster.add_node(**node))
        case "kill":
            cluster.remove_node(added.pop(), allow_graceful=False)
    print("done", flush=True)
cluster.shutdown()
"""


@dataclass
class RayCluster:
    """A cluster of one node, the head, and of those that were added."""

    address: str
    process: subprocess.Popen[str]

    def add_node(self) -> None:
        self._do("add")

    def kill_node(self) -> None:
        """Kill the node that was added last, with all that runs on it."""
        self._do("kill")

    def workers(self) -> list[int]:
        """The processes that lorimer has started on its nodes: children of children of the one that serves it."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, IndexError):  # it has ended meanwhile
                pid, said = int(folder.name), (folder / "cmdline").read_bytes()
                if said.startswith(b"ray::RayWorker") and _parent(_parent(pid)) == self.process.pid:
                    found.append(pid)
        return found

    def _do(self, word: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(word, file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "done\n"


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def ray_cluster() -> Iterator[RayCluster]:
    """Its nodes run this Python, and tell nobody that they do."""
    running = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert running.stdin is not None
    assert running.stdout is not None
    try:
        address = running.stdout.readline().strip()
        assert address, "no Ray cluster was started"
        yield RayCluster(address, running)
    finally:
        running.stdin.close()
        running.wait()
        running.stdout.close()
