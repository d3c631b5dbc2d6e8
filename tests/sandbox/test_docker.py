"""The docker provider against a real engine: what the conformance suite cannot say of every provider."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError

from lorimer.errors import ImageError, NotRemoved, PrerequisiteError, SandboxError
from lorimer.meta_agent.workspace.session import _Nobody, told_of
from lorimer.sandbox.base import (
    BuiltImage,
    Changes,
    ExecOutput,
    JailRequest,
    LineTooLong,
    Owner,
    PulledImage,
    PythonImage,
    Sandbox,
    SandboxFileError,
    SandboxLimits,
    SandboxRequest,
)
from lorimer.sandbox.docker.commands import killing
from lorimer.sandbox.docker.engine import EngineError
from lorimer.sandbox.docker.files import written_in
from lorimer.sandbox.docker.labels import HOST, PID, owner_labels
from lorimer.sandbox.docker.provider import DockerProvider

pytestmark = pytest.mark.docker

IMAGE = "python:3.12-slim"
OWNER = Owner("test-docker", "trial")


@pytest.fixture
async def provider() -> AsyncIterator[DockerProvider]:
    made = DockerProvider()
    yield made
    await made.close()


@pytest.fixture
async def sandbox(provider: DockerProvider) -> Sandbox:
    return await acquire(provider)


async def acquire(provider: DockerProvider, image: str = IMAGE, **limits: Any) -> Sandbox:
    settings = {"cpus": 1, "memory_mb": 512, "pids": 100, **limits}
    request = SandboxRequest(
        await provider.prepare(PulledImage(image)), OWNER, SandboxLimits(**settings), workdir="/app"
    )
    return await provider.acquire(request)


async def run(sandbox: Sandbox, command: str, timeout: float = 60, **options: Any) -> ExecOutput:
    return await sandbox.exec(command, timeout=timeout, **options)


async def given_time(sandbox: Sandbox, command: str, first: float = 0.5) -> ExecOutput:
    """A command that is ended by its time limit, which is raised until it had the time to say something first."""
    for seconds in (first, 3, 15):
        result = await run(sandbox, command, seconds)
        if result.stdout:
            break
    return result


def jail_request(code: str, **limits: Any) -> JailRequest:
    return JailRequest(["python3", "-I", "-u", "-c", code], OWNER, **limits)


@pytest.fixture
def engine() -> Any:
    """The SDK itself, to see what the provider did."""
    from docker import APIClient

    client = APIClient(version="auto")
    yield client
    client.close()


def folder(root: Path, **files: str) -> Path:
    root.mkdir(exist_ok=True)
    for name, text in files.items():
        (root / name).write_text(text)
    return root


# Commands


async def test_an_exec_ends_with_its_command_though_a_daemon_holds_its_output(sandbox: Sandbox) -> None:
    started = time.monotonic()
    first = await run(sandbox, "sleep 300 & echo started")
    second = await run(sandbox, "(while :; do echo noise; sleep 0.01; done) & echo $! >/tmp/loop; echo also")
    assert (first.stdout, first.exit_code, second.exit_code) == (b"started\n", 0, 0)
    assert second.stdout.replace(b"noise\n", b"") == b"also\n"
    assert (await run(sandbox, "kill -0 $(cat /tmp/loop) && cat /proc/[0-9]*/comm")).stdout.count(b"sleep\n") >= 1
    assert time.monotonic() - started < 100  # long before the daemon ends


async def test_a_timeout_kills_the_session_and_leaves_other_sessions(sandbox: Sandbox) -> None:
    await run(sandbox, "setsid sleep 401 >/dev/null 2>&1 &")
    command = "echo before; sleep 402 & (sleep 403 | cat) & trap '' TERM HUP INT; sleep 404"
    result = await given_time(sandbox, command)
    assert (result.timed_out, result.exit_code, result.stdout) == (True, None, b"before\n")
    processes = (await run(sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).stdout
    assert b"sleep 401" in processes
    assert not [n for n in (b"402", b"403", b"404") if b"sleep " + n in processes]


OTHERS = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"


async def test_a_command_with_much_memory_may_take_its_time_to_die(provider: DockerProvider) -> None:
    sandbox = await acquire(provider, memory_mb=2000)
    await run(sandbox, "setsid sleep 411 >/dev/null 2>&1 &")
    hoard = (
        "import time; x = bytearray(1 << 30); x[::4096] = b'1' * (1 << 18); print('held', flush=True); time.sleep(412)"
    )
    result = await given_time(sandbox, f'python3 -c "{hoard}"', 1.5)
    assert (result.timed_out, result.stdout, result.stderr) == (True, b"held\n", b"")
    processes = (await run(sandbox, OTHERS)).stdout
    assert b"sleep 411" in processes
    assert b"sleep(412)" not in processes


KILLER_FAILS = """#!/bin/dash
case "$*" in *"scan KILL"*)
  echo x >>/killers
  if [ "$(wc -l </killers)" -le FIRST ]; then exit 0; fi ;;
esac
exec /bin/dash "$@"
"""
"""A shell in the place of /bin/sh, which does nothing where it is to kill: so often as FIRST says."""


async def broken_killer(provider: DockerProvider, first: int) -> Sandbox:
    sandbox = await acquire(provider)
    await sandbox.write("/bin/broken", KILLER_FAILS.replace("FIRST", str(first)).encode(), mode=0o755)
    assert (await run(sandbox, "mv /bin/broken /bin/sh; setsid sleep 421 >/dev/null 2>&1 &")).exit_code == 0
    return sandbox


async def test_a_killer_that_says_nothing_is_sent_again(provider: DockerProvider) -> None:
    sandbox = await broken_killer(provider, 2)
    result = await run(sandbox, "sleep 422", 0.5)
    assert (result.timed_out, result.stderr) == (True, b"")
    processes = (await run(sandbox, OTHERS)).stdout
    assert b"sleep 421" in processes
    assert b"sleep 422" not in processes
    assert await sandbox.read("/killers", max_bytes=99) == b"x\n" * 3


async def test_a_command_that_nothing_can_kill_ends_with_every_process_of_the_container_and_that_is_said(
    provider: DockerProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(killing, "KILL_SECONDS", 1.0)  # for which it is tried
    sandbox = await broken_killer(provider, 1_000_000)
    result = await given_time(sandbox, "echo before; sleep 422")
    assert (result.timed_out, result.exit_code, result.stdout) == (True, None, b"before\n")
    assert result.stderr == (
        b"lorimer: the command could not be killed, so the container was restarted: no process in it lives on\n"
    )
    assert b"sleep 42" not in (await run(sandbox, OTHERS)).stdout


async def test_a_process_with_a_hostile_name_is_killed_too(sandbox: Sandbox) -> None:
    hide = "import ctypes, time; ctypes.CDLL(None).prctl(15, b'x) S 1\\n) R 9 9', 0, 0, 0); time.sleep(405)"
    result = await run(sandbox, f'python3 -c "{hide}"', 1.5)
    assert result.timed_out
    assert b"sleep(405)" not in (await run(sandbox, "cat /proc/[0-9]*/cmdline")).stdout


async def test_a_fork_bomb_is_ended_at_its_timeout_and_the_sandbox_goes_on(sandbox: Sandbox) -> None:
    await sandbox.write("kept", b"kept")
    bomb = "import os, time\nwhile True:\n try: os.fork()\n except OSError: time.sleep(0.01)\n"
    await sandbox.write("bomb.py", bomb.encode())
    assert (await run(sandbox, "python3 bomb.py", 2)).timed_out
    after = await run(sandbox, "cat kept; cat /proc/[0-9]*/comm | grep -c python3")
    assert after.stdout == b"kept0\n"


async def test_no_pids_left_is_a_value_and_a_restart_heals_it(sandbox: Sandbox) -> None:
    greedy = "import subprocess\ntry:\n while 1: subprocess.Popen(['sleep', '300'])\nexcept OSError: pass\n"
    await run(sandbox, f'python3 -c "{greedy}"', 20)
    # Not bash: it tries each fork again for 15 s.
    starved = await run(sandbox, 'exec python3 -c "import os; [os.fork() or os._exit(0) for _ in range(4)]"', 30)
    assert starved.exit_code != 0
    # Whichever needs a process first says it: the command's shell, or the engine that starts that shell.
    assert any(said in starved.stderr for said in (b"Resource temporarily unavailable", b"no pids or memory left"))
    await sandbox.restart()
    assert (await run(sandbox, "echo again | cat")).stdout == b"again\n"


async def test_killing_every_process_is_the_commands_own_end(sandbox: Sandbox) -> None:
    assert (await run(sandbox, "kill -9 -1; kill -9 $$")).exit_code == 137
    assert (await run(sandbox, "echo alive")).stdout == b"alive\n"


async def test_closed_or_exhausted_descriptors_do_not_lose_the_exit_code(sandbox: Sandbox) -> None:
    assert (await run(sandbox, "exec 0<&- 1>&- 2>&-; exit 5")).exit_code == 5
    greedy = "import os; r = [os.dup(1) for _ in iter(int, 1)]"
    assert (await run(sandbox, f"ulimit -n 100; python3 -c '{greedy}'; exit 6")).exit_code == 6


async def test_bytes_come_back_as_they_were_on_their_own_stream(sandbox: Sandbox) -> None:
    result = await run(sandbox, r"printf '\377\376\000'; printf '\200' >&2")
    assert (result.stdout, result.stderr) == (b"\xff\xfe\x00", b"\x80")


async def test_a_hundred_megabytes_of_output_cost_the_host_little(sandbox: Sandbox) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = await run(sandbox, "echo HEAD; head -c 100000000 /dev/zero; echo TAIL", output_limit=10_000)
    assert (len(result.stdout), result.stdout_dropped) == (10_000, 100_000_010 - 10_000)
    assert (result.stdout[:5], result.stdout[-5:]) == (b"HEAD\n", b"TAIL\n")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB


async def test_a_command_longer_than_an_argument_may_be_runs(sandbox: Sandbox) -> None:
    result = await run(sandbox, f"cat <<'END' | wc -c\n{'x' * 300_000}\nEND\nls -A /tmp")
    assert result.stdout == b"300001\n.lorimer-" + result.stdout.partition(b".lorimer-")[2]
    assert (await run(sandbox, "ls -A /tmp")).stdout == b""


async def test_a_deleted_workdir_does_not_end_the_sandbox(sandbox: Sandbox) -> None:
    await run(sandbox, "rm -rf /app")
    result = await run(sandbox, "pwd")
    assert (result.stdout, result.exit_code) == (b"/\n", 0)
    assert b"working directory /app is gone" in result.stderr
    asked = await run(sandbox, "pwd", cwd="/app")
    assert (asked.exit_code, asked.stderr) == (1, b"cd: /app: no such directory\n")
    assert (await run(sandbox, "pwd", cwd="/etc")).stdout == b"/etc\n"


async def test_commands_run_at_once(sandbox: Sandbox) -> None:
    # Each waits until all have begun: one after another, none would end.
    meet = "touch /app/here-$N; until [ $(ls -d /app/here-* | wc -l) = 6 ]; do sleep 0.05; done; echo $N"
    results = await asyncio.gather(*(run(sandbox, meet, env={"N": str(n)}) for n in range(6)))
    assert [(result.stdout, result.timed_out) for result in results] == [(b"%d\n" % n, False) for n in range(6)]


async def test_memory_is_limited_and_the_kill_is_seen(provider: DockerProvider) -> None:
    sandbox = await acquire(provider, memory_mb=64)
    result = await run(sandbox, "python3 -c 'x = bytearray(300_000_000)'; echo $?")
    assert result.stdout == b"137\n"


async def test_a_file_cannot_grow_over_the_storage_limit(provider: DockerProvider) -> None:
    sandbox = await acquire(provider, storage_mb=1)
    await run(sandbox, "head -c 3000000 /dev/zero > big")
    assert (await run(sandbox, "stat -c %s big")).stdout == b"1048576\n"


async def test_there_is_no_network_unless_the_task_asks_for_it(engine: Any) -> None:
    for override, asked, open_ in ((None, False, False), (None, True, True), ("none", True, False)):
        provider = DockerProvider(network=override)
        try:
            sandbox = await acquire(provider, network=asked)
            mode = engine.inspect_container(sandbox.id)["HostConfig"]["NetworkMode"]
            assert engine.inspect_network(mode)["Driver"] == ("bridge" if open_ else "null")
            devices = (await run(sandbox, "cat /proc/net/dev")).stdout
            assert (b"eth0" in devices) == open_
        finally:
            await provider.close()


async def test_more_processors_than_the_machine_has_are_as_many_as_it_has(provider: DockerProvider) -> None:
    assert (await run(await acquire(provider, cpus=4096), "echo ok")).stdout == b"ok\n"


# Files


async def test_reads_and_writes_follow_links_inside_the_container_only(sandbox: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    await run(sandbox, f"ln -s {secret} link; ln -s ../../../../../../../.. up; ln -s loop loop; mkfifo fifo")
    with pytest.raises(SandboxFileError, match="no such file"):
        await sandbox.read("link", max_bytes=100)
    with pytest.raises(SandboxFileError, match="no such file"):
        await sandbox.read(f"up{secret}", max_bytes=100)
    await sandbox.write("link", b"of the container")
    await sandbox.write(f"up{tmp_path}/new", b"of the container")
    assert (secret.read_text(), sorted(tmp_path.glob("*"))) == ("of the host", [secret])  # noqa: ASYNC240
    assert await sandbox.read(str(secret), max_bytes=100) == b"of the container"
    with pytest.raises(SandboxFileError, match="too many links"):
        await sandbox.read("loop", max_bytes=100)
    with pytest.raises(SandboxFileError, match="not a regular file"):
        await sandbox.read("fifo", max_bytes=100)


async def test_file_errors_are_values_in_plain_words(sandbox: Sandbox) -> None:
    await sandbox.write("deep/down/file", b"12345")
    assert await sandbox.read("/app/deep/down/file", max_bytes=5) == b"12345"
    for path, words in (
        ("deep", "is a directory"),
        ("nothing", "no such file"),
        ("deep/down/file/x", "not a directory"),
        ("y" * 300, "file name too long"),
        ("/proc/self/environ", "use a command"),
        ("", "not a path"),
    ):
        with pytest.raises(SandboxFileError, match=words) as caught:
            await sandbox.read(path, max_bytes=100)
        assert "/var/lib" not in str(caught.value)
    with pytest.raises(SandboxFileError, match="5 bytes, over the limit of 4"):
        await sandbox.read("deep/down/file", max_bytes=4)
    with pytest.raises(SandboxFileError, match="is a directory"):
        await sandbox.write("deep", b"")
    assert await sandbox.read("deep/down/file", max_bytes=5) == b"12345"


async def test_a_sparse_giant_is_refused_before_it_is_sent(sandbox: Sandbox) -> None:
    await run(sandbox, "truncate -s 10G giant")  # more than any machine sends in the time below
    took = []
    for _ in range(5):  # the best of five, as others share the machine
        started = time.monotonic()
        with pytest.raises(SandboxFileError, match="over the limit"):
            await sandbox.read("giant", max_bytes=1000)
        took.append(time.monotonic() - started)
    assert min(took) < 5


async def test_an_archive_that_is_left_unread_keeps_no_later_question_waiting(sandbox: Sandbox) -> None:
    """The engine locks a container until its archive is taken or cut; who keeps the error keeps what was open with it."""
    await run(sandbox, "head -c 30000000 /dev/zero > /app/big")
    with pytest.raises(SandboxFileError) as kept:
        await sandbox.pack("/app/big", io.BytesIO(), max_bytes=1000)
    async with asyncio.timeout(90):
        assert await sandbox.running()
    assert "over the limit" in str(kept.value)


async def test_a_tree_is_roots_and_replaces_what_was_planted(sandbox: Sandbox, tmp_path: Path) -> None:
    tests = folder(tmp_path / "tests", **{"test.sh": "exit 0\n", "data": "x"})
    (tests / "test.sh").chmod(0o751)
    (tests / "link").symlink_to("data")
    await run(sandbox, "mkdir -p /tests/test.sh; ln -s /etc/passwd /tests/data")
    await sandbox.put_tree(tests, "/tests")
    listing = await run(sandbox, "stat -c '%n %a %U %F' *; cat link", cwd="/tests")
    assert listing.stdout == (
        b"data 644 root regular file\nlink 777 root symbolic link\ntest.sh 751 root regular file\nx"
    )
    assert b"root" in (await run(sandbox, "cat /etc/passwd")).stdout


@pytest.mark.parametrize("link", ["/etc/passwd", "../outside"])
async def test_a_tree_with_a_link_out_of_itself_is_refused(sandbox: Sandbox, tmp_path: Path, link: str) -> None:
    tests = folder(tmp_path / "tests")
    (tests / "link").symlink_to(link)
    with pytest.raises(SandboxFileError, match="leaves the folder"):
        await sandbox.put_tree(tests, "/tests")


# Restart and end


async def test_a_restart_ends_every_process_and_keeps_the_files(sandbox: Sandbox) -> None:
    await run(sandbox, "echo kept > file; echo gone > /dev/shm/file; setsid sleep 406 >/dev/null 2>&1 & sleep 407 &")
    await sandbox.restart()
    after = await run(sandbox, "cat file; ls /dev/shm; cat /proc/[0-9]*/cmdline")
    assert after.stdout.startswith(b"kept\n/bin/sh")
    assert b"sleep\x00406" not in after.stdout
    assert b"sleep\x00407" not in after.stdout
    changed = await sandbox.changed_files()
    assert "/app/file" in changed.paths
    assert list(changed.paths) == sorted(changed.paths)


async def test_symlinks_among_what_changed_are_told_without_a_command(sandbox: Sandbox) -> None:
    """To a file, to a folder, to nothing, and one that replaced a folder of the image's; what is under a link is not followed."""
    made = "mkdir real; echo x > real/file; ln -s real/file one; ln -s real two; ln -s /nowhere three"
    await run(sandbox, f"{made}; rm -rf /srv; ln -s /app /srv; ln one hard; mkfifo pipe")
    found = await sandbox.changed_files()
    if found.links is None:
        pytest.skip("the engine's layers cannot be read here")
    assert found.links == {"/app/one", "/app/two", "/app/three", "/app/hard", "/srv"}
    assert {"/app/real/file", "/app/pipe"} <= set(found.paths)
    assert "/srv/real" not in found.paths


def test_so_many_changed_paths_are_listed_and_no_more(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / str(number)).touch()
    whole = written_in(str(tmp_path), most=7)
    assert whole is not None
    assert (len(whole.paths), whole.cut) == (7, False)
    assert written_in(str(tmp_path), most=6) == Changes(("/folder",), frozenset(), cut=True)


async def test_a_container_lost_is_a_sandbox_error(sandbox: Sandbox, engine: Any) -> None:
    engine.kill(sandbox.id)
    engine.wait(sandbox.id)
    with pytest.raises(SandboxError, match="stopped running"):
        await run(sandbox, "echo x")
    engine.remove_container(sandbox.id, force=True)
    for action in (run(sandbox, "x"), sandbox.read("x", max_bytes=1), sandbox.write("x", b""), sandbox.restart()):
        with pytest.raises(SandboxError):
            await action


async def test_close_removes_and_can_be_repeated(provider: DockerProvider, sandbox: Sandbox, engine: Any) -> None:
    await sandbox.close()
    await sandbox.close()
    with pytest.raises(SandboxError, match="is closed"):
        await run(sandbox, "echo x")
    await provider.close()
    assert engine.containers(all=True, filters={"id": sandbox.id}) == []


async def test_a_cancelled_acquire_leaves_no_container(engine: Any) -> None:
    study = "test-docker-cancelled"
    provider = DockerProvider()
    for delay in (0.1, 0.05, 0.02, 0.005, 0.001):
        request = SandboxRequest(await provider.prepare(PulledImage(IMAGE)), Owner(study, "t"))
        work = asyncio.create_task(provider.acquire(request))
        await asyncio.sleep(delay)
        work.cancel()
        await asyncio.wait({work})
    await provider.close()
    await asyncio.sleep(1)  # the engine would have made by now what it was asked for before the end
    assert engine.containers(all=True, filters={"label": f"lorimer.study={study}"}) == []


async def test_reap_removes_what_a_dead_process_left_and_nothing_else(engine: Any) -> None:
    provider = DockerProvider()
    mine = await acquire(provider)

    def leave(**changed: str) -> str:
        labels = {**owner_labels(OWNER), **changed}
        made = engine.create_container_from_config({"Image": IMAGE, "Labels": labels})
        return str(made["Id"])

    orphan = leave(**{PID: "99999999-1-x"})
    others = [leave(**{PID: "99999999-1-x", HOST: "another-machine"}), leave(**{PID: "garbage"}), mine.id]
    try:
        # Any lorimer of this machine reaps: who removed it is not asked, and what another is removing is listed until it is gone.
        await provider.reap()
        for _ in range(300):
            if not engine.containers(all=True, filters={"id": orphan}):
                break
            await asyncio.sleep(0.1)
        assert engine.containers(all=True, filters={"id": orphan}) == []
        assert all(engine.containers(all=True, filters={"id": other}) for other in others)
    finally:
        for other in others[:2]:
            engine.remove_container(other, force=True)
        await provider.close()


# Jails


async def test_a_jail_has_nothing_but_its_pipe(provider: DockerProvider) -> None:
    jail = await provider.jail(
        jail_request(
            """
import os, socket
def attempt(act):
    try: return act() or 'done'
    except OSError as error: return type(error).__name__
def connect(): socket.create_connection(('127.0.0.53', 53), 1)
def outside(): socket.create_connection(('1.1.1.1', 53), 1)
print(sorted(os.environ.items()))
print(os.getuid(), os.getgid(), os.listdir('/tmp'))
for path in ('/x', '/dev/x', '/dev/shm/x', '/dev/mqueue/x', '/etc/x', '/proc/sys/kernel/x'):
    print(path, attempt(lambda: open(path, 'w')))
print(attempt(connect), attempt(outside), attempt(lambda: os.setuid(0)))
print([line for line in open('/proc/self/status') if line.startswith(('CapEff', 'NoNewPrivs'))])
print(attempt(lambda: open('/tmp/big', 'wb').write(bytes(9_000_000)) and None))
""",
            scratch_mb=8,
        )
    )
    lines = []
    while (line := await jail.receive()) is not None:
        lines.append(line.decode())
    assert lines[:2] == [
        "[('HOME', '/tmp'), ('LANG', 'C.UTF-8'), "
        "('PATH', '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'), ('PYTHONHASHSEED', '0')]",
        "65534 65534 []",
    ]
    assert not [line for line in lines if "done" in line]
    assert lines[-2] == "['CapEff:\\t0000000000000000\\n', 'NoNewPrivs:\\t1\\n']"
    assert (await jail.wait()).exit_code == 0


async def test_a_jail_over_its_memory_says_so(provider: DockerProvider) -> None:
    jail = await provider.jail(
        jail_request("print('up'); x = []\nwhile 1: x.append(bytes(b'x' * 10**7))", memory_mb=80)
    )
    assert await jail.receive() == b"up"
    assert await jail.receive() is None
    end = await jail.wait()
    assert (end.exit_code, end.out_of_memory) == (137, True)


async def test_lines_and_stderr_are_kept_apart_and_bounded(provider: DockerProvider) -> None:
    code = (
        "import sys\nfor l in sys.stdin: sys.stderr.write('e' * 200_000 + 'END'); print(l.strip()[::-1]); sys.exit(3)"
    )
    jail = await provider.jail(jail_request(code))
    await jail.send(b"abc")
    assert [await jail.receive(), await jail.receive()] == [b"cba", None]
    end = await jail.wait()
    assert (end.exit_code, len(end.stderr), end.stderr_dropped) == (3, 64 << 10, 200_003 - (64 << 10))
    assert end.stderr.endswith(b"END")
    await jail.close()
    await jail.send(b"swallowed")
    assert await jail.wait() is end


async def test_a_jail_that_floods_its_output_waits_instead_of_filling_the_host(provider: DockerProvider) -> None:
    jail = await provider.jail(jail_request("while 1: print('x' * 60_000)"))
    assert await jail.receive() == b"x" * 60_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await asyncio.sleep(1.5)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB
    assert await jail.receive() == b"x" * 60_000


async def test_a_line_without_end_is_refused(provider: DockerProvider) -> None:
    jail = await provider.jail(jail_request("import sys\nwhile 1: sys.stdout.write('x' * 1_000_000)"))
    with pytest.raises(LineTooLong):
        await jail.receive()
    await jail.close()
    assert (await jail.wait()).exit_code == 137


async def test_a_jail_closed_meanwhile_ends_its_reader(provider: DockerProvider) -> None:
    jail = await provider.jail(jail_request("import time; time.sleep(600)"))
    reading, waiting = asyncio.create_task(jail.receive()), asyncio.create_task(jail.wait())
    await asyncio.sleep(0.2)
    await jail.close()
    async with asyncio.timeout(60):
        assert await reading is None
        assert (await waiting).exit_code == 137


async def test_a_jail_that_forks_without_end_stays_within_its_pids(provider: DockerProvider) -> None:
    code = """
import os, time
n = 0
try:
    while True:
        if os.fork() == 0: time.sleep(600)
        n += 1
except OSError: print(n)
"""
    jail = await provider.jail(jail_request(code, pids=20))
    assert await jail.receive() == b"19"


async def test_a_jail_image_that_cannot_be_had_is_a_prerequisite_with_its_fix() -> None:
    provider = DockerProvider(jail_image="localhost:1/nonesuch:1")
    with pytest.raises(PrerequisiteError, match=r"docker pull localhost:1/nonesuch:1.*\[jail\] image"):
        await provider.jail(jail_request("1"))
    await provider.close()


async def test_no_engine_is_a_prerequisite_with_its_fix(tmp_path: Path) -> None:
    provider = DockerProvider(base_url=f"unix://{tmp_path}/none.sock")
    with pytest.raises(PrerequisiteError, match=r"no Docker Engine answers at .*none\.sock; install and start one"):
        await provider.prepare(PulledImage(IMAGE))
    await provider.close()


async def test_an_engine_over_ssh_is_refused_with_its_fix() -> None:
    provider = DockerProvider(base_url="ssh://nowhere")
    with pytest.raises(PrerequisiteError, match="forward its socket"):
        await provider.prepare(PulledImage(IMAGE))
    await provider.close()


# Images


async def test_an_image_is_built_once_per_content_and_shared(
    provider: DockerProvider, tmp_path: Path, engine: Any
) -> None:
    context = folder(tmp_path / "env", Dockerfile=f"FROM {IMAGE}\nCOPY file /file\nWORKDIR /work\n", file="one")
    first, again = await asyncio.gather(*(provider.prepare(BuiltImage(context)) for _ in range(2)))
    (context / "file").chmod(0o755)
    other = await provider.prepare(BuiltImage(context))
    try:
        assert first == again
        assert first.startswith("lorimer-task:")
        assert other != first
        sandbox = await provider.acquire(SandboxRequest(first, OWNER))
        assert (await run(sandbox, "pwd; cat /file")).stdout == b"/work\none"
        await sandbox.close()
    finally:
        await provider.close()
        for image in {first, other}:
            engine.remove_image(image, force=True)


async def test_a_sandbox_is_made_of_the_image_whose_digest_is_told(
    provider: DockerProvider, tmp_path: Path, engine: Any
) -> None:
    """A name may be given to another image while a study runs."""
    contexts = [
        folder(tmp_path / text, Dockerfile=f"FROM {IMAGE}\nCOPY file /file\n", file=text) for text in ("one", "two")
    ]
    first, other = [await provider.prepare(BuiltImage(context)) for context in contexts]
    try:
        digest = await provider.image_digest(first)
        assert digest == engine.inspect_image(first)["Id"]
        assert digest != await provider.image_digest(other)
        engine.tag(other, *first.split(":"), force=True)
        sandbox = await provider.acquire(SandboxRequest(first, OWNER))
        assert engine.inspect_container(sandbox.id)["Image"] == digest
        assert (await run(sandbox, "cat /file")).stdout == b"one"
        await sandbox.close()
    finally:
        await provider.close()
        for image in (first, other, digest):
            engine.remove_image(image, force=True)


async def test_an_image_without_bash_and_with_a_user_of_its_own(
    provider: DockerProvider, tmp_path: Path, engine: Any
) -> None:
    dockerfile = f"FROM {IMAGE}\nRUN mkdir /work && chown nobody /work && rm /bin/bash\nWORKDIR /work\nUSER nobody\n"
    image = await provider.prepare(BuiltImage(folder(tmp_path / "env", Dockerfile=dockerfile)))
    try:
        sandbox = await provider.acquire(SandboxRequest(image, OWNER))
        result = await run(sandbox, "echo ${BASH_VERSION:-plain}; id -un; sleep 0.01 & wait; touch /etc/x; exit 9")
        assert (result.stdout, result.exit_code) == (b"plain\nnobody\n", 9)
        await sandbox.write("mine", b"x")
        assert (await run(sandbox, "stat -c %U mine; echo y >> mine && cat mine")).stdout == b"nobody\nxy\n"
        assert (await run(sandbox, "id -u", user="root")).stdout == b"0\n"
        assert (await run(sandbox, "sleep 408", 0.5)).timed_out
        assert b"sleep\x00408" not in (await run(sandbox, "cat /proc/[0-9]*/cmdline", user="0")).stdout
        unknown = await run(sandbox, "id", user="nonesuch")
        assert (unknown.exit_code, b"could not be started" in unknown.stderr) == (126, True)
        await sandbox.close()
    finally:
        await provider.close()
        engine.remove_image(image, force=True)


@pytest.mark.parametrize(
    ("dockerfile", "problem", "log"),
    [
        (f"FROM {IMAGE}\nRUN echo to-the-log; exit 7\n", "the image build failed: .*code: 7", "to-the-log"),
        ("NONSENSE\n", "the image build failed: .*NONSENSE", ""),
        (None, "no Dockerfile", ""),
    ],
)
async def test_a_build_that_fails_says_why_and_keeps_its_log(
    provider: DockerProvider, tmp_path: Path, dockerfile: str | None, problem: str, log: str
) -> None:
    context = folder(tmp_path / "env", **({"Dockerfile": dockerfile} if dockerfile else {}))
    with pytest.raises(ImageError, match=problem) as caught:
        await provider.prepare(BuiltImage(context))
    assert log in caught.value.log
    assert str(context) in str(caught.value)


async def test_a_build_that_takes_too_long_says_so_and_keeps_its_log(provider: DockerProvider, tmp_path: Path) -> None:
    for seconds in (3, 15, 60):  # a busy machine may not come as far as the command in the first
        dockerfile = f"FROM {IMAGE}\nRUN echo to-the-log; sleep 600 # {tmp_path} {seconds}\n"
        context = folder(tmp_path / f"env-{seconds}", Dockerfile=dockerfile)
        with pytest.raises(ImageError, match=f"the image build took over {seconds} s") as caught:
            await provider.prepare(BuiltImage(context, build_timeout=seconds))
        if "to-the-log" in caught.value.log.rpartition("--->")[2]:
            break
    assert "\nto-the-log" in caught.value.log


@pytest.mark.parametrize("name", ["localhost:1/nonesuch:latest", "Not A Name"])
async def test_an_image_that_cannot_be_pulled_says_why(provider: DockerProvider, name: str) -> None:
    with pytest.raises(ImageError, match=f"image {name}: "):
        await provider.prepare(PulledImage(name))


async def test_a_python_image_has_the_packages_asked_for(provider: DockerProvider) -> None:
    assert await provider.prepare(PythonImage()) == IMAGE
    image = await provider.prepare(PythonImage(("openpyxl", "et_xmlfile")))
    assert image == await provider.prepare(PythonImage(("et_xmlfile", "openpyxl")))
    sandbox = await provider.acquire(SandboxRequest(image, OWNER))
    result = await run(sandbox, "python3 -c 'import openpyxl; print(openpyxl.__file__, openpyxl.__cached__)'")
    assert result.stdout.startswith(b"/opt/lorimer/packages/openpyxl/__init__.py")


@pytest.mark.parametrize(
    ("package", "problem"), [("nonesuch", "is not installed"), ("pydantic_core", "not pure Python")]
)
async def test_a_package_that_cannot_go_into_an_image_is_named(
    provider: DockerProvider, package: str, problem: str
) -> None:
    with pytest.raises(PrerequisiteError, match=f"{package} {problem}" if "not inst" in problem else problem):
        await provider.prepare(PythonImage((package,)))


class Unremovable(DockerProvider):
    """Its engine removes no container, as where files lie too deep."""

    async def _remove_container(self, container: str) -> bool:
        raise EngineError("remove a container", "unable to remove filesystem: file name too long", 500)


TOO_LONG = '"unable to remove filesystem: file name too long"'


async def test_a_container_that_stays_is_named_with_the_engines_words(provider: DockerProvider) -> None:
    failing = Unremovable()
    sandbox = await acquire(failing)
    container = next(iter(failing._held))
    await sandbox.close()
    said = f"docker: 1 container could not be removed ({container[:12]}): {TOO_LONG}; `lorimer gc` tries again"
    try:
        with pytest.raises(NotRemoved, match=re.escape(said)):
            await failing.close()
    finally:
        assert await provider._remove_container(container)


async def test_reap_tells_what_it_cannot_remove(engine: Any) -> None:
    failing = Unremovable()
    labels = {HOST: owner_labels(OWNER)[HOST], PID: "99999999-1-x"}
    try:
        while True:  # any lorimer of this machine may remove it first
            made = engine.create_container(IMAGE, command=["true"], labels=labels)["Id"]
            try:
                await failing.reap()
            except NotRemoved as error:
                said = str(error)
                break
            finally:
                with contextlib.suppress(APIError):
                    engine.remove_container(made, force=True)
        assert "could not be removed (" in said
        assert said.endswith(TOO_LONG)
    finally:
        await failing.close()


async def test_a_session_says_what_stays_and_loses_nothing_by_it() -> None:
    said = list[str]()

    class Hears(_Nobody):
        def say(self, line: str) -> None:
            said.append(line)

    async def close() -> None:
        raise NotRemoved("docker: 1 container could not be removed")

    await told_of(Hears(), close)
    assert said == ["docker: 1 container could not be removed"]
