"""What a gain was paid for stands beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorimer.meta_agent.ledger import experiments, gain_price
from lorimer.meta_agent.ledger.gain_price import GainPrice
from lorimer.meta_agent.reports.export import evidence_card
from lorimer.meta_agent.state.world import scan
from lorimer.terminal import listing
from lorimer.terminal.words import to_json
from lorimer.traces.schema import PlannedTrial, Share, Stage, Used
from tests.meta_agent.test_loop import Bench, config, make_bench, rate, run, script


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "work")


def test_a_price_is_dollars_per_point_and_tokens_per_point_where_dollars_say_nothing() -> None:
    assert str(GainPrice.of(0.1, Share(2.0, 5_000, 0, 9))) == "$0.2000 per point: +10.0 points for $2.00"
    unknown = GainPrice.of(0.1, Share(2.0, 5_000, 3, 9))
    assert (
        str(unknown) == "dollars per point unknown, as prices are; 500 tokens per point: +10.0 points for 5,000 tokens"
    )
    assert (unknown.usd, unknown.usd_per_point) == (None, None)
    assert unknown.tokens_per_point == pytest.approx(500)
    free = GainPrice.of(0.1, Share(0.0, 5_000, 0, 9))
    assert str(free) == "500 tokens per point: +10.0 points for 5,000 tokens"
    assert str(GainPrice.of(0.1, Share(0.0, 0, 0, 9))) == "+10.0 points for what nobody counted"


@pytest.mark.parametrize("gain", [0.0, -0.02, 0.0004])
def test_where_nothing_was_gained_no_point_has_a_price(gain: float) -> None:
    found = GainPrice.of(gain, Share(2.0, 5_000, 0, 9))
    assert (found.usd_per_point, found.tokens_per_point) == (None, None)
    assert str(found) == f"{100 * gain:+.1f} points for $2.00"


def used(text: str, planned: PlannedTrial) -> Used:
    return Used(1, 100, usd=0.01)


async def test_the_log_the_status_and_the_card_say_what_each_gain_was_paid_for(bench: Bench) -> None:
    def lucky(text: str, planned: PlannedTrial) -> float:
        return 1.0 if planned.evaluation == "demo/c002/full" else rate(text, planned)

    await run(bench, script("BAD", "GOOD"), config(budget={"candidates": 2}), used=used, rate_of=lucky)
    reader, world = bench.reader(), scan(bench.reader(), "demo")
    row = reader.study("demo")
    trials = reader.trials("demo", limit=None)
    own = [trial for trial in trials if trial.evaluation in world.decided_by(2)]
    assert {trial.stage for trial in own} == {"spot", "full", "holdout", "audit"}
    assert len(own) == sum(trial.evaluation.startswith("demo/c002") for trial in trials)
    price = gain_price.of_promotions(reader, world)[2]
    assert price.usd == pytest.approx(0.01 * len(own))
    assert price.tokens == 100 * len(own)
    # Not by the comparison that it won: its audit decided nothing.
    numbers = {found.id: found.numbers for found in reader.decisions("demo")}
    gain = numbers["demo/c002/audit"]["score"] - numbers["demo/baseline/baseline"]["score"]
    assert price.points == pytest.approx(100 * gain)
    full = numbers["demo/c002/full"]
    assert price.points < 100 * (full["candidate_mean"] - full["champion_mean"]) - 0.1
    told = f"price: {price}, in the trials by which it was decided; the gain is that of its audit over the trials that it beat, "
    told += "so it is rather too high"

    found = listing.log(reader, row)
    log = experiments.render(found)
    assert f"  {told}\n" in log
    assert f"\nPrice: {found.price} that the whole study spent\n" in log
    # Nothing of it reaches the meta-agent: how often a study was stopped would show in it.
    assert "rice" not in experiments.for_meta_agent(found).everything

    status = listing.status(reader, row, bench.root)
    assert f"\n  price       {status.price} that the whole study spent\n" in listing.status_text(status)
    assert status.price == found.price
    assert '"usd_per_point"' in to_json(status)
    card = evidence_card(reader, "demo")
    assert f"\nPrice of the gain: {found.price} that the whole study spent.\n" in card
    assert f"\n- {told}\n" in card
    assert "a trial may cost 25% more, and 5% more for each point gained |" in card


async def test_the_price_is_of_the_gain_that_is_told_also_where_a_task_errored_out(bench: Bench) -> None:
    def unscored(text: str, planned: PlannedTrial) -> float | None:
        return None if planned.evaluation == "demo/c001/audit" and planned.task == "t00" else rate(text, planned)

    await run(bench, script("GOOD"), config(budget={"candidates": 1}), used=used, rate_of=unscored)
    reader = bench.reader()
    found = listing.log(reader, reader.study("demo"))
    assert found.gain is not None
    assert found.gain.gain is not None
    assert (found.gain.tasks, found.gain.of_tasks) == (13, 14)
    status = listing.status(reader, reader.study("demo"), bench.root)
    assert found.price is not None
    assert status.price == found.price
    assert found.price.points == pytest.approx(100 * found.gain.gain.value)
    assert f"Price of the gain: {found.price} that" in evidence_card(reader, "demo")


async def test_a_study_without_a_promotion_has_no_price(bench: Bench) -> None:
    await run(bench, script("BAD"), config(budget={"candidates": 1}), used=used)
    reader = bench.reader()
    assert listing.status(reader, reader.study("demo"), bench.root).price is None
    assert "rice:" not in experiments.render(listing.log(reader, reader.study("demo")))
    assert "rice" not in evidence_card(reader, "demo")


async def test_what_the_champion_ran_beside_a_candidate_is_part_of_its_price(bench: Bench) -> None:
    settings = config(gate={"champion": "interleaved"}, budget={"candidates": 1})
    await run(bench, script("GOOD"), settings, used=used)
    world = scan(bench.reader(), "demo")
    assert {"demo/c001/full", "demo/c001/full-beside", "demo/c001/holdout-beside"} <= set(world.decided_by(1))
    price = gain_price.of_promotions(bench.reader(), world)[1]
    own = [trial for trial in bench.reader().trials("demo", limit=None) if "/c001/" in trial.evaluation]
    assert price.tokens == 100 * len(own)


async def test_a_pooled_promotion_counts_what_the_champion_ran_in_its_confirmation(bench: Bench) -> None:
    await run(bench, script("GOOD"), config(gate={"policy": "pooled"}, budget={"candidates": 1}), used=used)
    world = scan(bench.reader(), "demo")
    assert "demo/baseline/audit+00001" in world.decided_by(1)
    trials = bench.reader().trials("demo", limit=None)
    theirs = [trial for trial in trials if trial.evaluation == "demo/baseline/audit+00001"]
    assert theirs
    own = [trial for trial in trials if "/c001/" in trial.evaluation]
    final = [trial for trial in own if "-final-" in trial.evaluation]
    price = gain_price.of_promotions(bench.reader(), world)[1]
    assert price.tokens == 100 * (len(own) - len(final) + len(theirs))
    audit = world.decided("demo/c001", Stage.AUDIT)
    assert audit is not None
    assert price.points == pytest.approx(100 * audit.numbers["difference"])
    assert price.of_promotion == (
        f"{price}, in the trials by which it was decided; the gain is that of its confirmation, which decided too, so it is "
        "rather too high"
    )
