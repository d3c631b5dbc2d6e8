"""The log of experiments: what the meta-agent is told where not all of it fits, and each experiment's first line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorimer.kinds import Stage
from lorimer.meta_agent.gate.comparison import Decision, Evidence
from lorimer.meta_agent.gate.cost import Paid, within_cost
from lorimer.meta_agent.gate.decide import decide
from lorimer.meta_agent.gate.reported.false_promotions import expect
from lorimer.meta_agent.gate.statistics.policies import Policy, Value
from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.gate.verdicts import SpotTrial, spot_verdict
from lorimer.meta_agent.ledger.experiments import Entry, Ledger, render
from lorimer.meta_agent.ledger.foreseen import DecidedRun, lines
from lorimer.meta_agent.ledger.telling import came_of
from lorimer.meta_agent.proposer.log import TIGHT, Log, ToldExperiment
from lorimer.traces.tables import DecisionRow

HEAD = "Baseline (the seed harness): 0.500"


def experiment(number: int, kind: str = "prompt", ended: str = "rejected in the spot-check") -> ToldExperiment:
    whole = f"c{number:03} [rejected] Edit {number}: it broke things\n  hypothesis: {'words ' * 40}\n  spot: rejected {number}"
    return ToldExperiment(f"c{number:03}", whole, "rejected", f"Edit {number}", ended, kind)


EXPERIMENTS = tuple(experiment(number) for number in range(1, 201))
SHORT = [f"c{number:03} [rejected] Edit {number}: rejected in the spot-check" for number in range(1, 201)]
OTHERS = "[Others are told by a line each; experiment_log tells any in full, by its name.]"


def test_a_log_that_fits_is_told_whole() -> None:
    log = Log(HEAD, EXPERIMENTS[:6])
    assert log.within(10**6) == "\n".join([HEAD, "", *(each.whole for each in EXPERIMENTS[:6])])


def test_the_newest_experiments_are_told_whole_others_by_a_line_and_the_rest_is_counted() -> None:
    text = Log(HEAD, EXPERIMENTS).within(10**6)
    assert TIGHT * 0.8 < len(text) <= TIGHT, "however much room there is"
    assert text.endswith("\n".join(each.whole for each in EXPERIMENTS[-3:]))
    assert text.splitlines()[:3] == [HEAD, "", OTHERS]
    lines = [line for line in text.splitlines() if line in SHORT]
    assert lines == SHORT[-3 - len(lines) : -3]
    assert 25 < len(lines) < 60
    left = 200 - 3 - len(lines)
    assert text.splitlines()[3] == f"[Left out: {left}. prompt: {left} rejected in the spot-check.]"


def test_what_is_left_out_is_counted_by_kind_and_by_what_ended_it() -> None:
    old = [
        *(experiment(number, "tool", "rejected in the full run") for number in range(1, 4)),
        *(experiment(number, "", "") for number in range(4, 6)),
        ToldExperiment("c006", "c006 [failed] no usable edit", "failed", "", "no usable edit"),
        replace(experiment(7, "tool", ""), state="promoted"),
    ]
    text = Log(HEAD, (*old, *EXPERIMENTS[7:])).within(10**6)
    assert re.search(
        r"^\[Left out: \d+\. prompt: \d+ rejected in the spot-check; tool: 3 rejected in the full run, 1 promoted; "
        r"kind not stated: 2 rejected; 1 held no usable edit\.\]$",
        text,
        re.MULTILINE,
    )


def test_a_longer_study_takes_no_more_room() -> None:
    short, long = (len(Log(HEAD, EXPERIMENTS * times).within(10**6)) for times in (1, 50))
    assert abs(short - long) < 0.02 * short


def test_of_a_newest_experiment_that_does_not_fit_the_first_line_is_kept() -> None:
    one = experiment(1)
    log = Log(
        HEAD,
        (one, ToldExperiment("c002", f"c002 [failed] no usable edit\n{'x ' * 5_000}", "failed", "", "no usable edit")),
    )
    text = log.within(2_000)
    assert len(text) <= 2_000
    assert text.splitlines()[:5] == [HEAD, "", OTHERS, SHORT[0], "c002 [failed] no usable edit"]
    assert log.within(60) == "c002 [failed] no usable edit"


def test_the_experiments_most_alike_are_told_whole_before_newer_ones() -> None:
    tried = [*EXPERIMENTS]
    whole = "c005 [rejected] Verify the output with a command: it broke things\n  hypothesis: nobody reads it again"
    tried[4] = replace(tried[4], whole=whole)
    text = Log(HEAD, tuple(tried)).within(5_000, "read the output again, and verify it")
    assert whole in text
    assert whole not in Log(HEAD, tuple(tried)).within(5_000)
    assert EXPERIMENTS[-1].whole in text


def test_any_experiment_can_be_read_whole_by_its_name() -> None:
    log = Log(HEAD, EXPERIMENTS).after(Log("before", (EXPERIMENTS[6].under("study-1"),)))
    for name in ("c007", " `C007` ", "7", "[c007]"):
        assert log.one(name, 10**6) == EXPERIMENTS[6].whole
    assert log.one("study-1/c007", 10**6) == f"study-1/{EXPERIMENTS[6].whole}"
    assert len(log.one("c007", 200)) <= 200
    assert log.one("c999", 10**6) == ""


def test_what_was_foreseen_is_counted_by_kind() -> None:
    def outcome(kind: str, promoted: bool, fixes: str, risk: str, better: str, worse: str) -> DecidedRun:
        return DecidedRun(kind, promoted, *(frozenset(each) for each in (fixes, risk, better, worse)))

    assert lines([]) == []
    assert lines(
        [
            outcome("prompt", False, "ab", "c", "a", "de"),
            outcome("prompt", True, "d", "", "de", ""),
            outcome("", False, "", "b", "", "b"),
        ]
    ) == [
        "Predictions of the last 3 with a full run: 2 of 3 tasks that they should fix did better; 1 of 3 tasks that did worse "
        "were named as at risk.",
        "Kinds of these edits: prompt: 2 tested, 1 promoted, 1 did worse on more tasks than better; not stated: 1 tested, "
        "0 promoted, 1 did worse on more tasks than better.",
    ]


@given(st.integers(300, 20_000), st.lists(st.integers(0, 3_000), max_size=40))
def test_no_log_is_longer_than_its_room_and_the_newest_is_never_left_out(room: int, sizes: list[int]) -> None:
    experiments = [
        ToldExperiment(f"c{n:03}", f"c{n:03} [x] tried\n{'x' * size}", "x", "tried") for n, size in enumerate(sizes)
    ]
    text = Log(HEAD, tuple(experiments)).within(room)
    assert len(text) <= room
    if experiments:
        assert f"c{len(sizes) - 1:03} [x] tried" in text


def test_people_are_told_the_newest_in_full_and_that_all_can_be_told() -> None:
    nothing: tuple[str, ...] = ()
    entries = tuple(
        Entry(
            f"s/c00{n}",
            n,
            "failed",
            f"Edit {n}",
            f"Hope {n}.",
            nothing,
            nothing,
            "no edit",
            "why",
            (),
            nothing,
            nothing,
            "p",
            None,
        )
        for n in (1, 2, 3)
    )
    told = Ledger("s", "0.5", "the seed harness: 0.5", entries, expect([], {}, []))
    lines = ["c001 [failed] Edit 1: no edit", "c002 [failed] Edit 2: no edit", "c003 [failed] Edit 3: no edit"]
    assert render(told, 1).splitlines()[2:] == [
        "",
        "Of 3 experiments the newest 1 are told in full; `lorimer log --all --study s` tells all.",
        "",
        *lines,
        "  hypothesis: Hope 3.",
    ]
    assert render(told, 3) == render(told)
    assert "  hypothesis: Hope 1." in render(told).splitlines()


# ---- what came of an experiment ----------------------------------------------------------------------------------------


def row(stage: Stage, decision: Decision) -> DecisionRow:
    fields: dict[str, Any] = {
        "id": f"s/c001/{stage}",
        "study": "s",
        "subject": "s/c001",
        "purpose": "first",
        "policy": {},
    }
    return DecisionRow(
        **fields,
        stage=stage.value,
        kind=decision.kind,
        reason=decision.reason,
        numbers=dict(decision.numbers),
        made="now",
    )


def results(rewards: Mapping[str, tuple[float | None, ...]]) -> list[Result]:
    return [Result(task, reward) for task, found in rewards.items() for reward in found]


Arm = Mapping[str, tuple[float | None, ...]]


def full(mine: Arm, theirs: Arm, policy: Policy, *, whole: bool = True) -> DecisionRow:
    found = decide(
        Evidence(results(mine), results(theirs), [task for task in theirs for _ in range(2)]), policy, whole=whole
    )
    return row(Stage.FULL, found)


TASKS = [f"t{number}" for number in range(12)]
NEVER = dict.fromkeys(TASKS, (0.0, 0.0))
HALF = dict.fromkeys(TASKS, (1.0, 0.0))
ALWAYS = dict.fromkeys(TASKS, (1.0, 1.0))
SPOT = [SpotTrial("t1", "fix", 0.0, 0.0), SpotTrial("t2", "fix", 0.0, 0.0)]
PASSED = row(Stage.SPOT, Decision("pass", "passed the spot-check"))


GUARDS = [SpotTrial("t3", "guard", 0.0, 1.0), SpotTrial("t4", "guard", 1.0, 1.0)]
SOME = {**NEVER, "t0": (1.0, 0.0)}


@pytest.mark.parametrize(
    ("state", "decisions", "line"),
    [
        ("proposing", [], "a proposal is under way"),
        ("proposed", [PASSED], "it is not decided yet"),
        (
            "rejected",
            [row(Stage.SPOT, spot_verdict([*SPOT, *GUARDS]))],
            "in the spot-check it broke 1 of 2 tasks that the champion solves and did better in none of 2 trials on tasks "
            "that it should fix, so it does harm, and no full run was made",
        ),
        (
            "rejected",
            [PASSED, full(SOME, NEVER, Policy())],
            "it scored 0.042 against the champion's 0.000 (p = 0.50, needs p <= 0.10), which does not show that it is better, "
            "so the champion stays",
        ),
        (
            "rejected",
            [PASSED, full(HALF, HALF, Policy(name="strict"))],
            "it scored 0.500 against the champion's 0.500, which does not show that it is better, so the champion stays",
        ),
        (
            "rejected",
            [PASSED, full(HALF, HALF, Policy(name="eprocess"))],
            "it scored 0.500 against the champion's 0.500 (evidence 1 to 1, needs 10), which does not show that it is better, "
            "so the champion stays",
        ),
        (
            "rejected",
            [PASSED, full(NEVER, ALWAYS, Policy(), whole=False)],
            "after 0 of 24 trials no outcome of the rest could have shown it to be better, so the champion stays",
        ),
        (
            "undecided",
            [PASSED, full({**HALF, "t0": (None, None)}, HALF, Policy(max_errored=0.05))],
            "2 of the candidate's 24 trials errored, over the 5% that are allowed, so nothing is known of the edit",
        ),
        (
            "undecided",
            [PASSED, row(Stage.HOLDOUT, Decision("undecided", "undecided: 2 of 24 trials on the holdout errored"))],
            "the sealed holdout could not tell whether its gain holds on unseen tasks, so the champion stays",
        ),
        (
            "promoted",
            [
                PASSED,
                full(ALWAYS, HALF, Policy(name="strict")),
                row(Stage.AUDIT, Decision("pass", "0.9", {"score": 0.9})),
            ],
            "it scored 1.000 against the champion's 0.500, so it is better and became the champion (score 0.900 in fresh trials)",
        ),
    ],
)
def test_one_line_says_what_happened_and_what_it_means(state: str, decisions: list[DecisionRow], line: str) -> None:
    assert came_of(state, "", decisions) == line


def test_a_run_that_was_cut_short_says_how_far_it_came() -> None:
    numbers: dict[str, Value] = {"candidate_mean": 0.25, "champion_mean": 0.5, "run": 9, "planned": 24, "early": True}
    certain = row(Stage.FULL, Decision("reject", "rejected", numbers))
    likely = row(Stage.FULL, Decision("reject", "rejected", numbers | {"chance": 0.01}))
    so_far = "after 9 of 24 trials it scored 0.250 against the champion's 0.500 on the same tasks, and "
    assert came_of("rejected", "", [certain]).startswith(
        f"{so_far}no outcome of the rest could have shown it to be better"
    )
    assert came_of("rejected", "", [likely]).startswith(
        f"{so_far}an edit worth finding would be promoted from there with a chance of 1%, so the champion stays"
    )
    for chance, said in ((0.004, "less than 1%"), (0.4196, "42%")):
        likely = row(Stage.FULL, Decision("reject", "rejected", numbers | {"chance": chance}))
        assert f" with a chance of {said}, so the champion stays" in came_of("rejected", "", [likely])


def test_a_promotion_after_some_of_the_tasks_says_that_its_scores_are_of_these() -> None:
    numbers: dict[str, Value] = {"candidate_mean": 0.25, "champion_mean": 0.0, "tasks": 19, "run": 28, "planned": 56}
    early, whole = (Decision("promote", "passed", numbers | more) for more in ({"early": True}, {}))
    became = "so it is better and became the champion"
    told = came_of("promoted", "", [row(Stage.FULL, early)])
    assert told == f"it scored 0.250 against the champion's 0.000 on the 19 tasks that were run, {became}"
    told = came_of("promoted", "", [row(Stage.FULL, whole)])
    assert told == f"it scored 0.250 against the champion's 0.000, {became}"


ROUTES = [("simpler", "it is no worse, and simpler"), ("tokens", "it is no worse, and costs less")]


@pytest.mark.parametrize(("route", "said"), ROUTES)
def test_a_promotion_that_was_no_gain_says_what_it_was(route: str, said: str) -> None:
    numbers: dict[str, Value] = {"candidate_mean": 0.5, "champion_mean": 0.5, "route": route}
    told = came_of("promoted", "", [row(Stage.FULL, Decision("promote", "promoted", numbers))])
    assert told == f"it scored 0.500 against the champion's 0.500, so {said} and became the champion"


def test_a_candidate_that_costs_too_much_is_told_by_its_cost() -> None:
    better = decide(
        Evidence(results(ALWAYS), results(HALF), [task for task in TASKS for _ in range(2)]), Policy(name="strict")
    )
    mine, theirs = ({task: [cost] for task in TASKS} for cost in (300.0, 200.0))
    kept = within_cost(
        better, Paid({"tokens": mine}, {"tokens": theirs}), "auto", Policy("strict", max_cost_increase=0.1)
    )
    assert came_of("rejected", "", [PASSED, row(Stage.FULL, kept)]) == (
        "it scored 1.000 against the champion's 0.500, so it is better, but a trial costs 300 tokens against the "
        "champion's 200 tokens, over the 220 tokens that its gain allows, so the champion stays; the same gain at less "
        "cost could be promoted"
    )
    # As the bound was before it knew of gains.
    older: dict[str, Value] = {
        "candidate_mean": 1.0,
        "champion_mean": 0.5,
        "cost": 3.0,
        "champion_cost": 2.0,
        "cost_unit": "tokens",
    }
    assert came_of("rejected", "", [PASSED, row(Stage.FULL, Decision("reject", "rejected", older))]) == (
        "it scored 1.000 against the champion's 0.500, but a trial costs 3 tokens against 2, over gate.max_cost_increase, so the "
        "champion stays"
    )
