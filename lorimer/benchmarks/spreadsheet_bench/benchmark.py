"""SpreadsheetBench in its original layout: `dataset.json` and, for each item, a folder of inputs and answers.

Reads the 912 tasks of version 0.1 (up to three cases each) and the 400 verified ones (one case each).
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import zipfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lorimer.benchmarks import _files
from lorimer.benchmarks.base import RewardFiles, Script, Suite, Task
from lorimer.benchmarks.choice import chosen
from lorimer.benchmarks.spreadsheet_bench import scorer
from lorimer.benchmarks.spreadsheet_bench.hub import HubSet
from lorimer.errors import ConfigError, TaskError
from lorimer.sandbox.base import BuiltImage, SandboxLimits

Restriction = Literal["hard", "soft"]

_HERE = Path(__file__).parent
_SCORER = _HERE / "scorer.py"
_IMAGE = BuiltImage(_HERE / "image", build_timeout=1800.0)
"""LibreOffice is a download of 150 MB, once for all tasks."""

_WORK = "/workspace"
_REWARD = "/logs/verifier/reward.json"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_CASE = re.compile(r"(?:(?P<number>\d+)_.*_)?(?P<role>input|init|initial|answer|golden)", re.IGNORECASE)
_INPUTS = ("input", "init", "initial")
_NAMES_BYTES = 4 << 20
_DATASET_BYTES = 64 << 20
"""The 912 items have 1 MB."""


class Item(BaseModel):
    """One entry of dataset.json."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: int | str
    instruction: str = Field(min_length=1)
    spreadsheet_path: str
    instruction_type: str
    answer_position: str = Field(min_length=1)
    answer_sheet: str | None = None
    """Not read, as in the authors' evaluation: without a sheet in the position, the first one counts."""
    data_position: str | None = None
    exclude: str | None = None
    """The publishers' remark on an item that they doubt."""


@dataclass(frozen=True)
class WorkbookPair:
    """One workbook to work on and the answer to it."""

    number: int
    given: Path
    golden: Path


class SpreadsheetBenchmark:
    """The items of a data set as tasks.

    Args:
        root: the folder with dataset.json, or a set on the hub, which is asked for when the items are loaded.
        restriction: which of the two scores is the reward: `hard`, 1 if all cases pass, or `soft`, the share that passes.
            Both are among a trial's named rewards.
    """

    def __init__(self, root: Path | HubSet, restriction: Restriction = "hard") -> None:
        self._source = root
        self._restriction = restriction

    def load(self, only: Sequence[str] = ()) -> Suite:
        """All tasks in order of id, or those that match `only` (ids or shell-style patterns).

        Raises ConfigError when there is no such data set, or nothing in it matches one of `only`; PrerequisiteError where it
        is on the hub and cannot be fetched.
        """
        root = self._source if isinstance(self._source, Path) else self._source.folder()
        entries = _entries(root)
        counts = Counter(id_ for id_, _ in entries)
        wanted = chosen(sorted(counts), only)
        tasks: list[Task] = []
        problems: list[TaskError] = []
        for id_, entry in sorted(dict(entries).items()):
            if id_ not in wanted:
                continue
            try:
                if counts[id_] > 1:
                    raise TaskError(id_, "id", f"is in dataset.json {counts[id_]} times")
                tasks.append(self._task(root, id_, _item(id_, entry)))
            except TaskError as problem:
                problems.append(problem)
        return Suite(root.resolve().name, tuple(tasks), tuple(problems))

    def _task(self, root: Path, id_: str, item: Item) -> Task:
        folder = root / item.spreadsheet_path
        if not folder.resolve().is_relative_to(root.resolve()):
            raise TaskError(id_, "spreadsheet_path", f"{item.spreadsheet_path!r} leaves the data set")
        if not folder.is_dir():
            raise TaskError(id_, "spreadsheet_path", f"there is no folder {item.spreadsheet_path!r}")
        files = _files.walk(id_, folder)
        cases = _cases(id_, folder, [entry.path for entry in files])
        _check_position(id_, item.answer_position, cases)
        inputs = [(case.given, f"{_WORK}/{case.given.stem.strip()}.xlsx") for case in cases]
        goldens = [(case.golden, f"/tests/golden/{case.number}.xlsx") for case in cases]
        outputs = [f"{_WORK}/{case.number}_{id_}_output.xlsx" for case in cases]
        pairs = [(golden, output) for (_, golden), output in zip(goldens, outputs, strict=True)]
        score = [
            "python3",
            "-I",
            "/tests/spreadsheet_scorer.py",
            "--reward",
            _REWARD,
            "--restriction",
            self._restriction,
        ]
        # One word each with its option: a position or a name that starts with a dash is no option then.
        score.append(f"--position={item.answer_position}")
        for pair in pairs:
            score += ["--case", *pair]
        solutions = [
            (golden, f"/solution/{case.number}.xlsx") for case, (golden, _) in zip(cases, goldens, strict=True)
        ]
        copy = [f"cp {target} {shlex.quote(output)}" for (_, target), output in zip(solutions, outputs, strict=True)]
        return Task(
            id=id_,
            instruction=_instruction(item, [target for _, target in inputs], outputs),
            image=_IMAGE,
            verifier=Script(
                source=_SCORER,
                target="/tests/spreadsheet_scorer.py",
                command=shlex.join(score),
                timeout=60.0 + len(cases) * (scorer.CONVERSION_SECONDS + 30.0),
                extra=tuple(goldens),
            ),
            solution=Script(*solutions[0], command=" && ".join(copy), timeout=60.0, extra=tuple(solutions[1:])),
            limits=SandboxLimits(cpus=1, memory_mb=2048),
            workdir=_WORK,
            workspace=tuple(inputs),
            reward=RewardFiles((_REWARD,)),
            category=item.instruction_type,
            digest=self._digest(id_, item, folder, files),
        )

    def _digest(self, id_: str, item: Item, folder: Path, files: list[_files.TaskFile]) -> str:
        total = hashlib.sha256(f"{item.model_dump_json()}\0{self._restriction}\0".encode())
        total.update(_files.digest(id_, folder, files).encode())
        for path in (_SCORER, _HERE / "image" / "Dockerfile"):
            total.update(path.read_bytes())
        return total.hexdigest()


def _entries(root: Path) -> list[tuple[str, object]]:
    path = root / "dataset.json"
    try:
        with path.open("rb") as file:
            data = file.read(_DATASET_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: is missing; a SpreadsheetBench folder has a dataset.json") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if len(data) > _DATASET_BYTES:
        raise ConfigError(f"{path}: is longer than {_DATASET_BYTES:,} bytes")
    try:
        entries = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{path}: is not a list of items")
    return [(_name(at, entry), entry) for at, entry in enumerate(entries)]


def _name(at: int, entry: object) -> str:
    """An entry's id as a task's; its place in the file where it has none."""
    id_ = entry.get("id") if isinstance(entry, dict) else None
    named = isinstance(id_, int | str) and not isinstance(id_, bool) and _ID.fullmatch(str(id_))
    return str(id_) if named else f"item-{at + 1}"


def _item(id_: str, entry: object) -> Item:
    try:
        item = Item.model_validate(entry)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else "dataset.json"
        problem = "no such key in a SpreadsheetBench item" if first["type"] == "extra_forbidden" else first["msg"]
        raise TaskError(id_, key, problem) from None
    if str(item.id) != id_:
        raise TaskError(
            id_, "id", f"{str(item.id)[:80]!r} may hold letters, digits, '.', '_' and '-' only, at most 128"
        )
    return item


def _cases(id_: str, folder: Path, paths: list[str]) -> list[WorkbookPair]:
    """The cases in a folder, in order of number. Of a file's name only number and role count: ids in it can be wrong."""
    found: dict[int, dict[str, Path]] = defaultdict(dict)
    for path in paths:
        name = Path(path).name
        if not name.lower().endswith(".xlsx") or name.startswith((".", "~$")):
            continue
        match = _CASE.fullmatch(Path(name).stem.strip())
        if match is None or "/" in path:
            raise TaskError(id_, path, "is neither an input nor an answer by its name")
        role = "input" if match["role"].lower() in _INPUTS else "answer"
        case = found[int(match["number"] or 1)]
        if role in case:
            raise TaskError(id_, path, f"is a second {role} beside {case[role].name}")
        case[role] = folder / path
    if not found:
        raise TaskError(id_, "spreadsheet_path", "holds no workbook")
    for number, case in sorted(found.items()):
        for role in ("input", "answer"):
            if role not in case:
                raise TaskError(id_, f"case {number}", f"has no {role} workbook")
    return [WorkbookPair(number, case["input"], case["answer"]) for number, case in sorted(found.items())]


def _check_position(id_: str, position: str, cases: list[WorkbookPair]) -> None:
    """Refuse a position under which every workbook fails, even the answer itself, or none does."""
    try:
        parts = scorer.parts(position)
        total = sum(scorer.cell_count(cells) for _, cells in parts)
        if total > scorer.MOST_CELLS:
            problem = f"{position[:80]!r} is {total:,} cells, over the {scorer.MOST_CELLS:,} that are compared"
            raise TaskError(id_, "answer_position", problem)
        for _, cells in parts:
            names = scorer.cell_names(cells)
            ends = names[:1] + names[-1:]
            if not ends or not all(re.fullmatch(r"[$]?[A-Za-z]{1,3}[$]?[1-9][0-9]*", name) for name in ends):
                raise scorer.Unscorable(f"{cells!r} names no cells")
            corners = cells.split(":") if ":" in cells else []
            if not all(re.fullmatch(r"[A-Z]{1,3}[1-9][0-9]*", corner) for corner in corners):
                raise scorer.Unscorable(f"{cells!r} is read, letter by letter, as {names[0]} to {names[-1]}")
    except scorer.Unscorable as error:
        raise TaskError(
            id_, "answer_position", f"{error}; scored as published, it tells no answer from another"
        ) from None
    for case in cases:
        sheets = _sheets(id_, case.golden)
        for sheet, _ in parts:
            if sheets and sheet is not None and sheet not in sheets:
                problem = f"{case.golden.name} has no sheet {sheet!r}; scored as published, no answer can pass"
                raise TaskError(id_, "answer_position", problem)


def _sheets(id_: str, workbook: Path) -> list[str]:
    """Names of the sheets, without reading them. Empty where they stand in an unusual place."""
    try:
        with zipfile.ZipFile(workbook) as archive:
            if "xl/workbook.xml" not in archive.namelist():
                return []
            with archive.open("xl/workbook.xml") as file:
                text = file.read(_NAMES_BYTES)
        if b"<!DOCTYPE" in text:
            raise TaskError(id_, workbook.name, "has a document type in its XML")
        root: Any = ElementTree.fromstring(text)  # noqa: S314 - without a document type there are no entities to expand
    except (OSError, zipfile.BadZipFile, ElementTree.ParseError, NotImplementedError, RuntimeError) as error:
        raise TaskError(id_, workbook.name, f"is not a workbook: {error}") from None
    return [sheet.get("name", "") for sheet in root.iter() if sheet.tag.rpartition("}")[2] == "sheet"]


def _instruction(item: Item, inputs: list[str], outputs: list[str]) -> str:
    several = len(inputs) > 1
    lines = [item.instruction, "", f"Kind of task: {item.instruction_type}"]
    lines.append("Workbooks, each to be changed in the same way:" if several else "Workbook:")
    for given, output in zip(inputs, outputs, strict=True):
        lines.append(f"  {given}, to be saved as {output}")
    lines += [
        f"Cells that are checked: {item.answer_position}",
        "",
        "Python 3 with openpyxl and pandas is installed, and LibreOffice (soffice --headless). Formulas count by what"
        " LibreOffice computes for them. Leave the given files as they are.",
    ]
    return "\n".join(lines)
