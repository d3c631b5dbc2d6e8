"""The contamination lint: does an edit teach the harness this benchmark instead of teaching it to work?

Only what the edit adds over its parent is judged. What a harness gains by knowing the tasks is worthless elsewhere, so these
findings refuse an edit. The lint sees plain copying; the sealed holdout is what catches the rest.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence

WORDS = 8
"""Words in a row that must not come from one task's text. English prose of two hands rarely agrees on eight; a quotation does."""

COMMON = 0.2
"""A shingle in more than this share of the tasks (and in more than two) is the suite's boilerplate, not one task's text."""

LONG_NAME = 8
"""Shorter file names (`a.py`, `out.txt`) are too likely by chance."""

SEALED = "holds the name, the wording or a file of a single task"
"""The finding about a sealed task, whatever it is."""

VERIFIER_PATHS = ("/logs/verifier", "/solution", "/tests", "reward.txt", "reward.json", "test.sh", "solve.sh")

_COMMON_NAMES = """
readme.md readme.txt requirements.txt pyproject.toml package.json package-lock.json tsconfig.json setup.py setup.cfg
conftest.py __init__.py __main__.py settings.py cargo.toml pom.xml build.gradle cmakelists.txt docker-compose.yml
docker-compose.yaml index.html index.js config.json config.yaml config.toml config.ini input.txt input.csv input.json
input.xlsx output.txt output.csv output.json output.xlsx result.txt result.json results.json results.csv answer.txt
solution.py script.py
"""
CONVENTIONS = frozenset(_COMMON_NAMES.split())
"""File names that advice for any task may mention."""

_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\.[A-Za-z][A-Za-z0-9]{0,7}(?![A-Za-z0-9_])")
_HASH_MODULES = frozenset({"hashlib", "zlib", "binascii", "hmac"})


def lint(
    text: str, *, parent: str, tasks: Sequence[tuple[str, str]], sealed: Sequence[tuple[str, str]] = ()
) -> list[str]:
    """What in `text`, and not in `parent`, belongs to the benchmark. Empty where nothing does.

    Args:
        tasks: id and instruction of every task that the reader of the findings may know.
        sealed: the same of those that it may not. What belongs to them is one finding, the same whatever it is: it repeats
            nothing of the edit, which would say what of it a sealed task holds.
    """
    mine, theirs = _Said(text), _Said(parent)
    instructions = [instruction for _, instruction in tasks]
    findings = [
        *_ids(mine, theirs, tasks),
        *_quotations(mine, theirs, instructions),
        *_file_names(mine, theirs, instructions),
        *_verifier(mine, theirs),
    ]
    known = set(_recognition(parent))
    findings += [finding for finding in _recognition(text) if finding not in known]
    if _knows_sealed(mine, theirs, sealed, instructions):
        findings.append(SEALED)
    return list(dict.fromkeys(findings))


def _knows_sealed(mine: _Said, theirs: _Said, sealed: Sequence[tuple[str, str]], seen: Sequence[str]) -> bool:
    """Whether the edit holds what belongs to a sealed task, and to none whose instruction is among `seen`."""
    instructions = [instruction for _, instruction in sealed]
    found = (
        _ids(mine, theirs, sealed),
        _quotations(mine, theirs, instructions, seen),
        _file_names(mine, theirs, instructions, seen),
    )
    return any(True for findings in found for _ in findings)


class _Said:
    """What a source says: its strings (adjacent ones and constant sums joined) and comments, and the source itself."""

    def __init__(self, source: str) -> None:
        self.pieces = [*_strings(source), *_comments(source)]
        self.words = [_words(piece) for piece in self.pieces]
        self.shingles = {shingle for words in self.words for shingle in _shingles(words)}
        self.prose = "\n".join(self.pieces)
        self.all = f"{source}\n{self.prose}"


def _more(pattern: str, mine: str, theirs: str) -> bool:
    """Said more often than before: text that only moved is not news."""
    found = len(re.findall(pattern, mine))
    return found > 0 and found > len(re.findall(pattern, theirs))


def _ids(mine: _Said, theirs: _Said, tasks: Sequence[tuple[str, str]]) -> Iterator[str]:
    for id_, _ in tasks:
        # An id that is one plain word (`addition`) is English as likely as not.
        telling = len(id_) >= 5 and re.search(r"[-_.\d]", id_)
        if telling and id_ in mine.all and _more(rf"(?<![\w-]){re.escape(id_)}(?![\w-])", mine.all, theirs.all):
            yield f"names the task '{id_}'; a harness must work on tasks that it has not seen"


def _quotations(
    mine: _Said, theirs: _Said, instructions: Sequence[str], elsewhere: Sequence[str] = ()
) -> Iterator[str]:
    """What repeats words of `instructions`, where none of the texts `elsewhere` says the same."""
    new = mine.shingles - theirs.shingles
    if new:
        new -= {shingle for text in elsewhere for shingle in _shingles(_words(text)) if shingle in new}
    counts = Counter(
        shingle for text in (instructions if new else ()) for shingle in set(_shingles(_words(text))) if shingle in new
    )
    for words in mine.words:
        for shingle in _shingles(words):
            if shingle in counts and not _is_common(counts[shingle], len(instructions)):
                yield f'quotes a task\'s text: "{" ".join(shingle)}"; say it in general terms'
                break  # One finding a piece: the next seven shingles say the same.


def _file_names(
    mine: _Said, theirs: _Said, instructions: Sequence[str], elsewhere: Sequence[str] = ()
) -> Iterator[str]:
    """What names files of `instructions`, where none of the texts `elsewhere` names the same."""
    counts = Counter(name for text in instructions for name in set(_FILE_NAME.findall(text)))
    for name in sorted(set(_FILE_NAME.findall(mine.prose))):
        # What several tasks share is a convention of the suite.
        if counts[name] != 1 or len(name) < LONG_NAME or name.lower() in CONVENTIONS or _is_code(name):
            continue
        if any(name in _FILE_NAME.findall(text) for text in elsewhere):
            continue
        if _more(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", mine.prose, theirs.prose):
            yield f"names the file '{name}', which belongs to one task; describe the kind of file instead"


def _is_code(name: str) -> bool:
    """`json.loads` looks like a file; `calendar.csv` is one."""
    stem, _, ending = name.rpartition(".")
    return stem in sys.stdlib_module_names and ending not in (
        "csv",
        "json",
        "jsonl",
        "log",
        "md",
        "py",
        "sql",
        "txt",
        "xlsx",
    )


def _verifier(mine: _Said, theirs: _Said) -> Iterator[str]:
    for path in VERIFIER_PATHS:
        if _more(rf"(?<![\w.-]){re.escape(path)}(?![\w-])", mine.all, theirs.all):
            yield f"names '{path}', which is the verifier's or the solution's; a harness has no business there"


def _recognition(source: str) -> Iterator[str]:
    """Telling tasks apart by a fingerprint of the instruction."""
    nodes = list(ast.walk(_tree(source)))
    tainted = _tainted(nodes)

    def from_instruction(node: ast.AST) -> bool:
        return any(
            _is_instruction(part) or (isinstance(part, ast.Name) and part.id in tainted) for part in ast.walk(node)
        )

    hashers = {"hash"} | _hash_names(nodes)
    for node in nodes:
        if isinstance(node, ast.Call) and any(
            map(from_instruction, [*node.args, *(word.value for word in node.keywords)])
        ):
            root = node.func
            while isinstance(root, ast.Attribute | ast.Call):
                root = root.value if isinstance(root, ast.Attribute) else root.func
            fed = isinstance(node.func, ast.Attribute) and node.func.attr == "update" and len(hashers) > 1
            if fed or (isinstance(root, ast.Name) and root.id in hashers):
                yield "takes a hash of task.instruction, which recognises tasks; do without it"
        if isinstance(node, ast.Compare) and all(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            sides = [node.left, *node.comparators]
            if any(map(_of_instruction, sides)) and any(
                isinstance(side, ast.Constant) and side.value for side in sides
            ):
                yield "compares task.instruction, or its length, with a constant, which recognises tasks; do without it"


def _is_instruction(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "instruction"


def _of_instruction(node: ast.AST) -> bool:
    """`task.instruction`, its length, or a method of it; not any expression that it takes part in."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id == "len":
            return any(map(_of_instruction, node.args))
        return isinstance(node.func, ast.Attribute) and _of_instruction(node.func.value)
    if isinstance(node, ast.Subscript):
        return _of_instruction(node.value)
    return _is_instruction(node)


def _tainted(nodes: Sequence[ast.AST]) -> set[str]:
    """Names that may hold the instruction: assigned from it, or parameters of a function that was called with it.

    By name alone, over the whole file. Only text-like uses are followed, not what a model or a command answered to it.
    """
    parameters = {n.name: [arg.arg for arg in n.args.args] for n in nodes if isinstance(n, ast.FunctionDef)}
    tainted: set[str] = set()

    def holds(node: ast.AST) -> bool:
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and holds(node.func.value):
                return True  # task.instruction.strip()
            return isinstance(node.func, ast.Name) and node.func.id == "str" and any(map(holds, node.args))
        if isinstance(node, ast.BinOp | ast.Subscript | ast.JoinedStr | ast.FormattedValue):
            return any(map(holds, ast.iter_child_nodes(node)))
        return _is_instruction(node) or (isinstance(node, ast.Name) and node.id in tainted)

    before = -1
    while len(tainted) > before:
        before = len(tainted)
        for node in nodes:
            if isinstance(node, ast.Assign) and holds(node.value):
                tainted.update(target.id for target in node.targets if isinstance(target, ast.Name))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in parameters:
                names = parameters[node.func.id]
                tainted.update(name for name, arg in zip(names, node.args, strict=False) if holds(arg))
                tainted.update(word.arg for word in node.keywords if word.arg in names and holds(word.value))
    return tainted


def _hash_names(nodes: Sequence[ast.AST]) -> set[str]:
    """Names by which the source reaches a hash function."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.asname or alias.name for alias in node.names if alias.name in _HASH_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in _HASH_MODULES:
            names.update(alias.asname or alias.name for alias in node.names)
    return names


def _tree(text: str) -> ast.Module:
    """An empty tree where the text does not parse: the parse check has its own words for that."""
    try:
        return parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])


def parse(text: str) -> ast.Module:
    """`ast.parse` without its warnings: `"\\d"` in a harness is no news for whoever runs a study."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # No file's name: Python would quote the wrong line from a file that has it in the current folder, not from `text`.
        return ast.parse(text, "<agent.py>")


def _strings(source: str) -> Iterator[str]:
    """Every string constant, with sums of constants joined, so that a sentence cannot hide in halves."""
    for node in ast.walk(_tree(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            yield node.value if isinstance(node.value, str) else node.value.decode("utf-8", "replace")
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            parts = [
                part.value for part in _summands(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)
            ]
            if len(parts) > 1:
                yield "".join(parts)
        elif isinstance(node, ast.List | ast.Tuple):
            # Prompts are often lists of lines that are joined.
            items = [item.value for item in node.elts if isinstance(item, ast.Constant) and isinstance(item.value, str)]
            if len(items) > 1:
                yield " ".join(items)


def _summands(node: ast.expr) -> Iterator[ast.expr]:
    pending = [node]
    while pending:
        part = pending.pop()
        if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Add):
            pending += [part.right, part.left]
        else:
            yield part


def _comments(source: str) -> list[str]:
    """Comments, those on lines in a row as one text."""
    found: list[str] = []
    last = -2
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type != tokenize.COMMENT:
                continue
            words = token.string.lstrip("#")
            if token.start[0] == last + 1 and found:
                found[-1] += "\n" + words
            else:
                found.append(words)
            last = token.start[0]
    except (tokenize.TokenError, SyntaxError, ValueError):  # ValueError: Python 3.12 and newer cut a character in two
        pass  # As far as it reads; the parse check reports the rest.
    return found


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _shingles(words: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + WORDS]) for at in range(len(words) - WORDS + 1)]


def _is_common(count: int, tasks: int) -> bool:
    return count > 2 and count > COMMON * tasks
