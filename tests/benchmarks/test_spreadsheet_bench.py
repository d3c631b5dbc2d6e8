"""SpreadsheetBench's layouts as published, and the one line that each broken item gets."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from lorimer.benchmarks.base import RewardFiles, Suite
from lorimer.benchmarks.registry import open_benchmark
from lorimer.benchmarks.spreadsheet_bench.benchmark import SpreadsheetBenchmark
from lorimer.errors import ConfigError
from lorimer.sandbox.base import BuiltImage

ITEM: dict[str, Any] = {
    "id": "13-1",
    "instruction": "Add a total.",
    "spreadsheet_path": "spreadsheet/13-1",
    "instruction_type": "Sheet-Level Manipulation",
    "answer_position": "'Sheet'!A1:B2",
    "answer_sheet": "Sheet",
    "data_position": "A1:B2",
}
THREE = [f"{number}_13-1_{role}.xlsx" for number in (1, 2, 3) for role in ("input", "answer")]


def make(root: Path, *items: Mapping[str, Any], files: Mapping[str, list[str]] | None = None) -> Path:
    """A data set whose items have these workbooks, one case each unless told otherwise."""
    for item in items:
        id_ = str(item.get("id"))
        names = (files or {}).get(id_, [f"1_{id_}_init.xlsx", f"1_{id_}_golden.xlsx"])
        for name in names:
            path = root / "spreadsheet" / id_ / name
            path.parent.mkdir(parents=True, exist_ok=True)
            openpyxl.Workbook().save(path)
    (root / "dataset.json").write_text(json.dumps(items))
    return root


def load(root: Path, *items: Mapping[str, Any], files: Mapping[str, list[str]] | None = None) -> Suite:
    return SpreadsheetBenchmark(make(root, *items, files=files)).load()


def problem(suite: Suite) -> str:
    assert suite.tasks == ()
    (found,) = suite.problems
    return str(found)


def test_an_item_becomes_a_task(tmp_path: Path) -> None:
    (task,) = load(tmp_path, ITEM).tasks
    folder = tmp_path / "spreadsheet" / "13-1"
    assert (task.id, task.category, task.workdir) == ("13-1", "Sheet-Level Manipulation", "/workspace")
    assert task.workspace == ((folder / "1_13-1_init.xlsx", "/workspace/1_13-1_init.xlsx"),)
    assert task.verifier.extra == ((folder / "1_13-1_golden.xlsx", "/tests/golden/1.xlsx"),)
    assert task.reward == RewardFiles(("/logs/verifier/reward.json",))
    assert not task.limits.network
    for told in (
        "Add a total.",
        "/workspace/1_13-1_init.xlsx",
        "/workspace/1_13-1_output.xlsx",
        "'Sheet'!A1:B2",
        "Sheet-Level",
    ):
        assert told in task.instruction
    assert task.solution is not None
    assert task.solution.command == "cp /solution/1.xlsx /workspace/1_13-1_output.xlsx"


def test_all_tasks_share_one_image_with_a_dockerfile(tmp_path: Path) -> None:
    first, second = load(tmp_path, ITEM, {**ITEM, "id": 7, "spreadsheet_path": "spreadsheet/7"}).tasks
    assert first.image == second.image
    assert isinstance(first.image, BuiltImage)
    assert (first.image.context / first.image.dockerfile).is_file()


def sources(files: tuple[tuple[Path | bytes, str], ...]) -> list[str]:
    return [source.name for source, _ in files if isinstance(source, Path)]


def test_every_case_is_given_solved_and_scored(tmp_path: Path) -> None:
    (task,) = load(tmp_path, ITEM, files={"13-1": THREE}).tasks
    assert [target for _, target in task.workspace] == [f"/workspace/{n}_13-1_input.xlsx" for n in (1, 2, 3)]
    assert [target for _, target in task.verifier.extra] == [f"/tests/golden/{n}.xlsx" for n in (1, 2, 3)]
    assert task.verifier.command.count("--case") == 3
    assert task.solution is not None
    assert task.solution.command.count("cp ") == 3
    assert all("answer" not in name for name in sources(task.workspace))


@pytest.mark.parametrize(
    "names",
    [
        ["initial.xlsx", "golden.xlsx"],
        ["1_42930_init.xlsx", "1_43930_golden.xlsx"],
        ["1_13-1_input .xlsx", "1_13-1_answer.xlsx"],
        ["1_CF_13_input.xlsx", "1_CF_13_answer.xlsx"],
        ["1_13-1_init.xlsx", "1_13-1_golden.xlsx", "prompt.txt", "~$1_13-1_init.xlsx"],
    ],
)
def test_file_names_as_published_are_understood(tmp_path: Path, names: list[str]) -> None:
    (task,) = load(tmp_path, ITEM, files={"13-1": names}).tasks
    assert sources(task.workspace) == names[:1]
    assert sources(task.verifier.extra) == names[1:2]
    assert " " not in task.workspace[0][1]


def test_the_reward_is_hard_or_soft_by_the_kind_of_source(tmp_path: Path) -> None:
    make(tmp_path, ITEM)
    commands = []
    for kind, restriction in (("spreadsheetbench", "hard"), ("spreadsheetbench-soft", "soft")):
        (task,) = open_benchmark(f"{kind}:{tmp_path.name}", tmp_path.parent).load().tasks
        assert f"--restriction {restriction}" in task.verifier.command
        commands.append(task.digest)
    assert commands[0] != commands[1]


def test_the_digest_follows_item_and_files(tmp_path: Path) -> None:
    digests = {load(tmp_path, ITEM).tasks[0].digest}
    assert {load(tmp_path, ITEM, files={"13-1": []}).tasks[0].digest} == digests
    digests.add(load(tmp_path, {**ITEM, "answer_position": "A1"}, files={"13-1": []}).tasks[0].digest)
    book = openpyxl.Workbook()
    book.worksheets[0]["A1"] = 1
    book.save(tmp_path / "spreadsheet" / "13-1" / "1_13-1_golden.xlsx")
    digests.add(load(tmp_path, ITEM, files={"13-1": []}).tasks[0].digest)
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer_position": "B12:B110, C12:C23"}, "answer_position: ' C12:C23' does not start at a column; scored as"),
        ({"answer_position": "\xa0'Sheet'!A1"}, 'has no sheet "\\xa0\'Sheet"; scored as published, no answer can pass'),
        ({"answer_position": "Other!A1"}, "answer_position: 1_13-1_golden.xlsx has no sheet 'Other'"),
        ({"answer_position": "A:B"}, "answer_position: 'A' has no row"),
        ({"answer_position": "a1:b2"}, "answer_position: 'a1:b2' is read, letter by letter, as AG1 to AH2; scored as"),
        (
            {"answer_position": "B$1:C$2"},
            "answer_position: 'B$1:C$2' is read, letter by letter, as X1 to AX2; scored as",
        ),
        ({"answer_position": "A1,"}, "answer_position: '' names no cells"),
        (
            {"answer_position": "B2:A1"},
            "answer_position: 'B2:A1' names no cells; scored as published, it tells no answer",
        ),
        (
            {"answer_position": "'Sheet'!A1:XFD1048576"},
            "is 17,179,869,184 cells, over the 1,000,000 that are compared",
        ),
        ({"answer_position": ",".join(["A1:A600000"] * 2)}, "is 1,200,000 cells, over the 1,000,000"),
        ({"answer_position": "A1:" + "Z" * 9_000 + "1"}, "is no cell"),
        ({"answer_position": "A!B!C1"}, "has more than one '!'"),
        ({"answer_position": 7}, "answer_position: Input should be a valid string"),
        ({"instruction": ""}, "instruction: String should have at least 1 character"),
        ({"surprise": 1}, "surprise: no such key in a SpreadsheetBench item"),
        ({"spreadsheet_path": "../elsewhere"}, "spreadsheet_path: '../elsewhere' leaves the data set"),
        ({"spreadsheet_path": "spreadsheet/14"}, "spreadsheet_path: there is no folder 'spreadsheet/14'"),
    ],
)
def test_a_bad_item_gets_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    suite = load(tmp_path, {**ITEM, **change})
    assert problem(suite).startswith("task 13-1: ")
    assert message in problem(suite)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1_13-1_input.xlsx"], "case 1: has no answer workbook"),
        (["1_13-1_golden.xlsx"], "case 1: has no input workbook"),
        ([*THREE[:5]], "case 3: has no answer workbook"),
        (["1_13-1_input.xlsx", "1_13-1_init.xlsx"], "is a second input beside"),
        (["1_13-1_draft.xlsx"], "1_13-1_draft.xlsx: is neither an input nor an answer by its name"),
        (["notes.txt"], "spreadsheet_path: holds no workbook"),
    ],
)
def test_a_folder_that_lacks_a_workbook_gets_one_line(tmp_path: Path, names: list[str], message: str) -> None:
    assert message in problem(load(tmp_path, ITEM, files={"13-1": names}))


def test_a_golden_file_that_is_no_workbook_gets_one_line(tmp_path: Path) -> None:
    make(tmp_path, ITEM)
    (tmp_path / "spreadsheet" / "13-1" / "1_13-1_golden.xlsx").write_bytes(b"PK\0nothing")
    assert "1_13-1_golden.xlsx: is not a workbook" in problem(SpreadsheetBenchmark(tmp_path).load())


def test_a_golden_file_whose_xml_has_a_document_type_gets_one_line(tmp_path: Path) -> None:
    """Such a type can name entities, which grow without end as they are read."""
    make(tmp_path, {**ITEM, "answer_position": "A1:B2"})
    with zipfile.ZipFile(tmp_path / "spreadsheet" / "13-1" / "1_13-1_golden.xlsx", "w") as workbook:
        workbook.writestr("xl/workbook.xml", '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>')
    assert "1_13-1_golden.xlsx: has a document type in its XML" in problem(SpreadsheetBenchmark(tmp_path).load())


def test_one_bad_item_hides_no_other(tmp_path: Path) -> None:
    nine = {**ITEM, "id": 9, "spreadsheet_path": "spreadsheet/9"}
    suite = load(tmp_path, ITEM, nine, nine, {"instruction": "no id"}, {**ITEM, "id": "a b"})
    assert [task.id for task in suite.tasks] == ["13-1"]
    assert {str(found) for found in suite.problems} == {
        "task 9: id: is in dataset.json 2 times",
        "task item-4: id: Field required",
        "task item-5: id: 'a b' may hold letters, digits, '.', '_' and '-' only, at most 128",
    }


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not valid JSON"), ("{}", "is not a list of items"), ("[]", "is not a list of items")]
)
def test_a_bad_data_set_is_the_users_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        SpreadsheetBenchmark(tmp_path).load()


def test_a_folder_without_a_data_set_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is missing; a SpreadsheetBench folder has"):
        SpreadsheetBenchmark(tmp_path).load()
