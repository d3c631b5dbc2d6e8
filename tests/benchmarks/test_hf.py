"""Data sets as tasks: rows of small files by a mapping, and what is said of those that cannot be used."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from lorimer.benchmarks.base import Graded, Suite, Task
from lorimer.benchmarks.registry import open_benchmark
from lorimer.benchmarks.split import select
from lorimer.config.settings import BenchmarkSettings, Config, parse
from lorimer.errors import ConfigError, PrerequisiteError
from lorimer.sandbox.base import BuiltImage, PulledImage, PythonImage
from tests.support.hub import pointed_at

SUMS = [
    {"question": "Ann has 2 pears and buys 3. How many?", "answer": "2 + 3 = 5\n#### 5", "level": "easy"},
    {"question": "A book costs $1,200. What do two cost?", "answer": "2 * 1200\n#### 2,400", "level": "hard"},
]
SUMS_MAPPING = {
    "instruction": "{{ question }}\n\nEnd with a line '#### N'.",
    "answer": "answer",
    "difficulty": "level",
    "scorer": {"kind": "numeric", "extract": "marker", "extract_reference": "marker"},
}
QUIZ = [
    {"question": "Capital of France?", "choices": ["London", "Paris"], "answer": 1, "subject": "geography"},
    {"question": "2 + 2?", "choices": ["4", "22"], "answer": 0, "subject": "sums"},
]
QUIZ_MAPPING = {
    "instruction": "{{ question }}\n{{ lettered_choices }}",
    "answer": "answer",
    "category": "subject",
    "scorer": {"kind": "multiple-choice", "choices": ["choices"]},
}
CODE = [
    {
        "task_id": "Code/0",
        "prompt": "def add(a, b):\n",
        "canonical_solution": "    return a + b\n",
        "test": "def check(f):\n    assert f(1, 2) == 3\n",
        "entry_point": "add",
    }
]
LABEL = "dtype:\n      class_label:\n        names:\n          '0': 'no'\n          '1': 'yes'"
CODE_MAPPING = {
    "id": "task_id",
    "instruction": "Complete this in /app/solution.py:\n{{ prompt }}",
    "answer": "{{ prompt }}{{ canonical_solution }}",
    "answer_file": "/app/solution.py",
    "files": {"notes/stub.py": "prompt", "/data/name.txt": "{{ entry_point }}"},
    "scorer": {
        "kind": "python",
        "check": "from solution import {{ entry_point }}\n{{ test }}\ncheck({{ entry_point }})",
    },
}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def settings(mapping: dict[str, Any], **more: Any) -> BenchmarkSettings:
    return parse({"benchmark": {"hf": mapping, **more}}).benchmark


def load(folder: Path, rows: list[dict[str, Any]], mapping: dict[str, Any], **more: Any) -> Suite:
    write(folder / "set.jsonl", rows)
    return open_benchmark("hf:set.jsonl", folder, settings(mapping, **more)).load()


def grade(task: Task, answer: str) -> float:
    assert isinstance(task.reward, Graded)
    return asyncio.run(task.reward.grader.grade(answer, 10.0)).reward


def oracle(task: Task) -> str:
    assert task.solution is not None
    ((answer, _),) = task.solution.extra
    assert isinstance(answer, bytes)
    return answer.decode()


# ---- three kinds of sets --------------------------------------------------------------------------------------------


def test_sums_are_graded_by_their_number_on_the_host(tmp_path: Path) -> None:
    suite = load(tmp_path, SUMS, SUMS_MAPPING)
    assert (suite.name, suite.problems) == ("set", ())
    pears, books = sorted(suite.tasks, key=lambda task: task.difficulty)
    assert pears.instruction == "Ann has 2 pears and buys 3. How many?\n\nEnd with a line '#### N'."
    assert (pears.difficulty, pears.image, pears.limits.network) == ("easy", PythonImage(), False)
    assert pears.verifier.files() == ()
    assert [grade(books, text) for text in ("#### 2400", "so\n#### $2,400.00", "2400", "#### 2401")] == [
        1.0,
        1.0,
        0.0,
        0.0,
    ]
    assert (oracle(books), grade(books, oracle(books))) == ("#### 2,400", 1.0)


def test_a_quiz_shows_its_choices_with_letters(tmp_path: Path) -> None:
    by_category = {task.category: task for task in load(tmp_path, QUIZ, QUIZ_MAPPING).tasks}
    france, sums = by_category["geography"], by_category["sums"]
    assert france.instruction == "Capital of France?\nA. London\nB. Paris"
    assert [grade(france, text) for text in ("B", "Paris", "The answer is (A)")] == [1.0, 1.0, 0.0]
    assert (oracle(sums), grade(sums, oracle(sums))) == ("A", 1.0)


@pytest.mark.parametrize(
    ("columns", "answer", "first", "letter"),
    [
        ({"c": ["x", "y", "z"]}, "B", 0, "B"),
        ({"c": ["x", "y", "z"]}, "z", 0, "C"),
        ({"c": ["x", "y", "z"]}, "1", 1, "A"),
        ({"c": ["x", "y", "z"]}, 2, 0, "C"),
        ({"c": ["3", "1", "2", "7"]}, "7", 0, "D"),
        ({"c": ["1", "2", "3", "4"]}, 2, 0, "C"),
        ({"c": ["1", "2", "3", "4"]}, "2", 1, "B"),
        ({"c": ["A", "B", "C"]}, "b", 0, "B"),
    ],
)
def test_the_right_choice_is_a_letter_a_place_or_the_text(
    tmp_path: Path, columns: dict[str, Any], answer: object, first: int, letter: str
) -> None:
    mapping = {
        "instruction": "q",
        "answer": "a",
        "scorer": {"kind": "multiple-choice", "choices": ["c"], "first_choice": first},
    }
    (task,) = load(tmp_path, [{"q": "Which?", "a": answer, **columns}], mapping).tasks
    assert oracle(task) == letter


@pytest.mark.parametrize(
    ("choices", "answer", "said", "letters"),
    [
        (
            ["1", "2", "3", "4"],
            "2",
            """'2' is the text of '2' and the place of '3': set benchmark.hf.scorer.answers to "text" or "place\"""",
            {"text": "B", "place": "C"},
        ),
        (
            ["D", "A", "C", "B"],
            "A",
            """'A' is the text of 'A' and the letter of 'D': set benchmark.hf.scorer.answers to "text" or "letter\"""",
            {"text": "A", "letter": "A"},
        ),
    ],
    ids=["number", "letter"],
)
def test_an_answer_that_may_mean_two_choices_is_taken_for_neither_until_it_is_said_which(
    tmp_path: Path, choices: list[str], answer: str, said: str, letters: dict[str, str]
) -> None:
    scorer = {"kind": "multiple-choice", "choices": ["c"]}
    row = {"q": "Which?", "a": answer, "c": choices}
    (problem,) = load(tmp_path, [row], {"instruction": "q", "answer": "a", "scorer": scorer}).problems
    assert said in str(problem)
    for how, letter in letters.items():
        mapping = {"instruction": "q", "answer": "a", "scorer": {**scorer, "answers": how}}
        assert oracle(load(tmp_path, [row], mapping).tasks[0]) == letter
    other = next(iter({"letter", "place"} - set(letters)))
    (problem,) = load(
        tmp_path, [row], {"instruction": "q", "answer": "a", "scorer": {**scorer, "answers": other}}
    ).problems
    assert f"'{answer}' is no {other} of a choice" in str(problem)


@pytest.mark.parametrize(
    ("instruction", "answers", "right", "wrong"),
    [
        ("{{ q }}\n{{ lettered_choices }}", "letter", ["C", "c) D", "The answer is C."], ["D", "A", "B. A"]),
        ("{{ q }}\n{{ lettered_choices }}", "text", ["B", "(b) C"], ["C", "A"]),
        ("{{ q }} {{ c }}", "text", ["C", "B. C"], ["A", "D"]),
    ],
)
async def test_a_letter_is_that_of_a_choice_where_letters_are_shown_and_else_a_choice_itself(
    tmp_path: Path, instruction: str, answers: str, right: list[str], wrong: list[str]
) -> None:
    """MMLU asks for vitamins. The texts of its choices are letters too, and not those that stand before them."""
    scorer = {"kind": "multiple-choice", "choices": ["c"], "answers": answers}
    row = {"q": "Which vitamin?", "a": "C", "c": ["A", "C", "D", "E"]}
    (task,) = load(tmp_path, [row], {"instruction": instruction, "answer": "a", "scorer": scorer}).tasks
    assert isinstance(task.reward, Graded)
    for answer in [oracle(task), *right]:
        assert (await task.reward.grader.grade(answer, 5.0)).reward == 1.0, answer
    for answer in wrong:
        assert (await task.reward.grader.grade(answer, 5.0)).reward == 0.0, answer


def test_choices_can_stand_in_a_column_each_or_inside_another(tmp_path: Path) -> None:
    row = {
        "q": "Which?",
        "a": "right",
        "one": "left",
        "two": "right",
        "in": {"text": ["left", "right"], "label": ["A", "B"]},
    }
    for choices in (["one", "two"], ["in.text"]):
        mapping = {"instruction": "q", "answer": "a", "scorer": {"kind": "multiple-choice", "choices": choices}}
        (task,) = load(tmp_path, [row], mapping).tasks
        assert oracle(task) == "B"


def test_code_is_checked_by_a_program_that_only_the_verifier_has(tmp_path: Path) -> None:
    (task,) = load(tmp_path, CODE, CODE_MAPPING).tasks
    assert task.id == "Code-0"
    assert task.workspace == ((b"def add(a, b):\n", "/app/notes/stub.py"), (b"add", "/data/name.txt"))
    assert "assert" not in task.instruction
    check = {target: data for data, target in task.verifier.extra}["/tests/check.py"]
    assert check == b"from solution import add\ndef check(f):\n    assert f(1, 2) == 3\n\ncheck(add)"
    assert task.solution is not None
    assert task.solution.extra == ((b"def add(a, b):\n    return a + b\n", "/app/solution.py"),)
    assert (task.verifier.message, task.verifier.env) == (None, {"ANSWER_FILE": "/app/solution.py"})


def test_a_check_file_finds_the_row_and_the_last_message(tmp_path: Path) -> None:
    (tmp_path / "check.py").write_text("import json\n")
    mapping = {"instruction": "question", "answer": "answer", "scorer": {"kind": "python", "check_file": "check.py"}}
    task = load(tmp_path, SUMS, mapping).tasks[0]
    files = {target: data for data, target in task.verifier.extra}
    assert files["/tests/check.py"] == b"import json\n"
    row = files["/tests/row.json"]
    assert isinstance(row, bytes)
    assert json.loads(row) in SUMS
    assert (task.verifier.message, task.verifier.env) == ("/tests/answer.txt", {"ANSWER_FILE": "/tests/answer.txt"})


def test_a_pattern_can_be_made_of_the_row(tmp_path: Path) -> None:
    mapping = {
        "instruction": "Use the word {{ word }}.",
        "answer": "{{ word }}, for one",
        "scorer": {"kind": "regex", "pattern": r"\b{{ word | escape_regex }}(?!\w)"},
    }
    (task,) = load(tmp_path, [{"word": "C++"}], mapping).tasks
    assert [grade(task, text) for text in ("I like C++.", "I like C.", oracle(task))] == [1.0, 0.0, 1.0]


def test_any_answer_of_a_list_is_right(tmp_path: Path) -> None:
    mapping = {"instruction": "q", "answer": "answers.text", "scorer": {"ignore": ["case"]}}
    (task,) = load(tmp_path, [{"q": "Where?", "answers": {"text": ["Rome", "in Rome"]}}], mapping).tasks
    assert [grade(task, text) for text in ("rome", "in Rome", "Milan")] == [1.0, 1.0, 0.0]


def test_the_answer_is_where_it_is_asked_for(tmp_path: Path) -> None:
    mapping = {
        **SUMS_MAPPING,
        "answer_file": "/app/answer.txt",
        "instruction": "{{ question }} Write to /app/answer.txt.",
    }
    task = load(tmp_path, SUMS, mapping).tasks[0]
    assert isinstance(task.reward, Graded)
    assert task.reward.file == "/app/answer.txt"
    assert task.solution is not None
    assert [target for _, target in task.solution.extra] == ["/app/answer.txt"]


def test_the_container_is_what_the_mapping_says(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "Dockerfile").write_text("FROM debian:bookworm\n")
    mapping = {**SUMS_MAPPING, "network": True, "memory_mb": 512, "cpus": 2, "agent_seconds": 90, "workdir": "/work"}
    plain = load(tmp_path, SUMS, mapping).tasks[0]
    assert (plain.limits.network, plain.limits.memory_mb, plain.limits.cpus) == (True, 512, 2)
    assert (plain.agent_timeout, plain.workdir) == (90, "/work")
    pulled = load(tmp_path, SUMS, {**mapping, "image": "debian:bookworm"}).tasks[0]
    built = load(tmp_path, SUMS, {**mapping, "environment": "env"}).tasks[0]
    assert (pulled.image, built.image) == (PulledImage("debian:bookworm"), BuiltImage(tmp_path / "env"))
    (tmp_path / "env" / "Dockerfile").write_text("FROM ubuntu:24.04\n")
    again = load(tmp_path, SUMS, {**mapping, "environment": "env"}).tasks[0]
    assert len({plain.digest, pulled.digest, built.digest, again.digest}) == 4


# ---- files of every kind --------------------------------------------------------------------------------------------


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, Path]:
    """The sums in every format."""
    import datasets

    whole = datasets.Dataset.from_list(SUMS)
    files = {name: tmp_path / f"sums.{name}" for name in ("jsonl", "json", "csv", "tsv", "parquet", "jsonl.gz")}
    write(files["jsonl"], SUMS)
    files["json"].write_text(json.dumps(SUMS))
    with gzip.open(files["jsonl.gz"], "wt") as file:
        file.write(files["jsonl"].read_text())
    whole.to_csv(files["csv"])
    whole.to_csv(files["tsv"], sep="\t")
    whole.to_parquet(files["parquet"])
    whole.save_to_disk(str(tmp_path / "saved"))
    return {**files, "saved": tmp_path / "saved"}


def test_one_set_gives_the_same_tasks_in_every_format(tables: dict[str, Path]) -> None:
    suites = {
        name: open_benchmark(f"hf:{path}", Path(), settings(SUMS_MAPPING)).load() for name, path in tables.items()
    }
    assert {suite.digest() for suite in suites.values()} == {suites["jsonl"].digest()}
    assert {suite.name for name, suite in suites.items() if name != "saved"} == {"sums"}


def test_cells_of_a_csv_are_the_text_that_they_are(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text('code,q,a\n007,What?,NA\n008,"a, b",1.0\n')
    mapping = {"id": "code", "instruction": "q", "answer": "a"}
    tasks = open_benchmark("hf:set.csv", tmp_path, settings(mapping)).load().tasks
    assert [(task.id, task.instruction, oracle(task)) for task in tasks] == [
        ("007", "What?", "NA"),
        ("008", "a, b", "1.0"),
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_csv_is_parted_by_what_its_header_is(tmp_path: Path, separator: str) -> None:
    rows = [["code", "q", "a"], ["t1", '"0,5; or 1|2?"', "x"], ["t2", "how?", "y"]]
    text = "\r\n".join(separator.join(row) for row in rows)
    (tmp_path / "set.csv").write_text(f"\ufeff{text}\r\n", encoding="utf-8")
    tasks = (
        open_benchmark("hf:set.csv", tmp_path, settings({"id": "code", "instruction": "q", "answer": "a"})).load().tasks
    )
    assert [(task.id, task.instruction, oracle(task)) for task in tasks] == [
        ("t1", "0,5; or 1|2?", "x"),
        ("t2", "how?", "y"),
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_a_json_file_is_a_list_or_an_object_that_holds_one(tmp_path: Path, packed: bool) -> None:
    rows = [{"q": "1?", "a": "x"}, {"q": "2?", "a": "y", "more": "z"}]
    name = "set.json.gz" if packed else "set.json"
    said = []
    for content in (rows, {"data": rows}, {"version": "1", "tags": ["a"], "data": rows}):
        text = json.dumps(content, indent=1).encode()
        (tmp_path / name).write_bytes(gzip.compress(text) if packed else text)
        suite = open_benchmark(f"hf:{name}", tmp_path, settings(BASE)).load()
        said.append([(task.instruction, oracle(task)) for task in suite.tasks])
    assert said == [said[0]] * 3
    assert sorted(said[0]) == [("1?", "x"), ("2?", "y")]
    for lines in (rows, rows[:1]):
        text = "".join(json.dumps(row) + "\n" for row in lines).encode()
        (tmp_path / name).write_bytes(gzip.compress(text) if packed else text)
        assert len(open_benchmark(f"hf:{name}", tmp_path, settings(BASE)).load().tasks) == len(lines)


@pytest.mark.parametrize("name", ["set.jsonl", "set.json", "set/test.jsonl", "set/test.jsonl.gz"])
def test_values_of_json_are_what_the_file_says_whatever_other_rows_hold(tmp_path: Path, name: str) -> None:
    answers: list[Any] = ["2021-03-04", 1, 2.5, "b", 12345678901234567890123, ["c", "d"], {"in": "2021-01-01"}]
    rows = [{"q": f"{place}?", "a": answer} for place, answer in enumerate(answers)]
    whole = json.dumps(rows) if name.endswith(".json") else "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(gzip.compress(whole.encode()) if name.endswith(".gz") else whole.encode())
    source = f"hf:{name.partition('/')[0]}"
    tasks = open_benchmark(source, tmp_path, settings({**BASE, "id": "{{ q[:1] }}"})).load().tasks
    said = ["2021-03-04", "1", "2.5", "b", "12345678901234567890123", "c", '{"in": "2021-01-01"}']
    assert [oracle(task) for task in tasks] == said
    assert [grade(task, answer) for task, answer in zip(tasks, said, strict=True)] == [1.0] * 7


def test_a_check_file_finds_each_row_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "check.py").write_text("pass\n")
    rows = [{"q": "1?", "cases": [{"in": "2021-01-01", "out": 5}]}, {"q": "2?", "cases": [{"in": "b", "near": 5.5}]}]
    mapping = {"id": "{{ q[:1] }}", "instruction": "q", "scorer": {"kind": "python", "check_file": "check.py"}}
    tasks = load(tmp_path, rows, mapping).tasks
    found = [source for task in tasks for source, target in task.verifier.extra if target == "/tests/row.json"]
    assert [json.loads(data) for data in found if isinstance(data, bytes)] == rows


def test_columns_of_several_types_that_a_set_keeps_as_json_are_read_as_what_they_were(tmp_path: Path) -> None:
    import datasets

    columns = {"q": ["1?", "2?", "3?"], "a": [1, "b", None], "of": [{"x": [1, "y"]}, {"x": [2, "z"]}, {"x": []}]}
    datasets.Dataset.from_dict(columns, on_mixed_types="use_json").to_parquet(tmp_path / "set.parquet")
    mapping = {"id": "{{ q[:1] }}", "instruction": "{{ q }} {{ of.x | join }}", "answer": "a"}
    suite = open_benchmark("hf:set.parquet", tmp_path, settings(mapping)).load()
    assert [(task.instruction, oracle(task)) for task in suite.tasks] == [("1? 1y", "1"), ("2? 2z", "b")]
    assert [str(problem) for problem in suite.problems] == [
        "task 3: benchmark.hf.answer: column a is empty in this row"
    ]


def test_a_column_that_only_a_later_row_has_can_be_named(tmp_path: Path) -> None:
    suite = load(tmp_path, [{"q": "1?"}, {"q": "2?", "a": "x"}], BASE)
    assert [task.instruction for task in suite.tasks] == ["2?"]
    (problem,) = suite.problems
    assert str(problem).endswith("benchmark.hf.answer: column a is empty in this row")


def test_a_row_with_what_is_no_value_or_no_text_hides_no_other(tmp_path: Path) -> None:
    lines = ['{"q": "1?", "a": NaN}', '{"q": "half \\ud83d", "a": "x"}', '{"q": "3?", "a": "y"}']
    (tmp_path / "set.jsonl").write_text("\n".join(lines))
    suite = open_benchmark("hf:set.jsonl", tmp_path, settings(BASE)).load()
    assert [oracle(task) for task in suite.tasks] == ["y"]
    assert [str(problem).partition(": ")[2] for problem in suite.problems] == [
        "benchmark.hf.answer: column a is empty in this row",
        "benchmark.hf.instruction: holds half of a character (a lone surrogate), so it is no text",
    ]


def test_the_cells_of_a_csv_in_a_folder_are_text_too_when_it_is_packed(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "test.csv.gz").write_bytes(gzip.compress(b"q;a\n1?;007\n"))
    (task,) = open_benchmark("hf:set", tmp_path, settings(BASE)).load().tasks
    assert oracle(task) == "007"


def test_a_csv_may_hold_a_book_in_a_cell_and_other_separators_in_quotes(tmp_path: Path) -> None:
    book = "word " * 40_000
    (tmp_path / "set.csv").write_text(f'q;"a, or b"\n{book};x\n')
    (task,) = open_benchmark("hf:set.csv", tmp_path, settings({**BASE, "answer": "a, or b"})).load().tasks
    assert (task.instruction, oracle(task)) == (book, "x")


@pytest.mark.parametrize(("declared", "said"), [("dtype: string", "2021-03-04"), (LABEL, "yes")])
def test_types_that_a_readme_declares_change_no_text_and_name_classes(tmp_path: Path, declared: str, said: str) -> None:
    write(tmp_path / "set" / "test.jsonl", [{"q": "1?", "a": 1 if declared == LABEL else said}])
    table = f"dataset_info:\n  features:\n  - name: q\n    dtype: string\n  - name: a\n    {declared}\n"
    (tmp_path / "set" / "README.md").write_text(f"---\n{table}---\n")
    (task,) = open_benchmark("hf:set", tmp_path, settings(BASE)).load().tasks
    assert oracle(task) == said


def test_a_csv_may_begin_with_the_index_of_a_data_frame(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text(",q,a\n0,1?,x\n1,2?,y\n")
    tasks = open_benchmark("hf:set.csv", tmp_path, settings({**BASE, "id": "Unnamed: 0"})).load().tasks
    assert [(task.id, task.instruction, oracle(task)) for task in tasks] == [("0", "1?", "x"), ("1", "2?", "y")]


def test_a_folder_has_splits_by_its_files_names(tmp_path: Path) -> None:
    write(tmp_path / "set" / "train.jsonl", SUMS[:1])
    write(tmp_path / "set" / "test.jsonl", SUMS)

    def count(split: str) -> int:
        return len(open_benchmark("hf:set", tmp_path, settings({**SUMS_MAPPING, "split": split})).load().tasks)

    assert (count(""), count("test"), count("train")) == (2, 2, 1)
    with pytest.raises(ConfigError, match=r"benchmark\.hf\.split: set has no split 'dev'; it has test, train"):
        count("dev")
    (tmp_path / "set" / "test.jsonl").rename(tmp_path / "set" / "validation.jsonl")
    with pytest.raises(ConfigError, match=r"several splits, none of them 'test': name one of train, validation"):
        count("")


def test_class_labels_are_their_names_and_images_their_bytes(tmp_path: Path) -> None:
    import datasets

    picture = {"bytes": b"\x89PNG", "path": None}
    rows = {"text": ["fine!", "?"], "label": [1, -1], "picture": [picture, picture]}
    table = datasets.Dataset.from_dict(rows)
    labelled = table.cast_column("label", datasets.ClassLabel(names=["bad", "good"]))
    labelled.cast_column("picture", datasets.Image()).to_parquet(tmp_path / "set.parquet")
    mapping = {"instruction": "text", "answer": "label", "files": {"picture.png": "picture"}}
    suite = open_benchmark("hf:set.parquet", tmp_path, settings(mapping)).load()
    (task,) = suite.tasks
    assert (oracle(task), task.workspace) == ("good", ((b"\x89PNG", "/app/picture.png"),))
    assert str(suite.problems[0]).endswith("benchmark.hf.answer: column label is empty in this row")


# ---- ids, samples, digests ------------------------------------------------------------------------------------------


def many(count: int) -> list[dict[str, Any]]:
    return [
        {"question": f"What is {number} + 1?", "answer": f"#### {number + 1}", "level": ""} for number in range(count)
    ]


def test_ids_without_a_column_survive_a_new_order(tmp_path: Path) -> None:
    mapping = {key: value for key, value in SUMS_MAPPING.items() if key != "difficulty"}
    first, again = load(tmp_path, many(9), mapping), load(tmp_path, many(9)[::-1], mapping)
    assert first == again
    assert all(task.id.startswith("row-") for task in first.tasks)


def test_a_sample_is_what_the_whole_set_would_give(tmp_path: Path) -> None:
    mapping = {key: value for key, value in SUMS_MAPPING.items() if key != "difficulty"}
    rows = many(60)
    rows[7]["answer"] = "#### many"
    whole = load(tmp_path, rows, mapping)
    for seed in range(5):
        limited = settings(mapping, limit=12)
        sample = open_benchmark("hf:set.jsonl", tmp_path, limited, seed).load()
        assert sample.tasks == select(whole.tasks, limited, seed)
        assert select(sample.tasks, limited, seed) == sample.tasks
    chosen = [task.id for task in whole.tasks[:2]]
    assert [task.id for task in open_benchmark("hf:set.jsonl", tmp_path, limited).load(chosen).tasks] == chosen
    few = settings({**mapping, "rows": 5})
    assert len(open_benchmark("hf:set.jsonl", tmp_path, few).load().tasks) == 5


def test_patterns_and_excluded_ids_are_looked_for_in_the_whole_set(tmp_path: Path) -> None:
    rows = [
        {"id": f"{kind}/{number}", "q": f"{kind} {number}?", "a": "x"} for kind in ("old", "new") for number in range(9)
    ]
    mapping = {"id": "id", "instruction": "q", "answer": "a"}
    new = load(tmp_path, rows, mapping, tasks=["new-*"], exclude=["new-3"], limit=4)
    assert {task.id for task in new.tasks} == {f"new-{number}" for number in range(9) if number != 3}
    rest = load(tmp_path, rows, mapping, exclude=["new-*"], limit=9)
    assert {task.id for task in rest.tasks} == {f"old-{number}" for number in range(9)}
    with pytest.raises(ConfigError, match="no task matches 'new-33'; did you mean 'new-3'"):
        open_benchmark("hf:set.jsonl", tmp_path, settings(mapping)).load(["new-33"])


def test_a_digest_changes_with_whatever_changes_the_verdict(tmp_path: Path) -> None:
    def digest(row: dict[str, Any] | None = None, scorer: dict[str, Any] | None = None, **mapping: Any) -> str:
        whole: dict[str, Any] = {"id": "n", "instruction": "q", "answer": "a", **mapping, "scorer": scorer or {}}
        return load(tmp_path, [{"n": 1, "q": "Q", "a": "x", "b": "y", **(row or {})}], whole).tasks[0].digest

    found = {
        digest(),
        digest({"q": "R"}),
        digest({"a": "z"}),
        digest(scorer={"ignore": ["case"]}),
        digest(scorer={"extract": "last-line"}),
        digest(files={"f": "b"}),
        digest({"b": "w"}, files={"f": "b"}),
        digest(network=True),
        digest(answer_file="/app/a", instruction="{{ q }} /app/a"),
        digest(scorer={"kind": "python", "check": "{{ b }}"}),
        digest({"b": "w"}, scorer={"kind": "python", "check": "{{ b }}"}),
    }
    assert len(found) == 11
    assert digest() == digest({"b": "not used"})


def test_the_mapping_survives_being_stored_with_a_study() -> None:
    config = parse({"benchmark": {"hf": CODE_MAPPING}})
    assert Config.model_validate(config.model_dump(mode="json")) == config


def test_a_stored_mapping_is_read_as_it_was_written(tmp_path: Path) -> None:
    suite = load(tmp_path, CODE, CODE_MAPPING)
    stored = parse({"benchmark": settings(CODE_MAPPING).model_dump(mode="json")}).benchmark
    assert open_benchmark("hf:set.jsonl", tmp_path, stored).load() == suite


# ---- what cannot be used, one line each -----------------------------------------------------------------------------

ROW = {"q": "Which?", "a": "x", "n": "four", "list": ["x", "y"], "none": None, "words": "yes no"}
BASE: dict[str, Any] = {"instruction": "q", "answer": "a"}
BAD_MAPPINGS: list[tuple[dict[str, Any], str]] = [
    ({"answer": "a"}, "benchmark.hf.instruction: is not set; name the column that holds the question"),
    (
        {"instruction": "question", "answer": "a"},
        "benchmark.hf.instruction: no column 'question'; there are q, a, n, list",
    ),
    ({"instruction": "lst", "answer": "a"}, "benchmark.hf.instruction: no column 'lst'; did you mean 'list'?"),
    ({"instruction": "Answer this.", "answer": "a"}, "a template has a column in braces, such as {{ q }}"),
    ({"instruction": "{{ q }", "answer": "a"}, "benchmark.hf.instruction: not a template: line 1: "),
    (
        {"instruction": "{{ q | shout }}", "answer": "a"},
        "benchmark.hf.instruction: not a template: line 1: No filter named 'shout'",
    ),
    ({"instruction": "{{ quest }}", "answer": "a"}, "benchmark.hf.instruction: no column 'quest'"),
    (
        {"instruction": "{{ q }} ({{ a }})", "answer": "a"},
        "benchmark.hf.instruction: shows the agent column 'a', which the answer",
    ),
    ({**BASE, "files": {"key.txt": "a"}}, "benchmark.hf.files.key.txt: shows the agent column 'a'"),
    ({**BASE, "files": {"../up": "q"}}, "benchmark.hf.files.../up: is no path of a file; '..' has no place in it"),
    ({"instruction": "q"}, "benchmark.hf.answer: is not set; the scorer exact compares with it"),
    ({**BASE, "id": "key"}, "benchmark.hf.id: no column 'key'"),
    ({**BASE, "category": "{{ kind }}"}, "benchmark.hf.category: no column 'kind'"),
    ({**BASE, "scorer": {"tolerance": 1}}, "benchmark.hf.scorer.tolerance: is for numeric, not for exact"),
    ({**BASE, "scorer": {"kind": "multiple-choice"}}, "benchmark.hf.scorer.choices: is not set"),
    ({**BASE, "scorer": {"kind": "multiple-choice", "choices": ["c"]}}, "benchmark.hf.scorer.choices: no column 'c'"),
    ({**BASE, "scorer": {"kind": "regex"}}, "benchmark.hf.scorer.pattern: is not set"),
    ({**BASE, "scorer": {"kind": "python"}}, "benchmark.hf.scorer.check: the scorer python needs this or check_file"),
    ({**BASE, "scorer": {"kind": "python", "check": "a", "check_file": "b"}}, "this or check_file, and one alone"),
    ({**BASE, "scorer": {"kind": "python", "check_file": "gone.py"}}, "gone.py: is missing"),
    ({**BASE, "image": "a", "environment": "b"}, "benchmark.hf.environment: an image is set too"),
    ({**BASE, "environment": "nowhere"}, "nowhere: holds no Dockerfile"),
    ({**BASE, "revision": "main"}, "benchmark.hf.revision: set.jsonl is on this machine"),
]
BAD_ROWS: list[tuple[dict[str, Any], str]] = [
    ({**BASE, "answer": "none"}, "benchmark.hf.answer: column none is empty in this row"),
    (
        {**BASE, "instruction": "{{ none }}"},
        "benchmark.hf.instruction: the template fails on this row: it shows a value that is",
    ),
    (
        {**BASE, "instruction": "{{ list[5] }}"},
        "benchmark.hf.instruction: the template fails on this row: list object has no",
    ),
    ({**BASE, "instruction": "{{ q * 9999999 }}"}, "benchmark.hf.instruction: is longer than 1,048,576 characters"),
    ({**BASE, "instruction": "{% if q == '' %}x{% endif %}"}, "benchmark.hf.instruction: is blank"),
    ({**BASE, "instruction": "{{ q.__class__.__mro__ }}"}, "access to attribute '__class__' of 'str' object is unsafe"),
    (
        {**BASE, "answer_file": "/app/out"},
        "benchmark.hf.instruction: does not say /app/out, where the answer is looked for",
    ),
    ({**BASE, "answer": "n", "scorer": {"kind": "numeric"}}, "benchmark.hf.answer: 'four' is no number"),
    ({**BASE, "scorer": {"extract_reference": "marker"}}, "benchmark.hf.answer: the answer holds nothing after '####'"),
    ({**BASE, "answer": "a.b"}, "benchmark.hf.answer: column a has no b in this row"),
    (
        {**BASE, "answer": "n", "scorer": {"kind": "multiple-choice", "choices": ["list"]}},
        "'four' is none of the choices",
    ),
    (
        {**BASE, "answer": "list", "scorer": {"kind": "multiple-choice", "choices": ["list"]}},
        "benchmark.hf.answer: 'x' is several",
    ),
    (
        {**BASE, "scorer": {"kind": "multiple-choice", "choices": ["n"]}},
        "benchmark.hf.scorer.choices: column n holds no list",
    ),
    (
        {**BASE, "scorer": {"kind": "regex", "pattern": "{{ q }}("}},
        "benchmark.hf.scorer.pattern: is no regular expression",
    ),
    ({**BASE, "scorer": {"kind": "regex", "pattern": "{{ q }}|"}}, "matches an empty answer"),
    ({**BASE, "scorer": {"kind": "python", "check": "words"}}, "benchmark.hf.scorer.check: is not Python"),
    (
        {**BASE, "id": "{{ '題' }}"},
        "benchmark.hf.id: '題' holds no letter or digit that an id may have (a to z, A to Z, 0 to 9)",
    ),
]


@pytest.mark.parametrize(("mapping", "problem"), BAD_MAPPINGS, ids=[problem for _, problem in BAD_MAPPINGS])
def test_a_mapping_that_fits_no_row_is_one_line(tmp_path: Path, mapping: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, [ROW], mapping)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("mapping", "problem"), BAD_ROWS, ids=[problem for _, problem in BAD_ROWS])
def test_a_row_that_does_not_fit_is_one_line_and_hides_no_other(
    tmp_path: Path, mapping: dict[str, Any], problem: str
) -> None:
    (bad,) = load(tmp_path, [ROW], mapping).problems
    assert problem in str(bad)
    assert "\n" not in str(bad)
    assert load(tmp_path, [ROW, {**ROW, "q": "Another?", "a": "y"}, {**ROW, "a": None}], BASE).problems != ()
    assert len(load(tmp_path, [ROW, {**ROW, "q": "Another?", "a": "y"}, {**ROW, "a": None}], BASE).tasks) == 2


def test_a_text_past_every_context_window_is_said(tmp_path: Path) -> None:
    suite = load(tmp_path, [{"q": "x" * 1_048_577, "a": "y"}, {"q": "x" * 1_048_576, "a": "y"}], BASE)
    assert len(suite.tasks) == 1
    (problem,) = suite.problems
    assert str(problem).endswith("benchmark.hf.instruction: is longer than 1,048,576 characters")


def test_two_rows_of_one_id_are_said(tmp_path: Path) -> None:
    (same,) = load(tmp_path, [ROW, ROW], BASE).problems
    assert str(same).endswith("row 2: is the same as row 1")
    (named,) = load(tmp_path, [ROW, {**ROW, "q": "b"}], {**BASE, "id": "a"}).problems
    assert str(named) == "task x: row 2: has the id of row 1"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("set.jsonl", b"", "hf:set.jsonl: holds no row"),
        ("set.jsonl", b'{"q": "a"}\n{"q": \n', "hf:set.jsonl: cannot be read: line 2 is no JSON: Expecting value: "),
        ("set.jsonl", b"\xff\xfe\x00", "hf:set.jsonl: cannot be read: line 1 is not UTF-8 at byte 1"),
        ("set.csv", b"q,a\nx,y\nGr\xf6, z\n", "hf:set.csv: cannot be read: line 3 is not UTF-8 at byte 3"),
        ("set.parquet", b"not parquet", "hf:set.parquet: cannot be read: Parquet magic bytes not found"),
        ("set.xlsx", b"PK", "hf:set.xlsx: is none of .jsonl, .ndjson, .json, .csv"),
        ("set.csv", b"q,a\n", "hf:set.csv: holds no row"),
        ("set.csv", b"q,a\n1,2\n1,2,3\n", "hf:set.csv: cannot be read: "),
        (
            "set.csv",
            b"q,a\nwhy, then,2\nhow, then,3\n",
            "hf:set.csv: set.csv: row 1 has 3 cells, and there are 2 columns; a cell that holds ',' must stand in double quotes",
        ),
        (
            "set.json",
            b'{"1": {"q": "a"}, "2": {"q": "b"}}',
            "hf:set.json: is one object, and its rows are no list, each has a key",
        ),
        (
            "set.json",
            b'{"x": [{"q": "a"}], "y": [{"q": "b"}]}',
            "is one object, and its lists x, y could all be the rows",
        ),
        ("set.jsonl", b'{"q": "a"}\n[1]\n', "hf:set.jsonl: line 2 is no object that gives columns names: [1]"),
        ("set.json", b'["x"]', 'hf:set.json: row 1 is no object that gives columns names: "x"'),
        ("folder/a.jsonl", b'{"q": \n', "hf:folder: cannot be read: line 1 is no JSON: Expecting value: "),
        ("other.jsonl", b"", "hf:set.jsonl: {path}/set.jsonl: no such file or folder, and no name of a set"),
        ("folder/notes.md", b"# hello", "hf:folder: "),
    ],
)
def test_a_set_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    source = {"other.jsonl": "set.jsonl", "folder/notes.md": "folder", "folder/a.jsonl": "folder"}.get(name, name)
    with pytest.raises(ConfigError) as caught:
        open_benchmark(f"hf:{source}", tmp_path, settings(BASE)).load()
    assert problem.format(path=tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_huge_set_asks_for_a_sample(tmp_path: Path) -> None:
    rows = [{"q": f"{number}?", "a": "x"} for number in range(10_001)]
    write(tmp_path / "set.jsonl", rows)
    with pytest.raises(ConfigError, match=r"has more than 10,000 rows; \[benchmark\] limit takes a sample of them"):
        open_benchmark("hf:set.jsonl", tmp_path, settings(BASE)).load()
    assert len(open_benchmark("hf:set.jsonl", tmp_path, settings(BASE, limit=3)).load().tasks) == 3


def test_a_hub_name_without_a_network_is_one_line_at_once(tmp_path: Path) -> None:
    with pointed_at("http://127.0.0.1:9", tmp_path / "cache"), pytest.raises(PrerequisiteError) as caught:
        open_benchmark("hf:nobody/nothing-of-that-name", tmp_path, settings(BASE)).load()
    assert str(caught.value) == (
        "hf:nobody/nothing-of-that-name: the Hugging Face hub cannot be reached and no copy is on this machine; "
        "connect this machine, or fetch the files elsewhere and write hf:DIR"
    )
    assert caught.value.exit_code == 3
    assert not list(tmp_path.iterdir())
