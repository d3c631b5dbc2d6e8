"""What traces, wider rounds and replay are worth on the starter benchmark: searches from the same seeds, one per arm.

    python -m bench.searches FILE [SEEDS] [FIRST] [TRIALS]       # default: 10 seeds from 4000, 600 trials each
    python -m bench.searches FILE --replay [SEEDS] [FIRST]       # the demo with its 6 candidates, with replay and without

`one by one` reads traces and makes one proposal per round, `scores alone` is the same with `[meta] traces = false`, and
`four at once` the same with `[search] width = 4`. Such a search ends when its trials are spent. With `--replay` each is a demo,
`with replay` as it comes and `without` with `[replay] enabled = false`. At the end of each the seed harness and the champion run
on the sealed tasks once more, in trials that nothing was decided by.

FILE holds a line of JSON per search. What is in it already is not run again, so a bench that was ended can be begun again, and
two can fill two files at once from seeds of their own (`cat` joins them).
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scipy.stats import t as student  # type: ignore[import-untyped]

from bench.demo import fresh_holdout
from lorimer import scaffold
from lorimer.config.settings import load
from lorimer.demo import SETTINGS
from lorimer.kinds import Purpose
from lorimer.meta_agent.study import campaign
from lorimer.meta_agent.workspace.repository import STORE
from lorimer.terminal.live import Terminal
from lorimer.traces.reading.reader import StoreReader

MODEL = "simulated/apprentice"
STUDY = "demo"
Arms = Mapping[str, Mapping[str, Any]]
"""What each kind of search sets, by its name. All are compared with the first."""
ARMS: Arms = {
    "one by one": {},
    "scores alone": {"meta.traces": False},
    "four at once": {"search.width": 4},
}
REPLAY: Arms = {"with replay": {}, "without": {"replay.enabled": False}}


@dataclass(frozen=True)
class Search:
    """What one search came to."""

    seed: int
    arm: str
    trials: int
    candidates: int
    promoted: int
    first_candidate: int | None
    """The number of the first candidate that was promoted; `None` where none was."""
    first_trials: int | None
    """Trials that had begun by then."""
    train: float
    """The champion's mean reward on train tasks, as the study tells it."""
    sealed_before: float
    """The seed harness's mean reward on sealed tasks, in fresh trials."""
    sealed_after: float
    """The champion's."""
    calls: int = 0
    """Calls of the task model that were paid for."""


def search(seed: int, arm: str, settings: Mapping[str, Any], sealed_before: float | None) -> Search:
    """One search to its end. `sealed_before` is the seed harness's score where another arm of this seed knows it already."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "search")
        scaffold.init(root, source="starter", model=MODEL, harness="plain", own_repository=True)
        own = {"study.name": STUDY, "study.seed": seed, "sandbox.concurrency": 4}
        config = load(root / "lorimer.toml", {**SETTINGS, **own, **settings})
        ended = asyncio.run(campaign.optimize(root, config, Terminal("quiet"), prefer_bubblewrap=True))
        with StoreReader(root / STORE) as reader:
            candidates = reader.candidates(STUDY)
            promoted = [each for each in candidates if each.state == "promoted"]
            first = min(promoted, key=lambda each: each.number) if promoted else None
            about = [each for each in reader.decisions(STUDY) if first is not None and each.subject == first.id]
            # What is decided of a champion later is about another purpose.
            decided = [each.made for each in about if each.purpose == Purpose.FIRST]
            trials = reader.trials(STUDY, limit=None)
            begun = [each.started for each in trials]
            calls = sum(each.model_calls - each.saved_calls for each in trials)
            seed_harness = reader.harness(reader.study(STUDY).seed_harness).text
        if sealed_before is None:
            sealed_before = asyncio.run(fresh_holdout(root, seed_harness, seed)).mean
        champion = (root / "harness" / "agent.py").read_text(encoding="utf-8")
        after = asyncio.run(fresh_holdout(root, champion, seed)).mean if first else sealed_before
    assert ended.final is not None
    return Search(
        seed=seed,
        arm=arm,
        trials=len(begun),
        candidates=len(candidates),
        promoted=len(promoted),
        first_candidate=first.number if first else None,
        first_trials=sum(each <= max(decided) for each in begun) if first else None,
        train=ended.final.mean,
        sealed_before=sealed_before,
        sealed_after=after,
        calls=calls,
    )


def table(found: Sequence[Search], arms: Sequence[str]) -> str:
    """Each arm's means over the seeds that all arms have, and its differences from the first arm with 90% intervals."""
    by = {(each.seed, each.arm): each for each in found}
    seeds = sorted({each.seed for each in found if all((each.seed, arm) in by for arm in arms)})
    rows = [
        "arm           promoted      hold  candidates  to first: candidates  trials    train   sealed: before  after   gain"
        "  live calls"
    ]
    for arm in arms:
        those = [by[seed, arm] for seed in seeds]
        promoted = [each for each in those if each.first_candidate is not None]
        hold = sum(each.sealed_after > each.sealed_before for each in those)

        def mean(of: Callable[[Search], float | None], each: Sequence[Search] = those) -> float:
            return statistics.fmean(of(one) or 0.0 for one in each) if each else float("nan")

        rows.append(
            f"{arm:12}  {len(promoted):3} of {len(seeds):2} {hold:9} {mean(lambda one: one.candidates):10.1f} "
            f"{mean(lambda one: one.first_candidate, promoted):21.1f} {mean(lambda one: one.first_trials, promoted):8.0f} "
            f"{mean(lambda one: one.train):9.3f} {mean(lambda one: one.sealed_before):15.3f} "
            f"{mean(lambda one: one.sealed_after):6.3f} {mean(lambda one: one.sealed_after - one.sealed_before):+6.3f} "
            f"{mean(lambda one: one.calls):11.0f}"
        )
    for arm in arms[1:]:
        told = [
            f"{name} {_difference([value(by[seed, arm]) - value(by[seed, arms[0]]) for seed in seeds], digits)}"
            for name, value, digits in (
                ("sealed", lambda one: one.sealed_after, 3),
                ("train", lambda one: one.train, 3),
                ("promotions", lambda one: float(one.promoted), 1),
                (
                    "trials to the first (all of them where there is none)",
                    lambda one: one.first_trials or one.trials,
                    0,
                ),
                ("live calls", lambda one: float(one.calls), 0),
            )
        ]
        rows.append(f"{arm} minus {arms[0]}: {'; '.join(told)}")
    return "\n".join(rows)


def _difference(differences: Sequence[float], digits: int) -> str:
    """Their mean with its 90% interval, where enough of them are known for one."""
    mean = statistics.fmean(differences) if differences else float("nan")
    if len(differences) < 2:
        return f"{mean:+.{digits}f}"
    # Student's t: with so few seeds their spread is itself a guess.
    half = float(student.ppf(0.95, len(differences) - 1)) * statistics.stdev(differences) / len(differences) ** 0.5
    return f"{mean:+.{digits}f} [{mean - half:+.{digits}f}, {mean + half:+.{digits}f}]"


def main() -> None:
    replay = "--replay" in sys.argv
    file, *said = (word for word in sys.argv[1:] if word != "--replay")
    seeds, first, trials = (int(word) for word in [*said, *("10", "4000", "600")[len(said) :]])
    arms, budget = (REPLAY, {"budget.candidates": 6}) if replay else (ARMS, {"budget.trials": trials})
    there = Path(file)
    lines = there.read_text(encoding="utf-8").splitlines() if there.exists() else []
    found = [Search(**json.loads(line)) for line in lines]
    for seed in range(first, first + seeds):
        for arm, settings in arms.items():
            known = [each for each in found if each.seed == seed]
            if any(each.arm == arm for each in known):
                continue
            found.append(search(seed, arm, {**budget, **settings}, known[0].sealed_before if known else None))
            with there.open("a", encoding="utf-8") as out:
                out.write(json.dumps(asdict(found[-1])) + "\n")
    print(table(found, list(arms)))


if __name__ == "__main__":
    main()
