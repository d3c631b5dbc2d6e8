"""Calls of Python's own that a harness makes in its jail, without a network or anything of the task: they find nothing. Pure.

It sees what is plainly written, and advises: a harness may have a reason, and nothing is refused for it.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_STARTS = ("run", "call", "check_call", "check_output", "getoutput", "getstatusoutput", "Popen")
_PATH = "pathlib.Path"
_FILE, _FOLDER, _NETWORK = "env.read_text or env.write", "env.exec", "llm.complete or env.exec"
_OF_OS = "listdir scandir walk stat access chdir mkdir makedirs remove unlink rmdir rename replace symlink link chmod"
_OF_OS_PATH = "exists lexists isfile isdir islink getsize getmtime"
_OF_SHUTIL = "copy copy2 copyfile copytree move rmtree which"
_OF_PATH = "exists is_file is_dir iterdir glob rglob stat mkdir touch unlink rmdir rename"
_REACHES = {
    **{f"subprocess.{name}": "env.exec" for name in _STARTS},
    "os.system": "env.exec",
    "os.popen": "env.exec",
    "asyncio.create_subprocess_shell": "env.exec",
    "asyncio.create_subprocess_exec": "env.exec",
    "open": _FILE,
    "io.open": _FILE,
    **{f"{_PATH}.{name}": _FILE for name in ("open", "read_text", "read_bytes", "write_text", "write_bytes")},
    **{f"{_PATH}.{name}": _FOLDER for name in _OF_PATH.split()},
    **{f"os.{name}": _FOLDER for name in _OF_OS.split()},
    **{f"os.path.{name}": _FOLDER for name in _OF_OS_PATH.split()},
    **{f"shutil.{name}": _FOLDER for name in _OF_SHUTIL.split()},
    "glob.glob": _FOLDER,
    "glob.iglob": _FOLDER,
    "sqlite3.connect": "env.exec",
    "os.getcwd": "task.workdir",
    f"{_PATH}.cwd": "task.workdir",
    "urllib.request.urlopen": _NETWORK,
    "http.client.HTTPConnection": _NETWORK,
    "http.client.HTTPSConnection": _NETWORK,
    "socket.create_connection": _NETWORK,
    "socket.socket": _NETWORK,
}
"""What is called, by its full name, and what to call instead."""


@dataclass(frozen=True)
class OutsideCall:
    """One such call."""

    line: int
    name: str
    """The full one, such as `subprocess.run`."""
    instead: str


def calls_outside(text: str) -> tuple[OutsideCall, ...]:
    """The calls in a harness that start programs, look for files or use a network in the jail, in order of line.

    None where it does not parse.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    names = {"open": "open"} | dict(_imported(tree))
    bound = Counter(_bound(tree))
    for own in bound:  # a function or a value of the harness's own under that name
        names.pop(own, None)
    paths = Counter(_names_of_paths(tree, names))
    names |= {name: _PATH for name, times in paths.items() if times == bound[name]}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := _full_name(node.func, names)) in _REACHES:
            found.append(OutsideCall(node.lineno, name, _REACHES[name]))
    return tuple(sorted(found, key=lambda call: call.line))


def told(path: str, text: str) -> str:
    """What to say of a harness that makes such calls, in one line; "" for any other.

    Args:
        path: the harness's file.
    """
    found = calls_outside(text)
    if not found:
        return ""
    places = ", ".join(f"line {call.line}: {call.name}" for call in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    instead = ", ".join(sorted({call.instead for call in found}))
    jailed = "that acts in the harness's jail, where there is no network and nothing of the task"
    return f"{path}, {places}{more}: {jailed}; use {instead}"


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Names that imports bind, and what they stand for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                first = each.name.partition(".")[0]  # what `import os.path` binds is `os`
                yield (each.asname, each.name) if each.asname else (first, first)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((each.asname or each.name, f"{node.module}.{each.name}") for each in node.names)


def _bound(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _names_of_paths(tree: ast.Module, names: dict[str, str]) -> Iterator[str]:
    """Names to which a `Path` is assigned or that are said to be one, once for each time."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _is_path(node.value, names):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif (
            isinstance(node, ast.AnnAssign | ast.arg)
            and node.annotation
            and _full_name(node.annotation, names) == _PATH
        ):
            yield node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)


def _is_path(node: ast.expr, names: dict[str, str]) -> bool:
    """Whether it is plainly a `Path`: `Path("a")`, or `Path("a") / "b"`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return _is_path(node.left, names)
    return isinstance(node, ast.Call) and _full_name(node.func, names) == _PATH


def _full_name(node: ast.expr, names: dict[str, str]) -> str:
    """`sp.run` as `subprocess.run`, and a method of a `Path` as the class's; "" for what is not plainly a name."""
    if _is_path(node, names):
        return _PATH
    if isinstance(node, ast.Attribute):
        owner = _full_name(node.value, names)
        return f"{owner}.{node.attr}" if owner else ""
    return names.get(node.id, "") if isinstance(node, ast.Name) else ""
