"""Who was champion after whom, and the grid of pairings."""

from __future__ import annotations

import asyncio
import copy
import re

from bench.made_store import STUDY
from lorimer.dashboard.shelf import Shelf
from lorimer.dashboard.views import lineage
from lorimer.meta_agent.pairings import page, spec
from lorimer.meta_agent.state.names import About, evaluation_id, short
from lorimer.meta_agent.state.world import scan
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.traces.schema import Purpose, Stage
from lorimer.traces.tables import DecisionRow, StudyRow, TaskRow
from lorimer.traces.writing.holder import this_process
from lorimer.traces.writing.store import Store
from tests.dashboard.conftest import Served

GRID = """\
name = "pairs"
task = ["simulated/apprentice", "simulated/expert"]
meta = ["simulated/apprentice", "simulated/expert"]
searches = 1
[budget]
trials = 4000
"""


def read(served: Served) -> lineage.Lineage:
    return lineage.read(served.reader, Shelf(served.reader, served.root).open(STUDY))


def decided(about: About, kind: str, reason: str, made: str) -> DecisionRow:
    return DecisionRow(
        id=evaluation_id(STUDY, about), study=STUDY, subject=about.subject, stage=about.stage.value,
        purpose=about.purpose.value, met=about.met, kind=kind, reason=reason, numbers={}, policy={}, made=made,
    )  # fmt: skip


def test_the_lineage_tells_champions_with_their_entries_in_the_chain(served: Served) -> None:
    (promoted,) = scan(served.reader, STUDY).promoted
    found = read(served)
    assert [number for number, _ in found.line] == [promoted.number]
    (event,) = found.events
    (entry,) = served.reader.chain(STUDY, "promotion")
    assert (event.kind, event.number, event.entry, event.stands) == ("promoted", promoted.number, entry.number, True)
    said = served.page(f"/s/{STUDY}/lineage")
    assert f"entry {entry.number} of the audit chain, sealed <code>{entry.hash[:12]}</code>" in said
    assert f"commit <code>{event.commit[:12]}</code>" in said
    assert "Today's champion rests on 1 edit, each of the harness before it: " in said


def test_reviews_reverts_pauses_and_changed_settings_stand_in_the_lineage_in_order(served: Served) -> None:
    (promoted,) = scan(served.reader, STUDY).promoted
    config = copy.deepcopy(served.reader.study(STUDY).config)
    config["budget"]["candidates"] = 123456

    async def happen() -> None:
        with Store.open(served.root / STORE) as store:
            about = About(promoted.id, Stage.REVIEW)
            await store.add_decision(decided(about, "pass", "approved by Ada", "2001-01-01T00:00:00+00:00"))
            about = About("", Stage.REVIEW, Purpose.REVERTED, 9)
            said = "the seed harness is the champion again, by Ada: it was slower"
            await store.add_decision(decided(about, "pass", said, "2999-01-01T00:00:00+00:00"))
            await store.set_settings(STUDY, served.reader.study(STUDY).config, config)
            await store.claim(STUDY, this_process())
            await store.ask_pause(STUDY, "Ada", "The night is over.")
            await store.release(STUDY, this_process())

    asyncio.run(happen())
    found = read(served)
    assert [event.kind for event in found.events] == ["approved", "promoted", "settings", "pause", "reverted"]
    assert found.line == (), "the seed harness holds again"
    assert [event.stands for event in found.events if event.kind == "promoted"] == [False]
    said = served.page(f"/s/{STUDY}/lineage")
    assert "it was slower" in said
    assert "no longer in the champion&#39;s line" in said or "no longer in the champion's line" in said
    assert "budget.candidates from 100000 to 123456" in said
    assert "<b>a pause was asked for</b>" in said
    assert "by Ada: The night is over." in said
    assert short(promoted.number) in said


def test_the_grid_of_pairings_is_shown_with_its_contrast_and_links(served: Served) -> None:
    assert "/pairings" not in served.page("/")
    assert "pairings.toml: no such file" in served.page("/pairings", 404)
    (served.root / spec.FILE).write_text(GRID)
    assert "no search of the grid pairs has begun here" in served.page("/pairings", 404)
    wanted = spec.read(served.root, {})
    kept = ", ".join(f'"{name}"' for name in StudyRow.model_fields if name not in ("id", "state"))
    copied = ", ".join(f'"{name}"' for name in TaskRow.model_fields if name != "study")
    for each in wanted.plan:
        served.change(
            f"INSERT INTO study (id, state, {kept}) SELECT ?, 'finished', {kept} FROM study WHERE id = ?",
            each.study,
            STUDY,
        )
        served.change(
            f"INSERT INTO task (study, {copied}) SELECT ?, {copied} FROM task WHERE study = ?", each.study, STUDY
        )
    assert 'href="/pairings"' in served.page("/")
    said = served.page("/pairings")
    for each in wanted.plan:
        assert f'<a href="/s/{each.study}">{each.study}</a>' in said
    assert len(re.findall(r'<circle class="(?:same|cross)"', said)) == 4
    assert page.HEAD[-1] in said
    assert " style=" not in said
