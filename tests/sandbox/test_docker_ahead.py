"""Execs that wait for their command (`sandbox/docker/commands/ahead.py`): what any command is promised; what if one is lost."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from lorimer.errors import EngineOutage, SandboxError
from lorimer.sandbox.base import ExecOutput, Owner, PulledImage, Sandbox, SandboxLimits, SandboxRequest
from lorimer.sandbox.bubblewrap.setup import find_bwrap
from lorimer.sandbox.docker.commands.exec import WAITING, Collector, Invocation
from lorimer.sandbox.docker.commands.running import Execs
from lorimer.sandbox.docker.commands.stream import Demux
from lorimer.sandbox.docker.engine import Engine
from lorimer.sandbox.docker.provider import DockerProvider
from lorimer.sandbox.series import Series
from tests.support.engine_proxy import EngineProxy

IMAGE = "python:3.12-slim"
STUDY = f"test-ahead-{os.getpid()}"
"""Containers with this label are killed here: never those of another worker."""

AHEAD = "grep -c '[a] command that was waited for' /proc/$PPID/cmdline"
"""Says whether the shell that runs it had waited for it: 1 or 0."""
WHICH = "grep -l '[w]aits for the next command' /proc/[0-9]*/cmdline"
LONG = 3600.0


@pytest.fixture
async def provider() -> AsyncIterator[DockerProvider]:
    made = DockerProvider(idle=0.0)
    yield made
    await made.close()


async def acquire(provider: DockerProvider, pids: int = 100) -> Sandbox:
    limits = SandboxLimits(cpus=1, memory_mb=512, pids=pids)
    image = await provider.prepare(PulledImage(IMAGE))
    return await provider.acquire(SandboxRequest(image, Owner(STUDY, "trial"), limits, "/app"))


async def run(series: Series, command: str, timeout: float = 60, **options: Any) -> ExecOutput:
    return await series.exec(command, timeout=timeout, **options)


async def until_one_waits(sandbox: Sandbox) -> bytes:
    """Its pid."""
    command = f"until {WHICH} | grep -o '[0-9]*'; do sleep 0.05; done"
    return (await sandbox.exec(command, timeout=60)).stdout.strip()


async def until_none_waits(sandbox: Sandbox) -> bool:
    return (await sandbox.exec(f"while {WHICH}; do sleep 0.05; done", timeout=60)).exit_code == 0


async def sandbox_removed(sandbox: Sandbox) -> bool:
    """Whether the engine can end it, which one that started an exec as it paused the container cannot."""
    from docker import APIClient

    engine = APIClient(version="auto", timeout=60)
    try:
        await asyncio.to_thread(engine.remove_container, sandbox.id, force=True)
        return not engine.containers(all=True, filters={"id": sandbox.id})
    finally:
        engine.close()


# The shell's part, by whatever shells this machine has


def shells() -> list[list[str]]:
    found = [["/bin/sh"], *([name] for name in ("dash", "bash", "mksh", "ksh") if shutil.which(name))]
    return [*found, *([["busybox", "sh"]] if shutil.which("busybox") else [])]


NONCE = "n" * 32


def waited(shell: list[str], sent: bytes) -> tuple[Collector, subprocess.CompletedProcess[bytes]]:
    """What a waiting shell does that is sent so much and no more."""
    collector = Collector(NONCE, 1 << 20)
    ended = subprocess.run([*shell, *WAITING[1:]], input=sent, capture_output=True, check=False)
    assert ended.stdout[:1] == b"."  # it runs, which nobody else can tell
    for stream, data in ((1, ended.stdout[1:]), (2, ended.stderr)):
        collector.feed(bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data)
    return collector, ended


@pytest.mark.parametrize("shell", shells(), ids=" ".join)
def test_a_waiting_shell_gets_its_command_as_it_was_written(shell: list[str], tmp_path: Path) -> None:
    every = "".join(map(chr, range(1, 0x180))).replace("'", "") + r"\n \\ \0101 \c %s %% $x `x` ✓" + " \n\t\n\n"
    folder = tmp_path / "a folder\n\\nwith ünusual\n"
    folder.mkdir()
    command = f"printf '%s' '{every}'; pwd >&2; env | grep -c _lorimer >&2; cat; exit 7\n\n"
    said, _ = waited(shell, Invocation(command, str(folder), workdir_asked=True, nonce=NONCE).sent() + b"\n")
    assert said.stdout.value().decode() == every
    assert said.stderr.value().decode() == f"{folder}\n0\n"
    assert (said.exit_code, (said.session or 0) > 1) == (7, True)


@pytest.mark.parametrize("shell", shells(), ids=" ".join)
def test_a_command_that_did_not_arrive_whole_is_not_run(shell: list[str], tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    sent = Invocation(f"echo one\\\\two >>{ran}\necho three >>{ran}", "/", nonce=NONCE).sent()
    for length in {*range(0, len(sent), 9), len(sent) - 1, len(sent)}:
        said, ended = waited(shell, sent[:length])
        assert (said.exit_code, ended.returncode, said.session is None) == (None, 0, length < len(sent))
    assert not ran.exists()


def test_what_is_no_announcement_is_not_kept_as_the_begin_of_one() -> None:
    collector = Collector("n" * 32, 100)
    for _ in range(100):
        collector.feed(b"\1\0\0\0\0\0\4\0" + b"x" * 1024)
    collector.feed(b"\1\0\0\0\0\0\0\x05" + b"y" * 5)
    collector.finish()
    assert (collector.session, collector.stdout.value()[-5:]) == (None, b"y" * 5)
    assert collector.stdout.dropped == 100 * 1024 + 5 - 100


@pytest.mark.parametrize("shell", shells(), ids=" ".join)
@pytest.mark.bubblewrap
def test_a_waiting_shell_takes_one_command_after_another_until_one_leaves_a_process_behind(shell: list[str]) -> None:
    """Where there are no other processes: those of a machine come and go."""
    alone = [find_bwrap()[0], "--dev-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "--die-with-parent"]
    commands = ["echo one", "echo two >&2; exit 3", "trap '' HUP; sleep 900 >/dev/null 2>&1 & echo three", "echo four"]
    nonces = [letter * 32 for letter in "abcd"]
    sent = [Invocation(each, "/", nonce=nonce).sent() for each, nonce in zip(commands, nonces, strict=True)]
    ended = subprocess.run(
        [*alone, *shell, *WAITING[1:]], input=b"\n".join([*sent, b""]), capture_output=True, check=False
    )
    demux, found = Demux(), list[tuple[bytes, bytes, int | None, bool, bool]]()
    for nonce in nonces:
        collector = Collector(nonce, 1000, demux=demux)
        begin = ended.stdout.find(f"{nonce}:".encode())
        for stream, data in ((1, ended.stdout[begin:] if begin >= 0 else b""), (2, ended.stderr)):
            collector.feed(bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data)
        own = collector.stderr.value().rpartition(b":again;")[2] if collector.exit_code is not None else b""
        found.append(
            (collector.stdout.value(), own, collector.exit_code, collector.session is not None, collector.again)
        )
    assert found == [
        (b"one\n", b"", 0, True, True),
        (b"", b"two\n", 3, True, True),
        (b"three\n", b"", 0, True, False),
        (b"", b"", None, False, False),
    ]
    assert ended.returncode == 0


# What is promised of a command


@pytest.mark.docker
async def test_one_exec_takes_one_command_after_another_each_in_a_session_of_its_own(provider: DockerProvider) -> None:
    sandbox = await acquire(provider)
    series = sandbox.series(env={"NAME": "a b"}, user="nobody")
    told = f"{AHEAD}; echo $NAME; id -un; cut -d' ' -f4 /proc/$PPID/stat; cut -d' ' -f6 /proc/self/stat; ulimit -n 64"
    shells, sessions = set[bytes](), set[bytes]()
    for number in range(5):
        ran = await run(series, f"{told}; exit {number}")
        *same, shell, session = ran.stdout.split(b"\n")[:-1]
        assert (same, ran.stderr, ran.exit_code) == ([b"1", b"a b", b"nobody"], b"", number)
        shells.add(shell)
        sessions.add(session)
    assert (len(shells), len(sessions)) == (1, 5)
    assert shells.isdisjoint(sessions)


@pytest.mark.docker
async def test_what_a_command_leaves_behind_speaks_in_no_stream_of_the_next_one(provider: DockerProvider) -> None:
    sandbox = await acquire(provider)
    series = sandbox.series()
    pid = await until_one_waits(sandbox)
    noise = "(while :; do echo noise; echo noise >&2; sleep 0.01; done) & echo left"
    assert (await run(series, f"{AHEAD}; {noise}")).stdout.startswith(b"1\n")
    for command in ("sleep 0.2; echo next", "sleep 0.2; setsid sh -c 'sleep 0.01; echo late' & echo next", "echo next"):
        ran = await run(series, f"{AHEAD}; {command}")
        assert (ran.stdout.replace(b"late\n", b""), ran.stderr) == (b"1\nnext\n", b"")
    assert await until_one_waits(sandbox) != pid


@pytest.mark.docker
async def test_without_setsid_an_exec_takes_one_command_and_a_timeout_ends_it_as_ever(provider: DockerProvider) -> None:
    sandbox = await acquire(provider)
    assert (await sandbox.exec("rm $(command -v setsid)", timeout=60)).exit_code == 0
    series = sandbox.series()
    pid = await until_one_waits(sandbox)
    assert (await run(series, f"{AHEAD}; echo $PPID; exit 4")).stdout == b"1\n" + pid + b"\n"
    assert await until_one_waits(sandbox) != pid
    ran = await run(series, "(sleep 902 | cat) & sleep 903", 3)
    assert ran.timed_out
    processes = (await sandbox.exec("cat /proc/[0-9]*/cmdline | tr '\\0' ' '", timeout=60)).stdout
    assert not [n for n in (b"902", b"903") if b"sleep " + n in processes]


@pytest.mark.docker
async def test_a_command_that_kills_its_wrapper_is_killed_and_the_next_one_runs(provider: DockerProvider) -> None:
    sandbox = await acquire(provider)
    series = sandbox.series()
    pid = await until_one_waits(sandbox)
    for command in ("kill -9 $PPID", "kill -9 $PPID $(cut -d' ' -f4 /proc/$PPID/stat)"):
        killed = await run(series, f"echo said; {command}")
        assert (killed.stdout, killed.exit_code) == (b"said\n", 137)
        assert (await run(series, ONCE)).stdout.endswith(b"x\n")
        assert await until_one_waits(sandbox) != pid


@pytest.mark.docker
async def test_a_command_after_a_pause_runs_in_an_exec_that_waited_for_it(provider: DockerProvider) -> None:
    sandbox = await acquire(provider)
    series = sandbox.series(env={"NAME": "a b=c"}, user="nobody")
    await until_one_waits(sandbox)
    told = f"{AHEAD}; echo $NAME; id -un; pwd; cat; ls /proc/self/fd; exit 5"
    ran = await run(series, told)
    assert (ran.stdout, ran.exit_code) == (b"1\na b=c\nnobody\n/app\n0\n1\n2\n3\n", 5)
    plain = await sandbox.exec(told, timeout=60, env={"NAME": "a b=c"}, user="nobody")
    assert (plain.stdout, plain.exit_code) == (ran.stdout.replace(b"1\n", b"0\n", 1), 5)
    # Its folder is told with it, so any will do.
    assert (await run(series, f"{AHEAD}; pwd", cwd="/etc")).stdout == b"1\n/etc\n"
    missing = await run(series, AHEAD, cwd="/nowhere")
    assert (missing.exit_code, missing.stderr) == (1, b"cd: /nowhere: no such directory\n")


@pytest.mark.docker
async def test_nobody_but_the_series_gets_the_exec_that_waits(provider: DockerProvider) -> None:
    sandbox = await acquire(provider)
    series = sandbox.series()
    await until_one_waits(sandbox)
    assert (await sandbox.exec(AHEAD, timeout=60)).stdout == b"0\n"
    await series.close()
    assert await until_none_waits(sandbox)
    await series.close()
    assert (await run(series, AHEAD)).stdout == b"0\n"  # a call of a thread that came late
    assert await until_none_waits(sandbox)


@pytest.mark.docker
async def test_commands_that_come_without_a_pause_share_one_exec_from_the_first_on(provider: DockerProvider) -> None:
    busy = DockerProvider(idle=LONG)
    try:
        series = (await acquire(busy)).series()
        found = [await run(series, f"{AHEAD}; {WHICH}") for _ in range(3)]
        said = {ran.stdout for ran in found}
        assert len(said) == 1
        assert said.pop().startswith(b"1\n/proc/")
    finally:
        await busy.close()


@pytest.mark.docker
async def test_of_commands_at_once_one_takes_the_exec_that_waits(provider: DockerProvider) -> None:
    sandbox = await acquire(provider)
    series = sandbox.series()
    await until_one_waits(sandbox)
    meet = f"touch here-{{n}}; until [ $(ls -d here-* | wc -l) = 4 ]; do sleep 0.05; done; echo {{n}}; {AHEAD}"
    found = await asyncio.gather(*(run(series, meet.format(n=n)) for n in range(4)))
    said = [each.stdout.split() for each in found]
    assert [numbers[0] for numbers in said] == [b"0", b"1", b"2", b"3"]
    assert sorted(numbers[1] for numbers in said) == [b"0", b"0", b"0", b"1"]


@pytest.mark.docker
async def test_a_timeout_kills_the_session_of_a_command_that_was_waited_for(provider: DockerProvider) -> None:
    sandbox = await acquire(provider)
    series = sandbox.series()
    await run(series, "setsid sleep 901 >/dev/null 2>&1 &")
    for seconds in (0.5, 3, 15):  # a busy machine may not come as far as `grep` in the first
        await until_one_waits(sandbox)
        ran = await run(series, f"{AHEAD}; (sleep 902 | cat) & trap '' TERM HUP INT; sleep 903", seconds)
        if ran.stdout:
            break
    assert (ran.timed_out, ran.exit_code, ran.stdout) == (True, None, b"1\n")
    processes = (await run(series, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).stdout
    assert b"sleep 901" in processes
    assert not [n for n in (b"902", b"903") if b"sleep " + n in processes]


@pytest.mark.docker
async def test_a_long_command_and_much_output_are_as_ever(provider: DockerProvider) -> None:
    sandbox = await acquire(provider)
    series = sandbox.series()
    for size, waits in ((10_000, b"1\n"), (30_000, b"0\n"), (300_000, b"1\n")):
        await until_one_waits(sandbox)
        ran = await run(series, f"{AHEAD}; cat <<'END' | wc -c\n{'x' * size}\nEND\n")
        assert ran.stdout == waits + b"%d\n" % (size + 1)
    await until_one_waits(sandbox)
    ran = await run(series, "echo HEAD; head -c 10000000 /dev/zero; echo TAIL", output_limit=1000)
    assert (ran.stdout[:5], ran.stdout[-5:], ran.stdout_dropped) == (b"HEAD\n", b"TAIL\n", 10_000_010 - 1000)


# What can happen to an exec that waits


ONCE = f"echo x >>/ran; {AHEAD}; cat /ran; rm /ran"


@pytest.mark.docker
async def test_where_the_waiting_shell_was_killed_the_command_runs_once_in_a_plain_exec(
    provider: DockerProvider,
) -> None:
    sandbox = await acquire(provider)
    series = sandbox.series()
    await until_one_waits(sandbox)
    assert (await sandbox.exec("kill -9 -1; kill -9 $$", timeout=60)).exit_code == 137
    assert (await run(series, ONCE)).stdout == b"0\nx\n"
    await until_one_waits(sandbox)
    assert (await run(series, ONCE)).stdout == b"1\nx\n"
    await until_one_waits(sandbox)
    assert (await run(series, "kill -9 -1; kill -9 $$")).exit_code == 137


@pytest.mark.docker
async def test_a_waiting_shell_that_was_stopped_runs_nothing_when_it_goes_on(provider: DockerProvider) -> None:
    sandbox = await acquire(provider)
    series = sandbox.series()
    pid = (await until_one_waits(sandbox)).decode()
    await sandbox.exec(f"kill -STOP {pid}", timeout=60)
    assert (await run(series, "echo x >>/ran; cat /ran")).stdout == b"x\n"
    await series.close()
    await sandbox.exec(f"kill -CONT {pid}", timeout=60)
    assert await until_none_waits(sandbox)
    assert (await run(series, "cat /ran")).stdout == b"x\n"


@pytest.mark.docker
async def test_where_no_process_is_left_a_command_gets_a_value_as_ever_and_a_restart_heals_it(
    provider: DockerProvider,
) -> None:
    sandbox = await acquire(provider, pids=20)
    series = sandbox.series()
    # It takes the place of every process that ends, so what waits gets none or the last one.
    greedy = """
import subprocess, time
while True:
    try: subprocess.Popen(["sleep", "300"])
    except OSError: time.sleep(0.01)
    open("/full", "w")
"""
    await sandbox.write("/app/greedy.py", greedy.encode())
    await run(series, "setsid python3 greedy.py >/dev/null 2>&1 & until [ -e /full ]; do sleep 0.05; done", 60)
    for _ in range(2):
        starved = await run(series, "true", 60)
        assert starved.exit_code is not None
    await sandbox.restart()
    assert (await run(series, "echo again | cat")).stdout == b"again\n"


@pytest.mark.docker
async def test_a_container_is_not_paused_while_an_exec_is_being_started_in_it(provider: DockerProvider) -> None:
    for number in range(6):
        sandbox = await acquire(provider)
        assert (await run(sandbox.series(), "true")).exit_code == 0
        await asyncio.sleep(number / 100)  # the next exec is begun meanwhile, and is somewhere on its way
        await sandbox.freeze()
        assert await sandbox_removed(sandbox)


@pytest.mark.docker
async def test_a_restart_leaves_none_waiting_and_the_series_goes_on(provider: DockerProvider) -> None:
    sandbox = await acquire(provider)
    series = sandbox.series()
    await until_one_waits(sandbox)
    await sandbox.restart()
    assert await until_none_waits(sandbox)
    assert (await run(series, ONCE)).stdout == b"1\nx\n"


@pytest.mark.docker
async def test_a_container_that_died_while_one_waited_is_a_lost_sandbox(provider: DockerProvider) -> None:
    from docker import APIClient

    sandbox = await acquire(provider)
    series = sandbox.series()
    await until_one_waits(sandbox)
    engine = APIClient(version="auto")
    engine.kill(sandbox.id)
    engine.wait(sandbox.id)
    engine.close()
    with pytest.raises(SandboxError, match="stopped running"):
        await run(series, "echo x")
    await sandbox.close()
    with pytest.raises(SandboxError, match="is closed"):
        await run(series, "echo x")
    with pytest.raises(SandboxError, match="is closed"):
        sandbox.series()


@pytest.mark.docker
async def test_a_wrapper_that_ends_well_and_is_not_heard_has_lost_its_connection(provider: DockerProvider) -> None:
    sandbox = await acquire(provider)
    await sandbox.write("/bin/mute", b"#!/bin/dash\nprintf '%s:%s;' \"$4\" $$\n", mode=0o755)
    assert (await sandbox.exec("mv /bin/mute /bin/sh", timeout=60)).exit_code == 0
    with pytest.raises(SandboxError, match="the connection to a command was lost"):
        await sandbox.exec("true", timeout=60)


@pytest.mark.docker
async def test_a_command_of_lorimers_own_that_does_not_end_is_not_waited_for(
    provider: DockerProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = await acquire(provider)
    monkeypatch.setattr("lorimer.sandbox.docker.commands.running.ROOT_SECONDS", 0.2)
    collector = Collector("n" * 32, 100, announced=False)
    engine = Engine(workers=1)
    try:
        await asyncio.wait_for(Execs(engine, sandbox.id).run_as_root(["sleep", "900"], collector), 300)
    finally:
        await engine.close()
    assert collector.exit_code is None


# What can happen to the stream


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[EngineProxy]:
    proxy = EngineProxy(tmp_path / "engine.sock")
    yield proxy
    proxy.stop(kill=f"lorimer.study={STUDY}")
    gc.collect()


REFUSED = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""Of a connection that is refused, the SDK leaves the socket to the garbage collector."""


@pytest.mark.docker
@REFUSED
async def test_a_stream_that_was_cut_runs_nothing_and_what_was_begun_is_not_begun_again(engine: EngineProxy) -> None:
    provider = DockerProvider(base_url=engine.url, idle=0.0)
    try:
        sandbox = await acquire(provider)
        series = sandbox.series()
        await until_one_waits(sandbox)
        # While it waits: a plain exec, as nothing was sent.
        engine.stop()
        engine.start()
        assert (await run(series, ONCE)).stdout == b"0\nx\n"
        # While the command is sent: whatever the shell answers, nobody hears it, so it is never told to begin.
        await until_one_waits(sandbox)
        engine.hushed = True
        with pytest.raises(EngineOutage):
            await run(series, "echo x >>/ran")
        engine.hushed = False
        await series.close()
        assert await until_none_waits(sandbox)
        assert (await sandbox.exec("cat /ran", timeout=60)).exit_code == 1
        # While it runs: the command goes on unheard, which is a loss and no end of its own.
        series = sandbox.series()
        await until_one_waits(sandbox)
        command = asyncio.create_task(
            run(series, "echo x >>/ran; touch /begun; until [ -e /on ]; do sleep 0.05; done", 900)
        )
        await sandbox.exec("until [ -e /begun ]; do sleep 0.05; done", timeout=60)
        engine.stop()
        engine.start()
        await sandbox.exec("touch /on", timeout=60)
        with pytest.raises(SandboxError, match="the connection to a command was lost"):
            await command
        assert (await sandbox.exec("cat /ran", timeout=60)).stdout == b"x\n"
    finally:
        await provider.close()
