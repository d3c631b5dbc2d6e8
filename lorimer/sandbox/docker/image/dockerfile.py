"""What of a Dockerfile the engine's classic builder cannot build: read from the text, before anything is built. Pure.

What each version has was taken from the reference of Dockerfiles and from what each Docker Engine brought along. Of flags that
came late only a version that is surely too old is named; whether a newer one is new enough, its builder says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Need:
    """One thing that needs BuildKit."""

    line: int
    """The line where its instruction begins, from 1."""
    what: str
    """`RUN --mount`."""
    engine: int = 0
    """The major version of the first Docker Engine whose own BuildKit knows it; 0: any. A `# syntax=` line brings its own."""


HEREDOC = "a here-document (<<)"
_FLAGS: dict[str, dict[str, int]] = {
    "RUN": {"mount": 0, "network": 0, "security": 0, "device": 28},
    "COPY": {"chmod": 0, "link": 23, "parents": 28, "exclude": 28},
    "ADD": {"chmod": 0, "link": 23, "checksum": 24, "keep-git-dir": 23, "exclude": 28, "unpack": 28},
}
_FILLED = {f"{whose}{what}" for whose in ("TARGET", "BUILD") for what in ("PLATFORM", "OS", "ARCH", "VARIANT")}
"""Arguments that BuildKit fills in. Elsewhere they are empty, which ends in odd addresses of downloads."""
_FRONTEND = re.compile(r"(docker\.io/)?docker/dockerfile([:@].*)?")

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z]\w*)\s*=\s*(.+?)\s*")
_WORD = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:\\.|[^"\\])*"|'[^']*')+""")
_HEREDOC = re.compile(r"\d*<<(-?)([^<\s]+|\"[^\"<]+\"|'[^'<]+')")
_FLAG = re.compile(r"--([a-z-]+)(=.*)?")
_GIT = re.compile(r"git@[\w.-]+:\S+|(https?|git|ssh)://\S+\.git([#?]\S*)?")


def buildkit_needs(text: str) -> tuple[Need, ...]:
    """All that needs BuildKit, in the order of lines. A `# syntax=` line does by itself where it names a language of its own."""
    lines = text.removeprefix("\ufeff").splitlines()
    directives = _directives(lines)
    syntax = directives.get("syntax", "")
    found = list(_instructions(lines, directives.get("escape", "\\")))
    if syntax:
        found = [replace(need, engine=0) for need in found]
        if not _FRONTEND.fullmatch(syntax):
            found.insert(0, Need(1, f"# syntax={syntax}"))
    return tuple(found)


def without_syntax(text: str) -> str:
    """The same, line for line, in the language that the builder itself has: without a `# syntax=` line of Docker's own."""
    lines = text.removeprefix("\ufeff").splitlines(keepends=True)
    found = _directives([line.rstrip("\r\n") for line in lines])
    if not _FRONTEND.fullmatch(found.get("syntax", "")):
        return text
    first = [_DIRECTIVE.fullmatch(line.strip()) for line in lines]
    many = next((at for at, match in enumerate(first) if match is None), len(lines))
    kept = [line for line, match in zip(lines[:many], first, strict=False) if match and match[1].lower() != "syntax"]
    # Behind the others, as the first line that sets nothing ends what the first lines set.
    return "".join(kept) + "#\n" * (many - len(kept)) + "".join(lines[many:])


def _directives(lines: list[str]) -> dict[str, str]:
    """What the first lines set. They end at the first line that sets nothing."""
    found: dict[str, str] = {}
    for line in lines:
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None:
            break
        found.setdefault(match[1].lower(), match[2])
    return found


def _instructions(lines: list[str], escape: str) -> Iterator[Need]:
    at, goes_on = 0, re.compile(re.escape(escape) + r"[ \t]*$")
    while at < len(lines):
        begin, whole = at, ""
        while at < len(lines):
            line = lines[at].strip()
            at += 1
            if line.startswith("#") or (whole and not line):
                continue  # comments and empty lines may stand within an instruction
            if not whole:
                begin = at - 1
            more = goes_on.search(line)
            whole += goes_on.sub("", line) + " " * (more is not None)
            if more is None:
                break
        yield from _of_instruction(begin + 1, whole)
        after = _after_heredocs(whole, lines, at)
        if after > at:
            yield Need(begin + 1, HEREDOC, 23)
            at = after


def _of_instruction(line: int, whole: str) -> Iterator[Need]:
    words = _WORD.findall(whole)
    if words and words[0].upper() == "ONBUILD":
        words = words[1:]
    if not words:
        return
    name = words[0].upper()
    flags = []
    for word in words[1:]:
        match = _FLAG.fullmatch(word)
        if match is None:
            break
        flags.append(match)
    for flag in flags:
        if flag[1] in _FLAGS.get(name, {}):
            yield Need(line, f"{name} --{flag[1]}", _FLAGS[name][flag[1]])
        if name == "FROM" and flag[1] == "platform" and any(arg in (flag[2] or "") for arg in _FILLED):
            yield Need(line, f"FROM {flag[0]}")
    if name == "ARG":
        yield from (Need(line, f"ARG {word}, which BuildKit alone fills in,") for word in words[1:] if word in _FILLED)
    if name == "ADD" and any(_GIT.fullmatch(word) for word in words[1 + len(flags) : -1]):
        yield Need(line, "ADD of a git repository")


def _heredocs(whole: str) -> list[tuple[str, bool]]:
    """The words that end the here-documents of an instruction, and whether tabs before them count for nothing."""
    words = _WORD.findall(whole)
    if words and words[0].upper() == "ONBUILD":
        words = words[1:]
    if not words or words[0].upper() not in _FLAGS:
        return []
    found = [match for word in words[1:] if (match := _HEREDOC.fullmatch(word))]
    return [(match[2].strip("\"'"), match[1] == "-") for match in found]


def _after_heredocs(whole: str, lines: list[str], at: int) -> int:
    """The first line after the heredocs; `at` where there are none. One that does not end does not count."""
    here = at
    for end, tabs in _heredocs(whole):
        while here < len(lines) and (lines[here].lstrip("\t") if tabs else lines[here]) != end:
            here += 1
        if here == len(lines):
            return at
        here += 1
    return here
