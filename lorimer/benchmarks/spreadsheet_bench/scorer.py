"""SpreadsheetBench's comparison of workbooks, cell by cell, as its authors' evaluation does it.

A script that runs in a task's sandbox with openpyxl and the standard library alone, and a module that tests import. What looks
arbitrary here is theirs, kept so that scores compare: values are rounded to two decimals rather than compared with a tolerance,
text that reads as a number is one, a date loses its time of day and a time its seconds, empty text equals an empty cell and zero
does not, colours do not count, and a range is read letter by letter.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CONVERSION_SECONDS = 120
"""How long the conversion of one workbook may take; it is the authors' own limit."""

EPOCH = datetime.datetime(1899, 12, 30)
"""Day 0 of a spreadsheet."""


MOST_CELLS = 1_000_000
"""The most cells of a position that are compared; published items have some 10,000 at most. A whole sheet has 17 billion."""


class Unscorable(ValueError):
    """An answer position that no workbook can satisfy."""


def canonical(value: Any) -> Any:
    """A cell's value as it is compared. Raises where the authors' evaluation does, which fails the case."""
    if isinstance(value, (int, float)):  # bool too
        return round(float(value), 2)
    if isinstance(value, datetime.time):
        return str(value)[:-3]
    if isinstance(value, datetime.datetime):
        since = value - EPOCH
        return round(since.days + since.seconds / 86400.0, 0)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return round(float(value), 2)
    return value


def same(first: Any, second: Any) -> bool:
    """Whether two cells' values count as equal."""
    first, second = canonical(first), canonical(second)
    if first is None or second is None:
        return first in (None, "") and second in (None, "")
    return type(first) is type(second) and bool(first == second)


def parts(position: str) -> list[tuple[str | None, str]]:
    """Sheets (`None`: the first one) and ranges of an answer position. Raises Unscorable."""
    found: list[tuple[str | None, str]] = []
    for part in position.split(","):
        sheet, mark, cells = part.rpartition("!")
        if "!" in sheet:
            raise Unscorable(f"{part!r} has more than one '!'")
        found.append((sheet.strip("'") if mark else None, cells.strip("'")))
    return found


def cell_names(cells: str) -> list[str]:
    """Every cell of a range, by columns. A single cell is taken as it is written. Raises Unscorable."""
    if ":" not in cells:
        return [cells]
    if (count := cell_count(cells)) > MOST_CELLS:
        raise Unscorable(f"{cells!r} is {count:,} cells, over the {MOST_CELLS:,} that are compared")
    (left, top), (right, bottom) = _corners(cells)
    if left < 1 and left <= right and top <= bottom:
        raise Unscorable(f"{cells!r} does not start at a column")
    return [f"{_letters(column)}{row}" for column in range(left, right + 1) for row in range(top, bottom + 1)]


def cell_count(cells: str) -> int:
    """How many cells a range has, told from its corners alone. Raises Unscorable."""
    if ":" not in cells:
        return 1
    (left, top), (right, bottom) = _corners(cells)
    return max(0, right - left + 1) * max(0, bottom - top + 1)


def _corners(cells: str) -> list[tuple[int, int]]:
    ends = cells.split(":")
    if len(ends) != 2:
        raise Unscorable(f"{cells!r} is not a range")
    return [_corner(end) for end in ends]


def _corner(cell: str) -> tuple[int, int]:
    """Column and row: the digits are the row, whatever else there is counts as letters from A."""
    if len(cell) > 64:
        raise Unscorable(f"{cell[:20]!r}… is no cell")
    column = 0
    for letter in cell:
        if not letter.isdigit():
            column = column * 26 + ord(letter) - ord("A") + 1
    try:
        return column, int("".join(letter for letter in cell if letter.isdigit()))
    except ValueError:
        raise Unscorable(f"{cell!r} has no row") from None


def _letters(column: int) -> str:
    name = ""
    while column > 0:
        column, last = divmod(column - 1, 26)
        name = chr(ord("A") + last) + name
    return name


def compare(golden: Path, output: Path, position: str) -> str:
    """Compare the cells of `position` by their cached values. Returns "" where all are equal, else why not.

    Whatever goes wrong in between counts against the output, as in the authors' evaluation.
    """
    import openpyxl

    if not output.exists():
        return "there is no output workbook"
    try:
        wanted = openpyxl.load_workbook(golden, data_only=True)
        given = openpyxl.load_workbook(output, data_only=True)
        for name, cells in parts(position):
            sheet = wanted.sheetnames[0] if name is None else name
            if sheet not in given.sheetnames:
                return f"the output has no sheet {sheet!r}"
            wanted_sheet, given_sheet = wanted[sheet], given[sheet]
            for cell in cell_names(cells):
                want, got = wanted_sheet[cell].value, given_sheet[cell].value
                if not same(want, got):
                    return f"{sheet}!{cell} is {got!r}, not {want!r}"
    except Exception as error:  # noqa: BLE001 - theirs is as broad: an output that cannot be read is a wrong one
        return f"{type(error).__name__}: {error}"
    return ""


def computed(output: Path, position: str) -> bool:
    """Whether every formula among the cells of `position` has a stored value, as a spreadsheet program leaves it.

    Empty text is one: openpyxl gives `None` for it too, but with the type of a text.
    """
    import openpyxl

    formulas, values = openpyxl.load_workbook(output), openpyxl.load_workbook(output, data_only=True)
    for name, cells in parts(position):
        for sheet in [name] if name is not None else formulas.sheetnames:
            for cell in cell_names(cells):
                stored = values[sheet][cell]
                if formulas[sheet][cell].data_type == "f" and stored.value is None and stored.data_type != "str":
                    return False
    return True


def score(golden: Path, output: Path, position: str) -> str:
    """Compare an output by its stored values, as after Excel, then by what LibreOffice computes. Returns "" or why not.

    The authors recalculate with either program. LibreOffice alone would fail some of their own answers, whose formulas it
    computes otherwise. A formula without a stored value reads as an empty cell, so then only the second way counts.
    """
    if not output.is_file():
        return compare(golden, output, position)
    if not compare(golden, output, position) and computed(output, position):
        return ""
    with tempfile.TemporaryDirectory() as folder:
        return compare(golden, recalculated(output, Path(folder)), position)


def recalculated(workbook: Path, folder: Path) -> Path:
    """A copy in `folder` whose formulas LibreOffice has computed; the workbook itself where it could not."""
    source, results = folder / "in" / "output.xlsx", folder / "out"
    source.parent.mkdir()
    shutil.copyfile(workbook, source)
    command = [
        "soffice",
        # Its own profile: nothing that was set or installed in the user's takes part.
        f"-env:UserInstallation={(folder / 'profile').as_uri()}",
        "--headless",
        "--calc",
        "--convert-to",
        "xlsx:Calc MS Excel 2007 XML",
        "--outdir",
        str(results),
        str(source),
    ]
    try:
        subprocess.run(
            command,
            timeout=CONVERSION_SECONDS,
            capture_output=True,
            check=False,
            env=os.environ | {"HOME": str(folder)},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        sys.stdout.write(f"LibreOffice: {error}\n")
    converted = results / "output.xlsx"
    return converted if converted.is_file() else workbook


def rewards(passed: list[bool]) -> dict[str, float]:
    """The two scores of a task: the share of its cases that pass, and whether all do."""
    return {"soft_restriction": sum(passed) / len(passed), "hard_restriction": float(all(passed))}


def main(arguments: list[str]) -> None:
    """Score every case and write the reward."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--position", required=True)
    parser.add_argument("--restriction", choices=("hard", "soft"), required=True)
    parser.add_argument("--case", nargs=2, action="append", required=True, metavar=("GOLDEN", "OUTPUT"))
    parser.add_argument("--reward", type=Path, required=True)
    options = parser.parse_args(arguments)
    passed = []
    for golden, output in options.case:
        problem = score(Path(golden), Path(output), options.position)
        sys.stdout.write(f"{output}: {problem or 'passed'}\n")
        passed.append(not problem)
    named = rewards(passed)
    options.reward.write_text(json.dumps({"reward": named[f"{options.restriction}_restriction"], **named}))


if __name__ == "__main__":
    main(sys.argv[1:])
