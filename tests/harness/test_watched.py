"""Which lines tell whether a hunk fired."""

from __future__ import annotations

import textwrap

import pytest

from lorimer.harness.version import Hunk, apply_edit
from lorimer.harness.watched import Watched, watched

SEED = textwrap.dedent('''
    """A harness."""
    import json

    RULES = "Be brief."
    PROMPT = RULES + " Work."
    UNUSED = "nothing"
    BY_NAME = "found by its name"
    LIMIT = 5


    class Notes:
        most = 3

        def add(self, text):
            self.text = text[: self.most]  # most


    def ask(llm, prompt=PROMPT):
        """Ask."""
        return llm.complete([], system=prompt)  # ask


    def solve(task, env, llm):
        LIMIT = 2
        for turn in range(LIMIT):
            answer = ask(llm)  # solve
            if answer.text:
                return answer.text  # text
            else:
                env.exec("true")  # else
        try:
            env.exec("false")
        except ValueError:
            return "broken"  # except
        return globals()["BY_NAME"]  # end
''').lstrip("\n")


def look(*hunks: tuple[str, str]) -> tuple[tuple[Watched, ...], str]:
    edit = [Hunk(*each) for each in hunks]
    text = apply_edit(SEED, edit)
    return watched(SEED, edit, text), text


def told(*hunks: tuple[str, str]) -> list[str]:
    """For each hunk the marks of the lines that are watched, or why it cannot be told."""
    found, text = look(*hunks)
    lines = text.split("\n")
    return [
        each.unknown or " ".join(lines[n - 1].rsplit("# ", 1)[-1].strip() for n in sorted(each.lines)) for each in found
    ]


@pytest.mark.parametrize(
    ("search", "replace", "seen"),
    [
        ('env.exec("true")  # else', 'env.exec("date")  # else', "else"),
        ("Be brief.", "Be thorough.", "ask"),  # a text that a prompt is made of, which is a default of `ask`
        ("most = 3", "most = 4", "most"),
        ("def ask(llm, prompt=PROMPT):", "def ask(llm, prompt=PROMPT, most=1):", "ask"),
        ("except ValueError:", "except KeyError:", "except"),
        ('UNUSED = "nothing"', 'UNUSED = "more"', ""),
        ("LIMIT = 5", "LIMIT = 6", ""),  # `solve` has a name of its own that is spelled so
        ('"""Ask."""', '"""Ask it."""', "it changes a docstring"),
        ("import json\n", "import json  # for later\n", "it changes comments and layout alone"),
        ("import json\n", "import re\n", ""),
        ('BY_NAME = "found by its name"', 'BY_NAME = "found so"', "BY_NAME may be looked up by name"),
        ('RULES = "Be', '# A rule.\nRULES = "Be', "it changes comments and layout alone"),
        ("    try:\n", "    # Then.\n    try:\n", "it changes comments and layout alone"),
    ],
)
def test_a_hunk_is_told_by_what_runs_because_of_it(search: str, replace: str, seen: str) -> None:
    assert told((search, replace)) == [seen]


def test_lines_that_are_taken_away_are_told_by_those_around_them() -> None:
    (found,), text = look(("    LIMIT = 2\n", ""))
    assert text.split("\n")[min(found.lines) - 1].strip() == "for turn in range(LIMIT):"


def test_at_the_top_level_lines_that_are_taken_away_tell_nothing() -> None:
    assert told(('UNUSED = "nothing"\n', "")) == ["it only takes lines away"]


def test_each_hunk_is_told_by_itself_wherever_the_others_move_it() -> None:
    long = "import json\nimport re\n\nTABLE = {\n    1: 2,\n}\n"
    found = told(
        ('env.exec("true")  # else', 'env.exec("date")  # now else'),
        ("import json\n", long),
        ("return globals()", "return str(1) or globals()"),
    )
    assert found == ["now else", "", "end"]


def test_a_new_function_fires_where_it_is_called() -> None:
    new = "def short(text):\n    return text[:10]  # short\n\n\ndef solve("
    assert told(("def solve(", new)) == ["short"]


def test_a_branch_that_is_added_is_told_by_its_condition_too() -> None:
    new = '        answer = ask(llm)  # solve\n        if answer.error:\n            return ""  # error\n'
    (found,), text = look(("        answer = ask(llm)  # solve\n", new))
    lines = text.split("\n")
    assert [lines[n - 1].strip() for n in sorted(found.lines)] == ["if answer.error:", 'return ""  # error']


def test_of_another_text_nothing_is_told() -> None:
    hunk = Hunk("# end", "# the end")
    why = "the edit cannot be laid beside the text that ran"
    assert watched(SEED, [hunk], SEED) == (Watched(unknown=why),)
    assert watched("", [hunk], SEED) == (Watched(unknown=why),)
    assert watched("def solve(:", [Hunk("(", "((")], "def solve((:") == (Watched(unknown=why),)
