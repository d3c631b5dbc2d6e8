"""What counts as the right answer, and what does not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.benchmarks.base import Grader
from lorimer.benchmarks.hf.answers import Choice, Exact, Extraction, NoReference, Numeric, Regex, last_number, number
from lorimer.config.rows import Extract
from lorimer.errors import SandboxError


def reward(grader: Grader, answer: str) -> float:
    return asyncio.run(grader.grade(answer, 20.0)).reward


# ---- which part of a text is the answer -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text", "part"),
    [
        ("all", "  two words \n", "two words"),
        ("all", " \n", None),
        ("last-line", "First\n\n the last \n \n", "the last"),
        ("last-number", "3 of 40, so $1,234.50.", "$1,234.50"),
        ("last-number", "none at all", None),
        ("marker", "#### 1\nno wait\n#### 42\nbye", "42"),
        ("marker", "so it is ####\n 42", "42"),
        ("marker", "42", None),
        ("marker", "#### \n ", None),
        ("tag", "<answer>1</answer> or <answer> two\nlines </answer>.", "two\nlines"),
        ("tag", "<answer>open", None),
        ("tag", "</answer><answer>", None),
        ("boxed", r"\boxed{1} then $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        ("boxed", r"\boxed{1", None),
    ],
)
def test_the_part_that_counts(kind: Extract, text: str, part: str | None) -> None:
    assert Extraction(kind)(text) == part


def test_an_answer_without_the_part_says_what_it_lacks_and_not_the_reference() -> None:
    grade = asyncio.run(Exact(("Paris",), Extraction("marker")).grade("Paris", 1.0))
    assert (grade.reward, grade.note) == (0.0, "the answer holds nothing after '####'")
    assert "reference: Paris" in grade.output


# ---- exact ----------------------------------------------------------------------------------------------------------


def test_how_a_file_ends_its_lines_is_no_part_of_an_answer() -> None:
    assert reward(Exact(("red\r\nblue",)), "red\nblue\n") == 1.0
    assert reward(Exact(("red\nblue",)), "red\r\nblue\r\n") == 1.0
    assert reward(Exact(("red\r\nblue",)), "red blue") == 0.0


@pytest.mark.parametrize(
    ("ignore", "answer", "right"),
    [
        ((), " The Old Man \n", 1.0),
        ((), "the old man", 0.0),
        (("case",), "THE OLD MAN", 1.0),
        (("case",), "the  old man", 0.0),
        (("whitespace",), "The\n Old  Man", 1.0),
        (("punctuation",), "“The Old Man!”", 1.0),
        (("articles", "case"), "old man", 1.0),
        (("articles", "case"), "old woman", 0.0),
        (("case", "articles", "punctuation"), "An old, man.", 1.0),
    ],
)
def test_exact_ignores_what_it_is_told_to_ignore(ignore: tuple[str, ...], answer: str, right: float) -> None:
    assert reward(Exact(("The Old Man",), ignore=ignore), answer) == right


def test_any_of_several_references_is_right() -> None:
    grader = Exact(("NYC", "New York"))
    assert [reward(grader, text) for text in ("NYC", "New York", "York")] == [1.0, 1.0, 0.0]


def test_one_letter_written_in_two_ways_is_the_same() -> None:
    assert reward(Exact(("caf\u00e9",)), "cafe\u0301") == 1.0


@pytest.mark.parametrize("reference", ["", " ", "the"])
def test_a_reference_that_nothing_is_left_of_is_refused(reference: str) -> None:
    with pytest.raises(NoReference, match="is blank, once case and articles are ignored"):
        Exact((reference,), ignore=("case", "articles"))


# ---- numeric --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234.50", "1234.5"),
        ("1 234", "1234"),
        ("1\u202f234\u00a0567", "1234567"),
        ("$5", "5"),
        ("-$5.00", "-5"),
        ("$-5", "-5"),
        ("€ 7", "7"),
        ("12 %", "12"),
        ("1e5", "100000"),
        ("2.5E-3", "0.0025"),
        (".5", "0.5"),
        ("5.", "5"),
        ("**42**", "42"),
        ("\u22123", "-3"),
        ("1,23", None),
        ("12,34,567", None),
        ("--3", None),
        ("1e999", None),
        ("9" * 400, None),
        ("5 apples", None),
        ("nan", None),
        ("inf", None),
        ("", None),
    ],
)
def test_a_number_is_read_as_people_write_it(text: str, value: str | None) -> None:
    assert number(text) == (None if value is None else Decimal(value))


def test_a_decimal_comma_and_hundredths_are_asked_for() -> None:
    assert number("1.234,5", ",") == Decimal("1234.5")
    assert number("1,234.5", ",") is None
    assert number("12%", percent="hundredths") == Decimal("0.12")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("so 42.", "42"),
        ("on 2023-11-21", "21"),
        ("x=-5", "-5"),
        ("10-5", "5"),
        ("version v1.5", None),
        ("5 100-gram bags", "100"),
        ("a rate of 12%.", "12%"),
        ("(about -$20)", "-$20"),
    ],
)
def test_the_last_number_of_a_text(text: str, found: str | None) -> None:
    assert last_number(text) == found


@pytest.mark.parametrize(
    ("tolerance", "relative", "answer", "right"),
    [
        (0.0, 0.0, "100", 1.0),
        (0.0, 0.0, "100.0000", 1.0),
        (0.0, 0.0, "100.0001", 0.0),
        (0.1, 0.0, "100.1", 1.0),
        (0.1, 0.0, "99.89", 0.0),
        (0.0, 0.01, "101", 1.0),
        (0.0, 0.01, "101.1", 0.0),
        (2.0, 0.01, "102", 1.0),
    ],
)
def test_the_wider_tolerance_holds(tolerance: float, relative: float, answer: str, right: float) -> None:
    assert reward(Numeric(("100",), tolerance=tolerance, relative=relative), answer) == right


def test_what_is_no_number_is_wrong_and_a_reference_that_is_none_is_refused() -> None:
    grade = asyncio.run(Numeric(("1",)).grade("one", 1.0))
    assert (grade.reward, grade.note) == (0.0, "the answer is no number: 'one'")
    with pytest.raises(NoReference, match="'one' is no number"):
        Numeric(("1", "one"))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12))
def test_every_number_is_itself_with_separators_and_currency(value: Decimal) -> None:
    assert reward(Numeric((f"{value}",)), f"${value:,}") == 1.0


@given(st.text())
def test_no_text_breaks_a_grader(text: str) -> None:
    async def rewards() -> set[float]:
        """All of them in one event loop: to make one for each takes longer than to grade."""
        found = set()
        for kind in ("all", "last-line", "last-number", "marker", "tag", "boxed"):
            extract = Extraction(kind)
            graders = (
                Exact(("x",), extract, ("case", "punctuation")),
                Numeric(("1",), extract),
                Choice(("a", "b"), 0, extract),
            )
            for grader in graders:
                found.add((await grader.grade(text, 20.0)).reward)
        return found

    assert asyncio.run(rewards()) <= {0.0, 1.0}


# ---- regex ----------------------------------------------------------------------------------------------------------


def test_a_regular_expression_is_searched_for_or_matches_whole() -> None:
    assert reward(Regex(r"\bcat\b"), "a cat sat") == 1.0
    assert reward(Regex(r"\bcat\b"), "concatenate") == 0.0
    assert reward(Regex(r"cat", fullmatch=True), "a cat sat") == 0.0
    assert reward(Regex(r"ca.", fullmatch=True), "cat") == 1.0


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(", "is no regular expression: missing"),
        ("a*", "'a\\*' matches an empty answer"),
        ("", "matches an empty answer"),
    ],
)
def test_a_pattern_that_cannot_tell_is_refused(pattern: str, problem: str) -> None:
    with pytest.raises(NoReference, match=problem):
        Regex(pattern)


async def test_an_answer_that_makes_matching_endless_ends_with_its_time() -> None:
    with pytest.raises(TimeoutError):
        await Regex(r"(a+)+b").grade("a" * 64, 0.5)


async def test_a_matcher_that_is_killed_says_nothing_of_the_answer() -> None:
    work = asyncio.create_task(Regex(r"(a+)+b").grade("a" * 64, 60.0))
    matchers: list[int] = []
    while not matchers:  # it is started out of sight
        await asyncio.sleep(0.02)
        matchers = _children()
    for pid in matchers:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(SandboxError, match="the process that matches an answer was ended by signal 9"):
        await work


def _children() -> list[int]:
    """Processes of this one that match answers."""
    found = []
    for pid in Path("/proc/thread-self/children").read_text().split():
        with contextlib.suppress(OSError):
            if b"re.fullmatch" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


# ---- multiple choice ------------------------------------------------------------------------------------------------

CITIES = Choice(("London", "Paris", "New York"), 1)


@pytest.mark.parametrize(
    "answer",
    [
        *("B", "b", "(B)", "B.", "**B**", "B. Paris", "b) paris", "Paris", "paris.", "Answer: B", "The answer is (B)."),
        "I think so.\nThe correct answer is **B. Paris**.",
        "It is not London.\nAnswer: Paris",
        "Let me see.\n\nB",
        "The answer is B. That is because it is a capital.",
        "First I said the answer is A. Then I thought again: the answer is B",
    ],
)
def test_a_choice_is_named_by_its_letter_or_its_text(answer: str) -> None:
    assert reward(CITIES, answer) == 1.0


@pytest.mark.parametrize(
    "answer",
    ["A", "D", "London", "B. London", "A or B", "a city", "Paris and London", "I do not know", "The answers vary"],
)
def test_another_choice_or_several_are_wrong(answer: str) -> None:
    assert reward(CITIES, answer) == 0.0


def test_choices_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(NoReference, match="the right choice, 'yes', is there twice"):
        Choice(("yes", "Yes.", "no"), 0)
    with pytest.raises(NoReference, match="1 choices; there must be 2 to 26"):
        Choice(("yes",), 0)


def test_a_choice_that_is_a_letter_is_meant_by_its_text_first() -> None:
    assert reward(Choice(("B", "A"), 1), "A") == 1.0
