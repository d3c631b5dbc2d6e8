"""What every sandbox provider promises (`lorimer/sandbox/base.py`), held against each of them."""

from __future__ import annotations

import asyncio
import time
from io import BytesIO
from pathlib import Path

import pytest

from lorimer.errors import PrerequisiteError, SandboxError
from lorimer.harness.host import ARGV
from lorimer.sandbox.base import (
    DEEPEST_CHANGE,
    ExecOutput,
    Jail,
    JailRequest,
    LineTooLong,
    Sandbox,
    SandboxFileError,
    SandboxLimits,
)
from tests.sandbox.conftest import OWNER, Subject

PROCESSES = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"


async def run(sandbox: Sandbox, command: str, timeout: float = 30.0) -> ExecOutput:
    return await sandbox.exec(command, timeout=timeout)


async def jail(subject: Subject, code: str, memory_mb: int = 256, pids: int = 64) -> Jail:
    request = JailRequest([*ARGV[:-1], code], OWNER, memory_mb=memory_mb, pids=pids, scratch_mb=8)
    return await subject.provider.jail(request)


async def lines(running: Jail) -> list[bytes]:
    found = []
    while (line := await running.receive()) is not None:
        found.append(line)
    return found


# Commands


async def test_a_command_says_what_it_printed_and_how_it_ended(subject: Subject) -> None:
    sandbox = await subject.sandbox()
    said, left = await run(sandbox, "echo hello"), await run(sandbox, "exit 7")
    assert (said.stdout, said.stderr, said.exit_code, said.timed_out) == (b"hello\n", b"", 0, False)
    assert (left.stdout, left.exit_code) == (b"", 7)


async def test_streams_are_apart_and_bytes_are_kept(commands: Subject) -> None:
    sandbox = await commands.sandbox()
    result = await run(sandbox, r"printf '\377\000\n'; printf '\376' >&2")
    assert (result.stdout, result.stderr, result.exit_code) == (b"\xff\x00\n", b"\xfe", 0)
    assert (await run(sandbox, "kill -9 $$")).exit_code == 137


async def test_folder_and_environment_are_the_requests_and_then_the_calls(commands: Subject) -> None:
    sandbox = await commands.sandbox()
    assert (await run(sandbox, "pwd")).stdout == b"/app\n"
    result = await sandbox.exec("pwd; echo $NAME", timeout=10, cwd="/tmp", env={"NAME": "a b=c"})
    assert result.stdout == b"/tmp\na b=c\n"
    missing = await sandbox.exec("echo never", timeout=10, cwd="/nowhere")
    assert missing.exit_code not in (0, None)
    assert missing.stderr
    assert missing.stdout == b""


async def test_an_output_over_the_limit_keeps_both_ends(subject: Subject) -> None:
    sandbox = await subject.sandbox()
    if subject.runs:
        result = await sandbox.exec(
            "echo HEAD; head -c 100000000 /dev/zero; echo TAIL", timeout=60, output_limit=10_000
        )
        assert result.stdout[:5] == b"HEAD\n"
        assert result.stdout[-5:] == b"TAIL\n"
        assert (len(result.stdout), result.stdout_dropped) == (10_000, 100_000_010 - 10_000)
    else:
        result = await sandbox.exec("echo abcdefghij", timeout=5, output_limit=4)
        assert (result.stdout, result.stdout_dropped) == (b"abj\n", 7)


async def test_a_timeout_kills_the_commands_session(commands: Subject) -> None:
    sandbox = await commands.sandbox()
    started = time.monotonic()
    for seconds in (0.5, 3, 15):  # a busy machine may not come as far as `echo` in the first
        result = await run(sandbox, "echo before; sleep 501 & trap '' TERM; sleep 502 | cat; sleep 503", seconds)
        if result.stdout:
            break
    assert (result.timed_out, result.exit_code, result.stdout) == (True, None, b"before\n")
    assert time.monotonic() - started < 120  # long before any of them would have ended, on however busy a machine
    assert b"sleep 50" not in (await run(sandbox, PROCESSES)).stdout


async def test_a_process_whose_first_thread_has_ended_is_killed_with_its_session(commands: Subject) -> None:
    sandbox = await commands.sandbox()
    await sandbox.write(
        "/app/headless.py",
        b"import ctypes, os, threading, time\n"
        b"def count():\n"
        b" while True:\n"
        b"  with open('/app/counted', 'a') as file: file.write('x')\n"
        b"  time.sleep(.02)\n"
        b"os.setpgid(0, 0)\n"  # a group of its own: only its session still says whose it is
        b"threading.Thread(target=count).start()\n"
        b"ctypes.CDLL(None).pthread_exit(None)\n",
    )
    for seconds in (0.7, 3, 15, 30):  # it may take its time to start
        assert (await run(sandbox, "python3 headless.py & sleep 99", seconds)).timed_out
        first = (await run(sandbox, "cat /app/counted 2>/dev/null | wc -c")).stdout
        if int(first):
            break
    assert int(first) > 0
    assert (await run(sandbox, "sleep 0.5; cat /app/counted | wc -c")).stdout == first


async def test_a_daemon_holding_the_output_does_not_hold_the_command(commands: Subject) -> None:
    sandbox = await commands.sandbox()
    result = await run(sandbox, "(while :; do echo noise; sleep 0.02; done) & echo done")
    assert (result.exit_code, result.timed_out) == (0, False)
    assert b"done\n" in result.stdout
    assert b"noise" in (await run(sandbox, "sleep 0.2; cat /proc/[0-9]*/cmdline")).stdout


async def test_commands_run_at_once(commands: Subject) -> None:
    sandbox = await commands.sandbox()
    # Each waits until all have begun: one after another, none would end.
    meet = "touch /app/here-{n}; until [ $(ls -d /app/here-* | wc -l) = 8 ]; do sleep 0.05; done; echo {n}"
    results = await asyncio.gather(*(run(sandbox, meet.format(n=n)) for n in range(8)))
    assert [result.stdout for result in results] == [b"%d\n" % n for n in range(8)]


async def test_a_command_of_300_kilobytes_runs(commands: Subject) -> None:
    result = await run(await commands.sandbox(), f"cat <<'END' | wc -c\n{'x' * 300_000}\nEND")
    assert result.stdout.strip() == b"300001"


async def test_no_command_has_a_descriptor_but_its_own_three(commands: Subject) -> None:
    # Another one would be lorimer's: with it a command could answer for the sandbox.
    sandbox = await commands.sandbox()

    async def seen(command: str) -> None:
        ran = await run(sandbox, command)
        assert (ran.stdout, ran.exit_code) == (b"0\n1\n2\n3\n", 0)  # 3 is the folder that `ls` reads

    for _ in range(2):
        await seen("ls /proc/self/fd")
        await seen("sh -c 'ls /proc/self/fd; true' & wait")
        await seen(f"ls /proc/self/fd; : {'x' * 150_000}")
        await sandbox.restart()  # as before a verifier


async def test_a_cancelled_command_is_no_trouble_for_the_next(commands: Subject) -> None:
    sandbox = await commands.sandbox()
    work = asyncio.create_task(run(sandbox, "sleep 504", 60))
    await asyncio.sleep(0.3)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert (await run(sandbox, "echo next")).stdout == b"next\n"


async def test_there_is_no_network(running: Subject) -> None:
    code = "import socket\ntry:\n socket.create_connection(('1.1.1.1', 53), 2)\nexcept OSError: print('none')"
    assert (await run(await running.sandbox(), f'python3 -c "{code}"')).stdout == b"none\n"


# Files


async def test_a_file_written_is_read_back(subject: Subject) -> None:
    sandbox = await subject.sandbox()
    data = bytes(range(256)) * 40_000
    await sandbox.write("/new/deep/file", data)
    assert await sandbox.read("/new/deep/file", max_bytes=len(data)) == data
    await sandbox.write("relative", b"")
    assert await sandbox.read("/app/relative", max_bytes=0) == b""


async def test_what_cannot_be_read_or_written_is_a_value_with_a_reason(subject: Subject) -> None:
    sandbox = await subject.sandbox()
    await sandbox.write("/app/d/file", b"12345")
    for path, words in (
        ("/app/none", "no such file"),
        ("/app/d", "is a directory"),
        ("/app/d/file", "over the limit of 4"),
    ):
        with pytest.raises(SandboxFileError, match=words):
            await sandbox.read(path, max_bytes=4)
    with pytest.raises(SandboxFileError, match="is a directory"):
        await sandbox.write("/app/d", b"x")
    with pytest.raises(SandboxFileError, match="not a directory"):
        await sandbox.write("/app/d/file/x", b"x")
    with pytest.raises(SandboxFileError, match="not a path"):
        await sandbox.write("", b"x")


async def test_a_planted_link_leads_nowhere_on_the_host(running: Subject, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("host")
    sandbox = await running.sandbox()
    await run(sandbox, f"ln -s {secret} link; ln -s ../../../../../../.. up; ln -s /proc/1/root root; mkfifo fifo")
    for path in ("link", f"up{secret}", f"root{secret}", "fifo", "/proc/1/fd/0"):
        with pytest.raises(SandboxFileError):
            await asyncio.wait_for(sandbox.read(path, max_bytes=100), 60)
    await sandbox.write("link", b"sandbox")
    assert secret.read_text() == "host"


async def test_a_device_is_not_a_file(running: Subject) -> None:
    sandbox = await running.sandbox()
    with pytest.raises(SandboxFileError):
        await asyncio.wait_for(sandbox.read("/dev/zero", max_bytes=100), 60)


async def test_a_tree_arrives_whole(subject: Subject, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "data").write_bytes(b"\0\xff")
    (tmp_path / "test.sh").write_text("echo ran\n")
    (tmp_path / "test.sh").chmod(0o755)
    (tmp_path / "link").symlink_to("sub/data")
    sandbox = await subject.sandbox()
    await sandbox.put_tree(tmp_path, "/tests")
    assert await sandbox.read("/tests/sub/data", max_bytes=10) == b"\0\xff"
    assert await sandbox.read("/tests/link", max_bytes=10) == b"\0\xff"
    if subject.runs:
        assert (await run(sandbox, "stat -c %a /tests/test.sh; sh /tests/test.sh")).stdout == b"755\nran\n"


async def test_a_tree_replaces_what_was_planted(running: Subject, tmp_path: Path) -> None:
    (tmp_path / "test.sh").write_text("mine\n")
    (tmp_path / "data").write_text("mine\n")
    sandbox = await running.sandbox()
    await run(sandbox, "mkdir -p /tests/test.sh/x; echo his > /app/his; ln -s /app/his /tests/data")
    await sandbox.put_tree(tmp_path, "/tests")
    assert await sandbox.read("/tests/test.sh", max_bytes=10) == b"mine\n"
    assert await sandbox.read("/app/his", max_bytes=10) == b"his\n"


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside"])
async def test_a_tree_with_a_link_out_of_it_is_refused(subject: Subject, tmp_path: Path, target: str) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tmp_path / "outside").write_text("secret")
    (tree / "link").symlink_to(target)
    with pytest.raises(SandboxFileError, match="leaves the folder"):
        await (await subject.sandbox()).put_tree(tree, "/tests")


async def test_changed_files_are_those_that_were_changed(subject: Subject) -> None:
    sandbox = await subject.sandbox()
    await run(sandbox, "echo x > /app/made")
    await sandbox.write("/srv/written", b"x")
    changed = await sandbox.changed_files()
    assert {"/app/made", "/srv/written"} <= set(changed.paths)
    assert list(changed.paths) == sorted(changed.paths)
    assert not [path for path in changed.paths if path.startswith(("/usr/", "/proc/"))]
    assert not changed.links


async def test_what_was_removed_is_told_before_a_restart(commands: Subject) -> None:
    sandbox = await commands.sandbox()
    await run(sandbox, "echo x > made; rmdir /srv")
    found = await sandbox.restart(look=True)
    assert found is not None
    assert {"/app/made", "/srv"} <= set(found.paths)
    assert found.removed == {"/srv"}
    await run(sandbox, "rm made; mkdir /srv")
    found = await sandbox.restart(look=True)
    assert found is not None
    assert "/app/made" not in found.paths
    assert not found.removed


async def test_folders_without_end_among_what_changed_are_cut_and_told(commands: Subject) -> None:
    sandbox = await commands.sandbox()
    nest = "import os\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')"
    assert (await run(sandbox, f'echo x > made; python3 -c "{nest}"')).exit_code == 0
    changed = await sandbox.changed_files()
    assert "/app/made" in changed.paths
    if changed.links is not None:
        assert changed.cut
        assert max(path.count("/") for path in changed.paths) == DEEPEST_CHANGE


# Restart and close


async def test_a_restart_keeps_files(subject: Subject) -> None:
    sandbox = await subject.sandbox()
    await run(sandbox, "echo kept > /app/kept")
    await sandbox.restart()
    assert await sandbox.read("/app/kept", max_bytes=10) == b"kept\n"
    assert (await run(sandbox, "echo again")).stdout == b"again\n"


async def test_a_restart_ends_every_process_and_empties_shared_memory(commands: Subject) -> None:
    sandbox = await commands.sandbox()
    await run(
        sandbox,
        "echo x > /dev/shm/x; sleep 505 & (setsid sh -c 'trap \"\" TERM HUP; sleep 506 & sleep 507' "
        ">/dev/null 2>&1 &) ; nohup sleep 508 >/dev/null 2>&1 &",
    )
    count = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'sleep 50[5-8]' | sort -u | wc -l"
    up = f"until [ $({count}) = 4 ]; do sleep 0.1; done"
    assert (await run(sandbox, up)).exit_code == 0
    await sandbox.restart()
    assert b"sleep 50" not in (await run(sandbox, PROCESSES)).stdout
    assert (await run(sandbox, "ls /dev/shm")).stdout == b""


async def test_close_is_final_and_can_be_repeated(subject: Subject) -> None:
    sandbox = await subject.sandbox()
    await asyncio.gather(sandbox.close(), sandbox.close())
    await sandbox.close()
    for action in (
        run(sandbox, "echo x"),
        sandbox.read("/x", max_bytes=1),
        sandbox.write("/x", b""),
        sandbox.restart(),
        sandbox.changed_files(),
    ):
        with pytest.raises(SandboxError):
            await action


# What must not get out of hand


async def test_a_fork_bomb_ends_at_its_timeout_and_a_restart_heals(commands: Subject) -> None:
    sandbox, neighbour = await commands.sandbox(), await commands.sandbox()
    await sandbox.write(
        "/app/bomb.py", b"import os, time\nwhile True:\n try: os.fork()\n except OSError: time.sleep(.01)\n"
    )
    work = asyncio.create_task(run(sandbox, "python3 bomb.py", 2))
    await asyncio.sleep(1)
    assert (await run(neighbour, "echo unharmed")).stdout == b"unharmed\n"
    assert (await work).timed_out
    await sandbox.restart()
    assert (await run(sandbox, "cat /proc/[0-9]*/comm")).stdout.count(b"python3\n") <= 1


async def test_memory_is_limited_for_one_process_and_for_many(commands: Subject) -> None:
    sandbox = await commands.sandbox(SandboxLimits(memory_mb=128, pids=64))
    assert (await run(sandbox, "python3 -c 'x = b\"1\" * 400_000_000; print(1)'")).stdout == b""
    many = "import os, time\nfor _ in range(8): os.fork()\nx = b'1' * 30_000_000\ntime.sleep(3)\nprint('held')"
    await sandbox.write("/app/many.py", many.encode())
    result = await run(sandbox, "python3 many.py", 20)
    assert result.stdout.count(b"held") < 8
    await sandbox.restart()
    assert (await run(sandbox, "echo alive")).stdout == b"alive\n"


async def test_a_full_disk_is_the_commands_trouble(commands: Subject) -> None:
    sandbox = await commands.sandbox(SandboxLimits(memory_mb=512, storage_mb=16))
    result = await run(sandbox, "head -c 100000000 /dev/zero > /app/big; echo $?")
    assert result.stdout != b"0\n"
    assert int((await run(sandbox, "stat -c %s /app/big")).stdout) <= 16 << 20
    assert (await run(sandbox, "rm /app/big; echo alive")).stdout == b"alive\n"


# Jails


async def test_a_jail_talks_in_lines_and_says_how_it_ended(subject: Subject) -> None:
    code = "import sys\nfor line in sys.stdin:\n print(line.strip()[::-1])\n print('log', file=sys.stderr)\nsys.exit(9)"
    running = await jail(subject, code)
    for word in (b"abc", b"x" * 300_000 + b"y"):
        await running.send(word)
        assert await running.receive() == word[::-1]
    await running.close()
    await running.close()
    ended = await jail(subject, "import sys; print('bye'); print('log', file=sys.stderr); sys.exit(9)")
    assert await lines(ended) == [b"bye"]
    await ended.send(b"nobody hears this")
    end = await ended.wait()
    assert (end.exit_code, end.out_of_memory, end.stderr, end.stderr_dropped) == (9, False, b"log\n", 0)
    await ended.close()


async def test_a_jail_has_no_descriptor_but_its_own_three(isolating: Subject) -> None:
    running = await jail(isolating, "import os; print(os.listdir('/proc/self/fd'))")
    assert await lines(running) == [b"['0', '1', '2', '3']"]  # 3 is the folder that is read


async def test_a_signal_is_seen_in_the_exit_code(subject: Subject) -> None:
    code = "import os, subprocess, sys\nsys.exit(subprocess.run(['python3', '-c', 'import os; os.abort()']).returncode + 10)"
    running = await jail(subject, code)
    assert (await running.wait()).exit_code == 4
    await running.close()


async def test_a_line_that_never_ends_is_cut_off(subject: Subject) -> None:
    running = await jail(subject, "import os\nwhile True: os.write(1, b'x' * 65536)")
    with pytest.raises(LineTooLong):
        await asyncio.wait_for(running.receive(), 60)
    await asyncio.wait_for(running.close(), 60)


async def test_stderr_keeps_both_ends(subject: Subject) -> None:
    code = "import sys; sys.stderr.write('HEAD' + 'e' * 1_000_000 + 'TAIL')"
    running = await jail(subject, code)
    end = await asyncio.wait_for(running.wait(), 60)
    assert (len(end.stderr), end.stderr_dropped) == (64 << 10, 1_000_008 - (64 << 10))
    assert end.stderr.startswith(b"HEAD")
    assert end.stderr.endswith(b"TAIL")
    await running.close()


async def test_a_jail_that_sleeps_is_closed_at_once(subject: Subject) -> None:
    running = await jail(
        subject, "import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(500)"
    )
    assert await running.receive() == b"up"
    started = time.monotonic()
    await running.close()
    assert time.monotonic() - started < 60


async def test_a_jail_over_its_memory_ends_and_the_next_is_unharmed(isolating: Subject) -> None:
    bomb = "print('up')\nx = []\nwhile True: x.append(bytes(b'x' * 10**6))"
    running = await jail(isolating, bomb, memory_mb=96)
    assert await running.receive() == b"up"
    end = await asyncio.wait_for(running.wait(), 60)
    assert end.exit_code not in (0, None)
    assert end.out_of_memory or b"MemoryError" in end.stderr
    await running.close()
    after = await jail(isolating, "print('fine')")
    assert await after.receive() == b"fine"
    await after.close()


async def test_a_jail_that_forks_without_end_is_closed(isolating: Subject) -> None:
    bomb = "import os, time\nprint('up')\nwhile True:\n try: os.fork()\n except OSError: time.sleep(.01)"
    running = await jail(isolating, bomb)
    assert await running.receive() == b"up"
    await asyncio.sleep(0.5)
    after = await jail(isolating, "print('fine')")
    assert await after.receive() == b"fine"
    await asyncio.wait_for(running.close(), 60)
    await after.close()


async def test_a_jail_has_no_environment_no_host_and_one_small_scratch(isolating: Subject, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("host")
    code = f"""
import os, socket, sys
def attempt(name, act):
    try: act()
    except (OSError, ImportError, ValueError): return
    print('GOT', name)
print(sorted(os.environ), os.environ['HOME'])
print(os.getuid() != 0, os.listdir('/tmp'))
attempt('secret', lambda: open({str(secret)!r}))
attempt('through init', lambda: open('/proc/1/root' + {str(secret)!r}))
attempt('environment', lambda: open('/proc/1/environ').read().index('PYTEST_CURRENT_TEST'))
attempt('shadow', lambda: open('/etc/shadow'))
attempt('lorimer', lambda: __import__('lorimer'))
attempt('pytest', lambda: __import__('pytest'))
attempt('network', lambda: socket.create_connection(('1.1.1.1', 53), 2))
attempt('root', lambda: os.setuid(0))
for path in ('/x', '/usr/x', '/etc/x', '/dev/x', '/dev/shm/x', '/proc/sys/kernel/x', '/home/x', '/root/x', '/var/tmp/x'):
    attempt('write ' + path, lambda: open(path, 'w'))
attempt('a large scratch', lambda: open('/tmp/big', 'wb').write(bytes(9 << 20)))
open('/tmp/small', 'w').write('fits')
print([line.split()[1].strip('0') for line in open('/proc/self/status') if line.startswith('CapEff')])
"""
    running = await jail(isolating, code)
    found = [line.decode() for line in await lines(running)]
    assert found == ["['HOME', 'LANG', 'PATH', 'PYTHONHASHSEED'] /tmp", "True []", "['']"], (
        await running.wait()
    ).stderr
    await running.close()


async def test_a_set_of_texts_has_one_order_in_all_jails(subject: Subject) -> None:
    found = []
    for _ in range(2):
        request = JailRequest([*ARGV[:-1], "print(list(set('abcdefghijklm')))"], OWNER)
        running = await subject.provider.jail(request)
        found.append(await lines(running))
        await running.close()
    assert found[0] == found[1]
    assert found[0]


async def test_a_closed_jail_swallows_and_says_nothing(subject: Subject) -> None:
    running = await jail(subject, "print(1)")
    await running.close()
    await running.send(b"to nobody")
    assert await running.receive() is None


async def test_a_closed_jail_does_not_say_what_nobody_heard_before(subject: Subject) -> None:
    running = await jail(subject, "print(1)")
    await running.wait()
    await running.close()
    assert await running.receive() is None


# Copies, and what may leave a sandbox


async def full_enough(subject: Subject, sandbox: Sandbox) -> bool:
    """Whether the provider can freeze, branch and pack; one that cannot says so, and what to do."""
    if subject.provider.name != "bubblewrap":
        return True
    for refused in (
        sandbox.freeze(),
        sandbox.resume(),
        sandbox.branch(),
        sandbox.pack("/app", BytesIO(), max_bytes=1),
        sandbox.unpack(BytesIO()),
    ):
        with pytest.raises(PrerequisiteError, match=r"need Docker.*isolation `restart`"):
            await refused
    return False


async def test_a_branch_has_the_files_and_goes_its_own_way(subject: Subject) -> None:
    sandbox = await subject.sandbox()
    await sandbox.write("/app/kept", b"old")
    if not await full_enough(subject, sandbox):
        return
    await sandbox.freeze()
    branch = await sandbox.branch()
    await branch.write("/app/kept", b"new")
    assert await sandbox.read("/app/kept", max_bytes=9) == b"old"
    await sandbox.resume()
    assert (await run(sandbox, "echo hello")).stdout == b"hello\n"
    await branch.close()
    assert await sandbox.read("/app/kept", max_bytes=9) == b"old"


async def test_what_is_packed_is_unpacked_at_its_place(subject: Subject) -> None:
    one, other = await subject.sandbox(), await subject.sandbox()
    for name in ("out/a.txt", "out/deep/b.log", "out/deep/c", "alone"):
        await one.write(f"/app/{name}", name.encode())
    if not await full_enough(subject, one):
        return
    for path, exclude in (("/app/out", ["*.log"]), ("alone", [])):
        archive = BytesIO()
        await one.freeze()
        packed = await one.pack(path, archive, max_bytes=10_000, exclude=exclude)
        await one.resume()
        assert (packed.is_folder, packed.files, packed.left_out) == (path == "/app/out", 1 + len(exclude), 0)
        archive.seek(0)
        await other.unpack(archive)
    assert await other.read("/app/out/deep/c", max_bytes=99) == b"out/deep/c"
    assert await other.read("/app/alone", max_bytes=99) == b"alone"
    with pytest.raises(SandboxFileError):
        await other.read("/app/out/deep/b.log", max_bytes=99)


async def test_what_cannot_be_packed_is_a_value(subject: Subject) -> None:
    sandbox = await subject.sandbox()
    await sandbox.write("/app/big", b"x" * 5000)
    if not await full_enough(subject, sandbox):
        return
    with pytest.raises(SandboxFileError, match="no such file"):
        await sandbox.pack("/app/none", BytesIO(), max_bytes=10_000)
    with pytest.raises(SandboxFileError, match="over the limit"):
        await sandbox.pack("/app", BytesIO(), max_bytes=5000)
