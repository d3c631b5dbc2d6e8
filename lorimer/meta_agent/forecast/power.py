"""What a study can find, before it is paid for: the gate's own rules, played on the champion's dice. Pure and seeded.

Every simulated candidate goes the way of a real one (`playing`). The holdout's veto, and the audit where it only measures, are
counted in trials, not played: they can only take promotions away.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context

from lorimer.config.settings import BudgetSettings
from lorimer.meta_agent.forecast import panel as panels
from lorimer.meta_agent.forecast.enough import Lacking, lacking
from lorimer.meta_agent.forecast.panel import Panel
from lorimer.meta_agent.forecast.playing import EARLIER, Mapper, Promotions, simulate
from lorimer.meta_agent.forecast.spending import NOTHING, Affordable, Costs, Spending, afford
from lorimer.meta_agent.gate.design import Design, best_result, too_small
from lorimer.meta_agent.gate.statistics.kept import Kept
from lorimer.meta_agent.gate.statistics.scores import Result, Score, score

WANTED = 0.8
"""The chance with which a gain counts as detectable."""
TRIALS_PER_GAIN = 24_000
"""Simulated trials of candidates for each gain: with 58 tasks and 3 repeats 137 candidates, 10 s of one core in all."""
ALONE = 500_000
"""Simulated trials in all up to which starting more processes takes longer than it saves: at 214,000 one process took 3.2 to
3.8 s and two took 4.4 to 4.7 (two cores)."""
MOST_ROUNDS, FEWEST_ROUNDS = 250, 40
NULL_ROUNDS = 3
"""Times as many candidates for the rate of false promotions, which is small."""
GAINS = (0.03, 0.05, 0.10)
"""Gains that are always tried, where the suite has room for them: a small, a middling and a large one."""
STEP = 0.01
"""The smallest gain is searched for in whole points: shares of 250 candidates tell no finer ones apart."""
STEPS = 4
"""Further gains that the search for the smallest one tries, about."""


@dataclass(frozen=True)
class Forecast:
    """What `lorimer power` says."""

    source: str
    """Where the champion's rewards are from."""
    study: str
    """Whose trials they are; empty where they are assumed."""
    assumed: bool
    tasks: int
    holdout: int
    test: int
    """Tasks that the study does not run at all."""
    policy: str
    alpha: float
    level: float
    """The level of the first test: alpha, or less where it is for a whole study."""
    error: str
    repeats: int
    champion_repeats: int
    score: Score | None
    """The score of the trials; `None` where they are assumed."""
    reachable: bool
    """Whether any result at all would be promoted."""
    best: str
    """The decision on the best result there can be, in the gate's words."""
    start: Spending
    """The baseline, before the first candidate. Nothing where it has been run."""
    candidates: int | None
    """`budget.candidates`."""
    warnings: tuple[str, ...]
    rest_of: str = ""
    """The study of which this is what is left; empty where it is of a new one."""
    lacking: Lacking | None = None
    """What the trials lack: then nothing below is known, and all of it is `None` or empty."""
    mean: float | None = None
    """The champion's expected score."""
    noise: float | None = None
    """Standard deviation of the score of one run of the same harness, each task once."""
    null: Promotions | None = None
    """An unchanged harness against itself."""
    strict: Promotions | None = None
    """The same under the plain rule."""
    detectable: float | None = None
    """The smallest gain that is promoted with chance `WANTED`; `None` where there is none."""
    room: float | None = None
    """The largest gain that was tried: what the suite has room for."""
    curve: tuple[Promotions, ...] = ()
    """All gains tried, smallest first."""
    first: tuple[Promotions, ...] = ()
    """Some of these gains, of a study's first candidate, which no earlier one has gone before; empty where that makes no
    difference, or the study has had it."""
    null_candidate: Spending | None = None
    """One candidate without effect."""
    good_candidate: Spending | None = None
    """One of the smallest detectable gain, with its holdout and audit."""
    study_total: Spending | None = None
    """A whole study of `budget.candidates`, if none of them had an effect."""
    affordable: Affordable | None = None


# ---- the forecast ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Basis:
    """What a study is forecast from."""

    panel: Panel
    source: str
    """Where the panel is from, in words."""
    study: str = ""
    """Whose trials they are."""
    trials: Sequence[Result] = ()
    """The champion's, where there are any."""
    holdout: int = 0
    """Sealed tasks."""
    test: int = 0
    """Tasks kept for the test."""
    spent: Spending | None = None
    """What the study has used already: its baseline need then not be paid again."""
    proposed: int = 0
    """Candidates that it has tried already."""
    costs: Costs = field(default_factory=Costs)
    """What a trial and a proposal cost, as far as it is known."""
    remarks: Sequence[str] = ()
    """What the user should know of the source."""
    more: str = ""
    """The command that gets trials enough, where there are too few."""


def forecast(
    design: Design,
    known: Basis,
    *,
    budget: BudgetSettings | None = None,
    concurrency: int = 1,
    seed: int = 0,
    rounds: int | None = None,
    workers: int = 1,
) -> Forecast:
    """Everything that can be said of a study with this gate on this panel.

    Args:
        budget: what the study may use; unset bounds where there is none.
        concurrency: trials at once.
        rounds: simulated candidates per gain; chosen by the suite's size where not given.
        workers: processes for a large suite. They change no number.
    """
    budget, panel, trials = budget or BudgetSettings(), known.panel, known.trials
    lack = lacking(panel.seen, known.more, known.study) if trials else None
    few = lack is not None and lack.kind == "few"
    # What is true of a few tasks is not of the suite: neither that they leave nothing to win, nor what a trial costs.
    standing = trials if not few or all(panel.seen.values()) else ()
    costs = Costs() if few else known.costs
    best = best_result(design, panel.tasks, standing)
    baseline = len(panel.tasks) * design.champion_repeats + known.holdout * design.holdout_repeats
    undrawn = Forecast(
        source=known.source,
        study=known.study,
        assumed=panel.assumed is not None or not trials,
        tasks=len(panel.tasks),
        holdout=known.holdout,
        test=known.test,
        policy=design.policy.name,
        alpha=design.policy.alpha,
        level=design.first.alpha,
        error=design.error,
        repeats=design.repeats,
        champion_repeats=design.against,
        score=score(trials) if trials else None,
        reachable=best.kind == "promote",
        best=best.reason,
        start=costs.of(0.0 if known.spent is not None else baseline, 0.0, concurrency),
        candidates=budget.candidates,
        warnings=(*known.remarks, *filter(None, [too_small(design, panel.tasks, standing)])),
        lacking=lack,
    )
    if lack is not None:
        return undrawn
    suite = panel.draw(random.Random(f"{seed}/suite"))  # noqa: S311
    room, proposed = panels.room(suite), known.proposed
    played = _play(design, panel, room, seed, rounds, workers, reachable=undrawn.reachable, proposed=proposed)

    audit = 0 if design.policy.name == "pooled" else len(panel.tasks) * design.champion_repeats
    after = 2 * known.holdout * design.holdout_repeats + audit  # what was confirmed has been audited
    each = costs.of(played.null.trials + played.null.promoted * after, 1.0, concurrency)
    good, wanted = played.good, budget.candidates
    return replace(
        undrawn,
        mean=panel.mean,
        noise=panels.noise(suite),
        null=played.null,
        strict=played.strict,
        detectable=played.detectable,
        room=room,
        curve=played.curve,
        first=played.first,
        null_candidate=each,
        good_candidate=None if good is None else costs.of(good.trials + after, 1.0, concurrency),
        study_total=None if wanted is None else undrawn.start + each.times(max(0, wanted - proposed)),
        affordable=afford(budget, known.spent or NOTHING, undrawn.start, each, proposed),
        warnings=(*undrawn.warnings, *_warnings(design, panel, undrawn, played, room)),
    )


@dataclass(frozen=True)
class _Played:
    """What came of the simulated candidates, under the names of `Forecast`."""

    null: Promotions
    strict: Promotions
    detectable: float | None = None
    curve: tuple[Promotions, ...] = ()
    first: tuple[Promotions, ...] = ()

    @property
    def good(self) -> Promotions | None:
        """The smallest of the gains tried that is no smaller than the detectable one; `None` where there is none."""
        least = math.inf if self.detectable is None else self.detectable - 1e-9
        return next((point for point in self.curve if point.gain >= least), None)


def _play(
    design: Design,
    panel: Panel,
    room: float,
    seed: int,
    rounds: int | None,
    workers: int,
    *,
    reachable: bool,
    proposed: int,
) -> _Played:
    """Send simulated candidates through the gate, in several processes where that is worth their start."""
    planned = len(panel.tasks) * design.repeats
    rounds = rounds or min(MOST_ROUNDS, max(FEWEST_ROUNDS, TRIALS_PER_GAIN // max(1, planned)))
    plain = replace(design, policy=replace(design.policy, name="strict"))

    def play(over: Mapper | None) -> _Played:
        kept = Kept()

        def played(of: Design, gain: float, rounds: int = rounds, earlier: int = EARLIER) -> Promotions:
            return simulate(of, panel, gain, rounds, seed, over, earlier=earlier, kept=kept)

        null = played(design, 0.0, rounds * NULL_ROUNDS)
        strict = null if design.policy.name == "strict" else played(plain, 0.0)
        if not reachable:
            return _Played(null, strict)
        detectable, curve = _search(lambda gain: played(design, gain), room)
        # Under `pooled` the champion's own trials weigh the tasks too: a first candidate is found as often (docs/gate.md).
        differs = design.policy.name == "paired" and not proposed
        alone = [point.gain for point in curve if point.gain in GAINS] if differs else []
        first = [played(design, gain, earlier=0) for gain in alone]
        return _Played(null, strict, detectable, curve, tuple(first))

    if workers > 1 and rounds * planned * (NULL_ROUNDS + len(GAINS) + STEPS) > ALONE:
        # Spawned, not forked: the caller may have threads.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            return play(lambda work, parts: list(pool.map(work, parts)))
    return play(None)


def _search(play: Callable[[float], Promotions], room: float) -> tuple[float | None, tuple[Promotions, ...]]:
    """The smallest gain that is found with chance `WANTED`, by halving; and all that was tried, smallest first.

    Args:
        play: gives how often a gain is found.
    """
    tried: dict[float, Promotions] = {}

    def found(gain: float) -> bool:
        if gain not in tried:
            tried[gain] = play(gain)
        return tried[gain].promoted >= WANTED

    asked = [gain for gain in (*GAINS, room) if 0 < gain <= room]
    enough = [gain for gain in asked if found(gain)]
    if not enough:
        return None, tuple(tried[gain] for gain in sorted(tried))
    smallest = enough[0]
    low = round(max((gain for gain in asked if gain < smallest), default=0.0) / STEP)
    high = math.ceil(smallest / STEP - 1e-9)
    while high - low > 1:
        middle = (low + high) // 2
        if found(middle * STEP):
            smallest, high = middle * STEP, middle
        else:
            low = middle
    return smallest, tuple(tried[gain] for gain in sorted(tried))


def _warnings(design: Design, panel: Panel, undrawn: Forecast, played: _Played, room: float) -> tuple[str, ...]:
    """What the dice add to what was known without them."""
    said = []
    if undrawn.reachable and played.detectable is None:
        said.append(
            f"no gain that this suite has room for (up to {100 * room:.1f} points) is found {WANTED:.0%} of the time; "
            "add tasks or raise gate.repeats"
        )
    if not panel.weight_known and undrawn.score is not None:
        what = "every task has one trial" if len(panel.seen) > 1 else "there is one task alone"
        said.append(
            f"{what}, which does not tell how flaky a task is; two trials or more of each of several tasks "
            "(`lorimer run --repeats 3`) make this forecast a measured one"
        )
    if design.policy.name == "strict":
        lucky = f"an unchanged harness is promoted {played.null.promoted:.0%} of the time"
        said.append(f"policy strict has no bound on false promotions: {lucky}")
    return tuple(said)
