"""A cut through a secret leaves no part of it that is worth something."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from pathlib import Path

import pytest

from lorimer.harness.seeds import blocks, react
from lorimer.sandbox import streams
from lorimer.task_agent.output import cut, kept_text
from lorimer.traces.halves import LEAST, LEAST_UNSAID
from lorimer.traces.scrub import MASK, Cleaner, scrub_json, scrubber

SECRET = "Zq7-" + string.ascii_letters
"""Of no known shape, and no piece of it stands elsewhere in these texts."""
LIMIT = 200

Cut = Callable[[str], str]


def by_the_sandbox(text: str) -> str:
    return kept_text(*streams.cut(text.encode(), LIMIT))


def by_the_trace(text: str) -> str:
    return cut(text, LIMIT)


def as_json(text: str) -> str:
    return json.dumps({"stdout": by_the_trace(text), "exit": 0})


def in_silence(text: str) -> str:
    return text[:LIMIT]


def from_its_end_in_silence(text: str) -> str:
    return text[-LIMIT:]


def with_points(text: str) -> str:
    return f"{text[:LIMIT]}... and more"


def longest(secret: str, text: str) -> int:
    """Characters of the longest piece of a secret in a text."""
    pieces = ((start, size) for size in range(len(secret), 0, -1) for start in range(len(secret) - size + 1))
    return next((size for start, size in pieces if secret[start : start + size] in text), 0)


def places(made: Cut) -> list[str]:
    """Long outputs with the secret at every place, cut."""
    filler = 3 * LIMIT
    return [made("0" * before + SECRET + "0" * (filler - before)) for before in range(filler)]


@pytest.mark.parametrize("made", [by_the_sandbox, by_the_trace, as_json])
def test_where_a_cut_is_said_fewer_than_eight_characters_of_a_known_secret_stay(made: Cut) -> None:
    scrub = scrubber([SECRET])
    assert max(longest(SECRET, text) for text in places(made)) == len(SECRET)
    assert max(longest(SECRET, scrub(text)) for text in places(made)) == LEAST - 1


@pytest.mark.parametrize("made", [in_silence, from_its_end_in_silence, with_points])
def test_where_a_harness_cuts_in_silence_fewer_than_sixteen_stay(made: Cut) -> None:
    scrub = scrubber([SECRET])
    assert max(longest(SECRET, scrub(text)) for text in places(made)) == LEAST_UNSAID - 1


@pytest.mark.parametrize(
    "mark", ["\n[output cut]", "\n[middle of the output cut]\n", "\n... (truncated)\n", "<12 lines omitted>"]
)
def test_the_marks_that_harnesses_write_are_known(mark: str) -> None:
    said = f"key={SECRET[:20]}{mark}{SECRET[-20:]} is it"
    assert scrubber([SECRET])(said) == f"key={MASK}{mark}{MASK} is it"


def test_the_seeds_write_such_marks() -> None:
    for seed, mark in ((react, "[output cut]"), (blocks, "[middle of the output cut]")):
        assert mark in Path(str(seed.__file__)).read_text()


def test_a_character_that_was_cut_too_hides_nothing() -> None:
    secret = "pässwörter-für-ünsere-öfen"
    for before in range(3 * LIMIT):
        said = by_the_sandbox("0" * before + secret + "0" * (3 * LIMIT - before))
        assert longest(secret, scrubber([secret])(said)) < LEAST


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a sk-a1b2c\n[... 9 bytes dropped ...]\nd3e4f5 b", f"a {MASK}\n[... 9 bytes dropped ...]\n{MASK} b"),
        ("sk-" + "a1" * 12 + "\n[... 9 bytes dropped ...]\nd3 b", f"{MASK}\n[... 9 bytes dropped ...]\n{MASK} b"),
        ("k ghp_a1b2\n[output cut]", f"k {MASK}\n[output cut]"),
        ("Authorization: Bearer a1b2c3\n[output cut]", f"Authorization: Bearer {MASK}\n[output cut]"),
        ("postgresql://me:hunter2\n[output cut]", f"postgresql://me:{MASK}\n[output cut]"),
    ],
)
def test_a_key_whose_beginning_tells_what_it_is_is_masked_up_to_a_cut_and_after_it(text: str, clean: str) -> None:
    assert scrubber()(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "a password\nand passwords",
        "password123 has a beginning: password",
        "it listens at http://localhost:8080\n[output cut]",
        "a task\n[... 9 bytes dropped ...]\nd3e4f5 b",
        f"{SECRET[: LEAST_UNSAID - 1]}\n",
        f"the first of it, {SECRET[:30]}, goes on",
        f"{MASK}\n[... 9 bytes dropped ...]\nsome words",
    ],
)
def test_honest_text_stays_as_it_is(text: str) -> None:
    assert scrubber(["password123456", SECRET])(text) == text


@pytest.mark.parametrize("made", [by_the_sandbox, by_the_trace, in_silence, from_its_end_in_silence])
def test_a_value_that_is_looked_at_as_json_is_masked_as_string_by_string(made: Cut) -> None:
    scrub = scrubber([SECRET])
    for text in places(made):
        assert Cleaner(scrub).json({"stdout": text}) == scrub_json({"stdout": text}, scrub)


def test_scrubbing_twice_changes_nothing() -> None:
    scrub = scrubber([SECRET])
    for text in places(by_the_trace):
        assert scrub(scrub(text)) == scrub(text)
