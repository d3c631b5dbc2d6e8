"""How many false promotions to expect: in `log`, in `status`, and never before a model's eyes."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lorimer.meta_agent.gate.confirmation import FEWEST, ROUNDS
from lorimer.meta_agent.gate.reported.false_promotions import Won, expect
from lorimer.meta_agent.gate.statistics.alpha import at_level
from lorimer.meta_agent.gate.statistics.policies import Policy
from lorimer.meta_agent.gate.statistics.revisions import REVISIONS, Ends
from lorimer.terminal import listing
from tests.meta_agent.test_loop import MARKS, config, make_bench, run, script


@dataclass
class Decided:
    kind: str
    policy: dict[str, Any] = field(default_factory=lambda: {"name": "paired", "alpha": 0.1})
    numbers: dict[str, Any] = field(default_factory=dict)


POOLED: dict[str, Any] = {"name": "pooled", "alpha": 0.1, "revision": 3}


def by_p(*found: float, level: float = 0.1) -> list[Won]:
    """Promotions under `paired`, with these p."""
    return [Won(Decided("promote", {"name": "paired", "alpha": level}, {"p": p})) for p in found]


def by_lead(*found: float | None) -> list[Won]:
    """Promotions under `pooled`, confirmed with these leads in standard errors; `None` where the store has none."""
    numbers = ({} if lead is None else {"difference": 0.05 * lead, "error": 0.05} for lead in found)
    return [Won(Decided("promote", POOLED, {"p": 0.01}), Decided("pass", POOLED, each)) for each in numbers]


def decided(count: int, passed: int, policy: dict[str, Any]) -> list[Decided]:
    return [Decided("promote", policy)] * passed + [Decided("reject", policy)] * (count - passed)


def test_levels_add_up_to_what_luck_would_pass() -> None:
    tests = [Decided("reject"), Decided("promote"), Decided("undecided"), *[Decided("reject")] * 17]
    found = expect(tests, {"error": "per-candidate", "alpha": 0.1}, by_p(0.004))
    assert (found.tests, found.passed, found.bounded, found.share) == (20, 1, True, None)
    assert [found.expected, found.by_luck] == pytest.approx([2.0, 0.6])
    assert str(found) == (
        "1 of 20 tests passed; were all edits without effect, at most 2 would pass and about 0.6 be promoted; the 1 promotion "
        "has p <= 0.004, of which luck makes about 0.024; so it is false with a chance of about 2%"
    )


def test_a_long_study_tells_the_promotions_that_are_rare_from_those_that_luck_makes() -> None:
    """As many as luck alone would make, but half of them far too good for it."""
    promoted = by_p(1e-5, 1e-4, 0.0003, 0.001, 0.0021, 0.0033, 0.031, 0.042, 0.055, 0.066, 0.079, 0.09)
    found = expect(decided(674, 16, {"name": "paired", "alpha": 0.1}), {}, promoted)
    assert found.by_luck > found.promoted == 12
    assert (found.cut.rarer, found.most, found.luck_alone) == (6, 9, False)
    assert found.estimated == pytest.approx(6 + 674 * 0.03 * 0.033)
    assert str(found) == (
        "16 of 674 tests passed; were all edits without effect, at most 67 would pass and about 20 be promoted; 6 of the 12 "
        "promotions have p <= 0.0033, of which luck makes about 0.67; so about 6.7 of the 12 are false, seldom more than 9"
    )


def test_where_luck_alone_fits_no_number_is_given() -> None:
    spread = expect(decided(100, 3, {"name": "paired", "alpha": 0.1}), {}, by_p(0.02, 0.05, 0.08))
    assert spread.luck_alone
    assert str(spread).endswith(
        "about 3 be promoted; the 3 promotions have p <= 0.08, of which luck makes about 2.4; luck alone may have made all 3"
    )
    one = expect(decided(100, 1, POOLED), {}, by_lead(0.8))
    assert str(one).endswith("about 2.5 be promoted; luck alone may have made the 1 promotion")
    assert expect(decided(674, 16, POOLED), {}, by_lead(*[0.4] * 12)).luck_alone
    assert "promotion" not in str(expect(decided(100, 0, POOLED), {}, []))


def test_a_pooled_promotion_is_judged_by_its_confirmation_and_not_by_the_p_at_which_its_run_ended() -> None:
    tests = decided(100, 6, POOLED)
    found = expect(tests, {"alpha": 0.1}, by_lead(3.14, 2.61, 0.3, 0.2, 2.18))
    assert (found.passed, found.promoted, found.cut.rarer, found.most) == (6, 5, 3, 3)
    assert str(found) == (
        "6 of 100 tests passed; were all edits without effect, about 10 would pass and about 2.5 be promoted; 3 of the 5 "
        "promotions have a lead of 2.1 standard errors or more in the confirmation, of which luck makes about 0.091; so about "
        "2.1 of the 5 are false, seldom more than 3"
    )
    sure = expect(decided(4, 4, POOLED), {}, by_lead(3.14, 3.5, 4.0, 5.0))
    assert str(sure).endswith("of which luck makes less than 0.01; so hardly any of the 4 is false")


def test_a_store_without_the_numbers_of_confirmations_is_told_by_counts_alone() -> None:
    old = expect(decided(20, 4, POOLED), {}, by_lead(None, None, None, None))
    assert [old.estimated, old.most] == pytest.approx([0.5, 2])
    assert str(old).endswith(
        "about 0.5 be promoted; how far ahead the 4 promotions were is not known; so about 0.5 of the 4 are false, seldom more "
        "than 2"
    )
    some = expect(decided(100, 2, POOLED), {}, by_lead(3.14, None))
    assert "; 1 of the 2 promotions has a lead of 3.1 standard errors" in str(some)
    assert "; how far ahead 1 of the 2 promotions was is not known; " in str(some)
    assert expect(decided(100, 2, POOLED), {}, [Won(Decided("promote", POOLED))]).unknown == 1


def test_promotions_at_unlike_levels_are_told_by_shares_of_their_levels() -> None:
    promoted = [*by_p(0.0002, level=0.008), *by_p(0.001, level=0.03)]
    said = str(expect([won.full for won in promoted], {"error": "study", "alpha": 0.1}, promoted))
    assert "the 2 promotions have a p of at most 0.034 times its level, of which luck makes less than 0.01" in said


def test_what_was_promoted_for_being_no_worse_claims_no_gain() -> None:
    simpler = Won(Decided("promote", numbers={"p": 0.6, "route": "simpler"}))
    found = expect(decided(20, 2, {"name": "paired", "alpha": 0.1}), {}, [simpler, *by_p(0.001)])
    assert (found.promoted, found.equal) == (1, 1)
    assert str(found).endswith(
        "so it is false with a chance of less than 1%; 1 more promoted as no worse and simpler or cheaper"
    )


def confirmation_by_luck(ends: Ends, dice: random.Random) -> float:
    """The lead at which the confirmation of an edit without effect ends."""
    walked = 0.0
    for number in range(1, ROUNDS + 1):
        walked += dice.gauss(0, 1)
        lead = walked / math.sqrt(number)
        if lead < ends.behind or (lead > ends.ahead and number >= FEWEST):
            break
    return lead


@pytest.mark.parametrize("revision", REVISIONS)
def test_leads_of_edits_without_effect_are_as_rare_as_is_said(revision: int) -> None:
    dice = random.Random(revision)
    leads = [lead for _ in range(40_000) if (lead := confirmation_by_luck(REVISIONS[revision], dice)) > 0]
    policy = POOLED | {"revision": revision}
    for lead in (0.3, 0.6, 1.0, 1.5, 2.0, 2.5):
        won = Won(Decided("promote", policy), Decided("pass", policy, {"difference": lead, "error": 1.0}))
        found = expect(decided(4, 1, policy), {}, [won])
        exact = sum(each >= lead for each in leads) / len(leads)
        assert found.cut.by_luck / found.by_luck == pytest.approx(exact, rel=0.2)


def test_what_was_held_back_for_its_cost_has_passed_its_test() -> None:
    found = expect([Decided("reject"), Decided("reject", numbers={"cost_allowed": 3.0})], {}, [])
    assert (found.tests, found.passed) == (2, 1)


def test_only_a_policy_with_a_proof_has_a_bound() -> None:
    plain = expect([Decided("promote", {"name": "strict", "alpha": 0.1})] * 5, {"error": "study", "alpha": 0.1}, [])
    assert (plain.expected, plain.bounded, plain.share) == (2.5, False, None)
    assert "about 2.5 would pass and about 0.3 be promoted" in str(plain)
    for name, said in (("paired", "at most"), ("eprocess", "at most"), ("pooled", "about")):
        found = expect(decided(30, 1, {"name": name, "alpha": 0.1}), {"error": "study", "alpha": 0.1}, [])
        assert (found.bounded, found.share) == ((True, 0.1) if said == "at most" else (False, None))
        assert f"were all edits without effect, {said} 3 would pass" in str(found)
        assert ("at most" in str(found)) == found.bounded


def test_a_studys_level_bounds_the_share_of_false_promotions() -> None:
    tests = [Decided("promote", {"name": "paired", "alpha": level}) for level in (0.008, 0.03)]
    found = expect(tests, {"error": "study", "alpha": 0.1}, [*by_p(0.001, level=0.008), *by_p(0.001, level=0.03)])
    assert found.expected == pytest.approx(0.038)
    assert str(found).endswith("of a study's promotions at most 10% are false, in expectation")


def test_the_number_that_luck_seldom_exceeds_is_found_for_any_number_of_tests() -> None:
    many = expect(decided(20_000, 3, {"name": "strict"}), {}, [Won(Decided("promote", {"name": "strict"}))] * 3)
    assert (many.most, many.luck_alone) == (3, True)


def test_what_is_confirmed_afterwards_is_tested_at_twice_the_level_and_never_above_alpha() -> None:
    for passed in ([], [False] * 5, [False, True, False]):
        plain, confirmed = (at_level(Policy(name), "study", passed).alpha for name in ("paired", "pooled"))
        assert confirmed == pytest.approx(2 * plain)
    assert at_level(Policy("pooled"), "study", [True] * 60).alpha == 0.1
    assert at_level(Policy("pooled"), "per-candidate", []).alpha == 0.1


def test_before_the_first_test_there_is_nothing_to_expect() -> None:
    assert str(expect([], {}, [])) == "no test has been decided yet"


async def test_the_log_and_the_status_say_it(tmp_path: Path) -> None:
    bench = make_bench(tmp_path / "work")
    await run(bench, script(*MARKS), config())
    reader = bench.reader()
    said = (
        "1 of 3 tests passed; were all edits without effect, at most 0.3 would pass and about 0.09 be promoted; the 1 promotion "
        "has p <= 0.00033, of which luck makes less than 0.01; so it is false with a chance of less than 1%"
    )
    assert f"\nLuck: {said}\n" in bench.log()
    assert "Luck" not in bench.told()
    status = listing.status(reader, reader.study("demo"), bench.root)
    assert (status.luck.tests, status.luck.passed) == (3, 1)
    assert (status.sealed, status.holdout_queries) == (None, 1)
    text = listing.status_text(status)
    assert f"  luck        {said}" in text
    assert "  holdout     1 query; the champion was not run there once more at the end" in text
    goes_on = listing.status_text(replace(status, state="paused"))
    assert "  holdout     1 query; what candidates score there is shown when the study ends" in goes_on


async def test_the_log_says_by_how_much_a_confirmation_was_won(tmp_path: Path) -> None:
    bench = make_bench(tmp_path / "work")
    await run(bench, script(*MARKS), config(gate={"policy": "pooled"}))
    assert "confirmed: 23/28 against 12/28 side by side, a difference of +0.393 (± 0.107)" in bench.log()
    assert "; the 1 promotion has a lead of 3.6 standard errors or more in the confirmation, of which" in bench.log()
