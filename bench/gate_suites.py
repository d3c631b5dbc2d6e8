"""What the default gate does on other suites, in other hours, and with edits that do not carry over.

    python -m bench.gate_suites [STUDIES]        (60; about a quarter of an hour on two cores)

Studies of 100 candidates each, as in `bench.gate`. Costs are in trials of the plain rule on the same suite: 101 runs of it.
"""

from __future__ import annotations

import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from bench.dice import PANEL, Campaign, Chances, Design, confirm, edited, names, study, trials
from bench.gate import WORKERS, mean_error
from lorimer.config.gate import GateSettings
from lorimer.meta_agent.gate.comparison import Evidence
from lorimer.meta_agent.gate.statistics.policies import Policy
from lorimer.meta_agent.gate.statistics.scores import Result
from lorimer.meta_agent.gate.transfer import Met, sealed_verdict

DEFAULT = Design("pooled (default)")
NULLS = ((0.0, 100),)
HALF = (0.5,) * 58
SMALL = PANEL[:6] + PANEL[28:48:5] + PANEL[48:50]
LARGE = (0.95,) * 145 + tuple(0.1 + 0.8 * step / 103 for step in range(104)) + (0.0,) * 51
WEAK = (0.95,) * 8 + tuple(0.1 + 0.8 * step / 29 for step in range(30)) + (0.0,) * 20
"""58 tasks of a weak model: it never solves a third of them."""
FOUND = {
    "edits on few tasks": Campaign(),
    "edits spread thin": Campaign(shape="thin"),
    "edits that gain and lose": Campaign(shape="mixed"),
    "what is never solved is beyond all edits, few tasks": Campaign(beyond=True),
    "what is never solved is beyond all edits, thin": Campaign(shape="thin", beyond=True),
    "the same, few tasks, a weak model": Campaign(WEAK, beyond=True),
}
DESIGNS = (DEFAULT, Design("revision 2", GateSettings(revision=2)))
LUCK = {
    "58 tasks": Campaign(mix=NULLS),
    "12 tasks": Campaign(SMALL, NULLS),
    "300 tasks": Campaign(LARGE, NULLS),
    "58 tasks, all solved half of the time": Campaign(HALF, NULLS),
    "58 tasks, rewards in quarters": Campaign(mix=NULLS, graded=True),
    "58 tasks, all harnesses 3 points better half way": Campaign(mix=NULLS, drift=0.03),
    "58 tasks, a tenth of the stages at .8 of the rates": Campaign(mix=NULLS, bad=0.1),
    "58 tasks, 60% of the edits at -10": Campaign(mix=((-0.1, 60), (0.0, 40))),
    "58 tasks, 90% of the edits at -10": Campaign(mix=((-0.1, 90), (0.0, 10))),
    "all solved half of the time, 60% at -10": Campaign(HALF, ((-0.1, 60), (0.0, 40))),
    "all solved half of the time, 90% at -10": Campaign(HALF, ((-0.1, 90), (0.0, 10))),
}
SEALED = (12, 25)
EDITS = ((0.2, 0.0), (0.05, 0.05), (0.05, -0.06), (0.0, 0.0))
"""Points on train tasks, and on sealed ones."""
ROW = 30
"""Edits in a row, of those that gain on train tasks what they lose on sealed ones."""


def vetoes(sealed: int, edit: tuple[float, float], row: int, rounds: int, seed: str) -> tuple[int, int, list[float]]:
    """How many confirmed edits the sealed tasks veto, of how many, and what each row of edits did to the true sealed score."""
    dice, gate, policy = random.Random(seed), GateSettings(), Policy(name="pooled")
    vetoed = asked = 0
    moved = []
    for _ in range(rounds):
        train, held = list(PANEL), [dice.choice(PANEL) for _ in range(sealed)]
        began = sum(held) / sealed
        seed_train = trials(train, names(train) * gate.first_champion_repeats, dice)
        seed_held = trials(held, names(held) * gate.holdout_repeats, dice)
        for _ in range(row):
            train_after, held_after = edited(train, edit[0], dice), edited(held, edit[1], dice)
            answer, mine, theirs = confirm(DEFAULT, train_after, train, dice)
            if answer.kind != "pass":
                continue
            after = trials(held_after, names(held) * gate.holdout_repeats, dice)
            before = trials(held, names(held) * gate.holdout_repeats, dice)
            asked += 1
            if _vetoed(policy, (mine, theirs, seed_train), (after, before, seed_held)):
                vetoed += 1
                continue
            train, held = train_after, held_after
        moved.append(sum(held) / sealed - began)
    return vetoed, asked, moved


def _vetoed(
    policy: Policy,
    train: tuple[list[Result], list[Result], list[Result]],
    sealed: tuple[list[Result], list[Result], list[Result]],
) -> bool:
    (mine, theirs, first), (after, before, held) = train, sealed
    evidence = Evidence(after, before, [each.task for each in after])
    step, whole = Met((mine, theirs), (after, before)), Met((mine, first), (after, held))
    return sealed_verdict(evidence, policy, step, whole, 1).kind == "reject"


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    started = time.perf_counter()
    with ProcessPoolExecutor(WORKERS) as pool:
        found = {
            (name, design.name): [pool.submit(study, design, play, n) for n in range(studies)]
            for name, play in FOUND.items()
            for design in DESIGNS
        }
        luck = {name: [pool.submit(study, DEFAULT, play, n) for n in range(studies)] for name, play in LUCK.items()}
        carried = {
            (sealed, edit): pool.submit(vetoes, sealed, edit, 1, 10 * studies, f"{sealed}/{edit}")
            for sealed in SEALED
            for edit in EDITS
        }
        rows = {sealed: pool.submit(vetoes, sealed, EDITS[2], ROW, studies, f"{sealed}/row") for sealed in SEALED}
        print(f"{studies} studies: means ± their standard errors\n")
        print(
            "| edits | gate | true final score | reported minus true | trials, of the plain rule's "
            "| promoted: gains, nulls, losses |"
        )
        print("|---|---|---|---|---|---|")
        for (name, gate), jobs in found.items():
            ended = [job.result() for job in jobs]
            true, over, spent = (
                mean_error([getattr(each, key) for each in ended]) for key in ("true", "over", "spent")
            )
            won = [sum(getattr(each, key) for each in ended) / studies for key in ("gains", "nulls", "losses")]
            print(
                f"| {name} | {gate} | {true[0]:.3f} ± {true[1]:.3f} | {over[0]:+.4f} ± {over[1]:.4f} "
                f"| {spent[0] / _plain(PANEL):.2f} ± {spent[1] / _plain(PANEL):.2f} "
                f"| {won[0]:.1f} of 10, {won[1]:.1f} of 60, {won[2]:.2f} of 30 |",
                flush=True,
            )
        print(
            "\n| suite, and the other edits | edits without effect promoted | losses promoted | trials, of the plain rule's |"
        )
        print("|---|---|---|---|")
        for name, play in LUCK.items():
            ended = [job.result() for job in luck[name]]
            many = dict(play.mix)
            null = mean_error([each.nulls / many[0.0] for each in ended])
            lost = sum(each.losses for each in ended) / studies / many.get(-0.1, 1)
            spent = mean_error([each.spent / _plain(play.panel) for each in ended])
            print(f"| {name} | {null[0]:.3f} ± {null[1]:.3f} | {lost:.4f} | {spent[0]:.2f} |", flush=True)
        print("\n| points on train tasks, on sealed ones | " + " | ".join(f"vetoed by {n}" for n in SEALED) + " |")
        print("|---|---|---|")
        for edit in EDITS:
            shares = [carried[sealed, edit].result()[:2] for sealed in SEALED]
            print(
                f"| {edit[0]:+.2f}, {edit[1]:+.2f} | "
                + " | ".join(f"{v / max(1, n):.3f} of {n}" for v, n in shares)
                + " |"
            )
        ends = [mean_error(rows[sealed].result()[2]) for sealed in SEALED]
        print(
            f"| {ROW} of +0.05, -0.06: the true sealed score moves by | "
            + " | ".join(f"{mean:+.3f} ± {error:.3f}" for mean, error in ends)
            + " |"
        )
    print(f"\n{time.perf_counter() - started:.0f} s")


def _plain(panel: Chances) -> int:
    return 101 * len(panel)


if __name__ == "__main__":
    main()
