"""The page says what the suite runs."""

from __future__ import annotations

from tests.hostile import attempts
from tests.hostile.cheats import CHEATS
from tests.hostile.endings import ENDINGS
from tests.hostile.page import PAGE, page
from tests.hostile.table import QUICK


def test_the_page_is_as_the_tables_make_it() -> None:
    """If this fails: python -m tests.hostile.page."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_attempt_is_in_the_table_and_the_other_way_round() -> None:
    assert sorted(case.name for case in QUICK) == sorted(attempts.ATTEMPTS)
    assert all(case.tried and case.outcome and case.docker and case.bubblewrap for case in QUICK)


def test_there_are_as_many_as_were_promised() -> None:
    assert len(QUICK) + len(ENDINGS) >= 50
    assert len(CHEATS) >= 20
    names = [*(case.name for case in QUICK), *(ending.name for ending in ENDINGS), *(cheat.name for cheat in CHEATS)]
    assert len(set(names)) == len(names)
