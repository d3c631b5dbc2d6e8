"""Fenced code in a model's text. A harness imports these names from `lorimer.harness.text`.

This module imports the standard library alone: it is sent into the jail as it stands. Python 3.10 or newer. It raises nothing,
whatever the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST = 200_000
"""Characters of a text that are looked at; few models write a tenth of that."""

SHELLS = frozenset(("sh", "bash", "shell", "zsh", "console", "terminal", "shell-session", "cmd"))
"""What fences of shell commands are called."""

ENDINGS = {
    "python": ("py",),
    "py": ("py",),
    "python3": ("py",),
    "javascript": ("js", "mjs", "cjs"),
    "js": ("js", "mjs", "cjs"),
    "typescript": ("ts",),
    "ts": ("ts",),
    "c": ("c", "h"),
    "cpp": ("cpp", "cc", "cxx", "hpp", "h"),
    "c++": ("cpp", "cc", "cxx", "hpp", "h"),
    "rust": ("rs",),
    "ruby": ("rb",),
    "perl": ("pl",),
    "julia": ("jl",),
    "haskell": ("hs",),
    "ocaml": ("ml",),
    "kotlin": ("kt",),
    "yaml": ("yaml", "yml"),
    "yml": ("yaml", "yml"),
    "markdown": ("md",),
    "text": ("txt",),
}
"""How files end that hold what a fence calls by another name. A language that is not here ends as it is called: `json`, `go`."""


@dataclass(frozen=True)
class Block:
    """Fenced code."""

    language: str
    """The language in lower case; empty where the fence names none."""
    code: str


def blocks(text: str, languages: frozenset[str] | None = None) -> tuple[Block, ...]:
    """The fenced code of a text in order, that of an open fence at its end included; of these languages alone where given."""
    found = []
    for match in re.finditer(
        r"^[ \t]*(```+|~~~+)[ \t]*([\w+.-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", text[:LONGEST], re.M | re.S
    ):
        language, code = match[2].lower(), match[3]
        if code.strip() and (languages is None or language in languages):
            found.append(Block(language, code.rstrip("\n")))
    return tuple(found)


def shell_command(text: str) -> str:
    """The first fenced block of shell commands, prompts of a pasted session taken off; empty where there is none."""
    found = blocks(text, SHELLS)
    if not found:
        return ""
    lines = found[0].code.split("\n")
    if lines[0].startswith("$ "):  # a session: what has no prompt is output
        lines = [line[2:] for line in lines if line.startswith(("$ ", "> "))]
    return "\n".join(lines)


def saving_command(text: str, instruction: str) -> str:
    """The shell command that writes fenced code into the file that the task asks for; empty where that is not plain.

    Small models answer with the code itself, whatever they were asked to wrap it in. It is plain where a block that is no
    shell's is in a language, and the task names exactly one absolute path that ends as files of that language do.

    Args:
        text: the model's answer. Its first such block is taken.
        instruction: the task's.
    """
    for block in blocks(text):
        if not block.language or block.language in SHELLS:
            continue
        endings = "|".join(re.escape(ending) for ending in ENDINGS.get(block.language, (block.language,)))
        named = rf"(?<![\w./~:-])(?:/[\w.+-]+)+\.(?:{endings})(?![\w/-])(?!\.\w)"
        paths = set(re.findall(named, instruction[:LONGEST]))
        if len(paths) != 1:
            continue
        end = "END_OF_FILE"
        while end in block.code:
            end += "_"
        return f"cat > {paths.pop()} <<'{end}'\n{block.code}\n{end}"
    return ""
