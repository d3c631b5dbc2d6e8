"""Runs a harness again and again inside one jail, each time in a process of its own: the jail's half of a replay.

The jail is started once. It compiles the harness, imports what of the standard library it names, and forks a process for each
shadow, which speaks the wire as `host` does and is answered from a record. After each one all that it left running is killed
and the jail's one writable folder is emptied. The clocks of a shadow stand still but for the seconds that its answers took in the
record, and it is told apart what it draws from chance: neither is in a record. Beside the wire's lines go out

    {"ready": true}     the next shadow may be asked for: {"shadow": {"task": ..., "began": seconds since 1970}}
    {"drew": name}      the harness has drawn a random number with `name`, before the request that follows

and an answer may hold `clock`, the seconds since the harness began; {"stop": true} ends the shadow.

A trial that is answered from a record at first runs in a jail of its own, once (`rerun`). Its clocks stand still in the same way,
until an answer holds `live`: from then on they go by themselves.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from lorimer.harness import host
from lorimer.harness.ran import Lines

TICK = 1e-6
"""Seconds that a look at a clock takes, so that a loop which waits for a time comes to an end. About what it takes Python."""
KILL_SECONDS = 2.0
"""Within which a shadow's processes must be gone; killed ones are in milliseconds."""
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
DRAWS = (
    *("random", "randint", "randrange", "choice", "choices", "shuffle", "sample", "uniform", "triangular", "randbytes"),
    *("gauss", "normalvariate", "lognormvariate", "expovariate", "betavariate", "gammavariate", "paretovariate"),
    *("vonmisesvariate", "weibullvariate", "getrandbits"),
)


class Clock:
    """The seconds since a harness began, as it sees them."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._standing = 0.0
        self._real, self._really_sleep = time.monotonic, time.sleep
        self._since: float | None = None
        """When it began to go, by the real clock; `None` while it stands."""

    @property
    def seconds(self) -> float:
        return self._standing + (0.0 if self._since is None else self._real() - self._since)

    def reach(self, seconds: float) -> None:
        """It is as late as this, or later."""
        self._standing += max(0.0, seconds - self.seconds)

    def go(self) -> None:
        """It stands no more."""
        if self._since is None:
            self._since = self._real()

    def install(self) -> None:
        """Stand for the clocks of module `time`. What was imported before keeps the real ones: threads wait by them."""
        wall, count = self._began, time.monotonic()
        time.time = lambda: wall + self._look()
        time.monotonic = time.perf_counter = lambda: count + self._look()
        time.time_ns = lambda: int((wall + self._look()) * 1e9)
        time.monotonic_ns = time.perf_counter_ns = lambda: int((count + self._look()) * 1e9)
        setattr(time, "sleep", self._sleep)  # noqa: B010 - the type of a module's function is its own

    def _look(self) -> float:
        if self._since is None:
            self._standing += TICK
        return self.seconds

    def _sleep(self, seconds: float, /) -> None:
        if self._since is not None:
            self._really_sleep(seconds)
        elif seconds < 0:
            raise ValueError("sleep length must be non-negative")
        else:
            self._standing += seconds


class Draws:
    """Notices what a harness draws from chance."""

    def __init__(self) -> None:
        self.new: list[str] = []
        self._seeded = False

    def install(self) -> None:
        """Stand before all that draws. A generator that was seeded with a value is no chance."""
        for name in DRAWS:
            if hasattr(random, name):
                setattr(random, name, self._noticed(f"random.{name}", getattr(random, name), unless_seeded=True))
        os.urandom = self._noticed("os.urandom", os.urandom)
        random._urandom = self._noticed("random.SystemRandom", random._urandom)  # type: ignore[attr-defined]
        seed, begin = random.seed, random.Random.__init__

        def seeding(value: Any = None, *rest: Any, **more: Any) -> None:
            self._seeded = value is not None
            seed(value, *rest, **more)

        def beginning(generator: Any, value: Any = None) -> None:
            if value is None and type(generator) is not random.SystemRandom:
                self.new.append("random.Random")
            begin(generator, value)

        setattr(random, "seed", seeding)  # noqa: B010
        setattr(random.Random, "__init__", beginning)  # noqa: B010

    def _noticed(self, name: str, draw: Callable[..., Any], *, unless_seeded: bool = False) -> Any:
        def noticed(*args: Any, **named: Any) -> Any:
            if not (unless_seeded and self._seeded):
                self.new.append(name)
            return draw(*args, **named)

        return noticed


def rerun(pipe: BinaryIO, task: dict[str, Any], agent: str, began: float) -> NoReturn:
    """Run a harness once, to its end, on the clocks of a record that go by themselves once it is left."""
    clock = Clock(began)
    clock.install()
    host.main(pipe, task, agent, speaks=speaker(clock, Draws()))
    os._exit(1)


def speaker(clock: Clock, draws: Draws) -> type[host.Wire]:
    """The wire of one shadow."""

    class Speaker(host.Wire):
        def _about_to_ask(self) -> None:
            for name in dict.fromkeys(draws.new):
                self._write(json.dumps({"drew": name}).encode() + b"\n")
            draws.new.clear()

        def _heard(self, reply: dict[str, Any]) -> None:
            if reply.get("stop"):
                os._exit(0)
            clock.reach(reply.get("clock", 0.0))
            if reply.get("live"):
                clock.go()

    return Speaker


def main(pipe: BinaryIO, files: Mapping[str, str], root: str) -> NoReturn:
    """Serve shadows of one harness until stdin ends."""
    agent, text = str(Path(root, "agent.py")), files["agent.py"]
    alone = _set_apart()
    _import_what_is_named(text)
    try:
        code: types.CodeType | None = compile(text, agent, "exec", dont_inherit=True)
    except Exception:  # noqa: BLE001 - the shadow will say what is wrong, as a trial would
        code = None
    _say({"ready": True})
    for line in pipe:
        try:
            order = json.loads(line)["shadow"]
        except (ValueError, KeyError, TypeError):
            continue  # the rest of what a shadow did not read
        child = os.fork()
        if child == 0:
            _run(pipe, order, agent, code)
        os.waitpid(child, 0)
        if not alone or not _nobody_is_left():
            break
        _empty(os.environ["HOME"])
        _write(files, root)
        _say({"ready": True})
    os._exit(host.CUT_OFF)


def _run(pipe: BinaryIO, order: Mapping[str, Any], agent: str, code: types.CodeType | None) -> NoReturn:
    try:
        clock, draws = Clock(order["began"]), Draws()

        def load(path: str, lines: Lines) -> Any:  # what runs in a shadow is nobody's evidence: no line is watched
            if code is None:
                return host.load_file(path, lines)
            module = types.ModuleType("agent")
            module.__file__ = path
            sys.modules["agent"] = module
            exec(code, module.__dict__)  # noqa: S102 - the harness
            return getattr(module, "solve", None)

        clock.install()
        draws.install()
        host.main(pipe, order["task"], agent, load=load, speaks=speaker(clock, draws))
    finally:
        os._exit(1)


def _set_apart() -> bool:
    """Take over what shadows leave behind, and let none look into this process. Whether both could be done."""
    try:
        prctl = ctypes.CDLL(None).prctl
        return not (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) or prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
    except (OSError, AttributeError):
        return False


def _nobody_is_left() -> bool:
    """Kill all descendants, and say whether they are gone. Orphans become children of this process, so no children is nobody."""
    until = time.monotonic() + KILL_SECONDS
    while time.monotonic() < until:
        for child in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        time.sleep(0.001)
    return False


def _children() -> list[int]:
    own, found = str(os.getpid()), list[int]()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                # The name in parentheses may hold anything.
                stat = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
                found += [int(process.name)] if stat.split()[1] == own else []
    return found


def _empty(folder: str) -> None:
    for entry in Path(folder).iterdir():
        if entry.is_dir() and not entry.is_symlink():
            entry.chmod(0o700)
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _write(files: Mapping[str, str], root: str) -> None:
    for name, text in files.items():
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _import_what_is_named(text: str) -> None:
    """What of the standard library the harness names somewhere, so that no shadow has to. Nothing of the harness runs."""
    names = {"lorimer.harness.structured", "lorimer.harness.text"}
    try:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module or "")
    except Exception:  # noqa: BLE001 - as when it is compiled
        return
    for name in sorted(names):
        if name.partition(".")[0] in sys.stdlib_module_names or name.startswith("lorimer.harness."):
            try:
                importlib.import_module(name)
            except ImportError:
                continue


def _say(value: Mapping[str, Any]) -> None:
    os.write(1, json.dumps(value).encode() + b"\n")
