"""How often each policy promotes what it should and should not, and what a study of 100 candidates costs and finds.

    python -m bench.gate [ROUNDS] [STUDIES]        (1,000 and 60; under three minutes on two cores)

Everything goes through the gate's own `decide`, the loop's own plans and the defaults of config/settings.py. The panel: 58
tasks, of which 28 are stable (solved 95% of the time), 20 flaky (rates evenly from 0.1 to 0.9) and 10 never solved; one run of
an unchanged harness has a standard deviation of 3.9 points. An edit of +d points raises tasks in random order, each by at most
0.5 and up to 0.95, until the mean has risen by d; one of -d lowers them likewise; a trade of d does both.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Literal

from bench.dice import Campaign, Design, outcomes, study
from lorimer.config.gate import GateSettings
from lorimer.meta_agent.gate.statistics.scores import mean_of, sample_variance

WORKERS = 2
PARTS = 4
"""Jobs that a row's rounds are spread over."""


def _paired(**given: Any) -> GateSettings:
    return GateSettings(policy="paired", **given)


DEFAULT = Design("pooled (default)")
PAIRED = Design("paired", GateSettings(policy="paired"))
GROWN = PAIRED.gate.most_champion_repeats
STRICT = Design("strict", GateSettings(policy="strict", repeats=1, champion_repeats=1, champion_every=0))
DESIGNS = (
    DEFAULT,
    Design("pooled, first candidate of a study", earlier=0),
    Design("pooled, 3 repeats", GateSettings(repeats=3, champion_repeats=4)),
    PAIRED,
    Design("paired, of a champion that has stood for long", PAIRED.gate, champion=GROWN),
    Design("paired, first candidate of a study", PAIRED.gate, earlier=0),
    Design("paired, futility 0", _paired(futility=0)),
    Design("paired, 2 repeats", _paired(repeats=2, champion_repeats=4)),
    Design("paired, 1 repeat", _paired(repeats=1, champion_repeats=4)),
    Design("paired, alpha 0.05", _paired(alpha=0.05)),
    Design("eprocess", GateSettings(policy="eprocess", champion_repeats=6)),
    Design("eprocess, futility 0", GateSettings(policy="eprocess", repeats=6, champion_repeats=6, futility=0)),
    STRICT,
)
LIFTS = (0.0, 0.05, 0.10, -0.05)
CAMPAIGNS = (
    DEFAULT,
    Design("pooled, revision 1", GateSettings(revision=1)),
    PAIRED,
    Design("paired, champion tried 6 times at once", _paired(champion_repeats=6, champion_every=0)),
    Design("paired, 2 repeats", _paired(repeats=2, champion_repeats=4)),
    Design("paired, error study", _paired(error="study")),
    STRICT,
)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    studies = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    started = time.perf_counter()
    kinds: tuple[float | Literal["trade"], ...] = (*LIFTS, "trade")
    with ProcessPoolExecutor(WORKERS) as pool:
        ends = {
            design.name: [pool.submit(study, design, Campaign(), seed) for seed in range(studies)]
            for design in CAMPAIGNS
        }
        # The rates that are claimed take the most of the rounds: the default's, and every policy's of no effect.
        sizes = {
            (design.name, kind): rounds * (2 if design is DEFAULT else 1) // (1 if design is DEFAULT or not kind else 4)
            for design in DESIGNS
            for kind in kinds
        }
        cells = {
            (design.name, kind): [
                pool.submit(outcomes, design, kind, sizes[design.name, kind] // PARTS, f"{design.name}/{kind}/{part}")
                for part in range(PARTS)
            ]
            for design in DESIGNS
            for kind in kinds
        }
        print(
            f"Share promoted, its standard error, and mean trials run; {2 * rounds} candidates a cell of the default, ",
            end="",
        )
        print(f"{rounds} without effect and {rounds // 4} of each other kind below it\n")
        print("| gate | repeats, champion's | no effect | +5 points | +10 points | -5 points | +5 and -5 |")
        print("|---|---|---|---|---|---|---|")
        for design in DESIGNS:
            row = [f"{design.name} | {design.gate.repeats}, {design.against}"]
            for kind in kinds:
                found = [job.result() for job in cells[design.name, kind]]
                size = sizes[design.name, kind] // PARTS * PARTS
                promoted, run = sum(each.promoted for each in found), sum(each.trials for each in found)
                error = math.sqrt(promoted * (size - promoted) / size) / size
                row.append(f"{promoted / size:.3f} ± {error:.3f}, {run / size:.0f}")
            print("| " + " | ".join(row) + " |", flush=True)
        plain = sum(job.result().spent for job in ends[STRICT.name]) / studies
        print(
            f"\n{studies} studies of 100 candidates (10 of +4 points, 30 of -4, 60 of none): means ± their standard errors\n"
        )
        print(
            "| gate | true final score | reported minus true | trials, of the plain rule's | promoted: gains, nulls, losses |"
        )
        print("|---|---|---|---|---|")
        for design in CAMPAIGNS:
            ended = [job.result() for job in ends[design.name]]
            true, over, spent = (mean_error([getattr(e, name) for e in ended]) for name in ("true", "over", "spent"))
            good, null, bad = (sum(getattr(e, name) for e in ended) / studies for name in ("gains", "nulls", "losses"))
            print(
                f"| {design.name} | {true[0]:.3f} ± {true[1]:.3f} | {over[0]:+.4f} ± {over[1]:.4f} | {spent[0] / plain:.2f} ± "
                f"{spent[1] / plain:.2f} | {good:.1f} of 10, {null:.1f} of 60, {bad:.2f} of 30 |"
            )
    print(f"\n{time.perf_counter() - started:.0f} s")


def mean_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and its standard error."""
    return mean_of(values), math.sqrt(sample_variance(values) / len(values)) if len(values) > 1 else 0.0


if __name__ == "__main__":
    main()
