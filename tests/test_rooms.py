"""The import arrows of the design, from the command line down to what runs in the jail."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions

import pytest

from lorimer.exports import carried
from tests.support.rooms import EVERYWHERE, IMPORTS, PAGE, ROOT, SOURCES, TASKS, diagram, drawn, folder, imports, room

BELOW = {"harness", "sandbox", "models", "benchmarks", "task_agent", "traces"}
"""The rooms under the meta-agent's."""

INSIDE = {f"meta_agent.{name}" for name in ("gate", "proposer", "state", "ledger", "workspace", "replay")}
"""The meta-agent's rooms under the loop."""

ARROWS: dict[str, set[str]] = {
    "config": set(),
    "errors": set(),
    "keys": set(),
    "kinds": set(),
    "scale": set(),
    "processes": set(),
    "wording": set(),
    "harness": set(),
    "sandbox": {"harness"},
    "models": {"harness"},
    # A task says which image it runs on.
    "benchmarks": {"harness", "sandbox"},
    "traces": {"harness"},
    "task_agent": {"harness", "sandbox", "models", "benchmarks"},
    # The gate is pure: evidence in, decision out.
    "meta_agent.gate": set(),
    # What it is told of trials and of earlier experiments are values; it reads no store.
    "meta_agent.proposer": {"harness", "models", "task_agent"},
    # What rows tell of a study, and what people and the meta-agent are told of it.
    "meta_agent.state": {"harness", "task_agent", "traces", "meta_agent.gate"},
    "meta_agent.ledger": {
        "harness",
        "task_agent",
        "traces",
        "meta_agent.gate",
        "meta_agent.proposer",
        "meta_agent.state",
    },
    "meta_agent.workspace": BELOW | {"meta_agent.gate", "meta_agent.proposer"},
    "meta_agent.replay": BELOW | {"meta_agent.gate", "meta_agent.proposer", "meta_agent.state", "meta_agent.workspace"},
    "meta_agent.study": BELOW | INSIDE,
    "meta_agent.forecast": BELOW | INSIDE | {"meta_agent.study"},
    "meta_agent.reports": BELOW | INSIDE | {"meta_agent.study"},
    "meta_agent.pairings": BELOW | INSIDE | {"meta_agent.study", "meta_agent.forecast"},
    # The winner's files or branch; what is copied out of here imports what `exports.carried` lists.
    "exports": {"harness", "models", "traces", "meta_agent.state", "meta_agent.workspace", "meta_agent.reports"},
}
"""Room -> the other rooms that it may import."""

FLOORS = ("gate", "state", "ledger", "study", "forecast", "reports", "pairings")
"""Rooms of the meta-agent, each above the one before or beside it."""

META = {name for name in ARROWS if name.startswith("meta_agent.")}
FRONT: dict[str, set[str]] = {
    "terminal": BELOW | META,
    # It shows what `terminal` shows, in the same words.
    "dashboard": BELOW | META | {"terminal"},
    # The same values as the page's, as rows of a terminal.
    "watch": BELOW | META | {"terminal", "dashboard"},
    "doctor": BELOW | META | {"scaffold"},
    "failures": BELOW,
    "scaffold": BELOW | META,
    "python": BELOW | META | {"exports", "terminal"},
    "demo": BELOW | META | {"scaffold", "terminal"},
    "commands": BELOW | META | {"exports", "scaffold", "terminal", "dashboard", "watch", "demo", "doctor"},
    "cli": {"commands", "failures"},
}
"""The command line and what it is split into. No room of `ARROWS` may import them."""

OPENS_THE_STORE = {"lorimer.meta_agent.workspace.session"}
"""The file that opens the store for writing. The loop holds the protocol of a writer, all others that of a reader at most."""

OPEN_A_READER = {
    "lorimer.meta_agent.workspace.session",
    "lorimer.meta_agent.study.campaign",
    "lorimer.meta_agent.forecast.known",
    "lorimer.meta_agent.forecast.price",
    "lorimer.terminal.opening",
    "lorimer.demo",
}
"""The files that find a workspace's store by themselves. All others are handed a reader, and know its protocol alone."""

DATABASES = {"sqlite3", "sqlalchemy", "sqlmodel", "alembic", "psycopg"}

NAMED_TWICE = {
    # A harness and its host speak of one task, of which the harness sees a part.
    "Task": {"lorimer.benchmarks.base", "lorimer.harness.api"},
}
"""Types that two files may define by one name."""

JAILED = {
    "lorimer.harness.api": set[str](),
    "lorimer.harness.fences": set[str](),
    "lorimer.harness.text": {"lorimer.harness.api", "lorimer.harness.fences"},
    "lorimer.harness.structured": {"lorimer.harness.api", "lorimer.harness.text"},
    "lorimer.harness.ran": set[str](),
    "lorimer.harness.host": {"lorimer.harness.api", "lorimer.harness.ran", "lorimer.harness.structured"},
    "lorimer.harness.shadow": {"lorimer.harness.api", "lorimer.harness.host", "lorimer.harness.ran"},
}
"""What runs in the jail, and what of lorimer it may import there."""

ELSEWHERE = ("lorimer.sandbox.bubblewrap.inside", "lorimer.sandbox.docker.proxy", "lorimer.benchmarks.hf.check")
"""Files and folders whose text runs in a sandbox or a container, without lorimer around it."""


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_imports_point_one_way(module: str) -> None:
    home, arrows = room(module), ARROWS | FRONT
    if module == "lorimer":
        outside = {name for name in IMPORTS[module] if name.partition(".")[0] not in sys.stdlib_module_names}
        offered = {"exports.library", "python.running", "python.study", "scaffold"}
        assert outside == {f"lorimer.{name}" for name in offered}, (
            "what it offers by name is imported when it is called"
        )
        return
    if module == "lorimer.meta_agent":
        assert IMPORTS[module] == set(), "a package that holds rooms imports nothing"
        return
    assert home in arrows, f"{module} is in no room of the design"
    ours = {name for name in IMPORTS[module] if name.partition(".")[0] == "lorimer"} - EVERYWHERE
    astray = sorted(name for name in ours if room(name) not in arrows[home] | {home})
    assert astray == []


def test_the_rooms_have_no_circle() -> None:
    """Every room can be put on a floor above all that it may import."""
    arrows, floors = ARROWS | FRONT, dict[str, int]()
    while len(floors) < len(arrows):
        free = [name for name, below in arrows.items() if name not in floors and below <= floors.keys()]
        assert free, f"a circle among {sorted(arrows.keys() - floors.keys())}"
        floors |= {name: 1 + max((floors[below] for below in arrows[name]), default=-1) for name in free}
    assert [floors[f"meta_agent.{name}"] for name in FLOORS] == sorted(floors[f"meta_agent.{name}"] for name in FLOORS)


def test_between_the_folders_of_a_room_imports_point_one_way() -> None:
    """A file of a folder may import from another folder of its room where none of that one imports from it."""
    arrows: dict[str, set[str]] = {}
    for module, names in IMPORTS.items():
        home = folder(module)
        others = {folder(name) for name in names & SOURCES.keys() if room(name) == room(module)}
        arrows.setdefault(home, set()).update(others - {"", home})
    del arrows[""]
    assert arrows["meta_agent.gate.stopping"] == {"meta_agent.gate.statistics"}, "folders and their imports are found"
    list(TopologicalSorter(arrows).static_order())  # raises where there is a circle, and names it


def test_the_map_of_the_rooms_is_drawn_from_the_imports() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert drawn(page) == diagram(), "python -m tests.support.rooms draws it anew"
    # A code host shows an error in place of a picture that has one line in no form that Mermaid knows.
    known = re.compile(r"flowchart TD|  subgraph meta_agent|  end|\s+\w+\[\w+\]|  \w+ --> \w+")
    assert [line for line in drawn(page).splitlines() if not known.fullmatch(line)] == []


@pytest.mark.parametrize("module", JAILED)
def test_what_runs_in_the_jail_imports_the_standard_library_alone(module: str) -> None:
    outside = {name for name in IMPORTS[module] if name.partition(".")[0] not in sys.stdlib_module_names}
    assert outside <= JAILED[module]


@pytest.mark.parametrize("home", ELSEWHERE)
def test_what_runs_in_a_sandbox_imports_the_standard_library_and_its_own_folder(home: str) -> None:
    modules = [module for module in SOURCES if module == home or module.startswith(f"{home}.")]
    assert modules
    for module in modules:
        outside = {name for name in IMPORTS[module] if name.partition(".")[0] not in sys.stdlib_module_names}
        assert not [name for name in outside if not name.startswith(f"{home}.")], module


def test_what_an_exported_harness_takes_along_imports_nothing_else() -> None:
    inside = {
        f"lorimer.{name.removesuffix('/__init__').replace('/', '.')}"
        for name in (*carried.FILES, *carried.HOSTED, *carried.INSPECT, *carried.HARBOR)
    }
    for module in inside:
        outside = {name for name in IMPORTS[module] if name.partition(".")[0] not in sys.stdlib_module_names}
        assert outside <= inside, module


def test_nothing_imports_the_seed_harnesses() -> None:
    found = [
        module for module, names in IMPORTS.items() if any(name.startswith("lorimer.harness.seeds.") for name in names)
    ]
    assert found == []


def test_the_rooms_below_take_only_the_api_of_the_harness() -> None:
    for module, names in IMPORTS.items():
        if room(module) in ("sandbox", "models", "benchmarks"):
            ours = {name for name in names if room(name) == "harness" and name.startswith("lorimer.")}
            assert ours <= {"lorimer.harness.api"}, module


def test_few_open_the_trace_store_and_the_others_hold_a_protocol() -> None:
    def importing(name: str) -> set[str]:
        return {module for module, names in IMPORTS.items() if name in names and room(module) != "traces"}

    assert importing("lorimer.traces.writing.store") == OPENS_THE_STORE
    assert importing("lorimer.traces.reading.reader") == OPEN_A_READER


def test_the_proposer_holds_no_door_to_what_is_sealed() -> None:
    """It takes, from what stores and runs trials, the words for how one ended, the values that say what an edit touches and what
    happened in a step: nothing that could read or run one."""
    ours = {
        name
        for module, names in IMPORTS.items()
        if room(module) == "meta_agent.proposer"
        for name in names
        if room(name) in ("traces", "task_agent")
    }
    shadow = {"lorimer.task_agent.shadow.outcome", "lorimer.task_agent.shadow.previewed", "lorimer.traces.previews"}
    assert ours == {"lorimer.task_agent.causes", "lorimer.traces.schema", *shadow}


def test_only_the_room_of_the_store_knows_a_database() -> None:
    knowing = {module for module, names in IMPORTS.items() if {name.partition(".")[0] for name in names} & DATABASES}
    assert {room(module) for module in knowing} == {"traces"}
    assert "lorimer.traces.schema" not in knowing, "what any room may import"


def types_of(module: str) -> set[str]:
    """The public types that a file defines: classes, and aliases of types. What typer and pydantic read in an `Annotated` is
    none, and neither is a type variable."""
    found = set[str]()
    for node in ast.parse(SOURCES[module].read_text(encoding="utf-8")).body:
        match node:
            case ast.ClassDef(name=name):
                found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                apart = ast.unparse(value).partition("[")[0].startswith(("TypeVar(", "Annotated"))
                found |= set[str]() if apart else {name}
    return {name for name in found if re.fullmatch(r"[A-Z][a-z]\w*", name)}


def test_no_two_types_share_a_name() -> None:
    """Who reads `Outcome` in one room and in another one reads of one thing."""
    homes: dict[str, set[str]] = {}
    for module in SOURCES:
        for name in types_of(module):
            homes.setdefault(name, set()).add(module)
    assert {name: files for name, files in homes.items() if len(files) > 1} == NAMED_TWICE


def test_starter_tasks_are_data() -> None:
    assert [
        m for m, names in IMPORTS.items() if any(name.startswith("lorimer.benchmarks.starter.tasks") for name in names)
    ] == []
    assert not (TASKS / "__init__.py").exists()


def test_the_reader_of_imports_sees_every_form() -> None:
    source = """
import os.path as p
from lorimer.traces.writing import store
from . import base
from .docker import x
from .. import errors
def f():
    import lorimer.harness.lint
    importlib.import_module("lorimer.cli")
"""
    assert imports("lorimer.sandbox.pool", source) == {
        "os.path",
        "lorimer.traces.writing.store" if "lorimer.traces.writing.store" in SOURCES else "lorimer.traces",
        "lorimer.sandbox.base",
        "lorimer.sandbox.docker",
        "lorimer.errors",
        "lorimer.harness.lint",
        "lorimer.cli",
    }
    assert imports("lorimer.sandbox", "from .base import x\nfrom . import fake", package=True) >= {
        "lorimer.sandbox.base"
    }


def test_what_is_imported_is_declared() -> None:
    """A package that comes only along with another one is gone when that one changes its mind."""
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    declared = {re.split(r"[^A-Za-z0-9_.-]", line)[0].lower().replace("_", "-") for line in wanted}
    served_by = packages_distributions()
    for module, names in IMPORTS.items():
        for top in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"lorimer"}:
            packages = {name.lower().replace("_", "-") for name in served_by.get(top, [top])}
            assert packages & declared, f"{module} imports {top}, of {packages}"


MOST_LINES = 450
"""A longer file hides something that has a name of its own."""
MOST_ALIKE = 10
"""Lines of code that may not stand twice: what is written once is mended once."""


def test_no_file_is_too_long_to_read() -> None:
    lines = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in SOURCES.items()}
    assert {module: count for module, count in lines.items() if count > MOST_LINES} == {}


def code_of(source: str) -> list[str]:
    """The lines that say something: none that is blank, a comment, a bracket alone, or part of an import or a signature.

    A protocol and those who keep it have signatures in common.
    """
    left_out = set[int]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            left_out.update(range(node.lineno, node.body[0].lineno))
    lines = [line.strip() for number, line in enumerate(source.splitlines(), 1) if number not in left_out]
    return [line for line in lines if line.strip("()[]{},:") and not line.startswith("#")]


def test_no_run_of_ten_lines_stands_twice() -> None:
    seen: dict[tuple[str, ...], str] = {}
    twice = []
    for module, path in SOURCES.items():
        if module.startswith("lorimer.harness.seeds."):
            continue  # each is the whole of what somebody begins with, and may share nothing
        lines = code_of(path.read_text(encoding="utf-8"))
        for start in range(len(lines) - MOST_ALIKE + 1):
            run = tuple(lines[start : start + MOST_ALIKE])
            where = seen.setdefault(run, f"{module}, from {run[0]}")
            if where != f"{module}, from {run[0]}":
                twice.append((where, f"{module}, from {run[0]}"))
    assert twice == []


def test_lines_that_say_nothing_are_passed_over() -> None:
    assert code_of("import os\n\n# why\ndef one(\n    a,\n):\n    call(\n        a\n    )\n") == ["call(", "a"]


def test_a_studys_settings_are_read_with_the_defaults_of_its_time() -> None:
    """`parse` gives a key that an older lorimer did not have today's default, so an old study would be told of by other rules."""
    stored = re.compile(r"\bparse\([\w.()]+\.config\b")
    assert [module for module, path in SOURCES.items() if stored.search(path.read_text(encoding="utf-8"))] == []
