"""Which room imports which, read from the source. `python -m tests.support.rooms` draws docs/architecture.md anew."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import lorimer

ROOT = Path(lorimer.__file__).parent
PAGE = ROOT.parent / "docs" / "architecture.md"
TASKS = ROOT / "benchmarks" / "starter" / "tasks"


def name_of(path: Path) -> str:
    parts = ["lorimer", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {name_of(path): path for path in ROOT.rglob("*.py") if not path.is_relative_to(TASKS)}

EVERYWHERE = {
    "lorimer",
    "lorimer.errors",
    "lorimer.keys",
    "lorimer.kinds",
    "lorimer.scale",
    "lorimer.processes",
    "lorimer.traces.previews",
    "lorimer.traces.schema",
    "lorimer.traces.wired",
    "lorimer.wording",
} | {name for name in SOURCES if name.startswith("lorimer.config.")}
"""Modules that any room may import."""


def imports(module: str, source: str, *, package: bool = False) -> set[str]:
    """Absolute names of all that is imported, within functions too, each `from a import b` as `a.b` where that is a module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                kept = parts[: len(parts) - node.level + package]
                base = ".".join([*kept, base] if base else kept)
            submodules = {f"{base}.{alias.name}" for alias in node.names} & SOURCES.keys()
            found |= submodules or {base}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            found.update(arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))
    return found


IMPORTS = {
    module: imports(module, path.read_text(encoding="utf-8"), package=path.name == "__init__.py")
    for module, path in SOURCES.items()
}


def room(module: str) -> str:
    """The room of a module: the name under `lorimer`, and of the meta-agent's rooms the two names.

    `python -m lorimer` is a door to the command line, and no room.
    """
    _, *names = module.replace("__main__", "cli").split(".")
    return ".".join(names[: 2 if names[:1] == ["meta_agent"] else 1])


def folder(module: str) -> str:
    """The folder within its room that a module lies in; empty where it lies in the room itself."""
    home = room(module)
    inside = SOURCES[module].relative_to(ROOT).parent.parts[len(home.split(".")) :]
    return f"{home}.{inside[0]}" if home and inside else ""


def arrows() -> dict[str, set[str]]:
    """Each room, and the other rooms that its files import; the package itself is no room, and modules that any room may import
    are no arrow."""
    found: dict[str, set[str]] = {}
    for module, names in IMPORTS.items():
        ours = {name for name in names if name.partition(".")[0] == "lorimer"} - EVERYWHERE
        found.setdefault(room(module), set()).update(room(name) for name in ours)
    return {home: others - {home, ""} for home, others in found.items() if home}


def reduced(found: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """The arrows without those that a path of others implies."""

    def reach(home: str) -> set[str]:
        return found[home].union(*(reach(below) for below in found[home]))

    return [
        (home, below)
        for home in sorted(found)
        for below in sorted(found[home])
        if not any(below in reach(other) for other in found[home] - {below})
    ]


def diagram() -> str:
    """The rooms and their arrows in Mermaid's language, which code hosts draw."""
    shared = {name.removeprefix("lorimer.") for name in EVERYWHERE}
    pairs = [(home, below) for home, below in reduced(arrows()) if home not in shared]
    names = sorted({name for pair in pairs for name in pair})
    lines = ["flowchart TD"]
    lines += [
        f"  {_id(name)}[{name.replace('meta_agent.', '')}]" for name in names if not name.startswith("meta_agent.")
    ]
    lines += ["  subgraph meta_agent"]
    lines += [
        f"    {_id(name)}[{name.removeprefix('meta_agent.')}]" for name in names if name.startswith("meta_agent.")
    ]
    lines += ["  end"]
    lines += [f"  {_id(home)} --> {_id(below)}" for home, below in pairs]
    return "\n".join(lines) + "\n"


def drawn(page: str) -> str:
    """The diagram that a page holds."""
    return page.partition("```mermaid\n")[2].partition("```")[0]


def _id(name: str) -> str:
    return re.sub(r"\W", "_", name)


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page.replace(drawn(page), diagram()), encoding="utf-8")
