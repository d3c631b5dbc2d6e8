"""Calls of the kernel that Python has no function for, and small ones over processes and their ends."""

from __future__ import annotations

import ctypes
import os
import resource

# linux/sched.h, linux/mount.h, linux/prctl.h, linux/capability.h: kernel ABI, the same on every architecture
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWIPC = 0x00020000, 0x02000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 4, 22, 38, 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
MNT_DETACH = 2
SECCOMP_MODE_FILTER = 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_KILL, CAP_SETGID, CAP_SETUID = 0, 1, 5, 6, 7
CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_SETFCAP = 19, 21, 31
SIGKILL, SIGPIPE, SIGCHLD, SIGXFSZ = 9, 13, 17, 25
IGNORED_BY_PYTHON = (SIGPIPE, SIGXFSZ)
"""A new program must not ignore them."""

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Raise OSError if a libc call failed."""
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2)."""
    args = (source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode() or None)
    check(libc.mount(*args), f"mount {target}")


def keep_capabilities(*numbers: int) -> None:
    """Give up all capabilities but these, which are below 32."""
    mask = sum(1 << number for number in numbers)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    check(libc.capset(header, (ctypes.c_uint32 * 6)(mask, mask, 0, 0, 0, 0)), "capset")


def write_all(fd: int, data: bytes) -> None:
    """Write whatever the kernel takes at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_text(path: str, text: str) -> None:
    """Write to a file of /proc."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def limit(kind: int, value: int) -> None:
    """Lower a resource limit, never above the hard one that is there."""
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def wake_on_children() -> int:
    """A descriptor that becomes readable when a child ends."""
    import _signal  # type: ignore[import-not-found]

    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    _signal.signal(SIGCHLD, lambda *_: None)
    _signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def forget_children() -> None:
    """Undo `wake_on_children`, as a fork inherits it."""
    import _signal

    _signal.signal(SIGCHLD, _signal.SIG_DFL)
    _signal.set_wakeup_fd(-1)


def close_all_but(*kept: int) -> None:
    """Close every descriptor but these."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) not in kept:
            with suppress(OSError):  # that of the listing itself
                os.close(int(name))


def reset_signals() -> None:
    """Ignore nothing any more that Python ignores."""
    import _signal

    for number in IGNORED_BY_PYTHON:
        _signal.signal(number, _signal.SIG_DFL)


def processes() -> list[int]:
    """The PIDs of this namespace."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def kill(pid: int) -> None:
    """SIGKILL; a process that is gone is no error."""
    with suppress(ProcessLookupError):
        os.kill(pid, SIGKILL)


def reap() -> list[tuple[int, int]]:
    """(pid, status) of every child that has ended."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, status))


def exit_code(status: int) -> int:
    """A shell's exit code: 128+n for signal n."""
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


class suppress:  # noqa: N801  (contextlib's, whose import costs 3 ms)
    """Pass over exceptions of one kind."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        """Whether to pass over it."""
        return kind is not None and issubclass(kind, self.kind)
