"""What an edit changes in a harness, read from its text."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.harness.changed import ChangedText, changed_lines, changed_texts, code_lines, never_named, same_code

BEFORE = '''# é
SYSTEM = """Solve the task.
Use the tool."""
NUDGE: str = "Go on."
TURNS = 30
SHELL = Tool("shell", "Run a command.", {"type": "object"})


def solve(task, env, llm):
    return llm.complete([user(NUDGE)], system=SYSTEM).text
'''


def names(before: str, after: str) -> list[str]:
    return [each.name for each in changed_texts(before, after)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Use the tool.", "Use it.", ["SYSTEM"]),
        ('"Go on."', '("Go on, " "please.")', ["NUDGE"]),
        ("Run a command.", "Run one.", ["SHELL"]),
        ("TURNS = 30", "TURNS = 20", []),
        ('"Go on."', "'Go on.'", []),
        ("TURNS = 30", 'TURNS = 30\nMORE = "More."', ["MORE"]),
        ("return llm", 'return "" or llm', []),
        ("Use the tool.", "Use it.\nNow.", ["SYSTEM"]),
        ("def solve", "def (", []),
    ],
)
def test_a_text_is_named_where_it_differs(old: str, new: str, expected: list[str]) -> None:
    assert old in BEFORE
    assert names(BEFORE, BEFORE.replace(old, new)) == expected


def test_one_text_alone_is_changed_and_one_alone_is_left() -> None:
    after = BEFORE.replace("Use the tool.", "Use ü.").replace("Go on.", "Stop.").replace("TURNS = 30", "TURNS = 9")
    first, second = changed_texts(BEFORE, after)
    assert first == ChangedText(
        "SYSTEM", BEFORE.replace("Use the tool.", "Use ü."), after.replace("Use ü.", "Use the tool.")
    )
    assert second == ChangedText("NUDGE", BEFORE.replace("Go on.", "Stop."), after.replace("Stop.", "Go on."))
    (added,) = changed_texts(BEFORE, BEFORE + 'LATER = "x"\n')
    assert added == ChangedText("LATER", "", "")


def test_a_text_is_found_behind_odd_line_ends_and_on_one_line_with_others() -> None:
    before = '#\u2028\x0c\r\nA = 1; B = "é one"; C = 2\r\nD = "two"\r\n'
    after = before.replace("one", "1").replace("two", "2")
    assert [(each.name, each.alone) for each in changed_texts(before, after)] == [
        ("B", before.replace("one", "1")),
        ("D", before.replace("two", "2")),
    ]


def test_a_name_that_is_assigned_twice_is_left_out() -> None:
    before = 'A = "one"\nA = "two"\n'
    assert changed_texts(before, before.replace("two", "three")) == ()


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ("def retry():\n    pass\n", ("retry",)),
        ("def retry():\n    pass\nretry()\n", ()),
        ("class Plan:\n    pass\nLATER = 3\n", ("Plan", "LATER")),
        ("@register\ndef retry():\n    pass\n", ()),
        ("def retry():\n    pass\nglobals()['retry']\n", ()),
        ("(", ()),
    ],
)
def test_what_nothing_names_is_found(added: str, expected: tuple[str, ...]) -> None:
    assert never_named(BEFORE, BEFORE + added) == expected


def test_comments_and_layout_are_no_code() -> None:
    assert same_code(BEFORE, BEFORE.replace("# é", "# another\n\n"))
    assert not same_code(BEFORE, BEFORE.replace("30", "31"))
    assert not same_code(BEFORE, BEFORE + "(")
    assert not same_code(BEFORE + "(", BEFORE + "(")


LINES = [
    "x = 1",
    "x = 1.0",
    "x = True",
    "x = '1'",
    "x = b'1'",
    "x = 1  # one",
    "y = 1",
    "x: int = 1",
    "x",
    "del x",
    "x = [y, 1]",
    "x; y",
    "x; y; x = 1",
    "@x\ndef y(): x",
    "@y\ndef y(): x",
    "@y\ndef y(): x; y",
]


@given(st.lists(st.sampled_from(LINES), max_size=3), st.lists(st.sampled_from(LINES), max_size=3))
def test_two_texts_have_the_same_code_where_python_writes_their_trees_alike(one: list[str], other: list[str]) -> None:
    before, after = "\n".join(one), "\n".join(other)
    assert same_code(before, after) == (ast.dump(ast.parse(before)) == ast.dump(ast.parse(after)))


def test_lines_are_those_that_python_counts() -> None:
    text = "a = 1\r\nb = 2\rc = '\x0c\u2028'\n\nd = 4"
    assert code_lines(text) == ["a = 1\r\n", "b = 2\r", "c = '\x0c\u2028'\n", "\n", "d = 4"]
    assert [node.lineno for node in ast.parse(text).body] == [1, 2, 3, 5]


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        ("a\nb\nc\n", "a\nb\nc\n", 0),
        ("a\nb\nc\n", "a\nx\nc\n", 1),
        ("a\nb\nc\n", "a\nx\ny\nc\n", 2),
        ("a\nb\nc\n", "a\nc\n", 1),
        ("a\nb\nc\n", "a  \n\n\nb\nc", 0),
        ("a\nb\nc\n", "z\nb\ny\n", 2),
        ("a\n  b\n", "a\nb\n", 1),
        ("", "a\nb\n", 2),
    ],
)
def test_lines_that_an_edit_changes_are_counted_without_empty_ones(before: str, after: str, count: int) -> None:
    assert changed_lines(before, after) == count
    assert changed_lines(after, before) == count


def test_two_texts_of_thousands_of_equal_lines_are_counted_without_matching_them() -> None:
    assert changed_lines("a\n" + "x\n" * 30_000, "x\n" * 29_000 + "b\n") == 30_001
