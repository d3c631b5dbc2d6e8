"""The program that runs inside a bubblewrap namespace, before anything hostile does.

This folder is compiled, copied in and started without lorimer around it. So its files import each other by relative names, and
beside these C modules and `ctypes` alone: every import is paid for by every sandbox (`ctypes` 3 ms, `json` 7, `socket` 3).

Two modes:

`sandbox`  This process is PID 1 of the *holder* namespace, whose tmpfs is the sandbox's file system. It never runs
           anything itself. For each *life* it forks a new PID namespace with its own `/proc`, IPC and `/dev/shm`, whose PID 1
           serves lorimer's requests. A restart kills that PID 1, and the kernel kills all it ever started. Processes of
           a life cannot see or signal the holder.
`jails`    This process is PID 1 of a namespace from which jails are forked, each with a PID 1 of its own and one child, the
           program.

Both end, and with them the whole namespace, when the control socket to lorimer is closed.
"""

from __future__ import annotations

import os
import sys

from .kernel import write_text

TYPE_CHECKING = False  # typing's, whose import costs 4 ms
if TYPE_CHECKING:
    from types import CodeType


def main(path: list[str]) -> tuple[CodeType, dict[str, object]]:
    """`sandbox CONTROL MEMORY WATCH PIDS HOST_ID INODES` or `jails CONTROL HOST_ID MODULES...`.

    Returns in the process of a jail's program alone: the program and the module that it is.

    Args:
        path: sys.path, as a program finds it.
    """
    mode, *rest = sys.argv[1:]
    control = int(rest[0])
    os.set_inheritable(control, False)
    if mode == "sandbox":
        write_text("/proc/self/oom_score_adj", "1000")  # under pressure the kernel takes the sandbox, not lorimer
        from .holder import Holder

        Holder(control, *map(int, rest[1:])).run()
    from .forks import serve

    program = serve(control, int(rest[1]), rest[2:])
    sys.argv, sys.path[:] = ["-c"], path
    for name in [name for name in sys.modules if name.partition(".")[0] == __package__]:
        del sys.modules[name]
    module = sys.modules["__main__"] = type(sys)("__main__")
    return program, module.__dict__
