"""Masks what a cut left of a secret.

Outputs are cut before they come here: by the sandbox, by what a trace keeps of a text, by the harness before it shows one to its
model. A secret over a cut's edge then stands there in part, and is no longer the text that is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MASK = "[secret]"

LEAST = 8
"""Characters of a secret's beginning before a cut that is said, or of its end after one, that are masked."""
LEAST_UNSAID = 16
"""The same where a text, a line or a quotation ends, as a harness may have cut there in silence: honest text ends there too, and
the first characters of keys (`sk-ant-api03-`) are no secret."""

_LINE = r"(?:\r?\n|\\n)"  # the second: within JSON
_WORDS = r"[^\[\]()<>\n]{0,60}"
_SAYING = ("cut", "dropped", "truncated", "omitted", "elided", "skipped")
_SAID = rf"{_LINE}?[\[(<]{_WORDS}\b(?:{'|'.join(_SAYING)})\b{_WORDS}[\])>]{_LINE}?"
_HALF = "\ufffd{0,3}"  # a character that was cut too
_AFTER = re.compile(rf"{_HALF}(?:(?P<said>{_SAID})|\Z|{_LINE}|…|\.\.\.|[\"'`<(\[])")
_BEFORE = re.compile(rf"(?:(?P<said>{_SAID})|\A|{_LINE}|…|\.\.\.|[\"'`>)\]]){_HALF}\Z")
_MARK_CHARS = 160
"""Characters of the longest mark that `_SAID` takes, and of what may stand around it."""

_MARK = re.compile(rf"{_HALF}{_SAID}")
_KEY_BEGINS = re.compile(
    r"(?:(?<![A-Za-z0-9])(?P<key>(?:sk-|A(?:KI|SI)A|gh[pousr]_|github_pat_|hf_|AIza)[A-Za-z0-9_-]{4,64}))\Z"
)
_PASSWORD_BEGINS = re.compile(
    r"(?:\b(?:[Bb]earer|BEARER) {1,4}|://[^\s/@:]{0,64}:)(?![0-9]{1,5}\Z)(?P<key>[^\s/@\[]{4,64})\Z"
)
_KEY_CHARS = 160
"""Characters before a mark in which the beginning of a key is looked for; one that is longer is masked by its shape."""
_KEY_ENDS = re.compile(rf"(?<=\[secret\])({_HALF}{_SAID}{_HALF})[A-Za-z0-9._~+/=-]+")


def known(text: str, value: str) -> str:
    """`text` without what cuts left of `value`, which nowhere stands in it whole."""
    for pieces in (_beginnings, _ends):
        done, kept = 0, []
        for start, stop in pieces(text, value):
            kept += [text[done:start], MASK]
            done = stop
        if kept:
            text = "".join([*kept, text[done:]])
    return text


def shaped(text: str) -> str:
    """`text` without what a cut that is said left of a key whose beginning tells what it is, or of a masked secret."""
    if not any(word in text for word in _SAYING):
        return text
    done, kept = 0, []
    for mark in _MARK.finditer(text):
        # Not by one pattern for all: it would look for the mark's words from every `sk-` on.
        window = text[max(done, mark.start() - _KEY_CHARS) : mark.start()]
        key = _KEY_BEGINS.search(window) or _PASSWORD_BEGINS.search(window)
        if key is not None:
            kept += [text[done : mark.start() - len(window) + key.start("key")], MASK]
            done = mark.start()
    if kept:
        text = "".join([*kept, text[done:]])
    return _KEY_ENDS.sub(rf"\1{MASK}", text)


def signs(value: str) -> tuple[str, str]:
    """What stands in every text from which something is masked for `value`."""
    return value[:LEAST], value[-LEAST:]


def _beginnings(text: str, value: str) -> Iterator[tuple[int, int]]:
    """Where the beginnings of a value that were cut off stand."""
    sign, _ = signs(value)
    at = text.find(sign)
    while at >= 0:
        size = LEAST
        while size < len(value) and text[at + size : at + size + 1] == value[size]:
            size += 1
        # A character of the mark may be the one that would come next.
        for end in range(at + size, at + LEAST - 1, -1):
            edge = _AFTER.match(text, end)
            if edge is not None and (edge["said"] or end - at >= LEAST_UNSAID):
                yield at, end
                at = end - 1
                break
        at = text.find(sign, at + 1)


def _ends(text: str, value: str) -> Iterator[tuple[int, int]]:
    """Where the ends of a value whose beginnings were cut off stand."""
    _, sign = signs(value)
    at = text.find(sign)
    while at >= 0:
        end, size = at + LEAST, LEAST
        while size < len(value) and size < end and text[end - size - 1] == value[-size - 1]:
            size += 1
        for start in range(end - size, at + 1):
            edge = _BEFORE.search(text, max(0, start - _MARK_CHARS), start)
            if edge is not None and (edge["said"] or end - start >= LEAST_UNSAID):
                yield start, end
                at = end - 1
                break
        at = text.find(sign, at + 1)
