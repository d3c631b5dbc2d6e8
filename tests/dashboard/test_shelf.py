"""What the dashboard keeps of a study grows by what was stored since, and is what a scan of everything finds."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lorimer.dashboard.shelf import Shelf
from lorimer.meta_agent.state.folding import state_after
from lorimer.meta_agent.state.names import About
from lorimer.meta_agent.state.world import scan
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import Purpose, Stage
from lorimer.traces.tables import DecisionRow
from lorimer.traces.writing.store import Store
from tests.meta_agent.test_folding import Event, answers, decision, stories
from tests.traces import support as make


@settings(max_examples=8, deadline=None)
@given(stories(), st.data())
def test_a_study_that_was_open_before_is_what_a_fresh_scan_finds(story: list[Event], data: st.DataObject) -> None:
    """Promotions, reverts, rejections and rebased edits, looked at after any of them and not after others."""
    looked = data.draw(st.lists(st.booleans(), min_size=len(story), max_size=len(story)))

    async def through(root: Path) -> None:
        with Store.open(root / "traces.db") as store:
            await store.create_study(
                make.study(), [make.task("t1"), make.task("t2", position=1, split="holdout")], "text"
            )
            reader = StoreReader(store)
            shelf, states = Shelf(reader, root), dict[str, str]()
            shelf.open("s")
            for row, look in zip(story, looked, strict=True):
                if isinstance(row, DecisionRow):
                    ended = state_after(About.of(row), row.kind)
                    await store.add_decision(row, ended)
                    states[row.subject] = ended or states.get(row.subject, "")
                elif row.id not in states:
                    await store.add_candidate(row)
                    states[row.id] = row.state
                else:
                    changes: dict[str, Any] = {"state": row.state, "failure": row.failure}
                    await store.update_candidate(row.id, states[row.id], **changes)
                    states[row.id] = row.state
                if look:
                    shelf.open("s")
            found, fresh = shelf.open("s"), scan(reader, "s")
            assert answers(found.world) == answers(fresh)
            assert found.world == fresh
            assert [each.model_dump() for each in found.candidates] == [
                each.model_dump() for each in reader.candidates("s")
            ]

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(through(Path(folder)))


def test_a_store_that_was_put_in_the_place_of_another_is_read_anew(tmp_path: Path) -> None:
    """Fewer decisions than before: nothing of what was kept is taken over."""

    async def study(path: Path, decided: int) -> None:
        with Store.open(path) as store:
            await store.create_study(make.study(), [make.task("t1")], "text")
            for number in range(decided):
                await store.add_decision(decision(About("", Stage.FULL, Purpose.AGE, number), "pass"))

    path = tmp_path / "traces.db"
    asyncio.run(study(path, 3))
    shelf = Shelf(StoreReader(path), tmp_path)
    assert len(shelf.open("s").world.decisions) == 3
    path.unlink()
    asyncio.run(study(path, 1))
    assert len(shelf.open("s").world.decisions) == 1
