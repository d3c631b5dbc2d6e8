"""Full-text search over the steps of trajectories by PostgreSQL's tsvector, asked in the words that SQLite's FTS5 takes.

Words (all must occur), `a OR b`, `a NOT b`, `"a phrase"`, `beginning*` and parentheses mean the same on both. What is no such
query is looked for as plain words, as there. What differs is which of two matches is the better one: FTS5 ranks by how rare a
word is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from lorimer.kinds import SearchOrder
from lorimer.traces import codec
from lorimer.traces.databases.base import OF_STUDY, RANKED, UNSEALED, Plain, SearchQuery, sayable

_ORDERS: dict[SearchOrder, str] = {
    "best": 'ts_rank_cd(words, asked.query) DESC, step.owner, step."index"',
    "newest": "step.id DESC",
    "steps": 'step.owner, step."index"',
}
_TOKEN = re.compile(r'\s*(?:"((?:[^"]|"")*)"(\*?)|([()])|([\w\u0080-\U0010ffff]+)(\*?)|(\S))')
AROUND = 12
"""Words that a snippet shows on either side of its match, as FTS5 does."""


@dataclass
class Query:
    """A search as one expression of SQL over tsquery, with its values, and the words that a snippet marks."""

    text: str = ""
    values: list[str] = field(default_factory=list)
    marked: list[str] = field(default_factory=list)


class _NoQuery(Exception):
    """The words are no query."""


def search(connection: Plain, asked: SearchQuery) -> list[tuple[int, str]]:
    """Do what `base.Database.search` promises."""
    query = understood(asked.words)
    if query is None:
        return []
    where, values = ["words @@ asked.query"], list[Any](query.values)
    if asked.study is not None:
        where.append(OF_STUDY.replace(":study", "?"))
        values += [asked.study, asked.study]
    if asked.sealed:
        where.append(UNSEALED.replace(":sealed", "?"))
        values.append(codec.dumps(list(asked.sealed)))
    matches = f"FROM step, (SELECT {query.text} AS query) AS asked WHERE {' AND '.join(where)}"
    if asked.order == "best":
        newest = f"SELECT step.*, asked.query {matches} ORDER BY step.id DESC LIMIT {max(RANKED, asked.limit)}"
        order = _ORDERS["best"].replace("asked.query", "step.query")
        statement = f"SELECT step.id, step.text FROM ({newest}) AS step ORDER BY {order} LIMIT ?"  # noqa: S608
    else:
        statement = f"SELECT step.id, step.text {matches} ORDER BY {_ORDERS[asked.order]} LIMIT ?"
    found = connection.execute(statement, [*values, asked.limit]).fetchall()
    return [(number, snippet(text, query.marked)) for number, text in found]


def matching(connection: Plain, words: str, first: int, last: int) -> list[int]:
    """Do what `base.Database.matching` promises."""
    query = understood(words)
    if query is None:
        return []
    statement = f"SELECT id FROM step WHERE words @@ ({query.text}) AND id BETWEEN ? AND ?"  # noqa: S608
    return [row[0] for row in connection.execute(statement, [*query.values, first, last]).fetchall()]


def snippets(connection: Plain, words: str, numbers: Sequence[int]) -> list[str]:
    """Do what `base.Database.snippets` promises."""
    query = understood(words)
    if query is None:
        return ["" for _ in numbers]
    statement = f"SELECT id, text FROM step WHERE words @@ ({query.text}) AND id = ANY(?::bigint[])"  # noqa: S608
    found = dict(connection.execute(statement, [*query.values, list(numbers)]).fetchall())
    return [snippet(found[number], query.marked) if number in found else "" for number in numbers]


def understood(words: str) -> Query | None:
    """The words as a query; where they are no query, each of them, all of which must occur; `None` where there is no word."""
    words = sayable(words).replace("\x00", " ")
    try:
        return _Parser(words).query()
    except _NoQuery:
        plain = [f'"{word}"' for word in _word().findall(words)]
        return _Parser(" ".join(plain)).query() if plain else None


def snippet(text: str, marked: Sequence[str]) -> str:
    """The words around the first match, which is in [brackets], as every word in sight is that the query names."""
    spans = [found.span() for found in _word().finditer(text)]
    hits = [index for index, (start, end) in enumerate(spans) if _is_marked(text[start:end], marked)]
    if not hits:
        return ""
    first = max(0, hits[0] - AROUND)
    last = min(len(spans), first + 2 * AROUND) - 1
    parts, at = [" … "] if first > 0 else [], spans[first][0] if first > 0 else 0
    for index in (index for index in hits if first <= index <= last):
        start, end = spans[index]
        parts += [text[at:start], "[", text[start:end], "]"]
        at = end
    whole = last == len(spans) - 1
    parts += [text[at:] if whole else text[at : spans[last][1]] + " … "]
    return "".join(parts)


def _is_marked(word: str, marked: Sequence[str]) -> bool:
    plain = _plain(word)
    return any(plain.startswith(each[:-1]) if each.endswith("*") else plain == each for each in marked)


@cache
def _word() -> re.Pattern[str]:
    """A run of letters, digits and the marks that are put on them: words of Hindi, Arabic or Thai have some in their midst."""
    marks = "".join(sign for sign in map(chr, range(0x10000)) if unicodedata.category(sign).startswith("M"))
    return re.compile(f"(?:[^\\W_]|[{marks}])+")


def _plain(word: str) -> str:
    """A word without accents and in lower case, as the index has it."""
    apart = unicodedata.normalize("NFD", word)
    return "".join(sign for sign in apart if not "\u0300" <= sign <= "\u036f").lower()


class _Parser:
    """`a b OR "c d" NOT (e* f)`: NOT binds closest, then AND, which may be left out, then OR."""

    def __init__(self, words: str) -> None:
        self._tokens: list[tuple[str, str, bool]] = []
        """Kind (`(`, `)`, `word`, `AND`, `OR`, `NOT`), text, and whether it is a beginning."""
        self._at = 0
        self._made = Query()
        for found in _TOKEN.finditer(words.rstrip()):
            phrase, phrase_star, bracket, word, star, other = found.groups()
            if other:
                raise _NoQuery
            if bracket:
                self._tokens.append((bracket, "", False))
            elif word in ("AND", "OR", "NOT") and not star:
                self._tokens.append((word, "", False))
            else:
                self._tokens.append(("word", word if phrase is None else phrase, bool(star or phrase_star)))

    def query(self) -> Query:
        self._made.text = self._any()
        if self._at < len(self._tokens):
            raise _NoQuery
        return self._made

    def _next(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _any(self) -> str:
        found = self._all()
        while self._next() == "OR":
            self._at += 1
            found = f"({found} || {self._all()})"
        return found

    def _all(self) -> str:
        found = self._without()
        while self._next() in ("AND", "word", "("):
            self._at += self._next() == "AND"
            found = f"({found} && {self._without()})"
        return found

    def _without(self) -> str:
        found = self._one()
        while self._next() == "NOT":
            self._at += 1
            marked = len(self._made.marked)
            found = f"({found} && !! {self._one()})"
            del self._made.marked[marked:]
        return found

    def _one(self) -> str:
        kind, text, begins = self._tokens[self._at] if self._at < len(self._tokens) else ("", "", False)
        self._at += 1
        if kind == "(":
            found = self._any()
            if self._next() != ")":
                raise _NoQuery
            self._at += 1
            return found
        words = _word().findall(text)
        if kind != "word" or not words:
            raise _NoQuery
        self._made.marked += [*map(_plain, words[:-1]), _plain(words[-1]) + "*" * begins]
        whole = words[:-1] if begins else words
        parts = []
        if whole:
            parts.append(self._spelled("phraseto_tsquery('pg_catalog.simple', lorimer_words(?))", " ".join(whole)))
        if begins:
            # `lorimer_words` leaves no sign that a quoted word of a tsquery cannot hold.
            beginning = "to_tsquery('pg_catalog.simple', '''' || lorimer_words(?) || ''':*')"
            parts.append(self._spelled(beginning, words[-1]))
        return f"({' <-> '.join(parts)})"

    def _spelled(self, part: str, words: str) -> str:
        """A part of the query as the server takes words apart: as it has done in the index, which no other program knows.

        Small letters are asked for as well, as a server of the locale C makes none of what is not ASCII.
        """
        spellings = dict.fromkeys((words,) if words.isascii() else (words, words.lower()))
        self._made.values += spellings
        return f"({' || '.join([part] * len(spellings))})"
