"""What records answered in a study's trials, which was not paid for again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import Replayed, Saved, TrialEnd, TrialState, Used
from lorimer.traces.writing.store import Store
from tests.traces.support import end, start


def went_on(name: str, usd: float | None, state: TrialState = TrialState.SCORED, whole: str = "") -> TrialEnd:
    """The end of a trial of which a record answered two calls."""
    saved = Used() if whole else Used(2, 100, 20, 0, usd)
    return replace(end(name, 1.0), state=state, replayed=Replayed("s/x", 3, saved, 4.5, whole))


async def test_a_study_knows_what_its_records_saved(tmp_path: Path) -> None:
    ends = {
        "a": went_on("a", 0.25),
        "b": went_on("b", None),
        "c": went_on("c", 0.5, whole="a command says something else"),
        "d": went_on("d", 0.5, state=TrialState.ERRORED),
        "e": end("e", 1.0),
    }
    with Store.open(tmp_path / "t.db") as store:
        for task, how in ends.items():
            begun = start(task)
            store.open_trial(begun)
            await store.close_trial(replace(how, id=begun.id))
        saved = StoreReader(store).spent("s").saved
        assert StoreReader(store).spent("other").saved == Saved()
    # What ran whole, and what errored and is run again, saved nothing.
    assert saved == Saved(trials=2, calls=4, tokens=240, known_usd=0.25, unknown=2, seconds=9.0)
    assert saved == sum((Saved.of(ends[name].replayed) for name in "abce"), start=Saved())


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        (Saved(1, 2, 120, 0.0123, 0, 4.4), "$0.0123, 120 tokens and 4 s of waiting, by recorded answers in 1 trial"),
        (
            Saved(12, 80, 45120, 3.5, 7, 300.0),
            "$3.50 and 7 calls of unknown price, 45,120 tokens and 300 s of waiting, by recorded answers in 12 trials",
        ),
        (
            Saved(2, 7, 9, 0.0, 7, 1.0),
            "7 calls of unknown price, 9 tokens and 1 s of waiting, by recorded answers in 2 trials",
        ),
    ],
)
def test_what_was_saved_is_said_in_a_clause(saved: Saved, said: str) -> None:
    assert str(saved) == said
