"""What a mapping's value gives for a row: a column, by its name, or a Jinja template with columns in it."""

from __future__ import annotations

import datetime
import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lorimer.errors import ConfigError

MAX_TEXT = 1 << 20
"""Characters of a text or a template's result; a model reads most of them, and a megabyte is past every context window."""

_HALF = re.compile(r"[\ud800-\udfff]")
"""What is left of an emoji that was cut in two: JSON can say it, and nothing can store or send it."""


class Empty(ValueError):
    """A row gives nothing usable here; the message says what is wrong, without the key."""


@dataclass(frozen=True)
class MappedKey:
    """One key of the mapping, ready for any row."""

    key: str
    """`benchmark.hf.instruction`, …"""
    reads: frozenset[str]
    """The columns that it is made from, and of the other names that a template may use those that it does."""
    get: Callable[[Mapping[str, Any]], Any]
    """Raises Empty. What a column holds, or a template's text."""
    is_column: bool

    def text(self, row: Mapping[str, Any]) -> str:
        """The value as text: numbers and dates as they are written, lists as JSON. Raises Empty, also for a blank one."""
        found = text_of(self.get(row))
        if not found.strip():
            raise Empty("is blank")
        if "\0" in found:
            raise Empty("holds a NUL byte")
        if len(found) > MAX_TEXT:
            raise Empty(f"is longer than {MAX_TEXT:,} characters")
        return found

    def data(self, row: Mapping[str, Any]) -> bytes:
        """The value as a file's content: bytes as they are, anything else as text in UTF-8. Raises Empty where there is no
        value."""
        found = self.get(row)
        if isinstance(found, Mapping) and "bytes" in found:  # an image or a sound
            found = found["bytes"]
        if found is None:
            raise Empty("is empty")
        return bytes(found) if isinstance(found, bytes | bytearray) else text_of(found).encode("utf-8", "replace")


class RowValues:
    """Makes values of the mapping's keys.

    Args:
        columns: what the data set has.
        names: what templates may use beside them.
    """

    def __init__(self, columns: Sequence[str], names: Sequence[str] = ()) -> None:
        from jinja2 import StrictUndefined
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        self._columns, self._names = tuple(columns), tuple(names)
        self._environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, keep_trailing_newline=True, finalize=_not_none, autoescape=False
        )
        self._environment.filters["escape_regex"] = lambda text: re.escape(str(text))

    def make(self, key: str, written: str, *, hidden: frozenset[str] = frozenset()) -> MappedKey:
        """The value that `written` asks for.

        Args:
            hidden: columns that hold what an agent must not see.

        Raises ConfigError: an unknown column, a template that cannot be read, a hidden column.
        """
        value = self._template(key, written) if "{{" in written or "{%" in written else self._column(key, written)
        for name in sorted(value.reads & hidden):
            raise ConfigError(f"{key}: shows the agent column '{name}', which the answer is made from")
        return value

    def column(self, key: str, written: str) -> MappedKey:
        """The value of a key that takes a column alone. Raises ConfigError."""
        return self._column(key, written)

    def _column(self, key: str, path: str) -> MappedKey:
        first, *inner = [path] if path in self._columns else path.split(".")
        if first not in self._columns:
            near = difflib.get_close_matches(first, self._columns, 1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(self._columns[:20])}"
            if " " in path.strip():
                hint += "; a template has a column in braces, such as {{ " + (self._columns or ("question",))[0] + " }}"
            shown = path if len(path) <= 60 else path[:57] + "..."
            raise ConfigError(f"{key}: no column '{shown}'{hint}")

        def get(row: Mapping[str, Any]) -> Any:
            found: Any = row.get(first)
            for name in inner:
                if not isinstance(found, Mapping) or name not in found:
                    raise Empty(f"column {first} has no {'.'.join(inner)} in this row")
                found = found[name]
            if found is None:
                raise Empty(f"column {path} is empty in this row")
            return found

        return MappedKey(key, frozenset({first}), get, is_column=True)

    def _template(self, key: str, written: str) -> MappedKey:
        from jinja2 import TemplateError, TemplateSyntaxError, meta

        try:
            tree = self._environment.parse(written)
            template = self._environment.from_string(written)
        except TemplateSyntaxError as error:
            raise ConfigError(f"{key}: not a template: line {error.lineno}: {error.message}") from None
        except (TemplateError, RecursionError) as error:
            raise ConfigError(f"{key}: not a template: {error}") from None
        used = meta.find_undeclared_variables(tree)
        reads = used & {*self._columns, *self._names}
        for name in sorted(used - reads - set(self._environment.globals)):
            near = difflib.get_close_matches(name, [*self._columns, *self._names], 1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(self._columns[:20])}"
            raise ConfigError(f"{key}: no column '{name}'{hint}")

        def get(row: Mapping[str, Any]) -> str:
            try:
                text = template.render(dict(row))
            # Whatever an expression in the user's template does to this row's values, from a wrong index to a division.
            except Exception as error:  # noqa: BLE001
                raise Empty(f"the template fails on this row: {' '.join(str(error).split())[:200]}") from None
            if len(text) > MAX_TEXT:
                raise Empty(f"is longer than {MAX_TEXT:,} characters")
            return text

        return MappedKey(key, frozenset(reads), get, is_column=False)


def text_of(value: Any) -> str:
    """A column's value as text. Raises Empty where there is none, or what is no text: bytes, half of a character."""
    if value is None:
        raise Empty("is empty")
    if isinstance(value, str):
        if not value.isascii() and _HALF.search(value):
            raise Empty("holds half of a character (a lone surrogate), so it is no text")
        return value
    if isinstance(value, bytes | bytearray):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            raise Empty("is not text") from None
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bool | int | float):
        return str(value)
    return text_of(canonical(value))


def canonical(value: Any) -> str:
    """JSON that is the same for equal values, whatever order a mapping has."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        import base64

        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def _not_none(value: Any) -> Any:
    """`{{ column }}` of a row without a value there is an error, not the word None."""
    if value is None:
        raise Empty("it shows a value that is empty in this row")
    return value
