"""Rows of JSON files of this machine, each value as its file says it.

The library that reads all other files makes one type of a column. It turns text that looks like a date into a time, 1 beside 2.5
into 1.0 and a long whole number into a near one; where numbers and texts meet it writes `b` as `"b"`. No right answer is equal to
a reference that was changed so.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO, cast

from lorimer.errors import ConfigError

JSON_LINES = (".jsonl", ".ndjson")
JSON_KINDS = (*JSON_LINES, ".json")


def opened(path: Path) -> TextIO:
    """A text file, packed or not. Its lines end as they are written."""
    if path.suffix.lower() == ".gz":
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")


def kind(path: Path) -> str:
    """What a data file's name says that it holds: its last ending in small letters, `.gz` aside; "" where it has none."""
    suffixes = [suffix for suffix in map(str.lower, path.suffixes) if suffix != ".gz"]
    return suffixes[-1] if suffixes else ""


def columns_of(source: str, files: Sequence[Path], limit: int | None) -> tuple[str, ...]:
    """The names that the first `limit` rows have, each once. Raises ConfigError."""
    rows = islice(json_rows(source, files), limit)
    return tuple(dict.fromkeys(name for row in rows for name in row))


def json_rows(source: str, files: Sequence[Path]) -> Iterator[Mapping[str, Any]]:
    """The rows of all files, one after the other.

    A file has an object on each line, or is a list of objects, or one object that holds such a list; any other object is a row.
    Raises ConfigError for what is no JSON, not UTF-8, or holds no rows.
    """
    for file in files:
        named = source if len(files) == 1 else f"{source}/{file.name}"
        try:
            with opened(file) as text:
                first, second = [*islice((line for line in text if line.strip()), 2), "", ""][:2]
                text.seek(0)
                by_name = kind(file) in JSON_LINES and not first.lstrip().startswith("[")
                if by_name or (second and _is_object(first)):
                    yield from _of_lines(named, text)
                elif first:
                    yield from _of_whole(named, _read(text.read()))
        except (ValueError, RecursionError) as error:
            said = bad_line(file) or " ".join(str(error).split())
            raise ConfigError(f"hf:{named}: cannot be read: {said}") from None


def _of_lines(source: str, lines: TextIO) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _row(source, f"line {number}", _read(line))


def _of_whole(source: str, found: object) -> Iterator[Mapping[str, Any]]:
    """Raises ConfigError for an object that holds rows, and not in one list."""
    if isinstance(found, dict):
        lists = [str(name) for name, rows in found.items() if _holds_rows(rows)]
        if len(lists) == 1:
            found = found[lists[0]]
        elif lists or _holds_rows(list(found.values())):
            which = (
                f"its lists {', '.join(lists)} could all be the rows"
                if lists
                else "its rows are no list, each has a key"
            )
            raise ConfigError(f"hf:{source}: is one object, and {which}", "write the rows alone, as a list of objects")
    rows = found if isinstance(found, list) else [found]
    for number, row in enumerate(rows, 1):
        yield _row(source, f"row {number}", row)


def _row(source: str, which: str, found: object) -> Mapping[str, Any]:
    if not isinstance(found, dict):
        raise ConfigError(f"hf:{source}: {which} is no object that gives columns names: {json.dumps(found)[:80]}")
    return found


def _read(text: str) -> Any:
    # NaN is how a table's writer says that a cell is empty; JSON itself knows no such word.
    return json.loads(text, parse_constant=lambda word: None if word == "NaN" else float(word))


def _is_object(line: str) -> bool:
    """Whether a line is an object: a file that begins so may be far too large to be read at once."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _holds_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def bad_line(path: Path) -> str:
    """The first line of a file that is not UTF-8, or of JSON lines no JSON: the library names at most a position."""
    named = kind(path)
    if not path.is_file() or named not in (*JSON_LINES, ".csv", ".tsv"):
        return ""
    unpacked = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with unpacked(path, "rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                    if named in JSON_LINES and text.strip():
                        json.loads(text)
                except UnicodeDecodeError as error:
                    return f"line {number} is not UTF-8 at byte {error.start + 1}"
                except ValueError as error:
                    return f"line {number} is no JSON: {error}"
    except OSError:  # of a broken archive; what the library said of it stands
        return ""
    return ""
