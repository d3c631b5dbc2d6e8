"""What the gate makes of trials that errored, on the panel of `bench.gate`.

    python -m bench.gate_errors [ROUNDS]        (1,200 candidates per cell; two minutes on two cores)

Nothing of an errored trial can be scored. They are as frequent in both arms, more frequent in one, or fall on the trials of the
candidate that were about to fail, as a harness could bring about that crashes where it is stuck.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor

from bench.dice import NO_ERRORS, Errors, outcomes
from bench.gate import DEFAULT, PAIRED, PARTS, WORKERS

CASES = {
    "none": (NO_ERRORS, NO_ERRORS),
    "4%, 4%": (Errors(0.04), Errors(0.04)),
    "8%, 4%": (Errors(0.08), Errors(0.04)),
    "4%, 8%": (Errors(0.04), Errors(0.08)),
    "10% of the candidate's failures": (Errors(of_failed=0.1), NO_ERRORS),
    "30% of the candidate's failures": (Errors(of_failed=0.3), NO_ERRORS),
}
"""Errors of the candidate's trials and of the champion's."""
LIFTS = (0.0, 0.05, 0.10)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1_200
    started = time.perf_counter()
    with ProcessPoolExecutor(WORKERS) as pool:
        cells = {
            (design.name, name, points): [
                pool.submit(outcomes, design, points, rounds // PARTS, f"{name}/{points}/{part}", errors)
                for part in range(PARTS)
            ]
            for design in (DEFAULT, PAIRED)
            for name, errors in CASES.items()
            for points in LIFTS
        }
        print(f"Share promoted, and the largest share left undecided; {rounds} candidates per cell\n")
        print("| gate | errors | no effect | +5 points | +10 points | undecided, at most |")
        print("|---|---|---|---|---|---|")
        for design in (DEFAULT, PAIRED):
            for name in CASES:
                shares, undecided = [], []
                for points in LIFTS:
                    found = [job.result() for job in cells[design.name, name, points]]
                    shares.append(sum(each.promoted for each in found) / (rounds // PARTS * PARTS))
                    undecided.append(sum(each.undecided for each in found) / (rounds // PARTS * PARTS))
                row = " | ".join(f"{share:.3f}" for share in shares)
                print(f"| {design.name} | {name} | {row} | {max(undecided):.3f} |", flush=True)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
