"""What is exported, from a store filled by hand."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from lorimer.errors import UserError
from lorimer.exports.winner import winner_of
from lorimer.harness.version import sha
from lorimer.meta_agent.reports.evidence import in_short
from lorimer.meta_agent.reports.export import evidence_card, export
from lorimer.traces.base import StudyReader
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import Reservation, Settlement, Used
from lorimer.traces.tables import Candidate, DecisionRow, StudyRow, TaskRow
from lorimer.traces.writing.store import Store

SEED = "def solve(task, env, llm):\n    return 'plain'\n"
BETTER = "def solve(task, env, llm):\n    # look first\n    return 'better'\n"


def study(**changes: Any) -> StudyRow:
    values: dict[str, Any] = {
        "id": "demo",
        "kind": "optimize",
        "created": "2026-01-02T03:04:05+00:00",
        "state": "finished",
        "state_reason": "",
        "seed": 7,
        "task_model": "simulated/apprentice",
        "meta_model": "simulated/apprentice",
        "benchmark": "starter",
        "suite_digest": "d" * 64,
        "config": {
            "gate": {"policy": "paired", "repeats": 2, "champion_repeats": 4, "alpha": 0.1},
            "benchmark": {"source": "starter"},
        },
        "seed_harness": sha(SEED),
    }
    return StudyRow(**values | changes)


def tasks(instruction: str = "") -> list[TaskRow]:
    return [
        TaskRow(
            study="demo",
            id=name,
            position=place,
            split="holdout" if name == "c" else "train",
            digest=name,
            instruction=instruction,
        )
        for place, name in enumerate("abc")
    ]


def decision(subject: str, stage: str, kind: str, reason: str, **numbers: Any) -> DecisionRow:
    return DecisionRow(
        id=f"demo/{subject}/{stage}",
        study="demo",
        subject="" if subject == "baseline" else f"demo/{subject}",
        stage=stage,
        kind=kind,
        reason=reason,
        numbers=numbers,
        policy={},
        made="",
    )


def candidate(number: int, state: str, harness: str | None = None, **more: Any) -> Candidate:
    return Candidate(
        id=f"demo/c{number:03}",
        study="demo",
        number=number,
        parent=sha(SEED),
        harness=harness,
        state=state,
        edit=[],
        fixes=[],
        at_risk=[],
        **more,
    )


async def fill(
    path: Path,
    *,
    promoted: bool = True,
    priced: bool = True,
    better: str = BETTER,
    instruction: str = "",
    **changes: Any,
) -> StoreReader:
    with Store.open(path) as store:
        await store.create_study(study(**changes), tasks(instruction), SEED)
        numbers = {"low": 0.2, "high": 0.6, "trials": 4, "errored": 0}
        await store.add_decision(decision("baseline", "baseline", "pass", "", score=0.4, **numbers))
        await store.add_decision(decision("baseline", "holdout", "pass", "", score=0.5, **numbers))
        await store.add_candidate(candidate(1, "rejected", title="Nothing"))
        await store.add_candidate(candidate(2, "failed", failure="a poem"))
        if promoted:
            await store.add_harness(sha(better), better)
            more = {"title": "Look first", "hypothesis": "It guesses.\nIt should look.", "commit": "f" * 40}
            await store.add_candidate(candidate(3, "promoted", sha(better), **more))
            means = {"candidate_mean": 1.0, "champion_mean": 0.25}
            await store.add_decision(decision("c003", "full", "promote", "passed: 4/4 against 1/4, p = 0.07", **means))
            await store.add_decision(decision("c003", "holdout", "pass", "not vetoed: fine", candidate_mean=0.75))
            await store.add_decision(decision("c003", "audit", "pass", "", score=0.9, **numbers))
        await store.reserve(Reservation("one", "demo", "task", "x", None, 100))
        store.settle(Settlement("one", Used(1, 1000, 234, usd=1.5 if priced else None)))
        await store.flush()
    return StoreReader(path)


class Counted:
    """A reader that counts what it is asked for."""

    def __init__(self, reader: StoreReader) -> None:
        self._reader, self.asked = reader, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        self.asked[name] += 1
        return getattr(self._reader, name)


def patched(folder: Path, patch: Path) -> str:
    """The seed with the patch applied by git."""
    folder.mkdir()
    (folder / "agent.py").write_text(SEED)
    subprocess.run(["git", "apply", "-p1", str(patch)], cwd=folder, check=True)
    return (folder / "agent.py").read_text()


async def test_the_winner_its_patch_and_its_evidence_are_written(tmp_path: Path) -> None:
    reader = await fill(tmp_path / "traces.db")
    done = export(reader, "demo", tmp_path / "out" / "winner")
    assert done.harness.read_text() == BETTER
    assert (done.sha, done.promotions) == (sha(BETTER), 1)
    assert patched(tmp_path / "seed", done.patch) == BETTER
    assert done.card.read_text() == evidence_card(reader, "demo")
    told = json.loads(done.evidence.read_text())
    assert (told["format"], told["winner"], told["audit"]["score"]) == ("lorimer-evidence/1", "c003", 0.9)
    assert sorted(path.name for path in done.folder.iterdir()) == [
        *("EVIDENCE.md", "agent.py", "evidence.json", "harness.diff")
    ]


async def test_a_study_is_scanned_once_by_an_export(tmp_path: Path) -> None:
    reader = await fill(tmp_path / "traces.db")
    counted = Counted(reader)
    export(cast(StudyReader, counted), "demo", tmp_path / "out")
    assert counted.asked["decisions"] == 1
    winner_of(cast(StudyReader, counted), "demo")
    assert counted.asked["decisions"] == 2


async def test_the_card_says_which_settings_changed_since_the_study_began(tmp_path: Path) -> None:
    reader = await fill(tmp_path / "traces.db")
    assert "changed since it began" not in evidence_card(reader, "demo")
    with Store.open(tmp_path / "traces.db") as store:
        for usd in (20.0, 40.0):
            before = reader.study("demo").config
            await store.set_settings("demo", before, {**before, "budget": {"usd": usd}})
    card = evidence_card(reader, "demo")
    assert "| changed since it began | `budget.usd` from `unset` to `20.0`, 20" in card
    assert "| changed since it began | `budget.usd` from `20.0` to `40.0`, 20" in card


async def test_the_card_says_what_the_score_rests_on(tmp_path: Path) -> None:
    card = evidence_card(await fill(tmp_path / "traces.db"), "demo")
    for said in (
        "> **Simulated.**",
        "| baseline (the seed harness) | 0.400 [0.200, 0.600] | 4 |",
        "| champion (`c003`), audited on fresh trials | 0.900 [0.200, 0.600] | 4 |",
        "Sealed holdout: baseline 0.500 [0.200, 0.600]; champion 0.750",
        "It was asked once in this study.",
        f"`{sha(BETTER)}`",
        "| task model | `simulated/apprentice` |",
        "(same model)",
        f"| benchmark digest | `{'d' * 64}` |",
        "| tasks | 3: 2 train, 1 holdout |",
        "| gate | paired, 2 trials per task against 4, alpha 0.1 per candidate, ends of revision 1, no bound on cost |",
        "### `c003` Look first",
        "> It guesses. It should look.",
        "- full: passed: 4/4 against 1/4, p = 0.07",
        "- price: +50.0 points for what nobody counted, in the trials by which it was decided; the gain is that of its audit "
        "over the trials that it beat, so it is rather too high",
        f"- commit: `{'f' * 40}`",
        "Of 3 candidates, besides those promoted: 1 rejected by the gate, 1 without a usable edit.",
        "- tokens: 1,234",
        "- cost: $1.50",
        "seed = 7",
    ):
        assert said in card
    assert "Price of the gain" not in card, "no trial is stored, so the gain is not told"


async def test_a_real_model_is_not_called_simulated_and_an_unknown_price_is_unknown(tmp_path: Path) -> None:
    reader = await fill(tmp_path / "traces.db", priced=False, task_model="local/qwen", meta_model="anthropic/x")
    card = evidence_card(reader, "demo")
    assert "**Simulated.**" not in card
    assert "| simulated | no |" in card
    assert "(cross pairing)" in card
    assert "- cost: unknown" in card
    assert "$" not in card


async def test_a_study_without_promotion_exports_its_seed_and_says_so(tmp_path: Path) -> None:
    reader = await fill(tmp_path / "traces.db", promoted=False, state="paused", state_reason="stopped by the user")
    done = export(reader, "demo", tmp_path / "out")
    assert done.harness.read_text() == SEED
    assert done.patch.read_text() == ""
    card = done.card.read_text()
    assert "no candidate was promoted" in card
    assert "> The study is **paused**: stopped by the user" in card


async def test_the_evidence_of_a_study_without_promotion_is_json_for_every_parser(tmp_path: Path) -> None:
    """It has no gain, so nothing is known of the scores that a gain lies between; NaN is no JSON, and most parsers refuse it."""

    def unknown(word: str) -> None:
        raise ValueError(word)

    reader = await fill(tmp_path / "traces.db", promoted=False)
    found = json.loads(export(reader, "demo", tmp_path / "out").evidence.read_text(), parse_constant=unknown)
    assert (found["winner"], found["gain"]["gain"]) == ("seed", None)
    assert (found["gain"]["seed"], found["gain"]["champion"]) == (None, None)


async def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    reader = await fill(tmp_path / "traces.db")
    out = tmp_path / "out"
    out.mkdir()
    (out / "agent.py").write_text("mine")
    with pytest.raises(
        UserError, match=r"agent\.py: exists already; name another folder, or overwrite it with --force"
    ):
        export(reader, "demo", out)
    assert [path.name for path in out.iterdir()] == ["agent.py"]
    assert (out / "agent.py").read_text() == "mine"
    export(reader, "demo", out, force=True)
    assert (out / "agent.py").read_text() == BETTER


async def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    reader = await fill(tmp_path / "traces.db")
    with pytest.raises(UserError, match="there is no study other"):
        export(reader, "other", tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file: cannot be written"):
        export(reader, "demo", tmp_path / "file")
    plain = await fill(tmp_path / "run.db", kind="run")
    with pytest.raises(UserError, match="study demo is a run, so it has no winner to export"):
        export(plain, "demo", tmp_path / "out")


async def test_an_export_says_the_score_how_sure_it_is_and_that_its_study_goes_on(tmp_path: Path) -> None:
    reader = await fill(tmp_path / "traces.db")
    card = winner_of(reader, "demo").evidence
    assert export(reader, "demo", tmp_path / "out").in_short == in_short(card)
    score, *rest, simulated = in_short(card)
    assert card.audit.score is not None
    assert card.baseline.score is not None
    assert score.startswith(f"score: {card.audit.score:.3f} [{card.audit.low:.3f}, {card.audit.high:.3f}] in ")
    assert f"; the seed harness: {card.baseline.score:.3f} [" in score
    assert simulated.startswith("simulated: ")
    assert not [line for line in rest if line.startswith("unfinished: ")]
    paused = in_short(replace(card, state="paused", simulated=False, audit_won=True))
    assert ", by which it won, so rather too high; " in paused[0]
    assert paused[-1].startswith("unfinished: study demo is paused, so this is what it has come to so far; ")
    assert "`lorimer status --study demo`" in paused[-1]
    seed = winner_of(reader, "demo", "seed").evidence
    assert in_short(seed)[0].endswith("; it is the seed harness")
