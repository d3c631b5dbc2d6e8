"""The hostile suite's table: what is tried, from where, what comes of it and what stops it. docs/hostile-suite.md is made of it.

python -m tests.hostile.table        writes the page anew
"""

from __future__ import annotations

from dataclasses import dataclass

BOTH = ("jail", "sandbox")


@dataclass(frozen=True)
class Case:
    """One attempt.

    Attributes:
        places: from where it is made: the harness's `jail`, the task's `sandbox`, or both.
        docker: what stops it there; `bubblewrap` likewise. Empty where it is not tried.
    """

    name: str
    places: tuple[str, ...]
    tried: str
    outcome: str
    docker: str
    bubblewrap: str = "the same"


QUICK: tuple[Case, ...] = (
    Case(
        "host_environment",
        BOTH,
        "keys in its own environment and, by /proc, in that of others",
        "nothing obtained",
        "an environment without a variable of the host's; a PID namespace",
    ),
    Case(
        "host_files",
        BOTH,
        "lorimer's own files, the host's folders, the task's tests and solution, by name over the whole tree",
        "nothing obtained",
        "the image's file system alone; tests arrive after the agent's end",
        "an allow-list of mounts",
    ),
    Case(
        "host_modules",
        BOTH,
        "importing lorimer, pytest, pydantic",
        "nothing obtained",
        "another Python's packages",
        "site-packages hidden by empty mounts",
    ),
    Case(
        "host_processes",
        BOTH,
        "/proc of every process: command lines, environments, maps, roots",
        "nothing obtained",
        "a PID namespace",
    ),
    Case(
        "host_kernel",
        BOTH,
        "/proc/kcore, the kernel's log, core_pattern, sysrq, drop_caches",
        "nothing obtained",
        "masked and read-only /proc and /sys",
        "no capability; /sys is not there",
    ),
    Case(
        "host_devices",
        BOTH,
        "/dev/mem, disks, and device nodes made by hand",
        "nothing obtained",
        "the device cgroup",
        "no capability; nodev mounts",
    ),
    Case(
        "engine_socket",
        BOTH,
        "the Docker, containerd and Podman sockets, and the engine's TCP ports",
        "nothing obtained",
        "not mounted; no network",
    ),
    Case(
        "network_host",
        BOTH,
        "a listener of the host at loopback, the engine's gateways and the host's own address",
        "nothing obtained",
        "an empty network namespace",
    ),
    Case(
        "network_outside",
        BOTH,
        "TCP, UDP, DNS; interfaces other than idle ones",
        "nothing obtained",
        "an empty network namespace",
    ),
    Case(
        "network_unix",
        BOTH,
        "a listener's path, and abstract sockets of the host and of another trial",
        "nothing obtained",
        "mounts; abstract names are the network namespace's",
    ),
    Case(
        "network_raw",
        BOTH,
        "frames sent past the kernel's rules; links brought up",
        "nothing obtained",
        "no interface leads out; no NET_ADMIN",
        "no capability",
    ),
    Case(
        "power_setuid",
        BOTH,
        "setuid by call, by su, sudo, newgrp, pkexec, by a program made by hand",
        "nothing obtained",
        "no-new-privileges and nosuid in the jail; in the task sandbox it is root of its container already",
        "no_new_privs, one mapped user",
    ),
    Case(
        "power_mounts",
        BOTH,
        "mounting tmpfs, proc, cgroup, sysfs, a disk; bind, remount, pivot_root",
        "nothing obtained",
        "no SYS_ADMIN; seccomp",
        "seccomp",
    ),
    Case(
        "power_namespaces",
        BOTH,
        "new user, mount, network and PID namespaces; entering those of process 1",
        "nothing obtained",
        "seccomp",
        "seccomp",
    ),
    Case(
        "power_capabilities",
        BOTH,
        "capabilities for modules, raw I/O, the clock, the network, tracing",
        "nothing obtained",
        "dropped: all in the jail, all but the engine's default set in the task sandbox",
        "all dropped",
    ),
    Case(
        "power_kernel_calls",
        BOTH,
        "init_module, kexec, reboot, swapon, acct, bpf, perf_event_open",
        "nothing obtained",
        "no capability; seccomp",
        "seccomp",
    ),
    Case(
        "power_clock",
        BOTH,
        "the clock and the host name",
        "nothing obtained",
        "no SYS_TIME, no SYS_ADMIN",
        "no capability",
    ),
    Case(
        "power_trace",
        BOTH,
        "ptrace, memory and descriptors of process 1 and of a process of the host",
        "nothing obtained",
        "a PID namespace; one's own process 1 is reached in a task sandbox, and ends before the verifier starts",
        "a PID namespace; process 1 is not dumpable",
    ),
    Case(
        "power_keyrings",
        BOTH,
        "the user's and the session's kernel keyrings, which containers share",
        "nothing obtained",
        "seccomp",
        "seccomp",
    ),
    Case(
        "power_handles",
        BOTH,
        "files by handle, past the mounts",
        "nothing obtained",
        "no DAC_READ_SEARCH",
        "seccomp",
    ),
    Case(
        "power_cgroup",
        BOTH,
        "its own limits by writing to cgroup files, release_agent",
        "nothing obtained",
        "read-only /sys",
        "no /sys",
    ),
    Case(
        "power_limits",
        BOTH,
        "higher resource limits, priority, real time, never being killed for memory",
        "nothing obtained",
        "no SYS_RESOURCE, no SYS_NICE",
        "no capability",
    ),
    Case(
        "jail_writes",
        ("jail",),
        "writing in 20 folders and on 4 files of the system",
        "nothing obtained",
        "a read-only root",
        "read-only mounts",
    ),
    Case(
        "jail_scratch",
        ("jail",),
        "more scratch than 64 MB, and 20,000 empty files",
        "nothing obtained",
        "the tmpfs's size and number of files",
    ),
    Case(
        "jail_descriptors",
        ("jail",),
        "descriptors left open by lorimer; 70,000 of its own",
        "nothing obtained",
        "three descriptors are given; RLIMIT_NOFILE",
    ),
    Case(
        "signals",
        BOTH,
        "SIGKILL to process 1 and to a process of the host",
        "nothing obtained",
        "a PID namespace; an init drops them",
    ),
    Case(
        "shared_memory",
        BOTH,
        "another trial's /dev/shm, System V memory, message queues",
        "nothing obtained",
        "an IPC namespace",
    ),
    Case(
        "other_trial",
        ("sandbox",),
        "files of another trial's sandbox beside it",
        "nothing obtained",
        "a file system of its own",
    ),
)
