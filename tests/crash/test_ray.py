"""A study on the nodes of a Ray cluster decides what it decides here, though a node is killed, or lorimer itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lorimer.config.settings import parse
from lorimer.meta_agent.workspace.nodes import open_nodes
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.reading.reader import StoreReader
from tests.cli.support import configure, process, start
from tests.crash.support import Straight, evidence, finished, kept, outcome, progress, scored_twice, twin
from tests.crash.test_engine import in_the_middle
from tests.support.ray_cluster import RayCluster, ray_cluster

pytestmark = [pytest.mark.bubblewrap, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    pytest.importorskip("ray", reason="Ray has no package for this Python")
    with ray_cluster() as running:
        yield running


def on(cluster: RayCluster) -> tuple[str, ...]:
    return ("--set", 'executor.kind="ray"', "--set", f'executor.ray_address="{cluster.address}"')


@pytest.mark.hostile  # a promotion with its audits; the next one is the short form
def test_it_promotes_as_here(straight: Straight, cluster: RayCluster) -> None:
    decides_as(straight.root, twin(straight.pristine, "ray"), cluster)


def test_it_decides_as_here(workspace: Path, bubblewrap: None, cluster: RayCluster) -> None:
    root = twin(workspace, "ray")
    assert process("optimize", "--quiet", "-C", workspace).code == 0
    decides_as(workspace, root, cluster)


def decides_as(here: Path, root: Path, cluster: RayCluster) -> None:
    said = process("optimize", "--quiet", "-C", root, *on(cluster))
    assert said.code == 0, said
    assert "SIGTERM" not in said.err, "Ray's own words stand between no lines"
    assert outcome(root) == outcome(here)
    assert process("verify", "-C", root).code == 0


def test_a_killed_worker_is_told_in_lorimers_words_alone(
    workspace: Path, bubblewrap: None, cluster: RayCluster
) -> None:
    running = start("run", "--json", "-C", workspace, "--set", "sandbox.concurrency=1", *on(cluster))
    try:
        in_the_middle(running, workspace, 1)
        (worker,) = cluster.workers()
        os.kill(worker, signal.SIGKILL)
        out, err = running.communicate()
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 0, err
    lost = [row for row in StoreReader(workspace / STORE).trials(limit=None) if row.state == "errored"]
    assert {row.cause for row in lost} == {"engine_outage"}
    assert all("event" in json.loads(line) for line in out.splitlines()), out


@pytest.mark.hostile
def test_a_killed_node_takes_its_trials_along_and_changes_no_decision(straight: Straight, cluster: RayCluster) -> None:
    root = twin(straight.pristine, "ray-node")
    cluster.add_node()
    running = start("optimize", "-C", root, *on(cluster))
    try:
        in_the_middle(running, root, 6)
        cluster.kill_node()
        out, err = running.communicate()
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 0, err
    assert "takes no trials: " in out + err
    lost = [row for row in StoreReader(root / STORE).trials(limit=None) if row.state == "errored"]
    assert {row.cause for row in lost} <= {"engine_outage"}
    assert all(row.detail.startswith("node ") for row in lost)
    assert outcome(root) == outcome(straight.root)
    assert scored_twice(root) == []


@pytest.mark.hostile
def test_lorimer_is_killed_twice_and_goes_on_there(straight: Straight, cluster: RayCluster) -> None:
    root = twin(straight.pristine, "ray-killed")
    whole = progress(straight.root)
    before: dict[str, tuple[object, ...]] = {}
    for command, share in (("optimize", 0.3), ("resume", 0.6)):
        running = start(command, "--quiet", "-C", root, *on(cluster))
        try:
            while running.poll() is None and progress(root) < whole * share:
                pass
        finally:
            running.kill()
            running.communicate()
        assert kept(before, evidence(root)) == []
        before = evidence(root)
    done = finished(root)
    said = process("resume", "--quiet", "-C", root, *on(cluster))
    assert said.code == 0, said
    assert done.items() <= finished(root).items()
    assert outcome(root) == outcome(straight.root)
    assert process("verify", "-C", root).code == 0


@pytest.mark.hostile
async def test_a_node_that_joins_takes_trials(cluster: RayCluster, tmp_path: Path) -> None:
    told = list[str]()
    config = parse({"sandbox": {"provider": "bubblewrap"}, "executor": {"kind": "ray", "ray_address": cluster.address}})
    nodes = await open_nodes(tmp_path, config, None, {}, told.append)
    try:
        before = len(nodes.hosts.all)
        await asyncio.to_thread(cluster.add_node)
        while len(nodes.hosts.all) == before or not told:  # noqa: ASYNC110 - Ray tells nobody of a new node
            await asyncio.sleep(0.1)
        new = nodes.hosts.all[-1]
        await new.provider.answers()
    finally:
        await nodes.close()
        await asyncio.to_thread(cluster.kill_node)
    assert told == [f"{new.url} has joined the cluster and takes trials"]


def test_a_cluster_that_is_not_there_is_refused_in_one_line(workspace: Path, bubblewrap: None) -> None:
    pytest.importorskip("ray", reason="Ray has no package for this Python")
    root = workspace
    configure(root, "executor.kind=ray", "executor.ray_address=ray://127.0.0.1:9")
    said = process("optimize", "--quiet", "-C", root)
    assert (said.code, len(said.err.splitlines())) == (3, 1), said
    assert said.err.startswith("lorimer: no Ray cluster answers at 'ray://127.0.0.1:9': ")
    assert said.err.endswith(
        "`ray start --head` starts one here, `ray start --address HOST:6379` adds a machine to it\n"
    )
    doctor = process("doctor", "-C", root)
    assert "no Ray cluster answers at 'ray://127.0.0.1:9'" in doctor.out


def test_a_port_of_something_else_is_refused(workspace: Path, bubblewrap: None) -> None:
    pytest.importorskip("ray", reason="Ray has no package for this Python")
    root = workspace
    with socket.create_server(("127.0.0.1", 0)) as listening:  # whose connections nobody takes
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        there = ("--set", f'executor.ray_address="{address}"', "--set", "executor.seconds=0.5")
        said = process("optimize", "--quiet", "-C", root, "--set", 'executor.kind="ray"', *there)
    assert said.code == 3, said
    assert f"no Ray cluster answers at '{address}': what listens there did not answer as a cluster does" in said.err
    assert "Traceback" not in said.err
