"""A harness as a text: its identity, edits to it, and what must hold before it may run. Pure.

Every HarnessError here is read by a model that will try again, so it says which part is at fault and what to change.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from lorimer.errors import HarnessError
from lorimer.harness.lint import lint as lint
from lorimer.harness.lint import parse

OFFERED = ("lorimer.harness.api", "lorimer.harness.text")
"""The modules of lorimer that are in the jail for a harness to import."""

WHOLE = "what a module of your own has goes into agent.py itself"

CONTRACT = "def solve(task, env, llm)"
MAX_HUNKS = 50
"""A surgical edit has a handful; past this the search for matches is no longer what costs time, reading it is."""


@dataclass(frozen=True)
class Hunk:
    """One exact replacement: `search` must occur once, and becomes `replace`."""

    search: str
    replace: str


def sha(text: str) -> str:
    """The harness's identity: SHA-256 of its UTF-8 bytes, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def diff(a: str, b: str, before: str = "a/agent.py", after: str = "b/agent.py") -> str:
    """A unified diff from `a` to `b` under these names, empty where they are equal."""
    lines = difflib.unified_diff(_lines(a), _lines(b), before, after)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def apply_edit(text: str, hunks: Sequence[Hunk]) -> str:
    """`text` with every hunk applied in order, each on what the earlier ones left.

    Only line endings are forgiven: a search with `\\n` finds `\\r\\n`, and the replacement takes the file's own.

    Raises HarnessError, and then nothing is applied: no hunks or too many, an empty search, a search that is not found
    (the nearest lines are shown) or found several times (their lines are listed), or an edit that changes nothing.
    """
    if not hunks:
        raise HarnessError("the edit has no hunks; give at least one search and its replacement")
    if len(hunks) > MAX_HUNKS:
        raise HarnessError(f"the edit has {len(hunks)} hunks; the most is {MAX_HUNKS}: make a smaller change")
    crlf = "\r\n" in text and not re.search(r"(?<!\r)\n", text)
    edited = text
    for number, hunk in enumerate(hunks, 1):
        edited = _apply(edited, hunk, f"hunk {number} of {len(hunks)}", crlf)
    if edited == text:
        raise HarnessError("the edit changes nothing: the text after it is the text before it")
    return edited


def hunks_between(a: str, b: str) -> tuple[Hunk, ...]:
    """The edit that turns `a` into `b`, in hunks with as much context as makes each search unique; one hunk of the whole text
    where that does not go. Empty where they are equal.

    So an edit that somebody made in their editor can be applied to another harness than the one that they had before them.
    """
    lines, others = a.splitlines(keepends=True), b.splitlines(keepends=True)
    places = difflib.SequenceMatcher(None, lines, others, autojunk=False).get_opcodes()
    parts: list[tuple[int, int]] = []  # lines of `a`, first and behind last
    for kind, first, last, _, _ in places:
        if kind == "equal":
            continue
        while not _unique("".join(lines[first:last]), a) and last - first < len(lines):
            first, last = max(0, first - 1), min(len(lines), last + 1)
        while parts and first <= parts[-1][1]:
            before = parts.pop()
            first, last = min(first, before[0]), max(last, before[1])
        parts.append((first, last))
    # Where in `b` that begins which begins at a line of `a`, and where that ends which ends there. They differ where lines are
    # put in: these are of a part that begins there, as one at the top of a file does, and of one that ends there.
    begins, ends = dict[int, int](), dict[int, int]()
    for kind, first, last, begin, end in places:
        inside = {first + at: begin + at for at in range(last - first)} if kind == "equal" else {first: begin}
        begins = inside | begins
        ends |= inside | {last: end}
    hunks = tuple(
        Hunk("".join(lines[first:last]), "".join(others[begins[first] : ends[last]])) for first, last in parts
    )
    with suppress(HarnessError):
        if hunks and apply_edit(a, hunks) == b:
            return hunks
    return (Hunk(a, b),) if a != b else ()


def _unique(part: str, text: str) -> bool:
    return bool(part) and text.find(part) == text.rfind(part)


def check(text: str, *, max_bytes: int) -> None:
    """Everything about a harness that can be known without running it.

    Size, UTF-8, syntax, `solve` with three positional arguments at the top level, and imports that the jail can serve: the
    standard library and lorimer's own two modules. Imports within a function or under `try` count like any other.

    Raises HarnessError.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise HarnessError(f"agent.py holds a character that UTF-8 cannot write, at index {error.start}") from None
    if size > max_bytes:
        raise HarnessError(f"agent.py has {size:,} bytes; the limit is {max_bytes:,}: remove {size - max_bytes:,}")
    tree = _parse(text)
    for node in ast.walk(tree):
        for module in _imported(node):
            _check_import(module, getattr(node, "lineno", 0))
    _check_solve(tree)


def why_not_started(problem: str) -> str:
    """The traceback of a harness that was loaded in vain, in one line: what was raised, by which of its lines, what helps."""
    lines = problem.strip().splitlines()
    said = " ".join(lines[-1].split()) if lines else "it gave no reason"
    where = [line for line in lines if "agent.py" in line and ", line " in line]
    if where:
        said += f" (line {where[-1].rpartition(', line ')[2].partition(',')[0]})"
    if said.startswith("FileNotFoundError"):
        said += "; the jail has no file but agent.py: what it reads must stand in it, as a prompt does in a string"
    return said


def _parse(text: str) -> ast.Module:
    try:
        return parse(text)
    except SyntaxError as error:
        column = f", column {error.offset}" if error.offset else ""
        shown = f": {error.text.strip()!r}" if error.text else ""
        raise HarnessError(f"agent.py line {error.lineno}{column}: {error.msg}{shown}") from None
    except ValueError as error:  # NUL bytes, before Python 3.12
        raise HarnessError(f"agent.py: {error}") from None
    except (RecursionError, MemoryError):
        raise HarnessError("agent.py: expressions are nested too deeply for Python's parser") from None


def _apply(text: str, hunk: Hunk, name: str, crlf: bool) -> str:
    if not hunk.search:
        raise HarnessError(f"{name}: `search` is empty; give the exact lines to replace")
    search, replace = hunk.search, hunk.replace
    if search not in text:
        # One retry in the file's own line endings; nothing else about the text is guessed.
        search, replace = _endings(search, crlf), _endings(replace, crlf)
    elif crlf:
        replace = _endings(replace, crlf)
    found = [match.start() for match in re.finditer(f"(?={re.escape(search)})", text)]
    if len(found) == 1:
        return text[: found[0]] + replace + text[found[0] + len(search) :]
    if not found:
        raise HarnessError(f"{name}: `search` is not in agent.py as it stands at that point. {_nearest(text, search)}")
    lines = ", ".join(str(text.count("\n", 0, at) + 1) for at in found[:8])
    more = ", …" if len(found) > 8 else ""
    raise HarnessError(
        f"{name}: `search` is found {len(found)} times, at lines {lines}{more}; "
        "add lines of context before or after it until it is unique"
    )


def _endings(text: str, crlf: bool) -> str:
    plain = text.replace("\r\n", "\n")
    return plain.replace("\n", "\r\n") if crlf else plain


def _nearest(text: str, search: str) -> str:
    """The lines of the file that look most like `search`, numbered."""
    lines, wanted = text.splitlines(), search.strip("\r\n").splitlines()
    if not lines or not any(line.strip() for line in wanted):
        return "Copy the lines from agent.py exactly."
    # Windows are ranked by how many lines they have in common with the search, blanks aside, then by likeness of text, for
    # the few best only: comparing every window's text takes seconds on a long file.
    bare = {line.strip() for line in wanted if line.strip()}
    first = next(line.strip() for line in wanted if line.strip())
    near_first = set(difflib.get_close_matches(first, sorted({line.strip() for line in lines}), 3, 0.5))
    span = len(wanted)
    stripped = [line.strip() for line in lines]
    starts = range(max(1, len(lines) - span + 1))

    def common(at: int) -> int:
        return sum(2 * (line in bare) + (line in near_first) for line in stripped[at : at + span])

    best = sorted(starts, key=lambda at: (-common(at), at))[:20]
    goal = "\n".join(wanted)
    scored = [
        (difflib.SequenceMatcher(None, "\n".join(lines[at : at + span]), goal, autojunk=False).ratio(), -at)
        for at in best
    ]
    ratio, at = max(scored)
    if ratio < 0.4:
        return "No lines look like it; copy the lines from agent.py exactly."
    shown = [f"{-at + offset + 1:>4} | {line}" for offset, line in enumerate(lines[-at : -at + min(span, 12)])]
    cut = "" if span <= 12 else f"\n     ({span - 12} more lines)"
    return "The nearest lines, which differ, are:\n" + "\n".join(shown) + cut


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        if node.level:
            return ["." * node.level + (node.module or "")]
        if node.module in ("lorimer", "lorimer.harness"):
            return [f"{node.module}.{alias.name}" for alias in node.names]
        return [node.module or ""]
    return []


def _check_import(module: str, line: int) -> None:
    if module in OFFERED or module.partition(".")[0] in sys.stdlib_module_names:
        return
    if module.startswith("."):
        raise HarnessError(f"agent.py line {line}: relative import '{module}': a harness is one file; {WHOLE}")
    if module.partition(".")[0] == "lorimer":
        raise HarnessError(
            f"agent.py line {line}: '{module}' may not be imported; of lorimer, only {' and '.join(OFFERED)}"
        )
    raise HarnessError(
        f"agent.py line {line}: '{module}' is not in the jail; import only the standard library, {' and '.join(OFFERED)}; {WHOLE}"
    )


def _check_solve(tree: ast.Module) -> None:
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name == "solve"]
    if not found:
        raise HarnessError(f"agent.py must define `{CONTRACT}` at its top level")
    solve = found[-1]  # The last one is the one that counts.
    if isinstance(solve, ast.AsyncFunctionDef):
        raise HarnessError(
            f"agent.py line {solve.lineno}: `solve` must be a plain function, not `async`; it may call `asyncio.run`"
        )
    args = solve.args
    positional = len(args.posonlyargs) + len(args.args)
    required = positional - len(args.defaults)
    takes_three = required <= 3 and (positional >= 3 or args.vararg is not None)
    if not takes_three or any(default is None for default in args.kw_defaults):
        raise HarnessError(f"agent.py line {solve.lineno}: `solve` must take three positional arguments: `{CONTRACT}`")
