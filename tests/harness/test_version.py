"""Edits apply exactly or say why not; a harness that cannot run is told what to change; copies of the benchmark are found."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import lorimer
from lorimer.errors import HarnessError
from lorimer.harness.lint import SEALED
from lorimer.harness.version import Hunk, apply_edit, check, diff, hunks_between, lint, sha, why_not_started
from tests.support.quickness import slowness

SEED = (Path(lorimer.__file__).parent / "harness" / "seeds" / "plain.py").read_text()
SOLVE = "def solve(task, env, llm):\n    return ''\n"

TEXT = "alpha = 1\nbeta = 2\n\ndef one():\n    return alpha\n\ndef two():\n    return alpha\n"


def refusal(text: str, *hunks: Hunk) -> str:
    with pytest.raises(HarnessError) as caught:
        apply_edit(text, hunks)
    return str(caught.value)


def fault(text: str, max_bytes: int = 60_000) -> str:
    with pytest.raises(HarnessError) as caught:
        check(text, max_bytes=max_bytes)
    return str(caught.value)


# Edits


def test_hunks_apply_in_order_each_on_what_the_last_one_left() -> None:
    hunks = [Hunk("alpha = 1", "alpha = 1\ngamma = 3"), Hunk("gamma = 3\nbeta", "delta = 4\nbeta")]
    assert apply_edit(TEXT, hunks).startswith("alpha = 1\ndelta = 4\nbeta = 2\n")
    assert apply_edit(TEXT, [Hunk("beta = 2\n", "")]) == TEXT.replace("beta = 2\n", "")


def test_an_ambiguous_search_is_told_with_its_lines() -> None:
    message = refusal(TEXT, Hunk("beta", "b"), Hunk("    return alpha", "    return 1"))
    assert message.startswith("hunk 2 of 2: `search` is found 2 times, at lines 5, 8; add lines of context")


def test_overlapping_matches_are_ambiguous_too() -> None:
    assert "found 2 times" in refusal("aXaXa", Hunk("aXa", "b"))


def test_a_search_that_is_not_there_is_shown_the_nearest_lines() -> None:
    message = refusal(TEXT, Hunk("def two():\n    return  alpha", "x"))
    assert "hunk 1 of 1: `search` is not in agent.py" in message
    assert "   7 | def two():\n   8 |     return alpha" in message
    message = refusal(TEXT, Hunk("def three(x):\n    return alpha", "x"))
    assert "return alpha" in message
    assert "No lines look like it" in refusal(TEXT, Hunk("!!!!!!????", "x"))


def test_the_nearest_lines_of_a_long_file_are_found_quickly() -> None:
    text = "".join(f"def function_{n}(task, env):\n    return env.exec('run {n}')\n\n" for n in range(700))
    started = time.process_time()
    message = refusal(text, Hunk("def function_432(task, env):\n    return env.exec('run it 432')\n" * 3, ""))
    assert time.process_time() - started < 2 * slowness()
    assert "def function_432(task, env):" in message


@pytest.mark.parametrize(
    ("hunks", "words"),
    [
        ([], "no hunks"),
        ([Hunk("", "x")], "hunk 1 of 1: `search` is empty"),
        ([Hunk("alpha = 1", "alpha = 1")], "changes nothing"),
        ([Hunk("alpha = 1", "alpha = 9"), Hunk("alpha = 9", "alpha = 1")], "changes nothing"),
        ([Hunk("a", "b")] * 51, "51 hunks; the most is 50"),
    ],
)
def test_an_edit_that_is_none_is_refused(hunks: list[Hunk], words: str) -> None:
    assert words in refusal(TEXT, *hunks)


def test_only_line_endings_are_forgiven() -> None:
    windows = TEXT.replace("\n", "\r\n")
    hunk = Hunk("beta = 2\n\ndef one", "beta = 3\n\n\ndef one")
    assert apply_edit(windows, [hunk]) == apply_edit(TEXT, [hunk]).replace("\n", "\r\n")
    crlf = Hunk(hunk.search.replace("\n", "\r\n"), hunk.replace.replace("\n", "\r\n"))
    assert apply_edit(TEXT, [crlf]) == apply_edit(TEXT, [hunk])
    assert "not in agent.py" in refusal(TEXT, Hunk("beta  = 2", "x"))
    # A one-line search whose replacement brings lines: they take the file's endings too.
    assert "\n" not in apply_edit(windows, [Hunk("beta = 2", "beta = 2\nc = 3")]).replace("\r\n", "")


@given(st.text("ab\n é\t", max_size=60), st.data(), st.text("abxy\n ", max_size=10))
def test_a_unique_hunk_is_one_replacement(text: str, data: st.DataObject, replace: str) -> None:
    start = data.draw(st.integers(0, len(text)))
    search = text[start : data.draw(st.integers(start, len(text)))]
    assume(search)
    count = sum(text.startswith(search, at) for at in range(len(text)))
    if count == 1 and search != replace:
        assert apply_edit(text, [Hunk(search, replace)]) == text.replace(search, replace, 1)
    else:
        assert (f"found {count} times" if count > 1 else "changes nothing") in refusal(text, Hunk(search, replace))


@given(st.text(max_size=80), st.lists(st.tuples(st.text(max_size=6), st.text(max_size=6)), max_size=5))
def test_any_hunks_give_an_edit_or_a_refusal(text: str, pairs: list[tuple[str, str]]) -> None:
    hunks = [Hunk(*pair) for pair in pairs]
    try:
        edited = apply_edit(text, hunks)
    except HarnessError:
        return
    assert edited != text


# Checks


def test_the_seed_harness_passes() -> None:
    check(SEED, max_bytes=60_000)
    assert len(sha(SEED)) == 64
    assert sha("é") == "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"


@pytest.mark.parametrize(
    "text",
    [
        SOLVE,
        "def solve(task, env, llm, *, tries=3): return ''",
        "def solve(task, env, llm, tries=3): return ''",
        "def solve(*args): return ''",
        "def solve(a, /, b, c): return ''",
        "import os.path, json\nfrom lorimer.harness import api\nfrom lorimer.harness.api import Task\n" + SOLVE,
        "import lorimer.harness.api\n" + SOLVE,
        "X = '\\d'  # Python warns of this\n" + SOLVE,
    ],
)
def test_a_harness_that_can_run_passes(text: str) -> None:
    check(text, max_bytes=1000)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def solve(task, env, llm):\n    return (\n", "agent.py line 2, column 12: '(' was never closed: 'return ('"),
        (SOLVE + "x = '\ud800'", "a character that UTF-8 cannot write"),
        ("x = 1\0\n" + SOLVE, "null bytes"),
        ("", "must define `def solve(task, env, llm)` at its top level"),
        ("class A:\n    " + SOLVE.replace("\n", "\n    "), "at its top level"),
        ("solve = print", "at its top level"),
        (
            "async " + SOLVE,
            "line 1: `solve` must be a plain function, not `async`; it may call `asyncio.run`",
        ),
        ("def solve(task, env): return ''", "three positional arguments"),
        ("def solve(a, b, c, d): return ''", "three positional arguments"),
        ("def solve(a, b, c, *, d): return ''", "three positional arguments"),
        ("def solve(a, b, *, c): return ''", "three positional arguments"),
        (SOLVE + "def solve(x): return ''", "line 3: `solve` must take three"),
        ("import requests\n" + SOLVE, "line 1: 'requests' is not in the jail"),
        (SOLVE + "    import numpy.linalg", "line 3: 'numpy.linalg' is not in the jail"),
        ("import tools\n" + SOLVE, "lorimer.harness.text; what a module of your own has goes into agent.py itself"),
        (
            "from . import helper\n" + SOLVE,
            "a harness is one file; what a module of your own has goes into agent.py itself",
        ),
        ("from lorimer.harness import host\n" + SOLVE, "'lorimer.harness.host' may not be imported"),
        ("import lorimer\n" + SOLVE, "'lorimer' may not be imported"),
        ("from lorimer import errors\n" + SOLVE, "'lorimer.errors' may not be imported"),
        ("from lorimer.harness.host import serve\n" + SOLVE, "of lorimer, only lorimer.harness.api"),
        ("x = " + "(" * 5000 + ")" * 5000, "agent.py"),
    ],
)
def test_a_harness_that_cannot_run_is_told_why(text: str, words: str) -> None:
    assert words in fault(text)


def test_the_line_that_is_quoted_is_the_harness_s_own_whatever_lies_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agent.py").write_text("SECRET = 'of another file'\n")
    monkeypatch.chdir(tmp_path)
    assert fault("def broken(:\n") == "agent.py line 1, column 12: invalid syntax: 'def broken(:'"


def test_a_harness_over_its_size_is_told_by_how_much() -> None:
    text = SOLVE + "# é"
    assert fault(text, len(text)) == f"agent.py has {len(text) + 1} bytes; the limit is {len(text)}: remove 1"
    check(text, max_bytes=len(text) + 1)


@given(st.text(max_size=200))
def test_any_text_is_checked_or_refused(text: str) -> None:
    try:
        check(text, max_bytes=150)
    except HarnessError as error:
        assert "agent.py" in str(error)  # noqa: PT017 - most texts raise, a few may pass


def test_a_diff_is_unified_and_says_when_a_last_newline_is_missing() -> None:
    assert diff(TEXT, TEXT) == ""
    lines = diff("a\nb\n", "a\nc").splitlines()
    assert lines[:2] == ["--- a/agent.py", "+++ b/agent.py"]
    assert lines[-3:] == ["-b", "+c", "\\ No newline at end of file"]


# Contamination

TASKS = [
    (
        "invoice-totals-eu",
        "You are in /app. Read every invoice in /app/invoices_2024_q3.csv, convert the amounts to euros with the rates in "
        "rates.csv and write the total of each customer to output.json. Use json.loads where it helps.",
    ),
    (
        "fix_parser_017",
        "You are in /app. The function parse_header in /app/parser.py forgets quoted commas; repair it so that every header "
        "line of RFC style mail is read back as it was written, and keep main.py as it is.",
    ),
    (
        "sort",
        "You are in /app. Sort the lines of /app/names.txt by length, then by alphabet, without regard to upper and lower case, "
        "and leave the result in main.py's folder as requirements.txt.",
    ),
]


def found(added: str, parent: str = SEED) -> list[str]:
    return lint(parent + "\n" + added + "\n", parent=parent, tasks=TASKS)


@pytest.mark.parametrize(
    ("added", "words"),
    [
        ("KNOWN = {'invoice-totals-eu': 3}", "names the task 'invoice-totals-eu'"),
        ("# works for fix_parser_017", "names the task 'fix_parser_017'"),
        ("fix_parser_017 = 1", "names the task 'fix_parser_017'"),
        (
            "H = 'convert the amounts to euros with the rates in a file'",
            "quotes a task's text: \"convert the amounts to euros",
        ),
        ("H = 'convert the amounts to ' 'euros with the rates in a file'", "quotes a task's text"),
        ("H = 'convert the amounts to ' + 'euros with the' + ' rates in a file'", "quotes a task's text"),
        ("H = ['convert the amounts', 'to euros with', 'the rates in a file']", "quotes a task's text"),
        ("# convert the amounts to\n# euros with the rates in a file", "quotes a task's text"),
        ("H = 'CONVERT the amounts, to euros: with the rates -- in'", "quotes a task's text"),
        ("H = f'{SOME} convert the amounts to euros with the rates in'", "quotes a task's text"),
        ("P = '/app/invoices_2024_q3.csv'", "names the file 'invoices_2024_q3.csv'"),
        ("# see names.txt", "names the file 'names.txt'"),
        ("P = '/tests'", "names '/tests'"),
        ("P = 'ls /tests/test_outputs.py'", "names '/tests'"),
        (r"P = '\x2ftests'", "names '/tests'"),
        ("P = '/te' + 'sts'", "names '/tests'"),
        ("P = 'echo 1 > /logs/verifier/reward.txt'", "names '/logs/verifier'"),
        ("P = 'cat /solution/*'", "names '/solution'"),
        ("P = 'bash test.sh'", "names 'test.sh'"),
        ("import hashlib\nK = lambda task: hashlib.md5(task.instruction.encode()).hexdigest()", "takes a hash of"),
        (
            "from hashlib import md5\ndef k(task):\n    text = task.instruction.strip()\n    return md5(text.encode())",
            "a hash of",
        ),
        ("import zlib\ndef k(s): return zlib.crc32(s.encode())\ndef f(task): return k(task.instruction)", "a hash of"),
        (
            "import hashlib\ndef f(task):\n    h = hashlib.new('md5')\n    h.update(task.instruction.encode())",
            "a hash of",
        ),
        ("def f(task): return hash(task.instruction) % 97", "a hash of"),
        ("def f(task): return len(task.instruction) == 1234", "compares task.instruction"),
        ("def f(task): return task.instruction[:5] == 'Write'", "compares task.instruction"),
    ],
)
def test_what_belongs_to_the_benchmark_is_found(added: str, words: str) -> None:
    findings = found(added)
    assert findings
    assert words in "\n".join(findings)


@pytest.mark.parametrize(
    "added",
    [
        "H = 'Read every file that the task names before you write. Run the project tests, then check the output once more.'",
        "H = 'You are in /app.'",
        "H = 'Sort what you print. Look for requirements.txt, main.py, README.md and output.json before you start.'",
        "import json\nX = json.loads('{}')",
        "RUN = 'python -m pytest tests/ -q'",
        "RUN = './run_test.sh || ls src/tests'",
        "import hashlib\ndef seen(output): return hashlib.sha256(output.encode()).hexdigest()",
        "def wants_table(task): return 'xlsx' in task.instruction.lower()",
        "def short(task): return len(task.instruction) > 2000",
        "def f(task, env): return env.exec(task.instruction).stdout == 'ok'",
        "def sort(lines): return sorted(lines)",
    ],
)
def test_general_advice_raises_no_alarm(added: str) -> None:
    assert found(added) == []


def test_only_what_the_edit_adds_is_judged() -> None:
    bad = "# fix_parser_017 and names.txt\nP = '/tests'\nQ = 'convert the amounts to euros with the rates in a file'\n"
    bad += "def f(task): return hash(task.instruction)"
    parent = SEED + bad
    assert found("X = 1", parent) == []
    assert lint(bad + "\n" + SEED, parent=parent, tasks=TASKS) == []
    assert len(found("Y = '/tests'", parent)) == 1
    assert lint(SEED, parent=parent, tasks=TASKS) == []


def test_what_most_tasks_say_is_nobodys_text() -> None:
    head = "Work in the folder and leave your answer in the file that is named below."
    tasks = [(f"task-{n:03}", f"{head} The subject is number {n}.") for n in range(20)]
    assert lint(f"H = {head!r}\n{SEED}", parent=SEED, tasks=tasks) == []
    assert lint(f"H = {head!r}\n{SEED}", parent=SEED, tasks=tasks[:2]) != []


@pytest.mark.parametrize(
    "added",
    [
        "KNOWN = {'invoice-totals-eu': 3}",
        "H = 'convert the amounts to euros with the rates in a file'",
        "P = '/app/invoices_2024_q3.csv'",
    ],
)
def test_what_belongs_to_a_sealed_task_is_one_finding_that_tells_nothing_of_it(added: str) -> None:
    assert lint(SEED + added, parent=SEED, tasks=TASKS[1:], sealed=TASKS[:1]) == [SEALED]
    assert lint(SEED + added, parent=SEED + added, tasks=TASKS[1:], sealed=TASKS[:1]) == []


def test_what_train_tasks_say_too_is_no_sealed_knowledge() -> None:
    """Else the boilerplate of a suite, which the meta-agent reads in every trace, would be refused for no reason it could see."""
    head = "Work in the folder and leave your answer in the-agreed-file.json, whatever it is that you were asked to do."
    tasks = [(f"task-{n:03}", f"{head} The subject is number {n}.") for n in range(20)]
    assert lint(f"H = {head!r}\n{SEED}", parent=SEED, tasks=tasks[:19], sealed=tasks[19:]) == []
    alone = [(id_, "An instruction of its own.") for id_, _ in tasks[:19]]
    assert lint(f"H = {head!r}\n{SEED}", parent=SEED, tasks=alone, sealed=tasks[19:]) == [SEALED]


def test_a_file_that_does_not_parse_is_linted_as_far_as_it_reads() -> None:
    assert lint("def (:\n# fix_parser_017\n", parent="", tasks=TASKS) != []


@given(st.text(max_size=200))
def test_the_lint_takes_any_text(text: str) -> None:
    assert isinstance(lint(text, parent=SEED, tasks=TASKS), list)


def test_the_lint_is_quick_on_a_large_suite() -> None:
    tasks = [(f"task-{n:04}", " ".join(f"w{n}x{m}" for m in range(300))) for n in range(400)]
    started = time.process_time()
    assert lint(SEED + "\nX = 1\n", parent=SEED, tasks=tasks) == []
    assert time.process_time() - started < 2 * slowness()


LINES = st.lists(st.sampled_from(["a\n", "b\n", "    c\n", "\n", "d"]), max_size=12).map("".join)


@given(LINES.filter(bool), LINES)
def test_the_hunks_between_two_texts_turn_one_into_the_other(before: str, after: str) -> None:
    hunks = hunks_between(before, after)
    assert bool(hunks) == (before != after)
    assert not hunks or apply_edit(before, hunks) == after


def test_the_hunks_between_two_texts_are_as_small_as_their_place_is_plain() -> None:
    before = "x = 1\ny = 1\nz = 1\ny = 1\nw = 1\n"
    assert hunks_between(before, before.replace("z = 1", "z = 2")) == (Hunk("z = 1\n", "z = 2\n"),)
    second = "x = 1\ny = 1\nz = 1\ny = 2\nw = 1\n"
    assert hunks_between(before, second) == (Hunk("z = 1\ny = 1\nw = 1\n", "z = 1\ny = 2\nw = 1\n"),)
    assert apply_edit("# newer\n" + before, hunks_between(before, second)) == "# newer\n" + second
    top = before.splitlines(keepends=True)[0]
    assert hunks_between(before, "# first\n" + before) == (Hunk(top, "# first\n" + top),)


def test_a_prompt_file_beside_agent_py_is_not_in_the_jail_and_the_line_that_wants_it_is_named() -> None:
    problem = """Traceback (most recent call last):
  File "/tmp/harness/lorimer/harness/host.py", line 220, in load_file
  File "/tmp/harness/agent.py", line 3, in <module>
  File "/usr/lib/python3.12/pathlib.py", line 1027, in read_text
FileNotFoundError: [Errno 2] No such file or directory: '/tmp/harness/prompts/system.md'
"""
    assert why_not_started(problem) == (
        "FileNotFoundError: [Errno 2] No such file or directory: '/tmp/harness/prompts/system.md' (line 3); "
        "the jail has no file but agent.py: what it reads must stand in it, as a prompt does in a string"
    )
    assert why_not_started("ZeroDivisionError: division by zero\n") == "ZeroDivisionError: division by zero"
    assert why_not_started("") == "it gave no reason"
