"""How many false promotions to expect: in `log`, in `status`, and never before a model's eyes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lorimer.meta_agent.gate.alpha import at_level
from lorimer.meta_agent.gate.false_promotions import expect
from lorimer.meta_agent.gate.policies import Policy
from lorimer.terminal import listing
from tests.meta_agent.test_loop import MARKS, config, make_bench, run, script


@dataclass
class Decided:
    kind: str
    policy: dict[str, Any] = field(default_factory=lambda: {"name": "paired", "alpha": 0.1})
    numbers: dict[str, Any] = field(default_factory=dict)


def test_levels_add_up_to_what_luck_would_pass() -> None:
    tests = [Decided("reject"), Decided("promote"), Decided("undecided"), *[Decided("reject")] * 17]
    found = expect(tests, {"error": "per-candidate", "alpha": 0.1}, 1)
    assert (found.tests, found.passed, found.bounded, found.share) == (20, 1, True, None)
    assert found.expected == pytest.approx(2.0)
    assert str(found) == (
        "1 of 20 tests passed; were all edits without effect, at most 2 would pass by luck, and in simulated studies about 0.46; "
        "so the 1 promotion is false with a chance of about 46%"
    )


def test_what_is_estimated_of_the_promotions_is_what_simulated_studies_promote() -> None:
    tests = [Decided("promote", {"name": "pooled", "alpha": 0.1})] * 6 + [
        Decided("reject", {"name": "pooled", "alpha": 0.1})
    ] * 94
    found = expect(tests, {"alpha": 0.1}, 5)
    assert (found.passed, found.promoted, found.most) == (6, 5, 4)
    assert found.estimated == pytest.approx(1.9)
    assert found.false_share == pytest.approx(0.38)
    assert str(found).endswith(
        "in simulated studies about 1.9; so about 38% of the 5 promotions are false, seldom more than 4"
    )
    assert str(expect(tests, {"alpha": 0.1}, 2)).endswith("so about 95% of the 2 promotions are false")
    assert expect(tests, {"alpha": 0.1}, 1).false_share == 1.0
    assert "promotion" not in str(expect(tests, {"alpha": 0.1}, 0))


def test_what_was_held_back_for_its_cost_has_passed_its_test() -> None:
    found = expect([Decided("reject"), Decided("reject", numbers={"cost_allowed": 3.0})], {}, 0)
    assert (found.tests, found.passed) == (2, 1)


def test_the_plain_rule_has_no_bound() -> None:
    plain = Decided("promote", {"name": "strict", "alpha": 0.1})
    found = expect([plain] * 5, {"policy": "strict", "error": "study", "alpha": 0.1}, 0)
    assert (found.expected, found.bounded, found.share) == (2.5, False, None)
    assert "about 2.5 would pass by luck (policy strict has no bound), and in simulated studies about 0.2" in str(found)


def test_a_studys_level_bounds_the_share_of_false_promotions() -> None:
    tests = [Decided("promote", {"name": "paired", "alpha": level}) for level in (0.008, 0.03)]
    found = expect(tests, {"error": "study", "alpha": 0.1}, 2)
    assert found.expected == pytest.approx(0.038)
    assert str(found).endswith("of a study's promotions at most 10% are false, in expectation")


def test_what_is_confirmed_afterwards_is_tested_at_twice_the_level_and_never_above_alpha() -> None:
    for passed in ([], [False] * 5, [False, True, False]):
        plain, confirmed = (at_level(Policy(name), "study", passed).alpha for name in ("paired", "pooled"))
        assert confirmed == pytest.approx(2 * plain)
    assert at_level(Policy("pooled"), "study", [True] * 60).alpha == 0.1
    assert at_level(Policy("pooled"), "per-candidate", []).alpha == 0.1


def test_before_the_first_test_there_is_nothing_to_expect() -> None:
    assert str(expect([], {}, 0)) == "no test has been decided yet"


async def test_the_log_and_the_status_say_it(tmp_path: Path) -> None:
    bench = make_bench(tmp_path / "work")
    await run(bench, script(*MARKS), config())
    reader = bench.reader()
    said = (
        "1 of 3 tests passed; were all edits without effect, at most 0.3 would pass by luck, and in simulated studies about "
        "0.069; so the 1 promotion is false with a chance of about 7%"
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
