"""What a gain is made of: the estimates against brute force, the words, and the reading of a study's trials."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.kinds import Refused
from lorimer.meta_agent.gate.reported.best_of import curve, interpolated
from lorimer.meta_agent.gate.reported.made_of import HarnessTrials, MadeOf, TaskTrials, made_of
from lorimer.meta_agent.gate.statistics.estimates import MeasuredDifference, jackknife, mean_known
from lorimer.meta_agent.ledger import experiments
from lorimer.meta_agent.reports.export import evidence_card, export
from lorimer.meta_agent.reports.gain import gain_of
from lorimer.meta_agent.state.world import scan
from lorimer.terminal import listing
from lorimer.terminal.words import to_json
from lorimer.traces.reading.reader import StoreReader
from lorimer.traces.schema import Purpose, Used
from lorimer.traces.tables import Candidate, DecisionRow, Evaluation
from lorimer.traces.writing.store import Store
from tests.traces.support import end, start, study, task

REWARDS = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.8, 1.0]), min_size=1, max_size=7)
PASSES = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=9)


# ---- the best of k --------------------------------------------------------------------------------------------------


def best_of(rewards: Sequence[float], k: float) -> float:
    return interpolated(curve(rewards, len(rewards)), k)


@given(REWARDS, st.data())
def test_the_best_of_k_is_the_average_over_all_choices_of_k(rewards: list[float], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(rewards)))
    choices = [max(choice) for choice in combinations(rewards, k)]
    assert best_of(rewards, k) == pytest.approx(sum(choices) / len(choices), abs=1e-12)


@given(PASSES, st.data())
def test_of_pass_and_fail_it_is_pass_at_k(rewards: list[float], data: st.DataObject) -> None:
    n, c, k = len(rewards), round(sum(rewards)), data.draw(st.integers(1, len(rewards)))
    assert best_of(rewards, k) == pytest.approx(1 - math.comb(n - c, k) / math.comb(n, k), abs=1e-12)


@given(REWARDS, st.floats(0, 1))
def test_between_whole_k_it_is_interpolated_and_never_falls(rewards: list[float], share: float) -> None:
    k = 1 + share * (len(rewards) - 1)
    low, high = math.floor(k), math.ceil(k)
    below, above = best_of(rewards, low), best_of(rewards, high)
    assert best_of(rewards, k) == pytest.approx(below + (k - low) * (above - below), abs=1e-12)
    assert sum(rewards) / len(rewards) - 1e-12 <= best_of(rewards, k) <= max(rewards) + 1e-12


def test_it_has_no_bias() -> None:
    """Over all that four trials of a task can bring, weighted by their chance, it is what two draws bring."""
    rate = 0.3
    expected = 0.0
    for outcome in range(16):
        rewards = [float(outcome >> place & 1) for place in range(4)]
        passes = sum(rewards)
        expected += rate**passes * (1 - rate) ** (4 - passes) * best_of(rewards, 2)
    assert expected == pytest.approx(1 - (1 - rate) ** 2)


# ---- intervals ------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=40))
def test_the_jackknife_of_a_mean_is_its_standard_error(values: list[float]) -> None:
    n, centre = len(values), sum(values) / len(values)
    error = math.sqrt(sum((value - centre) ** 2 for value in values) / (n - 1) / n)
    assert mean_known(values).error == pytest.approx(max(error, 0.5 / (n + 1)), abs=1e-9)


@pytest.mark.parametrize(("freedom", "quantile"), [(3, 3.182), (6, 2.447), (11, 2.201), (57, 2.002), (10**9, 1.960)])
def test_intervals_are_as_wide_as_students_t(freedom: int, quantile: float) -> None:
    found = MeasuredDifference(0.0, 0.1, freedom).estimate()
    assert found.high / 0.1 == pytest.approx(quantile, rel=0.01)
    assert found.low == -found.high


def test_one_task_tells_no_width() -> None:
    found = mean_known([0.5])
    assert (found.estimate().low, found.estimate().high) == (-1.0, 1.0)
    assert found.less(mean_known([0.1, 0.2])).estimate().high == 1.0


def test_tasks_that_came_out_alike_leave_an_interval() -> None:
    found = jackknife(0.0, [0.0] * 12).estimate()
    assert found.low < -0.05 < 0.05 < found.high


def test_the_intervals_hold_what_is_true_as_often_as_they_say() -> None:
    """On 58 tasks as those of docs/gate.md, four trials of the seed against two of a champion that takes 1.7 times the tokens."""
    luck = random.Random(3)
    studies, gains, prices = 300, 0, 0
    true_gain = true_price = 0.0
    drawn = 4_000
    for _ in range(drawn):
        rate, better = _rates(luck)
        true_gain += (better - rate) / drawn
        true_price += 0.7 * rate * (1 - rate) / drawn
    for _ in range(studies):
        seed, champion = dict[str, TaskTrials](), dict[str, TaskTrials]()
        for number in range(58):
            rate, better = _rates(luck)
            seed[str(number)] = _trials([float(luck.random() < rate) for _ in range(4)], 1000)
            champion[str(number)] = _trials([float(luck.random() < better) for _ in range(2)], 1700)
        found = made_of(HarnessTrials(seed), HarnessTrials(champion), None, unsealed="no")
        assert found.gain
        assert found.compute
        gains += found.gain.low <= true_gain <= found.gain.high
        prices += found.compute.bought.low <= true_price <= found.compute.bought.high
    assert gains >= 0.90 * studies
    assert prices >= 0.90 * studies


def _rates(luck: random.Random) -> tuple[float, float]:
    kind = luck.random()
    rate = 0.95 if kind < 28 / 58 else luck.uniform(0.1, 0.9) if kind < 48 / 58 else 0.0
    return rate, min(1.0, rate + 0.3) if luck.random() < 0.3 else rate


# ---- the parts ------------------------------------------------------------------------------------------------------


def _trials(rewards: Sequence[float], tokens: float | None = 100.0) -> TaskTrials:
    return TaskTrials(tuple(rewards), tokens)


def arm(rewards: Mapping[str, Sequence[float]], tokens: float | None = 100.0, **more: Any) -> HarnessTrials:
    return HarnessTrials({name: _trials(each, tokens) for name, each in rewards.items()}, **more)


HALF = {name: [1.0, 0.0, 1.0, 0.0] for name in "abcdefgh"}
WON = {name: [1.0, 1.0] for name in "abcdefgh"}
LOST = {name: [0.0, 0.0] for name in "abcdefgh"}


def told(found: MadeOf) -> dict[str, str]:
    return dict(found.lines())


def test_the_parts_add_up_to_the_gain() -> None:
    seed = arm({**HALF, "h": [0.0] * 4}, 100.0)
    sealed = (arm({"x": [0.0, 1.0], "y": [0.0], "z": [1.0]}), arm({"x": [1.0], "y": [0.0], "z": [1.0]}))
    found = made_of(seed, arm(WON, 150.0), sealed)
    assert found.gain
    assert found.compute
    assert found.carried
    assert found.rest
    parts = found.compute.bought.value + found.carried.lost.value + found.rest.value
    assert parts == pytest.approx(found.gain.value)
    assert found.carried.gain.value == pytest.approx(1 / 6)
    for each in (found.gain, found.compute.bought, found.carried.lost, found.rest, found.compute.beyond):
        assert each.low <= each.value <= each.high


@given(st.data())
def test_the_parts_of_any_trials_add_up_and_compute_takes_nothing_away(data: st.DataObject) -> None:
    names = data.draw(st.sets(st.sampled_from("abcdef"), min_size=1))
    tokens = st.floats(0, 1e6) | st.just(0.0)
    arms = [
        HarnessTrials({name: _trials(data.draw(REWARDS), data.draw(tokens)) for name in sorted(names)}) for _ in "12"
    ]
    held = [HarnessTrials({name: _trials(data.draw(REWARDS)) for name in "xy"}) for _ in "12"]
    found = made_of(arms[0], arms[1], (held[0], held[1]))
    assert found.gain
    assert found.carried
    assert found.rest
    bought = found.compute.bought.value if found.compute else 0.0
    assert bought >= -1e-9
    assert bought + found.carried.lost.value + found.rest.value == pytest.approx(found.gain.value, abs=1e-9)
    if found.compute:
        assert found.champion - found.compute.beyond.value == pytest.approx(found.seed + bought, abs=1e-9)
    assert all(said for _, said in found.lines())


def test_a_harness_that_does_not_beat_parallel_sampling_says_so() -> None:
    found = made_of(arm(HALF, 100.0), arm({**WON, "a": [0.0, 0.0], "b": [0.0, 1.0]}, 200.0), None, unsealed="later")
    assert found.compute
    assert found.compute.sampling == "not beaten"
    assert found.compute.bought.value == pytest.approx(5 / 6 - 1 / 2)
    said = told(found)
    assert said["sampling"] == (
        "the champion does not beat parallel sampling of its seed: 0.812 against 0.833 of the best of 2 trials, which take "
        "as many tokens"
    )
    assert said["compute"].startswith("at most +0.333 [")
    assert said["compute"].endswith(
        ": what the best of 2 trials of the seed gains over one; 200 tokens per trial against 100"
    )


def test_a_harness_that_beats_parallel_sampling_says_so() -> None:
    seed = {name: [0.0, 0.0, 0.0, 1.0] for name in "abcdefgh"}
    said = told(made_of(arm(seed, 100.0), arm(WON, 150.0), None, unsealed="later"))
    assert said["sampling"] == (
        "the champion beats parallel sampling of its seed: 1.000 against 0.375 of the best of 1.5 trials, which take as many "
        "tokens"
    )
    assert said["compute"].startswith("at most +")
    assert said["rest"].endswith(", with what did not carry over still in it")
    assert said["not carried"] == "later"


def test_what_the_trials_cannot_tell_is_left_open() -> None:
    seed = {name: [0.0, 0.0, 0.0, 0.0] for name in "abcdefgh"}
    found = made_of(arm(seed, 100.0), arm({**LOST, "a": [1.0, 1.0]}, 150.0), None, unsealed="later")
    assert told(found)["sampling"] == (
        "whether the champion beats parallel sampling of its seed cannot be told: 0.125 against 0.000 of the best of 1.5 "
        "trials, which take as many tokens"
    )


def test_a_harness_that_takes_fewer_tokens_owes_nothing_to_compute() -> None:
    found = made_of(arm(HALF, 100.0), arm(WON, 80.0), None, unsealed="later")
    assert found.compute
    assert found.compute.bought.high == 0
    said = told(found)
    assert said["compute"] == "nothing, as the champion takes 80 tokens per trial against 100"
    assert said["sampling"] == (
        "the champion beats parallel sampling of its seed: 1.000 against 0.500 of one trial, as it takes no more tokens"
    )
    assert found.rest == found.gain == found.compute.beyond


def test_more_tokens_than_the_seed_has_trials_for_are_said_and_cut_off() -> None:
    found = made_of(arm(HALF, 100.0), arm(WON, 650.0), None, unsealed="later")
    assert found.compute
    assert (found.compute.ratio, found.compute.tries) == (6.5, 4.0)
    said = told(found)
    assert said["compute"].startswith("at least +0.500 [")
    assert said["compute"].endswith(
        "] (the best of all 4 trials that the seed has per task over one); 650 tokens per trial against 100 would pay for 6.5 "
        "trials"
    )
    assert said["rest"].endswith(
        ", with what did not carry over still in it, too high by what compute beyond 4 trials buys"
    )
    assert (
        "does not beat parallel sampling of its seed: 1.000 against 1.000 of the best of 4 trials, which is"
        in (said["sampling"])
    )
    never = {name: [0.0] * 4 for name in "abcdefgh"}
    said = told(made_of(arm(never, 100.0), arm(WON, 650.0), None, unsealed="later"))
    assert said["sampling"] == (
        "whether the champion beats parallel sampling of its seed cannot be told: 1.000 against 0.000 of the best of 4 trials, "
        "which is all that the seed has per task"
    )


def test_a_task_with_fewer_trials_of_the_seed_is_told_by_those() -> None:
    found = made_of(arm({**HALF, "a": [0.0]}, 100.0), arm(WON, 200.0), None, unsealed="later")
    assert found.compute
    assert found.compute.short == 1
    said = told(found)
    assert said["compute"].startswith("at least +0.")
    assert said["compute"].endswith("; 1 task of the seed with fewer trials, told by all of them")
    assert said["rest"].endswith(", too high by what more trials of the seed buy on 1 task")
    never = {name: [0.0] * 4 for name in "abcdefgh"} | {"a": [0.0]}
    said = told(made_of(arm(never, 100.0), arm(WON, 200.0), None, unsealed="later"))
    assert said["sampling"] == (
        "whether the champion beats parallel sampling of its seed cannot be told: 1.000 against 0.000 of the best of 2 trials, "
        "which take as many tokens, or of all that there are on 1 task with fewer"
    )


def test_graded_rewards_have_a_best_too() -> None:
    graded = {name: [0.2, 0.4, 0.9] for name in "abcdefgh"}
    found = made_of(arm(graded, 100.0), arm(WON, 200.0), None, unsealed="later")
    assert found.compute
    assert found.compute.bought.value == pytest.approx((0.4 + 0.9 + 0.9) / 3 - 0.5)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (None, 100.0, "cannot be told: how many tokens some of these trials took is unknown"),
        (100.0, None, "cannot be told: how many tokens some of these trials took is unknown"),
        (
            0.0,
            100.0,
            "cannot be told: the seed's trials took no tokens, so no number of them takes as many as one of the champion's",
        ),
    ],
)
def test_unknown_tokens_leave_the_rest_to_tell(before: float | None, after: float | None, why: str) -> None:
    found = made_of(arm(HALF, before), arm(WON, after), None, unsealed="later")
    assert [word for word, _ in found.lines()] == ["gain", "compute", "not carried"]
    assert told(found)["compute"] == why
    sealed = (arm({"x": [0.0], "y": [0.0]}), arm({"x": [1.0], "y": [0.0]}))
    found = made_of(arm(HALF, before), arm(WON, after), sealed)
    assert found.rest
    assert found.rest.value == 0.5
    assert told(found)["rest"].endswith(", with compute still in it")


def test_errored_and_refused_trials_are_told_with_the_gain() -> None:
    seed = arm(HALF, errored=3, refused=Refused(4, 100))
    champion = arm({name: WON[name] for name in "abc"}, errored=1)
    said = told(made_of(seed, champion, None, unsealed="later", decided_nothing=True))["gain"]
    assert said.endswith(
        "over the seed harness on 3 of 8 train tasks: 1.000 in 6 trials that decided nothing, against 0.500 in 32; errored and "
        "left out: 1 of the champion's, 3 of the seed's; seed refused: 4 of 100 calls, 4.0%"
    )
    assert told(made_of(arm({}), champion, None)) == {
        "gain": "cannot be told: no train task was scored for both harnesses"
    }
    sealed = (arm({}), arm({"x": [1.0]}))
    assert told(made_of(seed, champion, sealed))["not carried"] == (
        "cannot be told: no sealed task was scored for both harnesses"
    )


# ---- a study --------------------------------------------------------------------------------------------------------


SEED, BETTER = "a" * 64, "b" * 64


async def ran(
    store: Store, name: str, stage: str, subject: str, rewards: Mapping[str, Sequence[float | None]], **more: Any
) -> None:
    """An evaluation with its trials and its decision."""
    tokens, about = more.pop("tokens", 100), {"purpose": Purpose.FIRST.value, "met": None} | more
    plan = [[task, repeat] for task, own in rewards.items() for repeat in range(len(own))]
    harness = BETTER if subject else SEED
    row = Evaluation(id=name, study="s", subject=subject, stage=stage, harness=harness, plan=plan, **about)
    await store.add_evaluation(row)
    for each, own in rewards.items():
        for repeat, reward in enumerate(own):
            begun = start(each, repeat, evaluation=name)
            store.open_trial(begun)
            used = Used(3, tokens - 20, 20) if reward is not None else Used(1)
            await store.close_trial(end(begun.id, reward, used=used))
    known = [each for own in rewards.values() for each in own if each is not None]
    numbers = {"score": sum(known) / len(known), "low": 0.0, "high": 1.0, "trials": len(known), "errored": 0}
    made: dict[str, Any] = {"reason": "", "numbers": numbers, "policy": {"name": "paired"}, "made": "", "kind": "pass"}
    await store.add_decision(DecisionRow(id=name, study="s", subject=subject, stage=stage, **made, **about))


async def fill(path: Path, *, promoted: bool = True, final: bool = False, **changes: Any) -> StoreReader:
    settings: dict[str, Any] = {"retries": {"errored": 1}, "gate": {"policy": "paired"}}
    with Store.open(path) as store:
        sides = {"a": "train", "b": "train", "c": "train", "x": "holdout", "y": "holdout"}
        rows = [task(name, position=place, split=side) for place, (name, side) in enumerate(sides.items())]
        await store.create_study(study(**{"state": "finished", "config": settings, **changes}), rows, "seed")
        await store.add_harness(SEED, "seed")
        await store.add_harness(BETTER, "better")
        before: dict[str, list[float | None]] = {"a": [0.0, 0.0, 1.0], "b": [0.0, 1.0, 1.0], "c": [0.0, 0.0, None]}
        await ran(store, "s/baseline/baseline", "baseline", "", before)
        await ran(store, "s/baseline/holdout", "holdout", "", {"x": [0.0, 1.0], "y": [0.0, 0.0]})
        if promoted:
            row: dict[str, Any] = {"parent": SEED, "edit": [], "fixes": [], "at_risk": []}
            await store.add_candidate(
                Candidate(id="s/c001", study="s", number=1, harness=BETTER, state="promoted", **row)
            )
            means = {"candidate_mean": 0.8, "champion_mean": 0.4, "run": 6, "planned": 6, "p": 0.01, "alpha": 0.1}
            full: dict[str, Any] = {
                "stage": "full",
                "kind": "promote",
                "reason": "",
                "numbers": means,
                "policy": {"name": "paired"},
            }
            await store.add_decision(DecisionRow(id="s/c001/full", study="s", subject="s/c001", made="", **full))
            await ran(store, "s/c001/holdout", "holdout", "s/c001", {"x": [1.0, 1.0], "y": [0.0, 0.0]}, tokens=150)
            after = {"a": [1.0, 1.0], "b": [1.0, 1.0], "c": [1.0, 0.0]}
            await ran(store, "s/c001/audit", "audit", "s/c001", after, tokens=150)
        if final:
            last = {"a": [1.0], "b": [0.0], "c": [0.0]}
            again: dict[str, Any] = {"purpose": Purpose.FINAL.value, "met": 2}
            await ran(store, "s/c001/audit-final-00002", "audit", "s/c001", last, tokens=150, **again)
        await store.flush()
    return StoreReader(path)


def gain(reader: StoreReader) -> MadeOf:
    found = gain_of(reader, scan(reader, "s"), reader.study("s"))
    assert found
    return found


async def test_a_studys_gain_is_read_from_its_trials(tmp_path: Path) -> None:
    found = gain(await fill(tmp_path / "traces.db"))
    assert found.gain
    assert found.compute
    assert found.carried
    assert found.seed == pytest.approx(1 / 3)
    assert found.champion == pytest.approx(5 / 6)
    assert (found.trials, found.errored) == ((8, 6), (1, 0))
    assert (found.compute.ratio, found.compute.seed_tokens, found.compute.champion_tokens) == (1.5, 100, 150)
    assert found.compute.bought.value == pytest.approx((1 / 3 + 1 / 3 + 0) / 3 / 2)
    assert (found.carried.gain.value, found.carried.tasks) == (0.25, 2)
    assert not found.decided_nothing


async def test_the_gain_is_told_by_the_trials_that_decided_nothing(tmp_path: Path) -> None:
    found = gain(await fill(tmp_path / "traces.db", final=True))
    assert found.champion == pytest.approx(1 / 3)
    assert (found.trials, found.decided_nothing) == ((8, 3), True)
    assert " in 3 trials that decided nothing, against 0.333 in 8" in told(found)["gain"]


async def test_trials_that_have_decided_since_are_not_called_innocent(tmp_path: Path) -> None:
    reader = await fill(tmp_path / "traces.db", final=True)
    with Store.open(tmp_path / "traces.db") as store:
        row: dict[str, Any] = {"parent": BETTER, "edit": [], "fixes": [], "at_risk": []}
        await store.add_candidate(Candidate(id="s/c002", study="s", number=2, state="rejected", **row))
    assert not gain(reader).decided_nothing


@pytest.mark.parametrize("state", ["running", "paused"])
async def test_the_sealed_tasks_stay_sealed_until_the_study_has_finished(tmp_path: Path, state: str) -> None:
    reader = await fill(tmp_path / "traces.db", state=state)
    found = gain(reader)
    assert found.carried is None
    assert found.rest is not None
    assert told(found)["not carried"] == "told when the study has finished, as people may steer by it before"
    assert "0.250" not in experiments.render(listing.log(reader, reader.study("s")))


async def test_without_a_champion_or_known_tokens_it_is_said_what_cannot_be_told(tmp_path: Path) -> None:
    found = gain(await fill(tmp_path / "one.db", promoted=False))
    assert found.lines() == [("gain", "cannot be told: no candidate was promoted, so the champion is the seed harness")]
    reader = await fill(tmp_path / "two.db")
    with Store.open(tmp_path / "two.db") as store:
        begun = start("a", 2, evaluation="s/c001/audit")
        store.open_trial(begun)
        await store.close_trial(end(begun.id, 1.0, used=Used(2, 0, 0)))
    assert told(gain(reader))["compute"] == "cannot be told: how many tokens some of these trials took is unknown"


async def test_status_log_and_export_have_it_in_their_json(tmp_path: Path) -> None:
    reader = await fill(tmp_path / "traces.db")
    row = reader.study("s")
    shown = listing.log(reader, row), export(reader, "s", tmp_path / "winner")
    for each in shown:
        told = json.loads(to_json(each))["gain"]
        assert told["gain"]["value"] == 0.5
        assert (told["compute"]["ratio"], told["compute"]["sampling"]) == (1.5, "open")
        assert told["carried"]["gain"]["value"] == 0.25
        assert told["rest"].keys() == {"value", "low", "high"}


async def test_a_run_has_no_gain(tmp_path: Path) -> None:
    reader = await fill(tmp_path / "traces.db", promoted=False, kind="run")
    assert gain_of(reader, scan(reader, "s"), reader.study("s")) is None
    assert "Gain" not in experiments.render(listing.log(reader, reader.study("s")))


async def test_the_log_and_the_card_tell_it_and_the_meta_agent_is_not_told(tmp_path: Path) -> None:
    reader = await fill(tmp_path / "traces.db")
    found = gain(reader)
    book = listing.log(reader, reader.study("s"))
    text, card = experiments.render(book), evidence_card(reader, "s")
    (_, first), *parts = found.lines()
    assert f"\nGain: {first}\n" in text
    assert "## What the gain is made of\n\n- gain: +0.500 [" in card
    for word, said in parts:
        assert f"\n{word.capitalize()}: {said}\n" in text
        assert f"\n- {word}: {said}\n" in card
    sealed = experiments.for_meta_agent(book).everything
    assert "c001 [promoted]" in sealed
    assert not [word for word in ("Gain", "carried", "sampling", "tokens per trial") if word in sealed]
