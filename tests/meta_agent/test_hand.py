"""What a person decides: a promotion is held until it is approved or refused, and an earlier champion is made it again."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from lorimer.config.settings import Config
from lorimer.harness.version import sha
from lorimer.meta_agent.proposer.proposal import NoProposal, Proposal, ProposalSession
from lorimer.meta_agent.reports import audit, export
from lorimer.meta_agent.state.descent import promotions_behind
from lorimer.meta_agent.state.result import StudyResult
from lorimer.meta_agent.state.world import World, scan
from lorimer.meta_agent.study.loop import optimize
from lorimer.meta_agent.workspace.repository import STORE, Workspace
from lorimer.traces.writing.store import Store
from tests.cli.support import refused, typed
from tests.meta_agent.test_loop import SEED, Bench, Proposer, config, make_bench, script
from tests.support.dice_trials import Killed

GOOD_THEN_NULL = script("GOOD", "NULL", "NULL", "NULL")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = make_bench(tmp_path / "work")
    (made.root / ".lorimer").mkdir()
    (made.root / ".gitignore").write_text(".lorimer/\n")
    (made.root / "lorimer.toml").write_text("")
    (made.root / "program.md").write_text("Make it better.\n")
    made.git("config", "user.name", "Ada")
    made.git("config", "user.email", "ada@example.org")
    return Bench(made.root, STORE)


def settings(candidates: int = 3, **overrides: Any) -> Config:
    return config(budget={"candidates": candidates}, **overrides)


def held(candidates: int = 3) -> Config:
    return settings(candidates, review={"required": True})


def studied(bench: Bench, propose: Proposer, chosen: Config) -> StudyResult:
    """Begin the study, or go on with it."""

    async def work() -> StudyResult:
        with bench.parts(propose, chosen) as (parts, _, _):
            if not parts.reader.studies():
                await bench.create(parts)
            return await optimize(parts, "demo")

    return asyncio.run(work())


def world(bench: Bench) -> World:
    return scan(bench.reader(), "demo")


def on_disk(bench: Bench) -> str:
    return (bench.root / "harness" / "agent.py").read_text()


# ---- review


def test_a_promotion_waits_for_a_person_and_is_committed_once_it_is_approved(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    done = studied(bench, GOOD_THEN_NULL, held())
    assert (done.state, done.champion_candidate) == ("paused", "")
    assert done.reason.startswith("c001 passed every stage and waits for a review: `lorimer review` shows it, and")
    assert on_disk(bench) == SEED
    assert studied(bench, GOOD_THEN_NULL, held()).state == "paused", "it waits however often it is resumed"

    shown = typed(capsys, "review", "-C", bench.root)
    assert shown.code == 0
    assert "c001 [proposed] Edit GOOD" in shown.out
    assert "+# GOOD 1" in shown.out
    assert "holdout: " in shown.out

    said = typed(capsys, "review", "c001", "--approve", "--why", "reads well", "-C", bench.root)
    assert said.out.startswith("c001 is approved by Ada <ada@example.org>: reads well; `lorimer resume demo"), said
    done = studied(bench, GOOD_THEN_NULL, held())
    assert (done.state, done.champion_candidate) == ("finished", "demo/c001")
    assert "# GOOD 1" in on_disk(bench)
    assert "The promotion was approved by Ada <ada@example.org>: reads well." in bench.git("log", "-1", "--format=%b")
    verified = audit.verify(bench.root, bench.reader())
    assert not [check for check in verified.checks if check.what != "benchmark" and check.problems], verified
    assert "review: approved by Ada" in bench.log()


def test_a_refusal_needs_a_reason_and_is_what_the_meta_agent_reads(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    studied(bench, GOOD_THEN_NULL, held())
    said = refused(capsys, 2, "review", "--refuse", "-C", bench.root)
    assert said == "lorimer: a refusal needs a reason, for the log and for the meta-agent: say it with --why"
    said = refused(capsys, 2, "review", "c002", "--approve", "-C", bench.root)
    assert said == "lorimer: c002 does not wait for a review; c001 does"
    typed(capsys, "review", "--refuse", "--why", "too long", "--by", "Bob", "-C", bench.root)
    done = studied(bench, GOOD_THEN_NULL, held())
    assert done.champion_candidate == ""
    assert done.candidates["rejected"] == 3
    assert on_disk(bench) == SEED
    assert "it passed every stage, and a person refused it: too long" in bench.told()
    assert "Bob" not in bench.told()
    assert "review: refused by Bob: too long" in bench.log()


def test_nothing_waits_where_nothing_is_held(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    studied(bench, GOOD_THEN_NULL, settings())
    assert typed(capsys, "review", "-C", bench.root).out == "no promotion of demo waits for a review\n"
    said = refused(capsys, 2, "review", "--approve", "-C", bench.root)
    assert said.startswith(
        "lorimer: no promotion of demo waits for a review; a study holds its promotions where lorimer.toml"
    )
    said = refused(capsys, 2, "review", "--approve", "--why", "x" * 3_000, "-C", bench.root)
    assert said == "lorimer: --why: 3000 characters, where at most 2000 are kept; say it shorter"


def test_a_study_that_runs_is_not_decided_about(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    studied(bench, GOOD_THEN_NULL, held())

    async def claim() -> None:
        with Store.open(bench.root / STORE) as store:
            await store.claim("demo", f"{os.uname().nodename}:1:0")

    asyncio.run(claim())
    for arguments in (("review", "--approve"), ("revert", "seed")):
        assert "demo" in refused(capsys, 2, *arguments, "-C", bench.root)
    assert world(bench).open is not None


# ---- revert


def test_an_earlier_champion_is_the_champion_again(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    studied(bench, GOOD_THEN_NULL, settings(2))
    assert "# GOOD 1" in on_disk(bench)
    said = typed(capsys, "revert", "seed", "--why", "it broke the product", "-C", bench.root)
    assert said.code == 0, said
    assert said.out.startswith("the seed harness is the champion of demo again, after c001 (commit "), said
    assert on_disk(bench) == SEED
    assert bench.git("log", "--format=%s").splitlines() == ["Revert to the seed harness", "Edit GOOD", "start"]
    again = world(bench)
    assert (again.champion, again.champion_harness, again.met_since) == (None, sha(SEED), 3)
    assert promotions_behind(again, again.champion_harness) == 0
    assert [again.champion_before(number) for number in (1, 2, 3, 4)] == ["", "demo/c001", "", ""]
    for text in (bench.log(), bench.told()):
        assert "Champion now: the seed harness: " in text
        assert " (a person went back to it: it broke the product)\n" in text
        assert "Ada" not in text, "who it was stands in the chain and on the card"

    done = studied(bench, GOOD_THEN_NULL, settings(3))
    assert (done.state, done.champion_candidate) == ("finished", "")
    third = bench.reader().candidate("demo/c003")
    assert third is not None
    assert third.parent == sha(SEED), "what comes later is made from the earlier champion"
    verified = audit.verify(bench.root, bench.reader())
    assert not [check for check in verified.checks if check.what != "benchmark" and check.problems], verified
    assert [check.said for check in verified.checks if check.what == "commits"] == ["2 promotion commits"]


def test_and_the_later_one_after_that(bench: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    studied(bench, GOOD_THEN_NULL, settings(2))
    typed(capsys, "revert", "seed", "-C", bench.root)
    typed(capsys, "revert", "c001", "--json", "-C", bench.root)
    assert "# GOOD 1" in on_disk(bench)
    assert world(bench).champion_id == "demo/c001"
    said = refused(capsys, 2, "revert", "seed", "-C", bench.root)
    assert said.startswith("lorimer: the seed harness was made the champion again before c003 once already; ")
    export.export(bench.reader(), "demo", tmp_path / "winner")
    card = (tmp_path / "winner" / export.CARD).read_text()
    assert "# GOOD 1" in (tmp_path / "winner" / "agent.py").read_text()
    assert "C001 is the champion again, after the seed harness" in card


def test_what_cannot_be_reverted_to_is_refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    studied(bench, GOOD_THEN_NULL, settings(2))
    said = refused(capsys, 2, "revert", "c002", "-C", bench.root)
    assert said == "lorimer: c002 was never a champion of demo; these were: c001 and `seed`, the seed harness"
    assert refused(capsys, 2, "revert", "c001", "-C", bench.root) == "lorimer: c001 is the champion of demo already"


def test_a_candidate_under_way_is_given_up_only_when_that_is_said(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    studied(bench, GOOD_THEN_NULL, settings(1))

    async def killed(session: ProposalSession) -> Proposal | NoProposal:
        raise Killed

    with pytest.raises(Killed):
        studied(bench, killed, settings(2))
    assert world(bench).open is not None
    said = refused(capsys, 2, "revert", "seed", "-C", bench.root)
    assert said == (
        f"lorimer: c002 is under way against the champion of today; `lorimer resume demo -C {bench.root}` takes it to its end "
        "first; --drop gives it up, with what was paid"
    )
    assert typed(capsys, "revert", "seed", "--drop", "-C", bench.root).code == 0
    given_up = bench.reader().candidate("demo/c002")
    assert given_up is not None
    assert (given_up.state, world(bench).open) == ("failed", None)
    assert given_up.failure == "given up, as the seed harness was made the champion again while it was under way"


def test_a_harness_that_was_edited_by_hand_is_left_alone(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    studied(bench, GOOD_THEN_NULL, settings(1))
    (bench.root / "harness" / "agent.py").write_text("mine")
    said = typed(capsys, "revert", "seed", "-C", bench.root)
    assert said.code == 0
    assert "the promotion is on the branch lorimer/demo" in said.out
    assert on_disk(bench) == "mine"


def test_who_decides_is_who_git_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    bench = make_bench(tmp_path / "work")
    assert Workspace(bench.root).person() == ""
    bench.git("config", "user.name", "Ada")
    assert Workspace(bench.root).person() == "Ada"
    assert Workspace(tmp_path / "nowhere").person() == ""
