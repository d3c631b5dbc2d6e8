"""Notes which lines of agent.py run, inside the jail: what an edit changed may never have run in a trial.

Two ways, both for that one file alone. Python 3.12 and later report each line once (`sys.monitoring`). Before, every statement is
compiled with a mark before it: `sys.settrace` would slow the whole process for as long as one line has not run, and a harness
that sets a tracer of its own would end it. Neither sees what a process that the harness forks runs, nor code that it compiles
itself.

It runs in the harness's own process, so it tells what a hostile harness lets it tell. This module imports the standard library
alone.
"""

from __future__ import annotations

import ast
import builtins
import sys
import types
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

MARK = "__lorimer_ran__"
"""A name among the builtins: functions that are given other globals find it there too."""
TOOLS = (4, 3)
"""Numbers of tools that nobody has claimed: Python names 0, 1, 2 and 5, and a harness may want those."""


class Lines:
    """The lines of one file that have run. What cannot be watched is run as it is, and told as nothing."""

    def __init__(self) -> None:
        self._now: Callable[[], list[int]] = list
        self._told = 0

    def compiled(self, source: bytes, path: str) -> types.CodeType:
        """The file's code, watched from now on. Raises what `compile` does."""
        code: types.CodeType = compile(source, path, "exec", dont_inherit=True)
        try:
            # Not every interpreter has it, and mypy goes by the oldest one that is supported.
            monitoring: Any = getattr(sys, "monitoring", None)
            return _marked(self, source, path) if monitoring is None else _monitored(self, code, monitoring)
        except Exception:  # noqa: BLE001 - what is told of lines is advice, and must not keep a harness from running
            return code

    def watch(self, now: Callable[[], list[int]]) -> None:
        """Where the lines that have run are asked for."""
        self._now = now

    def fresh(self) -> list[list[int]]:
        """All lines that have run as ranges, first and last, if there are more than when this was last asked; else nothing."""
        try:
            lines = sorted(self._now())
        except Exception:  # noqa: BLE001 - the harness may have done anything to it
            return []
        if len(lines) <= self._told:
            return []
        self._told = len(lines)
        return list(_ranges(lines))


def _ranges(lines: list[int]) -> Iterator[list[int]]:
    first = lines[0]
    for line, following in pairwise([*lines, 0]):
        if following != line + 1:
            yield [first, line]
            first = following


def _monitored(lines: Lines, code: types.CodeType, monitoring: Any) -> types.CodeType:
    """Each line of each function reports itself once."""
    tool = next(each for each in TOOLS if monitoring.get_tool(each) is None)
    monitoring.use_tool_id(tool, "lorimer")
    ran: dict[int, None] = {}
    once = monitoring.DISABLE

    def line(_: types.CodeType, number: int) -> Any:
        ran[number] = None
        return once

    monitoring.register_callback(tool, monitoring.events.LINE, line)
    for each in _codes(code):
        monitoring.set_local_events(tool, each, monitoring.events.LINE)
    lines.watch(lambda: list(ran))
    return code


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _marked(lines: Lines, source: bytes, path: str) -> types.CodeType:
    """Each statement first writes down that it is reached: an item of a list, which Python 3.11 does in some 10 ns."""
    tree = ast.parse(source, path)
    ran = [0] * (1 + max((getattr(node, "end_lineno", None) or 0 for node in ast.walk(tree)), default=0))
    for node in ast.walk(tree):
        for block in ("body", "orelse", "finalbody"):
            statements = getattr(node, block, None)
            if isinstance(statements, list):
                setattr(node, block, list(_with_marks(statements, isinstance(node, _DOCUMENTED) and block == "body")))
    code: types.CodeType = compile(tree, path, "exec", dont_inherit=True)
    setattr(builtins, MARK, ran)
    lines.watch(lambda: [number for number, reached in enumerate(ran) if reached])
    return code


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _with_marks(statements: list[ast.stmt], documented: bool) -> Iterator[ast.stmt]:
    for place, statement in enumerate(statements):
        # A docstring must stay the first statement, and what comes from the future must follow it.
        text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        future = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
        if not (future or (documented and place == 0 and text)):
            yield _mark(statement)
        yield statement


def _mark(statement: ast.stmt) -> ast.stmt:
    line = statement.lineno
    item = ast.Subscript(ast.Name(MARK, ast.Load()), ast.Constant(line), ast.Store())
    mark = ast.Assign([item], ast.Constant(1), lineno=line)
    for node in ast.walk(mark):
        if isinstance(node, ast.expr | ast.stmt):
            node.lineno = node.end_lineno = line
            node.col_offset = node.end_col_offset = statement.col_offset
    return mark
