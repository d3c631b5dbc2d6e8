"""What a study finds and costs with replay, and without: the cell `replay` of `bench.gate`.

    python -m bench.gate_replay [STUDIES]        (60; about three minutes on two cores)

Studies of 100 candidates, as in `bench.gate`, in which 40 edits touch every recorded trial of the champion at its first request,
10 touch none, and the others touch 30% of the trials at 40% of their length, all at 85%, or 12% at 20% (`bench.touches`). With
replay, what touches nothing is refused, and the spot-check of what touches later is run in pairs. In the second table 100 edits
without effect are keyed to the failed trials that were read: run again, those come out otherwise, and nothing else does.

The cost is live: what of a pair is recorded costs nothing.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor

from bench.dice import PANEL, Campaign, Design, study
from bench.gate import DEFAULT, WORKERS, mean_error

REPLAYED = Design("pooled, with replay", replays=True)
TABLES = {
    "edits that touch all at once, later, or nothing": Campaign(touching="some"),
    "edits without effect, keyed to failed trials that were read": Campaign(mix=((0.0, 100),), touching="read"),
}


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    started = time.perf_counter()
    plain = 101 * len(PANEL)
    with ProcessPoolExecutor(WORKERS) as pool:
        jobs = {
            (name, design.name): [pool.submit(study, design, play, seed) for seed in range(studies)]
            for name, play in TABLES.items()
            for design in (DEFAULT, REPLAYED)
        }
        print(f"{studies} studies: means ± their standard errors")
        for name in TABLES:
            print(f"\n{name}\n")
            print("| gate | true final score | trials, of the plain rule's | gains | nulls | losses |")
            print("|---|---|---|---|---|---|")
            for design in (DEFAULT, REPLAYED):
                ended = [job.result() for job in jobs[name, design.name]]
                found = [
                    mean_error(values)
                    for values in (
                        [each.true for each in ended],
                        [each.spent / plain for each in ended],
                        [each.gains for each in ended],
                        [each.nulls for each in ended],
                        [each.losses for each in ended],
                    )
                ]
                print(f"| {design.name} | " + " | ".join(f"{m:.3f} ± {e:.3f}" for m, e in found) + " |", flush=True)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
