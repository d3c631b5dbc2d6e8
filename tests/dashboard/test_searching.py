"""Search across a study's trajectories, and what its gate can find."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from urllib.parse import quote

import pytest

from bench.made_store import STUDY
from lorimer.dashboard.shelf import Shelf
from lorimer.dashboard.views import searching
from lorimer.meta_agent.workspace.repository import STORE
from tests.dashboard.conftest import Served, quickly_forecast
from tests.dashboard.test_hostile import FOREIGN, PAYLOADS, Elements


def test_a_search_leads_to_the_steps_that_hold_the_words(served: Served) -> None:
    opened = Shelf(served.reader, served.root).open(STUDY)
    found = searching.search(served.reader, opened, "pytest")
    assert (len(found.matches), found.more) == (searching.MOST, True)
    for match in found.matches:
        assert "[pytest]" in match.snippet
        assert served.reader.steps(match.owner, match.step, match.step)[0].kind == match.kind
    with closing(sqlite3.connect(served.root / STORE)) as store:
        newest = store.execute(
            "SELECT owner, \"index\" FROM step WHERE text LIKE '%pytest%' ORDER BY id DESC"
        ).fetchall()
    shown = [(match.owner, match.step) for match in found.matches]
    assert shown == [each for each in newest if each in shown], "the newest step first"
    page = served.page(f"/s/{STUDY}/search?q=pytest")
    first = found.matches[0]
    assert f"of={quote(first.owner, safe='')}&amp;at={first.step}#step-{first.step}" in page
    assert "50 or more steps hold them" in page
    assert "No step holds them" in served.page(f"/s/{STUDY}/search?q=nobodysaidthis")
    assert "hold them" not in served.page(f"/s/{STUDY}/search")


def test_sealed_trials_are_found_when_the_study_has_finished_and_not_before(served: Served) -> None:
    holdout = {row.id for row in served.reader.tasks(STUDY, split="holdout")}

    def tasks() -> set[str]:
        opened, found = Shelf(served.reader, served.root).open(STUDY), set[str]()
        for task in holdout:
            step = served.reader.steps(served.reader.trials(STUDY, task=task, limit=1)[0].id, 1, 1)[0]
            found |= {
                match.task for match in searching.search(served.reader, opened, str(step.data["command"])).matches
            }
        return found & holdout

    assert tasks() == set()
    served.change("UPDATE study SET state = 'finished' WHERE id = ?", STUDY)
    assert tasks() == holdout


@pytest.mark.parametrize("payload", PAYLOADS)
def test_whatever_is_searched_for_stays_text(served: Served, payload: str) -> None:
    said = served.page(f"/s/{STUDY}/search?q={quote(payload)}")
    found = Elements()
    found.feed(said)
    assert not found.tags & (FOREIGN - {"form", "input"})
    assert said.count("<script") == 1
    assert [name for name, _ in found.attributes if name.startswith("on")] == []
    assert ("value", payload.strip()) in [(name, value.strip()) for name, value in found.attributes]


def test_the_power_of_a_study_is_worked_out_once_and_drawn(served: Served) -> None:
    quickly_forecast(served)
    first = served.page(f"/s/{STUDY}/power")
    assert f'data-later="/s/{STUDY}/power?part=live"' in first, "it takes seconds, so the page does not wait for it"
    part = served.page(f"/s/{STUDY}/power?part=live")
    assert "<html" not in part
    assert "An edit without effect is promoted in" in part
    assert "(A/A)" in part
    assert 'class="chart"' in part
    assert part.strip() in served.page(f"/s/{STUDY}/power"), "from then on it stands in the page"
    assert "80% of the time" in part


def test_a_study_without_a_trial_says_that_nothing_is_known(served: Served) -> None:
    for row in served.reader.sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").rows:
        served.change(f'DROP TRIGGER "{row[0]}"')  # which keep finished rows as they are
    served.change("UPDATE trial SET state = 'errored', reward = NULL")
    said = served.page(f"/s/{STUDY}/power?part=live")
    assert f"{STUDY} has no scored trial of its champion yet" in said
