"""A harness as the simulated meta-agent sees it: text with a structure, and exact edits found by that structure.

Every function returns hunks whose `search` occurs exactly once in the text, or `None` where the harness has no such place
or the edit is in it already. Nothing depends on the seed harness's exact lines, so a harness edited before is no obstacle.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from lorimer.models.simulated.reading import Advice, advice


@dataclass(frozen=True)
class Replacement:
    """One exact replacement, as the meta-agent is to state it."""

    search: str
    replace: str


@dataclass(frozen=True)
class Source:
    """A harness's text and its parse."""

    text: str
    tree: ast.Module

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def constants(self) -> Iterator[tuple[str, ast.expr]]:
        """Names assigned at module level, with their values."""
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                yield node.targets[0].id, node.value
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                yield node.target.id, node.value

    def function(self, name: str) -> ast.FunctionDef | None:
        found = [node for node in self.tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
        return found[0] if found else None

    def prompt(self) -> ast.Constant | None:
        """The string that the harness sends as system prompt."""
        found = [
            (name != "SYSTEM_PROMPT", value)
            for name, value in self.constants()
            if re.search(r"PROMPT|SYSTEM", name.upper())
            and isinstance(value, ast.Constant)
            and isinstance(value.value, str)
        ]
        return min(found, key=lambda item: item[0])[1] if found else None

    def says(self, what: Advice) -> bool:
        """Whether the prompt gives this advice already."""
        prompt = self.prompt()
        return prompt is not None and what in advice(str(prompt.value))

    def hunk(self, node: ast.stmt | ast.expr, replacement: str) -> Replacement | None:
        """Replace what `node` covers, searching for its lines and as many above them as make the place unique."""
        if node.end_lineno is None or node.end_col_offset is None:
            return None
        lines = [line.encode() for line in self.lines]  # ast counts columns in bytes
        first, last = node.lineno - 1, node.end_lineno - 1
        head, tail = lines[first][: node.col_offset].decode(), lines[last][node.end_col_offset :].decode()
        top = first
        while True:
            above = "".join(f"{line}\n" for line in self.lines[top:first])
            search = above + "\n".join(self.lines[first : last + 1])
            if self.text.count(search) == 1:
                return Replacement(search, f"{above}{head}{replacement}{tail}")
            if top == 0:
                return None
            top -= 1

    def segment(self, node: ast.AST) -> str:
        return ast.get_source_segment(self.text, node) or ""


def read_source(shown: str) -> Source | None:
    """The harness in a tool's answer, be it bare, fenced, numbered or under a heading; `None` where there is none."""
    fenced = re.search(r"```(?:python)?\n(.*?)\n```\s*$", shown, re.DOTALL)
    bare = [shown, *([fenced.group(1)] if fenced else [])]
    starts = [match.start() for match in re.finditer(r'^(?:"""|from |import |#)', shown, re.MULTILINE)][:5]
    bare += [shown[start:] for start in starts]
    unnumbered = re.sub(r"^ *\d+(?:[:|\t]| \|) ?", "", shown, flags=re.MULTILINE)
    for text in [*bare, unnumbered]:
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            continue
        source = Source(text, tree)
        if source.function("solve") is not None:
            return source
    return None


# ---- places ---------------------------------------------------------------------------------------------------------


def add_to_prompt(source: Source, sentence: str, gives: Advice | None = None) -> Replacement | None:
    """The prompt with `sentence` as its last line. `None` where the prompt gives that advice, or says just that."""
    prompt = source.prompt()
    if prompt is None or sentence in str(prompt.value) or (gives is not None and source.says(gives)):
        return None
    segment = source.segment(prompt)
    for quotes in ('"""', "'''"):
        if segment.endswith(quotes):
            return source.hunk(prompt, f"{segment[:-3].rstrip()}\n{sentence}{quotes}")
    if segment[-1:] in ("'", '"') and segment[-1] not in sentence:
        return source.hunk(prompt, f"{segment[:-1]}\\n{sentence}{segment[-1]}")
    return None


def set_constant(source: Source, name: str, value: int, *, only_above: float) -> Replacement | None:
    """A module's numeric constant lowered to `value`, where it is more than `only_above` now."""
    for found, node in source.constants():
        if re.fullmatch(name, found) and isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return source.hunk(node, f"{value:_}") if node.value > only_above else None
    return None


def keep_head_and_tail(source: Source, limit: int) -> tuple[Replacement, ...] | None:
    """Long output cut in the middle, to `limit` characters, instead of at its end."""
    lowered = set_constant(source, r"MAX_OUTPUT\w*", limit, only_above=10_000)
    for node in ast.walk(source.tree):
        match node:
            case ast.If(
                test=ast.Compare(
                    left=ast.Call(func=ast.Name(id="len"), args=[ast.Name(id=name)]),
                    ops=[ast.Gt()],
                    comparators=[ast.Name(id=bound)],
                ),
                body=[ast.Assign() as body],
            ) if bound.startswith("MAX_OUTPUT"):
                cut = f'{name} = {name}[: {bound} // 2] + "\\n[middle of the output cut]\\n" + {name}[-{bound} // 2 :]'
                middle = source.hunk(body, cut)
                if lowered is None or middle is None or source.segment(body) == cut:
                    return None
                return lowered, middle
    return None


def read_more_calls(source: Source, *, fenced: bool, quoted: bool) -> Replacement | None:
    """Calls written as a fenced block, or as a `<tool_call>` with Python's quotes, are read as well."""
    function = source.function("calls_in_text")
    if function is None or not isinstance(function.body[-1], ast.Return) or len(function.args.args) != 1:
        return None
    if not {"re", "ToolCall", "SHELL"} <= _names(source.tree):
        return None
    written = source.segment(function)
    fenced, quoted = fenced and "```" not in written, quoted and "literal_eval" not in written
    subject = f"{function.args.args[0].arg}.text"
    code = ""
    if fenced:
        code += f"""
        fenced = re.search(r"```(?:bash|sh|shell)\\n(.*?)```", {subject}, re.DOTALL)
        if fenced:
            return (ToolCall(id="text", name=SHELL.name, arguments={{"command": fenced.group(1)}}),)"""
    if quoted:
        code += f"""
        quoted = re.search(r"<tool_call>\\s*(\\{{.*\\}})\\s*</tool_call>", {subject}, re.DOTALL)
        if quoted:
            import ast

            try:
                value = ast.literal_eval(quoted.group(1))
            except (SyntaxError, ValueError):
                value = None
            if isinstance(value, dict) and isinstance(value.get("arguments"), dict):
                return (ToolCall(id="text", name=SHELL.name, arguments=value["arguments"]),)"""
    if not code:
        return None
    code = textwrap.indent(textwrap.dedent(code).strip("\n"), "    ").strip()
    return source.hunk(function.body[-1], f"{code}\n    {source.segment(function.body[-1])}")


def ask_for_a_check(source: Source, request: str) -> Replacement | None:
    """Before the first final answer is taken, the harness asks for a check, once."""
    function = source.function("solve")
    if function is None or not {"messages", "user"} <= _names(source.tree):
        return None
    for loop in ast.walk(function):
        if not isinstance(loop, ast.For | ast.While):
            continue
        for node in ast.walk(loop):
            match node:
                case ast.If(body=[ast.Return(value=ast.Name()) as returned], orelse=[]):
                    indent = " " * returned.col_offset
                    code = (
                        f'check = "{request}"\n'
                        f"{indent}if all(message.text != check for message in messages):\n"
                        f"{indent}    messages.append(user(check))\n"
                        f"{indent}    continue\n"
                        f"{indent}{source.segment(returned)}"
                    )
                    return source.hunk(returned, code)
    return None


def drop_status(source: Source) -> Replacement | None:
    """What a command printed, without how it ended."""
    function = source.function("run")
    for node in ast.walk(function) if function else ():
        match node:
            case ast.Return(value=ast.JoinedStr(values=[ast.FormattedValue(value=ast.Name(id=output)), *rest])) if rest:
                return source.hunk(node, f"return {output}")
    return None


def describe_tool(source: Source, description: str) -> Replacement | None:
    """The first tool's description, in other words."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Tool":
            for keyword in node.keywords:
                if keyword.arg == "description" and isinstance(keyword.value, ast.Constant):
                    if keyword.value.value == description:
                        return None
                    return source.hunk(keyword.value, f'"{description}"')
    return None


def comment(source: Source, words: str) -> Replacement | None:
    """A comment above `solve`."""
    function = source.function("solve")
    if function is None or words in source.text or function.decorator_list:
        return None
    line = source.lines[function.lineno - 1]
    return Replacement(line, f"# {words}\n{line}") if source.text.count(line) == 1 else None


def _names(tree: ast.AST) -> set[str]:
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names
