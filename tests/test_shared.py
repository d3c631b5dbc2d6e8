"""What every room may import: names of processes, and words."""

from __future__ import annotations

import os
import subprocess
import sys

from lorimer.processes import exists, started
from lorimer.terminal.words import table
from lorimer.wording import first_names, visible, visible_line


def test_a_process_is_there_until_it_is_reaped_and_keeps_its_start_whatever_it_is_called() -> None:
    renames = (
        "import ctypes, sys; ctypes.CDLL(None).prctl(15, b') R 1 (', 0, 0, 0); print(flush=True); sys.stdin.readline()"
    )
    child = subprocess.Popen([sys.executable, "-c", renames], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert exists(child.pid)
    before = started(child.pid)
    assert child.stdout is not None
    child.stdout.readline()
    assert started(child.pid) == before
    assert int(before) >= int(started(os.getpid()))
    child.communicate("go\n", timeout=30)
    assert not exists(child.pid)
    assert started(child.pid) == ""


def test_a_number_that_no_process_can_have_is_nobodys() -> None:
    assert not exists(10**20)
    assert started(10**20) == ""


def test_the_first_names_are_told_and_the_others_counted() -> None:
    assert first_names([], 2) == ""
    assert first_names(["a"], 2) == "a"
    assert first_names(["a", "b"], 2) == "a, b"
    assert first_names(("a", "b", "c", "d", "e"), 2) == "a, b and 3 more"


def test_what_a_terminal_would_obey_is_shown_as_an_escape() -> None:
    hostile = "\x1b]0;own\x07\x1b[2J\x9b31m a\tb\r\nc\b \u202ed\u2028 \u05d0\u200d"
    said = r"\x1b]0;own\x07\x1b[2J\x9b31m a" + "\tb" + r"\r" + "\n" + r"c\x08 \u202ed\u2028" + " \u05d0\u200d"
    assert visible(hostile) == said
    assert visible_line("a\r\n\x1bb") == r"a \x1bb"
    assert table(("text",), [("\x1b[2Jfound\nit",)]) == "text\n\\x1b[2Jfound it"
