"""What the lines that ran in a trial say of each hunk of an edit. Pure.

A hunk has *fired* in a trial where a statement ran that it changed. What is only read when agent.py is loaded says nothing by
having run: of a prompt or another name at the top level, the statements of functions that read the name are looked at instead.
Where a text does not tell, that is said: a hunk that "did not fire" is not one of which nobody knows.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property, lru_cache

from lorimer.errors import HarnessError
from lorimer.harness.changed import Parsed, lines_of
from lorimer.harness.version import Hunk, apply_edit

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Watched:
    """One hunk."""

    lines: frozenset[int] = frozenset()
    """Lines of the edited harness: the hunk has fired where one of them ran."""
    unknown: str = ""
    """Why it cannot be told whether it fires, a clause without its full stop; empty where it can."""


def watched(parent: str, hunks: Sequence[Hunk], text: str) -> tuple[Watched, ...]:
    """What to watch for each hunk.

    Args:
        text: `parent` with all hunks applied. Where it is another text, nothing can be told of any.
    """
    tree = _parsed(text).tree
    places = _places(parent, hunks, text)
    if tree is None or places is None:
        return tuple(Watched(unknown="the edit cannot be laid beside the text that ran") for _ in hunks)
    code = _Code(tree)
    return tuple(code.watched(changed, removed) for changed, removed in places)


@lru_cache(maxsize=8)
def _parsed(text: str) -> Parsed:
    """A text that was read; nothing here changes its tree. Many candidates share a parent, and the last hunk makes what ran."""
    return Parsed.of(text)


def _places(parent: str, hunks: Sequence[Hunk], text: str) -> list[tuple[set[int], set[int]]] | None:
    """The lines of the edited text that each hunk changed or added, and those behind which it took lines away."""
    found: list[tuple[set[int], set[int]]] = []
    before = parent
    for hunk in hunks:
        try:
            after = apply_edit(before, [hunk])
        except HarnessError:
            return None
        old, new = _parsed(before), _parsed(after)
        changed, removed, moved = set[int](), set[int](), dict[int, int]()
        silent = old.runs_as(new)  # comments and layout
        for kind, first, last, begin, end in _differences(old.lines, new.lines):
            if kind == "equal":
                moved |= {first + at + 1: begin + at + 1 for at in range(last - first)}
            elif silent:
                continue
            elif kind == "delete":
                removed.add(begin)
            else:
                changed |= {n + 1 for n in range(begin, end) if not _is_aside(new.lines[n])}
        # What an earlier hunk changed and this one changed again is this one's.
        found = [({moved[n] for n in one if n in moved}, {moved.get(n, n) for n in other}) for one, other in found]
        found.append((changed, removed))
        before = after
    return found if before == text else None


def _is_aside(line: str) -> bool:
    """Whether a line holds no code. In a text over several lines it may be a line of that; such a hunk has others."""
    return not line.strip() or line.lstrip().startswith("#")


def _differences(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """The differences as `SequenceMatcher` finds them once what both texts begin and end with is set aside: a hunk is small."""
    start = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    most = min(len(old), len(new)) - start
    tail = next((n for n in range(most) if old[-1 - n] != new[-1 - n]), most)
    yield "equal", 0, start, 0, start
    middle = SequenceMatcher(None, old[start : len(old) - tail], new[start : len(new) - tail], autojunk=False)
    for kind, first, last, begin, end in middle.get_opcodes():
        yield kind, first + start, last + start, begin + start, end + start
    yield "equal", len(old) - tail, len(old), len(new) - tail, len(new)


class _Code:
    """The statements of a harness, by line, and who reads which name."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._functions: dict[ast.stmt, ast.AST | None] = {}
        """Every statement, with the innermost function whose body it is in."""
        self._collect(tree, None)

    def _collect(self, node: ast.AST, function: ast.AST | None) -> None:
        for child in _statements(node):
            self._functions[child] = function
            self._collect(child, child if isinstance(child, FUNCTIONS) else function)

    @cached_property
    def _texts(self) -> str:
        """All string constants, a line each."""
        return "\n".join(
            node.value
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )

    @cached_property
    def _reads(self) -> dict[ast.stmt, frozenset[str]]:
        """The names and attributes that each statement reads, beside what its blocks do."""
        return {each: frozenset(_read(each)) for each in self._functions}

    def watched(self, changed: set[int], removed: set[int]) -> Watched:
        """What to watch where these lines were changed, and lines were taken away behind those."""
        lines, why = set[int](), list[str]()
        for line in sorted(changed):
            statement = self._at(line)
            if statement is not None:
                found, reason = self._of(statement, line)
                lines |= found
                why += [reason] if reason else []
        if lines:
            return Watched(frozenset(lines))
        if why:
            return Watched(unknown=why[0])
        if changed and any(self._at(line) is not None for line in changed):
            return Watched()  # nothing reads what it changes
        for line in sorted(removed):  # the place was passed where what is left around it ran
            for near in (line, line + 1):
                statement = self._at(near)
                if statement is not None and self._functions[statement] is not None:
                    lines |= self._of(statement, near)[0]
        if lines:
            return Watched(frozenset(lines))
        if removed:
            return Watched(unknown="it only takes lines away")
        return Watched(unknown="it changes comments and layout alone")

    def _at(self, line: int) -> ast.stmt | None:
        """The innermost statement in this line."""
        inside = [each for each in self._functions if line in lines_of(each)]
        return max(inside, key=lambda each: (each.lineno, -(each.end_lineno or 0)), default=None)

    def _of(self, statement: ast.stmt, line: int) -> tuple[set[int], str]:
        """The lines by which a change of a statement in this line fires, or why none does."""
        if isinstance(statement, FUNCTIONS) and line < _body(statement)[0].lineno:
            return _first(statement), ""
        if _is_text(statement):
            return set(), "it changes a docstring"
        if isinstance(statement, ast.ClassDef):
            return self._readers({statement.name})
        if self._functions[statement] is None:
            names = set(_bound(statement))
            owner = next((each for each in self._tree.body if line in lines_of(each)), None)
            if isinstance(owner, ast.ClassDef) and not names:
                names = {owner.name}
            return self._readers(names) if names else (set(_header(statement)), "")
        if line in _header(statement):
            return set(_header(statement)), ""
        # `else`, `except`, `case`: what follows them.
        below = [each for each in _children(statement) if each.lineno > line]
        return (set(_header(below[0])), "") if below else (set(), "nothing in it runs by itself")

    def _readers(self, names: set[str]) -> tuple[set[int], str]:
        """The lines of functions that read one of these names, or a name at the top level that is made of one of them."""
        loaded = [
            each for each, function in self._functions.items() if function is None and not isinstance(each, FUNCTIONS)
        ]
        known, before = set(names), set[str]()
        while known != before:
            before = set(known)
            for statement in loaded:
                if not known.isdisjoint(self._reads[statement]):
                    known |= set(_bound(statement))
        lines = set[int]()
        for statement, function in self._functions.items():
            if not known.isdisjoint(self._reads[statement]):
                if isinstance(statement, FUNCTIONS):  # a default or a decorator
                    lines |= _first(statement)
                elif function is not None and not known & _hidden(function):
                    lines |= set(_header(statement))
        if not lines and any(name in self._texts for name in known):
            return set(), f"{', '.join(sorted(names))} may be looked up by name"
        return lines, ""


def _children(statement: ast.AST) -> list[ast.stmt]:
    """The statements in the blocks of a statement, in order."""
    return sorted(_statements(statement), key=lambda each: each.lineno)


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """The statements in the blocks of a statement or a module, block by block. No expression holds any."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        elif isinstance(child, ast.excepthandler | ast.match_case):
            yield from _statements(child)


def _header(statement: ast.stmt) -> range:
    """The lines of a statement before those of its blocks."""
    below = _children(statement)
    end = (statement.end_lineno or statement.lineno) if not below else max(statement.lineno, below[0].lineno - 1)
    if isinstance(statement, ast.Match):
        end = statement.subject.end_lineno or statement.lineno
    if isinstance(statement, ast.Try):
        end = statement.lineno
    return range(statement.lineno, end + 1)


def _header_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """What a statement holds beside the statements in its blocks."""
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, ast.stmt):
            continue
        if isinstance(child, ast.excepthandler | ast.match_case):
            yield from (each for each in ast.iter_child_nodes(child) if not isinstance(each, ast.stmt))
        else:
            yield child


def _body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
    body = function.body
    return body[1:] if len(body) > 1 and _is_text(body[0]) else body


def _first(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    """The line that runs whenever a function is called."""
    return {_body(function)[0].lineno}


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement binds, beside those in its blocks."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        yield from ((alias.asname or alias.name).partition(".")[0] for alias in statement.names)
    elif isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield statement.name
    for child in _header_nodes(statement):
        for node in ast.walk(child):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
                yield from (each.id for each in ast.walk(node.value) if isinstance(each, ast.Name))


def _read(statement: ast.stmt) -> Iterator[str]:
    """The names and attributes that a statement reads, beside those in its blocks."""
    for child in _header_nodes(statement):
        for node in ast.walk(child):
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                yield node.id if isinstance(node, ast.Name) else node.attr


def _hidden(function: ast.AST) -> set[str]:
    """The names that are a function's own."""
    own, outer = set[str](), set[str]()
    for node in ast.walk(function):
        if isinstance(node, ast.Global | ast.Nonlocal):
            outer |= set(node.names)
        elif isinstance(node, ast.arg):
            own.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
    return own - outer
