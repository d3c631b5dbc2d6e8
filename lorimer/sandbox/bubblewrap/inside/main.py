"""The program that runs inside a bubblewrap namespace, before anything hostile does.

This folder is compiled, copied in and started without lorimer around it. So its files import each other by relative names, and
beside these C modules and `ctypes` alone: every import is paid for by every sandbox (`ctypes` 3 ms, `json` 7, `socket` 3).

Two modes, of which each is PID 1 of a namespace from which lorimer has things forked (`forks`):

`sandboxes`  Each has a PID 1 of its own, the *holder* (`holder`), whose tmpfs is the sandbox's file system (`root`). It never
             runs anything itself. For each *life* it forks a new PID namespace with its own `/proc`, IPC and `/dev/shm`, whose
             PID 1 serves lorimer's requests (`serve`). A restart kills that PID 1, and the kernel kills all it ever started.
             Processes of a life cannot see or signal the holder.
`jails`      Each has a PID 1 of its own and one child, the program (`jail`).

What is forked ends, with all that came of it, when its control socket to lorimer is closed; all of it ends when the mode's is.
"""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False  # typing's, whose import costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType


def main(path: list[str]) -> tuple[CodeType, dict[str, object]]:
    """`sandboxes CONTROL HOST_ID` or `jails CONTROL HOST_ID MODULES...`, where the modules are imported before the first jail.

    Returns in the process of a jail's program alone: the program and the module that it is.

    Args:
        path: sys.path, as a program finds it.
    """
    mode, control, host_id, *modules = sys.argv[1:]
    os.set_inheritable(int(control), False)
    from .forks import serve

    run = _sandbox(int(host_id)) if mode == "sandboxes" else _jail(int(host_id), modules)
    # A program's garbage collector passes over what is there now, and so does its end: to touch an object copies its page.
    gc.collect()
    gc.freeze()
    program = serve(int(control), run)
    sys.argv, sys.path[:] = ["-c"], path
    for name in [name for name in sys.modules if name.partition(".")[0] == __package__]:
        del sys.modules[name]
    module = sys.modules["__main__"] = type(sys)("__main__")
    return program, module.__dict__


def _sandbox(host_id: int) -> Callable[[list[str], int], CodeType]:
    from .holder import run_sandbox
    from .root import Root

    root = Root.here()
    return lambda words, control: run_sandbox(words, control, host_id, root)


def _jail(host_id: int, modules: list[str]) -> Callable[[list[str], int], CodeType]:
    from .jail import run_jail

    for name in modules:
        __import__(name)
    return lambda words, control: run_jail(words, control, host_id)
