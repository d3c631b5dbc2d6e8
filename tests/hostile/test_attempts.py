"""Quick attempts to get out, or to see what must not be seen: all in one jail and in one task sandbox of each provider."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from lorimer.sandbox.base import Owner, PythonImage, Sandbox, SandboxProvider, SandboxRequest
from lorimer.task_agent.spec import Harness
from tests.hostile import attempts
from tests.hostile.leftovers import left_behind
from tests.hostile.table import QUICK
from tests.support.trials import MIXED, REAL, make_task, open_provider, play, script

REPOSITORY = Path(__file__).resolve().parents[2]
SECRET = "sk-probe-7f3a9c"
NEIGHBOUR = "neighbour-5d1e"
SOURCE = inspect.getsource(attempts)
IDLE = ["lo", "tunl0", "sit0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6tnl0", "ip6gre0"]
"""The kernel puts a fallback tunnel, which leads nowhere, into every new network namespace."""

NEIGHBOURS_WORK = f"""
touch /app/{NEIGHBOUR} /tmp/{NEIGHBOUR} /dev/shm/{NEIGHBOUR}
cat > /app/work.py <<'END'
import socket, sys, time
held = [socket.socket(socket.AF_UNIX), socket.socket()]
held[0].bind(chr(0) + "{NEIGHBOUR}")
held[1].bind(("0.0.0.0", 8714))
[s.listen() for s in held]
time.sleep(600)
END
TOKEN={NEIGHBOUR} python3 /app/work.py {NEIGHBOUR} > /dev/null 2>&1 &
"""


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What there is on this machine to get at: a secret, listeners of every kind, a task's files, a process."""
    monkeypatch.setenv("PROBE_API_KEY", SECRET)
    # /proc shows the environment that a process was started with: one more that was started with the secret.
    bystander = subprocess.Popen(["sleep", "300"])
    unix = str(tmp_path / "listener.sock")
    listeners = [socket.socket(), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
    listeners[0].bind(("0.0.0.0", 0))
    listeners[1].bind(unix)
    listeners[2].bind(f"\0probe-{os.getpid()}")
    for listener in listeners:
        listener.listen()
    yield {
        "secret": SECRET,
        "neighbour": NEIGHBOUR,
        "bystander": bystander.pid,
        "port": listeners[0].getsockname()[1],
        "addresses": [own_address()],
        "unix": unix,
        "abstract": [f"probe-{os.getpid()}", NEIGHBOUR],
        "hidden": [str(REPOSITORY), str(tmp_path)],
        "names": ["hidden-test-4711.sh", "hidden-solution-4711.sh", "solve.sh", "task.toml"],
        "allowed": ["/opt/lorimer", "/opt/lorimer/preloaded/lorimer"],
        "idle": IDLE,
        "scratch_mb": 64,
        "scratch_files": 20_000,
        "open_files": 1_024,
        "signalled": [bystander.pid],
        "traced": ["1", str(bystander.pid)],  # in a jail of Docker, 1 is the harness itself
    }
    assert bystander.poll() is None, "a signal reached a process of the host"
    bystander.kill()
    bystander.wait()
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


@pytest.fixture(params=(*REAL, MIXED))
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[SandboxProvider]:
    made = open_provider(request.param)
    yield made
    await made.close()
    assert await left_behind(made) == []


async def neighbour(provider: SandboxProvider, image: str) -> Sandbox:
    """Another trial at work: files, shared memory, sockets, a process that names itself."""
    made = await provider.acquire(SandboxRequest(image, Owner("s", "neighbour"), workdir="/app"))
    ran = await made.exec(NEIGHBOURS_WORK, timeout=20)
    assert ran.exit_code == 0, ran
    return made


async def test_no_quick_attempt_obtains_anything(
    provider: SandboxProvider, given: dict[str, Any], tmp_path: Path
) -> None:
    image = PythonImage(("openpyxl", "et_xmlfile") if provider.name == "bubblewrap" else ())
    beside = await neighbour(provider, await provider.prepare(image))
    given["attempts"] = [case.name for case in QUICK if "jail" in case.places]
    task = make_task(
        tmp_path, image=image, instruction=json.dumps(given), solution=script(tmp_path, "solution", "true")
    )
    (tmp_path / "task" / "tests" / "hidden-test-4711.sh").write_text("the answer is 42\n")
    (tmp_path / "solution" / "hidden-solution-4711.sh").write_text("echo 42\n")

    played = await play(provider, task, Harness(SOURCE))
    assert played.end.cause == "finished", (played.end, played.sink.steps[-1:])
    found = json.loads(played.end.answer)
    assert {name: got for name, got in found.items() if got} == {}
    assert sorted(found) == sorted(given["attempts"])
    assert SECRET not in str([step.data for step in played.sink.steps if step.kind == "output"])

    given["attempts"] = [case.name for case in QUICK if "sandbox" in case.places]
    if provider.name == "docker":  # its root may do as it likes with its own process 1, which no verifier ever meets
        given["traced"].remove("1")
    agent = f"""
def solve(task, env, llm):
    env.write("/srv/attempts.py", {SOURCE!r})
    env.write("/srv/given.json", task.instruction)
    ran = env.exec("python3 /srv/attempts.py < /srv/given.json", timeout=60)
    return ran.stdout or ran.stderr
"""
    task = make_task(tmp_path, name="second", image=image, instruction=json.dumps(given))
    played = await play(provider, task, Harness(agent))
    assert played.end.cause == "finished", played.end
    found = json.loads(played.end.answer)
    assert {name: got for name, got in found.items() if got} == {}
    assert sorted(found) == sorted(given["attempts"])

    # The neighbour never noticed.
    alive = await beside.exec("ls /app; cat /proc/[0-9]*/cmdline | tr '\\0' ' '", timeout=10)
    assert alive.stdout.count(NEIGHBOUR.encode()) >= 2, alive
    await beside.close()


async def test_the_attempts_can_find_what_there_is(given: dict[str, Any], tmp_path: Path) -> None:
    """The same attempts in a process without a jail report what they got: their silence in one means something."""
    given["attempts"] = ["host_environment", "host_processes", "network_host", "network_unix", "host_modules"]
    given["attempts"] += ["power_trace", "shared_memory", "jail_descriptors"]
    given["traced"] = [str(given["bystander"])]
    shared = Path("/dev/shm") / f"{NEIGHBOUR}-{os.getpid()}"
    shared.touch()
    try:
        ran = await asyncio.to_thread(
            subprocess.run,
            ["python3", "-c", SOURCE],
            input=json.dumps(given).encode(),
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
    finally:
        shared.unlink()
    found = json.loads(ran.stdout)
    assert f"environ of {given['bystander']}: found" in found["host_environment"]
    assert any(line.startswith("tcp 127.0.0.1") for line in found["network_host"])
    assert {line.partition(" ")[0].rstrip(":") for line in found["network_unix"]} == {"path", "abstract"}
    assert found["host_processes"]
    assert found["host_modules"]
    assert found["shared_memory"]
