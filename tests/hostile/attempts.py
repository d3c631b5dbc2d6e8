"""Attempts to get out of a sandbox, or to see what must not be seen. Sent as text into a jail (as a harness) and into a task
sandbox (as a script); never imported where lorimer is.

Every public function is one attempt: it takes what there is to be found on this machine and returns what it got, which must be
nothing. Imports the standard library alone.
"""

# It runs before pathlib is loaded, in a process that starts in milliseconds.
# ruff: noqa: PTH101, PTH102, PTH103, PTH106, PTH108, PTH110, PTH115, PTH118, PTH120, PTH123, PTH208

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

Given = dict[str, Any]

_LIBC = ctypes.CDLL(None, use_errno=True)
_X86 = os.uname().machine == "x86_64"
_CALLS = {  # x86_64, aarch64
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "setns": (308, 268), "unshare": (272, 97),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "bpf": (321, 280), "perf_event_open": (298, 241), "init_module": (175, 105),
    "kexec_load": (246, 104), "open_by_handle_at": (304, 265), "reboot": (169, 142), "swapon": (167, 224),
    "clock_settime": (227, 112), "sethostname": (170, 161), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "acct": (163, 89), "iopl": (172, -1), "syslog": (103, 116), "move_mount": (429, 429), "open_tree": (428, 428),
}  # fmt: skip


def _call(name: str, *values: Any) -> int:
    """A system call by number. Raises OSError."""
    number = _CALLS[name][0 if _X86 else 1]
    found: int = _LIBC.syscall(ctypes.c_long(number), *values)
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found


def _gained(what: str, attempt: Callable[..., Any], *values: Any) -> list[str]:
    """What an attempt got, in words; one that is refused got nothing."""
    try:
        found = attempt(*values)
    except (OSError, ImportError, UnicodeError, ValueError, subprocess.SubprocessError):
        return []
    return [f"{what}: {found}"[:300]] if found else []


def _opened(path: str, flags: int) -> str:
    os.close(os.open(path, flags))
    return "opened"


def _done(name: str, *values: Any) -> str:
    return "done" if _call(name, *values) == 0 else ""


def _made(name: str, *values: Any) -> str:
    return "made" if _call(name, *values) > 0 else ""


def _named(folder: str, word: str) -> list[str]:
    return [name for name in os.listdir(folder) if word in name]


def _within(path: str, word: str) -> str:
    return "found" if word in _text(path) else ""


def _text(path: str) -> str:
    with open(path, "rb") as file:
        return file.read(1 << 20).decode("utf-8", "replace")


def _pids() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdigit()]


def _others() -> list[str]:
    """Processes that are neither this one nor an ancestor of it."""
    mine, at = set(), os.getpid()
    while at > 0:
        mine.add(str(at))
        with contextlib.suppress(OSError, ValueError, IndexError):
            at = int(_text(f"/proc/{at}/stat").rpartition(")")[2].split()[1])
            continue
        break
    return [pid for pid in _pids() if pid not in mine]


# ---- what belongs to the host -----------------------------------------------------------------------------------------


def host_environment(given: Given) -> list[str]:
    """Keys in this process's environment or any other's."""
    got = [f"{name}={value}" for name, value in os.environ.items() if given["secret"] in value]
    for pid in ["self", "thread-self", *_pids()]:
        got += _gained(f"environ of {pid}", _within, f"/proc/{pid}/environ", given["secret"])
    return got


def host_files(given: Given) -> list[str]:
    """Folders and files of the host, of lorimer, and of the task's tests and solution."""
    got = []
    for path in given["hidden"]:
        got += _gained(path, os.listdir, path)
    home = os.path.join(os.environ.get("HOME", "/tmp"), "harness")
    for folder, folders, files in os.walk("/"):
        if folder in ("/proc", "/sys") or folder == home:
            folders.clear()
            continue
        # bubblewrap has its own start-up files in /opt/lorimer, and those of a harness's own folder once more
        names = [name for name in folders + files if name in given["names"] or "lorimer" in name.lower()]
        paths = [os.path.join(folder, name) for name in names]
        got += [path for path in paths if path not in given["allowed"]]
    return got


def host_modules(given: Given) -> list[str]:
    """lorimer's own modules and packages, which could hold solutions or keys."""
    got = []
    for module in ("lorimer.benchmarks", "lorimer.task_agent", "lorimer.cli", "pytest", "pydantic"):
        got += _gained(f"import {module}", importlib.import_module, module)
    return got


def host_processes(given: Given) -> list[str]:
    """Processes of the host or of another trial, by /proc."""
    got = []
    for pid in _pids():
        for name in ("cmdline", "environ", "maps", "mountinfo", "cgroup", "status"):

            def look(pid: str = pid, name: str = name) -> list[str]:
                seen = _text(f"/proc/{pid}/{name}")
                return [hidden for hidden in [*given["hidden"], given["neighbour"]] if hidden in seen]

            if name != "cmdline" or pid in _others():  # the neighbour's word is in this process's own arguments
                got += _gained(f"/proc/{pid}/{name}", look)
        for link in ("root", "cwd"):

            def walk(pid: str = pid, link: str = link) -> list[str]:
                return [hidden for hidden in given["hidden"] if os.path.exists(f"/proc/{pid}/{link}{hidden}")]

            got += _gained(f"/proc/{pid}/{link}", walk)
    return got


def host_kernel(given: Given) -> list[str]:
    """The kernel's memory, its log, its switches."""
    got = _gained("kcore", _text, "/proc/kcore")
    got += _gained("kernel log", _text, "/dev/kmsg")
    got += _gained("kernel log by call", _made, "syslog", 3, ctypes.create_string_buffer(4096), 4096)
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches",
                 "/sys/kernel/uevent_helper", "/sys/power/state", "/sys/kernel/mm/ksm/run"):  # fmt: skip
        got += _gained(f"opened {path} to write", _opened, path, os.O_WRONLY)
    return got


def host_devices(given: Given) -> list[str]:
    """Disks and memory as devices, those that are there and those made by hand."""
    got = []
    for path in (
        "/dev/mem",
        "/dev/port",
        "/dev/sda",
        "/dev/vda",
        "/dev/nvme0n1",
        "/dev/kvm",
        "/dev/fuse",
        "/dev/loop-control",
    ):
        got += _gained(path, _opened, path, os.O_RDONLY)
    for major, minor in ((254, 0), (253, 0), (252, 0), (8, 0), (1, 1), (7, 0)):
        made = os.path.join(os.environ.get("HOME", "/tmp"), f"made-{major}")

        def make(path: str = made, number: int = os.makedev(major, minor)) -> str:
            os.mknod(path, 0o60666, number)
            os.close(os.open(path, os.O_RDONLY))
            return "opened a device made by hand"

        got += _gained(f"device {major}:{minor}", make)
        with contextlib.suppress(OSError):
            os.unlink(made)
    return got


def engine_socket(given: Given) -> list[str]:
    """The container engine's control socket: root on the host for whoever reaches it."""
    got = []
    for path in (
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/podman/podman.sock",
    ):
        got += _gained(path, _connect, path, socket.AF_UNIX)
    for port in (2375, 2376):
        got += _gained(f"tcp {port}", _connect, ("172.17.0.1", port))
    return got


# ---- the network ------------------------------------------------------------------------------------------------------


def _connect(address: Any, family: int = socket.AF_INET) -> str:
    with socket.socket(family) as s:
        s.settimeout(2)
        s.connect(address)
        return "connected"


def network_host(given: Given) -> list[str]:
    """A listener of the host, by loopback, the engine's gateways and the host's own address."""
    got = []
    for host in ["127.0.0.1", "172.17.0.1", "172.18.0.1", "10.0.2.2", *given["addresses"]]:
        got += _gained(f"tcp {host}", _connect, (host, given["port"]))
    return got + _gained("tcp6", _connect, ("::1", given["port"]), socket.AF_INET6)


def network_outside(given: Given) -> list[str]:
    """The internet, by address and by name."""

    def udp() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            s.sendto(bytes.fromhex("0001010000010000000000000377777707657861"), ("192.0.2.1", 53))
            return "sent"

    got = _gained("tcp", _connect, ("192.0.2.1", 443)) + _gained("udp", udp)
    got += _gained("dns", socket.getaddrinfo, "example.com", 80)
    return got + _gained("interfaces", lambda: [name for _, name in socket.if_nameindex() if name not in given["idle"]])


def network_unix(given: Given) -> list[str]:
    """Sockets of the host and of another trial in the file system and in the abstract name space."""
    got = _gained("path", _connect, given["unix"], socket.AF_UNIX)
    for name in given["abstract"]:
        got += _gained(f"abstract {name}", _connect, "\0" + name, socket.AF_UNIX)
    return got


def network_raw(given: Given) -> list[str]:
    """Frames past the kernel's rules: packets to the link that leads out, where there is one."""

    def send() -> str:
        for _, name in socket.if_nameindex():
            if name in given["idle"]:
                continue
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
                s.bind((name, 0))
                s.send(b"\xff" * 6 + b"\x02" * 6 + b"\x08\x06" + bytes(46))
                return f"sent a frame on {name}"
        return ""

    def up() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for _, name in socket.if_nameindex():
                if name != "lo":
                    flags = struct.pack("16sh", name.encode(), 1)
                    fcntl.ioctl(s, 0x8914, flags)  # SIOCSIFFLAGS: up
                    return f"brought {name} up"
        return ""

    return _gained("packet", send) + _gained("link", up)


# ---- power ------------------------------------------------------------------------------------------------------------


def power_setuid(given: Given) -> list[str]:
    """Another user: by call, by a setuid program that is there, by one made by hand."""
    if os.getuid() == 0:  # root of its container: nothing to win but the host's root, which the others try
        return []

    def user() -> str:
        os.setuid(0)
        return "uid 0"

    def group() -> str:
        os.setgid(0)
        return "gid 0"

    got = _gained("setuid", user) + _gained("setgid", group)
    shell = os.path.join(os.environ.get("HOME", "/tmp"), "shell")

    def make() -> str:
        with open("/bin/sh", "rb") as source, open(shell, "wb") as copy:
            copy.write(source.read())
        os.chmod(shell, 0o6755)
        return said(shell, "-p", "-c", "id -u")

    def said(*line: str) -> str:
        """Who it is, where it is somebody else."""
        ran = subprocess.run(line, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
        found = ran.stdout.strip()
        return found if found.isdigit() and int(found) != os.getuid() else ""

    got += _gained("setuid shell", make)
    for program in ("/bin/su", "/usr/bin/sudo", "/usr/bin/newgrp", "/usr/bin/pkexec"):
        if os.path.exists(program):
            got += _gained(program, said, program, *(("-c", "id -u") if program.endswith("su") else ("id", "-u")))
    return got


def power_mounts(given: Given) -> list[str]:
    """New mounts: the host's disk, a proc of all processes, a cgroup with a release agent."""
    place = os.path.join(os.environ.get("HOME", "/tmp"), "place")
    with contextlib.suppress(OSError):
        os.makedirs(place)
    got = []
    for kind, source in (
        ("tmpfs", "none"),
        ("proc", "proc"),
        ("cgroup", "cgroup"),
        ("sysfs", "sysfs"),
        ("ext4", "/dev/vda"),
    ):
        got += _gained(f"mount {kind}", _done, "mount", source.encode(), place.encode(), kind.encode(), 0, None)
    got += _gained("bind", _done, "mount", b"/", place.encode(), None, ctypes.c_ulong(4096), None)
    got += _gained("umount /proc", _done, "umount2", b"/proc", 2)
    got += _gained("remount", _done, "mount", None, b"/", None, ctypes.c_ulong(32), None)
    return got + _gained("pivot_root", _done, "pivot_root", place.encode(), place.encode())


def power_namespaces(given: Given) -> list[str]:
    """New namespaces, which bring capabilities, and those of process 1 and of its parents."""
    got = []
    for name, flag in (("user", 0x10000000), ("mount", 0x00020000), ("net", 0x40000000), ("pid", 0x20000000)):

        def child(flag: int = flag) -> bool:
            pid = os.fork()
            if pid == 0:
                try:
                    _call("unshare", flag)
                    os._exit(7)
                except OSError:
                    os._exit(0)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7

        got += _gained(f"unshare {name}", child)
    for kind in ("mnt", "net", "pid", "user", "uts", "ipc"):

        def enter(kind: str = kind) -> bool:
            fd = os.open(f"/proc/1/ns/{kind}", os.O_RDONLY)
            try:
                # One's own is no gain.
                return (
                    os.readlink(f"/proc/1/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
                    and _call("setns", fd, 0) == 0
                )
            finally:
                os.close(fd)

        got += _gained(f"setns {kind}", enter)
    return got


def power_capabilities(given: Given) -> list[str]:
    """Capabilities that a container of an ordinary engine does not have: of the system, the clock, raw I/O, modules."""
    kept = 0
    for line in _text("/proc/self/status").splitlines():
        if line.startswith("CapEff:"):
            kept = int(line.split()[1], 16)
    strong = {"net_admin": 12, "sys_module": 16, "sys_rawio": 17, "sys_ptrace": 19, "sys_admin": 21, "sys_boot": 22,
              "sys_time": 25, "mac_admin": 33, "syslog": 34, "bpf": 39, "dac_read_search": 2, "linux_immutable": 9}  # fmt: skip
    return [name for name, bit in strong.items() if kept >> bit & 1]


def power_kernel_calls(given: Given) -> list[str]:
    """Calls that change the machine: modules, kexec, reboot, swap, clock, eBPF, performance counters."""
    buffer = ctypes.create_string_buffer(128)
    got = _gained("init_module", _done, "init_module", buffer, 128, b"")
    got += _gained("kexec_load", _done, "kexec_load", 0, 0, None, 0)
    got += _gained("reboot", _done, "reboot", 0xFEE1DEAD, 672274793, 0x89ABCDEF, None)  # disables ctrl-alt-del
    got += _gained("swapon", _done, "swapon", b"/tmp/none", 0)
    got += _gained("acct", _done, "acct", None)
    got += _gained("bpf", _made, "bpf", 0, buffer, 72)
    got += _gained("perf", _made, "perf_event_open", struct.pack("IIQ", 1, 112, 0) + bytes(96), -1, 0, -1, 0)
    return got


def power_clock(given: Given) -> list[str]:
    """The machine's clock and name."""
    now = struct.pack("qq", int(time.time()) + 86_400, 0)
    got = _gained("clock", _done, "clock_settime", 0, now)
    return got + _gained("name", _done, "sethostname", b"pwned", 5)


def power_trace(given: Given) -> list[str]:
    """ptrace, memory and descriptors of processes that are not this one's children."""
    got = []
    for pid in set(given["traced"]) - {str(os.getpid())}:

        def attach(pid: str = pid) -> bool:
            if _call("ptrace", 16, int(pid), None, None) != 0:  # PTRACE_ATTACH
                return False
            with contextlib.suppress(ChildProcessError):
                os.waitpid(int(pid), 0x40000000)
            _call("ptrace", 17, int(pid), None, None)
            return True

        def descriptors(pid: str = pid) -> bool:
            return _call("pidfd_getfd", _call("pidfd_open", int(pid), 0), 0, 0) >= 0

        got += _gained(f"ptrace {pid}", attach)
        got += _gained(f"memory of {pid}", _opened, f"/proc/{pid}/mem", os.O_RDWR)
        got += _gained(f"descriptors of {pid}", descriptors)
    return got


def power_keyrings(given: Given) -> list[str]:
    """The kernel's keyrings, which are not apart by container."""
    got = _gained("add_key", _made, "add_key", b"user", b"probe", b"x", 1, -4)  # the user's keyring
    got += _gained("request_key", _made, "request_key", b"user", b"probe", None, 0)
    return got + _gained("keyctl", _made, "keyctl", 0, -5, 1)  # the session's


def power_handles(given: Given) -> list[str]:
    """Files by handle, past the mount that hides them."""
    handle = struct.pack("Ii", 8, 1) + struct.pack("II", 2, 0)  # the root inode of ext4
    fd = os.open("/", os.O_RDONLY)
    try:
        return _gained("handle", _made, "open_by_handle_at", fd, handle, 0)
    finally:
        os.close(fd)


def power_cgroup(given: Given) -> list[str]:
    """Its own limits, raised by writing to cgroup files."""
    got = []
    for folder, _, files in os.walk("/sys/fs/cgroup"):
        for name in ("release_agent", "memory.limit_in_bytes", "memory.max", "pids.max", "cpu.max", "devices.allow"):
            if name in files:
                path = os.path.join(folder, name)
                got += _gained(path, _opened, path, os.O_WRONLY)
    return got


def power_limits(given: Given) -> list[str]:
    """Its own resource limits, raised; its priority and its place in line when memory runs out."""

    def higher(kind: int, hard: int) -> str:
        resource.setrlimit(kind, (hard, hard + 1))
        return "raised"

    def first() -> str:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        return "before all others"

    got = []
    for name in ("RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_CORE", "RLIMIT_MSGQUEUE"):
        kind = getattr(resource, name, None)
        if kind is not None:
            hard = resource.getrlimit(kind)[1]
            if hard == resource.RLIM_INFINITY:
                continue
            got += _gained(name, higher, kind, hard)
    got += _gained("nice", lambda: os.nice(-5) < 0 and "faster") + _gained("real time", first)

    def spared() -> str:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        try:
            os.write(fd, b"-1000")
        finally:
            os.close(fd)
        return "never killed for memory"

    return got + _gained("oom", spared)


# ---- places -----------------------------------------------------------------------------------------------------------


def jail_writes(given: Given) -> list[str]:
    """Files anywhere but in the scratch folder."""
    home = os.environ["HOME"]

    def write(folder: str) -> str:
        path = os.path.join(folder, "probe-was-here")
        with open(path, "w") as file:
            file.write("x")
        os.unlink(path)
        return "written"

    got = []
    for folder in {"/", "/etc", "/usr", "/usr/lib", "/bin", "/var", "/var/tmp", "/home", "/root", "/run", "/opt", "/dev", "/sys",
                   "/dev/shm", "/dev/mqueue", "/proc", "/proc/sys/kernel", "/mnt", "/srv", os.path.dirname(os.__file__),
                   *given["hidden"], *sys.path}:  # fmt: skip
        if folder and not os.path.realpath(folder).startswith(home):
            got += _gained(f"wrote in {folder}", write, folder)
    for path in ("/etc/passwd", "/etc/hosts", sys.executable, os.__file__):
        got += _gained(f"opened {path} to write", _opened, path, os.O_RDWR)
    return got


def jail_scratch(given: Given) -> list[str]:
    """More than the scratch folder's size, in bytes and in files."""
    home = os.environ["HOME"]
    big, many = os.path.join(home, "filler"), os.path.join(home, "many")

    def fill() -> str:
        with open(big, "wb") as file:
            for _ in range(given["scratch_mb"] + 8):
                file.write(bytes(1 << 20))
        return "more bytes than there is room for"

    def files() -> str:
        os.mkdir(many)
        for number in range(given["scratch_files"]):
            os.close(os.open(f"{many}/{number}", os.O_CREAT | os.O_WRONLY))
        return f"{given['scratch_files']} files"

    got = _gained("bytes", fill)
    with contextlib.suppress(OSError):
        os.unlink(big)
    got += _gained("files", files)
    with contextlib.suppress(OSError):
        for name in os.listdir(many):
            os.unlink(f"{many}/{name}")
        os.rmdir(many)
    return got


def jail_descriptors(given: Given) -> list[str]:
    """Descriptors that lorimer left open in the process, and more than a thousand of its own."""
    before = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            before.add(os.readlink(f"/proc/self/fd/{name}"))
    # Pipes and sockets are the wire; a file of the host would show as a path.
    got = [path for path in before if path.startswith("/") and not path.startswith(("/dev/null", "/proc/", "/tmp/"))]
    held: list[int] = []
    with contextlib.suppress(OSError):
        while len(held) < 70_000:
            held.append(os.open("/dev/null", os.O_RDONLY))
    count = len(held)
    for fd in held:
        os.close(fd)
    return got + ([f"{count} open files"] if count > given["open_files"] else [])


def signals(given: Given) -> list[str]:
    """Signals to process 1 and to processes that are not its own."""
    got = []
    for pid in given["signalled"]:
        # A signal that nobody handles is dropped for an init; what counts is whether it still lives.
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(1, signal.SIGKILL)
    if not os.path.exists("/proc/1"):
        got.append("process 1 is gone")
    return got


def shared_memory(given: Given) -> list[str]:
    """Another trial's memory: /dev/shm, System V segments, message queues."""
    got = []
    for folder in ("/dev/shm", "/dev/mqueue"):
        got += _gained(folder, _named, folder, given["neighbour"])

    def lines(name: str) -> list[str]:
        return _text(f"/proc/sysvipc/{name}").splitlines()[1:]

    for name in ("shm", "msg", "sem"):
        # The head line is always there; a line more is somebody's.
        got += _gained(f"sysvipc {name}", lines, name)
    return got


def other_trial(given: Given) -> list[str]:
    """Files of a task sandbox that runs beside this one."""
    got = []
    for folder in ("/app", "/tmp", "/root", "/srv", "/var/tmp"):
        got += _gained(folder, _named, folder, given["neighbour"])
    return got


ATTEMPTS: dict[str, Callable[[Given], list[str]]] = {
    name: found
    for name, found in list(globals().items())
    if callable(found) and not name.startswith("_") and getattr(found, "__module__", "") == __name__
    and name not in ("Callable", "Any", "Given", "solve", "run_all")
}  # fmt: skip


def run_all(given: Given) -> dict[str, list[str]]:
    """Every attempt that was asked for, by name."""
    found = {}
    for name in given["attempts"]:
        try:
            found[name] = ATTEMPTS[name](given)
        except Exception as error:
            found[name] = [f"broke: {type(error).__name__}: {error}"]
    return found


def solve(task: Any, env: Any, llm: Any) -> str:
    """As a harness."""
    return json.dumps(run_all(json.loads(task.instruction)))


if __name__ == "__main__":
    print(json.dumps(run_all(json.loads(sys.stdin.read()))))  # noqa: T201
