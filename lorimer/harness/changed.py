"""What an edit changes in a harness, as far as its text alone can tell. Pure."""

from __future__ import annotations

import ast
import difflib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lorimer.harness.lint import parse


@dataclass(frozen=True)
class ChangedText:
    """A prompt, the description of a tool or another text that an edit changes: what is assigned to a name of the file."""

    name: str
    """The name that it is assigned to at the top level of the file, such as `SYSTEM_PROMPT`."""
    alone: str
    """The harness before the edit with nothing but this assignment changed; empty where the name is new."""
    without: str
    """The harness after the edit with this assignment as it was; empty where the name is new."""


def changed_texts(before: str, after: str) -> tuple[ChangedText, ...]:
    """The texts that differ between a harness and an edited one, in the order of the file.

    A name counts where it is assigned once in each, and the string constants of what it is assigned are not the same ones.
    Neither text need parse; what does not has none.
    """
    old, new = _assigned(before), _assigned(after)
    found = []
    for name, node in new.items():
        texts, was = _texts(node), old.get(name)
        if not texts or (was is not None and _texts(was) == texts):
            continue
        if was is None:
            found.append(ChangedText(name, "", ""))
            continue
        (begin, end), (first, last) = _place(before, was), _place(after, node)
        alone = before[:begin] + after[first:last] + before[end:]
        without = after[:first] + before[begin:end] + after[last:]
        found.append(ChangedText(name, alone, without))
    return tuple(found)


def never_named(before: str, after: str) -> tuple[str, ...]:
    """Functions, classes and variables that an edit adds at the top level of a harness, and that nothing in the file names."""
    tree, old = parsed(after), parsed(before)
    if tree is None or old is None:
        return ()
    added = {name: None for name in _defined(tree) if name not in set(_defined(old))}
    named = Counter(
        node.id if isinstance(node, ast.Name) else node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load)
    )
    # A name that stands in a string may be looked up by it.
    quoted = "\n".join(_texts(tree))
    return tuple(name for name in added if not named[name] and name not in quoted)


def same_code(before: str, after: str) -> bool:
    """Whether two harnesses differ in comments and layout alone, so that Python runs the same of both."""
    return Parsed.of(before).runs_as(Parsed.of(after))


def same_tree(old: ast.AST | None, new: ast.AST | None) -> bool:
    """Whether Python runs the same of two trees; `False` where one could not be read. It stops where they first differ."""
    left: list[tuple[object, object]] = [(old, new)]
    while left:
        mine, theirs = left.pop()
        if mine is theirs:  # such as the one `ast.Load` that Python has
            continue
        if type(mine) is not type(theirs):
            return False
        if isinstance(mine, ast.AST):
            for field in mine._fields:
                left.append((getattr(mine, field, None), getattr(theirs, field, None)))
        elif isinstance(mine, list) and isinstance(theirs, list):
            if len(mine) != len(theirs):
                return False
            left += zip(mine, theirs, strict=True)
        elif mine != theirs:
            return False
    return old is not None and new is not None


@dataclass(frozen=True)
class Parsed:
    """A harness as Python reads it."""

    tree: ast.Module | None
    """`None` where Python cannot read it."""
    lines: Sequence[str]
    """They are what `code_lines` gives."""

    @classmethod
    def of(cls, text: str) -> Parsed:
        return cls(parsed(text), code_lines(text))

    def runs_as(self, other: Parsed) -> bool:
        """What `same_tree` says of both trees. Only statements of the top level that are written differently are compared."""
        if self.tree is None or other.tree is None or len(self.tree.body) != len(other.tree.body):
            return False
        return all(
            self._written(mine) == other._written(theirs) or same_tree(mine, theirs)
            for mine, theirs in zip(self.tree.body, other.tree.body, strict=True)
        )

    def _written(self, statement: ast.stmt) -> tuple[int, int | None, Sequence[str]]:
        """The lines of a statement, and where in the first and the last of them it begins and ends."""
        lines = lines_of(statement)
        return statement.col_offset, statement.end_col_offset, self.lines[lines.start - 1 : lines.stop - 1]


MOST_PAIRS = 4_000_000
"""Pairs of lines past which two texts are not matched line by line: that takes seconds where lines repeat."""


def changed_lines(before: str, after: str) -> int:
    """How many lines an edit changes: those that it adds and those that it takes out, where a line that stands in place of
    another counts once. Empty lines do not count, nor does white space at the end of one.
    """
    old, new = ([line.rstrip() for line in text.splitlines() if line.strip()] for text in (before, after))
    same = 0
    for mine, theirs in zip(old, new, strict=False):
        if mine != theirs:
            break
        same += 1
    old, new = old[same:], new[same:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    if len(old) * len(new) > MOST_PAIRS:
        return max(len(old), len(new))
    places = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return sum(max(last - first, end - begin) for kind, first, last, begin, end in places if kind != "equal")


def words_alone(before: str, after: str) -> bool:
    """Whether an edit changes nothing but string constants, comments, docstrings and layout aside: what the code does with them
    is the same. A text that is put together with `+`, or in an f-string, is one text however many pieces it has.
    """
    old, new = parsed(before), parsed(after)
    if old is None or new is None or same_tree(old, new):
        return False
    return same_tree(_Wordless().visit(old), _Wordless().visit(new))


def components(text: str) -> dict[str, str]:
    """The parts of a harness by name, in the order of the file: functions, classes and variables of its top level, each with its
    code. Empty where Python cannot read it.
    """
    tree = parsed(text)
    found: dict[str, str] = {}
    for node in tree.body if tree is not None else ():
        names = (
            [node.name] if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else _targets(node)
        )
        for name in names:
            found[name] = found.get(name, "") + ast.dump(node)
    return found


class _Wordless(ast.NodeTransformer):
    """A tree without its texts."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        parts = [self.visit(part) for part in node.values if not isinstance(part, ast.Constant)]
        return ast.JoinedStr(parts) if parts else ast.Constant("")

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        sides = (node.left, node.right)
        joined = isinstance(node.op, ast.Add) and all(isinstance(s, ast.Constant) and s.value == "" for s in sides)
        return ast.Constant("") if joined else node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else self.generic_visit(node)


def parsed(text: str) -> ast.Module | None:
    """The tree of a harness; `None` where Python cannot read it."""
    try:
        return parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _assigned(text: str) -> dict[str, ast.Assign | ast.AnnAssign]:
    """Assignments to one name at the top level, by that name; names that are assigned several times are left out."""
    tree = parsed(text)
    found: dict[str, ast.Assign | ast.AnnAssign] = {}
    counts = Counter[str]()
    for node in tree.body if tree is not None else ():
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target: ast.expr = node.targets[0]
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target = node.target
        else:
            continue
        if isinstance(target, ast.Name):
            found[target.id] = node
            counts[target.id] += 1
    return {name: node for name, node in found.items() if counts[name] == 1}


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from [node.name] if not node.decorator_list else []  # a decorator may use what it is given
        else:
            yield from _targets(node)


def _targets(node: ast.stmt) -> list[str]:
    """The names that a statement assigns to."""
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []


def _texts(node: ast.AST) -> list[str]:
    return [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def lines_of(statement: ast.stmt) -> range:
    """All lines of a statement, its decorators too."""
    first = min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", ()))])
    return range(first, (statement.end_lineno or statement.lineno) + 1)


def code_lines(text: str) -> list[str]:
    """The lines of a text with their ends, as Python counts lines: a form feed or a line separator of Unicode ends none."""
    return io.StringIO(text, newline="").readlines()


def _place(text: str, node: ast.stmt) -> tuple[int, int]:
    """Where a statement begins and ends in a text, in characters."""
    lines = code_lines(text)

    def at(line: int, column: int) -> int:
        # Python counts columns in bytes of UTF-8.
        return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())

    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)
