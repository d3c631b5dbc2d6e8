"""PID 1 of a sandbox, whose mount namespace holds its files while the lives of its processes come and go."""

from __future__ import annotations

import _socket
import os
import resource
import select
import sys

from .agent import become_agent
from .kernel import (
    CLONE_NEWIPC,
    CLONE_NEWNS,
    CLONE_NEWPID,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    MS_REMOUNT,
    check,
    kill,
    libc,
    limit,
    mount,
    reap,
    suppress,
    wake_on_children,
)
from .watchdog import Watchdog

TYPE_CHECKING = False  # typing's, whose import costs 4 ms
if TYPE_CHECKING:
    from typing import NoReturn

SHM_BYTES = 64 << 20
"""Docker's size of /dev/shm."""
SANDBOX_FILES = 4096
"""Open files of a process. Each takes kernel memory that no limit here counts; builds and databases ask for 1,024 to 4,096."""


class Holder:
    """PID 1 of the outer namespace: owns the file system, starts and ends lives."""

    def __init__(self, control: int, memory: int, watch: int, pids: int, host_id: int, inodes: int) -> None:
        self.control = _socket.socket(fileno=control)
        self.limits = (memory, pids, host_id)
        self.inodes = inodes
        self.watchdog = Watchdog(watch)
        self.life = 0
        self.links: dict[str, str] = {}

    def run(self) -> NoReturn:
        """Serve lorimer until it closes the control socket."""
        self.prepare_root()
        children = wake_on_children()
        poll = select.poll()
        poll.register(self.control.fileno(), select.POLLIN)
        poll.register(children, select.POLLIN)
        wait = -1
        while True:
            ready = [fd for fd, _ in poll.poll(wait)]
            if self.control.fileno() in ready:
                # Close-on-exec: no command of the agent's may inherit the life's socket, on which it could answer for its PID 1.
                _, ancillary, _, _ = self.control.recvmsg(16, 64, _socket.MSG_CMSG_CLOEXEC)
                if not ancillary:
                    os._exit(0)
                self.new_life(int.from_bytes(ancillary[0][2][:4], sys.byteorder))
            if children in ready:
                os.read(children, 4096)
                if self.life in [pid for pid, _ in reap()]:
                    self.life = 0
            wait = self.watchdog.look({1, self.life}) if self.life else -1

    def prepare_root(self) -> None:
        """Give the tmpfs to the agent, but let it move nothing that something is mounted on or below.

        A mount point cannot be renamed, but the folder above it can, and whoever renames `/root` could put another
        interpreter at `/root/.../bin/python3` for the verifier to run. So each folder above a mount becomes one, too.
        """
        if self.inodes:
            mount("tmpfs", "/", "", MS_REMOUNT | MS_NOSUID | MS_NODEV, f"nr_inodes={self.inodes}")
        with open("/proc/self/mountinfo", "rb") as file:  # noqa: PTH123
            points = [line.split()[4].decode("utf-8", "surrogateescape") for line in file]
        above: set[str] = set()
        for point in points:
            parent = os.path.dirname(point)  # noqa: PTH120
            while parent != "/":
                above.add(parent)
                parent = os.path.dirname(parent)  # noqa: PTH120
        device = os.lstat("/").st_dev
        owner = self.limits[2] or -1
        for folder, folders, files in os.walk("/"):
            folders[:] = [name for name in folders if os.lstat(os.path.join(folder, name)).st_dev == device]  # noqa: PTH118
            os.chmod(folder, 0o1777 if folder in ("/tmp", "/var/tmp") else 0o755)  # noqa: PTH101, S108
            os.chown(folder, owner, owner)
            for name in [*folders, *files]:
                path = os.path.join(folder, name)  # noqa: PTH118
                if os.path.islink(path):  # noqa: PTH114
                    self.links[path] = os.readlink(path)  # noqa: PTH115
        for folder in sorted(above):
            if os.lstat(folder).st_dev == device:
                mount(folder, folder, "", MS_BIND | MS_REC)

    def repair_root(self) -> None:
        """Put back `/bin`, `/lib` and the like if the agent replaced them: the verifier runs what is there."""
        for path, target in self.links.items():
            found = None
            with suppress(OSError):
                found = os.readlink(path)  # noqa: PTH115
            if found == target:
                continue
            with suppress(OSError):
                os.rename(path, f"{path}.replaced-{os.urandom(4).hex()}")  # noqa: PTH104
            os.symlink(target, path)  # noqa: PTH211

    def new_life(self, channel: int) -> None:
        """End the present life with all its processes and start one that serves `channel`."""
        if self.life:
            kill(self.life)
            os.waitpid(self.life, 0)
            self.life = 0
        self.repair_root()
        reader, writer = os.pipe()
        middle = os.fork()
        if middle == 0:
            # Only a process that has not unshared before may do so, hence one in between for each life.
            try:
                check(libc.unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC), "unshare")
                first = os.fork()
                if first == 0:
                    self.control.close()
                    os.close(reader)
                    os.close(writer)
                    self.live(channel)
                os.write(writer, str(first).encode())
                os._exit(0)
            except BaseException as error:  # noqa: BLE001
                os.write(2, f"lorimer: no new life: {error}\n".encode())
            finally:
                os._exit(1)
        os.close(writer)
        os.close(channel)
        self.life = int(os.read(reader, 16) or b"0")
        os.close(reader)
        os.waitpid(middle, 0)

    def live(self, channel: int) -> None:
        """PID 1 of a life. Never returns."""
        try:
            memory, pids, host_id = self.limits
            mount("none", "/", "", MS_REC | MS_PRIVATE)
            mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
            mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, f"size={SHM_BYTES},nr_inodes=4096,mode=1777")  # noqa: S108
            os.setsid()
            limit(resource.RLIMIT_CORE, 0)
            limit(resource.RLIMIT_NOFILE, SANDBOX_FILES)
            become_agent(host_id, pids)
            from .serve import Server  # in the new life, of which the holder needs nothing

            Server(channel, memory, wake_on_children()).run()
        except BaseException as error:  # noqa: BLE001
            os.write(2, f"lorimer: the sandbox ended: {type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(1)
