"""How a process becomes the agent's: no root, no capabilities, and a seccomp filter."""

from __future__ import annotations

import ctypes
import os
import resource
import sys

from .kernel import (
    CLONE_NEWUSER,
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_SECCOMP,
    SECCOMP_MODE_FILTER,
    check,
    keep_capabilities,
    libc,
    limit,
    write_text,
)

AGENT_ID = 1000
"""uid and gid inside. Never 0."""

# What no task needs and every kernel exploit wants. Numbers from the kernel's tables: (x86_64, aarch64).
_DENIED = {
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "setns": (308, 268), "unshare": (272, 97),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "chroot": (161, 51),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "kexec_load": (246, 104), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "reboot": (169, 142),
    "swapon": (167, 224), "acct": (163, 89), "quotactl": (179, 60), "syslog": (103, 116), "vhangup": (153, 58),
    # memory that belongs to no process and so escapes RLIMIT_DATA and the watchdog
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186), "mq_open": (240, 180),
}  # fmt: skip
_CLONE, _CLONE3 = (56, 220), (435, 435)
_ARCHES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


def seccomp_program(machine: str) -> bytes | None:
    """The BPF filter for `machine`, or None where this architecture has no table.

    Denied calls fail with EPERM; `clone3` with ENOSYS, so that libc falls back to `clone`, whose flags can be seen;
    another architecture's calls (32-bit, x32) kill the process.
    """
    if machine not in _ARCHES:
        return None
    column, audit = _ARCHES[machine]
    allow, kill, eperm, enosys = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050000 | 38
    load, jeq, jge, jset, ret = 0x20, 0x15, 0x35, 0x45, 0x06
    code: list[tuple[int, int, int, int]] = [(load, 0, 0, 4), (jeq, 1, 0, audit), (ret, 0, 0, kill), (load, 0, 0, 0)]
    if machine == "x86_64":
        code += [(jge, 0, 1, 0x40000000), (ret, 0, 0, kill)]
    code += [(jeq, 0, 1, _CLONE3[column]), (ret, 0, 0, enosys)]
    for numbers in _DENIED.values():
        code += [(jeq, 0, 1, numbers[column]), (ret, 0, 0, eperm)]
    namespaces = 0x7E020000  # every CLONE_NEW* flag
    code += [(jeq, 0, 3, _CLONE[column]), (load, 0, 0, 16), (jset, 0, 1, namespaces), (ret, 0, 0, eperm)]
    code += [(ret, 0, 0, allow)]
    return b"".join(
        op.to_bytes(2, sys.byteorder) + bytes((yes, no)) + k.to_bytes(4, sys.byteorder) for op, yes, no, k in code
    )


class _Filter(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("program", ctypes.c_char_p))


def become_agent(host_id: int, pids: int) -> None:
    """Leave root and every capability for good, and allow `pids` processes. Not even a setuid program leads back.

    Args:
        host_id: what AGENT_ID shall be outside this namespace; 0 where this process is root of a user namespace only.
        pids: RLIMIT_NPROC.
    """
    if host_id:
        os.setgroups([])
        os.setresgid(host_id, host_id, host_id)
        os.setresuid(host_id, host_id, host_id)
        check(libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl dumpable")  # else /proc/self is not ours to write
    # A user namespace of one's own makes RLIMIT_NPROC count this sandbox alone (Linux 5.14), and owns no mount.
    check(libc.unshare(CLONE_NEWUSER), "unshare user")
    mapping = f"{AGENT_ID} {host_id} 1"
    for name, text in (("setgroups", "deny"), ("uid_map", mapping), ("gid_map", mapping)):
        write_text(f"/proc/self/{name}", text)
    # Only now: a limit that is in force when a user namespace is made holds for its owner's processes everywhere.
    limit(resource.RLIMIT_NPROC, pids)
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    keep_capabilities()
    program = seccomp_program(os.uname().machine)
    if program is not None:
        filter_ = _Filter(len(program) // 8, program)
        check(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filter_), 0, 0), "seccomp")
    # Nobody of the same uid may read this process's memory or file descriptors. An exec resets it for the command.
    check(libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl not dumpable")
