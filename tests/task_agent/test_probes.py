"""Harnesses that try to get out, or to see what they must not: they report that they obtained nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lorimer.sandbox.base import PythonImage
from lorimer.task_agent.trial import Harness
from tests.support.probes import PROBES
from tests.support.trials import REAL, make_task, script
from tests.task_agent.conftest import Try

REPOSITORY = Path(__file__).resolve().parents[2]
SECRET = "sk-probe-7f3a9c"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Things on this machine that a probe could get at: a secret, listeners of every kind, a task's files."""
    monkeypatch.setenv("PROBE_API_KEY", SECRET)
    # /proc shows the environment that a process was started with: one more that was started with the secret.
    neighbour = subprocess.Popen(["sleep", "100"])
    unix = str(tmp_path / "listener.sock")
    listeners = [socket.socket(), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
    listeners[0].bind(("0.0.0.0", 0))
    listeners[1].bind(unix)
    listeners[2].bind(f"\0probe-{os.getpid()}")
    for listener in listeners:
        listener.listen()
    yield {
        "neighbour": neighbour.pid,
        "secret": SECRET,
        "port": listeners[0].getsockname()[1],
        "addresses": [own_address()],
        "unix": unix,
        "abstract": f"probe-{os.getpid()}",
        "folder": str(tmp_path),
        "hidden": [str(REPOSITORY), str(tmp_path)],
        "names": ["hidden-test-4711.sh", "hidden-solution-4711.sh", "solve.sh", "task.toml"],
        # The kernel puts a fallback tunnel, which leads nowhere, into every new network namespace.
        "idle": ["lo", "tunl0", "sit0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6tnl0", "ip6gre0"],
    }
    neighbour.kill()
    neighbour.wait()
    for listener in listeners:
        listener.close()


def own_address() -> str:
    """This machine's address on its way out; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


@pytest.mark.parametrize("provider", REAL, indirect=True)
@pytest.mark.parametrize("probe", PROBES)
async def test_a_probe_obtains_nothing(
    attempt: Try, provider: Any, probe: str, world: dict[str, Any], tmp_path: Path
) -> None:
    packages = ("openpyxl", "et_xmlfile") if provider.name == "bubblewrap" else ()
    task = make_task(
        tmp_path,
        solution=script(tmp_path, "solution", "true"),
        instruction=json.dumps(world),
        image=PythonImage(packages),
    )
    (tmp_path / "task" / "tests" / "hidden-test-4711.sh").write_text("the answer is 42\n")
    (tmp_path / "solution" / "hidden-solution-4711.sh").write_text("echo 42\n")
    played = await attempt(Harness(PROBES[probe]), task)
    assert played.end.cause == "finished", (played.end, played.sink.steps[-1:])
    assert json.loads(played.end.answer) == []
    assert SECRET not in str([step.data for step in played.sink.steps if step.kind == "output"])


async def test_the_probes_can_find_what_there_is(world: dict[str, Any], tmp_path: Path) -> None:
    """The same probes in a jail that is none report what they got: their silence above means something."""
    from lorimer.sandbox.base import ExecOutput
    from lorimer.sandbox.fake import FakeProvider
    from tests.support.trials import play

    provider = FakeProvider(lambda command, sandbox: ExecOutput(b"", b"", 0), allow_unsandboxed_jail=True)
    found = {}
    for probe in ("environment", "network"):
        task = make_task(tmp_path, instruction=json.dumps(world))
        played = await play(provider, task, Harness(PROBES[probe]), limits={"seconds": 30.0})
        found[probe] = json.loads(played.end.answer)
    await provider.close()
    assert f"environ of {world['neighbour']}: True" in found["environment"]
    assert any(line.startswith("tcp 127.0.0.1") for line in found["network"])
    assert any(line.startswith("unix") for line in found["network"])
